"""The commands are listed in the order of a person's work, each once."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from artylyze.cli.app import app
from artylyze.cli.groups import GROUPS


def test_every_command_has_its_place() -> None:
    listed = [name for names in GROUPS.values() for name in names]
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert sorted(listed) == sorted(commands)


def test_help_shows_them_under_their_headings() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    listed = [name for names in GROUPS.values() for name in names]
    assert re.findall(r"^  ([a-z][a-z-]+)  +[A-Z]", text, re.MULTILINE) == listed
    assert [text.index(f"{heading}:") for heading in GROUPS] == sorted(text.index(f"{heading}:") for heading in GROUPS)
    assert "..." not in text.partition("Begin:")[2], "no first line is cut"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ARTYLYZE_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "artylyze compa")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "artylyze compa")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    text = CliRunner().invoke(app, [], prog_name="artylyze").output
    assert "compact" in text
    assert "compare-features" in text
    assert "influences" not in text
