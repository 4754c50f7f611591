"""The commands that the README shows are real."""

import re
import shlex
from importlib.metadata import distributions
from pathlib import Path

import pytest

from noternn.__main__ import build_parser
from noternn.launch.command_line import PLUGINS, check

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [part.strip() for block in BLOCKS for line in block.splitlines() for part in line.split("&&")]


def arguments(command: str, program: str) -> list[str]:
    return shlex.split(command.split(program, 1)[1], comments=True)


@pytest.mark.parametrize("command", [c for c in COMMANDS if "train.py" in c])
def test_training_command_is_accepted(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "tokenizer=miditok" in command:
        pytest.importorskip("miditok", reason="MidiTok, an optional extra, is not installed")
    for choice, (package, extra) in PLUGINS.items():
        if choice in command and package not in {distribution.name for distribution in distributions()}:
            pytest.skip(f"the extra {extra} is not installed")
    monkeypatch.chdir(tmp_path)
    for run in re.findall(r"resume=(\S+)", command):
        (tmp_path / run / ".hydra").mkdir(parents=True)
        (tmp_path / run / ".hydra" / "overrides.yaml").write_text("[]", encoding="utf-8")
        (tmp_path / run / "last.ckpt").touch()
    check(arguments(command, "train.py"))


@pytest.mark.parametrize("command", [c for c in COMMANDS if "-m noternn" in c])
def test_other_command_is_parsed(command: str) -> None:
    build_parser().parse_args(arguments(command, "-m noternn"))


def test_two_commands_do_all_the_setting_up() -> None:
    first, second = BLOCKS[:2]
    assert first.strip().count("\n") == second.strip().count("\n") == 0
    assert first.strip().endswith("train.py")
    assert second.strip().endswith("pytest -n auto")


def test_every_file_that_the_readme_names_is_there() -> None:
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures
    assert [p for p in pictures if not (ROOT / p).is_file()] == []


def test_every_module_stands_in_the_file_tree() -> None:
    modules = {path.name for path in (ROOT / "noternn").glob("*.py")} - {"__init__.py"}
    assert [name for name in sorted(modules) if name not in README] == []
