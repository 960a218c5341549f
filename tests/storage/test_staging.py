from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artylyze.errors import InputError, StorageError
from artylyze.storage.staging import local_output, refuse_cluster

if TYPE_CHECKING:
    from tests.conftest import S3


def test_an_object_cannot_name_a_file_outside_of_the_folder(
    moto_server: S3, aws: Callable[[S3], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws(moto_server)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = moto_server.bucket("staging")
    for key in ("sweep/end.json", "sweep/../../outside.json"):
        moto_server.client().put_object(Bucket="staging", Key=key, Body=b"{}")
    with (
        pytest.raises(StorageError, match="does not name a file below"),
        local_output(f"{bucket}/sweep", marker="end.json", resume=True),
    ):
        pass
    assert not list(tmp_path.rglob("outside.json"))


def test_an_address_is_refused_on_a_cluster_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "")
    refuse_cluster("s3://bucket/bundle")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    refuse_cluster("bundle")
    with pytest.raises(InputError, match="unset RAY_ADDRESS"):
        refuse_cluster("s3://bucket/bundle")
