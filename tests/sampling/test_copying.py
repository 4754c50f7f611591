"""The copy model: what it finds, that it is a distribution, and that it looks at the past alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noternn.sampling.copy_model import (
    NUM_FEATURES,
    NUM_SUGGESTIONS,
    Copier,
    Examples,
    Suffixes,
    fit,
    suggestions,
)
from noternn.tokenizer import BOS_ID, Codec, EventTokenizer, Vocabulary
from noternn.tokenizer.pitch_kinds import PitchKinds

FAST = settings(max_examples=30, deadline=None, derandomize=True, database=None)
Floats = NDArray[np.float64]
TOKENS = [f"Pitch_{pitch}" for pitch in (0, 1, 60, 61, 62, 64, 67, 127)] + ["Shift_6", "Duration_6"]
CODEC = Codec(EventTokenizer(), Vocabulary(TOKENS))
VOCAB_SIZE = len(CODEC.vocabulary)
KINDS = PitchKinds(CODEC)
WEIGHTS = np.random.default_rng(0).normal(0, 0.5, (NUM_SUGGESTIONS, NUM_FEATURES))
ids = st.lists(st.integers(BOS_ID, VOCAB_SIZE - 1), min_size=2, max_size=40)
few_symbols = st.lists(st.integers(0, 2), max_size=60)


def reference(sequence: Sequence[int], count: int) -> list[tuple[int, int]]:
    """What `Suffixes.followers` gives, slowly and obviously: every earlier place, one by one."""
    found: dict[int, tuple[int, int]] = {}  # symbol -> (length of its longest match, its latest place)
    for place in range(1, len(sequence)):
        length = 0
        while length < place and sequence[place - 1 - length] == sequence[-1 - length]:
            length += 1
        if length:
            found[sequence[place]] = max(found.get(sequence[place], (0, 0)), (length, place))
    ranked = sorted(found.items(), key=lambda item: item[1], reverse=True)
    return [(symbol, length) for symbol, (length, _) in ranked[:count]]


@FAST
@given(few_symbols, st.integers(1, 3))
@example([0, 1, 0, 1, 1, 0, 1], 2)
@example([0] * 40, 1)
def test_followers_are_those_of_a_search_through_the_whole_past(sequence: list[int], count: int) -> None:
    suffixes = Suffixes()
    for position, symbol in enumerate(sequence):
        suffixes.append(symbol)
        assert suffixes.followers(count) == reference(sequence[: position + 1], count)


@FAST
@given(ids)
def test_suggestions_for_a_token_depend_on_the_tokens_before_it_alone(piece: list[int]) -> None:
    suggested, lengths = suggestions(piece, KINDS)
    for end in range(1, len(piece)):
        others = [*piece[:end], BOS_ID]  # whatever comes next
        np.testing.assert_array_equal(suggestions(others, KINDS)[0], suggested[:end])
        np.testing.assert_array_equal(suggestions(others, KINDS)[1], lengths[:end])


def named(tokens: Sequence[str]) -> list[int]:
    return [CODEC.vocabulary.id(token) for token in tokens]


def test_what_followed_is_suggested() -> None:
    piece = named(["Pitch_60", "Shift_6", "Pitch_64", "Duration_6", "Pitch_60", "Shift_6", "Pitch_67"])
    suggested, lengths = suggestions(piece, KINDS)
    assert suggested[-1, 0] == CODEC.vocabulary.id("Pitch_64")
    assert lengths[-1, 0] == 2


def test_a_repeat_at_another_pitch_is_suggested_at_that_pitch() -> None:
    piece = named(["Pitch_60", "Pitch_62", "Shift_6", "Pitch_62", "Pitch_64", "Shift_6"])
    copier = Copier(KINDS)
    for id_ in piece:
        copier.append(id_)
    assert copier.suggest()[0][2] == CODEC.vocabulary.id("Pitch_64")


def test_a_pitch_that_the_vocabulary_lacks_is_not_suggested() -> None:
    piece = named(["Pitch_60", "Pitch_61", "Shift_6", "Pitch_62", "Shift_6", "Pitch_127", "Shift_6"])
    assert (suggestions([*piece, BOS_ID], KINDS)[0] < VOCAB_SIZE).all()


@given(st.integers(BOS_ID, VOCAB_SIZE - 1), st.integers(0, 127))
@FAST
def test_symbols_of_intervals_stand_for_their_ids(id_: int, last: int) -> None:
    assert KINDS.id(KINDS.symbol(id_, last), last) == id_


# Probabilities


def network_log_probs(seed: int, num_tokens: int) -> Floats:
    """Of a made-up network, (num_tokens, vocab_size), some of them sharp."""
    logits = np.random.default_rng(seed).normal(0, 4, (num_tokens, VOCAB_SIZE))
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def examples_of(piece: list[int], target: NDArray[np.int64], log_probs: Floats) -> Examples:
    suggested, lengths = suggestions(piece, KINDS)
    asked = np.concatenate([target[:, None], np.maximum(suggested, 0)], axis=1)
    return Examples(target, suggested, lengths, np.take_along_axis(log_probs, asked, axis=1))


@FAST
@given(ids, st.integers(0, 99))
def test_probabilities_of_all_tokens_add_up_to_one(piece: list[int], seed: int) -> None:
    log_probs = network_log_probs(seed, len(piece) - 1)
    total = np.zeros(len(piece) - 1)
    for id_ in range(VOCAB_SIZE):
        examples = examples_of(piece, np.full(len(piece) - 1, id_), log_probs)
        total += np.exp(examples.predict(WEIGHTS)[0])
    np.testing.assert_allclose(total, 1, atol=1e-9)


@FAST
@given(ids, st.integers(0, 99))
def test_with_weights_of_zero_it_is_the_network(piece: list[int], seed: int) -> None:
    examples = examples_of(piece, np.array(piece[1:]), network_log_probs(seed, len(piece) - 1))
    predicted, _ = examples.predict(np.zeros_like(WEIGHTS))
    np.testing.assert_allclose(predicted, examples.target_log_probs, atol=1e-9)


def repetitive_examples(seed: int) -> Examples:
    theme = np.random.default_rng(seed).integers(4, VOCAB_SIZE, 12).tolist()
    piece = [BOS_ID, *theme * 6]
    return examples_of(piece, np.array(piece[1:]), network_log_probs(seed, len(piece) - 1))


def test_fitted_weights_make_repetition_probable() -> None:
    examples = repetitive_examples(0)
    before = examples.target_log_probs.mean()
    assert examples.predict(fit(examples))[0].mean() > before + 1


def test_no_other_weights_near_the_fitted_ones_are_better() -> None:
    examples = repetitive_examples(1)
    weights = fit(examples)

    def objective(weights: Floats) -> float:
        return float(examples.predict(weights)[0].sum() - (weights**2).sum() / 2)

    rng = np.random.default_rng(0)
    others = [objective(weights + rng.normal(0, 0.03, weights.shape)) for _ in range(30)]
    assert max(others) < objective(weights)
