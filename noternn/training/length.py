"""How long a run trains: the epochs that it is given, as many as its music wants, or as its minutes hold."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock

from noternn.config.checks import AUTO
from noternn.config.schema import Config, to_plain
from noternn.errors import UserError
from noternn.files import read_json, write_text
from noternn.runs.folder import EPOCHS
from noternn.training.datamodule import LaneLoader, MidiDataModule
from noternn.training.module import NoteRNN
from noternn.training.stopping import StopRequest
from noternn.training.stopwatch import EnoughError, Stopwatch
from noternn.training.trainer import build_trainer, quiet_libraries

log = logging.getLogger(__name__)

MOST_EPOCHS = 20  # that `auto` stands for
MOST_STEPS = 15_000  # of them together: four times those of the default run, some 20 minutes of two cores
BETWEEN = 0.05  # share of the minutes that samples and checkpoints take
MANY = 5  # epochs from which on the part of one that does not fit is left out
LEAST_BATCHES = 10  # of an epoch
MEASURED = 0.01  # share of the minutes for which steps are measured, and what comes after an epoch
# What decides how long an epoch takes, and of it what does not.
WORK = ("dataset", "tokenizer", "datamodule", "augmentation", "model", "trainer")
NO_WORK = ("fold", "cache_dir", "num_processes")


class Length(NamedTuple):
    """How long a run trains.

    Args:
        epochs: to which the schedule runs.
        batches: of an epoch, if they are fewer than there are; None for all.
    """

    epochs: int
    batches: int | None = None


class Pace(NamedTuple):
    """Seconds that training takes on this machine.

    Args:
        batch: of one, forward and backward.
        evaluation: of what is measured after an epoch, validation and training pieces.
    """

    batch: float
    evaluation: float


def with_length(
    config: Config, data: MidiDataModule, run_dir: Path, sweep: Path | None, stop: StopRequest
) -> Config:
    """The settings of a run with as many epochs as `auto` or the minutes stand for, told in a line.

    Jobs of a sweep that do the same work, whatever their seed, fold or optimizer, take what the first of them
    decided.

    Args:
        config: the settings; with a number of epochs they are returned as they are.
        data: the batches.
        run_dir: the run's folder, where nothing is written.
        sweep: the folder of its sweep; None for a run alone.
        stop: what signals ask for.

    Raises:
        UserError: if the minutes are too few.
    """
    settings = config.trainer
    if settings.max_epochs != AUTO:
        return config
    num_batches = num_batches_of(config, data)

    def decided() -> Length:
        if settings.minutes is None:
            return Length(max(1, min(MOST_EPOCHS, MOST_STEPS // num_batches)))
        began = time.monotonic()
        pace = measured(config, data, run_dir, stop)
        return length_within(settings.minutes, time.monotonic() - began, pace, num_batches)

    length = decided() if sweep is None else _agreed(sweep, config, decided)
    _tell(length, settings.minutes, num_batches)
    limit = settings.limit_train_batches if length.batches is None else length.batches
    return replace(config, trainer=replace(settings, max_epochs=length.epochs, limit_train_batches=limit))


def num_batches_of(config: Config, data: MidiDataModule) -> int:
    """The steps of the first epoch; another epoch has a few more or less."""
    number, limit = _num_in_all(config, data), config.trainer.limit_train_batches
    if limit is None:
        return number
    return max(1, min(number, int(limit if limit >= 1 else limit * number)))


def _num_in_all(config: Config, data: MidiDataModule) -> int:
    """The batches of an epoch's pieces, of which the settings may leave some out."""
    pieces, num_ranks = data.corpus.encoded.ids["train"], config.trainer.devices * config.trainer.num_nodes
    return len(LaneLoader(pieces, data.batch_size, data.window_length, (data.seed, 0), num_ranks=num_ranks))


def length_within(minutes: float, spent: float, pace: Pace, num_batches: int) -> Length:
    """The epochs that end within so many minutes: whole ones, or a few of fewer batches.

    Args:
        minutes: of all.
        spent: seconds of them that are over.
        pace: of training.
        num_batches: of an epoch.

    Raises:
        UserError: if not even `LEAST_BATCHES` fit; says how many minutes they take.
    """
    seconds = (1 - BETWEEN) * 60 * minutes - spent
    number = seconds / (pace.batch * num_batches + pace.evaluation)
    if number >= MANY:
        return Length(math.floor(number))
    epochs = max(1, math.ceil(number))
    batches, least = math.floor((seconds / epochs - pace.evaluation) / pace.batch), LEAST_BATCHES
    if batches < min(least, num_batches):
        needed = (spent + pace.evaluation + pace.batch * least) / (1 - BETWEEN) / 60
        at_least = math.ceil(10 * needed) / 10
        raise UserError(
            f"trainer.minutes={minutes:g}: the least here is {at_least:g}, for {least} batches and what is "
            "measured before and after them"
        )
    return Length(epochs, None if batches >= num_batches else batches)


def _tell(length: Length, minutes: float | None, num_batches: int) -> None:
    """Say how long it will train, unless it is as long as ever."""
    epochs = f"{length.epochs} epoch{'s' * (length.epochs > 1)}"
    if minutes is not None:
        time_given = "1 minute is" if minutes == 1 else f"{minutes:g} minutes are"
        each = "" if length.batches is None else f" of {length.batches:,} of {num_batches:,} batches"
        log.info("%s %s here%s", time_given, epochs, each)
    elif length.epochs < MOST_EPOCHS:
        many = f"{MOST_EPOCHS} would be {MOST_EPOCHS * num_batches:,} steps"
        log.info("%s, since %s; choose with trainer.max_epochs or trainer.minutes", epochs, many)


def _agreed(sweep: Path, config: Config, decide: Callable[[], Length]) -> Length:
    """What the first job of a sweep that does this one's work has decided; this one, if it is the first."""
    path = sweep / EPOCHS / f"{_work_of(config)}.json"
    known = _read(path)
    if known:
        return known
    length = decide()  # beside the other jobs, as it will train
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = _read(path)
        if not known:
            write_text(path, json.dumps(length))
    return known or length


def _read(path: Path) -> Length | None:
    """What another job has decided; None where there is nothing to be read."""
    try:
        epochs, batches = read_json(path)
        return Length(max(1, int(epochs)), None if batches is None else max(1, int(batches)))
    except (OSError, ValueError, TypeError):
        return None


def _work_of(config: Config) -> str:
    """A name for what decides how long an epoch of a run takes."""
    plain = to_plain(config)
    work = [{k: v for k, v in plain[section].items() if k not in NO_WORK} for section in WORK]
    return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:16]


def measured(config: Config, data: MidiDataModule, run_dir: Path, stop: StopRequest) -> Pace:
    """How long training takes here, from some batches of a network that is thrown away.

    Several ranks on one machine are taken to share its cores, and to make the steps that one would. The time
    in which they tell each other their gradients is not counted.

    Args:
        config: with minutes, of which a share is spent.
        data, run_dir, stop: as `with_length` takes them.
    """
    quiet_libraries()
    settings, encoded = config.trainer, data.corpus.encoded
    alone = replace(settings, max_epochs=1, devices=1, num_nodes=1, profiler=None)
    config = replace(config, trainer=alone)
    module = NoteRNN.of(to_plain(config), data.corpus.codec, data.corpus.label_names)
    training, evaluation = (Stopwatch(60 * MEASURED * (settings.minutes or 0), stop) for _ in range(2))
    with _threads_of_one(settings.devices):
        with suppress(EnoughError):
            build_trainer(config, run_dir, [], [training]).fit(module, datamodule=data)
        with suppress(EnoughError):
            trainer = build_trainer(config, run_dir, [], [evaluation])
            trainer.validate(module, datamodule=data, verbose=False)
    tokens, num_ranks = encoded.sizes, settings.devices * settings.num_nodes
    return Pace(
        training.seconds_per_token * tokens["train"].num_tokens / _num_in_all(config, data),
        evaluation.seconds_per_token * 2 * tokens["validation"].num_tokens / num_ranks,
    )


@contextmanager
def _threads_of_one(num_ranks: int) -> Iterator[None]:
    """Let torch compute in this block with the share of one of several ranks."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // num_ranks))
    try:
        yield
    finally:
        torch.set_num_threads(before)
