"""The commands of training, one short function each. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer

commands = typer.Typer()
