"""What each command takes at a million and at ten million images: time, memory, and how both grow.

python benchmarks/scale.py [--rows 1000000,10000000] [--only scan,plan,...] [--out benchmarks/results]

No image is read: rows are those of a synthetic listing, with metadata, tags and short embeddings, written through the
schemas that `scan` and `tag` write (`scale_data.py`). Each measurement is a process of its own. Growth is that of CPU
seconds, of the process and its children: others use the machine too. "Local listing" is that of a store that yields
its entries from memory, "folder" of as many empty files, "S3" of a server on the loopback interface, through boto3.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.cluster_stream import Silent
from benchmarks.measure import busy, machine, run_contestant, versions
from benchmarks.report import markdown, scale_checks, scale_rows

RESULTS = Path(__file__).resolve().parent / "results"
ROWS = (1_000_000, 10_000_000)
FILES = 1_000_000
"""Empty files that a folder is made of at most: more take longer to make and to remove than to scan."""
KEYS = 1_000_000
"""Keys that the S3 server lists at most: the time is that of boto3, which reads a page of 1,000 after the other."""
FITTED = 100_000
"""Rows of the catalog that clusters are fitted on."""
K = 25
_SAME = ("benchmark", "settings", "machine", "versions")


@dataclass(frozen=True)
class Scene:
    """Where the inputs of so many rows lie, and what is written of them."""

    folder: Path
    rows: int

    def path(self, name: str) -> str:
        """Return the path of an input or an output."""
        return str(self.folder / name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or be one of those that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(map(str, ROWS)), help="numbers of rows, ascending")
    parser.add_argument("--only", default=",".join(WORK), help="what is measured: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of scale.json")
    parser.add_argument("--scratch", type=Path, help="folder with room for some 1.5 GB a million rows")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    rows = [int(count) for count in asked.rows.split(",")]
    if asked.work:
        _be(asked.work, Scene(asked.scratch, rows[0]))
        return
    print(markdown(*scale_rows(run(asked.out, rows=rows, only=asked.only.split(","), scratch=asked.scratch))))


def run(
    out: Path, *, rows: Sequence[int] = ROWS, only: Sequence[str] | None = None, scratch: Path | None = None
) -> dict[str, Any]:
    """Measure, add the figures to `out`/scale.json, and return what is there.

    Args:
        out: folder of scale.json.
        rows: numbers of rows.
        only: what is measured; None: all.
        scratch: where inputs and outputs lie meanwhile; None: the folder for temporary files.
    """
    names = list(WORK if only is None else only)
    if unknown := set(names) - set(WORK):
        raise ValueError(f"There are no measurements {', '.join(sorted(unknown))}: {', '.join(WORK)}.")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "scale.json"
    result: dict[str, Any] = {"benchmark": "scale", "settings": {"k": K}, "machine": machine(), "versions": versions()}
    old = json.loads(path.read_text()) if path.exists() else {}
    same = all(old.get(name) == result[name] for name in _SAME)
    result["contestants"] = old["contestants"] if same else {}
    with tempfile.TemporaryDirectory(prefix="artylyze-scale-", dir=scratch) as folder:
        if any("clusters" in WORK[name].needs for name in names):
            _measured("fit", Scene(Path(folder), FITTED))
        for count in rows:
            scene = Scene(Path(folder, str(count)), count)
            scene.folder.mkdir()
            for name in names:
                if count <= WORK[name].most:
                    for need in WORK[name].needs:
                        if not (scene.folder / need).exists() and need in INPUTS:
                            _measured(need, scene)
                    result["contestants"].setdefault(name, {})[str(count)] = _measured(name, scene)
                    result["checks"] = [check.as_dict() for check in scale_checks(result["contestants"])]
                    path.write_text(json.dumps(result, indent=1) + "\n")
            shutil.rmtree(scene.folder)
    return result


def _measured(name: str, scene: Scene) -> dict[str, Any]:
    """Do some work in a process of its own; return wall and CPU seconds, and the peak of memory in MiB."""
    log = scene.folder.parent / "log.txt"
    command = [sys.executable, __file__, "--work", name, "--rows", str(scene.rows), "--scratch", str(scene.folder)]
    before = busy()
    with _server(name, scene.rows):
        done = run_contestant(command, log, timeout=4 * 3600)
    said = json.loads(log.read_text().splitlines()[-1])
    found = {
        "seconds": round(done.seconds, 2),
        "cpu_seconds": said["cpu_seconds"],
        "peak_mib": round(max(done.peak, said["peak"]) / 2**20),
        "busy_percent_before": before,
    }
    print(f"{scene.rows:,} {name} {found}", file=sys.stderr, flush=True)
    return found


@contextlib.contextmanager
def _server(name: str, rows: int) -> Any:
    """Where it is needed, serve a listing from this process, and point those that it starts at it."""
    if name != "scan-s3":
        yield
        return
    from benchmarks.scale_data import serve_listing

    with serve_listing(rows) as endpoint:
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield


def _be(name: str, scene: Scene) -> None:
    """Do some work here, and print what it took."""
    counted = (WORK[name].work if name in WORK else INPUTS[name])(scene)
    if counted is not None and counted != scene.rows:
        raise RuntimeError(f"{name} counted {counted:,} rows of {scene.rows:,}")
    memory = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    times = os.times()
    cpu = times.user + times.system + times.children_user + times.children_system
    print(json.dumps({"cpu_seconds": round(cpu, 2), "peak": int(memory["VmHWM"].split()[0]) * 1024}))


def _manifest(scene: Scene) -> None:
    from benchmarks.scale_data import write_images, write_rows

    write_rows(scene.folder / "manifest.parquet", scene.rows, scene.path("images"))
    write_images(scene.folder / "images", scene.rows)


def _later(scene: Scene) -> None:
    from benchmarks.scale_data import write_rows

    write_rows(scene.folder / "later.parquet", scene.rows, scene.path("images"), later=True)


def _catalog(scene: Scene) -> None:
    from benchmarks.scale_data import write_catalog

    write_catalog(scene.folder / "catalog", scene.folder / "manifest.parquet")


def _table(scene: Scene) -> None:
    from benchmarks.scale_data import write_table

    write_table(scene.folder / "objects.csv", scene.rows)


def _files(scene: Scene) -> None:
    from benchmarks.scale_data import write_empty

    write_empty(scene.folder / "files", scene.rows)


def _fit(scene: Scene) -> None:
    """Fit clusters to a catalog of its own, and keep nothing but them."""
    from artylyze.clustering.cluster import cluster
    from artylyze.clustering.request import ClusterRequest

    few = Scene(scene.folder / "few", scene.rows)
    few.folder.mkdir()
    _manifest(few)
    _catalog(few)
    request = ClusterRequest(few.path("catalog"), scene.path("clusters"), k=K, sample=scene.rows, device="cpu")
    cluster(request, Silent())
    shutil.rmtree(few.folder)


def _scan(scene: Scene, source: str, **options: Any) -> int:
    from artylyze.collection.scan import scan

    found = scan(source, scene.path("scanned.parquet"), **options)
    (scene.folder / "scanned.parquet").unlink()
    if options and found.without_metadata:
        raise RuntimeError(f"{found.without_metadata:,} images have no metadata")
    return int(found.images)


def _listed(scene: Scene, **options: str) -> int:
    """Scan a store that yields its entries from memory."""
    from benchmarks.scale_data import Listing

    Path(scene.path("images")).mkdir(exist_ok=True)  # a scan asks whether its source is there
    with patch("artylyze.collection.scan.open_store", lambda root: Listing(root, scene.rows)):
        return _scan(scene, scene.path("images"), **options)


def _join(scene: Scene) -> int:
    return _listed(scene, metadata=scene.path("objects.csv"), id_column="accession", file_column="file")


def _request(scene: Scene) -> Any:
    from artylyze.tagging.request import TagRequest

    return TagRequest(scene.path("manifest.parquet"), scene.path("new"), device="cpu")


def _plan(scene: Scene) -> int:
    """Plan a run and begin it: its manifest frozen, its run.json written and read back."""
    from artylyze.catalog.run import run_store, write_spec
    from artylyze.collection.manifest import copy_manifest
    from artylyze.tagging.planning import plan

    with tempfile.TemporaryDirectory(dir=scene.folder) as folder:
        planned = plan(_request(scene), Silent(), folder)
        if planned is None:
            raise RuntimeError("there is nothing to do")
        store = run_store(folder, planned.spec.run_id)
        copy_manifest(planned.manifest.url, f"{store.url}/manifest.parquet")
        return int(write_spec(store, planned.spec).rows)


def _dry_run(scene: Scene) -> int:
    from artylyze.tagging.dryrun import dry_run

    found = dry_run(_request(scene), Silent())
    if found is None or found.failed:
        raise RuntimeError(f"the probe could not read its images: {found}")
    return found.images


def _update(scene: Scene) -> None:
    from artylyze.catalog.snapshot import read_snapshot
    from artylyze.catalog.update import plan_changes

    catalog, target = scene.path("catalog"), scene.path("update.parquet")
    found = plan_changes(
        catalog, read_snapshot(catalog), scene.path("later.parquet"), target, size=lambda _: 1024, retry_failed=False
    )
    Path(target).unlink()
    changed, gone, new = (
        len(range(*each)) for each in ((0, scene.rows, 200), (1, scene.rows, 400), (3, scene.rows, 400))
    )
    if (found.tagged, found.removed) != (changed + new, gone):
        raise RuntimeError(f"{found.tagged:,} to tag and {found.removed:,} removed of {scene.rows:,}")


def _snapshot(scene: Scene) -> int:
    from artylyze.catalog.snapshot import read_snapshot, write_snapshot

    with tempfile.TemporaryDirectory(dir=scene.folder) as folder:
        write_snapshot(folder, read_snapshot(scene.path("catalog")))
        return read_snapshot(folder).rows


def _command(*arguments: str) -> str:
    """Run a command of artylyze in this process, and return what it prints."""
    from artylyze.cli.app import app

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        app(arguments, standalone_mode=False)
    return printed.getvalue()


def _status(scene: Scene) -> int:
    return int(json.loads(_command("status", scene.path("catalog"), "--json"))["runs"][0]["committed"])


def _paths(scene: Scene) -> None:
    if len(_command("paths", scene.path("catalog")).splitlines()) != -(-scene.rows // 1024):
        raise RuntimeError("paths are missing")


def _failures(scene: Scene) -> None:
    _command("failures", scene.path("catalog"), "-o", scene.path("failures.csv"))


def _pieces(scene: Scene) -> int:
    from artylyze.catalog.snapshot import embedding_pieces, read_snapshot

    ok = read_snapshot(scene.path("catalog")).ok
    read = sum(len(matrix) for _, matrix in embedding_pieces(scene.path("catalog")))
    return scene.rows if read == ok else read


def _embeddings(scene: Scene) -> int:
    from artylyze.catalog.snapshot import embeddings, read_snapshot

    ids, matrix = embeddings(scene.path("catalog"))
    return scene.rows if len(ids) == len(matrix) == read_snapshot(scene.path("catalog")).ok else len(ids)


def _assign(scene: Scene) -> int:
    from artylyze.clustering.assign import assign

    done = assign(scene.path("../clusters"), scene.path("catalog"), scene.path("assigned"), Silent(), by_ray=False)
    left_out: dict[str, int] = done["left_out"]
    return int(done["rows"]) + sum(left_out.values())


def _report(scene: Scene) -> None:
    _command("report", scene.path("catalog"), "-o", scene.path("report.html"))


def _report_clusters(scene: Scene) -> None:
    clusters = ("--clusters", scene.path("assigned"), "--columns", "artist")
    _command("report", scene.path("catalog"), "-o", scene.path("report.html"), *clusters)


@dataclass(frozen=True)
class Work:
    """What is measured: the function, the inputs that it needs, and the most rows that it is measured at."""

    work: Callable[[Scene], int | None]
    needs: tuple[str, ...] = ()
    most: int = sys.maxsize


_CATALOG = ("manifest.parquet", "catalog")
INPUTS: dict[str, Callable[[Scene], None]] = {
    "manifest.parquet": _manifest,
    "later.parquet": _later,
    "catalog": _catalog,
    "objects.csv": _table,
    "files": _files,
    "fit": _fit,
}
WORK = {
    "scan-listing": Work(_listed),
    "scan-folder": Work(lambda scene: _scan(scene, scene.path("files")), ("files",), FILES),
    "scan-s3": Work(lambda scene: _scan(scene, "s3://collection"), (), KEYS),
    "scan-metadata": Work(_join, ("objects.csv",)),
    "plan": Work(_plan, ("manifest.parquet",)),
    "dry-run": Work(_dry_run, ("manifest.parquet",)),
    "update": Work(_update, (*_CATALOG, "later.parquet")),
    "snapshot": Work(_snapshot, _CATALOG),
    "status": Work(_status, _CATALOG),
    "paths": Work(_paths, _CATALOG),
    "failures": Work(_failures, _CATALOG),
    "embeddings-pieces": Work(_pieces, _CATALOG),
    "embeddings": Work(_embeddings, _CATALOG),
    "assign": Work(_assign, (*_CATALOG, "clusters")),
    "report": Work(_report, _CATALOG),
    "report-clusters": Work(_report_clusters, (*_CATALOG, "clusters")),
}


if __name__ == "__main__":
    main()
