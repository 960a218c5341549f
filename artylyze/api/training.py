"""From labels to a model, and how good it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from artylyze.api.arguments import Output, StrPath, addresses, names, optional, several
from artylyze.drawing.table import rendered
from artylyze.progress import Watcher, watching
from artylyze.tables import Reading

if TYPE_CHECKING:
    from artylyze.api.model import Model


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
    balance: str = "none",
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
        balance: none: classes as they are; undersample: no class has more images than the least.
        split: Shares of train and test.
        group: artist: no artist is on both sides of the split; artist,source: nor is a source of photographs (column
            `source`), and works by artists on the test side are left out of training; none: at random.
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
        >>> dataset = artylyze.curate("objects.csv", "dataset.parquet", images="scans")
        >>> sorted(dataset.figures["tasks"])
        ['genre', 'style']
    """
    from artylyze.datasets.account import describe
    from artylyze.datasets.classes import name_tasks
    from artylyze.datasets.curate import CurateRequest, parse_left_out
    from artylyze.datasets.curate import curate as run

    named = name_tasks(names(tasks))
    request = CurateRequest(
        labels=addresses(labels),
        images=optional(images),
        output=os.fspath(output),
        tasks=tuple(named),
        task_columns=tuple(named.items()),
        artists=optional(artists),
        classes=classes,
        leave_out=parse_left_out(several(leave_out)),
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
    augment: bool = False,
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
        backbone: A timm model, `open_clip:NAME` (or a folder), or cnn3; None is EfficientNet-Lite0, which needs no
            network.
        weights: Weights of the backbone: a .safetensors or .pth file.
        mode: frozen: only heads learn, on features computed once. finetune: everything learns.
        lr: Learning rate; None chooses by mode.
        epochs: Times that every image is seen; None chooses by mode.
        batch_size: Images for each step.
        image_size: Pixels a side; None is 180 for finetune and the backbone's own for frozen.
        taps: Numbers of the backbone's stages whose channel statistics join the features.
        label_smoothing: Share of each label, 0 to below 1, that is spread over all classes.
        augment: Let the heads of a frozen backbone learn from each image mirrored and rotated by up to 10 degrees too,
            which takes twice as long; fine-tuning always does.
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
        tasks=None if tasks is None else names(tasks),
        backbone=backbone,
        weights=optional(weights),
        mode=mode,
        lr=lr,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        init_from=optional(init_from),
        workers=workers,
        device=device,
        precision_target=precision,
        taps=tuple(taps),
        label_smoothing=label_smoothing,
        augment=augment,
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
    concurrent: int | None = None,
    cpus_per_trial: int | None = None,
    gpus_per_trial: float | None = None,
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
        concurrent: Trials at the same time; None is as many as the machines that are there have room for. A cluster
            that grows with its work has none at first, which is one trial.
        cpus_per_trial: Cores that a trial reserves; None is those of a machine, or 1 where no machine is there yet.
        gpus_per_trial: GPUs that a trial reserves in frozen mode, such as 0.5 or 1; None is 1 if there are any, or if
            `device` is cuda. Fine-tuning takes one for each of `workers`.
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
    from artylyze.tuning.leaderboard import as_table, describe
    from artylyze.tuning.sweep import TuneRequest
    from artylyze.tuning.tune import tune as run

    request = TuneRequest(
        dataset=os.fspath(dataset),
        output=os.fspath(output),
        rates=None if lr is None else tuple(lr),
        rate_range=lr_range,
        trials=trials,
        tasks=None if tasks is None else names(tasks),
        backbones=names(backbone),
        weights={name: os.fspath(file) for name, file in (weights or {}).items()},
        mode=mode,
        scheduler=scheduler,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        taps=tuple(taps),
        workers=workers,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        device=device,
        precision_target=precision,
        seed=seed,
    )
    with watching(progress) as watcher:
        board = run(request, watcher)
    figures = {"output": request.output, "rows": [row.as_dict() for row in board.rows]}
    return Output(request.output, figures, rendered([as_table(board), *describe(board, request.output)], _width()))


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
    from artylyze.evaluation.figures import describe, write_report

    request = EvaluateRequest(
        bundle=os.fspath(bundle),
        source=os.fspath(source),
        output=os.fspath(output),
        labels=addresses(labels),
        tasks=None if tasks is None else names(tasks),
        folds=folds,
        device=device,
        id_column=id_column,
        reading=Reading(encoding, sheet, skip_bad_rows),
    )
    with watching(progress) as watcher:
        evaluation = run(request, watcher)
        files = write_report(evaluation, request.output, watcher)
    figures = {"output": request.output, "files": files, **evaluation.as_dict()}
    return Output(request.output, figures, rendered(describe(evaluation, request.output, files), _width()))


def _width() -> int:
    """Characters of a line: the terminal's, if there is one."""
    return shutil.get_terminal_size((160, 24)).columns
