"""How far a sweep is, told from its folder alone, so that it does not matter where its jobs run.

Each job leaves a note when it begins; the rest stands in its metrics.csv and summary.json.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from noternn.launch.notes import job_notes, num_jobs
from noternn.runs.folder import RunFolder
from noternn.runs.summary import read_summary
from noternn.tables import read_csv

LOOK_SECONDS = 0.5
EPOCH_LINE_SECONDS = 60.0  # between two lines of one job where there is no terminal
MANY_ROWS = 10**6  # so that tqdm hides no line: there are never more than fit
ROOMY_COLUMNS = 80  # fewer have no room for words beside the figures


@dataclass(frozen=True)
class Job:
    """What is known of a job that has begun.

    Args:
        name: its folder in the sweep's.
        number: counted from 1.
        max_epochs: those that it may train; None until that is decided.
        status: a job that was stopped is taken to be running.
        epoch: the last that is over; 0 before the first.
        best: the lowest val/nll so far; None before the first epoch is over.
        best_epoch: where that was.
        seconds: since it began, or that it took.
        seconds_left: if it trains all its epochs; None before the first is over.
        error: why it failed.
    """

    name: str
    number: int
    max_epochs: int | None
    status: Literal["running", "finished", "pruned", "failed"] = "running"
    epoch: int = 0
    best: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    error: str = ""


def begun_jobs(sweep_dir: Path) -> list[Job]:
    """The jobs that have begun since `note_sweep`, in their order."""
    return [_job(sweep_dir, note) for note in job_notes(sweep_dir)]


def _job(sweep_dir: Path, note: dict[str, Any]) -> Job:
    folder, began = RunFolder(sweep_dir / note["name"]), note.pop("began")
    summary = read_summary(folder.path)
    if summary:
        return _job_that_is_over(Job(**note), summary, folder.summary.stat().st_mtime - began)
    return _running_job(Job(**note), folder.metrics, time.time() - began)


def _job_that_is_over(job: Job, summary: Mapping[str, Any], seconds: float) -> Job:
    if summary["status"] == "failed":
        return Job(job.name, job.number, job.max_epochs, "failed", error=summary["error"])
    # It may have been finished before the sweep was resumed.
    seconds = max(seconds, summary["seconds"])
    return Job(
        job.name, job.number, job.max_epochs, summary["status"], summary["num_epochs"],
        summary["val/nll"], summary["best_epoch"], seconds,
    )  # fmt: skip


def _running_job(job: Job, metrics: Path, seconds: float) -> Job:
    rows = read_csv(metrics) if metrics.exists() else []
    if not rows:
        return Job(job.name, job.number, job.max_epochs, seconds=seconds)
    best, last = min(rows, key=lambda row: row["val/nll"]), rows[-1]
    in_epoch = max(0.0, time.time() - metrics.stat().st_mtime)
    left = last["seconds"] / last["epoch"] * ((job.max_epochs or last["epoch"]) - last["epoch"]) - in_epoch
    return Job(
        job.name, job.number, job.max_epochs, "running", int(last["epoch"]),
        best["val/nll"], int(best["epoch"]), seconds, max(0.0, left),
    )  # fmt: skip


def seconds_left(jobs: Sequence[Job], num_jobs: int | None) -> float | None:
    """Until a sweep is over, if as many jobs go on at a time as now; None before anything can be said."""
    running = [job for job in jobs if job.status == "running"]
    lengths = [job.seconds for job in jobs if job.status == "finished"]
    lengths = lengths or [job.seconds + job.seconds_left for job in running if job.seconds_left is not None]
    if num_jobs is None or not lengths:
        return None
    length = sum(lengths) / len(lengths)
    left = [
        max(0.0, length - job.seconds) if job.seconds_left is None else job.seconds_left for job in running
    ]
    waiting = (num_jobs - len(jobs)) * length
    return max([(sum(left) + waiting) / max(1, len(running)), *left])


def sweep_line(jobs: Sequence[Job], num_jobs: int | None) -> str:
    """How far the whole is: jobs done, the time left, jobs running and waiting, the best so far."""
    num_running = sum(job.status == "running" for job in jobs)
    num_failed = sum(job.status == "failed" for job in jobs)
    whole = "" if num_jobs is None else f" of {num_jobs}"
    parts = [f"{len(jobs) - num_running}{whole} jobs done"]
    if num_failed:
        parts[0] += f" ({num_failed} failed)"
    left = seconds_left(jobs, num_jobs)
    if left is not None and num_running:
        parts.append(f"about {_clock(left)} left")
    parts.append(f"{num_running} running")
    if num_jobs is not None and num_jobs > len(jobs):
        parts.append(f"{num_jobs - len(jobs)} waiting")
    best = min((job for job in jobs if job.best is not None), key=lambda job: job.best or 0.0, default=None)
    if best and "dataset.fold=" not in best.name:  # a fold may be easier than another
        parts.append(f"best {best.best:.4f} ({best.name})")
    return ", ".join(parts)


def job_line(job: Job, columns: int | None = None) -> str:
    """A line for a job: its name, progress, best val/nll so far and its epoch, and the time left.

    Args:
        job: one.
        columns: of the terminal: the name is cut short to fit; None for any.
    """
    is_roomy = columns is None or columns >= ROOMY_COLUMNS
    figures = _figures(job) if is_roomy else _short_figures(job)
    if columns is None:
        return f"{job.name}: {figures}"
    room = columns - len(figures) - 3  # in the last column some terminals begin a new line
    name = job.name if len(job.name) <= room else f"…{job.name[len(job.name) - room + 1 :]}"
    return f"{name if room > 4 else f'#{job.number}'}  {figures}"[: columns - 1]


def _figures(job: Job) -> str:
    if job.status == "failed":
        return f"failed: {job.error}"
    if job.status in ("finished", "pruned"):
        where = f"at epoch {job.best_epoch} of {job.epoch}"
        return f"{job.status}, best val/nll {job.best:.4f} {where}, {_clock(job.seconds)}"
    figures = f"epoch {_of_epochs(job)}"
    if job.best is None or job.seconds_left is None:
        return figures
    return f"{figures}, best val/nll {job.best:.4f} at {job.best_epoch}, {_clock(job.seconds_left)} left"


def _short_figures(job: Job) -> str:
    """The same of a job that is running, without words."""
    figures = _of_epochs(job)
    if job.best is None or job.seconds_left is None:
        return figures
    return f"{figures} {job.best:.4f}@{job.best_epoch} {_clock(job.seconds_left)}"


def _of_epochs(job: Job) -> str:
    return f"{job.epoch}/{job.max_epochs}" if job.max_epochs else str(job.epoch)


def _clock(seconds: float) -> str:
    return str(tqdm.format_interval(seconds))


class SweepProgress:
    """Tells how far a sweep is while its jobs run elsewhere, on stderr.

    On a terminal each running job has a line that is updated in place, below one for the whole; elsewhere
    a job has a line when it begins, when it is over, and once a minute in between.

    Args:
        sweep_dir: with the notes of `note_sweep` and `note_job`.
    """

    def __init__(self, sweep_dir: Path) -> None:
        self.sweep_dir = sweep_dir
        self._is_terminal = sys.stderr.isatty()
        self._told: dict[int, tuple[str, float]] = {}  # of each job its status, and when
        self._bars: list[tqdm[Any]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin to watch the folder and to print."""
        self._thread.start()

    def stop(self) -> None:
        """Print the last state, and leave the terminal to others."""
        self._is_over.set()
        self._thread.join()
        for job in self._look():
            if job.status == "running":
                of = f" of {job.max_epochs}" if job.max_epochs else ""
                self._print(f"{job.name}: stopped after epoch {job.epoch}{of}")
        for bar in reversed(self._bars):
            bar.close()
        self._bars.clear()

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> list[Job]:
        try:
            jobs, number = begun_jobs(self.sweep_dir), num_jobs(self.sweep_dir)
        except OSError:  # a file that has just gone; the next look comes soon
            return []
        for job in jobs:
            self._tell(job, jobs, number)
        if self._is_terminal and jobs:
            self._show(jobs, number)
        return jobs

    def _tell(self, job: Job, jobs: Sequence[Job], number: int | None) -> None:
        """Print what is new of a job, if there is anything."""
        status, when = self._told.get(job.number, ("", 0.0))
        if job.status != "running":
            if status != job.status:
                rest = "" if self._is_terminal else f"; {sweep_line(jobs, number)}"
                self._print(f"{job_line(job)}{rest}")
                self._told[job.number] = job.status, 0.0
        elif not self._is_terminal and time.monotonic() - when >= EPOCH_LINE_SECONDS:
            of = f" of {number}" if number else ""
            self._print(job_line(job) if status else f"{job.name}: begins, job {job.number}{of}")
            self._told[job.number] = job.status, time.monotonic()

    def _show(self, jobs: Sequence[Job], number: int | None) -> None:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
        running = [job for job in jobs if job.status == "running"]
        lines = [sweep_line(jobs, number)[: columns - 1], *(job_line(job, columns) for job in running)]
        lines = lines[: max(1, rows - 2)]
        while len(self._bars) < len(lines):
            self._bars.append(tqdm(bar_format="{desc}", nrows=MANY_ROWS, leave=False, file=sys.stderr))
        lines += [""] * (len(self._bars) - len(lines))
        for bar, line in zip(self._bars, lines, strict=True):
            bar.set_description_str(line)

    def _print(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()
