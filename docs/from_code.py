"""A Sphinx extension: the parts of the reference that are made from the code, so that they cannot differ from it.

A page asks for one with a line such as `<!-- from the code: cli -->`; `PARTS` lists them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import griffe
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"^<!-- from the code: ([a-z-]+) -->$", re.MULTILINE)

COLUMNS = {
    "image_id": "The image: its key below the root of the collection, or its address. Unique.",
    "record_id": "The record of your catalogue that it belongs to; several images may share one.",
    "uri": "Where the image is.",
    "validator": "Which version was read: `etag:...`, `mtime:TIME:SIZE`, ...; null where the source has none.",
    "status": "`ok` or `error`.",
    "error_code": "Why the image could not be read ([list](#error-codes)); null for `ok`.",
    "error_detail": "The reason in words; null for `ok`.",
    "warning": "Of an `ok` image whose file ends early: how much may be missing, at most half of its lines. Else null.",
    "warnings": "Of an `ok` image, what deserves a look ([list](#warnings)): empty where nothing does. Null for an "
    "error, and in rows that an earlier version wrote.",
    "width": "Pixels, as displayed: after the EXIF orientation.",
    "height": "Pixels, as displayed.",
    "format": "File format as decoded, for example `JPEG`.",
    "colors": "Up to five main colours in CIELAB (D65), the largest `share` first; shares sum to 1. `l` is 0 to 100; "
    "`a` green to red, `b` blue to yellow. Null for an error, and in rows that an earlier version wrote.",
    "thumbnail": "A JPEG, 128 pixels on its longer side, null for an error; absent without `--thumbnails`.",
    "embedding": "One vector of the model; null for an error.",
    "outside": "How far the image lies from what the model learned: above 1 it is [none of these](#none-of-these). "
    "Absent if the model does not tell.",
    "TASK": "The term with the highest score, or `none of these`.",
    "TASK_score": "Its calibrated score, 0 to 1; null for `none of these`, and where terms are only ranked.",
    "TASK_review": "Whether a person should check the term: the score is below the model's threshold, or null.",
    "TASK_top": "The terms with the highest scores, in descending order; `--top-k` sets how many.",
    "TASK_uri": "The identifier of the term, null if it has none; absent if no term of the task has one.",
    "model_id": "The model that made the row: a hash of its weights, preprocessing, terms and thresholds.",
    "run_id": "The run that wrote the row.",
    "metadata": "Your own columns, unchanged, as one struct; absent where you gave none.",
}
"""What each column of a catalog holds."""

ERRORS = {
    "missing": "There is no file or object under this key any more.",
    "changed": "The file or object is not the one that was scanned.",
    "denied": "The storage refuses access to this object.",
    "archived": "The object is in an archive tier and must be restored first.",
    "unreachable": "The storage or web server did not answer, after retries.",
    "empty": "The file has zero bytes.",
    "truncated": "The file ends before the image does.",
    "corrupt": "The format is known, the content is not valid.",
    "unsupported": "Not a format that artylyze reads.",
    "too_large": "More pixels to decode, or more bytes, than the limit.",
    "timeout": "Decoding took longer than the deadline and was stopped.",
    "crashed_decoder": "Decoding ended its process.",
}
"""What each error code means."""


def cli() -> str:
    """Every command with its arguments and options, from the Typer application."""
    import typer

    from artylyze.cli.app import app

    root: Any = typer.main.get_command(app)
    context = root.context_class(root, info_name="artylyze")
    return "\n".join(_command(root.get_command(context, name), context, name) for name in root.list_commands(context))


def _command(command: Any, parent: Any, name: str) -> str:
    context = type(parent)(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    summary, *paragraphs = (" ".join(text.split()) for text in (command.help or "").split("\n\n"))
    lines = [f"## {context.command_path}", "", _literal(summary), "", "```text", usage, "```", ""]
    for text in paragraphs:
        if text.startswith("Example: "):
            lines += ["Example:", "", "```bash", text.removeprefix("Example: "), "```", ""]
        else:
            lines += [_literal(text), ""]
    lines += [f":::{{program}} {context.command_path}", ":::", ""]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            declared, text = record
            lines += [f":::{{option}} {declared}", "", _literal(text), ":::", ""]
    return "\n".join(lines)


def _literal(text: str) -> str:
    """Markdown that shows the text of a help message as it is; backticks still mark code."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(piece if piece.startswith("`") else re.sub(r"([*_<>\[\]#|~])", r"\\\1", piece) for piece in pieces)


def api() -> str:
    """The names of `artylyze.__all__` with their signatures and docstrings; nothing is imported for it."""
    package = griffe.load("artylyze", search_paths=[ROOT])
    names = package.exports or []
    public = [str(name) for name in names if not str(name).startswith("__")]
    if not public:
        return "This version exports no names from `artylyze`."
    return "\n".join(["```{py:module} artylyze", "```", "", *(_entry(_target(package, name), name) for name in public)])


def _target(package: Any, name: str) -> Any:
    """The object behind an exported name, also where the package defines it in another module or loads it lazily."""
    if name in package.members:
        member = package.members[name]
        return member.final_target if member.is_alias else member
    import artylyze

    exported = getattr(artylyze, name)
    if isinstance(exported, type(artylyze)):
        path = exported.__name__
    elif hasattr(exported, "__qualname__"):
        path = f"{exported.__module__}.{exported.__qualname__}"
    else:
        raise TypeError(f"artylyze.{name} is no function, class or module: define it in artylyze/__init__.py")
    return package.modules_collection.get_member(path)


def _entry(member: Any, name: str) -> str:
    if member.is_module:
        inside = [_entry(one, f"{name}.{key}") for key, one in _public(member)]
        return "\n".join([f"## artylyze.{name}", "", _docstring(member), "", *inside])
    return "\n".join(_directive(member, name, ":::::"))


def _directive(member: Any, name: str, fence: str) -> Iterator[str]:
    if member.is_class:
        yield f"{fence}{{py:class}} {_signature(member, name)}"
    elif member.is_function:
        kind = "function" if not member.parent or not member.parent.is_class else "method"
        yield f"{fence}{{py:{kind}}} {_signature(member, name)}"
        labels = member.labels & {"async", "classmethod", "staticmethod"}
        yield from (f":{label}:" for label in sorted(labels) if kind == "method" or label == "async")
    else:
        yield f"{fence}{{py:attribute}} {name}"
        if member.annotation is not None:
            yield f":type: {member.annotation}"
    yield ""
    yield _docstring(member)
    if member.is_class:
        for key, one in _public(member):
            if one.docstring is not None:
                yield ""
                yield from _directive(one, key, fence[:-1])
    yield fence
    yield ""


def _signature(member: Any, name: str) -> str:
    """The signature on one line; a class shows that of its constructor."""
    parameters = [one for one in member.parameters if one.name not in {"self", "cls"} and not one.name.startswith("_")]
    texts: list[str] = []
    positional_only = keyword_only = False
    for one in parameters:
        kind = one.kind.name
        if positional_only and kind != "positional_only":
            texts.append("/")
        positional_only = kind == "positional_only"
        if kind == "keyword_only" and not keyword_only:
            keyword_only = True
            texts.append("*")
        if kind == "var_positional":
            keyword_only = True
        stars = {"var_positional": "*", "var_keyword": "**"}.get(kind, "")
        text = f"{stars}{one.name}" + (f": {one.annotation}" if one.annotation is not None else "")
        if one.default is not None and not stars:
            text += f" = {one.default}" if one.annotation is not None else f"={one.default}"
        texts.append(text)
    if positional_only:
        texts.append("/")
    returns = getattr(member, "returns", None)
    return " ".join(f"{name}({', '.join(texts)}){f' -> {returns}' if returns is not None else ''}".split())


def _public(member: Any) -> Iterator[tuple[str, Any]]:
    """The public members of a class or module that it defines itself, or that its `__all__` names."""
    chosen = [str(name) for name in member.exports] if member.is_module and member.exports else None
    for name, one in member.members.items():
        if (name in chosen) if chosen is not None else (not name.startswith("_") and not one.is_alias):
            target = one.final_target if one.is_alias else one
            if not target.is_module:
                yield name, target


def _docstring(member: Any) -> str:
    """A docstring in Google's style as Markdown."""
    if member.docstring is None:
        return ""
    return "\n\n".join(
        filter(None, map(_section, member.docstring.parse("google", warnings=False, returns_multiple_items=False)))
    )


def _section(section: Any) -> str:
    kind, value = section.kind.value, section.value
    if kind == "text":
        return re.sub(r"::$", ":", str(value), flags=re.MULTILINE)
    if kind == "examples":
        parts = [str(text) if part.value == "text" else f"```pycon\n{text}\n```" for part, text in value]
        return "\n\n".join(["**Example**", *parts])
    if kind == "admonition":
        text = re.sub(r"^::?$", "", str(value.contents).strip(), flags=re.MULTILINE)
        if value.kind in {"example", "examples"} and "```" not in text:
            text = f"```python\n{textwrap.dedent(text)}\n```"
        return f"**{section.title or value.kind.capitalize()}**\n\n{text}"
    if isinstance(value, list):
        title = section.title or kind.capitalize()
        return "\n".join([f"**{title}**", "", *map(_item, value)])
    return str(value)


def _item(element: Any) -> str:
    name = getattr(element, "name", "") or ""
    annotation = getattr(element, "annotation", None)
    shown = name or (f"{annotation}" if annotation is not None else "")
    text = " ".join(str(element.description).split())
    return f"- `{shown}`: {text}" if shown else f"- {text}"


def catalog() -> str:
    """The columns of a catalog, from its Arrow schema."""
    import pyarrow as pa

    from artylyze.catalog.schema import catalog_schema

    schema = catalog_schema(
        ["TASK"], pa.struct([("your_column", pa.string())]), thumbnails=True, outside=True, uris=["TASK"]
    )
    return "\n\n".join(
        f"`{field.name}` `{_type(field.type)}`{'' if field.nullable else ', never null'}\n: {COLUMNS[field.name]}"
        for field in schema
    )


def manifest() -> str:
    """The columns of a manifest, from its Arrow schema."""
    from artylyze.collection.manifest import COLUMNS as FIELDS

    rows = [(f"`{field.name}`", f"`{_type(field.type)}`", _null(field)) for field in FIELDS]
    return _table(("column", "type", "null"), [*rows, ("`metadata`", "`struct<...>`", "yes")])


def _type(arrow: Any) -> str:
    text = re.sub(r"\b(element|item): ", "", str(arrow)).replace("float", "float32").replace("double", "float64")
    return "struct<...>" if text.startswith("struct<your_column") else text


def _null(field: Any) -> str:
    return "yes" if field.nullable else "no"


def error_codes() -> str:
    """The codes of images that cannot be read."""
    from artylyze.errors import ErrorCode

    rows = [(f"`{code}`", ERRORS[str(code)], "yes" if code.is_transient else "no") for code in ErrorCode]
    return _table(("error_code", "meaning", "`--retry-failed` tries again"), rows)


def warnings() -> str:
    """The warnings about images that were read."""
    from artylyze.images.quality import WARNINGS

    return _table(("warning", "meaning"), [(f"`{name}`", f"{text}.") for name, text in WARNINGS.items()])


def exit_codes() -> str:
    """The exit codes of commands."""
    from artylyze import errors

    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ArtylyzeError)
    ]
    rows = [(str(kind.exit_code), (kind.__doc__ or "").split("\n")[0]) for kind in kinds if kind.exit_code != 1]
    return _table(
        ("exit code", "meaning"),
        [("0", "Done."), ("1", "Any other failure."), *sorted(rows, key=lambda row: int(row[0]))],
    )


def starter() -> str:
    """The card of the model that ships in the package."""
    (card,) = (ROOT / "artylyze").glob("**/starter/CARD.md")
    return re.sub(r"^# .*\n", "", card.read_text(encoding="utf-8"))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, ["---"] * len(headings), *rows])


PARTS: dict[str, Callable[[], str]] = {
    "api": api,
    "catalog": catalog,
    "cli": cli,
    "error-codes": error_codes,
    "exit-codes": exit_codes,
    "manifest": manifest,
    "starter": starter,
    "warnings": warnings,
}
"""What pages can ask for."""


def fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Put the parts that a page asks for in place of its marks."""
    source[0] = MARK.sub(lambda mark: PARTS[mark[1]](), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
