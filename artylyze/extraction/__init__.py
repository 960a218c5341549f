"""Vectors of images: of a catalog, cached for training, and reduced by PCA and kernel PCA."""
