"""What followed earlier in a piece where its last ids came before: suggestions of what comes next.

The last 1, 2, 3, 4, 6 ... 64 ids are looked up among the piece's earlier ids in four ways: as they are, at
any other pitch, without their pitches as a rhythm, and as they are at the same place of the bar. What
followed there is suggested, that of the longest match first; of a rhythm what is no pitch. Where instruments
are told apart the last ids of the instrument whose note is being written are looked up among its own in three
more ways: see `PartSymbols`. A suggestion depends on the piece's own past alone, and in another key it is the
same, moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noternn.model.part_symbols import NUM_PART_SEARCHES, PartSymbols
from noternn.tokenizer.pitch_kinds import FIRST_HEIGHT, NUM_HEIGHTS, SPAN, PitchKinds

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
NUM_SEARCHES = 4  # of all ids
PARTS = np.array(
    [[length, *(list(LENGTHS).index(max(part, 1)) for part in parts)] for length, parts in LENGTHS.items()]
)
LONGEST_FIRST = sorted(enumerate(LENGTHS), reverse=True)
HOPS = 4  # places of each match that are looked at, the latest first
STEP, MASK = 0x9E3779B97F4A7C15, 2**64 - 1
EVERY = slice(None)
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def num_searches(kinds: PitchKinds) -> int:
    """How many ways of looking up there are."""
    return NUM_SEARCHES + (NUM_PART_SEARCHES if kinds.parts is not None else 0)


def suggestions(ids: Ints, kinds: PitchKinds, count: int) -> Ints:
    """What is suggested after each id of a piece.

    Args:
        ids: (num_tokens,).
        kinds: of the vocabulary.
        count: how many ids each search suggests at most.

    Returns:
        (num_tokens, 2, num_searches(kinds) * count): ids, `vocab_size` for none, and the classes of the
        lengths of their matches, indices into `LENGTHS`. The first `count` matched as they are, the next ones
        at any pitch, the next ones in rhythm, the next ones as they are at the same place of the bar, and
        then those of `PartSymbols` if instruments are told apart.
    """
    if matches is not None:
        suggested: Ints = _CompiledRecall(kinds, count, len(ids)).extended(ids[None])[0]
        return suggested
    heights = kinds.heights(ids)
    before = np.concatenate([[FIRST_HEIGHT], heights[:-1]])
    placed = kinds.steps[ids].cumsum() % kinds.bar * kinds.vocab_size + ids
    searched = ids, kinds.symbols(ids, before), kinds.kind[ids], placed
    found = [followers(symbols, count) for symbols in searched]
    (plain, _), (moved, _), (rhythm, _), (placed, _) = found
    moved = kinds.ids_of(moved, np.repeat(heights[:, None], count, 1))
    rhythm = np.where(rhythm >= 0, kinds.ids[rhythm, NUM_HEIGHTS], -1)
    placed = np.where(placed >= 0, placed % kinds.vocab_size, -1)
    by_part = _by_part(ids, kinds, count)
    each = np.hstack([plain, moved, rhythm, placed, *(suggested for suggested, _ in by_part)])
    each[each < 0] = kinds.vocab_size
    return np.stack([each, np.hstack([classes for _, classes in [*found, *by_part]])], axis=1)


def _by_part(ids: Ints, kinds: PitchKinds, count: int) -> list[tuple[Ints, Ints]]:
    """What each search by part suggests, -1 for none, and the classes of lengths."""
    if kinds.parts is None:
        return []
    symbols = PartSymbols(kinds, kinds.parts)
    chain, looked_up, moved, height = (
        np.array(column) for column in zip(*(symbols.append(int(id_)) for id_ in ids), strict=True)
    )
    first, second, (third, classes) = (
        followers(column, count, following, chain)
        for column, following in zip(looked_up.T, (ids, ids, moved), strict=True)
    )
    return [first, second, (kinds.ids_of(third, np.repeat(height[:, None], count, 1)), classes)]


def followers(
    symbols: Ints, count: int, following: Ints | None = None, chain: Ints | None = None
) -> tuple[Ints, Ints]:
    """Up to `count` distinct symbols that followed earlier where the last symbols came before.

    Args:
        symbols: (num_symbols,).
        count: how many.
        following: (num_symbols,) the symbols that follow, if they are others than those that are looked up.
        chain: (num_symbols,) which sequence each is one of, no two of which have a symbol in common: those
            before it in its own are the last. None for a single one.

    Returns:
        Symbols, -1 for none, and the classes of their matches' lengths, each (num_symbols, count).
    """
    size = len(symbols)
    found, classes = np.full((size, count), -1), np.zeros((size, count), dtype=np.int64)
    num_found = np.zeros(size, dtype=np.int64)
    following = np.append((symbols if following is None else following)[1:], -1)
    order = np.arange(size) if chain is None else np.argsort(chain, kind="stable")
    hashes = _hashes(symbols[order])
    for class_, length in LONGEST_FIRST:
        earlier = np.full(size, -1)
        in_order = _earlier(hashes[length], length)
        earlier[order] = np.where(in_order >= 0, order[in_order], -1)
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


class Recall(Protocol):
    """The ids of some pieces so far, one piece at first, and what `suggestions` gives for the last of each.

    Each id takes the same time, however long the piece is.
    """

    def append(self, ids: Sequence[int], pieces: Sequence[int] | None = None) -> Ints:
        """Go on by an id each, in these pieces or in all.

        Returns:
            (len(ids), 2, num_searches * count).
        """

    def select(self, pieces: Sequence[int]) -> None:
        """Go on with these pieces, by their numbers, in this order; one may stand there several times."""


def build_recall(kinds: PitchKinds, count: int) -> Recall:
    """Compiled if it can be; arguments as those of `suggestions`."""
    return _PlainRecall(kinds, count) if matches is None else _CompiledRecall(kinds, count)


class _CompiledRecall:
    """By `matches.c`."""

    def __init__(self, kinds: PitchKinds, count: int, capacity: int = 256) -> None:
        self.count = count
        self.num_searches = num_searches(kinds)
        none = np.zeros(0, dtype=np.int64)
        parts = (none, none) if kinds.parts is None else kinds.parts
        self.num_parts = 0 if kinds.parts is None else kinds.parts.num_parts
        self.tables = kinds.kind, kinds.height, kinds.steps, kinds.ids, *parts, PARTS
        self.bar = kinds.bar
        self.sizes = [0]  # of the pieces
        self._allocate(1, capacity)

    def _allocate(self, num_pieces: int, capacity: int) -> None:
        self.capacity = capacity
        rows = num_pieces, self.num_searches, len(LENGTHS), capacity
        num_slots = 1 << (2 * len(LENGTHS) * capacity).bit_length()
        num_places = (len(LENGTHS) + 1) * capacity if self.num_parts else 0
        self.buffers: tuple[NDArray[Any], ...] = (
            np.tile(self._state(), (num_pieces, 1)),
            np.zeros((num_pieces, self.num_searches, capacity), dtype=np.int64),  # symbols
            np.zeros(rows, dtype=np.uint64),  # hashes of the last ones
            np.zeros(rows, dtype=np.int32),  # where they came before
            np.full(
                (num_pieces, self.num_searches, num_slots), -1, dtype=np.int32
            ),  # a table of the latest places
            np.zeros((num_pieces, num_places), dtype=np.int32),  # places further back in a part
        )

    def _state(self) -> Ints:
        """Of a new piece: its time, last height and part, then by part onset, height and latest place."""
        by_part = np.repeat([-1, FIRST_HEIGHT, -1], self.num_parts + 1)
        return np.concatenate([[0, FIRST_HEIGHT, self.num_parts], by_part])

    def extended(self, ids: Ints, pieces: slice = EVERY) -> Ints:
        """Go on in some pieces of one size by ids for which there is room, (num_told, num_new).

        Returns:
            What is suggested after each, (num_told, num_new, 2, num_searches * count).
        """
        (start,) = set(self.sizes[pieces])
        self.sizes[pieces] = [start + ids.shape[1]] * len(ids)
        suggested = np.empty((*ids.shape, 2, self.num_searches * self.count), dtype=np.int64)
        ids = np.ascontiguousarray(ids, dtype=np.int64)
        sizes = start, len(ids), self.num_parts, self.count, HOPS, SPAN, self.bar
        matches.search(*self.tables, ids, *(part[pieces] for part in self.buffers), suggested, *sizes)
        return suggested

    def append(self, ids: Sequence[int], pieces: Sequence[int] | None = None) -> Ints:
        """See `Recall`."""
        if max(self.sizes) == self.capacity:
            self._grow()
        new = np.array(ids, dtype=np.int64)[:, None]
        if pieces is None and len(set(self.sizes)) == 1:
            return self.extended(new)[:, 0]
        numbers = range(len(self.sizes)) if pieces is None else pieces
        told = [self.extended(row[None], slice(k, k + 1)) for k, row in zip(numbers, new, strict=True)]
        return np.concatenate(told)[:, 0]

    def _grow(self) -> None:
        known = self.buffers[1][:, 0]  # what is searched as it is are the ids
        sizes, self.sizes = self.sizes, [0] * len(known)
        self._allocate(len(known), 2 * self.capacity)
        for piece, size in enumerate(sizes):
            self.extended(known[piece : piece + 1, :size], slice(piece, piece + 1))

    def select(self, pieces: Sequence[int]) -> None:
        """See `Recall`."""
        which = np.array(pieces)
        self.sizes = [self.sizes[piece] for piece in pieces]
        if len(which) != len(self.buffers[0]):
            self.buffers = tuple(part[which] for part in self.buffers)
            return
        moved = np.flatnonzero(which != np.arange(len(which)))  # the buffers are large: the others stay
        for part in self.buffers:
            part[moved] = part[which[moved]]


class _PlainRecall:
    """In Python."""

    def __init__(self, kinds: PitchKinds, count: int) -> None:
        self.kinds = kinds
        self.count = count
        self.pieces = [_PlainPiece(kinds)]

    def append(self, ids: Sequence[int], pieces: Sequence[int] | None = None) -> Ints:
        """See `Recall`."""
        numbers = range(len(self.pieces)) if pieces is None else pieces
        told = zip(numbers, ids, strict=True)
        return np.array([self.pieces[piece].append(int(id_), self.count) for piece, id_ in told])

    def select(self, pieces: Sequence[int]) -> None:
        """See `Recall`."""
        self.pieces = [deepcopy(self.pieces[piece]) for piece in pieces]


class _PlainPiece:
    """One piece, in Python."""

    def __init__(self, kinds: PitchKinds) -> None:
        self.kinds = kinds
        self.pasts = [_PlainChains() for _ in range(NUM_SEARCHES)]
        self.height, self.place = FIRST_HEIGHT, 0
        self.parts = None if kinds.parts is None else PartSymbols(kinds, kinds.parts)
        self.by_part = [_PlainChains() for _ in range(NUM_PART_SEARCHES)]

    def append(self, id_: int, count: int) -> list[list[int]]:
        """Go on by an id; what is suggested."""
        kinds = self.kinds
        self.place = (self.place + int(kinds.steps[id_])) % kinds.bar
        kind, placed = int(kinds.kind[id_]), self.place * kinds.vocab_size + id_
        symbols = id_, kinds.symbol(id_, self.height), kind, placed
        self.height = kinds.height_after(id_, self.height)
        found = [
            past.append(0, symbol, symbol, count) for past, symbol in zip(self.pasts, symbols, strict=True)
        ]
        (plain, _), (moved, _), (rhythm, _), (placed_ones, _) = found
        each = [*plain, *(kinds.id(symbol, self.height) for symbol in moved)]
        each += [int(kinds.ids[kind, NUM_HEIGHTS]) if kind >= 0 else -1 for kind in rhythm]
        each += [symbol % kinds.vocab_size if symbol >= 0 else -1 for symbol in placed_ones]
        by_part = self._by_part(id_, count)
        each += [id_ for suggested, _ in by_part for id_ in suggested]
        told = [id_ if id_ >= 0 else kinds.vocab_size for id_ in each]
        return [told, [class_ for _, classes in [*found, *by_part] for class_ in classes]]

    def _by_part(self, id_: int, count: int) -> list[tuple[list[int], list[int]]]:
        """What each search by part suggests, -1 for none, and the classes of lengths."""
        if self.parts is None:
            return []
        looked_up = self.parts.append(id_)
        first, second, (third, classes) = (
            chains.append(looked_up.chain, symbol, following, count)
            for chains, symbol, following in zip(
                self.by_part, looked_up.symbols, (id_, id_, looked_up.moved), strict=True
            )
        )
        return [first, second, ([self.kinds.id(symbol, looked_up.height) for symbol in third], classes)]


class _PlainChains:
    """One `_PlainPast` for each chain, in which what follows is that of the whole piece."""

    def __init__(self) -> None:
        self.chains: dict[int, _PlainPast] = {}
        self.last: _PlainPast | None = None

    def append(self, chain: int, symbol: int, following: int, count: int) -> tuple[list[int], list[int]]:
        """Go on by a symbol, which is `following` after the one before; what `followers` gives for it."""
        if self.last is not None:
            self.last.following.append(following)
        self.last = self.chains.setdefault(chain, _PlainPast())
        return self.last.append(symbol, count)


class _PlainPast:
    """Symbols so far, and where their last ones came before."""

    def __init__(self) -> None:
        self.following: list[int] = []  # what came after each but the last
        self.hashes: dict[int, list[int]] = {length: [] for length in LENGTHS}
        self.earlier: dict[int, list[int]] = {length: [] for length in LENGTHS}
        self.latest: dict[int, int] = {}  # the latest place of each hash, of all lengths

    def append(self, symbol: int, count: int) -> tuple[list[int], list[int]]:
        """Go on by a symbol; what `followers` gives for it."""
        here = len(self.hashes[1])
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
                found.setdefault(self.following[place], class_)
                place = earlier[place]
        missing = count - len(found)
        return [*found, *[-1] * missing], [*found.values(), *[0] * missing]


def _mixed_one(value: int) -> int:
    """`_mixed` of one number."""
    value = (value + STEP) & MASK
    for shift, factor in ROUNDS:
        value = ((value ^ (value >> shift)) * factor) & MASK
    return value ^ (value >> 31)
