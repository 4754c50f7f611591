"""summary.json, which a run writes at its very end: finished, pruned by a search, or why it failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noternn.runs.folder import RunFolder

STATUSES = ("finished", "pruned", "failed")


def read_summary(run_dir: Path) -> dict[str, Any] | None:
    """What a run came to; its `status` is finished, pruned, or failed, then with the reason as `error`.

    Returns:
        None of a run that still trains, that was stopped or that never began.
    """
    path = RunFolder(run_dir).summary
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return {"status": "failed", "error": f"{path.name} cannot be read: {error}"}
    if isinstance(summary, dict) and summary.get("status") in STATUSES:
        return summary
    return {"status": "failed", "error": f"{path.name} does not say whether it is finished"}
