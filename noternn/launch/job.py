"""A job of Hydra: a run alone, or one of a multirun."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from noternn.config.programs import remember_config_dir
from noternn.corpus.cache import KEPT_SUFFIX
from noternn.launch import launchers, notes
from noternn.launch.log_file import held_back, make_log_harmless
from noternn.launch.one_run import note_failure, run, run_of_sweep, users_reason
from noternn.launch.progress import begun_jobs, sweep_line
from noternn.launch.side_by_side import FORKS, is_side_by_side, leave_the_terminal, run_apart
from noternn.launch.table import save_table
from noternn.runs.folder import CACHE, RunFolder
from noternn.runs.leftover import forget_false_start
from noternn.runs.owner import TakenError, claimed
from noternn.runs.summary import read_summary
from noternn.terminal import make_streams_harmless

log = logging.getLogger(__name__)


def run_job(composed: DictConfig) -> float | None:
    """Train with a composed configuration; the best val/nll, for sweepers that search.

    A failing job of a multirun leaves its reason in its folder and lets the others go on; one that a signal
    stops ends the multirun with it.
    """
    make_streams_harmless()  # launchers start processes of their own
    make_log_harmless()
    hydra_config = HydraConfig.get()
    given = (Path(s.path) for s in hydra_config.runtime.config_sources if s.provider == "command-line")
    remember_config_dir(next(given, None))
    run_dir = Path(hydra_config.runtime.output_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        return _run_job_of_sweep(composed, hydra_config, run_dir)
    sweep_dir = _sweep_of(run_dir)
    try:
        with held_back() as write_log:
            best = run(composed, run_dir, sweep_dir, begin=lambda _: write_log())
    except Exception as error:
        reason = users_reason(error, run_dir)
        if reason is None:
            raise
        sys.exit(f"error: {reason}")
    if sweep_dir:
        save_table(sweep_dir)
    return best


def _run_job_of_sweep(composed: DictConfig, hydra_config: HydraConf, run_dir: Path) -> float | None:
    """Run a job in the folder that it claims; one in which another process trains is left to that."""
    if not run_dir.resolve().is_relative_to(Path(hydra_config.sweep.dir).resolve()):
        sys.exit(f"error: {run_dir}: the folder of a job lies in that of its sweep; see hydra.sweep.subdir")
    is_started_again = hydra_config.runtime.choices["hydra/launcher"] in launchers.STARTING_AGAIN and (
        notes.is_started_again(run_dir, hydra_config.job.id)
    )
    try:
        with claimed(run_dir, is_ours=is_started_again):
            return _run_claimed_job(composed, hydra_config, run_dir, is_started_again)
    except TakenError as error:
        print(f"left out: {error}", file=sys.stderr)
    return None


def _run_claimed_job(
    composed: DictConfig, hydra_config: HydraConf, run_dir: Path, is_started_again: bool
) -> float | None:
    sweep_dir = Path(hydra_config.sweep.dir)
    are_side_by_side = is_side_by_side(hydra_config)
    launcher = hydra_config.runtime.choices["hydra/launcher"]
    if launcher in launchers.STARTING_AGAIN:
        notes.note_start(run_dir, hydra_config.job.id)
    is_over = None
    if composed.resume or is_started_again or notes.is_again(sweep_dir):
        is_over = read_summary(run_dir)
        # One that failed is tried again when the sweep is resumed, not while it is under way.
        if is_over and composed.resume and is_over["status"] == "failed":
            RunFolder(run_dir).summary.unlink()
            is_over = None
        if not is_over:
            _go_on(composed, run_dir)
    if not is_over and notes.is_stopping(sweep_dir):
        return None
    notes.note_job(sweep_dir, run_dir, hydra_config.job.num + 1)
    if are_side_by_side:
        leave_the_terminal(run_dir / f"{hydra_config.job.name}.log")
    else:
        _introduce(sweep_dir)
    if is_over:
        return is_over.get("val/nll")
    share_corpora(composed, sweep_dir)
    if are_side_by_side and FORKS:
        return run_apart(composed, run_dir, sweep_dir)
    run_here = partial(run_of_sweep, composed, run_dir, sweep_dir)
    by_submitit = launcher in launchers.BY_SUBMITIT
    return launchers.run_queued(run_here, partial(note_failure, run_dir)) if by_submitit else run_here()


def share_corpora(composed: DictConfig, sweep_dir: Path) -> None:
    """Where no token cache can be written, the jobs share one in the sweep's folder until it is over.

    What a cache that can only be read holds is linked into it.
    """
    cache_dir, shared = composed.datamodule.cache_dir, sweep_dir / CACHE
    if cache_dir is not None and _is_writable(Path(cache_dir)):
        return
    shared.mkdir(exist_ok=True)
    for entry in Path(cache_dir).iterdir() if cache_dir is not None and Path(cache_dir).is_dir() else ():
        with suppress(FileExistsError):  # another job was faster
            if entry.is_dir() or entry.suffix == KEPT_SUFFIX:
                (shared / entry.name).symlink_to(entry.resolve(), target_is_directory=entry.is_dir())
    composed.datamodule.cache_dir = str(shared)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _introduce(sweep_dir: Path) -> None:
    """Say which job of how many begins, and how far the sweep is."""
    jobs, number = begun_jobs(sweep_dir), notes.num_jobs(sweep_dir)
    job = jobs[-1]
    of = f" of {number}" if number else ""
    log.info("job %d%s: %s; %s", job.number, of, job.name, sweep_line(jobs, number))


def _sweep_of(run_dir: Path) -> Path | None:
    """The folder of the sweep, if one of its jobs is run again alone."""
    return next((folder for folder in run_dir.parents if RunFolder(folder).is_sweep), None)


def _go_on(composed: DictConfig, run_dir: Path) -> None:
    """Begin where a job that was stopped left its last checkpoint."""
    composed.resume = str(run_dir) if RunFolder(run_dir).last_checkpoint.exists() else None
    if not composed.resume:
        forget_false_start(run_dir)
