"""The events of a MIDI file all at once in numpy, several times faster than `noternn.midi_events`.

For files in which nothing is damaged or too much; for others nothing is found, and the plain loop decides.

For every byte it is computed where the next event would begin if one of two data bytes began here, as nearly
all do. From the start of each track these places are followed, which leaves Python one step an event; the
events of other sizes are read one by one on the way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noternn.limits import Limits
from noternn.midi_events import (
    CONTROLLER,
    DATA_BYTE_REASON,
    NO_PROGRAM,
    NO_STATUS_REASON,
    NOTE_ON,
    PITCH_BEND,
    PROGRAM_CHANGE,
    SUSTAIN_PEDAL,
    SYSTEM,
    TWO_DATA_BYTES,
    Columns,
    TrackEvents,
    add_change,
    read_system,
)
from noternn.piece import PieceError

MAX_SCANNED_BYTES = 2_000_000  # what is computed for every byte takes 40 times the file's memory
PADDING = 8  # so that looking ahead needs no check
OTHER_SIZE = 2**40  # added to the place of an event that has not two data bytes
BROKEN = OTHER_SIZE - 1  # in the place of the next event

Bytes = NDArray[np.uint8]


def scan_events(data: bytes, spans: Sequence[tuple[int, int]], limits: Limits) -> TrackEvents | None:
    """The events of tracks, equal to what `midi_events.read_tracks` reads; None where that has to be asked.

    Args:
        data: the file.
        spans: start and end of each track's events in it.
        limits: see `Limits`.
    """
    if not spans or len(data) > MAX_SCANNED_BYTES:
        return None
    try:
        return _Scan(data, limits).read(spans)
    except (PieceError, IndexError):
        return None


class _Scan:
    """One file while it is read; until the times are known, the place of an event stands for its tick."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data = data
        self.file = np.frombuffer(data + bytes(PADDING), dtype=np.uint8)
        self.status_place, self.following = _follow(self.file)
        self.begins = bytearray(len(data) + 1)  # 1 where an event does
        self.events = TrackEvents(limits)
        self.programs: list[tuple[int, int, int]] = []  # place, lane, program

    def read(self, spans: Sequence[tuple[int, int]]) -> TrackEvents | None:
        """The events; None where the plain loop has to be asked. A lane is a track's channel: 16 a track."""
        following = self.following.data
        for track, span in enumerate(spans):
            if not self._follow_track(16 * track, *span, following):
                return None
        start = np.flatnonzero(np.frombuffer(self.begins, dtype=np.bool_))  # of each event
        sizes = np.array([self.begins.count(1, *span) for span in spans])
        if len(start) >= self.events.limits.max_events:
            return None
        place = self.status_place[start]
        tick = _ticks(self.file, start, place - start, sizes)
        status, data_place = self._statuses(place, sizes)
        self._keep_changes(start, tick)
        lane = status & 0x0F | np.repeat(np.arange(0, 16 * len(spans), 16), sizes)
        first, second = self.file.take(data_place), self.file.take(data_place + 1)
        self._keep_notes(start, tick, status, lane, first, second)
        return self.events

    def _follow_track(self, lane: int, begin: int, end: int, following: memoryview) -> bool:
        """Mark where the events of a track begin; whether the last one ends where the track does."""
        begins, at = self.begins, begin
        while True:
            while at < end:
                begins[at] = 1
                at = following[at]
            if at < OTHER_SIZE:
                return at == end
            at = self._read_others(lane, at - OTHER_SIZE, end)

    def _read_others(self, lane: int, at: int, end: int) -> int:
        """Read on from the event of another size there; the place of the next event of two data bytes."""
        status = 0  # running, if it is one of a single data byte
        while at < end:
            if self.following[at] == BROKEN:
                raise PieceError("holds a time of more than 4 bytes")
            place = int(self.status_place[at])
            byte = self.data[place]
            if byte >= SYSTEM:
                self.begins[at] = 1
                at = read_system(self.data, place, end, at, self.events)
                continue
            if PROGRAM_CHANGE <= byte < PITCH_BEND:
                status = byte
                place += 1
            elif byte > 0x7F or not status:
                return at
            self.begins[at] = 1
            if self.data[place] > 0x7F:
                raise PieceError(DATA_BYTE_REASON)
            if status < PROGRAM_CHANGE + 16:
                self.programs.append((at, lane | status & 0x0F, self.data[place]))
            at = place + 1
        return at

    def _statuses(self, place: Columns, sizes: Columns) -> tuple[Bytes, Columns]:
        """The status of each event, running status filled in, and the place of its data."""
        byte = self.file.take(place)
        is_status = byte > 0x7F
        if is_status.all():
            return byte, place + 1
        number = np.arange(len(byte))
        source = np.maximum.accumulate(np.where(is_status & (byte < SYSTEM), number, -1))
        first = np.repeat(np.cumsum(sizes) - sizes, sizes)  # event of each one's track
        if (~is_status & (source < first)).any():
            raise PieceError(NO_STATUS_REASON)
        return np.where(is_status, byte, byte[source]), place + is_status

    def _keep_changes(self, start: Columns, tick: Columns) -> None:
        """Put ticks in the place of places, and keep each lane's changes to another program."""
        events = self.events
        places = [change[0] for change in (*events.tempos, *events.metres, *self.programs)]
        tick_at = dict(zip(places, tick[np.searchsorted(start, places)].tolist(), strict=True))
        events.tempos = [(tick_at[place], tempo) for place, tempo in events.tempos]
        events.metres = [(tick_at[place], *metre) for place, *metre in events.metres]
        latest: dict[int, int] = {}
        for place, lane, program in self.programs:
            if latest.get(lane) != program:
                latest[lane] = program
                add_change(events.programs, (lane & 0x0F, tick_at[place], program), "", events.limits)

    def _keep_notes(
        self, start: Columns, tick: Columns, status: Bytes, lane: Columns, first: Bytes, second: Bytes
    ) -> None:
        """Keep the notes and pedals; `first` and `second` are the data bytes of each event."""
        has_two = (status < PROGRAM_CHANGE) | (status >= PITCH_BEND) & (status < SYSTEM)
        if (((first | second) > 0x7F) & has_two).any():
            raise PieceError(DATA_BYTE_REASON)
        is_note = status < TWO_DATA_BYTES
        self._keep_pedals(np.flatnonzero(~is_note), tick, status, first, second)
        notes = np.flatnonzero(is_note)
        is_on = ((status >= NOTE_ON) & (second > 0)).take(notes)
        if np.count_nonzero(is_on) > self.events.limits.max_notes:
            raise PieceError("holds too many notes")
        on, off = _pairs((lane << 7 | first).take(notes), is_on)
        on, off = notes.take(on), notes.take(off)
        kept = np.empty((6, len(on)), dtype=np.int64)
        kept[0] = tick.take(on)
        kept[1] = tick.take(off) - kept[0]
        kept[2] = first.take(on)
        kept[3] = lane.take(on) & 0x0F
        kept[4] = self._programs_of(lane.take(on), start.take(on))
        kept[5] = second.take(on)
        self.events.notes = kept if kept[1].all() else kept[:, kept[1] > 0]

    def _keep_pedals(
        self, others: Columns, tick: Columns, status: Bytes, first: Bytes, second: Bytes
    ) -> None:
        """Keep those of the events `others` that move the pedal."""
        pedals = others[(status[others] & 0xF0 == CONTROLLER) & (first[others] == SUSTAIN_PEDAL)]
        columns = [(status[pedals] & 0x0F).tolist(), tick[pedals].tolist(), second[pedals].tolist()]
        self.events.pedals = list(zip(*columns, strict=True))

    def _programs_of(self, lane: Columns, place: Columns) -> Columns | int:
        """The last program of each note's lane before it."""
        if not self.programs:
            return NO_PROGRAM
        size = len(self.data)  # every lane gets a line of its own
        lines = [(lane * size + place, lane, program) for place, lane, program in self.programs]
        changes = np.array(sorted(lines), dtype=np.int64)
        latest = np.searchsorted(changes[:, 0], lane * size + place) - 1
        is_own = (latest >= 0) & (changes[:, 1].take(latest) == lane)
        return np.where(is_own, changes[:, 2].take(latest), NO_PROGRAM)


def _follow(file: Bytes) -> tuple[Columns, Columns]:
    """For an event at each place of the file: where its status is, and where the next event begins.

    The event has two data bytes, with its own status or a running one; the place of an event of another
    size, and of a time of more than 4 bytes, comes back with `OTHER_SIZE` added to it.
    """
    size = len(file) - PADDING
    goes_on = file > 0x7F
    two = goes_on[:size] & goes_on[1 : size + 1]  # bytes of time that are not its last
    three = two & goes_on[2 : size + 2]
    time = goes_on[:size].view(np.uint8) + two.view(np.uint8)
    time += three.view(np.uint8)
    number = np.arange(len(file), dtype=np.int64)
    status = number[1 : size + 1] + time
    is_other = file >= PROGRAM_CHANGE
    is_other &= (file < PITCH_BEND) | (file >= SYSTEM)
    after = number + 2
    after += goes_on
    after[is_other] = OTHER_SIZE
    following = after.take(status)
    others = np.flatnonzero(following == OTHER_SIZE)
    following[others] += others
    following[np.flatnonzero(three & goes_on[3 : size + 3])] = BROKEN
    return status, following


def _ticks(file: Bytes, start: Columns, size: Columns, sizes: Columns) -> Columns:
    """The time since its track's start of each event: of 1 to 4 bytes that begin there."""
    time = (file.take(start) & 0x7F).astype(np.int64)
    for k in (1, 2, 3):
        longer = np.flatnonzero(size > k)
        if not len(longer):
            break
        time[longer] = time.take(longer) << 7 | file.take(start.take(longer) + k) & 0x7F
    total = np.cumsum(time)
    first = np.cumsum(sizes) - sizes  # event of each track
    before = np.concatenate(([0], total))[first]
    total -= np.repeat(before, sizes)
    return total


def _pairs(key: Columns, is_on: NDArray[np.bool_]) -> tuple[Columns, Columns]:
    """The beginnings that have an end, and their ends: of each key the first to the first that is left."""
    order = np.argsort(key.astype(np.uint16) if key.max(initial=0) < 2**16 else key, kind="stable")
    is_begin = is_on.take(order)
    on, off = order.compress(is_begin), order.compress(~is_begin)
    if len(on) == len(off) and (on < off).all() and (key.take(on) == key.take(off)).all():
        return on, off
    off = off[~_without_note(key[order], is_begin)[~is_begin]]
    # The n-th beginning of a key belongs to the n-th end that is left.
    first, last = np.searchsorted(key[off], key[on]), np.searchsorted(key[off], key[on], side="right")
    mate = first + np.arange(len(on)) - np.searchsorted(key[on], key[on])
    return on[mate < last], off[mate[mate < last]]


def _without_note(key: Columns, is_begin: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which events end a note where none of their key sounds; `key` is sorted."""
    level = np.cumsum(np.where(is_begin, 1, -1))  # beginnings less ends
    is_first = np.append(True, key[1:] != key[:-1])[: len(key)]
    number = np.cumsum(is_first) - 1
    base = np.append(0, level)[np.flatnonzero(is_first)]  # at the start of each key
    # Each key lies below all before it, so that one running minimum serves all.
    floor = -number * (len(key) + 1)
    lowest = np.minimum.accumulate(np.minimum(level - base[number], 0) + floor)
    before = np.where(is_first, floor, np.append(0, lowest)[:-1])
    return lowest < before
