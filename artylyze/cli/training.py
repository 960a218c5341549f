"""The commands of training, one short function each. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from artylyze.cli.flags import reporter
from artylyze.cli.options import Encoding, FileSeparator, Sheet, SkipBadRows, reading, separator, tell

if TYPE_CHECKING:
    from artylyze.training.request import Mode

commands = typer.Typer()


@commands.command()
def curate(
    labels: Annotated[
        list[str] | None,
        typer.Argument(help="Catalogues with labels, the best first: CSV, TSV, XLSX, XLS, ODS or Parquet."),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="The dataset to write, a .parquet file.")] = "",
    images: Annotated[
        str | None,
        typer.Option(help="A manifest, folder, bucket or table of addresses. Without it: a plan, not to train on."),
    ] = None,
    tasks: Annotated[
        str,
        typer.Option(help="Columns of the catalogues, or NAME=COLUMN. nationality and period come from --artists too."),
    ] = "genre,style",
    artists: Annotated[
        str | None, typer.Option(help="A table of artists (name, nationality, years): only their works are taken.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Keep so many classes of each task, the best represented. Default: all.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="A class that is not kept, as TASK=TERM. May be repeated.")
    ] = None,
    min_artists: Annotated[
        int, typer.Option(help="Keep classes by this many artists at least; a split by artist needs 2.")
    ] = 1,
    balance: Annotated[
        str, typer.Option(help="undersample: no class has more images than the least; none: as they are.")
    ] = "undersample",
    split: Annotated[str, typer.Option(help="Shares of train and test.")] = "0.75,0.25",
    group: Annotated[str, typer.Option(help="artist: no artist is on both sides; none: at random.")] = "artist",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    id_column: Annotated[str | None, typer.Option(help="Column that identifies a record. Default: found out.")] = None,
    file_column: Annotated[str | None, typer.Option(help="Column that names the image file, if another.")] = None,
    file_separator: FileSeparator = None,
    label_separator: Annotated[
        str | None, typer.Option(help="Between several terms in a cell, such as ';': the first known one counts.")
    ] = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")] = False,
) -> None:
    """Make a dataset to train on from labels.

    Joins catalogues of labels to images, chooses classes, and splits by artist.

    Example: artylyze curate labels.csv --images scans/ -o dataset.parquet --tasks genre,style --classes 10
    """
    from artylyze.api import training as api
    from artylyze.datasets.curate import parse_split

    with reporter() as watcher:
        dataset = api.curate(
            labels or (),
            output,
            images=images,
            tasks=tasks,
            artists=artists,
            classes=classes,
            leave_out=leave_out or (),
            min_artists=min_artists,
            balance=balance,
            split=parse_split(split),
            group=group,
            seed=seed,
            id_column=id_column,
            file_column=file_column,
            file_separator=separator(file_separator),
            label_separator=separator(label_separator),
            encoding=encoding,
            sheet=sheet,
            skip_bad_rows=skip_bad_rows,
            progress=watcher,
        )
    tell(dataset.figures, as_json, dataset.text)


@commands.command()
def train(
    dataset: Annotated[str, typer.Argument(help="A dataset: the .parquet file that `curate` wrote.")],
    output: Annotated[str, typer.Option("--output", "-o", help="The bundle: a folder or an address, not there yet.")],
    tasks: Annotated[
        str | None, typer.Option(help="Which of its tasks, for example genre,style. Default: all.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="A timm model, or cnn3. Default: EfficientNet-Lite0, offline.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Its weights: a .safetensors or .pth file.")] = None,
    mode: Annotated[
        str, typer.Option(help="frozen: only heads learn, on features computed once. finetune: everything learns.")
    ] = "frozen",
    lr: Annotated[float | None, typer.Option(help="Learning rate. Default: by mode.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Times that every image is seen. Default: by mode.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images for each step.")] = 32,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels a side. Default: 180 for finetune, the backbone's own for frozen.")
    ] = None,
    taps: Annotated[
        str | None, typer.Option(help="Stages whose channel statistics join the features, for example 1,2,3.")
    ] = None,
    label_smoothing: Annotated[float, typer.Option(help="Share of each label spread over all classes.")] = 0.0,
    init_from: Annotated[str | None, typer.Option(help="Begin with this bundle's backbone.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that fine-tune together.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[float, typer.Option(help="Precision of what is not flagged for review.")] = 0.85,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")] = False,
) -> None:
    """Train a model bundle for `tag --model`.

    Learns tasks from the labelled images of a dataset.

    Example: artylyze train dataset.parquet -o bundle --tasks genre,style
    """
    from artylyze.training.request import TrainRequest, parse_taps, parse_tasks

    request = TrainRequest(
        dataset=dataset,
        output=output,
        tasks=parse_tasks(tasks),
        backbone=backbone,
        weights=weights,
        mode=cast("Mode", mode),
        lr=lr,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        init_from=init_from,
        workers=workers,
        device=device,
        precision_target=precision,
        taps=parse_taps(taps),
        label_smoothing=label_smoothing,
        seed=seed,
    )
    from artylyze.training.train import describe
    from artylyze.training.train import train as run

    with reporter() as watcher:
        trained = run(request, watcher)
    found = {
        "bundle": output,
        "model_id": trained.bundle.model_id,
        "metrics": trained.metrics,
        "failed": dict(trained.failed),
    }
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else describe(trained, output))


@commands.command()
def evaluate(
    bundle: Annotated[str, typer.Argument(help="The model bundle: a folder or an address.")],
    source: Annotated[
        str,
        typer.Argument(help="A dataset (the .parquet file that `curate` wrote), or a catalog that the bundle made."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Where all of it goes: a folder or an address.")],
    labels: Annotated[
        list[str] | None, typer.Option(help="A table that labels a catalog's images. Default: its own metadata.")
    ] = None,
    id_column: Annotated[str | None, typer.Option(help="The column of --labels that identifies a record.")] = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    tasks: Annotated[str | None, typer.Option(help="Which tasks, for example genre,style. Default: all.")] = None,
    folds: Annotated[
        int, typer.Option(help="Parts in which heads on frozen features are fitted again; 0: they are not.")
    ] = 4,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")] = False,
) -> None:
    """Evaluate a bundle on labelled images.

    With no artist on both sides first; figures, plots and contact sheets.

    Example: artylyze evaluate bundle dataset.parquet -o evaluation
    """
    from artylyze.evaluation.evaluate import EvaluateRequest
    from artylyze.evaluation.evaluate import evaluate as run
    from artylyze.evaluation.figures import show, write_report
    from artylyze.training.request import parse_tasks

    request = EvaluateRequest(
        bundle,
        source,
        output,
        tuple(labels or ()),
        parse_tasks(tasks),
        folds,
        device,
        id_column,
        reading(encoding, sheet, skip_bad_rows),
    )
    with reporter() as watcher:
        found = run(request, watcher)
        files = write_report(found, output, watcher)
    if as_json:
        typer.echo(json.dumps({"output": output, "files": files, **found.as_dict()}, ensure_ascii=False))
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else 200  # lines that a file or a pipe takes whole
    show(found, output, files, Console(highlight=False, markup=False, soft_wrap=True, width=width))


@commands.command()
def tune(
    dataset: Annotated[str, typer.Argument(help="A dataset: the .parquet file that `curate` wrote.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where table, plot and best bundle go: a folder or an address.")
    ],
    lr: Annotated[str | None, typer.Option(help="Learning rates to try, for example 1e-4,5e-4,1e-3.")] = None,
    lr_range: Annotated[
        str | None, typer.Option(help="Lowest and highest rate, for example 1e-5,1e-2: --trials are drawn.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Learning rates drawn from --lr-range.")] = None,
    tasks: Annotated[
        str | None, typer.Option(help="Which of its tasks, for example genre,style. Default: all.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="timm models, or cnn3, with commas. Default: EfficientNet-Lite0, offline.")
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="Weights of one of them: NAME=FILE, or NAME=random. May be repeated.")
    ] = None,
    mode: Annotated[str, typer.Option(help="frozen: all rates in one pass. finetune: a trial for each.")] = "frozen",
    scheduler: Annotated[
        str | None, typer.Option(help="asha stops bad trials early; none does not. Default: asha for finetune.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Times that every image is seen. Default: by mode.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images for each step.")] = 32,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels a side. Default: 180 for finetune, the backbone's own for frozen.")
    ] = None,
    taps: Annotated[
        str | None, typer.Option(help="Stages whose channel statistics join the features, for example 1,2,3.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that fine-tune together, in each trial.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[float, typer.Option(help="Precision of what is not flagged for review.")] = 0.85,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")] = False,
) -> None:
    """Sweep learning rates and backbones.

    Keeps the best model; a sweep that was killed goes on when the same command is given again.

    Example: artylyze tune dataset.parquet -o sweep --lr-range 1e-5,1e-2 --trials 12
    """
    from artylyze.training.request import parse_taps, parse_tasks
    from artylyze.tuning.sweep import Scheduler, TuneRequest, parse_range, parse_rates, parse_weights

    request = TuneRequest(
        dataset=dataset,
        output=output,
        rates=parse_rates(lr),
        rate_range=parse_range(lr_range),
        trials=trials,
        tasks=parse_tasks(tasks),
        backbones=parse_tasks(backbone) or (),
        weights=parse_weights(weights or ()),
        mode=cast("Mode", mode),
        scheduler=cast("Scheduler | None", scheduler),
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        taps=parse_taps(taps),
        workers=workers,
        device=device,
        precision_target=precision,
        seed=seed,
    )
    from artylyze.tuning.leaderboard import describe, table_of
    from artylyze.tuning.tune import tune as run

    with reporter() as watcher:
        board = run(request, watcher)
    if as_json:
        found = {"output": output, "rows": [row.as_dict() for row in board.rows]}
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    console.print(table_of(board))
    for line in describe(board, output):
        console.print(line, markup=False, soft_wrap=True)
