"""Frames of a grid as the pitches that sound in each: the exact likelihood of a piano roll."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from noternn.config.tokenizer import FINEST_FRAMES
from noternn.music.piece import DEFAULT_TEMPO, Piece
from noternn.tokenizer.base import State, Tokenizer
from noternn.tokenizer.grid import check_argument, frame_bounds, sounding_steps
from noternn.tokenizer.vocabulary import BOS, EOS, UNK

END = "End"
# The state of the grammar is a pitch, below which the next one of the frame must lie, or one of these.
ANY_PITCH, AFTER_END, START = 128, 129, 130


@final
class FramesTokenizer(Tokenizer):
    """`Pitch_p` for every pitch that sounds in a frame, a grid step, the highest first, then `End`.

    There is one way to write a frame, and the grammar allows after a pitch only lower ones and `End`. So,
    where what it forbids has probability 0 (see `Codec.followers`), the probability of a frame's tokens is
    that of the frame, and their summed nll can be compared with that of any exact model of piano rolls. All
    pitches are in every vocabulary. Silent frames are `End` alone; those before the first and after the last
    note are written if they are part of the piece (`Piece.span`).

    Lost: where a pitch that goes on is struck again, timing finer than the grid, the tempo map, velocities,
    instruments and drums. `note_count` counts a note in every frame that it sounds in; decoding makes one
    note of it.

    Args:
        steps_per_beat: frames in a quarter note, 1 to 24.

    Raises:
        ValueError: if it is out of its range.
    """

    is_markov = True
    holds_notes = True
    alphabet = (*(f"Pitch_{pitch}" for pitch in range(127, -1, -1)), END)

    def __init__(self, *, steps_per_beat: int = 4) -> None:
        check_argument("steps_per_beat", steps_per_beat, 1, FINEST_FRAMES)
        self.steps_per_beat = steps_per_beat
        self._pitches = {f"Pitch_{pitch}": pitch for pitch in range(128)}

    def tokenize(self, piece: Piece) -> list[str]:
        """The tokens of `piece`, a frame after the other."""
        tokens, indices = self.tokenize_indexed(piece)
        return [tokens[i] for i in indices.tolist()]

    def tokenize_indexed(self, piece: Piece) -> tuple[Sequence[str], NDArray[np.uint32]]:
        """The alphabet, always the same object, and the index in it of each token of `piece`."""
        piece = self.written(piece)
        size = len(self.alphabet)
        step, note = sounding_steps(piece, self.steps_per_beat)
        start, end = frame_bounds(piece, self.steps_per_beat)
        pitches = step * size + 127 - piece.pitch[note]
        ends = np.arange(end - start) * size + size - 1
        in_order = np.unique(np.concatenate((pitches, ends)))
        return self.alphabet, (in_order % size).astype(np.uint32)

    def onsets(self, piece: Piece) -> NDArray[np.int64]:
        """All frames of `piece` as its grid steps, (num_frames,)."""
        return np.arange(*frame_bounds(self.written(piece), self.steps_per_beat))

    def detokenize(self, tokens: Sequence[str], tempo: float = DEFAULT_TEMPO) -> Piece:
        """The piece that `tokens` describe; special tokens are passed over.

        A pitch of frames in a row is one note. A frame without `End` is one if it holds pitches.
        """
        ends = np.array([token == END for token in tokens], dtype=np.bool_)
        pitch = np.array([self._pitches.get(token, -1) for token in tokens], dtype=np.int64)
        sounds = pitch >= 0
        frame: NDArray[np.int64] = (np.cumsum(ends) - ends)[sounds]
        num_frames = max(int(ends.sum()), int(frame.max(initial=-1)) + 1)
        return Piece.from_frames(
            frame, pitch[sounds], num_frames=num_frames, frames_per_beat=self.steps_per_beat, tempo=tempo
        )

    def begins_onset(self, state: State, token: str) -> bool:  # noqa: ARG002  # the state tells
        """Whether a frame begins."""
        return state in (START, AFTER_END)

    def note_count(self, token: str) -> int:
        """1 for a pitch, in each frame in which it sounds."""
        return int(token in self._pitches)

    def num_notes(self, tokens: Sequence[str], indices: NDArray[np.uint32]) -> int:
        """How many notes there are if a pitch of frames in a row is one."""
        return self.detokenize_indexed(tokens, indices).num_notes

    def num_steps(self, token: str) -> int:
        """By how many grid steps `token` moves time on: 1 for `End`."""
        return int(token == END)

    def pitch(self, token: str) -> int | None:
        """The value of a Pitch."""
        return self._pitches.get(token)

    @property
    def start(self) -> State:
        """Before the first frame: the piece has at least one."""
        return START

    def follows(self, state: State, token: str) -> bool:
        """Whether `token` is a lower pitch of the frame, or its end; EOS may come after a whole frame."""
        assert isinstance(state, int)
        if token == EOS:
            return state == AFTER_END
        return token == END or self._pitches.get(token, ANY_PITCH) < min(state, ANY_PITCH)

    def advance(self, state: State, token: str) -> State:
        """The state after `token`; after UNK, a pitch below the last one that is not known."""
        assert isinstance(state, int)
        if token == BOS:
            return START
        if token == UNK:
            return min(state, ANY_PITCH)
        return AFTER_END if token == END else self._pitches.get(token, state)

    def is_complete(self, state: State) -> bool:
        """Whether the last frame has its end."""
        return state in (START, AFTER_END)
