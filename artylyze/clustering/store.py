"""A clustering as it is stored: who is in which cluster, the centroids, the mixture, the scores of each k."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.errors import InputError
from artylyze.storage import open_store


@dataclass(frozen=True, eq=False)
class Clusters:
    """A stored clustering.

    Attributes:
        folder: its address.
        run: what run.json says.
        assignments: image_id, record_id, kmeans, distance, gmm, responsibilities, in the order of image_id.
        scores: what scores.json says, empty if it is not there.
    """

    folder: str
    run: Mapping[str, Any]
    assignments: pa.Table
    centroids: npt.NDArray[np.float32] | None
    mixture: Any
    scores: Mapping[str, Any]


def read_clusters(folder: str) -> Clusters:
    """Read a clustering; raise InputError where there is none."""
    store = open_store(folder)
    run, rows = store.read("run.json"), store.read("assignments.parquet")
    if run is None or rows is None:
        raise InputError(f"There are no clusters in {folder}. Make them with `artylyze cluster CATALOG -o {folder}`.")
    try:
        table = pq.read_table(io.BytesIO(rows))
        scores = json.loads(store.read("scores.json") or b"{}")
        return Clusters(folder, json.loads(run), table, None, None, scores)
    except (ValueError, pa.ArrowException) as error:
        raise InputError(f"{folder} is not a clustering that this version reads ({error}).") from error
