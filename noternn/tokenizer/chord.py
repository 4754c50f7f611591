"""One token a chord: the notes that start together, with its duration and the rest after it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, final

import numpy as np

from noternn.music.piece import DEFAULT_TEMPO, Piece
from noternn.tokenizer.base import State, Tokenizer
from noternn.tokenizer.grid import (
    FINEST_GRID,
    Symbol,
    chain,
    check_argument,
    grid_times,
    symbols,
    ticks_per_step,
)
from noternn.tokenizer.vocabulary import BOS, EOS, UNK

MIDDLE_C = 60
CHORD_PATTERN = re.compile(r"(?:pc)?[0-9]{1,3}(?:\.[0-9]{1,3})*")


class _State(NamedTuple):
    last: str = "Start"  # kind of the last token
    maximal: bool = False  # whether it was the longest of its kind, so that a chain may go on


@final
class ChordTokenizer(Tokenizer):
    """`48.60.64 [Duration_d] [Rest_n]`: the pitches that start together, ascending, then their time.

    Times are in grid steps; longer ones are chains, as in `EventTokenizer`. Four ways to tell time:

    - durations and rests: `Duration_d` until the longest note ends or the next chord begins, whichever
      is first; `Rest_n` the silence, if any, until the next chord. Onsets are exact on the grid.
    - durations only: `Duration_d` until the next chord begins (the last chord: until its longest note
      ends). Onsets are exact on the grid.
    - rests only: every chord takes `step_beats`; `Rest_n` as above.
    - neither: every chord takes `step_beats`.

    Lost: timing finer than the grid, silence before the first chord, the tempo map, velocities,
    instruments, drums; notes that coincide on the grid become one, notes of a chord end together, and
    a note held over the next onset is cut there.

    Args:
        steps_per_beat: the grid, 1 to 480.
        max_beats: value of the longest Duration and Rest token in beats.
        durations: whether to write how long a chord lasts.
        rests: whether to write silence.
        pitch_class: write two or more pitches as pitch classes, `pc0.4.7`, read from middle C upward;
            pitches in octaves, `pc0`, are read as one octave. A single pitch stays as it is.
        step_beats: time of a chord without durations, and of one whose duration is UNK; rounded to the
            grid, at least one step.
        min_count: chords (and times) seen fewer times than this in the training split become UNK.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        *,
        steps_per_beat: int = 12,
        max_beats: int = 8,
        durations: bool = True,
        rests: bool = True,
        pitch_class: bool = False,
        step_beats: float = 0.5,
        min_count: int = 2,
    ) -> None:
        check_argument("steps_per_beat", steps_per_beat, 1, FINEST_GRID)
        check_argument("max_beats", max_beats, 1, 1024)
        check_argument("min_count", min_count, 1, 2**31)
        if not step_beats > 0:
            raise ValueError(f"step_beats must be above 0; got {step_beats}")
        self.steps_per_beat = steps_per_beat
        self.max_beats = max_beats
        self.durations = durations
        self.rests = rests
        self.pitch_class = pitch_class
        self.step_beats = step_beats
        self.min_count = min_count
        self._maximum = max_beats * steps_per_beat
        self._chord_steps = max(1, round(step_beats * steps_per_beat))
        self._tail = "Duration" if durations else "Chord"  # what ends a chord
        values = range(1, self._maximum + 1)
        self._times = symbols("Duration", values) if durations else {}
        self._times |= symbols("Rest", values) if rests else {}

    def tokenize(self, piece: Piece) -> list[str]:
        """The tokens of `piece`, a chord after the other."""
        piece = self.written(piece)
        if not piece.num_notes:
            return []
        note_onset, duration = grid_times(piece, self.steps_per_beat)
        onset, first = np.unique(note_onset, return_index=True)  # each (num_chords,); notes come by onset
        end = np.maximum.reduceat(note_onset + duration, first)
        following = np.append(onset[1:], end[-1])
        sounding = np.minimum(end, following) - onset
        length = sounding if self.rests else following - onset
        rest = following - onset - sounding
        chords = np.split(piece.pitch, first[1:])
        tokens: list[str] = []
        for pitches, steps, silence in zip(chords, length.tolist(), rest.tolist(), strict=True):
            tokens.append(_chord_token(pitches.tolist(), self.pitch_class))
            if self.durations:
                tokens += chain("Duration", steps, self._maximum)
            if self.rests:
                tokens += chain("Rest", silence, self._maximum)
        return tokens

    def detokenize(self, tokens: Sequence[str], tempo: float = DEFAULT_TEMPO) -> Piece:
        """The piece that `tokens` describe; special and misplaced tokens are passed over.

        An UNK chord is silence of its duration, so that what comes after it stays in place. A chord
        whose duration is missing or UNK takes `step_beats`.
        """
        notes: list[tuple[int, int, int]] = []
        time = 0
        for token, steps in self._read_spans(tokens):
            length = steps or self._chord_steps
            notes += [(time, length, pitch) for pitch in self._pitches(token)]
            time += length
        onset, duration, pitch = np.array(notes, dtype=np.int64).reshape(-1, 3).T
        step = ticks_per_step(self.steps_per_beat)
        return Piece.from_notes(
            onset * step,
            duration * step,
            pitch,
            ticks_per_beat=self.steps_per_beat * step,
            tempos=((0, tempo),),
        )

    def _read_spans(self, tokens: Sequence[str]) -> list[tuple[str, int]]:
        """Chords, unknown chords and rests in time order, with their steps (0 where no Duration says)."""
        spans: list[tuple[str, int]] = []
        state = self.start
        for token in tokens:
            kind, steps = self._read(token)
            after = self.advance(state, token)
            if after == _State("Chord") and (kind == "Chord" or token == UNK):
                spans.append((token, 0))
            elif kind == "Rest":
                spans.append((token, steps))
            elif kind == "Duration" and self.follows(state, token):
                spans[-1] = (spans[-1][0], spans[-1][1] + steps)
            state = after
        return spans

    def begins_onset(self, state: State, token: str) -> bool:  # noqa: ARG002  # a chord is one anywhere
        """Whether `token` is a chord."""
        return self._read(token)[0] == "Chord"

    def note_count(self, token: str) -> int:
        """The number of pitches of a chord token."""
        return len(self._pitches(token))

    def num_steps(self, token: str) -> int:
        """The value of a Duration or Rest; `step_beats` for a chord where durations are off."""
        kind, steps = self._read(token)
        return steps if kind != "Chord" or self.durations else self._chord_steps

    def pitch(self, token: str) -> int | None:
        """That of a chord of one note; None among pitch classes, whose lone notes alone would have one."""
        pitches = self._pitches(token)
        return pitches[0] if len(pitches) == 1 and not self.pitch_class else None

    def transposed(self, token: str, semitones: int) -> str | None:
        """A chord with all of its pitches (or pitch classes) moved; times stay."""
        pitches = [pitch + semitones for pitch in self._pitches(token)]
        if not pitches:
            return token
        if token.startswith("pc"):  # its pitches stand for classes, which come round
            return _chord_token([MIDDLE_C + pitch % 12 for pitch in pitches] + [pitches[0] % 12], True)
        is_playable = min(pitches) >= 0 and max(pitches) <= 127
        return _chord_token(pitches, self.pitch_class) if is_playable else None

    def _pitches(self, token: str) -> tuple[int, ...]:
        return _chord_pitches(token, self.pitch_class)

    def _read(self, token: str) -> Symbol:
        """Kind and value of a token; the kind is empty if the token is none of this tokenizer's."""
        if token in self._times:
            return self._times[token]
        return ("Chord", 0) if self._pitches(token) else ("", 0)

    @property
    def start(self) -> State:
        """Before the first token: a note must come, for a piece has at least one."""
        return _State()

    def follows(self, state: State, token: str) -> bool:
        """Whether `token` continues a piece as `tokenize` writes it; EOS may not come after a rest."""
        assert isinstance(state, _State)
        if token == EOS:
            return state.last == self._tail
        match self._read(token)[0]:
            case "Chord":
                return state.last in ("Start", "Rest", self._tail)
            case "Duration":
                return state.last == "Chord" or state == _State("Duration", True)
            case "Rest":
                return state.last == self._tail or state == _State("Rest", True)
            case _:
                return False

    def advance(self, state: State, token: str) -> State:
        """The state after `token`; a Duration that belongs to no chord changes nothing."""
        assert isinstance(state, _State)
        if token == BOS:
            return _State()
        if token == UNK:  # the duration that is due, or else the next chord
            is_duration = self.durations and state.last == "Chord"
            return _State("Duration" if is_duration else "Chord")
        kind, steps = self._read(token)
        if not kind or (kind == "Duration" and not self.follows(state, token)):
            return state
        return _State(kind, kind != "Chord" and steps == self._maximum)

    def is_complete(self, state: State) -> bool:
        """Whether the last chord has its duration, if durations are written."""
        assert isinstance(state, _State)
        return state.last != "Chord" or self._tail == "Chord"


def _chord_token(pitches: Iterable[int], pitch_class: bool) -> str:
    distinct = sorted(set(pitches))
    if pitch_class and len(distinct) > 1:
        return "pc" + ".".join(str(number) for number in sorted({pitch % 12 for pitch in distinct}))
    return ".".join(str(pitch) for pitch in distinct)


@lru_cache(maxsize=2**16)
def _chord_pitches(token: str, pitch_class: bool) -> tuple[int, ...]:
    """The pitches of a chord token, ascending; none if `token` is not a chord as it would be written."""
    if not CHORD_PATTERN.fullmatch(token):
        return ()
    numbers = [int(number) for number in token.removeprefix("pc").split(".")]
    if token.startswith("pc"):
        numbers = [MIDDLE_C + number for number in numbers]
        if len(numbers) == 1:  # notes in octaves: read as one note they would be written otherwise
            numbers.append(numbers[0] + 12)
    is_canonical = max(numbers) <= 127 and _chord_token(numbers, pitch_class) == token
    return tuple(numbers) if is_canonical else ()
