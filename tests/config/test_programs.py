"""What is advised can be typed where it is printed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from noternn.config.programs import program_command, python_command, train_command

ROOT = Path(__file__).parents[2]
ENVIRONMENT = str(Path(sys.executable).parent)


@pytest.mark.parametrize("folder", [ROOT, Path("/")], ids=["in the clone", "elsewhere"])
@pytest.mark.parametrize("is_activated", [False, True])
@pytest.mark.parametrize("command", [train_command, program_command])
def test_a_command_that_is_advised_starts_here(
    command: Callable[[], str], is_activated: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [part for part in os.environ["PATH"].split(os.pathsep) if part != ENVIRONMENT]
    monkeypatch.setenv("PATH", os.pathsep.join([ENVIRONMENT, *others] if is_activated else others))
    monkeypatch.chdir(folder)
    said = subprocess.run(
        f"{command()} --version", shell=True, capture_output=True, text=True, check=True
    )  # as it is typed
    assert said.stdout.startswith("noternn ")


def test_in_a_clone_whose_environment_is_activated_the_commands_are_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([ENVIRONMENT, os.environ["PATH"]]))
    monkeypatch.chdir(ROOT)
    assert train_command() == "python train.py"
    assert program_command() == "python -m noternn"


def test_a_path_with_spaces_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my env").mkdir()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my env/python"))
    monkeypatch.chdir(tmp_path)
    assert shlex.split(python_command()) == ["my env/python"]
