"""Noise is told by what damage costs the network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from noternn.health.checkup import check
from noternn.health.surprise import Bounds, bars_shuffled, voice_moved
from noternn.health.yardstick import Yardstick
from noternn.music.piece import Piece

NUM_NOTES = 64


def scale(start: int, noise: int = 0) -> Piece:
    """Two voices in parallel thirds that rise by a semitone a beat; some notes are moved by `noise`."""
    rng = np.random.default_rng(start)
    lower = start + np.arange(40) % 20
    pitch = np.stack([lower, lower + 4], axis=1) + rng.integers(-noise, noise + 1, (40, 2))
    return Piece.from_notes(np.repeat(np.arange(40), 2) * 480, 480, pitch.ravel())


def step_sizes(pieces: Sequence[Piece]) -> list[float]:
    """Stands in for a network: chords are thirds, and rise by a semitone; all else is unlikely."""
    found = []
    for piece in pieces:
        beats = np.unique(piece.onset)
        chords = [np.sort(piece.pitch[piece.onset == beat]) for beat in beats]
        thirds = [len(chord) == 2 and chord[1] - chord[0] == 4 for chord in chords]
        rises = [low[0] + 1 == high[0] for low, high in pairwise(chords)]
        found.append(10 - 4 * float(np.mean(thirds)) - 4 * float(np.mean(rises)) + 0.01 * chords[0][0])
    return found


@pytest.fixture
def bounds() -> Bounds:
    found = Bounds.of([scale(start) for start in range(40, 56)], step_sizes, NUM_NOTES)
    assert found is not None
    return found


def test_music_in_order_has_no_fault(bounds: Bounds) -> None:
    assert bounds.faults(scale(60), step_sizes) == []


def test_each_damage_is_named(bounds: Bounds) -> None:
    rng = np.random.default_rng(3)
    shuffled, moved = bars_shuffled(scale(60), rng), voice_moved(scale(60), 1)
    assert shuffled is not None
    assert moved is not None
    assert any("no order" in words for words in bounds.faults(shuffled, step_sizes))
    assert any("voices do not go together" in words for words in bounds.faults(moved, step_sizes))
    assert any("unlike this music" in words for words in bounds.faults(scale(60, noise=6), step_sizes))


def test_where_held_out_pieces_differ_the_last_value_is_half_of_the_lowest() -> None:
    """The spread alone would let all pass; what is below 0 in held-out music is no fault."""

    def limit(orders: list[float]) -> float:
        rows = [{"nats": 1.0, "order": order, "voices": np.nan} for order in orders]
        return Bounds.of_rows(NUM_NOTES, rows).limit("order")

    values = np.linspace(0.1, 5, 50).tolist()
    assert limit(values) == pytest.approx(np.percentile(values, 2) / 2)
    assert limit([*values, *[-0.3] * 10]) == pytest.approx(-0.3)


def test_of_many_pieces_some_are_measured_from_all_over() -> None:
    def place(pieces: Sequence[Piece]) -> list[float]:
        return [float(piece.pitch[0]) for piece in pieces]

    found = Bounds.of([scale(start) for start in range(20, 100)], place, 80)
    assert found is not None
    assert found.medians["nats"] == pytest.approx(63.5, abs=1.5)  # of 24 to 103


def test_damage_keeps_the_notes() -> None:
    piece = scale(60)
    for damaged in (bars_shuffled(piece, np.random.default_rng(0)), voice_moved(piece, -1)):
        assert damaged is not None
        assert sorted(damaged.pitch) == sorted(piece.pitch)
        assert damaged.onset.min() == 0


def test_a_tune_has_no_voice_to_move_and_three_bars_no_order() -> None:
    tune = Piece.from_notes(np.arange(12) * 480, 480, np.arange(60, 72))
    assert voice_moved(tune, 1) is None
    assert bars_shuffled(tune, np.random.default_rng(0)) is None


def test_too_few_or_too_short_pieces_bound_nothing() -> None:
    assert Bounds.of([scale(60)], step_sizes, NUM_NOTES) is None
    assert Bounds.of([scale(60)] * 20, step_sizes, 20) is None


def test_they_are_a_part_of_the_verdict_and_of_the_file(bounds: Bounds, tmp_path: Path) -> None:
    pieces = [scale(start) for start in range(40, 56)]
    plain = Yardstick.of(pieces)
    yardstick = Yardstick(plain.num_pieces, plain.profile, plain.ranges, 0, bounds)
    yardstick.save(tmp_path / "health.json")
    assert Yardstick.load(tmp_path / "health.json") == yardstick
    moved = voice_moved(scale(50), 1)
    assert moved is not None
    assert "voices do not go together" in check(moved, yardstick, "", step_sizes).sentence
    assert "voices do not go together" not in check(moved, yardstick).sentence


def test_below_eight_pieces_there_is_no_verdict_and_training_pieces_fill_up() -> None:
    few, more = [scale(start) for start in range(40, 45)], [scale(start) for start in range(45, 80)]
    assert check(scale(60), Yardstick.of(few)).sentence.startswith("no verdict: ")
    yardstick = Yardstick.of(few, more)
    assert (yardstick.num_pieces, yardstick.num_trained) == (32, 27)
    assert check(scale(60), yardstick).verdict == "healthy"


def test_where_pieces_are_short_shorter_excerpts_are_measured() -> None:
    found = Bounds.of([scale(start) for start in range(40, 56)], step_sizes, 200)
    assert found is not None
    assert found.num_notes == 80
    few = [scale(start).select(np.arange(80) < 50) for start in range(40, 56)]
    assert Bounds.of(few, step_sizes, 200) is None
