"""How long a corpus goes without a new note, which bounds the silences of what is composed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noternn.tokenizer.codec import Codec

MIN_NOTES = 16  # of a piece whose pace is looked at
DEFAULT_BEATS = 32  # in a row without a note, where nothing is known: eight bars
DEFAULT_BEATS_PER_NOTE = 4
DEFAULT_TOKENS = 64


@dataclass(frozen=True)
class Pace:
    """How far pieces go from one note to the next.

    Args:
        steps: most grid steps from the token of one note to that of the next, both included; where a
            tokenizer tells times otherwise (`Tokenizer.num_steps`), `tokens` alone bounds them.
        tokens: most tokens in a row that add no note.
        steps_per_note: mean grid steps a note of the slowest piece.
    """

    steps: int
    tokens: int
    steps_per_note: float

    @classmethod
    def default(cls, steps_per_beat: int) -> Pace:
        """What stands in for the pace of a corpus that is not known."""
        return cls(DEFAULT_BEATS * steps_per_beat, DEFAULT_TOKENS, DEFAULT_BEATS_PER_NOTE * steps_per_beat)

    @classmethod
    def of(cls, pieces: Iterable[NDArray[np.int64]], codec: Codec) -> Pace:
        """The pace of some pieces, at least a beat in a row and a beat a note.

        Args:
            pieces: of each the ids, (num_tokens,) with BOS and EOS.
            codec: of their vocabulary.
        """
        beat = codec.tokenizer.steps_per_beat
        num_steps = codec.token_steps()
        counts = note_counts(codec)
        steps, tokens, per_note = beat, 1, float(beat)
        for piece in pieces:
            ids = piece[1:-1]
            own, notes = num_steps[ids], counts[ids]
            if not notes.any():
                continue
            steps = max(steps, int(_since_note(own, notes > 0).max()))
            tokens = max(tokens, _longest_run(notes == 0))
            if notes.sum() >= MIN_NOTES:
                per_note = max(per_note, float(own.sum() / notes.sum()))
        return cls(steps, tokens, per_note)


def note_counts(codec: Codec) -> NDArray[np.int64]:
    """How many notes each id adds, (vocab_size,)."""
    tokenizer = codec.tokenizer
    return np.array([tokenizer.note_count(token) for token in codec.vocabulary.tokens], dtype=np.int64)


def _since_note(own: NDArray[np.int64], is_note: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The steps of each token and of all before it since the last note, its token included."""
    before = np.cumsum(own) - own
    starts = np.where(is_note, np.arange(len(own)), 0)
    last = np.concatenate(([0], np.maximum.accumulate(starts)[:-1]))
    since: NDArray[np.int64] = before + own - before[last]
    return since


def _longest_run(is_run: NDArray[np.bool_]) -> int:
    """The most in a row that are true."""
    edges = np.flatnonzero(np.concatenate(([True], ~is_run, [True])))
    return int(np.diff(edges).max()) - 1
