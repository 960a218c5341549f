"""Unsupervised reading of a catalog: clusters, what each holds, and which of them run through a painting."""
