"""A corpus, the part of it that is taken, and how it is split: the types of conf/dataset/."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from noternn.config.checks import require
from noternn.errors import UserError
from noternn.music.instruments import program_of
from noternn.music.limits import Limits
from noternn.music.piece import TRACKS
from noternn.tokenizer.grid import FINEST_FRAMES

TRACKS_ALLOWED = (
    f"{', '.join(TRACKS)} or a list of General MIDI instruments or programs from 0 to 127 such as [violin,73]"
)


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
            require(0 <= value < 1, f"dataset.{key}", value, "at least 0 and below 1")
        require(sum(fractions) < 1, "dataset.validation_fraction + test_fraction", sum(fractions), "below 1")
        require(
            0 < self.train_fraction <= 1,
            "dataset.train_fraction",
            self.train_fraction,
            "above 0 and at most 1",
        )
        if self.max_files is not None:
            require(self.max_files >= 1, "dataset.max_files", self.max_files, "at least 1, or null for all")
        for key, value in vars(self.limits).items():
            require(0 < value < float("inf"), f"dataset.limits.{key}", value, "above 0 and finite")
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
        require(is_grid, "dataset.frames_per_beat", self.frames_per_beat, f"1 to {FINEST_FRAMES}")


@dataclass
class UnionDataset(Dataset):
    """What lies below those of several folders that are there, and several installed corpora."""

    paths: dict[str, str] = field(default_factory=dict)
    corpora: list[str] = field(default_factory=list)


def _checked_tracks(tracks: Any) -> str | list[int]:
    """What `select_tracks` takes, with instruments as programs in order: equal choices are equal."""
    if isinstance(tracks, str) and tracks in TRACKS:
        return tracks
    require(isinstance(tracks, list) and bool(tracks), "dataset.tracks", tracks, TRACKS_ALLOWED)
    try:
        programs = {program_of(item) if isinstance(item, str) else item for item in tracks}
    except UserError as error:
        raise UserError(f"dataset.tracks={tracks}: it must be {TRACKS_ALLOWED}; {error}") from error
    are_programs = all(type(program) is int and 0 <= program <= 127 for program in programs)
    require(are_programs, "dataset.tracks", tracks, TRACKS_ALLOWED)
    return sorted(programs)
