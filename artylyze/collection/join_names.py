"""SQL that makes the names of images in tables and paths comparable."""

from __future__ import annotations

from artylyze.images import IMAGE_EXTENSIONS
from artylyze.tables import literal, stripped

# Formats of files whose image may be delivered in another format.
_SOURCES = ("psd", "psb", "dng", "cr2", "cr3", "nef", "arw", "raf", "orf", "rw2", "raw", "heic", "pdf", "eps", "svg")
_EXTENSION = r"\.(" + "|".join([*sorted(extension.lstrip(".") for extension in IMAGE_EXTENSIONS), *_SOURCES]) + ")$"


def sql_record(text: str) -> str:
    """Return SQL for a value without surrounding spaces, in NFC; null if it is empty."""
    return f"nfc_normalize({stripped(text)})"


def sql_path(raw: str) -> str:
    """Return SQL for a value as a path: forward slashes, no scheme, drive, query, or `./` before it."""
    plain = f"replace(replace(replace({sql_without_scheme(raw)}, chr(92), '/'), '/./', '/'), '//', '/')"
    return rf"regexp_replace(regexp_replace({plain}, '^[A-Za-z]:(/|$)', ''), '^(\.{{0,2}}/)+', '')"


def sql_without_scheme(text: str) -> str:
    """Return SQL for an address without `scheme://`, and without its query if it is a web address."""
    return (
        f"CASE WHEN contains({text}, '://') THEN regexp_replace(regexp_replace({text}, "
        r"'^(https?://[^?#]*)[?#].*$', '\1', 'i'), '^[A-Za-z][A-Za-z0-9+.-]+://', '') "
        f"ELSE {text} END"
    )


def folded(text: str) -> str:
    """Return SQL for a path without differences of letter case, percent encoding and surrounding spaces."""
    decoded = f"CASE WHEN contains({text}, '%') THEN coalesce(try(url_decode({text})), {text}) ELSE {text} END"
    return f"lower(nfc_normalize(trim({decoded})))"


def sql_stem(path: str) -> str:
    """Return SQL for a path without its extension; a name whose only dot is its first character has none."""
    return f"regexp_replace({path}, '([^/])\\.[^./]+$', '\\1')"


def sql_image_stem(path: str) -> str:
    """Return SQL for a path without the extension of an image file: 1999.12 has none."""
    return f"regexp_replace({path}, {literal(_EXTENSION)}, '', 'i')"
