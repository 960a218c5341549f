"""How well the starter recognises what it has not learned: drawn things, photographs, classes that were left out.

python benchmarks/outside.py build/starter/dataset.parquet --out benchmarks/results

The dataset is that of `make starter`. AUROC is of the distance (`artylyze.models.outside`), against paintings by
artists who are held out: 1 where every other image lies farther out than every painting, 0.5 by chance. A class that is
left out is judged by its own works, against held-out works of the other classes. Writes outside.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from artylyze.datasets.dataset import read_dataset
from artylyze.datasets.examples import examples_of
from artylyze.datasets.folds import cut_folds
from artylyze.extraction.cached import embed, features_folder
from artylyze.images import decode
from artylyze.models.backbones import OFFLINE_BACKBONE, load_backbone
from artylyze.models.build import features_bundle
from artylyze.models.outside import Outside
from artylyze.models.runtimes import CpuRuntime
from artylyze.training.outside import fit_outside
from artylyze.training.starter import SIZE, TAPS, TASKS
from benchmarks.measure import machine, versions
from benchmarks.report import ROOT, markdown

RESULT = "outside.json"
DRAWN = 40
"""Images of each kind."""
FOLDS, LEAST = 5, 60
BATCH = 4

Random = np.random.Generator
Features = NDArray[np.float32]


def main() -> None:
    """Embed, fit, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="what `make starter` curated")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    asked = parser.parse_args()
    bundle = features_bundle(load_backbone(OFFLINE_BACKBONE, size=SIZE, taps=TAPS))
    examples = examples_of(read_dataset(asked.dataset), TASKS)
    rows = examples.labelled
    features = embed(examples.table.take(rows), bundle, device="cpu", cache=features_folder())
    groups = examples.groups[rows[features.rows]]
    paintings = held_out(features.matrix, groups)
    outside = fitted(features.matrix, groups)
    runtime = CpuRuntime(bundle, threads=1)
    others = {name: outside.distance(run(runtime, pictures)) for name, pictures in other_images()}
    left_out = {
        task: leave_out(features.matrix, groups, examples.labels[task][rows[features.rows]], terms)
        for task, terms in examples.tasks.items()
    }
    found = {
        "benchmark": "outside",
        "machine": machine(),
        "versions": versions(),
        "paintings": {"images": len(paintings), "outside": share(paintings)},
        "others": {
            name: {"images": len(far), "auroc": auroc(paintings, far), "outside": share(far)}
            for name, far in others.items()
        },
        "left_out": left_out,
    }
    (asked.out / RESULT).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def fitted(features: Features, groups: NDArray[np.str_]) -> Outside:
    outside = fit_outside(features, groups)
    if outside is None:
        raise SystemExit(f"{len(features)} paintings are too few.")
    return outside


def held_out(features: Features, groups: NDArray[np.str_]) -> Features:
    """The distance (n,) of each image by a fit without its artist."""
    distances = np.zeros(len(features), np.float32)
    for held in cut_folds(np.zeros(len(features), np.int64), groups, FOLDS, seed=1).held_out:
        kept = np.setdiff1d(np.arange(len(features)), held)
        distances[held] = fitted(features[kept], groups[kept]).distance(features[held])
    return distances


def leave_out(
    features: Features, groups: NDArray[np.str_], labels: NDArray[np.int64], terms: tuple[str, ...]
) -> dict[str, float]:
    """The AUROC by which the works of each class stand out when neither it nor its artists were learned from."""
    found = {}
    for code, term in enumerate(terms):
        mine = np.flatnonzero(labels == code)
        if len(mine) < LEAST:
            continue
        apart = np.flatnonzero((labels != code) & ~np.isin(groups, np.unique(groups[mine])))
        held = apart[cut_folds(np.zeros(len(apart), np.int64), groups[apart], FOLDS, seed=1).held_out[0]]
        kept = np.setdiff1d(apart, held)
        outside = fitted(features[kept], groups[kept])
        found[term] = auroc(outside.distance(features[held]), outside.distance(features[mine]))
    return found


def auroc(inside: Features, outside: Features) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.repeat([0, 1], [len(inside), len(outside)])
    return round(float(roc_auc_score(truth, np.concatenate([inside, outside]))), 3)


def share(distances: Features) -> float:
    return round(float(np.mean(distances > 1)), 3)


def run(runtime: CpuRuntime, pictures: list[NDArray[np.uint8]]) -> Features:
    batches = (pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH))
    return np.concatenate([runtime.run(np.stack(batch)).embedding for batch in batches])


def other_images() -> Iterator[tuple[str, list[NDArray[np.uint8]]]]:
    """Kinds of images that are no paintings, each with its squares of SIZE pixels."""
    import skimage

    for name, draw in KINDS.items():
        pictures = [draw(np.random.default_rng([number, len(name)])) for number in range(DRAWN)]
        yield f"drawn: {name}", [np.asarray(picture.convert("RGB")) for picture in pictures]
    folder = Path(skimage.__file__).parent / "data"
    files = sorted([*folder.glob("*.png"), *folder.glob("*.jpg")])
    yield "photographs and pictures of scikit-image", [decode(file.read_bytes(), SIZE).pixels for file in files]


def colour(random: Random, least: int = 0, most: int = 255) -> tuple[int, int, int]:
    red, green, blue = random.integers(least, most, 3).tolist()
    return red, green, blue


def text(random: Random) -> Image.Image:
    """A page of lines of words."""
    paper = colour(random, 200)
    page = Image.new("RGB", (SIZE, SIZE), paper)
    draw, ink, points = ImageDraw.Draw(page), colour(random, most=80), int(random.integers(9, 26))
    margin, font = int(random.integers(10, 60)), ImageFont.load_default(points)
    for y in range(margin, SIZE - margin, int(points * 1.4)):
        x = margin
        while x < SIZE - margin:
            word = "".join(map(chr, random.integers(97, 123, random.integers(2, 10))))
            draw.text((x, y), word, fill=ink, font=font)
            x += int(draw.textlength(word + " ", font=font))
    return page.rotate(float(random.normal(0, 2)), fillcolor=paper)


def textile(random: Random) -> Image.Image:
    """A weave in three colours."""
    y, x = np.mgrid[:SIZE, :SIZE]
    warp, weft = random.integers(3, 24, 2)
    over = ((x // warp) + (y // weft)) % 2
    stripe = (x // (warp * random.integers(2, 8))) % 2
    colours = np.array([colour(random) for _ in range(3)])
    shade = 0.75 + 0.25 * np.sin(2 * np.pi * x / warp) * np.sin(2 * np.pi * y / weft)
    woven = colours[np.where(over, 0, 1 + stripe)] * shade[..., None] + random.normal(0, 8, (SIZE, SIZE, 1))
    return Image.fromarray(np.clip(woven, 0, 255).astype(np.uint8))


def vessel(random: Random) -> Image.Image:
    """A shaded solid of revolution before a plain ground."""
    y, x = np.mgrid[:SIZE, :SIZE]
    height = int(random.integers(120, 320))
    along = np.clip((y - (SIZE - height) // 2) / height, 0, 1)
    waves = sum(random.random() * size * np.sin((i + 1) * np.pi * along) for i, size in enumerate((40, 30, 25, 15)))
    radius = np.maximum(30 + random.integers(20, 70) + waves, 1)
    across = np.clip((x - SIZE / 2) / radius, -1, 1)
    light = 0.25 + 0.75 * np.clip(np.sqrt(1 - across**2) * 0.8 - across * 0.5, 0, 1)
    inside = (abs(x - SIZE / 2) < radius) & (along > 0) & (along < 1)
    shaded = np.array(colour(random, 60, 240)) * light[..., None]
    ground = np.full((SIZE, SIZE, 3), float(random.choice([20, 60, 128, 190, 235, 250])))
    seen = np.where(inside[..., None], shaded, ground) + random.normal(0, 3, (SIZE, SIZE, 3))
    return Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8))


def coins(random: Random) -> Image.Image:
    """Round things from above."""
    table = Image.new("RGB", (SIZE, SIZE), colour(random))
    draw = ImageDraw.Draw(table)
    for _ in range(random.integers(1, 30)):
        x, y = random.integers(0, SIZE, 2).tolist()
        radius, metal = int(random.integers(8, 60)), colour(random, 80, 220)
        draw.circle((x, y), radius, fill=metal, outline=(40, 40, 40), width=3)
        draw.circle((x, y), radius // 2, outline=(230, 230, 230))
    return table


def chart(random: Random) -> Image.Image:
    """Bars with an axis and numbers."""
    paper = Image.new("RGB", (SIZE, SIZE), (255, 255, 255))
    draw, bars = ImageDraw.Draw(paper), int(random.integers(3, 20))
    width = (SIZE - 60) // bars
    for bar in range(bars):
        x = 40 + bar * width
        draw.rectangle((x, SIZE - 30 - int(random.integers(10, 300)), x + width - 3, SIZE - 30), fill=colour(random))
    draw.line((40, 20, 40, SIZE - 30, SIZE - 10, SIZE - 30), fill=0, width=2)
    for tick in range(8):
        draw.text((5, 20 + tick * 40), str(tick * 10), fill=(0, 0, 0))
    return paper


KINDS: dict[str, Callable[[Random], Image.Image]] = {
    "pages of text": text,
    "textiles": textile,
    "vessels": vessel,
    "coins": coins,
    "charts": chart,
}


def section(result: dict[str, Any]) -> str:
    """The Markdown of the table, for docs/benchmarks/quality.md."""
    cells = [
        [name, f"{of['images']:,}", f"{of['auroc']:.3f}", f"{of['outside']:.0%}"]
        for name, of in result["others"].items()
    ]
    paintings = result["paintings"]
    cells.append(["paintings by artists held out", f"{paintings['images']:,}", "", f"{paintings['outside']:.1%}"])
    for task, of_terms in result["left_out"].items():
        best = max(of_terms, key=lambda term: of_terms[term])
        mean = np.mean(list(of_terms.values()))
        cells.append([f"a {task} that was left out, mean of {len(of_terms)}", "", f"{mean:.3f}", ""])
        cells.append([f"the {task} that stands out most: {best}", "", f"{of_terms[best]:.3f}", ""])
    return markdown(["what", "images", "AUROC", "`none of these`"], cells)


if __name__ == "__main__":
    main()
