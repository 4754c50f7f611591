"""summary.json, which a run writes at its very end: it says that the run is finished, or why it failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE_NAME = "summary.json"


def read_summary(run_dir: Path) -> dict[str, Any] | None:
    """What a run came to; its `status` is `finished` or `failed`, then with the reason as `error`.

    Returns:
        None of a run that still trains, that was stopped or that never began.
    """
    path = run_dir / FILE_NAME
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return {"status": "failed", "error": f"{FILE_NAME} cannot be read: {error}"}
    if isinstance(summary, dict) and summary.get("status") in ("finished", "failed"):
        return summary
    return {"status": "failed", "error": f"{FILE_NAME} says neither that it is finished nor that it failed"}
