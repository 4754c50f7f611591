"""Jobs side by side (`hydra/launcher=joblib`), each in its own process: if one dies, the others go on."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.conf import HydraConf
from omegaconf import DictConfig
from tqdm import tqdm

from noternn.launch import notes
from noternn.launch.one_run import note_failure, run_of_sweep
from noternn.launch.own_gpus import VISIBLE, own_gpus
from noternn.runs.summary import read_summary
from noternn.training.preload import preload
from noternn.training.stopping import SIGNALS, Stopped, answering_signals

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
FORKS = sys.platform == "linux"  # a job side by side is a process of its own; elsewhere a fork is not safe
PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process gets when its parent dies


def is_side_by_side(hydra_config: HydraConf | DictConfig) -> bool:
    """Whether the launcher runs jobs side by side on this machine."""
    return bool(hydra_config.runtime.choices["hydra/launcher"] == "joblib")


def leave_the_terminal(log_path: Path) -> None:
    """Redirect this job's output to its log: the sweep shows the progress of parallel jobs."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if not isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
    with log_path.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


def run_apart(composed: DictConfig, run_dir: Path, sweep_dir: Path) -> float | None:
    """Run a job in a child of joblib's process, which would end all its neighbors by dying."""
    preload()  # once for all the jobs of this process
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)  # the job has it too, or `stop_jobs` tells of it
    with own_gpus(sweep_dir, composed.trainer.devices) as gpus:
        job = multiprocessing.get_context("fork").Process(
            target=_run_forked, args=(composed, run_dir, sweep_dir, gpus)
        )
        job.start()
        _wait_for(job, sweep_dir)
    if job.exitcode and job.exitcode < 0:
        name = signal.Signals(-job.exitcode).name
        note_failure(run_dir, f"its process was ended by {name}; was there too little memory?")
    return (read_summary(run_dir) or {}).get("val/nll")


def _wait_for(job: BaseProcess, sweep_dir: Path) -> None:
    """Wait for a job, and end it with the sweep."""
    parent, is_told = os.getppid(), False
    while job.is_alive():
        job.join(POLL_SECONDS)
        if not is_told and (notes.is_stopping(sweep_dir) or os.getppid() != parent):
            job.terminate()
            is_told = True


def _run_forked(composed: DictConfig, run_dir: Path, sweep_dir: Path, gpus: str | None) -> None:
    # An orphan would write into the folder in which its job goes on.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if gpus is not None:
        os.environ[VISIBLE] = gpus  # before the first use of one
        log.info("of the GPUs this job has %s", gpus)
    with answering_signals():
        if not notes.is_stopping(sweep_dir):  # else it came before this process answered
            run_of_sweep(composed, run_dir, sweep_dir)


def stop_jobs(sweep_dir: Path) -> None:
    """From now on answer signals with a note to the jobs, which save their step and end."""
    notes.forget_stop(sweep_dir)  # of a sweep that was killed

    def answer(signum: int, _: FrameType | None) -> None:
        if signum == signal.SIGINT and notes.is_stopping(sweep_dir):
            raise Stopped(signum)  # someone does not want to wait
        notes.ask_to_stop(sweep_dir, signum)

    for signum in SIGNALS:
        signal.signal(signum, answer)


def go_on_when_killed(sweep_dir: Path) -> None:
    """When one of its processes is killed, joblib kills the others and gives up: start it for what is left.

    Not more often than there are jobs: one that takes all memory would be started forever.
    """
    from hydra_plugins.hydra_joblib_launcher import _core
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    launch = _core.launch
    notes.forget_again(sweep_dir)

    def launch_again(launcher: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
        for _ in job_overrides:
            try:
                return launch(launcher, job_overrides, initial_job_idx)
            except TerminatedWorkerError:
                message = (
                    "a process of the sweep was killed: jobs in flight go on from their last checkpoints"
                )
                tqdm.write(message, file=sys.stderr)
                notes.note_again(sweep_dir)
        return launch(launcher, job_overrides, initial_job_idx)

    _core.launch = launch_again
