"""What `import artylyze` offers: its names, what importing it costs, and the examples of every function."""

from __future__ import annotations

import doctest
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import pytest

import artylyze
from artylyze.cli.app import app
from docs import from_code

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "examples" / "museum.py"
HEAVY = ("torch", "ray", "pyarrow", "duckdb", "PIL", "numpy", "rich", "openvino", "artylyze.api")
PUBLIC = [name for name in artylyze.__all__ if not name.startswith("__")]

WRITTEN = {
    "tag": "catalog",
    "scan": "manifest.parquet",
    "cluster": "clusters",
    "Clusters.to_arrow": "clusters",
}
"""What an example writes anew though the others find it there."""


def examples() -> Iterator[tuple[str, doctest.DocTest]]:
    finder = doctest.DocTestFinder()
    for name in PUBLIC:
        member = getattr(artylyze, name)
        for test in finder.find(member, name, globs={}):
            if test.examples:
                yield test.name, test


EXAMPLES = dict(examples())


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs(name: str, museum: Path, bundles: None) -> None:
    there = museum / WRITTEN.get(name, "nothing")
    shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)
    said: list[str] = []

    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(EXAMPLES[name], out=said.append)

    assert not said, "".join(said)


@pytest.mark.slow
def test_the_notebook_of_the_documentation_runs(museum: Path, bundles: None) -> None:
    shutil.rmtree("catalog")
    shutil.rmtree("clusters")

    run = subprocess.run([sys.executable, NOTEBOOK], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert "Catalog('catalog': 24 images, 1 error)" in run.stdout
    assert "['000.png', " in run.stdout
    assert Path("report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("page", ["how-to/read-the-catalog.md", "tutorials/museum-folder.md"])
def test_the_code_of_a_page_runs(page: str, museum: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}

    for block in blocks:
        exec(block, names)  # noqa: S102 - of our own page

    assert blocks
    assert "genre" in capfd.readouterr().out


def test_every_function_has_an_example() -> None:
    functions = [name for name in PUBLIC if inspect.isfunction(getattr(artylyze, name))]

    assert set(functions) <= set(EXAMPLES)


def test_every_name_is_in_the_reference_and_there() -> None:
    made = from_code.api()

    assert griffe.load("artylyze", search_paths=[ROOT]).exports == artylyze.__all__
    assert [name for name in PUBLIC if f"}} {name}(" not in made] == []
    assert set(PUBLIC) <= set(dir(artylyze))
    assert sorted(artylyze.__all__) == artylyze.__all__


def test_no_name_is_that_of_a_module() -> None:
    modules = {path.stem for path in (ROOT / "artylyze").iterdir()}

    assert modules.isdisjoint(PUBLIC), "importing the module would replace the function"


def test_another_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tagg'"):
        _ = artylyze.tagg


def test_importing_it_imports_nothing_heavy() -> None:
    asked = "import sys, artylyze; dir(artylyze); print([name for name in sys.argv[1:] if name in sys.modules])"

    run = subprocess.run([sys.executable, "-c", asked, *HEAVY], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"


def parameters(command: Any) -> dict[str, Any]:
    """The defaults of a command's parameters by their names."""
    return {one.name: one.default for one in command.params if one.name not in ("as_json", "as_csv", "dry_run", "help")}


@pytest.mark.parametrize(
    "name", [name for name in PUBLIC if inspect.isfunction(getattr(artylyze, name)) and name in from_code.cli()]
)
def test_a_function_has_the_arguments_of_its_command(name: str) -> None:
    import typer

    root: Any = typer.main.get_command(app)
    if name not in root.commands:
        pytest.skip("no command")
    command = parameters(root.commands[name])
    function = {
        key: one.default
        for key, one in inspect.signature(getattr(artylyze, name)).parameters.items()
        if key != "progress"
    }

    assert set(command) == set(function)
    simple = (int, float, bool)
    assert {key: value for key, value in command.items() if type(value) in simple and value is not False} == {
        key: function[key] for key, value in command.items() if type(value) in simple and value is not False
    }
