"""All settings of a run: what holds between the sections, and how a composed configuration is read.

The types of the sections are this room's other files; their values are in conf/. Nothing here imports
torch: a wrong setting is answered before the slow imports begin.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from noternn.config.checks import AUTO, choices, require, setting
from noternn.config.dataset import Dataset, FolderDataset, FramesDataset, InstalledDataset, UnionDataset
from noternn.config.model import Model
from noternn.config.optimizer import SGD, Adadelta, Adagrad, Adam, RMSprop, Schedule, check_free
from noternn.config.sampling import Sampling
from noternn.config.sweeper import Search
from noternn.config.tokenizer import TOKENIZERS, EventTokenizer, FramesTokenizer, Tokenizer, VoicesTokenizer
from noternn.config.training import (
    Augmentation,
    Checkpoint,
    DataModule,
    EarlyStopping,
    Logger,
    Module,
    Trainer,
    checked_callbacks,
)
from noternn.errors import UserError
from noternn.music.limits import Limits

_CLONE = Path(__file__).resolve().parents[2]
IS_CLONE = (_CLONE / "train.py").is_file() and (_CLONE / "conf").is_dir()
CONF_DIR = _CLONE / "conf" if IS_CLONE else _CLONE / "noternn" / "conf"

# What was so before there was a setting of it, by section.
BEFORE: dict[str, dict[str, Any]] = {
    "model": {"memory": 0, "part_memory": False, "labels": "none"},
    "dataset": {"min_validation": 0, "fold": None, "more": []},
    "trainer": {"minutes": None},
    "augmentation": {"cut": 0.0},
    "schedule": {"piece_tokens": None},
}


@dataclass
class Config:
    """Everything that decides a run."""

    dataset: Dataset = MISSING
    tokenizer: Tokenizer = MISSING
    datamodule: DataModule = MISSING
    augmentation: Augmentation = MISSING
    model: Model = MISSING
    module: Module = MISSING
    optimizer: Any = MISSING  # an Optimizer, or name, lr and free keyword arguments of any in torch.optim
    schedule: Schedule = MISSING
    trainer: Trainer = MISSING
    early_stopping: EarlyStopping = MISSING
    checkpoint: Checkpoint = MISSING
    sampling: Sampling = field(default_factory=Sampling)
    logger: Logger = field(default_factory=Logger)
    callbacks: dict[str, Any] = setting({}, help="Lightning's callbacks and their arguments")
    seed: int = setting(help="of the split, the weights and the training")
    init_from: str | None = setting(None, help="run, checkpoint or base whose weights a run starts from")
    resume: str | None = setting(help="folder of a run or sweep to continue")

    def __post_init__(self) -> None:
        if isinstance(self.optimizer, dict):
            check_free(self.optimizer)
        require(0 <= self.seed < 2**32, "seed", self.seed, "0 to 4294967295")
        can_be_written = self.dataset.tracks != "drums" or getattr(self.tokenizer, "program", False)
        allowed = "given with tokenizer=event (or miditok) tokenizer.program=true, which writes drums"
        require(can_be_written, "dataset.tracks", self.dataset.tracks, allowed)
        merges = self.tokenizer.bpe_vocab_size is not None and self.augmentation.transpose > 0
        allowed = "0 (augmentation=none) with tokenizer.bpe_vocab_size: merged tokens are of one key"
        require(not merges, "augmentation.transpose", self.augmentation.transpose, allowed)
        is_cut, is_event = self.augmentation.cut > 0, isinstance(self.tokenizer, EventTokenizer)
        can_be_cut = is_event and self.tokenizer.bpe_vocab_size is None
        allowed = "0 but with tokenizer=event, without merged tokens, which says where an onset begins"
        require(can_be_cut or not is_cut, "augmentation.cut", self.augmentation.cut, allowed)
        is_of_frames = isinstance(self.tokenizer, (FramesTokenizer, VoicesTokenizer))
        penalty, allowed = self.sampling.repetition_penalty, f"1 with tokenizer={self.tokenizer.name}"
        can_hold = penalty == 1 or not is_of_frames
        require(can_hold, "sampling.repetition_penalty", penalty, f"{allowed}, or no note would be held")
        _require_same_grid(self.dataset, self.tokenizer)
        self.callbacks = checked_callbacks(self.callbacks, self.logger)


def _require_same_grid(dataset: Dataset, tokenizer: Tokenizer) -> None:
    """A step of a tokenizer of frames is a frame of the file, or its likelihoods would be of other frames."""
    is_of_frames = isinstance(tokenizer, (FramesTokenizer, VoicesTokenizer))
    if isinstance(dataset, FramesDataset) and is_of_frames:
        steps, frames = tokenizer.steps_per_beat, dataset.frames_per_beat
        require(
            steps == frames, "tokenizer.steps_per_beat", steps, f"{frames}, as dataset={dataset.name} has"
        )


@functools.cache
def register() -> None:
    """Make the types known to Hydra, as the group `schema`."""
    store = ConfigStore.instance()
    store.store(group="schema", name="config", node=Config, package="_global_")
    groups: dict[str, tuple[type, ...]] = {
        "dataset": (FolderDataset, FramesDataset, InstalledDataset, UnionDataset),
        "tokenizer": tuple(TOKENIZERS.values()),
        "optimizer": (Adam, SGD, RMSprop, Adagrad, Adadelta),
        "sweeper": (Search,),
    }
    for group, types in groups.items():
        for type_ in types:
            store.store(group=f"schema/{group}", name=type_.__name__, node=type_)


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
    if not config.resume:  # a run that goes on was measured when it began
        _require_one_length(config.trainer)
    return config


def _require_one_length(trainer: Trainer) -> None:
    """Minutes choose the epochs."""
    epochs, minutes = trainer.max_epochs, trainer.minutes
    if minutes is not None and epochs != AUTO:
        raise UserError(
            f"trainer.minutes={minutes:g} chooses the epochs, and trainer.max_epochs={epochs} is set: "
            f"give trainer.max_epochs={AUTO} with it, or leave it out"
        )


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
    return kind(**{**BEFORE["dataset"], **plain, "limits": Limits(**plain["limits"])})
