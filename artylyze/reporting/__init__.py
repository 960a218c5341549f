"""The report: one HTML page that shows a catalog, its model, its clusters, and what runs through a painting."""
