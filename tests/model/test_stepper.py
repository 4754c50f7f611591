"""Stepping: the network's own numbers, and the same ones whatever else is stepped with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noternn.model import past
from noternn.model.lstm import NoteLSTM, Place
from noternn.model.products import MAX_STREAMS, RowwiseProduct, build_products
from noternn.model.stepper import (
    DraftStepper,
    ModuleStepper,
    PreparedStepper,
    Stepper,
    build_lanes,
    build_stepper,
)
from noternn.tokenizer import SPECIAL_TOKENS, Codec, EventTokenizer, Vocabulary
from noternn.tokenizer.pitch_kinds import PitchKinds

FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)
networks = st.builds(
    lambda seed, *sizes: random_network(seed, *sizes),
    st.integers(0, 1000),
    st.integers(5, 70),  # vocab_size
    st.integers(1, 33),  # embedding_dim
    st.integers(1, 70),  # hidden_size
    st.integers(1, 3),  # num_layers
    st.integers(1, 2),  # num_fc_layers
    st.integers(1, 9),  # num_input_tokens
    st.booleans(),  # residual
    st.booleans(),  # has_places
    st.integers(0, 5),  # num_pitches
    st.integers(0, 4),  # pitch_channels
    st.booleans(),  # has_followers
    st.integers(0, 3),  # memory
)
compiled = pytest.mark.skipif(past.steps is None, reason="steps.c was not compiled")


def random_network(
    seed: int,
    vocab_size: int,
    embedding_dim: int,
    hidden_size: int,
    num_layers: int,
    num_fc_layers: int,
    num_input_tokens: int = 1,
    residual: bool = False,
    has_places: bool = False,
    num_pitches: int = 0,
    pitch_channels: int = 0,
    has_followers: bool = False,
    memory: int = 0,
) -> NoteLSTM:
    torch.manual_seed(seed)
    steps = [id_ % 4 for id_ in range(vocab_size)]
    id_ = torch.arange(vocab_size)
    may_follow = (id_[:, None] + id_) % 2 == 0
    may_follow[1::3] = id_ % 3 == 0  # no pitch comes after these
    network = NoteLSTM(
        vocab_size,
        embedding_dim,
        hidden_size,
        num_layers,
        0.3,
        num_fc_layers,
        num_input_tokens=num_input_tokens,
        residual=residual,
        place=Place(steps, (3, 8), 4) if has_places else None,
        num_pitches=num_pitches,
        pitch_channels=pitch_channels,
        token_pitches=[id_ % 40 if id_ % 3 else -1 for id_ in range(vocab_size)],
        followers=may_follow if has_followers else None,
        memory=memory,
        kinds=kinds_of(vocab_size),
        before_pitch=torch.arange(vocab_size) % 5 != 0 if seed % 2 else None,
    )
    if network.memory is not None:  # zero in a new network
        torch.nn.init.normal_(network.memory.boosts.weight, std=0.3)
    return network.eval()


def kinds_of(vocab_size: int) -> PitchKinds:
    """Of a vocabulary of pitches and other tokens."""
    numbers = range(vocab_size - len(SPECIAL_TOKENS))
    tokens = [f"Pitch_{number // 2}" if number % 2 else f"Shift_{number}" for number in numbers]
    return PitchKinds(Codec(EventTokenizer(), Vocabulary(tokens)))


def random_ids(network: NoteLSTM, time: int, num_streams: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(network.embedding.num_embeddings, size=(time, num_streams))


def log_probs_of(stepper: Stepper, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of every stream after every step, shape (num_streams, time, vocab_size); all begin with id 0."""
    stepper.step([0])
    stepper.select([0] * ids.shape[1])
    return np.stack([stepper.step(row.tolist()) for row in ids], axis=1)


@contextmanager
def on_a_machine(onednn: bool = True, compiler: bool = True) -> Iterator[None]:
    """As where torch was built with oneDNN and `steps.c` was compiled, or not."""
    with pytest.MonkeyPatch.context() as patch:
        if not onednn:
            patch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        if not compiler:
            patch.setattr(past, "steps", None)
        yield


@FEW
@given(networks, st.booleans(), st.booleans())
def test_stepping_gives_the_log_probabilities_of_the_network(
    network: NoteLSTM, onednn: bool, compiler: bool
) -> None:
    ids = random_ids(network, 12, 3)
    with on_a_machine(onednn, compiler):
        stepped = log_probs_of(PreparedStepper(network, build_products), ids)
    whole = torch.from_numpy(np.concatenate([np.zeros_like(ids[:1]), ids]).T)  # (num_streams, time)
    suggested = [network.suggested(row.numpy()) for row in whole]
    given = torch.stack(suggested) if network.memory else None  # type: ignore[arg-type]
    with torch.no_grad():
        expected = network(whole, None, given)[0][:, 1:].double().log_softmax(-1).numpy()
    np.testing.assert_allclose(stepped, expected, rtol=0, atol=1e-5)


@compiled
@FEW
@given(networks, st.integers(1, 9))
def test_compiled_steps_of_several_streams_have_the_bits_of_torchs(
    network: NoteLSTM, num_streams: int
) -> None:
    ids = random_ids(network, 70, num_streams)  # more than are remembered
    found = log_probs_of(PreparedStepper(network, build_products), ids)
    with on_a_machine(compiler=False):
        expected = log_probs_of(PreparedStepper(network, build_products), ids)
    np.testing.assert_array_equal(found, expected)


@FEW
@given(networks, st.booleans())
def test_reading_many_ids_at_once_has_the_bits_of_steps(network: NoteLSTM, compiler: bool) -> None:
    ids = random_ids(network, 70, 1)[:, 0].tolist()
    with on_a_machine(compiler=compiler):
        one_by_one, at_once = (PreparedStepper(network, build_products) for _ in range(2))
        for id_ in ids:
            expected = one_by_one.step([id_])
        np.testing.assert_array_equal(at_once.read(ids[:3]).shape, expected.shape)
        np.testing.assert_array_equal(at_once.read(ids[3:]), expected)
        np.testing.assert_array_equal(at_once.step([1]), one_by_one.step([1]))


@FEW
@given(networks, st.integers(2, MAX_STREAMS), st.booleans())
def test_a_stream_has_the_same_bits_alone_and_among_others(
    network: NoteLSTM, num_streams: int, onednn: bool
) -> None:
    ids = random_ids(network, 4, num_streams)
    last = num_streams - 1
    with on_a_machine(onednn):
        together, alone = (
            log_probs_of(PreparedStepper(network, build_products), i) for i in (ids, ids[:, last:])
        )
    np.testing.assert_array_equal(together[last], alone[0])


@FEW
@given(networks, st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=10), max_size=4), st.booleans())
def test_selected_streams_go_on_with_the_bits_of_streams_by_themselves(
    network: NoteLSTM, choices: list[list[int]], compiler: bool
) -> None:
    rng, vocab_size = np.random.default_rng(0), network.embedding.num_embeddings
    with on_a_machine(compiler=compiler):
        stepper = PreparedStepper(network, build_products)
        streams: list[list[int]] = [[0]]
        last = {0: stepper.step([0])[0]}
        for choice in choices:
            chosen = [number % len(streams) for number in choice]
            streams = [[*streams[number]] for number in chosen]
            last = {k: last[number] for k, number in enumerate(chosen)}
            stepper.select(chosen)
            for _ in range(3):  # of all, and of some alone
                some = sorted(rng.permutation(len(streams))[: rng.integers(1, len(streams) + 1)].tolist())
                for which, step in ((range(len(streams)), stepper.step), (some, None)):
                    ids = rng.integers(vocab_size, size=len(which)).tolist()
                    found = step(ids) if step else stepper.step_some(ids, some)
                    for k, id_, row in zip(which, ids, found, strict=True):
                        streams[k].append(id_)
                        last[k] = row
        for k, ids in enumerate(streams):
            alone = PreparedStepper(network, build_products).read(ids)
            np.testing.assert_array_equal(last[k], alone[0])


def test_the_streams_of_a_network_on_any_device_are_selected() -> None:
    network = random_network(0, 30, 8, 16, 2, 1, num_input_tokens=3, has_places=True, num_pitches=2, memory=1)
    module, prepared = ModuleStepper(network), build_lanes(network)
    for stepper in (module, prepared):
        stepper.step([5])
        stepper.select([0, 0, 0])
        stepper.step([6, 7, 8])
        stepper.select([2, 1, 1, 2])
        stepper.step_some([4, 11], [3, 1])
    ids = [5, 9, 10, 6]
    np.testing.assert_allclose(module.step(ids), prepared.step(ids), rtol=0, atol=1e-5)


def test_a_large_network_has_the_same_bits_alone_and_among_others() -> None:
    network = random_network(0, 190, 512, 512, 3, 2)
    ids = random_ids(network, 3, 64)
    together = log_probs_of(PreparedStepper(network, build_products), ids)
    for stream in (0, 31, 63):
        alone = log_probs_of(PreparedStepper(network, build_products), ids[:, stream : stream + 1])
        np.testing.assert_array_equal(together[stream], alone[0])


def test_without_onednn_rows_are_multiplied_one_by_one() -> None:
    with on_a_machine(onednn=False):
        (product,) = build_products([(torch.ones(2, 3), torch.ones(2))])
    assert isinstance(product, RowwiseProduct)
    assert product(torch.ones(4, 3)).tolist() == [[4, 4]] * 4


def test_a_network_in_double_precision_is_stepped_by_its_own_forward() -> None:
    network = random_network(0, 20, 8, 16, 2, 2).double()
    assert isinstance(build_stepper(network, 3), ModuleStepper)
    ids = random_ids(network, 5, 3)
    single = log_probs_of(build_stepper(network.float(), 3), ids)
    np.testing.assert_allclose(log_probs_of(ModuleStepper(network.double()), ids), single, rtol=0, atol=1e-5)


def test_stepping_changes_no_weight_and_needs_no_gradient() -> None:
    network = random_network(0, 20, 8, 16, 2, 2)
    before = [parameter.clone() for parameter in network.parameters()]
    log_probs_of(PreparedStepper(network, build_products), random_ids(network, 3, 2))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@FEW
@given(networks, st.lists(st.booleans(), min_size=8, max_size=8), st.booleans())
def test_a_draft_is_within_its_tolerance_and_settles_for_the_exact_bits(
    network: NoteLSTM, settles: list[bool], compiler: bool
) -> None:
    for parameter in network.parameters():
        parameter.data *= 2
    with on_a_machine(compiler=compiler):
        draft, exact = DraftStepper(network), PreparedStepper(network, build_products)
    for id_, settle in zip(random_ids(network, 8, 1)[:, 0].tolist(), settles, strict=True):
        drafted, expected = draft.step([id_]), exact.step([id_])
        likely = expected > -12
        np.testing.assert_allclose(drafted[likely], expected[likely], rtol=0, atol=draft.TOLERANCE)
        if settle:
            np.testing.assert_array_equal(draft.settle(), expected)


def test_one_stream_is_drafted_and_several_are_exact() -> None:
    network = random_network(0, 20, 8, 16, 2, 2)
    assert isinstance(build_stepper(network, 1), DraftStepper)
    assert isinstance(build_stepper(network, 2), PreparedStepper)


@compiled
def test_a_draft_of_many_ids_stays_within_its_tolerance() -> None:
    network = random_network(0, 98, 128, 256, 1, 1, residual=True, num_pitches=8, pitch_channels=16)
    draft, exact = DraftStepper(network), PreparedStepper(network, build_products)
    for id_ in random_ids(network, 500, 1)[:, 0].tolist():
        np.testing.assert_allclose(draft.step([id_]), exact.step([id_]), rtol=0, atol=draft.TOLERANCE)


@compiled
@pytest.mark.parametrize("num_streams", [1, 2])
@pytest.mark.parametrize(
    "name",
    ["token_steps", "intervals.pitches", "intervals.place", "intervals.span", "intervals.convolution.column"],
)
@pytest.mark.parametrize("value", [-(2**40), 2**40], ids=["low", "high"])
def test_an_index_outside_as_a_checkpoint_may_hold_one_is_an_error(
    name: str, value: int, num_streams: int
) -> None:
    network = random_network(0, 20, 8, 16, 1, 1, num_pitches=3, pitch_channels=2)
    network.get_buffer(name)[:] = abs(value) if name == "intervals.pitches" else value  # below 0 is none
    stepper = build_stepper(network, num_streams)
    with pytest.raises(ValueError, match="an index lies outside"):
        log_probs_of(stepper, random_ids(network, 3, num_streams))


@compiled
def test_an_id_outside_is_an_error() -> None:
    for num_streams in (1, 2):
        stepper = build_stepper(random_network(0, 20, 8, 16, 1, 1), num_streams)
        with pytest.raises(ValueError, match="an index lies outside"):
            stepper.step([20])


@compiled
@pytest.mark.parametrize("which", [k for k in range(12) if k != 5])  # 5 says how many counts there are
def test_buffers_of_sizes_that_do_not_agree_are_refused(which: int) -> None:
    network = random_network(
        0, 20, 8, 16, 1, 1, num_input_tokens=2, has_places=True, num_pitches=3, pitch_channels=2
    )
    kept = past.CompiledPast(network, torch.zeros(200, 8), None)
    kept.recall([1])
    buffers = list(kept.buffers)
    buffers[which] = np.zeros(buffers[which].size + 1, buffers[which].dtype)
    with pytest.raises(ValueError, match="do not agree"):
        past.steps.recall(tuple(buffers), *kept.sizes)
    with pytest.raises(ValueError, match="12 buffers"):
        past.steps.recall(tuple(buffers[:-1]), *kept.sizes)
