"""What a setting may be, and the one line that answers what it may not."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from noternn.errors import UserError


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise UserError with what was given and what is allowed, unless the condition holds."""
    if not condition:
        raise UserError(f"{name}={value}: it must be {allowed}")


def require_finite(name: str, value: float) -> None:
    """Raise UserError unless `value` is at least 0 and finite."""
    require(0 <= value < float("inf"), name, value, "at least 0 and finite")


def choices(given: str, allowed: Sequence[str]) -> str:
    """What is allowed, for a message, with the nearest to what was given."""
    close = difflib.get_close_matches(given, allowed, n=1)
    suggestion = f" (did you mean {close[0]}?)" if close else ""
    return ", ".join(allowed) + suggestion
