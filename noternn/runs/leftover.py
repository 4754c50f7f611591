"""What an earlier start left in a run's folder: a run, or nothing that is worth keeping."""

from __future__ import annotations

from pathlib import Path

from noternn.errors import UserError
from noternn.files import shortest
from noternn.runs.epochs import read_epochs
from noternn.runs.folder import RunFolder
from noternn.runs.summary import read_summary


def holds_a_run(run_dir: Path) -> bool:
    """Whether there is a run or a sweep that a new run would destroy.

    A run that was ended before its first checkpoint, as by a full disk, is none: it starts over.
    """
    folder, summary = RunFolder(run_dir), read_summary(run_dir)
    if folder.last_checkpoint.exists() or folder.is_sweep or (summary and summary["status"] != "failed"):
        return True
    try:
        num_epochs = len(read_epochs(run_dir))
    except UserError:
        return True
    # The first epoch writes its row, the best weights and last.ckpt, in this order.
    return num_epochs > 1 or (folder.best_checkpoint.exists() and num_epochs == 0)


def refuse_second_run(run_dir: Path) -> None:
    """Refuse a folder for a new run.

    Raises:
        UserError: if there is a run or a sweep in it.
    """
    if holds_a_run(run_dir):
        where = shortest(run_dir)
        raise UserError(
            f"{where} already holds a run; continue it with resume={where}, or give another folder"
        )


def forget_false_start(run_dir: Path) -> None:
    """Take away what a run left that was ended before its first checkpoint, and half-written files."""
    folder = RunFolder(run_dir)
    for path in (folder.best_checkpoint, folder.metrics, folder.audit, folder.summary):
        path.unlink(missing_ok=True)
    forget_half_written(run_dir)


def forget_half_written(run_dir: Path) -> None:
    """Take away the files that a process which was killed had not written to their end."""
    for half_written in run_dir.rglob(".*.tmp"):
        half_written.unlink()
