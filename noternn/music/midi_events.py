"""The events of the tracks of a MIDI file, one by one: what decides which files are valid.

`midi_scan.c`, where it was compiled, reads the valid ones faster, and to the same.
"""

from __future__ import annotations

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
SUSTAIN_PEDAL, PEDAL_DOWN = 64, 64  # the number of the controller; its least value that is down
ESCAPE, META = 0xF7, 0xFF
NO_STATUS_REASON = "is damaged: a track begins with data (running status without a status)"
DATA_BYTE_REASON = "is damaged: a data byte must be in range 0 to 127"
META_END, META_TEMPO, META_METRE = 0x2F, 0x51, 0x58
SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}
NO_PROGRAM = -1

Columns = NDArray[np.int64]
Change = TypeVar("Change")


@dataclass
class TrackEvents:
    """The events of all tracks that are kept, in the order of the file.

    Args:
        limits: of what is kept.
        notes: onset, duration, pitch, channel, program (NO_PROGRAM before a change in the track), velocity of
            each note in any order, shape (6, num_notes).
        programs: channel, tick, program.
        pedals: channel, tick, value.
        tempos: tick, microseconds a beat.
        metres: tick, numerator, denominator.
        num_events: of any kind.
        num_note_ons: notes begun, ended or not.
        note_list: the notes while they are read.
    """

    limits: Limits
    notes: Columns = field(default_factory=lambda: np.zeros((6, 0), dtype=np.int64))
    programs: list[tuple[int, int, int]] = field(default_factory=list)
    pedals: list[tuple[int, int, int]] = field(default_factory=list)
    tempos: list[tuple[int, int]] = field(default_factory=list)
    metres: list[tuple[int, int, int]] = field(default_factory=list)
    num_events: int = 0
    num_note_ons: int = 0
    note_list: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)


def read_tracks(data: bytes, spans: Iterable[tuple[int, int]], limits: Limits) -> TrackEvents:
    """The events of tracks.

    Args:
        data: the file.
        spans: start and end of each track's events in it.
        limits: see `Limits`.

    Raises:
        PieceError: if a track is damaged or there are too many events; the message is the reason.
    """
    events = TrackEvents(limits)
    for start, end in spans:
        try:
            _read_track(data[start:end], events)
        except IndexError:
            raise PieceError("is damaged: the last event of a track runs over the track's end") from None
    events.notes = np.array(events.note_list, dtype=np.int64).reshape(-1, 6).T
    return events


def _read_track(track: bytes, events: TrackEvents) -> None:
    """Add the events of a track.

    Raises:
        IndexError: if an event runs over the end of the track.
        PieceError: if an event cannot be, or there are too many.
    """
    notes, num_note_ons, max_notes = events.note_list, events.num_note_ons, events.limits.max_notes
    sounding: defaultdict[int, deque[tuple[int, int, int]]] = defaultdict(deque)  # onset, program, velocity
    programs = [NO_PROGRAM] * 16
    position, tick, status, size = 0, 0, 0, len(track)
    for num_events in range(events.num_events, events.limits.max_events):  # a bound that costs nothing
        if position >= size:
            events.num_events, events.num_note_ons = num_events, num_note_ons
            break
        delta = track[position]
        position += 1
        if delta > 0x7F:
            delta, position = _read_quantity(track, position - 1)
        tick += delta
        byte = track[position]
        if byte >= SYSTEM:
            position = _read_system(track, position, size, tick, events)
            continue
        if byte > 0x7F:
            status = byte
            position += 1
        elif not status:
            raise PieceError(NO_STATUS_REASON)
        first, channel = track[position], status & 0x0F
        if status < TWO_DATA_BYTES:
            second = track[position + 1]
            position += 2
            if (first | second) > 0x7F:
                raise PieceError(DATA_BYTE_REASON)
            key = channel << 7 | first
            if second and status >= NOTE_ON:
                num_note_ons += 1
                if num_note_ons > max_notes:
                    raise _too_many("notes", max_notes, "max_notes")
                sounding[key].append((tick, programs[channel], second))
            elif sounding[key]:
                onset, program, velocity = sounding[key].popleft()
                if tick > onset:
                    notes.append((onset, tick - onset, first, channel, program, velocity))
        else:
            position += 1
            if first > 0x7F:
                raise PieceError(DATA_BYTE_REASON)
            if status < PROGRAM_CHANGE or status >= PITCH_BEND:
                second = track[position]
                if second > 0x7F:
                    raise PieceError(DATA_BYTE_REASON)
                position += 1
                if first == SUSTAIN_PEDAL and CONTROLLER <= status < PROGRAM_CHANGE:
                    events.pedals.append((channel, tick, second))
            elif status < PROGRAM_CHANGE + 16 and programs[channel] != first:
                programs[channel] = first
                _add_change(events.programs, (channel, tick, first), "changes of program", events.limits)
    else:
        raise _too_many("events", events.limits.max_events, "max_events")


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


def _read_system(track: bytes, position: int, size: int, tick: int, events: TrackEvents) -> int:
    """Keep a tempo or metre, pass over any other system or meta event.

    Returns:
        the position after the event whose status is at `position`; `size` after the end of the track.
    """
    status = track[position]
    position += 1
    if status in SYSTEM_DATA_BYTES:
        return position + SYSTEM_DATA_BYTES[status]
    if status not in (SYSTEM, ESCAPE, META):
        raise PieceError(f"is damaged: there is no event of status 0x{status:02X}")
    kind = 0
    if status == META:
        kind = track[position]
        position += 1
    length, position = _read_quantity(track, position)
    end = position + length
    if end > size:
        raise IndexError
    if kind == META_END:
        return size
    if kind == META_TEMPO:
        _add_change(events.tempos, (tick, _tempo(track[position:end])), "changes of tempo", events.limits)
    elif kind == META_METRE:
        _add_change(events.metres, (tick, *_metre(track[position:end])), "changes of metre", events.limits)
    return end


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
