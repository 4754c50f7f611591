"""A band that stays: the instruments that are named, or those of the opening."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.music.piece import Piece
from noternn.sampling.band import OPENING_BEATS, Instruments
from noternn.sampling.composer import Composer
from noternn.sampling.sampler import sample_each
from noternn.tokenizer import BpeTokenizer, Codec, EventTokenizer, Merges, Vocabulary

PROGRAMS = (0, 4, 27, 33, 40)
DRUMS = 128


def piece_of(programs: tuple[int, ...], num_beats: int = 4) -> Piece:
    """A note a beat of each of some instruments."""
    rows = list(itertools.product(range(num_beats), programs))
    return Piece.from_notes(
        [480 * beat for beat, _ in rows], 480, [60 + k % 7 for k in range(len(rows))],
        program=[program % DRUMS for _, program in rows], is_drum=[program == DRUMS for _, program in rows],
    )  # fmt: skip


def codec_of(tokenizer: EventTokenizer | BpeTokenizer) -> Codec:
    return Codec(tokenizer, Vocabulary(tokenizer.tokenize(piece_of((*PROGRAMS, DRUMS)))))


EVENT = EventTokenizer(program=True)
CODEC = codec_of(EVENT)


def network_of(codec: Codec) -> NoteLSTM:
    torch.manual_seed(0)
    return NoteLSTM(len(codec.vocabulary), 6, 8, 1, 0.0, 1)


def heard(piece: Piece) -> set[int]:
    return set(np.where(piece.is_drum, DRUMS, piece.program).tolist())


def composed(codec: Codec, primer: list[int], seeds: int = 2, **options: object) -> list[Piece]:
    """Long samples of a network that plays anything."""
    sampling = Sampling(num_notes=400, top_p=1.0)
    composer = Composer(network_of(codec), codec, 120.0)
    return composer.compose_each([primer] * seeds, sampling, **options)  # type: ignore[arg-type]


def test_named_instruments_play_alone() -> None:
    for piece in composed(CODEC, [], instruments="bass, Violin,drums"):
        assert heard(piece) == {33, 40, DRUMS}


def test_a_family_stands_for_its_instruments() -> None:
    assert Instruments(CODEC).named("piano") == {0, 4}
    assert Instruments(CODEC).named("27,electric_bass_(finger)") == {27, 33}


def test_the_band_of_a_long_primer_stays() -> None:
    primer = CODEC.encode(piece_of((4, 33, DRUMS), OPENING_BEATS + 2))[1:-1].tolist()
    for piece in composed(CODEC, primer):
        assert heard(piece) == {4, 33, DRUMS}


def test_after_the_opening_nobody_comes_in() -> None:
    for piece in composed(CODEC, []):
        early = piece.onset < (OPENING_BEATS + 4) * piece.ticks_per_beat
        assert (~early).sum() > 50
        assert heard(piece.select(~early)) <= heard(piece.select(early))


def test_what_comes_in_is_closed_out_only_after_the_opening() -> None:
    primer = CODEC.encode(piece_of((4,), 4))[1:-1].tolist()
    assert any(heard(piece) > {4} for piece in composed(CODEC, primer))


def test_the_same_seed_gives_the_same_music_alone_and_together() -> None:
    options, network = Sampling(num_notes=60, top_p=1.0), network_of(CODEC)
    band = frozenset([0, DRUMS])
    together = sample_each(network, CODEC, [[], []], options, band=band)
    alone = sample_each(network, CODEC, [[]], options, band=band)
    assert together[0] == alone[0]


def test_tokenizers_that_tell_no_instruments_apart_draw_as_before() -> None:
    codec = codec_of(EventTokenizer())
    assert Instruments(codec).known == frozenset()
    with pytest.raises(UserError, match="instruments piano: this network tells none apart; train one"):
        composed(codec, [], instruments="piano")


def test_merged_tokens_say_all_of_their_instruments() -> None:
    merges = Merges((("Program_0", "Pitch_60"), ("Program_33", "Pitch_63")))
    codec = codec_of(BpeTokenizer(EVENT, merges))
    assert "Program_0+Pitch_60" in codec.vocabulary.tokens
    for piece in composed(codec, [], instruments="0"):
        assert heard(piece) == {0}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("piano,koto", "this network never heard koto; it plays piano \\(0\\), piano \\(4\\), guitar"),
        ("tuba", "this network never heard tuba"),
        ("200", "this network never heard 200"),
        ("violn", "'violn' is no instrument of General MIDI \\(did you mean violin"),
        (",", "they name none"),
    ],
)
def test_instruments_that_cannot_play_are_answered_in_one_line(names: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"^instruments {names}: {reason}[^\n]*$"):
        Instruments(CODEC).named(names)
