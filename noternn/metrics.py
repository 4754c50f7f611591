"""The quantities that NoteRNN reports, each defined once.

nll is the mean negative log-likelihood in nats per token: every token of a split except BOS is
predicted once, EOS included. It cannot be compared between tokenizers, so the total is also given
per note (after the tokenizer's own rounding), per beat and per second of the music it describes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noternn.piece import Piece


@dataclass(frozen=True)
class SplitSize:
    """How much music stands in a split.

    Args:
        num_pieces: pieces.
        num_tokens: tokens that are predicted: all but BOS.
        num_notes: notes that the tokens describe.
        beats: quarter notes from the first onset to the last end, over all pieces.
        seconds: the same in seconds.
        unknown_fraction: share of the tokens that the vocabulary lacks.
    """

    num_pieces: int
    num_tokens: int
    num_notes: int
    beats: float
    seconds: float
    unknown_fraction: float


def rates(nll: float, size: SplitSize) -> dict[str, float]:
    """Nats per note, beat and second of a split whose mean nll a token is `nll`."""
    total = nll * size.num_tokens
    per = {"note": size.num_notes, "beat": size.beats, "second": size.seconds}
    return {f"nats_per_{unit}": total / amount if amount else float("nan") for unit, amount in per.items()}


class NllMeter:
    """The mean of negative log-likelihoods over any number of batches, summed in float64."""

    def __init__(self) -> None:
        self.total = 0.0
        self.num_tokens = 0

    def update(self, total: float, num_tokens: int) -> None:
        """Add a batch: its summed nll in nats and how many tokens it scored."""
        self.total += total
        self.num_tokens += num_tokens

    def mean(self) -> float:
        """Nats per token; NaN before the first token."""
        return self.total / self.num_tokens if self.num_tokens else float("nan")


@dataclass(frozen=True)
class SampleStatistics:
    """What a sample looks like in numbers: one note repeated, or mostly silence, shows here.

    Args:
        num_notes: notes.
        num_pitches: distinct pitches.
        longest_repetition: most onsets in a row that sound the same pitches.
        silent_fraction: share of the time from first onset to last end in which nothing sounds.
        beats: length in quarter notes.
    """

    num_notes: int
    num_pitches: int
    longest_repetition: int
    silent_fraction: float
    beats: float


def sample_statistics(piece: Piece) -> SampleStatistics:
    """Count what a listener would notice first."""
    if not piece.num_notes:
        return SampleStatistics(0, 0, 0, float("nan"), 0.0)
    chords: dict[int, set[int]] = {}
    for onset, pitch in zip(piece.onset.tolist(), piece.pitch.tolist(), strict=True):
        chords.setdefault(onset, set()).add(pitch)
    longest = run = 0
    previous: set[int] | None = None
    for _, pitches in sorted(chords.items()):
        run = run + 1 if pitches == previous else 1
        longest, previous = max(longest, run), pitches
    span = piece.end - int(piece.onset[0])
    return SampleStatistics(
        num_notes=piece.num_notes,
        num_pitches=len(np.unique(piece.pitch)),
        longest_repetition=longest,
        silent_fraction=1 - _sounding_ticks(piece) / span,
        beats=span / piece.ticks_per_beat,
    )


def _sounding_ticks(piece: Piece) -> int:
    """Length of the union of the notes' time spans."""
    covered_until = np.maximum.accumulate(piece.onset + piece.duration)  # onsets are sorted
    start = np.maximum(piece.onset, np.concatenate([[piece.onset[0]], covered_until[:-1]]))
    return int(np.maximum(covered_until - start, 0).sum())
