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
from noternn.corpus.cache import ArrayCache
from noternn.corpus.pieces import Pieces
from noternn.model.build import network_for
from noternn.model.lstm import NoteLSTM
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary
from noternn.training.datamodule import LaneLoader
from noternn.training.module import NoteRNN
from noternn.training.recalled import Recalled

EVENTS = [  # about those of the chorales
    *(f"Pitch_{pitch}" for pitch in range(36, 82)),
    *(f"{kind}_{steps}" for kind in ("Shift", "Duration") for steps in range(2, 49, 2)),
]
CODEC = Codec(EventTokenizer(), Vocabulary(EVENTS))
NETWORK: dict[str, Any] = {  # the default one
    "embedding_dim": 128, "hidden_size": 256, "num_layers": 1, "dropout": 0.4, "num_fc_layers": 1,
    "variational": True, "residual": True, "num_pitches": 8, "pitch_channels": 16, "memory": 2,
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
    """The default network for ids about as many as those of the chorales, new weights."""
    return network_for(CODEC, NETWORK)


def step_of(network: NoteLSTM, num_steps: int, in_bfloat16: bool = False) -> Callable[[], None]:
    """A function that takes a step of training, on and on through the same random pieces.

    Args:
        network: as `default_network` makes it.
        num_steps: after which the pieces begin again.
        in_bfloat16: see `NoteLSTM.trains_in_bfloat16`.
    """
    module = NoteRNN(network, {"name": "AdamW", "lr": 0.001}, seed=0, ema_decay=0.995)
    network.trains_in_bfloat16 = in_bfloat16
    pieces = _random_pieces(num_steps * WINDOW_LENGTH + 1)
    assert network.memory is not None
    recalled = Recalled(pieces, network.memory.kinds, network.memory.count, ArrayCache(None))
    batches = list(LaneLoader(pieces, BATCH_SIZE, WINDOW_LENGTH, recalled=recalled))
    optimizer, number = module.configure_optimizers(), 0

    def step() -> None:
        nonlocal number
        number = (number + 1) % len(batches)
        optimizer.zero_grad()
        module.backward(module.training_step(batches[number], number))
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def _random_pieces(length: int) -> Pieces:
    """As many pieces as lanes, of two notes at a time."""
    generator, of = np.random.default_rng(0), CODEC.vocabulary.id
    ids = {
        kind: [of(token) for token in EVENTS if token.startswith(kind)]
        for kind in ("Shift", "Pitch", "Duration")
    }
    order = ("Shift", "Pitch", "Duration", "Pitch", "Duration")
    columns = [generator.choice(ids[order[place % len(order)]], BATCH_SIZE) for place in range(length)]
    return Pieces.of(list(np.stack(columns, axis=1)))
