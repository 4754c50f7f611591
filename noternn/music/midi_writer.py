"""A piece -> the bytes of a MIDI file, which players and readers take for the same notes.

Readers pair note-offs with note-ons and look for programs track by track; players merge all tracks and know
channels only. So that both hear the piece, each instrument has a track of its own, no key is struck while it
sounds, and a channel that several instruments share is told the program whenever another takes it over.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from noternn.music.instruments import program_name
from noternn.music.keys import Key
from noternn.music.midi_events import SUSTAIN_PEDAL
from noternn.music.pedal import pedal_spans
from noternn.music.piece import Piece

DRUM_CHANNEL = 9
CHANNELS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15)  # of pitched instruments, of a port
MICROSECONDS_PER_MINUTE = 60_000_000
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM_CHANGE = 0x80, 0x90, 0xB0, 0xC0
TEXT, NAME, PORT, END, TEMPO, METRE, KEY = 0x01, 0x03, 0x21, 0x2F, 0x51, 0x58, 0x59
ORDER = {NOTE_OFF: 0, CONTROL: 0, PROGRAM_CHANGE: 1, NOTE_ON: 2}  # of the messages of a tick

log = logging.getLogger(__name__)

Event = tuple[int, int, bytes]  # tick, order at the tick, bytes


class PlayedNote(NamedTuple):
    """A note from a tick on, up to another."""

    onset: int
    end: int
    pitch: int
    velocity: int
    is_drum: bool
    program: int


def midi_bytes(piece: Piece, text: str = "", key: Key | None = None) -> bytes:
    """A MIDI file of format 1; see `noternn.music.midi.write_midi`.

    Args:
        piece: its resolution, tempos and metres are such that a MIDI file can hold them.
        text: in ASCII, which stands at the beginning; none if empty.
        key: whose signature stands there; None for none.
    """
    notes = as_played(piece)
    places = _places(notes)
    num_ports = 1 + max((port for port, _ in places), default=0)
    if num_ports > 1:
        log.warning(
            "%s: more than %d instruments sound at one time, so that the MIDI file has %d ports of 16 "
            "channels; a player that does not know ports confuses them",
            *(piece.name or "a piece", len(CHANNELS), num_ports),
        )
    tracks: dict[tuple[bool, int, int], list[Event]] = {}  # by instrument and port
    told: dict[tuple[int, int], int] = {}  # by port and channel, the program
    for note, (port, channel) in zip(notes, places, strict=True):
        events = tracks.setdefault((note.is_drum, note.program, port), [])
        if told.get((port, channel)) != note.program:
            tick = note.onset if (port, channel) in told else 0
            told[port, channel] = note.program
            events.append(_message(tick, PROGRAM_CHANGE, channel, note.program))
        events.append(_message(note.onset, NOTE_ON, channel, note.pitch, note.velocity))
        events.append(_message(note.end, NOTE_OFF, channel, note.pitch, 0))
    if piece.is_pedalled:
        _add_pedal(tracks, notes, places)
    begins = [(0, -1, _meta(TEXT, text.encode("ascii")))] if text else []
    if key:
        begins.append((0, 2, _meta(KEY, struct.pack("bB", key.fifths, key.is_minor))))
    chunks = [_track([*begins, *_conductor(piece)])]
    for is_drum, program, port in sorted(tracks):
        head = [(0, -2, _meta(NAME, b"Drums" if is_drum else program_name(program).encode("ascii")))]
        if num_ports > 1:
            head.append((0, -1, _meta(PORT, bytes([port]))))
        chunks.append(_track([*head, *tracks[is_drum, program, port]]))
    return b"MThd" + struct.pack(">LHHH", 6, 1, len(chunks), piece.ticks_per_beat) + b"".join(chunks)


def _add_pedal(
    tracks: dict[tuple[bool, int, int], list[Event]], notes: list[PlayedNote], places: list[tuple[int, int]]
) -> None:
    """Move the pedal of each pitched channel, in the track of the first instrument that plays on it."""
    of_channel: dict[tuple[int, int], list[PlayedNote]] = {}
    for note, place in zip(notes, places, strict=True):
        if not note.is_drum:
            of_channel.setdefault(place, []).append(note)
    for (port, channel), played in of_channel.items():
        events = tracks[False, played[0].program, port]
        for down, up in pedal_spans((note.onset, note.end, (note.program, note.pitch)) for note in played):
            events.append(_message(down, CONTROL, channel, SUSTAIN_PEDAL, 127))
            events.append(_message(up, CONTROL, channel, SUSTAIN_PEDAL, 0))


def as_played(piece: Piece) -> list[PlayedNote]:
    """The notes by onset, each ended where its instrument strikes its pitch again.

    Of notes of one instrument, pitch and onset there is one: as long as the longest, as loud as the loudest.
    """
    key = piece.is_drum.astype(np.int64) << 14 | piece.program << 7 | piece.pitch
    end = piece.onset + piece.duration
    order = np.lexsort((piece.onset, key))
    notes: list[PlayedNote] = []
    before = -1
    columns = (piece.onset, end, piece.pitch, piece.velocity, piece.is_drum, piece.program)
    rows = zip(*(column[order].tolist() for column in columns), strict=True)
    for place, row in zip(key[order].tolist(), rows, strict=True):
        note = PlayedNote(*row)
        if place == before:
            last = notes.pop()
            if last.onset == note.onset:
                louder, longer = max(last.velocity, note.velocity), max(last.end, note.end)
                note = note._replace(velocity=louder, end=longer)
            else:
                notes.append(last._replace(end=min(last.end, note.onset)))
        notes.append(note)
        before = place
    return sorted(notes, key=lambda note: (note.onset, note.is_drum, note.program, -note.pitch))


def _places(notes: list[PlayedNote]) -> list[tuple[int, int]]:
    """The port and channel of each note: channels are shared if there are more instruments than they.

    An instrument keeps its channel until another takes it while it is silent. Ports beside the first are
    used when as many instruments sound as a port has channels.

    Args:
        notes: by onset.
    """
    holders: list[int] = []  # programs, by number of the channel over all ports
    silent_from: list[int] = []
    number_of: dict[int, int] = {}
    places = []
    programs = sorted({note.program for note in notes if not note.is_drum})
    if len(programs) <= len(CHANNELS):
        number_of = {program: number for number, program in enumerate(programs)}
        holders, silent_from = programs, [0] * len(programs)
    for note in notes:
        if note.is_drum:
            places.append((0, DRUM_CHANNEL))
            continue
        if note.program not in number_of:
            number = _silent_channel(silent_from, note.onset)
            if number == len(holders):
                holders.append(note.program)
                silent_from.append(0)
            else:
                del number_of[holders[number]]
                holders[number] = note.program
            number_of[note.program] = number
        number = number_of[note.program]
        silent_from[number] = max(silent_from[number], note.end)
        places.append((number // len(CHANNELS), CHANNELS[number % len(CHANNELS)]))
    return places


def _silent_channel(silent_from: list[int], tick: int) -> int:
    """The channel that has been silent longest, of the first port that has one; a new one where none is."""
    for first in range(0, len(silent_from), len(CHANNELS)):
        of_port = range(first, min(first + len(CHANNELS), len(silent_from)))
        if len(of_port) < len(CHANNELS):
            break
        longest = min(of_port, key=lambda number: silent_from[number])
        if silent_from[longest] < tick:  # not at it: a player may take the note-off after the note-on
            return longest
    return len(silent_from)


def _conductor(piece: Piece) -> list[Event]:
    """The tempos and metres; 4/4 where the piece begins without a metre."""
    events = [
        (tick, 0, _meta(TEMPO, round(MICROSECONDS_PER_MINUTE / tempo).to_bytes(3, "big")))
        for tick, tempo in piece.tempos
    ]
    begins = [(0, 4, 4)] if min((tick for tick, _, _ in piece.metres), default=1) > 0 else []
    for tick, numerator, denominator in [*begins, *piece.metres]:
        power = denominator.bit_length() - 1
        events.append((tick, 1, _meta(METRE, bytes([numerator, power, 24, 8]))))
    return events


def _track(events: Iterable[Event]) -> bytes:
    """The chunk of a track."""
    now, data = 0, bytearray()
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        data += _quantity(tick - now) + message
        now = tick
    data += b"\x00" + _meta(END, b"")
    return b"MTrk" + struct.pack(">L", len(data)) + bytes(data)


def _message(tick: int, status: int, channel: int, *data: int) -> Event:
    return tick, ORDER[status], bytes([status | channel, *data])


def _meta(kind: int, data: bytes) -> bytes:
    return bytes([0xFF, kind]) + _quantity(len(data)) + data


def _quantity(value: int) -> bytes:
    """A time or length, 7 bits a byte."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))
