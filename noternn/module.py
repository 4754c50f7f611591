"""`NoteRNN`: the Lightning module around the network."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from noternn.datamodule import Batch
from noternn.errors import UserError
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
        self._gradient_norm = float("nan")  # of the last step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.parameters(), **self.optimizer_options)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        largest = torch.stack([parameter.detach().abs().max() for parameter in self.parameters()]).max()
        self._require_finite("a weight", largest.item())
        checkpoint["noternn"] = self.checkpoint_content
        checkpoint["within_epoch"] = {"state": self._state, "train_nll": vars(self._train_meter)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._state = checkpoint["within_epoch"]["state"]
        vars(self._train_meter).update(checkpoint["within_epoch"]["train_nll"])

    def on_train_start(self) -> None:
        if self._state is not None:  # loaded before the network was on its device
            self._state = self._state[0].to(self.device), self._state[1].to(self.device)

    def on_train_epoch_start(self) -> None:
        self._train_meter = NllMeter()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Dropout depends on the seed and the step alone, so that resuming changes nothing.
        torch.manual_seed((self.seed * 1_000_003 + self.global_step) % 2**63)
        total, num_tokens = self._nll(batch, is_first=batch_idx == 0)
        nll = total.item()
        self._require_finite("train/nll", nll)
        self._train_meter.update(nll, num_tokens)
        # A batch weighs as many lanes as it still holds. A mean over the few rows that are left when
        # most lanes have run out of pieces would let the last pieces of an epoch pull the weights away
        # from all others.
        assert self._state is not None
        num_lanes = self._state[0].shape[1]
        return total / (num_lanes * batch.inputs.shape[1])

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self._gradient_norm = norm.item()
        # In 16-mixed such a step is left out, and the scale of the loss lowered, as a matter of course.
        if self.trainer.precision != "16-mixed":
            self._require_finite("the gradient norm", self._gradient_norm)
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters(), gradient_clip_val, norm)

    def _require_finite(self, name: str, value: float) -> None:
        """Refuse to go on with weights that will never be numbers again, before any of them is saved."""
        if math.isfinite(value):
            return
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        raise UserError(
            f"training diverged: after step {self.global_step}, in epoch {self.current_epoch + 1}, {name} is "
            f"{value}, with a learning rate of {lr:g} and the last gradient norm {self._gradient_norm:.3g}; "
            "start again with a lower optimizer.lr or trainer.gradient_clip_val (the checkpoints are from "
            "before; trainer.detect_anomaly=true names the operation)"
        )

    def train_nll(self) -> float:
        """The mean running loss of this epoch so far, in nats per token."""
        return self._train_meter.mean()

    def on_validation_epoch_start(self) -> None:
        self._meters = [NllMeter() for _ in EVALUATED]

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        total, num_tokens = self._nll(batch, is_first=batch_idx == 0)
        self._meters[dataloader_idx].update(total.item(), num_tokens)

    def on_validation_epoch_end(self) -> None:
        self._state = None  # of the validation pieces
        val, train_eval = (meter.mean() for meter in self._meters)
        self._require_finite("val/nll", val)
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
