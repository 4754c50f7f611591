"""The command line: what is accepted, and how a mistake is answered."""

from __future__ import annotations

import dataclasses
import inspect
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from noternn.config import model, optimizer, tokenizer, training
from noternn.config import schema as config
from noternn.config.checks import Section, helps
from noternn.config.programs import train_command
from noternn.config.schema import CONF_DIR, Config, dataset_of, parse, to_plain
from noternn.errors import UserError
from noternn.launch.command_line import check
from noternn.launch.resume import resumed
from noternn.model.intervals import MEMORY
from noternn.model.lstm import NoteLSTM
from noternn.tokenizer import (
    ChordTokenizer,
    EventTokenizer,
    FramesTokenizer,
    MidiTokTokenizer,
    VoicesTokenizer,
    build_tokenizer,
)
from noternn.training.datamodule import MidiDataModule
from noternn.training.module import NoteRNN
from noternn.training.optim import Schedule, build_optimizer

REPOSITORY = Path(__file__).parents[2]
OPTIONS = [(path.parent.name, path.stem) for path in sorted(CONF_DIR.glob("*/*.yaml"))]
SECTIONS = [field.name for field in dataclasses.fields(Config)]


def arguments_for(group: str, option: str) -> list[str]:
    needed = ["dataset.path=somewhere"] if option == "folder" else []
    return [f"{group}={option}", *needed]


@cache
def composed(*overrides: str) -> DictConfig:
    config.register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("config", list(overrides))


def parsed(line: str) -> Config:
    """The configuration of a command line; as `check` reads it, but composed once for all settings."""
    arguments = line.split(" ")
    choices = [a for a in arguments if (CONF_DIR / a.partition("=")[0]).is_dir()]
    settings = [a for a in arguments if a not in choices]
    return parse(OmegaConf.merge(composed(*choices), OmegaConf.from_dotlist(settings)))


def error_of(*arguments: str) -> str:
    """The answer to a command line that is wrong, which is to be short."""
    with pytest.raises(UserError) as error:
        check(arguments)
    message = str(error.value)
    assert len(message.splitlines()) <= 2
    assert len(message) < 400
    return message


def run_train(*arguments: str, folder: Path, forbid_torch: bool = False) -> subprocess.CompletedProcess[str]:
    """Run train.py in a folder, with a torch that may not be imported if `forbid_torch`."""
    environment = dict(os.environ)
    if forbid_torch:
        (folder / "instead").mkdir()
        (folder / "instead" / "torch.py").write_text("raise SystemExit('torch was imported')")
        environment["PYTHONPATH"] = str(folder / "instead")
    command = [sys.executable, str(REPOSITORY / "train.py"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )


# What is shipped


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_shipped_option_is_accepted(group: str, option: str) -> None:
    if option == "miditok" and not find_spec("miditok"):
        pytest.skip("MidiTok, an optional extra, is not installed")
    arguments = arguments_for(group, option)
    assert check(arguments) == arguments


def test_default_configuration_is_accepted() -> None:
    assert check([]) == []


SWEEPS = [
    (path.stem, OmegaConf.select(OmegaConf.load(path), "hydra.sweeper.params"))
    for path in sorted((CONF_DIR / "experiment").glob("*.yaml"))
]


@pytest.mark.parametrize(
    ("name", "parameters"), [s for s in SWEEPS if s[1]], ids=lambda value: str(value)[:20]
)
def test_every_job_of_a_shipped_sweep_is_accepted(name: str, parameters: dict[str, str]) -> None:
    check(["-m", f"experiment={name}", *(f"{key}={values}" for key, values in parameters.items())])


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "optimizer"])
def test_settings_of_an_optimizer_are_those_of_its_class(option: str) -> None:
    settings = to_plain(parsed(f"optimizer={option}"))["optimizer"]
    optimizer = build_optimizer([torch.nn.Parameter(torch.zeros(1))], **settings)
    assert type(optimizer).__name__.lower() == option


def parameters_of(class_: type) -> dict[str, Any]:
    parameters = inspect.signature(class_).parameters.values()
    return {p.name: p.default for p in parameters}


@pytest.mark.parametrize(
    ("section", "class_"),
    [
        (tokenizer.EventTokenizer, EventTokenizer),
        (tokenizer.ChordTokenizer, ChordTokenizer),
        (tokenizer.FramesTokenizer, FramesTokenizer),
        (tokenizer.VoicesTokenizer, VoicesTokenizer),
        (tokenizer.MidiTokTokenizer, MidiTokTokenizer),
    ],
    ids=["event", "chord", "frames", "voices", "miditok"],
)
def test_settings_of_a_tokenizer_are_the_arguments_of_its_class(section: type, class_: type) -> None:
    settings = {field.name for field in dataclasses.fields(section)}
    assert settings - {"name", "bpe_vocab_size"} == parameters_of(class_).keys()


def test_settings_of_the_model_are_the_arguments_of_its_class() -> None:
    settings = {field.name for field in dataclasses.fields(model.Model)}
    from_elsewhere = {"position_beats", "num_slots", "part_memory", "labels"}  # see `build_network`
    settings = settings - from_elsewhere | {"place"}
    assert settings == parameters_of(NoteLSTM).keys() - {
        "vocab_size",
        "token_pitches",
        "followers",
        "before_pitch",
        "kinds",
        "num_labels",
    }


def test_settings_of_the_schedule_are_the_arguments_of_its_class() -> None:
    settings = {field.name for field in dataclasses.fields(optimizer.Schedule)}
    assert settings == parameters_of(Schedule).keys()


def test_settings_of_the_module_are_arguments_of_its_class() -> None:
    settings = {field.name for field in dataclasses.fields(training.Module)}
    assert settings == parameters_of(NoteRNN).keys() - {
        "network",
        "optimizer",
        "seed",
        "schedule",
        "settings",
    }


def test_settings_of_the_datamodule_are_arguments_of_its_class() -> None:
    settings = {field.name for field in dataclasses.fields(training.DataModule)}
    from_elsewhere = {
        "corpus",
        "seed",
        "memory",
        "part_memory",
        *(field.name for field in dataclasses.fields(training.Augmentation)),
    }
    of_the_corpus = {"cache_dir", "num_processes"}
    assert settings - of_the_corpus == parameters_of(MidiDataModule).keys() - from_elsewhere


def test_configuration_as_plain_data_holds_no_other_types() -> None:
    def check_plain(value: object) -> None:
        if isinstance(value, dict):
            assert all(type(key) is str for key in value)
            value = list(value.values())
        if isinstance(value, list | tuple):
            for item in value:
                check_plain(item)
        else:
            assert value is None or type(value) in (bool, int, float, str)

    check_plain(to_plain(parsed("tokenizer=chord dataset=all")))


def test_settings_given_on_the_command_line_arrive() -> None:
    settings = parse(composed("optimizer=sgd", "optimizer.lr=0.25", "seed=3", "early_stopping=none"))
    assert isinstance(settings.optimizer, optimizer.SGD)
    assert (settings.optimizer.lr, settings.seed, settings.early_stopping.patience) == (0.25, 3, None)


@pytest.mark.parametrize("tracks", ["[73,40]", "[Violin,flute,40]", "['FLUTE','violin ']", "[40,73,73]"])
def test_equal_choices_of_instruments_are_equal_settings(tracks: str) -> None:
    assert parse(composed(f"dataset.tracks={tracks}")).dataset.tracks == [40, 73]


def sections_of(settings: Config) -> list[Section]:
    return [section for section in vars(settings).values() if isinstance(section, Section)]


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o[0] not in ("experiment", "recipe")])
def test_a_value_is_written_in_an_option_or_as_a_default_but_not_twice(group: str, option: str) -> None:
    if option == "miditok" and not find_spec("miditok"):
        pytest.skip("MidiTok, an optional extra, is not installed")
    given = OmegaConf.load(CONF_DIR / group / f"{option}.yaml")
    section = getattr(parse(composed(*arguments_for(group, option))), group, None)
    fields = dataclasses.fields(section) if dataclasses.is_dataclass(section) else ()
    repeated = {
        f.name for f in fields if f.name in given and f.default is not None and given[f.name] == f.default
    }
    assert not repeated


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("+callbacks.DeviceStatMonitor={}", r"one of Lightning's .*did you mean DeviceStatsMonitor\?"),
        (
            "+callbacks.GradientAccumulationScheduler={}",
            "callbacks=GradientAccumulationScheduler: it must be",
        ),
        ("+callbacks._target_={}", "callbacks=_target_: it must be"),
        ("callbacks=learning_rate logger=csv", "given with a logger that it tells"),
    ],
)
def test_only_callbacks_that_watch_are_taken_and_only_with_a_logger(line: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        check(line.split())
    assert "\n" not in str(refused.value)


def test_every_setting_says_what_it_does_in_a_line() -> None:
    for options in [(), ("tokenizer=chord", "dataset=jsb_16th"), ("dataset=all",)]:
        for section in sections_of(parse(composed(*options))):
            for name, text in helps(type(section)).items():
                assert text, f"{section.group}.{name}"
                assert "\n" not in text


# Mistakes


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("optimizer=adamm", ["optimizer=adamm", "adadelta, adagrad, adam, adamw", "(did you mean adam?)"]),
        ("model=lstn", ["model=lstn", "lstm, note_rnn", "(did you mean lstm?)"]),
        (
            "dataset=/home/me/midi",
            ["dataset=/home/me/midi", "all, bach", "dataset=folder dataset.path=FOLDER"],
        ),
        ("dataset.path=/home/me/midi", ["dataset.path", "dataset=folder dataset.path=FOLDER"]),
        ("dataset=folder", ["dataset.path is not set", "dataset.path=FOLDER"]),
        ("~optimizer", ["optimizer is not set"]),
        ("optimizer.lr=fast", ["optimizer.lr=fast", "a number"]),
        ("trainer.max_epochs=1.5", ["trainer.max_epochs=1.5", "an integer"]),
        ("tokenizer.velocity=loud", ["tokenizer.velocity=loud", "true or false"]),
        ("optimizer.betas=0.9", ["optimizer.betas=0.9", "a list"]),
        ("model.num_layers=null", ["model.num_layers=null", "not null"]),
        ("dataset.include=boss", ["dataset.include=boss", "a list"]),
        ("trainer=3", ["trainer=3", "SECTION.SETTING=VALUE"]),
        ("model.num_layer=2", ["model.num_layer:", "hidden_size", "(did you mean num_layers?)"]),
        ("trainer={max_epoch:3}", ["trainer.max_epoch:", "(did you mean max_epochs?)"]),
        ("optimzer=adam", ["optimzer:", "sampling", "(did you mean optimizer?)"]),
        ("hydra.rn.dir=x", ["hydra.rn:", "(did you mean run?)"]),
        ("+foo=1", ["+foo:", "no such setting"]),
        ("+model.foo=1", ["+model.foo:", "model has", "num_layers"]),
        ("+seed=1", ["+seed:", "leave out the +"]),
        ("model.num_layers", ["model.num_layers:", "NAME=VALUE"]),
        ("dataset=folder dataset.path=~/x", ["\"dataset.path='~/x'\"", "in quotes"]),
        ("dataset=folder dataset.path=it's", [r"dataset.path='it\'s'", "in quotes"]),
        ("dataset.tracks=[violn]", ["dataset.tracks=['violn']", "piano or a list", "(did you mean violin?)"]),
        ("dataset.tracks=[0,guitar]", ["'guitar' is no instrument", "(did you mean acoustic_guitar_nylon?)"]),
        ("--config-dir nowhere model=lstm", ["--config-dir nowhere", "no such folder"]),
    ],
)
def test_mistake_is_answered_with_what_was_given_and_what_is_allowed(line: str, parts: list[str]) -> None:
    message = error_of(*line.split(" "))
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("tokenizer=chord tokenizer.max_beat=3", "max_beats"),
        ("optimizer=sgd optimizer.momentun=0.5", "momentum"),
        ("experiment=note_rnn tokenizer.pitch_clas=true", "pitch_class"),
        ("dataset=all dataset.paths.zeldo=x", "zelda"),
    ],
)
def test_unknown_setting_is_compared_with_those_of_the_chosen_option(line: str, allowed: str) -> None:
    assert f"(did you mean {allowed}?)" in error_of(*line.split(" "))


def test_without_miditok_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "miditok", None)
    expected = 'tokenizer=miditok: MidiTok is not installed; pip install "noternn[miditok]"'
    assert error_of("tokenizer=miditok").startswith(expected)
    with pytest.raises(UserError, match="MidiTok is not installed"):  # as by a checkpoint that needs it
        build_tokenizer("miditok")


def test_sweep_without_m_is_told_to_add_it() -> None:
    message = error_of("optimizer=sgd,adam")
    assert f"add -m ({train_command()} -m optimizer=sgd,adam)" in message


@pytest.mark.parametrize(
    ("sweep", "part"),
    [
        ("optimizer=sgd,adamm", "optimizer=adamm"),
        ("optimizer.lr=0.1,fast", "optimizer.lr=fast"),
        ("optimizer.lr=0.1,-1", "optimizer.lr=-1.0: it must be above 0"),
        ("model.num_layers=range(0,2)", "model.num_layers=0: it must be at least 1"),
        ("model.num_layers=choice(1,0)", "model.num_layers=0: it must be at least 1"),
    ],
)
def test_wrong_value_inside_a_sweep_is_found_before_it_starts(sweep: str, part: str) -> None:
    assert part in error_of("-m", sweep)


@pytest.mark.parametrize("sweep", ["optimizer=glob(ada*)", "seed=range(2)"])
def test_every_way_to_write_a_sweep_is_accepted(sweep: str) -> None:
    assert check(["-m", sweep]) == ["-m", sweep]


OUT_OF_RANGE = [
    "seed=-1",
    "seed=4294967296",
    "dataset.validation_fraction=-0.1",
    "dataset.validation_fraction=1",
    "dataset.train_fraction=0",
    "dataset.train_fraction=1.01",
    "dataset.test_fraction=nan",
    "dataset.validation_fraction=0.5 dataset.test_fraction=0.5",
    "tokenizer.steps_per_beat=0",
    "tokenizer.steps_per_beat=100000",
    "tokenizer.max_shift_beats=0",
    "tokenizer.max_duration_beats=100000",
    "tokenizer.name=chord",
    "tokenizer=chord tokenizer.max_beats=0",
    "tokenizer=chord tokenizer.max_beats=100000",
    "tokenizer=chord tokenizer.min_count=0",
    "tokenizer=chord tokenizer.step_beats=0",
    "tokenizer=chord tokenizer.step_beats=inf",
    "tokenizer=miditok tokenizer.kind=MIDILike",
    "dataset.max_files=0",
    "dataset.tracks=guitar",
    "dataset.tracks=3",
    "dataset.tracks=null",
    "dataset.tracks=[]",
    "dataset.tracks=[128]",
    "dataset.tracks=[-1]",
    "dataset.tracks=[0,piano]",
    "dataset.tracks=[true]",
    "dataset.tracks=['']",
    "dataset.tracks=[violin,128]",
    "dataset.tracks=violin",
    "tokenizer.program=false dataset.tracks=drums",
    "datamodule.batch_size=0",
    "datamodule.window_length=0",
    "datamodule.num_processes=-1",
    "model.embedding_dim=0",
    "model.hidden_size=0",
    "model.hidden_size=1.5",
    "model.hidden_size=few",
    "model.num_layers=0",
    "model.dropout=-0.1",
    "model.dropout=1",
    "model.num_fc_layers=3",
    "model.input_dropout=1",
    "model.output_dropout=-1",
    "model.embedding_dropout=1",
    "model.weight_dropout=1.5",
    "model.num_input_tokens=0",
    "model.tied=true",
    "model.position_beats=[0]",
    "model.position_beats=[1.5]",
    "model.position_beats=4",
    "model.position_beats=bars",
    "model.num_slots=-1",
    "model.labels=folders",
    "model.num_pitches=-1",
    "module.ema_decay=1",
    "module.label_smoothing=-0.1",
    "schedule.name=linear",
    "schedule.warmup_epochs=-1",
    "schedule.final_fraction=2",
    "schedule.factor=-1",
    "schedule.patience=0",
    "augmentation.transpose=-1",
    "augmentation.velocity=128",
    "augmentation.cut=1.5",
    "tokenizer=chord augmentation.cut=0.5",
    "optimizer.lr=0",
    "optimizer.lr=-0.1",
    "optimizer.lr=nan",
    "optimizer.lr=inf",
    "optimizer.weight_decay=-1",
    "optimizer.betas=[0.9]",
    "optimizer.betas=[0.9,1]",
    "optimizer.betas=[0.9,0.9,0.9]",
    "optimizer=sgd optimizer.momentum=1",
    "optimizer=sgd optimizer.momentum=0",
    "optimizer=rmsprop optimizer.alpha=-1",
    "optimizer=rmsprop optimizer.momentum=-1",
    "optimizer=adagrad optimizer.lr_decay=-1",
    "optimizer=adadelta optimizer.rho=2",
    "trainer.max_epochs=0",
    "trainer.accelerator=tpu",
    "trainer.precision=8",
    "trainer.gradient_clip_val=0",
    "early_stopping.patience=0",
    "early_stopping.min_delta=-1",
    "early_stopping.min_delta=nan",
    "checkpoint.every_n_epochs=0",
    "checkpoint.every_minutes=0",
    "sampling.primer_notes=-1",
    "sampling.num_notes=0",
    "sampling.temperature=0",
    "sampling.temperature=inf",
    "sampling.top_k=-1",
    "sampling.top_p=0",
    "sampling.top_p=1.01",
    "sampling.min_p=-0.1",
    "sampling.min_p=2",
    "sampling.repetition_penalty=0.99",
    "sampling.repetition_penalty=inf",
    "sampling.repetition_window=0",
    "sampling.seed=-1",
    "logger.mode=loud",
]


@pytest.mark.parametrize("line", OUT_OF_RANGE)
def test_value_out_of_range_is_answered_with_the_range(line: str) -> None:
    setting = line.split(" ")[-1].split("=")[0].split(".")[-1]
    with pytest.raises(UserError, match=rf"^[^=]*\b{setting}=[^=]*: it must be [^\n]+$"):
        parsed(line)


@pytest.mark.parametrize(
    "line",
    [
        "seed=0",
        "seed=4294967295",
        "dataset.validation_fraction=0 dataset.test_fraction=0",
        "dataset.train_fraction=1e-9",
        "dataset.tracks=[0,127]",
        "dataset.tracks=[gunshot,0]",
        "dataset.max_files=1 dataset.include=[boss*.mid]",
        "dataset.tracks=drums tokenizer=event tokenizer.program=true",
        "model.dropout=0",
        "optimizer=sgd optimizer.momentum=0 optimizer.nesterov=false",
        "trainer.gradient_clip_val=null",
        "early_stopping.patience=null",
        "sampling.top_k=0 sampling.primer_notes=0",
        "datamodule.cache_dir=null datamodule.num_processes=0",
    ],
)
def test_value_at_the_edge_of_its_range_is_accepted(line: str) -> None:
    assert isinstance(parsed(line), Config)


# Options of the user's own


@pytest.fixture
def own_options(tmp_path: Path) -> Path:
    folder = tmp_path / "own conf"
    files = {
        "model/tiny.yaml": "defaults:\n  - lstm\nhidden_size: 8\n",
        "experiment/wrong_name.yaml": "# @package _global_\nmodel:\n  num_layer: 3\n",
        "experiment/wrong_type.yaml": "# @package _global_\nmodel:\n  num_layers: three\n",
        "experiment/wrong_option.yaml": "# @package _global_\ndefaults:\n  - override /model: tinny\n",
        "experiment/no_package.yaml": "model:\n  num_layers: 3\n",
        "experiment/no_yaml.yaml": "# @package _global_\nmodel: [\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_options_of_a_folder_of_ones_own_are_accepted(own_options: Path) -> None:
    arguments = ["--config-dir", str(own_options), "model=tiny"]
    assert check(arguments) == arguments


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("wrong_name", ["experiment/wrong_name.yaml: model.num_layer", "(did you mean num_layers?)"]),
        ("wrong_type", ["experiment/wrong_type.yaml: model.num_layers", "an integer"]),
        ("wrong_option", ["model=tinny", "lstm, note_rnn, tiny", "(did you mean tiny?)"]),
        ("no_package", ["experiment/no_package.yaml", "# @package _global_"]),
        ("no_yaml", ["no_yaml.yaml", "line 3"]),
    ],
)
def test_mistake_in_an_options_file_is_answered_with_its_place(
    name: str, parts: list[str], own_options: Path
) -> None:
    message = error_of("--config-dir", str(own_options), f"experiment={name}")
    for part in parts:
        assert part in message


# Continuing a run


@pytest.fixture(params=["run", "optimizer=sgd,seed=5", "it's a run, (1)"])
def run_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    run = tmp_path / request.param
    (run / ".hydra").mkdir(parents=True)
    (run / "last.ckpt").touch()
    (run / ".hydra" / "overrides.yaml").write_text("- optimizer=sgd\n- resume=/an/earlier/run\n- seed=5\n")
    return run


def test_resuming_puts_the_settings_of_the_run_first(run_folder: Path) -> None:
    overrides = resumed([f"resume={run_folder}", "trainer.max_epochs=9"])
    assert overrides[:3] == ["optimizer=sgd", "seed=5", "trainer.max_epochs=9"]


def test_resumed_settings_are_accepted_and_later_ones_win(run_folder: Path) -> None:
    settings = parse(composed(*check([f"resume={run_folder}", "seed=6"])))
    assert isinstance(settings.optimizer, optimizer.SGD)
    assert (settings.seed, settings.resume) == (6, str(run_folder))


def test_run_to_resume_may_stand_in_quotes(run_folder: Path) -> None:
    escaped = str(run_folder).replace("'", r"\'")
    assert resumed([f"resume='{escaped}'"]) == resumed([f"resume={run_folder}"])


@pytest.mark.parametrize("resume", ["resume=null", "resume="])
def test_resuming_nothing_changes_nothing(resume: str) -> None:
    assert resumed([resume, "seed=5"]) == [resume, "seed=5"]


def test_folder_that_holds_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    assert "no run to continue there" in error_of(f"resume={tmp_path}")


# train.py


def test_checking_imports_no_torch() -> None:
    check_call = "from noternn.launch.command_line import check; check(sys.argv[1:])"
    code = f"import sys; {check_call}; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "-m", "optimizer=sgd,adam", "tokenizer=chord"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_mistake_ends_train_py_with_one_line_and_status_1(tmp_path: Path) -> None:
    run = run_train("optimizer=adamm", folder=tmp_path, forbid_torch=True)
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert line.startswith("error: optimizer=adamm: there is no such optimizer")
    assert not (tmp_path / "runs").exists()


def test_help_lists_every_group_option_and_section(tmp_path: Path) -> None:
    run = run_train("--help", folder=tmp_path, forbid_torch=True)
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    for group in {group for group, _ in OPTIONS}:
        (begin,) = (i for i, line in enumerate(lines) if line.startswith(f"  {group}:"))
        end = next(i for i in range(begin + 1, len(lines)) if not lines[i].startswith("   "))
        options = [option for of, option in OPTIONS if of == group]
        assert " ".join(lines[begin:end]).split()[1:] == ", ".join(options).split()
    for section in SECTIONS:
        assert any(line.startswith(f"{section}:") for line in lines)
    assert max(len(line) for line in lines) <= 80


def test_empty_dataset_ends_train_py_with_where_to_put_files(tmp_path: Path) -> None:
    run = run_train("dataset=chrono", folder=tmp_path, forbid_torch=True)
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert line.startswith("error: dataset=chrono: there are no MIDI files")
    assert "data/chrono" in line


@pytest.mark.parametrize(
    "payload",
    [
        "+hydra.callbacks.x._target_=os.system",
        "hydra.callbacks={x:{_target_: builtins.print}}",
        "hydra/launcher=joblib",
        "~hydra.callbacks.sweep",
        "++hydra.job.chdir=true",
        "+model._target_=os.system",
        "dataset.path=${oc.env:HOME}",
    ],
)
def test_record_of_a_run_that_could_run_code_is_refused(payload: str, tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "last.ckpt").touch()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(f"- optimizer=sgd\n- '{payload}'\n")
    message = error_of(f"resume={tmp_path}")
    assert "\n" not in message
    assert f"resume={tmp_path}: its record sets {payload}" in message


@pytest.mark.parametrize("record", ["!!python/object/apply:os.system [touch ran]", "- - a", "a: b", ": : ["])
def test_record_of_a_run_that_is_none_is_refused(record: str, tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "last.ckpt").touch()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(record)
    assert f"resume={tmp_path}: its record of settings cannot be read" in error_of(f"resume={tmp_path}")
    assert not Path("ran").exists()


def test_as_many_pitches_can_be_asked_for_as_are_remembered() -> None:
    assert model.MAX_PITCHES == MEMORY


def write_sweep(folder: Path, task: object, own: object) -> None:
    (folder / "multirun.yaml").write_text(
        yaml.safe_dump({"hydra": {"overrides": {"task": task, "hydra": own}}})
    )


def test_a_sweep_goes_on_with_its_jobs_and_its_launcher(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra joblib")
    own = [
        "hydra.sweep.dir=elsewhere",
        "hydra.mode=MULTIRUN",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    ]
    write_sweep(tmp_path, ["optimizer=sgd,adam", "resume=before", "seed=0,1"], own)
    assert check([f"resume={tmp_path}", "logger=csv"]) == [
        "optimizer=sgd,adam", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "logger=csv",
        f"resume='{tmp_path}'", "hydra.mode=MULTIRUN", f"hydra.sweep.dir='{tmp_path}'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "own",
    [
        ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "hydra.launcher.mem_gb=8"],
        ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=4"],
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    ],
)
def test_a_sweep_goes_on_with_another_launcher_and_its_own_search(own: list[str], tmp_path: Path) -> None:
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=9"]
    write_sweep(tmp_path, ["seed=0,1"], [*own, *search])
    before = resumed([f"resume={tmp_path}"])
    assert before[1:-3] == [*own, *search]
    assert resumed([f"resume={tmp_path}", "hydra/launcher=basic"])[1:-3] == [*search, "hydra/launcher=basic"]


@pytest.mark.parametrize(
    ("trainer", "task", "before"),
    [
        ({"max_epochs": 20}, [], ["trainer.max_epochs=20"]),
        ({"max_epochs": 6}, ["recipe=finetune,full"], []),
        ({"max_epochs": "auto", "minutes": None}, [], []),
    ],
)
def test_a_sweep_from_before_epochs_were_decided_goes_on_with_its_number(
    trainer: dict[str, Any], task: list[str], before: list[str], tmp_path: Path
) -> None:
    content = {"hydra": {"overrides": {"task": [*task, "seed=0,1"], "hydra": []}}, "trainer": trainer}
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump(content))
    epochs = [o for o in resumed([f"resume={tmp_path}"]) if o.startswith("trainer.max_epochs=")]
    assert epochs == before


def test_what_decided_the_finished_jobs_of_a_sweep_cannot_change(tmp_path: Path) -> None:
    write_sweep(tmp_path, ["optimizer=sgd,adam"], [])
    message = error_of(f"resume={tmp_path}", "trainer.max_epochs=9")
    assert message == "trainer.max_epochs=9: it cannot change in a sweep that goes on; start another"


@pytest.mark.parametrize(
    ("task", "own"),
    [
        (["seed=0,1"], ["hydra.launcher._target_=os.system"]),
        (["seed=0,1"], ["hydra/launcher=joblib\nhydra.x=1"]),
        (["seed=0,1"], ["hydra.launcher.setup=[reboot]"]),
        (["seed=0,1"], ["hydra.launcher.partition=[reboot]"]),
        (["seed=0,1"], ["hydra.launcher.ray.init.address=elsewhere"]),
        (["seed=0,1"], ["hydra.sweeper._target_=os.system"]),
        (["seed=0,1"], ["+hydra.callbacks.x._target_=os.system"]),
        (["hydra.mode=RUN"], []),
        (["dataset.path=${oc.env:HOME}"], []),
    ],
)
def test_record_of_a_sweep_that_could_run_code_is_refused(
    task: list[str], own: list[str], tmp_path: Path
) -> None:
    write_sweep(tmp_path, task, own)
    assert "its record sets" in error_of(f"resume={tmp_path}")


@pytest.mark.parametrize(("task", "own"), [(None, []), ([1], []), ([], "text"), ({}, [])])
def test_record_of_a_sweep_that_is_none_is_refused(task: object, own: object, tmp_path: Path) -> None:
    write_sweep(tmp_path, task, own)
    assert "its record of settings cannot be read" in error_of(f"resume={tmp_path}")


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "dataset"])
def test_every_dataset_comes_back_from_its_plain_section(option: str) -> None:
    parsed = parse(composed(*arguments_for("dataset", option))).dataset
    assert dataset_of(dataclasses.asdict(parsed)) == parsed
