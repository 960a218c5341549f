"""The benchmark of near-duplicates knows what it made, and judges pairs by that."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.duplicate_images import KINDS, truth, variant_name, write_variants
from benchmarks.duplicates import judge
from tests.pictures import painting


def test_variants_are_written_and_known_by_their_names(tmp_path: Path) -> None:
    source = tmp_path / "a_1.png"
    Image.fromarray(painting(1)).resize((200, 100)).save(source)

    write_variants([source], tmp_path)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert {name: shown for name, (shown, _) in truth(names).items()} == dict.fromkeys(names, "a_1")
    assert {kind for _, kind in truth(names).values()} == {None, *KINDS}
    with Image.open(tmp_path / variant_name(source, list(KINDS).index("8% off each edge"))) as trimmed:
        assert trimmed.size == (168, 84)


def test_recall_and_precision_are_of_pairs() -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", *(f"a~{number}.jpg" for number in range(len(KINDS)))]
    pairs = [
        ("a.jpg", "a~0.jpg"),
        ("a~0.jpg", "a.jpg"),
        ("a~1.jpg", "a~2.jpg"),
        ("a~3.jpg", "b.jpg"),
        ("a.jpg", "c.jpg"),
    ]

    figures = judge(pairs, names, {("a", "b")})

    assert (figures["recall"], figures["precision"], figures["wrong"]) == (1 / len(KINDS), 0.75, 1)
    assert figures["recall_by_kind"]["encoded anew"] == 1
