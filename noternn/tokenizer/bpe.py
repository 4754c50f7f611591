"""Byte-pair encoding over the tokens of any tokenizer: what often stands together becomes one token."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import final

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError, require
from noternn.music.piece import DEFAULT_TEMPO, Piece
from noternn.tokenizer.base import State, Tokenizer
from noternn.tokenizer.vocabulary import SPECIAL_TOKENS

JOINT = "+"  # stands in no tokenizer's tokens
FIRST_CHARACTER = 0x10000  # of those that stand for tokens while merges are learned; above the surrogates


@dataclass(frozen=True)
class Merges:
    """Pairs of tokens that become one, `left+right`, the first first.

    Args:
        pairs: in the order in which they were learned; either side may be merged already.
    """

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def from_plain(cls, pairs: Iterable[Sequence[str]]) -> Merges:
        """From pairs as JSON and checkpoints hold them."""
        return cls(tuple((left, right) for left, right in pairs))

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        return {pair: rank for rank, pair in reversed(list(enumerate(self.pairs)))}

    @property
    def tokens(self) -> list[str]:
        """The tokens that merging makes."""
        return sorted({JOINT.join(pair) for pair in self.pairs})

    def apply(self, word: Sequence[str]) -> list[str]:
        """The tokens of an onset, merged: again and again the pair that was learned first, from the left."""
        tokens = list(word)
        while True:
            last = len(self.pairs)
            best = min((self._ranks.get(pair, last) for pair in pairwise(tokens)), default=last)
            if best == last:
                return tokens
            tokens = _merge(tokens, self.pairs[best])


def _merge(tokens: Sequence[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    is_joined = False  # whether the token before went into the last of `merged`
    for token in tokens:
        if merged and not is_joined and (merged[-1], token) == pair:
            merged[-1] = JOINT.join(pair)
            is_joined = True
        else:
            merged.append(token)
            is_joined = False
    return merged


def learn_merges(words: Iterable[Sequence[str]], vocab_size: int, alphabet: Sequence[str]) -> Merges:
    """Merge the pair that is most frequent until there are `vocab_size` tokens or no pair comes twice.

    That is BPE as of Gage (1994) and Sennrich et al. (ACL 2016), with words of music in the place of
    words of text. The order of the words does not matter: of equally frequent pairs the one of the
    tokens that were first in `alphabet` or made first is merged.

    Args:
        words: sequences of tokens across whose bounds nothing is merged.
        vocab_size: tokens in all: the special ones, the `alphabet` and the merged ones.
        alphabet: the tokens to begin with, without the special ones; a word is cut at any other.

    Raises:
        UserError: if `vocab_size` leaves none to merge, or the library that learns is not installed.
    """
    if vocab_size <= len(SPECIAL_TOKENS) + len(alphabet):
        raise UserError(
            f"tokenizer.bpe_vocab_size={vocab_size}: it must be above {len(SPECIAL_TOKENS) + len(alphabet)}, "
            "the tokens of the training pieces before any is merged, or null"
        )
    require("miditok", "tokenizer.bpe_vocab_size")
    from tokenizers import Tokenizer as Model
    from tokenizers import models, trainers

    characters = {token: chr(FIRST_CHARACTER + i) for i, token in enumerate(alphabet)}
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=list(characters.values()),
    )
    model = Model(models.BPE())
    model.train_from_iterator(_as_text(words, characters), trainer)
    pairs = json.loads(model.to_str())["model"]["merges"]
    return Merges(tuple((_tokens(left, alphabet), _tokens(right, alphabet)) for left, right in pairs))


def _as_text(words: Iterable[Sequence[str]], characters: dict[str, str]) -> Iterable[str]:
    """Each word as one character a token, cut at the tokens that have none."""
    for word in words:
        yield from "".join(characters.get(token, " ") for token in word).split(" ")


def _tokens(text: str, alphabet: Sequence[str]) -> str:
    return JOINT.join(alphabet[ord(character) - FIRST_CHARACTER] for character in text)


@lru_cache(maxsize=2**16)
def _parts(token: str) -> tuple[str, ...]:
    return tuple(token.split(JOINT))


@final
class BpeTokenizer(Tokenizer):
    """Another tokenizer, with tokens of one onset merged: `Shift_6+Pitch_67+Duration_6`.

    Nothing is merged across onsets, so that no token holds two. It loses what the other
    loses, and its grammar is the other's: a token may follow if its parts may, one after the other.
    So a sample may write in single tokens what `tokenize` would merge: the probability of a piece is
    at least that of its one segmentation by the merges, and the loss an upper bound.

    Args:
        base: the other tokenizer.
        merges: what to merge.
    """

    def __init__(self, base: Tokenizer, merges: Merges) -> None:
        self.base = base
        self.merges = merges
        self.steps_per_beat = base.steps_per_beat
        self.min_count = base.min_count
        self.writes_drums = base.writes_drums
        self.holds_notes = base.holds_notes

    def tokenize(self, piece: Piece) -> list[str]:
        """The tokens of `piece`, merged onset by onset."""
        onsets = self.base.tokens_by_onset(piece)
        return [token for _, word in onsets for token in self.merges.apply(word)]

    def detokenize(self, tokens: Sequence[str], tempo: float = DEFAULT_TEMPO) -> Piece:
        """The piece that the parts of `tokens` describe."""
        return self.base.detokenize([part for token in tokens for part in _parts(token)], tempo)

    def onsets(self, piece: Piece) -> NDArray[np.int64]:
        """As the other tokenizer gives them."""
        return self.base.onsets(piece)

    def begins_onset(self, state: State, token: str) -> bool:
        """Whether its first part does."""
        return self.base.begins_onset(state, _parts(token)[0])

    def note_count(self, token: str) -> int:
        """The notes of its parts."""
        return sum(map(self.base.note_count, _parts(token)))

    def num_steps(self, token: str) -> int:
        """The steps of its parts."""
        return sum(map(self.base.num_steps, _parts(token)))

    def transposed(self, token: str, semitones: int) -> str | None:
        """Its parts, moved: the transposed music may be merged in other ways."""
        parts = [self.base.transposed(part, semitones) for part in _parts(token)]
        return None if None in parts else JOINT.join(part for part in parts if part)

    def num_notes(self, tokens: Sequence[str], indices: NDArray[np.uint32]) -> int:
        """The notes that the parts describe together."""
        parts = [part for i in indices.tolist() for part in _parts(tokens[i])]
        return self.base.num_notes(parts, np.arange(len(parts), dtype=np.uint32))

    @property
    def start(self) -> State:
        """That of the other tokenizer."""
        return self.base.start

    def follows(self, state: State, token: str) -> bool:
        """Whether its parts may come next, one after the other."""
        for part in _parts(token):
            if not self.base.follows(state, part):
                return False
            state = self.base.advance(state, part)
        return True

    def advance(self, state: State, token: str) -> State:
        """The state after its last part."""
        for part in _parts(token):
            state = self.base.advance(state, part)
        return state

    def is_complete(self, state: State) -> bool:
        """As the other tokenizer says."""
        return self.base.is_complete(state)
