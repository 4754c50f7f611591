"""What the ids of an event vocabulary say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.tokenizer import Codec, EventTokenizer
from noternn.tokenizer.grid import DRUM


@dataclass(frozen=True)
class Tables:
    """What the ids of an event vocabulary say, each (vocab_size,)."""

    steps: NDArray[np.int64]  # of a Shift
    pitch: NDArray[np.int64]  # of a Pitch or Drum, else -1
    program: NDArray[np.int64]  # else -1
    rank: NDArray[np.int64]  # of the program in an onset, else -1
    duration: NDArray[np.int64]
    velocity: NDArray[np.int64]
    is_drum: NDArray[np.bool_]
    begins: NDArray[np.bool_]  # a note: a Program, Pitch or Drum
    goes_on: NDArray[np.bool_]  # with a note: a Duration or Velocity
    longest: int  # steps of a Shift
    has_programs: bool

    @classmethod
    def of(cls, codec: Codec) -> Tables:
        """Read a vocabulary."""
        tokenizer = codec.tokenizer
        assert isinstance(tokenizer, EventTokenizer)
        kinds = [read(token) for token in codec.vocabulary.tokens]

        def values(*names: str, other: int) -> NDArray[np.int64]:
            return np.array([value if kind in names else other for kind, value in kinds], dtype=np.int64)

        pitch, program = values("Pitch", "Drum", other=-1), values("Program", other=-1)
        duration, velocity = values("Duration", other=0), values("Velocity", other=0)
        is_drum = np.array([kind == "Drum" for kind, _ in kinds])
        begins, goes_on = (pitch >= 0) | (program >= 0), (duration > 0) | (velocity > 0)
        longest = tokenizer.max_shift_beats * tokenizer.steps_per_beat
        steps = values("Shift", other=0)
        rank = np.array([tokenizer.rank(p) if p >= 0 else -1 for p in program.tolist()], dtype=np.int64)
        columns = steps, pitch, program, rank, duration, velocity, is_drum, begins, goes_on
        return cls(*columns, longest, tokenizer.program)

    def crowded(self, time: int, ends: Sequence[int], most: int) -> NDArray[np.bool_]:
        """Which ids would begin a note where `most` sound, or move time on to where no other may begin.

        Args:
            time: in grid steps.
            ends: of the notes that sound then, (num_sounding,).
            most: notes that may sound.
        """
        then = time + self.steps
        sounding = (np.array(ends, dtype=np.int64)[:, None] > then).sum(axis=0)  # (vocab_size,)
        goes_nowhere = (self.steps > 0) & (self.steps != self.longest) & (sounding >= most)
        is_full = len(ends) >= most
        found: NDArray[np.bool_] = goes_nowhere | (self.begins & is_full)
        return found


class Sounding(NamedTuple):
    """The notes that sound at a time.

    Args:
        time: in grid steps.
        ends: of these notes.
    """

    time: int = 0
    ends: tuple[int, ...] = ()


class Crowd:
    """A bound on how many notes sound at once, given ones included.

    Args:
        codec: of the ids.
        most: notes.

    Raises:
        UserError: if the tokenizer does not write one note after the other.
    """

    def __init__(self, codec: Codec, most: int) -> None:
        check_is_event(codec)
        self.tables, self.most = Tables.of(codec), most
        self.furthest = int(self.tables.steps.max())  # that one Shift goes

    def after(self, sounding: Sounding, id_: int) -> Sounding:
        """What sounds after an id."""
        steps = int(self.tables.steps[id_])
        time, ends = sounding.time + steps, sounding.ends
        if self.tables.pitch[id_] >= 0:
            ends = (*ends, time)
        elif self.tables.duration[id_] and ends:
            ends = (*ends[:-1], ends[-1] + int(self.tables.duration[id_]))
        elif steps:
            ends = tuple(end for end in ends if end > time)
        return Sounding(time, ends)

    def allowed(self, sounding: Sounding, ids: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Those of some ids after which no more sound, (vocab_size,)."""
        return ids & ~self.tables.crowded(*sounding, self.most) & ~self._closes_off(sounding)

    def _closes_off(self, sounding: Sounding) -> NDArray[np.bool_]:
        """Which ids make a note so long that no Shift leads to where another may begin, (vocab_size,).

        Any number of the longest Shifts there can be may follow one another, where the vocabulary has it.
        """
        time, ends = sounding
        until = time + self.furthest
        is_free = len(ends) < self.most or min(ends[:-1], default=until + 1) <= until
        if is_free or self.furthest == self.tables.longest:
            return np.zeros(len(self.tables.steps), dtype=np.bool_)
        closes: NDArray[np.bool_] = (self.tables.duration > 0) & (ends[-1] + self.tables.duration > until)
        return closes


def check_is_event(codec: Codec) -> None:
    """Refuse other tokenizers.

    Raises:
        UserError: on one.
    """
    if not isinstance(codec.tokenizer, EventTokenizer):
        raise UserError("this network's tokenizer does not write one note after the other: train with event")


def read(token: str) -> tuple[str, int]:
    """Kind and value of a token of `EventTokenizer`; the kind of any other is empty."""
    kind, _, value = token.partition("_")
    return (kind, DRUM if value == "drum" else int(value)) if value else ("", 0)
