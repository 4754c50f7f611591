"""A MIDI file <-> `Piece`; with bench.py the only importer of the MIDI libraries."""

from __future__ import annotations

from pathlib import Path

import miditoolkit
import numpy as np

from noternn.files import replacing
from noternn.music.limits import DEFAULT_LIMITS, Limits, read_limited
from noternn.music.midi_parser import parse_midi
from noternn.music.piece import Piece

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
MAX_TICKS_PER_BEAT = 0x7FFF
MICROSECONDS_PER_MINUTE = 60_000_000
MAX_MICROSECONDS_PER_BEAT = 0xFFFFFF


def read_midi(
    path: Path, name: str | None = None, *, limits: Limits = DEFAULT_LIMITS, pedal: bool = False
) -> Piece:
    """Read all tracks of a MIDI file of format 0 or 1, pitched and drums.

    `noternn.music.midi_parser` states the rules. Notes, programs, tempos and metres are read; pitch bends
    and all other events are passed over.

    Args:
        path: the file.
        name: of the piece; None takes the file's name without its suffix.
        limits: a file above any of them is refused.
        pedal: whether notes sound on while the sustain pedal is down; without, it is passed over.

    Raises:
        PieceError: for whatever reason there is no music to be had; the message is the reason, in one
            line, without the path.
    """
    data = read_limited(path, limits.max_bytes, "dataset.limits.max_megabytes")
    return read_midi_bytes(data, path.stem if name is None else name, limits=limits, pedal=pedal)


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
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        midi.dump(file=file)


def read_midi_bytes(data: bytes, name: str, *, limits: Limits = DEFAULT_LIMITS, pedal: bool = False) -> Piece:
    """Read a MIDI file from its bytes; else as `read_midi`."""
    midi = parse_midi(data, limits, pedal)
    onset, duration, pitch, is_drum, program, velocity = midi.notes
    return Piece(  # not from_notes: they are in order and in range
        onset=onset,
        duration=duration,
        pitch=pitch,
        velocity=velocity,
        program=program,
        is_drum=is_drum.astype(np.bool_),
        ticks_per_beat=midi.ticks_per_beat,
        tempos=tuple(midi.tempos),
        metres=tuple(midi.metres),
        name=name,
        remarks=midi.remarks,
    )


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
