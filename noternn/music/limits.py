"""How large a file of music may be: above, it is refused, so that none fills the memory or takes for ever."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noternn.errors import PieceError


def _limit(default: float, help: str) -> Any:
    """A limit, and what it counts, for `--help`."""
    return field(default=default, metadata={"help": help})


@dataclass  # not frozen: Hydra could not change the values of a frozen one
class Limits:
    """The most that is read of one file; beyond any of these it is refused as a whole.

    A file at the default limits takes less than 2 seconds and 500 MB; both grow with the limits. Notes are
    far above a score, but not above "black" MIDI, which no one plays. Seconds count where files are read in
    processes. Sounding beats are limited since tokenizers write a long note in many tokens.
    """

    max_megabytes: float = _limit(20.0, "of the file; a symphony takes about 1")
    max_tracks: int = _limit(1_000, "tracks that it announces, and chunks that are none")
    max_notes: int = _limit(250_000, "notes begun")
    max_events: int = _limit(1_000_000, "of any kind, notes included")
    max_changes: int = _limit(100_000, "of tempo; of metre; of program")
    max_beats: int = _limit(100_000, "quarter notes until the last note has ended")
    max_sounding_beats: int = _limit(2_000_000, "all durations together")
    max_seconds: float = _limit(120.0, "to read and tokenize it; scores take longest")

    @property
    def max_bytes(self) -> int:
        """`max_megabytes` in bytes."""
        return int(self.max_megabytes * 1e6)


DEFAULT_LIMITS = Limits()


def read_limited(path: Path, max_bytes: int, setting: str = "") -> bytes:
    """Read a file of music.

    Args:
        path: the file.
        max_bytes: a larger one is refused unread.
        setting: that can raise the limit; the message names it.

    Raises:
        PieceError: if it is none that can be read, with the reason.
    """
    try:
        status = os.stat(path)
        # Opening a named pipe would wait for ever for someone to write to it.
        if not stat.S_ISREG(status.st_mode):
            raise PieceError("is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
        if status.st_size > max_bytes:
            size, limit = status.st_size / 1e6, max_bytes / 1e6
            hint = f" ({setting})" if setting else ""
            raise PieceError(f"file is too large: {size:,.1f} MB; at most {limit:g} MB are read{hint}")
        with open(path, "rb") as file:
            return file.read(status.st_size)
    except OSError as error:
        raise PieceError(f"cannot be opened: {error.strerror or error}") from error


def check_beats(beats: int, limits: Limits) -> None:
    """Refuse music that lasts too many beats.

    Raises:
        PieceError: if it lasts more than the limit.
    """
    if beats > limits.max_beats:
        raise PieceError(
            f"is too long or damaged: it lasts {beats:,} beats; at most {limits.max_beats:,} are read "
            "(dataset.limits.max_beats)"
        )


def check_length(
    onset: NDArray[np.int64], duration: NDArray[np.int64], ticks_per_beat: int, limits: Limits
) -> None:
    """Refuse music that lasts too long, or whose notes do together.

    Args:
        onset, duration: (num_notes >= 1,) in ticks.
        ticks_per_beat: ticks in a quarter note.
        limits: of them, beats and sounding beats.

    Raises:
        PieceError: if it is above one of them.
    """
    check_beats(int((onset + duration).max()) // ticks_per_beat, limits)
    sounding = int(duration.sum()) // ticks_per_beat
    if sounding > limits.max_sounding_beats:
        raise PieceError(
            f"is damaged: its notes last {sounding:,} beats together; at most {limits.max_sounding_beats:,} "
            "are read (dataset.limits.max_sounding_beats)"
        )
