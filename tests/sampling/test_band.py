"""A band that stays: the instruments that are named, those of training pieces, or those of the opening."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.build import network_for
from noternn.model.checkpoint import checkpoint_content, trained_of
from noternn.model.lstm import NoteLSTM
from noternn.music.piece import Piece
from noternn.sampling.arrange import harmonize, infill
from noternn.sampling.band import OPENING_BEATS, Instruments
from noternn.sampling.composer import Composer
from noternn.sampling.sampler import sample_each
from noternn.sampling.wishes import ANYTHING
from noternn.tokenizer import BpeTokenizer, Codec, EventTokenizer, Merges, Vocabulary
from noternn.tokenizer.bands import bands_of
from noternn.tokenizer.pace import Pace

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
    together = sample_each(network, CODEC, [[], []], options, bands=[band] * 2)
    alone = sample_each(network, CODEC, [[]], options, bands=[band])
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


BANDS = (frozenset({0, 33, DRUMS}), frozenset({0, 40}), frozenset({4, 27, DRUMS}))


def composer_of(codec: Codec, bands: tuple[frozenset[int], ...] = BANDS) -> Composer:
    return Composer(network_of(codec), codec, 120.0, bands=bands)


@pytest.mark.parametrize("ending", ["exact", "own"])
def test_from_nothing_the_seed_names_the_band_of_a_training_piece(ending: str) -> None:
    options = Sampling(num_notes=80, top_p=1.0, seed=1, ending=ending)
    pieces = composer_of(CODEC).compose_each([[]] * 3, options)
    assert [heard(piece) for piece in pieces] == [set(BANDS[1]), set(BANDS[2]), set(BANDS[0])]


def test_a_short_primer_is_joined_by_a_band_that_is_like_it() -> None:
    primer = CODEC.encode(piece_of((0, 27), 2))[1:-1].tolist()
    instruments = Instruments(CODEC)
    playing = [instruments.playing(primer, BANDS, seed) for seed in range(3)]
    assert playing == [{0, 27, DRUMS}, {0, 27}, {0, 27, DRUMS}]  # in the place of 33, of 40, of 4
    drummer = CODEC.encode(piece_of((4, DRUMS), 2))[1:-1].tolist()
    assert {instruments.playing(drummer, BANDS, seed) for seed in range(3)} == {BANDS[2]}


def test_nobody_joins_a_long_primer() -> None:
    primer = CODEC.encode(piece_of((4, 33), OPENING_BEATS + 2))[1:-1].tolist()
    assert Instruments(CODEC).playing(primer, BANDS, 0) == {4, 33}


def test_named_instruments_go_before_the_bands_of_training_pieces() -> None:
    (piece,) = composer_of(CODEC).compose_each([[]], Sampling(num_notes=100, top_p=1.0), instruments="violin")
    assert heard(piece) == {40}


def test_a_sample_with_its_band_is_the_same_alone_and_among_others() -> None:
    options, composer = Sampling(num_notes=60, top_p=1.0), composer_of(CODEC)
    together = composer.compose_each([[]] * 3, options)
    alone = [composer.compose([], replace(options, seed=seed)) for seed in range(3)]
    for one, other in zip(together, alone, strict=True):
        assert one.pitch.tolist() == other.pitch.tolist()
        assert one.program.tolist() == other.program.tolist()


def test_a_band_has_the_probability_of_those_who_do_not_play() -> None:
    instruments, mask = Instruments(CODEC), np.ones(len(CODEC.vocabulary), dtype=np.bool_)
    passing = instruments.passing(mask, frozenset({0, 33, DRUMS}))
    assert passing is not None
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(len(mask))))
    before = np.exp(log_probs)
    passing.on(log_probs)
    after, of = np.exp(log_probs), [CODEC.vocabulary.id(f"Program_{program}") for program in PROGRAMS]
    assert after[passing.own].sum() == pytest.approx(before[of].sum())
    assert after[of[0]] / after[of[3]] == pytest.approx(before[of[0]] / before[of[3]])
    changed = set(np.flatnonzero(after != before).tolist())
    assert changed == {of[0], of[3]}
    assert instruments.passing(mask, frozenset({DRUMS})) is None
    assert instruments.passing(mask, frozenset({*PROGRAMS})) is None


def test_the_band_of_a_piece_is_heard_in_its_first_512_notes() -> None:
    late = piece_of((0, DRUMS), 600)
    late = Piece.from_notes(
        [*late.onset.tolist(), 610 * 480], 480, [*late.pitch.tolist(), 60],
        program=[*late.program.tolist(), 40], is_drum=[*late.is_drum.tolist(), False],
    )  # fmt: skip
    pieces = [CODEC.encode(piece) for piece in (late, piece_of((4, 33)))]
    assert bands_of(pieces, CODEC) == ({0, DRUMS}, {4, 33})
    assert len(bands_of(pieces * 50, CODEC)) == 64


def test_a_checkpoint_keeps_the_bands_of_its_training_pieces() -> None:
    model = {"embedding_dim": 8, "hidden_size": 8, "num_layers": 1, "dropout": 0.0, "num_fc_layers": 1}
    config = {"tokenizer": {"name": "event", "program": True}, "model": model}
    weights = {f"network.{n}": part for n, part in network_for(CODEC, model).state_dict().items()}
    content = checkpoint_content(config, CODEC, 120.0, (4, 4), Pace.default(12), "", "")

    def bands(**more: object) -> object:
        return trained_of({"state_dict": weights, "noternn": content | more}, Path("x.ckpt")).bands

    assert bands() == ()
    assert bands(bands=[sorted(band) for band in BANDS]) == BANDS
    with pytest.raises(UserError, match="a band of its training pieces is none"):
        bands(bands=[[0, 5]])


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


@pytest.mark.parametrize("drums_first", [True, False])
def test_notes_are_composed_beside_given_drums_and_drums_beside_given_notes(drums_first: bool) -> None:
    tokenizer = EventTokenizer(program=True, drums_first=drums_first)
    tokens = [tokenizer.tokenize(piece_of((program,), 16)) for program in (33, DRUMS)]
    codec = Codec(tokenizer, Vocabulary([*tokens[0], *tokens[1]]))
    composer = composer_of(codec, (frozenset({33, DRUMS}),))
    for given, other in ((DRUMS, 33), (33, DRUMS)):
        kept = piece_of((given,), 16)
        filled = harmonize(composer, kept, Sampling(top_p=1.0), 8, ANYTHING)
        assert heard(filled.composed) == {33, DRUMS}
        is_other = filled.composed.is_drum == (other == DRUMS)
        assert set(filled.composed.onset[is_other].tolist()) & set(kept.onset.tolist())


def test_a_gap_is_filled_by_the_band_around_it() -> None:
    piece = piece_of((4, 33), OPENING_BEATS + 8)
    filled = infill(composer_of(CODEC), piece, (480 * 8, 480 * 16), Sampling(top_p=1.0), 8)
    assert heard(filled.composed) == {4, 33}


def test_a_melody_is_harmonized_by_the_band_of_a_training_piece_or_by_a_named_one() -> None:
    melody = piece_of((4,), OPENING_BEATS + 8)
    composer, options = composer_of(CODEC), Sampling(top_p=1.0)
    assert heard(harmonize(composer, melody, options, 8, ANYTHING).composed) == {4, 27, DRUMS}
    assert heard(harmonize(composer, melody, options, 8, ANYTHING, "violin").composed) == {40}
