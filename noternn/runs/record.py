"""What is noted of a run when it begins: its settings, the options that were chosen, what it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from noternn.errors import UserError
from noternn.files import write_text
from noternn.runs.folder import RunFolder
from noternn.runs.plain_yaml import read_yaml


def write_record(
    folder: Path, settings: Mapping[str, Any], choices: Mapping[str, Any], given: Sequence[str]
) -> None:
    """Write the record of a run, in the form that Hydra gives it.

    Args:
        folder: of the run.
        settings: all that it is trained with, by section.
        choices: the option of each group of the settings.
        given: its overrides.

    Raises:
        OSError: if it cannot be written.
    """
    files = RunFolder(folder)
    files.record.mkdir(exist_ok=True)
    content = {
        files.settings: dict(settings),
        files.choices: {"hydra": {"runtime": {"choices": dict(choices)}}},
        files.overrides: list(given),
    }
    for path, value in content.items():
        write_text(path, yaml.safe_dump(value, allow_unicode=True, sort_keys=False))


def read_settings(folder: Path) -> Mapping[str, Any]:
    """All settings of a run, by section.

    Raises:
        UserError: if its record is not there or cannot be read.
    """
    settings = _read(RunFolder(folder).settings, folder)
    if not isinstance(settings, dict):
        raise _unreadable(folder)
    return settings


def read_choices(folder: Path) -> dict[str, Any]:
    """Which option was chosen for each group of the settings; none where that was not noted.

    Raises:
        UserError: if its record is not there or cannot be read.
    """
    choices = _read(RunFolder(folder).choices, folder)
    for key in ("hydra", "runtime", "choices"):
        choices = choices.get(key) if isinstance(choices, dict) else None
    choices = choices if isinstance(choices, dict) else {}
    return {str(group): option for group, option in choices.items() if "/" not in str(group)}  # Hydra's own


def given_settings(folder: Path) -> list[str]:
    """What a run was given, as on its command line, without the run that it went on from.

    Raises:
        UserError: if its record is not there or cannot be read.
    """
    given = _read(RunFolder(folder).overrides, folder)
    overrides = map(str, given if isinstance(given, list) else [])
    return [override for override in overrides if not override.startswith("resume=")]


def read_overrides(folder: Path) -> dict[str, str]:
    """What a run was given, by name.

    Raises:
        UserError: if its record is not there or cannot be read.
    """
    pairs = (override.lstrip("+").partition("=") for override in given_settings(folder))
    return {name: value for name, _, value in pairs}


def _read(path: Path, folder: Path) -> Any:
    try:
        return read_yaml(path)
    except (OSError, ValueError) as error:
        raise _unreadable(folder) from error


def _unreadable(folder: Path) -> UserError:
    return UserError(f"{folder}: its record of settings cannot be read")
