"""Clusters of a collection: features, KMeans, Gaussian mixtures, the choice of k, scores, and what is kept of them."""
