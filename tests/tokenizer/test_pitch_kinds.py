"""Symbols that are the same at every pitch, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.tokenizer import BOS_ID, ChordTokenizer, Codec, EventTokenizer, Vocabulary
from noternn.tokenizer.pitch_kinds import FIRST_HEIGHT, PitchKinds

FAST = settings(max_examples=50, deadline=None, derandomize=True, database=None)
TOKENS = [f"Pitch_{pitch}" for pitch in (0, 1, 60, 61, 62, 64, 67, 127)] + ["Shift_6", "Duration_6"]
CODEC = Codec(EventTokenizer(), Vocabulary(TOKENS))
KINDS = PitchKinds(CODEC)
ids = st.lists(st.integers(BOS_ID, len(CODEC.vocabulary) - 1), min_size=1, max_size=40)


@FAST
@given(ids)
def test_symbols_lead_back_to_their_ids(piece: list[int]) -> None:
    array = np.array(piece)
    heights = KINDS.heights(array)
    before = np.array([FIRST_HEIGHT, *heights[:-1]])
    symbols = KINDS.symbols(array, before)
    assert KINDS.ids_of(symbols, before).tolist() == piece
    one_by_one = [KINDS.symbol(id_, height) for id_, height in zip(piece, before.tolist(), strict=True)]
    assert one_by_one == symbols.tolist()
    assert [KINDS.id(*both) for both in zip(one_by_one, before.tolist(), strict=True)] == piece
    after = [KINDS.height_after(*both) for both in zip(piece, before.tolist(), strict=True)]
    assert after == heights.tolist()


def test_a_piece_in_another_key_has_the_same_symbols_after_its_first_pitch() -> None:
    piece = CODEC.vocabulary.id("Pitch_60"), CODEC.vocabulary.id("Pitch_62"), CODEC.vocabulary.id("Shift_6")
    moved = CODEC.vocabulary.id("Pitch_62"), CODEC.vocabulary.id("Pitch_64"), CODEC.vocabulary.id("Shift_6")
    symbols = [
        KINDS.symbols(np.array(ids), np.append(FIRST_HEIGHT, KINDS.heights(np.array(ids))[:-1]))[1:].tolist()
        for ids in (piece, moved)
    ]
    assert symbols[0] == symbols[1]


@pytest.mark.parametrize("height", [0, 65, 127])
def test_what_the_vocabulary_lacks_has_no_id(height: int) -> None:
    symbol = KINDS.symbol(CODEC.vocabulary.id("Pitch_61"), 60)  # a semitone up
    assert KINDS.id(symbol, height) == KINDS.ids_of(np.array([symbol]), np.array([height]))[0]
    expected = {0: CODEC.vocabulary.id("Pitch_1")}.get(height, -1)
    assert KINDS.id(symbol, height) == expected
    assert KINDS.id(-1, height) == KINDS.ids_of(np.array([-1]), np.array([height]))[0] == -1


def test_chords_are_one_kind_at_any_height() -> None:
    codec = Codec(ChordTokenizer(), Vocabulary(["60.64.67", "62.66.69", "60.63.67"]))
    kinds = PitchKinds(codec)
    major, moved, minor = map(codec.vocabulary.id, ("60.64.67", "62.66.69", "60.63.67"))
    assert kinds.kind[major] == kinds.kind[moved] != kinds.kind[minor]
    assert kinds.height[[major, moved, minor]].tolist() == [60, 62, 60]
