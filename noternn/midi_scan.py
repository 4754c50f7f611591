"""The events of a MIDI file all at once in numpy, several times faster than `noternn.midi_events`.

For files in which nothing is unusual or damaged; for others nothing is found, and the plain loop decides.

For every byte it is computed where the next event would begin if one began here. From the start of each track
these places are then followed, which leaves Python one addition an event. A data byte that stands in the
place of a status is taken to go on with a status of two data bytes; where that was wrong, nothing is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noternn.limits import MidiLimits
from noternn.midi_events import (
    CONTROLLER,
    ESCAPE,
    META,
    META_END,
    META_METRE,
    META_TEMPO,
    NO_PROGRAM,
    NOTE_ON,
    PITCH_BEND,
    PROGRAM_CHANGE,
    SUSTAIN_PEDAL,
    SYSTEM,
    TWO_DATA_BYTES,
    Columns,
    TrackEvents,
    read_metre,
    read_tempo,
)
from noternn.piece import PieceError

MAX_SCANNED_BYTES = 2_000_000  # what is computed for every byte takes 20 times the file's memory
PADDING = 16  # so that looking ahead needs no check
END_OF_TRACK, BROKEN = 2**31 - 1, 2**31 - 2  # in the place of the next event

SIZE_AFTER_TIME = np.full(256, 3, dtype=np.int32)  # of an event with that byte after its time
SIZE_AFTER_TIME[:0x80] = 2
SIZE_AFTER_TIME[PROGRAM_CHANGE:PITCH_BEND] = 2

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Every event in the order of the file, each column of shape (num_events,).

    Args:
        track: number of the track.
        tick: since the track's start.
        status: with running status filled in.
        data: place in the file of what follows the status.
    """

    track: Columns
    tick: Columns
    status: Bytes
    data: Columns


def scan_events(data: bytes, spans: Sequence[tuple[int, int]], limits: MidiLimits) -> TrackEvents | None:
    """The events of tracks, equal to what `midi_events.read_tracks` reads; None where that has to be asked.

    Args:
        data: the file.
        spans: start and end of each track's events in it.
        limits: see `MidiLimits`.
    """
    if not spans or len(data) > MAX_SCANNED_BYTES:
        return None
    file = np.frombuffer(data + bytes(PADDING), dtype=np.uint8)
    rows = _find_events(file, spans)
    if rows is None or len(rows.tick) >= limits.max_events:
        return None
    events = TrackEvents(limits)
    is_note = rows.status < TWO_DATA_BYTES
    others = np.flatnonzero(~is_note)
    changes = _read_others(data, file, rows, others, events)
    if changes is None or not _read_notes(file, rows, np.flatnonzero(is_note), changes, events):
        return None
    return events


def _find_events(file: Bytes, spans: Sequence[tuple[int, int]]) -> _Rows | None:
    status_place, following = _following(file)
    begins = bytearray(len(following))  # 1 where an event does
    next_place = memoryview(following)  # type: ignore[arg-type]
    for begin, end in spans:
        at = begin
        while at < end:
            begins[at] = 1
            at = next_place[at]
        if at != end and (at != END_OF_TRACK or status_place[begins.rindex(1, begin, end)] + 3 > end):
            return None
    start = np.flatnonzero(np.frombuffer(begins, dtype=np.bool_))  # of each event
    first = np.searchsorted(start, [span[0] for span in spans])  # event of each track
    sizes = np.diff(first, append=len(start))
    place = status_place[start]
    total = np.append(0, np.cumsum(_times(file, start, place - start)))
    byte = file[place]
    is_status = byte > 0x7F
    status = byte
    if not is_status.all():
        carried = np.maximum.accumulate(np.where(is_status & (byte < SYSTEM), np.arange(len(byte)), -1))
        status = np.where(is_status, byte, byte[carried])
        running = status[~is_status]
        is_unusual = (running < NOTE_ON - 16) | (running >= PROGRAM_CHANGE) & (running < PITCH_BEND)
        if is_unusual.any() or (carried < np.repeat(first, sizes))[~is_status].any():
            return None
    return _Rows(
        track=np.repeat(np.arange(len(spans)), sizes),
        tick=total[1:] - np.repeat(total[first], sizes),
        status=status,
        data=place.astype(np.int64) + is_status,
    )


def _following(file: Bytes) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For an event at each place of the file: where its status is, and where the next event begins."""
    size = len(file) - PADDING
    goes_on = file > 0x7F
    two = goes_on[:size] & goes_on[1 : size + 1]  # bytes of time that are not its last
    three = two & goes_on[2 : size + 2]
    four = three & goes_on[3 : size + 3]
    status = np.arange(1, size + 1, dtype=np.int32)
    status += goes_on[:size]
    status += two
    status += three
    after = SIZE_AFTER_TIME[file]
    after += np.arange(len(file), dtype=np.int32)
    system = np.flatnonzero(file >= SYSTEM)
    after[system] = _after_system(file, system[system < size])
    following = after[status]
    following[four] = BROKEN
    return status, following


def _after_system(file: Bytes, place: Columns) -> Columns:
    """Where the next event begins after system and meta events with their status there."""
    is_meta = file[place] == META
    length_place = place + 1 + is_meta
    low = np.minimum(length_place + 1, len(file) - 1)
    length = file[np.minimum(length_place, len(file) - 1)].astype(np.int64)
    is_long = length > 0x7F
    length = np.where(is_long, (length & 0x7F) << 7 | file[low], length)
    end = length_place + 1 + is_long + length
    is_end = is_meta & (file[place + 1] == META_END)
    is_known = is_meta | (file[place] == SYSTEM) | (file[place] == ESCAPE)
    is_broken = ~is_known | is_long & (file[low] > 0x7F) | is_end & (length > 0)
    return np.where(is_broken, BROKEN, np.where(is_end, END_OF_TRACK, end))


def _times(file: Bytes, start: Columns, size: Columns) -> Columns:
    """The times of 1 to 4 bytes that begin there."""
    time = (file[start] & 0x7F).astype(np.int64)
    for k in (1, 2, 3):
        longer = np.flatnonzero(size > k)
        if not len(longer):
            break
        time[longer] = time[longer] << 7 | file[start[longer] + k] & 0x7F
    return time


def _read_others(
    data: bytes, file: Bytes, rows: _Rows, others: Columns, events: TrackEvents
) -> Columns | None:
    """Keep the changes of program, tempo and metre, and the pedals.

    Returns:
        the events that are changes of program; None if one is broken.
    """
    status, place = rows.status[others], rows.data[others]
    first, second = file[place], file[place + 1]
    is_single = (status >= PROGRAM_CHANGE) & (status < PITCH_BEND)
    is_system = status >= SYSTEM
    if (((first | np.where(is_single, 0, second)) > 0x7F) & ~is_system).any():
        return None
    is_pedal = (status & 0xF0 == CONTROLLER) & (first == SUSTAIN_PEDAL)
    pedals = np.stack([status & 0x0F, rows.tick[others], second])[:, is_pedal]
    events.pedals = list(zip(*pedals.tolist(), strict=True))
    is_map = (status == META) & ((first == META_TEMPO) | (first == META_METRE))
    changes = others[status & 0xF0 == PROGRAM_CHANGE]
    try:
        for i in np.flatnonzero(is_map).tolist():
            _keep_map(data, int(rows.tick[others[i]]), int(place[i]), events)
    except PieceError:
        return None
    _keep_programs(file, rows, changes, events)
    most = max(len(kept) for kept in (events.tempos, events.metres, events.programs))
    return changes if most <= events.limits.max_changes else None


def _keep_map(data: bytes, tick: int, place: int, events: TrackEvents) -> None:
    """Keep the change of tempo or metre whose type is there."""
    if data[place + 1] > 0x7F:
        raise PieceError("is unusual")
    content = data[place + 2 : place + 2 + data[place + 1]]
    if data[place] == META_TEMPO:
        events.tempos.append((tick, read_tempo(content)))
    else:
        events.metres.append((tick, *read_metre(content)))


def _keep_programs(file: Bytes, rows: _Rows, changes: Columns, events: TrackEvents) -> None:
    """Keep the changes to another program than that of their track and channel before."""
    latest: dict[tuple[int, int], int] = {}
    columns = (rows.track[changes], rows.status[changes] & 0x0F, rows.tick[changes], file[rows.data[changes]])
    for track, channel, tick, program in zip(*(column.tolist() for column in columns), strict=True):
        if latest.get((track, channel)) != program:
            latest[track, channel] = program
            events.programs.append((channel, tick, program))


def _read_notes(file: Bytes, rows: _Rows, notes: Columns, changes: Columns, events: TrackEvents) -> bool:
    """Keep the notes of the events that begin or end one; whether they are sound."""
    status, place = rows.status[notes], rows.data[notes]
    pitch, velocity = file[place], file[place + 1]
    if ((pitch | velocity) > 0x7F).any():
        return False
    is_on = (status >= NOTE_ON) & (velocity > 0)
    if np.count_nonzero(is_on) > events.limits.max_notes:
        return False
    lane = rows.track[notes] << 4 | status & 0x0F  # track and channel
    on, off = _pairs(lane << 7 | pitch, is_on)
    onset, end = rows.tick[notes[on]], rows.tick[notes[off]]
    program = _programs(lane[on], notes[on], rows, changes, file)
    columns = [onset, end - onset, pitch[on], status[on] & 0x0F, program, velocity[on]]
    events.notes = np.stack(columns)[:, end > onset]
    return True


def _pairs(key: Columns, is_on: NDArray[np.bool_]) -> tuple[Columns, Columns]:
    """The beginnings that have an end, and their ends: of each key the first to the first that is left."""
    order = np.argsort(key.astype(np.uint16) if key.max(initial=0) < 2**16 else key, kind="stable")
    is_begin = is_on[order]
    on, off = order[is_begin], order[~is_begin]
    if len(on) == len(off) and (key[on] == key[off]).all() and (on < off).all():
        return on, off
    off = off[~_without_note(key[order], is_begin)[~is_begin]]
    # The n-th beginning of a key belongs to the n-th end that is left.
    first, last = (np.searchsorted(key[off], key[on], side=side) for side in ("left", "right"))
    mate = first + np.arange(len(on)) - np.searchsorted(key[on], key[on])
    return on[mate < last], off[mate[mate < last]]


def _without_note(key: Columns, is_begin: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which events end a note where none of their key sounds; `key` is sorted."""
    level = np.cumsum(np.where(is_begin, 1, -1))  # notes that sound, less those ends
    is_first = np.append(True, key[1:] != key[:-1])
    base = np.append(0, level)[np.flatnonzero(is_first)]  # at the start of each key
    number = np.cumsum(is_first) - 1
    depth = np.minimum(level - base[number], 0)
    # Each key lies below all before it, so that one running minimum serves all.
    lowest = np.minimum.accumulate(depth - number * (len(key) + 1))
    before = np.where(is_first, -number * (len(key) + 1), np.append(0, lowest[:-1]))
    return lowest < before


def _programs(lane: Columns, note: Columns, rows: _Rows, changes: Columns, file: Bytes) -> Columns:
    """The program that the track itself gave each channel before each note."""
    if not len(changes):
        return np.full(len(lane), NO_PROGRAM)
    num_events = len(rows.tick)
    place = (rows.track[changes] << 4 | rows.status[changes] & 0x0F) * num_events + changes
    changes = changes[np.argsort(place)]
    place.sort()
    latest = np.searchsorted(place, lane * num_events + note) - 1
    is_own = (latest >= 0) & (place[latest] // num_events == lane)
    return np.where(is_own, file[rows.data[changes[latest]]].astype(np.int64), NO_PROGRAM)
