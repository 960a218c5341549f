"""What is kept stays within its bound, what a running process uses stays, by real processes and locks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from artylyze import cache
from artylyze.cache import alone, bound, cache_folder, entries, free_space, hold, remove
from artylyze.errors import InputError
from tests.conftest import S3

HOLDING = """
import sys
from pathlib import Path
from artylyze.cache import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "_held", {})
    monkeypatch.setenv("ARTYLYZE_CACHE_GB", "0.0003")
    yield
    for file in cache._held.values():
        file.close()


def keep(kind: str, name: str, used: float, count: int = 100_000) -> Path:
    """Put something into the cache that was used at a time."""
    folder = cache_folder(kind)
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "bundles":
        (folder / name).mkdir()
        path = folder / name / "model.onnx"
    else:
        path = folder / f"{name}{'.npy' if kind == 'images' else '.safetensors'}"
    path.write_bytes(os.urandom(count))
    os.utime(path, (used, used))
    return folder / name if kind == "bundles" else path


def names() -> list[str]:
    return [entry.path.name for entry in entries()]


def test_the_least_recently_used_goes_first() -> None:
    for used, kind in enumerate(["images", "bundles", "features"], 1):
        keep(kind, f"vit.a-{kind}", 1000 * used)
    free_space(90_000)
    assert names() == ["vit.a-bundles", "vit.a-features"]


def test_to_be_used_counts() -> None:
    oldest = keep("images", "a", 1000)
    keep("images", "b", 2000)
    hold(oldest)
    for file in cache._held.values():
        file.close()
    free_space(150_000)
    assert names() == ["a"]


def test_what_another_process_uses_stays_whatever_it_takes() -> None:
    path = keep("images", "a", 1000)
    command = [sys.executable, "-c", HOLDING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        (entry,) = entries()
        assert entry.in_use
        assert free_space(10**9) == []
        assert not remove(entry)
        process.kill()
    assert [one.path.name for one in free_space(10**9)] == ["a"]
    assert list(cache_folder("images").iterdir()) == []


MAKING = """
import os, sys
from artylyze.storage.staging import local_output
with local_output(sys.argv[1], marker="end.json") as folder:
    os.makedirs(folder)
    open(os.path.join(folder, "end.json"), "w").write("{}")
    print(folder, flush=True)
    if sys.stdin.read() == "fail":
        raise KeyboardInterrupt
"""


def test_an_output_is_not_cleared_while_a_command_makes_it(moto_server: S3) -> None:
    address = f"{moto_server.bucket('staging')}/models/vit.small"
    command = [sys.executable, "-c", MAKING, address]
    environment = {**os.environ, **moto_server.environment}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        (row,) = json.loads(artylyze("outputs", "--json").stdout)["entries"]
        assert (row["kind"], row["files"], row["in_use"]) == ("outputs", 1, True)
        assert Path(row["path"]) == folder.parent
        assert artylyze("--clear").stdout.startswith("Removed 0 entries")
        second = subprocess.run(command, env=environment, input="", capture_output=True, text=True, check=False)
        assert f"Another process on this machine is writing {address}" in second.stderr
        process.communicate("fail")
    free_space(10**9)
    assert (folder / "end.json").exists()  # an interrupted output is work: room for others does not cost it
    assert "of outputs that are not uploaded yet" in artylyze().stdout
    assert artylyze("--clear", "outputs").stdout.startswith("Removed 1 entry")
    assert list(cache_folder("outputs").iterdir()) == []
    subprocess.run(command, env=environment, input="", capture_output=True, text=True, check=True)
    assert list(cache_folder("outputs").iterdir()) == []


def test_files_of_one_name_are_one_entry() -> None:
    path = keep("images", "180-ab", 1000)
    path.with_suffix(".json").write_text("[]")
    path.with_suffix(".lock").touch()
    (entry,) = entries()
    assert (entry.files, entry.path.name) == (3, "180-ab")
    assert entry.bytes >= 100_000


def test_one_process_at_a_time_makes_an_entry(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom artylyze.cache import alone\n"
        "with alone(Path(sys.argv[1])), open(sys.argv[2], 'a') as log:\n"
        "    log.write('in '); log.flush(); time.sleep(0.1); log.write('out '); log.flush()\n"
    )
    command = [sys.executable, "-c", code, str(cache_folder("bundles") / "a.b-1"), str(log)]
    for process in [subprocess.Popen(command) for _ in range(4)]:
        assert process.wait() == 0
    assert log.read_text().split() == ["in", "out"] * 4


def test_what_a_killed_process_left_goes_after_a_day() -> None:
    path = keep("images", ".0123", 1000)
    fresh = cache_folder("images") / ".4567"
    fresh.touch()
    entries()
    assert not path.exists()
    assert fresh.exists()


def test_the_bound_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTYLYZE_CACHE_GB", "2.5")
    assert bound() == 2_500_000_000
    monkeypatch.setenv("ARTYLYZE_CACHE_GB", "much")
    with pytest.raises(InputError, match="ARTYLYZE_CACHE_GB=much is not a number of gigabytes"):
        bound()
    monkeypatch.delenv("ARTYLYZE_CACHE_GB")
    assert 0 < bound() <= cache.LARGEST


def artylyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "artylyze"), "cache", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_shows_and_clears() -> None:
    keep("images", "180-ab", 1000)
    keep("bundles", "starter-1", 2000)
    found = json.loads(artylyze("--json").stdout)
    assert [(row["kind"], row["files"], row["in_use"]) for row in found["entries"]] == [
        ("bundles", 1, False),
        ("images", 1, False),
    ]
    assert found["bound"] == 300_000
    assert "180-ab" in artylyze().stdout
    assert artylyze("--clear", "images").stdout.startswith("Removed 1 entry, ")
    assert names() == ["starter-1"]
    assert json.loads(artylyze("--clear", "--json").stdout)["removed"] == 1
    assert names() == []


def test_the_command_knows_its_kinds() -> None:
    done = artylyze("pictures")
    assert (done.returncode, "bundles, explorers, features, images" in done.stderr) == (2, True)


def test_an_empty_cache_is_shown(tmp_path: Path) -> None:
    assert artylyze().returncode == 0
    with alone(cache_folder("bundles") / "a"):
        assert names() == []
    assert json.loads(artylyze("--json").stdout)["folder"].startswith(str(tmp_path))
