"""Bundles that are kept: several processes that want one, or mend one, get in nobody's way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WANTING = """
import sys
from artylyze.models.folder import load
from artylyze.models.cache import cached
def build():
    print("built", flush=True)
    return load(sys.argv[1])
print(cached("wanted", {}, build).model_id)
"""


@pytest.mark.parametrize("damaged", [False, True], ids=["absent", "damaged"])
def test_of_processes_that_want_one_bundle_one_makes_it(model: Path, tmp_path: Path, damaged: bool) -> None:
    command = [sys.executable, "-c", WANTING, str(model)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    if damaged:
        subprocess.run(command, env=environment, check=True, capture_output=True)
        (kept,) = (tmp_path / "artylyze" / "bundles").glob("wanted-*")
        (kept / "model.onnx").write_bytes(b"damaged")
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    lines = [line for out, _ in said for line in out.split()]
    assert lines.count("built") == 1
    assert len({line for line in lines if line != "built"}) == 1


def test_a_cache_that_cannot_be_written_is_done_without(model: Path, tmp_path: Path) -> None:
    (tmp_path / "artylyze").write_text("a file where the folder should be")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WANTING, str(model)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
