"""How long, on which batches and on which device a network is trained, and what is kept of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from noternn.config.checks import require, require_finite


@dataclass
class DataModule:
    """See `noternn.training.datamodule.MidiDataModule`."""

    batch_size: int = 32
    window_length: int = 64
    cache_dir: str | None = "data/.cache"
    num_processes: int | None = None

    def __post_init__(self) -> None:
        for key in ("batch_size", "window_length"):
            require(getattr(self, key) >= 1, f"datamodule.{key}", getattr(self, key), "at least 1")
        if self.num_processes is not None:
            require(self.num_processes >= 0, "datamodule.num_processes", self.num_processes, "at least 0")


@dataclass
class Augmentation:
    """How training pieces are varied; see `noternn.training.datamodule.MidiDataModule`."""

    transpose: int = 0
    velocity: int = 0

    def __post_init__(self) -> None:
        for key in ("transpose", "velocity"):
            value = getattr(self, key)
            require(0 <= value <= 127, f"augmentation.{key}", value, "0 to 127")


@dataclass
class Module:
    """See `noternn.training.module.NoteRNN`."""

    ema_decay: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for key in ("ema_decay", "label_smoothing"):
            value = getattr(self, key)
            require(0 <= value < 1, f"module.{key}", value, "at least 0 and below 1")


# Settings of Lightning's Trainer that a run cannot have, and what to do instead.
REFUSED = {
    "trainer.devices": "a run trains on one device: the state goes along each lane from batch to batch; "
    "several devices train the runs of a sweep (hydra/launcher=joblib)",
    "trainer.strategy": "a run trains on one device: the state goes along each lane from batch to batch",
    "trainer.accumulate_grad_batches": "half a step cannot be resumed exactly; give a larger "
    "datamodule.batch_size",
    "trainer.max_steps": "a run ends with an epoch, after which it is validated; give trainer.max_epochs",
    "trainer.fast_dev_run": "it leaves no checkpoint to compose with; give trainer.max_epochs=1 "
    "trainer.limit_train_batches=1",
}


@dataclass
class Trainer:
    """The keyword arguments of Lightning's Trainer that can be set.

    `limit_train_batches` is a number of batches, or below 1 a share of them; after `max_time`, as
    DD:HH:MM:SS, a run ends with its epoch; `profiler` is simple or advanced.
    """

    max_epochs: int = 60
    accelerator: str = "auto"
    precision: str = "32-true"
    gradient_clip_val: float | None = 1.0
    detect_anomaly: bool = False
    limit_train_batches: float | None = None
    max_time: str | None = None
    profiler: str | None = None

    def __post_init__(self) -> None:
        require(self.max_epochs >= 1, "trainer.max_epochs", self.max_epochs, "at least 1")
        accelerators = ("auto", "cpu", "gpu", "cuda", "mps")
        require(
            self.accelerator in accelerators, "trainer.accelerator", self.accelerator, ", ".join(accelerators)
        )
        precisions = ("32-true", "bf16-mixed", "16-mixed")
        require(self.precision in precisions, "trainer.precision", self.precision, ", ".join(precisions))
        if self.gradient_clip_val is not None:
            clip = self.gradient_clip_val
            require(clip > 0, "trainer.gradient_clip_val", clip, "above 0, or null for none")
        self._check_limits()

    def _check_limits(self) -> None:
        limit = self.limit_train_batches
        is_share = limit is not None and 0 < limit < 1
        is_number = limit is None or (limit >= 1 and limit == int(limit))
        allowed = "a number of batches, a share of them above 0 and below 1, or null for all"
        require(is_share or is_number, "trainer.limit_train_batches", limit, allowed)
        shape, time = r"\d\d:\d\d:\d\d:\d\d", self.max_time
        is_time = time is None or (re.fullmatch(shape, time) is not None and time != "00:00:00:00")
        require(is_time, "trainer.max_time", self.max_time, "DD:HH:MM:SS as 00:01:30:00, or null")
        profilers = ("simple", "advanced", None)
        require(self.profiler in profilers, "trainer.profiler", self.profiler, "simple, advanced or null")


@dataclass
class EarlyStopping:
    """Stop after `patience` epochs without a `val/nll` lower by `min_delta`; null never stops."""

    patience: int | None = 5
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience is not None:
            require(
                self.patience >= 1, "early_stopping.patience", self.patience, "at least 1, or null for never"
            )
        require_finite("early_stopping.min_delta", self.min_delta)


@dataclass
class Checkpoint:
    """Keep a checkpoint and a sample every `every_n_epochs` epochs, beside the best and the last.

    The last is also written every `every_minutes` within an epoch.
    """

    every_n_epochs: int = 10
    every_minutes: float = 10.0

    def __post_init__(self) -> None:
        require(self.every_n_epochs >= 1, "checkpoint.every_n_epochs", self.every_n_epochs, "at least 1")
        require(self.every_minutes > 0, "checkpoint.every_minutes", self.every_minutes, "above 0")


@dataclass
class Logger:
    """Who is told the losses; metrics.csv is always written. `logger=[wandb,tensorboard]` chooses several.

    Args:
        mode: wandb's: auto, online, offline or disabled.
        project: of wandb and Trackio.
        entity: of wandb.
        tensorboard: whether TensorBoard's files are written.
        trackio: whether Trackio is told.
    """

    mode: str = "disabled"
    project: str = "noternn"
    entity: str | None = None
    tensorboard: bool = False
    trackio: bool = False

    def __post_init__(self) -> None:
        modes = ("auto", "online", "offline", "disabled")
        require(self.mode in modes, "logger.mode", self.mode, ", ".join(modes))
