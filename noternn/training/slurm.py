"""A job that Slurm starts again goes on with the run that it was at."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import zlib
from pathlib import Path

from noternn.files import write_text
from noternn.runs.folder import RunFolder

log = logging.getLogger(__name__)


def note_run(run_dir: Path) -> None:
    """Leave a note of the run's folder for the case that this job is started again."""
    note = _note()
    if note is not None:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, str(run_dir.resolve()))


def forget_run() -> None:
    """Take the note away: the run is over."""
    note = _note()
    if note is not None:
        note.unlink(missing_ok=True)


def noted_run() -> Path | None:
    """The run that this job was at when it was started before; None if this is the first time."""
    note = _note()
    if note is None or not note.is_file() or not int(os.environ.get("SLURM_RESTART_COUNT", "0")):
        return None
    run_dir = Path(note.read_text(encoding="utf-8"))
    return run_dir if RunFolder(run_dir).last_checkpoint.is_file() else None


def requeue() -> bool:
    """Ask Slurm to start this job again; whether it will."""
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        return False
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    except OSError as error:
        log.warning("the job %s was not requeued: scontrol: %s", job, error.strerror)
        return False
    if done.returncode:
        log.warning("the job %s was not requeued: %s", job, done.stderr.strip())
    return done.returncode == 0


def _note() -> Path | None:
    """Where the note of this job lies; a script may hold several commands, and each has its own."""
    job = os.environ.get("SLURM_JOB_ID")
    command = zlib.crc32("\0".join(sys.orig_argv).encode())
    return Path("runs") / f".slurm_{job}_{command:08x}" if job else None
