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

from noternn.model.lstm import NoteLSTM, Place
from noternn.model.stepper import (
    MAX_STREAMS,
    DraftStepper,
    ModuleStepper,
    PreparedStepper,
    RowwiseProduct,
    Stepper,
    build_products,
    build_stepper,
)

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
)


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
) -> NoteLSTM:
    torch.manual_seed(seed)
    steps = [id_ % 4 for id_ in range(vocab_size)]
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
    )
    return network.eval()


def random_ids(network: NoteLSTM, time: int, num_streams: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(network.embedding.num_embeddings, size=(time, num_streams))


def log_probs_of(stepper: Stepper, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of every stream after every step, shape (num_streams, time, vocab_size); all begin with id 0."""
    stepper.step([0])
    stepper.repeat(ids.shape[1])
    return np.stack([stepper.step(row.tolist()) for row in ids], axis=1)


@contextmanager
def without_onednn() -> Iterator[None]:
    """As on a machine whose torch was built without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        yield


@FEW
@given(networks, st.booleans())
def test_stepping_gives_the_log_probabilities_of_the_network(network: NoteLSTM, onednn: bool) -> None:
    ids = random_ids(network, 12, 3)
    if onednn:
        stepped = log_probs_of(PreparedStepper(network, build_products), ids)
    else:
        with without_onednn():
            stepped = log_probs_of(PreparedStepper(network, build_products), ids)
    whole = torch.from_numpy(np.concatenate([np.zeros_like(ids[:1]), ids]).T)  # (num_streams, time)
    with torch.no_grad():
        expected = network(whole)[0][:, 1:].double().log_softmax(-1).numpy()
    np.testing.assert_allclose(stepped, expected, rtol=0, atol=1e-5)


@FEW
@given(networks, st.integers(2, MAX_STREAMS), st.booleans())
def test_a_stream_has_the_same_bits_alone_and_among_others(
    network: NoteLSTM, num_streams: int, onednn: bool
) -> None:
    ids = random_ids(network, 4, num_streams)
    last = num_streams - 1
    if onednn:
        together, alone = (
            log_probs_of(PreparedStepper(network, build_products), i) for i in (ids, ids[:, last:])
        )
    else:
        with without_onednn():
            together, alone = (
                log_probs_of(PreparedStepper(network, build_products), i) for i in (ids, ids[:, last:])
            )
    np.testing.assert_array_equal(together[last], alone[0])


def test_a_large_network_has_the_same_bits_alone_and_among_others() -> None:
    network = random_network(0, 190, 512, 512, 3, 2)
    ids = random_ids(network, 3, 64)
    together = log_probs_of(PreparedStepper(network, build_products), ids)
    for stream in (0, 31, 63):
        alone = log_probs_of(PreparedStepper(network, build_products), ids[:, stream : stream + 1])
        np.testing.assert_array_equal(together[stream], alone[0])


def test_without_onednn_rows_are_multiplied_one_by_one() -> None:
    with without_onednn():
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
@given(networks, st.lists(st.booleans(), min_size=8, max_size=8))
def test_a_draft_is_within_its_tolerance_and_settles_for_the_exact_bits(
    network: NoteLSTM, settles: list[bool]
) -> None:
    for parameter in network.parameters():
        parameter.data *= 2
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
