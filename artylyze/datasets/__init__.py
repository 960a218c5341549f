"""Curation: from labelled images to a data set with classes, a split and an account of what was left out."""
