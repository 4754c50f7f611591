"""Health of a band: its groove, and who plays on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noternn.health.bands import measure_band
from noternn.health.checkup import check, describe
from noternn.health.measures import measure
from noternn.health.yardstick import Yardstick
from noternn.music.piece import Piece

BEAT = 480
KICK, SNARE, HAT, CRASH = 36, 38, 42, 49
NUM_BARS = 16
Row = tuple[int, int, int, int, bool]  # onset and duration in sixteenths, pitch, program, is_drum


def band(seed: int) -> Piece:
    """Drums with fills, a bass and a piano: 16 bars of 4/4."""
    rng = np.random.default_rng(seed)
    kicks = sorted({0, *rng.choice(16, 3, replace=False).tolist()})
    rows: list[Row] = []
    for bar in range(NUM_BARS):
        root = int(rng.choice([36, 41, 43]))
        hits = [(k, KICK) for k in kicks] + [(4, SNARE), (12, SNARE)] + [(k, HAT) for k in range(0, 16, 2)]
        hits += [(0, CRASH)] if bar % 4 == 0 else []
        hits += [(int(k), SNARE) for k in rng.choice(16, 2)] if bar % 4 == 3 else []
        rows += [(16 * bar + k, 1, drum, 0, True) for k, drum in hits]
        rows += [(16 * bar + 4 * k, 4, root + int(rng.choice([0, 7, 12])), 33, False) for k in range(4)]
        rows += [(16 * bar + 8 * k, 8, root + 24 + step, 0, False) for k in range(2) for step in (0, 4, 7)]
    return piece_of(rows)


def piece_of(rows: list[Row]) -> Piece:
    onset, duration, pitch, program, is_drum = zip(*rows, strict=True)
    return Piece.from_notes(
        np.array(onset) * BEAT // 4, np.array(duration) * BEAT // 4, pitch,
        program=program, is_drum=np.array(is_drum),
    )  # fmt: skip


def with_columns(piece: Piece, **columns: object) -> Piece:
    """A piece with other columns; its notes are put in order again."""
    own = {name: getattr(piece, name) for name in ("onset", "duration", "pitch", "program", "is_drum")}
    own |= columns  # type: ignore[arg-type]
    onset, duration, pitch = (own.pop(name) for name in ("onset", "duration", "pitch"))
    return Piece.from_notes(onset, duration, pitch, ticks_per_beat=piece.ticks_per_beat, **own)


def shuffled_drums(piece: Piece) -> Piece:
    """Each hit at a sixteenth of its own."""
    rng, drums = np.random.default_rng(0), piece.is_drum
    onset = np.where(drums, rng.integers(0, 16 * NUM_BARS, len(drums)) * (BEAT // 4), piece.onset)
    return with_columns(piece, onset=onset)


def off_the_grid(piece: Piece) -> Piece:
    """Each hit up to a sixteenth late, which is not the same for all."""
    rng, drums = np.random.default_rng(0), piece.is_drum
    late = rng.integers(0, 3, len(drums)) * (BEAT // 12)
    return with_columns(piece, onset=piece.onset + np.where(drums, late, 0))


def changing_band(piece: Piece) -> Piece:
    """Every bar is played by others."""
    bars = piece.onset // (4 * BEAT)
    return with_columns(piece, program=np.where(piece.is_drum, 0, (piece.program + 3 * bars) % 128))


def drone(piece: Piece) -> Piece:
    """The bass strikes one note for ever."""
    return with_columns(piece, pitch=np.where(piece.program == 33, 36, piece.pitch))


@pytest.fixture(scope="module")
def yardstick() -> Yardstick:
    return Yardstick.of(band(seed) for seed in range(20))


def test_a_band_is_measured() -> None:
    s = measure_band(band(0))
    assert s.on_grid_fraction == 1
    assert 0.8 < s.drum_return_fraction < 1
    assert s.num_instruments == 3
    assert s.band_kept_fraction == 1


def test_groove_is_counted_by_hand() -> None:
    bar = [(0, KICK), (4, SNARE), (8, KICK), (12, SNARE)]
    hits = [*bar, *bar, (0, KICK), (5, SNARE), (8, KICK), (12, SNARE)]
    rows: list[Row] = [(16 * (i // 4) + k, 1, drum, 0, True) for i, (k, drum) in enumerate(hits)]
    s = measure_band(piece_of(rows))
    assert s.drum_return_fraction == 7 / 8  # the second bar's hit at 4 does not return
    assert math.isnan(s.num_instruments)
    assert math.isnan(s.longest_drone)


def test_a_bar_of_three_is_a_bar() -> None:
    hits = [(12 * bar + k, drum) for bar in range(8) for k, drum in [(0, KICK), (6, HAT)]]
    rows: list[Row] = [(k, 1, drum, 0, True) for k, drum in hits]
    assert measure_band(piece_of(rows)).drum_return_fraction == 1


def test_music_of_one_instrument_has_no_band(make_piece: Callable[[int], Piece]) -> None:
    assert all(math.isnan(value) for value in measure_band(make_piece(0)))


def test_who_leaves_is_missed() -> None:
    rows: list[Row] = [(k, 1, 60, 0, False) for k in range(64)] + [(k, 1, 40, 33, False) for k in range(16)]
    assert measure_band(piece_of(rows)).band_kept_fraction == 0.5


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (shuffled_drums, "its drums have no groove"),
        (off_the_grid, "its drums are off the beat"),
        (changing_band, "instruments come and go"),
        (changing_band, "its band falls apart"),
        (drone, "one instrument strikes one note"),
    ],
)
def test_planted_faults_are_told(fault: Callable[[Piece], Piece], words: str, yardstick: Yardstick) -> None:
    told = [check(fault(band(seed)), yardstick).sentence for seed in range(100, 106)]
    assert all(words in sentence for sentence in told), told


def test_real_bands_are_healthy(yardstick: Yardstick) -> None:
    told = [check(band(seed), yardstick) for seed in range(100, 120)]
    assert sum(checkup.verdict == "unhealthy" for checkup in told) <= 1


def test_tables_tell_of_bands_where_there_are_some(
    yardstick: Yardstick, make_piece: Callable[[int], Piece]
) -> None:
    text = describe([check(band(100), yardstick)], yardstick)
    assert "drums back in a bar" in text
    piano = Yardstick.of(make_piece(seed) for seed in range(20))
    assert "drums" not in describe([check(band(100), piano)], piano)


def test_a_yardstick_with_and_without_bands_comes_back(
    yardstick: Yardstick, make_piece: Callable[[int], Piece], tmp_path: Path
) -> None:
    for number, saved in enumerate([yardstick, Yardstick.of(make_piece(seed) for seed in range(20))]):
        path = tmp_path / f"{number}.json"
        saved.save(path)
        assert ("drum_return_fraction" in path.read_text(encoding="utf-8")) == (number == 0)
        again, piece = Yardstick.load(path), band(100)
        assert check(piece, again).sentence == check(piece, saved).sentence


def test_measures_of_a_piece_hold_those_of_its_band() -> None:
    piece = band(1)
    assert replace(measure(piece)).drum_return_fraction == measure_band(piece).drum_return_fraction
