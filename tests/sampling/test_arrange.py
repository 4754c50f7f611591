"""Composing around given notes: they stay as they are, and nothing else changes where nothing is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import small_piece

from noternn.__main__ import main
from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece, select_tracks
from noternn.sampling.arrange import harmonize, infill
from noternn.sampling.composer import Composer, load_composer
from noternn.sampling.wishes import Wishes
from noternn.tokenizer import ChordTokenizer, Codec

OPTIONS = Sampling(top_p=1.0)


@pytest.fixture(scope="module")
def composer(tiny_run: Path) -> Composer:
    return load_composer(tiny_run / "best.ckpt")


def notes_of(piece: Piece) -> set[tuple[int, ...]]:
    columns = (piece.onset, piece.duration, piece.pitch, piece.velocity, piece.program)
    return set(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize(
    "span", [(4 * 480, 8 * 480), (0, 8 * 480), (24 * 480, 10**6), (4 * 480 + 7, 8 * 480)]
)
def test_a_gap_is_filled_and_all_else_stays(composer: Composer, span: tuple[int, int]) -> None:
    piece = small_piece(1)
    filled = infill(composer, piece, span, OPTIONS, 4)
    is_in = (piece.onset >= span[0]) & (piece.onset < span[1])
    kept = notes_of(piece.select(~is_in))
    new = notes_of(filled.piece) - kept
    assert kept <= notes_of(filled.piece)
    assert len(new) == filled.num_composed > 0
    step = 480 // composer.codec.tokenizer.steps_per_beat
    assert all(span[0] - step < onset < span[1] for onset, *_ in new)
    assert filled.piece.tempos == piece.tempos
    assert filled == replace(infill(composer, piece, span, OPTIONS, 4), piece=filled.piece)


def test_a_melody_stays_and_all_else_is_below_it(composer: Composer) -> None:
    melody = select_tracks(small_piece(2), "melody")
    filled = harmonize(composer, melody, OPTIONS, 8)
    given, new = notes_of(melody), notes_of(filled.piece) - notes_of(melody)
    assert given <= notes_of(filled.piece)
    assert len(new) == filled.num_composed > 0
    for onset, _, pitch, *_ in new:
        sounding = [p for start, duration, p, *_ in given if start <= onset < start + duration]
        assert not sounding or pitch < max(sounding)


def test_no_more_notes_sound_together_than_are_wanted(composer: Composer) -> None:
    melody = select_tracks(small_piece(2), "melody")
    piece = harmonize(composer, melody, OPTIONS, 16, Wishes(is_below=True, most_at_once=2)).piece
    ends = piece.onset + piece.duration
    assert max(int(((piece.onset <= t) & (ends > t)).sum()) for t in piece.onset) <= 2


def test_only_ids_that_are_wanted_are_composed(composer: Composer) -> None:
    white = np.array([pitch % 12 in (0, 2, 4, 5, 7, 9, 11) for pitch in composer.codec.token_pitches()])
    piece = small_piece(1)
    filled = infill(composer, piece, (1920, 3840), OPTIONS, 16, Wishes(ids=white))
    for _, _, pitch, *_ in notes_of(filled.piece) - notes_of(piece):
        assert pitch % 12 in (0, 2, 4, 5, 7, 9, 11)


def test_a_melody_outside_the_vocabulary_is_named(composer: Composer) -> None:
    with pytest.raises(UserError, match="the pitches 127"):
        harmonize(composer, Piece.from_notes([0], [480], [127]), OPTIONS, 4)


def test_another_tokenizer_is_refused(composer: Composer) -> None:
    chords = replace(composer, codec=Codec(ChordTokenizer(), composer.codec.vocabulary))
    with pytest.raises(UserError, match="train with event"):
        infill(chords, small_piece(1), (0, 480), OPTIONS, 4)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    write_midi(small_piece(3), tmp_path / "song.mid")
    return tmp_path / "song.mid"


@pytest.mark.parametrize("where", [["--bars", "2-3"], ["--beats", "4-12"]])
def test_the_command_fills_bars(
    tiny_run: Path, song: Path, where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mid"
    main(["generate", str(tiny_run), "--infill", str(song), *where, "-o", str(out), "--particles", "4"])
    assert "notes composed in " in capsys.readouterr().out
    before, after = read_midi(song), read_midi(out)
    outside = (before.onset < 4 * before.ticks_per_beat) | (before.onset >= 12 * before.ticks_per_beat)
    assert len(notes_of(before.select(outside)) - notes_of(after)) <= 2  # of keys that are struck again


def test_the_command_harmonizes_the_highest_notes(tiny_run: Path, song: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mid"
    options = ["--melody", str(song), "--keep", "soprano", "--particles", "4", "-o", str(out)]
    main(["generate", str(tiny_run), *options])
    assert read_midi(out).num_notes > select_tracks(read_midi(song), "melody").num_notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--infill", "SONG"], "--infill needs --bars A-B or --beats A-B"),
        (["--infill", "SONG", "--bars", "1", "--beats", "0-4"], "--infill needs --bars A-B or --beats A-B"),
        (["--bars", "1-2"], "it needs that file"),
        (["--beats", "1-2"], "it needs that file"),
        (["--keep", "soprano"], "it needs that file"),
        (["--infill", "SONG", "--bars", "90-99"], "has 8 bars"),
        (["--infill", "SONG", "--beats", "900-999"], "ends at beat"),
        (["--melody", "SONG", "--keep", "40"], "no notes to keep"),
    ],
)
def test_what_cannot_be_arranged_is_one_line(
    tiny_run: Path, song: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(song) if option == "SONG" else option for option in options]
    assert main(["generate", str(tiny_run), *given, "-o", str(song.with_name("out.mid"))]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
