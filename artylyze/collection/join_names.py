"""SQL for the names by which tables and files call an image, made comparable."""

from __future__ import annotations

from artylyze.images import IMAGE_EXTENSIONS
from artylyze.tables import literal, stripped

# Files whose image may have been delivered in another format.
_SOURCES = ("psd", "psb", "dng", "cr2", "cr3", "nef", "arw", "raf", "orf", "rw2", "raw", "heic", "pdf", "eps", "svg")
_EXTENSION = r"\.(" + "|".join([*sorted(extension.lstrip(".") for extension in IMAGE_EXTENSIONS), *_SOURCES]) + ")$"


def record_of(text: str) -> str:
    """Return SQL for a value without spaces around it, its letters composed; null if nothing is left."""
    return f"nfc_normalize({stripped(text)})"


def path_of(raw: str) -> str:
    """Return SQL for a value as a path: forward slashes, no scheme, drive, query, or `./` before it."""
    plain = f"replace(replace(replace({without_scheme(raw)}, chr(92), '/'), '/./', '/'), '//', '/')"
    return rf"regexp_replace(regexp_replace({plain}, '^[A-Za-z]:(/|$)', ''), '^(\.{{0,2}}/)+', '')"


def without_scheme(text: str) -> str:
    """Return SQL for an address without `scheme://`, and without its query if it is a web address."""
    return (
        f"CASE WHEN contains({text}, '://') THEN regexp_replace(regexp_replace({text}, "
        r"'^(https?://[^?#]*)[?#].*$', '\1', 'i'), '^[A-Za-z][A-Za-z0-9+.-]+://', '') "
        f"ELSE {text} END"
    )


def folded(text: str) -> str:
    """Return SQL for a path in which letter case, percent encoding and spaces around it do not matter."""
    decoded = f"CASE WHEN contains({text}, '%') THEN coalesce(try(url_decode({text})), {text}) ELSE {text} END"
    return f"lower(nfc_normalize(trim({decoded})))"


def stem_of(path: str) -> str:
    """Return SQL for a path without its extension; a name that begins with its only dot has none."""
    return f"regexp_replace({path}, '([^/])\\.[^./]+$', '\\1')"


def known_stem_of(path: str) -> str:
    """Return SQL for a path without the extension of an image: 1999.12 has none."""
    return f"regexp_replace({path}, {literal(_EXTENSION)}, '', 'i')"
