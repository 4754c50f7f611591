"""The types of the configuration and the ranges of its values; the values themselves live in conf/.

With command_line.py, sweep.py and train.py the only importer of Hydra. Nothing here imports torch: a
wrong setting is answered before the slow imports begin.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from noternn.errors import UserError
from noternn.music.instruments import program_of
from noternn.music.limits import Limits
from noternn.music.piece import TRACKS
from noternn.tokenizer.bpe import require_tokenizers
from noternn.tokenizer.grid import FINEST_FRAMES
from noternn.tokenizer.miditok_tokenizer import KINDS, require_miditok

CONF_DIR = Path(__file__).resolve().parents[2] / "conf"


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise UserError(f"{name}={value}: it must be {allowed}")


def _require_finite(name: str, value: float) -> None:
    _require(0 <= value < float("inf"), name, value, "at least 0 and finite")


MAX_PITCHES = 64  # see `noternn.model.intervals.MEMORY`, which torch would have to be imported for
TRACKS_ALLOWED = (
    f"{', '.join(TRACKS)} or a list of General MIDI instruments or programs from 0 to 127 such as [violin,73]"
)


def _checked_tracks(tracks: Any) -> str | list[int]:
    """What `select_tracks` takes, with instruments as programs in order: equal choices are equal."""
    if isinstance(tracks, str) and tracks in TRACKS:
        return tracks
    _require(isinstance(tracks, list) and bool(tracks), "dataset.tracks", tracks, TRACKS_ALLOWED)
    try:
        programs = {program_of(item) if isinstance(item, str) else item for item in tracks}
    except UserError as error:
        raise UserError(f"dataset.tracks={tracks}: it must be {TRACKS_ALLOWED}; {error}") from error
    are_programs = all(type(program) is int and 0 <= program <= 127 for program in programs)
    _require(are_programs, "dataset.tracks", tracks, TRACKS_ALLOWED)
    return sorted(programs)


@dataclass
class Dataset:
    """A corpus, what of it is taken, and how it is split: auto, content, or a CSV table.

    The fractions are expected shares of the pieces; `include` and `exclude` are patterns of file names (see
    `noternn.datasets.sources.matching_sources`), and `max_files` are taken of what they leave.
    """

    name: str = MISSING
    tracks: Any = "all"  # see `noternn.music.piece.select_tracks`
    pedal: bool = False  # see `noternn.music.midi.read_midi`
    limits: Limits = field(default_factory=Limits)
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    max_files: int | None = None
    split: str = "auto"  # see `noternn.datasets.configured.ready_made_split`
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    train_fraction: float = 1.0  # of the training pieces, see `noternn.corpus.splits.encode_corpus`

    def __post_init__(self) -> None:
        fractions = (self.validation_fraction, self.test_fraction)
        for key, value in zip(("validation_fraction", "test_fraction"), fractions, strict=True):
            _require(0 <= value < 1, f"dataset.{key}", value, "at least 0 and below 1")
        _require(sum(fractions) < 1, "dataset.validation_fraction + test_fraction", sum(fractions), "below 1")
        _require(
            0 < self.train_fraction <= 1,
            "dataset.train_fraction",
            self.train_fraction,
            "above 0 and at most 1",
        )
        if self.max_files is not None:
            _require(self.max_files >= 1, "dataset.max_files", self.max_files, "at least 1, or null for all")
        for key, value in vars(self.limits).items():
            _require(0 < value < float("inf"), f"dataset.limits.{key}", value, "above 0 and finite")
        self.tracks = _checked_tracks(self.tracks)


@dataclass
class FolderDataset(Dataset):
    """The MIDI files and scores below one folder."""

    path: str = MISSING


@dataclass
class InstalledDataset(Dataset):
    """Music that is installed with a library: see `noternn.datasets.sources.installed_sources`."""

    corpus: str = MISSING


@dataclass
class FramesDataset(Dataset):
    """The pieces of one JSON file of frames, with its own split: see `noternn.music.frames`.

    `origin` says where to get the file.
    """

    path: str = MISSING
    frames_per_beat: int = MISSING
    voices: bool = False
    origin: str = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        is_grid = 1 <= self.frames_per_beat <= FINEST_FRAMES
        _require(is_grid, "dataset.frames_per_beat", self.frames_per_beat, f"1 to {FINEST_FRAMES}")


@dataclass
class UnionDataset(Dataset):
    """What lies below those of several folders that are there, and several installed corpora."""

    paths: dict[str, str] = field(default_factory=dict)
    corpora: list[str] = field(default_factory=list)


@dataclass
class Tokenizer:
    """See `noternn.tokenizer.build_tokenizer`."""

    name: str = MISSING
    steps_per_beat: int = 12
    bpe_vocab_size: int | None = None

    def __post_init__(self) -> None:
        if self.bpe_vocab_size is not None:
            _require(self.bpe_vocab_size >= 1, "tokenizer.bpe_vocab_size", self.bpe_vocab_size, "at least 1")
            require_tokenizers()
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
class FramesTokenizer(Tokenizer):
    """See `noternn.tokenizer.FramesTokenizer`."""

    steps_per_beat: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.name == "frames", "tokenizer.name", self.name, "frames; choose with tokenizer=OPTION")
        _require_frames(self.steps_per_beat)


@dataclass
class VoicesTokenizer(Tokenizer):
    """See `noternn.tokenizer.VoicesTokenizer`."""

    steps_per_beat: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.name == "voices", "tokenizer.name", self.name, "voices; choose with tokenizer=OPTION")
        _require_frames(self.steps_per_beat)


def _require_frames(steps_per_beat: int) -> None:
    is_grid = steps_per_beat <= FINEST_FRAMES
    _require(is_grid, "tokenizer.steps_per_beat", steps_per_beat, f"1 to {FINEST_FRAMES} for this tokenizer")


@dataclass
class MidiTokTokenizer(Tokenizer):
    """See `noternn.tokenizer.MidiTokTokenizer`."""

    kind: str = "REMI"
    velocity: bool = False
    program: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.name == "miditok", "tokenizer.name", self.name, "miditok; choose with tokenizer=OPTION")
        _require(self.kind in KINDS, "tokenizer.kind", self.kind, choices(self.kind, KINDS))
        require_miditok()


@dataclass
class DataModule:
    """See `noternn.training.datamodule.MidiDataModule`."""

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
class Augmentation:
    """How training pieces are varied; see `noternn.training.datamodule.MidiDataModule`."""

    transpose: int = 0
    velocity: int = 0

    def __post_init__(self) -> None:
        for key in ("transpose", "velocity"):
            value = getattr(self, key)
            _require(0 <= value <= 127, f"augmentation.{key}", value, "0 to 127")


@dataclass
class Model:
    """See `noternn.model.lstm.NoteLSTM` and `build_network`; null takes `dropout`."""

    embedding_dim: int = MISSING
    hidden_size: int = MISSING
    num_layers: int = MISSING
    dropout: float = MISSING
    num_fc_layers: int = MISSING
    input_dropout: float | None = None
    output_dropout: float | None = None
    embedding_dropout: float = 0.0
    weight_dropout: float = 0.0
    variational: bool = False
    residual: bool = False
    num_input_tokens: int = 1
    tied: bool = False
    position_beats: list[int] = field(default_factory=list)
    num_slots: int = 0
    num_pitches: int = 0
    pitch_channels: int = 0

    def __post_init__(self) -> None:
        for key in ("embedding_dim", "hidden_size", "num_layers", "num_input_tokens"):
            _require(getattr(self, key) >= 1, f"model.{key}", getattr(self, key), "at least 1")
        for key in ("dropout", "input_dropout", "output_dropout", "embedding_dropout", "weight_dropout"):
            value = getattr(self, key)
            _require(value is None or 0 <= value < 1, f"model.{key}", value, "at least 0 and below 1")
        _require(self.num_fc_layers in (1, 2), "model.num_fc_layers", self.num_fc_layers, "1 or 2")
        can_be_tied = self.num_fc_layers == 2 or self.embedding_dim == self.hidden_size
        allowed = (
            f"false, or give model.embedding_dim={self.hidden_size} (the hidden_size) or num_fc_layers=2"
        )
        _require(can_be_tied or not self.tied, "model.tied", self.tied, allowed)
        are_positive = all(beats >= 1 for beats in self.position_beats)
        _require(are_positive, "model.position_beats", self.position_beats, "beats, each at least 1")
        _require(self.num_slots >= 0, "model.num_slots", self.num_slots, "at least 0")
        _require(
            0 <= self.num_pitches <= MAX_PITCHES, "model.num_pitches", self.num_pitches, f"0 to {MAX_PITCHES}"
        )
        _require(self.pitch_channels >= 0, "model.pitch_channels", self.pitch_channels, "at least 0")


@dataclass
class Module:
    """See `noternn.training.module.NoteRNN`."""

    ema_decay: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for key in ("ema_decay", "label_smoothing"):
            value = getattr(self, key)
            _require(0 <= value < 1, f"module.{key}", value, "at least 0 and below 1")


@dataclass
class Schedule:
    """See `noternn.training.optim.Schedule`."""

    name: str = "constant"
    warmup_epochs: float = 0.0
    final_fraction: float = 0.0
    factor: float = 0.5
    patience: int = 2

    def __post_init__(self) -> None:
        names = ("constant", "cosine", "plateau")
        _require(self.name in names, "schedule.name", self.name, f"{', '.join(names)}; set schedule=...")
        _require_finite("schedule.warmup_epochs", self.warmup_epochs)
        for key in ("final_fraction", "factor"):
            value = getattr(self, key)
            _require(0 <= value <= 1, f"schedule.{key}", value, "0 to 1")
        _require(self.patience >= 1, "schedule.patience", self.patience, "at least 1")


@dataclass
class Optimizer:
    """The class `name` of torch.optim and its keyword arguments."""

    name: str = MISSING
    lr: float = MISSING
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        names = {"Adam": ("Adam", "AdamW")}.get(type(self).__name__, (type(self).__name__,))
        _require(self.name in names, "optimizer.name", self.name, f"{' or '.join(names)}; set optimizer=...")
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
    detect_anomaly: bool = False

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
    """Keep a checkpoint and a sample every `every_n_epochs` epochs, beside the best and the last.

    The last is also written every `every_minutes` within an epoch.
    """

    every_n_epochs: int = 10
    every_minutes: float = 10.0

    def __post_init__(self) -> None:
        _require(self.every_n_epochs >= 1, "checkpoint.every_n_epochs", self.every_n_epochs, "at least 1")
        _require(self.every_minutes > 0, "checkpoint.every_minutes", self.every_minutes, "above 0")


@dataclass
class Sampling:
    """How the samples of a run are composed: they continue the opening of a validation piece.

    But for `primer_notes`, see `noternn.sampling.sampler.SamplingOptions`.
    """

    primer_notes: int = 16
    num_notes: int = 200
    temperature: float = 1.0
    top_k: int = 10
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_window: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        in_range = 0 < self.temperature < float("inf")
        allowed = "above 0 and finite; the most probable token every time is sampling.top_k=1"
        _require(in_range, "sampling.temperature", self.temperature, allowed)
        _require(0 < self.top_p <= 1, "sampling.top_p", self.top_p, "above 0 and at most 1, which is all")
        _require(0 <= self.min_p <= 1, "sampling.min_p", self.min_p, "0, which is all, to 1")
        in_range = 1 <= self.repetition_penalty < float("inf")
        allowed = "at least 1, which is none, and finite"
        _require(in_range, "sampling.repetition_penalty", self.repetition_penalty, allowed)
        natural = {"primer_notes": 0, "num_notes": 1, "top_k": 0, "repetition_window": 1, "seed": 0}
        for key, least in natural.items():
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
class Search:
    """Of Hydra's sweeper `optuna`, see `noternn.launch.search.OptunaSweeper`.

    Args:
        n_trials: how many there shall be, with those that a search which goes on has behind it.
        n_jobs: trials of a batch; None takes as many as joblib runs side by side, else one.
        seed: of the draws.
        n_startup_trials: that finish before any is pruned.
        n_warmup_epochs: of each trial before it may be.
        params: what an experiment sweeps, by setting.
        trial: in a job the number of its own.
    """

    _target_: str = MISSING
    n_trials: int = 20
    n_jobs: int | None = None
    seed: int = 0
    n_startup_trials: int = 5
    n_warmup_epochs: int = 5
    params: dict[str, str] | None = None
    trial: int | None = None

    def __post_init__(self) -> None:
        least = {"n_trials": 1, "seed": 0, "n_startup_trials": 0, "n_warmup_epochs": 0}
        for key, number in least.items():
            value = getattr(self, key)
            _require(value >= number, f"hydra.sweeper.{key}", value, f"at least {number}")
        if self.n_jobs is not None:
            _require(self.n_jobs >= 1, "hydra.sweeper.n_jobs", self.n_jobs, "at least 1, or null")


@dataclass
class Config:
    """Everything that decides a run."""

    dataset: Dataset = MISSING
    tokenizer: Tokenizer = MISSING
    datamodule: DataModule = field(default_factory=DataModule)
    augmentation: Augmentation = MISSING
    model: Model = MISSING
    module: Module = field(default_factory=Module)
    optimizer: Optimizer = MISSING
    schedule: Schedule = MISSING
    trainer: Trainer = field(default_factory=Trainer)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    sampling: Sampling = field(default_factory=Sampling)
    logger: Logger = field(default_factory=Logger)
    seed: int = 0
    resume: str | None = None

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**32, "seed", self.seed, "0 to 4294967295")
        can_be_written = self.dataset.tracks != "drums" or getattr(self.tokenizer, "program", False)
        allowed = "given with tokenizer=event (or miditok) tokenizer.program=true, which writes drums"
        _require(can_be_written, "dataset.tracks", self.dataset.tracks, allowed)
        merges = self.tokenizer.bpe_vocab_size is not None and self.augmentation.transpose > 0
        allowed = "0 (augmentation=none) with tokenizer.bpe_vocab_size: merged tokens are of one key"
        _require(not merges, "augmentation.transpose", self.augmentation.transpose, allowed)
        is_of_frames = isinstance(self.tokenizer, (FramesTokenizer, VoicesTokenizer))
        penalty, allowed = self.sampling.repetition_penalty, f"1 with tokenizer={self.tokenizer.name}"
        can_hold = penalty == 1 or not is_of_frames
        _require(can_hold, "sampling.repetition_penalty", penalty, f"{allowed}, or no note would be held")
        _require_same_grid(self.dataset, self.tokenizer)


def _require_same_grid(dataset: Dataset, tokenizer: Tokenizer) -> None:
    """A step of a tokenizer of frames is a frame of the file, or its likelihoods would be of other frames."""
    is_of_frames = isinstance(tokenizer, (FramesTokenizer, VoicesTokenizer))
    if isinstance(dataset, FramesDataset) and is_of_frames:
        steps, frames = tokenizer.steps_per_beat, dataset.frames_per_beat
        _require(
            steps == frames, "tokenizer.steps_per_beat", steps, f"{frames}, as dataset={dataset.name} has"
        )


@functools.cache
def register() -> None:
    """Make the types known to Hydra, as the group `schema`."""
    store = ConfigStore.instance()
    store.store(group="schema", name="config", node=Config, package="_global_")
    groups: dict[str, tuple[type, ...]] = {
        "dataset": (FolderDataset, FramesDataset, InstalledDataset, UnionDataset),
        "tokenizer": (EventTokenizer, ChordTokenizer, FramesTokenizer, VoicesTokenizer, MidiTokTokenizer),
        "optimizer": (Adam, SGD, RMSprop, Adagrad, Adadelta),
        "sweeper": (Search,),
    }
    for group, types in groups.items():
        for type_ in types:
            store.store(group=f"schema/{group}", name=type_.__name__, node=type_)


def groups() -> str:
    """The groups and their options, a line each, for --help."""
    folders = sorted({path.parent for path in CONF_DIR.glob("*/*.yaml")})
    lines = [f"  {f.name + ':':<16}" + ", ".join(sorted(p.stem for p in f.glob("*.yaml"))) for f in folders]
    return "\n".join(lines)


def parse(composed: DictConfig) -> Config:
    """The checked configuration of one run.

    Raises:
        UserError: if a value is missing or outside its range.
    """
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        hint = {"dataset.path": "give dataset.path=FOLDER, the folder that holds the music"}
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
            allowed = choices(name, sorted(known))
            raise UserError(f"+{prefix}{name}: there is no such setting; {where} {allowed}")
        if dataclasses.is_dataclass(value):
            _refuse_unknown(value, f"{prefix}{name}.")


def to_plain(config: Config) -> dict[str, Any]:
    """The configuration as dicts, lists, numbers and strings, for checkpoints and loggers."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    return plain


def dataset_of(plain: dict[str, Any]) -> Dataset:
    """The section `dataset` of what `to_plain` gave.

    Raises:
        UserError: if a value is outside its range.
        TypeError: if it is no such section.
    """
    kinds = (FolderDataset, InstalledDataset, UnionDataset, FramesDataset)
    kind = next((k for k in kinds if set(plain) <= {f.name for f in dataclasses.fields(k)}), Dataset)
    return kind(**{**plain, "limits": Limits(**plain["limits"])})


def choices(given: str, allowed: Sequence[str]) -> str:
    """What is allowed, for a message, with the nearest to what was given."""
    close = difflib.get_close_matches(given, allowed, n=1)
    suggestion = f" (did you mean {close[0]}?)" if close else ""
    return ", ".join(allowed) + suggestion
