"""Sampling: frequencies that follow the probabilities, the grammar, the seed and the primer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.model.stepper import Stepper, build_stepper
from noternn.sampling.probabilities import choose, is_close, probabilities
from noternn.sampling.sampler import end_in_beats, sample_batch, sample_each
from noternn.tokenizer import (
    BOS_ID,
    SPECIAL_TOKENS,
    ChordTokenizer,
    Codec,
    EventTokenizer,
    FramesTokenizer,
    Vocabulary,
)

FAST = settings(max_examples=100, deadline=None, derandomize=True, database=None)
NUM_SPECIAL = len(SPECIAL_TOKENS)
PITCHES = [str(pitch) for pitch in range(60, 72)]  # as the tokens of single notes
# One token a note, and each may follow each: what is sampled depends on the network alone.
NOTES = Codec(ChordTokenizer(durations=False, rests=False, min_count=1), Vocabulary(PITCHES))
CHORDS = Codec(
    ChordTokenizer(min_count=1),
    Vocabulary(["60", "48.60.64", "50.57", "Duration_6", "Duration_12", "Rest_6"]),
)
EVENTS = Codec(
    EventTokenizer(),
    Vocabulary([*(f"Pitch_{p}" for p in range(60, 68)), "Duration_6", "Duration_12", "Shift_6", "Shift_12"]),
)
each_codec = pytest.mark.parametrize("codec", [NOTES, CHORDS, EVENTS], ids=["notes", "chords", "events"])


def network_of(codec: Codec, dropout: float = 0.0, seed: int = 0) -> NoteLSTM:
    torch.manual_seed(seed)
    return NoteLSTM(len(codec.vocabulary), 6, 8, 1, dropout, 1)


def network_with(probs: list[float]) -> NoteLSTM:
    """A network that gives the first tokens of `NOTES` these probabilities, whatever came before."""
    network = network_of(NOTES)
    logits = torch.full((len(NOTES.vocabulary),), -1e9)
    logits[NUM_SPECIAL : NUM_SPECIAL + len(probs)] = torch.tensor(probs).log()
    assert isinstance(network.head, torch.nn.Linear)
    network.head.weight.data.zero_()
    network.head.bias.data.copy_(logits)
    return network


def sampling(**given: Any) -> Sampling:
    """Of one note among all tokens, but for what is given."""
    return Sampling(**({"num_notes": 1, "top_p": 1.0} | given))


def sample(
    codec: Codec,
    network: NoteLSTM | None = None,
    primer: list[int] | None = None,
    *,
    num_notes: int = 40,
    temperature: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    beats: float | None = None,
    **others: Any,
) -> list[int]:
    options = sampling(num_notes=num_notes, temperature=temperature, top_k=top_k, seed=seed, **others)
    network = network or network_of(codec)
    return sample_each(network, codec, [primer or []], options, beats=beats)[0]


def distribution(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], temperature: float, top_k: int, **others: Any
) -> NDArray[np.float64]:
    return probabilities(log_probs, mask, sampling(temperature=temperature, top_k=top_k, **others))


def frequencies(ids: list[int], num_tokens: int) -> NDArray[np.float64]:
    return np.bincount(np.array(ids) - NUM_SPECIAL, minlength=num_tokens) / len(ids)


def num_notes_of(codec: Codec, ids: list[int]) -> int:
    return sum(codec.tokenizer.note_count(codec.vocabulary.tokens[id_]) for id_ in ids)


@contextmanager
def other_global_random_state(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        before = np.random.get_state()  # it is the global state that is meant
        np.random.seed(seed)
        yield
        np.random.set_state(before)


# What is drawn


def test_frequencies_follow_the_probabilities() -> None:
    probs = [0.4, 0.3, 0.15, 0.1, 0.05]
    ids = sample(NOTES, network_with(probs), num_notes=3000)
    expected = np.array(probs) * len(ids)
    counts = frequencies(ids, 5) * len(ids)
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees: p = 0.001


def test_a_note_of_probability_90_percent_is_chosen_90_percent_of_the_time_with_top_k() -> None:
    # The predecessor drew it 0.3 % of the time, and the least likely of the ten most often.
    probs = [0.90, 0.05, 0.02, 0.01, 0.007, 0.005, 0.004, 0.002, 0.001, 0.0006, 0.0003, 0.0001]
    counts = frequencies(sample(NOTES, network_with(probs), num_notes=3000, top_k=10), 12)
    assert counts[0] == pytest.approx(0.90, abs=0.02)
    assert counts[:4].tolist() == sorted(counts[:4], reverse=True)
    assert counts[10:].tolist() == [0, 0]


def test_choose_draws_each_id_with_its_probability() -> None:
    probs, rng = np.array([0.0, 0.5, 0.0, 0.2, 0.3, 0.0]), np.random.default_rng(0)
    counts = np.bincount(choose(np.tile(probs, (20_000, 1)), rng.random(20_000)), minlength=6) / 20_000
    assert counts == pytest.approx(probs, abs=0.015)
    assert counts[probs == 0].tolist() == [0, 0, 0]


log_probabilities = st.lists(st.floats(-30, 0), min_size=6, max_size=6).map(np.array)
masks = st.lists(st.booleans(), min_size=6, max_size=6).filter(any).map(np.array)
everything = np.ones(6, dtype=bool)


@FAST
@given(log_probabilities)
def test_temperature_1_without_top_k_is_the_softmax(log_probs: NDArray[np.float64]) -> None:
    expected = np.exp(log_probs) / np.exp(log_probs).sum()
    assert distribution(log_probs, everything, 1.0, 0) == pytest.approx(expected)


@FAST
@given(log_probabilities, masks, st.floats(0.05, 20), st.integers(0, 8))
def test_probabilities_sum_to_1_and_are_0_outside_the_mask(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], temperature: float, top_k: int
) -> None:
    probs = distribution(log_probs, mask, temperature, top_k)
    assert probs.sum() == pytest.approx(1)
    assert not probs[~mask].any()


@FAST
@given(log_probabilities, masks, st.integers(1, 8))
def test_top_k_keeps_the_k_most_probable_allowed_ids_in_proportion(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], top_k: int
) -> None:
    probs = distribution(log_probs, mask, 1.0, top_k)
    all_probs = distribution(log_probs, mask, 1.0, 0)
    kept = sorted(np.flatnonzero(mask), key=lambda i: -log_probs[i])[:top_k]
    expected = np.zeros(6)
    expected[kept] = all_probs[kept] / all_probs[kept].sum()
    assert probs == pytest.approx(expected)


def test_top_k_of_1_is_greedy() -> None:
    ids = sample(NOTES, network_with([0.3, 0.4, 0.3]), top_k=1)
    assert set(ids) == {NUM_SPECIAL + 1}


@FAST
@given(log_probabilities.filter(lambda p: np.ptp(p) > 0.1 and np.sort(p)[-1] - np.sort(p)[-2] > 0.1))
def test_a_temperature_near_0_takes_the_most_probable_id(log_probs: NDArray[np.float64]) -> None:
    probs = distribution(log_probs, everything, 1e-3, 0)
    assert probs[log_probs.argmax()] == pytest.approx(1)


def test_the_lowest_temperature_that_is_accepted_still_gives_probabilities() -> None:
    probs = distribution(np.log([0.2, 0.5, 0.3]), np.ones(3, dtype=bool), 5e-324, 0)
    assert probs.tolist() == [0, 1, 0]


@FAST
@given(log_probabilities)
def test_a_high_temperature_makes_all_ids_alike(log_probs: NDArray[np.float64]) -> None:
    assert distribution(log_probs, everything, 1e6, 0) == pytest.approx([1 / 6] * 6, rel=1e-3)


@FAST
@given(log_probabilities, st.floats(0.2, 5))
def test_temperature_raises_probabilities_to_the_power_of_its_inverse(
    log_probs: NDArray[np.float64], temperature: float
) -> None:
    powers = np.exp(log_probs) ** (1 / temperature)
    assert distribution(log_probs, everything, temperature, 0) == pytest.approx(powers / powers.sum())


# What is left to choose from


@FAST
@given(log_probabilities, masks, st.floats(0.05, 1), st.floats(0.3, 3))
def test_top_p_keeps_the_fewest_most_probable_ids_that_have_that_probability(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], top_p: float, temperature: float
) -> None:
    probs = distribution(log_probs, mask, temperature, 0, top_p=top_p)
    of_network = distribution(log_probs, mask, 1.0, 0)  # the temperature changes nothing about what is kept
    nucleus: list[int] = []
    for i in sorted(np.flatnonzero(mask), key=lambda i: -log_probs[i]):
        nucleus.append(i)
        if of_network[nucleus].sum() >= top_p - 1e-12:
            break
    assert np.flatnonzero(probs).tolist() == sorted(i for i in nucleus if probs[i] > 0)
    assert probs[nucleus].sum() == pytest.approx(1)


@FAST
@given(log_probabilities, masks, st.floats(0.01, 1))
def test_min_p_keeps_what_is_a_part_of_the_most_probable(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], min_p: float
) -> None:
    probs = distribution(log_probs, mask, 1.0, 0, min_p=min_p)
    of_network = distribution(log_probs, mask, 1.0, 0)
    kept = of_network >= min_p * of_network.max() * (1 - 1e-12)
    assert np.array_equal(probs > 0, kept)
    assert probs == pytest.approx(np.where(kept, of_network, 0) / of_network[kept].sum())


@FAST
@given(log_probabilities, masks, st.integers(1, 6), st.floats(0.1, 1), st.floats(0, 1))
def test_what_all_filters_keep_is_left_and_each_is_judged_alone(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], top_k: int, top_p: float, min_p: float
) -> None:
    together = distribution(log_probs, mask, 1.0, top_k, top_p=top_p, min_p=min_p) > 0
    alone = [
        distribution(log_probs, mask, 1.0, top_k) > 0,
        distribution(log_probs, mask, 1.0, 0, top_p=top_p) > 0,
        distribution(log_probs, mask, 1.0, 0, min_p=min_p) > 0,
    ]
    assert np.array_equal(together, np.logical_and.reduce(alone))


@FAST
@given(
    log_probabilities, masks, st.lists(st.booleans(), min_size=6, max_size=6).map(np.array), st.floats(1, 4)
)
def test_a_penalty_raises_probabilities_of_what_was_played_to_its_power(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], repeated: NDArray[np.bool_], penalty: float
) -> None:
    options = sampling(repetition_penalty=penalty)
    before = distribution(log_probs, mask, 1.0, 0)
    powers = np.where(repeated, before**penalty, before)
    assert probabilities(log_probs, mask, options, repeated) == pytest.approx(powers / powers.sum())


FILTERS: list[dict[str, Any]] = [
    {"top_k": 3},
    {"top_p": 0.8},
    {"min_p": 0.2},
    {"temperature": 0.6},
    {"temperature": 1.5, "top_k": 4, "top_p": 0.95, "min_p": 0.05},
]


@pytest.mark.parametrize("options", FILTERS, ids=str)
def test_frequencies_follow_the_probabilities_that_each_filter_leaves(options: dict[str, Any]) -> None:
    probs = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    num_kept = {"top_k": 3, "top_p": 3, "min_p": 4}.get(next(iter(options)), 5 if len(options) == 1 else 4)
    powers = np.where(np.arange(5) < num_kept, probs ** (1 / options.get("temperature", 1.0)), 0)
    counts = frequencies(sample(NOTES, network_with(probs.tolist()), num_notes=2000, **options), 5) * 2000
    expected = 2000 * powers / powers.sum()
    assert counts[num_kept:].tolist() == [0] * (5 - num_kept)
    counts, expected = counts[:num_kept], expected[:num_kept]
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, at most 4 degrees: p = 0.001


def test_the_inverted_sampler_of_the_predecessor_would_fail() -> None:
    """He divided log-probabilities of the top 10 by their sum: of all negative numbers the least won."""
    log_probs = np.log([0.90, 0.05, 0.03, 0.02])
    inverted = log_probs / log_probs.sum()
    assert inverted.argmax() == 3
    probs = distribution(log_probs, np.ones(4, dtype=bool), 1.0, 10)
    assert probs.tolist() == sorted(probs, reverse=True)
    assert probs[0] == pytest.approx(0.90)


def test_a_penalty_makes_notes_repeat_less() -> None:
    network = network_with([0.9, 0.05, 0.05])
    repeats = []
    for penalty in (1.0, 3.0):
        ids = np.array(sample(NOTES, network, num_notes=600, repetition_penalty=penalty, repetition_window=1))
        repeats.append((ids[1:] == ids[:-1]).mean())
    assert repeats[1] < repeats[0] - 0.03


def test_a_penalty_forgets_what_is_out_of_its_window() -> None:
    # Among 12 even notes a huge penalty leaves those that the last 4 are not among.
    options = {"repetition_penalty": 1e6, "repetition_window": 4}
    ids = sample(NOTES, network_with([1 / 12] * 12), num_notes=300, **options)
    assert all(len(set(ids[i : i + 5])) == 5 for i in range(len(ids) - 5))
    assert any(ids[i] in ids[i + 5 : i + 7] for i in range(len(ids) - 7))


def test_a_penalty_sees_the_notes_of_the_primer() -> None:
    options = {"repetition_penalty": 1e6, "repetition_window": 3}
    network, primer = network_with([0.25] * 4), [NUM_SPECIAL, NUM_SPECIAL + 1, NUM_SPECIAL + 2]
    drawn = {sample(NOTES, network, primer, num_notes=1, seed=seed, **options)[-1] for seed in range(10)}
    assert drawn == {NUM_SPECIAL + 3}


def test_a_penalty_leaves_rhythm_and_drums_alone() -> None:
    tokens = ["Program_drum", "Drum_36", "Duration_6", "Shift_6"]  # each may only come again
    codec = Codec(EventTokenizer(program=True), Vocabulary(tokens))
    network = network_of(codec)
    plain, penalized = (
        sample(codec, network, num_notes=20, repetition_penalty=penalty) for penalty in (1.0, 5.0)
    )
    assert plain == penalized


def test_a_penalty_is_refused_where_tokens_hold_notes() -> None:
    codec = Codec(FramesTokenizer(), Vocabulary(FramesTokenizer.alphabet))
    with pytest.raises(UserError, match="this tokenizer writes a held note anew"):
        sample(codec, repetition_penalty=1.2)


# What comes out


@each_codec
def test_special_tokens_are_never_sampled(codec: Codec) -> None:
    network = network_of(codec)
    assert isinstance(network.head, torch.nn.Linear)
    network.head.bias.data[:NUM_SPECIAL] = 20.0  # however probable they are
    assert min(sample(codec, network, num_notes=100)) >= NUM_SPECIAL


@each_codec
def test_every_token_is_one_that_the_grammar_allows(codec: Codec) -> None:
    state = codec.tokenizer.start
    for id_ in sample(codec, num_notes=100):
        assert codec.mask(state)[id_]
        state = codec.tokenizer.advance(state, codec.vocabulary.tokens[id_])
    assert codec.tokenizer.is_complete(state)


@pytest.mark.parametrize("num_notes", [1, 7, 40])
@each_codec
def test_samples_have_the_notes_asked_for_and_the_rest_of_the_last_chord(
    codec: Codec, num_notes: int
) -> None:
    ids = sample(codec, num_notes=num_notes)
    largest_chord = max(codec.tokenizer.note_count(token) for token in codec.vocabulary.tokens)
    assert num_notes <= num_notes_of(codec, ids) < num_notes + largest_chord


@each_codec
def test_samples_decode_to_the_notes_they_count(codec: Codec) -> None:
    ids = sample(codec)
    piece = codec.decode(ids, tempo=96)
    assert piece.num_notes == num_notes_of(codec, ids)
    assert piece.tempos == ((0, 96.0),)


def test_a_sample_of_nothing_but_rests_ends() -> None:
    codec = Codec(ChordTokenizer(max_beats=1, min_count=1), Vocabulary(["60", "Duration_12", "Rest_12"]))
    network = network_of(codec)
    assert isinstance(network.head, torch.nn.Linear)
    network.head.bias.data[codec.vocabulary.id("Rest_12")] = 1e9  # it may follow itself for ever
    assert len(sample(codec, network, num_notes=2)) < 1000


# Seeds, modes and primers


@each_codec
def test_the_same_seed_gives_the_same_ids(codec: Codec) -> None:
    assert sample(codec, seed=5) == sample(codec, seed=5)


@each_codec
def test_another_seed_gives_other_ids(codec: Codec) -> None:
    assert sample(codec, seed=5) != sample(codec, seed=6)


def test_seed_0_is_a_seed_like_any_other() -> None:
    network, samples = network_of(NOTES), []
    for global_seed in (1, 2):
        with other_global_random_state(global_seed):
            samples.append(sample(NOTES, network, seed=0))
    assert samples[0] == samples[1] != sample(NOTES, network, seed=1)


def test_dropout_is_off_while_sampling() -> None:
    with_dropout, without = network_of(NOTES, dropout=0.9), network_of(NOTES)
    assert sample(NOTES, with_dropout.train()) == sample(NOTES, without.eval())


@pytest.mark.parametrize("training", [True, False])
def test_the_training_mode_is_restored(training: bool) -> None:
    network = network_of(NOTES).train(training)
    sample(NOTES, network)
    assert network.training is training


def test_sampling_needs_no_gradients_and_changes_no_weight() -> None:
    network = network_of(NOTES)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    sample(NOTES, network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@each_codec
def test_the_primer_stands_at_the_beginning(codec: Codec) -> None:
    primer = sample(codec, num_notes=10, seed=3)
    continued = sample(codec, primer=primer, num_notes=15)
    assert continued[: len(primer)] == primer
    assert num_notes_of(codec, continued[len(primer) :]) >= 15


def test_what_follows_a_primer_depends_on_it() -> None:
    network = network_of(NOTES)
    for parameter in network.parameters():
        parameter.data *= 5  # so much that what was read matters
    primers = [[NUM_SPECIAL] * 4, [NUM_SPECIAL + 11] * 4]
    continued = [sample(NOTES, network, primer)[len(primer) :] for primer in primers]
    assert continued[0] != continued[1]


def test_each_step_is_drawn_from_the_whole_past() -> None:
    """Stepping with a carried state draws what reading everything anew for each token would draw."""
    network, rng = network_of(NOTES).eval(), np.random.default_rng(4)
    mask = np.arange(len(NOTES.vocabulary)) >= NUM_SPECIAL
    ids = [BOS_ID]
    for _ in range(20):
        with torch.no_grad():
            log_probs = network(torch.tensor([ids]))[0][0, -1].double().log_softmax(-1).numpy()
        ids.append(int(choose(distribution(log_probs, mask, 0.8, 5), np.array(rng.random()))))
    assert sample(NOTES, network, num_notes=20, temperature=0.8, top_k=5, seed=4) == ids[1:]


def test_every_allowed_token_turns_up_with_an_even_network() -> None:
    counts = Counter(sample(NOTES, network_with([1 / 12] * 12), num_notes=400))
    assert len(counts) == 12


# Many at once


@each_codec
def test_samples_made_together_are_those_made_alone_with_the_seeds_that_follow(codec: Codec) -> None:
    network, primer = network_of(codec), sample(codec, num_notes=3, seed=9)
    together = sample_batch(
        network, codec, primer, sampling(num_notes=20, top_k=5, seed=3), 70
    )  # in two groups
    alone = [
        sample(codec, network, primer, num_notes=20, top_k=5, seed=3 + k) for k in (0, 1, 42, 63, 64, 69)
    ]
    assert [together[k] for k in (0, 1, 42, 63, 64, 69)] == alone
    assert len(together) == 70


MANY_OPTIONS: list[dict[str, Any]] = [
    {"top_p": 0.9},
    {"min_p": 0.1},
    {"repetition_penalty": 1.5, "top_p": 0.8},
    {"beats": 7.5},
    {"beats": 5, "repetition_penalty": 1.3, "repetition_window": 3, "min_p": 0.02},
]


@pytest.mark.parametrize("others", MANY_OPTIONS, ids=str)
@each_codec
def test_samples_with_any_options_are_the_same_alone_and_together(
    codec: Codec, others: dict[str, Any]
) -> None:
    network, primer = network_of(codec), sample(codec, num_notes=3, seed=9)
    given = {name: value for name, value in others.items() if name != "beats"}
    options = sampling(num_notes=20, temperature=1.1, top_k=8, seed=3, **given)
    together = sample_batch(network, codec, primer, options, 12, beats=others.get("beats"))
    alone = [
        sample(codec, network, primer, num_notes=20, temperature=1.1, top_k=8, seed=3 + k, **others)
        for k in range(12)
    ]
    assert together == alone


@each_codec
def test_each_sample_may_have_a_primer_of_its_own(codec: Codec) -> None:
    network = network_of(codec)
    primers = [sample(codec, num_notes=n, seed=n)[: 3 * n] for n in (1, 9, 4)] + [[]]
    primers.append(primers[1] + sample(codec, num_notes=2, seed=7))  # begins as another does
    together = sample_each(network, codec, primers, sampling(num_notes=15, top_k=5, seed=2))
    alone = [
        sample(codec, network, primer, num_notes=15, top_k=5, seed=2 + k) for k, primer in enumerate(primers)
    ]
    assert together == alone


@pytest.mark.parametrize("beats", [0.5, 3, 20])
@each_codec
def test_samples_of_so_many_beats_go_on_until_then(codec: Codec, beats: float) -> None:
    primer = sample(codec, num_notes=4, seed=1)
    end = end_in_beats(codec, primer, beats)
    samples = sample_batch(network_of(codec), codec, primer, sampling(), 5, beats=beats)
    pieces = [codec.decode(ids) for ids in samples]
    assert all(piece.onset.max() / piece.ticks_per_beat >= end for piece in pieces)
    assert codec.decode(primer).beats + beats == end


def test_beats_are_counted_in_frames_too() -> None:
    codec = Codec(FramesTokenizer(), Vocabulary(FramesTokenizer.alphabet))
    network = network_of(codec)
    assert isinstance(network.head, torch.nn.Linear)
    network.head.bias.data[codec.vocabulary.id("End")] = 4.0
    piece = codec.decode(sample(codec, network, beats=6))
    assert piece.span is not None
    assert piece.span[1] >= 6 * piece.ticks_per_beat


def test_a_sample_that_never_moves_on_ends() -> None:
    codec = Codec(ChordTokenizer(max_beats=1, min_count=1), Vocabulary(["60", "Duration_12"]))
    network = network_of(codec)
    assert isinstance(network.head, torch.nn.Linear)
    network.head.bias.data[codec.vocabulary.id("Duration_12")] = 1e9  # a note that is held for ever
    assert len(sample(codec, network, beats=2)) < 4000


def test_samples_made_together_end_each_at_its_own_length() -> None:
    samples = sample_batch(network_of(CHORDS), CHORDS, [], sampling(num_notes=30), 8)
    assert len({len(ids) for ids in samples}) > 1
    assert all(30 <= num_notes_of(CHORDS, ids) < 33 for ids in samples)


@settings(FAST, max_examples=400)
@given(
    log_probs=log_probabilities, mask=masks, point=st.floats(0, 1, exclude_max=True),
    top_k=st.integers(0, 6), temperature=st.floats(0.3, 3), top_p=st.floats(0.1, 1),
    min_p=st.sampled_from([0.0, 0.05, 0.4, 1.0]), penalty=st.sampled_from([1.0, 1.2, 3.0]),
    repeated=st.lists(st.booleans(), min_size=6, max_size=6).map(np.array),
    error=st.lists(st.floats(-1, 1), min_size=6, max_size=6).map(np.array),
)  # fmt: skip
def test_what_is_not_close_is_drawn_alike_from_log_probabilities_that_differ_by_less_than_the_tolerance(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], point: float, top_k: int, temperature: float,
    top_p: float, min_p: float, penalty: float, repeated: NDArray[np.bool_], error: NDArray[np.float64],
) -> None:  # fmt: skip
    options, tolerance = (
        sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=penalty),
        0.02,
    )
    points, which = np.array(point), repeated if penalty > 1 else None
    if not is_close(log_probs, mask, points, options, tolerance, which):
        drawn = [
            choose(probabilities(p, mask, options, which), points)
            for p in (log_probs, log_probs + tolerance * error)
        ]
        assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("options", "probs"),
    [
        ({"top_p": 0.7}, [0.7, 0.2, 0.1]),
        ({"min_p": 0.25}, [0.8, 0.2]),
        ({"top_k": 1}, [0.5, 0.5]),
    ],
    ids=str,
)
def test_a_draw_at_the_edge_of_what_is_left_is_close(options: dict[str, Any], probs: list[float]) -> None:
    log_probs, mask, point = np.log(probs), np.ones(len(probs), dtype=bool), np.array(0.05)
    everything = sampling()
    assert is_close(log_probs, mask, point, replace(everything, **options), 1e-5)
    assert not is_close(log_probs, mask, point, everything, 1e-5)


def test_most_draws_are_not_close() -> None:
    rng, everything = np.random.default_rng(0), np.ones(50, dtype=bool)
    options = sampling(top_k=10)
    log_probs = np.log(rng.dirichlet(np.ones(50), 2000))
    close = [is_close(p, everything, np.array(rng.random()), options, 2e-5) for p in log_probs]
    assert sum(close) < 20
    options = sampling(top_p=0.9, min_p=0.02)
    close = [is_close(p, everything, np.array(rng.random()), options, 2e-5) for p in log_probs]
    assert sum(close) < 40


def test_composing_takes_one_thread_of_torch_and_gives_the_others_back() -> None:
    during: list[int] = []

    def build(network: NoteLSTM, num_streams: int) -> Stepper:
        during.append(torch.get_num_threads())
        return build_stepper(network, num_streams)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        sample_each(network_of(NOTES), NOTES, [[]], Sampling(num_notes=3), build)
        assert (during, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
