"""Ids as symbols that are the same at every pitch: the interval to the last pitch in place of the pitch."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from noternn.tokenizer.codec import Codec
from noternn.tokenizer.parts import parts_of
from noternn.tokenizer.vocabulary import SPECIAL_TOKENS

Ints = NDArray[np.int64]

NUM_HEIGHTS = 128  # semitones
FIRST_HEIGHT = 60  # before the first pitch; which one it is hardly matters
BEATS_A_BAR = 4  # quarter notes; four bars of three are as long as three of four
SPAN = 512  # symbols of a kind: an interval of -256 to 255, where the lowest says that there is no height


class PitchKinds:
    """Ids <-> symbols that are the same at every pitch.

    Two tokens that are transpositions of each other have one kind and differ in height, in semitones. What
    has no pitch, or comes back to itself as pitch classes do, is a kind of its own without a height.

    Args:
        codec: whose tokenizer knows the transpositions of its tokens.
        by_part: whether to tell instruments apart as well, where the vocabulary does: see `parts_of`.
    """

    def __init__(self, codec: Codec, *, by_part: bool = False) -> None:
        kinds: dict[str, int] = {}
        places = [_lowest(codec, token) for token in codec.vocabulary.tokens]
        self.kind = np.array([kinds.setdefault(lowest, len(kinds)) for lowest, _ in places])
        self.height = np.array([-1 if height is None else height for _, height in places])
        self.steps = codec.token_steps()  # by which each id moves time on
        self.bar = BEATS_A_BAR * codec.tokenizer.steps_per_beat
        self.ids = np.full((len(kinds), NUM_HEIGHTS + 1), -1)  # the last column is of no height
        self.ids[self.kind, self.height] = np.arange(len(places))
        self.parts = parts_of(codec) if by_part else None

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return len(self.kind)

    def heights(self, ids: Ints) -> Ints:
        """The last height after each id of a piece, (num_tokens,)."""
        height = self.height[ids]
        place = np.maximum.accumulate(np.where(height >= 0, np.arange(len(ids)), -1))
        return np.where(place >= 0, height[place], FIRST_HEIGHT)

    def symbols(self, ids: Ints, heights: Ints) -> Ints:
        """What ids are after the last heights before them, both of one shape."""
        height = self.height[ids]
        return self.kind[ids] * SPAN + np.where(height >= 0, height - heights + SPAN // 2, 0)

    def ids_of(self, symbols: Ints, heights: Ints) -> Ints:
        """The ids that symbols stand for after some last heights, both of one shape.

        Returns:
            -1 where the symbol is -1 or the vocabulary lacks the id.
        """
        kind, interval = symbols // SPAN, symbols % SPAN
        height = np.where(interval > 0, interval - SPAN // 2 + heights, NUM_HEIGHTS)
        is_told = (symbols >= 0) & (height >= 0) & (height < NUM_HEIGHTS + (interval == 0))
        return np.where(is_told, self.ids[kind * is_told, height * is_told], -1)

    def symbol(self, id_: int, height: int) -> int:
        """`symbols` of one id."""
        own = int(self.height[id_])
        return int(self.kind[id_]) * SPAN + (own - height + SPAN // 2 if own >= 0 else 0)

    def id(self, symbol: int, height: int) -> int:
        """`ids_of` of one symbol."""
        kind, interval = divmod(symbol, SPAN)
        height = interval - SPAN // 2 + height if interval else NUM_HEIGHTS
        is_told = symbol >= 0 and 0 <= height < NUM_HEIGHTS + (interval == 0)
        return int(self.ids[kind, height]) if is_told else -1

    def height_after(self, id_: int, height: int) -> int:
        """The last height after an id."""
        own = int(self.height[id_])
        return height if own < 0 else own

    def __deepcopy__(self, memo: dict[int, object]) -> PitchKinds:
        return self  # it never changes


def _lowest(codec: Codec, token: str) -> tuple[str, int | None]:
    """A token as low as it goes, and how many semitones that is below it; None if it has no pitch."""
    transposed = codec.tokenizer.transposed
    if token in SPECIAL_TOKENS or transposed(token, 1) == token or transposed(token, 128) is not None:
        return token, None
    height = bisect_left(range(1, 128), True, key=lambda semitones: transposed(token, -semitones) is None)
    lowest = transposed(token, -height)
    assert lowest is not None
    return lowest, height
