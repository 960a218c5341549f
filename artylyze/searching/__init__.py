"""Searching a catalog: an index of its embeddings, and works by likeness, words, colours and conditions."""
