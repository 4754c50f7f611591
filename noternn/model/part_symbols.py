"""By which symbols each instrument's own past in a piece is searched: `PartSymbols`."""

from __future__ import annotations

from typing import NamedTuple

from noternn.tokenizer.parts import Parts
from noternn.tokenizer.pitch_kinds import FIRST_HEIGHT, SPAN, PitchKinds

NUM_PART_SEARCHES = 3


class LookedUp(NamedTuple):
    """What one id is in its chain.

    Args:
        chain: the part whose note it belongs to; the number of parts for an id between notes.
        symbols: by which the three searches look it up.
        moved: its symbol after the part's last height, see `PitchKinds.symbol`.
        height: the last height of the part whose note is being written, after it.
    """

    chain: int
    symbols: tuple[int, int, int]
    moved: int
    height: int


class PartSymbols:
    """Where each instrument of one piece stands, id by id.

    A piece of a band is a chain of ids for each instrument, and one of what stands between the notes: which
    instrument has played, and how time moves on. A search looks among the earlier ids of the last id's own
    chain, so that what one instrument changes breaks no match of another. What differs is what an
    announced note begins with. The first search tells the grid steps since the instrument's last onset, the
    second its place in the bar, the third neither, and it has intervals to the instrument's last pitch in
    the place of pitches. Between notes the first looks at what stands there, the second at the same place of
    the bar alone, and the third does not tell by how much time moves.

    Args:
        kinds: of the vocabulary.
        parts: the same.
    """

    def __init__(self, kinds: PitchKinds, parts: Parts) -> None:
        self.kinds = kinds
        self.parts = parts
        self.none = parts.num_parts
        self.time = 0  # grid steps since the piece began
        self.current = self.none  # the part whose note is being written
        self.onsets = [-1] * self.none
        self.heights = [FIRST_HEIGHT] * (self.none + 1)  # the last is of notes of no known part

    def append(self, id_: int) -> LookedUp:
        """Go on by an id."""
        kinds, none = self.kinds, self.none
        self.time += int(kinds.steps[id_])
        begun = int(self.parts.part[id_])
        self.current = begun if begun >= 0 else self.current
        moved = kinds.symbol(id_, self.heights[self.current])
        self.heights[self.current] = kinds.height_after(id_, self.heights[self.current])
        if begun >= 0:
            chain, symbols = begun, self._announced(begun)
        elif self.parts.within[id_] and self.current != none:
            chain, symbols = self.current, (id_, id_, moved)
        else:
            chain, symbols = none, self._between(id_)
            self.current = none
        first, second, third = (symbol * (none + 1) + chain for symbol in symbols)
        return LookedUp(chain, (first, second, third), moved, self.heights[self.current])

    @property
    def _place(self) -> int:
        return self.time % self.kinds.bar

    def _announced(self, part: int) -> tuple[int, int, int]:
        """How a note of a part begins."""
        size, last = self.kinds.vocab_size, self.onsets[part]
        gap = self.time - last if last >= 0 else 0
        self.onsets[part] = self.time
        return size + gap, size + self._place, len(self.kinds.ids) * SPAN

    def _between(self, id_: int) -> tuple[int, int, int]:
        """What stands between notes: the part of the one that has ended, or an id."""
        said = self.current if self.current != self.none else self.none + id_
        num_said = self.none + self.kinds.vocab_size
        is_time = bool(self.kinds.steps[id_] > 0)
        return said, self._place * num_said + said, num_said if is_time else said
