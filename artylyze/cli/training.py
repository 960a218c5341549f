"""The commands of training, one short function each. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, cast

import typer

from artylyze.cli.flags import reporter
from artylyze.cli.options import Encoding, FileSeparator, Json, Sheet, SkipBadRows, call_and_tell, separator

if TYPE_CHECKING:
    from artylyze.training.request import Mode

commands = typer.Typer()

Dataset = Annotated[str, typer.Argument(help="A dataset: the .parquet file that `curate` wrote.")]
Tasks = Annotated[str | None, typer.Option(help="Which of its tasks, for example genre,style. Default: all.")]
Epochs = Annotated[int | None, typer.Option(help="Times that every image is seen. Default: by mode.")]
BatchSize = Annotated[int, typer.Option(help="Images for each step.")]
ImageSize = Annotated[
    int | None, typer.Option(help="Pixels a side. Default: 180 for finetune, the backbone's own for frozen.")
]
Taps = Annotated[str | None, typer.Option(help="Stages whose channel statistics join the features, for example 1,2,3.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Precision = Annotated[float, typer.Option(help="Precision of what is not flagged for review.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]


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
        str, typer.Option(help="none: classes as they are; undersample: none has more images than the least.")
    ] = "none",
    split: Annotated[str, typer.Option(help="Shares of train and test.")] = "0.75,0.25",
    group: Annotated[
        str, typer.Option(help="artist: no artist is on both sides; artist,source: no source either; none: at random.")
    ] = "artist",
    seed: Seed = 0,
    id_column: Annotated[str | None, typer.Option(help="Column that identifies a record. Default: found out.")] = None,
    file_column: Annotated[str | None, typer.Option(help="Column that names the image file, if another.")] = None,
    file_separator: FileSeparator = None,
    label_separator: Annotated[
        str | None, typer.Option(help="Between several terms in a cell, such as ';': the first known one counts.")
    ] = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    as_json: Json = False,
) -> None:
    """Make a dataset to train on from labels.

    Joins catalogues of labels to images, chooses classes, and splits by artist.

    Example: artylyze curate labels.csv --images scans/ -o dataset.parquet --tasks genre,style --classes 10
    """
    from artylyze.datasets.curate import parse_split

    call_and_tell(
        "curate",
        locals(),
        labels=labels or (),
        split=parse_split(split),
        file_separator=separator(file_separator),
        label_separator=separator(label_separator),
    )


@commands.command()
def train(
    dataset: Dataset,
    output: Annotated[str, typer.Option("--output", "-o", help="The bundle: a folder or an address, not there yet.")],
    tasks: Tasks = None,
    backbone: Annotated[
        str | None, typer.Option(help="A timm model, open_clip:NAME or cnn3. Default: EfficientNet-Lite0, offline.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Its weights: a .safetensors or .pth file.")] = None,
    mode: Annotated[
        str, typer.Option(help="frozen: only heads learn, on features computed once. finetune: everything learns.")
    ] = "frozen",
    lr: Annotated[float | None, typer.Option(help="Learning rate. Default: by mode.")] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = 32,
    image_size: ImageSize = None,
    taps: Taps = None,
    label_smoothing: Annotated[float, typer.Option(help="Share of each label spread over all classes.")] = 0.0,
    augment: Annotated[
        bool, typer.Option("--augment", help="frozen: learn from mirrored, rotated images too; finetune always does.")
    ] = False,
    init_from: Annotated[str | None, typer.Option(help="Begin with this bundle's backbone.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that fine-tune together.")] = 1,
    device: Device = "auto",
    precision: Precision = 0.85,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a model bundle for `tag --model`.

    Learns tasks from the labelled images of a dataset.

    Example: artylyze train dataset.parquet -o bundle --tasks genre,style
    """
    from artylyze.api.arguments import names
    from artylyze.training.request import TrainRequest, parse_taps

    request = TrainRequest(
        dataset=dataset,
        output=output,
        tasks=None if tasks is None else names(tasks),
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
        augment=augment,
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
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Evaluate a bundle on labelled images.

    With no artist on both sides first; figures, plots and contact sheets.

    Example: artylyze evaluate bundle dataset.parquet -o evaluation
    """
    call_and_tell("evaluate", locals())


@commands.command()
def tune(
    dataset: Dataset,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where table, plot and best bundle go: a folder or an address.")
    ],
    lr: Annotated[str | None, typer.Option(help="Learning rates to try, for example 1e-4,5e-4,1e-3.")] = None,
    lr_range: Annotated[
        str | None, typer.Option(help="Lowest and highest rate, for example 1e-5,1e-2: --trials are drawn.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Learning rates drawn from --lr-range.")] = None,
    tasks: Tasks = None,
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
    epochs: Epochs = None,
    batch_size: BatchSize = 32,
    image_size: ImageSize = None,
    taps: Taps = None,
    workers: Annotated[int, typer.Option(help="Processes that fine-tune together, in each trial.")] = 1,
    concurrent: Annotated[
        int | None, typer.Option(help="Trials at the same time. Default: as many as the nodes now there have room for.")
    ] = None,
    cpus_per_trial: Annotated[
        int | None,
        typer.Option(help="Cores that a trial reserves. Default: those of a node, or 1 if none is there yet."),
    ] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs that a frozen trial reserves, such as 0.5. Default: 1 if there are any.")
    ] = None,
    device: Device = "auto",
    precision: Precision = 0.85,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Sweep learning rates and backbones.

    Keeps the best model; a sweep that was killed goes on when the same command is given again.

    Example: artylyze tune dataset.parquet -o sweep --lr-range 1e-5,1e-2 --trials 12
    """
    from artylyze.training.request import parse_taps
    from artylyze.tuning.sweep import parse_range, parse_rates, parse_weights

    call_and_tell(
        "tune",
        locals(),
        lr=parse_rates(lr),
        lr_range=parse_range(lr_range),
        weights=parse_weights(weights or ()),
        taps=parse_taps(taps),
    )
