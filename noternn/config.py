"""The types of the configuration, its checks, and errors in one line; values live in conf/.

With train.py and sweep.py the only importer of Hydra. Nothing here imports torch: a wrong setting
is answered before the slow imports begin.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from noternn.errors import UserError

CONF_DIR = Path(__file__).resolve().parent.parent / "conf"
YOUR_FILES = "for your own files give dataset=folder dataset.path=FOLDER"


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise UserError(f"{name}={value}: it must be {allowed}")


def _require_finite(name: str, value: float) -> None:
    _require(0 <= value < float("inf"), name, value, "at least 0 and finite")


@dataclass
class Dataset:
    """A corpus and how it is split; the fractions are expected shares of the pieces."""

    name: str = MISSING
    validation_fraction: float = 0.1
    test_fraction: float = 0.1

    def __post_init__(self) -> None:
        fractions = (self.validation_fraction, self.test_fraction)
        for key, value in zip(("validation_fraction", "test_fraction"), fractions, strict=True):
            _require(0 <= value < 1, f"dataset.{key}", value, "at least 0 and below 1")
        _require(sum(fractions) < 1, "dataset.validation_fraction + test_fraction", sum(fractions), "below 1")


@dataclass
class FolderDataset(Dataset):
    """The MIDI files below one folder."""

    path: str = MISSING


@dataclass
class UnionDataset(Dataset):
    """The MIDI files below those of several folders that are there."""

    paths: dict[str, str] = field(default_factory=dict)


@dataclass
class ScoreDataset(Dataset):
    """Scores that are installed with music21."""

    corpus: str = MISSING


@dataclass
class Tokenizer:
    """See `noternn.tokenizer.build_tokenizer`."""

    name: str = MISSING
    steps_per_beat: int = 12

    def __post_init__(self) -> None:
        _require(1 <= self.steps_per_beat <= 480, "tokenizer.steps_per_beat", self.steps_per_beat, "1 to 480")


@dataclass
class EventTokenizer(Tokenizer):
    """See `noternn.tokenizer.EventTokenizer`."""

    max_shift_beats: int = 4
    max_duration_beats: int = 8
    velocity: bool = False
    program: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.name == "event", "tokenizer.name", self.name, "event; choose with tokenizer=OPTION")
        for key in ("max_shift_beats", "max_duration_beats"):
            _require(1 <= getattr(self, key) <= 1024, f"tokenizer.{key}", getattr(self, key), "1 to 1024")


@dataclass
class ChordTokenizer(Tokenizer):
    """See `noternn.tokenizer.ChordTokenizer`."""

    max_beats: int = 8
    durations: bool = True
    rests: bool = True
    pitch_class: bool = False
    step_beats: float = 0.5
    min_count: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.name == "chord", "tokenizer.name", self.name, "chord; choose with tokenizer=OPTION")
        _require(1 <= self.max_beats <= 1024, "tokenizer.max_beats", self.max_beats, "1 to 1024")
        _require(self.min_count >= 1, "tokenizer.min_count", self.min_count, "at least 1")
        in_range = 0 < self.step_beats <= 1024
        _require(in_range, "tokenizer.step_beats", self.step_beats, "above 0 and at most 1024")


@dataclass
class DataModule:
    """See `noternn.datamodule.MidiDataModule`."""

    batch_size: int = 32
    window_length: int = 64
    cache_dir: str | None = "data/.cache"
    num_processes: int | None = None

    def __post_init__(self) -> None:
        for key in ("batch_size", "window_length"):
            _require(getattr(self, key) >= 1, f"datamodule.{key}", getattr(self, key), "at least 1")
        if self.num_processes is not None:
            _require(self.num_processes >= 0, "datamodule.num_processes", self.num_processes, "at least 0")


@dataclass
class Model:
    """See `noternn.lstm.NoteLSTM`."""

    embedding_dim: int = MISSING
    hidden_size: int = MISSING
    num_layers: int = MISSING
    dropout: float = MISSING
    num_fc_layers: int = MISSING

    def __post_init__(self) -> None:
        for key in ("embedding_dim", "hidden_size", "num_layers"):
            _require(getattr(self, key) >= 1, f"model.{key}", getattr(self, key), "at least 1")
        _require(0 <= self.dropout < 1, "model.dropout", self.dropout, "at least 0 and below 1")
        _require(self.num_fc_layers in (1, 2), "model.num_fc_layers", self.num_fc_layers, "1 or 2")


@dataclass
class Optimizer:
    """The class `name` of torch.optim and its keyword arguments."""

    name: str = MISSING
    lr: float = MISSING
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _require(0 < self.lr < float("inf"), "optimizer.lr", self.lr, "above 0 and finite")
        _require_finite("optimizer.weight_decay", self.weight_decay)


@dataclass
class Adam(Optimizer):
    """Adam and AdamW."""

    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        inside = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _require(inside, "optimizer.betas", list(self.betas), "two numbers of at least 0 and below 1")


@dataclass
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "at least 0 and below 1")
        allowed = "above 0, or give optimizer.nesterov=false too"
        _require(self.momentum > 0 or not self.nesterov, "optimizer.momentum", self.momentum, allowed)


@dataclass
class RMSprop(Optimizer):
    """RMSprop."""

    alpha: float = 0.99
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("alpha", "momentum"):
            value = getattr(self, key)
            _require(0 <= value < 1, f"optimizer.{key}", value, "at least 0 and below 1")


@dataclass
class Adagrad(Optimizer):
    """Adagrad."""

    lr_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_finite("optimizer.lr_decay", self.lr_decay)


@dataclass
class Adadelta(Optimizer):
    """Adadelta."""

    rho: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 <= self.rho < 1, "optimizer.rho", self.rho, "at least 0 and below 1")


@dataclass
class Trainer:
    """The keyword arguments of Lightning's Trainer that can be set."""

    max_epochs: int = 60
    accelerator: str = "auto"
    precision: str = "32-true"
    gradient_clip_val: float | None = 1.0

    def __post_init__(self) -> None:
        _require(self.max_epochs >= 1, "trainer.max_epochs", self.max_epochs, "at least 1")
        accelerators = ("auto", "cpu", "gpu", "cuda", "mps")
        _require(
            self.accelerator in accelerators, "trainer.accelerator", self.accelerator, ", ".join(accelerators)
        )
        precisions = ("32-true", "bf16-mixed", "16-mixed")
        _require(self.precision in precisions, "trainer.precision", self.precision, ", ".join(precisions))
        if self.gradient_clip_val is not None:
            clip = self.gradient_clip_val
            _require(clip > 0, "trainer.gradient_clip_val", clip, "above 0, or null for none")


@dataclass
class EarlyStopping:
    """Stop after `patience` epochs without a `val/nll` lower by `min_delta`; null never stops."""

    patience: int | None = 5
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience is not None:
            _require(
                self.patience >= 1, "early_stopping.patience", self.patience, "at least 1, or null for never"
            )
        _require_finite("early_stopping.min_delta", self.min_delta)


@dataclass
class Checkpoint:
    """Keep a checkpoint and a sample every `every_n_epochs` epochs, beside the best and the last."""

    every_n_epochs: int = 10

    def __post_init__(self) -> None:
        _require(self.every_n_epochs >= 1, "checkpoint.every_n_epochs", self.every_n_epochs, "at least 1")


@dataclass
class Sampling:
    """How the samples of a run are composed: they continue the opening of a validation piece."""

    primer_notes: int = 16
    num_notes: int = 200
    temperature: float = 1.0
    top_k: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        in_range = 0 < self.temperature < float("inf")
        _require(in_range, "sampling.temperature", self.temperature, "above 0 and finite")
        for key, least in (("primer_notes", 0), ("num_notes", 1), ("top_k", 0), ("seed", 0)):
            _require(getattr(self, key) >= least, f"sampling.{key}", getattr(self, key), f"at least {least}")


@dataclass
class Logger:
    """wandb's mode: auto, online, offline or disabled (metrics.csv is always written)."""

    mode: str = "auto"
    project: str = "noternn"
    entity: str | None = None

    def __post_init__(self) -> None:
        modes = ("auto", "online", "offline", "disabled")
        _require(self.mode in modes, "logger.mode", self.mode, ", ".join(modes))


@dataclass
class Config:
    """Everything that decides a run."""

    dataset: Dataset = MISSING
    tokenizer: Tokenizer = MISSING
    datamodule: DataModule = field(default_factory=DataModule)
    model: Model = MISSING
    optimizer: Optimizer = MISSING
    trainer: Trainer = field(default_factory=Trainer)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    sampling: Sampling = field(default_factory=Sampling)
    logger: Logger = field(default_factory=Logger)
    seed: int = 0
    resume: str | None = None

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**32, "seed", self.seed, "0 to 4294967295")


def register() -> None:
    """Make the types known to Hydra, as the group `schema`."""
    store = ConfigStore.instance()
    store.store(group="schema", name="config", node=Config, package="_global_")
    groups: dict[str, tuple[type, ...]] = {
        "dataset": (FolderDataset, UnionDataset, ScoreDataset),
        "tokenizer": (EventTokenizer, ChordTokenizer),
        "optimizer": (Adam, SGD, RMSprop, Adagrad, Adadelta),
    }
    for group, types in groups.items():
        for type_ in types:
            store.store(group=f"schema/{group}", name=type_.__name__, node=type_)
    OmegaConf.register_new_resolver("noternn_groups", _groups, replace=True)


def _groups() -> str:
    """The groups and their options, a line each, for --help."""
    folders = sorted(folder for folder in CONF_DIR.iterdir() if folder.is_dir())
    lines = [f"  {f.name + ':':<16}" + ", ".join(sorted(p.stem for p in f.glob("*.yaml"))) for f in folders]
    return "\n".join(lines)


def parse(composed: DictConfig) -> Config:
    """The checked configuration of one run.

    Raises:
        UserError: if a value is missing or outside its range.
    """
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        hint = {"dataset.path": "give dataset.path=FOLDER, the folder that holds the MIDI files"}
        raise UserError(f"{missing[0]} is not set: {hint.get(missing[0], f'give {missing[0]}=...')}")
    config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    _refuse_unknown(config, "")
    return config


def _refuse_unknown(section: object, prefix: str) -> None:
    """Settings that were added with + but that no part of the program reads."""
    if not dataclasses.is_dataclass(section):
        raise UserError(f"{prefix.rstrip('.')}={section}: choose one of its options (see --help)")
    known = {f.name for f in dataclasses.fields(section)}
    for name, value in vars(section).items():
        if name not in known:
            where = f"{prefix.rstrip('.')} has" if prefix else "there are"
            choices = _choices(name, sorted(known))
            raise UserError(f"+{prefix}{name}: there is no such setting; {where} {choices}")
        if dataclasses.is_dataclass(value):
            _refuse_unknown(value, f"{prefix}{name}.")


def to_plain(config: Config) -> dict[str, Any]:
    """The configuration as dicts, lists, numbers and strings, for checkpoints and loggers."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    return plain


def check(arguments: Sequence[str]) -> list[str]:
    """Check a command line, every job of a sweep included, before anything is started.

    Args:
        arguments: what stands after the script's name.

    Returns:
        The arguments to hand to Hydra: the same, or with `resume=RUN` spelled out.

    Raises:
        UserError: on the first setting that does not exist or has a wrong value, in one line.
    """
    parsed = get_args_parser().parse_args(list(arguments))
    if parsed.help or parsed.hydra_help or parsed.info or parsed.shell_completion:
        return list(arguments)
    overrides = resumed(parsed.overrides)
    flags = [a for a in arguments if a not in parsed.overrides]
    searched = _search_path(parsed.config_dir) if parsed.config_dir else []
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        for job in _jobs(_parse_overrides([*searched, *overrides]), parsed.multirun):
            _check_job(job)
    return [*flags, *overrides]


def _search_path(config_dir: str) -> list[str]:
    """Where `--config-dir` adds options of the user's own, as an override."""
    folder = Path(config_dir).absolute()
    if not folder.is_dir():
        raise UserError(f"--config-dir {config_dir}: there is no such folder")
    return [f"hydra.searchpath=[{_quoted(f'file://{folder}')}]"]


def resumed(overrides: Sequence[str]) -> list[str]:
    """The overrides of the run named by `resume=`, then the others, in that run's folder."""
    runs = [o.split("=", 1)[1] for o in overrides if o.startswith("resume=")]
    if not runs or runs[-1] in ("null", ""):
        return list(overrides)
    run = Path(_unquoted(runs[-1]))
    record = run / ".hydra" / "overrides.yaml"
    if not (run / "last.ckpt").is_file() or not record.is_file():
        raise UserError(f"resume={run}: no run to continue there; give a run's folder, which holds last.ckpt")
    before = [str(o) for o in OmegaConf.load(record) if not str(o).startswith("resume=")]
    others = [o for o in overrides if not o.startswith("resume=")]
    folder = _quoted(str(run))  # that of a sweep's job holds a "="
    return [*before, *others, f"resume={folder}", "hydra.mode=RUN", f"hydra.run.dir={folder}"]


def _quoted(value: str) -> str:
    """A value as Hydra's grammar reads it back unchanged."""
    escaped = value.replace("'", "\\'")
    return f"'{escaped}'"


def _unquoted(value: str) -> str:
    """A value as the user meant it, with or without the quotes of Hydra's grammar."""
    quote = value[0]
    if quote not in "'\"" or len(value) < 2 or value[-1] != quote:
        return value
    return value[1:-1].replace(f"\\{quote}", quote)


def _parse_overrides(overrides: Sequence[str]) -> list[Override]:
    parsed = []
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())  # glob(*) asks it for options
    for text in overrides:
        name, equals, value = text.partition("=")
        try:
            parsed += parser.parse_overrides([text])
        except HydraException as error:
            quoted = f'put the value in quotes: "{name}={_quoted(value)}"'
            advice = f"cannot be read; {quoted}" if name and equals else "not a setting; write NAME=VALUE"
            raise UserError(f"{text}: {advice}") from error
    return parsed


def _jobs(overrides: Sequence[Override], multirun: bool) -> Iterator[list[str]]:
    """Overrides of jobs that together use every value of a sweep at least once."""
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    swept = [_values(o) for o in overrides if o.is_sweep_override()]
    if swept and not multirun:
        name = next(o for o in overrides if o.is_sweep_override()).input_line
        raise UserError(f"{name}: several values are a sweep; add -m (python train.py -m {name})")
    swept = [values for values in swept if values]
    yield fixed + [values[0] for values in swept]
    for i, values in enumerate(swept):
        others = [v[0] for j, v in enumerate(swept) if j != i]
        for value in values[1:]:
            yield fixed + others + [value]


def _values(override: Override) -> list[str]:
    """The settings of a sweep over a list or range; none for the sweeps that a sweeper draws."""
    if not (override.is_choice_sweep() or override.is_range_sweep()):
        return []
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _check_job(overrides: list[str]) -> None:
    try:
        composed = compose("config", overrides=overrides)
        parse(composed)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_explain(error, overrides)) from error
    except YAMLError as error:
        raise UserError(" ".join(str(error).split())) from error


def _explain(error: Exception, overrides: Sequence[str]) -> str:
    """A composition error in one line: what was given, what is allowed."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _explain_option(error.missing_cfg_file, error.options or [], overrides)
    cause = error.__cause__ or error.__context__ or error
    in_file = re.match(r"In '([^']+)': \w+ raised while composing", str(error))
    where = f"{in_file.group(1)}.yaml: " if in_file else ""
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        return where + _explain_unknown(str(cause.full_key), cause.parent_node)
    present = re.search(r"An item is already at '([^']+)'", str(error))
    if present:
        return f"+{present.group(1)}: this setting is there already; leave out the +"
    wrong = re.search(r"Error merging override (.+)", str(error))
    if wrong:
        return f"{wrong.group(1)}: {_wrong_type(cause)}"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{where}{cause.full_key}: {_wrong_type(cause)}"
    return where + _first_line(cause)


def _explain_option(file: str, options: Sequence[str], overrides: Sequence[str]) -> str:
    """`file`, as in optimizer/adamm, is not there."""
    settings = [o.lstrip("+").split("=", 1) for o in overrides if "=" in o]
    group, option = next((s for s in settings if "/".join(s) == file), file.lstrip("/").rsplit("/", 1))
    choices = _choices(option, [o for o in options if not o.startswith("_")])
    advice = f"; {YOUR_FILES}" if group == "dataset" else ""
    return f"{group}={option}: there is no such {group}; choose {choices}{advice}"


def _explain_unknown(key: str, parent: Any) -> str:
    """`key` is none of the settings in `parent`."""
    section, _, name = key.rpartition(".")
    names = sorted({str(k) for k in parent} - {"hydra"})
    where = f"{section} has" if section else "there are"
    advice = {
        "dataset.path": f"; {YOUR_FILES}",
        "experiment": "; the first line of an experiment's file must be: # @package _global_",
    }
    return f"{key}: there is no such setting; {where} {_choices(name, names)}{advice.get(key, '')}"


def _wrong_type(error: BaseException) -> str:
    """OmegaConf's words for a value of the wrong type in the words of a user."""
    text = _first_line(error)
    allowed = {
        "converted to Float": "a number such as 0.5",
        "converted to Integer": "an integer such as 2",
        "not a valid bool": "true or false",
        "not a ListConfig": "a list such as [0.9,0.99]",
        "not Optional": "a value, not null",
        "not a subclass of": "given setting by setting, as SECTION.SETTING=VALUE",
    }
    return next((f"it must be {words}" for found, words in allowed.items() if found in text), text)


def _choices(given: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(given, allowed, n=1)
    suggestion = f" (did you mean {close[0]}?)" if close else ""
    return ", ".join(allowed) + suggestion


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
