"""The losses: what they are the mean of, what they may depend on, and what trains on them."""

from __future__ import annotations

import copy
import math
import warnings
from random import Random
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from noternn.corpus.pieces import Pieces
from noternn.metrics import interval
from noternn.model.lstm import NoteLSTM
from noternn.training.datamodule import LaneLoader
from noternn.training.module import NoteRNN, uniform_nll_sum

FAST = settings(max_examples=30, deadline=None, derandomize=True, database=None)
VOCAB_SIZE = 17
Arrays = list[NDArray[np.int64]]


def random_pieces(lengths: list[int], seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, VOCAB_SIZE, length) for length in lengths]  # 0 is PAD


def loader_of(pieces: Arrays, *args: Any, **options: Any) -> LaneLoader:
    return LaneLoader(Pieces.of(pieces), *args, **options)


PIECES = random_pieces([30, 2, 17, 9, 23, 12, 3])
OTHERS = random_pieces([14, 8], seed=1)


def build(seed: int = 0, **options: Any) -> NoteRNN:
    model = {"embedding_dim": 6, "hidden_size": 8, "num_layers": 2, "dropout": 0.0, "num_fc_layers": 2}
    torch.manual_seed(seed)
    return NoteRNN(NoteLSTM(VOCAB_SIZE, **(model | options)), {"name": "SGD", "lr": 0.1}, seed)


def losses(module: NoteRNN, validation: LaneLoader, training: LaneLoader) -> dict[str, float]:
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.validate(module, [validation, training], verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def val_nll(module: NoteRNN, pieces: Arrays, batch_size: int = 3, window_length: int = 8) -> float:
    loader = loader_of(pieces, batch_size, window_length)
    return losses(module, loader, loader)["val/nll"]


def piece_nll(network: NoteLSTM, piece: NDArray[np.int64]) -> float:
    """The summed nll of one piece in one pass, slowly and obviously."""
    ids = torch.from_numpy(piece)
    with torch.no_grad():
        log_probs = network.eval()(ids[None, :-1])[0][0].log_softmax(-1)  # (time, vocab)
    return -sum(float(log_probs[t, ids[t + 1]]) for t in range(len(piece) - 1))


def reference_nll(network: NoteLSTM, pieces: Arrays) -> float:
    return sum(piece_nll(network, piece) for piece in pieces) / sum(len(piece) - 1 for piece in pieces)


@pytest.mark.parametrize("window_length", [1, 7, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_val_nll_is_that_of_whole_pieces_for_any_batch_size_and_window(
    batch_size: int, window_length: int
) -> None:
    module = build()
    expected = reference_nll(module.network, PIECES)
    assert val_nll(module, PIECES, batch_size, window_length) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("batch_size", "window_length"), [(1, 7), (3, 5), (50, 100)])
def test_the_interval_around_val_nll_is_that_of_the_sums_of_whole_pieces(
    batch_size: int, window_length: int
) -> None:
    module = build()
    sums = np.array([piece_nll(module.network, piece) for piece in PIECES])
    expected = interval(sums, np.array([len(piece) - 1.0 for piece in PIECES]))
    found = losses(module, *(loader_of(pieces, batch_size, window_length) for pieces in (PIECES, OTHERS)))
    assert (found["val/nll_low"], found["val/nll_high"]) == pytest.approx(expected, abs=1e-5)


def test_of_two_validation_pieces_no_interval_is_told() -> None:
    found = losses(build(), *(loader_of(pieces, 2, 8) for pieces in (OTHERS, PIECES)))
    assert set(found) == {"val/nll", "train_eval/nll", "gap/nll"}


def total_nll(module: NoteRNN, loader: LaneLoader) -> tuple[float, int]:
    """The summed nll of an evaluation in nats, and how many tokens it scored."""
    module.eval()
    with torch.no_grad():
        totals = [module.nll_of(batch, is_first=i == 0) for i, batch in enumerate(loader)]
    return sum(total for total, _ in totals), sum(num for _, num in totals)


@FAST
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=9),
    st.integers(1, 10),
    st.integers(1, 45),
    st.randoms(use_true_random=False),
)
def test_total_nll_is_the_same_for_any_batch_size_window_and_order_of_pieces(
    lengths: list[int], batch_size: int, window_length: int, random: Random
) -> None:
    module, pieces = build(), random_pieces(lengths)
    expected = sum(piece_nll(module.network, piece) for piece in pieces)
    random.shuffle(pieces)
    total, num_tokens = total_nll(module, loader_of(pieces, batch_size, window_length))
    assert total == pytest.approx(expected, rel=1e-5)
    assert num_tokens == sum(lengths) - len(lengths)
    in_random_windows, _ = total_nll(
        module, loader_of(pieces, batch_size, window_length, seed=random.randrange(99))
    )
    assert in_random_windows == pytest.approx(expected, rel=1e-5)


def test_an_earlier_piece_of_a_lane_does_not_change_the_nll_of_the_next() -> None:
    module = build()
    second = PIECES[3]
    totals = []
    for first in random_pieces([20, 20], seed=2):
        mean = val_nll(module, [first, second], batch_size=1)
        totals.append(mean * (len(first) + len(second) - 2) - piece_nll(module.network, first))
    assert totals == pytest.approx([piece_nll(module.network, second)] * 2, abs=1e-4)


def test_validation_leaves_no_state_behind() -> None:
    module = build()
    assert val_nll(module, PIECES) == val_nll(module, PIECES)


def test_nll_of_a_uniform_model_is_the_logarithm_of_the_vocabulary_size() -> None:
    module = build(num_fc_layers=1)
    torch.nn.init.zeros_(module.network.head.weight)
    torch.nn.init.zeros_(module.network.head.bias)
    assert val_nll(module, PIECES) == pytest.approx(math.log(VOCAB_SIZE), abs=1e-6)


def test_the_gap_is_validation_minus_training_loss_of_the_same_weights() -> None:
    module = build()
    measured = losses(module, loader_of(PIECES, 3, 8), loader_of(OTHERS, 3, 8))
    assert measured["val/nll"] == pytest.approx(reference_nll(module.network, PIECES), abs=1e-5)
    assert measured["train_eval/nll"] == pytest.approx(reference_nll(module.network, OTHERS), abs=1e-5)
    assert measured["gap/nll"] == pytest.approx(measured["val/nll"] - measured["train_eval/nll"], abs=1e-6)


def test_the_gap_is_measured_without_dropout() -> None:
    module = build(dropout=0.9).train()
    without = build(dropout=0.0)
    without.load_state_dict(module.state_dict())
    loaders = loader_of(PIECES, 3, 8), loader_of(OTHERS, 3, 8)
    assert losses(module, *loaders) == losses(module, *loaders) == losses(without, *loaders)


def gradients(module: NoteRNN, pieces: Arrays, batch_size: int) -> list[torch.Tensor]:
    """The gradient of every batch of an epoch, as one vector each."""
    found = []
    for i, batch in enumerate(loader_of(pieces, batch_size, window_length=4)):
        module.zero_grad()
        module.training_step(batch, i).backward()
        parts = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
        found.append(torch.cat(parts))
    return found


def test_a_piece_that_is_left_alone_weighs_no_more_than_it_did_in_company() -> None:
    long, *short = random_pieces([17, 5, 5, 5])
    module = build()
    alone, in_company = gradients(module, [long], 1), gradients(module, [long, *short], 4)
    for one_lane, one_of_four in zip(alone[1:], in_company[1:], strict=True):
        torch.testing.assert_close(one_of_four, one_lane / 4)


def test_the_gradient_of_a_full_batch_is_that_of_the_mean_over_its_tokens() -> None:
    pieces = random_pieces([5, 5, 5])
    module = build()
    (gradient,) = gradients(module, pieces, 3)
    module.zero_grad()
    ids = torch.from_numpy(np.stack(pieces))
    cross_entropy(module.network(ids[:, :-1])[0].flatten(0, 1), ids[:, 1:].flatten()).backward()
    parts = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    torch.testing.assert_close(gradient, torch.cat(parts))


def test_padding_changes_no_weight() -> None:
    long, short = random_pieces([5, 3])
    module = build()
    (gradient,) = gradients(module, [long, short], 2)
    module.zero_grad()
    for piece in (long, short):
        ids = torch.from_numpy(piece)
        logits = module.network(ids[None, :-1])[0][0]
        (cross_entropy(logits, ids[1:], reduction="sum") / (2 * 4)).backward()
    parts = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    torch.testing.assert_close(gradient, torch.cat(parts))


def test_gradients_do_not_reach_back_beyond_the_window() -> None:
    module = build()
    first, second = loader_of(random_pieces([9]), 1, window_length=4)
    module.training_step(first, 0)  # its graph is thrown away
    module.training_step(second, 1).backward()
    read = set(second.inputs.flatten().tolist())
    gradient = module.network.embedding.weight.grad
    assert gradient is not None
    assert set(gradient.abs().sum(1).nonzero().flatten().tolist()) == read


def test_training_carries_the_state_along_a_piece() -> None:
    module = build()
    piece = random_pieces([9])[0]
    means = [module.training_step(batch, i).item() for i, batch in enumerate(loader_of([piece], 1, 4))]
    assert sum(means) * 4 == pytest.approx(piece_nll(module.network, piece), abs=1e-4)


def test_train_nll_is_the_mean_over_the_tokens_of_the_epoch() -> None:
    module = build()
    module.on_train_epoch_start()
    for i, batch in enumerate(loader_of(PIECES, 3, 8, seed=0)):
        module.training_step(batch, i)
    assert module.train_nll() == pytest.approx(reference_nll(module.network, PIECES), abs=1e-5)


def test_dropout_of_a_training_step_depends_on_the_seed_and_the_step_alone() -> None:
    batch = next(iter(loader_of(PIECES, 3, 8)))
    module = build(dropout=0.5)
    again, other = copy.deepcopy(module), copy.deepcopy(module)
    other.seed = 1
    losses_of = []
    for twin in (module, again, other):
        torch.rand(3)  # whatever else was drawn in between
        losses_of.append(twin.training_step(batch, 0).item())
    assert losses_of[0] == losses_of[1] != losses_of[2]


def test_label_smoothing_is_that_of_torch_where_any_id_may_follow() -> None:
    module = build()
    module.label_smoothing = 0.2
    batch = next(iter(loader_of(PIECES, 3, 8)))
    logits, _ = module.network(batch.inputs)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=0, reduction="sum", label_smoothing=0.2
    )
    loss = module.training_step(batch, 0) * batch.targets.numel()
    torch.testing.assert_close(loss, expected)


def test_label_smoothing_does_not_touch_the_reported_nll() -> None:
    module, smoothed = build(), build()
    smoothed.label_smoothing = 0.3
    for index, batch in enumerate(loader_of(PIECES, 3, 8)):
        for twin in (module, smoothed):
            twin.training_step(batch, index)
    assert module.train_nll() == smoothed.train_nll()


def test_smoothed_labels_lie_on_the_ids_that_may_follow_only() -> None:
    logits = torch.tensor([[[0.0, -torch.inf, 1.0]]], requires_grad=True)
    mean = uniform_nll_sum(logits, torch.tensor([[2]]))
    mean.backward()
    assert mean.item() == pytest.approx(math.log(1 + math.e) - 0.5)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def fit(module: NoteRNN, loader: LaneLoader, max_epochs: int = 1) -> NoteRNN:
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=max_epochs, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on workers and the missing validation
        trainer.fit(module, loader)
    return module


def test_each_step_has_the_learning_rate_of_its_schedule() -> None:
    rates = []

    class Watched(NoteRNN):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            super().optimizer_step(*args, **kwargs)
            rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    network, loader = build().network, loader_of(PIECES, 3, 8)
    fit(
        Watched(network, {"name": "SGD", "lr": 0.1}, 0, schedule={"name": "constant", "warmup_epochs": 1}),
        loader,
    )
    num_steps = len(loader)
    assert rates == pytest.approx([0.1 * (i + 1) / num_steps for i in range(num_steps - 1)] + [0.1])


def test_the_average_of_the_weights_is_what_is_measured() -> None:
    module = fit(
        NoteRNN(build().network, {"name": "SGD", "lr": 0.5}, 0, ema_decay=0.9), loader_of(PIECES, 3, 8)
    )
    assert val_nll(module, PIECES) == pytest.approx(reference_nll(module.evaluated, PIECES), abs=1e-5)
    assert val_nll(module, PIECES) != pytest.approx(reference_nll(module.network, PIECES), abs=1e-3)


def test_the_average_changes_nothing_in_training() -> None:
    with_average = fit(
        NoteRNN(build().network, {"name": "SGD", "lr": 0.5}, 0, ema_decay=0.9), loader_of(PIECES, 3, 8)
    )
    without = fit(NoteRNN(build().network, {"name": "SGD", "lr": 0.5}, 0), loader_of(PIECES, 3, 8))
    torch.testing.assert_close(dict(with_average.network.state_dict()), dict(without.network.state_dict()))
