"""Images behind http(s) addresses, as IIIF servers and image links in catalogues give them."""

from __future__ import annotations

import functools
from typing import Any

from artylyze.errors import ErrorCode, ImageError
from artylyze.storage.contract import Fetched, check_size, etag_validator, first_line


@functools.cache
def _web() -> Any:
    import urllib3

    retry = urllib3.Retry(total=4, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), redirect=5)
    return urllib3.PoolManager(maxsize=64, retries=retry, timeout=urllib3.Timeout(connect=10, read=60))


def get_http(uri: str, max_bytes: int) -> Fetched:
    """Read one address; raise ImageError if it cannot be had."""
    import urllib3

    try:
        with _web().request("GET", uri, preload_content=False) as response:
            if response.status in (401, 403):
                raise ImageError(ErrorCode.DENIED, f"HTTP {response.status}")
            if response.status in (404, 410):
                raise ImageError(ErrorCode.MISSING, f"HTTP {response.status}")
            if response.status != 200:
                raise ImageError(ErrorCode.UNREACHABLE, f"HTTP {response.status}")
            check_size(int(response.headers.get("Content-Length") or 0), max_bytes)
            data = response.read(max_bytes + 1)
            tag = etag_validator(response.headers.get("ETag"))
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise ImageError(ErrorCode.UNREACHABLE, first_line(error)) from error
    check_size(len(data), max_bytes)
    return Fetched(data, (tag,) if tag else ())
