"""How much sooner the default network trains on all cores that are granted than on one.

Both compute the same numbers, see `noternn.training.lanes`. Times are those of a clock, in turns: other work
on the machine makes them worthless.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from noternn.bench.timing import Timing, interleaved
from noternn.corpus.pieces import Pieces
from noternn.model.lstm import NoteLSTM
from noternn.training.datamodule import LaneLoader
from noternn.training.module import NoteRNN

PITCHES = range(21, 109)
NUM_OTHERS = 100  # ids that say no pitch
VOCAB_SIZE = NUM_OTHERS + len(PITCHES)
NETWORK: dict[str, Any] = {  # the default one
    "embedding_dim": 128, "hidden_size": 256, "num_layers": 1, "dropout": 0.4, "num_fc_layers": 1,
    "variational": True, "residual": True, "num_pitches": 8, "pitch_channels": 16,
}  # fmt: skip
BATCH_SIZE, WINDOW_LENGTH = 16, 64
NUM_STEPS = 20


def time_cores(num_steps: int = NUM_STEPS, repeats: int = 7) -> list[Timing]:
    """Train in turns on one core and, if there are more, on all that torch may take.

    Args:
        num_steps: in each turn.
        repeats: turns that count.
    """
    granted, step = torch.get_num_threads(), step_of(default_network(), num_steps)

    def train(num_threads: int) -> None:
        torch.set_num_threads(num_threads)
        try:
            for _ in range(num_steps):
                step()
        finally:
            torch.set_num_threads(granted)

    contestants = {"the default network, one core": partial(train, 1)}
    if granted > 1:
        contestants["both cores" if granted == 2 else f"all {granted} cores"] = partial(train, granted)
    return interleaved(contestants, repeats, time.perf_counter)


def default_network() -> NoteLSTM:
    """The default network with a vocabulary as large as that of the chorales, new weights."""
    return NoteLSTM(VOCAB_SIZE, **NETWORK, token_pitches=[-1] * NUM_OTHERS + list(PITCHES))


def step_of(network: NoteLSTM, num_steps: int) -> Callable[[], None]:
    """A function that takes a step of training, on and on through the same random pieces.

    Args:
        network: with as many ids as the default one.
        num_steps: after which the pieces begin again.
    """
    module = NoteRNN(network, {"name": "AdamW", "lr": 0.001}, seed=0, ema_decay=0.995)
    ids = np.random.default_rng(0).integers(1, VOCAB_SIZE, (BATCH_SIZE, num_steps * WINDOW_LENGTH + 1))
    batches = list(LaneLoader(Pieces.of(list(ids)), BATCH_SIZE, WINDOW_LENGTH))
    optimizer, number = module.configure_optimizers(), 0

    def step() -> None:
        nonlocal number
        number = (number + 1) % len(batches)
        optimizer.zero_grad()
        module.backward(module.training_step(batches[number], number))
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step
