"""How long a batch takes on this machine, measured on the first ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from noternn.tokenizer import PAD_ID
from noternn.training.datamodule import Batch
from noternn.training.stopping import StopRequest

WARM_UP_BATCHES = 3  # which also make buffers and choose kernels
LEAST_BATCHES = 10


class EnoughError(Exception):
    """Enough was measured."""


class Stopwatch(Callback):
    """Measures batches, of training or of evaluation, until it has seen enough of them.

    Args:
        seconds: that are enough.
        stop: what signals ask for, which end it at once.
        clock: seconds since some moment.
    """

    def __init__(
        self, seconds: float, stop: StopRequest, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = seconds
        self.stop = stop
        self._clock = clock
        self._marks: list[tuple[float, int]] = []  # after each batch the time and the tokens so far

    @property
    def seconds_per_token(self) -> float:
        """Of the batches after the first ones, if there were any."""
        (begin, before), (end, after) = self._marks[self._first], self._marks[-1]
        return (end - begin) / (after - before)

    @property
    def _first(self) -> int:
        return min(WARM_UP_BATCHES, len(self._marks) - 2)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.stop.install()  # Lightning has just put its own answer to SIGTERM in place
        self._marks.append((self._clock(), 0))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._marks:  # the epoch is over
            raise EnoughError
        self.stop.install()
        self._marks.append((self._clock(), 0))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._end(batch)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._end(batch)

    def _end(self, batch: Batch) -> None:
        if batch.inputs.device.type == "cuda":
            torch.cuda.synchronize()  # no step waits for it
        num_tokens = self._marks[-1][1] + int((batch.targets != PAD_ID).sum())
        self._marks.append((self._clock(), num_tokens))
        is_enough = self._marks[-1][0] - self._marks[self._first][0] >= self.seconds
        if is_enough and len(self._marks) > WARM_UP_BATCHES + LEAST_BATCHES:
            raise EnoughError
