"""After which ids a pitch may come: never fewer than the grammar and real music allow, and few more."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from noternn.datasets.sources import installed_sources
from noternn.tokenizer import PAD_ID, UNK_ID, ChordTokenizer, Codec, EventTokenizer, Tokenizer, Vocabulary
from tests.tokenizer_cases import (
    ALL,
    EVENTS,
    FAST,
    arbitrary_notes,
    each_tokenizer,
    legal_walk,
    name_of,
    piece_of,
    small_codec,
    state_after,
)


def after_which(codec: Codec) -> list[str]:
    return [
        token for token, is_so in zip(codec.vocabulary.tokens, codec.before_pitch(), strict=True) if is_so
    ]


def pitches_that_come_unforeseen(codec: Codec, ids: NDArray[np.int64]) -> list[tuple[str, str]]:
    """Transitions to a pitch, but those to and from UNK, where none was foreseen."""
    before, says_pitch = codec.before_pitch(), codec.token_pitches() >= 0
    tokens = codec.vocabulary.tokens
    return [(tokens[a], tokens[b]) for a, b in pairwise(ids.tolist()) if says_pitch[b] and not before[a]]


@each_tokenizer
@given(notes=arbitrary_notes)
@FAST
def test_no_pitch_of_a_piece_comes_unforeseen(
    tokenizer: Tokenizer, notes: list[tuple[int, int, int, int, int, bool]]
) -> None:
    piece = piece_of(notes)
    codec = Codec(tokenizer, Vocabulary(tokenizer.tokenize(piece)))
    assert pitches_that_come_unforeseen(codec, codec.encode(piece)) == []


@each_tokenizer
@given(seed=st.integers(0, 10**6))
@FAST
def test_no_mask_of_the_grammar_allows_a_pitch_that_is_not_foreseen(tokenizer: Tokenizer, seed: int) -> None:
    codec = small_codec(tokenizer)
    before, says_pitch = codec.before_pitch(), codec.token_pitches() >= 0
    walk = legal_walk(codec, seed, 30)
    for end in range(1, len(walk) + 1):
        mask = codec.mask(state_after(tokenizer, walk[:end]))
        assert before[codec.vocabulary.id(walk[end - 1])] or not (mask & says_pitch).any()


@pytest.mark.parametrize("tokenizer", [*EVENTS, ChordTokenizer()], ids=name_of)
def test_no_pitch_of_the_chorales_comes_unforeseen(tokenizer: Tokenizer) -> None:
    pieces = [source.read() for source in installed_sources("bach")[:40:2]]
    codec = Codec(tokenizer, Vocabulary(token for piece in pieces for token in tokenizer.tokenize(piece)))
    assert [pitches_that_come_unforeseen(codec, codec.encode(piece)) for piece in pieces] == [[]] * len(
        pieces
    )


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [
        (EVENTS[0], ["<bos>", "<unk>", *(f"{k}_{n}" for k in ("Duration", "Shift") for n in (1, 12, 24, 7))]),
        (EVENTS[1], ["<unk>", "Program_0", "Program_127", "Program_7"]),
        (EVENTS[2], ["<bos>", "<unk>", "Shift_1", "Shift_12", "Shift_7", "Velocity_126", "Velocity_2"]),
    ],
    ids=["event", "event-program", "event-velocity"],
)
def test_a_pitch_comes_after_the_end_of_a_note_a_shift_or_a_program(
    tokenizer: EventTokenizer, expected: list[str]
) -> None:
    found = after_which(small_codec(tokenizer))
    assert sorted(found) == sorted(token for token in expected if token in small_codec(tokenizer).vocabulary)


def test_anything_may_come_after_unk_and_nothing_but_padding_after_padding() -> None:
    for tokenizer in ALL:
        before = small_codec(tokenizer).before_pitch()
        assert before[UNK_ID]
        assert not before[PAD_ID]
