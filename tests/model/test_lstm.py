"""The network: shapes, the state it carries, and what its head can say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from noternn.model.build import build_network, num_parameters
from noternn.model.intervals import AGES, LAGS, REACH, SPANS, PitchConvolution
from noternn.model.lstm import NetworkState, NoteLSTM, Place, select_lanes, store_lanes

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
    logits, (hidden, cell, recent, *_) = build(num_fc_layers=num_fc_layers, num_input_tokens=3)(
        random_ids(3, 4)
    )
    assert logits.shape == (3, 4, VOCAB_SIZE)
    assert hidden.shape == cell.shape == (NUM_LAYERS, 3, HIDDEN_SIZE)
    assert recent.T.tolist() == random_ids(3, 4)[:, -2:].tolist()


def is_linear_plus_constant(head: torch.nn.Module) -> bool:
    a, b = torch.randn(2, 50, HIDDEN_SIZE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return torch.allclose(head(a) + head(b), head(a + b) + head(torch.zeros_like(a)), atol=1e-5)


def test_one_fully_connected_layer_is_linear() -> None:
    assert is_linear_plus_constant(build(num_fc_layers=1).eval().head)


def test_two_fully_connected_layers_are_not_one_linear_map() -> None:
    assert not is_linear_plus_constant(build(num_fc_layers=2).eval().head)


PLACE = Place([id_ % 3 for id_ in range(VOCAB_SIZE)], periods=(4, 6), num_slots=3)
PITCHES = [60 + id_ if id_ % 2 else -1 for id_ in range(VOCAB_SIZE - 1)] + [127]
FEATURES: list[dict[str, Any]] = [
    {},
    {"residual": True},
    {"num_input_tokens": 4},
    {"place": PLACE},
    {"num_pitches": 3, "token_pitches": PITCHES},
    {"num_pitches": 2, "pitch_channels": 3, "token_pitches": PITCHES},
    {"residual": True, "num_input_tokens": 3, "place": PLACE, "num_fc_layers": 2, "tied": True,
     "num_pitches": 4, "pitch_channels": 5, "token_pitches": PITCHES},
]  # fmt: skip
each_kind = pytest.mark.parametrize("options", FEATURES, ids=lambda options: "-".join(options) or "plain")


@each_kind
@pytest.mark.parametrize("cut", [1, 4, 9])
def test_state_carried_over_two_parts_equals_one_pass(options: dict[str, Any], cut: int) -> None:
    network, ids = build(**options).eval(), random_ids(3, 10)
    whole, state_after = network(ids)
    first, state = network(ids[:, :cut])
    second, carried = network(ids[:, cut:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(carried, state_after)


@each_kind
def test_logits_and_gradients_are_those_of_a_slow_reference(options: dict[str, Any]) -> None:
    network = build(**options).double().eval()
    ids = random_ids(1, 9)
    results = []
    for logits in (network(ids)[0][0], slow_logits(network, ids[0].tolist())):
        gradients = torch.autograd.grad((logits**2).sum(), list(network.parameters()))
        results.append([logits, *gradients])
    torch.testing.assert_close(*results)


def slow_logits(network: NoteLSTM, ids: list[int]) -> Tensor:
    """An id after the other, by the equations of Hochreiter and Schmidhuber as torch writes them."""
    states = [(torch.zeros(HIDDEN_SIZE).double(), torch.zeros(HIDDEN_SIZE).double()) for _ in network.layers]
    logits, time, slot = [], 0, -1
    onsets: list[int] = []  # of the pitches heard so far, the latest first
    for now, id_ in enumerate(ids):
        if network.projection is None:
            values = network.embedding.weight[id_]
        else:
            count = network.num_input_tokens
            past = [ids[now - ago] if now >= ago else 0 for ago in reversed(range(count))]  # 0 is PAD
            values = sum(network.embedding.weight[p] @ network.projection[k] for k, p in enumerate(past))
        steps = int(network.token_steps[id_])
        time, slot = time + steps, 0 if steps else slot + 1
        columns = [time % period for period in network.periods] + [min(slot, 2)] * bool(network.num_slots)
        values = values + sum(table[row] for table, row in zip(network.places, columns, strict=True))
        heard = [pitch for past in ids[: now + 1] if (pitch := PITCHES[past]) >= 0][::-1]
        onsets = [time, *onsets] if PITCHES[id_] >= 0 else onsets
        if network.intervals:
            for ago, table in enumerate(network.intervals.table):
                is_heard = ago < len(heard)
                values = values + table[min(max(heard[ago] - heard[0], -24), 24) + 24 if is_heard else -1]
            spans = [span for span, length in enumerate(SPANS) for _ in range(length)]
            for span, past in zip(spans, heard, strict=False):
                column = network.intervals.classes.weight[:, 12 * span + (past - heard[0]) % 12]
                values = (
                    values + column * torch.tensor(SPANS[span] ** -0.5).double()
                )  # rounded as a buffer is
        for number, layer in enumerate(network.layers):
            hidden, cell = states[number]
            w_ih, w_hh, b_ih, b_hh = layer.parameters()
            i, f, g, o = (w_ih @ values + w_hh @ hidden + b_ih + b_hh).chunk(4)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            states[number] = hidden, cell
            values = values + hidden if network.residual else hidden
        scored = network.head(values)
        if network.intervals:
            scores = network.intervals.scores(values).view(network.intervals.num_pitches, -1)
            added = []
            for pitch in PITCHES:
                near = [(ago, pitch - past) for ago, past in enumerate(heard[: len(scores)])]
                near = [(ago, interval) for ago, interval in near if pitch >= 0 and abs(interval) <= 24]
                added.append(sum((scores[ago, interval + 24] for ago, interval in near), torch.zeros(())))
            scored = scored + torch.stack([a.double() for a in added])
            if network.intervals.convolution:
                began = [(pitch, time - onset) for pitch, onset in zip(heard, onsets, strict=True)]
                scored = scored + slow_convolution(network.intervals.convolution, values, began)
        logits.append(scored)
    return torch.stack(logits)


def slow_convolution(convolution: PitchConvolution, values: Tensor, began: list[tuple[int, int]]) -> Tensor:
    """Pitch by pitch: which of the last ones, and how long ago, lie within an octave."""
    lags = [roll for roll, length in enumerate(LAGS) for _ in range(length)]
    scores = []
    for pitch in PITCHES:
        channels = convolution.hidden(values)
        for lag, (past, age) in zip(lags, began, strict=False):
            if abs(past - pitch) <= REACH:
                row = past - pitch + REACH
                channels = channels + convolution.weight[:, lag, row]
                channels = channels + convolution.weight[:, len(LAGS) + sum(age >= a for a in AGES), row]
        scores.append(convolution.output(channels.relu())[0] if pitch >= 0 else torch.zeros(()).double())
    return torch.stack(scores)


def test_ids_that_may_not_follow_have_no_probability() -> None:
    followers = torch.eye(VOCAB_SIZE, dtype=torch.bool).roll(1, 1)  # only the next id may follow
    logits, _ = build(followers=followers)(random_ids(2, 5))
    assert logits.softmax(-1).argmax(-1).tolist() == ((random_ids(2, 5) + 1) % VOCAB_SIZE).tolist()
    assert (logits > -torch.inf).sum().item() == 2 * 5


def test_scores_of_pitches_are_those_of_all_places_where_a_pitch_may_follow() -> None:
    followers = torch.rand(VOCAB_SIZE, VOCAB_SIZE) < 0.3
    followers[::2] &= torch.tensor(PITCHES) < 0  # after these no pitch comes
    options = {"num_pitches": 2, "pitch_channels": 3, "token_pitches": PITCHES}
    network, ids = build(followers=followers, **options).eval(), random_ids(2, 5)
    free = build(**options).eval()
    free.load_state_dict({**network.state_dict(), "before_pitch": free.before_pitch}, strict=False)
    torch.testing.assert_close(network(ids)[0], free(ids)[0].masked_fill(~followers[ids], -torch.inf))
    assert not network.before_pitch.all()


def test_intervals_are_scored_only_where_a_pitch_may_come_and_elsewhere_none_has_a_chance() -> None:
    before_pitch = torch.arange(VOCAB_SIZE) % 3 > 0
    options = {"num_pitches": 2, "pitch_channels": 3, "token_pitches": PITCHES}
    network, ids = build(before_pitch=before_pitch, **options).eval(), random_ids(2, 9)
    everywhere, nowhere = (
        build(before_pitch=torch.full_like(before_pitch, b), **options).eval() for b in (1, 0)
    )
    expected = torch.where(before_pitch[ids][..., None], everywhere(ids)[0], nowhere(ids)[0])
    torch.testing.assert_close(network(ids)[0], expected)
    chances = network(ids)[0].softmax(-1)[..., torch.tensor(PITCHES) >= 0].sum(-1)
    assert ((chances > 0) == before_pitch[ids]).all()


def test_ids_after_which_no_pitch_may_come_are_scored_too() -> None:
    options = {"num_pitches": 2, "pitch_channels": 3, "token_pitches": PITCHES}
    nowhere = build(before_pitch=torch.zeros(VOCAB_SIZE, dtype=torch.bool), **options)
    nowhere(random_ids(2, 5))[0].sum().backward()
    assert nowhere.embedding.weight.grad is not None


def test_intervals_need_ids_that_say_pitches() -> None:
    assert build(num_pitches=3, token_pitches=[-1] * VOCAB_SIZE).intervals is None


def test_initial_state_is_that_of_no_state() -> None:
    network, ids = build().eval(), random_ids(3, 4)
    torch.testing.assert_close(network(ids, network.initial_state(3))[0], network(ids)[0])


def test_select_lanes_takes_the_named_lanes_and_zeroes_starting_pieces() -> None:
    hidden = torch.arange(1.0, 9.0).reshape(1, 4, 2)  # (layers, lanes, hidden_size)
    lane, is_start = torch.tensor([3, 0, 2]), torch.tensor([False, True, False])
    recent = torch.tensor([[4, 5, 6, 7]])
    state = NetworkState(hidden, -hidden, recent, recent.repeat(2, 1), recent[:0])
    selected_hidden, selected_cell, selected_recent, selected_place, _ = select_lanes(state, lane, is_start)
    assert selected_recent.tolist() == [[7, 0, 6]]
    assert selected_place.tolist() == [[7, 0, 6], [7, 0, 6]]
    assert selected_hidden.tolist() == [[[7, 8], [0, 0], [5, 6]]]
    assert selected_cell.tolist() == [[[-7, -8], [0, 0], [-5, -6]]]


def test_store_lanes_writes_the_named_lanes_only() -> None:
    state = build(num_layers=1, num_input_tokens=2).initial_state(3)
    store_lanes(state, torch.tensor([2, 0]), state.map(lambda part: torch.full_like(part[:, :2], 5)))
    assert [part.flatten(2).sum(-1).tolist() if part.dim() > 2 else part.tolist() for part in state] == [
        [[5 * HIDDEN_SIZE, 0, 5 * HIDDEN_SIZE]],
        [[5 * HIDDEN_SIZE, 0, 5 * HIDDEN_SIZE]],
        [[5, 0, 5]],
        [[5, 0, 5], [5, 0, 5]],
        [[0, 0, 0]] * 2,  # no pitches are kept
    ]


def test_stored_states_are_cut_off_from_the_graph() -> None:
    network = build()
    state = network.initial_state(2)
    store_lanes(state, torch.arange(2), network(random_ids(2, 3))[1])
    assert not state.hidden.requires_grad
    assert not state.cell.requires_grad


@each_head
def test_dropout_acts_in_training_mode_only(num_fc_layers: int) -> None:
    network, ids = build(num_fc_layers=num_fc_layers), random_ids(2, 5)
    assert not torch.equal(network.train()(ids)[0], network(ids)[0])
    assert torch.equal(network.eval()(ids)[0], network(ids)[0])


def test_no_lstm_of_torch_drops_between_layers_of_its_own() -> None:
    """On Apple silicon torch up to 2.13 then computes wrong gradients (pytorch/pytorch#190056)."""
    network = NoteLSTM(5, 4, 6, 3, 0.5, 1)
    assert [(lstm.num_layers, lstm.dropout) for lstm in network.layers] == [(1, 0.0)] * 3


def test_one_layer_with_dropout_warns_of_nothing() -> None:
    network, ids = build(num_layers=1), random_ids(2, 5)
    assert not torch.equal(network(ids)[0], network(ids)[0])


@pytest.mark.parametrize("name", ["input", "output", "embedding", "weight"])
def test_every_dropout_acts_by_itself_and_in_training_only(name: str) -> None:
    network, ids = build(dropout=0.0, **{f"{name}_dropout": 0.5}), random_ids(2, 5)
    assert not torch.equal(network.train()(ids)[0], network(ids)[0])
    assert torch.equal(network.eval()(ids)[0], network(ids)[0])


@pytest.mark.parametrize("variational", [False, True])
def test_variational_dropout_drops_the_same_units_at_all_times(variational: bool) -> None:
    network = build(variational=variational)
    dropped = network._drop(torch.ones(3, 40, 50), 0.5)
    assert (dropped == dropped[:, :1]).all().item() == variational
    assert sorted(dropped.unique().tolist()) == [0, 2]
    assert not torch.equal(dropped[0], dropped[1])


def test_embedding_dropout_drops_an_id_wherever_it_stands() -> None:
    network = build(dropout=0.0, embedding_dropout=0.5, num_input_tokens=2, seed=3)
    known = torch.tensor([[7, 7, 9, 9, 7, 7, 9, 9]])
    seen = [tuple(row) for row in network._embed(known)[0].tolist()]
    assert seen[0] == seen[4]
    assert seen[2] == seen[6]
    outcomes = {network._embed(torch.tensor([[7, 7]]))[0].abs().sum().item() > 0 for _ in range(30)}
    assert outcomes == {True, False}


def test_dropped_recurrent_weights_are_zero_or_doubled() -> None:
    network = build(dropout=0.0, weight_dropout=0.5, num_layers=1).double()
    ids = random_ids(1, 2)
    seen = {tuple(network(ids)[0][0, 0].tolist()) for _ in range(10)}
    assert len(seen) == 1  # nothing recurs at the first id
    assert len({tuple(network(ids)[0][0, 1].tolist()) for _ in range(10)}) == 10


def test_tied_layers_share_their_weights() -> None:
    network = build(tied=True, embedding_dim=HIDDEN_SIZE)
    assert network.get_parameter("head.weight") is network.embedding.weight


def test_several_layers_are_those_of_nn_lstm() -> None:
    network = build(num_layers=3).eval()
    whole = torch.nn.LSTM(5, HIDDEN_SIZE, 3, batch_first=True)
    for number, layer in enumerate(network.layers):
        for name, parameter in layer.named_parameters():
            whole.get_parameter(name.replace("l0", f"l{number}")).data = parameter.data
    with torch.no_grad():
        expected = network.head(whole(network.embedding(random_ids(3, 7)))[0])
        torch.testing.assert_close(network(random_ids(3, 7))[0], expected)


def test_the_configuration_tells_the_places_in_beats() -> None:
    options = {"embedding_dim": 5, "hidden_size": 6, "num_layers": 1, "dropout": 0.0, "num_fc_layers": 1}
    options |= {"position_beats": [1, 4], "num_slots": 7}
    network = build_network(options, [0] * VOCAB_SIZE, [-1] * VOCAB_SIZE, 12)
    assert [table.shape for table in network.places] == [(12, 5), (48, 5), (7, 5)]


def test_num_parameters_counts_every_weight() -> None:
    lstm = 4 * HIDDEN_SIZE * (5 + HIDDEN_SIZE + 2) + 4 * HIDDEN_SIZE * (HIDDEN_SIZE + HIDDEN_SIZE + 2)
    head = HIDDEN_SIZE * VOCAB_SIZE + VOCAB_SIZE
    assert num_parameters(build()) == VOCAB_SIZE * 5 + lstm + head


def test_num_parameters_leaves_out_what_is_frozen() -> None:
    network = build()
    everything = num_parameters(network)
    network.embedding.weight.requires_grad_(False)
    assert num_parameters(network) == everything - VOCAB_SIZE * 5
