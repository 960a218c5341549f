"""The order of the commands in `artylyze --help`: that of a user's work, under headings."""

from __future__ import annotations

from typing import Any

from artylyze.cli.flags import Commands

GROUPS = {
    "Begin": ("demo", "sample"),
    "Tag a collection": ("scan", "tag", "status", "failures", "paths"),
    "Find works": ("search", "duplicates", "explore", "index"),
    "Look at a catalog": ("report", "features", "cluster", "profiles", "influences", "compare-features"),
    "Train on your own labels": ("curate", "train", "tune", "evaluate"),
    "Look after catalogs and disks": ("compact", "gc", "cache", "bench"),
    "Use a cluster": ("submit",),
}
"""Every command, under its heading."""


class Grouped(Commands):
    """Lists commands under the headings of GROUPS; others come last."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the interface
        """Return the names of the commands in the order of GROUPS."""
        ordered = [name for names in GROUPS.values() for name in names]
        return [name for name in ordered if name in self.commands] + [n for n in self.commands if n not in ordered]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with their first lines, a section for each heading."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        left = [name for name in names if not any(name in group for group in GROUPS.values())]
        for heading, group in {**GROUPS, "Commands": tuple(left)}.items():
            commands = [(name, self.commands[name]) for name in group if name in names]
            if rows := [(name, command.get_short_help_str(limit)) for name, command in commands if not command.hidden]:
                with formatter.section(heading):
                    # One width for all sections: click would indent each section by its own longest name.
                    formatter.write_dl([(f"{name:<{max(map(len, names))}}", text) for name, text in rows])
