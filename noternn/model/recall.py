"""What followed earlier in a piece where its last ids came before: suggestions of what comes next.

The last 1, 2, 3, 4, 6 ... 64 ids are looked up among the piece's earlier ids, as they are and at any other
pitch, and what followed there is suggested, that of the longest match first. A suggestion depends on the
piece's own past alone, and in another key it is the same, moved.
"""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from noternn.tokenizer.pitch_kinds import FIRST_HEIGHT, PitchKinds

try:
    from noternn.model import matches as matches
except ImportError:  # there was no compiler
    matches = None  # type: ignore[assignment]

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

# Lengths of matches, in ids, each with the two shorter ones that it is put together from.
LENGTHS = {1: (0, 0), 2: (1, 1), 3: (2, 1), 4: (2, 2), 6: (4, 2), 8: (4, 4), 12: (8, 4), 16: (8, 8)}
LENGTHS |= {24: (16, 8), 32: (16, 16), 48: (32, 16), 64: (32, 32)}
NUM_CLASSES = len(LENGTHS)
PARTS = np.array(
    [[length, *(list(LENGTHS).index(max(part, 1)) for part in parts)] for length, parts in LENGTHS.items()]
)
LONGEST_FIRST = sorted(enumerate(LENGTHS), reverse=True)
HOPS = 4  # places of each match that are looked at, the latest first
STEP, MASK = 0x9E3779B97F4A7C15, 2**64 - 1
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def suggestions(ids: Ints, kinds: PitchKinds, count: int) -> Ints:
    """What is suggested after each id of a piece.

    Args:
        ids: (num_tokens,).
        kinds: of the vocabulary.
        count: how many ids each of the two searches suggests at most.

    Returns:
        (num_tokens, 2, 2 * count): ids, `vocab_size` for none, and the classes of the lengths of their
        matches, indices into `LENGTHS`. The first half matched as it is, the other one at any pitch.
    """
    heights = kinds.heights(ids)
    before = np.concatenate([[FIRST_HEIGHT], heights[:-1]])
    plain, plain_classes = followers(ids, count)
    symbols, moved_classes = followers(kinds.symbols(ids, before), count)
    moved = kinds.ids_of(symbols, heights[:, None] + np.zeros(count, dtype=np.int64))
    found = np.hstack([plain, moved])
    found[found < 0] = kinds.vocab_size
    return np.stack([found, np.hstack([plain_classes, moved_classes])], axis=1)


def followers(symbols: Ints, count: int) -> tuple[Ints, Ints]:
    """Up to `count` distinct symbols that followed earlier where the last symbols came before.

    Args:
        symbols: (num_symbols,).
        count: how many.

    Returns:
        Symbols, -1 for none, and the classes of their matches' lengths, each (num_symbols, count).
    """
    if matches is not None:
        return _CompiledPast(len(symbols)).extended(symbols, count)
    size = len(symbols)
    found, classes = np.full((size, count), -1), np.zeros((size, count), dtype=np.int64)
    num_found = np.zeros(size, dtype=np.int64)
    following = np.append(symbols[1:], -1)
    hashes = _hashes(symbols)
    for class_, length in LONGEST_FIRST:
        earlier = _earlier(hashes[length], length)
        place = earlier
        for _ in range(HOPS):
            follower = following[place]
            is_new = (place >= 0) & (num_found < count) & (found != follower[:, None]).all(axis=1)
            rows = np.flatnonzero(is_new)
            found[rows, num_found[rows]], classes[rows, num_found[rows]] = follower[rows], class_
            num_found[rows] += 1
            place = np.where(place >= 0, earlier[place], -1)
            if place.max(initial=-1) < 0:
                break
    return found, classes


def _hashes(symbols: Ints) -> dict[int, Hashes]:
    """By length: a hash of so many last symbols at each place, (num_symbols,); none where there are fewer."""
    hashes = {1: _mixed(symbols.astype(np.uint64))}
    for length, (first, last) in list(LENGTHS.items())[1:]:
        before = np.concatenate([np.zeros(last, dtype=np.uint64), hashes[first]])[: len(symbols)]
        hashes[length] = _mixed(before * np.uint64(STEP) + hashes[last])
    return hashes


def _mixed(values: Hashes) -> Hashes:
    """Numbers scattered over all of 64 bits (Steele et al., SplitMix, OOPSLA 2014)."""
    values = values + np.uint64(STEP)
    for shift, factor in ROUNDS:
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def _earlier(hashes: Hashes, length: int) -> Ints:
    """The latest earlier place of the same hash, or -1, (num_symbols,)."""
    earlier = np.full(len(hashes), -1)
    order = np.argsort(hashes[length - 1 :], kind="stable") + length - 1
    is_same = hashes[order[1:]] == hashes[order[:-1]]
    earlier[order[1:][is_same]] = order[:-1][is_same]
    return earlier


class Recall:
    """The ids of one piece so far, and what `suggestions` gives for the last of them.

    Each id takes the same time, however long the piece is.

    Args:
        kinds: of the vocabulary.
        count: see `suggestions`.
    """

    def __init__(self, kinds: PitchKinds, count: int) -> None:
        self.kinds = kinds
        self.count = count
        self._plain, self._moved = _past(), _past()
        self._height = FIRST_HEIGHT

    def append(self, id_: int) -> tuple[list[int], list[int]]:
        """Go on by an id.

        Returns:
            Ids, `vocab_size` for none, and classes, (2 * count,) each.
        """
        id_ = int(id_)  # a number of numpy would overflow in hashes
        symbol = self.kinds.symbol(id_, self._height)
        self._height = self.kinds.height_after(id_, self._height)
        found, classes = self._plain.append(id_, self.count)
        symbols, moved_classes = self._moved.append(symbol, self.count)
        found += [self.kinds.id(symbol, self._height) for symbol in symbols]
        return [id_ if id_ >= 0 else self.kinds.vocab_size for id_ in found], classes + moved_classes

    def copy(self) -> Recall:
        """One that goes on by itself."""
        other = Recall(self.kinds, self.count)
        other._plain, other._moved, other._height = self._plain.copy(), self._moved.copy(), self._height
        return other


class _Past(Protocol):
    """Symbols so far, and where their last ones came before."""

    def append(self, symbol: int, count: int) -> tuple[list[int], list[int]]:
        """Go on by a symbol; what `followers` gives for it."""

    def copy(self) -> Self:
        """One that goes on by itself."""


def _past() -> _Past:
    """Compiled if it can be."""
    return _PlainPast() if matches is None else _CompiledPast()


class _CompiledPast:
    """By `matches.c`."""

    def __init__(self, capacity: int = 256) -> None:
        self.size = 0
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        rows = len(LENGTHS), capacity
        num_slots = 1 << (2 * len(LENGTHS) * capacity).bit_length()
        self.symbols = np.zeros(capacity, dtype=np.int64)
        self.buffers: tuple[NDArray[Any], ...] = (
            np.zeros(rows, dtype=np.uint64),
            np.zeros(rows, dtype=np.int64),
            np.zeros(num_slots, dtype=np.uint64),
            np.full(num_slots, -1, dtype=np.int64),
        )

    def extended(self, symbols: Ints, count: int) -> tuple[Ints, Ints]:
        """Go on by symbols for which there is room; what `followers` gives for them."""
        start, self.size = self.size, self.size + len(symbols)
        self.symbols[start : self.size] = symbols
        found, classes = (np.empty((len(symbols), count), dtype=np.int64) for _ in range(2))
        matches.search(self.symbols, PARTS, *self.buffers, found, classes, start, count, HOPS)
        return found, classes

    def append(self, symbol: int, count: int) -> tuple[list[int], list[int]]:
        """See `_Past`."""
        if self.size == len(self.symbols):
            known, self.size = self.symbols, 0
            self._allocate(2 * len(known))
            self.extended(known, count)
        found, classes = self.extended(np.array([symbol]), count)
        return found[0].tolist(), classes[0].tolist()

    def copy(self) -> Self:
        """See `_Past`."""
        other = copy(self)
        other.symbols, other.buffers = self.symbols.copy(), tuple(part.copy() for part in self.buffers)
        return other


class _PlainPast:
    """In Python."""

    def __init__(self) -> None:
        self.symbols: list[int] = []
        self.hashes: dict[int, list[int]] = {length: [] for length in LENGTHS}
        self.earlier: dict[int, list[int]] = {length: [] for length in LENGTHS}
        self.latest: dict[int, int] = {}  # the latest place of each hash, of all lengths

    def append(self, symbol: int, count: int) -> tuple[list[int], list[int]]:
        """See `_Past`."""
        here = len(self.symbols)
        self.symbols.append(symbol)
        for length, (first, last) in LENGTHS.items():
            value, before = 0, -1
            if length == 1:
                value = _mixed_one(symbol)
            elif here + 1 >= length:
                value = _mixed_one(self.hashes[first][here - last] * STEP + self.hashes[last][here])
            if here + 1 >= length:
                before = self.latest.get(value ^ length, -1)
                self.latest[value ^ length] = here
            self.hashes[length].append(value)
            self.earlier[length].append(before)
        return self._followers(count)

    def _followers(self, count: int) -> tuple[list[int], list[int]]:
        found: dict[int, int] = {}
        for class_, length in LONGEST_FIRST:
            earlier = self.earlier[length]
            place = earlier[-1]
            for _ in range(HOPS):
                if place < 0 or len(found) == count:
                    break
                found.setdefault(self.symbols[place + 1], class_)
                place = earlier[place]
        missing = count - len(found)
        return [*found, *[-1] * missing], [*found.values(), *[0] * missing]

    def copy(self) -> Self:
        """See `_Past`."""
        return deepcopy(self)


def _mixed_one(value: int) -> int:
    """`_mixed` of one number."""
    value = (value + STEP) & MASK
    for shift, factor in ROUNDS:
        value = ((value ^ (value >> shift)) * factor) & MASK
    return value ^ (value >> 31)
