"""How long a sample may go without a note: as long as the training pieces do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from noternn.config.sampling import Sampling
from noternn.model.checkpoint import load_checkpoint, trained_of
from noternn.model.lstm import NoteLSTM
from noternn.music.instruments import VOICE_PROGRAMS
from noternn.music.piece import Piece
from noternn.sampling.composer import Composer
from noternn.sampling.sampler import sample_each
from noternn.tokenizer import BOS_ID, EOS_ID, Codec, FramesTokenizer, Tokenizer, Vocabulary, VoicesTokenizer
from noternn.tokenizer.pace import Pace, note_counts
from tests.tokenizer_cases import ALL, name_of

OLD_RUN = Path(__file__).parents[1] / "data" / "version_0_1_0" / "run"
TOKENIZERS: list[Tokenizer] = [*ALL, FramesTokenizer(), VoicesTokenizer()]
NUM_NOTES = 40
# A note that is held, then a rest: each takes a chain of tokens.
ONSETS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25]
DURATIONS = [1] * 14 + [4, 3, 1, 1]

each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=name_of)


def piece_of_beats() -> Piece:
    notes = [480 * beat for beat in ONSETS], [480 * beats for beats in DURATIONS]
    programs = [VOICE_PROGRAMS[k % 4] for k in range(len(ONSETS))]
    return Piece.from_notes(*notes, [60 + k % 5 for k in range(len(ONSETS))], program=programs)


def codec_of(tokenizer: Tokenizer) -> Codec:
    """With all tokens that may be needed for long times and short ones."""
    tokens = [*tokenizer.tokenize(piece_of_beats()), *tokenizer.alphabet]
    for name in ("Shift", "Duration", "Rest"):
        tokens += [f"{name}_{steps}" for steps in (1, 12, 24) if tokenizer.num_steps(f"{name}_{steps}")]
    return Codec(tokenizer, Vocabulary(dict.fromkeys(tokens)))


def network_that_waits(codec: Codec) -> NoteLSTM:
    """Anything but notes is far more probable than a note."""
    torch.manual_seed(0)
    network = NoteLSTM(len(codec.vocabulary), 6, 8, 1, 0.0, 1)
    assert isinstance(network.head, torch.nn.Linear)
    network.head.weight.data.zero_()
    network.head.bias.data.copy_(torch.from_numpy(np.where(note_counts(codec) > 0, 0.0, 30.0)))
    return network


def longest_wait(piece: Piece) -> float:
    """Most beats from one onset to the next."""
    return float(np.diff(piece.onset).max(initial=0)) / piece.ticks_per_beat


@each_tokenizer
def test_no_sample_waits_longer_for_a_note_than_the_training_pieces(tokenizer: Tokenizer) -> None:
    codec, music = codec_of(tokenizer), piece_of_beats()
    pace = Pace.of([codec.encode(music)], codec)
    options = Sampling(num_notes=NUM_NOTES, top_p=1.0)
    for primers in ([[]], [[], []]):  # one is drafted, several are not
        (ids, *_) = sample_each(network_that_waits(codec), codec, primers, options, pace=pace)
        found = Pace.of([np.array([BOS_ID, *ids, EOS_ID])], codec)
        assert found.steps <= pace.steps
        assert found.tokens <= pace.tokens + 3  # the rest of a time that was begun, and what says the note
        sample = codec.decode(ids)
        assert longest_wait(sample) <= longest_wait(codec.decode(codec.encode(music))) + 4
        assert sample.beats < 12 + NUM_NOTES * max(4, music.beats / music.num_notes)


@each_tokenizer
def test_a_sample_of_beats_is_no_longer(tokenizer: Tokenizer) -> None:
    codec = codec_of(tokenizer)
    pace = Pace.of([codec.encode(piece_of_beats())], codec)
    composer = Composer(network_that_waits(codec), codec, 120.0, (4, 4), pace)
    (piece,) = composer.compose_each([[]], Sampling(top_p=1.0, ending="exact"), beats=16)
    assert piece.end <= 16 * piece.ticks_per_beat


def test_where_nothing_is_known_eight_bars_are_the_most() -> None:
    tokenizer = TOKENIZERS[0]
    codec = codec_of(tokenizer)
    (ids,) = sample_each(network_that_waits(codec), codec, [[]], Sampling(num_notes=NUM_NOTES, top_p=1.0))
    assert longest_wait(codec.decode(ids)) <= 32


def test_the_pace_is_that_of_the_longest_rest_and_of_the_slowest_piece() -> None:
    codec = codec_of(TOKENIZERS[0])
    quick = Piece.from_notes(range(0, 240 * 20, 240), 240, 60)
    pace = Pace.of([codec.encode(quick), codec.encode(piece_of_beats())], codec)
    assert pace == Pace(9 * 12, 9 + 2, 25 * 12 / len(ONSETS))


def test_a_bound_that_is_never_reached_changes_nothing() -> None:
    codec = codec_of(TOKENIZERS[0])
    torch.manual_seed(0)
    network, options = NoteLSTM(len(codec.vocabulary), 6, 8, 1, 0.0, 1), Sampling(num_notes=100)
    far, default = Pace(10**6, 10**6, 1e6), Pace.default(12)
    samples = [sample_each(network, codec, [[], []], options, pace=pace) for pace in (far, default)]
    assert samples[0] == samples[1]


def test_it_is_in_the_checkpoint(tiny_run: Path) -> None:
    path = tiny_run / "best.ckpt"
    checkpoint = load_checkpoint(path)
    trained = trained_of(checkpoint, path)
    assert vars(trained.pace) == checkpoint["noternn"]["pace"]
    assert trained.pace.steps >= trained.codec.tokenizer.steps_per_beat


def test_a_checkpoint_of_an_earlier_version_has_the_default() -> None:
    path = OLD_RUN / "best.ckpt"
    trained = trained_of(load_checkpoint(path), path)
    assert trained.pace == Pace.default(trained.codec.tokenizer.steps_per_beat)


@pytest.mark.parametrize(
    ("given", "notes_per_second", "expected"),
    [
        ({}, 8.4, (200, 16)),
        ({}, 23.0, (460, 37)),
        ({"primer_notes": 0}, 23.0, (460, 0)),
        ({"num_notes": 50}, 23.0, (50, 16)),
        ({}, 1e6, (2000, 160)),
    ],
)
def test_the_samples_of_a_run_last_as_long_whoever_plays(
    given: dict[str, int], notes_per_second: float, expected: tuple[int, int]
) -> None:
    lengthened = Sampling(**given).as_long_as(notes_per_second)  # type: ignore[arg-type]
    assert (lengthened.num_notes, lengthened.primer_notes) == expected
