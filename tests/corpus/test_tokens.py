"""`python -m noternn tokens`: a file's tokens against its bars and beats."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from noternn.__main__ import main
from noternn.music.midi import write_midi
from noternn.music.piece import Piece
from noternn.tokenizer import build_tokenizer

REPOSITORY = Path(__file__).parents[2]
MakePiece = Callable[[int], Piece]
Capture = pytest.CaptureFixture[str]
TOKENIZERS = [
    {"name": "event"},
    {"name": "event", "program": True, "velocity": True, "max_shift_beats": 1, "max_duration_beats": 1},
    {"name": "chord"},
    {"name": "chord", "durations": False, "rests": False},
    {"name": "chord", "max_beats": 1, "pitch_class": True},
]


@pytest.fixture
def waltz(tmp_path: Path) -> Path:
    """A pickup, a chord, a rest and a held note in 3/4."""
    piece = Piece.from_notes(
        [0, 480, 480, 1440, 1920], [480, 480, 480, 360, 1440], [67, 60, 64, 62, 72],
        metres=((0, 1, 4), (480, 3, 4)),
    )  # fmt: skip
    write_midi(piece, tmp_path / "waltz.mid")
    return tmp_path / "waltz.mid"


def lines(capsys: Capture, *arguments: object) -> list[str]:
    """What a successful command prints."""
    assert main(["tokens", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def test_events_stand_against_bars_and_beats(waltz: Path, capsys: Capture) -> None:
    assert lines(capsys, waltz) == [
        "bar  beat  tokens",
        "  1  1.00  Pitch_67 Duration_12",
        "  2  1.00  Shift_12 Pitch_64 Duration_12 Pitch_60 Duration_12",
        "  2  3.00  Shift_24 Pitch_62 Duration_9",
        "  3  1.00  Shift_12 Pitch_72 Duration_36",
        "5 notes, 13 tokens; 100.0% of the notes come back, "
        "with errors of 0.000 beats in onset, 0.000 in duration",
    ]


def test_chords_stand_against_bars_and_beats(waltz: Path, capsys: Capture) -> None:
    assert lines(capsys, waltz, "--tokenizer", "chord")[1:4] == [
        "  1  1.00  67 Duration_12",
        "  2  1.00  60.64 Duration_12 Rest_12",
        "  2  3.00  62 Duration_9 Rest_3",
    ]


def test_what_the_tokens_lose_is_told(tmp_path: Path, capsys: Capture) -> None:
    piece = Piece.from_notes([0, 490], 480, [60, 36], is_drum=[False, True])
    write_midi(piece, tmp_path / "a.mid")
    told = lines(capsys, tmp_path / "a.mid", "--tokenizer", "chord")[-1]
    assert "2 notes, 2 tokens; 50.0% of the notes come back" in told


def test_instruments_and_drums_of_a_file_are_written(tmp_path: Path, capsys: Capture) -> None:
    piece = Piece.from_notes([0, 490], 480, [60, 36], is_drum=[False, True])
    write_midi(piece, tmp_path / "a.mid")
    told = lines(capsys, tmp_path / "a.mid")
    assert "Program_drum Drum_36" in told[2]
    assert "100.0% of the notes come back" in told[-1]


@pytest.mark.parametrize("options", TOKENIZERS, ids=str)
def test_groups_by_onset_are_all_tokens_at_the_times_of_their_notes(
    options: dict[str, object], make_piece: MakePiece
) -> None:
    piece = make_piece(3)
    tokenizer = build_tokenizer(**options)  # type: ignore[arg-type]
    groups = tokenizer.tokens_by_onset(piece)
    assert [token for _, group in groups for token in group] == tokenizer.tokenize(piece)
    assert [onset for onset, _ in groups] == sorted({onset // 40 for onset in piece.onset.tolist()})
    for onset, group in groups:
        num_notes = int((piece.onset == onset * 40).sum())
        # pitch classes may coincide
        assert 0 < sum(tokenizer.note_count(token) for token in group) <= num_notes


@pytest.mark.parametrize(
    ("content", "reason"), [(b"hello", "not a MIDI file"), (b"", "file is empty"), (None, "cannot be opened")]
)
def test_broken_file_is_answered_in_one_line(
    content: bytes | None, reason: str, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "broken.mid"
    if content is not None:
        path.write_bytes(content)
    assert main(["tokens", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {path}: {reason}")
    assert err.count("\n") == 1


def test_file_of_drums_is_answered_in_one_line(tmp_path: Path, capsys: Capture) -> None:
    write_midi(Piece.from_notes([0], 480, [36], is_drum=True), tmp_path / "a.mid")
    assert main(["tokens", str(tmp_path / "a.mid"), "--tokenizer", "chord"]) == 1
    assert capsys.readouterr().err.endswith("holds no notes that this tokenizer can write (only drums?)\n")


def test_tokens_need_no_torch_and_a_reader_may_leave_early(waltz: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [sys.executable, "-m", "noternn", "tokens", str(waltz)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])},
        stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, b"")
