"""The files that a sweep and its jobs leave each other while it is under way."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noternn.files import write_text

JOBS = ".jobs"  # in a sweep's folder: a file a job that has begun
STOP = ".stop"  # in a sweep's folder: the signal that asked it to end
AGAIN = ".again"  # in a sweep's folder: joblib was started again, for the jobs that are left
JOB = ".job"  # in a job's folder: its number, which it keeps when it is started again


def note_sweep(sweep_dir: Path, num_jobs: int | None) -> None:
    """Begin the notes of a sweep; `num_jobs` is None where a sweeper decides as it goes."""
    forget_sweep(sweep_dir)
    (sweep_dir / JOBS).mkdir(parents=True)
    write_text(sweep_dir / JOBS / "sweep.json", json.dumps({"num_jobs": num_jobs}))


def note_job(sweep_dir: Path, run_dir: Path, number: int) -> None:
    """Note that a job begins; its number counts from 1."""
    note = {"name": _name(sweep_dir, run_dir), "number": number, "max_epochs": None, "began": time.time()}
    (sweep_dir / JOBS).mkdir(parents=True, exist_ok=True)
    _write_note(sweep_dir, note)


def note_epochs(sweep_dir: Path, run_dir: Path, max_epochs: int) -> None:
    """Note how many epochs a job will train, once that is decided."""
    name = _name(sweep_dir, run_dir)
    for note in job_notes(sweep_dir):
        if note["name"] == name:
            _write_note(sweep_dir, note | {"max_epochs": max_epochs})


def _name(sweep_dir: Path, run_dir: Path) -> str:
    return str(run_dir.resolve().relative_to(sweep_dir.resolve()))


def _write_note(sweep_dir: Path, note: Mapping[str, Any]) -> None:
    write_text(sweep_dir / JOBS / f"job_{note['number']}.json", json.dumps(note))


def forget_sweep(sweep_dir: Path) -> None:
    """Take the notes away: the sweep is over."""
    shutil.rmtree(sweep_dir / JOBS, ignore_errors=True)


def job_notes(sweep_dir: Path) -> list[dict[str, Any]]:
    """What `note_job` noted since `note_sweep`, in the order of the jobs."""
    notes = [_read(path) for path in (sweep_dir / JOBS).glob("job_*.json")]
    return sorted(notes, key=lambda note: note["number"])


def num_jobs(sweep_dir: Path) -> int | None:
    """How many jobs a sweep has, where that is known."""
    path = sweep_dir / JOBS / "sweep.json"
    number: int | None = _read(path)["num_jobs"] if path.exists() else None
    return number


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def is_started_again(run_dir: Path, job_id: str) -> bool:
    """Whether this job was in its folder before: it was preempted, ran out of time, or was killed."""
    note = run_dir / JOB
    return note.is_file() and note.read_text(encoding="utf-8") == job_id


def note_start(run_dir: Path, job_id: str) -> None:
    """Note which job begins in its folder, for the case that it is started again."""
    write_text(run_dir / JOB, job_id)


def ask_to_stop(sweep_dir: Path, signum: int) -> None:
    """Ask the jobs of a sweep to save their step and end, because of a signal."""
    write_text(sweep_dir / STOP, str(signum))


def is_stopping(sweep_dir: Path) -> bool:
    """Whether the jobs of a sweep were asked to end."""
    return (sweep_dir / STOP).exists()


def forget_stop(sweep_dir: Path) -> int | None:
    """Take the request to end away; the signal that made it, None if there was none."""
    if not is_stopping(sweep_dir):
        return None
    signum = int((sweep_dir / STOP).read_text(encoding="utf-8"))
    (sweep_dir / STOP).unlink()
    return signum


def note_again(sweep_dir: Path) -> None:
    """Note that joblib was started again, for the jobs that are left."""
    write_text(sweep_dir / AGAIN, "")


def is_again(sweep_dir: Path) -> bool:
    """Whether joblib was started again."""
    return (sweep_dir / AGAIN).exists()


def forget_again(sweep_dir: Path) -> None:
    """Take the note of `note_again` away."""
    (sweep_dir / AGAIN).unlink(missing_ok=True)
