"""A clustered collection that `tag` would have left so."""

from __future__ import annotations

import pytest

from artylyze.catalog.run import RunSpec, run_store, write_spec
from tests.pictures import Gallery, clustered, collection, paintings


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    root = tmp_path_factory.mktemp("gallery")
    catalog = collection(root, paintings())
    spec = RunSpec("run0", "tag", None, "model", (), 3, {}, "cpu", "float32", {}, "digest", ())
    write_spec(run_store(catalog, "run0"), spec)
    return Gallery(root, catalog, clustered(root, catalog, paintings()))
