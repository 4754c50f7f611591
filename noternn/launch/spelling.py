"""Ways to write a setting that Hydra does not know, or reads as something else."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What "off" is of each group that can be off: the option that does nothing, or none at all.
OFF = {
    "augmentation": "none",
    "callbacks": "none",
    "early_stopping": "none",
    "experiment": None,
    "logger": "csv",
    "recipe": None,
    "schedule": "constant",
}
MINUS_SIGNS = "\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}\N{FIGURE DASH}\N{NON-BREAKING HYPHEN}\N{HYPHEN}"
MINUS = re.compile(rf"(?<![\w])[{MINUS_SIGNS}](?=\.?\d)")


def switched_off(overrides: Sequence[str]) -> list[str]:
    """`GROUP=null` and `~GROUP` as the option that does nothing: for Hydra one is an error, one a default."""
    result: list[str] = []
    for override in overrides:
        group = override.removeprefix("~") if override.startswith("~") else override.removesuffix("=null")
        if group == override or group not in OFF:
            result.append(override)
            continue
        option = OFF[group]
        result = [other for other in result if not other.startswith(f"{group}=")]
        result += [] if option is None else [f"{group}={option}"]
    return result


def better(override: str) -> str | None:
    """What a setting was meant to be that cannot be read: without a stray comma, with a plain minus."""
    meant = MINUS.sub("-", override)
    name, equals, value = meant.partition("=")
    meant = f"{name}{equals}{re.sub(r',{2,}', ',', value).strip(',')}" if "'" not in value else meant
    return meant if meant != override and not meant.endswith("=") else None
