"""What launchers on clusters leave to a sweep: jobs that die, are stopped, or are started again."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from noternn.launch import notes
from noternn.training.stopping import Stopped

log = logging.getLogger(__name__)

BY_SUBMITIT = ("slurm", "submitit_slurm", "submitit_local")  # Hydra's launchers
STARTING_AGAIN = (*BY_SUBMITIT, "ray")  # those that start a job again which was preempted or killed
POLL_SECONDS = 0.5


def run_queued(run: Callable[[], float | None], note_failure: Callable[[str], None]) -> float | None:
    """Run a job of submitit; once it has answered SIGUSR1 with its checkpoint, queue it again.

    Args:
        run: the job.
        note_failure: told why it cannot be queued again.
    """
    queue_again = signal.getsignal(signal.SIGUSR1)  # submitit's own answer; the run's stands before it
    try:
        return run()
    except Stopped as stopped:
        if stopped.name != "SIGUSR1" or not callable(queue_again):
            raise
        try:
            queue_again(signal.SIGUSR1, None)  # ends the process
        except Exception as error:  # it ran out of time too often, or Slurm refused
            note_failure(f"{error} It goes on when the sweep does; see hydra.launcher.timeout_min")
        return None


def watch_jobs(sweep_dir: Path, note_failure: Callable[[Path, str], None]) -> None:
    """From now on a job of submitit that dies costs no other, and a signal ends them all.

    Args:
        sweep_dir: the sweep's folder.
        note_failure: told the folder of a job that died, and the reason.
    """
    # Read when submitit is imported: the signal that a run answers by itself (`noternn.training.stopping`).
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = "USR1"
    package = str(Path(__file__).parents[2])  # jobs import what the sweep did, installed or not
    os.environ["PYTHONPATH"] = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    import submitit

    submit = submitit.AutoExecutor.map_array

    def submit_and_watch(executor: Any, *arguments: Any) -> list[_Watched]:
        # A Ctrl-C reaches all processes of a terminal; submitit's own handlers would kill their jobs at once.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            jobs = submit(executor, *arguments)
        finally:
            signal.signal(signal.SIGINT, before)
        return [_Watched(job, jobs, sweep_dir, note_failure) for job in jobs]

    submitit.AutoExecutor.map_array = submit_and_watch


class _Watched:
    """A job of submitit, as Hydra's launcher waits for it."""

    def __init__(
        self, job: Any, jobs: Sequence[Any], sweep_dir: Path, note_failure: Callable[[Path, str], None]
    ) -> None:
        self.job = job
        self.jobs = jobs
        self.sweep_dir = sweep_dir
        self.note_failure = note_failure

    def results(self) -> list[JobReturn]:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            results: list[JobReturn] = self.job.results()
        except SystemExit:  # a signal
            _stop(self.jobs)
            raise
        except (FailedJobError, UncompletedJobError) as error:
            self._note_death(error)
            return [JobReturn(status=JobStatus.COMPLETED)]  # Hydra would end the sweep for any other
        return results

    def _note_death(self, error: Exception) -> None:
        reason = f"its process was ended; was there too little memory? See {self.job.paths.stderr}"
        for note in self.sweep_dir.rglob(notes.JOB):
            if note.read_text(encoding="utf-8") == self.job.job_id:
                self.note_failure(note.parent, reason)
                return
        log.error("failed before it began: job %s: %s", self.job.job_id, str(error).splitlines()[0])


def _stop(jobs: Sequence[Any]) -> None:
    """Ask jobs to save their step and end; those on this machine are waited for."""
    import submitit

    local = [job for job in jobs if isinstance(job, submitit.LocalJob)]
    for job in jobs:
        if job not in local:
            job.cancel(check=False)
        elif not job.done():
            os.kill(int(job.job_id), signal.SIGTERM)
    while not all(job.done() for job in local):
        time.sleep(POLL_SECONDS)
