"""The columns of a catalog, and a shard's rows in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from artylyze.errors import ImageError
from artylyze.workers.protocol import Seen

COLORS = pa.list_(pa.struct([(name, pa.float32()) for name in ("l", "a", "b", "share")]))
"""What `images.palette.dominant_colors` returns, a struct for each row."""

FIXED = (
    pa.field("image_id", pa.string(), nullable=False),
    pa.field("record_id", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("validator", pa.string()),
    pa.field("status", pa.string(), nullable=False),
    pa.field("error_code", pa.string()),
    pa.field("error_detail", pa.string()),
    pa.field("warning", pa.string()),
    pa.field("warnings", pa.list_(pa.string())),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("format", pa.string()),
    pa.field("colors", COLORS),
)
THUMBNAIL = pa.field("thumbnail", pa.binary())
OUTSIDE = pa.field("outside", pa.float32())
FROM_MANIFEST = ("image_id", "record_id", "uri", "validator", "metadata")
EMBEDDING = pa.list_(pa.float32())
"""A list, null for an error, and not Arrow's list of fixed size: pyarrow before 26 cannot read nulls of those back from
Parquet (apache/arrow issue 35692), which itself knows no fixed size."""

TOP = pa.list_(pa.struct([("term", pa.string()), ("score", pa.float32())]))


class TopTerms(Protocol):
    """The answers to one task for n images, and the k best terms, best first.

    Review tells which of them a person should look at.
    """

    @property
    def answers(self) -> npt.NDArray[np.object_]:
        """Text (n): the best term, or another answer, which has no score."""

    @property
    def terms(self) -> npt.NDArray[np.object_]:
        """Text (n, k)."""

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Calibrated probabilities, float32 (n, k); NaN where there is none."""

    @property
    def review(self) -> npt.NDArray[np.bool_]:
        """Bool (n)."""


def catalog_schema(
    tasks: Sequence[str],
    metadata: pa.DataType | None,
    *,
    thumbnails: bool = False,
    outside: bool = False,
    uris: Collection[str] = (),
) -> pa.Schema:
    """Return the columns of a catalog.

    Args:
        tasks: names of the model's tasks, each with four columns.
        metadata: type of the collection's own columns, None if it has none.
        thumbnails: whether it keeps a thumbnail of each image.
        outside: whether the model tells how far an image lies from what it learned.
        uris: tasks whose terms have identifiers, which take one more column.
    """
    fields = [*FIXED, *([THUMBNAIL] if thumbnails else []), pa.field("embedding", EMBEDDING)]
    fields += [OUTSIDE] if outside else []
    for task in tasks:
        fields += [
            pa.field(task, pa.string()),
            pa.field(f"{task}_score", pa.float32()),
            pa.field(f"{task}_review", pa.bool_()),
            pa.field(f"{task}_top", TOP),
            *([pa.field(f"{task}_uri", pa.string())] if task in uris else []),
        ]
    fields += [pa.field("model_id", pa.string(), nullable=False), pa.field("run_id", pa.string(), nullable=False)]
    if metadata is not None:
        fields.append(pa.field("metadata", metadata))
    return pa.schema(fields)


def build_rows(
    schema: pa.Schema,
    rows: pa.Table,
    seen: Sequence[Seen | ImageError],
    embeddings: npt.NDArray[np.float32],
    scores: Mapping[str, TopTerms],
    *,
    outside: npt.NDArray[np.float32] | None = None,
    uris: Mapping[str, Mapping[str, str]] | None = None,
    model_id: str,
    run_id: str,
) -> pa.Table:
    """Return one catalog row per manifest row, whatever happened to its image.

    Args:
        schema: of the catalog.
        rows: manifest rows (n).
        seen: for each of them what was read, or why it could not be.
        embeddings: float32 (m, d) of the m images that could be read, in the order of `rows`.
        scores: by task, of the same m images.
        outside: float32 (m,), how far the same images lie from what the model learned, if it tells.
        uris: of tasks whose terms have identifiers: term -> identifier.
        model_id: of the model.
        run_id: of the run.
    """
    good = np.array([isinstance(one, Seen) for one in seen], dtype=bool)
    errors = [one if isinstance(one, ImageError) else None for one in seen]
    shapes = [one if isinstance(one, Seen) else None for one in seen]
    columns: dict[str, pa.Array] = {name: rows.column(name) for name in FROM_MANIFEST if name in rows.column_names}
    columns |= {
        "status": pa.array(np.where(good, "ok", "error").tolist(), pa.string()),
        "error_code": pa.array([error and str(error.code) for error in errors], pa.string()),
        "error_detail": pa.array([error and error.detail for error in errors], pa.string()),
        "warning": pa.array([shape and shape.warning for shape in shapes], pa.string()),
        "warnings": pa.array([shape and shape.warnings for shape in shapes], pa.list_(pa.string())),
        "width": pa.array([shape and shape.width for shape in shapes], pa.int32()),
        "height": pa.array([shape and shape.height for shape in shapes], pa.int32()),
        "format": pa.array([shape and shape.format for shape in shapes], pa.string()),
        "colors": _colors([shape.colors if shape else b"" for shape in shapes]),
        "thumbnail": pa.array([(shape and shape.thumbnail) or None for shape in shapes], pa.binary()),
        "model_id": pa.array([model_id] * len(seen), pa.string()),
        "run_id": pa.array([run_id] * len(seen), pa.string()),
    }
    place = pa.array(np.where(good, np.cumsum(good) - 1, 0), mask=~good)
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    ends = np.concatenate([[0], np.cumsum(good) * vectors.shape[1]])
    columns["embedding"] = pa.ListArray.from_arrays(
        pa.array(ends, pa.int32()), pa.array(vectors.ravel()), type=EMBEDDING, mask=pa.array(~good)
    )
    if outside is not None:
        columns["outside"] = pa.array(outside, pa.float32()).take(place)
    for task, found in scores.items():
        columns |= {name: column.take(place) for name, column in _task_columns(task, found).items()}
    for task, of_terms in (uris or {}).items():
        found_uris = [of_terms.get(answer) or None for answer in scores[task].answers]
        columns[f"{task}_uri"] = pa.array(found_uris, pa.string()).take(place)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _colors(palettes: Sequence[bytes]) -> pa.Array:
    """Return the column `colors` of what `Seen.colors` holds: null where that is empty."""
    values = np.frombuffer(b"".join(palettes), np.float32).reshape(-1, len(COLORS.value_type))
    lengths = np.array([len(palette) for palette in palettes], np.int64) // (4 * values.shape[1])
    ends = np.concatenate([[0], np.cumsum(lengths)])
    structs = pa.StructArray.from_arrays([pa.array(column) for column in values.T], fields=list(COLORS.value_type))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), structs, type=COLORS, mask=pa.array(lengths == 0))


def _task_columns(task: str, found: TopTerms) -> dict[str, pa.Array]:
    count, k = found.terms.shape
    pairs = pa.StructArray.from_arrays(
        [pa.array(found.terms.ravel(), pa.string()), pa.array(found.scores.ravel(), pa.float32(), from_pandas=True)],
        fields=list(TOP.value_type),
    )
    best = np.where(found.answers == found.terms[:, 0], found.scores[:, 0], np.float32(np.nan))
    return {
        task: pa.array(found.answers, pa.string()),
        f"{task}_score": pa.array(best, pa.float32(), from_pandas=True),
        f"{task}_review": pa.array(found.review, pa.bool_()),
        f"{task}_top": pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * k, pa.int32()), pairs),
    }
