"""A corpus, the part of it that is taken, and how it is split: the types of conf/dataset/."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from noternn.config.checks import Section, require, setting
from noternn.config.tokenizer import FINEST_FRAMES
from noternn.errors import UserError
from noternn.music.instruments import program_of
from noternn.music.limits import Limits
from noternn.music.piece import TRACKS

TRACKS_ALLOWED = (
    f"{', '.join(TRACKS)} or a list of General MIDI instruments or programs from 0 to 127 such as [violin,73]"
)


@dataclass
class Dataset(Section, group="dataset"):
    """A corpus, the files and notes that are taken, and how it is split: auto, content, or a CSV table.

    The fractions are expected shares of the pieces; `include` and `exclude` are patterns of file names (see
    `noternn.datasets.sources.matching_sources`), and `max_files` are taken of what they leave. All of these
    hold for the dataset's own files, not for those of `more`.
    """

    name: str = setting(help="the dataset's name, in messages and in a run's folder")
    tracks: Any = setting("all", help=f"{', '.join(TRACKS)} or a list of instruments that is kept")
    pedal: bool = setting(False, help="hold notes as long as the pedal does")
    repeats: str = setting(
        "once",
        one_of=("once", "played"),
        help="of scores: once (of several endings the last) or played (with repeats and da capo)",
    )
    limits: Limits = field(
        default_factory=Limits, metadata={"help": "the most that is read of one file; more is refused"}
    )
    include: list[str] = setting([], help="patterns of the file names that are taken")
    exclude: list[str] = setting([], help="patterns of the file names that are left out")
    max_files: int | None = setting(None, at_least=1, note=", or null for all", help="take so many at most")
    split: str = setting("auto", help="auto, content, or a CSV table of files and their splits")
    validation_fraction: float = setting(0.1, at_least=0, below=1, help="share of the validation pieces")
    test_fraction: float = setting(0.1, at_least=0, below=1, help="share of the test pieces")
    min_validation: int = setting(
        5,
        at_least=0,
        help="validate on so many pieces and on the whole share at least; 0 leaves it to chance",
    )
    fold: str | None = setting(
        None, help="K/N, such as 1/5: validate on part K of N, of all but the test pieces"
    )
    more: list[str] = setting([], help="installed corpora that are learned from too, and never judged on")
    train_fraction: float = setting(1.0, above=0, at_most=1, help="share of the training pieces that is used")

    def __post_init__(self) -> None:
        """Refuse what is outside its range; write equal choices of instruments equally."""
        super().__post_init__()
        shares = self.validation_fraction + self.test_fraction
        require(shares < 1, "dataset.validation_fraction + test_fraction", shares, "below 1")
        for key, value in vars(self.limits).items():
            require(0 < value < float("inf"), f"dataset.limits.{key}", value, "above 0 and finite")
        self.tracks = _checked_tracks(self.tracks)
        self.fold_of()

    def fold_of(self) -> tuple[int, int]:
        """The number of the fold, from 1, and how many there are; one of one without folds.

        Raises:
            UserError: if `fold` is none.
        """
        if self.fold is None:
            return 1, 1
        match = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", self.fold)
        number, count = map(int, match.groups()) if match else (0, 0)
        allowed = "K/N with K from 1 to N and N at least 2, such as 1/5, or null"
        require(1 <= number <= count >= 2, "dataset.fold", self.fold, allowed)
        return number, count


@dataclass
class FolderDataset(Dataset):
    """The MIDI files and scores below one folder."""

    path: str = setting(help="the folder of the music")


@dataclass
class InstalledDataset(Dataset):
    """Music that is installed with a library: see `noternn.datasets.sources.installed_sources`."""

    corpus: str = setting(help="music21's or Freedoom's music, by its name")


@dataclass
class FramesDataset(Dataset):
    """The pieces of one JSON file of frames, with its own split: see `noternn.music.frames`.

    `origin` says where to get the file.
    """

    path: str = setting(help="the JSON file")
    frames_per_beat: int = setting(at_least=1, at_most=FINEST_FRAMES, help="frames of a quarter note")
    voices: bool = setting(False, help="a frame is a pitch for each voice")
    origin: str = setting(help="where to get the file")


@dataclass
class UnionDataset(Dataset):
    """The files below several folders, as far as these exist, and several installed corpora."""

    paths: dict[str, str] = setting({}, help="folders by name; one that is not there is left out")
    corpora: list[str] = setting([], help="installed corpora")


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
