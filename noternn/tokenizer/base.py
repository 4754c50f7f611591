"""What every tokenizer can do, and the vocabulary that turns its tokens into ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import DEFAULT_TEMPO, Piece
from noternn.tokenizer.grid import grid_times

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
SPECIAL_TOKENS = (PAD, BOS, EOS, UNK)
PAD_ID, BOS_ID, EOS_ID, UNK_ID = range(4)

State = Hashable  # where a tokenizer's grammar stands after some tokens


class Vocabulary:
    """The bijection token <-> id: the four special tokens, then the others in sorted order."""

    def __init__(self, tokens: Iterable[str]) -> None:
        ordinary = sorted(set(tokens) - set(SPECIAL_TOKENS))
        self.tokens: tuple[str, ...] = (*SPECIAL_TOKENS, *ordinary)
        self._ids = {token: i for i, token in enumerate(self.tokens)}

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], min_count: int = 1) -> Vocabulary:
        """Keep the tokens seen at least `min_count` times."""
        return cls(token for token, count in counts.items() if count >= min_count)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def id(self, token: str) -> int:
        """The id of `token`, or that of UNK."""
        return self._ids.get(token, UNK_ID)


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


@dataclass(frozen=True)
class RoundTrip:
    """What is lost between a piece and its tokens.

    Args:
        num_notes: notes before, drums and duplicates included.
        kept_fraction: share of them that come back with the same pitch on the same grid step, counted
            from where the tokens begin; 1 for a piece without notes.
        onset_error_beats: mean absolute error of the onsets of the notes kept, in beats; 0 if none is.
        duration_error_beats: the same of their durations.
    """

    num_notes: int
    kept_fraction: float
    onset_error_beats: float
    duration_error_beats: float


def round_trip(
    tokenizer: Tokenizer, piece: Piece, written: tuple[Sequence[str], NDArray[np.uint32]] | None = None
) -> RoundTrip:
    """Write `piece` as tokens, read them again and compare; what a vocabulary loses to UNK is not in it.

    Args:
        tokenizer: any.
        piece: any.
        written: its `tokenizer.tokenize_indexed(piece)`, if that is known already.
    """
    back = tokenizer.detokenize_indexed(*(written or tokenizer.tokenize_indexed(piece)))
    origin = int(next(iter(tokenizer.onsets(piece)), 0))
    pairs = _same_notes(piece, back, origin, tokenizer.steps_per_beat)  # (num_kept, 2)
    if not len(pairs):
        return RoundTrip(piece.num_notes, 0.0 if piece.num_notes else 1.0, 0.0, 0.0)
    before, after = pairs.T
    onset_error = piece.onset[before] / piece.ticks_per_beat - origin / tokenizer.steps_per_beat
    onset_error -= back.onset[after] / back.ticks_per_beat
    duration_error = piece.duration[before] / piece.ticks_per_beat
    duration_error -= back.duration[after] / back.ticks_per_beat
    return RoundTrip(
        num_notes=piece.num_notes,
        kept_fraction=len(pairs) / piece.num_notes,
        onset_error_beats=float(np.abs(onset_error).mean()),
        duration_error_beats=float(np.abs(duration_error).mean()),
    )


def _same_notes(before: Piece, after: Piece, origin: int, steps_per_beat: int) -> NDArray[np.int64]:
    """Indices of the notes in both pieces, each note once, shape (num_kept, 2)."""
    longest = np.argsort(-before.duration, kind="stable")  # of coinciding notes a tokenizer keeps the longest
    wanted = _note_keys(before, origin, steps_per_beat)[longest]
    keys = _note_keys(after, 0, steps_per_beat)
    order = np.lexsort((-after.duration, keys))
    there = keys[order]
    # The n-th longest of some equal notes before belongs to the n-th longest of them after.
    by_key = np.argsort(wanted, kind="stable")
    number = np.empty_like(by_key)
    number[by_key] = np.arange(len(by_key)) - np.searchsorted(wanted[by_key], wanted[by_key])
    place = np.searchsorted(there, wanted) + number
    is_kept = place < np.searchsorted(there, wanted, side="right")
    return np.stack([longest[is_kept], order[place[is_kept]]], axis=1)


def _note_keys(piece: Piece, origin: int, steps_per_beat: int) -> NDArray[np.int64]:
    """One number for the onset, pitch and kind of each note; equal for equal ones."""
    step = grid_times(piece, steps_per_beat)[0] - origin
    keys: NDArray[np.int64] = (step << 8) + (piece.pitch << 1 | piece.is_drum)  # a step may be below 0
    return keys


class Codec:
    """A tokenizer with a vocabulary: pieces <-> ids, and masks of the ids that may come next."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self._known: tuple[Sequence[str], NDArray[np.int64]] = ((), np.zeros(0, dtype=np.int64))
        self._masks: dict[State, NDArray[np.bool_]] = {}
        self._can_end: dict[State, bool] = {}

    def encode(self, piece: Piece) -> NDArray[np.int64]:
        """The ids of a piece, shape (num_tokens,), between BOS and EOS."""
        tokens, indices = self.tokenizer.tokenize_indexed(piece)
        if tokens is not self._known[0]:  # a tokenizer with an alphabet gives the same object every time
            self._known = tokens, np.array([self.vocabulary.id(token) for token in tokens], dtype=np.int64)
        ids = np.empty(len(indices) + 2, dtype=np.int64)
        ids[0], ids[1:-1], ids[-1] = BOS_ID, self._known[1][indices], EOS_ID
        return ids

    def token_steps(self) -> NDArray[np.int64]:
        """By how many grid steps each id moves time on, shape (vocab_size,)."""
        return np.array([self.tokenizer.num_steps(token) for token in self.vocabulary.tokens], dtype=np.int64)

    def token_pitches(self) -> NDArray[np.int64]:
        """The pitch that each id says, shape (vocab_size,); -1 for one that says none or several."""
        pitches = [self.tokenizer.pitch(token) for token in self.vocabulary.tokens]
        return np.array([-1 if pitch is None else pitch for pitch in pitches], dtype=np.int64)

    def variation(self, semitones: int, bins: int = 0) -> NDArray[np.int64]:
        """The id of each token transposed and made louder, (vocab_size,); UNK if the vocabulary lacks it."""
        return np.array([self._varied(token, semitones, bins) for token in self.vocabulary.tokens])

    def _varied(self, token: str, semitones: int, bins: int) -> int:
        moved = self.tokenizer.transposed(token, semitones)
        return UNK_ID if moved is None else self.vocabulary.id(self.tokenizer.louder(moved, bins))

    def decode(self, ids: Iterable[int], tempo: float = DEFAULT_TEMPO) -> Piece:
        """The piece of some ids; special ids are passed over."""
        return self.tokenizer.detokenize([self.vocabulary.tokens[i] for i in ids], tempo)

    def mask(self, state: State) -> NDArray[np.bool_]:
        """Which ids may come next, shape (vocab_size,); PAD, BOS and UNK never do.

        An id is out, too, if this vocabulary has no way from it to EOS: after its lowest pitch no
        lower one can follow. Where nothing is left EOS may come, so that some id always may.
        The array is kept for the next call: copy it before writing to it.
        """
        if state not in self._masks:
            mask = np.zeros(len(self.vocabulary), dtype=np.bool_)
            mask[[i for i, after in self._successors(state) if self._reaches_end(after)]] = True
            mask[EOS_ID] = self.tokenizer.follows(state, EOS) or not mask.any()
            self._masks[state] = mask
        return self._masks[state]

    def followers(self) -> NDArray[np.bool_]:
        """Which ids may come next by the grammar, (vocab_size, vocab_size): row the last, column the next.

        The row of BOS is the start of a piece. After EOS and PAD comes padding. After UNK, which may stand
        for anything, comes anything but padding and BOS. UNK may come wherever a token may, but never if the
        vocabulary lacks none. So no target is ruled out, neither what the tokenizer writes nor padding.

        Raises:
            ValueError: if more than the last token decides what may come (`Tokenizer.is_markov`).
        """
        if not self.tokenizer.is_markov:
            raise ValueError(f"{type(self.tokenizer).__name__}: the last token does not decide the next ones")
        follows, advance = self.tokenizer.follows, self.tokenizer.advance
        tokens = self.vocabulary.tokens
        states = [advance(self.tokenizer.start, token) for token in tokens]
        allowed = np.array([[follows(state, token) for token in tokens] for state in states])
        allowed[:, UNK_ID] = not all(token in self.vocabulary for token in self.tokenizer.alphabet)
        allowed[UNK_ID] = True
        allowed[UNK_ID, [PAD_ID, BOS_ID]] = False
        allowed[[PAD_ID, EOS_ID]] = False
        allowed[[PAD_ID, EOS_ID], PAD_ID] = True
        return allowed

    def _successors(self, state: State) -> list[tuple[int, State]]:
        """The ordinary ids that the grammar allows after `state`, each with the state it leads to."""
        follows, advance = self.tokenizer.follows, self.tokenizer.advance
        tokens = self.vocabulary.tokens
        ordinary = range(len(SPECIAL_TOKENS), len(tokens))
        return [(i, advance(state, tokens[i])) for i in ordinary if follows(state, tokens[i])]

    def _reaches_end(self, state: State) -> bool:
        """Whether some tokens of the vocabulary lead from `state` to one where EOS is legal."""
        if state in self._can_end:
            return self._can_end[state]
        seen, stack = {state}, [state]
        while stack:
            here = stack.pop()
            if self._can_end.get(here, False) or self.tokenizer.follows(here, EOS):
                self._can_end[state] = True
                return True
            unseen = {after for _, after in self._successors(here)} - seen
            seen |= unseen
            stack.extend(unseen)
        self._can_end.update(dict.fromkeys(seen, False))
        return False
