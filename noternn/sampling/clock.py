"""The tempos and metres of a primer, which its continuation takes over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any

from noternn.music.midi import is_writable_metre
from noternn.music.piece import Piece
from noternn.tokenizer import Tokenizer

EPSILON = 1e-6  # of a beat
LARGEST_UNIT = 64  # of the metre that stands for a bar that is not full


@dataclass(frozen=True)
class Clock:
    """Tempos and metres in beats from the first note that a tokenizer writes, where its time begins.

    Args:
        tempos: (beat, quarter notes a minute), the first at 0.
        metres: (beat, numerator, denominator), the first at 0.
    """

    tempos: Sequence[tuple[float, float]]
    metres: Sequence[tuple[float, int, int]]

    @property
    def last_tempo(self) -> float:
        """With which the primer ends."""
        return self.tempos[-1][1]

    def set(self, piece: Piece) -> Piece:
        """A piece with these tempos and metres."""
        resolution = piece.ticks_per_beat  # changes that fall on one tick become one
        tempos = {round(beat * resolution): tempo for beat, tempo in self.tempos}
        metres = {round(beat * resolution): (over, under) for beat, over, under in self.metres}
        return replace(
            piece,
            tempos=tuple(tempos.items()),
            metres=tuple((tick, *metre) for tick, metre in metres.items()),
        )


def clock_of(primer: Piece, tokenizer: Tokenizer) -> Clock:
    """The clock of a primer; changes after the bar in which it ends are left out.

    Where its first note stands within a bar, the sample begins with the rest of that bar, as a metre of its
    own: bars go on where the primer has them.

    Args:
        primer: with notes that the tokenizer writes.
        tokenizer: says where its own time begins.
    """
    start = int(tokenizer.onsets(primer)[0]) / tokenizer.steps_per_beat
    end = tokenizer.written(primer).end / primer.ticks_per_beat - start
    _, tempos = _from_start(primer.tempos, primer.ticks_per_beat, start)
    return Clock([tempo for tempo in tempos if tempo[0] <= end], _metres(primer, start, end))


def _from_start(
    changes: Sequence[tuple[Any, ...]], ticks_per_beat: int, start: float
) -> tuple[float, list[tuple[Any, ...]]]:
    """Since which beat the first is in force, and all with their beats from the start, the first at 0."""
    beats = [(tick / ticks_per_beat - start, *values) for tick, *values in changes]
    since, *first = [change for change in beats if change[0] <= EPSILON][-1]
    return since, [(0.0, *first), *(change for change in beats if change[0] > EPSILON)]


def _metres(primer: Piece, start: float, end: float) -> list[tuple[float, int, int]]:
    """The metres from the first note to the bar in which the primer ends."""
    named = [metre for metre in primer.metres if is_writable_metre(*metre[1:])]
    if not named or named[0][0] > 0:
        named.insert(0, (0, 4, 4))
    since, [(_, numerator, denominator), *changes] = _from_start(named, primer.ticks_per_beat, start)
    length = 4 * numerator / denominator
    rest = length - -since % length  # of the bar in which the first note stands
    rest = min([rest, *(beat for beat, *_ in changes[:1])])
    metres = [(0.0, numerator, denominator)]
    part = Fraction(rest / 4).limit_denominator(LARGEST_UNIT)
    unit = max(denominator, part.denominator)
    if rest < length - EPSILON and abs(part - rest / 4) < EPSILON and is_writable_metre(1, unit):
        metres = [(0.0, int(part * unit), unit), (rest, numerator, denominator)]
    for change in changes:
        beat, numerator, denominator = metres[-1]
        length = 4 * numerator / denominator
        if change[0] > beat + length * ceil((end - beat) / length - EPSILON) + EPSILON:
            break
        if change[0] - beat < EPSILON:  # the rest of the bar ends with it
            metres.pop()
        metres.append(change)
    return metres
