"""What a piece of music is like in numbers, and how the numbers are called and shown.

Times are in quarter notes. Drums count as notes and sound, but have no pitches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noternn.health.bands import measure_band
from noternn.music.piece import Piece
from noternn.music.steps import note_steps

Floats = NDArray[np.float64]

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
REPEATED_NOTES = 8  # in a passage that counts as one that came before: two bars of a tune
LOCAL_NOTES = 32  # within which music hardly changes its key: two bars of four parts


@dataclass(frozen=True)
class Health:
    """What a piece, or an excerpt of one, is like in numbers.

    Args:
        num_notes: notes, drums included.
        beats: from the first onset to the last end.
        num_pitches: distinct pitches.
        longest_repetition: most onsets in a row that sound the same pitches.
        silent_fraction: share of the time in which nothing sounds, 0 to 1.
        notes_per_beat: `num_notes` / `beats`.
        polyphony: mean number of pitches that sound while any does (the average polyphony of Dong et al.,
            MuseGAN, 2018; what C-RNN-GAN calls polyphony is how often two notes begin together).
        scale_consistency: share of the notes in the major scale that holds most of them. Mogren (C-RNN-GAN,
            2016) and MusPy also try minor scales; the natural ones have the pitches of major ones, so that
            this is the same number. Notes count alike, however long. The harmonic minor's seventh counts as
            foreign, as it does there. At least 7/12 of evenly used pitches.
        local_scale_consistency: the mean of that over every 32 notes in a row (all, of fewer): high where
            `scale_consistency` is low, music goes from key to key.
        pitch_class_distance: how far the histogram of pitch classes, weighted by duration, is from the mean
            one of the held-out pieces, in the best of 12 transpositions, for keys say nothing about health:
            the Jensen-Shannon divergence in bits (Lin, 1991), 0 to 1. Yang and Lerch (On the evaluation of
            generative models in music, 2020) compare such histograms of whole sets, by Euclidean distances
            and without transposition; here one sample is to be judged. NaN without held-out pieces.
        repeated_fraction: share of the notes that stand in a passage of 8 notes that came before in the
            piece, in any key: the same intervals and times from onset to onset. A measure of self-similarity
            that needs no bars, which samples do not have. A loop comes near 1.
        loop_beats: median time since the passage was last heard, of all such passages; NaN without any.
        on_grid_fraction, drum_return_fraction, longest_drone: see `Band`.
        num_instruments, band_kept_fraction: see `Band`.
    """

    num_notes: int
    beats: float
    num_pitches: int
    longest_repetition: int
    silent_fraction: float
    notes_per_beat: float
    polyphony: float
    local_scale_consistency: float
    scale_consistency: float
    pitch_class_distance: float
    repeated_fraction: float
    loop_beats: float
    on_grid_fraction: float
    drum_return_fraction: float
    longest_drone: float
    num_instruments: float
    band_kept_fraction: float


def measure(piece: Piece, profile: Floats | None = None) -> Health:
    """The quantities of a piece; what cannot be said of it is NaN.

    Args:
        piece: any.
        profile: (12,) the mean pitch classes of held-out pieces, see `Yardstick`.
    """
    if not piece.num_notes:
        return Health(0, 0.0, 0, 0, *[math.nan] * 13)
    pitched = piece.select(~piece.is_drum)
    ticks = piece.end - int(piece.onset[0])
    beats = ticks / piece.ticks_per_beat
    repeated_fraction, loop_beats = _repeated(pitched)
    return Health(
        num_notes=piece.num_notes,
        beats=beats,
        num_pitches=len(np.unique(pitched.pitch)),
        longest_repetition=_longest_repetition(piece),
        silent_fraction=1 - _sounding_ticks(piece) / ticks,
        notes_per_beat=piece.num_notes / beats,
        polyphony=pitched.duration.sum() / _sounding_ticks(pitched) if pitched.num_notes else 0.0,
        local_scale_consistency=_local_scale_consistency(pitched.pitch),
        scale_consistency=_scale_consistency(pitched.pitch),
        pitch_class_distance=_pitch_class_distance(pitched, profile),
        repeated_fraction=repeated_fraction,
        loop_beats=loop_beats,
        **measure_band(piece)._asdict(),
    )


def _longest_repetition(piece: Piece) -> int:
    chords: dict[int, set[tuple[bool, int]]] = {}
    keys = zip(piece.is_drum.tolist(), piece.pitch.tolist(), strict=True)
    for onset, key in zip(piece.onset.tolist(), keys, strict=True):
        chords.setdefault(onset, set()).add(key)
    longest = run = 0
    previous: set[tuple[bool, int]] | None = None
    for _, keys_there in sorted(chords.items()):
        run = run + 1 if keys_there == previous else 1
        longest, previous = max(longest, run), keys_there
    return longest


def _sounding_ticks(piece: Piece) -> int:
    """Length of the union of the notes' time spans."""
    covered_until = np.maximum.accumulate(piece.onset + piece.duration)  # onsets are sorted
    start = np.maximum(piece.onset, np.concatenate([[piece.onset[0]], covered_until[:-1]]))
    return int(np.maximum(covered_until - start, 0).sum())


def _scale_consistency(pitch: NDArray[np.int64]) -> float:
    return float(_in_scales(pitch).sum(axis=0).max() / pitch.size) if pitch.size else math.nan


def _local_scale_consistency(pitch: NDArray[np.int64]) -> float:
    if pitch.size < LOCAL_NOTES:
        return _scale_consistency(pitch)
    counts = np.cumsum(np.vstack([np.zeros((1, 12), dtype=np.int64), _in_scales(pitch)]), axis=0)
    within = counts[LOCAL_NOTES:] - counts[:-LOCAL_NOTES]  # (num_windows, 12)
    return float(within.max(axis=1).mean() / LOCAL_NOTES)


def _in_scales(pitch: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which notes are in each of the 12 major scales, (num_notes, 12)."""
    above_tonic = (pitch[:, None] - np.arange(12)) % 12
    in_scales: NDArray[np.bool_] = np.isin(above_tonic, MAJOR_SCALE)
    return in_scales


def pitch_classes(pitched: Piece) -> Floats:
    """The share of the time that each pitch class sounds, (12,)."""
    sounding = np.bincount(pitched.pitch % 12, weights=pitched.duration, minlength=12)
    shares: Floats = sounding / sounding.sum()
    return shares


def _pitch_class_distance(pitched: Piece, profile: Floats | None) -> float:
    if profile is None or not pitched.num_notes:
        return math.nan
    shares = pitch_classes(pitched)
    return min(_divergence(np.roll(shares, -k), profile) for k in range(12))


def _divergence(p: Floats, q: Floats) -> float:
    """The Jensen-Shannon divergence of two distributions in bits, 0 to 1."""
    mean = (p + q) / 2

    def from_mean(x: Floats) -> float:
        there = x > 0
        return float((x[there] * np.log2(x[there] / mean[there])).sum())

    return max(0.0, (from_mean(p) + from_mean(q)) / 2)


def _repeated(pitched: Piece) -> tuple[float, float]:
    """`repeated_fraction` and `loop_beats`."""
    steps = note_steps(pitched)  # (num_notes - 1,), of which a passage of 8 notes has 7
    if len(steps) < REPEATED_NOTES - 1:
        return 0.0, math.nan
    gaps = np.cumsum(np.concatenate([[0], steps >> 8])) / 12  # onsets in beats, see `note_steps`
    last_heard: dict[bytes, int] = {}
    is_repeated = np.zeros(len(steps) + 1, dtype=np.bool_)
    since: list[float] = []
    for start in range(len(steps) - REPEATED_NOTES + 2):
        passage = steps[start : start + REPEATED_NOTES - 1].tobytes()
        before = last_heard.get(passage)
        if before is not None:
            is_repeated[start : start + REPEATED_NOTES] = True
            since.append(float(gaps[start] - gaps[before]))
        last_heard[passage] = start
    return float(is_repeated.mean()), float(np.median(since)) if since else math.nan


@dataclass(frozen=True)
class Quantity:
    """What a quantity is called, and when it is called a collapse.

    Args:
        name: of the field of `Health`.
        label: in tables.
        lowest, highest: what it can be at least and at most.
        least: the smallest distance from real music that is worth a word.
        low, high: the collapse in words, with `{value}` and `{loop}`; "" where there is none.
    """

    name: str
    label: str
    lowest: float = 0.0
    highest: float = math.inf
    least: float = 0.0
    low: str = ""
    high: str = ""


PIECE_QUANTITIES = (
    Quantity("num_pitches", "distinct pitches", 1, 128, 2, low="it circles around {value} pitches"),
    Quantity(
        "longest_repetition",
        "longest repetition",
        1,
        least=3,
        high="it strikes one note or chord {value} times in a row",
    ),
    Quantity("silent_fraction", "silent", 0, 1, 0.1, high="it falls silent, {value} of the time"),
    Quantity(
        "notes_per_beat",
        "notes a beat",
        least=0.25,
        low="it hardly moves, a drone of {value} notes a beat",
        high="it is a flood of {value} notes a beat",
    ),
    Quantity(
        "polyphony",
        "notes at a time",
        least=0.5,
        low="it has grown thin, {value} notes at a time",
        high="it is a cluster of {value} notes at a time",
    ),
    Quantity(
        "local_scale_consistency",
        "in one scale (32 notes)",
        7 / 12,
        1,
        0.05,
        low="it is out of any key, {value} of every 32 notes in one scale",
    ),
    Quantity(
        "scale_consistency",
        "in one scale",
        7 / 12,
        1,
        0.05,
        low="it wanders from key to key, {value} of the notes in one scale",
    ),
    Quantity(
        "pitch_class_distance",
        "pitch class distance",
        0,
        1,
        0.05,
        high="its pitch classes are {value} bits from those of this music",
    ),
    Quantity(
        "repeated_fraction",
        "heard before",
        0,
        1,
        0.1,
        low="it never comes back to anything, {value} heard before",
        high="it goes round in a loop of {loop} beats, {value} heard before",
    ),
)
BAND_QUANTITIES = (
    Quantity(
        "on_grid_fraction",
        "drums on sixteenths",
        1 / 3,
        1,
        0.1,
        low="its drums are off the beat, {value} of the hits on sixteenths",
    ),
    Quantity(
        "drum_return_fraction",
        "drums back in a bar",
        0,
        1,
        0.1,
        low="its drums have no groove, {value} of the hits come back in the next bar",
    ),
    Quantity(
        "longest_drone",
        "one note, one instrument",
        1,
        least=3,
        high="one instrument strikes one note {value} times in a row",
    ),
    Quantity(
        "num_instruments",
        "instruments",
        1,
        129,
        2,
        high="instruments come and go, {value} of them",
    ),
    Quantity(
        "band_kept_fraction",
        "opening's band in later quarters",
        0,
        1,
        0.1,
        low="its band falls apart, {value} of the instruments of its opening play on",
    ),
)
QUANTITIES = (*PIECE_QUANTITIES, *BAND_QUANTITIES)


def show(name: str, value: float) -> str:
    """A quantity as a reader wants it."""
    if not math.isfinite(value):
        return "-"
    if name.endswith(("_fraction", "scale_consistency")):
        return f"{100 * value:.0f} %"
    if name.startswith(("num_", "longest_")):
        return f"{value:.0f}" if value == round(value) else f"{value:.1f}"
    return f"{value:.3f}" if name == "pitch_class_distance" else f"{value:.2f}"
