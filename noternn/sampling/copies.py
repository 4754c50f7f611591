"""Keep what is composed from completing passages of the music that a network learned from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.sampling.events import Tables
from noternn.tokenizer import ChordTokenizer, Codec, EventTokenizer
from noternn.tokenizer.grid import DRUM, ticks_per_step


class Passages(Protocol):
    """What knows the passages, see `noternn.audit.online.Passages`. Its states are never changed."""

    @property
    def start(self) -> Any:
        """Before the first note."""

    def at(self, heard: Any, time: int) -> Any:
        """The piece at a time."""

    def begin(self, heard: Any, time: int, struck: Sequence[tuple[int, int]], is_given: bool) -> Any:
        """The piece with more notes: (pitch, program or -1) of each."""

    def hold(self, heard: Any, steps: int) -> Any:
        """The last note sounds for so much longer."""

    def may_copy(self, heard: Any, num_struck: int) -> bool:
        """Whether so many notes could complete a passage."""

    def copies(self, heard: Any, time: int, struck: Sequence[tuple[int, int]], is_given: bool) -> bool:
        """Whether with these notes more of the composed ones stand in passages than may."""


class Place(NamedTuple):
    """How far a sample has come: its time in grid steps, the program that was said, and its notes."""

    time: int
    program: int
    heard: Any


class Bound:
    """Which ids may not come, so that no more of what is composed is copied than may be.

    Args:
        codec: of the ids, of a tokenizer that tells when each note begins.
        passages: that may not come.

    Raises:
        UserError: for another tokenizer.
    """

    def __init__(self, codec: Codec, passages: Passages) -> None:
        check_is_bounded(codec)
        self.passages = passages
        self.steps: list[int] = codec.token_steps().tolist()
        size = len(codec.vocabulary)
        self.durations, self.programs = [0] * size, [-1] * size
        if isinstance(codec.tokenizer, EventTokenizer):
            tables = Tables.of(codec)
            self.durations, self.programs = tables.duration.tolist(), tables.program.tolist()
            pitches = np.where(tables.is_drum, -1, tables.pitch).tolist()
            self.pitches = [(pitch,) if pitch >= 0 else () for pitch in pitches]
        else:
            self.pitches = [tuple(codec.decode([id_]).pitch.tolist()) for id_ in range(size)]
        self.begins = np.array([bool(pitches) for pitches in self.pitches])
        self.most = max(map(len, self.pitches))

    def start(self, time: int = 0) -> Place:
        """Before the first note, at a time in grid steps."""
        return Place(time, -1, self.passages.start)

    def after(self, place: Place, id_: int, is_given: bool) -> Place:
        """The place after an id; whether its notes are given, not composed."""
        time, program, heard = place
        struck = self._struck(place, id_)
        if struck:
            heard = self.passages.begin(heard, time, struck, is_given)
        elif self.durations[id_] and program != DRUM:
            heard = self.passages.hold(heard, self.durations[id_])
        if self.programs[id_] >= 0:
            program = self.programs[id_]
        if self.steps[id_]:
            time += self.steps[id_]
            heard = self.passages.at(heard, time)
        return Place(time, program, heard)

    def _struck(self, place: Place, id_: int) -> list[tuple[int, int]]:
        return [(pitch, place.program) for pitch in self.pitches[id_]]

    def copies(self, place: Place, id_: int, is_given: bool = False) -> bool:
        """Whether an id would complete a passage that may not come."""
        struck = self._struck(place, id_)
        if not struck or not self.passages.may_copy(place.heard, len(struck)):
            return False
        return self.passages.copies(place.heard, place.time, struck, is_given)

    def would_copy(self, place: Place, ids: Sequence[int]) -> bool:
        """Whether given ids that come one after the other would complete one."""
        for id_ in ids:
            if self.copies(place, id_, is_given=True):
                return True
            place = self.after(place, id_, is_given=True)
        return False

    def allowed(self, place: Place, ids: NDArray[np.bool_], is_given: bool = False) -> NDArray[np.bool_]:
        """Those of some ids that would complete none, (vocab_size,)."""
        if not self.passages.may_copy(place.heard, self.most):
            return ids
        begun = np.flatnonzero(ids & self.begins).tolist()
        out = [id_ for id_ in begun if self.copies(place, id_, is_given)]
        if not out:
            return ids
        allowed = ids.copy()
        allowed[out] = False
        return allowed


def check_is_bounded(codec: Codec) -> None:
    """Refuse tokenizers that do not tell when each note begins as soon as they write it.

    Raises:
        UserError: for one.
    """
    if not is_bounded(codec):
        raise UserError("what samples copy is bounded with networks of the tokenizers event and chord alone")


def is_bounded(codec: Codec) -> bool:
    """Whether a tokenizer tells when each note begins as soon as it writes it."""
    return isinstance(codec.tokenizer, EventTokenizer | ChordTokenizer)


def ticks_of_beat(codec: Codec) -> int:
    """Ticks of a beat in the pieces that a codec's tokenizer makes."""
    steps = codec.tokenizer.steps_per_beat
    return steps * ticks_per_step(steps)
