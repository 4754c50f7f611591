"""Settings named without their section, the user's own options, and where a training can be started."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from noternn import __version__
from noternn.config.schema import CONF_DIR
from noternn.errors import UserError
from noternn.launch.command_line import check, corpus_settings

CLONE = CONF_DIR.parent
INSTALLED = {distribution.name for distribution in distributions()}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lr=0.001", "lr: there is no such setting; did you mean optimizer.lr?"),
        ("epochs=5", "epochs: there is no such setting; did you mean trainer.max_epochs?"),
        ("max_epochs=5", "max_epochs: there is no such setting; did you mean trainer.max_epochs?"),
        ("num_layers=2", "num_layers: there is no such setting; did you mean model.num_layers?"),
        ("batch_size=32", "batch_size: there is no such setting; did you mean datamodule.batch_size?"),
        ("dropout=0.1", "dropout: there is no such setting; did you mean model.dropout?"),
        ("--epochs 5", "--epochs: there is no such option; write trainer.max_epochs=5"),
        ("--lr=0.1", "--lr=0.1: there is no such option; write optimizer.lr=0.1"),
        ("--batch-size 32", "--batch-size: there is no such option; write datamodule.batch_size=32"),
        ("--seed 3", "--seed: there is no such option; write seed=3"),
        ("--momentun", "--momentun: there is no such option; see --help"),
    ],
)
def test_a_setting_without_its_section_is_answered_with_the_right_one(line: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        check(line.split(" "))
    assert str(error.value) == message


def test_the_version_is_that_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        check(["--version"])
    assert capsys.readouterr().out == f"noternn {__version__}\n"


@pytest.fixture
def home(corpus_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with options of a user's own in conf/, and a foreign config.yaml; it is the current one."""
    (tmp_path / "music").symlink_to(corpus_dir)
    dataset = "defaults:\n  - folder\n  - _self_\nname: mine\npath: music\n"
    files = {
        "config.yaml": "of: another program\n",
        "model/small.yaml": "defaults:\n  - lstm\nhidden_size: 8\n",
        "dataset/mine.yaml": dataset,
    }
    for name, text in files.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("home")
def test_options_in_the_conf_of_the_current_directory_are_accepted_and_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check(["-m", "model=small,lstm", "dataset=mine"]) == ["-m", "model=small,lstm", "dataset=mine"]
    with pytest.raises(UserError, match=r"lstm, note_rnn, small \(did you mean small\?\)"):
        check(["model=smal"])
    assert corpus_settings("mine", []).dataset.name == "mine"
    with pytest.raises(SystemExit):
        check(["--help"])
    assert "  model:          lstm, note_rnn, small\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "launcher",
    [("basic", None), ("joblib", "hydra-joblib-launcher"), ("submitit_local", "hydra-submitit-launcher")],
)
def test_jobs_of_a_sweep_know_the_users_options_wherever_they_run(
    launcher: tuple[str, str | None], home: Path, tiny: list[str], offline: dict[str, str]
) -> None:
    name, package = launcher
    if package and package not in INSTALLED:
        pytest.skip(f"needs {package}")
    small = [setting for setting in tiny if not setting.startswith("model.")]
    command = [sys.executable, str(CLONE / "train.py"), "-m", f"hydra/launcher={name}", "model=small,lstm"]
    command += ["dataset=mine", "logger=csv", *small, "trainer.max_epochs=1"]
    done = subprocess.run(
        command, cwd=home, env=offline | {"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    jobs = {path.parent.name for path in home.glob("runs/*/*/train.log")}
    assert jobs == {"model=small", "model=lstm"}
