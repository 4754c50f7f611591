"""How unlikely music is to a network, in nats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from noternn.model.lstm import NetworkState, NoteLSTM
from noternn.music.piece import Piece
from noternn.tokenizer import PAD_ID, Codec
from noternn.tokenizer.pace import note_counts

WINDOW_LENGTH = 256  # tokens that are scored together: it bounds the memory
SIDE_BY_SIDE = 16  # pieces


@torch.no_grad()
def token_nlls(network: NoteLSTM, pieces: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float64]]:
    """The nll of each id of some pieces but the first, (num_tokens - 1,), the state carried along.

    Args:
        network: in evaluation mode.
        pieces: of each the ids, (num_tokens,) from BOS on; they are scored side by side.
    """
    most = max(map(len, pieces))
    ids = torch.full((len(pieces), most), PAD_ID)
    for row, piece in zip(ids, pieces, strict=True):
        row[: len(piece)] = torch.as_tensor(piece)
    suggested = None
    if network.memory is not None:
        found = [network.suggested(row.numpy()) for row in ids]
        suggested = torch.stack([part for part in found if part is not None])
    state: NetworkState | None = None
    parts = []
    for start in range(0, most - 1, WINDOW_LENGTH):
        window = ids[:, start : start + WINDOW_LENGTH + 1]
        known = None if suggested is None else suggested[:, start : start + window.shape[1] - 1]
        logits, state = network(window[:, :-1], state, known)  # (pieces, time, vocab)
        log_probs = logits.double().log_softmax(dim=-1)
        parts.append(-log_probs.gather(2, window[:, 1:, None])[..., 0])
    nlls = torch.cat(parts, dim=1).numpy()
    return [row[: len(piece) - 1] for row, piece in zip(nlls, pieces, strict=True)]


def note_nlls(codec: Codec, ids: NDArray[np.int64], nats: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each note costs, (num_notes,): its own tokens and the tokens of time before it.

    Notes that one token writes share its cost, and the last note also pays for the end of the piece.

    Args:
        codec: of the ids.
        ids: (num_tokens,) from BOS on, with at least one note.
        nats: (num_tokens - 1,) the nll of all but the first.
    """
    tokenizer, tokens = codec.tokenizer, codec.vocabulary.tokens
    notes: list[float] = []
    state, waiting, count = tokenizer.start, 0.0, 0
    for id_, cost in zip(ids[1:].tolist(), nats.tolist(), strict=True):
        waiting += cost
        count += tokenizer.note_count(tokens[id_])
        state = tokenizer.advance(state, tokens[id_])
        if count and tokenizer.is_complete(state):
            notes += [waiting / count] * count
            waiting, count = 0.0, 0
    notes[-1] += waiting
    return np.array(notes)


def scorer(network: NoteLSTM, codec: Codec) -> Callable[[Sequence[Piece]], list[float]]:
    """What gives the nats a note of each of some pieces; infinite of one without notes that are written."""
    counts = note_counts(codec)

    def nats(pieces: Sequence[Piece]) -> list[float]:
        found: list[float] = []
        for start in range(0, len(pieces), SIDE_BY_SIDE):
            ids = [codec.encode(piece)[:-1] for piece in pieces[start : start + SIDE_BY_SIDE]]
            nlls = token_nlls(network, ids) if max(map(len, ids)) > 1 else [np.zeros(0)] * len(ids)
            notes = [int(counts[own].sum()) for own in ids]
            found += [float(n.sum()) / k if k else np.inf for n, k in zip(nlls, notes, strict=True)]
        return found

    return nats
