"""The jobs of a sweep, each read from its folder: what they came to, finished or not."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noternn.errors import UserError
from noternn.runs.epochs import read_epochs, so_far
from noternn.runs.folder import RunFolder
from noternn.runs.summary import read_summary

log = logging.getLogger(__name__)

STATUSES = ("finished", "pruned", "stopped", "failed")  # of a run, in the order of tables
SWEEP_COLUMNS = (
    "job",
    "val/nll",
    "val/nats_per_note",
    "gap/nll",
    "best_epoch",
    "num_epochs",
    "seconds",
    "status",
)
CSV_COLUMNS = (*SWEEP_COLUMNS, "cpu_seconds", "num_train_notes", "error")


def with_runs(folders: Sequence[Path]) -> list[Path]:
    """Those of some folders that hold runs; the others are told, as `runs/wandb` in `runs/*`.

    Raises:
        UserError: if a folder is not there.
    """
    lost = next((folder for folder in folders if not os.path.lexists(folder)), None)
    if lost is not None:
        raise UserError(f"{lost}: there is no such folder; give folders of runs or sweeps")
    found = [folder for folder in folders if RunFolder(folder).jobs]
    for folder in folders if found else ():
        if folder not in found:
            log.warning("left out: %s: no run", folder)
    return found


def sweep_rows(sweep_dir: Path) -> list[dict[str, Any]]:
    """What the jobs below a folder came to: finished jobs by val/nll, then pruned, stopped and failed ones.

    A job without a summary was stopped: its figures come from the epochs that it saved.
    """
    jobs = RunFolder(sweep_dir).jobs
    rows = [{"job": str(job.relative_to(sweep_dir)), **_job_row(job)} for job in jobs]
    return sorted(rows, key=lambda row: (STATUSES.index(row["status"]), row.get("val/nll", float("inf"))))


def best_job(folder: Path) -> Path:
    """A run's folder as it is; of a sweep's the folder of the finished job with the lowest val/nll.

    Raises:
        UserError: if no job of a sweep has finished.
    """
    if not RunFolder(folder).is_sweep:
        return folder
    best = next((row for row in sweep_rows(folder) if row["status"] == "finished"), None)
    if best is None:
        raise UserError(f"{folder}: no job of this sweep has finished; give the folder of one of its runs")
    return folder / str(best["job"])


def _job_row(folder: Path) -> dict[str, Any]:
    summary = read_summary(folder)
    if summary:
        return summary
    try:
        rows = read_epochs(folder)
    except UserError as error:
        return {"status": "stopped", "num_epochs": 0, "error": str(error)}
    return {"status": "stopped", **so_far(rows)}
