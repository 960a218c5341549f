"""The report as one HTML file: nothing is fetched, nothing runs, and every value is text and never markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from artylyze import __version__
from artylyze.catalog.snapshot import read_snapshot
from artylyze.catalog.status import run_states
from artylyze.errors import UsageError
from artylyze.profiling.profiling import make_profiles
from artylyze.progress import Watcher
from artylyze.reporting import catalog as of_catalog
from artylyze.reporting.clusters import clustering
from artylyze.reporting.content import Content
from artylyze.reporting.gallery import gallery
from artylyze.reporting.model import model
from artylyze.storage import check_output, open_store
from artylyze.tables import DEFAULT_READING, Reading, check_options


@dataclass(frozen=True)
class ReportRequest:
    """What a report is asked to show. Raises UsageError for an output that is no HTML, or options without effect.

    Attributes:
        catalog: its address.
        output: the .html file to write.
        clusters: a clustering of the catalog.
        bundle: the model that made the catalog.
        evaluation: what `artylyze evaluate` wrote.
        labels: tables that say more of the images.
        artists: a table of artists.
        columns: columns of the metadata that describe clusters; none: all that are categorical.
        record: the example of an influence; None: the most mixed work.
        id_column: of a table of labels, that names an image or its record; None: it is found.
        reading: how tables of labels are to be read.
        duplicates: near-duplicates of the catalog, of each group of which one image counts in the clusters.
    """

    catalog: str
    output: str
    clusters: str | None = None
    bundle: str | None = None
    evaluation: str | None = None
    labels: tuple[str, ...] = ()
    artists: str | None = None
    columns: tuple[str, ...] = ()
    record: str | None = None
    id_column: str | None = None
    reading: Reading = DEFAULT_READING
    duplicates: str | None = None

    def __post_init__(self) -> None:
        if not self.output.lower().endswith((".html", ".htm")):
            raise UsageError(f"`output={self.output!r}`: name a file that ends in .html.")
        check_output(self.output)
        if self.clusters is None and (self.labels or self.artists or self.columns or self.record or self.duplicates):
            raise UsageError(
                "`labels`, `artists`, `columns`, `record` and `duplicates` are about clusters: give "
                "`clusters=CLUSTERS` too."
            )
        check_options("`labels=TABLE`", bool(self.labels), self.reading, self.id_column)


def write_report(request: ReportRequest, watcher: Watcher) -> int:
    """Write the report, and return its size in bytes.

    Raises:
        InputError: a catalog, clustering, bundle or evaluation that cannot be used.
    """
    page = render(gather(request, watcher)).encode()
    folder, _, name = request.output.rpartition("/")
    open_store(folder or ("/" if request.output.startswith("/") else ".")).put(name, page)
    return len(page)


def gather(request: ReportRequest, watcher: Watcher) -> Content:
    """Gather what the report shows."""
    snapshot = read_snapshot(request.catalog)
    described = model(request.bundle, request.evaluation)
    watcher.say("Reading the tags, and the works that a person should look at")
    failed = snapshot.rows - snapshot.ok
    lead = f"{snapshot.rows:,} images, {snapshot.ok:,} of them read"
    found = None
    if request.clusters is not None:
        watcher.say("Profiling the clusters, and reading their works")
        profiled = make_profiles(
            request.clusters,
            request.catalog,
            request.labels,
            request.artists,
            columns=request.columns,
            id_column=request.id_column,
            reading=request.reading,
            duplicates=request.duplicates,
        )
        for note in profiled.works.notes:
            watcher.say(note)
        found = clustering(profiled, request.record, snapshot.ok)
    return Content(
        title=f"Collection report: {request.catalog.rstrip('/').rpartition('/')[2]}",
        lead=f"{lead}, {failed:,} not." if failed else f"{lead}.",
        run=of_catalog.run_facts(request.catalog, snapshot),
        attempts=of_catalog.attempts(run_states(request.catalog)),
        works=gallery(request.catalog, snapshot),
        failures=of_catalog.failures(snapshot),
        tags=of_catalog.tags(request.catalog, snapshot),
        reviews=of_catalog.reviews(request.catalog, snapshot),
        model=described,
        clustering=found,
        version=__version__,
    )


def render(content: Content) -> str:
    """Return the page. Its policy allows nothing but images within it and its own style, known by its hash."""
    environment = Environment(
        loader=PackageLoader("artylyze.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (files("artylyze.reporting") / "templates" / "report.css").read_text("utf-8")
    return environment.get_template("report.html.j2").render(
        content=content, style=style, policy=_policy([style]), sections=_sections(content)
    )


def _policy(styles: Sequence[str]) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in styles)
    return f"default-src 'none'; img-src data:; style-src {hashes}; base-uri 'none'; form-action 'none'"


def _sections(content: Content) -> list[tuple[str, str]]:
    """The sections that the page has: id and heading."""
    there = [
        ("works", "Some of the works", bool(content.works)),
        ("run", "The run", True),
        ("failures", "What could not be read", True),
        ("tags", "Tags", bool(content.tags)),
        ("review", "Review queue", bool(content.reviews)),
        ("model", "The model", content.model is not None),
        ("clusters", "Clusters", content.clustering is not None),
        ("influence", "What runs through one painting", bool(content.clustering and content.clustering.example)),
    ]
    return [(key, heading) for key, heading, shown in there if shown]
