"""How much a piece copies, beside how much real pieces do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.audit.index import Audit, Index
from noternn.music.piece import Piece

LENGTHS = (8, 16, 32)  # notes of a passage
MAX_PIECES = 200  # that are measured: enough for a 95th percentile
FLAGGED_PERCENTILE = 95.0


class Figures(NamedTuple):
    """What a piece copies.

    Args:
        num_notes: without drums.
        copied_8, copied_16, copied_32: share of these in copied passages of at least so many notes.
        longest: notes of the longest copied passage.
    """

    num_notes: float
    copied_8: float
    copied_16: float
    copied_32: float
    longest: float

    @classmethod
    def of(cls, audit: Audit) -> Figures:
        """The figures of an audit."""
        short, middle, long = (audit.copied(length) for length in LENGTHS)
        return cls(audit.num_notes, short, middle, long, int(audit.longest.max(initial=0)))


def measure(
    index: Index, pieces: Iterable[Piece], numbers: Iterable[int | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The `Figures` of some pieces, (num_pieces, 5): exact ones, and those of `Audit.near`.

    Args:
        index: of the corpus.
        pieces: to look for.
        numbers: which piece of the corpus each is itself, which is left out; None for no piece of it.
    """
    audits = [index.audit(piece, number) for piece, number in zip(pieces, numbers, strict=True)]
    exact, near = (
        np.array(list(map(Figures.of, rule)), dtype=np.float64).reshape(-1, len(Figures._fields))
        for rule in (audits, [audit.near for audit in audits])
    )
    return exact, near


def spread(num_pieces: int) -> list[int]:
    """At most `MAX_PIECES` of so many pieces, evenly."""
    kept = min(num_pieces, MAX_PIECES)
    return [i * num_pieces // kept for i in range(kept)]


@dataclass(frozen=True, eq=False)
class RealFigures:
    """The figures of real pieces.

    Args:
        held_out: (num_held_out, 5) `Figures` of held-out pieces against the corpus; without rows if there are
            none.
        others: (num_others, 5) of pieces of the corpus, each against all the others. A near-duplicate of a
            piece is another piece.
    """

    held_out: NDArray[np.float64]
    others: NDArray[np.float64]

    @classmethod
    def nothing(cls) -> RealFigures:
        """Of no pieces."""
        rows = np.zeros((0, len(Figures._fields)))
        return cls(rows, rows)

    @property
    def figures(self) -> NDArray[np.float64]:
        """The figures to compare samples with: of the held-out pieces where there are any."""
        return self.held_out if len(self.held_out) else self.others

    @property
    def what(self) -> str:
        """What `figures` are of."""
        return "held-out pieces" if len(self.held_out) else "pieces of the corpus against the others"

    def percentile(self, figures: Figures, field: str = "copied_16") -> float | None:
        """How many of a hundred real pieces have less of a figure than this one; None without real pieces."""
        real = self.column(field)
        return 100 * float((real < getattr(figures, field)).mean()) if len(real) else None

    def limit(self, field: str = "copied_16") -> float | None:
        """The 95th percentile of the real pieces; None without any."""
        return quantile(self.column(field), FLAGGED_PERCENTILE)

    def is_flagged(self, figures: Figures) -> bool:
        """Whether more of a sample stands in copied passages of 16 notes than in 95 of 100 real pieces."""
        limit = self.limit()
        return limit is not None and figures.copied_16 > limit

    def column(self, field: str) -> NDArray[np.float64]:
        """One of the figures of the real pieces, (num_pieces,)."""
        return self.figures[:, Figures._fields.index(field)]


def quantile(values: NDArray[np.float64], percentile: float) -> float | None:
    """A percentile, between two values in proportion; None without values."""
    return float(np.percentile(values, percentile)) if len(values) else None


def pooled(figures: Sequence[Figures]) -> Figures:
    """The figures of several samples as if they were one."""
    rows = np.array(figures, dtype=np.float64).reshape(-1, len(Figures._fields))
    total = rows[:, 0].sum()
    short, middle, long = ((rows[:, 1:4] * rows[:, :1]).sum(axis=0) / max(1.0, total)).tolist()
    return Figures(int(total), short, middle, long, int(rows[:, 4].max(initial=0)))
