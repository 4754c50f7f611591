"""Seeded mutants of music of every format give a piece or a `PieceError` in one line, soon."""

from __future__ import annotations

import time
from random import Random

import pytest
from hostile_files import LabelledFile, all_files, score_files
from mutants import mutant

from noternn.config.schema import register, to_plain
from noternn.corpus.reading import tokenized
from noternn.errors import PieceError
from noternn.launch.command_line import settings
from noternn.music.midi import read_midi_bytes
from noternn.music.piece import Piece
from noternn.music.score import read_score_bytes
from noternn.terminal import one_line
from noternn.tokenizer import build_tokenizer

FORMATS = (".mid", ".musicxml", ".xml", ".mxl", ".krn", ".abc")
MAX_SECONDS = 5.0  # of processor time, of a mutant of a small file
MAX_SEED_BYTES = 20_000


def try_mutants(suffix: str, number: int, seed: int) -> None:
    """Read and tokenize some mutants of the files that are read right."""
    rng = Random(f"{seed} {suffix}")
    register()
    tokenizer = build_tokenizer(**to_plain(settings(["tokenizer=event"]))["tokenizer"])
    files: list[LabelledFile] = [*all_files(), *score_files()]
    read = [file.make() for file in files if file.suffix == suffix and file.kind == "odd"]
    data = [each for each in read if len(each) < MAX_SEED_BYTES]
    assert data
    for i in range(number):
        changed = mutant(rng.choice(data), rng)
        began, reason = time.process_time(), ""
        try:
            piece = read_any(changed, suffix)
            tokenized("mutant", piece, tokenizer)
        except PieceError as error:
            reason = str(error)
        assert one_line(reason) == reason, i
        assert time.process_time() - began < MAX_SECONDS, i


def read_any(data: bytes, suffix: str) -> Piece:
    if suffix == ".mid":
        return read_midi_bytes(data, "mutant")
    return read_score_bytes(data, suffix, "mutant", repeats="played")


@pytest.mark.parametrize("suffix", FORMATS)
def test_mutants_are_read_or_refused(suffix: str) -> None:
    try_mutants(suffix, 100, 0)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_many_mutants_are_read_or_refused(suffix: str) -> None:
    try_mutants(suffix, 3_500, 1)
