"""Four voices on a grid, a token for each voice and step: nats a token are nats a note of a raster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from noternn.config.tokenizer import FINEST_FRAMES
from noternn.errors import PieceError
from noternn.music.instruments import VOICE_PROGRAMS
from noternn.music.piece import DEFAULT_TEMPO, Piece
from noternn.tokenizer.base import State, Tokenizer
from noternn.tokenizer.grid import check_argument, frame_bounds, sounding_steps
from noternn.tokenizer.vocabulary import BOS, EOS, UNK

VOICES = "SATB"
REST = 128  # stands after the pitches 0 to 127
START = -1  # the state of the grammar before the first step; after that it is the voice that is due, 0 to 3


@final
class VoicesTokenizer(Tokenizer):
    """`S_72 A_67 T_60 B_rest`: for every grid step one token a voice, always in this order.

    As each step is four tokens, their mean nll is what tables of four-part chorales give as nats a note. The
    letter tells the voice, and so which token follows: where what the grammar forbids has probability 0 (see
    `Codec.followers`), a token is chosen among the 129 of its voice, of which a chorale's voice uses 20 to
    30. All 516 are in every vocabulary, so that the likelihood is exact.

    A piece must be in four voices, which are told by their instruments (`VOICE_PROGRAMS`: violin, viola,
    cello and contrabass). Lost: where a pitch that goes on is struck again, all but the highest note of a
    voice, timing finer than the grid, the tempo map, velocities and drums. `note_count` counts a note in
    every step in which it sounds; decoding makes one note of it.

    Args:
        steps_per_beat: the grid, 1 to 24.

    Raises:
        ValueError: if it is out of its range.
    """

    is_markov = True
    holds_notes = True
    alphabet = tuple(f"{voice}_{pitch}" for voice in VOICES for pitch in (*range(128), "rest"))

    def __init__(self, *, steps_per_beat: int = 4) -> None:
        check_argument("steps_per_beat", steps_per_beat, 1, FINEST_FRAMES)
        self.steps_per_beat = steps_per_beat
        self._symbols = {token: divmod(i, REST + 1) for i, token in enumerate(self.alphabet)}

    def tokenize(self, piece: Piece) -> list[str]:
        """The tokens of `piece`, a step after the other; PieceError if it is not in these voices."""
        tokens, indices = self.tokenize_indexed(piece)
        return [tokens[i] for i in indices.tolist()]

    def tokenize_indexed(self, piece: Piece) -> tuple[Sequence[str], NDArray[np.uint32]]:
        """The alphabet, always the same object, and the index in it of each token of `piece`."""
        piece = self.written(piece)
        if not np.isin(piece.program, VOICE_PROGRAMS).all():
            raise PieceError(
                "is not in four voices; tokenizer=voices takes notes of violin, viola, cello and contrabass"
            )
        start, end = frame_bounds(piece, self.steps_per_beat)
        step, note = sounding_steps(piece, self.steps_per_beat)
        low_to_high = np.argsort(piece.pitch[note], kind="stable")  # so that the highest is written last
        step, note = step[low_to_high], note[low_to_high]
        values = np.full((end - start, len(VOICES)), REST)  # (step, voice)
        values[step, piece.program[note] - VOICE_PROGRAMS[0]] = piece.pitch[note]
        indices = values + np.arange(len(VOICES)) * (REST + 1)
        return self.alphabet, indices.ravel().astype(np.uint32)

    def onsets(self, piece: Piece) -> NDArray[np.int64]:
        """All grid steps of `piece`, (num_steps,)."""
        return np.arange(*frame_bounds(self.written(piece), self.steps_per_beat))

    def detokenize(self, tokens: Sequence[str], tempo: float = DEFAULT_TEMPO) -> Piece:
        """The piece that `tokens` describe; special tokens are passed over, UNK is a rest of the voice due.

        A pitch of a voice in steps in a row is one note. A voice that is out of place begins a step.
        """
        rows: list[tuple[int, int, int]] = []  # step, pitch, program
        step = due = 0
        for token in tokens:
            voice, pitch = (due, REST) if token == UNK else self._symbols.get(token, (-1, REST))
            if voice < 0:
                continue
            step += voice < due
            if pitch < REST:
                rows.append((step, pitch, VOICE_PROGRAMS[voice]))
            due = (voice + 1) % len(VOICES)
            step += due == 0
        frame, pitches, program = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        num_steps = step + (due > 0)
        return Piece.from_frames(
            frame,
            pitches,
            num_frames=num_steps,
            frames_per_beat=self.steps_per_beat,
            program=program,
            tempo=tempo,
        )

    def begins_onset(self, state: State, token: str) -> bool:  # noqa: ARG002  # the state tells
        """Whether a step begins."""
        return state in (START, 0)

    def note_count(self, token: str) -> int:
        """1 for a pitch, in each step in which it sounds."""
        return int(self._symbols.get(token, (0, REST))[1] < REST)

    def num_notes(self, tokens: Sequence[str], indices: NDArray[np.uint32]) -> int:
        """How many notes there are if a pitch of a voice in steps in a row is one."""
        return self.detokenize_indexed(tokens, indices).num_notes

    def num_steps(self, token: str) -> int:
        """By how many grid steps `token` moves time on: 1 for the last voice."""
        return int(self._symbols.get(token, (0, REST))[0] == len(VOICES) - 1)

    def pitch(self, token: str) -> int | None:
        """The pitch of a voice that does not rest."""
        pitch = self._symbols.get(token, (0, REST))[1]
        return None if pitch == REST else pitch

    def transposed(self, token: str, semitones: int) -> str | None:
        """The token of the same music so many semitones higher; None if that is no MIDI pitch."""
        voice, pitch = self._symbols.get(token, (0, REST))
        if pitch == REST:
            return token
        return f"{VOICES[voice]}_{pitch + semitones}" if 0 <= pitch + semitones <= 127 else None

    @property
    def start(self) -> State:
        """Before the first step: the piece has at least one."""
        return START

    def follows(self, state: State, token: str) -> bool:
        """Whether `token` is one of the voice that is due; EOS may come after a whole step."""
        assert isinstance(state, int)
        if token == EOS:
            return state == 0
        return token in self._symbols and self._symbols[token][0] == max(state, 0)

    def advance(self, state: State, token: str) -> State:
        """The state after `token`; UNK is one of the voice that is due."""
        assert isinstance(state, int)
        if token == BOS:
            return START
        if token != UNK and token not in self._symbols:
            return state
        voice = max(state, 0) if token == UNK else self._symbols[token][0]
        return (voice + 1) % len(VOICES)

    def is_complete(self, state: State) -> bool:
        """Whether the last step has all its voices."""
        return state in (START, 0)
