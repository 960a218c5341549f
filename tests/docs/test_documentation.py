"""The README and the pages in docs/: their links, their commands, and the parts that are made from the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import pytest
import typer

from artylyze.cli.app import app
from docs import from_code

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

root: Any = typer.main.get_command(app)
context = root.context_class(root, info_name="artylyze")


def commands(page: Path) -> Iterator[list[str]]:
    """The command lines of `artylyze`, and of jobs, in the code blocks of a page: the command and its arguments."""
    blocks = FENCE.findall(page.read_text(encoding="utf-8"))
    for text in (text for language, text in blocks if language in {"", "bash"}):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for place, word in enumerate(words):
                if Path(word).name == "artylyze" and (place == 0 or words[place - 1] == "-m"):
                    before, _, submitted = (" ".join(words[place + 1 :])).partition(" -- ")
                    yield from (part.split() for part in (before, submitted) if part)
                elif word.startswith("jobs/"):
                    name = {"benchmark": "bench"}.get(Path(word).stem, Path(word).stem)
                    yield [name, *words[place + 1 :]]


def known_options(name: str) -> set[str]:
    return {option for parameter in root.get_command(context, name).params for option in parameter.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    for name, *arguments in commands(page):
        assert name in root.commands, f"artylyze {name}"
        unknown = {word for word in arguments if re.match(r"--?[a-z]", word)} - known_options(name)
        assert not unknown, f"artylyze {name} has no {', '.join(unknown)}"


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]

    assert len(text.splitlines()) <= 180
    assert [link for link in links if link and not (ROOT / link).exists()] == []


def test_every_command_is_in_the_reference() -> None:
    made = from_code.cli()

    assert re.findall(r"^## artylyze (\S+)$", made, re.MULTILINE) == root.list_commands(context)
    assert "-o, --output <str>" in made


def test_every_column_and_error_code_is_explained() -> None:
    assert "`TASK_top` `list<struct<term: string, score: float32>>`\n: " in from_code.catalog()
    assert "| `unreachable` |" in from_code.error_codes()
    assert "| 130 |" in from_code.exit_codes()


def test_the_reference_of_a_name_has_its_signature_and_docstring() -> None:
    package = griffe.load("artylyze", search_paths=[ROOT])
    text = from_code._entry(package["catalog.snapshot.part_paths"], "part_paths")

    assert ":::::{py:function} part_paths(catalog: str, snapshot: Snapshot) -> list[str]" in text
    assert "Return the address of every part." in text


def test_the_python_reference_is_made_without_an_api_too() -> None:
    assert from_code.api()
