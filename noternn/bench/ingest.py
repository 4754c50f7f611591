"""How fast files of music become ids, beside MidiTok and miditoolkit on the same machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import miditoolkit

from noternn.bench.timing import REPEATS, interleaved
from noternn.datasets.sources import find_music_files, installed_sources
from noternn.errors import UserError, is_installed
from noternn.music import midi_parser
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece, PieceError
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary

NUM_PIECES = 40  # of the embedded corpus
MIDITOK = "MidiTok TSD, file to ids"
OURS = "NoteRNN event, file to ids"


def bench_ingest(folder: Path | None, repeats: int = REPEATS) -> tuple[str, list[dict[str, Any]]]:
    """Compare readers and tokenizers from files on disk to ids.

    Args:
        folder: the MIDI files below it are read; None takes pieces of the embedded corpus, written as MIDI.
        repeats: that count.

    Returns:
        what was read by which of our readers, in one line, and a row a contestant: name, milliseconds a
        file, notes a second, how many times faster than MidiTok (None without it), spread.

    Raises:
        UserError: if there are no files that all readers read.
    """
    with tempfile.TemporaryDirectory() as temporary:
        paths = list(find_music_files(folder)) if folder else write_pieces(Path(temporary))
        contestants = _ingest_contestants()
        pieces = {path: piece for path in paths if (piece := _read_by_all(path, contestants))}
        if not pieces:
            raise UserError(f"{folder}: there are no MIDI files in it that every reader reads")
        runs = {name: _on_all(read, list(pieces)) for name, read in contestants.items()}
        timings = interleaved(runs, repeats)
    num_notes = sum(piece.num_notes for piece in pieces.values())
    reference = next((timing.seconds for timing in timings if timing.name == MIDITOK), None)
    rows = [
        {
            "name": timing.name,
            "ms_per_file": 1000 * timing.seconds / len(pieces),
            "notes_per_second": num_notes / timing.seconds,
            "times_miditok": reference and reference / timing.seconds,
            "spread": timing.spread,
        }
        for timing in timings
    ]
    left_out = f"{len(paths) - len(pieces)} left out"
    reader = "plain" if midi_parser.midi_scan is None else "compiled"
    return f"{len(pieces)} files of {num_notes:,} notes; {left_out}; by the {reader} reader", rows


def _ingest_contestants() -> dict[str, Callable[[Path], Any]]:
    tokenizer = EventTokenizer()
    empty = Piece.from_notes([], [], [])
    codec = Codec(tokenizer, Vocabulary(tokenizer.tokenize_indexed(empty)[0]))
    contestants: dict[str, Callable[[Path], Any]] = {
        OURS: lambda path: codec.encode(read_midi(path)),
        "NoteRNN, reading alone": read_midi,
        "miditoolkit, reading alone": lambda path: miditoolkit.MidiFile(str(path)),
    }
    if is_installed("miditok"):
        import miditok
        import symusic

        tsd = miditok.TSD(miditok.TokenizerConfig())
        contestants = {MIDITOK: lambda path: tsd(symusic.Score(path))} | contestants
    return contestants


def _read_by_all(path: Path, contestants: dict[str, Callable[[Path], Any]]) -> Piece | None:
    """The piece; None if one of the readers fails, or finds nothing."""
    try:
        for read in contestants.values():
            read(path)
        return read_midi(path)
    except (PieceError, OSError, EOFError, ValueError, RuntimeError, LookupError):
        return None


def _on_all(read: Callable[[Path], Any], paths: Sequence[Path]) -> Callable[[], None]:
    def run() -> None:
        for path in paths:
            read(path)

    return run


def write_pieces(folder: Path) -> list[Path]:
    """Chorales as MIDI files in a folder, the notes of a chord on instruments of their own."""
    paths = []
    for i, source in enumerate(installed_sources("bach")[:NUM_PIECES]):
        piece = source.read()
        voice = [0] * piece.num_notes
        for j in range(1, piece.num_notes):
            voice[j] = voice[j - 1] + 1 if piece.onset[j] == piece.onset[j - 1] else 0
        parts = Piece.from_notes(
            piece.onset, piece.duration, piece.pitch, program=voice, metres=piece.metres, tempos=piece.tempos
        )
        paths.append(folder / f"{i:03d}.mid")
        write_midi(parts, paths[-1])
    return paths
