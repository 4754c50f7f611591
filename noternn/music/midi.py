"""A MIDI file <-> `Piece`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from noternn.files import replacing
from noternn.music.keys import Key
from noternn.music.limits import DEFAULT_LIMITS, Limits, read_limited
from noternn.music.midi_parser import parse_midi
from noternn.music.midi_writer import MICROSECONDS_PER_MINUTE, midi_bytes
from noternn.music.piece import Piece

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
MAX_TICKS_PER_BEAT = 0x7FFF
MAX_MICROSECONDS_PER_BEAT = 0xFFFFFF
SLOWEST = MICROSECONDS_PER_MINUTE / MAX_MICROSECONDS_PER_BEAT


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


def write_midi(piece: Piece, path: Path, text: str = "", key: Key | None = None) -> None:
    """Write a piece as a MIDI file, see `midi_file`.

    Folders that are missing are made, and a file of that name is replaced as a whole or not at all.

    Raises:
        OSError: if the file cannot be written.
        ValueError: if a MIDI file cannot hold the piece's resolution, a tempo or a metre.
    """
    data = midi_file(piece, text, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(data)


def midi_file(piece: Piece, text: str = "", key: Key | None = None) -> bytes:
    """The bytes of a MIDI file of format 1, one track an instrument; equal pieces give equal bytes.

    Tracks are named as General MIDI names their instruments; drums are on channel 10.

    What `read_midi` reads back is equal, except that tempos are rounded to microseconds a beat, that a piece
    without a metre at its start gets 4/4, which is what a MIDI file without one means, and that a key is not
    struck while it sounds: a note ends where its instrument strikes its pitch again, and of notes of one
    instrument, pitch and onset there is one, as long as the longest and as loud as the loudest.

    Players hear the same, since instruments share a channel only while one of them sounds, with a change of
    program. Where more than 15 pitched ones sound at one time, the file has further ports, each of 16
    channels, and a warning is logged: few players know ports.

    Args:
        piece: what is written.
        text: in ASCII, that the file says at its beginning, and `text_of` reads; none if empty.
        key: whose signature the file says, see `noternn.music.keys`; None for none.

    Raises:
        ValueError: if a MIDI file cannot hold the piece's resolution, a tempo or a metre.
    """
    _check_writable(piece)
    return midi_bytes(piece, text, key)


def text_of(data: bytes, begin: str) -> str | None:
    """The first text that begins so, in ASCII, of a MIDI file; None if there is none."""
    mark = re.escape(begin.encode("ascii"))
    found = re.search(rb"\xff\x01([\x80-\xff]{0,4}[\x00-\x7f])(?=" + mark + rb")", data)
    if not found:
        return None
    length = 0
    for byte in found[1]:
        length = length << 7 | byte & 0x7F
    return data[found.end() : found.end() + length].decode("ascii", errors="replace")


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


def is_writable_metre(numerator: int, denominator: int) -> bool:
    """Whether a MIDI file can hold a metre."""
    return 1 <= numerator <= 255 and denominator > 0 and denominator & (denominator - 1) == 0


def is_writable_tempo(tempo: float) -> bool:
    """Whether a MIDI file can hold a tempo, in beats per minute."""
    return SLOWEST <= tempo <= MICROSECONDS_PER_MINUTE


def _check_writable(piece: Piece) -> None:
    if not 1 <= piece.ticks_per_beat <= MAX_TICKS_PER_BEAT:
        raise ValueError(f"ticks_per_beat must be 1 to {MAX_TICKS_PER_BEAT}; got {piece.ticks_per_beat}")
    for tick, tempo in piece.tempos:
        if not is_writable_tempo(tempo):
            allowed = f"{SLOWEST:.2f} to {MICROSECONDS_PER_MINUTE:,} beats per minute"
            raise ValueError(f"a tempo must be {allowed}; got {tempo:g} at tick {tick}")
    for tick, numerator, denominator in piece.metres:
        if not is_writable_metre(numerator, denominator):
            raise ValueError(
                f"a metre must be 1 to 255 over a power of two; got {numerator}/{denominator} at tick {tick}"
            )
