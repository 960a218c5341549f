"""The steps from images to a report, for Python: one function for each command, with the same options."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from artylyze.api.catalog import Catalog
from artylyze.progress import Watcher, watching
from artylyze.tables import Reading

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

    from artylyze.api.model import Model

StrPath: TypeAlias = str | os.PathLike[str]
"""A path or an address; also what another step returned, or a `Catalog` or `Model`."""


@dataclass(frozen=True)
class Output:
    """What a step wrote. It is a path for the next step, and prints what the command prints.

    Attributes:
        path: Path or address of the file or folder.
        figures: What the command prints with `--json`.
        text: What the command prints without.
    """

    path: str
    figures: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Clusters(Output):
    """Clusters that `cluster` wrote.

    Attributes:
        k: Number of clusters.
    """

    k: int

    def to_arrow(self) -> pa.Table:
        """Read which image is in which cluster.

        Returns:
            A table with image_id, record_id, kmeans, distance, gmm and responsibilities; null for an algorithm that was
            not run.

        Examples:
            >>> import artylyze
            >>> clusters = artylyze.cluster("catalog", "clusters", k=3)
            >>> clusters.to_arrow().column_names[:3]
            ['image_id', 'record_id', 'kmeans']
        """
        from artylyze.clustering.store import read_clusters

        return read_clusters(self.path).assignments


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
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    progress: bool | Watcher = True,
) -> Output:
    """List the images of a collection and join your catalogue: the manifest.

    Args:
        source: A folder, `s3://`, `gs://` or `az://bucket/prefix`, or a table with a column `uri`.
        output: The manifest to write, a .parquet file.
        metadata: Your catalogue of the collection: CSV, TSV, XLSX, XLS, ODS or Parquet.
        id_column: Its column that identifies a record.
        file_column: Its column that names the image file, if that is another.
        file_separator: What stands between several file names in a cell.
        glob: Take the keys that match, whatever their extension.
        exclude: Patterns of keys, files or folders that are passed over.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        progress: True shows notes on a terminal or in a notebook, False nothing.

    Returns:
        The manifest, for `tag`.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: If there are no images, or the table cannot be used.
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

    table, target = _optional(metadata), os.fspath(output)
    with watching(progress) as watcher:
        report = collection.scan(
            os.fspath(source),
            target,
            metadata=table,
            id_column=id_column,
            file_column=file_column,
            file_separator=file_separator,
            glob=glob,
            exclude=_several(exclude),
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

    Each image becomes one row, also one that cannot be read: its row says why. If the call is interrupted, the same
    call resumes it. What a catalog holds already is not read again.

    Args:
        source: A folder, `s3://`, `gs://` or `az://bucket/prefix`, a table with a column `uri`, or a manifest; None
            only with `retry_failed`.
        output: The catalog: a folder or an address.
        model: A bundle, `timm:NAME`, or None for the model that ships with artylyze.
        weights: Weights for `timm:NAME`, a .safetensors or .pth file.
        metadata: Your catalogue of the collection, joined as by `scan`.
        id_column: Its column that identifies a record.
        file_column: Its column that names the image file, if that is another.
        file_separator: What stands between several file names in a cell.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        device: auto, cpu or cuda.
        engine: local (this machine), ray, or auto: Ray if the environment's RAY_ADDRESS names a cluster.
        workers: Workers that hold the model; None takes one per GPU, or per core.
        readers: Workers that fetch and decode for GPUs; None takes one per core.
        shard_size: Images that are committed together; None chooses by the size of the collection.
        top_k: Terms kept for each task.
        max_error_rate: Share of images, 0 to 1, that may fail before TooManyErrorsError is raised.
        limit: Tag the first images only, this many.
        exclude: Patterns of keys, files or folders that are passed over.
        update: Tag only what is new or changed since the catalog was made.
        retry_failed: Tag again what failed for a reason that can pass.
        force: With `update`: patterns of images that are read again.
        replace: Make the catalog anew, whatever it holds.
        progress: True shows a bar on a terminal or in a notebook, False nothing.

    Returns:
        The catalog.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a source or a model that cannot be used, or a catalog that would lose images.
        StorageError: If the storage refuses or does not answer.
        TooManyErrorsError: If more images failed than allowed; the catalog is complete all the same.

    Examples:
        >>> import artylyze
        >>> catalog = artylyze.tag("scans", "catalog", model="bundle")
        >>> catalog
        Catalog('catalog': 24 images, 1 error)
    """
    from artylyze.api.catalog import open_catalog
    from artylyze.collection.scan import Metadata
    from artylyze.tagging.job import judge, run
    from artylyze.tagging.request import TagRequest

    reading = Reading(encoding, sheet, skip_bad_rows)
    request = TagRequest(
        source=_optional(source),
        output=os.fspath(output),
        model=_optional(model),
        weights=_optional(weights),
        device=device,
        engine=engine,
        workers=workers,
        readers=readers,
        shard_size=shard_size,
        top_k=top_k,
        max_error_rate=max_error_rate,
        limit=limit,
        update=update,
        retry_failed=retry_failed,
        exclude=_several(exclude),
        metadata=Metadata.of(_optional(metadata), id_column, file_column, file_separator, reading),
        reading=reading,
        force=_several(force),
        replace=replace,
    )
    with watching(progress) as watcher:
        outcome = run(request, watcher)
    judge(request, outcome)
    return open_catalog(output)


def curate(
    labels: StrPath | Sequence[StrPath],
    output: StrPath,
    *,
    images: StrPath | None = None,
    tasks: str | Sequence[str] = ("genre", "style"),
    artists: StrPath | None = None,
    classes: int | None = None,
    leave_out: str | Sequence[str] = (),
    min_artists: int = 1,
    balance: str = "undersample",
    split: Sequence[float] = (0.75, 0.25),
    group: str = "artist",
    seed: int = 0,
    id_column: str | None = None,
    file_column: str | None = None,
    file_separator: str | None = None,
    label_separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    progress: bool | Watcher = True,
) -> Output:
    """Make a dataset to train on: join labels to images, choose classes, and split by artist.

    Args:
        labels: Catalogues with labels, the best first: CSV, TSV, XLSX, XLS, ODS or Parquet; may be empty if the images
            are a manifest with metadata.
        output: The dataset to write, a .parquet file.
        images: A manifest, folder, bucket or table of addresses; None makes a plan that cannot be trained on.
        tasks: Columns of the catalogues, or NAME=COLUMN; `nationality` and `period` come from `artists` too.
        artists: A table of artists (name, nationality, years): only their works are taken.
        classes: Classes that each task keeps, the best represented; None keeps all.
        leave_out: Classes that are not kept, as TASK=TERM.
        min_artists: Keep classes by this many artists at least.
        balance: undersample: no class has more images than the least; none: as they are.
        split: Shares of train and test.
        group: artist: no artist is on both sides; none: at random.
        seed: Of every random choice.
        id_column: Column that identifies a record; None finds it.
        file_column: Column that names the image file, if another.
        file_separator: What stands between several file names in a cell.
        label_separator: What stands between several terms in a cell; the first known one counts.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The dataset, for `train`, `tune` and `evaluate`.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a table that cannot be used, or labels that match no image.

    Examples:
        >>> import artylyze
        >>> dataset = artylyze.curate("objects.csv", "dataset.parquet", images="scans", balance="none")
        >>> sorted(dataset.figures["tasks"])
        ['genre', 'style']
    """
    from artylyze.datasets.account import describe
    from artylyze.datasets.classes import name_tasks
    from artylyze.datasets.curate import CurateRequest, parse_left_out
    from artylyze.datasets.curate import curate as run

    named = name_tasks(_names(tasks))
    request = CurateRequest(
        labels=_addresses(labels),
        images=_optional(images),
        output=os.fspath(output),
        tasks=tuple(named),
        task_columns=tuple(named.items()),
        artists=_optional(artists),
        classes=classes,
        leave_out=parse_left_out(_several(leave_out)),
        min_artists=min_artists,
        balance=balance,
        split=tuple(split),
        group=group,
        seed=seed,
        id_column=id_column,
        file_column=file_column,
        file_separator=file_separator,
        label_separator=label_separator,
        reading=Reading(encoding, sheet, skip_bad_rows),
    )
    with watching(progress) as watcher:
        account = run(request, watcher).account
    return Output(request.output, account.as_dict(), describe(account))


def train(
    dataset: StrPath,
    output: StrPath,
    *,
    tasks: str | Sequence[str] | None = None,
    backbone: str | None = None,
    weights: StrPath | None = None,
    mode: Literal["frozen", "finetune"] = "frozen",
    lr: float | None = None,
    epochs: int | None = None,
    batch_size: int = 32,
    image_size: int | None = None,
    taps: Sequence[int] = (),
    label_smoothing: float = 0.0,
    init_from: StrPath | None = None,
    workers: int = 1,
    device: str = "auto",
    precision: float = 0.85,
    seed: int = 0,
    progress: bool | Watcher = True,
) -> Model:
    """Train a model and write its bundle.

    Args:
        dataset: What `curate` wrote.
        output: The bundle: a folder or an address, not there yet.
        tasks: Which of the dataset's tasks to learn; None learns all.
        backbone: A timm model, or cnn3; None is EfficientNet-Lite0, which needs no network.
        weights: Weights of the backbone: a .safetensors or .pth file.
        mode: frozen: only heads learn, on features computed once. finetune: everything learns.
        lr: Learning rate; None chooses by mode.
        epochs: Times that every image is seen; None chooses by mode.
        batch_size: Images for each step.
        image_size: Pixels a side; None is 180 for finetune and the backbone's own for frozen.
        taps: Numbers of the backbone's stages whose channel statistics join the features.
        label_smoothing: Share of each label, 0 to below 1, that is spread over all classes.
        init_from: A bundle whose backbone is the beginning.
        workers: Processes that fine-tune together.
        device: auto, cpu or cuda.
        precision: Precision, above 0 and at most 1, of what is not flagged for review.
        seed: Of every random choice.
        progress: True shows a bar on a terminal or in a notebook, False nothing.

    Returns:
        The model. Its `metrics` say how good it is.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a dataset, weights or images that cannot be used.

    Examples:
        >>> import artylyze
        >>> model = artylyze.train("dataset.parquet", "my-bundle", tasks=["genre"], epochs=2)
        >>> model
        Model('my-bundle': genre)
        >>> "accuracy" in model.metrics["genre"]["held_out"]
        True
    """
    from artylyze.api.model import Model
    from artylyze.training.request import TrainRequest
    from artylyze.training.train import train as run

    request = TrainRequest(
        dataset=os.fspath(dataset),
        output=os.fspath(output),
        tasks=None if tasks is None else _names(tasks),
        backbone=backbone,
        weights=_optional(weights),
        mode=mode,
        lr=lr,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        init_from=_optional(init_from),
        workers=workers,
        device=device,
        precision_target=precision,
        taps=tuple(taps),
        label_smoothing=label_smoothing,
        seed=seed,
    )
    with watching(progress) as watcher:
        trained = run(request, watcher)
    return Model(trained.bundle, request.output, device=device)


def tune(
    dataset: StrPath,
    output: StrPath,
    *,
    lr: Sequence[float] | None = None,
    lr_range: tuple[float, float] | None = None,
    trials: int | None = None,
    tasks: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] = (),
    weights: Mapping[str, StrPath] | None = None,
    mode: Literal["frozen", "finetune"] = "frozen",
    scheduler: Literal["asha", "none"] | None = None,
    epochs: int | None = None,
    batch_size: int = 32,
    image_size: int | None = None,
    taps: Sequence[int] = (),
    workers: int = 1,
    device: str = "auto",
    precision: float = 0.85,
    seed: int = 0,
    progress: bool | Watcher = True,
) -> Output:
    """Sweep learning rates and backbones, and keep the best model.

    A sweep that was interrupted goes on when the same call is made again.

    Args:
        dataset: What `curate` wrote.
        output: Where table, plot and the bundle `best` go: a folder or an address.
        lr: Learning rates to try.
        lr_range: Lowest and highest rate, of which `trials` are drawn.
        trials: Learning rates drawn from `lr_range`.
        tasks: Which of the dataset's tasks to learn; None learns all.
        backbone: timm models, or cnn3; none is EfficientNet-Lite0, which needs no network.
        weights: Backbone -> file of its weights, or `random`.
        mode: frozen: all rates in one pass. finetune: a trial for each.
        scheduler: asha stops bad trials early, none does not; None is asha for finetune.
        epochs: Times that every image is seen; None chooses by mode.
        batch_size: Images for each step.
        image_size: Pixels a side; None is 180 for finetune and the backbone's own for frozen.
        taps: Numbers of the backbones' stages whose channel statistics join the features.
        workers: Processes that fine-tune together, in each trial.
        device: auto, cpu or cuda.
        precision: Precision, above 0 and at most 1, of what is not flagged for review.
        seed: Of every random choice.
        progress: True shows a bar on a terminal or in a notebook, False nothing.

    Returns:
        The sweep: `figures["rows"]` has a row for each backbone and learning rate, the best first.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a dataset or weights that cannot be used, or if no trial succeeded.

    Examples:
        >>> import artylyze
        >>> sweep = artylyze.tune("dataset.parquet", "sweep", lr=[1e-3, 5e-3], epochs=2)
        >>> [row["rank"] for row in sweep.figures["rows"]]
        [1, 2]
        >>> best = artylyze.load_model("sweep/best")
    """
    from artylyze.tuning.leaderboard import describe, table_of
    from artylyze.tuning.sweep import TuneRequest
    from artylyze.tuning.tune import tune as run

    request = TuneRequest(
        dataset=os.fspath(dataset),
        output=os.fspath(output),
        rates=None if lr is None else tuple(lr),
        rate_range=lr_range,
        trials=trials,
        tasks=None if tasks is None else _names(tasks),
        backbones=_names(backbone),
        weights={name: os.fspath(file) for name, file in (weights or {}).items()},
        mode=mode,
        scheduler=scheduler,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        taps=tuple(taps),
        workers=workers,
        device=device,
        precision_target=precision,
        seed=seed,
    )
    with watching(progress) as watcher:
        board = run(request, watcher)
    page = _page()
    page.print(table_of(board))
    for line in describe(board, request.output):
        page.print(line)
    figures = {"output": request.output, "rows": [row.as_dict() for row in board.rows]}
    return Output(request.output, figures, _printed(page))


def evaluate(
    bundle: StrPath,
    source: StrPath,
    output: StrPath,
    *,
    labels: StrPath | Sequence[StrPath] = (),
    id_column: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    tasks: str | Sequence[str] | None = None,
    folds: int = 4,
    device: str = "auto",
    progress: bool | Watcher = True,
) -> Output:
    """Evaluate a model on labelled images: figures, plots and contact sheets.

    Args:
        bundle: The model: a folder or an address.
        source: A dataset (what `curate` wrote), or a catalog that the model made.
        output: Where all of it goes: a folder or an address.
        labels: Tables that label a catalog's images; none takes its own metadata.
        id_column: The column of `labels` that identifies a record.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        tasks: Which tasks; None takes all.
        folds: Parts in which heads on frozen features are fitted again; 0 for none.
        device: auto, cpu or cuda.
        progress: True shows a bar on a terminal or in a notebook, False nothing.

    Returns:
        The evaluation: `figures["tasks"]["genre"]["accuracy"]` and many more.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a model or a source that cannot be used, or that have no task in common.

    Examples:
        >>> import artylyze
        >>> evaluation = artylyze.evaluate("bundle", "dataset.parquet", "evaluation", folds=0)
        >>> 0 <= evaluation.figures["tasks"]["genre"]["accuracy"] <= 1
        True
    """
    from artylyze.evaluation.evaluate import EvaluateRequest
    from artylyze.evaluation.evaluate import evaluate as run
    from artylyze.evaluation.figures import show, write_report

    request = EvaluateRequest(
        bundle=os.fspath(bundle),
        source=os.fspath(source),
        output=os.fspath(output),
        labels=_addresses(labels),
        tasks=None if tasks is None else _names(tasks),
        folds=folds,
        device=device,
        id_column=id_column,
        reading=Reading(encoding, sheet, skip_bad_rows),
    )
    with watching(progress) as watcher:
        found = run(request, watcher)
        files = write_report(found, request.output, watcher)
    page = _page()
    show(found, request.output, files, page)
    figures = {"output": request.output, "files": files, **found.as_dict()}
    return Output(request.output, figures, _printed(page))


def features(
    source: StrPath,
    output: StrPath,
    *,
    method: str = "embedding",
    variance: float = 0.95,
    image_size: int = 180,
    weights: StrPath | None = None,
    random_weights: bool = False,
    transform: StrPath | None = None,
    seed: int = 0,
    progress: bool | Watcher = True,
) -> Output:
    """Compute features of images to cluster by.

    Args:
        source: A catalog, a manifest, or a folder, bucket or table of images.
        output: The features file to write, .parquet.
        method: pca or kernel_pca of pixels, embedding, or timm:NAME.
        variance: Share of the variance, above 0 and at most 1, that PCA and kernel PCA keep.
        image_size: Pixels a side for PCA and kernel PCA.
        weights: Weights for timm:NAME: a .safetensors or .pth file.
        random_weights: Let timm:NAME go untrained; labelled so, never ranked.
        transform: Apply this fitted transform (.transform.safetensors) in place of fitting one.
        seed: Of every random choice.
        progress: True shows a bar on a terminal or in a notebook, False nothing.

    Returns:
        The features file, for `cluster`.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a source, weights or a transform that cannot be used.

    Examples:
        >>> import artylyze
        >>> pca = artylyze.features("catalog", "pca.parquet", method="pca", image_size=32)
        >>> pca.figures["rows"]
        23
    """
    from artylyze.extraction.features import FeaturesRequest
    from artylyze.extraction.features import features as run
    from artylyze.extraction.vectors import in_words

    request = FeaturesRequest(
        source=os.fspath(source),
        output=os.fspath(output),
        method=method,
        variance=variance,
        image_size=image_size,
        weights=_optional(weights),
        random_weights=random_weights,
        transform=_optional(transform),
        seed=seed,
    )
    with watching(progress) as watcher:
        found = run(request, watcher)
    text = f"{found['rows']:,} images with {found['dim']:,} features ({method}): {request.output}"
    if found["left_out"]:
        text += f"\nLeft out: {in_words(found['left_out'])}"
    return Output(request.output, found, text)


def cluster(
    source: StrPath,
    output: StrPath,
    *,
    algorithm: str | Sequence[str] = ("kmeans", "gmm"),
    k: int | Literal["auto"] | None = None,
    k_range: tuple[int, int] = (5, 60),
    covariance: Literal["diag", "full", "tied"] = "diag",
    variance: float = 0.95,
    components: int = 32,
    device: str = "auto",
    seed: int = 0,
    sample: int | None = None,
    assign: StrPath | None = None,
    progress: bool | Watcher = True,
) -> Clusters:
    """Group works that look alike, and describe each group if the catalog is there.

    Args:
        source: A catalog, or a features file.
        output: Where the clusters go: a folder or an address.
        algorithm: kmeans, gmm, or both.
        k: Number of clusters; auto: the elbow of inertia over `k_range`; None: 25, or what fits.
        k_range: Lowest and highest k that auto tries.
        covariance: Of the mixture: diag, full or tied.
        variance: Share of the variance, above 0 and at most 1, that the mixture's components keep.
        components: Principal components that the mixture works on, at most.
        device: auto, cpu or cuda.
        seed: Of every random choice: same seed, same result.
        sample: Fit on this many rows, drawn at random, and assign all: for more than memory.
        assign: Give the images the clusters of this folder, without fitting.
        progress: True shows a bar on a terminal or in a notebook, False nothing.

    Returns:
        The clusters, for `profiles`, `influences` and `report`.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a source that cannot be clustered.

    Examples:
        >>> import artylyze
        >>> clusters = artylyze.cluster("catalog", "clusters", k=3)
        >>> clusters.k
        3
    """
    from artylyze.clustering.assign import assign as assign_images
    from artylyze.clustering.assign import describe as describe_assigned
    from artylyze.clustering.cluster import cluster as run
    from artylyze.clustering.cluster import describe
    from artylyze.clustering.request import DEFAULT_K, ClusterRequest
    from artylyze.profiling.profile_files import profile_if_there

    request = ClusterRequest(
        source=os.fspath(source),
        output=os.fspath(output),
        algorithms=_names(algorithm),
        k=None if k == "auto" else DEFAULT_K if k is None else k,
        k_range=k_range,
        covariance=covariance,
        variance=variance,
        components=components,
        device=device,
        seed=seed,
        sample=sample,
        few_rows=k is None,
    )
    with watching(progress) as watcher:
        if assign is not None:
            fitted = os.fspath(assign)
            request.check_assigns()
            done = assign_images(fitted, request.source, request.output, watcher)
            figures = {"clusters": request.output, **done}
            return Clusters(request.output, figures, describe_assigned(done, request.output), _number(request.output))
        found = run(request, watcher)
        profile_if_there(found, watcher)
    figures = {"clusters": request.output, **found.run, "scores": found.scores}
    return Clusters(request.output, figures, describe(found), found.scores["chosen"])


def profiles(
    clusters: StrPath,
    *,
    catalog: StrPath | None = None,
    labels: StrPath | Sequence[StrPath] = (),
    id_column: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    artists: StrPath | None = None,
    algorithm: Literal["kmeans", "gmm"] | None = None,
    columns: str | Sequence[str] = (),
    progress: bool | Watcher = True,
) -> Output:
    """Describe what each cluster holds: its terms and their lift, its typical and marginal works.

    Args:
        clusters: What `cluster` wrote.
        catalog: The catalog that was clustered; None takes the one that the clusters name.
        labels: Tables that say more of the images.
        id_column: The column of `labels` that identifies a record.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        artists: A table of artists: name, nationality, years.
        algorithm: kmeans or gmm; None is kmeans if it was run.
        columns: Columns to describe; none takes all that are categorical.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The folder of the profiles: `figures["profiles"]` has one for each cluster.

    Raises:
        UsageError: If no catalog is known, the algorithm was not run, or there is no such column.
        InputError: For clusters, a catalog or a table that cannot be used.

    Examples:
        >>> import artylyze
        >>> found = artylyze.profiles("clusters", columns=["genre"])
        >>> len(found.figures["profiles"])
        3
    """
    from artylyze.profiling.profile_files import describe, write_profiles
    from artylyze.profiling.profiling import make_profiles

    with watching(progress) as watcher:
        found = make_profiles(
            os.fspath(clusters),
            _optional(catalog),
            _addresses(labels),
            _optional(artists),
            algorithm,
            _names(columns),
            id_column,
            Reading(encoding, sheet, skip_bad_rows),
        )
        for note in found.works.notes:
            watcher.say(note)
        files = write_profiles(found, watcher)
    where = f"{found.clusters.folder.rstrip('/')}/profiles/{found.algorithm}"
    return Output(where, {"files": files, **found.as_dict()}, describe(found, files))


def influences(
    clusters: StrPath,
    record_id: str,
    output: StrPath | None = None,
    *,
    threshold: float = 0.05,
    catalog: StrPath | None = None,
    labels: StrPath | Sequence[StrPath] = (),
    id_column: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    artists: StrPath | None = None,
    columns: str | Sequence[str] = (),
    progress: bool | Watcher = True,
) -> Output:
    """Show which clusters influence a painting, and which pictures are perhaps the same work photographed twice.

    Args:
        clusters: What `cluster` wrote, with a mixture.
        record_id: Of the painting: a record's or an image's id.
        output: Where picture and JSON go; None is CLUSTERS/influences.
        threshold: Responsibility, 0 to 1, from which a cluster is an influence.
        catalog: The catalog that was clustered; None takes the one that the clusters name.
        labels: Tables that say more of the images.
        id_column: The column of `labels` that identifies a record.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        artists: A table of artists: name, nationality, years.
        columns: Columns to describe; none takes all that are categorical.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The folder: `figures["influences"]` has the clusters with their responsibilities, the strongest first.

    Raises:
        UsageError: If the clusters have no mixture, or the threshold is not a share.
        InputError: If no clustered image is of this record.

    Examples:
        >>> import artylyze
        >>> found = artylyze.influences("clusters", "000")
        >>> shares = [one["responsibility"] for one in found.figures["influences"]]
        >>> shares == sorted(shares, reverse=True)
        True
    """
    from artylyze.clustering.store import read_clusters
    from artylyze.profiling.influence_files import write_influences
    from artylyze.profiling.influences import check, describe
    from artylyze.profiling.influences import influences as run
    from artylyze.profiling.works import read_works
    from artylyze.storage import check_output

    folder = os.fspath(clusters)
    where = f"{folder.rstrip('/')}/influences" if output is None else os.fspath(output)
    check_output(where)
    with watching(progress) as watcher:
        stored = read_clusters(folder, responsibilities=False)
        check(stored, threshold)
        watcher.say(f"Joining the works of {folder} to what is said of them")
        reading = Reading(encoding, sheet, skip_bad_rows)
        works = read_works(
            stored, _optional(catalog), _addresses(labels), _optional(artists), _names(columns), id_column, reading
        )
        for note in works.notes:
            watcher.say(note)
        found = run(stored, works, record_id, threshold)
        files = write_influences(found, where)
    text = f"{describe(found)}\nWrote {' and '.join(files)} to {where}."
    return Output(where, {"output": where, "files": files, **found.as_dict()}, text)


def report(
    catalog: StrPath,
    output: StrPath = "report.html",
    *,
    clusters: StrPath | None = None,
    model: StrPath | None = None,
    evaluation: StrPath | None = None,
    labels: StrPath | Sequence[StrPath] = (),
    id_column: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    artists: StrPath | None = None,
    columns: str | Sequence[str] = (),
    record: str | None = None,
    progress: bool | Watcher = True,
) -> Output:
    """Write one HTML page to share: works, tags, failures, review queue, model, clusters and an influence.

    Args:
        catalog: The catalog.
        output: The page to write, an .html file.
        clusters: What `cluster` wrote.
        model: The model that made the catalog.
        evaluation: What `evaluate` wrote.
        labels: Tables that say more of the images.
        id_column: The column of `labels` that identifies a record.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        artists: A table of artists: name, nationality, years.
        columns: Columns to describe; none takes all that are categorical.
        record: The record whose influences are shown; None takes the most mixed.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The page.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a catalog, clusters, a model or an evaluation that cannot be used.

    Examples:
        >>> import artylyze
        >>> page = artylyze.report("catalog", "report.html", clusters="clusters")
        >>> page.path
        'report.html'
    """
    from artylyze.reporting.page import ReportRequest, write_report

    request = ReportRequest(
        catalog=os.fspath(catalog),
        output=os.fspath(output),
        clusters=_optional(clusters),
        bundle=_optional(model),
        evaluation=_optional(evaluation),
        labels=_addresses(labels),
        artists=_optional(artists),
        columns=_names(columns),
        record=record,
        id_column=id_column,
        reading=Reading(encoding, sheet, skip_bad_rows),
    )
    with watching(progress) as watcher:
        size = write_report(request, watcher)
    text = f"Wrote {request.output} ({size / 2**20:.1f} MiB): one file, to be opened in any browser or sent on."
    return Output(request.output, {"report": request.output, "bytes": size}, text)


def _optional(address: StrPath | None) -> str | None:
    return None if address is None else os.fspath(address)


def _addresses(given: StrPath | Iterable[StrPath]) -> tuple[str, ...]:
    """One address or several."""
    return (os.fspath(given),) if isinstance(given, str | os.PathLike) else tuple(os.fspath(one) for one in given)


def _several(given: str | Iterable[str]) -> tuple[str, ...]:
    """One text or several."""
    return (given,) if isinstance(given, str) else tuple(given)


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Names, in one text with commas as on a command line, or each by itself."""
    return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else tuple(given)


def _number(clusters: str) -> int:
    """The number of clusters that were fitted."""
    from artylyze.clustering.store import read_clusters

    return int(read_clusters(clusters, assignments=False).scores["chosen"])


def _page() -> Console:
    """A console that keeps what is printed."""
    from rich.console import Console

    return Console(file=io.StringIO(), width=120, highlight=False, markup=False, soft_wrap=True)


def _printed(page: Console) -> str:
    return cast("io.StringIO", page.file).getvalue().rstrip("\n")
