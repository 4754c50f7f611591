"""`Piece` <-> ids: tokenizers with their grammars, and the vocabulary between tokens and ids."""

from collections.abc import Callable
from typing import Any

from noternn.tokenizer.base import (
    BOS,
    BOS_ID,
    EOS,
    EOS_ID,
    PAD,
    PAD_ID,
    SPECIAL_TOKENS,
    UNK,
    UNK_ID,
    Codec,
    RoundTrip,
    State,
    Tokenizer,
    Vocabulary,
    round_trip,
)
from noternn.tokenizer.chord import ChordTokenizer
from noternn.tokenizer.event import EventTokenizer
from noternn.tokenizer.miditok_tokenizer import MidiTokTokenizer

__all__ = [
    "BOS",
    "BOS_ID",
    "EOS",
    "EOS_ID",
    "PAD",
    "PAD_ID",
    "SPECIAL_TOKENS",
    "UNK",
    "UNK_ID",
    "ChordTokenizer",
    "Codec",
    "EventTokenizer",
    "MidiTokTokenizer",
    "RoundTrip",
    "State",
    "Tokenizer",
    "Vocabulary",
    "build_tokenizer",
    "round_trip",
]


def build_tokenizer(name: str, **options: Any) -> Tokenizer:
    """The tokenizer called `name` ("event", "chord" or "miditok") with its keyword arguments."""
    tokenizers: dict[str, Callable[..., Tokenizer]] = {
        "event": EventTokenizer,
        "chord": ChordTokenizer,
        "miditok": MidiTokTokenizer,
    }
    return tokenizers[name](**options)
