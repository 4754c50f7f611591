"""Settings named without their section, the user's own options, and where a training can be started."""

from __future__ import annotations

import dataclasses
import re
from importlib.metadata import distributions
from pathlib import Path
from typing import get_type_hints

import forked
import pytest
import yaml  # type: ignore[import-untyped]
from helpers import TrainTiny, rows_of

from noternn import __version__
from noternn.config.checks import helps
from noternn.config.dataset import Dataset, FolderDataset, FramesDataset, InstalledDataset, UnionDataset
from noternn.config.schema import Config, to_plain
from noternn.errors import UserError
from noternn.launch.command_line import check, corpus_settings, settings
from noternn.launch.options import options
from noternn.sampling.composer import load_composer

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
    files = {
        "config.yaml": "of: another program\n",
        "model/small.yaml": "defaults:\n  - lstm\nhidden_size: 8\n",
        "dataset/mine.yaml": "name: mine\npath: music\n",
        "dataset/pedalled.yaml": "defaults: [folder, _self_]\nname: pedalled\npath: music\npedal: true\n",
        "optimizer/radam.yaml": "name: RAdam\nlr: 0.002\nweight_decay: 0.1\n",
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
    assert corpus_settings("mine", []).dataset == FolderDataset(name="mine", path="music")
    assert corpus_settings("pedalled", []).dataset.pedal

    assert corpus_settings("mine", []).dataset.name == "mine"
    assert "  model:          lstm, note_rnn, small\n" in help_of(capsys)


def help_of(capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    with pytest.raises(SystemExit):
        check(["--help", *overrides])
    return capsys.readouterr().out


def texts_of(section: type, prefix: str = "") -> dict[str, str]:
    """What each setting does, by its name with all its sections."""
    types = get_type_hints(section)
    texts = {f"{prefix}{name}": text for name, text in helps(section).items()}
    for name, type_ in types.items():
        if dataclasses.is_dataclass(type_) and isinstance(type_, type):
            texts |= texts_of(type_, f"{prefix}{name}.")
    return texts


def told(help_text: str) -> dict[str, str]:
    """The comment of each setting in --help, by its name with all its sections."""
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in help_text.partition("\nValues")[2].splitlines()[2:]:
        value, _, comment = line.partition("# ")
        if found := re.match(r"( *)(\w+):", value):
            names = [*names[: len(found[1]) // 2], found[2]]
        if names:
            texts[".".join(names)] = f"{texts.get('.'.join(names), '')} {comment}".strip()
    return texts


@pytest.mark.parametrize(
    "option",
    [
        *("dataset=bach", "dataset=folder", "dataset=all", "recipe=finetune", "recipe=note_rnn"),
        *(
            f"{group}={option}"
            for group in ("tokenizer", "optimizer", "schedule")
            for option in options(group, [])
        ),
    ],
)
def test_help_says_what_each_setting_does_in_80_columns(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "tokenizer=miditok" in option:
        pytest.importorskip("miditok", reason="needs the extra miditok")
    text = help_of(capsys, option)
    assert max(map(len, text.splitlines())) <= 80
    expected: dict[str, str] = {}
    config = settings([option, *(["dataset.path=music"] if option == "dataset=folder" else [])])
    for name, section in vars(config).items():
        if dataclasses.is_dataclass(section):
            expected |= texts_of(type(section), f"{name}.")
    assert all(expected.values())
    expected |= {name: helps(Config)[name] for name in ("callbacks", "seed", "init_from", "resume")}
    assert {name: comment for name, comment in told(text).items() if comment} == expected


def test_values_in_help_can_be_read_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["dataset=all", "dataset.include=[a*,'b: c']", "optimizer.lr=1e-5", "resume='# 1'"]
    values = help_of(capsys, *overrides).partition("\nValues")[2].partition("\n\n")[2]
    assert yaml.safe_load(values) == to_plain(settings(overrides[:3])) | {"resume": "# 1"} | {
        "optimizer": to_plain(settings(overrides[:3]))["optimizer"] | {"betas": [0.9, 0.999]}
    }


@pytest.mark.parametrize(
    ("text", "dataset"),
    [
        ("path: music", FolderDataset(name="mine", path="music", max_files=3)),
        ("corpus: bach", InstalledDataset(name="mine", corpus="bach", max_files=3)),
        ("corpora: [bach, airs]", UnionDataset(name="mine", corpora=["bach", "airs"], max_files=3)),
        (
            "path: a.json\nframes_per_beat: 2\norigin: a friend",
            FramesDataset(name="mine", path="a.json", frames_per_beat=2, origin="a friend", max_files=3),
        ),
    ],
)
def test_a_dataset_of_ones_own_is_of_the_kind_that_has_its_settings(
    text: str, dataset: Dataset, home: Path
) -> None:
    (home / "conf/dataset/mine.yaml").write_text(f"name: mine\n{text}\n")
    assert corpus_settings("mine", ["dataset.max_files=3"]).dataset == dataset


@pytest.mark.parametrize("by_option", [False, True])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine", "dataset/mine.yaml: it lacks path: ... (the folder of the music)"),
        ("path: music", "dataset/mine.yaml: it lacks name: ... (the dataset's name, in messages and in a"),
        ("", "dataset/mine.yaml: it lacks name: ..."),
        ("name: mine\ncorpus: ???", "dataset/mine.yaml: it lacks corpus: ... (music21's or"),
        ("name: mine\nfolder: music", "dataset/mine.yaml: dataset.folder: there is no such setting"),
        ("name: mine\npath: music\npedal: 7.5", "dataset/mine.yaml: dataset.pedal: it must be true or false"),
        ("name: mine\npath: music\nmax_files: 0", "dataset.max_files=0: it must be at least 1"),
        ("- music", "dataset/mine.yaml: it must hold lines such as path: FOLDER"),
        ("music", "dataset/mine.yaml: dataset.music: there is no such setting"),
        ("defaults: [folder, _self_]\nname: mine", "dataset/mine.yaml: it lacks path: ..."),
    ],
)
def test_a_dataset_of_ones_own_that_is_wrong_is_answered_with_the_line(
    by_option: bool, text: str, message: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "conf/dataset/mine.yaml").write_text(text)
    (home / "elsewhere").mkdir()
    if by_option:
        monkeypatch.chdir(home / "elsewhere")
    with pytest.raises(UserError) as error:
        check(["dataset=mine", *(["--config-dir", str(home / "conf")] if by_option else [])])
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_line_that_a_dataset_lacks_can_be_given_on_the_command_line(home: Path) -> None:
    (home / "conf/dataset/mine.yaml").write_text("name: mine\n")
    assert check(["dataset=mine", "dataset.path=music"]) == ["dataset=mine", "dataset.path=music"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EarlyStopping:\n  monitor: val/nll", r"^callbacks=EarlyStopping: it must be one of Lightning's"),
        ("_target_: os.system", r"^callbacks=_target_: it must be one of Lightning's"),
        (
            "LearningRateMonitor: epoch",
            r"^callbacks\.LearningRateMonitor=epoch: it must be lines of NAME: VALUE",
        ),
    ],
)
def test_callbacks_of_the_users_own_that_are_wrong_are_answered_in_a_line(
    text: str, message: str, home: Path
) -> None:
    (home / "conf/callbacks").mkdir()
    (home / "conf/callbacks/mine.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as refused:
        check(["callbacks=mine", "logger=tensorboard"])
    assert "\n" not in str(refused.value)


def test_callbacks_of_the_users_own_are_taken_with_their_arguments(home: Path) -> None:
    (home / "conf/callbacks").mkdir()
    (home / "conf/callbacks/mine.yaml").write_text(
        "DeviceStatsMonitor:\nLearningRateMonitor: {log_momentum: true}"
    )
    chosen = settings(["callbacks=mine", "logger=tensorboard"]).callbacks
    assert chosen == {"DeviceStatsMonitor": {}, "LearningRateMonitor": {"log_momentum": True}}


@pytest.mark.usefixtures("home")
def test_an_optimizer_of_the_users_own_takes_free_keyword_arguments() -> None:
    plain = to_plain(settings(["optimizer=radam", "+optimizer.betas=[0.8,0.9]", "optimizer.lr=0.1"]))
    assert plain["optimizer"] == {"name": "RAdam", "lr": 0.1, "weight_decay": 0.1, "betas": [0.8, 0.9]}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.lr=-1", r"^optimizer\.lr=-1: it must be above 0 and finite$"),
        ("optimizer.lr=fast", r"^optimizer\.lr=fast: it must be above 0 and finite$"),
        ("optimizer.lr=null", r"^optimizer\.lr is not set: write lr: "),
        ("optimizer.weight_decay=-1", r"^optimizer\.weight_decay=-1: it must be at least 0 and finite$"),
        ("optimizer.name=3", r"^optimizer\.name=3: it must be a class of torch\.optim$"),
        ("optimizer.betas=3", r"write \+optimizer\.betas="),
    ],
)
def test_a_wrong_setting_of_an_own_optimizer_is_answered(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(["optimizer=radam", setting])


@pytest.mark.usefixtures("home")
def test_a_run_with_an_optimizer_of_the_users_own_is_resumed_and_composes(
    train_tiny: TrainTiny, tmp_path: Path
) -> None:
    check(["optimizer=radam"])  # makes the folder's options known to Hydra
    with pytest.raises(UserError, match=r"^optimizer\.beta=3: RAdam does not take it"):
        train_tiny(tmp_path / "wrong", "optimizer=radam", "+optimizer.beta=3")
    run_dir, betas = tmp_path / "run", "+optimizer.betas=[0.8,0.9]"
    train_tiny(run_dir, "optimizer=radam", betas)
    load_composer(run_dir / "best.ckpt")
    more = ("trainer.max_epochs=4", f"resume={run_dir}", "optimizer=radam")
    with pytest.raises(UserError, match=r"trained with optimizer\.betas=\[0\.8, 0\.9\], not None"):
        train_tiny(run_dir, *more)
    train_tiny(run_dir, *more, betas)
    assert len(rows_of(run_dir)) == 4


@pytest.mark.parametrize(
    "launcher",
    [
        ("basic", None),
        pytest.param(("joblib", "hydra-joblib-launcher"), marks=pytest.mark.slow),
        pytest.param(("submitit_local", "hydra-submitit-launcher"), marks=pytest.mark.slow),
    ],
)
def test_jobs_of_a_sweep_know_the_users_options_wherever_they_run(
    launcher: tuple[str, str | None], home: Path, tiny: list[str], offline: dict[str, str]
) -> None:
    name, package = launcher
    if package and package not in INSTALLED:
        pytest.skip(f"needs {package}")
    small = [setting for setting in tiny if not setting.startswith("model.")]
    arguments = ["-m", f"hydra/launcher={name}", "model=small,lstm", "dataset=mine", "logger=csv"]
    arguments += [*small, "model.hidden_size=16", "trainer.max_epochs=1"]
    done = forked.run(arguments, cwd=home, env=offline | {"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    jobs = {path.parent.name for path in home.glob("runs/*/*/train.log")}
    assert jobs == {"model=small", "model=lstm"}
