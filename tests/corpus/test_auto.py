"""What `tokenizer.program=auto` and `tokenizer.velocity=auto` stand for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noternn.corpus.auto import decided, is_open
from noternn.corpus.loading import corpus_of
from noternn.launch.command_line import settings
from noternn.music.facts import piece_facts
from noternn.music.midi import write_midi
from noternn.music.piece import Piece

AUTO = {"name": "event", "program": "auto", "velocity": "auto"}
DRUMS = {"is_drum": [False, True] * 20}
BAND = {"program": [0, 33] * 20}
PLAYED = {"velocity": [40 + 7 * k % 64 for k in range(40)]}
MARKED = {"velocity": [96] * 13 + [48] * 13 + [72] * 14}
BY_TRACK = {"program": [0, 33] * 20, "velocity": [90, 60] * 20}


def piece(seed: int = 0, **options: object) -> Piece:
    """40 notes, a beat each."""
    pitches = np.random.default_rng(seed).integers(48, 72, 40)
    return Piece.from_notes(np.arange(40) * 480, 480, pitches, **options)  # type: ignore[arg-type]


def choice(*pieces: Piece) -> tuple[bool, bool]:
    """Whether instruments and loudness of some pieces would be written."""
    rows = [asdict(piece_facts(p)) for p in pieces]
    chosen = decided(AUTO, {name: np.array([row[name] for row in rows]) for name in rows[0]})
    return chosen["program"], chosen["velocity"]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, (False, False)),
        (DRUMS, (True, False)),
        (BAND, (True, False)),
        ({"program": [40] * 40}, (False, False)),
        (PLAYED, (False, True)),
        (MARKED, (False, False)),
        (BY_TRACK, (True, False)),
        ({**BAND, **PLAYED}, (True, True)),
    ],
    ids=["piano", "drums", "band", "violin", "played", "marked", "by track", "played by a band"],
)
def test_what_a_corpus_has_is_kept(options: dict[str, Any], chosen: tuple[bool, bool]) -> None:
    assert choice(*(piece(seed, **options) for seed in range(6))) == chosen


def test_one_band_among_many_piano_pieces_decides_nothing() -> None:
    assert choice(*(piece(seed) for seed in range(9)), piece(9, **DRUMS)) == (False, False)


@given(st.sampled_from([True, False, "auto"]), st.sampled_from([True, False, "auto"]))
def test_what_was_asked_for_stays(program: object, velocity: object) -> None:
    facts = {name: np.array([value]) for name, value in asdict(piece_facts(piece(**DRUMS))).items()}
    chosen = decided({"name": "event", "program": program, "velocity": velocity}, facts)
    assert not is_open(chosen)
    assert chosen["program"] == (True if program == "auto" else program)
    assert chosen["velocity"] == (False if velocity == "auto" else velocity)


def folder_of(tmp_path: Path, pieces: Sequence[Piece]) -> Path:
    for k, music in enumerate(pieces):
        write_midi(music, tmp_path / "midi" / f"{k}.mid")
    return tmp_path / "midi"


def told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pieces: Sequence[Piece], *overrides: str
) -> tuple[dict[str, Any], str]:
    """The settings that a corpus's tokenizer comes to, and what is said of it."""
    config = settings(
        [
            "dataset=folder",
            f"dataset.path={folder_of(tmp_path, pieces)}",
            "datamodule.cache_dir=null",
            *overrides,
        ]
    )
    with caplog.at_level(logging.INFO):
        corpus = corpus_of(config)
    return dict(corpus.tokenizer), caplog.text


def test_a_band_is_told_in_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer, text = told(tmp_path, caplog, [piece(seed, **DRUMS) for seed in range(6)])
    assert (tokenizer["program"], tokenizer["velocity"]) == (True, False)
    assert "instruments and drums are kept (tokenizer.program=true): 50 % of the notes are drums" in text
    assert "lost" not in text


def test_a_corpus_of_drums_alone_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer, _ = told(tmp_path, caplog, [piece(seed, is_drum=[True] * 40) for seed in range(6)])
    assert tokenizer["program"] is True


@pytest.mark.parametrize(
    ("override", "advice"),
    [
        ("tokenizer.program=false", "50 % are drums; tokenizer.program=true keeps them"),
        ("tokenizer=chord", "50 % are drums; tokenizer=event keeps them"),
    ],
)
def test_lost_notes_are_told_with_what_keeps_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, override: str, advice: str
) -> None:
    _, text = told(tmp_path, caplog, [piece(seed, **DRUMS) for seed in range(6)], override)
    assert f"50 % of the notes are lost: {advice}" in text


def test_notes_in_unison_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    onset, program = np.repeat(np.arange(40) * 480, 2), np.tile([0, 33], 40)
    pieces = [Piece.from_notes(onset, 480, np.repeat(piece(k).pitch, 2), program=program) for k in range(6)]
    _, text = told(tmp_path, caplog, pieces, "tokenizer.program=false")
    assert (
        "50 % of the notes are lost: 50 % begin with others of the same pitch; "
        "tokenizer.program=true keeps those of different instruments"
    ) in text


def test_a_piano_corpus_is_told_nothing(
    midi_folder: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        config = ["dataset=folder", f"dataset.path={midi_folder(6)}", "datamodule.cache_dir=null"]
        assert corpus_of(settings(config)).tokenizer["program"] is False
    assert "lost" not in caplog.text
    assert "are kept (" not in caplog.text
