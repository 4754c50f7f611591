"""Health: what is measured of a sample, what it is compared with, and what is said of it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.__main__ import main
from noternn.errors import UserError
from noternn.health.checkup import check, describe
from noternn.health.measures import BAND_QUANTITIES, PIECE_QUANTITIES, measure
from noternn.health.yardstick import Range, Yardstick, excerpts
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece

Capture = pytest.CaptureFixture[str]
MakePiece = Callable[[int], Piece]
FAST = settings(max_examples=50, deadline=None, derandomize=True, database=None)
rows = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 8), st.integers(40, 80)), min_size=1, max_size=60
)


def piece_of(notes: list[tuple[int, int, int]], beat: int = 480) -> Piece:
    """A piece of (onset, duration, pitch) in beats."""
    onset, duration, pitch = np.array(notes).T
    return Piece.from_notes(onset * beat, duration * beat, pitch, ticks_per_beat=beat)


def melody(pitches: list[int]) -> Piece:
    """A note a beat."""
    return piece_of([(beat, 1, pitch) for beat, pitch in enumerate(pitches)])


@pytest.fixture
def real(make_piece: MakePiece) -> list[Piece]:
    return [make_piece(seed) for seed in range(30)]


# What is measured


def test_one_repeated_note_shows_as_repetition() -> None:
    s = measure(Piece.from_notes([0, 480, 960, 1440], 480, 60))
    assert (s.num_notes, s.num_pitches, s.longest_repetition, s.beats) == (4, 1, 4, 4.0)
    assert s.silent_fraction == 0.0


def test_repetition_ends_where_the_pitch_changes() -> None:
    piece = Piece.from_notes([0, 480, 960, 1440, 1920], 480, [60, 62, 62, 62, 60])
    assert measure(piece).longest_repetition == 3


def test_repeated_chord_is_a_repetition_and_a_chord_alone_is_none() -> None:
    chords = Piece.from_notes([0, 0, 480, 480, 960, 960], 480, [60, 64, 60, 64, 60, 65])
    s = measure(chords)
    assert (s.num_notes, s.num_pitches, s.longest_repetition) == (6, 3, 2)


def test_silence_is_the_share_of_time_in_which_nothing_sounds() -> None:
    piece = Piece.from_notes([0, 480, 1440], [240, 480, 480], [60, 62, 64])
    # sounding 0-240, 480-960, 1440-1920
    assert measure(piece).silent_fraction == pytest.approx(720 / 1920)


def test_silence_before_the_first_note_does_not_count() -> None:
    s = measure(Piece.from_notes([960, 1440], 480, [60, 62]))
    assert (s.silent_fraction, s.beats) == (0.0, 2.0)


def test_overlapping_notes_are_counted_once() -> None:
    piece = Piece.from_notes([0, 240, 480, 1920], [1440, 240, 240, 480], [48, 60, 62, 64])
    # sounding 0-1440 and 1920-2400
    assert measure(piece).silent_fraction == pytest.approx(480 / 2400)


@FAST
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=15))
def test_silence_equals_a_count_of_ticks(notes: list[tuple[int, int]]) -> None:
    sounding = {tick for onset, duration in notes for tick in range(onset, onset + duration)}
    first, end = min(onset for onset, _ in notes), max(onset + duration for onset, duration in notes)
    piece = Piece.from_notes([onset for onset, _ in notes], [duration for _, duration in notes], 60)
    expected = 1 - len(sounding) / (end - first)
    assert measure(piece).silent_fraction == pytest.approx(expected)


def test_statistics_of_a_piece_without_notes() -> None:
    s = measure(Piece.from_notes([], [], []))
    assert (s.num_notes, s.num_pitches, s.longest_repetition, s.beats) == (0, 0, 0, 0.0)
    assert math.isnan(s.silent_fraction)


SCALE = [60, 62, 64, 65, 67, 69, 71]


def test_notes_a_beat_and_notes_at_a_time() -> None:
    health = measure(piece_of([(0, 2, 60), (0, 2, 64), (3, 1, 67)]))  # silent in the third beat
    assert health.notes_per_beat == 3 / 4
    assert health.polyphony == pytest.approx(5 / 3)
    assert health.silent_fraction == 1 / 4


def test_a_scale_is_in_one_scale_in_any_key() -> None:
    for semitones in range(12):
        assert measure(melody([p + semitones for p in SCALE * 3])).scale_consistency == 1


def test_the_chromatic_scale_is_in_one_scale_by_seven_twelfths() -> None:
    health = measure(melody(list(range(48, 84))))
    assert health.scale_consistency == pytest.approx(7 / 12)


def test_music_that_changes_its_key_is_in_one_scale_locally_alone() -> None:
    health = measure(melody(SCALE * 10 + [p + 6 for p in SCALE] * 10))
    assert health.scale_consistency == pytest.approx((7 + 2) / 14)  # the keys share two notes
    assert health.local_scale_consistency > 0.9


@FAST
@given(rows)
def test_scale_consistency_is_that_of_an_obvious_count(notes: list[tuple[int, int, int]]) -> None:
    scale = {0, 2, 4, 5, 7, 9, 11}
    shares = [np.mean([(pitch - tonic) % 12 in scale for _, _, pitch in notes]) for tonic in range(12)]
    assert measure(piece_of(notes)).scale_consistency == pytest.approx(max(shares))


def test_pitch_classes_are_compared_whatever_the_key() -> None:
    profile = np.bincount([0, 4, 7, 0], minlength=12) / 4
    near, far = melody([62, 66, 69, 74]), melody([60, 61, 62, 63])
    assert measure(near, profile).pitch_class_distance == 0
    assert 0.2 < measure(far, profile).pitch_class_distance <= 1
    assert math.isnan(measure(near).pitch_class_distance)


def test_what_came_before_counts_in_any_key_and_how_long_ago_it_was() -> None:
    tune = [60, 64, 62, 67, 65, 69, 60, 72]
    health = measure(melody([*tune, 50, *[p + 5 for p in tune]]))
    assert health.repeated_fraction == pytest.approx(8 / 17)
    assert health.loop_beats == 9


def test_a_loop_comes_near_1_and_new_notes_to_0() -> None:
    assert measure(melody([60, 64, 67, 72] * 40)).repeated_fraction > 0.95
    rng = np.random.default_rng(0)
    assert measure(melody(rng.integers(40, 80, 160).tolist())).repeated_fraction == 0


@FAST
@given(rows)
def test_what_came_before_is_what_a_slow_search_finds(notes: list[tuple[int, int, int]]) -> None:
    piece = piece_of(notes)
    order = sorted({(onset, pitch) for onset, _, pitch in notes})
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(order)]
    repeated: set[int] = set()
    for i in range(len(steps) - 6):
        if any(steps[j : j + 7] == steps[i : i + 7] for j in range(i)):
            repeated |= set(range(i, i + 8))
    assert measure(piece).repeated_fraction == pytest.approx(len(repeated) / len(order))


@FAST
@given(rows, st.integers(-20, 20), st.integers(2, 5))
def test_health_does_not_depend_on_key_or_resolution(
    notes: list[tuple[int, int, int]], semitones: int, times: int
) -> None:
    profile = np.arange(12) / 66
    before = measure(piece_of(notes), profile)
    moved = piece_of([(on, length, pitch + semitones) for on, length, pitch in notes], beat=480 * times)
    after = measure(moved, profile)
    for name, value in vars(before).items():
        assert getattr(after, name) == pytest.approx(value, nan_ok=True), name


def test_drums_have_no_pitches() -> None:
    piece = Piece.from_notes([0, 480, 960], 480, [36, 38, 36], is_drum=True)
    health = measure(piece)
    assert (health.num_notes, health.num_pitches, health.polyphony) == (3, 0, 0.0)
    assert math.isnan(health.scale_consistency)


# What it is compared with


@FAST
@given(rows, st.integers(1, 30))
def test_excerpts_cover_a_piece_with_parts_of_one_length(
    notes: list[tuple[int, int, int]], num_notes: int
) -> None:
    piece = piece_of(notes)
    parts = excerpts(piece, num_notes)
    assert {part.num_notes for part in parts} == {min(num_notes, piece.num_notes)}
    assert len(parts) == -(-piece.num_notes // num_notes)
    heard = {pair for part in parts for pair in zip(part.onset.tolist(), part.pitch.tolist(), strict=True)}
    assert heard == set(zip(piece.onset.tolist(), piece.pitch.tolist(), strict=True))


def test_excerpts_are_as_long_as_the_sample_or_as_the_pieces_are(real: list[Piece]) -> None:
    yardstick = Yardstick.of(real)
    median = int(np.median([piece.num_notes for piece in real]))
    assert sorted(yardstick.ranges) == [16, 32, median]
    assert [yardstick.length_for(n) for n in (5, 16, 40, 1000)] == [16, 16, 32, median]


def test_a_yardstick_is_read_as_it_was_saved(real: list[Piece], tmp_path: Path) -> None:
    yardstick = Yardstick.of(real)
    yardstick.save(tmp_path / "health.json")
    assert Yardstick.load(tmp_path / "health.json") == yardstick


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"num_pieces": 1, "profile": [1], "ranges": {"0": {}}}',
        '{"num_pieces": 1, "profile": [1], "ranges": {}}',
        '{"ranges": {"16": {}}}',
        "[" * 9999,
    ],
    ids=range(7),
)
def test_what_is_no_yardstick_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "health.json").write_text(text)
    with pytest.raises(UserError, match="not the measures of held-out pieces"):
        Yardstick.load(tmp_path / "health.json")


def test_ranges_are_percentiles_of_the_pieces(real: list[Piece]) -> None:
    whole = [replace(piece, name="") for piece in real if piece.num_notes <= 50]
    yardstick = Yardstick.of(whole)
    values = [measure(piece).notes_per_beat for piece in whole]
    at = yardstick.ranges[max(yardstick.ranges)]["notes_per_beat"]
    assert at.least <= at.low <= at.median <= at.high <= at.most
    assert at.most <= 1.5 * max(values)


# What is said


def test_real_music_is_mostly_healthy(make_piece: MakePiece, real: list[Piece]) -> None:
    yardstick = Yardstick.of(real)
    sentences = [check(make_piece(seed), yardstick).sentence for seed in range(100, 130)]
    assert sum(sentence.startswith("healthy") for sentence in sentences) >= 26
    assert sum(sentence.startswith("unhealthy") for sentence in sentences) <= 1


def loud_noise(rng: np.random.Generator) -> Piece:
    return piece_of([(beat // 2, 1, int(rng.integers(36, 96))) for beat in range(200)])


COLLAPSES: dict[str, Callable[[Piece], Piece]] = {
    "it strikes one note or chord": lambda _: melody([60] * 100),
    "it circles around 2 pitches": lambda _: melody([60, 62] * 50),
    "it goes round in a loop of 8 beats": lambda _: piece_of(
        [(on, 1, 60 + (5 * (on % 8)) % 12 + voice) for on in range(96) for voice in (0, 7)]
    ),
    "it falls silent": lambda p: replace(p, onset=p.onset * 4),
    "it hardly moves, a drone": lambda p: replace(p, onset=p.onset * 9, duration=p.duration * 9),
    "it is a flood": lambda p: replace(p, onset=p.onset // 8, duration=np.maximum(p.duration // 8, 1)),
    "it is a cluster": lambda p: replace(p, duration=p.duration * 12),
    "it is out of any key": lambda _: loud_noise(np.random.default_rng(0)),
}


@pytest.mark.parametrize("words", list(COLLAPSES))
def test_a_collapse_is_named(words: str, real: list[Piece], make_piece: MakePiece) -> None:
    checkup = check(COLLAPSES[words](make_piece(77)), Yardstick.of(real))
    assert checkup.sentence.startswith("unhealthy: ")
    assert words in checkup.sentence
    assert "(held-out: " in checkup.sentence


def test_music_that_goes_from_key_to_key_is_told_from_music_in_none() -> None:
    rng = np.random.default_rng(0)

    def in_keys(*keys: int) -> Piece:
        return melody(
            [key + SCALE[degree] for key in keys for degree in rng.integers(0, 7, 400 // len(keys))]
        )

    yardstick = Yardstick.of([in_keys(int(rng.integers(-5, 6))) for _ in range(10)])
    assert check(in_keys(3), yardstick).sentence.startswith("healthy")
    assert "it wanders from key to key" in check(in_keys(0, 6, 3, 9), yardstick).sentence
    assert "it is out of any key" in check(melody(rng.integers(50, 80, 400).tolist()), yardstick).sentence


def test_a_collapse_late_in_a_long_sample_is_found_and_placed(
    make_piece: MakePiece, real: list[Piece]
) -> None:
    good = make_piece(77)
    start = good.end // 480
    stuck = [(start + beat, 1, 60) for beat in range(60)]
    notes = np.stack([good.onset // 480, np.maximum(good.duration // 480, 1), good.pitch], axis=1).tolist()
    checkup = check(piece_of([*map(tuple, notes), *stuck]), Yardstick.of(real))
    assert any("it strikes one note" in words and ", from beat " in words for words in checkup.collapses)


def test_a_sample_with_more_outside_than_real_music_has_is_unusual(real: list[Piece]) -> None:
    yardstick = Yardstick.of(real)
    none = Range(0, 0, 0, 0, 0)
    strict = replace(yardstick, ranges={n: {**at, "num_outside": none} for n, at in yardstick.ranges.items()})
    checkups = [check(piece, strict) for piece in real]
    assert {checkup.verdict for checkup in checkups} == {"healthy", "unusual"}
    assert all((checkup.verdict == "unusual") == (checkup.num_outside > 0) for checkup in checkups)
    usual = [check(piece, yardstick).verdict for piece in real]
    assert usual.count("unusual") < len(real) / 5


def test_a_few_notes_are_too_few_to_tell(real: list[Piece]) -> None:
    sentence = check(melody(SCALE), Yardstick.of(real)).sentence
    assert sentence == "too short to tell (16 notes are needed)"


def test_the_table_has_every_quantity(real: list[Piece]) -> None:
    yardstick = Yardstick.of(real)
    text = describe([check(real[0], yardstick, "a.mid")], yardstick)
    assert all(quantity.label in text for quantity in PIECE_QUANTITIES)
    assert not any(quantity.label in text for quantity in BAND_QUANTITIES)
    assert "a.mid: healthy" in text


# The command


@pytest.fixture
def samples(tmp_path: Path, make_piece: MakePiece) -> Path:
    folder = tmp_path / "samples"
    write_midi(make_piece(50), folder / "good.mid")
    write_midi(melody([60] * 100), folder / "stuck.mid")
    return folder


def test_samples_are_compared_with_a_folder(
    samples: Path, corpus_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--json", "out.json", "--csv", "out.csv"]
    assert main(["health", str(samples), "--against", str(corpus_dir), *options]) == 0
    out = capsys.readouterr().out
    assert "stuck.mid: unhealthy: " in out
    assert "2 samples: " in out
    plain = json.loads((tmp_path / "out.json").read_text())
    assert [row["name"] for row in plain] == ["good.mid", "stuck.mid"]
    assert plain[1]["longest_repetition"] == 100
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["num_notes"] for row in csv.DictReader(file)] == [str(row["num_notes"]) for row in plain]


def test_a_single_file_is_a_corpus_too(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    good = str(samples / "good.mid")
    assert main(["health", good, "--against", good]) == 0
    assert (
        f"{good}: no verdict: there are fewer than 8 pieces to compare it with\n" in capsys.readouterr().out
    )


def test_samples_are_compared_with_what_a_run_left(samples: Path, tiny_run: Path, capsys: Capture) -> None:
    assert main(["health", str(samples / "stuck.mid"), "--against", str(tiny_run)]) == 0
    assert "those of 10 pieces, 9 of them trained on" in capsys.readouterr().out


def test_a_run_without_measures_is_measured_and_left_as_it_was(
    samples: Path, train_tiny: Callable[..., object], tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    train_tiny(run, "trainer.max_epochs=1")

    def told() -> str:
        capsys.readouterr()
        assert main(["health", str(samples), "--against", str(run)]) == 0
        return capsys.readouterr().out

    by_the_saved_measures = told()
    (run / "health.json").unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert told() == by_the_saved_measures
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mid", "--against", "bach"], "none.mid: cannot be opened"),
        ([".", "--against", "bach"], "no MIDI files or scores in it that can be read"),
        (["good", "--against", "bahc"], "there is no such file, folder or dataset"),
        (["good", "--against", "bach", "--csv", "out.txt"], "it must end in .csv"),
    ],
    ids=["no file", "empty folder", "no corpus", "no csv"],
)
def test_mistakes_are_told_in_a_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    make_piece: MakePiece,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    write_midi(make_piece(1), tmp_path / "good" / "a.mid")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty" if arguments[0] == "." else tmp_path)
    assert main(["health", *arguments]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_generate_tells_the_health_where_the_run_is_at_hand(
    tiny_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    command = ["generate", str(tiny_run), "-o", str(tmp_path / "out.mid"), "--num-notes", "40", "--exact"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert any(f"; {verdict}: " in out for verdict in ("healthy", "unusual", "unhealthy"))
    assert read_midi(tmp_path / "out.mid").num_notes == 40
