"""Pieces that are named as `corpus` prints them, and files that are not read."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from helpers import small_piece

import noternn
from noternn.__main__ import main
from noternn.corpus.loading import with_split
from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.configured import ready_made_split, sources_of
from noternn.datasets.sources import folder_sources, sample_sources
from noternn.errors import UserError
from noternn.launch.command_line import corpus_settings
from noternn.music.midi import write_midi

BOOK = "X:1\nT:One\nM:4/4\nL:1/4\nK:C\nC D E F|\n\nX:2\nT:Two\nM:4/4\nL:1/4\nK:C\nG A B c|\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "book.abc").write_text(BOOK)
    write_midi(small_piece(0), tmp_path / "a.mid")
    return tmp_path


def test_a_tune_of_a_book_is_read_by_its_number(folder: Path) -> None:
    assert noternn.read(folder / "book.abc#2").pitch.tolist() == [67, 69, 71, 72]
    assert noternn.read(str(folder / "book.abc#1")).pitch.tolist() == [60, 62, 64, 65]
    assert noternn.read(folder / "a.mid#1").num_notes == small_piece(0).num_notes


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("book.abc", "holds 2 pieces; name one of them: {folder}/book.abc#1 to {folder}/book.abc#2"),
        ("book.abc#3", "has no piece '3'; the number after # must be 1 to 2"),
        ("book.abc#0", "has no piece '0'; the number after # must be 1 to 2"),
        ("book.abc#", "has no piece ''; the number after # must be 1 to 2"),
        ("book.abc#two", "has no piece 'two'; the number after # must be 1 to 2"),
        ("a.mid#2", "has no piece '2'; the number after # must be 1"),
        ("none.abc#2", "cannot be opened"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(folder: Path, name: str, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        noternn.read(folder / name)
    assert reason.format(folder=folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_whose_name_holds_the_sign_is_opened(folder: Path) -> None:
    for name in ("a#2.mid", "#1.mid", "book.abc#2"):
        write_midi(small_piece(3), folder / name)
    for name in ("a#2.mid", "#1.mid"):
        assert noternn.read(folder / name).num_notes == small_piece(3).num_notes
    assert noternn.read(folder / "book.abc#2").num_notes == small_piece(3).num_notes


def test_commands_take_the_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_midi(small_piece(1), folder / "b.mid")
    book = str(folder / "book.abc#2")
    assert main(["tokens", book]) == 0
    assert "4 notes" in capsys.readouterr().out
    assert main(["audit", book, "--against", str(folder / "a.mid")]) == 0
    assert "book.abc#2" in capsys.readouterr().out
    assert main(["audit", str(folder / "book.abc#3"), "--against", str(folder / "a.mid")]) == 1
    assert "must be 1 to 2" in capsys.readouterr().err


def test_a_lump_of_a_wad_is_read_by_its_name() -> None:
    wads = pytest.importorskip("noternn.datasets.freedoom")
    try:
        [path, *_] = wads.freedoom_wads()
    except UserError as error:
        pytest.skip(str(error))
    lump = next(iter(wads.music_lumps(path)))[0].name
    assert noternn.read(f"{path}#{lump}").num_notes
    with pytest.raises(UserError, match=f"has no music 'D_NONE'; it has .*{lump}"):
        noternn.read(f"{path}#D_NONE")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a.mscz", "in the format of MuseScore, which is not read; export MusicXML or MIDI from MuseScore"),
        ("a.MSCX", "in the format of MuseScore"),
        ("a.gp5", "Guitar Pro, which is not read; open it in MuseScore and export MusicXML or MIDI"),
        ("a.mei", "in the format of MEI"),
        ("a.ly", "in the format of LilyPond, which is not read; let LilyPond write MIDI"),
        ("a.sib", "export MusicXML or MIDI from Sibelius"),
    ],
)
def test_other_formats_are_named_with_what_to_do(folder: Path, name: str, why: str) -> None:
    (folder / name).write_bytes(b"PK\x03\x04")
    corpus = tokenize_corpus(folder_sources(folder), {"name": "event"}, cache_dir=None, num_processes=0)
    [skipped] = corpus.skipped
    assert skipped.name == name
    assert why in skipped.reason
    with pytest.raises(UserError, match="which is not read"):
        noternn.read(folder / name)


def test_a_missing_file_of_another_format_is_missing(folder: Path) -> None:
    with pytest.raises(UserError, match="cannot be opened"):
        noternn.read(folder / "none.mscz")


def test_a_folder_of_other_formats_alone_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.mscz").touch()
    (tmp_path / "b.gp").touch()
    with pytest.raises(UserError) as caught:
        sources_of(corpus_settings(str(tmp_path), []).dataset)
    assert "none of the 2 files of music" in str(caught.value)
    assert "a.mscz is a score in the format of MuseScore, which is not read" in str(caught.value)


def test_other_formats_change_neither_choice_nor_split(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for part in ("train", "valid"):
        (folder / part).mkdir()
        write_midi(small_piece(5), folder / part / "a.mid")
    for name in ("a.mid", "book.abc"):
        (folder / name).unlink()
    before = folder_sources(folder)
    dataset = corpus_settings(str(folder), []).dataset
    split = ready_made_split(dataset, before)
    (folder / "score.mscz").touch()
    after = folder_sources(folder)
    with caplog.at_level(logging.INFO):
        assert ready_made_split(dataset, after) == split
    assert split
    assert [source.name for source in with_split(after, split)] == sorted([*split, "score.mscz"])
    assert sample_sources(after, 2) == sample_sources(before, 2)


def test_what_is_left_out_of_a_folder_is_counted_and_named(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (".b.mid", "notes.txt", "more.txt", "README"):
        (folder / name).write_text("x")
    (folder / ".git").mkdir()
    caplog.set_level(logging.INFO)
    assert [source.name for source in folder_sources(folder)] == ["a.mid", "book.abc#1", "book.abc#2"]
    [line] = [message for message in caplog.messages if "left out" in message]
    assert line.endswith("left out, as no music: 2 .txt; 1 without a suffix; 2 hidden (.b.mid, .git)")
