"""`Piece` <-> ids: tokenizers with their grammars, and the vocabulary between tokens and ids."""

from collections.abc import Callable, Sequence
from typing import Any

from noternn.tokenizer.base import State, Tokenizer
from noternn.tokenizer.bpe import BpeTokenizer, Merges, learn_merges
from noternn.tokenizer.chord import ChordTokenizer
from noternn.tokenizer.codec import Codec
from noternn.tokenizer.event import EventTokenizer
from noternn.tokenizer.frames import FramesTokenizer
from noternn.tokenizer.miditok_tokenizer import MidiTokTokenizer
from noternn.tokenizer.round_trip import RoundTrip, round_trip
from noternn.tokenizer.vocabulary import (
    BOS,
    BOS_ID,
    EOS,
    EOS_ID,
    PAD,
    PAD_ID,
    SPECIAL_TOKENS,
    UNK,
    UNK_ID,
    Vocabulary,
)
from noternn.tokenizer.voices import VoicesTokenizer

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
    "BpeTokenizer",
    "ChordTokenizer",
    "Codec",
    "EventTokenizer",
    "FramesTokenizer",
    "Merges",
    "MidiTokTokenizer",
    "RoundTrip",
    "State",
    "Tokenizer",
    "Vocabulary",
    "VoicesTokenizer",
    "build_tokenizer",
    "learn_merges",
    "round_trip",
]


def build_tokenizer(
    name: str,
    *,
    bpe_vocab_size: int | None = None,  # noqa: ARG001
    merges: Sequence[Sequence[str]] = (),
    **options: Any,
) -> Tokenizer:
    """The tokenizer called `name` ("event", "chord", "frames", "voices" or "miditok").

    Args:
        name: which.
        bpe_vocab_size: how much is to be merged; nothing is before the merges are learned.
        merges: the pairs of `Merges`, as a run has learned them.
        options: keyword arguments of the tokenizer.
    """
    tokenizers: dict[str, Callable[..., Tokenizer]] = {
        "event": EventTokenizer,
        "chord": ChordTokenizer,
        "frames": FramesTokenizer,
        "miditok": MidiTokTokenizer,
        "voices": VoicesTokenizer,
    }
    tokenizer = tokenizers[name](**options)
    return BpeTokenizer(tokenizer, Merges.from_plain(merges)) if merges else tokenizer
