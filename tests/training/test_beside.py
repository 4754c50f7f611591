"""The training pieces that are measured beside validation: comparable, as many tokens, always the same."""

from __future__ import annotations

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noternn.corpus.pieces import Pieces
from noternn.model.lstm import NoteLSTM
from noternn.training.beside import beside
from noternn.training.datamodule import LaneLoader
from noternn.training.module import NoteRNN

FAST = settings(max_examples=100, deadline=None, derandomize=True, database=None)
Lengths = NDArray[np.int64]
some_lengths = st.lists(st.integers(2, 300), min_size=1, max_size=30).map(np.array)

CORPORA = {
    "chorales": lambda rng: rng.normal(300, 60, 60).clip(100, 500),
    "tunes": lambda rng: rng.lognormal(5, 0.4, 200),
    "games": lambda rng: rng.lognormal(7, 0.9, 70),
    "a giant": lambda rng: np.append(rng.lognormal(6, 0.5, 40), 15_000),
}


@FAST
@given(some_lengths, some_lengths, st.integers(0, 5))
def test_as_many_tokens_are_measured_as_validation_has(
    training: Lengths, validation: Lengths, seed: int
) -> None:
    order, read = beside(training, validation, seed)
    assert len(set(order.tolist())) == len(order)
    assert (read >= 2).all()
    assert (read <= training[order]).all()
    assert (read <= validation.max()).all()
    at_most = min(validation.sum(), np.minimum(training, validation.max()).sum())
    assert at_most - 1 <= read.sum() <= at_most


def test_the_same_pieces_are_chosen_again_and_others_with_another_seed() -> None:
    lengths = np.full(40, 100)
    chosen = [beside(lengths, lengths[:8], seed)[0].tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_pieces_of_all_lengths_are_measured() -> None:
    training = np.arange(10, 1010, 10)
    order, _ = beside(training, np.full(9, 1010), 0)
    thirds = np.bincount(np.searchsorted([340, 670], training[order]), minlength=3)
    assert thirds.min() >= 2


def test_a_giant_counts_for_no_more_than_the_longest_validation_piece() -> None:
    order, read = beside(np.array([100_000, 50, 60]), np.array([400, 300]), 0)
    assert sorted(zip(order.tolist(), read.tolist(), strict=True))[0] == (0, 400)


def nlls_of(lengths: Lengths, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Of pieces that a network knows none of: hard and easy ones, each better known toward its end."""
    means = rng.gamma(9, 0.25, len(lengths)) * (lengths / lengths.mean()) ** 0.1
    return [
        m * (0.6 + 2 / (1 + np.arange(length - 1)) ** 0.4) for m, length in zip(means, lengths, strict=True)
    ]


@pytest.mark.parametrize("kind", CORPORA)
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_gap_of_random_parts_of_a_corpus_is_zero_where_nothing_is_memorized(
    kind: str, share: float
) -> None:
    rng = np.random.default_rng(0)
    lengths = CORPORA[kind](rng).astype(np.int64)
    sums = [np.append(0, np.cumsum(nll)) for nll in nlls_of(lengths, rng)]
    num_validation = max(5, round(share * len(lengths)))
    gaps, scatter = [], []
    for seed in range(400):
        order = rng.permutation(len(lengths))
        validation, training = order[:num_validation], order[num_validation:]
        chosen, read = beside(lengths[training], lengths[validation], seed)
        measured = sum(sums[i][n - 1] for i, n in zip(training[chosen], read, strict=True)) / (read - 1).sum()
        whole = sum(sums[i][-1] for i in validation) / (lengths[validation] - 1).sum()
        everything = sum(sums[i][-1] for i in training) / (lengths[training] - 1).sum()
        gaps.append(whole - measured)
        scatter.append(whole - everything)
    assert abs(np.mean(gaps)) < 0.35 * np.std(scatter)  # far within the interval of one run
    assert np.std(gaps) < 1.7 * np.std(scatter)  # half the noise is the validation pieces' own


def test_the_gap_of_two_halves_is_zero_for_an_untrained_network() -> None:
    rng = np.random.default_rng(1)
    styles = [rng.dirichlet(np.full(12, 0.3)) for _ in range(40)]
    pieces = [rng.choice(12, size=int(rng.lognormal(4.5, 0.7)) + 5, p=style) + 1 for style in styles]
    torch.manual_seed(0)
    network = NoteLSTM(13, embedding_dim=8, hidden_size=16, num_layers=1, dropout=0.0, num_fc_layers=1)
    module = NoteRNN(network, {"name": "SGD", "lr": 0.1}, 0)
    with torch.no_grad():
        network.head.weight.mul_(8)  # it expects something, if the wrong things
    gaps = []
    for seed in range(12):
        halves = np.array_split(np.random.default_rng(seed).permutation(len(pieces)), 2)
        validation, training = (Pieces.of([pieces[i] for i in half]) for half in halves)
        measured = training.openings(*beside(training.lengths, validation.lengths, seed))
        gaps.append(gap(module, validation, measured))
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / len(gaps) ** 0.5 + 0.01


def gap(module: NoteRNN, validation: Pieces, training: Pieces) -> float:
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.validate(module, [LaneLoader(part, 8, 32) for part in (validation, training)], verbose=False)
    return float(trainer.callback_metrics["gap/nll"])
