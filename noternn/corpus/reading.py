"""Read and tokenize many files in parallel, keeping the reason for each one that was dropped."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from noternn.corpus.duplicates import fingerprint
from noternn.corpus.leak import note_steps
from noternn.corpus.sources import Source
from noternn.piece import PieceError, select_tracks
from noternn.tokenizer import RoundTrip, Tokenizer, round_trip

log = logging.getLogger(__name__)

MIN_FILES_FOR_PROCESSES = 32  # below, starting processes costs more than they save


@dataclass(frozen=True)
class Skipped:
    """A file that is not in the corpus, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class TokenizedPiece:
    """A piece as tokens, with what the metrics need to know of its music.

    Args:
        name: of its source.
        music_hash: see `Piece.music_hash`.
        tokens: without BOS and EOS.
        num_notes: notes that the tokens describe.
        beats: quarter notes from the first onset to the last end.
        seconds: the same in seconds.
        tempo: beats per minute over the whole piece.
        round_trip: what the tokens lose.
        ngrams: see `duplicates.fingerprint`.
        steps: see `leak.note_steps`.
    """

    name: str
    music_hash: str
    tokens: list[str]
    num_notes: int
    beats: float
    seconds: float
    tempo: float
    round_trip: RoundTrip
    ngrams: NDArray[np.uint64]
    steps: NDArray[np.uint32]


def read_all(
    sources: Sequence[Source],
    tokenizer: Tokenizer,
    num_processes: int | None = None,
    tracks: str | Sequence[int] = "all",
) -> Iterator[TokenizedPiece | Skipped]:
    """Read and tokenize files, in their order, with a progress bar on stderr.

    Args:
        sources: the files.
        tokenizer: applied in the worker processes.
        num_processes: None takes one a core; 0 and 1 read in this process.
        tracks: see `noternn.piece.select_tracks`.
    """
    read = partial(read_one, tokenizer=tokenizer, tracks=tracks)
    num_processes = _available_cores() if num_processes is None else num_processes
    if not sys.stderr.isatty():  # a bar would fill a log file
        log.info("reading %d files", len(sources))
    progress = partial(tqdm, total=len(sources), desc="reading", unit="file", leave=False, disable=None)
    if num_processes < 2 or len(sources) < MIN_FILES_FOR_PROCESSES:
        yield from progress(map(read, sources))
        return
    # Forking would be unsafe where torch's threads already run.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, mp_context=context) as pool:
        chunksize = min(8, 1 + len(sources) // 128)  # a few slow files must not fall to one process
        yield from progress(pool.map(read, sources, chunksize=chunksize))


def read_one(
    source: Source, tokenizer: Tokenizer, tracks: str | Sequence[int] = "all"
) -> TokenizedPiece | Skipped:
    """One file's tracks as tokens, or why not."""
    try:
        piece = select_tracks(source.read(), tracks)
    except PieceError as error:
        return Skipped(source.name, str(error))
    if not piece.num_notes:
        return Skipped(source.name, f"holds no notes of tracks={str(tracks).replace(' ', '')}")
    tokens = tokenizer.tokenize(piece)
    num_notes = sum(tokenizer.note_count(token) for token in tokens)
    if num_notes == 0:
        return Skipped(source.name, "holds no notes that this tokenizer can write (only drums?)")
    onset = int(piece.onset.min())
    start_seconds, end_seconds = piece.seconds(piece.onset[[0]]).item(), piece.duration_seconds
    beats = (piece.end - onset) / piece.ticks_per_beat
    seconds = end_seconds - start_seconds
    return TokenizedPiece(
        name=source.name,
        music_hash=piece.music_hash(),
        tokens=tokens,
        num_notes=num_notes,
        beats=beats,
        seconds=seconds,
        tempo=60 * beats / seconds,
        round_trip=round_trip(tokenizer, piece),
        ngrams=fingerprint(piece),
        steps=note_steps(piece),
    )


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
