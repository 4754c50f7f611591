"""A suffix array: all places of a long text in the order of what follows there."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Symbols = NDArray[np.uint32]

WINDOW = 8  # symbols that are compared at a time
TEXT_END, QUERY_END = np.uint32(2**32 - 2), np.uint32(2**32 - 1)  # stand behind, and are equal to nothing


class SuffixArray:
    """Finds the longest match of many places of a query at once. Exact; 8 bytes a symbol.

    Args:
        text: (num_symbols,) parts that end in symbols that stand nowhere else.
        order: (num_symbols,) of its suffixes, as `suffix_order` gives it.
        part: (num_symbols,) the number of what each symbol belongs to, see `longest`.
    """

    def __init__(self, text: Symbols, order: NDArray[np.int32], part: NDArray[np.int32]) -> None:
        self.order = order
        self.part = part
        self._text = _windows(text, TEXT_END)

    def longest(self, query: Symbols, without: int | None = None) -> tuple[Ints, Ints]:
        """For each place of a query the longest match that begins there.

        Args:
            query: (num_places,) with symbols of its own where a match may not go on.
            without: a part in which nothing is looked for.

        Returns:
            how long it is, (num_places,), and where in the text it stands; -1 where there is none.
        """
        asked = _windows(query, QUERY_END)
        below, above, lengths_below, lengths_above = self._neighbors(asked)
        if without is not None:
            below, above = self._outside(below, above, without)
            lengths_below, lengths_above = self._shared(asked, below), self._shared(asked, above)
        lengths = np.maximum(lengths_below, lengths_above)
        nearest = np.where(lengths_below >= lengths_above, below, above)
        places = self.order[np.clip(nearest, 0, max(0, len(self.order) - 1))].astype(np.int64)
        return lengths, np.where(lengths > 0, places, -1)

    def close(
        self, query: Symbols, min_length: int, num_each_way: int, without: int | None = None
    ) -> tuple[Ints, Ints, Ints]:
        """Matches of at least so many symbols that begin at places of a query, several at each.

        Args:
            query, without: see `longest`.
            min_length: at least 1.
            num_each_way: of matches at a place, before and after it in the order.

        Returns:
            place in the query, place in the text and length of each match.
        """
        asked = _windows(query, QUERY_END)
        below, above, _, _ = self._neighbors(asked)
        found = [np.zeros((0, 3), dtype=np.int64)]
        for suffixes, step in ((below, -1), (above, 1)):
            places = np.arange(len(suffixes))
            for _ in range(num_each_way):
                if without is not None:
                    before, after = self._outside(suffixes, suffixes, without)
                    suffixes = before if step < 0 else after
                lengths = self._shared(asked, suffixes, places)
                near = np.flatnonzero(lengths >= min_length)
                places, suffixes, lengths = places[near], suffixes[near], lengths[near]
                found.append(np.stack([places, self.order[suffixes], lengths], axis=1))
                suffixes = suffixes + step
        place, text, length = np.concatenate(found).T
        return place, text, length

    def _neighbors(self, asked: Symbols) -> tuple[Ints, Ints, Ints, Ints]:
        """Of each place the suffixes before and after it in the order, and what it shares with them.

        Binary search that does not compare again what both ends share (Manber and Myers, 1993).
        """
        num_places = len(asked) - WINDOW
        low, high = np.full(num_places, -1), np.full(num_places, len(self.order))
        low_shared, high_shared = np.zeros((2, num_places), dtype=np.int64)
        waiting = np.arange(num_places if len(self.order) else 0)
        while len(waiting):
            middle = (low[waiting] + high[waiting]) >> 1
            shared = np.minimum(low_shared[waiting], high_shared[waiting])
            starts = self.order[middle].astype(np.int64)
            shared = self._extended(asked, waiting, starts, shared)
            is_after = asked[waiting + shared, 0] > self._text[starts + shared, 0]
            low[waiting[is_after]], low_shared[waiting[is_after]] = middle[is_after], shared[is_after]
            is_before = ~is_after
            high[waiting[is_before]], high_shared[waiting[is_before]] = middle[is_before], shared[is_before]
            waiting = waiting[high[waiting] - low[waiting] > 1]
        return low, high, low_shared, high_shared

    def _extended(self, asked: Symbols, places: Ints, starts: Ints, shared: Ints) -> Ints:
        """How many symbols are equal from the places and the starts on; `shared` of them are known to be."""
        shared = shared.copy()
        going = np.arange(len(places))
        while len(going):
            differs = asked[places[going] + shared[going]] != self._text[starts[going] + shared[going]]
            first = differs.argmax(axis=1)
            is_over = differs[np.arange(len(going)), first]
            shared[going] += np.where(is_over, first, WINDOW)
            going = going[~is_over]
        return shared

    def _outside(self, below: Ints, above: Ints, part: int) -> tuple[Ints, Ints]:
        """The nearest suffixes before and after that do not begin in a part; -1 and num_symbols for none."""
        parts, before, after = self._runs
        below = np.where(parts[below] == part, before[below], below)
        return below, np.where(parts[above] == part, after[above], above)

    @cached_property
    def _runs(self) -> tuple[NDArray[np.int32], Ints, Ints]:
        """Of each suffix in the order its part, and the nearest of another part before it and after it.

        Two more stand at the end, for what is after all suffixes and, by index -1, before them.
        """
        parts = np.append(self.part[self.order], np.array([-1, -1], dtype=np.int32))
        starts = np.flatnonzero(np.append(True, parts[1:] != parts[:-1]))
        lengths = np.diff(np.append(starts, len(parts)))
        return parts, np.repeat(starts - 1, lengths), np.repeat(starts + lengths, lengths)

    def _shared(self, asked: Symbols, suffixes: Ints, places: Ints | None = None) -> Ints:
        """How much each place, or some, share with a suffix of the order each; 0 where that is outside."""
        shared = np.zeros(len(suffixes), dtype=np.int64)
        inside = np.flatnonzero((suffixes >= 0) & (suffixes < len(self.order)))
        starts = self.order[suffixes[inside]].astype(np.int64)
        asking = inside if places is None else places[inside]
        shared[inside] = self._extended(asked, asking, starts, shared[inside])
        return shared


def _windows(symbols: Symbols, end: np.uint32) -> Symbols:
    """(num_symbols + WINDOW, WINDOW) what stands at each place and after it, as a view."""
    padded = np.concatenate([symbols, np.full(2 * WINDOW - 1, end, dtype=np.uint32)])
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)


def suffix_order(text: Symbols) -> NDArray[np.int32]:
    """The places of a text, (num_symbols,), in the order of what follows there, by prefix doubling.

    Only places that are not told apart yet are sorted again (Larsson and Sadakane, 1999).

    Args:
        text: its last symbol stands nowhere else, and so do others that end its parts.
    """
    keys, length = _first_keys(text)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    rank = np.empty(len(text), dtype=np.int64)  # of the first of those equal so far
    slots = np.arange(len(text))
    keys = keys[order]
    places = order
    while len(slots):
        is_first = np.append(True, keys[1:] != keys[:-1])
        heads = np.flatnonzero(is_first)
        rank[places] = np.repeat(slots[heads], np.diff(np.append(heads, len(slots))))
        is_alone = is_first & np.append(is_first[1:], True)
        slots, places = slots[~is_alone], places[~is_alone]
        # What is not told apart holds no end of a part, so that what follows is within the text.
        keys = rank[places] * len(text) + rank[places + length]
        by_key = np.argsort(keys, kind="stable")
        keys, places = keys[by_key], places[by_key]
        order[slots] = places
        length *= 2
    return order


def _first_keys(text: Symbols) -> tuple[Ints, int]:
    """A number for the first symbols at each place that orders them, and how many symbols that are."""
    distinct, numbers = np.unique(text, return_inverse=True)
    bits = max(1, len(distinct).bit_length())
    length = 63 // bits
    padded = np.append(numbers.astype(np.int64) + 1, np.zeros(length, dtype=np.int64))
    keys = np.zeros(len(text), dtype=np.int64)
    for i in range(length):
        keys = keys << bits | padded[i : i + len(text)]
    return keys, length
