"""From images to a catalog."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from artylyze.api.arguments import Output, StrPath, optional, several
from artylyze.api.catalog import Catalog, open_catalog
from artylyze.errors import UsageError
from artylyze.progress import Watcher, watching
from artylyze.tables import Reading

if TYPE_CHECKING:
    from artylyze.models.bundle import Bundle


def scan(
    source: StrPath,
    output: StrPath,
    *,
    metadata: StrPath | None = None,
    id_column: str | None = None,
    file_column: str | None = None,
    file_separator: str | None = None,
    glob: str | None = None,
    exclude: str | Sequence[str] = (),
    pages: bool = False,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    progress: bool | Watcher = True,
) -> Output:
    """List the images of a collection, join your catalogue, and write the manifest.

    Args:
        source: A folder, `s3://`, `gs://` or `az://bucket/prefix`, or a table with a column `uri`.
        output: The manifest to write, a .parquet file.
        metadata: Your catalogue of the collection: CSV, TSV, XLSX, XLS, ODS or Parquet.
        id_column: Its column that identifies a record.
        file_column: Its column that names the image file, if different.
        file_separator: Separator between several file names in a cell.
        glob: Take all keys that match, whatever their extension.
        exclude: Patterns of keys, files or folders to skip.
        pages: Make a row for each page of a TIFF or PDF, `image_id#page=3`. Reads every TIFF and PDF once.
        encoding: Encoding of CSV tables; None detects it.
        sheet: Sheet of a spreadsheet; None takes the first with a table.
        skip_bad_rows: Skip and count unreadable rows, instead of refusing the table.
        progress: Whether to show messages on a terminal or in a notebook.

    Returns:
        The manifest, for `tag`.

    Raises:
        UsageError: For arguments that do not fit together.
        InputError: If there are no images, or the table is invalid.
        StorageError: If the storage refuses or does not answer.

    Examples:
        >>> import artylyze
        >>> manifest = artylyze.scan(
        ...     "scans", "manifest.parquet", metadata="objects.csv", id_column="number", file_column="file"
        ... )
        >>> manifest.figures["images"], manifest.figures["without_metadata"]
        (24, 0)
    """
    from artylyze.collection import scan as collection

    table, target = optional(metadata), os.fspath(output)
    with watching(progress) as watcher:
        report = collection.scan(
            os.fspath(source),
            target,
            metadata=table,
            id_column=id_column,
            file_column=file_column,
            file_separator=file_separator,
            glob=glob,
            exclude=several(exclude),
            pages=pages,
            reading=Reading(encoding, sheet, skip_bad_rows),
        )
        for note in report.notes:
            watcher.say(note)
    text = f"{collection.describe(report, table)}\nManifest: {target}"
    return Output(target, asdict(report) | {"manifest": target}, text)


def tag(
    source: StrPath | None,
    output: StrPath,
    *,
    model: StrPath | None = None,
    weights: StrPath | None = None,
    terms: StrPath | None = None,
    prompt: str | Sequence[str] = (),
    calibrate_on: StrPath | None = None,
    metadata: StrPath | None = None,
    id_column: str | None = None,
    file_column: str | None = None,
    file_separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    device: str = "auto",
    engine: str = "auto",
    workers: int | None = None,
    readers: int | None = None,
    shard_size: int | None = None,
    top_k: int = 5,
    thumbnails: bool = False,
    max_error_rate: float = 0.05,
    limit: int | None = None,
    exclude: str | Sequence[str] = (),
    update: bool = False,
    retry_failed: bool = False,
    force: str | Sequence[str] = (),
    replace: bool = False,
    progress: bool | Watcher = True,
) -> Catalog:
    """Tag every image of a collection and write the catalog.

    Each image becomes one row; an image that cannot be read gets a row with the reason. The same call resumes an
    interrupted one. Images that the catalog has already are not read again.

    Args:
        source: A folder, `s3://`, `gs://` or `az://bucket/prefix`, a table with a column `uri`, or a manifest; None
            only with `retry_failed`.
        output: The catalog: a folder or an address.
        model: A bundle, `timm:NAME`, `open_clip:NAME` (or a folder), or None for the model that ships with artylyze.
        weights: Weights for `timm:NAME`, a .safetensors or .pth file.
        terms: With `open_clip:NAME`: a table of terms to tag with, in a column `term`; columns `task`, `uri` and
            `prompt` may follow. Without `calibrate_on` they are ranked: nothing has a score, and all is for review.
        prompt: Texts in which a term is compared with images, with {} in its place; several are averaged.
        calibrate_on: A dataset of `curate` with labels that are such terms, on which their scores are calibrated.
        metadata: Your catalogue of the collection, joined as by `scan`.
        id_column: Its column that identifies a record.
        file_column: Its column that names the image file, if different.
        file_separator: Separator between several file names in a cell.
        encoding: Encoding of CSV tables; None detects it.
        sheet: Sheet of a spreadsheet; None takes the first with a table.
        skip_bad_rows: Skip and count unreadable rows, instead of refusing the table.
        device: auto, cpu or cuda.
        engine: local (this machine), ray, or auto: Ray if the environment's RAY_ADDRESS names a cluster.
        workers: Workers that run the model; None takes one per GPU, or per core.
        readers: Workers that fetch and decode for GPUs; None takes one per core.
        shard_size: Images committed together; None chooses by the size of the collection.
        top_k: Terms kept for each task.
        thumbnails: Keep a JPEG of each image in the catalog, 128 pixels on its longer side.
        max_error_rate: Share of images, 0 to 1, that may fail before TooManyErrorsError is raised.
        limit: Number of images to tag, from the first.
        exclude: Patterns of keys, files or folders to skip.
        update: Tag only images that are new or changed since the last run.
        retry_failed: Tag images again that failed with a transient error.
        force: With `update`: patterns of images to read again.
        replace: Rebuild the catalog from scratch.
        progress: Whether to show a bar on a terminal or in a notebook.

    Returns:
        The catalog.

    Raises:
        UsageError: For arguments that do not fit together.
        InputError: For an invalid source or model, or a catalog that would lose images.
        StorageError: If the storage refuses or does not answer.
        TooManyErrorsError: If more images failed than allowed; the catalog is complete nevertheless.

    Examples:
        >>> import artylyze
        >>> catalog = artylyze.tag("scans", "catalog", model="bundle")
        >>> catalog
        Catalog('catalog': 24 images, 1 error)
    """
    from artylyze.collection.scan import MetadataTable
    from artylyze.tagging.job import check_error_rate, run
    from artylyze.tagging.request import TagRequest

    reading = Reading(encoding, sheet, skip_bad_rows)
    with watching(progress) as watcher:
        request = TagRequest(
            source=optional(source),
            output=os.fspath(output),
            model=optional(model),
            weights=optional(weights),
            device=device,
            engine=engine,
            workers=workers,
            readers=readers,
            shard_size=shard_size,
            top_k=top_k,
            thumbnails=thumbnails,
            max_error_rate=max_error_rate,
            limit=limit,
            update=update,
            retry_failed=retry_failed,
            exclude=several(exclude),
            metadata=MetadataTable.from_options(optional(metadata), id_column, file_column, file_separator, reading),
            reading=reading,
            force=several(force),
            replace=replace,
            bundle=vocabulary(
                optional(model), optional(terms), several(prompt), optional(calibrate_on), reading, device, watcher
            ),
        )
        outcome = run(request, watcher)
    check_error_rate(request, outcome)
    return open_catalog(output)


def vocabulary(
    model: str | None,
    terms: str | None,
    prompts: Sequence[str],
    calibrate_on: str | None,
    reading: Reading,
    device: str,
    watcher: Watcher,
) -> Bundle | None:
    """Return the model that compares images with a table of terms; None if there is no table. For `tag`."""
    if terms is None:
        if prompts or calibrate_on is not None:
            raise UsageError("`prompt` and `calibrate_on` are for the terms of a table: give `terms` too.")
        return None
    from artylyze.training.vocabulary import open_vocabulary

    return open_vocabulary(
        model, terms, watcher, prompts=prompts, calibrate_on=calibrate_on, reading=reading, device=device
    )
