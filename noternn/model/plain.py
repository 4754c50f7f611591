"""A trained network with its codec as plain data and arrays, for programs that have no torch."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.model.checkpoint import Trained
from noternn.model.lstm import NoteLSTM
from noternn.tokenizer import (
    ChordTokenizer,
    EventTokenizer,
    FramesTokenizer,
    Tokenizer,
    VoicesTokenizer,
)
from noternn.tokenizer.pace import note_counts
from noternn.tokenizer.pitch_kinds import PitchKinds

# The arguments of tokenizers whose grammar pages/grammar.js restates.
TOKENIZERS: Mapping[type[Tokenizer], tuple[str, tuple[str, ...]]] = {
    EventTokenizer: (
        "event",
        ("steps_per_beat", "max_shift_beats", "max_duration_beats", "velocity", "program"),
    ),
    ChordTokenizer: (
        "chord",
        ("steps_per_beat", "max_beats", "durations", "rests", "pitch_class", "step_beats"),
    ),
    FramesTokenizer: ("frames", ("steps_per_beat",)),
    VoicesTokenizer: ("voices", ("steps_per_beat",)),
}
# The tensors that pages/network.js knows, by the beginnings of their names.
KNOWN_TENSORS = (
    *("embedding.weight", "projection", "places.", "layers.", "head."),
    *("intervals.table", "intervals.classes.weight", "intervals.scores.", "intervals.convolution."),
    *("memory.projection", "memory.classes", "memory.boosts."),
)


class Plain(NamedTuple):
    """What a page needs to compose.

    Args:
        description: of the network, the codec and what it composes like, for JSON.
        tensors: the network's weights, float32, by their names.
    """

    description: dict[str, Any]
    tensors: dict[str, NDArray[np.float32]]


def plain_of(trained: Trained) -> Plain:
    """The network and codec of a checkpoint as plain data.

    Raises:
        UserError: if it has a part that a page cannot run.
    """
    network = trained.network
    tensors = {name: part.detach().float().numpy() for name, part in network.named_parameters()}
    _refuse_unknown(network, tensors)
    memory, bits = network.memory, {"before_pitch": network.before_pitch, "followers": network.followers}
    description = {
        **described(trained),
        "tokenizer": _tokenizer(trained.codec.tokenizer),
        **{name: None if values is None else _bits(values) for name, values in bits.items()},
        "kinds": None if memory is None else _kinds(memory.kinds),
    }
    return Plain(description, tensors)


def described(trained: Trained) -> dict[str, Any]:
    """What the sizes of a network are, and what its ids mean, for JSON."""
    codec = trained.codec
    tokens, tokenizer = codec.vocabulary.tokens, codec.tokenizer
    return {
        "network": _sizes(trained.network),
        "tokens": list(tokens),
        "steps_per_beat": tokenizer.steps_per_beat,
        "token_steps": codec.token_steps().tolist(),
        "note_counts": note_counts(codec).tolist(),
        "token_pitches": codec.token_pitches().tolist(),
        "is_pitched": [tokenizer.transposed(token, 1) != token for token in tokens],
        "pace": asdict(trained.pace),
        "bands": [sorted(band) for band in trained.bands],
        "tempo": trained.tempo,
        "metre": list(trained.metre),
    }


def _sizes(network: NoteLSTM) -> dict[str, Any]:
    intervals, memory = network.intervals, network.memory
    convolution = None if intervals is None else intervals.convolution
    return {
        "hidden_size": network.hidden_size,
        "num_layers": len(network.layers),
        "num_fc_layers": 2 if isinstance(network.head, torch.nn.Sequential) else 1,
        "residual": network.residual,
        "tied": any(module is network.embedding.weight for module in network.head.parameters()),
        "num_input_tokens": network.num_input_tokens,
        "periods": list(network.periods),
        "num_slots": network.num_slots,
        "num_pitches": 0 if intervals is None else intervals.num_pitches,
        "pitch_channels": 0 if convolution is None else len(convolution.weight),
        "memory": 0 if memory is None else memory.count,
    }


def _kinds(kinds: PitchKinds) -> dict[str, Any]:
    parts = kinds.parts
    return {
        "kind": kinds.kind.tolist(),
        "height": kinds.height.tolist(),
        "bar": kinds.bar,
        "parts": None if parts is None else {"part": parts.part.tolist(), "within": parts.within.tolist()},
    }


def _refuse_unknown(network: NoteLSTM, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    unknown = sorted(name for name in tensors if not name.startswith(KNOWN_TENSORS))
    if unknown:
        raise UserError(f"a page cannot run this network yet: it does not know its part {unknown[0]}")
    if network.options.get("memory") and network.memory is None:
        raise UserError("a page cannot run this network: its memory is none that a page knows")


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    if type(tokenizer) not in TOKENIZERS:
        name = type(tokenizer).__name__
        raise UserError(
            f"a page cannot write the tokens of {name}; it knows tokenizer=event, chord, frames and voices"
        )
    name, arguments = TOKENIZERS[type(tokenizer)]
    plain = {argument: getattr(tokenizer, argument) for argument in arguments}
    plain["drums_first"] = getattr(
        tokenizer, "drums_first", False
    )  # runs of earlier versions wrote them last
    if isinstance(tokenizer, ChordTokenizer):
        plain["chord_steps"] = max(1, round(tokenizer.step_beats * tokenizer.steps_per_beat))
    return {"name": name, **plain}


def _bits(values: torch.Tensor) -> str:
    """Booleans, eight a byte, the first highest, as base64."""
    return base64.b64encode(np.packbits(values.numpy()).tobytes()).decode()
