"""What a piece is like in a few numbers: length, density, instruments, key, metre."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noternn.music.piece import Piece

FEW_BINS = 4  # of loudness, with which marks such as f and p, or a track each, are written; nobody plays so
PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

# How well each pitch class fits after a tonic context: Krumhansl and Kessler (Psychological Review 89, 1982).
MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


@dataclass(frozen=True)
class PieceFacts:
    """What a corpus tells of one of its pieces; times count from the first onset to the last end.

    Args:
        num_notes: notes, drums included.
        num_drum_notes: notes on a percussion channel.
        num_other_notes: pitched notes of other programs than the one that most are of.
        num_louder_notes: notes whose loudness is not that of the note before of the same instrument: it is in
            another bin, 4 of 127 wide. 0 in a piece of no more than `FEW_BINS` bins.
        beats: length in quarter notes.
        seconds: length in seconds, following every tempo change.
        tempo: quarter notes a minute over the whole piece.
        num_tempo_changes: how often the tempo changes.
        metre: the one in force longest, such as "3/4"; "" if the file names none.
        num_metre_changes: how often the metre changes; after a pickup bar it does not.
        programs_low, programs_high: the General MIDI programs of the pitched notes, 0 to 63 and 64 to 127,
            a bit each (see `programs_of`), as signed 64-bit integers.
        lowest_pitch, highest_pitch: of the pitched notes, 0 to 127; -1 without any.
        mean_pitch: mean of the pitched notes; NaN without any.
        polyphony: mean number of pitched notes that sound while any does; 0 without any.
        longest_silence_beats: longest time in which nothing sounds.
        num_velocities: distinct velocities; 1 says that the file holds none of its own.
        tonic: pitch class of the tonic, 0 (C) to 11; -1 if no key fits, see `find_key`.
        is_minor: whether that key is minor.
        key_correlation: how well the key fits, -1 to 1.
    """

    num_notes: int
    num_drum_notes: int
    num_other_notes: int
    num_louder_notes: int
    beats: float
    seconds: float
    tempo: float
    num_tempo_changes: int
    metre: str
    num_metre_changes: int
    programs_low: int
    programs_high: int
    lowest_pitch: int
    highest_pitch: int
    mean_pitch: float
    polyphony: float
    longest_silence_beats: float
    num_velocities: int
    tonic: int
    is_minor: bool
    key_correlation: float


def piece_facts(piece: Piece) -> PieceFacts:
    """Measure a piece of one note or more."""
    pitched = ~piece.is_drum
    pitch, duration = piece.pitch[pitched], piece.duration[pitched]
    start, end = int(piece.onset[0]), piece.end
    start_seconds, end_seconds = piece.seconds(np.array([start, end])).tolist()
    beats, seconds = (end - start) / piece.ticks_per_beat, end_seconds - start_seconds
    low, high = _program_bits(piece.program[pitched])
    tonic, is_minor, correlation = find_key(pitch, duration)
    gaps = _gaps(piece.onset, piece.duration)
    return PieceFacts(
        num_notes=piece.num_notes,
        num_drum_notes=int(piece.is_drum.sum()),
        num_other_notes=int(len(pitch) - np.bincount(piece.program[pitched], minlength=1).max()),
        num_louder_notes=_num_louder_notes(piece),
        beats=beats,
        seconds=seconds,
        tempo=60 * beats / seconds,
        num_tempo_changes=sum(before != after for (_, before), (_, after) in pairwise(piece.tempos)),
        metre=_longest_metre(piece),
        num_metre_changes=_num_metre_changes(piece),
        programs_low=low,
        programs_high=high,
        lowest_pitch=int(pitch.min()) if pitch.size else -1,
        highest_pitch=int(pitch.max()) if pitch.size else -1,
        mean_pitch=float(pitch.mean()) if pitch.size else float("nan"),
        polyphony=_polyphony(piece.onset[pitched], duration),
        longest_silence_beats=float(gaps.max(initial=0)) / piece.ticks_per_beat,
        num_velocities=int(np.count_nonzero(np.bincount(piece.velocity))),
        tonic=tonic,
        is_minor=is_minor,
        key_correlation=correlation,
    )


def find_key(pitch: NDArray[np.int64], duration: NDArray[np.int64]) -> tuple[int, bool, float]:
    """The key whose profile fits best how long each pitch class sounds.

    The algorithm of Krumhansl and Schmuckler (Krumhansl, Cognitive Foundations of Musical Pitch, 1990,
    chapter 4): the correlation with the Krumhansl-Kessler profile of each of the 24 keys.

    Args:
        pitch, duration: (num_notes,) of the pitched notes, durations in any unit.

    Returns:
        Pitch class of the tonic, whether the key is minor, the correlation; (-1, False, 0.0) if no pitch
        class sounds longer than another.
    """
    sounding = np.bincount(pitch % 12, weights=duration, minlength=12)  # (12,)
    deviation = sounding - sounding.mean()
    size = float(np.linalg.norm(deviation))
    if size <= 1e-9 * float(sounding.sum()):
        return -1, False, 0.0
    correlations = _KEY_PROFILES @ (deviation / size)  # (24,)
    best = int(correlations.argmax())
    return best % 12, best >= 12, float(correlations[best])


def _key_profiles() -> NDArray[np.float64]:
    """The profiles of the 12 major keys, then the 12 minor ones, each with mean 0 and norm 1: (24, 12)."""
    profiles = np.array([np.roll(p, tonic) for p in (MAJOR_PROFILE, MINOR_PROFILE) for tonic in range(12)])
    deviations = profiles - profiles.mean(axis=1, keepdims=True)
    return np.asarray(deviations / np.linalg.norm(deviations, axis=1, keepdims=True))


_KEY_PROFILES = _key_profiles()


def key_name(tonic: int, is_minor: bool) -> str:
    """A key in words, such as "F# minor"; "none" for tonic -1."""
    return f"{PITCH_CLASSES[tonic]} {'minor' if is_minor else 'major'}" if tonic >= 0 else "none"


def _num_louder_notes(piece: Piece) -> int:
    loudness = piece.velocity // 4
    if np.count_nonzero(np.bincount(loudness)) <= FEW_BINS:
        return 0
    instrument = np.where(piece.is_drum, 128, piece.program)
    order = np.argsort(instrument, kind="stable")  # the notes are in the order of their onsets
    is_same = instrument[order][1:] == instrument[order][:-1]
    return int((is_same & (loudness[order][1:] != loudness[order][:-1])).sum())


def _program_bits(programs: NDArray[np.int64]) -> tuple[int, int]:
    used = np.zeros(128, dtype=np.bool_)
    used[programs] = True
    low, high = np.packbits(used, bitorder="little").view("<i8").tolist()
    return low, high


def programs_of(low: ArrayLike, high: ArrayLike) -> NDArray[np.bool_]:
    """Which programs pieces use: (num_pieces, 128) from the columns `programs_low` and `programs_high`."""
    bits = np.stack([np.atleast_1d(low), np.atleast_1d(high)], axis=1).astype("<i8")
    return np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little").astype(np.bool_)


def _longest_metre(piece: Piece) -> str:
    metres = [metre for metre in piece.metres if metre[1] > 0]  # a file may say 0/4
    ends = [min(tick, piece.end) for tick, _, _ in metres[1:]] + [piece.end]
    lengths: dict[str, int] = {}
    for (tick, numerator, denominator), end in zip(metres, ends[: len(metres)], strict=True):
        name = f"{numerator}/{denominator}"
        lengths[name] = lengths.get(name, 0) + max(0, end - tick)
    return max(lengths, key=lambda name: lengths[name], default="")


def _num_metre_changes(piece: Piece) -> int:
    metres = [metre for metre in piece.metres if metre[1] > 0]
    if len(metres) > 1 and _is_pickup(metres[0], metres[1], piece.ticks_per_beat):
        metres = metres[1:]
    return sum(before[1:] != after[1:] for before, after in pairwise(metres))


def _is_pickup(first: tuple[int, int, int], second: tuple[int, int, int], ticks_per_beat: int) -> bool:
    """Whether the first metre is there for one bar only, shorter than those that follow."""
    bars = [4 * ticks_per_beat * numerator / denominator for _, numerator, denominator in (first, second)]
    return second[0] - first[0] == bars[0] < bars[1]


def _gaps(onset: NDArray[np.int64], duration: NDArray[np.int64]) -> NDArray[np.int64]:
    """The silences between notes sorted by onset, in ticks; 0 where the next note begins in time."""
    covered_until = np.maximum.accumulate(onset + duration)
    return np.asarray(np.maximum(onset[1:] - covered_until[:-1], 0))


def _polyphony(onset: NDArray[np.int64], duration: NDArray[np.int64]) -> float:
    if not onset.size:
        return 0.0
    sounding = (onset + duration).max() - onset[0] - _gaps(onset, duration).sum()
    return float(duration.sum() / sounding)
