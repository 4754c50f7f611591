"""`NoteRNN`: the Lightning module around the network."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from noternn.datamodule import Batch
from noternn.lstm import NoteLSTM, State, select_lanes, store_lanes
from noternn.metrics import NllMeter
from noternn.optim import build_optimizer
from noternn.tokenizer import PAD_ID

EVALUATED = ("val", "train_eval")  # what the two validation loaders measure


class NoteRNN(pl.LightningModule):
    """Trains a `NoteLSTM` on windows, carrying the state along each lane.

    Measures `train/nll` (running, dropout on) and, after each epoch, `val/nll`, `train_eval/nll`
    (the same weights in evaluation mode on training pieces) and `gap/nll`, their difference: the
    generalization gap. `OverfittingCurve` hands them to the loggers, a row an epoch.

    Args:
        model: the arguments of `NoteLSTM` but `vocab_size`.
        optimizer: the arguments of `build_optimizer`.
        vocab_size: number of ids.
        seed: decides dropout; with it, a resumed run repeats what an uninterrupted one does.
    """

    def __init__(self, model: dict[str, Any], optimizer: dict[str, Any], vocab_size: int, seed: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.optimizer_options = optimizer
        self.seed = seed
        self.network = NoteLSTM(vocab_size, **model)
        self.checkpoint_content: dict[str, Any] = {}  # what generation needs beside the weights
        self._state: State | None = None
        self._train_meter = NllMeter()
        self._meters = [NllMeter() for _ in EVALUATED]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.parameters(), **self.optimizer_options)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["noternn"] = self.checkpoint_content

    def on_train_epoch_start(self) -> None:
        self._train_meter = NllMeter()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Dropout depends on the seed and the step alone, so that resuming changes nothing.
        torch.manual_seed((self.seed * 1_000_003 + self.global_step) % 2**63)
        total, num_tokens = self._nll(batch, is_first=batch_idx == 0)
        self._train_meter.update(total.item(), num_tokens)
        # A batch weighs as many lanes as it still holds. A mean over the few rows that are left when
        # most lanes have run out of pieces would let the last pieces of an epoch pull the weights away
        # from all others.
        assert self._state is not None
        num_lanes = self._state[0].shape[1]
        return total / (num_lanes * batch.inputs.shape[1])

    def train_nll(self) -> float:
        """The mean running loss of this epoch so far, in nats per token."""
        return self._train_meter.mean()

    def on_validation_epoch_start(self) -> None:
        self._meters = [NllMeter() for _ in EVALUATED]

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        total, num_tokens = self._nll(batch, is_first=batch_idx == 0)
        self._meters[dataloader_idx].update(total.item(), num_tokens)

    def on_validation_epoch_end(self) -> None:
        val, train_eval = (meter.mean() for meter in self._meters)
        losses = {"val/nll": val, "train_eval/nll": train_eval, "gap/nll": val - train_eval}
        self.log_dict(losses, logger=False)

    def _nll(self, batch: Batch, is_first: bool) -> tuple[Tensor, int]:
        """The summed nll of a batch in nats, and how many tokens it scored."""
        if is_first or self._state is None:
            self._state = self.network.initial_state(len(batch.lane))
        before = select_lanes(self._state, batch.lane, batch.is_start)
        logits, after = self.network(batch.inputs, before)
        store_lanes(self._state, batch.lane, after)
        total = cross_entropy(
            logits.flatten(0, 1).float(), batch.targets.flatten(), ignore_index=PAD_ID, reduction="sum"
        )
        return total, int((batch.targets != PAD_ID).sum())
