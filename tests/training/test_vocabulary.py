"""Terms of the user's own, on a tiny CLIP model of random weights in a folder: no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import openpyxl
import pytest
import torch

import artylyze
from artylyze.catalog.snapshot import read_catalog, read_snapshot
from artylyze.errors import InputError, UsageError
from artylyze.images import decode
from artylyze.models.bundle import Bundle
from artylyze.models.folder import load, save
from artylyze.models.runtimes import CpuRuntime, TorchRuntime
from artylyze.models.scores import score
from artylyze.tables import DEFAULT_READING
from artylyze.training.vocabulary import SCALE, Term, encode_terms, open_vocabulary, read_terms
from tests.clip import write_clip
from tests.small import GENRES, collection
from tests.tagging.conftest import Quiet, fill

TERMS = """term,task,uri,prompt
rivière,Subject,http://vocab/1,
bridge,Subject,,
portrait,kind,,a portrait of somebody
landscape,kind,,
"""
PROMPTS = ("a painting of {}", "a drawing of {}")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"open_clip:{write_clip(tmp_path_factory.mktemp('models') / 'clip')}"


def written(tmp_path: Path, text: str, name: str = "terms.csv", encoding: str = "utf-8") -> str:
    path = tmp_path / name
    path.write_text(text, encoding)
    return str(path)


def vocabulary(clip: str, terms: str, **options: object) -> Bundle:
    return open_vocabulary(clip, terms, Quiet(), reading=DEFAULT_READING, **options)  # type: ignore[arg-type]


def test_the_scores_are_those_of_open_clip(clip: str, tmp_path: Path) -> None:
    bundle = vocabulary(clip, written(tmp_path, TERMS), prompts=PROMPTS)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    folder = clip.removeprefix("open_clip:")
    model, tokenizer = (
        open_clip.create_model(f"local-dir:{folder}").eval(),
        open_clip.get_tokenizer(f"local-dir:{folder}"),
    )
    preprocessing = bundle.preprocessing
    normalised = ((pixels / 255 - preprocessing.mean) / preprocessing.std).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        image = model.encode_image(torch.tensor(normalised, dtype=torch.float32), normalize=True)
        texts = [
            model.encode_text(tokenizer([p.format(t) for p in PROMPTS]), normalize=True) for t in ("rivière", "bridge")
        ]
        means = torch.stack([torch.nn.functional.normalize(of_term.mean(0), dim=0) for of_term in texts])
        subject = (SCALE * image @ means.T).numpy()
        kinds = model.encode_text(tokenizer(["a portrait of somebody"]), normalize=True)
        portrait = (SCALE * image @ kinds.T).numpy()[:, 0]

    for runtime in (CpuRuntime(bundle), TorchRuntime(bundle, "cpu", "float32")):
        logits = runtime.run(pixels).logits
        np.testing.assert_allclose(logits["subject"], subject, atol=1e-2)
        np.testing.assert_allclose(logits["kind"][:, 0], portrait, atol=1e-2)
    ranked = score(subject, bundle.tasks[0], 2)
    assert [task.terms for task in bundle.tasks] == [("rivière", "bridge"), ("portrait", "landscape")]
    assert (ranked.terms[:, 0] == np.array(["rivière", "bridge"], object)[subject.argmax(1)]).all()
    assert np.isnan(ranked.scores).all()
    assert ranked.review.all()
    save(tmp_path / "bundle", bundle)
    assert load(tmp_path / "bundle") == bundle


def test_a_catalog_has_ranks_and_no_scores(clip: str, tmp_path: Path) -> None:
    images, terms = fill(tmp_path / "images", 6), written(tmp_path, TERMS)
    catalog = artylyze.tag(images, tmp_path / "catalog", model=clip, terms=terms, prompt=PROMPTS, progress=False)
    assert catalog.tasks == ("subject", "kind")
    bundle = vocabulary(clip, terms, prompts=PROMPTS)
    assert catalog.model_id == bundle.model_id
    for row in read_catalog(str(tmp_path / "catalog")).to_pylist():
        logits = (
            CpuRuntime(bundle).run(decode((images / row["image_id"]).read_bytes(), 32).pixels[None]).logits["subject"]
        )
        assert row["subject"] == ("rivière", "bridge")[int(logits.argmax())]
        assert (row["subject_score"], row["subject_review"]) == (None, True)
        assert [best["score"] for best in row["subject_top"]] == [None, None]
        assert row["subject_uri"] == ("http://vocab/1" if row["subject"] == "rivière" else None)
        assert "kind_uri" not in row
    assert read_snapshot(str(tmp_path / "catalog")).settings["text_encoder"] == clip


@pytest.mark.slow
def test_other_terms_or_prompts_are_another_model(clip: str, tmp_path: Path) -> None:
    images, terms = fill(tmp_path / "images", 3), written(tmp_path, TERMS)
    artylyze.tag(images, tmp_path / "catalog", model=clip, terms=terms, progress=False)
    ids = {vocabulary(clip, terms).model_id, vocabulary(clip, terms, prompts=PROMPTS).model_id}
    written(tmp_path, TERMS.replace("bridge", "boat"))
    ids.add(vocabulary(clip, terms).model_id)
    assert len(ids) == 3
    with pytest.raises(InputError, match="was made by model"):
        artylyze.tag(images, tmp_path / "catalog", model=clip, terms=terms, progress=False)


@pytest.mark.slow
def test_a_sample_calibrates_the_scores(clip: str, tmp_path: Path) -> None:
    collection(tmp_path / "labelled", 120)
    terms = written(
        tmp_path, "term,task\n" + "".join(f"{genre},genre\n" for genre in (*GENRES, "ship")) + "dog,animal\n"
    )
    bundle = vocabulary(clip, terms, calibrate_on=str(tmp_path / "labelled" / "dataset.parquet"))
    genre, animal = bundle.tasks
    assert genre.temperature is not None
    assert (animal.temperature, animal.review_threshold) == (None, 1.0)
    logits = np.array([[0.3, 0.2, 0.1]], np.float32)
    assert score(logits, genre).scores.sum() == pytest.approx(1)
    other = written(tmp_path, "term\ndog\n", "other.csv")
    with pytest.raises(InputError, match="`calibrate_on` labels genre, style, the terms are of subject"):
        vocabulary(clip, other, calibrate_on=str(tmp_path / "labelled" / "dataset.parquet"))


def test_terms_are_read_from_any_table(tmp_path: Path) -> None:
    expected = {"subject": (Term("Étude"), Term("Straße", "http://2"))}
    rows = [["Label", "ID"], ["Étude", ""], ["Straße", "http://2"], ["", "http://3"]]
    text = "".join(",".join(row) + "\n" for row in rows)
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "terms.xlsx")
    watcher = Quiet()
    for table in (
        written(tmp_path, text, "bom.csv", "utf-8-sig"),
        written(tmp_path, text, "latin.csv", "cp1252"),
        str(tmp_path / "terms.xlsx"),
    ):
        assert read_terms(table, DEFAULT_READING, watcher) == expected
    assert "1 row without a term skipped" in "".join(watcher.messages)


def test_a_term_that_comes_again_counts_once_with_all_its_texts(tmp_path: Path) -> None:
    table = written(tmp_path, "term,prompt,uri\ndog,a hound,\ncat,,\ndog,a puppy,http://1\ndog,a hound,http://2\n")
    watcher = Quiet()
    found = read_terms(table, DEFAULT_READING, watcher)
    assert found == {"subject": (Term("dog", "http://1", ("a hound", "a puppy")), Term("cat"))}
    assert "2 rows with a term that came before" in "".join(watcher.messages)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no header: the file is empty"),
        ("term\n", "and no rows"),
        ("term,uri\n,http://1\n", "names no term in its column 'term'"),
        ("motif,theme\na,b\n", r"no column of terms: call it `term` \(it has: motif, theme\)"),
    ],
)
def test_tables_without_terms_are_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        read_terms(written(tmp_path, text), DEFAULT_READING, Quiet())


@pytest.mark.slow
def test_five_thousand_terms(clip: str, tmp_path: Path) -> None:
    images = fill(tmp_path / "images", 3)
    terms = written(tmp_path, "term,uri\n" + "".join(f"term {n},http://{n}\n" for n in range(5000)))
    artylyze.tag(images, tmp_path / "catalog", model=clip, terms=terms, progress=False, top_k=3)
    for row in read_catalog(str(tmp_path / "catalog")).to_pylist():
        assert row["subject_uri"] == f"http://{row['subject'].split()[1]}"
        assert len(row["subject_top"]) == 3


def test_what_does_not_go_together_is_refused(clip: str, tmp_path: Path) -> None:
    terms, output = written(tmp_path, TERMS), tmp_path / "catalog"
    images = fill(tmp_path / "images", 1)
    with pytest.raises(UsageError, match="give `model=open_clip:NAME` too"):
        artylyze.tag(images, output, terms=terms, progress=False)
    with pytest.raises(UsageError, match="give `terms` too"):
        artylyze.tag(images, output, model=clip, prompt="a {}", progress=False)
    with pytest.raises(UsageError, match=r"write \{\} once"):
        artylyze.tag(images, output, model=clip, terms=terms, prompt="a painting", progress=False)


def test_prompts_are_averaged_and_normalised_again(clip: str) -> None:
    terms = {"subject": (Term("dog"), Term("cat", texts=("a cat",)))}
    both = encode_terms(clip, terms, PROMPTS)["subject"]
    each = [encode_terms(clip, terms, [prompt])["subject"] for prompt in PROMPTS]
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), SCALE, rtol=1e-5)
    np.testing.assert_allclose(both[1], each[0][1], rtol=1e-5, atol=1e-4)
    mean = (each[0] + each[1])[0]
    np.testing.assert_allclose(both[0], SCALE * mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-3)
