"""What makes a run resumable: the settings that it began with, and training that is left to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

from noternn.config.checks import AUTO
from noternn.config.sampling import Sampling
from noternn.config.schema import BEFORE, Config
from noternn.config.tokenizer import DECIDED, tokenizer_of
from noternn.config.training import Trainer
from noternn.errors import UserError
from noternn.runs.folder import RunFolder
from noternn.runs.summary import read_summary
from noternn.tables import read_csv
from noternn.terminal import one_line
from noternn.training.callbacks import OverfittingCurve

log = logging.getLogger(__name__)

# A run goes on only if these sections are as they were.
SECTIONS = (
    "tokenizer",
    "augmentation",
    "model",
    "module",
    "optimizer",
    "schedule",
    "dataset",
    "datamodule",
    "trainer",
)
# Of these sections what decides a result; the other settings are places (the files are compared), speed and,
# as the size of a batch, compared by themselves.
DECISIVE = {
    "dataset": (
        "tracks",
        "pedal",
        "limits",
        "validation_fraction",
        "test_fraction",
        "min_validation",
        "fold",
        "train_fraction",
    ),
    "datamodule": ("window_length",),
    "trainer": ("limit_train_batches",),
}


def as_begun(config: Config, checkpoint: dict[str, Any]) -> Config:
    """The settings with what was decided when the run began: tokenizer, epochs, and how long samples are.

    Args:
        config: the settings that it shall go on with.
        checkpoint: what last.ckpt holds.
    """
    stored = checkpoint["noternn"]["config"]
    began, now = tokenizer_of(stored["tokenizer"]), asdict(config.tokenizer)
    values = {name: began[name] for name in DECIDED if now.get(name) == AUTO and name in began}
    if "drums_first" in began and "drums_first" in now:
        values["drums_first"] = began["drums_first"]
    kept = ("num_notes", "primer_notes") if config.sampling.num_notes == Sampling.num_notes else ()
    sampling = {name: stored["sampling"][name] for name in kept if name in stored.get("sampling", {})}
    return replace(
        config,
        tokenizer=replace(config.tokenizer, **values),
        sampling=replace(config.sampling, **sampling),
        trainer=_length_as_begun(config.trainer, stored["trainer"]),
    )


def _length_as_begun(trainer: Trainer, began: Mapping[str, Any]) -> Trainer:
    """The epochs and batches that were chosen when the run began, where no others are given."""
    epochs = began["max_epochs"] if trainer.max_epochs == AUTO else trainer.max_epochs
    limit = trainer.limit_train_batches
    if began.get("minutes") is not None and limit is None:
        limit = began["limit_train_batches"]
    return replace(trainer, max_epochs=epochs, limit_train_batches=limit)


def check_resumable(config: Config, plain: dict[str, Any], checkpoint: dict[str, Any], run_dir: Path) -> None:
    """Refuse a run that is over, or one that would go on as another than it began.

    Args:
        config: the settings that it shall go on with.
        plain: the same as plain data.
        checkpoint: what last.ckpt holds.
        run_dir: the run's folder.

    Raises:
        UserError: names the setting that differs, or says what to give for more training.
    """
    before = checkpoint["noternn"]["config"]
    for section in SECTIONS:
        names = DECISIVE.get(section, plain[section])
        if section == "optimizer" and isinstance(config.optimizer, dict):  # its file may have lost a line
            names = {**before[section], **plain[section]}
        began = BEFORE.get(section, {}) | before[section]
        if section == "tokenizer":
            began = tokenizer_of(began)
        for name in names:
            is_decided_later = section == "model" and plain[section].get(name) == AUTO
            if began.get(name) != plain[section].get(name) and not is_decided_later:
                _refuse_change(config, f"{section}.{name}", began.get(name), plain[section].get(name))
    _check_lanes(config, before)
    if config.trainer.minutes not in (None, before["trainer"].get("minutes")):
        raise UserError(
            f"resume={config.resume}: trainer.minutes are measured when a run begins, which chose "
            f"{before['trainer']['max_epochs']} epochs; give more trainer.max_epochs instead"
        )
    if before["seed"] != config.seed:
        _refuse_change(config, "seed", before["seed"], config.seed)
    if is_trained(config, checkpoint) and _is_finished(run_dir):
        raise UserError(
            f"resume={config.resume}: this run is over; "
            "to go on give more trainer.max_epochs or early_stopping=none"
        )


def _check_lanes(config: Config, before: dict[str, Any]) -> None:
    """Refuse other lanes than there were; other ranks may share them out, which is not exactly the same."""
    each_before, each = before["datamodule"]["batch_size"], config.datamodule.batch_size
    ranks_before, ranks = (_num_ranks(trainer) for trainer in (before["trainer"], asdict(config.trainer)))
    if (each_before, ranks_before) == (each, ranks):
        return
    if ranks_before == ranks == 1:
        _refuse_change(config, "datamodule.batch_size", each_before, each)
    told = f"it was trained with {ranks_before} rank{'s' * (ranks_before > 1)} of {each_before} lanes"
    if each_before * ranks_before != each * ranks:
        raise UserError(
            f"resume={config.resume}: {told}, not {ranks} of {each}; give trainer.devices and "
            f"datamodule.batch_size that make {each_before * ranks_before} lanes together"
        )
    log.warning("%s: with %d of %d it goes on with other dropout, and other rounding", told, ranks, each)


def _num_ranks(trainer: dict[str, Any]) -> int:
    """How many ranks train by these settings; earlier versions had one."""
    return int(trainer.get("devices", 1)) * int(trainer.get("num_nodes", 1))


def check_audits(folder: RunFolder) -> None:
    """Refuse a table of audits that no epoch can be added to.

    Raises:
        UserError: with what is wrong with it.
    """
    try:
        rows = read_csv(folder.audit) if folder.audit.exists() else []
        if not all("epoch" in row for row in rows):
            raise ValueError("there is no column of epochs")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder.audit}: no table of audits ({one_line(str(error))}); move it away, then go on"
        ) from error


@contextmanager
def told_as_unusable(resume: str | None, is_proven: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """In this block an error is told as the fault of the checkpoint that a run goes on from.

    Args:
        resume: the run; None for one that begins.
        is_proven: whether the run has gone on so far that the checkpoint cannot be at fault.

    Raises:
        UserError: with the error in one line.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:  # what a stranger's checkpoint holds shows in many ways
        if resume is None or is_proven():
            raise
        log.debug("resume=%s", resume, exc_info=True)
        reason = one_line(": ".join([type(error).__name__, *str(error).splitlines()[:1]]))
        raise UserError(
            f"resume={resume}: from its last checkpoint nothing can go on ({reason}); start a new run"
        ) from error


def is_trained(config: Config, checkpoint: dict[str, Any]) -> bool:
    """Whether a checkpoint stands at the end of the training that the configuration asks for."""
    callbacks = checkpoint["callbacks"]
    max_epochs: int = config.trainer.max_epochs
    num_epochs = len(callbacks[OverfittingCurve.__name__]["rows"])
    stopping = [state for name, state in callbacks.items() if "EarlyStopping" in name]
    patience = config.early_stopping.patience
    stopped = bool(stopping) and patience is not None and stopping[0]["wait_count"] >= patience
    return stopped or num_epochs >= max_epochs


def _is_finished(run_dir: Path) -> bool:
    """Whether a run has left its results, the last of its files."""
    summary = read_summary(run_dir)
    return summary is not None and summary["status"] == "finished"


def _refuse_change(config: Config, name: str, before: object, value: object) -> NoReturn:
    raise UserError(
        f"resume={config.resume}: it was trained with {name}={before}, not {value}; "
        "keep it, or start a new run"
    )
