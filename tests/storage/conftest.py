from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.storage.servers import Server, serving


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with serving() as start:
        yield start
