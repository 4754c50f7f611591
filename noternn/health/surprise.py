"""Is it noise? What music, and the same music damaged, costs a network in nats.

How unlikely a piece is says less than how much worse it gets by damage: pieces differ by more than what
shuffled bars cost. Music whose bars are in order gets less likely if they are shuffled, and parts that
belong together if one of them is moved by a beat; music that is in disorder already does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from noternn.health.excerpts import in_turn, whole_excerpts
from noternn.music.piece import Piece

Nats = Callable[[Sequence[Piece]], Sequence[float]]  # nats a note of each piece, from nothing on

NAMES = ("nats", "order", "voices")
MAX_KNOWN = 256  # held-out pieces, of which
MAX_PIECES = 32  # are measured
MAX_EXCERPTS = 48
MIN_EXCERPTS = 8
MIN_NOTES = 64  # of an excerpt
NUM_SHUFFLES = 4  # whose mean is what shuffled bars cost; with two it depends on which
BAR_BEATS = 4
MIN_BARS = 4
MIN_TOGETHER = 0.2  # share of onsets with several notes, from which on there are voices to move
DISORDERED = 2  # percent of held-out excerpts, to which damage may do as little as to music in disorder
DEVIATIONS = 2.6  # from the median, beyond which a value is no longer held-out music's


@dataclass(frozen=True)
class Bounds:
    """What excerpts of held-out music cost a network.

    Args:
        num_notes: of each excerpt.
        medians, spreads: by the names of `NAMES`, spreads as standard deviations; none of what they lack.
    """

    num_notes: int
    medians: Mapping[str, float]
    spreads: Mapping[str, float]

    @classmethod
    def of(cls, pieces: Iterable[Piece], nats: Nats, num_notes: int) -> Bounds | None:
        """Measure held-out pieces; None if too few have 64 notes.

        Args:
            pieces: of more than 32 as many are measured, evenly spread; of more than 256 among the first.
            nats: of the network.
            num_notes: of the excerpts; where too few pieces are as long, what three of four of them have.
        """
        known = list(islice(pieces, MAX_KNOWN))
        places = np.linspace(0, len(known) - 1, min(MAX_PIECES, len(known))).round().astype(int).tolist()
        chosen = [known[place] for place in places]
        parts = _parts(chosen, num_notes)
        if len(parts) < MIN_EXCERPTS and chosen:
            num_notes = min(num_notes, int(np.percentile([piece.num_notes for piece in chosen], 25)))
            parts = _parts(chosen, num_notes)
        if num_notes < MIN_NOTES or len(parts) < MIN_EXCERPTS:
            return None
        return cls.of_rows(num_notes, surprises(parts, nats))

    @classmethod
    def of_rows(cls, num_notes: int, rows: Sequence[Mapping[str, float]]) -> Bounds:
        """What `surprises` gave for excerpts of so many notes."""
        medians, spreads = {}, {}
        for name in NAMES:
            values = np.array([row[name] for row in rows])
            values = values[np.isfinite(values)]
            if len(values) >= MIN_EXCERPTS:
                low, median, high = np.percentile(values, (10, 50, 90)).tolist()
                far = high - median if name == "nats" else median - low  # on the side of noise
                spread = far / 1.2816
                if name != "nats":  # of music in disorder it is 0: half-way to that from real music
                    low = float(np.percentile(values, DISORDERED))
                    spread = min(spread, (median - min(low, low / 2)) / DEVIATIONS)
                medians[name], spreads[name] = median, max(spread, 1e-3)
        return cls(num_notes, medians, spreads)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Bounds:
        """From JSON; ValueError, TypeError or KeyError if it is none."""
        medians, spreads = (
            {n: float(v) for n, v in plain[k].items() if n in NAMES} for k in ("medians", "spreads")
        )
        values = [*medians.values(), *spreads.values()]
        if medians.keys() != spreads.keys() or not all(abs(value) < 1e6 for value in values):
            raise ValueError("no bounds")
        return cls(max(1, int(plain["num_notes"])), medians, spreads)

    def limit(self, name: str) -> float:
        """The last value of held-out music."""
        side = 1 if name == "nats" else -1
        return self.medians[name] + side * DEVIATIONS * self.spreads[name]

    def faults(self, piece: Piece, nats: Nats) -> list[str]:
        """What is wrong with a sample in words; nothing of one with fewer notes than the excerpts."""
        parts = whole_excerpts(piece, self.num_notes)
        if not parts:
            return []
        rows, found = surprises(parts, nats), []
        for name in self.medians:
            values = np.array([row[name] for row in rows])
            values = values[np.isfinite(values)]
            if not len(values):
                continue
            value = float(values.mean())
            if value > self.limit(name) if name == "nats" else value < self.limit(name):
                usual = f"(held-out: {self.medians[name]:.2f})"
                found.append(WORDS[name].format(value=value, usual=usual))
        return found


def _parts(pieces: Sequence[Piece], num_notes: int) -> list[Piece]:
    """Excerpts of so many notes, 48 at most: the first of each piece, then the second."""
    return in_turn([whole_excerpts(piece, num_notes) for piece in pieces])[:MAX_EXCERPTS]


WORDS = {
    "nats": "it is unlike this music to the network, {value:.2f} nats a note {usual}",
    "order": "its bars come in no order: shuffled they cost {value:.2f} nats a note more {usual}",
    "voices": "its voices do not go together: moved by a beat they cost {value:.2f} nats a note more {usual}",
}


def surprises(pieces: Sequence[Piece], nats: Nats) -> list[dict[str, float]]:
    """Of each piece by `NAMES`: nats a note, what shuffled bars cost more, and what a moved voice does."""
    rng = np.random.default_rng(0)
    damaged: list[tuple[int, str, Piece]] = [(k, "nats", piece) for k, piece in enumerate(pieces)]
    for k, piece in enumerate(pieces):
        shuffled = [bars_shuffled(piece, rng) for _ in range(NUM_SHUFFLES)]
        moved = [voice_moved(piece, beats) for beats in (-1, 1)]
        damaged += [(k, "order", other) for other in shuffled if other is not None]
        damaged += [(k, "voices", other) for other in moved if other is not None]
    values = nats([piece for _, _, piece in damaged])
    found: list[dict[str, list[float]]] = [{name: [] for name in NAMES} for _ in pieces]
    for (k, name, _), value in zip(damaged, values, strict=True):
        found[k][name].append(value)
    rows = []
    for row in found:
        (own,) = row["nats"]
        order = float(np.mean(row["order"])) - own if row["order"] else math.nan
        voices = min(row["voices"]) - own if row["voices"] else math.nan
        rows.append({"nats": own, "order": order, "voices": voices})
    return rows


def bars_shuffled(piece: Piece, rng: np.random.Generator) -> Piece | None:
    """The bars of four beats in another order, notes cut at their ends; None of fewer than four bars."""
    bar = BAR_BEATS * piece.ticks_per_beat
    within = piece.onset - int(piece.onset[0]) // bar * bar
    number = within // bar
    num_bars = int(number.max()) + 1
    if num_bars < MIN_BARS:
        return None
    place = rng.permutation(num_bars)
    return _moved(piece, place[number] * bar + within % bar, np.minimum(piece.duration, bar - within % bar))


def voice_moved(piece: Piece, beats: int) -> Piece | None:
    """The highest note of each chord moved by some beats; None of music with few chords."""
    _, inverse = np.unique(piece.onset, return_inverse=True)
    order = np.lexsort((-piece.pitch, inverse))
    is_first = np.concatenate(([True], inverse[order][1:] != inverse[order][:-1]))
    is_chord = np.bincount(inverse)[inverse[order][is_first]] > 1
    if is_chord.mean() < MIN_TOGETHER:
        return None
    onset = piece.onset.copy()
    onset[order[is_first][is_chord]] += beats * piece.ticks_per_beat
    return _moved(piece, onset - min(0, int(onset.min())), piece.duration)


def _moved(piece: Piece, onset: Any, duration: Any) -> Piece:
    """The notes of a piece at other times, from its own first onset on."""
    moved = Piece.from_notes(
        onset,
        duration,
        piece.pitch,
        velocity=piece.velocity,
        program=piece.program,
        is_drum=piece.is_drum,
        ticks_per_beat=piece.ticks_per_beat,
        tempos=piece.tempos,
    )
    return replace(moved, metres=piece.metres[:1])
