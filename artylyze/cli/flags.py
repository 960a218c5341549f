"""Translates the names of arguments in messages of libraries to the flags of the command.

A message names an argument in backticks, `shard_size`, or with a value, `device='cpu'`. If the command has that
parameter, this becomes `--shard-size` and `--device cpu`; other text in backticks stays.
"""

from __future__ import annotations

import ast
import re
import shlex
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

if TYPE_CHECKING:
    from artylyze.progress import Reporter

ARGUMENT = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`\n]*))?`")


_running: ContextVar[Any] = ContextVar("running", default=None)


class Commands(TyperGroup):
    """The commands; remembers which one runs."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of a command line."""
        resolved = super().resolve_command(ctx, args)
        _running.set(resolved[1])
        return resolved


def with_flags(message: str, command: Any) -> str:
    """Return a message with a command's flags instead of the names of its parameters."""
    parameters = {parameter.name: parameter for parameter in command.params}

    def flag(match: re.Match[str]) -> str:
        parameter = parameters.get(match[1])
        return match[0] if parameter is None else _as_flag(parameter, match[2])

    return ARGUMENT.sub(flag, message)


def in_flags(message: str) -> str:
    """Return a message with the flags of the running command, if there is one."""
    command = _running.get()
    return message if command is None else with_flags(message, command)


def reporter() -> Reporter:
    """Return a Reporter whose messages have the flags of the running command."""
    from artylyze.progress import Reporter

    return Reporter(partial(with_flags, command=_running.get()))


def _as_flag(parameter: Any, value: str | None) -> str:
    """Return a parameter as on a command line, with a value that is in Python's form."""
    option = parameter.param_type_name == "option"
    name = max(parameter.opts, key=len) if option else parameter.metavar or parameter.name.upper()
    if value is None:
        return str(name)
    try:
        given = ast.literal_eval(value)
    except (ValueError, SyntaxError):  # a placeholder, such as FILE
        return f"{name} {value}"
    if given is True:
        return str(name)
    if isinstance(given, list):
        return " ".join(f"{name} {shlex.quote(item)}" for item in given)
    if isinstance(given, tuple):
        return f"{name} {re.sub(r'[() ]', '', value)}"
    return f"{name} {shlex.quote(given) if isinstance(given, str) else value}"
