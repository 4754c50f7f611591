"""What every tokenizer can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import DEFAULT_TEMPO, Piece
from noternn.tokenizer.grid import grid_times

State = Hashable  # where a tokenizer's grammar stands after some tokens


class Tokenizer(ABC):
    """A `Piece` <-> a sequence of tokens (str), without BOS and EOS.

    A tokenizer has no vocabulary: it may write any token of its alphabet. Its grammar is a state
    machine over tokens, so that sampling can be kept to sequences that decode to music.
    """

    #: the grid of onsets and durations
    steps_per_beat: int
    #: tokens seen fewer times than this in the training split become UNK
    min_count: int = 1
    #: whether percussion is written; if not, it is lost
    writes_drums: bool = False
    #: tokens that are in every vocabulary, seen in training or not, so that none of them is ever unknown
    alphabet: tuple[str, ...] = ()
    #: whether the last token alone decides which may come next, so that `Codec.followers` can tell
    is_markov: bool = False
    #: whether a note that goes on is written again in every step
    holds_notes: bool = False

    def written(self, piece: Piece) -> Piece:
        """The part of `piece` that is written at all: without its drums unless `writes_drums`."""
        return piece if self.writes_drums or not piece.is_drum.any() else piece.select(~piece.is_drum)

    @abstractmethod
    def tokenize(self, piece: Piece) -> list[str]:
        """The tokens of `piece` in time order; time starts at its first written note."""

    def tokenize_indexed(self, piece: Piece) -> tuple[Sequence[str], NDArray[np.uint32]]:
        """`tokenize` as distinct tokens and the index in them of each token of `piece`, (num_tokens,)."""
        tokens = self.tokenize(piece)
        index = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
        return tuple(index), np.array([index[token] for token in tokens], dtype=np.uint32)

    @abstractmethod
    def begins_onset(self, state: State, token: str) -> bool:
        """Whether `token`, as `tokenize` writes it, is the first that tells of an onset."""

    def onsets(self, piece: Piece) -> NDArray[np.int64]:
        """The onsets that the tokens of `piece` tell of in its grid steps, (num_onsets,), ascending."""
        return np.unique(grid_times(self.written(piece), self.steps_per_beat)[0])

    def tokens_by_onset(self, piece: Piece) -> list[tuple[int, list[str]]]:
        """The tokens of `piece` in groups: (onset in grid steps of the piece, the tokens that tell of it)."""
        groups: list[list[str]] = []
        state = self.start
        for token in self.tokenize(piece):
            if self.begins_onset(state, token):
                groups.append([])
            groups[-1].append(token)
            state = self.advance(state, token)
        return list(zip(self.onsets(piece).tolist(), groups, strict=True))

    @abstractmethod
    def detokenize(self, tokens: Sequence[str], tempo: float = DEFAULT_TEMPO) -> Piece:
        """The piece that `tokens` describe; special and misplaced tokens are passed over.

        Every token adds as many notes as `note_count` says, or fewer where notes go on. UNK adds none, but
        what it leaves open (the duration of an unknown chord) is not given to another note.
        """

    def detokenize_indexed(self, tokens: Sequence[str], indices: NDArray[np.uint32]) -> Piece:
        """The piece that the tokens at `indices`, as `tokenize_indexed` writes them, describe."""
        return self.detokenize([tokens[i] for i in indices.tolist()])

    @abstractmethod
    def note_count(self, token: str) -> int:
        """How many notes `token` adds to the piece; those that it holds on count too."""

    def num_notes(self, tokens: Sequence[str], indices: NDArray[np.uint32]) -> int:
        """How many notes the tokens at `indices`, as `tokenize_indexed` writes them, describe."""
        counts = np.array([self.note_count(token) for token in tokens], dtype=np.int64)
        return int(counts[indices].sum())

    @abstractmethod
    def num_steps(self, token: str) -> int:
        """By how many grid steps `token` moves time on; 0 where times are told otherwise."""

    def pitch(self, token: str) -> int | None:  # noqa: ARG002
        """The pitch that `token` says; None if it says none, or several."""
        return None

    def transposed(self, token: str, semitones: int) -> str | None:
        """What `tokenize` writes in the place of `token` if the pitched notes are so much higher.

        Drums stay. None if a pitch would leave 0 to 127. Tokenizers that write a pitch otherwise than as
        `Pitch_p` have their own.
        """
        pitch = self.pitch(token)
        if pitch is None:
            return token
        return f"Pitch_{pitch + semitones}" if 0 <= pitch + semitones <= 127 else None

    def louder(self, token: str, bins: int) -> str:  # noqa: ARG002
        """`token` with a velocity so many bins higher, at most the loudest, at least the softest."""
        return token

    @property
    @abstractmethod
    def start(self) -> State:
        """The state of the grammar before the first token."""

    @abstractmethod
    def follows(self, state: State, token: str) -> bool:
        """Whether `token` (or EOS) may come next."""

    @abstractmethod
    def advance(self, state: State, token: str) -> State:
        """The state after `token`, which need not be legal: primers may hold UNK.

        BOS leads to `start`; PAD, EOS and tokens foreign to the tokenizer change nothing.
        """

    @abstractmethod
    def is_complete(self, state: State) -> bool:
        """Whether no note is half-written, so that sampling may stop here."""
