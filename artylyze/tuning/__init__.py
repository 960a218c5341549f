"""Sweeps of settings on Ray Tune."""
