"""Types of arguments that commands share, and the files that they write."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from noternn.config.checks import Section
from noternn.errors import UserError
from noternn.runs.folder import refuse_links_on_the_way

if TYPE_CHECKING:
    from noternn.config.schema import Config
    from noternn.datasets.sources import Source

Number = TypeVar("Number", int, float)


def positive_int(text: str) -> int:
    """Read a whole number from 1 on."""
    return within(text, lambda value: value >= 1, "at least 1", int)


def add_setting(
    add_argument: Callable[..., object],
    section: type[Section],
    name: str,
    default: float | None = None,
    otherwise: str = "",
) -> None:
    """Declare the option of a setting that is a number, with its range, what it does and its default.

    Args:
        add_argument: of the parser, or of a group of its options.
        section: has the setting.
        name: of the setting.
        default: another one than the section's.
        otherwise: in words, what stands in for it if it is not given, which then reads as None.
    """
    (field,) = (field for field in dataclasses.fields(section) if field.name == name)
    initial: Any = field.default if default is None else default
    number = type(initial)
    add_argument(
        f"--{name.replace('_', '-')}",
        type=lambda text: within(text, field.metadata["is_allowed"], field.metadata["allowed"], number),
        default=None if otherwise else initial,
        metavar="N" if number is int else "X",
        help=f"{field.metadata['help']} ({otherwise or initial})",
    )


def add_label(parser: argparse.ArgumentParser) -> None:
    """Declare the option of what is told to a network of labels."""
    parser.add_argument(
        "--label",
        metavar="NAME",
        default="",
        help="which music it shall be like, of a network with labels (model.labels), or a mix: "
        "chrono:0.7,zelda:0.3; zelda:3 exaggerates (no label)",
    )


def add_own_label(parser: argparse.ArgumentParser) -> None:
    """Declare the option of whose pieces of a run samples are compared with."""
    parser.add_argument(
        "--label", metavar="NAME", default="", help="of a run with labels its pieces of this label alone"
    )


def positive_float(text: str) -> float:
    """Read a finite number above 0."""
    return within(text, lambda value: 0 < value < float("inf"), "above 0", float)


def fraction(text: str) -> float:
    """Read a number from 0 to 1."""
    return within(text, lambda value: 0 <= value <= 1, "0 to 1", float)


def within(
    text: str, is_allowed: Callable[[Number], bool], allowed: str, number: Callable[[str], Number]
) -> Number:
    """Read a number for which `is_allowed` holds; `allowed` says in words what that is."""
    try:
        value = number(text)
    except ValueError:
        kind = "a whole number, " if number is int else ""
        raise argparse.ArgumentTypeError(f"{text}: it must be {kind}{allowed}") from None
    if not is_allowed(value):
        raise argparse.ArgumentTypeError(f"{text}: it must be {allowed}")
    return value


def run_at(folder: Path) -> Path:
    """A run's folder or a file as it is; of a sweep's folder that of its best job, which is said on stderr.

    Raises:
        UserError: if no job of a sweep has finished.
    """
    from noternn.runs.sweep import best_job

    run = best_job(folder) if folder.is_dir() else folder
    if run != folder:
        print(f"the best job of this sweep: {run}", file=sys.stderr)
    return run


def corpus_at(target: str, overrides: Sequence[str] = ()) -> tuple[list[Source], Config]:
    """The files of a dataset, named by its option, or at a path, and the settings that read them.

    Raises:
        UserError: if there is neither, or on a wrong setting.
    """
    from noternn.launch.command_line import corpus_settings

    config = corpus_settings(target, overrides)  # first: a mistake is answered before the slow imports
    from noternn.corpus.inspection import sources_at

    return sources_at(target, config.dataset), config


def check_outputs(options: argparse.Namespace, *names: str) -> None:
    """Refuse files of `--json`, `--csv` or `--html`, as named, that could not be written."""
    for name in names:
        check_output(f"--{name}", getattr(options, name), f".{name}")


def check_output(option: str, path: Path | None, suffix: str) -> None:
    """Refuse what could not be written before the slow work begins."""
    if path and path.suffix.lower() != suffix:
        raise UserError(f"{option} {path}: it must end in {suffix}")
    if path and path.is_dir():
        raise UserError(f"{option} {path}: there is a folder of that name")


def write(option: str, path: Path, save: Callable[[Path], None]) -> None:
    """Save a file that an option asked for, with its folder, and say so on stderr."""
    refuse_links_on_the_way(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path)
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written: {error.strerror or error}") from error
    print(f"written: {path}", file=sys.stderr)
