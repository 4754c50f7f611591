"""Probabilities -> ids: temperature, top-k and the tokenizer's grammar, one token after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from noternn.lstm import NoteLSTM, State
from noternn.tokenizer import BOS_ID, EOS_ID, Codec

MAX_TOKENS_PER_NOTE = 64  # a sample that writes only shifts and rests ends here


@dataclass(frozen=True)
class SamplingOptions:
    """How to compose.

    Args:
        num_notes: notes to add to the primer.
        temperature: above 0; probabilities are raised to the power 1 / temperature.
        top_k: choose among the most probable tokens only; 0 for all.
        seed: of the random choices.
    """

    num_notes: int
    temperature: float
    top_k: int
    seed: int


class Stepper:
    """The network one id at a time, in evaluation mode, carrying the state."""

    def __init__(self, network: NoteLSTM) -> None:
        self.network = network
        self.device = network.embedding.weight.device
        self.state: State | None = None

    @torch.no_grad()
    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Log-probabilities of the next id, shape (vocab_size,), after some more ids."""
        inputs = torch.tensor([ids], device=self.device)  # (1, time)
        logits, self.state = self.network(inputs, self.state)
        log_probs: NDArray[np.float64] = logits[0, -1].cpu().double().log_softmax(-1).numpy()
        return log_probs


def probabilities(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], temperature: float, top_k: int
) -> NDArray[np.float64]:
    """The distribution that is sampled from, shape (vocab_size,).

    Args:
        log_probs: (vocab_size,) of the network.
        mask: (vocab_size,) what may come next; at least one is true.
        temperature: above 0.
        top_k: how many of the most probable allowed ids keep their probability; 0 for all.
    """
    kept = np.where(mask, log_probs, -np.inf)
    if 0 < top_k < len(kept):
        order = np.argsort(-kept, kind="stable")
        kept[order[top_k:]] = -np.inf
    with np.errstate(over="ignore"):  # at the lowest temperatures all but the most probable become 0
        weights = np.exp((kept - kept.max()) / temperature)
    normalized: NDArray[np.float64] = weights / weights.sum()
    return normalized


def choose(probs: NDArray[np.float64], rng: np.random.Generator) -> int:
    """An id drawn with probabilities `probs`."""
    cumulative = np.cumsum(probs)
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))


def sample_ids(network: NoteLSTM, codec: Codec, primer: Sequence[int], options: SamplingOptions) -> list[int]:
    """Continue a primer by `num_notes` notes; the piece may end by itself only after them.

    Args:
        network: put into evaluation mode for the time of sampling.
        codec: its tokenizer's grammar says what may come next.
        primer: ids without BOS and EOS; empty to start from nothing.
        options: how to choose.

    Returns:
        The primer and what follows it, without BOS and EOS. Fewer notes than asked for only if
        the grammar allows nothing but the end.
    """
    was_training = network.training
    network.eval()
    try:
        return [*primer, *_continue(Stepper(network), codec, primer, options)]
    finally:
        network.train(was_training)


def _continue(stepper: Stepper, codec: Codec, primer: Sequence[int], options: SamplingOptions) -> list[int]:
    tokenizer, tokens = codec.tokenizer, codec.vocabulary.tokens
    rng = np.random.default_rng(options.seed)
    state = tokenizer.start
    for id_ in primer:
        state = tokenizer.advance(state, tokens[id_])
    log_probs = stepper.step([BOS_ID, *primer])
    added: list[int] = []
    num_notes = 0
    limit = MAX_TOKENS_PER_NOTE * options.num_notes
    while (num_notes < options.num_notes or not tokenizer.is_complete(state)) and len(added) < limit:
        mask = codec.mask(state).copy()
        mask[EOS_ID] = False
        if not mask.any():
            break
        id_ = choose(probabilities(log_probs, mask, options.temperature, options.top_k), rng)
        added.append(id_)
        num_notes += tokenizer.note_count(tokens[id_])
        state = tokenizer.advance(state, tokens[id_])
        log_probs = stepper.step([id_])
    return added
