"""Is a sample healthy? Compare it with a yardstick, and say in words what is wrong.

A sample is called unhealthy, and how it has collapsed is said, only where it is further out than any real
excerpt (see `_limits`); unusual, where more quantities are outside at once than real music has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from noternn.health.excerpts import excerpts
from noternn.health.measures import BAND_QUANTITIES, QUANTITIES, Health, Quantity, measure, show
from noternn.health.surprise import Nats
from noternn.health.yardstick import MIN_NOTES, MIN_PIECES, OUTSIDE, Range, Yardstick, sides
from noternn.music.piece import Piece
from noternn.tables import format_table

NO_VERDICT = "no verdict"


@dataclass(frozen=True)
class Checkup:
    """A sample beside real music.

    Args:
        name: of the sample.
        whole: its quantities from beginning to end.
        length: notes of the excerpts that were compared.
        values: by quantity, the mean over its excerpts.
        outside: by quantity -1 or 1 where that mean is below or above what is usual.
        collapses: what is wrong in words, with where it was heard.
        verdict: "unhealthy" if anything is; "unusual" if more quantities are outside than in 19 of 20 real
            excerpts; "healthy", "too short to tell", or "no verdict" where there are fewer than 8 pieces.
    """

    name: str
    whole: Health
    length: int
    values: Mapping[str, float]
    outside: Mapping[str, int]
    collapses: Sequence[str]
    verdict: str

    @property
    def num_outside(self) -> int:
        """How many quantities are outside of what is usual."""
        return sum(map(abs, self.outside.values()))

    @property
    def sentence(self) -> str:
        """What there is to say, in a line."""
        if not self.values:
            return f"{self.verdict} ({MIN_NOTES} notes are needed)"
        if self.verdict == NO_VERDICT:
            return f"no verdict: there are fewer than {MIN_PIECES} pieces to compare it with"
        if self.collapses:
            return f"unhealthy: {'; '.join(self.collapses)}"
        labels = {quantity.name: quantity.label for quantity in QUANTITIES}
        odd = [
            f"{labels[name]} {'high' if side > 0 else 'low'}" for name, side in self.outside.items() if side
        ]
        if self.verdict == "unusual":
            return f"unusual: {', '.join(odd)}"
        return "healthy: like held-out music" + (f", but {', '.join(odd)}" if odd else "")


def check(piece: Piece, yardstick: Yardstick, name: str = "", nats: Nats | None = None) -> Checkup:
    """Compare a sample with held-out pieces.

    It is cut into excerpts as they are. The table shows the mean over these; a collapse in one is enough.

    Args:
        piece: the sample.
        yardstick: of the held-out pieces.
        name: of the sample.
        nats: of the network that `yardstick.network` was measured with; None leaves it out.
    """
    profile = np.array(yardstick.profile)
    whole = measure(piece, profile)
    if piece.num_notes < MIN_NOTES or not yardstick.ranges:
        return Checkup(name, whole, 0, {}, {}, [], "too short to tell")
    length = yardstick.length_for(piece.num_notes)
    parts, ranges = excerpts(piece, length), yardstick.ranges[length]
    measured = [measure(part, profile) for part in parts]
    values = {q.name: _mean([getattr(health, q.name) for health in measured]) for q in QUANTITIES}
    outside, collapses = sides(values, ranges), _collapses(piece, parts, measured, ranges)
    if nats and yardstick.network:
        collapses += yardstick.network.faults(piece, nats)
    is_unusual = sum(map(abs, outside.values())) > ranges[OUTSIDE].high
    verdict = "unhealthy" if collapses else "unusual" if is_unusual else "healthy"
    if not yardstick.can_tell:
        verdict = NO_VERDICT
    return Checkup(name, whole, length, values, outside, collapses, verdict)


def _mean(values: Sequence[float]) -> float:
    """Of those that can be said; NaN where none can."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _limits(quantity: Quantity, of_real: Range) -> tuple[float, float]:
    """Beyond what a quantity is called a collapse.

    Further out than all real excerpts: by as much as the outermost is from their median, but by no more than
    half of the way to what is possible at all, and by at least `Quantity.least`.
    """
    below = min(of_real.median - of_real.least, (of_real.least - quantity.lowest) / 2)
    above = min(of_real.most - of_real.median, (quantity.highest - of_real.most) / 2)
    return of_real.least - max(below, quantity.least), of_real.most + max(above, quantity.least)


def _collapses(
    piece: Piece, parts: Sequence[Piece], measured: Sequence[Health], ranges: Mapping[str, Range]
) -> list[str]:
    """What is wrong in words, each once, in its worst excerpt."""
    found: dict[str, str] = {}
    for quantity in QUANTITIES:
        real = ranges[quantity.name]
        values = np.array([getattr(health, quantity.name) for health in measured], dtype=np.float64)
        values = np.where(np.isfinite(values), values, real.median)
        low, high = _limits(quantity, real)
        for words, is_out, worst in (
            (quantity.low, values < low, int(values.argmin())),
            (quantity.high, values > high, int(values.argmax())),
        ):
            if words and is_out.any():
                text = words.format(
                    value=show(quantity.name, values[worst]), loop=f"{measured[worst].loop_beats:.0f}"
                )
                found[quantity.name] = f"{text} {_usual(quantity, ranges)}{_where(piece, parts, is_out)}"
    if "local_scale_consistency" in found:
        found.pop("scale_consistency", None)  # it follows
    return list(found.values())


def _usual(quantity: Quantity, ranges: Mapping[str, Range]) -> str:
    real = ranges[quantity.name]
    return f"(held-out: {show(quantity.name, real.least)} to {show(quantity.name, real.most)})"


def _where(piece: Piece, parts: Sequence[Piece], is_out: NDArray[np.bool_]) -> str:
    """From which beat on, if not all of the sample is so."""
    first = parts[int(is_out.argmax())]
    since = (int(first.onset[0]) - int(piece.onset[0])) / piece.ticks_per_beat
    return f", from beat {since:.0f}" if since > 0 else ""


def describe(checkups: Sequence[Checkup], yardstick: Yardstick) -> str:
    """A table of the quantities beside held-out music, then a line for each sample."""
    told = [checkup for checkup in checkups if checkup.values]
    lines = [_table(told, yardstick)] if told else []
    lines += [f"{checkup.name}: {checkup.sentence}" for checkup in checkups]
    if len(checkups) > 1:
        verdicts = Counter(checkup.verdict for checkup in checkups)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        lines.append(f"{len(checkups)} samples: {counts}")
    return "\n".join(lines)


def _table(checkups: Sequence[Checkup], yardstick: Yardstick) -> str:
    """Each quantity of the samples, the median of several, and how many of them are outside its range."""
    lengths = [checkup.length for checkup in checkups]
    length = max(set(lengths), key=lengths.count)
    column = "sample" if len(checkups) == 1 else "samples"
    rows: list[dict[str, object]] = []
    for q in QUANTITIES:
        real = yardstick.ranges[length][q.name]
        if q in BAND_QUANTITIES and math.isnan(real.median):
            continue
        on_sides = [checkup.outside[q.name] for checkup in checkups]
        num_outside = {"high": on_sides.count(1), "low": on_sides.count(-1)}
        marks = [name if len(checkups) == 1 else f"{n} {name}" for name, n in num_outside.items() if n]
        values = np.array([checkup.values[q.name] for checkup in checkups])
        finite = values[np.isfinite(values)] if q in BAND_QUANTITIES else values
        value = float(np.median(finite)) if len(finite) else math.nan
        cells = {column: value, "5 %": real.low, "median": real.median, "95 %": real.high}
        rows.append(
            {"": q.label, **{name: show(q.name, v) for name, v in cells.items()}, " ": ", ".join(marks)}
        )
    pieces = f"{yardstick.num_pieces} held-out pieces"
    if yardstick.num_trained:
        pieces = f"{yardstick.num_pieces} pieces, {yardstick.num_trained} of them trained on"
    head = f"excerpts of {length} notes; on the right those of {pieces}\n\n"
    return head + format_table(rows, list(rows[0])) + "\n"


def as_rows(checkups: Sequence[Checkup]) -> list[dict[str, object]]:
    """A row for each sample, for CSV and JSON: its quantities as a whole, and what there is to say."""
    rows = []
    for c in checkups:
        row: dict[str, object] = {"name": c.name, "health": c.sentence, "num_outside": c.num_outside}
        whole = asdict(c.whole).items()
        rows.append(row | {name: value if math.isfinite(value) else None for name, value in whole})
    return rows
