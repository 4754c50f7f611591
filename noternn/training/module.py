"""`NoteRNN`: the Lightning module around the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.nn.functional import cross_entropy, nll_loss

import noternn
from noternn.corpus.loading import Corpus
from noternn.errors import UserError
from noternn.metrics import NllMeter, interval
from noternn.model.build import network_for, num_parameters
from noternn.model.checkpoint import checkpoint_content, load_checkpoint, trained_of
from noternn.model.dropout import drawing_from
from noternn.model.lstm import NetworkState, NoteLSTM, of_lanes, select_lanes, store_lanes
from noternn.model.modes import one_thread
from noternn.runs.epochs import INTERVAL
from noternn.tokenizer import PAD_ID, Codec
from noternn.training.datamodule import Batch, MidiDataModule
from noternn.training.lanes import (
    Gradients,
    Twins,
    gradients_of,
    parts_of,
    side_by_side,
    with_gradients,
)
from noternn.training.optim import Averaged, Schedule, build_optimizer
from noternn.training.piece_sums import PieceSums
from noternn.training.ranks import meter_of_all, num_ranks, share_of, state_of_all, this_rank
from noternn.training.readings import Readings

EVALUATED = ("val", "train_eval")  # what the two validation loaders measure


class NoteRNN(pl.LightningModule):
    """Trains a `NoteLSTM` on windows, carrying the state along each lane.

    Measures `train/nll` (running, dropout on) and, after each epoch, `val/nll`, `train_eval/nll`
    (the same weights in evaluation mode on training pieces) and `gap/nll`, their difference: the
    generalization gap; with three pieces or more also `val/nll_low` and `val/nll_high`, between which val/nll
    of other such pieces would lie, see `metrics.interval`. They reach the loggers of any Trainer, with the
    learning rate `lr`.

    With a `MidiDataModule` its checkpoints are whole: `load_from_checkpoint` and the composer need no
    other file.

    Args:
        network: is trained.
        optimizer: the arguments of `build_optimizer`.
        seed: decides dropout; with it, a resumed run repeats what an uninterrupted one does.
        schedule: the arguments of `Schedule`.
        ema_decay: above 0, validation, samples and the checkpoints' readers use a moving average of the
            weights, see `Averaged`.
        label_smoothing: share of each target that is spread over all ids that may follow (Szegedy et al.,
            CVPR 2016), in what is trained on; never in a reported nll.
        settings: all of a run, which its checkpoints tell; None tells the arguments here alone.
    """

    #: False where a callback hands the losses to the loggers
    logs_losses = True

    def __init__(
        self,
        network: NoteLSTM,
        optimizer: Mapping[str, Any],
        seed: int,
        *,
        schedule: Mapping[str, Any] | None = None,
        ema_decay: float = 0.0,
        label_smoothing: float = 0.0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.optimizer_options = dict(optimizer)
        self.seed = seed
        self.label_smoothing = label_smoothing
        self.schedule = Schedule(**(schedule or {}))
        self._by_length = 1.0
        self.network = network
        self.averaged = Averaged(network, ema_decay) if ema_decay else None
        self.settings = settings or {
            "model": network.options,
            "optimizer": self.optimizer_options,
            "schedule": dict(schedule or {}),
            "module": {"ema_decay": ema_decay, "label_smoothing": label_smoothing},
            "seed": seed,
        }
        self.content: dict[str, Any] = {}  # what generation needs beside the weights
        self.origin: dict[str, Any] = {}  # what a run knows of the music behind its weights
        self._twins = Twins(network)
        self._state: NetworkState | None = None
        self._train_meter = NllMeter()
        self._meters = [NllMeter() for _ in EVALUATED]
        self._pieces = PieceSums()  # of the validation pieces
        self._test_meter = NllMeter()
        self._gradient_norm = float("nan")  # of the last step that was looked at
        self._readings = Readings()

    @classmethod
    def of(cls, settings: Mapping[str, Any], codec: Codec, label_names: Sequence[str] = ()) -> Self:
        """A new network and its training.

        Args:
            settings: of a run, as plain data.
            codec: of the corpus.
            label_names: that the network is told.
        """
        return cls(
            network_for(codec, settings["model"], len(label_names)),
            settings["optimizer"],
            settings["seed"],
            schedule=settings["schedule"],
            **settings["module"],
            settings=settings,
        )

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, map_location: Any = "cpu", **_: Any
    ) -> Self:
        """The module of a checkpoint, from nothing but the file; no code in it is run.

        Raises:
            UserError: if the file is damaged, or none that NoteRNN wrote.
        """
        path = Path(checkpoint_path)
        checkpoint = load_checkpoint(path)
        content, codec = checkpoint["noternn"], trained_of(checkpoint, path).codec
        module = cls.of(content["config"], codec, content.get("labels", ()))
        module.load_state_dict(checkpoint["state_dict"])
        module.content = checkpoint["noternn"]
        return module.to(map_location)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.network.parameters(), **self.optimizer_options)

    @property
    def evaluated(self) -> NoteLSTM:
        """The network whose weights are measured and composed with."""
        network = self.averaged.module if self.averaged else self.network
        assert isinstance(network, NoteLSTM)
        return network

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._readings.read()
        largest = torch.stack(
            [parameter.detach().abs().max() for parameter in self.network.parameters()]
        ).max()
        self._require_finite("a weight", largest.item())
        checkpoint["noternn"] = self._content()
        # A plain tuple: a checkpoint is read with weights_only, which allows no class of ours.
        whole, meter = state_of_all(self._state), meter_of_all(self._train_meter)
        state = None if whole is None else tuple(whole)
        checkpoint["within_epoch"] = {"state": state, "train_nll": vars(meter)}
        checkpoint["schedule"] = self.schedule.state

    @property
    def _corpus(self) -> Corpus | None:
        """What the batches are of; None where a user has loaders of their own."""
        data = getattr(self.trainer, "datamodule", None)
        return data.corpus if isinstance(data, MidiDataModule) else None

    def _content(self) -> dict[str, Any]:
        """The corpus and settings for a checkpoint; without a corpus, what the loaded checkpoint said."""
        if corpus := self._corpus:
            settings = {"tokenizer": dict(corpus.tokenizer), **self.settings}
            encoded = corpus.encoded
            content = checkpoint_content(
                *(settings, corpus.codec, encoded.tempo, encoded.metre, corpus.pace),
                *(encoded.fingerprint, noternn.__version__),
            )
            self.content = content | corpus.labels_record | corpus.bands_record | self.origin
        return self.content

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["within_epoch"]["state"]
        self._state = None if state is None else share_of(NetworkState(*state))
        if this_rank() == 0:  # it keeps what all had
            vars(self._train_meter).update(checkpoint["within_epoch"]["train_nll"])
        self.schedule.state = dict(checkpoint["schedule"])

    def on_fit_start(self) -> None:
        is_on_cpu = self.device.type == "cpu"  # elsewhere autocast takes care of it
        self.network.trains_in_bfloat16 = is_on_cpu and self.trainer.precision == "bf16-mixed"
        self._twins = Twins(self.network)
        if self._corpus:
            size = self._corpus.encoded.sizes["train"]
            self._by_length = self.schedule.by_length(size.num_tokens, size.num_pieces)
        # Every epoch has its own order of pieces and keys.
        self.trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]

    def on_train_start(self) -> None:
        if self._state is not None:  # loaded before the network was on its device
            self._state = self._state.map(lambda part: part.to(self.device))

    def on_train_epoch_start(self) -> None:
        self._train_meter = NllMeter()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        state = self._state_before(batch, is_first=batch_idx == 0)
        if not len(batch.lane):  # the pieces of this rank's lanes are over, those of others' are not
            return 0.0 * torch.stack([weight.sum() for weight in self.network.parameters()]).sum()
        # Dropout depends on the seed, the step and the rank alone, so that resuming changes nothing.
        seed = ((self.seed * 1_000_003 + self.global_step) * num_ranks() + this_rank()) % 2**63
        torch.manual_seed(seed)
        # A batch weighs as many lanes as it still holds. A mean over the few rows that are left when
        # most lanes have run out of pieces would let the last pieces of an epoch pull the weights away
        # from all others.
        size = batch.num_lanes * batch.inputs.shape[1]
        parts = self._parts(batch)
        if len(parts) == 1:
            found = side_by_side([partial(scored, self.network, batch, state, self.label_smoothing)])
            loss = found[0].total / size
        else:
            loss, found = self._learn(parts, batch, state, size, seed)
        nll, num_tokens = (
            torch.stack(numbers) for numbers in zip(*[part[1:3] for part in found], strict=True)
        )
        self._readings.note(self._take_nll, self.global_step, torch.cat([nll, num_tokens]))
        self._carry(parts, batch, found)
        return loss

    def _learn(
        self, parts: Sequence[slice], batch: Batch, state: NetworkState, size: float, seed: int
    ) -> tuple[Tensor, list[Scored]]:
        """The loss of a batch, its gradients known, from parts that are computed side by side."""
        twins = self._twins.of(len(parts))

        def learn(number: int) -> tuple[Scored, Gradients]:
            # Of a seed torch's generator takes the last 32 bits alone.
            generator = torch.Generator().manual_seed((len(parts) * seed + number) % 2**63)
            lanes = parts[number]
            with drawing_from(generator):
                found = scored(twins[number], batch.of(lanes), of_lanes(state, lanes), self.label_smoothing)
            self._require_number(float(found.nll), self.global_step)
            return found, gradients_of(found.total / size, twins[number])

        results = side_by_side([partial(learn, number) for number in range(len(parts))])
        found = [scores for scores, _ in results]
        loss = torch.stack([scores.total.detach() for scores in found]).sum() / size
        return with_gradients(loss, [gradients for _, gradients in results], self.network), found

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        with one_thread():
            super().backward(loss, *args, **kwargs)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.averaged:  # here: the module's hook after a step runs after the callbacks' hooks, which save
            self.averaged.update_parameters(self.network)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        epochs = self.current_epoch + (batch_idx + 1) / float(self.trainer.num_training_batches)
        multiple = self._by_length * self.schedule.at(epochs, self.trainer.max_epochs or 1)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.optimizer_options["lr"] * multiple

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        with one_thread():
            norm = torch.nn.utils.get_total_norm(gradients)
        self._readings.note(self._take_norm, self.global_step, norm[None])
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grads_with_norm_(self.network.parameters(), gradient_clip_val, norm)

    def _take_nll(self, step: int, numbers: Sequence[float]) -> None:
        """Count the losses and tokens of the parts of a batch."""
        num_parts = len(numbers) // 2
        nll = sum(numbers[:num_parts])
        self._require_number(nll, step)
        self._train_meter.update(nll, int(sum(numbers[num_parts:])))

    def _take_norm(self, step: int, numbers: Sequence[float]) -> None:
        """Look at a step's gradient."""
        (self._gradient_norm,) = numbers
        # In 16-mixed such a step is left out, and the scale of the loss lowered, as a matter of course.
        if self.trainer.precision != "16-mixed":
            self._require_finite("the gradient norm", self._gradient_norm, step)

    def _require_number(self, nll: float, step: int) -> None:
        """Refuse a loss of training that is none."""
        if num_ranks() == 1:  # of several one alone would stop; the gradient is the same in all
            self._require_finite("train/nll", nll, step)

    def _require_finite(self, name: str, value: float, step: int | None = None) -> None:
        """Refuse to go on with weights that will never be numbers again, before any of them is saved.

        Args:
            name: of the value.
            value: is looked at.
            step: after which it was so; None for the last.
        """
        if math.isfinite(value):
            return
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        step = self.global_step if step is None else step
        raise UserError(
            f"training diverged: after step {step}, in epoch {self.current_epoch + 1}, {name} is "
            f"{value}, with a learning rate of {lr:g} and the last gradient norm {self._gradient_norm:.3g}; "
            "start again with a lower optimizer.lr or trainer.gradient_clip_val (the checkpoints are from "
            "before; trainer.detect_anomaly=true names the operation)"
        )

    def train_nll(self) -> float:
        """The mean running loss of this rank in this epoch so far, in nats per token."""
        return self._train_meter.mean()

    def train_nll_of_all(self) -> float:
        """The same of all ranks, which must call it together."""
        return meter_of_all(self._train_meter).mean()

    def on_train_epoch_end(self) -> None:
        self._readings.read()
        if self.logs_losses:
            lr = self.trainer.optimizers[0].param_groups[0]["lr"]
            self.log_dict({"train/nll": self.train_nll_of_all(), "lr": lr})

    def on_validation_epoch_start(self) -> None:
        self._readings.read()
        self._meters = [NllMeter() for _ in EVALUATED]
        self._pieces = PieceSums()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        found = self._measure(batch, is_first=batch_idx == 0)
        self._meters[dataloader_idx].update(*_summed(found))
        if EVALUATED[dataloader_idx] == "val" and found:
            self._pieces.update(batch.piece, torch.cat([part.rows for part in found]))

    def on_validation_epoch_end(self) -> None:
        self._state = None  # of the validation pieces
        self._meters = [meter_of_all(meter) for meter in self._meters]
        val, train_eval = (meter.mean() for meter in self._meters)
        around = interval(*self._pieces.of_all())
        if self.trainer.sanity_checking:
            return
        losses = {"val/nll": val}
        if self._meters[1].num_tokens:  # a user's own loaders may be of the validation pieces alone
            losses |= {"train_eval/nll": train_eval, "gap/nll": val - train_eval}
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._require_finite("val/nll", val)
            self.schedule.note(val)
        if around is not None:
            losses |= dict(zip(INTERVAL, around, strict=True))
        self.log_dict(losses, logger=None if self.logs_losses else False)

    def on_test_epoch_start(self) -> None:
        self._test_meter = NllMeter()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._test_meter.update(*self.nll_of(batch, is_first=batch_idx == 0))

    def on_test_epoch_end(self) -> None:
        self._state = None
        self.log("test/nll", meter_of_all(self._test_meter).mean())

    def nll_of(self, batch: Batch, is_first: bool) -> tuple[float, int]:
        """The summed nll of a batch in nats, and how many targets it scored; the state is carried on.

        Args:
            batch: of an evaluation.
            is_first: whether no lane goes on from a batch before.
        """
        return _summed(self._measure(batch, is_first))

    def _measure(self, batch: Batch, is_first: bool) -> list[Measured]:
        """What the network makes of the parts of a batch, none where it has no rows; as `nll_of`."""
        state = self._state_before(batch, is_first)
        if not len(batch.lane):
            return []
        parts = self._parts(batch)
        found = side_by_side(
            [partial(measured, self.evaluated, batch.of(lanes), of_lanes(state, lanes)) for lanes in parts]
        )
        self._carry(parts, batch, found)
        return found

    def _parts(self, batch: Batch) -> list[slice]:
        """The lanes of a batch that are computed together; a GPU computes all at once."""
        is_on_cpu = batch.inputs.device.type == "cpu"
        work = batch.inputs.numel() * num_parameters(self.network) if is_on_cpu else 0
        return parts_of(len(batch.lane), work)

    def _state_before(self, batch: Batch, is_first: bool) -> NetworkState:
        """The state from which the lanes of a batch go on."""
        if is_first or self._state is None:
            self._state = self.network.initial_state(len(batch.lane))
        return select_lanes(self._state, batch.lane, batch.is_start)

    def _carry(self, parts: Sequence[slice], batch: Batch, found: Sequence[Scored | Measured]) -> None:
        """Keep the states after the parts of a batch."""
        assert self._state is not None
        for lanes, part in zip(parts, found, strict=True):
            store_lanes(self._state, batch.lane[lanes], part.state)


class Scored(NamedTuple):
    """What a network makes of a batch.

    Args:
        total: what is trained on, summed over the targets.
        nll: in nats, summed, ().
        num_tokens: how many targets were scored, ().
        state: after the batch.
    """

    total: Tensor
    nll: Tensor
    num_tokens: Tensor
    state: NetworkState


def scored(network: NoteLSTM, batch: Batch, state: NetworkState, label_smoothing: float = 0.0) -> Scored:
    """Score the targets of a batch.

    Args:
        network: may be in training mode or not.
        batch: some lanes.
        state: before it, of the same lanes.
        label_smoothing: see `NoteRNN`; only in `total`.
    """
    logits, after = network(batch.inputs, state, batch.suggested, batch.labels)
    logits = logits.float()
    total, num_tokens = nll_sum(logits, batch.targets)
    nll = total.detach()
    if label_smoothing:
        uniform = uniform_nll_sum(logits, batch.targets)
        total = total + label_smoothing * (uniform - total)
    return Scored(total, nll, num_tokens, after)


class Measured(NamedTuple):
    """What a network is worth on a batch.

    Args:
        rows: (batch, 2) the nll of each row in nats and how many of its targets were scored, each summed.
        nll: of all rows, summed.
        num_tokens: how many targets were scored.
        state: after the batch.
    """

    rows: Tensor
    nll: float
    num_tokens: int
    state: NetworkState


def measured(network: NoteLSTM, batch: Batch, state: NetworkState) -> Measured:
    """Score the targets of a batch row by row, to learn nothing from; the arguments are those of `scored`."""
    logits, after = network(batch.inputs, state, batch.suggested, batch.labels)
    log_probs, targets = logits.float().log_softmax(-1).flatten(0, 1), batch.targets.flatten()
    total = nll_loss(log_probs, targets, ignore_index=PAD_ID, reduction="sum")
    nll = nll_loss(log_probs, targets, ignore_index=PAD_ID, reduction="none").view_as(batch.targets)
    num_tokens = (batch.targets != PAD_ID).sum(1)
    rows = torch.stack([nll.sum(1), num_tokens], dim=1)
    return Measured(rows, total.item(), int(num_tokens.sum()), after)


def _summed(found: Sequence[Measured]) -> tuple[float, int]:
    """The nll in nats and the tokens of some parts of a batch."""
    return sum((part.nll for part in found), 0.0), sum(part.num_tokens for part in found)


def nll_sum(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The summed nll in nats, and how many targets, all but PAD, it scored, each ().

    Args:
        logits: (batch, time, vocab_size).
        targets: (batch, time) ids.
    """
    total = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD_ID, reduction="sum")
    return total, (targets != PAD_ID).sum()


def uniform_nll_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """As `nll_sum`, the mean nll of all ids that may follow in the place of the nll of each target."""
    log_probs = logits.log_softmax(-1)
    may_follow = log_probs > -torch.inf
    mean = log_probs.masked_fill(~may_follow, 0.0).sum(-1) / may_follow.sum(-1)  # (batch, time)
    return -(mean * (targets != PAD_ID)).sum()
