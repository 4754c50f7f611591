"""Notes as events, `Shift Pitch Duration`: all of a piece but its sub-grid timing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import DEFAULT_TEMPO, Piece
from noternn.tokenizer.base import State, Tokenizer
from noternn.tokenizer.grid import (
    DRUM,
    FINEST_GRID,
    Symbol,
    check_argument,
    distinct_notes,
    grid_piece,
    symbols,
)
from noternn.tokenizer.vocabulary import BOS, EOS, UNK

NO_BOUND = 128  # above every pitch: the next note of the onset may have any
DEFAULT_VELOCITY = 80
KINDS = ("Pitch", "Shift", "Duration", "Velocity", "Program")


class _State(NamedTuple):
    """The last token, and the note below which the next one of the same onset must lie."""

    last: str = "Start"  # kind of the last token
    maximal: bool = False  # whether it was the longest of its kind, so that a chain may go on
    program: int = 0
    pitch: int = NO_BOUND


@final
class EventTokenizer(Tokenizer):
    """`Shift_n`, then `[Program_p] Pitch_p Duration_d [Velocity_v]` for every note of the onset.

    With `program` percussion is `Program_drum Drum_p` in the place of `Program_p Pitch_p`: its numbers
    are no pitches, and are not transposed.

    `Shift_n` is the time since the previous onset in grid steps; the first onset has none, for time
    starts there. Notes of an onset come by (program, drums first; pitch descending), so that a piece
    is written in one way only, and the hits that carry the beat are known before what is played to them.
    Longer times are chains: the maximal token, again while it fits, then the remainder; the value is
    their sum.

    Lost: timing finer than the grid, silence before the first note, the tempo map, all but the longest
    of notes that coincide on the grid; without `program` the instruments (notes in unison coincide)
    and all drums; without `velocity` the velocities, with it their distance (up to 2) to the bin center.

    Args:
        steps_per_beat: the grid, 1 to 480.
        max_shift_beats: value of the longest Shift token in beats.
        max_duration_beats: value of the longest Duration token in beats.
        velocity: whether to write velocities, in 32 bins of width 4.
        program: whether to write instruments (`Program_0` to `Program_127`) and drums (`Program_drum`).
        drums_first: false writes the drums of an onset after its other notes, as earlier versions did.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        *,
        steps_per_beat: int = 12,
        max_shift_beats: int = 4,
        max_duration_beats: int = 8,
        velocity: bool = False,
        program: bool = False,
        drums_first: bool = True,
    ) -> None:
        check_argument("steps_per_beat", steps_per_beat, 1, FINEST_GRID)
        check_argument("max_shift_beats", max_shift_beats, 1, 1024)
        check_argument("max_duration_beats", max_duration_beats, 1, 1024)
        self.steps_per_beat = steps_per_beat
        self.max_shift_beats = max_shift_beats
        self.max_duration_beats = max_duration_beats
        self.velocity = velocity
        self.program = program
        self.drums_first = drums_first
        self.writes_drums = program
        self._first_program = DRUM if program and drums_first else 0  # in an onset
        self._max_shift = max_shift_beats * steps_per_beat
        self._max_duration = max_duration_beats * steps_per_beat
        self._head = "Program" if program else "Pitch"  # the first token of a note
        self._tail = "Velocity" if velocity else "Duration"  # its last one
        self._symbols = self._alphabet()
        self._tokens = tuple(self._symbols)
        kinds, values = zip(*self._symbols.values(), strict=True)
        self._first = {kind: kinds.index(kind) for kind in set(kinds)}  # index of each kind's first token
        self._first_drum = len(self._tokens) - 128  # of the tokens Drum_p
        self._kinds = np.array([KINDS.index(kind) for kind in kinds])
        self._values = np.array(values)

    def _alphabet(self) -> dict[str, Symbol]:
        alphabet = symbols("Pitch", range(128))
        alphabet |= symbols("Shift", range(1, self._max_shift + 1))
        alphabet |= symbols("Duration", range(1, self._max_duration + 1))
        if self.velocity:
            alphabet |= symbols("Velocity", range(2, 128, 4))
        if self.program:
            alphabet |= symbols("Program", range(128)) | {"Program_drum": ("Program", DRUM)}
            alphabet |= {f"Drum_{pitch}": ("Pitch", pitch) for pitch in range(128)}
        return alphabet

    def tokenize(self, piece: Piece) -> list[str]:
        """The tokens of `piece`, an onset after the other."""
        tokens, indices = self.tokenize_indexed(piece)
        return [tokens[i] for i in indices.tolist()]

    def tokenize_indexed(self, piece: Piece) -> tuple[Sequence[str], NDArray[np.uint32]]:
        """The alphabet, always the same object, and the index in it of each token of `piece`."""
        notes = distinct_notes(self.written(piece), self.steps_per_beat, self.program, self.drums_first)
        onset, program, pitch, duration, velocity = notes
        shift = onset - 1
        shift[1:] -= onset[:-1]
        shift[:1] = -1
        full_shifts, last_shift = np.divmod(shift, self._max_shift)  # -1, max - 1 where there is no shift
        full_durations, last_duration = np.divmod(duration - 1, self._max_duration)
        parts: list[tuple[Any, Any]] = [  # the tokens of a note in their order, and how often each is written
            (self._first["Shift"] + self._max_shift - 1, np.maximum(full_shifts, 0)),
            (self._first["Shift"] + last_shift, full_shifts >= 0),
            (np.where(program == DRUM, self._first_drum, self._first["Pitch"]) + pitch, 1),
            (self._first["Duration"] + self._max_duration - 1, full_durations),
            (self._first["Duration"] + last_duration, 1),
        ]
        if self.program:
            parts.insert(2, (self._first["Program"] + program, 1))
        if self.velocity:
            parts.append((self._first["Velocity"] + velocity // 4, 1))
        table = np.empty((2, len(onset), len(parts)), dtype=np.int64)
        for i, (token, times) in enumerate(parts):
            table[0, :, i] = token
            table[1, :, i] = times
        tokens, repeats = table.reshape(2, -1)
        return self._tokens, tokens.repeat(repeats).astype(np.uint32)

    def detokenize(self, tokens: Sequence[str], tempo: float = DEFAULT_TEMPO) -> Piece:
        """The piece that `tokens` describe; special and misplaced tokens are passed over.

        A note whose duration is missing or UNK lasts a beat; one whose program is has program 0.
        """
        notes = np.array(self._read_notes(tokens), dtype=np.int64).reshape(-1, 5)
        return grid_piece(notes.T, self.steps_per_beat, tempo)

    def detokenize_indexed(self, tokens: Sequence[str], indices: NDArray[np.uint32]) -> Piece:
        """The piece that the tokens at `indices`, as `tokenize_indexed` writes them, describe."""
        assert tuple(tokens) == self._tokens
        kind, value = self._kinds[indices], self._values[indices]
        pitches = np.flatnonzero(kind == KINDS.index("Pitch"))
        if not len(pitches):
            return grid_piece(np.zeros((5, 0), dtype=np.int64), self.steps_per_beat, DEFAULT_TEMPO)
        time = np.cumsum(np.where(kind == KINDS.index("Shift"), value, 0))
        duration = np.add.reduceat(np.where(kind == KINDS.index("Duration"), value, 0), pitches)
        velocity = np.full(len(pitches), DEFAULT_VELOCITY)
        if self.velocity:
            velocity = value[kind == KINDS.index("Velocity")]
        program = value[pitches - 1] if self.program else np.zeros_like(pitches)
        columns = [time[pitches], program, value[pitches], duration, velocity]
        return grid_piece(np.stack(columns), self.steps_per_beat, DEFAULT_TEMPO)

    def _read_notes(self, tokens: Sequence[str]) -> list[list[int]]:
        """Onset, program, pitch, duration (0 if it is missing) and velocity of each note."""
        notes: list[list[int]] = []
        time, program = 0, 0
        last: Symbol = ("Start", 0)
        for token in tokens:
            if token == UNK:
                last = ("Start", 0)  # what follows belongs to no known note
            symbol = self._symbols.get(token)
            if symbol is None:
                continue
            kind, value = symbol
            if kind == "Shift":
                time += value
            elif kind == "Program":
                program = value
            elif kind == "Pitch":
                notes.append([time, program if last[0] == "Program" else 0, value, 0, DEFAULT_VELOCITY])
            elif kind == "Duration" and last in (("Pitch", 0), ("Duration", self._max_duration)):
                notes[-1][3] += value
            elif kind == "Velocity" and last[0] == "Duration":
                notes[-1][4] = value
            else:
                continue
            last = (kind, 0 if kind == "Pitch" else value)
        return notes

    def begins_onset(self, state: State, token: str) -> bool:
        """Whether `token` is the first of all or the first Shift of a chain."""
        assert isinstance(state, _State)
        return state.last == "Start" or (token.startswith("Shift_") and state.last != "Shift")

    def note_count(self, token: str) -> int:
        """1 for a Pitch or Drum token."""
        return int(token in self._symbols and self._symbols[token][0] == "Pitch")

    def num_steps(self, token: str) -> int:
        """The value of a Shift."""
        kind, value = self._symbols.get(token, ("", 0))
        return value if kind == "Shift" else 0

    def pitch(self, token: str) -> int | None:
        """The value of a Pitch."""
        return self._symbols[token][1] if token.startswith("Pitch_") else None

    def louder(self, token: str, bins: int) -> str:
        """A Velocity so many bins of width 4 higher."""
        if not token.startswith("Velocity_"):
            return token
        return f"Velocity_{min(max(self._symbols[token][1] + 4 * bins, 2), 126)}"

    @property
    def start(self) -> State:
        """Before the first token: a note must come, for a piece has at least one."""
        return _State(program=self._first_program)

    def rank(self, program: int) -> int:
        """The place of a program in an onset."""
        return (program + 1) % (DRUM + 1) if self.drums_first else program

    def follows(self, state: State, token: str) -> bool:
        """Whether `token` continues a piece as `tokenize` writes it; EOS may come after a whole note."""
        assert isinstance(state, _State)
        if token == EOS:
            return state.last == self._tail
        if token not in self._symbols:
            return False
        kind, value = self._symbols[token]
        match kind:
            case "Duration":
                return state.last == "Pitch" or (state.last == "Duration" and state.maximal)
            case "Velocity":
                return state.last == "Duration"
            case "Shift":
                return state.last == self._tail or (state.last == "Shift" and state.maximal)
            case "Program":
                last = (self.rank(state.program), -state.pitch)
                return self._may_begin_note(state) and last < (self.rank(value), 0)
            case _:
                is_due = state.last == "Program" if self.program else self._may_begin_note(state)
                is_drum = self.program and state.program == DRUM
                return is_due and value < state.pitch and token.startswith("Drum_") == is_drum

    def _may_begin_note(self, state: _State) -> bool:
        return state.last in ("Start", "Shift", self._tail)

    def advance(self, state: State, token: str) -> State:
        """The state after `token`; one out of place counts as if it were in place."""
        assert isinstance(state, _State)
        if token == BOS:
            return self.start
        if token == UNK:
            return self._advance_unknown(state)
        if token not in self._symbols:
            return state
        kind, value = self._symbols[token]
        match kind:
            case "Shift":
                return _State("Shift", value == self._max_shift, self._first_program)
            case "Program":
                return _State(kind, False, value, state.pitch if value == state.program else NO_BOUND)
            case "Pitch":
                return _State(kind, False, state.program, value)
            case _:
                maximal = kind == "Duration" and value == self._max_duration
                return state._replace(last=kind, maximal=maximal)

    def _advance_unknown(self, state: _State) -> _State:
        """UNK stands for the next part of a note, or for the first part of the next note."""
        if self._may_begin_note(state):
            bound = NO_BOUND if self.program else state.pitch
            comes_after_drums = self.drums_first and state.program == DRUM
            return _State(self._head, False, 0 if comes_after_drums else state.program, bound)
        part = {"Program": "Pitch", "Pitch": "Duration", "Duration": "Velocity"}[state.last]
        return state._replace(last=part, maximal=False)

    def is_complete(self, state: State) -> bool:
        """Whether the last note has its duration (and velocity), or none was begun since."""
        assert isinstance(state, _State)
        return self._may_begin_note(state)
