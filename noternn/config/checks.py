"""What a setting may be, what it does in a few words, and the one line that answers a wrong one."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from noternn.errors import UserError

AUTO = "auto"  # a value that is decided on the music of a run
MISSING: Any = "???"  # OmegaConf's word for a value that is not given, which is slow to import


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise UserError with what was given and what is allowed, unless the condition holds."""
    if not condition:
        raise UserError(f"{name}={value}: it must be {allowed}")


def setting(
    default: Any = MISSING,
    *,
    help: str,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    one_of: Sequence[Any] = (),
    note: str = "",
) -> Any:
    """A field of a section: its range, and what it does in a few words.

    Args:
        default: only where no option of conf/ gives the value; None allows null.
        help: a few words, for `--help`.
        at_least, above, at_most, below: the ends of its range; without an upper end it is finite.
        one_of: the values that it may have.
        note: is added to the range in a message.
    """
    has_range = any(end is not None for end in (at_least, above, at_most, below))

    def is_allowed(value: Any) -> bool:
        if one_of:
            return value in one_of
        if not has_range:
            return True
        is_above = value >= at_least if at_least is not None else above is None or value > above
        is_below = value <= at_most if at_most is not None else value < (math.inf if below is None else below)
        return bool(is_above and is_below)

    allowed = ", ".join(map(str, one_of)) or _range(at_least, above, at_most, below)
    metadata = {"help": help, "is_allowed": is_allowed, "allowed": allowed + note}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _range(at_least: float | None, above: float | None, at_most: float | None, below: float | None) -> str:
    if at_least is not None and at_most is not None:
        return f"{at_least} to {at_most}"
    lower = f"at least {at_least}" if at_least is not None else f"above {above}" if above is not None else ""
    upper = f"at most {at_most}" if at_most is not None else f"below {below}" if below is not None else ""
    return " and ".join(end for end in (lower, upper) if end)


@dataclass
class Section:
    """Settings that belong together; each says its range where it stands, see `setting`."""

    group: ClassVar[str] = ""  # as it is called on the command line

    def __init_subclass__(cls, group: str = "", **others: Any) -> None:
        """Note by which name a section's settings are given."""
        super().__init_subclass__(**others)
        cls.group = group or cls.group

    def __post_init__(self) -> None:
        """Refuse the first value that is outside its range."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if "is_allowed" in field.metadata and value is not None and value != MISSING:
                is_allowed: Callable[[Any], bool] = field.metadata["is_allowed"]
                require(is_allowed(value), f"{self.group}.{field.name}", value, field.metadata["allowed"])


def helps(section: type) -> dict[str, str]:
    """What each setting of a section, a dataclass, does, in a few words, by its name."""
    return {field.name: field.metadata.get("help", "") for field in dataclasses.fields(section)}


def choices(given: str, allowed: Sequence[str]) -> str:
    """What is allowed, for a message, with the nearest to what was given."""
    close = difflib.get_close_matches(given, allowed, n=1)
    suggestion = f" (did you mean {close[0]}?)" if close else ""
    return ", ".join(allowed) + suggestion
