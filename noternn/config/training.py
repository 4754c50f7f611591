"""How long, on which batches and on which device a network is trained, and what is kept of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noternn.config.checks import AUTO, MISSING, Section, choices, require, setting


@dataclass
class DataModule(Section, group="datamodule"):
    """See `noternn.training.datamodule.MidiDataModule`."""

    batch_size: int = setting(at_least=1, help="pieces read side by side")
    window_length: int = setting(at_least=1, help="tokens that gradients reach back")
    cache_dir: str | None = setting(help="folder of the tokens of earlier runs; null for none")
    num_processes: int | None = setting(at_least=0, help="to read files with; null takes one a core")


@dataclass
class Augmentation(Section, group="augmentation"):
    """How training pieces are varied; see `noternn.training.datamodule.MidiDataModule`."""

    transpose: int = setting(at_least=0, at_most=127, help="semitones up or down, at most")
    velocity: int = setting(at_least=0, at_most=127, help="bins of velocity louder or softer, at most")
    cut: float = setting(at_least=0, at_most=1, help="share of the pieces cut in two, each epoch anew")


@dataclass
class Module(Section, group="module"):
    """See `noternn.training.module.NoteRNN`."""

    ema_decay: float = setting(at_least=0, below=1, help="of the averaged weights; 0 for none")
    label_smoothing: float = setting(at_least=0, below=1, help="probability that is spread evenly")


# Settings of Lightning's Trainer that a run cannot have, and what to do instead.
REFUSED = {
    "trainer.accumulate_grad_batches": "half a step cannot be resumed exactly; give a larger "
    "datamodule.batch_size",
    "trainer.max_steps": "a run ends with an epoch, after which it is validated; give trainer.max_epochs",
    "trainer.fast_dev_run": "it leaves no checkpoint to compose with; give trainer.max_epochs=1 "
    "trainer.limit_train_batches=1",
}


@dataclass
class Trainer(Section, group="trainer"):
    """The keyword arguments of Lightning's Trainer that can be set.

    `minutes` choose `max_epochs`, which then is `auto`, so that the schedule ends in time;
    `limit_train_batches` is a number of batches, or below 1 a share of them; after `max_time`, as
    DD:HH:MM:SS, a run ends with its epoch; `profiler` is simple or advanced. Each of `devices` on each of
    `num_nodes` machines is a rank: a process with `datamodule.batch_size` lanes of its own.
    """

    max_epochs: Any = setting(help="epochs, to which the schedule runs; auto: 20, fewer of much music")
    minutes: float | None = setting(
        above=0,
        note=", or null for none",
        help="of training, which chooses the epochs by a measured step",
    )
    accelerator: str = setting(one_of=("auto", "cpu", "gpu", "cuda", "mps"), help="where it is computed")
    devices: int = setting(1, at_least=1, help="of a machine that train one run, a process each")
    num_nodes: int = setting(1, at_least=1, help="machines that train one run, started by srun or torchrun")
    strategy: str = setting("auto", one_of=("auto", "ddp"), help="how several train; auto is ddp")
    precision: str = setting(
        one_of=("auto", "32-true", "bf16-mixed", "16-mixed"),
        help="bits of a number in training; auto is bf16-mixed on a CPU with units for it",
    )
    gradient_clip_val: float | None = setting(
        above=0, note=", or null for none", help="length that a gradient is cut to"
    )
    detect_anomaly: bool = setting(help="name the operation whose gradient is not a number; slow")
    limit_train_batches: float | None = setting(help="batches of an epoch, or below 1 a share of them")
    max_time: str | None = setting(help="DD:HH:MM:SS, after which a run ends with its epoch")
    profiler: str | None = setting(
        one_of=("simple", "advanced"), note=" or null", help="simple or advanced: where the time goes"
    )

    def __post_init__(self) -> None:
        """Refuse what is outside its range, a part of a batch, and a time that is none."""
        super().__post_init__()
        epochs, limit = self.max_epochs, self.limit_train_batches
        is_one = epochs in (AUTO, MISSING) or (type(epochs) is int and epochs >= 1)
        require(is_one, "trainer.max_epochs", epochs, "auto, or an integer of at least 1")
        is_share = limit is not None and 0 < limit < 1
        is_number = limit is None or (1 <= limit < float("inf") and limit == int(limit))
        allowed = "a number of batches, a share of them above 0 and below 1, or null for all"
        require(is_share or is_number, "trainer.limit_train_batches", limit, allowed)
        shape, time = r"\d\d:\d\d:\d\d:\d\d", self.max_time
        is_time = time is None or (re.fullmatch(shape, time) is not None and time != "00:00:00:00")
        require(is_time, "trainer.max_time", self.max_time, "DD:HH:MM:SS as 00:01:30:00, or null")


@dataclass
class EarlyStopping(Section, group="early_stopping"):
    """Stop after `patience` epochs without a `val/nll` lower by `min_delta`; null never stops.

    Epochs on the way down from a worse `val/nll` do not count.
    """

    patience: int | None = setting(
        at_least=1, note=", or null for never", help="epochs without a lower val/nll before it stops"
    )
    min_delta: float = setting(0.0, at_least=0, note=" and finite", help="by how much it must be lower")


@dataclass
class Checkpoint(Section, group="checkpoint"):
    """Keep a checkpoint and a sample every `every_n_epochs` epochs, beside the best and the last.

    The last is also written every `every_minutes` within an epoch.
    """

    every_n_epochs: int = setting(at_least=1, help="epochs between checkpoints and samples that are kept")
    every_minutes: float = setting(above=0, help="minutes between writings of last.ckpt")


# Lightning's callbacks that can be chosen: they only watch, so that a run resumes exactly.
CALLBACKS = ("DeviceStatsMonitor", "LearningRateMonitor")


def checked_callbacks(callbacks: Mapping[str, Any], logger: Logger) -> dict[str, dict[str, Any]]:
    """Lightning's callbacks with their arguments, of which a file of the user's own may give none.

    Raises:
        UserError: if one is none of `CALLBACKS`, or if no logger listens.
    """
    for name, arguments in callbacks.items():
        allowed = choices(name, CALLBACKS)
        require(name in CALLBACKS, "callbacks", name, f"one of Lightning's that only watch: {allowed}")
        are_named = arguments is None or isinstance(arguments, dict)
        require(are_named, f"callbacks.{name}", arguments, "lines of NAME: VALUE, its arguments")
        is_heard = logger.mode != "disabled" or logger.tensorboard or logger.trackio
        require(is_heard, "callbacks", name, "given with a logger that it tells, as logger=tensorboard")
    return {name: arguments or {} for name, arguments in callbacks.items()}


DEFAULT_PROJECT = "noternn"
NOT_IN_PROJECTS = "/\\#?%:"  # signs that wandb refuses


@dataclass
class Logger(Section, group="logger"):
    """Who is told the losses; metrics.csv is always written. `logger=[wandb,tensorboard]` chooses several."""

    mode: str = setting(
        "disabled", one_of=("auto", "online", "offline", "disabled"), help="whether wandb is told, and how"
    )
    project: str = setting(DEFAULT_PROJECT, help="project of wandb and Trackio")
    entity: str | None = setting(None, help="user or team of wandb")
    tensorboard: bool = setting(False, help="write TensorBoard's files")
    trackio: bool = setting(False, help="tell Trackio")

    def __post_init__(self) -> None:
        """Refuse a project that wandb cannot name so."""
        super().__post_init__()
        found = next((sign for sign in NOT_IN_PROJECTS if sign in self.project), None)
        allowed = f"a name without any of {' '.join(NOT_IN_PROJECTS)} (logger.entity names the team)"
        require(found is None and bool(self.project), "logger.project", self.project, allowed)
