"""What a reader of music did not understand or had to decide: counted, with the first place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


class Kind(NamedTuple):
    """Remarks of one kind on several pieces.

    Args:
        what: see `Remark`.
        number: how many there are in all.
        num_pieces: in how many pieces.
        first: the first of these pieces, and where in it.
    """

    what: str
    number: int
    num_pieces: int
    first: str

    def __str__(self) -> str:
        pieces = f"in {self.num_pieces:,} piece{'s' if self.num_pieces > 1 else ''}"
        return f"{self.number:,} {self.what} {pieces} (first: {self.first})"


def kinds(remarks: Mapping[str, Iterable[Remark]]) -> list[Kind]:
    """The remarks on many pieces, by the pieces' names, kind by kind, the most frequent first."""
    found: dict[str, Kind] = {}
    for name, of_piece in remarks.items():
        for remark in of_piece:
            first = f"{name}, {remark.first}" if remark.first else name
            before = found.get(remark.what, Kind(remark.what, 0, 0, first))
            number, num_pieces = before.number + remark.number, before.num_pieces + 1
            found[remark.what] = before._replace(number=number, num_pieces=num_pieces)
    return sorted(found.values(), key=lambda kind: -kind.number)
