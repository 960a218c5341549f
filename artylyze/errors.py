"""Errors: those a user can fix (exit codes), and images that cannot be read (rows of the catalog)."""

from __future__ import annotations

from enum import StrEnum


class ArtylyzeError(Exception):
    """A failure whose message says what happened and what to do next; printed without a traceback."""

    exit_code = 1


class UsageError(ArtylyzeError):
    """Arguments that are invalid or do not fit together."""

    exit_code = 2


class InputError(ArtylyzeError):
    """An input or a configuration that cannot be used: a manifest, a metadata table, a bundle, a catalog."""

    exit_code = 3


class StorageError(ArtylyzeError):
    """Storage that refuses or does not answer: no such bucket, no credentials, no network."""

    exit_code = 4


class TooManyErrorsError(ArtylyzeError):
    """The run is complete, but more images failed than the user allowed."""

    exit_code = 5


class InterruptedRunError(ArtylyzeError):
    """The run was interrupted; the same command resumes it or starts again."""

    exit_code = 130


class ErrorCode(StrEnum):
    """Why an image has no embedding: the `error_code` of its catalog row."""

    MISSING = "missing"  # there is no object under this key
    CHANGED = "changed"  # the object has changed since the scan
    DENIED = "denied"  # the storage denies access to this object
    ARCHIVED = "archived"  # the object is in an archive tier and must be restored first
    UNREACHABLE = "unreachable"  # the storage did not answer, after retries
    EMPTY = "empty"  # zero bytes
    TRUNCATED = "truncated"  # the file ends before the image does
    CORRUPT = "corrupt"  # a known format with invalid content
    UNSUPPORTED = "unsupported"  # not a supported format
    TOO_LARGE = "too_large"  # more pixels or bytes than the limit
    TIMEOUT = "timeout"  # decoding exceeded the time limit and was killed
    CRASHED_DECODER = "crashed_decoder"  # decoding killed its process

    @property
    def is_transient(self) -> bool:
        """Whether this is a transient error, which may not recur: `retry_failed` tags these images again."""
        return self in _TRANSIENT


_TRANSIENT = frozenset(
    {
        ErrorCode.MISSING,
        ErrorCode.DENIED,
        ErrorCode.ARCHIVED,
        ErrorCode.UNREACHABLE,
        ErrorCode.TIMEOUT,
        ErrorCode.CRASHED_DECODER,
    }
)


class ImageError(Exception):
    """An image that cannot be read. It becomes a row of the catalog and does not stop the run."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[type[ImageError], tuple[ErrorCode, str]]:
        return type(self), (self.code, self.detail)


def check_seed(seed: int) -> None:
    """Raise UsageError for a seed that NumPy does not take."""
    if not 0 <= seed < 2**32:
        raise UsageError(f"`seed={seed}`: a seed is from 0 to {2**32 - 1}.")
