"""What held-out music is like: each quantity over excerpts of its pieces, as JSON in a run's folder.

A quantity says little alone: 40 distinct pitches are many for a tune and few for a sonata. So every value of
a sample stands beside a `Yardstick`, the same quantity over excerpts of held-out pieces with the same number
of notes. Its 5th to 95th percentile is what is usual; one real excerpt in ten is outside.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from noternn.errors import UserError
from noternn.files import read_json, write_text
from noternn.health.excerpts import excerpts
from noternn.health.measures import (
    BAND_QUANTITIES,
    QUANTITIES,
    Floats,
    Health,
    measure,
    pitch_classes,
)
from noternn.health.surprise import Bounds
from noternn.music.facts import find_key
from noternn.music.piece import Piece

MIN_NOTES = 16  # fewer can be anything
OUTSIDE = "num_outside"
MAX_PIECES = 256  # of a split that are measured
FEW_PIECES = 32  # below which training pieces are measured as well
MIN_PIECES = 8  # below which there is no verdict
MAX_BYTES = 10**6  # of a file of these measures; one has some kilobytes
MAX_VALUE = 1e12  # of a measure; beats and notes are far below
MAX_EXCERPTS = 4  # of each piece and length
PERCENTILES = (0, 5, 50, 95, 100)


@dataclass(frozen=True)
class Range:
    """One quantity over excerpts of real music: least, 5th percentile, median, 95th percentile, most."""

    least: float
    low: float
    median: float
    high: float
    most: float


NOWHERE = Range(*[math.nan] * 5)  # of what cannot be said of any


@dataclass(frozen=True)
class Yardstick:
    """What held-out pieces are like.

    Args:
        num_pieces: measured.
        num_trained: how many of them are training pieces, which stand in where few are held out.
        profile: (12,) their mean pitch classes, each piece moved to C major or A minor first.
        ranges: by the number of notes of the excerpts, and by quantity; `num_outside` is how many of an
            excerpt's quantities are outside of what is usual.
        network: what excerpts of the held-out pieces cost a network; None where that is not known.
    """

    num_pieces: int
    profile: tuple[float, ...]
    ranges: Mapping[int, Mapping[str, Range]]
    num_trained: int = 0
    network: Bounds | None = None

    @classmethod
    def of(cls, pieces: Iterable[Piece], trained: Iterable[Piece] = ()) -> Yardstick:
        """Measure held-out pieces; of more than 256 the first ones.

        Excerpts have 16, 32, 64, ... notes up to the pieces' median, and that. Shorter pieces are whole.

        Args:
            pieces: held out.
            trained: training pieces, which fill up to 32 where fewer are held out.
        """
        measured = [piece for piece, _ in zip(pieces, range(MAX_PIECES), strict=False) if piece.num_notes]
        others = islice((piece for piece in trained if piece.num_notes), max(0, FEW_PIECES - len(measured)))
        num_held_out = len(measured)
        measured += others
        profiles = [_profile(piece) for piece in measured if not piece.is_drum.all()]
        profile = np.mean(profiles, axis=0) if profiles else np.full(12, 1 / 12)
        ranges = {}
        for length in _lengths([piece.num_notes for piece in measured]):
            parts = [part for piece in measured for part in excerpts(piece, length)[:MAX_EXCERPTS]]
            measured_parts = [measure(part, profile) for part in parts]
            ranges[length] = _ranges(measured_parts)
            counts = [sum(map(abs, sides(vars(part), ranges[length]).values())) for part in measured_parts]
            ranges[length][OUTSIDE] = Range(*np.percentile(counts, PERCENTILES).tolist())
        return cls(len(measured), tuple(profile.tolist()), ranges, len(measured) - num_held_out)

    @property
    def can_tell(self) -> bool:
        """Whether there are enough pieces for a verdict."""
        return self.num_pieces >= MIN_PIECES

    def length_for(self, num_notes: int) -> int:
        """How many notes excerpts of a piece of `num_notes` have, to be compared."""
        return max(
            (length for length in self.ranges if length <= num_notes), default=min(self.ranges, default=0)
        )

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        plain = asdict(self)
        for rows in plain["ranges"].values():  # of a band only where there is one
            for quantity in BAND_QUANTITIES:
                if math.isnan(rows[quantity.name]["median"]):
                    del rows[quantity.name]
        write_text(path, json.dumps(plain, indent=1))

    @classmethod
    def load(cls, path: Path) -> Yardstick:
        """Read what `save` wrote, or somebody else did.

        Raises:
            UserError: if it holds anything else.
        """
        try:
            plain = read_json(path, MAX_BYTES)
            names = {OUTSIDE, *(quantity.name for quantity in QUANTITIES)}
            ranges = {
                int(length): {name: Range(*(float(row[key]) for key in Range.__dataclass_fields__))
                              for name, row in rows.items() if name in names}
                for length, rows in plain["ranges"].items()
            }  # fmt: skip
            profile = tuple(float(share) for share in plain["profile"])
            of_bands = {quantity.name for quantity in BAND_QUANTITIES}
            are_ranges = all(n >= 1 and set(rows) | of_bands == names for n, rows in ranges.items())
            values = [getattr(row, key) for rows in ranges.values() for row in rows.values()
                      for key in Range.__dataclass_fields__]  # fmt: skip
            are_ranges &= not any(abs(value) > MAX_VALUE for value in values)
            if len(profile) != 12 or not all(0 <= share <= 1 for share in profile) or not are_ranges:
                raise ValueError("other quantities")
            for rows in ranges.values():
                rows |= dict.fromkeys(of_bands - set(rows), NOWHERE)
            network = Bounds.from_plain(plain["network"]) if plain.get("network") else None
            return cls(int(plain["num_pieces"]), profile, ranges, int(plain.get("num_trained", 0)), network)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise UserError(
                f"{path}: not the measures of held-out pieces; delete it to have the corpus measured anew"
            ) from error


def _profile(piece: Piece) -> Floats:
    """The pitch classes of a piece from C, or from A if it is in minor."""
    pitched = piece.select(~piece.is_drum)
    tonic, is_minor, _ = find_key(pitched.pitch, pitched.duration)
    return np.roll(pitch_classes(pitched), -(max(tonic, 0) + 3 * is_minor))


def _lengths(num_notes: Sequence[int]) -> list[int]:
    if not num_notes:
        return []
    median = max(1, int(np.median(num_notes)))
    powers = [MIN_NOTES << k for k in range(20)]
    return [length for length in powers if length < median] + [median]


def _ranges(measured: Sequence[Health]) -> dict[str, Range]:
    ranges = {}
    for quantity in QUANTITIES:
        values = np.array([getattr(health, quantity.name) for health in measured], dtype=np.float64)
        values = values[np.isfinite(values)]
        ranges[quantity.name] = (
            Range(*np.percentile(values, PERCENTILES).tolist()) if len(values) else NOWHERE
        )
    return ranges


def sides(values: Mapping[str, float], ranges: Mapping[str, Range]) -> dict[str, int]:
    """By quantity -1 or 1 where it is below or above what is usual."""
    at = {quantity.name: ranges[quantity.name] for quantity in QUANTITIES}
    return {name: int(values[name] > real.high) - int(values[name] < real.low) for name, real in at.items()}
