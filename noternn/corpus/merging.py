"""Byte-pair encoding of a corpus that is tokenized already: merges from some pieces, applied to all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.cache import Entry
from noternn.corpus.tokenized import TokenizedCorpus
from noternn.tokenizer import BOS, EOS, SPECIAL_TOKENS, Merges, State, Tokenizer, Vocabulary, learn_merges


@dataclass(frozen=True)
class Bpe:
    """That tokens are merged, see `noternn.tokenizer.BpeTokenizer`.

    Args:
        tokenizer: the one that wrote the corpus.
        vocab_size: how many tokens there are to be in all, see `learn_merges`.
    """

    tokenizer: Tokenizer
    vocab_size: int

    def learn(self, corpus: TokenizedCorpus, members: NDArray[np.int64], vocabulary: Vocabulary) -> Merges:
        """The merges of some of the pieces, among the tokens of their vocabulary."""
        split = _OnsetSplitter(self.tokenizer, vocabulary.tokens).split
        pieces = corpus.pieces(members, vocabulary)
        words = chain.from_iterable(split(ids[1:-1].tolist()) for ids in pieces)
        texts = ([vocabulary.tokens[i] for i in word] for word in words)
        return learn_merges(texts, self.vocab_size, vocabulary.tokens[len(SPECIAL_TOKENS) :])

    def merge(self, corpus: TokenizedCorpus, merges: Merges) -> TokenizedCorpus:
        """The same pieces in merged tokens, shard by shard, from the cache where it has them."""
        shards = []
        for number, shard in enumerate(corpus.shards):
            key = json.dumps(["bpe", corpus.fingerprint, number, merges.pairs])
            make = partial(_merged_entry, shard, merges, self.tokenizer)
            shards.append(corpus.cache.get(hashlib.sha256(key.encode()).hexdigest(), make))
        return replace(corpus, merged=tuple(shards))


class _OnsetSplitter:
    """Cuts pieces, given as indices into `tokens`, where their onsets begin."""

    def __init__(self, tokenizer: Tokenizer, tokens: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._states: list[State] = [tokenizer.start]
        self._numbers: dict[State, int] = {tokenizer.start: 0}
        self._steps: dict[tuple[int, int], tuple[int, bool]] = {}  # the grammar, as far as it was needed

    def split(self, indices: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """The indices of each onset of a piece without BOS and EOS."""
        state, starts = 0, []
        for place, index in enumerate(indices):
            step = self._steps.get((state, index)) or self._step(state, index)
            state, begins_onset = step
            if begins_onset:
                starts.append(place)
        return (tuple(indices[start:end]) for start, end in pairwise([*starts, len(indices)]))

    def _step(self, number: int, index: int) -> tuple[int, bool]:
        """The number of the state after a token, and whether that begins an onset."""
        state, token = self._states[number], self._tokens[index]
        after = self._tokenizer.advance(state, token)
        if after not in self._numbers:
            self._numbers[after] = len(self._states)
            self._states.append(after)
        step = self._numbers[after], self._tokenizer.begins_onset(state, token)
        self._steps[number, index] = step
        return step


def _merged_entry(shard: Entry, merges: Merges, tokenizer: Tokenizer) -> Entry:
    """What a shard holds in merged tokens instead of its own."""
    written = shard.values["tokens"]
    split = _OnsetSplitter(tokenizer, written).split
    numbers = {BOS: 0, EOS: 1}
    merged: dict[tuple[int, ...], list[int]] = {}  # onsets come again and again
    pieces = []
    for start, end in pairwise(shard.arrays["offsets"].tolist()):
        ids = [0]
        for word in split(shard.arrays["indices"][start + 1 : end - 1].tolist()):
            if word not in merged:
                tokens = merges.apply([written[i] for i in word])
                merged[word] = [numbers.setdefault(token, len(numbers)) for token in tokens]
            ids += merged[word]
        pieces.append(np.array([*ids, 1], dtype=np.uint32))
    dtype = np.uint16 if len(numbers) <= 2**16 else np.uint32
    indices = np.concatenate([np.zeros(0, dtype=dtype), *pieces]).astype(dtype)
    offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
    return Entry({"indices": indices, "offsets": offsets}, {"tokens": list(numbers)})
