"""Lightning's Trainer as a run needs it: what is saved and when, what ends it, and no noise."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins import ClusterEnvironment
from pytorch_lightning.callbacks import Checkpoint, Timer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.profilers import AdvancedProfiler, SimpleProfiler
from pytorch_lightning.strategies import DDPStrategy

from noternn.config.checks import AUTO
from noternn.config.schema import Config
from noternn.config.training import Trainer as Settings
from noternn.runs.folder import RunFolder
from noternn.training.callbacks import (
    AtomicCheckpointIO,
    ConfiguredEarlyStopping,
    LastCheckpoint,
    MomentsCheck,
    NamedCheckpoint,
    OverfittingCurve,
    Progress,
    Pruning,
    SameCorpus,
    SameLength,
    SampleEveryCheckpoint,
)
from noternn.training.devices import device_type
from noternn.training.precision import FULL, HALF, LayersInBfloat16, MixedInTraining
from noternn.training.stopping import StopRequest
from noternn.training.time_left import TimeLeft


def build_trainer(
    config: Config,
    run_dir: Path,
    loggers: list[Logger],
    callbacks: list[pl.Callback],
    environment: ClusterEnvironment | None = None,
) -> pl.Trainer:
    """A Trainer with the settings of a run.

    Args:
        config: its settings.
        run_dir: where a profile goes.
        loggers: are told the losses.
        callbacks: what it does beside training.
        environment: how it finds the other ranks; None where there is one.
    """
    return pl.Trainer(
        **_settings(config.trainer, run_dir),
        strategy=DDPStrategy(cluster_environment=environment, broadcast_buffers=False)
        if environment
        else "auto",
        use_distributed_sampler=False,  # the ranks share out lanes, see LaneLoader
        logger=loggers or False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), *_mixed(config.trainer)],
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # nothing is logged a step; larger than a small corpus it would warn
        reload_dataloaders_every_n_epochs=1,  # every epoch has its own order of pieces
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=False,  # Progress is ours
        enable_model_summary=False,
        default_root_dir=run_dir,
    )


def _mixed(settings: Settings) -> list[Precision]:
    """What computes in 16 bits, if the settings ask for them."""
    if settings.precision == FULL:
        return []
    device = device_type(settings.accelerator)
    if settings.precision == HALF and device == "cpu":
        return [LayersInBfloat16()]
    return [MixedInTraining(settings.precision, device)]


def _settings(settings: Settings, run_dir: Path) -> dict[str, Any]:
    """The settings as Lightning takes them; it would stop at `max_time` in the midst of an epoch."""
    given = asdict(settings)
    del given["max_time"], given["minutes"], given["strategy"]
    if settings.max_epochs == AUTO:
        given["max_epochs"] = 1  # in another rank than 0, which will tell it
    if given["precision"] != FULL:
        del given["precision"]  # a plugin has it
    limit = given["limit_train_batches"]
    given["limit_train_batches"] = int(limit) if limit and limit >= 1 else limit
    profilers = {"simple": SimpleProfiler, "advanced": AdvancedProfiler}
    if given["profiler"]:
        given["profiler"] = profilers[given["profiler"]](run_dir, "profile")
    return given


def build_callbacks(
    config: Config,
    run_dir: Path,
    curve: OverfittingCurve,
    compose: Callable[[int], object] | None,
    stop: StopRequest,
    pruning: Pruning | None,
    monitors: Sequence[pl.Callback] = (),
) -> list[pl.Callback]:
    """What a run does beside its training, in the order in which it does it.

    Args:
        config: says how often it saves and when it stops.
        run_dir: where the checkpoints go.
        curve: its losses.
        compose: called with an epoch after which samples are due; None in a rank that only follows.
        stop: what signals ask for.
        pruning: of a search.
        monitors: only watch.
    """
    every = config.checkpoint.every_n_epochs
    callbacks: list[pl.Callback] = [SameCorpus(), SameLength(), MomentsCheck(), curve]
    if compose is not None:
        callbacks += [_progress(config, curve, pruning), SampleEveryCheckpoint(every, compose)]
    callbacks += _checkpoints(run_dir, every)
    if config.early_stopping.patience is not None:
        stopping = asdict(config.early_stopping)
        callbacks.append(ConfiguredEarlyStopping("val/nll", **stopping, check_on_train_epoch_end=True))
    if config.trainer.max_time is not None:
        callbacks.append(Timer(config.trainer.max_time, interval="epoch", verbose=False))
    if pruning is not None:
        callbacks.append(pruning)
    callbacks += monitors
    # After all others, so that what it holds of them is from the same moment.
    last = RunFolder(run_dir).last_checkpoint
    return [*callbacks, LastCheckpoint(last, config.checkpoint.every_minutes, stop)]


def _progress(config: Config, curve: OverfittingCurve, pruning: Pruning | None) -> Progress:
    # After an epoch as many training tokens are evaluated as validation tokens.
    num_ranks = config.trainer.devices * config.trainer.num_nodes
    time_left = TimeLeft(2 * curve.validation.num_tokens // num_ranks)
    ends_sooner = config.early_stopping.patience or config.trainer.max_time or pruning
    return Progress(curve, time_left, may_end_sooner=bool(ends_sooner))


def _checkpoints(run_dir: Path, every_n_epochs: int) -> list[pl.Callback]:
    saving: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False,
                              "auto_insert_metric_name": False}  # fmt: skip
    folder = RunFolder(run_dir)
    regular = {"every_n_epochs": every_n_epochs, "save_top_k": -1, **saving}
    return [
        NamedCheckpoint(run_dir, folder.best_checkpoint.stem, monitor="val/nll", **saving),
        NamedCheckpoint(folder.checkpoints, "epoch_{epoch:03.0f}", **regular),
    ]


def quiet_libraries() -> None:
    """Silence what Lightning says of things that are meant to be as they are."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message, category in (
        (r".*isinstance\(treespec, LeafSpec\).*", FutureWarning),  # Lightning calls what torch renames
        (r".*does not have many workers.*", UserWarning),  # batches are slices of an array: no workers
        (r".*Checkpoint directory .* exists and is not empty.*", UserWarning),  # a run's own folder
        (r".*train_dataloader.*shuffle.*", UserWarning),
        (r".*callbacks used to create the checkpoint.*", UserWarning),  # resumed with early_stopping=none
        (r".*`broadcast_buffers` is deprecated.*", FutureWarning),  # its other name is not in older versions
        (r".*Grad strides do not match bucket view strides.*", UserWarning),  # an axis of length 1
        (r".*recommended to use `self.log\(.*sync_dist=True.*", UserWarning),  # each rank logs the sum of all
    ):
        warnings.filterwarnings("ignore", message, category)
