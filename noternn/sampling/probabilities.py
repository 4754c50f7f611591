"""Log-probabilities of the network -> the distribution that an id is drawn from.

Each id is drawn in these steps:

1. The grammar: what may not come next has probability 0.
2. The repetition penalty: pitches of the last notes become less probable, p -> p ** penalty.
3. Top-k, top-p and min-p each keep the most probable ids, all three judged on what 2 gave; what all of them
   keep is left. So their order does not matter, and neither does the temperature to them.
4. The temperature: p -> p ** (1 / temperature) among what is left. Raised, it makes bolder choices among what
   the network holds possible, and never reaches for what it does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noternn.config.sampling import Sampling

try:
    from noternn.sampling import draws as draws
except ImportError:  # there was no compiler
    draws = None  # type: ignore[assignment]

ROUNDING = 1e-11  # nats; far more than two orders of the same sums differ by
UNDECIDED = -1


def probabilities(
    log_probs: NDArray[np.float64],
    mask: NDArray[np.bool_],
    options: Sampling,
    repeated: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """The distribution that is sampled from, shape (..., vocab_size).

    Args:
        log_probs: (..., vocab_size) of the network.
        mask: (..., vocab_size) what may come next; at least one of each is true.
        options: how to choose.
        repeated: (..., vocab_size) what the repetition penalty acts on; None for nothing.
    """
    kept = _penalized(log_probs, mask, options.repetition_penalty, repeated)
    order = np.argsort(-kept, axis=-1, kind="stable")
    num_kept = _num_kept(np.take_along_axis(kept, order, axis=-1), options)
    is_left = np.arange(kept.shape[-1]) < num_kept[..., None]
    left = np.empty_like(is_left)
    np.put_along_axis(left, order, is_left, axis=-1)
    kept = np.where(left, kept, -np.inf)
    with np.errstate(over="ignore"):  # at the lowest temperatures all but the most probable become 0
        weights = np.exp((kept - kept.max(axis=-1, keepdims=True)) / options.temperature)
    normalized: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return normalized


def _penalized(
    log_probs: NDArray[np.float64],
    mask: NDArray[np.bool_],
    penalty: float,
    repeated: NDArray[np.bool_] | None,
) -> NDArray[np.float64]:
    """Log-probabilities of what the grammar allows, less of what is repeated; -inf elsewhere."""
    kept = np.where(mask, log_probs, -np.inf)
    if repeated is None or penalty == 1:
        return kept
    kept -= np.logaddexp.reduce(kept, axis=-1, keepdims=True)
    return np.where(repeated, penalty * kept, kept)


def _num_kept(descending: NDArray[np.float64], options: Sampling) -> NDArray[np.int64]:
    """How many of the most probable ids top-k, top-p and min-p leave: (...) from (..., vocab_size)."""
    vocab_size = descending.shape[-1]
    num_kept = np.full(descending.shape[:-1], min(options.top_k or vocab_size, vocab_size))
    if options.top_p < 1:
        below = _cumulative(descending)[..., :-1] < options.top_p
        num_kept = np.minimum(num_kept, 1 + below.sum(axis=-1))
    if options.min_p > 0:
        is_near = descending - descending[..., :1] >= np.log(options.min_p)
        num_kept = np.minimum(num_kept, is_near.sum(axis=-1))
    return num_kept


def _cumulative(descending: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of the most probable one, two, ... ids together, up to 1."""
    cumulative = np.cumsum(np.exp(descending - descending[..., :1]), axis=-1)
    shares: NDArray[np.float64] = cumulative / cumulative[..., -1:]
    return shares


def choose(probs: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ids drawn with probabilities `probs`.

    Args:
        probs: (..., vocab_size).
        point: (...) evenly random in [0, 1).

    Returns:
        Ids, shape (...).
    """
    cumulative = np.cumsum(probs, axis=-1)
    chosen: NDArray[np.int64] = (cumulative <= point[..., None] * cumulative[..., -1:]).sum(axis=-1)
    return chosen


def draw(
    log_probs: NDArray[np.float64],
    which: NDArray[np.int64],
    masks: NDArray[np.bool_],
    states: NDArray[np.int64],
    point: NDArray[np.float64],
    options: Sampling,
    tolerance: float = ROUNDING,
) -> NDArray[np.int64]:
    """The ids that `choose` draws from `probabilities`, or `UNDECIDED` where `is_close` says so.

    It never decides where it was not compiled.

    Args:
        log_probs: (rows, vocab_size) of the network.
        which: (n,) rows.
        masks: (num_states, vocab_size) what may come next in each state of the grammar.
        states: (n,).
        point: (n,) evenly random in [0, 1).
        options: how to choose; without a repetition penalty.
        tolerance: nats by which the log-probabilities may be off.
    """
    drawn = np.full(len(which), UNDECIDED)
    if draws is not None:
        given = np.ascontiguousarray(log_probs), which, masks, states, point, drawn
        filters = options.top_k, options.top_p, options.min_p, options.temperature
        draws.draw(*given, masks.shape[1], *filters, tolerance)
    return drawn


def is_close(
    log_probs: NDArray[np.float64],
    mask: NDArray[np.bool_],
    point: NDArray[np.float64],
    options: Sampling,
    tolerance: float,
    repeated: NDArray[np.bool_] | None = None,
) -> bool:
    """Whether log-probabilities that differ by up to `tolerance` nats might draw another id.

    They would if they moved an edge between two ids over the random point, or changed what top-k, top-p or
    min-p leave. All but `point`, (1,), have the shape (1, vocab_size).
    """
    penalty = 1.0 if repeated is None else options.repetition_penalty
    if penalty != 1:  # the sum that they are divided by is off as well
        tolerance *= 2 * penalty
    descending = np.sort(_penalized(log_probs, mask, penalty, repeated)[mask])[::-1]
    if _cut_is_close(descending, options, tolerance):
        return True
    edges = np.cumsum(probabilities(log_probs, mask, options, repeated), axis=-1)
    # each weight changes by a factor of up to exp(tolerance / temperature), so an edge by half of that share
    return bool(np.abs(edges - point[..., None]).min() < tolerance / options.temperature)


def _cut_is_close(descending: NDArray[np.float64], options: Sampling, tolerance: float) -> bool:
    """Whether other ids might be left if each of these log-probabilities were off by `tolerance`."""
    num_kept = int(_num_kept(descending, options))
    if num_kept < len(descending) and descending[num_kept - 1] - descending[num_kept] < 2 * tolerance:
        return True  # another id might be the last one
    limit = options.top_k or len(descending)
    shares = _cumulative(descending)[:limit]  # each changes by up to half of the tolerance
    at_p = options.top_p < 1 and np.abs(shares - options.top_p).min() < tolerance
    below_first = descending[1:limit] - descending[0]  # both may move
    at_min = options.min_p > 0 and (np.abs(below_first - np.log(options.min_p)) < 2 * tolerance).any()
    return bool(at_p or at_min)
