"""What the ids of an event vocabulary say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
