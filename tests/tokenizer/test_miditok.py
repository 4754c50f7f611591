"""MidiTok's tokenizers: what they write, what they lose, and runs with them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TrainTiny
from hypothesis import given
from tokenizer_cases import (
    FAST,
    MIDITOKS,
    again,
    columns,
    from_first_onset,
    grid_notes,
    legal_walk,
    name_of,
    piece_of,
    simple_piece,
    small_codec,
    state_after,
)

from noternn.__main__ import build_parser, main
from noternn.audit.against import Against
from noternn.audit.figures import RealFigures
from noternn.audit.index import Index
from noternn.commands.composed import Composing
from noternn.corpus.reading import ReadingOptions
from noternn.errors import UserError
from noternn.music.midi import write_midi
from noternn.music.piece import Piece
from noternn.sampling.composer import load_composer
from noternn.tokenizer import EOS, UNK, EventTokenizer, MidiTokTokenizer, build_tokenizer, round_trip

pytest.importorskip("miditok", reason="MidiTok, an optional extra, is not installed")

KINDS = ("REMI", "TSD", "Structured")
TempPaths = pytest.TempPathFactory
each_kind = pytest.mark.parametrize("kind", KINDS)
each_tokenizer = pytest.mark.parametrize("tokenizer", MIDITOKS, ids=name_of)
each_exact = pytest.mark.parametrize(
    "tokenizer", [tokenizer for tokenizer in MIDITOKS if tokenizer.kind != "Structured"], ids=name_of
)


def small(tokenizer: MidiTokTokenizer) -> list[str]:
    piece = Piece.from_notes([0, 0, 480, 2400], [480, 960, 120, 480], [60, 67, 62, 64])
    return tokenizer.tokenize(piece)


def test_remi_tokens() -> None:
    assert small(MidiTokTokenizer(kind="REMI")) == [
        *("Bar_None", "Position_0", "Pitch_67", "Duration_2.0.12", "Pitch_60", "Duration_1.0.12"),
        *("Position_12", "Pitch_62", "Duration_0.3.12"),
        *("Bar_None", "Position_12", "Pitch_64", "Duration_1.0.12"),
    ]


def test_tsd_tokens() -> None:
    assert small(MidiTokTokenizer(kind="TSD")) == [
        *("Pitch_67", "Duration_2.0.12", "Pitch_60", "Duration_1.0.12"),
        *("TimeShift_1.0.12", "Pitch_62", "Duration_0.3.12"),
        *("TimeShift_4.0.12", "Pitch_64", "Duration_1.0.12"),
    ]


def test_structured_tokens() -> None:
    assert small(MidiTokTokenizer(kind="Structured")) == [
        *("TimeShift_0.0.1", "Pitch_67", "Duration_2.0.12"),
        *("TimeShift_0.0.1", "Pitch_60", "Duration_1.0.12"),
        *("TimeShift_1.0.12", "Pitch_62", "Duration_0.3.12"),
        *("TimeShift_4.0.12", "Pitch_64", "Duration_1.0.12"),
    ]


@each_kind
def test_a_note_is_program_pitch_velocity_duration(kind: str) -> None:
    piece = Piece.from_notes([0, 0], [480, 480], [36, 60], velocity=[127, 64], is_drum=[True, False])
    tokens = MidiTokTokenizer(kind=kind, velocity=True, program=True).tokenize(piece)
    times = ("Bar_None", "Position_0", "TimeShift_0.0.1")
    assert [token for token in tokens if token not in times] == [
        *("Program_0", "Pitch_60", "Velocity_63", "Duration_1.0.12"),
        *("Program_-1", "PitchDrum_36", "Velocity_127", "Duration_1.0.12"),
    ]


@each_exact
@given(notes=grid_notes)
@FAST
def test_a_piece_on_the_grid_comes_back_exactly(
    tokenizer: MidiTokTokenizer, notes: list[tuple[int, int, int, int, int, bool]]
) -> None:
    names = ["onset", "pitch", "duration"] + ["program", "is_drum"] * tokenizer.program
    if not tokenizer.program:  # unisons of instruments are one note then
        notes = list({(note[0], note[2]): (*note[:4], 0, False) for note in notes}.values())
    piece = from_first_onset(piece_of(notes))
    assert columns(again(tokenizer, piece), *names) == columns(piece, *names)


@each_kind
def test_velocities_come_back_within_two(kind: str) -> None:
    velocity = np.arange(1, 128)
    piece = Piece.from_notes(480 * velocity, [480] * 127, [60] * 127, velocity=velocity)
    back = again(MidiTokTokenizer(kind=kind, velocity=True), piece)
    assert np.abs(back.velocity - velocity).max() == 2


@pytest.mark.parametrize("steps_per_beat", [1, 7, 480])
@each_kind
def test_any_grid_comes_back(kind: str, steps_per_beat: int) -> None:
    piece = Piece.from_notes([0, 2, 5], [2, 1, 9], [0, 62, 127], ticks_per_beat=steps_per_beat)
    back = again(MidiTokTokenizer(kind=kind, steps_per_beat=steps_per_beat), piece)
    step = back.ticks_per_beat // steps_per_beat
    assert columns(back, "onset", "duration", "pitch") == [
        (0, 2 * step, 0),
        (2 * step, step, 62),
        (5 * step, 9 * step, 127),
    ]


@each_kind
def test_a_note_is_cut_at_twelve_beats(kind: str) -> None:
    back = again(MidiTokTokenizer(kind=kind), simple_piece((0, 13, 60), (0, 12, 64)))
    assert columns(back, "pitch", "duration") == [(60, 12 * 480), (64, 12 * 480)]


def test_only_structured_cuts_a_gap_of_more_than_twelve_beats() -> None:
    piece = simple_piece((0, 1, 60), (30, 1, 62))
    ends = {kind: again(MidiTokTokenizer(kind=kind), piece).beats for kind in ("REMI", "TSD", "Structured")}
    assert ends == {"REMI": 31, "TSD": 31, "Structured": 13}


@each_kind
def test_overlapping_notes_of_one_pitch_stay_as_they_are(kind: str) -> None:
    piece = simple_piece((0, 4, 60), (1, 1, 60), (2, 4, 60))
    assert columns(again(MidiTokTokenizer(kind=kind), piece), "onset", "duration") == columns(
        piece, "onset", "duration"
    )


def test_tsd_holds_the_notes_that_event_holds() -> None:
    piece = piece_of(
        [(7 * i * i % 5000, 100 + 37 * i % 900, 40 + i * 11 % 48, 80, 0, False) for i in range(99)]
    )
    names = ("onset", "duration", "pitch")
    assert columns(again(MidiTokTokenizer(kind="TSD"), piece), *names) == columns(
        again(EventTokenizer(), piece), *names
    )


@each_tokenizer
def test_miditok_finds_no_error_in_a_legal_walk(tokenizer: MidiTokTokenizer) -> None:
    from miditok import TokSequence

    for seed in range(20):
        walk = legal_walk(small_codec(tokenizer), seed, length=40)
        assert tokenizer._miditok.tokens_errors(TokSequence(tokens=walk)) == 0


@pytest.mark.parametrize(
    ("kind", "before", "token"),
    [
        ("REMI", [], "Pitch_60"),
        ("REMI", ["Bar_None"], "Bar_None"),
        ("REMI", ["Bar_None"], "Position_1"),
        ("REMI", ["Bar_None", "Position_0"], EOS),
        ("REMI", ["Bar_None", "Position_0", "Pitch_60", "Duration_1.0.12"], "Position_0"),
        ("REMI", ["Bar_None", "Position_0", "Pitch_60", "Duration_1.0.12"], "Pitch_60"),
        ("REMI", ["Bar_None", "Position_0", "Pitch_60", "Duration_1.0.12", "Bar_None"], EOS),
        ("REMI", ["Bar_None", "Position_0", "Pitch_60", "Duration_1.0.12"], "Position_48"),
        ("TSD", [], "TimeShift_1.0.12"),
        ("TSD", ["Pitch_60"], "Pitch_59"),
        ("TSD", ["Pitch_60", "Duration_1.0.12"], "Duration_1.0.12"),
        ("TSD", ["Pitch_60", "Duration_1.0.12", "TimeShift_1.0.12"], "TimeShift_1.0.12"),
        ("Structured", [], "TimeShift_1.0.12"),
        ("Structured", ["TimeShift_0.0.1", "Pitch_60", "Duration_1.0.12"], "Pitch_59"),
        ("Structured", ["TimeShift_0.0.1", "Pitch_60", "Duration_1.0.12", "TimeShift_0.0.1"], "Pitch_60"),
    ],
)
def test_an_illegal_token_is_told(kind: str, before: list[str], token: str) -> None:
    tokenizer = MidiTokTokenizer(kind=kind)
    assert not tokenizer.follows(state_after(tokenizer, before), token)


def test_the_duration_of_an_unknown_note_goes_to_no_other() -> None:
    tokens = ["Pitch_60", "Duration_2.0.12", UNK, "Duration_9.0.12", "TimeShift_1.0.12", "Pitch_64", UNK]
    back = MidiTokTokenizer(kind="TSD").detokenize(tokens)
    assert columns(back, "onset", "pitch", "duration") == [(0, 60, 960), (480, 64, 480)]


def test_a_note_of_unknown_velocity_keeps_its_duration() -> None:
    back = MidiTokTokenizer(kind="TSD", velocity=True).detokenize(["Pitch_60", UNK, "Duration_2.0.12"])
    assert columns(back, "pitch", "duration") == [(60, 960)]


def test_a_note_of_unknown_program_has_program_0() -> None:
    note = ["Pitch_60", "Duration_1.0.12"]
    back = MidiTokTokenizer(kind="TSD", program=True).detokenize(
        ["Program_9", *note, UNK, "Pitch_50", note[1]]
    )
    assert columns(back, "pitch", "program") == [(50, 0), (60, 9)]


@each_kind
def test_a_tokenizer_can_be_sent_to_another_process(kind: str) -> None:
    tokenizer = MidiTokTokenizer(kind=kind)
    tokens = small(tokenizer)
    assert small(pickle.loads(pickle.dumps(tokenizer))) == tokens


@pytest.mark.parametrize("kind", ["MIDILike", "Octuple", "remi"])
def test_another_kind_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="kind must be REMI, TSD, Structured; got " + kind):
        build_tokenizer("miditok", kind=kind)


def test_round_trip_tells_what_structured_loses() -> None:
    piece = simple_piece((0, 1, 60), (30, 1, 62))
    assert round_trip(MidiTokTokenizer(kind="REMI"), piece).kept_fraction == 1
    assert round_trip(MidiTokTokenizer(kind="Structured"), piece).kept_fraction == 0.5


def test_the_tokens_command_writes_remi(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_midi(simple_piece((0, 1, 60), (1, 1, 62), (4, 1, 64)), tmp_path / "a.mid")
    assert main(["tokens", str(tmp_path / "a.mid"), "--tokenizer", "miditok"]) == 0
    assert capsys.readouterr().out.splitlines()[1:4] == [
        "  1  1.00  Bar_None Position_0 Pitch_60 Duration_1.0.12",
        "  1  2.00  Position_12 Pitch_62 Duration_1.0.12",
        "  2  1.00  Bar_None Position_0 Pitch_64 Duration_1.0.12",
    ]


@pytest.fixture(scope="module")
def run_of(request: pytest.FixtureRequest, train_tiny: TrainTiny, tmp_path_factory: TempPaths) -> Path:
    """The folder of a run with MidiTok of a kind."""
    run_dir = tmp_path_factory.mktemp("run")
    train_tiny(run_dir, "tokenizer=miditok", f"tokenizer.kind={request.param}")
    return run_dir


@pytest.mark.parametrize(("run_of", "kind"), [(kind, kind) for kind in KINDS], indirect=["run_of"])
def test_a_run_trains_and_composes(run_of: Path, kind: str) -> None:
    summary: dict[str, Any] = json.loads((run_of / "summary.json").read_text(encoding="utf-8"))
    assert summary["sample"]["num_notes"] >= 12
    assert np.isfinite(summary["val/nats_per_note"])
    assert load_composer(run_of / "best.ckpt").codec.tokenizer.kind == kind  # type: ignore[attr-defined]


@pytest.mark.parametrize("run_of", ["TSD"], indirect=True)
def test_of_samples_that_cannot_be_bounded_one_is_taken_that_copies_little(run_of: Path) -> None:
    command = ["generate", str(run_of), "-o", "a.mid", "--num-notes", "40", "--exact"]
    plain, bounded = (
        Composing(build_parser().parse_args([*command, *more]), run_of / "best.ckpt")
        for more in ([], ["--max-copied", "0"])
    )
    pieces = [sample.piece for sample in plain.compose(8)]
    for known, seed in ((pieces[:2], 2), (pieces[4:], 0)):
        bounded.against = against(known)
        assert [sample.seed for sample in bounded.compose(1)] == [seed]
    bounded.against = against(pieces)
    with pytest.raises(UserError, match="--max-copied 0: each of 8 samples copies more"):
        bounded.compose(1)


def against(pieces: list[Piece]) -> Against:
    index = Index.build(pieces, [str(number) for number in range(len(pieces))])
    return Against("", index, RealFigures.nothing(), [], ReadingOptions(), [])
