"""Ways of predicting what comes next in held-out pieces: fixed weights or adapting ones, keys, ensembles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from noternn.model.lstm import NoteLSTM, select_lanes, store_lanes
from noternn.tokenizer import PAD_ID, UNK_ID, Codec

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# Pieces (num_tokens,) -> the log-probability of each token but the first of each, (num_tokens - 1,).
Predictor = Callable[[Sequence[Ints]], list[Floats]]

BATCH_SIZE = 32
WINDOW_LENGTH = 256  # where the weights stand still it changes nothing but the memory


def static(
    network: NoteLSTM,
    batch_size: int = BATCH_SIZE,
    window_length: int = WINDOW_LENGTH,
    labels: Ints | None = None,
) -> Predictor:
    """The network as it was trained: fixed weights, the state carried within each piece.

    Args:
        network: in evaluation mode.
        batch_size, window_length: of what is computed at once.
        labels: (num_pieces,) the number of the label that is told of each piece; None tells none.
    """

    @torch.no_grad()
    def predict(pieces: Sequence[Ints]) -> list[Floats]:
        found = [np.empty(len(piece) - 1) for piece in pieces]
        suggested = [network.suggested(piece) for piece in pieces]
        order = sorted(range(len(pieces)), key=lambda i: -len(pieces[i]))
        for first in range(0, len(order), batch_size):
            lanes = order[first : first + batch_size]
            state = None
            for start in range(0, len(pieces[lanes[0]]) - 1, window_length):
                lanes = [i for i in lanes if len(pieces[i]) - 1 > start]  # the longest come first
                if state is not None:
                    state = select_lanes(state, torch.arange(len(lanes)), torch.zeros(len(lanes)).bool())
                stop = min(start + window_length, len(pieces[lanes[0]]) - 1)
                known = [each[start:stop] for i in lanes if (each := suggested[i]) is not None]
                known_of = pad_sequence(known, batch_first=True) if known else None
                told = None if labels is None else torch.from_numpy(labels[lanes])
                logits, state = network(_window(pieces, lanes, start, stop), state, known_of, told)
                for i, row in zip(lanes, logits, strict=True):
                    found[i][start:stop] = _log_probs(row, pieces[i][start + 1 : stop + 1])
        return found

    return predict


def _window(pieces: Sequence[Ints], lanes: Sequence[int], start: int, stop: int) -> torch.Tensor:
    """The ids of some pieces from `start` to before `stop`, (batch, time); PAD where a piece has ended."""
    ids = np.full((len(lanes), stop - start), PAD_ID, dtype=np.int64)
    for row, i in zip(ids, lanes, strict=True):
        part = pieces[i][start : min(stop, len(pieces[i]) - 1)]
        row[: len(part)] = part
    return torch.from_numpy(ids)


def _log_probs(logits: torch.Tensor, targets: Ints) -> NDArray[np.float32]:
    """Log-probabilities of some ids, (time,), from logits (at least time, vocab_size)."""
    log_probs = logits[: len(targets)].float().log_softmax(-1)
    found: NDArray[np.float32] = log_probs.gather(1, torch.from_numpy(targets)[:, None])[:, 0].numpy()
    return found


def dynamic(network: NoteLSTM, rate: float, window_length: int, labels: Ints | None = None) -> Predictor:
    """The network whose weights take a step of SGD after each window, and are as trained for each piece.

    Source: Krause et al., Dynamic Evaluation of Neural Sequence Models (2018), with plain SGD.

    Args:
        network: in evaluation mode; it stays as it is.
        rate: of SGD on the mean nll of the window.
        window_length: in tokens.
        labels: see `static`.
    """

    def predict(pieces: Sequence[Ints]) -> list[Floats]:
        rows = [None] * len(pieces) if labels is None else torch.from_numpy(labels)[:, None]
        return [_adapting(deepcopy(network), *each) for each in zip(pieces, rows, strict=True)]

    def _adapting(network: NoteLSTM, piece: Ints, label: torch.Tensor | None) -> Floats:
        optimizer = torch.optim.SGD(network.parameters(), lr=rate)
        ids = torch.from_numpy(piece)[None]  # (1, num_tokens)
        suggested = network.suggested(piece)
        carried, only = network.initial_state(1), torch.zeros(1, dtype=torch.int64)
        found = np.empty(len(piece) - 1)
        for start in range(0, len(piece) - 1, window_length):
            stop = min(start + window_length, len(piece) - 1)
            state = select_lanes(carried, only, only.bool())
            known = None if suggested is None else suggested[None, start:stop]
            logits, state = network(ids[:, start:stop], state, known, label)
            found[start:stop] = _log_probs(logits[0].detach(), piece[start + 1 : stop + 1])
            optimizer.zero_grad()
            nll = cross_entropy(logits[0].float(), ids[0, start + 1 : stop + 1])
            nll.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            store_lanes(carried, only, state)
        return found

    return predict


def keys_around(num_keys: int) -> list[int]:
    """Semitones of the nearest keys, the piece's own first: 0, 1, -1, 2, ..."""
    return [(k + 1) // 2 * (1 if k % 2 else -1) for k in range(num_keys)]


def over_keys(predict: Predictor, codec: Codec, num_keys: int) -> Predictor:
    """The mean of the probabilities in several keys.

    A key is left out of a piece from the first token on that the vocabulary lacks there; that token itself
    counts as impossible in that key. So the probabilities never add up to more than 1.
    """
    maps = [codec.variation(semitones) for semitones in keys_around(num_keys)]
    is_lost = [(there == UNK_ID) & (np.arange(len(there)) != UNK_ID) for there in maps]

    def averaged(pieces: Sequence[Ints]) -> list[Floats]:
        totals = [np.full(len(piece) - 1, -np.inf) for piece in pieces]
        counts = [np.zeros(len(piece) - 1) for piece in pieces]
        for there, lost in zip(maps, is_lost, strict=True):
            moved = predict([there[piece] for piece in pieces])
            for i, log_probs in enumerate(moved):
                is_in = ~np.logical_or.accumulate(lost[pieces[i][:-1]])  # what came before is there
                possible = is_in & ~lost[pieces[i][1:]]
                totals[i] = np.logaddexp(totals[i], np.where(possible, log_probs, -np.inf))
                counts[i] += is_in
        return [total - np.log(count) for total, count in zip(totals, counts, strict=True)]

    return averaged


def share_within(codec: Codec, pieces: Sequence[Ints], num_keys: int) -> float:
    """The share of the pieces that the vocabulary can write in all of the keys."""
    maps = [codec.variation(semitones) for semitones in keys_around(num_keys)]
    within = [
        all((there[piece] == UNK_ID).sum() == (piece == UNK_ID).sum() for there in maps) for piece in pieces
    ]
    return float(np.mean(within))


def ensemble(predictors: Sequence[Predictor]) -> Predictor:
    """The mean of the probabilities of several networks."""

    def averaged(pieces: Sequence[Ints]) -> list[Floats]:
        found = zip(*(predict(pieces) for predict in predictors), strict=True)
        return [np.logaddexp.reduce(each, axis=0) - np.log(len(predictors)) for each in found]

    return averaged
