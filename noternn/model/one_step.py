"""A network's step as a graph without a state of its own, for other programs: ONNX."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from noternn.model.intervals import LAGS, Intervals, PitchConvolution
from noternn.model.lstm import NetworkState, NoteLSTM

OPSET = 18
STATE = ("hidden", "cell", "recent", "clock", "pitches")


class OneStep(nn.Module):
    """Ids and a state -> log-probabilities of the next ids and the state after them.

    What `NoteLSTM.forward` does for one id of each stream, in operations that ONNX has.
    """

    def __init__(self, network: NoteLSTM) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """One more id each.

        Args:
            ids: (batch,).
            given: the parts of `NetworkState`; with a memory also what it suggests, (batch, 2, n).

        Returns:
            log-probabilities (batch, vocab_size), and the parts of the state.
        """
        network, state = self.network, NetworkState(*given[: len(STATE)])
        suggested = given[len(STATE)] if len(given) > len(STATE) else None
        known = torch.cat([state.recent, ids[None]])  # (num_input_tokens, batch)
        steps = network.token_steps[ids]
        time = state.clock[0] + steps
        slot = torch.where(steps > 0, torch.zeros_like(steps), state.clock[1])
        values = self._read_ids(known) + self._read_places(time, slot)
        pitches = state.pitches
        if network.intervals is not None:
            pitches = _push(state.pitches, network.intervals.pitches[ids], time)
            values = values + _read_pitches(network.intervals, pitches[0])
        if network.memory is not None and suggested is not None:
            tables = network.memory.tables(network.embedding.weight)
            for row, table in zip(network.memory.rows(suggested), tables, strict=True):
                values = values + table.flatten(0, -2)[row].sum(1)
        hidden, cell, values = self._run_layers(values, state)
        logits = network.head(values)
        if network.intervals is not None:
            scores = _score(network.intervals, values, pitches, time)
            logits = logits + scores * network.before_pitch[ids][:, None].float()
        if network.memory is not None and suggested is not None:
            logits = logits + network.memory.spread(network.memory.boosts(values), suggested)
        allowed = network.allowed_after(ids)
        if allowed is not None:
            logits = torch.where(allowed, logits, torch.full_like(logits, -torch.inf))
        clock = torch.stack([time, slot + 1])
        return logits.log_softmax(-1), hidden, cell, known[1:], clock, pitches

    def _read_ids(self, known: Tensor) -> Tensor:
        tables = self.network.input_tables(self.network.embedding.weight)
        return torch.stack([table[ids] for table, ids in zip(tables, known, strict=True)]).sum(0)

    def _read_places(self, time: Tensor, slot: Tensor) -> Tensor:
        network = self.network
        columns = [time % period for period in network.periods]
        if network.num_slots:
            columns.append(slot.clamp(max=network.num_slots - 1))
        sums = (0 * time)[:, None].float()
        for column, table in zip(columns, network.places, strict=True):
            sums = sums + table[column]
        return sums

    def _run_layers(self, values: Tensor, state: NetworkState) -> tuple[Tensor, Tensor, Tensor]:
        hiddens, cells = [], []
        for number, layer in enumerate(self.network.layers):
            w_ih, w_hh, b_ih, b_hh = layer.parameters()
            gates = values @ w_ih.T + b_ih + state.hidden[number] @ w_hh.T + b_hh
            i, f, g, o = gates.chunk(4, dim=1)
            cell = f.sigmoid() * state.cell[number] + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            values = values + hidden if self.network.residual else hidden
            hiddens.append(hidden)
            cells.append(cell)
        return torch.stack(hiddens), torch.stack(cells), values


def _push(before: Tensor, heard: Tensor, time: Tensor) -> Tensor:
    """The last pitches and their onsets, (2, batch, MEMORY), after one more id each, which may say none."""
    latest = torch.stack([heard, time])[..., None]
    return torch.where((heard > 0)[None, :, None], torch.cat([latest, before[..., :-1]], 2), before)


def _read_pitches(intervals: Intervals, pitches: Tensor) -> Tensor:
    lying = intervals.table.flatten(0, 1)[intervals.rows(pitches)].sum(1)
    sounding: Tensor = intervals.classes(intervals.counts(pitches))
    return lying + sounding


def _score(intervals: Intervals, values: Tensor, pitches: Tensor, time: Tensor) -> Tensor:
    added = intervals.spread(intervals.scores(values), pitches[0])
    if intervals.convolution is None:
        return added
    found = _convolve(intervals.convolution, pitches[0], time[:, None] - pitches[1])
    channels = (found + intervals.convolution.hidden(values)[:, None]).relu()
    return added + intervals.convolution.spread(channels @ intervals.convolution.output.weight[0])


def _convolve(convolution: PitchConvolution, pitches: Tensor, ages: Tensor) -> Tensor:
    """`PitchConvolution.convolve` with the rolls laid out by comparisons."""
    width = convolution.num_pitches
    column = (pitches - 1 - convolution.lowest).clamp(min=0)
    age = (ages[..., None] >= convolution.ages).sum(-1) + len(LAGS)
    is_heard = (pitches > 0).float()
    places = torch.cat([column + convolution.lag * width, column + age * width], 1)
    zeros = is_heard.new_zeros(pitches.shape[0], convolution.num_rolls * width)
    rolls = zeros.scatter_add(1, places, is_heard.repeat(1, 2)).view(-1, convolution.num_rolls, width)
    reach = convolution.weight.shape[2] // 2
    return conv1d(pad(rolls, (reach, reach)), convolution.weight).transpose(1, 2)


def save_onnx(network: NoteLSTM, description: Mapping[str, Any], path: Path) -> None:
    """Write the step as ONNX, with the description as its metadata `noternn`.

    The inputs are `ids`, the parts of the state, with `_in` after their names, and with a memory `suggested`;
    the outputs `log_probs` and the parts of the state. The state before the first id is all zeros.

    Raises:
        OSError: if it cannot be written.
    """
    import onnx

    state = network.initial_state(1)
    given: list[Tensor] = [torch.ones(1, dtype=torch.int64), *state]
    names = ["ids", *(f"{name}_in" for name in STATE)]
    if network.memory is not None:
        suggestions = torch.from_numpy(network.memory.recall().append([1]))
        given.append(suggestions)
        names.append("suggested")
    axes = {name: {1: "batch"} for name in names + list(STATE)} | {
        "ids": {0: "batch"},
        "suggested": {0: "batch"},
        "log_probs": {0: "batch"},
    }
    outputs = ["log_probs", *STATE]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is constant while the graph is traced
        torch.onnx.export(
            OneStep(network).eval(),
            tuple(given),
            str(path),
            input_names=names,
            output_names=outputs,
            dynamic_axes={name: axes[name] for name in names + outputs},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {"noternn": json.dumps(description)})
    onnx.save(model, str(path))
