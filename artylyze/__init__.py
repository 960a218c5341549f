"""Artylyze reads a whole digitized art collection and writes a Parquet catalog of it."""

__version__ = "0.1.0"
