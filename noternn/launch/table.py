"""The table of a sweep: its rows, the file, and a learning curve of some sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noternn.runs.folder import RunFolder
from noternn.runs.sweep import CSV_COLUMNS, sweep_rows
from noternn.tables import write_csv


def save_table(sweep_dir: Path) -> list[dict[str, Any]]:
    """Write and draw the table of what the jobs came to; its rows, the best first, none if no job began."""
    from noternn.runs.curves import save_learning_curve  # matplotlib is slow to import

    folder = RunFolder(sweep_dir)
    rows = sweep_rows(sweep_dir)
    if not rows:  # it ended before its first job
        return rows
    write_csv(folder.sweep_table, rows, CSV_COLUMNS)
    save_learning_curve(rows, folder.learning_curve)
    return rows
