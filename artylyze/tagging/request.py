"""What the user asks of `artylyze tag`."""

from __future__ import annotations

from dataclasses import dataclass

from artylyze.collection.scan import MetadataTable, is_table
from artylyze.errors import UsageError
from artylyze.models.bundle import Bundle
from artylyze.storage import same_place
from artylyze.storage.staging import local_path
from artylyze.tables import DEFAULT_READING, Reading, check_options
from artylyze.tagging.engine import ENGINES

MOST_IN_A_SHARD = 65_536
"""Images that `--shard-size` may ask for: their embeddings must fit a list of 32-bit offsets."""


@dataclass(frozen=True)
class TagRequest:
    """What the user asks of `artylyze tag`.

    Attributes:
        source: a collection or a manifest; None only to retry what failed.
        output: address of the catalog.
        model: a bundle's folder, `timm:NAME`, `open_clip:NAME`, or None for the default.
        device: `auto`, `cpu` or `cuda`.
        engine: `local` (this machine alone), `ray`, or `auto`: Ray where RAY_ADDRESS names a cluster, as in a Ray job.
        shard_size: images in a shard, None to choose.
        top_k: terms kept for each task.
        thumbnails: keep a JPEG of each image in the catalog, 128 pixels on its longer side.
        max_error_rate: share of the images that may fail before the exit code says so, 0 to 1.
        limit: tag only that many images, None for all.
        update: tag only what is new or changed since the snapshot.
        retry_failed: tag again what failed for a reason that can pass.
        replace: make the catalog anew, whatever it holds.
        force: globs; an update tags again the images whose image_id or uri matches one.
        workers: workers that hold the model, None for one per GPU or core.
        readers: workers that fetch and decode for GPUs, None for one per core.
        separate: three stages instead of a fused one, None for what the device asks for.
        weights: file of weights for `timm:NAME`.
        deadline: seconds that one image may take to decode.
        exclude: patterns of keys, files and folders of the collection that are passed over.
        metadata: the collection's catalogue, joined as `scan` joins it; None: there is none.
        reading: how a list of addresses is to be read.
        bundle: the model itself, where it was made for this run; else None.
    """

    source: str | None
    output: str
    model: str | None = None
    device: str = "auto"
    engine: str = "auto"
    shard_size: int | None = None
    top_k: int = 5
    thumbnails: bool = False
    max_error_rate: float = 0.05
    limit: int | None = None
    update: bool = False
    retry_failed: bool = False
    replace: bool = False
    force: tuple[str, ...] = ()
    workers: int | None = None
    readers: int | None = None
    separate: bool | None = None
    weights: str | None = None
    deadline: float = 60.0
    exclude: tuple[str, ...] = ()
    metadata: MetadataTable | None = None
    reading: Reading = DEFAULT_READING
    bundle: Bundle | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            local_path(self.weights, "`weights`")
        for name in ("shard_size", "top_k", "limit", "workers", "readers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"`{name}` must be at least 1.")
        if (self.shard_size or 0) > MOST_IN_A_SHARD:
            raise UsageError(f"`shard_size` is at most {MOST_IN_A_SHARD:,}.")
        if not 0 <= self.max_error_rate <= 1:
            raise UsageError("`max_error_rate` is a share between 0 and 1.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError("`device` is one of auto, cpu, cuda.")
        if self.engine not in ENGINES:
            raise UsageError(f"`engine={self.engine!r}`: choose {', '.join(ENGINES)}.")
        self._check_together()

    def _check_together(self) -> None:
        """Raise UsageError for arguments that do not go together."""
        if self.source is None and (self.update or not self.retry_failed):
            raise UsageError("Give a `source`: a folder, an s3:// address, a table with a uri column, or a manifest.")
        if self.limit is not None and (self.update or self.retry_failed):
            raise UsageError("`limit` starts a new catalog: it goes with neither `update` nor `retry_failed`.")
        if self.metadata is not None and (self.source is None or is_table(self.source)):
            raise UsageError(
                "`metadata` is joined to a folder or a bucket of images. A list of addresses and a manifest bring "
                "their own; `artylyze scan FOLDER --metadata TABLE` makes a manifest."
            )
        listed = self.source is not None and is_table(self.source)
        given = listed or self.metadata is not None or self.bundle is not None  # the terms of that are a table, too
        check_options("`metadata=TABLE`", given, self.reading)
        if self.replace and (self.update or self.retry_failed):
            raise UsageError("`replace` makes the catalog anew: it goes with neither `update` nor `retry_failed`.")
        if self.force and not self.update:
            raise UsageError("`force` says what `update` reads again: give `update` too.")
        if self.source is not None and same_place(self.source, self.output):
            raise UsageError(
                f"`output={self.output!r}` is the collection itself: give the catalog a folder of its own."
            )

    @property
    def operation(self) -> str:
        """What a run of this request is called."""
        return (
            "update" if self.update else "retry-failed" if self.retry_failed else "replace" if self.replace else "tag"
        )
