"""Splits that somebody else has made are taken as they are, and what they leak is said."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import encoded_corpus

from noternn.config.dataset import FolderDataset
from noternn.corpus.splits import SPLITS, EncodedCorpus
from noternn.datasets.ready_made import folder_splits, table_splits
from noternn.errors import UserError

TrainTiny = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train/a", "valid/b", "test/c"], ["train", "validation", "test"]),
        (["Train/x/a", "Val/b"], ["train", "validation"]),
        (["training/a", "dev/b", "testing/c"], ["train", "validation", "test"]),
        (["train/a", "validation/b", "c"], None),
        (["train/a", "validation/b", "chrono/c"], None),
        (["train/a", "test/b"], None),
        (["a", "b"], None),
        ([], None),
    ],
    ids=str,
)
def test_folders_are_a_split_if_all_files_lie_in_such(names: list[str], expected: list[str] | None) -> None:
    assert folder_splits(names) == (expected and dict(zip(names, expected, strict=True)))


NAMES = ["a.mid", "x/b.mid", "y/b.mid", "y/c, d.mid"]


def write(folder: Path, text: str) -> Path:
    path = folder / "split.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_table_says_the_split_of_each_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'file,split\na.mid,train\nx/b.mid,valid\ny/b.mid,TEST\n"y/c, d.mid",train\n')
    splits = ["train", "validation", "test", "train"]
    assert table_splits(path, NAMES) == dict(zip(NAMES, splits, strict=True))


def test_table_may_be_that_of_maestro(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "\ufeffcanonical_composer,split,year,midi_filename\nBach,train,2004,2004/a.midi\n"
        "Haydn,validation,2006,2006/b.midi\n",
    )
    names = ["maestro/2004/a.midi", "maestro/2006/b.midi"]
    assert list(table_splits(path, names).values()) == ["train", "validation"]


def test_what_only_one_of_table_and_folder_has_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, "file,split\na.mid,train\nx/b.mid,valid\nb.mid,test\nnowhere.mid,test\n")
    assert table_splits(path, NAMES) == {"a.mid": "train", "x/b.mid": "validation"}
    assert "2 of its 4 files are not in the corpus, or not under a name of their own (b.mid" in caplog.text
    assert "it names no split for 2 of 4 files: they are left out" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,split\na.mid,train\n", "puts no file of the corpus into validation"),
        ("file,split\na.mid,train\nx/b.mid,holdout\n", "'holdout'; it must be train, validation or test"),
        (
            "file,split\na.mid,train\na.mid,train\nx/b.mid,valid\na.mid,test\n",
            "a.mid is of train in line 2 and of test in line 5",
        ),
        ("song,split\na.mid,train\n", "columns must be one of file, .* it has song, split"),
        ("", "it has none"),
    ],
    ids=["empty split", "unknown split", "two splits", "no file column", "empty"],
)
def test_table_that_is_none_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        table_splits(write(tmp_path, text), NAMES)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"], ids=["missing", "not text"])
def test_table_that_cannot_be_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content:
        (tmp_path / "split.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"dataset\.split=.*; give a CSV table, auto or content"):
        table_splits(tmp_path / "split.csv", NAMES)


@pytest.fixture
def folder(midi_folder: Callable[[int], Path]) -> Path:
    """Six pieces in folders train, valid and test, and one of the training pieces again in valid."""
    folder = midi_folder(6)
    for i, split in enumerate(["train", "train", "train", "train", "valid", "test"]):
        (folder / split).mkdir(exist_ok=True)
        (folder / f"piece_{i:03d}.mid").rename(folder / split / f"piece_{i:03d}.mid")
    shutil.copy(folder / "train" / "piece_000.mid", folder / "valid" / "again.mid")
    return folder


def encoded(folder: Path, split: str = "auto") -> EncodedCorpus:
    dataset = FolderDataset(
        name="folder", path=str(folder), split=split, validation_fraction=0.3, test_fraction=0.3
    )
    return encoded_corpus(dataset, {"name": "event"})


def test_folders_are_taken_as_they_are_and_their_leak_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    corpus = encoded(folder)
    assert sorted(corpus.names["validation"]) == ["valid/again.mid", "valid/piece_004.mid"]
    assert corpus.names["test"] == ["test/piece_005.mid"]
    assert len(corpus.names["train"]) == 4
    assert corpus.num_crossing == 1
    assert 0.3 < corpus.leak.grouped == corpus.leak.ungrouped < 0.8
    assert "the folders of dataset=folder are its split; dataset.split=content makes one" in caplog.text


def test_folders_are_passed_over_where_the_split_is_to_be_by_content(folder: Path) -> None:
    corpus = encoded(folder, split="content")
    assert corpus.num_crossing == 0
    together = [{"valid/again.mid", "train/piece_000.mid"} <= set(corpus.names[name]) for name in SPLITS]
    assert sum(together) == 1


def test_run_says_what_a_ready_made_split_leaks(
    folder: Path, train_tiny: TrainTiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train_tiny(tmp_path / "run", "trainer.max_epochs=1", folder=folder)
    [told] = [r.getMessage() for r in caplog.records if "1 of the groups have pieces in several" in r.message]
    assert "of the validation notes" in told


def test_files_that_a_table_leaves_out_are_in_no_split(
    folder: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    rows = "file,split\ntrain/piece_000.mid,validation\npiece_001.mid,train\n"
    table = write(tmp_path, rows)
    train_tiny(tmp_path / "run", "trainer.max_epochs=1", f"dataset.split={table}", folder=folder)
    assert '"validation": {\n  "train/piece_000.mid"' in (tmp_path / "run" / "split.json").read_text()
    assert "piece_002" not in (tmp_path / "run" / "split.json").read_text()


def test_split_whose_validation_files_are_all_broken_is_refused(folder: Path) -> None:
    for path in (folder / "valid").iterdir():
        path.write_text("hello")
    with pytest.raises(
        UserError, match=r"none of the validation files could be read.*nothing to validate on"
    ):
        encoded(folder)
