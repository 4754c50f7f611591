"""What happens beside training: the overfitting curve, a sample at every checkpoint, progress."""

from __future__ import annotations

import logging
import math
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint, EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from tqdm import tqdm

import noternn
from noternn.errors import UserError
from noternn.files import replacing
from noternn.metrics import SplitSize, rates
from noternn.runs.epochs import INTERVAL, Row, best_row
from noternn.tables import write_csv
from noternn.training.datamodule import LaneLoader, MidiDataModule
from noternn.training.module import NoteRNN
from noternn.training.ranks import largest_of_all, told_by_all
from noternn.training.stopping import Stopped, StopRequest
from noternn.training.time_left import TimeLeft, in_words

log = logging.getLogger(__name__)

# What optimizers keep of each weight.
MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "sum")
COLUMNS = (
    "epoch", "step", "train/nll", "train_eval/nll", "val/nll", *INTERVAL, "gap/nll",
    "val/nats_per_note", "val/nats_per_beat", "val/nats_per_second", "best_epoch", "seconds", "cpu_seconds",
)  # fmt: skip


class OverfittingCurve(Callback):
    """Keeps one row of losses an epoch, in metrics.csv, in the logger and in every checkpoint.

    Epochs are counted from 1; `best_epoch` is the best one so far. `seconds` and `cpu_seconds` (of all
    threads of this process) count from the start of training. After resuming, all go on from the checkpoint's
    row.

    Args:
        path: metrics.csv; None in a rank that only follows.
        validation: the size of the validation split.
    """

    def __init__(self, path: Path | None, validation: SplitSize) -> None:
        self.path = path
        self.validation = validation
        self.rows: list[Row] = []
        self._clocks = {"seconds": time.monotonic, "cpu_seconds": time.process_time}
        self._zeros: dict[str, float] = {}  # what each showed when training began

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, NoteRNN)
        pl_module.logs_losses = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        before = self.rows[-1] if self.rows else dict.fromkeys(self._clocks, 0.0)
        self._zeros = {name: clock() - before[name] for name, clock in self._clocks.items()}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, NoteRNN)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        per = rates(metrics["val/nll"], self.validation)
        row: Row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "train/nll": pl_module.train_nll_of_all(),
            **{name: metrics[name] for name in ("train_eval/nll", "val/nll", "gap/nll")},
            **{name: metrics[name] for name in INTERVAL if name in metrics},
            **{f"val/{name}": value for name, value in per.items()},
            **{name: clock() - self._zeros[name] for name, clock in self._clocks.items()},
        }
        self.rows.append(row)
        row["best_epoch"] = best_row(self.rows)["epoch"]
        if self.path is not None:
            write_csv(self.path, self.rows, COLUMNS)
        for logger in trainer.loggers:
            logger.log_metrics(row, trainer.global_step)
        # For the names of checkpoints: Lightning itself counts epochs from 0.
        pl_module.log("epoch", float(trainer.current_epoch + 1), logger=False)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


class SameCorpus(Callback):
    """Refuses ranks that train on other files, or by another version of this program, than rank 0."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, MidiDataModule)
        corpus = data.corpus.encoded
        in_order = zlib.crc32(str(corpus.music_hashes).encode())
        all_told = told_by_all((noternn.__version__, corpus.fingerprint, in_order))
        other = next((rank for rank, told in enumerate(all_told) if told != all_told[0]), None)
        if other is not None:
            raise UserError(
                f"rank {other} has other files than rank 0, or another version of NoteRNN; each machine must "
                "have the same"
            )


class SameLength(Callback):
    """Lets each rank train as long as rank 0, which alone has measured."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epochs, batches = told_by_all((trainer.max_epochs, trainer.limit_train_batches))[0]
        trainer.fit_loop.max_epochs = epochs
        trainer.limit_train_batches = batches


class MomentsCheck(Callback):
    """Refuses the state of an optimizer that does not fit its weights: fused steps would write beside it."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for optimizer in trainer.optimizers:
            for weight, state in optimizer.state.items():
                moments = [state[name] for name in MOMENTS if state.get(name) is not None]
                if any(moment.shape != weight.shape for moment in moments):
                    raise ValueError("the state of its optimizer is of other weights")


class SampleEveryCheckpoint(Callback):
    """Composes with the current weights after every `every_n_epochs` epochs.

    Args:
        every_n_epochs: how often.
        compose: called with the epoch, counted from 1.
    """

    def __init__(self, every_n_epochs: int, compose: Callable[[int], object]) -> None:
        self.every_n_epochs = every_n_epochs
        self.compose = compose

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs == 0:
            self.compose(epoch)


class Progress(Callback):
    """A bar for the running epoch, a line for each one that is over, and how long it will all take here.

    Where stderr is no terminal (a log file, a cluster) there are only the lines.

    Args:
        curve: the rows to read.
        time_left: is told of steps and epochs.
        may_end_sooner: whether anything but the number of epochs may end the run.
    """

    def __init__(self, curve: OverfittingCurve, time_left: TimeLeft, may_end_sooner: bool) -> None:
        self.curve = curve
        self.time_left = time_left
        self.may_end_sooner = may_end_sooner
        self._bar: tqdm[Any] | None = None
        self._is_told = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is None:
            self.time_left.begin(is_whole=batch_idx == 0)
            self._bar = tqdm(
                desc=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
                initial=batch_idx,  # a resumed run may begin within an epoch
                total=int(trainer.num_training_batches),
                unit="batch",
                leave=False,
                dynamic_ncols=True,
                disable=None,
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert self._bar is not None
        self.time_left.end_step(batch.inputs.numel())
        left = self._seconds_left(trainer, (batch_idx + 1) / float(trainer.num_training_batches))
        if left is not None:
            self._tell(trainer, left)
        if not self._bar.disable:
            assert isinstance(pl_module, NoteRNN)
            shown = {"train/nll": f"{pl_module.train_nll():.3f}"}
            if self.curve.rows:
                shown["val/nll"] = f"{self.curve.rows[-1]['val/nll']:.3f}"
            if left is not None:
                shown["run"] = f"about {in_words(left)} left"
            self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()
        self.time_left.end_epoch()
        row = self.curve.rows[-1]
        best = " *" if best_row(self.curve.rows) is row else ""
        left = self._seconds_left(trainer, 1.0)
        log.info(
            "epoch %3d/%d  train/nll %.4f  train_eval/nll %.4f  val/nll %.4f  gap/nll %+.4f  %4.0f s%s%s",
            row["epoch"], trainer.max_epochs, row["train/nll"], row["train_eval/nll"],
            row["val/nll"], row["gap/nll"], row["seconds"],
            f", about {in_words(left)} left" if left else "", best,
        )  # fmt: skip
        self._is_told = True

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _seconds_left(self, trainer: pl.Trainer, share: float) -> float | None:
        """After a share of the running epoch."""
        loader = trainer.train_dataloader
        assert isinstance(loader, LaneLoader)
        num_epochs = (trainer.max_epochs or 0) - trainer.current_epoch - share
        used = float(trainer.num_training_batches) / len(loader)
        return self.time_left.seconds(num_epochs, round(used * loader.num_tokens))

    def _tell(self, trainer: pl.Trainer, left: float) -> None:
        """Say once how long the run will take."""
        if self._is_told:
            return
        self._is_told = True
        assert self._bar is not None
        self._bar.clear()
        number = (trainer.max_epochs or 0) - trainer.current_epoch
        sooner = "; it may end sooner" if self.may_end_sooner and number > 1 else ""
        epochs = "1 epoch" if number == 1 else f"{number} epochs"
        log.info("about %s here for %s%s", in_words(left), epochs, sooner)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Pruning(Callback):
    """Ends a run of a search that is hopeless beside the others.

    Args:
        is_hopeless: told an epoch, counted from 1, and its val/nll.
    """

    def __init__(self, is_hopeless: Callable[[int, float], bool]) -> None:
        self.is_hopeless = is_hopeless
        self.is_pruned = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        is_hopeless = self.is_hopeless(epoch, float(trainer.callback_metrics["val/nll"]))
        if is_hopeless and epoch != trainer.max_epochs:  # else it is over by itself
            log.info("pruned after epoch %d: hopeless beside the other trials", epoch)
            self.is_pruned = trainer.should_stop = True


class LastCheckpoint(Checkpoint):
    """Keeps the checkpoint from which a run goes on as if it had never stopped.

    It is written after every epoch, after every `every_minutes` within one, and where a signal ends the
    run: after the step that it is at, or within the validation, which is then repeated.

    Args:
        path: of the checkpoint.
        every_minutes: most minutes of training that are lost with a process that is killed.
        stop: what signals asked for.
    """

    def __init__(self, path: Path, every_minutes: float, stop: StopRequest) -> None:
        self.path = path
        self.every_minutes = every_minutes
        self.stop = stop
        self._saved = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved = time.monotonic()
        self.stop.install()  # Lightning has just put its own answer to SIGTERM in place

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            return  # Lightning would take the epoch for over; a run ends in the validation instead
        is_due = time.monotonic() - self._saved >= 60 * self.every_minutes
        signum, is_due_anywhere = largest_of_all([self.stop.signum() or 0, is_due])
        if signum or is_due_anywhere:
            self._save(trainer)
        if signum:
            raise Stopped(int(signum))

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        (signum,) = largest_of_all([self.stop.signum() or 0])
        if not signum:
            return
        # Resumed, Lightning goes back to a validation of which it finds the first batch begun.
        progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
        progress.reset()
        progress.increment_ready()
        progress.increment_started()
        self._save(trainer)
        raise Stopped(int(signum))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        (should_stop,) = largest_of_all([trainer.should_stop])  # rank 0 alone may know that it is hopeless
        trainer.should_stop = bool(should_stop)
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()


class NamedCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that may stand beside others like it, in a folder that may be moved."""

    @property
    def state_key(self) -> str:
        return f"NamedCheckpoint[{self.filename}]"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # In a folder of another name Lightning would forget which epoch was the best so far.
        folder = str(self.dirpath)

        def here(path: str) -> str:
            return os.path.join(folder, os.path.basename(path)) if path else path

        paths = {name: here(path) for name, path in state_dict.items() if name.endswith("_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "dirpath": folder, "best_k_models": best})


class ConfiguredEarlyStopping(EarlyStopping):
    """An EarlyStopping with the patience of the configuration, after resuming too, not of the checkpoint.

    An epoch with a lower loss than the one before does not count, though it be no new best. Where steps are
    large, at the start or once more with more epochs than before, the loss may rise for some epochs; while it
    falls from there, smaller steps may bring more than was lost.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._before = math.inf  # the loss after the last epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = float(trainer.callback_metrics[self.monitor])
        is_on_its_way = self.best_score.item() <= loss < self._before
        self._before = loss
        if not is_on_its_way:
            super().on_train_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"before": self._before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})
        self._before = state_dict.get("before", self.best_score.item())


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint beside its place, flushes and renames it: never half a file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None  # on a full disk torch tells of positions in the file
                raise
