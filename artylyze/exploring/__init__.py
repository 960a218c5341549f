"""The explorer: a catalog as a web page, written as static files or served on this machine."""
