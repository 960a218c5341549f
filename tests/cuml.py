"""What cuML's wheel says of its own calls: it can be read where no GPU is."""

from __future__ import annotations

import ast
import sys
import zipfile
from pathlib import Path


def cuml_options(module: str, name: str) -> set[str]:
    """Return the names of the options of a class of cuML, whose `fit` takes a matrix."""
    wheels = list(Path(sys.prefix, "wheels").glob("cuml_cu13-*.whl"))
    assert len(wheels) == 1, "`make .venv/.cuml` downloads the wheel"
    with zipfile.ZipFile(wheels[0]) as archive:
        source = archive.read(f"cuml/{module}").decode()
    body = source[source.index(f"class {name}(") :]
    start = body.index("def __init__(")
    (function,) = ast.parse(body[start : body.index("):", start)] + "): pass").body
    assert isinstance(function, ast.FunctionDef)
    assert "def fit(self, X," in body
    return {argument.arg for argument in function.args.kwonlyargs}
