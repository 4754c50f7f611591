"""What is asked of the notes that are composed, a key or a range, is kept to by every way of composing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.build import network_for
from noternn.model.course import NUM_SHAPES, PLACES, Course
from noternn.music.piece import Piece
from noternn.sampling.composer import Composer
from noternn.sampling.wishes import Wishes, ids_within
from noternn.tokenizer import ChordTokenizer, Codec, EventTokenizer, Tokenizer, Vocabulary

C_MAJOR = [0, 2, 4, 5, 7, 9, 11]
KICK, SNARE, HIHAT = 36, 38, 42  # of which the range of a singer has none, and C major not all


def codec_of(tokenizer: Tokenizer) -> Codec:
    """Of a scale in half tones with drums."""
    pitches = [*range(48, 84), KICK, SNARE, HIHAT]
    is_drum = [pitch < 48 for pitch in pitches]
    piece = Piece.from_notes(np.arange(len(pitches)) * 480, 480, pitches, is_drum=is_drum)
    return Codec(tokenizer, Vocabulary(sorted(set(tokenizer.tokenize(piece)))))


BAND = codec_of(EventTokenizer(program=True))
CODECS = {"event": codec_of(EventTokenizer()), "band": BAND, "chord": codec_of(ChordTokenizer())}


def composed(codec: Codec, wishes: Wishes, **options: object) -> list[Piece]:
    """Samples of a network that has learned nothing."""
    torch.manual_seed(0)
    network = network_for(codec, {"embedding_dim": 6, "hidden_size": 8, "num_layers": 1, "dropout": 0.0,
                                  "num_fc_layers": 1}).eval()  # fmt: skip
    course = Course(((1.0, 1.0),) * len(PLACES), ((0.0, 1.0),) * NUM_SHAPES)
    sampling = Sampling(**{"num_notes": 40, "top_p": 1.0, **options})  # type: ignore[arg-type]
    return Composer(network, codec, 120.0, course=course).compose_each([[]] * 3, sampling, wishes=wishes)


def test_a_key_and_a_range_keep_all_drums() -> None:
    ids = ids_within(BAND, C_MAJOR, 60, 72)
    kept = {token for token, is_kept in zip(BAND.vocabulary.tokens, ids, strict=True) if is_kept}
    assert {f"Drum_{pitch}" for pitch in (KICK, SNARE, HIHAT)} <= kept
    assert {token for token in kept if token.startswith("Pitch_")} == {
        f"Pitch_{pitch}" for pitch in (60, 62, 64, 65, 67, 69, 71, 72)
    }


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("ending", ["own", "any", "exact"])
@pytest.mark.parametrize("steering", [1, 4])
def test_all_that_is_composed_is_in_the_key_and_the_range(name: str, ending: str, steering: int) -> None:
    codec = CODECS[name]
    for piece in composed(
        codec, Wishes(ids_within(codec, C_MAJOR, 60, 72)), ending=ending, steering=steering
    ):
        pitch = piece.pitch[~piece.is_drum]
        assert piece.num_notes >= {"own": 35, "any": 1, "exact": 40}[ending]
        assert set((pitch % 12).tolist()) <= set(C_MAJOR)
        assert len(pitch) == 0 or 60 <= pitch.min() <= pitch.max() <= 72


@pytest.mark.parametrize("name", ["event", "band"])
@pytest.mark.parametrize("ending", ["own", "any", "exact"])
@pytest.mark.parametrize("steering", [1, 4])
def test_no_more_notes_sound_at_once_than_are_asked_for(name: str, ending: str, steering: int) -> None:
    for piece in composed(CODECS[name], Wishes(most_at_once=2), ending=ending, steering=steering):
        ends = piece.onset + piece.duration
        assert piece.num_notes >= {"own": 35, "any": 1, "exact": 40}[ending]
        assert max(int(((piece.onset <= t) & (ends > t)).sum()) for t in piece.onset) <= 2


def test_a_note_that_would_leave_no_place_for_another_does_not_come() -> None:
    piece = Piece.from_notes([0, 480, 960], [480, 960, 4800], [60, 62, 64])  # shifts of a beat alone
    tokenizer = EventTokenizer()
    codec = Codec(tokenizer, Vocabulary(sorted(set(tokenizer.tokenize(piece)))))
    for sample in composed(codec, Wishes(most_at_once=1), ending="exact"):
        assert sample.num_notes == 40
        assert set(np.diff(sample.onset).tolist()) == {sample.ticks_per_beat}


def test_chords_in_one_token_are_not_counted() -> None:
    with pytest.raises(UserError, match="does not write one note after the other"):
        composed(CODECS["chord"], Wishes(most_at_once=2))


def test_a_range_of_no_pitch_that_the_network_knows_is_told() -> None:
    with pytest.raises(UserError, match=r"no pitch that this network knows .*: it knows 48 to 83"):
        ids_within(BAND, C_MAJOR, 100, 110)


def test_a_key_of_no_chord_that_the_network_knows_is_told() -> None:
    piece = Piece.from_notes([0, 0, 480, 480], 480, [60, 61, 62, 63])
    tokenizer = ChordTokenizer()
    codec = Codec(tokenizer, Vocabulary(sorted(set(tokenizer.tokenize(piece)))))
    with pytest.raises(UserError, match="in a chord is in the key and range: it knows 60 to 63"):
        ids_within(codec, C_MAJOR, 0, 127)
