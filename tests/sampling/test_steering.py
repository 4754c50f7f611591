"""Samples that are steered by the course of held-out music."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from noternn import api
from noternn.__main__ import main
from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.build import network_for
from noternn.model.checkpoint import CHECKPOINT_KEY, load_checkpoint, trained_of
from noternn.model.course import BLOCK, NUM_SHAPES, PLACES, Course
from noternn.model.lstm import NoteLSTM
from noternn.music.midi import read_midi
from noternn.music.piece import Piece
from noternn.sampling.ending import end_each
from noternn.sampling.scoring import token_nlls
from noternn.sampling.steering import continue_each, course_of, shape
from noternn.tokenizer import Codec, EventTokenizer, FramesTokenizer, Vocabulary
from noternn.tokenizer.pace import Pace, note_counts

Capture = pytest.CaptureFixture[str]
CODEC = Codec(
    EventTokenizer(),
    Vocabulary(
        [
            *(f"Pitch_{pitch}" for pitch in range(48, 84)),
            *(f"{kind}_{steps}" for kind in ("Shift", "Duration") for steps in (3, 6, 12, 24)),
        ]
    ),
)
OPTIONS = Sampling(num_notes=64, top_p=1.0)


def network_of(seed: int = 0) -> NoteLSTM:
    torch.manual_seed(seed)
    return network_for(CODEC, {"embedding_dim": 4, "hidden_size": 8, "num_layers": 1, "dropout": 0.0,
                               "num_fc_layers": 1, "memory": 1}).eval()  # fmt: skip


def even(pitch: int = 60, num_notes: int = 100, beats: float = 1.0) -> Piece:
    """A note after the other, one every some beats, each half as long."""
    onset = np.arange(num_notes) * 480 * beats
    return Piece.from_notes(
        onset.astype(int), int(240 * beats), np.full(num_notes, pitch), ticks_per_beat=480
    )


def ids_of(piece: Piece) -> NDArray[np.int64]:
    return np.array(CODEC.encode(piece))


# The course of held-out music


def test_the_shape_of_notes_by_hand() -> None:
    density, polyphony, on_grid, parallel, drums_back, pitches = shape(even(), 64)
    assert np.exp(density) == pytest.approx(32 / 31 + 0.2)  # 32 notes in 31 beats
    assert np.exp(polyphony) == pytest.approx(31 * 0.5 / 31 + 0.3)  # the last one has not sounded yet
    assert np.exp(parallel) == pytest.approx(0.01)
    assert (on_grid, drums_back) == (1.0, 0.75)
    assert np.exp(pitches) == pytest.approx(1 + 1)
    onset = np.arange(40) * 480
    scale = Piece.from_notes(onset, 240, 60 + np.arange(40) % 8, is_drum=onset % 960 == 0, ticks_per_beat=480)
    assert np.exp(shape(scale, 40)[5]) == pytest.approx(1 + 4)  # every other note is a drum's


def test_what_is_off_the_grid() -> None:
    onset = np.array([*range(0, 3840, 480), 3840, 3840 + 160, 3840 + 960])
    piece = Piece.from_notes(onset, 100, np.full(len(onset), 60), ticks_per_beat=480)
    assert shape(piece, len(onset))[2] == pytest.approx(10 / 11)


def test_voices_in_parallel_fifths() -> None:
    onset = np.repeat([0, 480, 960], 2)
    piece = Piece.from_notes(onset, 480, [48, 55, 50, 57, 50, 59], ticks_per_beat=480)
    assert np.exp(shape(piece, 6)[3]) == pytest.approx(1 / 2 + 0.01)  # the first of two steps
    assert np.exp(shape(piece, 2)[3]) == pytest.approx(0.01)


def drums(pitches: list[int]) -> Piece:
    """A hit on each beat."""
    is_drum = np.ones(len(pitches), dtype=bool)
    return Piece.from_notes(np.arange(len(pitches)) * 480, 100, pitches, is_drum=is_drum, ticks_per_beat=480)


def test_a_drum_hit_is_back_if_the_same_drum_strikes_again_a_bar_later() -> None:
    piece = drums([36] * 12 + [38, 36, 38, 38])
    assert shape(piece, 16)[4] == 1 / 4
    assert shape(piece, 12)[4] == 1
    assert shape(piece, 8)[4] == 0.75  # two bars and a hit are needed


def test_one_drum_hit_says_something_too() -> None:
    for hits, share in (([5], 0), ([5, 9], 1)):
        is_drum = np.isin(np.arange(12), hits)
        notes = np.arange(12) * 480, 100, np.full(12, 36)
        assert shape(Piece.from_notes(*notes, is_drum=is_drum, ticks_per_beat=480), 12)[4] == share


def test_the_surprise_of_blocks_is_that_of_their_ids() -> None:
    network = network_of()
    pieces = [even(60 + k, 40 + k) for k in range(6)]
    held_out = [ids_of(piece) for piece in pieces]
    course = course_of(network, CODEC, held_out, pieces)
    assert course is not None
    first = []
    for ids in held_out:
        (nats,) = token_nlls(network, [ids])
        last = int(np.flatnonzero(note_counts(CODEC)[ids].cumsum() == BLOCK)[0])  # the id of the 16th note
        first.append(np.log(nats[:last].sum() / BLOCK + 0.05))
    assert course.surprise[0][0] == pytest.approx(np.mean(first))
    assert course.surprise[2:] == (course.surprise[1],) * (len(PLACES) - 2)  # no piece is as long


def test_few_or_short_pieces_have_no_course() -> None:
    pieces = [even(60 + k) for k in range(6)]
    held_out = [ids_of(piece) for piece in pieces]
    network = network_of()
    assert course_of(network, CODEC, held_out, pieces)
    assert course_of(network, CODEC, held_out[:3], pieces)
    assert course_of(network, CODEC, held_out[:2], pieces) is None
    short = [even(60, 10)] * 6
    assert course_of(network, CODEC, [ids_of(piece) for piece in short], short) is None
    assert course_of(network, CODEC, [], []) is None


def test_a_checkpoint_holds_it_and_refuses_another() -> None:
    course = Course(((1.0, 0.5),) * len(PLACES), ((0.0, 1.0),) * NUM_SHAPES)
    assert Course.from_plain(course.as_plain()) == course
    assert Course.from_plain(course.as_plain() | {"shape": [(0.0, 1.0)] * 4}) is None  # an earlier version's
    for wrong in ({"surprise": []}, {"shape": [(0.0, 1.0)] * (NUM_SHAPES + 1)},
                  {"shape": [(0.0, 0.0)] * NUM_SHAPES},
                  {"surprise": [(float("nan"), 1.0)] * len(PLACES)}):  # fmt: skip
        with pytest.raises(ValueError, match="course"):
            Course.from_plain(course.as_plain() | wrong)


# Steering


def steered(course: Course | None, steering: int = 8, seed: int = 0, **options: object) -> list[int]:
    own = Sampling(**{**OPTIONS.drawing, "num_notes": 64, "seed": seed, "steering": steering, **options})
    return continue_each(network_of(), CODEC, [[]], own, course=course)[0]


def course_with(density: float, spread: float = 0.2) -> Course:
    wide = (0.0, 1e6)
    return Course((wide,) * len(PLACES), ((float(np.log(density + 0.2)), spread), *[wide] * (NUM_SHAPES - 1)))


@pytest.mark.parametrize("density", [0.5, 4.0])
def test_samples_come_near_the_density_that_is_usual(density: float) -> None:
    """A new network writes about one note a beat or two."""
    found = {}
    for steering in (1, 32):
        pieces = [CODEC.decode(steered(course_with(density), steering, seed)) for seed in range(4)]
        found[steering] = float(np.mean([p.num_notes / (p.onset[-1] / p.ticks_per_beat) for p in pieces]))
    assert abs(np.log(found[32] / density)) < abs(np.log(found[1] / density)) - 0.05


@pytest.mark.parametrize("density", [0.5, 4.0])
def test_the_ends_of_samples_come_near_it_too(density: float) -> None:
    opening = CODEC.encode(even(num_notes=56))[1:-1]
    found = {}
    for spread in (0.02, 1e6):
        own = Sampling(num_notes=32, top_p=1.0, steering=8, ending="any")
        course = course_with(density, spread)
        ended = end_each(network_of(), CODEC, [opening] * 4, own, None, Pace.default(12), course=course)
        beats = [np.diff(CODEC.decode(ids).onset[[-32, -1]])[0] / 480 for ids in ended if ids]
        found[spread] = float(np.mean([31 / each for each in beats]))
    assert abs(np.log(found[0.02] / density)) < abs(np.log(found[1e6] / density)) - 0.05


def test_a_usual_density_says_nothing() -> None:
    """Within one and a half standard deviations, here all that a network can write."""
    assert steered(course_with(1.0, 9.0)) == steered(course_with(1.0, 1e6)) != steered(course_with(1.0))


def test_one_stream_is_what_is_composed_without() -> None:
    assert steered(None, 1) == steered(course_with(1.0), 1)


def test_the_same_seed_gives_the_same_and_each_sample_is_its_own() -> None:
    course = course_with(1.0)
    assert steered(course, seed=3) == steered(course, seed=3) != steered(course, seed=4)
    own = Sampling(**{**OPTIONS.drawing, "num_notes": 40, "steering": 4})
    both = continue_each(network_of(), CODEC, [[], []], own, course=course)
    again = continue_each(network_of(), CODEC, [[]], own, course=course)
    assert both[0] == again[0] != both[1]


def test_samples_that_go_on_from_different_primers_are_those_of_each_alone() -> None:
    primers = [ids_of(even(60, notes))[1:-1].tolist() for notes in (3, 9)] + [ids_of(even(62))[1:5].tolist()]
    own = Sampling(**{**OPTIONS.drawing, "num_notes": 40, "steering": 30})  # two of them fit together
    course = course_with(1.0)
    together = continue_each(network_of(), CODEC, primers, own, course=course)
    for k, primer in enumerate(primers):
        alone = Sampling(**{**vars(own), "seed": k})
        assert continue_each(network_of(), CODEC, [primer], alone, course=course)[0] == together[k]
        assert together[k][: len(primer)] == primer


def test_samples_of_some_beats_are_those_of_each_alone_though_one_is_over_first() -> None:
    own, course = Sampling(**{**OPTIONS.drawing, "steering": 8}), course_with(1.0, 1e6)
    together = continue_each(network_of(), CODEC, [[]] * 4, own, beats=90, course=course)
    assert len({int(note_counts(CODEC)[ids].sum()) // BLOCK for ids in together}) > 1
    for k, ids in enumerate(together):
        alone = Sampling(**{**vars(own), "seed": k})
        assert continue_each(network_of(), CODEC, [[]], alone, beats=90, course=course)[0] == ids


def test_a_primer_stands_and_the_length_is_kept() -> None:
    primer = ids_of(even(num_notes=20))[1:-1].tolist()
    own = Sampling(**{**OPTIONS.drawing, "num_notes": 40, "steering": 4})
    (ids,) = continue_each(network_of(), CODEC, [primer], own, course=course_with(1.0))
    assert ids[: len(primer)] == primer
    assert int(note_counts(CODEC)[ids[len(primer) :]].sum()) == 40


def test_a_length_in_beats_is_kept_and_silence_stays_bounded() -> None:
    own = Sampling(**{**OPTIONS.drawing, "steering": 4})
    (ids,) = continue_each(network_of(), CODEC, [[]], own, beats=20, course=course_with(0.5))
    piece = CODEC.decode(ids)
    assert 20 <= piece.onset[-1] / piece.ticks_per_beat < 60


def test_without_a_course_it_is_refused() -> None:
    with pytest.raises(UserError, match="does not say how held-out music goes along"):
        steered(None, 2)


def test_a_penalty_that_would_cut_notes_short_is_refused_here_too() -> None:
    frames = Codec(FramesTokenizer(), Vocabulary([]))
    own = Sampling(steering=2, repetition_penalty=1.1)
    with pytest.raises(UserError, match="held note anew"):
        continue_each(network_of(), frames, [[]], own, course=course_with(1.0))


# A run


@pytest.mark.parametrize("num_shapes", [4, 5])
def test_the_course_of_an_earlier_version_steers_by_what_it_knows(num_shapes: int, tiny_run: Path) -> None:
    """Before that the numbers meant something else, so that there is none."""
    path = tiny_run / "best.ckpt"
    checkpoint = load_checkpoint(path)
    earlier = {"surprise": [(0.0, 1.0)] * len(PLACES), "shape": [(0.0, 1.0)] * num_shapes}
    content = {**checkpoint, CHECKPOINT_KEY: checkpoint[CHECKPOINT_KEY] | {"course": earlier}}
    course = trained_of(content, path).course
    assert (course is None) == (num_shapes == 4)
    if course:
        assert steered(course) != steered(None, 1)


def test_a_run_keeps_the_course_of_its_validation_pieces(tiny_run: Path) -> None:
    path = tiny_run / "best.ckpt"
    checkpoint = load_checkpoint(path)
    course = trained_of(checkpoint, path).course
    assert checkpoint[CHECKPOINT_KEY]["course"] == (course and course.as_plain())


def test_generate_refuses_what_the_checkpoint_cannot(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "a.mid"
    course = api.load(tiny_run).composer.course
    status = main(["generate", str(tiny_run), "-o", str(out), "--steering", "3", "--num-notes", "20"])
    if course is None:
        assert status == 1
        assert "steering 3: this checkpoint does not say" in capsys.readouterr().err
        assert not out.exists()
    else:
        assert status == 0
        assert read_midi(out).num_notes > 0


def test_base_is_steered() -> None:
    base = api.load("base")
    assert base.composer.drawing["steering"] > 1
    assert base.compose(20, seed=1, ending="exact").num_notes == 20
