"""The structure of the package: imports go down only, in no circle, and no room takes over."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "artylyze"

FLOORS = """
    errors wording
    progress cache
    ray_session
    storage
    images
    models
    workers
    drawing tables
    collection
    catalog
    searching
    duplication
    datasets extraction
    tagging clustering training
    tuning evaluation
    profiling
    reporting exploring
    sample
    api
    demo
    cli
"""
"""Rooms from the ground up: each may import from the lines above its own, and from itself."""

LARGEST = 0.12
"""Share of the package's lines that one room may take."""


def modules() -> dict[str, Path]:
    """Every module of the package, by its name below `artylyze`; the package itself is the empty name."""
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that one imports, wherever in the file and for whatever purpose."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    targets = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            targets |= {
                alias.name.removeprefix("artylyze.") for alias in node.names if alias.name.startswith("artylyze.")
            }
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            elif base == "artylyze" or base.startswith("artylyze."):
                base = base.removeprefix("artylyze").removeprefix(".")
            else:
                continue
            for alias in node.names:
                inside = f"{base}.{alias.name}".removeprefix(".")
                targets.add(inside if inside in known else base)
    return targets - {"", name}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(name, path, known) for name, path in known.items()}


def test_no_module_imports_itself_in_a_circle(graph: dict[str, set[str]]) -> None:
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_imports_go_down_only(graph: dict[str, set[str]]) -> None:
    floors = {room: height for height, line in enumerate(FLOORS.split("\n")) for room in line.split()}
    rooms = {name.split(".")[0] for name in graph} - {"", "__main__"}
    assert rooms == set(floors), "every room has its floor, and every floor its rooms"
    up = [
        f"{name} imports {target}"
        for name, targets in sorted(graph.items())
        for target in sorted(targets)
        if name not in ("", "__main__")
        if (room := name.split(".")[0]) != (other := target.split(".")[0])
        if floors[room] <= floors[other]
    ]
    assert not up


def test_every_distribution_that_is_imported_is_declared() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["gpu"], *extras["text"], *extras["lance"]]
    declared = {re.split(r"[\[<>=]", one)[0].replace("_", "-").lower() for one in wanted}
    homes = {**packages_distributions(), "cuml": ["cuml-cu13"], "cupy": ["cupy-cuda13x"]}
    undeclared = {
        f"{name} imports {module}"
        for name, path in modules().items()
        for module in outside(path) - {"IPython", "benchmarks"}  # asked for where it runs already; beside the package
        if not {home.replace("_", "-").lower() for home in homes.get(module, [module])} & declared
    }
    assert not undeclared


def outside(path: Path) -> set[str]:
    """The top-level modules that a file imports at run time and that are neither Python's nor ours."""
    tree = ast.parse(path.read_text("utf-8"))
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for node in typing for inner in ast.walk(node)}
    names = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"artylyze"}


def test_no_room_takes_over() -> None:
    lines: dict[str, int] = {}
    for name, path in modules().items():
        room = name.split(".")[0]
        lines[room] = lines.get(room, 0) + len(path.read_text("utf-8").splitlines())
    most = LARGEST * sum(lines.values())
    assert not {room: count for room, count in lines.items() if count > most}
