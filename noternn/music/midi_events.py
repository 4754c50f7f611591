"""The events of the tracks of a MIDI file, one by one: what decides which files are valid.

`midi_scan.c`, where it was compiled, reads the valid ones faster, and to the same.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from noternn.music.limits import Limits
from noternn.music.piece import PieceError

MAX_QUANTITY_BYTES = 5  # of a time or length; the standard has 4, some programs pad
MAX_METRE_DENOMINATOR_POWER = 7  # 128th notes

NOTE_ON, TWO_DATA_BYTES, CONTROLLER, PROGRAM_CHANGE, PITCH_BEND, SYSTEM = 0x90, 0xA0, 0xB0, 0xC0, 0xE0, 0xF0
BANK, SUSTAIN_PEDAL, PEDAL_DOWN = 0, 64, 64  # numbers of controllers; the pedal's least value that is down
SILENCES = frozenset({120, 123, 124, 125, 126, 127})  # controllers that end the notes of their channel
ESCAPE, META = 0xF7, 0xFF
NO_STATUS_REASON = "is damaged: a track begins with data (running status without a status)"
DATA_BYTE_REASON = "is damaged: a data byte must be in range 0 to 127"
META_PORT, META_END, META_TEMPO, META_METRE = 0x21, 0x2F, 0x51, 0x58
SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}
NO_PROGRAM = NO_BANK = -1
KIT_MESSAGE = re.compile(  # resets, and what makes a channel a drum kit or not: see `midi_kits`
    rb"\x7e.\x09[\x01-\x03]"
    rb"|\x41.\x42\x12(?:[\x00\x40]\x00\x7f|\x40[\x10-\x1f]\x15)[\x00-\x7f]"
    rb"|\x43[\x10-\x1f]\x4c(?:\x00\x00[\x7e\x7f]|\x08[\x00-\x0f]\x07)[\x00-\x7f]",
    re.DOTALL,
)
KIT_MESSAGE_BYTES = 8  # of the longest
# What ends a note. UNSURE: a note-off, of which its key had too few until it was silent again.
BY_OFF, UNSURE, BY_SILENCE, BY_END = range(4)

Columns = NDArray[np.int64]
Change = TypeVar("Change")


@dataclass
class TrackEvents:
    """The events of all tracks that are kept, in the order of the file. A `channel` is port << 4 | channel.

    Args:
        limits: of what is kept.
        notes: onset, duration, pitch, channel, program (NO_PROGRAM before a change in the track), velocity of
            each note begun, shape (6, num_notes).
        causes: what ends each note, (num_notes,): `BY_OFF`, ..., a note of `BY_END` at the end of its track.
        strays: tick, channel, pitch of each note-off that ends no note of its track, shape (num_strays, 3).
        num_unusual: how many notes have another cause than `BY_OFF`, or no length.
        max_port: the highest that a track names; 0 without any.
        tracks: tick of the end, and the number of notes begun in it and before.
        programs: channel, tick, program, bank (the upper 7 bits; NO_BANK if the track names none).
        kits: channel (the first of a port), tick, message of those that `KIT_MESSAGE` matches.
        silences: channel, tick of the messages that end all notes.
        pedals: channel, tick, value.
        tempos: tick, microseconds a beat.
        metres: tick, numerator, denominator.
    """

    limits: Limits
    notes: Columns = field(default_factory=lambda: np.zeros((6, 0), dtype=np.int64))
    causes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, dtype=np.uint8))
    strays: Columns = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    num_unusual: int = 0
    max_port: int = 0
    tracks: list[tuple[int, int]] = field(default_factory=list)
    programs: list[tuple[int, int, int, int]] = field(default_factory=list)
    kits: list[tuple[int, int, bytes]] = field(default_factory=list)
    silences: list[tuple[int, int]] = field(default_factory=list)
    pedals: list[tuple[int, int, int]] = field(default_factory=list)
    tempos: list[tuple[int, int]] = field(default_factory=list)
    metres: list[tuple[int, int, int]] = field(default_factory=list)


class _Reading:
    """What is kept while tracks are read.

    Args:
        events: but for notes, causes and strays.
        num_events: of any kind.
        notes: the columns of `TrackEvents.notes`, then what ends the note.
        strays: see `TrackEvents`.
    """

    def __init__(self, limits: Limits) -> None:
        self.events = TrackEvents(limits)
        self.num_events = 0
        self.notes: list[list[int]] = []
        self.strays: list[tuple[int, int, int]] = []

    def finished(self) -> TrackEvents:
        """The events with their notes as arrays."""
        rows = np.array(self.notes, dtype=np.int64).reshape(-1, 7).T
        self.events.notes, self.events.causes = rows[:6].copy(), rows[6].astype(np.uint8)
        self.events.strays = np.array(self.strays, dtype=np.int64).reshape(-1, 3)
        self.events.num_unusual = int(np.count_nonzero((rows[6] != BY_OFF) | (rows[1] == 0)))
        return self.events


class _Part:
    """The channels of a track, as long as it stays on a port.

    Args:
        reading: takes the notes.
        port: number of the port.
    """

    def __init__(self, reading: _Reading, port: int) -> None:
        self.reading, self.port = reading, port
        self.programs = [NO_PROGRAM] * 16
        self.banks = [NO_BANK] * 16
        self.program_banks = [NO_BANK] * 16  # with which the programs were chosen
        self.sounding: defaultdict[int, deque[int]] = defaultdict(deque)  # numbers of the notes on each key
        self.since_silence: dict[int, list[int]] = {}  # numbers of the notes begun since the key was silent
        self.num_sounding = [0] * 16
        self.silenced = [-1] * 16  # ticks

    def begin(self, channel: int, pitch: int, tick: int, velocity: int) -> None:
        """Begin a note."""
        notes, key = self.reading.notes, channel << 7 | pitch
        if len(notes) >= self.reading.events.limits.max_notes:
            raise _too_many("notes", self.reading.events.limits.max_notes, "max_notes")
        number, sounding = len(notes), self.sounding[key]
        notes.append([tick, 0, pitch, self.port << 4 | channel, self.programs[channel], velocity, BY_END])
        if not sounding:
            self.since_silence[key] = []
        self.since_silence[key].append(number)
        sounding.append(number)
        self.num_sounding[channel] += 1

    def end(self, channel: int, pitch: int, tick: int) -> None:
        """End the first of the notes that sound on a key."""
        sounding = self.sounding[channel << 7 | pitch]
        if not sounding:
            self.reading.strays.append((tick, self.port << 4 | channel, pitch))
            return
        note = self.reading.notes[sounding.popleft()]
        note[1], note[6] = tick - note[0], BY_OFF
        self.num_sounding[channel] -= 1

    def control(self, channel: int, number: int, value: int, tick: int) -> None:
        """Move a controller."""
        if number == BANK:
            self.banks[channel] = value
        elif number == SUSTAIN_PEDAL:
            self.reading.events.pedals.append((self.port << 4 | channel, tick, value))
        elif number in SILENCES and self.silenced[channel] < tick:
            self.silenced[channel] = tick
            self.reading.events.silences.append((self.port << 4 | channel, tick))
            if self.num_sounding[channel]:
                for key in range(channel << 7, (channel + 1) << 7):
                    self._cut(key, tick, BY_SILENCE)

    def choose(self, channel: int, program: int, tick: int) -> None:
        """Change the program of a channel."""
        bank, events = self.banks[channel], self.reading.events
        if self.programs[channel] == program and self.program_banks[channel] == bank:
            return
        self.programs[channel], self.program_banks[channel] = program, bank
        change = (self.port << 4 | channel, tick, program, bank)
        _add_change(events.programs, change, "changes of program", events.limits)

    def close(self, tick: int) -> None:
        """End what sounds: the track ends or leaves the port."""
        for key, sounding in self.sounding.items():
            if sounding:
                self._cut(key, tick, BY_END)

    def _cut(self, key: int, tick: int, cause: int) -> None:
        """End the notes of a key; at a silence those that begin at its tick sound on."""
        sounding, notes = self.sounding.get(key), self.reading.notes
        if not sounding or (cause == BY_SILENCE and notes[sounding[0]][0] == tick):
            return
        for number in self.since_silence[key]:
            if number < sounding[0]:
                notes[number][6] = UNSURE
        while sounding and not (cause == BY_SILENCE and notes[sounding[0]][0] == tick):
            note = notes[sounding.popleft()]
            note[1], note[6] = tick - note[0], cause
            self.num_sounding[key >> 7] -= 1
        self.since_silence[key] = list(sounding)


def read_tracks(data: bytes, spans: Iterable[tuple[int, int]], limits: Limits) -> TrackEvents:
    """The events of tracks.

    Args:
        data: the file.
        spans: start and end of each track's events in it.
        limits: see `Limits`.

    Raises:
        PieceError: if a track is damaged or there are too many events; the message is the reason.
    """
    reading = _Reading(limits)
    for start, end in spans:
        try:
            tick = _read_track(data[start:end], reading)
        except IndexError:
            raise PieceError("is damaged: the last event of a track runs over the track's end") from None
        reading.events.tracks.append((tick, len(reading.notes)))
    return reading.finished()


def _read_track(track: bytes, reading: _Reading) -> int:
    """Add the events of a track; the tick of its last.

    Raises:
        IndexError: if an event runs over the end of the track.
        PieceError: if an event cannot be, or there are too many.
    """
    part = _Part(reading, 0)
    max_events = reading.events.limits.max_events
    position, tick, status, size = 0, 0, 0, len(track)
    for num_events in range(reading.num_events, max_events):  # a bound that costs nothing
        if position >= size:
            reading.num_events = num_events
            break
        delta = track[position]
        position += 1
        if delta > 0x7F:
            delta, position = _read_quantity(track, position - 1)
        tick += delta
        byte = track[position]
        if byte >= SYSTEM:
            position, port = _read_system(track, position, tick, part)
            if port != part.port:
                part.close(tick)
                part = _Part(reading, port)
            continue
        if byte > 0x7F:
            status = byte
            position += 1
        elif not status:
            raise PieceError(NO_STATUS_REASON)
        first, channel = track[position], status & 0x0F
        is_single = PROGRAM_CHANGE <= status < PITCH_BEND
        second = 0 if is_single else track[position + 1]
        position += 1 if is_single else 2
        if (first | second) > 0x7F:
            raise PieceError(DATA_BYTE_REASON)
        if status < TWO_DATA_BYTES:
            if second and status >= NOTE_ON:
                part.begin(channel, first, tick, second)
            else:
                part.end(channel, first, tick)
        elif CONTROLLER <= status < PROGRAM_CHANGE:
            part.control(channel, first, second, tick)
        elif PROGRAM_CHANGE <= status < PROGRAM_CHANGE + 16:
            part.choose(channel, first, tick)
    else:
        raise _too_many("events", max_events, "max_events")
    part.close(tick)
    return tick


def _read_quantity(track: bytes, position: int) -> tuple[int, int]:
    """A time or length of 7 bits a byte, and the position after it."""
    value = 0
    for byte in track[position : position + MAX_QUANTITY_BYTES]:
        position += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position
    if position >= len(track):
        raise IndexError
    raise PieceError(f"is damaged: a time or length of more than {MAX_QUANTITY_BYTES} bytes")


def _read_system(track: bytes, position: int, tick: int, part: _Part) -> tuple[int, int]:
    """Keep a tempo, metre or message on drum kits, pass over any other system or meta event.

    Returns:
        the position after the event whose status is at `position`, after the end of the track its size; the
        port from there on.
    """
    status = track[position]
    position += 1
    if status in SYSTEM_DATA_BYTES:
        return position + SYSTEM_DATA_BYTES[status], part.port
    if status not in (SYSTEM, ESCAPE, META):
        raise PieceError(f"is damaged: there is no event of status 0x{status:02X}")
    kind = 0
    if status == META:
        kind = track[position]
        position += 1
    length, position = _read_quantity(track, position)
    end = position + length
    if end > len(track):
        raise IndexError
    if kind == META_END:
        return len(track), part.port
    if kind == META_PORT and length:
        part.reading.events.max_port = max(part.reading.events.max_port, track[position])
        return end, track[position]
    _keep_system(track[position:end], status, kind, tick, part)
    return end, part.port


def _keep_system(data: bytes, status: int, kind: int, tick: int, part: _Part) -> None:
    """Keep the data of a meta event of a kind, or of a system message, if they count."""
    events = part.reading.events
    if kind == META_TEMPO:
        _add_change(events.tempos, (tick, _tempo(data)), "changes of tempo", events.limits)
    elif kind == META_METRE:
        _add_change(events.metres, (tick, *_metre(data)), "changes of metre", events.limits)
    elif status != META:
        message = data[1:] if status == ESCAPE and data[:1] == bytes([SYSTEM]) else data
        if found := KIT_MESSAGE.match(message[:KIT_MESSAGE_BYTES]):
            change = (part.port << 4, tick, found.group())
            _add_change(events.kits, change, "changes of drum kit", events.limits)


def _tempo(data: bytes) -> int:
    """Microseconds a beat."""
    if len(data) < 3:
        raise PieceError("is damaged: an event or a track cannot be read (a tempo that is cut off)")
    microseconds = int.from_bytes(data[:3], "big")
    if microseconds == 0:
        raise PieceError("is damaged: it sets a tempo without duration")
    return microseconds


def _metre(data: bytes) -> tuple[int, int]:
    """Numerator and denominator; the denominator is 0 where it is not one of music."""
    if len(data) < 2:
        raise PieceError("is damaged: an event or a track cannot be read (a metre that is cut off)")
    if data[0] == 0:
        raise PieceError("is damaged: an event or a track cannot be read (a metre of 0 beats)")
    return data[0], 1 << data[1] if data[1] <= MAX_METRE_DENOMINATOR_POWER else 0


def _add_change(changes: list[Change], change: Change, what: str, limits: Limits) -> None:
    """Append a change unless there are too many; `what` says of what."""
    if len(changes) >= limits.max_changes:
        raise _too_many(what, limits.max_changes, "max_changes")
    changes.append(change)


def _too_many(what: str, limit: int, setting: str) -> PieceError:
    return PieceError(
        f"holds too many {what}: more than {limit:,}, the most that are read (dataset.limits.{setting})"
    )
