"""The tokenizers of MidiTok whose sequences can be held to a grammar: REMI, TSD and Structured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from noternn.config.tokenizer import MIDITOK_KINDS
from noternn.errors import require
from noternn.music.piece import DEFAULT_TEMPO, Piece
from noternn.tokenizer.base import State, Tokenizer
from noternn.tokenizer.grid import DRUM, FINEST_GRID, Symbol, check_argument, distinct_notes, grid_piece
from noternn.tokenizer.vocabulary import BOS, EOS, UNK

MAX_BEATS = 12  # the longest time that MidiTok writes by default
FIRST = {"REMI": "Bar", "TSD": "", "Structured": "TimeShift"}  # before the first note
NO_BOUND = 128  # above every pitch: the next note of the onset may have any


class _State(NamedTuple):
    """The last token, and what the next position and the next note of the onset must come after."""

    last: str = "Start"  # type of the last token
    maximal: bool = False  # whether it was the longest TimeShift, so that a chain may go on
    is_begun: bool = False  # whether the time of the first onset is written
    position: int = -1  # in the bar
    program: int = 0
    pitch: int = NO_BOUND


@final
class MidiTokTokenizer(Tokenizer):
    """A tokenizer of MidiTok (Fradet et al., ISMIR late-breaking 2021), with a grammar.

    - REMI: `Bar_None Position_12`, then `[Program_p] Pitch_p [Velocity_v] Duration_b.s.12` for every note
      of the onset. Bars are of four beats, counted from the first note: metres are not written.
    - TSD: `TimeShift_b.s.12` since the previous onset, then the notes as above.
    - Structured: a TimeShift before every note, `TimeShift_0.0.1` within an onset.

    Times are beats, steps and steps in a beat. Notes of an onset come in the order of `EventTokenizer`
    (MidiTok leaves it to the file), and of notes that coincide the longest is kept with the largest
    velocity. Notes of one pitch that overlap stay as they are. The other kinds of MidiTok are not here: in
    MIDILike a note may be ended any number of tokens after it began, and the rest have several tokens
    to a step or a sequence to an instrument.

    Lost: timing finer than the grid, silence before the first note, tempo, metre and pedals; the
    part of a note beyond 12 beats (in Structured also of a gap between onsets, so that the rest comes
    early); without `program` the instruments (notes in unison coincide) and all drums; without
    `velocity` the velocities, with it their distance (up to 2) to the nearest of 32.

    Args:
        kind: REMI, TSD or Structured.
        steps_per_beat: the grid, 1 to 480.
        velocity: whether to write velocities.
        program: whether to write instruments (`Program_0` to `Program_127`) and drums (`Program_-1`).

    Raises:
        UserError: if MidiTok is not installed.
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self, *, kind: str = "REMI", steps_per_beat: int = 12, velocity: bool = False, program: bool = False
    ) -> None:
        if kind not in MIDITOK_KINDS:
            raise ValueError(f"kind must be {', '.join(MIDITOK_KINDS)}; got {kind}")
        check_argument("steps_per_beat", steps_per_beat, 1, FINEST_GRID)
        require("miditok", "tokenizer=miditok")
        self.kind = kind
        self.steps_per_beat = steps_per_beat
        self.velocity = velocity
        self.program = program
        self.writes_drums = program
        self._head = "Program" if program else "Pitch"  # the first token of a note
        self._symbols = {token: symbol for token in self._miditok.vocab if (symbol := _symbol(token))}
        types = {kind for kind, _ in self._symbols.values()}
        self._next = {last: set(following) & types for last, following in self._types_graph().items()}

    @property
    def _miditok(self) -> Any:
        """MidiTok's own; not an attribute, so that worker processes make theirs."""
        return _miditok_tokenizer(self.kind, self.steps_per_beat, self.velocity, self.program)

    def _types_graph(self) -> dict[str, set[str]]:
        """Which token types may follow each, the start included."""
        graph: dict[str, set[str]] = self._miditok.tokens_types_graph
        return graph | {"Start": {FIRST[self.kind] or self._head}}

    def tokenize(self, piece: Piece) -> list[str]:
        """The tokens of `piece`, an onset after the other."""
        notes = np.stack(distinct_notes(self.written(piece), self.steps_per_beat, self.program))
        if not notes.size:
            return []
        notes[0] -= notes[0, 0]
        encoded = self._miditok.encode(_score(notes, self.steps_per_beat))
        tokens: list[str] = (encoded if self.program else encoded[0]).tokens
        return tokens

    def detokenize(self, tokens: Sequence[str], tempo: float = DEFAULT_TEMPO) -> Piece:
        """The piece that `tokens` describe; special and misplaced tokens are passed over.

        A note whose duration is missing or UNK lasts a beat; one whose program is has program 0.
        """
        from miditok import TokSequence

        sequence = TokSequence(tokens=self._whole_notes(tokens))
        score = self._miditok.decode(sequence if self.program else [sequence])
        return grid_piece(_notes(score), self.steps_per_beat, tempo)

    def _whole_notes(self, tokens: Sequence[str]) -> list[str]:
        """The tokens in place, every note with all of its parts: MidiTok drops one that lacks any."""
        default = {"Program": "Program_0"} if self.program else {}
        default |= {"Pitch": ""} | ({"Velocity": "Velocity_79"} if self.velocity else {})
        default |= {"Duration": f"Duration_1.0.{self.steps_per_beat}"}
        items: list[dict[str, str]] = []  # times and notes
        note: dict[str, str] = {}  # the last one; empty if it is unknown
        program, state = "Program_0", self.start
        for token in tokens:
            kind, _ = self._symbols.get(token, ("", 0))
            after = self.advance(state, token)
            match kind:
                case "Bar" | "Position" | "TimeShift":
                    items.append({kind: token})
                case "Program":
                    program = token
                case "Pitch":
                    is_told = self.program and _last(state) == "Program"
                    note = default | ({"Program": program} if is_told else {}) | {"Pitch": token}
                    items.append(note)
                case "Velocity" | "Duration" if note and after != state:
                    note[kind] = token
                case _ if token == UNK and _last(after) in ("Program", "Pitch"):
                    note, program = {}, "Program_0"
            state = after
        return [token for item in items for token in item.values()]

    def begins_onset(self, state: State, token: str) -> bool:
        """Whether `token` is the first of all, or the first after a note that moves on in time."""
        if _last(state) == "Start":
            return True
        kind, value = self._symbols.get(token, ("", 0))
        moves = kind in ("Bar", "Position") or (kind == "TimeShift" and value > 0)
        return moves and _last(state) not in ("Bar", "TimeShift")

    def note_count(self, token: str) -> int:
        """1 for a Pitch token."""
        return int(token in self._symbols and self._symbols[token][0] == "Pitch")

    def num_steps(self, token: str) -> int:
        """The value of a TimeShift; a Position tells a place, not a time that passes."""
        kind, value = self._symbols.get(token, ("", 0))
        return value if kind == "TimeShift" else 0

    def pitch(self, token: str) -> int | None:
        """The value of a Pitch."""
        return self._symbols[token][1] if token.startswith("Pitch_") else None

    def louder(self, token: str, bins: int) -> str:
        """A Velocity so many of MidiTok's bins higher."""
        if self._symbols.get(token, ("", 0))[0] != "Velocity":
            return token
        velocities = sorted(value for kind, value in self._symbols.values() if kind == "Velocity")
        place = velocities.index(self._symbols[token][1]) + bins
        return f"Velocity_{velocities[min(max(place, 0), len(velocities) - 1)]}"

    @property
    def start(self) -> State:
        """Before the first token: a note must come, for a piece has at least one."""
        return _State()

    def follows(self, state: State, token: str) -> bool:
        """Whether `token` continues a piece as `tokenize` writes it; EOS may come after a whole note."""
        assert isinstance(state, _State)
        if token == EOS:
            return state.last == "Duration"
        kind, value = self._symbols.get(token, ("", 0))
        if kind not in self._next[state.last]:
            return False
        match kind:
            case "Bar":
                return state.is_begun or state.last == "Start"
            case "Position":
                return value > state.position if state.is_begun else value == 0
            case "TimeShift":
                is_chain = state.last == "TimeShift"
                return (state.is_begun or value == 0) and (state.maximal or not is_chain)
            case "Program":
                return (state.program, -state.pitch) < (value, 0)
            case "Pitch":
                is_drum = self.program and state.program == DRUM
                return value < state.pitch and token.startswith("PitchDrum") == is_drum
            case _:
                return True

    def advance(self, state: State, token: str) -> State:
        """The state after `token`; a Velocity or Duration that belongs to no note changes nothing."""
        assert isinstance(state, _State)
        if token == BOS:
            return _State()
        if token == UNK:
            return self._advance_unknown(state)
        kind, value = self._symbols.get(token, ("", 0))
        match kind:
            case "Bar":
                return _State(kind, is_begun=state.is_begun)
            case "Position":
                return _State(kind, is_begun=True, position=value)
            case "TimeShift" if value:
                return _State(kind, value == MAX_BEATS * self.steps_per_beat, True)
            case "TimeShift":
                return state._replace(last=kind, maximal=False, is_begun=True)
            case "Program":
                bound = state.pitch if value == state.program else NO_BOUND
                return state._replace(last=kind, maximal=False, is_begun=True, program=value, pitch=bound)
            case "Pitch":
                return state._replace(last=kind, maximal=False, is_begun=True, pitch=value)
            case "Velocity" | "Duration" if kind in self._next[state.last]:
                return state._replace(last=kind)
            case _:
                return state

    def _advance_unknown(self, state: _State) -> _State:
        """UNK stands for the next part of a note, or for the first part of the next note or its time."""
        following = self._next[state.last] - {state.last}
        part = self._head if self._head in following else min(following)
        match part:
            case "Bar" | "Position" | "TimeShift":
                return _State(part, is_begun=part != "Bar")
            case "Program":
                return state._replace(last=part, maximal=False, is_begun=True, pitch=NO_BOUND)
            case _:
                return state._replace(last=part, maximal=False, is_begun=True)

    def is_complete(self, state: State) -> bool:
        """Whether the last note has its duration, or none was begun since."""
        return _last(state) not in ("Program", "Pitch", "Velocity")


@cache
def _miditok_tokenizer(kind: str, steps_per_beat: int, velocity: bool, program: bool) -> Any:
    import miditok  # not above: it imports torch, and is optional

    options = miditok.TokenizerConfig(
        pitch_range=(0, 127),
        beat_res={(0, MAX_BEATS): steps_per_beat},
        use_velocities=velocity,
        use_programs=program,
        one_token_stream_for_programs=program,
        use_note_duration_programs=list(range(-1, 128)),  # drums too
        use_pitchdrum_tokens=True,
        drums_pitch_range=(0, 127),
        use_time_signatures=False,
        use_tempos=False,
        use_rests=False,
        use_chords=False,
        use_sustain_pedals=False,
        use_pitch_bends=False,
    )
    return getattr(miditok, kind)(options)


def _last(state: State) -> str:
    assert isinstance(state, _State)
    return state.last


def _symbol(token: str) -> Symbol | None:
    """Type and value of one of MidiTok's tokens, times in steps; None if no note is written with it."""
    kind, value = token.split("_")
    match kind:
        case "Bar":
            return kind, 0
        case "TimeShift" | "Duration":
            beats, steps, steps_per_beat = map(int, value.split("."))
            return kind, beats * steps_per_beat + steps
        case "Program":
            return kind, DRUM if value == "-1" else int(value)
        case "PitchDrum":
            return "Pitch", int(value)
        case "Position" | "Pitch" | "Velocity":
            return kind, int(value)
        case _:
            return None


def _score(notes: NDArray[np.int64], steps_per_beat: int) -> Any:
    """The columns of `distinct_notes` as MidiTok takes them, a tick a step."""
    from symusic import Note, Score, Track

    score = Score(steps_per_beat)
    for program in np.unique(notes[1]).tolist():
        onset, _, pitch, duration, velocity = notes[:, notes[1] == program]
        track = Track(program=program % DRUM, is_drum=program == DRUM)
        track.notes = Note.from_numpy(
            time=onset.astype(np.int32),
            duration=duration.astype(np.int32),
            pitch=pitch.astype(np.int8),
            velocity=velocity.astype(np.int8),
        )
        score.tracks.append(track)
    return score


def _notes(score: Any) -> NDArray[np.int64]:
    """Rows onset, program, pitch, duration, velocity of the notes of a score, shape (5, num_notes)."""
    columns = [np.zeros((5, 0), dtype=np.int64)]
    for track in score.tracks:
        notes = track.notes.numpy()
        onset, pitch, duration, velocity = (
            notes[name].astype(np.int64) for name in ("time", "pitch", "duration", "velocity")
        )
        program = np.full_like(onset, DRUM if track.is_drum else track.program)
        columns.append(np.stack([onset, program, pitch, duration, velocity]))
    return np.concatenate(columns, axis=1)
