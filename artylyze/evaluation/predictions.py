"""What a bundle says of labelled images, and what is right: computed from a dataset, or read from a catalog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import Snapshot, read_catalog, read_snapshot
from artylyze.collection.labels import Labels, read_labels
from artylyze.collection.manifest import COLUMNS
from artylyze.datasets.dataset import labels
from artylyze.datasets.sources import Wanted, join
from artylyze.errors import InputError
from artylyze.extraction.cached import Features, embed, features_folder
from artylyze.models.cache import cached
from artylyze.models.scores import NONE, probabilities, unit
from artylyze.tables import DEFAULT_READING, Reading
from artylyze.training.heads import Head
from artylyze.training.metrics import TOP
from artylyze.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.models.bundle import Bundle, Task


@dataclass(frozen=True, eq=False)
class Answers:
    """What a bundle says for one task of n images, and what is right.

    Attributes:
        task: of the bundle.
        scores: float32 (n, terms), calibrated. From a catalog only the best terms have one, the others have 0.
        labels: int64 (n,), -1 where an image has no label, or one that the bundle does not know.
        unknown: labels that the bundle does not know, and how many images have them.
    """

    task: Task
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    unknown: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The answers to all tasks of the same n images.

    Attributes:
        table: image_id, record_id, uri, size and validator of each image; of a dataset, all its columns.
        answers: by task.
        failed: image_id -> error code of the labelled images that have no answer.
    """

    table: pa.Table
    answers: Mapping[str, Answers]
    failed: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Computed(Predictions):
    """Answers that were computed; `features` are those of the whole table, whether judged or not."""

    features: Features


def of_dataset(
    bundle: Bundle,
    table: pa.Table,
    tasks: Sequence[Task],
    judged: NDArray[np.bool_],
    device: str,
    advance: Callable[[int, int], None],
) -> Computed:
    """Compute the answers to images of a dataset.

    The features are those that training computed, those of varied images included: they may lie in its cache.

    Args:
        bundle: the model.
        table: rows of the dataset (n).
        tasks: of the bundle and the dataset.
        judged: which of them are answered, bool (n,); of the others there are features only.
        device: auto, cpu or cuda.
        advance: called with the number of images done since the last call, and how many of them could not be read.
    """
    features = embed(
        table,
        _all_features(bundle),
        device=device,
        augment=bool(bundle.training.get("augment", False)),
        cache=features_folder(),
        advance=lambda count: advance(count, 0),
    )
    places = np.flatnonzero(judged[features.rows])
    answered, heads = table.take(features.rows[places]), heads_of(bundle)
    answers = {
        task.name: Answers(
            task,
            probabilities(
                heads[task.name].logits(unit(features.matrix[places]) if task.cosine else features.matrix[places]),
                task.temperature,
            ),
            *known_labels(answered, task),
        )
        for task in tasks
    }
    wanted = set(table.column("image_id").filter(pa.array(judged)).to_pylist())
    failed = {image: code for image, code in features.failed.items() if image in wanted}
    return Computed(answered, answers, failed, features)


def labelled_rows(table: pa.Table, tasks: Sequence[Task]) -> NDArray[np.int64]:
    """Return the rows that have a label of one of the tasks at least, known to the bundle or not, ascending."""
    has = np.any([pc.is_valid(table.column(task.name)).to_numpy() for task in tasks], axis=0)
    return np.asarray(np.flatnonzero(has), np.int64)


def known_labels(table: pa.Table, task: Task) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Return the class of each row among the bundle's terms, -1 for none, and the labels that are none of them."""
    known = labels(table, task.name, task.terms)
    unknown = table.column(task.name).filter(pa.array(known < 0)).drop_null().to_pylist()
    return known, dict(sorted(Counter(unknown).items()))


def heads_of(bundle: Bundle) -> dict[str, Head]:
    """Return the heads of a bundle, which act on all features."""
    from safetensors.numpy import load

    tensors = load(bundle.tensors)
    names = (task.name for task in bundle.tasks)
    return {name: Head(tensors[f"heads.{name}.weight"], tensors[f"heads.{name}.bias"]) for name in names}


def _all_features(bundle: Bundle) -> Bundle:
    """The bundle whose embedding is all features, under the identity that training keeps them by."""
    if bundle.training.get("mode") != "frozen" and bundle.embedding_dim == bundle.feature_dim:
        return bundle  # nobody else keeps its features, and its own embedding is all of them

    def build() -> Bundle:
        from artylyze.models.build import features_bundle
        from artylyze.models.network import build_backbone

        return features_bundle(build_backbone(bundle))

    return cached(f"features-{bundle.backbone}", {"features_of": bundle.model_id}, build)


def snapshot_of(catalog: str, bundle: Bundle) -> Snapshot:
    """Return the snapshot of a catalog; raise InputError if it is of another model than the bundle."""
    snapshot = read_snapshot(catalog)
    if snapshot.model_id != bundle.model_id:
        raise InputError(
            f"The catalog {catalog} was made by the model {snapshot.model_id}, the bundle is {bundle.model_id}: give "
            "the bundle that made it."
        )
    return snapshot


def labels_of(
    catalog: str,
    tables: Sequence[str],
    tasks: Sequence[str],
    asked_for: Sequence[str],
    id_column: str | None = None,
    reading: Reading = DEFAULT_READING,
) -> tuple[pa.Table, dict[str, Labels], list[str]]:
    """Join labels to a catalog as `curate` joins them to a manifest.

    Args:
        catalog: its address.
        tables: that label its images; the catalog's own metadata is the last.
        tasks: that labels are looked for.
        asked_for: those of them that must be found.
        id_column: of a table, that identifies a record; None: it is found.
        reading: how the tables are to be read.

    Returns:
        The rows of the catalog, without embeddings; the labels of each task that has any, in the order of the rows; and
        sentences on what did not join.
    """
    names = ["image_id", "record_id", "uri", "validator", "status", "error_code", "metadata"]
    rows = read_catalog(catalog, [*names, *(f"{task}_top" for task in tasks)]).sort_by("image_id")
    advice = "Give a table that has it with `labels`, or leave it out of `tasks`."
    wanted = Wanted({task: (task,) for task in tasks}, dict.fromkeys(asked_for, advice), id_column, reading=reading)
    with TemporaryDirectory(prefix="artylyze-") as folder:
        manifest = str(Path(folder, "manifest.parquet"))
        pq.write_table(_as_manifest(rows), manifest)
        joined = join(tables, manifest, wanted)
    order = pc.index_in(joined.images.column("image_id"), value_set=rows.column("image_id").combine_chunks())
    tables_of_labels = [catalogue.table for catalogue in joined.catalogues]
    has = [task for task in tasks if any(task in table.column_names for table in tables_of_labels)]
    notes = [note for catalogue in joined.catalogues for note in catalogue.notes]
    notes += [
        f"Of {counted(part.rows, 'row')} in {part.name}, {counted(part.unnamed, 'names', 'name')} no "
        "image of the catalog."
        for part in joined.catalogues
        if part.unnamed
    ]
    return rows.take(order), {task: read_labels(task, tables_of_labels, joined.images.num_rows) for task in has}, notes


def of_catalog(rows: pa.Table, labels: Mapping[str, Labels], tasks: Sequence[Task]) -> Predictions:
    """Read the answers to the labelled images among the rows of a catalog."""
    labelled = np.any([labels[task.name].codes >= 0 for task in tasks], axis=0)
    ok = pc.equal(rows.column("status"), "ok").to_numpy()
    judged = np.flatnonzero(labelled & ok)
    wrong = rows.filter(pa.array(labelled & ~ok))
    failed = dict(zip(wrong.column("image_id").to_pylist(), wrong.column("error_code").to_pylist(), strict=True))
    table = rows.take(judged).append_column("size", pa.nulls(len(judged), pa.int64()))
    answers = {task.name: _answers(table, labels[task.name], judged, task) for task in tasks}
    return Predictions(table, answers, failed)


def limits(snapshot: Snapshot, tasks: Sequence[Task]) -> list[str]:
    """Say which figures a catalog cannot give."""
    kept = int(snapshot.settings.get("top_k", TOP))
    notes = [
        "Nothing was computed from images: heads were not fitted again for an artist-disjoint and a random split, "
        "which needs a dataset (`artylyze curate`)."
    ]
    if snapshot.outside:
        notes.append(
            f"{snapshot.outside:,} of the {snapshot.ok:,} images lie outside what the model knows and are tagged "
            f"`{NONE}`: the figures are of their best terms."
        )
    short = [task.name for task in tasks if kept < min(TOP, len(task.terms))]
    if short:
        notes.append(
            f"The catalog keeps {kept} terms of an image, so top-5 of {', '.join(short)} is top-{kept}: tag with "
            "five, `artylyze tag --top-k 5`, or evaluate a dataset."
        )
    return notes


def stored_scores(table: pa.Table, task: Task) -> NDArray[np.float32]:
    """Return the scores, float32 (n, terms), of the best terms that rows keep for a task; 0 for the other terms.

    Raises InputError for a term that the bundle does not have.
    """
    column = table.column(f"{task.name}_top").combine_chunks()
    rows, best = pc.list_parent_indices(column).to_numpy(), pc.list_flatten(column)
    classes = pc.index_in(pc.struct_field(best, "term"), value_set=pa.array(task.terms, pa.string()))
    if classes.null_count:
        raise InputError(f"The catalog has terms of {task.name} that its model does not have: tag the images again.")
    scores = np.zeros((table.num_rows, len(task.terms)), np.float32)
    scores[rows, classes.to_numpy()] = pc.struct_field(best, "score").to_numpy(zero_copy_only=False)
    return scores


def _answers(table: pa.Table, labels: Labels, judged: NDArray[np.int64], task: Task) -> Answers:
    place = {term: number for number, term in enumerate(task.terms)}
    classes = np.array([place.get(term, -1) for term in labels.terms] + [-1], np.int64)  # the last is "no label"
    codes = labels.codes[judged]
    unknown = Counter(labels.terms[code] for code in codes if code >= 0 and classes[code] < 0)
    return Answers(task, stored_scores(table, task), classes[codes], dict(sorted(unknown.items())))


def _as_manifest(rows: pa.Table) -> pa.Table:
    sized = rows.append_column("size", pa.nulls(rows.num_rows, pa.int64()))
    names = [field.name for field in COLUMNS] + (["metadata"] if "metadata" in rows.column_names else [])
    return sized.select(names)
