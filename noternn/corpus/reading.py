"""Read and tokenize many files in parallel, keeping the reason for each one that was dropped."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from noternn.config.dataset import Dataset
from noternn.corpus.duplicates import fingerprint
from noternn.corpus.kept import read_kept
from noternn.corpus.workers import Lost, Workers
from noternn.datasets.sources import Source
from noternn.music.facts import PieceFacts, piece_facts
from noternn.music.limits import Limits
from noternn.music.piece import Piece, PieceError, select_tracks
from noternn.music.remarks import Remark
from noternn.music.repeats import Repeats
from noternn.music.steps import note_steps
from noternn.terminal import printable
from noternn.tokenizer import RoundTrip, Tokenizer, round_trip

log = logging.getLogger(__name__)

NOTHING_WRITTEN = "holds no notes that this tokenizer can write (only drums?)"
MIN_FILES_FOR_PROCESSES = 32  # below, starting processes costs more than they save


@dataclass(frozen=True)
class ReadingOptions:
    """Which notes of a file are read.

    Args:
        tracks: see `noternn.music.piece.select_tracks`.
        pedal: see `noternn.music.midi.read_midi`.
        limits: a file above any of them is skipped.
        repeats: see `noternn.music.repeats.playing_order`.
    """

    tracks: str | Sequence[int] = "all"
    pedal: bool = False
    limits: Limits = field(default_factory=Limits)
    repeats: Repeats = "once"

    @classmethod
    def of(cls, dataset: Dataset) -> ReadingOptions:
        """As the settings of a dataset say."""
        repeats: Repeats = "played" if dataset.repeats == "played" else "once"
        return cls(dataset.tracks, dataset.pedal, dataset.limits, repeats)

    def read(self, source: Source, cache_dir: Path | None = None) -> Piece:
        """The piece in a file.

        Args:
            source: the file.
            cache_dir: the cache that may hold it from before, see `read_kept`.

        Raises:
            PieceError: if there is none, with the reason.
        """
        piece = read_kept(source, cache_dir, self.limits, self.pedal, self.repeats)
        piece = select_tracks(piece, self.tracks)
        if not piece.num_notes:
            raise PieceError(f"holds no notes of tracks={str(self.tracks).replace(' ', '')}")
        return piece

    def plain(self) -> dict[str, Any]:
        """What decides the notes, as it goes into fingerprints."""
        tracks = self.tracks if isinstance(self.tracks, str) else sorted(set(self.tracks))
        limits = asdict(self.limits)
        return {"tracks": tracks, "pedal": self.pedal, "limits": limits, "repeats": self.repeats}


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
        tokens: the distinct tokens of the piece.
        indices: (num_tokens,) the piece as indices into `tokens`, without BOS and EOS.
        num_notes: notes that the tokens describe.
        facts: whatever tokenizer writes it.
        round_trip: what the tokens lose.
        ngrams: see `duplicates.fingerprint`.
        steps: see `music.steps.note_steps`.
        remarks: what its reader did not understand or had to decide.
    """

    name: str
    music_hash: str
    tokens: Sequence[str]
    indices: NDArray[np.uint32]
    num_notes: int
    facts: PieceFacts
    round_trip: RoundTrip
    ngrams: NDArray[np.uint64]
    steps: NDArray[np.uint32]
    remarks: tuple[Remark, ...] = ()


Made = TypeVar("Made")


class Reader(Generic[Made]):
    """Reads files in processes, with a progress bar on stderr; a context that ends the processes.

    Args:
        make: a function of a piece and its name; it runs in the processes, so it must be picklable.
        options: what is read.
        num_processes: None takes one a core; 0 and 1 read in this process.
        num_files: how many will be read in all.
        cache_dir: where pieces are kept, see `read_kept`; None keeps none.
    """

    def __init__(
        self,
        make: Callable[[str, Piece], Made],
        options: ReadingOptions,
        num_processes: int | None,
        num_files: int,
        cache_dir: Path | None = None,
    ) -> None:
        self._read: Callable[[Source], Made | Skipped] = partial(
            read_one, make=make, options=options, cache_dir=cache_dir
        )
        num_processes = _available_cores() if num_processes is None else num_processes
        self._workers = None
        if num_processes > 1 and num_files >= MIN_FILES_FOR_PROCESSES:
            self._workers = Workers(self._read, num_processes, options.limits.max_seconds)
        self._num_files = num_files
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._workers:
            self._workers.__exit__(kind, error, trace)

    def read(self, sources: Sequence[Source]) -> Iterator[Made | Skipped]:
        """What is made of each file or why it was dropped, in any order."""
        if self._bar is None:  # not before: another process may be reading for this one
            self._bar = self._begin()
        results: Iterable[tuple[Source, Made | Skipped | Lost]]
        if self._workers:
            results = self._workers.map(sources)
        else:
            results = ((source, self._read(source)) for source in sources)
        for source, result in results:
            self._bar.update()
            yield Skipped(source.name, result.reason) if isinstance(result, Lost) else result

    def _begin(self) -> tqdm[Any]:
        if not sys.stderr.isatty():  # a bar would fill a log file
            log.info("reading %d files", self._num_files)
        return tqdm(total=self._num_files, desc="reading", unit="file", leave=False, disable=None)


def read_one(
    source: Source,
    make: Callable[[str, Piece], Made],
    options: ReadingOptions,
    cache_dir: Path | None = None,
) -> Made | Skipped:
    """What is made of one file's tracks, or why not; nothing that a file holds raises an error."""
    try:
        return make(source.name, options.read(source, cache_dir))
    except PieceError as error:
        return Skipped(source.name, str(error))
    except MemoryError:
        return Skipped(source.name, "needs more memory than there is")
    except Exception as error:  # ours to mend, but not at the cost of the run
        log.debug("reading %s", source.name, exc_info=True)
        kind = type(error).__name__
        return Skipped(
            source.name, f"reading it failed ({kind}: {printable(str(error))}); please report this as a bug"
        )


def tokenized(name: str, piece: Piece, tokenizer: Tokenizer) -> TokenizedPiece:
    """A piece as tokens.

    Raises:
        PieceError: if the tokenizer can write none of its notes.
    """
    written = tokenizer.tokenize_indexed(piece)
    used, inverse = np.unique(written[1], return_inverse=True)
    tokens, indices = [written[0][i] for i in used.tolist()], inverse.astype(np.uint32)
    num_notes = tokenizer.num_notes(tokens, indices)
    if num_notes == 0:
        raise PieceError(NOTHING_WRITTEN)
    return TokenizedPiece(
        name=name,
        music_hash=piece.music_hash(),
        tokens=tokens,
        indices=indices,
        num_notes=num_notes,
        facts=piece_facts(piece),
        round_trip=round_trip(tokenizer, piece, written),
        ngrams=fingerprint(piece),
        steps=note_steps(piece),
        remarks=piece.remarks,
    )


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
