"""What a reader of music did not understand or had to decide: counted, with the first place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MAX_KINDS = 50  # of remarks that are kept apart; a hostile file has no end of them


class Remark(NamedTuple):
    """One kind of thing that was not read as it stands.

    Args:
        what: in words that go after a number, such as "trills not played".
        number: how many there are.
        first: where the first stands, such as "bar 3" or "line 12"; "" where a place says nothing.
    """

    what: str
    number: int
    first: str = ""

    def __str__(self) -> str:
        return f"{self.number:,} {self.what}" + (f" (first: {self.first})" if self.first else "")


class Remarks:
    """Counts remarks while a file is read."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, what: str, first: str = "", number: int = 1) -> None:
        """Count one more; see `Remark`. Beyond `MAX_KINDS` kinds only a number is kept."""
        if what not in self._found and len(self._found) >= MAX_KINDS:
            what, first = "other things not understood", ""
        before, place = self._found.get(what, (0, first))
        self._found[what] = (before + number, place)

    def list(self) -> tuple[Remark, ...]:
        """The kinds in the order in which they were found."""
        return tuple(Remark(what, number, first) for what, (number, first) in self._found.items())


def merged(many: Iterable[Iterable[Remark]]) -> tuple[Remark, ...]:
    """The remarks of several files together, the most frequent first; no places."""
    counts: dict[str, int] = {}
    for remarks in many:
        for remark in remarks:
            counts[remark.what] = counts.get(remark.what, 0) + remark.number
    return tuple(Remark(what, number) for what, number in sorted(counts.items(), key=lambda pair: -pair[1]))
