"""The table of commands: each is found by its name, and only its own module is imported."""

import json
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import noternn
from noternn.__main__ import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]
SLOW = ("torch", "matplotlib", "hydra", "omegaconf", "wandb", "music21")


def imported(*arguments: str) -> set[str]:
    """What a command imports until it has printed its help."""
    program = (
        "import json, sys\nfrom noternn.__main__ import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(json.dumps(list(sys.modules)))"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_each_command_is_a_module_and_each_module_a_command() -> None:
    parts = {"__init__", "options", "against", "arranged", "bounded", "composed"}
    files = {path.stem for path in (ROOT / "noternn" / "commands").glob("*.py")} - parts
    assert files == set(COMMANDS)
    for name in COMMANDS:
        module = import_module(f"noternn.commands.{name}")
        assert callable(module.add_arguments)
        assert callable(module.run)


def test_the_help_of_all_imports_no_command() -> None:
    modules = imported("--help")
    assert not {name for name in modules if name.startswith("noternn.commands.")}
    assert not modules.intersection((*SLOW, "numpy"))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_help_of_a_command_imports_that_command_alone(command: str) -> None:
    modules = imported(command, "--help")
    assert {name for name in COMMANDS if f"noternn.commands.{name}" in modules} == {command}
    assert not modules.intersection(SLOW)


@pytest.mark.parametrize("arguments", [["--version"], *([name, "--version"] for name in COMMANDS)])
def test_version_is_said_everywhere(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"noternn {noternn.__version__}\n"


def test_an_unknown_command_is_answered_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compose"])
    error = capsys.readouterr().err
    assert all(name in error for name in COMMANDS)


def test_every_room_is_in_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = {path.parent.name for path in (ROOT / "noternn").glob("*/__init__.py")}
    packages = set(project["tool"]["setuptools"]["packages"])
    assert packages == {"noternn", "noternn.conf", *(f"noternn.{room}" for room in rooms)}


def test_train_takes_what_train_py_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "optimizer=adamm"])
    assert "optimizer=adamm: there is no such optimizer; choose" in str(ended.value.code)
    with pytest.raises(SystemExit):
        main(["train", "optimizer=adam", "--help"])
    assert "dataset=folder dataset.path=DIR" in capsys.readouterr().out
