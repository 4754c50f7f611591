"""A MIDI file <-> `Piece`; the only importer of the MIDI libraries."""

from __future__ import annotations

import io
import os
import stat
import struct
from pathlib import Path
from typing import Any

import miditoolkit
import numpy as np
from mido.midifiles import meta
from numpy.typing import NDArray

from noternn.piece import DEFAULT_TEMPO, Piece, PieceError

MIDI_SUFFIXES = (".mid", ".midi")
MAX_FILE_BYTES = 20_000_000  # a symphony takes about 1 MB
MAX_TICK = 2**31  # 51 days at 480 ticks a beat and 120 beats a minute: later times are damage
MAX_METRE_DENOMINATOR = 128
MAX_TICKS_PER_BEAT = 0x7FFF
MICROSECONDS_PER_MINUTE = 60_000_000
MAX_MICROSECONDS_PER_BEAT = 0xFFFFFF

Columns = NDArray[np.int64]


def read_midi(path: Path, name: str | None = None) -> Piece:
    """Read all tracks of a MIDI file of format 0 or 1, pitched and drums.

    A note begins at a note-on of velocity above 0 and ends at the first note-off, or note-on of velocity 0,
    of its pitch and channel; notes that never end, or end where they begin, are dropped. Of notes equal in
    onset, duration, pitch and instrument the loudest is kept. Drums (channel 10) get program 0.

    Args:
        path: the file.
        name: of the piece; None takes the file's name without its suffix.

    Raises:
        PieceError: for whatever reason there is no music to be had; the message is the reason, in one
            line, without the path.
    """
    data = _read_bytes(path)
    _check_header(data)
    midi = _parse(data)
    if midi.max_tick > MAX_TICK:
        raise PieceError(f"is damaged: it lasts {midi.max_tick // midi.ticks_per_beat:,} beats")
    notes = _note_columns(midi)
    if not len(notes):
        raise PieceError("holds no notes")
    onset, duration, pitch, program, is_drum, velocity = notes.T
    return Piece.from_notes(
        onset,
        duration,
        pitch,
        velocity=velocity,
        program=program,
        is_drum=is_drum,
        ticks_per_beat=midi.ticks_per_beat,
        tempos=_tempo_map(midi),
        metres=_metre_map(midi),
        name=path.stem if name is None else name,
    )


def write_midi(piece: Piece, path: Path) -> None:
    """Write a piece as a MIDI file of format 1, one track an instrument; equal pieces give equal bytes.

    Folders that are missing are made, and a file of that name is replaced as a whole or not at all. What
    `read_midi` reads back is equal, except that tempos are rounded to microseconds a beat, that a piece
    without a metre at its start gets 4/4, which is what a MIDI file without one means, and that of notes of
    one pitch and instrument that overlap the one to begin first ends first.

    Raises:
        OSError: if the file cannot be written.
        ValueError: if a MIDI file cannot hold the piece's resolution, a tempo or a metre.
    """
    _check_writable(piece)
    midi = miditoolkit.MidiFile(ticks_per_beat=piece.ticks_per_beat)
    midi.instruments = _instruments(piece)
    midi.tempo_changes = [miditoolkit.TempoChange(tempo, tick) for tick, tempo in piece.tempos]
    midi.time_signature_changes = [
        miditoolkit.TimeSignature(numerator, denominator, tick)
        for tick, numerator, denominator in piece.metres
    ]
    buffer = io.BytesIO()
    midi.dump(file=buffer)
    _replace_file(path, buffer.getvalue())


def _read_bytes(path: Path) -> bytes:
    try:
        status = os.stat(path)
        # Opening a named pipe would wait for ever for someone to write to it.
        if not stat.S_ISREG(status.st_mode):
            raise PieceError("is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            size, limit = status.st_size / 1e6, MAX_FILE_BYTES / 1e6
            raise PieceError(f"file is too large: {size:,.1f} MB; at most {limit:g} MB are read")
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise PieceError(f"cannot be opened: {error.strerror or error}") from error


def _check_header(data: bytes) -> None:
    """Refuse what the library would read as if it were music in beats."""
    if not data:
        raise PieceError("file is empty")
    if not data.startswith(b"MThd"):
        raise PieceError("not a MIDI file (does not begin with MThd)")
    if len(data) < 14:
        raise PieceError("ends in the middle of the header")
    midi_format, num_tracks, division = struct.unpack(">HHH", data[8:14])
    if midi_format == 2:
        raise PieceError("holds several independent sequences (MIDI format 2), not one piece")
    if midi_format > 2:
        raise PieceError(f"is damaged: there is no MIDI format {midi_format}")
    if num_tracks == 0:
        raise PieceError("holds no tracks")
    if division == 0:
        raise PieceError("is damaged: its beat has 0 ticks")
    if division > MAX_TICKS_PER_BEAT:
        raise PieceError("counts time in film frames (SMPTE), not in beats")


def _parse(data: bytes) -> Any:
    try:
        return miditoolkit.MidiFile(file=io.BytesIO(data))
    except EOFError as error:
        raise PieceError("ends in the middle of a track") from error
    except ZeroDivisionError as error:
        raise PieceError("is damaged: it sets a tempo without duration") from error
    except OSError as error:  # so mido says what it found wrong
        raise PieceError(f"is damaged: {' '.join(str(error).split())}") from error
    except Exception as error:  # the rest is nearly anything, MemoryError and IndexError too
        raise PieceError("is damaged: an event or a track cannot be read") from error


def _note_columns(midi: Any) -> Columns:
    """Rows of onset, duration, pitch, program, is_drum, velocity, shape (num_notes, 6)."""
    rows = [
        (
            note.start,
            note.end - note.start,
            note.pitch,
            0 if instrument.is_drum else int(instrument.program),
            instrument.is_drum,
            note.velocity,
        )
        for instrument in midi.instruments
        for note in instrument.notes
        if note.end > note.start
    ]
    notes = np.array(rows, dtype=np.int64).reshape(-1, 6)
    loudest_first = notes[np.argsort(-notes[:, 5], kind="stable")]
    _, kept = np.unique(loudest_first[:, :5], axis=0, return_index=True)
    return loudest_first[kept]


def _tempo_map(midi: Any) -> list[tuple[int, float]]:
    """(tick, beats per minute) in time order from tick 0; the last of several at one tick counts."""
    changes = sorted(midi.tempo_changes, key=lambda change: change.time)
    tempos = {0: DEFAULT_TEMPO} | {change.time: float(change.tempo) for change in changes}
    return sorted(tempos.items())


def _metre_map(midi: Any) -> list[tuple[int, int, int]]:
    """(tick, numerator, denominator) in time order; the last of several at one tick counts."""
    metres = {
        change.time: (change.numerator, change.denominator)
        for change in midi.time_signature_changes
        if change.denominator <= MAX_METRE_DENOMINATOR
    }
    return [(tick, numerator, denominator) for tick, (numerator, denominator) in sorted(metres.items())]


def _instruments(piece: Piece) -> list[miditoolkit.Instrument]:
    """One instrument for each (is_drum, program) of the piece, pitched ones first."""
    instruments: dict[tuple[bool, int], miditoolkit.Instrument] = {}
    for key in sorted(set(zip(piece.is_drum.tolist(), piece.program.tolist(), strict=True))):
        is_drum, program = key
        name = "drums" if is_drum else f"program {program}"
        instruments[key] = miditoolkit.Instrument(program, is_drum, name)
    ends = piece.onset + piece.duration
    columns = (piece.is_drum, piece.program, piece.velocity, piece.pitch, piece.onset, ends)
    for is_drum, program, *note in zip(*(column.tolist() for column in columns), strict=True):
        instruments[is_drum, program].notes.append(miditoolkit.Note(*note))
    return list(instruments.values())


def _check_writable(piece: Piece) -> None:
    if not 1 <= piece.ticks_per_beat <= MAX_TICKS_PER_BEAT:
        raise ValueError(f"ticks_per_beat must be 1 to {MAX_TICKS_PER_BEAT}; got {piece.ticks_per_beat}")
    slowest = MICROSECONDS_PER_MINUTE / MAX_MICROSECONDS_PER_BEAT
    for tick, tempo in piece.tempos:
        if not slowest <= tempo <= MICROSECONDS_PER_MINUTE:
            allowed = f"{slowest:.2f} to {MICROSECONDS_PER_MINUTE:,} beats per minute"
            raise ValueError(f"a tempo must be {allowed}; got {tempo:g} at tick {tick}")
    for tick, numerator, denominator in piece.metres:
        power_of_two = denominator > 0 and denominator & (denominator - 1) == 0
        if not (1 <= numerator <= 255 and power_of_two):
            raise ValueError(
                f"a metre must be 1 to 255 over a power of two; got {numerator}/{denominator} at tick {tick}"
            )


def _replace_file(path: Path, data: bytes) -> None:
    """Write beside the file and rename, so that nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class _KeySignature(meta.MetaSpec_key_signature):  # type: ignore[misc]  # mido has no types
    """A key signature that cannot be read counts as C; mido would refuse the whole file."""

    type = "key_signature"

    def decode(self, message: Any, data: list[int]) -> None:
        try:
            super().decode(message, data)
        except (meta.KeySignatureError, IndexError):
            message.key = "C"


class _FrameOffset(meta.MetaSpec_smpte_offset):  # type: ignore[misc]  # mido has no types
    """A film offset, which we do not use, may hold anything; mido would refuse the whole file."""

    type = "smpte_offset"

    def decode(self, message: Any, data: list[int]) -> None:
        try:
            super().decode(message, data)
        except (KeyError, IndexError, ValueError):
            message.frame_rate = 24


class _UnknownMeta(meta.MetaSpec_sequencer_specific):  # type: ignore[misc]  # mido has no types
    """A meta event of unknown type: mido would lose its delta time and so shift what follows."""

    def __init__(self, type_byte: int) -> None:
        self.type_byte = type_byte
        self.type = f"unknown_meta_{type_byte:02x}"


def _teach_mido() -> None:
    """Register the specs above by mido's own door for custom meta messages, for the whole process."""
    known = {0, 1, 2, 3, 4, 5, 6, 7, 9, 0x20, 0x21, 0x2F, 0x51, 0x54, 0x58, 0x59, 0x7F}
    meta.add_meta_spec(_KeySignature)
    meta.add_meta_spec(_FrameOffset)
    for type_byte in set(range(256)) - known:
        meta.add_meta_spec(lambda type_byte=type_byte: _UnknownMeta(type_byte))


_teach_mido()
