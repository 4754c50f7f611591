"""The pedal that is written changes no note, and is where it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noternn.config.sampling import Sampling
from noternn.model.checkpoint import load_checkpoint
from noternn.music.midi import midi_file, read_midi_bytes
from noternn.music.pedal import Span, pedal_spans
from noternn.music.piece import Piece
from noternn.sampling.composer import composer_of
from noternn.sampling.primers import encode_primer
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary

BAR = 960


def columns(piece: Piece) -> list[list[int]]:
    notes = (piece.onset, piece.duration, piece.pitch, piece.velocity, piece.program, piece.is_drum)
    return [column.tolist() for column in notes]


notes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12), st.integers(40, 60), st.integers(0, 17), st.booleans()),
    min_size=1,
    max_size=60,
)


@given(notes, st.sampled_from([1, 2, 18]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_with_the_pedal_the_file_has_the_same_notes(rows: list[tuple[int, ...]], programs: int) -> None:
    onset, end, pitch, program, drums = np.array(rows).T
    duration = np.maximum(1, end * 4 - onset % 4)  # many end together
    piece = Piece.from_notes(onset, duration, pitch, program=program % programs, is_drum=drums > 0)
    plain = read_midi_bytes(midi_file(piece), "")
    data = midi_file(replace(piece, is_pedalled=True))
    assert columns(read_midi_bytes(data, "", pedal=True)) == columns(plain)
    assert columns(read_midi_bytes(data, "")) == columns(plain)


def recording(rng: np.random.Generator, num_bars: int) -> tuple[Piece, list[Span]]:
    """A piece whose every second bar has a pedal, and when that is down: notes that it holds end with it."""
    rows, spans = [], []
    for bar in range(num_bars):
        down, up = bar * BAR + int(rng.integers(30, 120)), (bar + 1) * BAR + int(rng.integers(-10, 10))
        is_held = bar % 2 == 0
        if is_held:
            spans.append((down, up))
        for number in range(8):
            onset = bar * BAR + number * BAR // 8 + int(rng.integers(0, 12))
            end = onset + int(rng.integers(60, 140))
            rows.append(
                (onset, up - onset if is_held and end >= down else end - onset, 40 + number + bar % 3)
            )
    onset, duration, pitch = zip(*rows, strict=True)
    return Piece.from_notes(onset, duration, pitch), spans


def test_the_pedal_is_given_back_where_it_was() -> None:
    piece, spans = recording(np.random.default_rng(0), 40)
    assert bytes([0xB0, 64, 127]) in midi_file(replace(piece, is_pedalled=True))
    end = piece.onset + piece.duration
    given_back = pedal_spans(zip(piece.onset.tolist(), end.tolist(), piece.pitch.tolist(), strict=True))
    true, found = (np.zeros(piece.end + BAR, dtype=np.bool_) for _ in range(2))
    for marked, both in ((true, spans), (found, given_back)):
        for down, up in both:
            marked[down:up] = True
    assert (true & found).sum() > 0.9 * true.sum()
    assert (found & ~true).sum() < 0.1 * found.sum()


def test_a_network_of_music_with_the_pedal_reads_and_writes_it(tiny_run: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_run / "best.ckpt")
    assert composer_of(checkpoint, tmp_path).pedal is False
    checkpoint["noternn"]["config"]["dataset"]["pedal"] = True
    composer = composer_of(checkpoint, tmp_path)
    assert composer.compose([], Sampling(num_notes=8, ending="exact")).is_pedalled


def test_a_primer_is_held_by_its_pedal_where_the_training_music_was(tmp_path: Path) -> None:
    file = mido.MidiFile(ticks_per_beat=12)
    down, up = (mido.Message("control_change", control=64, value=v, time=t) for v, t in ((127, 0), (0, 20)))
    on, off = mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=10)
    file.tracks.append(mido.MidiTrack([down, on, off, up]))
    file.save(tmp_path / "given.mid")
    tokenizer = EventTokenizer()
    codec = Codec(tokenizer, Vocabulary(["Pitch_60", "Duration_10", "Duration_30"]))
    for pedal, duration in ((False, "Duration_10"), (True, "Duration_30")):
        ids, _, _ = encode_primer(tmp_path / "given.mid", codec, pedal=pedal)
        assert codec.vocabulary.tokens[ids[1]] == duration


@pytest.mark.parametrize(
    ("rows", "spans"),
    [
        ([(0, 9), (2, 9), (4, 9)], [(0, 9)]),
        ([(0, 9), (2, 9)], []),  # two end together by chance
        ([(0, 9), (0, 9), (0, 9)], []),  # a chord
        ([(0, 3), (0, 9), (2, 9), (4, 9)], [(4, 9)]),  # the first ends without a pedal
        ([(0, 9), (2, 9), (4, 9), (5, 12), (9, 12), (10, 12)], [(0, 9), (10, 12)]),
    ],
)
def test_a_pedal_is_down_only_where_nothing_else_ends(rows: list[Span], spans: list[Span]) -> None:
    assert pedal_spans((onset, end, key) for key, (onset, end) in enumerate(rows)) == spans


def test_a_key_that_is_struck_again_ends_under_the_pedal() -> None:
    assert pedal_spans([(0, 3, "c"), (3, 9, "c"), (1, 9, "e"), (2, 9, "g")]) == [(1, 9)]
