"""A tokenizer with a vocabulary: pieces <-> ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import DEFAULT_TEMPO, Piece
from noternn.tokenizer.base import State, Tokenizer
from noternn.tokenizer.vocabulary import BOS_ID, EOS, EOS_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID, Vocabulary


class Codec:
    """A tokenizer with a vocabulary: pieces <-> ids, and masks of the ids that may come next.

    Args:
        tokenizer: whose grammar is kept to.
        vocabulary: of its tokens.
        within: (vocab_size,) which ids may come at all; None for all.
    """

    def __init__(
        self, tokenizer: Tokenizer, vocabulary: Vocabulary, within: NDArray[np.bool_] | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        ordinary = range(len(SPECIAL_TOKENS), len(vocabulary.tokens))
        self._ordinary = [i for i in ordinary if within is None or within[i]]
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

        An id is out, too, if those that may come at all have no way from it to EOS: after the lowest pitch no
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

    def before_pitch(self) -> NDArray[np.bool_]:
        """Whether an id that says a pitch may come after each id, (vocab_size,); True where it is not known.

        The lowest and the highest pitch are asked for all.
        """
        pitch = self.tokenizer.pitch
        told = {height: token for token in self.vocabulary.tokens if (height := pitch(token)) is not None}
        return self.before([told[end] for end in (min(told), max(told))] if told else [])

    def before(self, following: Sequence[str]) -> NDArray[np.bool_]:
        """Whether one of some tokens may come after each id, (vocab_size,); True where it is not known.

        The grammar is asked after every token, in each state along a short piece where the token may stand.
        The first note of that piece is the highest there is, so that nothing rules the next one out but its
        place. After EOS and PAD comes padding; UNK may stand for anything.
        """
        tokens, tokenizer = self.vocabulary.tokens, self.tokenizer
        found = np.ones(len(tokens), dtype=np.bool_)
        found[[PAD_ID, EOS_ID]] = False
        states, allows = _states_of_example(tokenizer), dict[State, bool]()
        for id_, token in enumerate(tokens):
            if id_ in (PAD_ID, EOS_ID, UNK_ID):
                continue
            places = states[:1] if id_ == BOS_ID else [s for s in states if tokenizer.follows(s, token)]
            after = {tokenizer.advance(state, token) for state in places}
            for state in after - allows.keys():
                allows[state] = any(tokenizer.follows(state, token) for token in following)
            found[id_] = not after or any(allows[state] for state in after)
        return found

    def _successors(self, state: State) -> list[tuple[int, State]]:
        """The ordinary ids that the grammar allows after `state`, each with the state it leads to."""
        follows, advance = self.tokenizer.follows, self.tokenizer.advance
        tokens = self.vocabulary.tokens
        return [(i, advance(state, tokens[i])) for i in self._ordinary if follows(state, tokens[i])]

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


def _states_of_example(tokenizer: Tokenizer) -> list[State]:
    """The states along a piece of two chords, far apart, with every kind of token that there is."""
    beats = np.array([0, 0, 0, 0, 9, 9])
    pitches, is_drum = [127, 126, 127, 60, 127, 60], [False, False, False, True, False, True]
    piece = Piece.from_notes(480 * beats, 240, pitches, program=[0, 0, 1, 0, 0, 0], is_drum=is_drum)
    states = [tokenizer.start]
    for token in tokenizer.tokenize(piece):
        states.append(tokenizer.advance(states[-1], token))
    return states
