"""Plots, contact sheets, thumbnails and CSV tables, of plain values: knows no catalog."""
