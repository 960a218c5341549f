"""Peers and limits, side by side, in one run. See README.md."""
