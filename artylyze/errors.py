"""What can go wrong: mistakes a user can mend (exit codes), and images that cannot be read (rows)."""

from __future__ import annotations

from enum import StrEnum


class ArtylyzeError(Exception):
    """A failure whose message tells the user what happened and what to do next; printed without a traceback."""

    exit_code = 1


class UsageError(ArtylyzeError):
    """Arguments that do not go together."""

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
    """The run was stopped before its end; the same command goes on with it, or begins anew."""

    exit_code = 130


class ErrorCode(StrEnum):
    """Why an image has no embedding: the `error_code` of its catalog row."""

    MISSING = "missing"  # no object under this key any more
    CHANGED = "changed"  # the object is not the one that was scanned
    DENIED = "denied"  # the storage refuses this object to us
    ARCHIVED = "archived"  # the object lies in an archive tier and must be restored first
    UNREACHABLE = "unreachable"  # the storage did not answer, after retries
    EMPTY = "empty"  # zero bytes
    TRUNCATED = "truncated"  # the file ends before the image does
    CORRUPT = "corrupt"  # the format is known, the content is not valid
    UNSUPPORTED = "unsupported"  # not a format that we read
    TOO_LARGE = "too_large"  # more pixels to decode, or more bytes, than the limit
    TIMEOUT = "timeout"  # decoding took longer than the deadline and was killed
    CRASHED_DECODER = "crashed_decoder"  # decoding killed its process

    @property
    def passes_with_time(self) -> bool:
        """Whether a later try can succeed on the same object: what `--retry-failed` tags again."""
        return self in _PASSING


_PASSING = frozenset(
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
    """One image that cannot be read. It becomes a row of the catalog and stops nothing."""

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
