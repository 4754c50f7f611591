"""In which order the bars of a score are played."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from noternn.errors import PieceError

Repeats = Literal["printed", "once", "played"]
MAX_PLAYED_BARS = 20_000


class SignedBar(Protocol):
    """The signs of repetition of a bar; see `noternn.music.notation.Bar`."""

    repeat_start: bool
    repeat_end: int
    endings: tuple[int, ...]
    begins_ending: bool
    segno: bool
    coda: bool
    to_coda: bool
    fine: bool
    jump: str
    section: str


def playing_order(
    bars: Sequence[SignedBar],
    repeats: Repeats,
    played_sections: Sequence[str] = (),
    once_sections: Sequence[str] = (),
) -> list[int]:
    """The indices of the bars in the order in which they are read.

    Args:
        bars: of one part.
        repeats: "printed": every bar once, in the order of the page, one ending after the other. "once":
            every bar once, and of several endings the last, as in the last time through. "played": with
            repeats, endings, da capo, dal segno and coda, and the sections in the order that the file gives.
            After da capo or dal segno repeats are not played again and the last ending is taken.
        played_sections: the order of the sections for "played"; () is that of the page.
        once_sections: the same for "once".

    Raises:
        PieceError: if more than `MAX_PLAYED_BARS` would be played.
    """
    if repeats == "printed":
        return list(range(len(bars)))
    sections = played_sections if repeats == "played" else once_sections
    stretches = _sections(bars, sections) if sections else [range(len(bars))]
    order: list[int] = []
    for stretch in stretches:
        part = bars[stretch.start : stretch.stop]
        found = _Player(part).order() if repeats == "played" else _last_time(part)
        order += [stretch.start + i for i in found]
        if len(order) > MAX_PLAYED_BARS:
            raise too_many_bars()
    return order


def too_many_bars() -> PieceError:
    """What says that repeats make a piece too long."""
    return PieceError(
        f"is too long: with its repeats it has more than {MAX_PLAYED_BARS:,} bars; "
        "dataset.repeats=once reads it without"
    )


def _sections(bars: Sequence[SignedBar], names: Sequence[str]) -> list[range]:
    """Where the named sections are; what stands before the first name comes first, unknown names are none."""
    starts = [i for i, bar in enumerate(bars) if bar.section]
    ends = [*starts[1:], len(bars)]
    where = {bars[i].section: range(i, end) for i, end in reversed(list(zip(starts, ends, strict=True)))}
    before = [range(starts[0])] if starts and starts[0] > 0 else []
    found = [where[name] for name in names if name in where]
    return before + found if found else [range(len(bars))]


def ending_groups(bars: Sequence[SignedBar]) -> list[list[range]]:
    """The brackets of the bars: groups of endings that follow one another, each ending a range of bars."""
    groups: list[list[range]] = []
    for i, bar in enumerate(bars):
        if not bar.endings:
            continue
        follows = i > 0 and bars[i - 1].endings
        if not follows:
            groups.append([])
        if not follows or bar.begins_ending:
            groups[-1].append(range(i, i + 1))
        else:
            groups[-1][-1] = range(groups[-1][-1].start, i + 1)
    return groups


def _last_time(bars: Sequence[SignedBar]) -> list[int]:
    """Every bar once, of several endings the last."""
    left_out = {
        i
        for group in ending_groups(bars)
        for ending in (group if _is_left_by_repeat(bars, group) else group[:-1])
        for i in ending
    }
    return [i for i in range(len(bars)) if i not in left_out]


def _is_left_by_repeat(bars: Sequence[SignedBar], group: Sequence[range]) -> bool:
    """Whether a group is one ending that is repeated, so that the last time goes past it."""
    last = group[-1]
    return len(group) == 1 and bars[last[-1]].repeat_end > 0 and last.stop < len(bars)


class _Player:
    """Walks through the bars as one who plays them."""

    def __init__(self, bars: Sequence[SignedBar]) -> None:
        self._bars = bars
        self._start = 0  # where the passage that is being played began
        self._time = 1  # how often it is played by now
        self._jumped = False  # whether da capo or dal segno is behind
        self._times = [bar.repeat_end for bar in bars]
        for group in ending_groups(bars):
            self._count_endings(group)
        self._left_out_at_last = set(range(len(bars))) - set(_last_time(bars))

    def _count_endings(self, group: Sequence[range]) -> None:
        """How often the passage before some endings is played: as often as the highest number says."""
        times = max(2, max(number for ending in group for number in self._bars[ending.start].endings))
        for ending in group:
            last = ending[-1]
            # An ending that another follows is left by a repeat, whether the sign is there or not.
            if self._times[last] or (ending is not group[-1] and not self._bars[last].jump):
                self._times[last] = times

    def order(self) -> list[int]:
        """The indices of the bars as they are played."""
        order: list[int] = []
        i, before = 0, -1
        while i < len(self._bars):
            bar = self._bars[i]
            leaves_endings = before == i - 1 >= 0 and self._bars[before].endings and not bar.endings
            if i != self._start and (bar.repeat_start or leaves_endings):
                self._start, self._time = i, 1
            before = i
            if self._is_left_out(i):
                i += 1
                continue
            order.append(i)
            if len(order) > MAX_PLAYED_BARS:
                raise too_many_bars()
            i = self._after_jump(i) if self._jumped else self._after(i)
        return order

    def _is_left_out(self, i: int) -> bool:
        if self._jumped:
            return i in self._left_out_at_last
        return bool(self._bars[i].endings) and self._time not in self._bars[i].endings

    def _after(self, i: int) -> int:
        """The bar after bar `i` before any jump."""
        if self._times[i] and self._time < self._times[i]:
            self._time += 1
            return self._start
        if self._times[i]:
            self._start, self._time = i + 1, 1
        if not self._bars[i].jump:
            return i + 1
        self._jumped = True
        if self._bars[i].jump == "dacapo":
            return 0
        return next((j for j, bar in enumerate(self._bars) if bar.segno), 0)

    def _after_jump(self, i: int) -> int:
        """The bar after bar `i` after da capo or dal segno; the number of bars ends the piece."""
        if self._bars[i].fine:
            return len(self._bars)
        if self._bars[i].to_coda:
            return next((j for j, bar in enumerate(self._bars) if bar.coda and j > i), i + 1)
        return i + 1
