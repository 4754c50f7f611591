"""The copy model: what followed earlier in a piece is made more probable where its past comes again.

A network of fixed size forgets what a piece said a minute ago; a search does not. Of the piece so far the
longest suffixes are found that stood in it before, as they are and at any other pitch, and what followed
them is suggested. A suggested id x gets a boost b(x), and the network's probabilities p become

    p(x) * exp(b(x)) / Z,    Z = 1 + sum over suggested x of p(x) * (exp(b(x)) - 1),

which is a distribution again, and the network's own where all boosts are 0. The boost is linear in weights
that are fitted on a validation split: a concave problem with one solution. It depends on the piece's own past
alone, so likelihoods stay exact; nothing is carried from one piece to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from noternn.tokenizer.pitch_kinds import FIRST_HEIGHT, PitchKinds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RANKS = (
    2  # the followers that are suggested of each search: of the longest match, and of the next that differs
)
NUM_SUGGESTIONS = 2 * RANKS  # as they are, then at another pitch
LONGEST = 6  # log2 of the match length from which on longer ones count no more
NUM_FEATURES = LONGEST + 3
MAX_LOGIT = 12.0
# Suffixes with followers of their own that are looked at. Music has up to about 20; only where one symbol
# comes hundreds of times in a row are there more, which would take quadratic time.
MAX_CHAIN = 256
CHUNK = 4096  # tokens at a time, so that the fit takes little memory
RIDGE = 1.0  # of the fit: a prior of variance 1 on each weight, which few tokens do not overrule


class Suffixes:
    """A sequence of symbols that grows, and what followed the earlier places of its suffixes.

    A suffix automaton that is built online (Blumer et al., 1985), in amortized constant time a symbol, with
    the transitions of each state in the order in which they were last taken.
    """

    def __init__(self) -> None:
        self._next: list[dict[int, int]] = [{}]  # of each state, the latest follower last
        self._link = [-1]
        self._length = [0]
        self._last = 0

    def append(self, symbol: int) -> None:
        """Lengthen the sequence by a symbol."""
        state, new = self._last, self._add({}, self._length[self._last] + 1, 0)
        while state >= 0 and symbol not in self._next[state]:
            self._next[state][symbol] = new
            state = self._link[state]
        if state >= 0:
            self._link[new] = self._split(state, symbol)
        self._take(symbol)
        self._last = new

    def _add(self, following: dict[int, int], length: int, link: int) -> int:
        self._next.append(following)
        self._length.append(length)
        self._link.append(link)
        return len(self._link) - 1

    def _split(self, state: int, symbol: int) -> int:
        """The state of the longest string of `state` with the symbol, split off from longer ones."""
        target, length = self._next[state][symbol], self._length[state] + 1
        if self._length[target] == length:
            return target
        clone = self._add(dict(self._next[target]), length, self._link[target])
        while state >= 0 and self._next[state].get(symbol) == target:
            self._next[state][symbol] = clone
            state = self._link[state]
        self._link[target] = clone
        return clone

    def _take(self, symbol: int) -> None:
        """Make the symbol the latest follower of all suffixes of the sequence before it."""
        state = self._last
        for _ in range(MAX_CHAIN):
            if state < 0:
                break
            following = self._next[state]
            following[symbol] = following.pop(symbol)
            state = self._link[state]

    def followers(self, count: int) -> list[tuple[int, int]]:
        """Up to `count` distinct symbols that followed suffixes, with the length of the longest such suffix.

        The longest suffix comes first; of equally long ones the latest.
        """
        found: dict[int, int] = {}
        state = self._link[self._last]
        for _ in range(MAX_CHAIN):
            if state <= 0 or len(found) >= count:  # 0 is the empty suffix
                break
            for symbol in reversed(self._next[state]):
                found.setdefault(symbol, self._length[state])
            state = self._link[state]
        return list(islice(found.items(), count))


class Copier:
    """The ids of one piece so far, and what its earlier places suggest to come next.

    Args:
        kinds: of the vocabulary.
    """

    def __init__(self, kinds: PitchKinds) -> None:
        self.kinds = kinds
        self._plain, self._by_interval = Suffixes(), Suffixes()
        self._height = FIRST_HEIGHT

    def append(self, id_: int) -> None:
        """Go on by an id."""
        self._plain.append(id_)
        self._by_interval.append(self.kinds.symbol(id_, self._height))
        self._height = self.kinds.height_after(id_, self._height)

    def suggest(self) -> tuple[list[int], list[int]]:
        """Ids (num_suggestions,), -1 for none, and the lengths in tokens of the matches that suggest them."""
        plain = self._plain.followers(RANKS)
        moved = [(self.kinds.id(s, self._height), m) for s, m in self._by_interval.followers(RANKS)]
        none = [(-1, 0)]
        rows = plain + none * (RANKS - len(plain)) + moved + none * (RANKS - len(moved))
        return [id_ for id_, _ in rows], [length for _, length in rows]


def suggestions(piece: Sequence[int], kinds: PitchKinds) -> tuple[Ints, Ints]:
    """What is suggested for each id of a piece but the first, from the ids before it alone.

    Returns:
        Ids, -1 for none, and the lengths of their matches, each (num_tokens - 1, num_suggestions).
    """
    copier, rows = Copier(kinds), []
    for id_ in piece[:-1]:
        copier.append(int(id_))
        rows.append(copier.suggest())
    table = np.array(rows, dtype=np.int64).reshape(-1, 2, NUM_SUGGESTIONS)
    return table[:, 0], table[:, 1]


def features(lengths: Ints, log_probs: Floats) -> Floats:
    """What a boost is linear in, (..., num_features), for suggestions (...).

    The match length as weights of the nearest two of 1, 2, 4, ... 64 tokens (linear between them on a log
    scale), the logit of the network's own probability, and that times the logarithm of the length.

    Args:
        lengths: of the matches, at least 1 where there is a suggestion.
        log_probs: of the network for the ids suggested.
    """
    log_length = np.log2(np.clip(lengths, 1, 2**LONGEST))[..., None]
    between = np.maximum(1 - np.abs(log_length - np.arange(LONGEST + 1)), 0)  # (..., LONGEST + 1)
    log_probs = np.clip(log_probs, -2 * MAX_LOGIT, -1e-9)
    logit = np.clip(log_probs - np.log(-np.expm1(log_probs)), -MAX_LOGIT, MAX_LOGIT)[..., None]
    return np.concatenate([between, logit, logit * log_length], axis=-1)


class Examples:
    """Predictions of many tokens that suggestions were made for.

    Args:
        target: (num_tokens,) the ids that came.
        suggested: (num_tokens, num_suggestions) ids; -1 for none.
        lengths: of their matches, the same shape.
        log_probs: (num_tokens, 1 + num_suggestions) of the network, for the target and for what is suggested.
    """

    def __init__(self, target: Ints, suggested: Ints, lengths: Ints, log_probs: Floats) -> None:
        is_there = suggested >= 0
        same = suggested[:, :, None] == suggested[:, None, :]
        is_first = is_there & ~np.tril(same, -1).any(
            axis=2
        )  # of suggestions of one id the first stands for all
        self.supports = (
            same & is_first[:, :, None]
        )  # (num_tokens, suggestion, suggestion that agrees with it)
        self.features = features(lengths, log_probs[:, 1:])  # (num_tokens, suggestion, feature)
        self.is_hit = is_first & (suggested == target[:, None])
        self.probs = np.where(is_first, np.exp(log_probs[:, 1:]), 0.0)
        self.target_log_probs = log_probs[:, 0]

    def predict(self, weights: Floats) -> tuple[Floats, Floats]:
        """Log-probabilities of the targets, (num_tokens,), and probabilities of what is suggested."""
        each = np.einsum("tsf,sf->ts", self.features, weights)
        boost = np.einsum("tks,ts->tk", self.supports, each)  # an id's is the sum over all that suggest it
        with np.errstate(over="ignore", invalid="ignore"):  # of a step too far, which is not taken
            boosted = self.probs * np.exp(boost)
            total = np.maximum(1 - self.probs.sum(axis=1), 1e-12) + boosted.sum(axis=1)
            log_probs = self.target_log_probs + (boost * self.is_hit).sum(axis=1) - np.log(total)
            return log_probs, boosted / total[:, None]

    def design(self, part: slice) -> Floats:
        """By what the boosts of some tokens grow with each weight, (tokens, suggestion, weight)."""
        table = self.supports[part, :, :, None] * self.features[part, None]
        design: Floats = table.reshape(*table.shape[:2], NUM_SUGGESTIONS * NUM_FEATURES)
        return design


def fit(examples: Examples, max_steps: int = 50) -> Floats:
    """The weights, (num_suggestions, num_features), under which the targets are most probable.

    Newton's method with halved steps on a concave function: the log-likelihood less `RIDGE / 2` times the
    squared weights.
    """
    weights = np.zeros((NUM_SUGGESTIONS, NUM_FEATURES))

    def objective(weights: Floats) -> float:
        return float(examples.predict(weights)[0].sum() - RIDGE / 2 * (weights**2).sum())

    for _ in range(max_steps):
        step = _newton_step(examples, weights)
        before = objective(weights)
        while not objective(weights + step) >= before and np.abs(step).max() > 1e-9:
            step /= 2
        weights = weights + step
        if np.abs(step).max() < 1e-5:
            break
    return weights


def _newton_step(examples: Examples, weights: Floats) -> Floats:
    probs = examples.predict(weights)[1]
    gradient: Floats = -RIDGE * weights.ravel()
    curvature: Floats = np.diag(np.full(weights.size, RIDGE))
    for start in range(0, len(probs), CHUNK):
        part = slice(start, start + CHUNK)
        design, share = examples.design(part), probs[part]
        gradient += np.einsum("ts,tsw->w", examples.is_hit[part] - share, design)
        mean = np.einsum("ts,tsw->tw", share, design)
        rows = (np.sqrt(share)[..., None] * design).reshape(-1, weights.size)
        curvature += rows.T @ rows - mean.T @ mean
    return np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64).reshape(weights.shape)
