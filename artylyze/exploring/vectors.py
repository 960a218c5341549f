"""The embeddings of works, in as few numbers as the index of their catalog keeps."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from artylyze.exploring.works import Works
from artylyze.progress import Watcher
from artylyze.searching.index import open_index
from artylyze.searching.neighbours import Vectors


def read_vectors(works: Works, watcher: Watcher | None = None) -> Vectors:
    """Read the embeddings of works from the index of their catalog, which is made where it is missing.

    Two are compared by the cosine of their embeddings, but for a constant.

    Raises:
        InputError: if they are of several models, or a part is damaged.
    """
    index = open_index(works.catalog, works.snapshot, watcher=watcher)
    rows = pc.index_in(index.image_ids, value_set=works.ids).to_numpy().astype(np.int64)
    order = np.argsort(rows, kind="stable")
    return Vectors(rows[order], index.coordinates(order), index.offsets[order])
