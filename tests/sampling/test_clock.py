"""A continuation goes on in the tempo, metre and bars of its primer; without one, in those of its corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TrainTiny, small_piece

import noternn
from noternn.__main__ import main
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece
from noternn.sampling.clock import clock_of
from noternn.tokenizer import EventTokenizer

Metres = tuple[tuple[float, int, int], ...]


def piece(onsets: list[float], metres: Metres = (), tempos: tuple[tuple[float, float], ...] = ()) -> Piece:
    """A piece of quarter notes; times are in beats."""
    return Piece.from_notes(
        np.array(onsets) * 480,
        [480] * len(onsets),
        [60] * len(onsets),
        metres=[(round(beat * 480), *metre) for beat, *metre in metres],
        tempos=[(round(beat * 480), tempo) for beat, tempo in tempos] or [(0, 120.0)],
    )


@pytest.mark.parametrize(
    ("onsets", "metres", "expected"),
    [
        ([0, 1, 2], ((0, 3, 4),), [(0, 3, 4)]),
        ([0, 1, 2], (), [(0, 4, 4)]),
        ([0, 1, 4], ((0, 1, 4), (1, 3, 4)), [(0, 1, 4), (1, 3, 4)]),
        ([3, 4, 5], ((0, 4, 4),), [(0, 1, 4), (1, 4, 4)]),
        ([4, 5], ((0, 4, 4),), [(0, 4, 4)]),
        ([2, 3, 4], ((0, 3, 4),), [(0, 1, 4), (1, 3, 4)]),
        ([3.5, 4], ((0, 4, 4),), [(0, 1, 8), (0.5, 4, 4)]),
        ([0.5, 1], ((0, 1, 4), (1, 3, 4)), [(0, 1, 8), (0.5, 3, 4)]),
        ([2.5, 3], ((0, 6, 8),), [(0, 1, 8), (0.5, 6, 8)]),
        ([3 + 1 / 3, 4], ((0, 4, 4),), [(0, 4, 4)]),
        ([0, 5, 9], ((0, 4, 4), (8, 3, 4)), [(0, 4, 4), (8, 3, 4)]),
        ([0, 5], ((0, 4, 4), (8, 3, 4), (11, 2, 4)), [(0, 4, 4), (8, 3, 4)]),
        ([0, 2], ((0, 4, 4), (8, 3, 4)), [(0, 4, 4)]),
        ([9, 10], ((0, 4, 4), (8, 3, 4)), [(0, 2, 4), (2, 3, 4)]),
        ([0, 1], ((0, 5, 7), (4, 3, 4)), [(0, 4, 4), (4, 3, 4)]),
    ],
)
def test_bars_go_on_where_the_primer_has_them(
    onsets: list[float], metres: Metres, expected: list[tuple[float, int, int]]
) -> None:
    clock = clock_of(piece(onsets, metres), EventTokenizer())
    assert [metre[1:] for metre in clock.metres] == [metre[1:] for metre in expected]
    assert [metre[0] for metre in clock.metres] == pytest.approx([metre[0] for metre in expected])


def test_tempos_until_the_end_of_the_primer_are_kept() -> None:
    tempos = ((0, 60.0), (2, 90.0), (3, 100.0), (20, 200.0))
    clock = clock_of(piece([2.5, 3, 4], tempos=tempos), EventTokenizer())
    assert clock.tempos == [(0.0, 90.0), (0.5, 100.0)]
    assert clock.last_tempo == 100


def test_drums_that_are_not_written_are_not_the_start() -> None:
    drums = piece([0, 1, 2, 3], ((0, 4, 4),))
    both = Piece.from_notes(
        [0, 480, 1440], [480] * 3, [60] * 3, is_drum=[True, True, False], metres=drums.metres
    )
    assert list(clock_of(both, EventTokenizer()).metres) == [(0.0, 1, 4), (1.0, 4, 4)]
    assert list(clock_of(both, EventTokenizer(program=True)).metres) == [(0.0, 4, 4)]


def test_a_continuation_takes_over_the_clock(tiny_run: Path, tmp_path: Path) -> None:
    primer = piece([2, 3, 4, 5, 6], ((0, 3, 4),), ((0, 60.0),))
    write_midi(primer, tmp_path / "in.mid")
    out = tmp_path / "out.mid"
    assert main(["generate", str(tiny_run), "-o", str(out), "--primer", str(tmp_path / "in.mid")]) == 0
    read = read_midi(out)
    assert read.tempos == ((0, 60.0),)
    assert read.metres == ((0, 1, 4), (read.ticks_per_beat, 3, 4))
    bars, beats = read.bars_and_beats(read.onset[:5])
    assert list(zip(bars.tolist(), beats.tolist(), strict=True)) == [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1)]
    sample = noternn.load(tiny_run).compose(8, primer=primer)
    assert sample.metres == read.metres
    assert sample.tempos == ((0, 60.0),)


def test_a_length_in_seconds_is_one_of_the_primers_tempo(tiny_run: Path, tmp_path: Path) -> None:
    primer = piece([0, 1, 2, 3], tempos=((0, 60.0),))
    write_midi(primer, tmp_path / "in.mid")
    out = tmp_path / "out.mid"
    length = ["--primer", str(tmp_path / "in.mid"), "--seconds", "10"]
    assert main(["generate", str(tiny_run), "-o", str(out), *length]) == 0
    read = read_midi(out)
    assert read.beats <= 4 + 10 * 9 / 8 + 4  # an eighth, and a bar in which the last notes ring on
    assert main(["generate", str(tiny_run), "-o", str(out), *length, "--exact"]) == 0
    read = read_midi(out)
    assert read.beats <= 4 + 10
    assert read.seconds(np.array([read.end])) <= 14


def test_a_sample_has_the_metre_of_most_of_the_training_music(tmp_path: Path, train_tiny: TrainTiny) -> None:
    folder = tmp_path / "music"
    for seed in range(12):
        metre = (0, 3, 4) if seed % 4 else (0, 4, 4)
        made = small_piece(seed)
        changed = Piece.from_notes(made.onset, made.duration, made.pitch, metres=[metre], tempos=made.tempos)
        write_midi(changed, folder / f"{seed:02d}.mid")
    run = tmp_path / "run"
    train_tiny(run, folder=folder)
    assert noternn.load(run).compose(8).metres == ((0, 3, 4),)
    assert read_midi(run / "sample.mid").metres == ((0, 3, 4),)
    checkpoint = torch.load(run / "best.ckpt", weights_only=True)
    del checkpoint["noternn"]["metre"]  # as older versions wrote it
    torch.save(checkpoint, tmp_path / "old.ckpt")
    assert noternn.load(tmp_path / "old.ckpt").compose(8).metres == ((0, 4, 4),)
