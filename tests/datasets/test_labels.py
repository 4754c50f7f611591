"""Which label a piece has: by its folder, by the dataset that it is of, or by a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from noternn.config.dataset import FolderDataset, UnionDataset
from noternn.datasets.labels import labels_of
from noternn.errors import UserError

FOLDER = FolderDataset(name="folder", path="music")


def test_the_folder_below_the_datasets() -> None:
    names = ["zelda/a.mid", "zelda/gb/b.mid", "top.mid", "chrono/book.abc#2"]
    found = {"zelda/a.mid": "zelda", "zelda/gb/b.mid": "zelda", "chrono/book.abc#2": "chrono"}
    assert labels_of(FOLDER, "folder", names) == found


def test_within_the_folders_of_a_split() -> None:
    names = ["train/zelda/a.mid", "valid/zelda/b.mid", "train/c.mid"]
    assert labels_of(FOLDER, "folder", names) == {names[0]: "zelda", names[1]: "zelda"}


def test_the_dataset_that_a_piece_is_of() -> None:
    more = ["a.mid", "/freedoom/D_E1M1"]
    assert labels_of(FOLDER, "dataset", more) == {"a.mid": "folder", "/freedoom/D_E1M1": "freedoom"}
    union = UnionDataset(name="all", paths={"zelda": "z"}, corpora=["classical"])
    names = ["zelda/a/b.mid", "classical/joplin.xml"]
    assert labels_of(union, "dataset", names) == dict(zip(names, ("zelda", "classical"), strict=True))


def test_a_table_finds_a_file_by_the_end_of_its_path(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.mid,sad\nx/b.mid, gay \nc.mid,\nmissing.mid,sad\n")
    assert labels_of(FOLDER, str(table), ["deep/a.mid", "x/b.mid", "y/b.mid", "c.mid"]) == {
        "deep/a.mid": "sad",
        "x/b.mid": "gay",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file,mood\na.mid,sad\n", "its columns must be one of .*, and label; it has file, mood"),
        ("file,label\na.mid,sad\na.mid,gay\n", r"a\.mid has another label in line 3 than before"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_in_a_line(tmp_path: Path, text: str, reason: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(UserError, match=reason):
        labels_of(FOLDER, str(table), ["a.mid"])
