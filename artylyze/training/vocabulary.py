"""Open vocabulary: tasks whose terms are the user's own words, compared with pictures by a CLIP model.

Zero-shot classification: Radford et al. 2021, arXiv:2103.00020, sections 3.1.2 and 3.1.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.collection.known_columns import folded
from artylyze.datasets.classes import name_tasks
from artylyze.datasets.dataset import Dataset, labels, read_dataset, schema
from artylyze.errors import InputError, UsageError
from artylyze.extraction.cached import embed, features_folder
from artylyze.models.bundle import Bundle, Task
from artylyze.models.cache import cached
from artylyze.models.open_clip import PREFIX, resolve_reference, text_encoder
from artylyze.models.resolve import open_clip_ingredients, resolve_model
from artylyze.models.scores import unit
from artylyze.tables import Reading, listed, load_table, open_database, sql_value, stripped
from artylyze.training.bundling import calibrated
from artylyze.training.calibration import FLAG_ALL
from artylyze.training.learned import Scored
from artylyze.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.progress import Watcher

TASK = "subject"
"""The task of terms in a table without a column of tasks."""

COLUMNS = {
    "term": ("term", "label", "preflabel", "subject", "name"),
    "task": ("task", "facet", "scheme"),
    "uri": ("uri", "url", "id", "identifier", "notation"),
    "prompt": ("prompt", "text"),
}
"""What a table of terms tells, and its columns, by their folded names: the first that is there counts."""

PROMPT = "{}"
"""The text of a term by default: the term itself."""

SCALE = 100.0
"""Logits are cosines times this, the most that CLIP learns (section 2.5 of the paper)."""

PRECISION = 0.85
"""Precision that calibrated terms above the review threshold are to have."""


@dataclass(frozen=True)
class Term:
    """A term: its name, its identifier in a vocabulary, and its own texts (none: those that the prompts make)."""

    name: str
    uri: str = ""
    texts: tuple[str, ...] = ()


def open_vocabulary(
    model: str | None,
    terms: str,
    watcher: Watcher,
    *,
    prompts: Sequence[str] = (),
    calibrate_on: str | None = None,
    reading: Reading,
    device: str = "auto",
) -> Bundle:
    """Return the CLIP model `model` with the terms of a table as its tasks, built once and cached.

    The texts of a term are encoded to length 1, averaged, and normalised again; a term's logit is its cosine with the
    picture's embedding times SCALE.

    Args:
        model: `open_clip:NAME`, `open_clip:NAME/TAG` or `open_clip:FOLDER`.
        terms: a table, as `read_terms` takes it.
        watcher: is told what is going on.
        prompts: texts with `{}` in the place of the term; none: PROMPT.
        calibrate_on: a dataset with labels of the same tasks and terms, whose training images calibrate the scores. The
            terms of a task without labels there have no scores, only an order, and all its images are for review.
        reading: how the table is to be read.
        device: for the images of `calibrate_on`.

    Raises:
        UsageError: for another model, or a prompt without `{}`.
        InputError: for a table, a sample or a model that cannot be used.
    """
    if model is None or not model.startswith(PREFIX):
        raise UsageError("`terms` are compared with pictures by a CLIP model: give `model=open_clip:NAME` too.")
    wrong = [prompt for prompt in prompts if prompt.count("{}") != 1]
    if wrong:
        raise UsageError(f"`prompt={wrong[0]!r}`: write {{}} once, where the term goes.")
    reference, vocabulary = resolve_reference(model), read_terms(terms, reading, watcher)
    dataset = None if calibrate_on is None else read_dataset(calibrate_on)
    texts = list(prompts) or [PROMPT]

    def build() -> Bundle:
        from artylyze.models.build import build_bundle
        from artylyze.models.network import build_backbone

        vision = resolve_model(reference)
        weights = encode_terms(reference, vocabulary, texts)
        tasks = [_task(name, of_task, FLAG_ALL, None) for name, of_task in vocabulary.items()]
        if dataset is not None:
            tasks = _calibrate(tasks, weights, vision, dataset, device, watcher)
        heads = {name: (weight, np.zeros(len(weight))) for name, weight in weights.items()}
        about = {"mode": "open vocabulary", "text_encoder": reference, "prompts": texts, "precision_target": PRECISION}
        digest = None if dataset is None else dataset.digest
        return build_bundle(build_backbone(vision), tasks, heads, training_data=digest, training=about)

    watcher.say(f"Comparing pictures with {_counts(vocabulary)} of {terms}")
    ingredients = {
        **open_clip_ingredients(reference),
        "terms": {name: [asdict(term) for term in of_task] for name, of_task in vocabulary.items()},
        "prompts": texts,
        "sample": None if dataset is None else dataset.digest,
        "settings": [SCALE, PRECISION],
    }
    return cached("vocabulary", ingredients, build)


def read_terms(address: str, reading: Reading, watcher: Watcher) -> dict[str, tuple[Term, ...]]:
    """Read a table of terms: task -> its terms, in the order of the table.

    Columns are recognised by their names, see COLUMNS. A term that comes again in a task counts once, with all its
    texts. Raises InputError for a table that cannot be read, has no column of terms, or names none, and UsageError for
    a task whose name a column of the catalog has.
    """
    with open_database() as database:
        loaded = load_table(database, address, reading)
        by_name = {folded(column): column for column in reversed(loaded.columns)}
        columns = {what: next((by_name[n] for n in names if n in by_name), None) for what, names in COLUMNS.items()}
        if columns["term"] is None:
            raise InputError(
                f"{address} has no column of terms: call it `term` (it has: {listed(loaded.columns)}). Columns `task`, "
                "`uri` and `prompt` may follow."
            )
        values = ", ".join("NULL" if one is None else stripped(sql_value(one)) for one in columns.values())
        rows = database.execute(f"SELECT {values} FROM catalogue ORDER BY row").fetchall()
    named = [row for row in rows if row[0] is not None]
    if not named:
        raise InputError(f"{address} names no term in its column '{columns['term']}'.")
    vocabulary: dict[str, dict[str, Term]] = {}
    for name, task, uri, text in named:
        of_task = vocabulary.setdefault(next(iter(name_tasks([task or TASK]))), {})
        before = of_task.get(name, Term(name))
        texts = dict.fromkeys([*before.texts, *([text] if text else [])])
        of_task[name] = Term(name, before.uri or uri or "", tuple(texts))
    schema(tuple(vocabulary))
    for note in (*loaded.notes, *_notes(address, len(rows) - len(named), len(named), vocabulary)):
        watcher.say(note)
    return {task: tuple(of_task.values()) for task, of_task in vocabulary.items()}


def _notes(address: str, nameless: int, named: int, vocabulary: Mapping[str, Mapping[str, Term]]) -> Iterator[str]:
    if nameless:
        yield f"{address}: {counted(nameless, 'row')} without a term skipped."
    if again := named - sum(map(len, vocabulary.values())):
        yield f"{address}: {counted(again, 'row')} with a term that came before; it counts once, with all its prompts."


def encode_terms(
    reference: str, vocabulary: Mapping[str, Sequence[Term]], prompts: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Return task -> float32 (terms, d): for each term the mean direction of its texts, of length SCALE."""
    encode, weights = text_encoder(reference), {}
    for task, terms in vocabulary.items():
        texts = [term.texts or tuple(prompt.replace("{}", term.name) for prompt in prompts) for term in terms]
        owner = np.repeat(np.arange(len(terms)), [len(own) for own in texts])
        encoded = encode([text for own in texts for text in own])
        sums = np.zeros((len(terms), encoded.shape[1]), np.float64)
        np.add.at(sums, owner, encoded)
        weights[task] = (SCALE * sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
    return weights


def _task(name: str, terms: Sequence[Term], threshold: float, temperature: float | None) -> Task:
    uris = tuple(term.uri for term in terms) if any(term.uri for term in terms) else ()
    return Task(name, tuple(term.name for term in terms), temperature, threshold, cosine=True, uris=uris)


def _calibrate(
    tasks: Sequence[Task],
    weights: Mapping[str, NDArray[np.float32]],
    vision: Bundle,
    dataset: Dataset,
    device: str,
    watcher: Watcher,
) -> list[Task]:
    """Return the tasks, those that the dataset has labels of with a temperature and a review threshold."""
    named = [task.name for task in tasks if task.name in dataset.tasks]
    if not named:
        raise InputError(
            f"`calibrate_on` labels {listed(list(dataset.tasks))}, the terms are of {listed(list(weights))}: name "
            "their tasks alike, in the column `task` or with `artylyze curate --tasks NAME=COLUMN`."
        )
    sample = dataset.table.filter(pc.equal(dataset.table.column("split"), "train"))
    watcher.start(sample.num_rows, 0, "Embedding the sample")
    features = embed(
        sample, vision, device=device, cache=features_folder(), advance=lambda count: watcher.advance(count, 0)
    )
    read = sample.take(features.rows)
    return [_calibrated(task, weights[task.name], features.matrix, read, watcher) for task in tasks]


def _calibrated(
    task: Task, weight: NDArray[np.float32], embeddings: NDArray[np.float32], sample: pa.Table, watcher: Watcher
) -> Task:
    if task.name not in sample.column_names:
        return task
    codes = labels(sample, task.name, task.terms)
    known = codes >= 0
    foreign = int(sample.column(task.name).filter(pa.array(~known)).drop_null().length())
    watcher.say(
        f"{task.name}: calibrated on {counted(int(known.sum()), 'image')} of the sample"
        + (f"; {foreign:,} have labels that are none of the terms." if foreign else ".")
    )
    if not known.any():
        return task
    logits = unit(embeddings[known]) @ weight.T
    fitted = calibrated(task.name, task.terms, Scored(logits, codes[known]), PRECISION)
    return replace(task, temperature=fitted.temperature, review_threshold=fitted.review_threshold)


def _counts(vocabulary: Mapping[str, Sequence[Term]]) -> str:
    return ", ".join(f"{counted(len(terms), 'term')} of {task}" for task, terms in vocabulary.items())
