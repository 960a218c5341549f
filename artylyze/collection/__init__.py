"""A collection before it is tagged: the images that there are, and what your catalogue says of each."""
