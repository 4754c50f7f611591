"""Train from a command line: what `python train.py ...` and `noternn train ...` do."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import hydra
from omegaconf import DictConfig

from noternn.config.schema import CONF_DIR, register
from noternn.errors import UserError
from noternn.launch import command_line, multirun
from noternn.launch.claims import release_claims
from noternn.launch.job import run_job
from noternn.launch.streams import outlive_readers
from noternn.terminal import make_streams_harmless
from noternn.training.cluster import Task, this_task
from noternn.training.stopping import answering_signals


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")
def _train(composed: DictConfig) -> float | None:
    """One run; Hydra calls it once for every job of a multirun, by this module's name in other processes."""
    return run_job(composed)


def _follow(arguments: Sequence[str], task: Task) -> None:
    """Train as another rank than 0 of those that srun or torchrun has started."""
    config = command_line.settings_of(arguments)
    from noternn.training.follower import be_quiet, follow_outside  # imports torch

    be_quiet()
    follow_outside(config, task.starter, task.rank)


def _end_with(error: UserError) -> NoReturn:
    """End with a mistake in the settings; of several ranks one tells of it."""
    task = this_task()
    sys.exit(1 if task is not None and task.rank else f"error: {error}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train: one run, a sweep, or what `resume=` names; sets `sys.argv`, which Hydra reads.

    Args:
        arguments: settings and options; None takes this process's own.

    Raises:
        SystemExit: after a mistake, told in one line; after a signal; with status 1 if a job failed.
    """
    # Read when torch is imported: a thread that waits must not burn the core that another process needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    register()
    outlive_readers()
    make_streams_harmless()
    with answering_signals():
        try:
            checked = command_line.check(sys.argv[1:] if arguments is None else arguments)
        except UserError as error:
            _end_with(error)
        task = this_task()
        if task is not None and task.rank:
            _follow(checked, task)
            return
        sys.argv[1:] = checked
        try:
            _train()
        finally:
            multirun.leave()
            release_claims()
