"""Training pieces that are cut in two."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import small_piece

from noternn.corpus.cache import ArrayCache
from noternn.corpus.pieces import Pieces
from noternn.model.recall import suggestions
from noternn.tokenizer import BOS_ID, EOS_ID, Codec, EventTokenizer, Vocabulary
from noternn.tokenizer.pitch_kinds import PitchKinds
from noternn.training.cuts import LEAST, cut
from noternn.training.recalled import Recalled

TOKENIZER = EventTokenizer()
TOKENS = [TOKENIZER.tokenize(small_piece(seed)) for seed in range(18)]
CODEC = Codec(TOKENIZER, Vocabulary([token for piece in TOKENS for token in piece] + ["Shift_12"]))
SONGS = [[t for part in TOKENS[k : k + 3] for t in [*part, "Shift_12"]][:-1] for k in range(0, 18, 3)]
PIECES = Pieces.of([np.array([BOS_ID, *map(CODEC.vocabulary.id, song), EOS_ID]) for song in SONGS])


def cut_pieces(share: float, seed: int = 0):  # type: ignore[no-untyped-def]
    return cut(PIECES, CODEC.token_steps(), share, np.random.default_rng(seed))


def test_both_parts_hold_a_piece_but_for_the_time_between_them() -> None:
    parts = cut_pieces(1.0)
    pieces = parts.of(PIECES)
    assert parts.source.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    for number in range(6):
        first, second, whole = pieces[2 * number], pieces[2 * number + 1], PIECES[number]
        between = whole[len(first) : len(whole) - len(second) + 1]
        assert second[0] == BOS_ID
        assert [*first, *between, *second[1:]] == whole.tolist()
        assert len(between) > 0
        assert (CODEC.token_steps()[between] > 0).all()
        assert min(len(first), len(second)) > LEAST - 9
        assert TOKENIZER.is_complete(state_after(first[1:]))  # no note is cut


def state_after(ids: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
    state = TOKENIZER.start
    for id_ in ids.tolist():
        state = TOKENIZER.advance(state, CODEC.vocabulary.tokens[id_])
    return state


def test_so_many_are_cut_at_places_that_the_seed_names() -> None:
    assert len(cut_pieces(0.0).second) == 0
    counts = [len(cut_pieces(0.5, seed).second) for seed in range(300)]
    assert np.mean(counts) == pytest.approx(3, abs=0.4)
    one, again, other = (cut_pieces(1.0, seed).lengths.tolist() for seed in (1, 1, 2))
    assert one == again != other


def test_nothing_before_a_cut_is_recalled_after_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    kinds, parts = PitchKinds(CODEC), cut_pieces(0.5, 1)
    whole = Recalled(PIECES, kinds, 2, ArrayCache(tmp_path))
    recalled = parts.recalled(whole)
    for number, piece in enumerate(parts.of(PIECES)):
        (found,) = recalled.windows(np.array([number]), np.array([0]), len(piece))
        assert np.array_equal(found, suggestions(piece, kinds, 2))
