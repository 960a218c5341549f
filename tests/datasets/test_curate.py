from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from artylyze.collection.scan import scan
from artylyze.datasets.account import describe
from artylyze.datasets.curate import Curated, CurateRequest, curate, parse_left_out, parse_split
from artylyze.datasets.dataset import read_dataset
from artylyze.datasets.samples import LEAST, sample_rows
from artylyze.drawing.contact_sheet import TILE
from artylyze.errors import InputError, UsageError
from artylyze.sample import write_sample
from tests.catalogues import Row, Silent, pictures, table, works

# Two large classes and two small ones; six artists paint in two classes each.
WORKS = {
    ("Claude Monet", "Impressionism"): 12,
    ("Monet, Claude", "Impressionism"): 4,
    ("Berthe Morisot", "impressionism"): 6,
    ("Berthe Morisot", "Realism"): 2,
    ("Gustave Courbet", "Realism"): 9,
    ("Rosa Bonheur", "Realism"): 5,
    ("Georges Braque", "Cubism"): 5,
    ("Juan Gris", "Cubism"): 4,
    ("Georges Braque", "Fauvism"): 3,
    ("Henri Matisse", "Fauvism"): 3,
    ("", "Realism"): 2,
}
ROWS = works(WORKS)


def request(tmp_path: Path, rows: list[Row] = ROWS, **changes: Any) -> CurateRequest:
    plain = {
        "labels": (table(tmp_path / "labels.csv", rows),),
        "images": None,
        "output": str(tmp_path / "dataset.parquet"),
        "tasks": ("style",),
    }
    return CurateRequest(**plain | changes)


def curated(tmp_path: Path, rows: list[Row] = ROWS, **changes: Any) -> Curated:
    return curate(request(tmp_path, rows, **changes), Silent())


def counts(found: Curated, task: str = "style") -> dict[str, tuple[int, int]]:
    """Train and test images of each class, as the dataset has them."""
    pairs = Counter((row[task], row["split"]) for row in found.dataset.table.to_pylist() if row[task])
    return {term: (pairs[term, "train"], pairs[term, "test"]) for term in found.dataset.tasks[task]}


@pytest.fixture(scope="module")
def evened(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """What undersampling makes of `ROWS`."""
    return curated(tmp_path_factory.mktemp("evened"), balance="undersample")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """The same without balancing."""
    """What the defaults make of `ROWS`."""
    return curated(tmp_path_factory.mktemp("whole"))


def photographed(rows: list[Row], sources: int = 6) -> list[Row]:
    """The works of each artist, photographed by two sources."""
    artists = sorted({row["artist"] for row in rows})
    return [
        row | {"source": f"source {(artists.index(row['artist']) + n % 2) % sources}"} for n, row in enumerate(rows)
    ]


class TestTheDataset:
    def test_classes_are_evened_out_and_split_without_cutting_an_artist(self, evened: Curated) -> None:
        found = evened
        assert {sum(both) for both in counts(found).values()} == {6}
        assert all(train and test for train, test in counts(found).values())
        sides = defaultdict(set)
        for row in found.dataset.table.to_pylist():
            sides[row["group"]].add(row["split"])
        assert all(len(side) == 1 for side in sides.values())
        assert found.dataset.tasks == {"style": ("Cubism", "Fauvism", "Impressionism", "Realism")}

    def test_it_is_what_was_written(self, evened: Curated) -> None:
        read = read_dataset(evened.account.dataset)
        assert read.table.equals(evened.dataset.table)
        assert read.digest == evened.account.digest
        assert read.settings["split"] == [0.75, 0.25]

    def test_spellings_of_one_artist_are_one_group_under_the_commonest(self, whole: Curated) -> None:
        rows = whole.dataset.table.to_pylist()
        monet = [row for row in rows if row["group"] == "claude monet"]
        assert len(monet) == 16
        assert {row["artist"] for row in monet} == {"Claude Monet"}

    def test_without_balancing_every_image_stays(self, whole: Curated) -> None:
        assert {term: sum(both) for term, both in counts(whole).items()} == {
            "Impressionism": 22,
            "Realism": 16,
            "Cubism": 9,
            "Fauvism": 6,
        }

    def test_balancing_does_not_change_anybody_s_side(self, evened: Curated, whole: Curated) -> None:
        sides = [
            {row["image_id"]: row["split"] for row in found.dataset.table.to_pylist()} for found in (whole, evened)
        ]
        assert sides[1].items() <= sides[0].items()

    def test_neither_artists_nor_sources_are_on_both_sides_if_that_is_asked_for(self, tmp_path: Path) -> None:
        rows = photographed(works({(f"Painter {n}", "Realism" if n % 2 else "Cubism"): 6 for n in range(24)}))
        found = curated(tmp_path, rows, group="artist,source", balance="none")
        sides: defaultdict[str, set[str]] = defaultdict(set)
        for row in found.dataset.table.to_pylist():
            sides[row["group"]].add(row["split"])
            sides[row["source"]].add(row["split"])
        assert all(len(side) == 1 for side in sides.values())
        assert all(train and test for train, test in counts(found).values())
        reason = "by artists who are on the test side with another source"
        assert found.account.dropped[reason] == len(rows) - found.account.rows.both > 0

    def test_a_source_is_noted_whatever_is_grouped_by(self, tmp_path: Path) -> None:
        rows = [row | {"source_repo": "a/b" if n % 2 else ""} for n, row in enumerate(ROWS)]
        assert set(curated(tmp_path, rows).dataset.table.column("source").to_pylist()) == {"a/b", None}

    def test_only_the_best_represented_classes_are_kept(self, tmp_path: Path) -> None:
        found = curated(tmp_path, classes=2)
        assert found.dataset.tasks == {"style": ("Impressionism", "Realism")}
        assert found.account.tasks["style"].not_kept == {"Cubism": 9, "Fauvism": 6}

    def test_a_class_may_be_left_out(self, tmp_path: Path) -> None:
        found = curated(tmp_path, classes=2, leave_out=(("style", "impressionism"),))
        assert found.dataset.tasks == {"style": ("Cubism", "Realism")}

    def test_at_random_each_record_stays_on_one_side_and_nobody_s_works_stay_in(self, tmp_path: Path) -> None:
        rows = [row | {"record_id": str(n // 2)} for n, row in enumerate(ROWS)]
        images = pictures(tmp_path / "images", *(row["file"] for row in rows))
        found = curated(tmp_path, rows, images=images, group="none", balance="none")
        table_ = found.dataset.table.to_pylist()
        sides = defaultdict(set)
        for row in table_:
            sides[row["record_id"]].add(row["split"])
        assert all(len(side) == 1 for side in sides.values())
        assert len(table_) == len(rows)
        assert sum(row["group"] is None for row in table_) == 2
        assert all(0.1 < test / (train + test) < 0.4 for train, test in counts(found).values())

    def test_a_row_with_one_label_of_two_tasks_stays_for_that_one(self, tmp_path: Path) -> None:
        rows = [row | {"genre": ("portrait", "landscape", "")[n % 3]} for n, row in enumerate(ROWS)]
        found = curated(tmp_path, rows, tasks=("genre", "style"), balance="none")
        rows_ = found.dataset.table.to_pylist()
        assert sum(row["genre"] is None for row in rows_) > 0
        assert list(found.dataset.tasks) == ["genre", "style"]
        assert counts(found, "genre").keys() == {"portrait", "landscape"}


class TestDeterminism:
    def test_the_order_of_rows_changes_nothing(self, evened: Curated, tmp_path: Path) -> None:
        other = curated(tmp_path, random.Random(3).sample(ROWS, len(ROWS)), balance="undersample")
        assert other.dataset.table.equals(evened.dataset.table)
        assert other.dataset.digest == evened.dataset.digest
        assert other.account.tasks == evened.account.tasks

    def test_another_seed_makes_another_choice(self, evened: Curated, tmp_path: Path) -> None:
        assert curated(tmp_path, seed=1, balance="undersample").dataset.digest != evened.dataset.digest


class TestTheAccount:
    def test_each_image_is_in_the_dataset_or_has_one_reason(self, tmp_path: Path) -> None:
        rows = [*ROWS, {"file": "x.jpg", "artist": "Titian", "style": ""}]
        images = pictures(tmp_path / "images", *(row["file"] for row in rows), "nobody-knows.jpg")
        labels = [*rows, {"file": "lost.jpg", "artist": "Titian", "style": "Mannerism"}]
        account = curated(tmp_path, labels, images=images, classes=3, balance="undersample").account
        assert account.dropped == {
            "described by no catalogue": 1,
            "without an artist": 2,
            "without a label for style": 1,
            "of classes that are not kept": 6,
            "beyond the least class's count": 20,
        }
        assert account.images == len(rows) + 1 == account.rows.both + sum(account.dropped.values())
        (one,) = account.catalogues
        assert (one.rows, one.joined, one.unnamed) == (len(labels), len(rows), 1)

    def test_classes_are_counted_before_and_after_on_each_side(self, evened: Curated) -> None:
        classes = evened.account.tasks["style"].classes
        assert [(one.term, one.before.both, one.groups) for one in classes] == [
            ("Impressionism", 22, 2),
            ("Realism", 16, 3),
            ("Cubism", 9, 2),
            ("Fauvism", 6, 2),
        ]
        assert {one.term: (one.after.train, one.after.test) for one in classes} == counts(evened)

    def test_the_text_says_what_the_data_say(self, tmp_path: Path) -> None:
        rows = [row | {"style": "Vorticism"} if row["style"] == "Fauvism" else row for row in ROWS]
        account = curated(tmp_path, rows).account
        text = describe(account)
        for piece in (
            "rows in labels.csv",
            "dropped: without an artist",
            "Impressionism",
            "Outside the taxonomy of style, kept as given: Vorticism 6.",
            "Taken for one artist: Claude Monet = Monet, Claude.",
            "No images were given",
            account.digest,
        ):
            assert piece in text
        assert all(len(line) < 200 for line in text.splitlines())

    def test_fewer_classes_than_asked_for_and_few_test_images_are_said(self, tmp_path: Path) -> None:
        text = describe(curated(tmp_path, classes=12).account)
        assert "`classes=12`: style has 4 classes, for the images have no others." in text
        assert "style: 4 classes have fewer than 20 test images (" in text
        alone = [*ROWS, {"file": "x.jpg", "artist": "Andy Warhol", "style": "Pop Art"}]
        (tmp_path / "more").mkdir()
        text = describe(curated(tmp_path / "more", alone, classes=12, min_artists=2).account)
        assert "`classes=12`: style has 4 classes, for every other one is left out." in text
        assert "not kept: 1 class, 1 image (Pop Art 1)" in text

    def test_the_charts_lie_beside_the_dataset(self, evened: Curated) -> None:
        charts = evened.account.charts
        folder = Path(evened.account.dataset).parent
        assert charts == tuple(str(folder / f"dataset.{when}.png") for when in ("before", "after"))
        for chart in charts:
            with Image.open(chart) as picture:
                assert picture.format == "PNG"

    def test_one_chart_is_enough_without_balancing(self, whole: Curated) -> None:
        assert [Path(chart).name for chart in whole.account.charts] == ["dataset.classes.png"]

    def test_images_that_are_here_are_shown_with_their_labels(self, tmp_path: Path) -> None:
        images = pictures(tmp_path / "images", *(row["file"] for row in ROWS))
        found = curated(tmp_path, images=images, balance="none")
        assert [Path(chart).name for chart in found.account.charts] == ["dataset.classes.png", "dataset.samples.png"]
        with Image.open(found.account.charts[-1]) as sheet:
            assert sheet.width == 6 * (TILE + 14) + 14
            assert sheet.height > 4 * TILE, "24 images in four rows"


class TestSamples:
    def test_every_class_of_every_task_is_shown_in_turn(self) -> None:
        genres = ["portrait"] * 50 + ["landscape"] * 3 + [None]
        styles = ["Cubism", None] * 27
        names = [f"{number:02}" for number in range(54)]
        table = pa.table({"image_id": names, "genre": genres, "style": styles})
        rows = sample_rows(table, ("genre", "style"), 0)
        assert len(rows) == len(set(rows)) == LEAST
        assert {50, 51, 52} <= set(rows), "all of the small class"
        backwards = sample_rows(table.take(list(range(53, -1, -1))), ("genre", "style"), 0)
        assert [53 - row for row in backwards] == rows, "no order of the rows changes it"

    def test_few_images_are_all_shown(self) -> None:
        table = pa.table({"image_id": ["a", "b", "c"], "genre": ["portrait", "landscape", None]})
        assert sorted(sample_rows(table, ("genre",), 0)) == [0, 1]


ARTISTS = [
    {"name": "Monet, Claude", "nationality": "French", "years": "1840 - 1926"},
    {"name": "COURBET, Gustave", "nationality": "French", "years": "1819 - 1877"},
    {"name": "Gris, Juan", "nationality": "Spanish,French", "years": "1887 - 1927"},
    {"name": "Georges Braqe", "nationality": "French", "years": "1882 - 1963"},
    {"name": "Picasso, Pablo", "nationality": "Spanish", "years": "1881 - 1973"},
]
PAINTED = works(
    {
        ("Claude Monet", "Impressionism"): 4,
        ("Juan Gris", "Impressionism"): 3,
        ("Gustave Courbet", "Realism"): 4,
        ("Pablo Picasso", "Realism"): 3,
        ("Georges Braque", "Realism"): 3,
        ("after Gustave Courbet", "Realism"): 2,
    }
)


class TestArtists:
    def run(self, tmp_path: Path, **changes: Any) -> Curated:
        file = table(tmp_path / "artists.csv", ARTISTS)
        return curated(tmp_path, PAINTED, artists=file, balance="none", **changes)

    def test_only_their_works_are_taken(self, tmp_path: Path) -> None:
        found = self.run(tmp_path)
        assert found.account.dropped == {"by artists that artists.csv does not have": 5}
        groups = set(found.dataset.table.column("group").to_pylist())
        assert groups == {"claude monet", "gris juan", "courbet gustave", "pablo picasso"}

    def test_nationality_and_period_come_with_them(self, tmp_path: Path) -> None:
        rows = self.run(tmp_path).dataset.table.to_pylist()
        told = {row["group"]: (row["nationality"], row["period"]) for row in rows}
        assert told["gris juan"] == ("Spanish", "1900-1949")
        assert told["courbet gustave"] == ("French", "1850-1899")

    def test_they_may_be_tasks(self, tmp_path: Path) -> None:
        found = self.run(tmp_path, tasks=("nationality", "period"), group="none")
        assert found.dataset.tasks == {
            "nationality": ("French", "Spanish"),
            "period": ("1850-1899", "1900-1949"),
        }

    def test_who_is_missing_is_told_with_who_it_may_be(self, tmp_path: Path) -> None:
        artists = self.run(tmp_path).account.artists
        assert (artists.rows, artists.matched, artists.not_in_file) == (5, 4, 1)
        assert artists.without_images == {"Georges Braqe": "Georges Braque"}
        assert artists.perhaps == {"Georges Braque": "Georges Braqe"}

    def test_a_catalogue_s_own_column_comes_first(self, tmp_path: Path) -> None:
        rows = [row | {"nationality": "Catalan" if row["artist"] == "Juan Gris" else ""} for row in PAINTED]
        file = table(tmp_path / "artists.csv", ARTISTS)
        found = curated(tmp_path, rows, artists=file, balance="none").dataset.table.to_pylist()
        assert {row["nationality"] for row in found if row["group"] == "gris juan"} == {"Catalan"}
        assert {row["nationality"] for row in found if row["group"] == "claude monet"} == {"French"}


class TestImages:
    def test_a_manifest_s_own_metadata_are_labels_enough(self, tmp_path: Path) -> None:
        images = pictures(tmp_path / "images", *(row["file"] for row in ROWS))
        manifest = str(tmp_path / "manifest.parquet")
        scan(images, manifest, metadata=table(tmp_path / "m.csv", ROWS), id_column="file")
        found = curated(tmp_path, labels=(), images=manifest)
        assert found.dataset.digest == curated(tmp_path, images=manifest).dataset.digest
        assert found.account.present
        assert Path(found.dataset.table.column("uri")[0].as_py()).is_file()

    def test_a_generated_sample_is_curated(self, tmp_path: Path) -> None:
        write_sample(tmp_path / "sample", 64, size="32x32")
        labels, images = (str(tmp_path / "sample" / name) for name in ("metadata.csv", "images"))
        found = curated(tmp_path, labels=(labels,), images=images, tasks=("genre", "style"), classes=4)
        assert len(found.dataset.tasks["genre"]) == len(found.dataset.tasks["style"]) == 4
        assert found.account.dropped.keys() <= {"of classes that are not kept", "beyond the least class's count"}
        assert found.dataset.table.column("nationality").null_count == 0


class TestMistakes:
    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"output": "dataset.csv"}, r"\.parquet"),
            ({"tasks": ()}, "`tasks"),
            ({"tasks": ("style", "style")}, "`tasks"),
            ({"tasks": ("split",)}, "'split' cannot"),
            ({"balance": "oversample"}, "`balance"),
            ({"group": "museum"}, "`group"),
            ({"classes": 1}, "`classes=1`"),
            ({"seed": -1}, "`seed"),
            ({"split": (0.8, 0.1)}, "`split=0.8,0.1`"),
            ({"split": (1.0, 0.0)}, "`split"),
            ({"split": (0.6, 0.2, 0.2)}, "`split"),
            ({"leave_out": (("genre", "portrait"),)}, "none of the tasks"),
        ],
    )
    def test_arguments_that_make_no_sense(self, changes: dict[str, Any], says: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=says):
            request(tmp_path, **changes)

    def test_a_column_that_no_catalogue_has(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"no column 'genre'|has a column 'genre' \(labels\.csv has: file, artist"):
            curated(tmp_path, tasks=("genre",))

    def test_a_task_that_only_an_artists_file_could_tell(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="`artists` with a column of nationalities"):
            curated(tmp_path, tasks=("nationality",))

    def test_grouping_by_artists_without_any(self, tmp_path: Path) -> None:
        rows = [{"file": row["file"], "style": row["style"]} for row in ROWS]
        with pytest.raises(UsageError, match=r"'artist'.*`group='none'`"):
            curated(tmp_path, rows)

    def test_grouping_by_sources_without_any(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="column that says where a photograph is from"):
            curated(tmp_path, group="artist,source")

    def test_a_class_with_one_source(self, tmp_path: Path) -> None:
        rows = [row | {"source": "b" if n % 2 and row["style"] != "Fauvism" else "a"} for n, row in enumerate(ROWS)]
        with pytest.raises(InputError, match=r"(?s)one source .* style 'Fauvism' \(a\)\n.*\['style=Fauvism'\]`$"):
            curated(tmp_path, rows, group="artist,source")

    def test_a_class_with_one_artist(self, tmp_path: Path) -> None:
        rows = [*ROWS, {"file": "x.jpg", "artist": "Andy Warhol", "style": "Pop Art"}]
        with pytest.raises(
            InputError,
            match=r"(?s)one artist .* style 'Pop Art' \(Andy Warhol\)\n.*`group='none'`.*\n  `min_artists=2`$",
        ):
            curated(tmp_path, rows)
        assert not (tmp_path / "dataset.parquet").exists()

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no folder or file .*nowhere"):
            curated(tmp_path, images=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(("text", "shares"), [("0.75,0.25", (0.75, 0.25)), ("0.7, 0.3", (0.7, 0.3)), ("1", (1.0,))])
def test_shares_are_read_as_they_are_given(text: str, shares: tuple[float, ...]) -> None:
    assert parse_split(text) == shares


def test_shares_are_numbers() -> None:
    with pytest.raises(UsageError, match="`split='3:1'`"):
        parse_split("3:1")


def test_classes_to_leave_out_name_their_task() -> None:
    assert parse_left_out(["style=Pop Art", "a=b=c"]) == (("style", "Pop Art"), ("a", "b=c"))
    with pytest.raises(UsageError, match=r"`leave_out=\['Pop Art'\]`"):
        parse_left_out(["Pop Art"])
