"""`noternn tokens`: print a piece as tokens, against bars and beats."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from noternn.config.checks import AUTO
from noternn.config.tokenizer import DECIDED
from noternn.corpus.auto import decided
from noternn.datasets.sources import read_file
from noternn.errors import PieceError, UserError
from noternn.music.facts import piece_facts
from noternn.music.piece import Piece
from noternn.tables import format_table
from noternn.tokenizer import build_tokenizer, round_trip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, metavar="FILE.mid", help="the file to read")
    parser.add_argument(
        "--tokenizer",
        choices=("event", "chord", "frames", "voices", "miditok"),
        default="event",
        help="with its defaults (event)",
    )


def run(options: argparse.Namespace) -> None:
    """Print the tokens of a MIDI file or score against its bars and beats, and what they lose."""
    piece = read_file(options.file)
    tokenizer = build_tokenizer(options.tokenizer, **_settings(options.tokenizer, piece))
    try:
        groups = tokenizer.tokens_by_onset(piece)
    except PieceError as error:
        raise UserError(f"{options.file}: {error}") from error
    if not groups:
        raise UserError(f"{options.file}: holds no notes that this tokenizer can write (only drums?)")
    ticks = [onset * piece.ticks_per_beat / tokenizer.steps_per_beat for onset, _ in groups]
    bars, beats = piece.bars_and_beats(ticks)
    rows = [
        {"bar": bar, "beat": f"{beat:.2f}", "tokens": " ".join(group)}
        for bar, beat, (_, group) in zip(bars.tolist(), beats.tolist(), groups, strict=True)
    ]
    print(format_table(rows, ["bar", "beat", "tokens"]))
    trip = round_trip(tokenizer, piece)
    print(
        f"{piece.num_notes} notes, {sum(len(group) for _, group in groups)} tokens; "
        f"{trip.kept_fraction:.1%} of the notes come back, with errors of {trip.onset_error_beats:.3f} beats "
        f"in onset, {trip.duration_error_beats:.3f} in duration"
    )
    for remark in piece.remarks:
        print(f"read, but {remark}")


def _settings(tokenizer: str, piece: Piece) -> dict[str, Any]:
    """What is written of a piece as a corpus of it alone would be."""
    if tokenizer not in ("event", "miditok") or not piece.num_notes:
        return {}
    facts = {name: np.array([value]) for name, value in asdict(piece_facts(piece)).items()}
    return decided(dict.fromkeys(DECIDED, AUTO), facts)
