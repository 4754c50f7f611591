"""Batches in parts of their lanes: the same numbers for any number of threads, the gradients of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noternn.corpus.pieces import Pieces
from noternn.errors import UserError
from noternn.model.dropout import Dropout, drawing_from, dropout
from noternn.model.lstm import NoteLSTM
from noternn.training.datamodule import LaneLoader
from noternn.training.lanes import LEAST_LANES, LEAST_WORK, parts_of, side_by_side
from noternn.training.module import NoteRNN

VOCAB_SIZE = 17
NUM_LANES = 9  # odd: the parts differ
WINDOW_LENGTH = 50  # with these weights enough work to be divided
PLAIN: dict[str, Any] = {"embedding_dim": 64, "hidden_size": 256, "num_layers": 1, "num_fc_layers": 1}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)"),
    pytest.mark.filterwarnings("ignore:.*train_dataloader.*shuffle"),
]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def build(**options: Any) -> NoteRNN:
    torch.manual_seed(0)
    network = NoteLSTM(VOCAB_SIZE, **{**PLAIN, "dropout": 0.0, **options})
    return NoteRNN(network, {"name": "AdamW", "lr": 0.01}, seed=3, ema_decay=0.9)


def loader(num_pieces: int = NUM_LANES, num_windows: int = 3) -> LaneLoader:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, num_windows * WINDOW_LENGTH, num_pieces) + WINDOW_LENGTH + 1
    pieces = [rng.integers(1, VOCAB_SIZE, length) for length in lengths]
    return LaneLoader(Pieces.of(pieces), NUM_LANES, WINDOW_LENGTH)


def trained(
    num_threads: int,
    trainer: dict[str, Any] | None = None,
    ckpt_path: Path | None = None,
    change: Callable[[NoteRNN], None] = lambda _: None,
    **options: Any,
) -> tuple[Any, ...]:
    """The weights after an epoch, and the losses that it measured."""
    torch.set_num_threads(num_threads)
    module, quiet = build(**options), {"logger": False, "enable_checkpointing": False}
    change(module)
    quiet |= {"enable_progress_bar": False, "enable_model_summary": False}
    fit = pl.Trainer(max_epochs=1, accelerator="cpu", **quiet, **(trainer or {}))
    fit.fit(module, loader(), [loader(), loader(12)], ckpt_path=ckpt_path, weights_only=True)
    assert torch.get_num_threads() == num_threads
    losses = {name: float(value) for name, value in fit.callback_metrics.items()}
    return losses, *(weight.detach() for weight in module.parameters())


VARIANTS: dict[str, dict[str, Any]] = {
    "dropout of units at each time": {"dropout": 0.5, "num_layers": 2},
    "of units in a window": {"dropout": 0.5, "variational": True, "residual": True, "num_input_tokens": 2},
    "of weights and ids": {"weight_dropout": 0.3, "embedding_dropout": 0.3},
    "between two connected layers, tied": {"dropout": 0.5, "num_fc_layers": 2, "tied": True},
    "of none": {"num_pitches": 2, "pitch_channels": 3, "token_pitches": (-1, *range(60, 76))},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_weights_are_bit_for_bit_the_same_for_any_number_of_threads(variant: str) -> None:
    one, *others = [trained(number, **VARIANTS[variant]) for number in (1, 2, 3)]
    for other in others:
        assert other[0] == one[0]
        assert all(map(torch.equal, other[1:], one[1:]))


IN_16_BITS = pytest.param(
    {"precision": "bf16-mixed"},
    marks=pytest.mark.skipif(
        not torch.cpu._is_avx512_bf16_supported(), reason="this CPU has no LSTM of 16 bits"
    ),
)


@pytest.mark.parametrize("trainer", [{"accumulate_grad_batches": 2}, {"gradient_clip_val": 0.1}, IN_16_BITS])
def test_so_they_are_with_what_a_trainer_of_ones_own_sets(trainer: dict[str, Any]) -> None:
    one, two = [trained(number, trainer, dropout=0.5, tied=True, num_fc_layers=2) for number in (1, 2)]
    assert one[0] == two[0]
    assert all(map(torch.equal, one[1:], two[1:]))


def test_the_gradients_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = list(loader(num_windows=4))[:2]

    def gradients(module: NoteRNN) -> list[Tensor | None]:
        for index, batch in enumerate(batches):  # the second goes on with the states after the first
            module.zero_grad()
            module.backward(module.training_step(batch, index))
        return [parameter.grad for parameter in module.network.parameters()]

    options = {"num_layers": 2, "tied": True, "num_fc_layers": 2}
    in_parts = gradients(build(**options))
    monkeypatch.setattr("noternn.training.lanes.LEAST_LANES", NUM_LANES + 1)
    whole = gradients(build(**options))
    for one, other in zip(in_parts, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    assert not all(map(torch.equal, in_parts, whole))  # it was divided


class SaveAfter(pl.Callback):
    """Saves a checkpoint after so many batches."""

    def __init__(self, num_batches: int, path: Path) -> None:
        self.num_batches = num_batches
        self.path = path

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.num_batches:
            trainer.save_checkpoint(self.path)


def test_a_run_goes_on_within_an_epoch_bit_for_bit_on_another_number_of_cores(tmp_path: Path) -> None:
    path = tmp_path / "within.ckpt"
    whole = trained(2, {"callbacks": [SaveAfter(2, path)]}, dropout=0.5)
    rest = trained(1, ckpt_path=path, dropout=0.5)
    assert all(map(torch.equal, whole[1:], rest[1:]))


def test_a_weight_that_is_frozen_gets_no_gradient() -> None:
    module = build()
    module.network.embedding.weight.requires_grad_(False)
    batch = next(iter(loader()))
    module.backward(module.training_step(batch, 0))
    assert module.network.embedding.weight.grad is None
    assert module.network.get_parameter("layers.0.weight_hh_l0").grad is not None


def test_parts_follow_weights_that_have_moved() -> None:
    module, fresh = build(), build()
    batch = next(iter(loader()))
    module.training_step(batch, 0)
    for parameter in module.network.parameters():
        parameter.data = parameter.data.clone().mul_(0.5)
    for parameter in fresh.network.parameters():
        parameter.data.mul_(0.5)
    assert module.training_step(batch, 0).item() == fresh.training_step(batch, 0).item()


def test_each_part_drops_other_units() -> None:
    masks = []
    for number in range(2):
        with drawing_from(torch.Generator().manual_seed(number)):
            masks.append(dropout(torch.ones(100), 0.5))
    assert not torch.equal(*masks)


def test_dropout_is_torchs_own() -> None:
    values = torch.randn(3, 4, requires_grad=True)
    torch.manual_seed(5)
    expected = torch.nn.functional.dropout(values, 0.3)
    with drawing_from(torch.Generator().manual_seed(5)):
        found = Dropout(0.3)(values)
    assert torch.equal(found, expected)
    assert Dropout(0.3).eval()(values) is values


@given(st.integers(1, 1000), st.integers(0, 2 * LEAST_WORK))
def test_parts_hold_every_lane_once_and_are_alike(num_lanes: int, work: int) -> None:
    parts = parts_of(num_lanes, work)
    assert [parts[0].start, parts[-1].stop] == [0, num_lanes]
    assert all(one.stop == other.start for one, other in pairwise(parts))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(num_lanes, LEAST_LANES // 2)
    assert len(parts).bit_count() == 1


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_loss_that_is_no_number_ends_the_run_in_one_line(num_threads: int) -> None:
    def spoil(module: NoteRNN) -> None:
        module.network.head.bias.data.fill_(float("nan"))

    with pytest.raises(UserError, match="train/nll is nan"):
        trained(num_threads, {"detect_anomaly": True}, change=spoil)


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_what_fails_in_a_thread_fails_for_the_caller(num_threads: int) -> None:
    torch.set_num_threads(num_threads)

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side([lambda: None, fail, lambda: None])
    assert torch.get_num_threads() == num_threads


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks_and_in_the_modes_of_the_caller(num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    modes = (torch.is_grad_enabled, torch.is_inference_mode_enabled, lambda: torch.is_autocast_enabled("cpu"))

    def task(number: int) -> tuple[object, ...]:
        return number, torch.get_num_threads(), *(mode() for mode in modes)

    def results() -> list[tuple[object, ...]]:
        return side_by_side([lambda number=number: task(number) for number in range(4)])  # type: ignore[misc]

    assert results() == [(number, 1, True, False, False) for number in range(4)]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert results() == [(number, 1, False, True, True) for number in range(4)]
