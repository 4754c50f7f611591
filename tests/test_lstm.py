"""The network: shapes, the state it carries, and what its head can say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from noternn.lstm import NoteLSTM, num_parameters, select_lanes, store_lanes

VOCAB_SIZE, HIDDEN_SIZE, NUM_LAYERS = 29, 6, 2


def build(seed: int = 0, **options: Any) -> NoteLSTM:
    torch.manual_seed(seed)
    defaults = {
        "embedding_dim": 5,
        "hidden_size": HIDDEN_SIZE,
        "num_layers": NUM_LAYERS,
        "dropout": 0.5,
        "num_fc_layers": 1,
    }
    return NoteLSTM(VOCAB_SIZE, **(defaults | options))


def random_ids(batch: int, time: int) -> Tensor:
    return torch.randint(VOCAB_SIZE, (batch, time), generator=torch.Generator().manual_seed(1))


each_head = pytest.mark.parametrize("num_fc_layers", [1, 2])


@each_head
def test_there_are_logits_for_every_id_and_a_state_for_every_row(num_fc_layers: int) -> None:
    logits, (hidden, cell) = build(num_fc_layers=num_fc_layers)(random_ids(3, 4))
    assert logits.shape == (3, 4, VOCAB_SIZE)
    assert hidden.shape == cell.shape == (NUM_LAYERS, 3, HIDDEN_SIZE)


def is_linear_plus_constant(head: torch.nn.Module) -> bool:
    a, b = torch.randn(2, 50, HIDDEN_SIZE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return torch.allclose(head(a) + head(b), head(a + b) + head(torch.zeros_like(a)), atol=1e-5)


def test_one_fully_connected_layer_is_linear() -> None:
    assert is_linear_plus_constant(build(num_fc_layers=1).eval().head)


def test_two_fully_connected_layers_are_not_one_linear_map() -> None:
    assert not is_linear_plus_constant(build(num_fc_layers=2).eval().head)


def test_state_carried_over_two_halves_equals_one_pass() -> None:
    network, ids = build().eval(), random_ids(3, 10)
    whole, (hidden, cell) = network(ids)
    first, state = network(ids[:, :4])
    second, (hidden_after, cell_after) = network(ids[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(hidden_after, hidden)
    torch.testing.assert_close(cell_after, cell)


def test_initial_state_is_that_of_no_state() -> None:
    network, ids = build().eval(), random_ids(3, 4)
    torch.testing.assert_close(network(ids, network.initial_state(3))[0], network(ids)[0])


def test_select_lanes_takes_the_named_lanes_and_zeroes_starting_pieces() -> None:
    hidden = torch.arange(1.0, 9.0).reshape(1, 4, 2)  # (layers, lanes, hidden_size)
    lane, is_start = torch.tensor([3, 0, 2]), torch.tensor([False, True, False])
    selected_hidden, selected_cell = select_lanes((hidden, -hidden), lane, is_start)
    assert selected_hidden.tolist() == [[[7, 8], [0, 0], [5, 6]]]
    assert selected_cell.tolist() == [[[-7, -8], [0, 0], [-5, -6]]]


def test_store_lanes_writes_the_named_lanes_only() -> None:
    state = (torch.zeros(1, 3, 2), torch.zeros(1, 3, 2))
    store_lanes(state, torch.tensor([2, 0]), (torch.ones(1, 2, 2), torch.full((1, 2, 2), 5.0)))
    assert state[0].tolist() == [[[1, 1], [0, 0], [1, 1]]]
    assert state[1].tolist() == [[[5, 5], [0, 0], [5, 5]]]


def test_stored_states_are_cut_off_from_the_graph() -> None:
    network = build()
    state = network.initial_state(2)
    store_lanes(state, torch.arange(2), network(random_ids(2, 3))[1])
    assert not state[0].requires_grad
    assert not state[1].requires_grad


@each_head
def test_dropout_acts_in_training_mode_only(num_fc_layers: int) -> None:
    network, ids = build(num_fc_layers=num_fc_layers), random_ids(2, 5)
    assert not torch.equal(network.train()(ids)[0], network(ids)[0])
    assert torch.equal(network.eval()(ids)[0], network(ids)[0])


def test_one_layer_with_dropout_warns_of_nothing() -> None:
    network, ids = build(num_layers=1), random_ids(2, 5)
    assert not torch.equal(network(ids)[0], network(ids)[0])


def test_num_parameters_counts_every_weight() -> None:
    lstm = 4 * HIDDEN_SIZE * (5 + HIDDEN_SIZE + 2) + 4 * HIDDEN_SIZE * (HIDDEN_SIZE + HIDDEN_SIZE + 2)
    head = HIDDEN_SIZE * VOCAB_SIZE + VOCAB_SIZE
    assert num_parameters(build()) == VOCAB_SIZE * 5 + lstm + head


def test_num_parameters_leaves_out_what_is_frozen() -> None:
    network = build()
    everything = num_parameters(network)
    network.embedding.weight.requires_grad_(False)
    assert num_parameters(network) == everything - VOCAB_SIZE * 5


# Layer by layer, as on Apple's GPUs


@pytest.mark.parametrize("num_layers", [1, 3])
def test_layers_taken_one_by_one_are_those_of_nn_lstm_in_values_and_gradients(num_layers: int) -> None:
    network = build(num_layers=num_layers, dropout=0.0).double()
    inputs = torch.randn(3, 7, 5, dtype=torch.float64, requires_grad=True)  # (batch, time, embedding_dim)
    state = tuple(torch.randn(num_layers, 3, HIDDEN_SIZE, dtype=torch.float64) for _ in range(2))
    results = []
    for recur in (network.lstm, network._layer_by_layer):
        hidden, (last_hidden, last_cell) = recur(inputs, state)
        loss = (hidden**2).sum() + last_hidden.sum() + (last_cell**3).sum()
        gradients = torch.autograd.grad(loss, [inputs, *network.lstm.parameters()])
        results.append([hidden, last_hidden, last_cell, *gradients])
    torch.testing.assert_close(*results)


def test_each_layer_but_the_first_reads_what_dropout_left_of_the_one_below() -> None:
    for num_layers in (1, 2):
        network = build(dropout=0.9, num_layers=num_layers)
        hidden, _ = network._layer_by_layer(torch.ones(400, 1, 5), None)
        assert (len(hidden.unique(dim=0)) > 1) == (num_layers > 1)
