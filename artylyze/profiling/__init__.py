"""Descriptions of clusters: who and what is in them, what sets them apart, and what runs through a work."""
