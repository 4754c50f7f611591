"""Types of arguments that commands share, and the files that they write."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from noternn.errors import UserError


def positive_int(text: str) -> int:
    """Read a whole number from 1 on."""
    return _number(int(text), minimum=1)


def natural(text: str) -> int:
    """Read a whole number from 0 on."""
    return _number(int(text), minimum=0)


def _number(value: int, minimum: int) -> int:
    if value < minimum:
        raise argparse.ArgumentTypeError(f"{value}: it must be at least {minimum}")
    return value


def positive_float(text: str) -> float:
    """Read a finite number above 0."""
    return within(text, lambda value: 0 < value < float("inf"), "above 0")


def fraction(text: str) -> float:
    """Read a number from 0 to 1."""
    return within(text, lambda value: 0 <= value <= 1, "0 to 1")


def within(text: str, is_allowed: Callable[[float], bool], allowed: str) -> float:
    """Read a number for which `is_allowed` holds; `allowed` says in words what that is."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not is_allowed(value):
        raise argparse.ArgumentTypeError(f"{text}: it must be {allowed}")
    return value


def check_output(option: str, path: Path | None, suffix: str) -> None:
    """Refuse what could not be written before the slow work begins."""
    if path and path.suffix.lower() != suffix:
        raise UserError(f"{option} {path}: it must end in {suffix}")
    if path and path.is_dir():
        raise UserError(f"{option} {path}: there is a folder of that name")


def write(option: str, path: Path, save: Callable[[Path], None]) -> None:
    """Save a file that an option asked for, with its folder, and say so on stderr."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path)
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written: {error.strerror or error}") from error
    print(f"written: {path}", file=sys.stderr)
