"""Libraries name arguments, a command line names flags."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from artylyze.cli.app import app
from artylyze.cli.flags import ARGUMENT, with_flags
from tests.commandline import run

ROOT = Path(__file__).resolve().parents[2]
commands: Any = typer.main.get_command(app)


@pytest.mark.parametrize(
    ("command", "message", "expected"),
    [
        ("tag", "`shard_size` is at most 65,536.", "--shard-size is at most 65,536."),
        ("tag", "Give a `source`: a folder.", "Give a SOURCE: a folder."),
        ("tag", "use `device='cpu'`, or", "use --device cpu, or"),
        ("tag", "`force='*/a b.jpg'`: none", "--force '*/a b.jpg': none"),
        ("tag", "`output='s3://a/b'` is", "--output s3://a/b is"),
        ("tag", "with `exclude=NAME`.", "with --exclude NAME."),
        ("tag", "`limit=5` `update=True`", "--limit 5 --update"),
        ("tune", "such as `lr_range=(1e-5, 1e-2)`.", "such as --lr-range 1e-5,1e-2."),
        ("curate", "`leave_out=['style=Dada', 'style=Pop Art']`", "--leave-out style=Dada --leave-out 'style=Pop Art'"),
        ("influences", "No `record_id`.", "No RECORD_ID."),
        ("tag", "See `artylyze failures CATALOG`, the column `warning`.", None),
        ("status", "`device='cpu'`: not an option here", None),
        ("tag", "a `stray backtick, `Model`, `K=3`, ``", None),
    ],
)
def test_names_of_parameters_become_flags(command: str, message: str, expected: str | None) -> None:
    assert with_flags(message, commands.commands[command]) == (message if expected is None else expected)


def test_errors_and_notes_of_a_command_name_its_flags(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [])

    assert run("tag", str(tmp_path), "-o", str(tmp_path / "out"), "--shard-size", "70000") == 2
    assert run("cluster", "catalog", "-o", "clusters", "--device", "gpu") == 2
    assert run("tag", str(tmp_path), "-o", str(tmp_path)) == 2

    first, second, third = capfd.readouterr().err.splitlines()
    assert first == "artylyze: --shard-size is at most 65,536."
    assert second == "artylyze: --device gpu: choose auto, cpu or cuda."
    assert third == f"artylyze: --output {tmp_path} is the collection itself: give the catalog a folder of its own."


def texts(path: Path) -> list[str]:
    """The texts of a module that are no docstrings, `{}` in place of what is put into them."""
    tree = ast.parse(path.read_text("utf-8"))
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    others = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    others |= {id(part) for node in formatted for part in node.values}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in others]
    joined = [
        "".join(str(getattr(part, "value", "")) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        for node in formatted
    ]
    return [*joined, *(node.value for node in constants if isinstance(node.value, str))]


def test_libraries_write_no_flags() -> None:
    """But in command lines, which they give whole: `artylyze scan FOLDER --metadata TABLE`."""
    options = {option for one in commands.commands.values() for parameter in one.params for option in parameter.opts}
    flags = {option for option in options if option.startswith("-")}
    beside = ("cli/", "sample/writing.py", "training/starter.py")
    for path in sorted((ROOT / "artylyze").rglob("*.py")):
        name = str(path.relative_to(ROOT / "artylyze"))
        for text in () if name.startswith(beside) else texts(path):
            plain = re.sub(r"\(?artylyze [a-z]+ [^`]*|`[^`]*`?", "", text)
            assert not {word.strip("`.,:;()'") for word in plain.split()} & flags, f"{name}: {text}"


def test_libraries_name_arguments_that_there_are() -> None:
    known = {parameter.name for one in commands.commands.values() for parameter in one.params} | {
        *("where", "top_k", "images", "weight_decay"),  # of Python alone
        *("uri", "image_id", "name", "warnings", "artist", "colors", "outside", "term", "task", "source"),  # columns
    }
    for path in sorted((ROOT / "artylyze").rglob("*.py")):
        name = str(path.relative_to(ROOT / "artylyze"))
        if name.startswith(("cli/", "api/")):
            continue
        for text in texts(path):
            for argument, _ in ARGUMENT.findall(text):
                assert argument in known, f"{name}: {text}"
