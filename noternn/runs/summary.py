"""summary.json, which a run writes at its very end: finished, pruned by a search, or why it failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noternn.files import read_json
from noternn.runs.folder import RunFolder
from noternn.terminal import one_line, printable

STATUSES = ("finished", "pruned", "failed")
MAX_BYTES = 1_000_000  # one has a kilobyte
MAX_NUMBER = 1e15  # of seconds or notes; more is none of ours
# What other commands calculate with, and what they show.
NUMBERS = (
    "val/nll", "val/nats_per_note", "gap/nll", "best_epoch", "num_epochs", "seconds", "cpu_seconds",
    "num_train_notes", "num_validation_pieces", "num_parameters", "train_fraction",
)  # fmt: skip
KINDS: dict[str, type] = {"error": str, "verdict": str, "advice": list, "versions": dict}


def read_summary(run_dir: Path) -> dict[str, Any] | None:
    """What a run came to; its `status` is finished, pruned, or failed, then with the reason as `error`.

    Returns:
        None of a run that still trains, that was stopped or that never began.
    """
    path = RunFolder(run_dir).summary
    try:
        return _checked(read_json(path, MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return {"status": "failed", "error": f"{path.name} cannot be read: {printable(str(error))}"}


def _checked(summary: Any) -> dict[str, Any]:
    """A summary of which each value is of its kind; numbers that are null are left out.

    Raises:
        ValueError: names what is not.
    """
    if not isinstance(summary, dict) or summary.get("status") not in STATUSES:
        raise ValueError("it does not say whether the run is finished")
    kept = {name: value for name, value in summary.items() if name not in NUMBERS or value is not None}
    for name in NUMBERS:
        value = kept.get(name, 0)
        if not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
            raise ValueError(f"{name} is no number")
    for name, kind in KINDS.items():
        if not isinstance(kept.get(name, kind()), kind):
            raise ValueError(f"{name} is of another kind")
    if not all(isinstance(line, str) for line in kept.get("advice", [])):
        raise ValueError("advice is of another kind")
    if kept["status"] == "failed":
        kept["error"] = one_line(kept.get("error", "it does not say why"))
    return kept
