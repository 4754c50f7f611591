"""YAML that anyone may have written, read as plain data at a bounded cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from noternn.files import read_text

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, for sweeps of hundreds
MAX_BYTES = 1_000_000  # settings have some kilobytes
MAX_VALUES = 100_000  # with those that aliases repeat
MAX_DEPTH = 40
MAX_NUMBER_LENGTH = 1_000  # of a value without quotes: longer ones take long if they are numbers


def read_yaml(path: Path) -> Any:
    """The plain data in a file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no YAML of plain data, or above one of the limits; the message is one line.
    """
    text = read_text(path, MAX_BYTES)
    try:
        _check(text)
        return yaml.load(text, LOADER)
    except (yaml.YAMLError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error


def _check(text: str) -> None:
    """Refuse what would become more than its bytes, before anything is made of it."""
    counts: list[int] = [0]  # values so far, in each collection that is open
    names: list[str | None] = []  # of these collections
    sizes: dict[str, int] = {}  # values in what has a name
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            names.append(event.anchor)
            counts.append(1)
        elif isinstance(event, yaml.CollectionEndEvent):
            count, name = counts.pop(), names.pop()
            counts[-1] += count
            if name is not None:
                sizes[name] = count
        elif isinstance(event, yaml.AliasEvent):
            counts[-1] += sizes.get(event.anchor, MAX_VALUES)  # without a size it is within itself
        elif isinstance(event, yaml.ScalarEvent):
            counts[-1] += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
            if event.implicit[0] and len(event.value) > MAX_NUMBER_LENGTH:
                raise ValueError("a value is too long")
        if len(counts) > MAX_DEPTH:
            raise ValueError("too deeply nested")
        if counts[-1] > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values")
