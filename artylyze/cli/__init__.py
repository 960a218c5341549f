"""The command line: the only place that knows flags, terminals and exit codes."""

from artylyze.cli.app import main

__all__ = ["main"]
