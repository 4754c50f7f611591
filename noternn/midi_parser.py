"""The bytes of a MIDI file -> note columns, tempo and metre maps, within stated limits of time and memory.

Written for files from anywhere: what is odd but means something is read, what is broken is refused with a
reason, and no file costs more than its size and the limits (`noternn.limits`) allow.

Rules
- Notes: a note-on of velocity above 0 begins a note; the first note-off, or note-on of velocity 0, of its
  track, channel and pitch ends it. Where notes of one pitch overlap, the one that began first ends first.
  An end without a note is passed over; a note that never ends, or ends where it begins, is dropped. Of notes
  equal in onset, duration, pitch and instrument the loudest is kept.
- Instruments: a note has the program that its channel had when it began. A track's own changes count;
  before the first of them the last in any track, at or before the note's tick. Channel 10 is drums, of
  program 0.
- Time: SMPTE files, which count film frames, are read in beats of half a second (their ticks doubled where
  that is no whole number of them); their tempos and metres, which do not time them, are left out.
- Tempos: of several at one tick the last counts; one equal to that before it is left out.
- Running status goes on over meta events and sysex. A track ends with its end-of-track event or its chunk;
  what follows is passed over, as are chunks of other types, tracks beyond the announced number, and every
  event that is neither note nor program nor tempo nor metre: pitch bends, pressure, names, sysex.
- The sustain pedal (controller 64: 64 and above is down, below is up) is passed over too, unless it is asked
  for. Then a note that ends while its channel's pedal is down, whichever track moved it, sounds on until the
  pedal goes up or a note of the same channel, program and pitch begins; without either, until the piece ends,
  which is when the last of the other notes does. At one tick the pedal moves before notes end. These are
  the rules of Magenta's note-seq.

Where miditoolkit, the reference reader of the tests, differs (not in the 1,034 Nottingham tunes; in 1 of 24
other files at hand, by the first)
- It gives a note the program of its end, and reads program changes by track only.
- It refuses RMID wrappers, chunks of other types, tracks of 0 bytes, texts above 1 MB, and broken events that
  hold no music, such as key signatures that do not exist; it reads SMPTE files with a negative resolution.
- It loses the time of meta events of unknown type (what follows shifts), reads on after an end-of-track
  event, and misreads running status after sysex and real-time events.
- A tempo at tick 0 makes it forget those read before, and it compares tempos in the order of the tracks.
- It has no limits: a megabyte of a time that never ends takes it minutes, 15,000 notes of one pitch that
  overlap more than 10 seconds.

Format: Standard MIDI Files 1.0 (MIDI Manufacturers Association, RP-001), RMID: RP-029.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from noternn.limits import DEFAULT_LIMITS, Limits
from noternn.piece import DEFAULT_TEMPO, PieceError

MAX_QUANTITY_BYTES = 5  # of a time or length; the standard has 4, some programs pad
MAX_METRE_DENOMINATOR_POWER = 7  # 128th notes

NOTE_ON, TWO_DATA_BYTES, CONTROLLER, PROGRAM_CHANGE, PITCH_BEND, SYSTEM = 0x90, 0xA0, 0xB0, 0xC0, 0xE0, 0xF0
SUSTAIN_PEDAL, PEDAL_DOWN = 64, 64  # the number of the controller; its least value that is down
ESCAPE, META = 0xF7, 0xFF
DATA_BYTE_REASON = "is damaged: a data byte must be in range 0 to 127"
META_END, META_TEMPO, META_METRE = 0x2F, 0x51, 0x58
SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}
DRUM_CHANNEL = 9
NO_PROGRAM = -1
NEVER = np.iinfo(np.int64).max
MICROSECONDS_PER_MINUTE = 60e6
FRAMES_PER_SECOND = (24, 25, 29, 30)  # 29 stands for 30 frames in 1.001 seconds

OTHER_FORMATS = {
    rb"\x89PNG": "a PNG picture",
    rb"\xff\xd8\xff": "a JPEG picture",
    rb"PK\x03\x04": "a ZIP archive",
    rb"\x1f\x8b": "a gzip archive",
    rb"Rar!": "a RAR archive",
    rb"%PDF": "a PDF document",
    rb"ID3|\xff\xfb": "an MP3 recording",
    rb"OggS": "an Ogg recording",
    rb"RIFF....WAVE": "a WAVE recording",
    rb"(?i:\s*(<!doctype html|<html))": "a web page",
    rb"\s*<\?xml": "an XML document",
}

Columns = NDArray[np.int64]
Change = TypeVar("Change")


@dataclass(frozen=True, eq=False)
class ParsedMidi:
    """The music of a MIDI file.

    Args:
        ticks_per_beat: ticks in a quarter note.
        notes: onset, duration, pitch, program, is_drum, velocity of each note, shape (num_notes >= 1, 6).
        tempos: (tick, beats per minute) in time order from tick 0.
        metres: (tick, numerator, denominator) in time order.
    """

    ticks_per_beat: int
    notes: Columns
    tempos: list[tuple[int, float]]
    metres: list[tuple[int, int, int]]


@dataclass
class _Events:
    """What of all tracks is kept, in the order of the file.

    Args:
        limits: of what is kept.
        notes: onset, duration, pitch, channel, program (NO_PROGRAM before a change in the track), velocity.
        programs: channel, tick, program.
        pedals: channel, tick, value.
        tempos: tick, microseconds a beat.
        metres: tick, numerator, denominator.
        num_events: of any kind.
        num_note_ons: notes begun, ended or not.
    """

    limits: Limits
    notes: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    programs: list[tuple[int, int, int]] = field(default_factory=list)
    pedals: list[tuple[int, int, int]] = field(default_factory=list)
    tempos: list[tuple[int, int]] = field(default_factory=list)
    metres: list[tuple[int, int, int]] = field(default_factory=list)
    num_events: int = 0
    num_note_ons: int = 0


def parse_midi(data: bytes, limits: Limits = DEFAULT_LIMITS, pedal: bool = False) -> ParsedMidi:
    """The music in the bytes of a MIDI file of format 0 or 1.

    Args:
        data: the bytes.
        limits: above any of them the file is refused.
        pedal: whether the sustain pedal holds notes.

    Raises:
        PieceError: if there is none to be had; the message is the reason, in one line.
    """
    data = _unwrap(data, limits)
    num_tracks, division = _read_header(data, limits)
    is_film = division > 0x7FFF
    scale, ticks_per_beat, tempo = _film_time(division) if is_film else (1, division, DEFAULT_TEMPO)
    events = _Events(limits)
    for track in _tracks(data, num_tracks, limits):
        try:
            _read_track(track, events)
        except IndexError:
            raise PieceError("is damaged: the last event of a track runs over the track's end") from None
    notes = _notes_with_programs(events)
    notes[:, :2] *= scale
    _check_length(notes, ticks_per_beat, limits)
    if pedal and events.pedals:
        _hold(notes, np.array(events.pedals, dtype=np.int64) * (1, scale, 1))
        _check_length(notes, ticks_per_beat, limits)
    last_tick = limits.max_beats * ticks_per_beat
    return ParsedMidi(
        ticks_per_beat=ticks_per_beat,
        notes=_without_repeats(_note_columns(notes)),
        tempos=[(0, tempo)] if is_film else _tempo_map(events.tempos, last_tick),
        metres=[] if is_film else _metre_map(events.metres, last_tick),
    )


def _unwrap(data: bytes, limits: Limits) -> bytes:
    """The MIDI file in an RMID wrapper; other data as it is."""
    if not (data.startswith(b"RIFF") and data[8:12] == b"RMID"):
        return data
    position = 12
    for _ in range(limits.max_tracks):
        name, size = (
            data[position : position + 4],
            int.from_bytes(data[position + 4 : position + 8], "little"),
        )
        if name == b"data" and (wrapped := data[position + 8 : position + 8 + size]):
            return wrapped
        position += 8 + size + size % 2
    raise PieceError("is damaged: an RMID wrapper without MIDI data in it")


def _read_header(data: bytes, limits: Limits) -> tuple[int, int]:
    """The number of tracks and the division, both above 0."""
    if not data:
        raise PieceError("file is empty")
    if not data.startswith(b"MThd"):
        kinds = (kind for start, kind in OTHER_FORMATS.items() if re.match(start, data[:200], re.DOTALL))
        found = next((f", but {kind}" for kind in kinds), "")
        raise PieceError(f"not a MIDI file (does not begin with MThd){found}")
    if len(data) < 14:
        raise PieceError("ends in the middle of the header")
    size, midi_format, num_tracks, division = struct.unpack(">LHHH", data[4:14])
    if not 6 <= size <= len(data) - 8:
        raise PieceError(f"is damaged: its header announces {size:,} bytes; 6 are usual")
    if midi_format == 2:
        raise PieceError("holds several independent sequences (MIDI format 2), not one piece")
    if midi_format > 2:
        raise PieceError(f"is damaged: there is no MIDI format {midi_format}")
    if num_tracks == 0:
        raise PieceError("holds no tracks")
    if num_tracks > limits.max_tracks:
        raise PieceError(
            f"has too many tracks: {num_tracks:,}; at most {limits.max_tracks:,} are read "
            "(dataset.limits.max_tracks)"
        )
    if division == 0:
        raise PieceError("is damaged: its beat has 0 ticks")
    return num_tracks, division


def _film_time(division: int) -> tuple[int, int, float]:
    """Factor of the ticks, ticks in a beat of half a second, and the tempo of such beats."""
    frames, ticks_per_frame = 0x100 - (division >> 8), division & 0xFF
    if frames not in FRAMES_PER_SECOND or ticks_per_frame == 0:
        raise PieceError(
            f"is damaged: it counts time in film frames (SMPTE), but in {frames} a second "
            f"of {ticks_per_frame} ticks; there are 24, 25, 29 or 30 of 1 to 255 ticks"
        )
    tempo = DEFAULT_TEMPO / 1.001 if frames == 29 else DEFAULT_TEMPO
    ticks_per_second = (30 if frames == 29 else frames) * ticks_per_frame
    return (2, ticks_per_second, tempo) if ticks_per_second % 2 else (1, ticks_per_second // 2, tempo)


def _tracks(data: bytes, num_tracks: int, limits: Limits) -> Iterator[bytes]:
    """The events of each announced track; chunks of other types are passed over."""
    position = 8 + int.from_bytes(data[4:8], "big")
    found = other = 0
    while found < num_tracks:
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "big")
        position += 8
        missing = position + size - len(data)
        if missing > 0:
            raise PieceError(_cut_reason(name, size, size - missing, found, num_tracks, other))
        if name == b"MTrk":
            found += 1
            yield data[position : position + size]
        else:
            other += 1
            if other > limits.max_tracks:
                raise PieceError(
                    f"is damaged: more than {limits.max_tracks:,} of its chunks are not tracks "
                    "(dataset.limits.max_tracks)"
                )
        position += size


def _cut_reason(name: bytes, size: int, there: int, found: int, num_tracks: int, other: int) -> str:
    if there <= 0 and not found and other:
        return "is damaged: it has no MTrk header, so no track"
    if name != b"MTrk" and there > 0:
        return f"is damaged: a part of {size:,} bytes is announced, but only {there:,} are left"
    place = f"track {found + 1} of {num_tracks:,}"
    if there > 0:
        return f"ends in the middle of a track ({place}: {there:,} of {size:,} bytes)"
    return f"ends in the middle of a track or before it ({place} is missing)"


def _read_track(track: bytes, events: _Events) -> None:
    """Add the events of a track.

    Raises:
        IndexError: if an event runs over the end of the track.
        PieceError: if an event cannot be, or there are too many.
    """
    notes, num_note_ons, max_notes = events.notes, events.num_note_ons, events.limits.max_notes
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
            position = _read_system(track, position, tick, events)
            continue
        if byte > 0x7F:
            status = byte
            position += 1
        elif not status:
            raise PieceError("is damaged: a track begins with data (running status without a status)")
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
                _add(events.programs, (channel, tick, first), "changes of program", events.limits)
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


def _read_system(track: bytes, position: int, tick: int, events: _Events) -> int:
    """Keep a tempo or metre, pass over any other system or meta event; the position after it."""
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
    if end > len(track):
        raise IndexError
    if kind == META_END:
        return len(track)
    if kind == META_TEMPO:
        _add(events.tempos, (tick, _tempo(track[position:end])), "changes of tempo", events.limits)
    elif kind == META_METRE:
        _add(events.metres, (tick, *_metre(track[position:end])), "changes of metre", events.limits)
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


def _add(changes: list[Change], change: Change, what: str, limits: Limits) -> None:
    if len(changes) >= limits.max_changes:
        raise _too_many(what, limits.max_changes, "max_changes")
    changes.append(change)


def _too_many(what: str, limit: int, setting: str) -> PieceError:
    return PieceError(
        f"holds too many {what}: more than {limit:,}, the most that are read (dataset.limits.{setting})"
    )


def _notes_with_programs(events: _Events) -> Columns:
    """Rows of onset, duration, pitch, channel, program, velocity, shape (num_notes, 6)."""
    if not events.notes:
        raise PieceError("holds no notes")
    notes = np.array(events.notes, dtype=np.int64)
    _inherit_programs(notes, events.programs)
    notes[notes[:, 3] == DRUM_CHANNEL, 4] = 0
    return notes


def _inherit_programs(notes: Columns, programs: list[tuple[int, int, int]]) -> None:
    """Give each note before the first change of its track the program that any track gave the channel."""
    changes = np.array(programs, dtype=np.int64).reshape(-1, 3)
    changes = changes[np.argsort(changes[:, 1], kind="stable")]
    for channel in np.unique(notes[notes[:, 4] == NO_PROGRAM, 3]).tolist():
        rows = np.flatnonzero((notes[:, 4] == NO_PROGRAM) & (notes[:, 3] == channel))
        _, tick, program = changes[changes[:, 0] == channel].T
        place = np.searchsorted(tick, notes[rows, 0], side="right")
        notes[rows, 4] = np.append(0, program)[place]


def _check_length(notes: Columns, ticks_per_beat: int, limits: Limits) -> None:
    beats = int((notes[:, 0] + notes[:, 1]).max()) // ticks_per_beat
    if beats > limits.max_beats:
        raise PieceError(
            f"is too long or damaged: it lasts {beats:,} beats; at most {limits.max_beats:,} are read "
            "(dataset.limits.max_beats)"
        )
    sounding = int(notes[:, 1].sum()) // ticks_per_beat
    if sounding > limits.max_sounding_beats:
        raise PieceError(
            f"is damaged: its notes last {sounding:,} beats together; at most "
            f"{limits.max_sounding_beats:,} are read (dataset.limits.max_sounding_beats)"
        )


def _hold(notes: Columns, pedals: Columns) -> None:
    """Let the notes that end while the pedal is down sound on.

    Args:
        notes: rows of onset, duration, pitch, channel, program, velocity; durations are changed.
        pedals: rows of channel, tick, value.
    """
    onset, end, channel = notes[:, 0], notes[:, 0] + notes[:, 1], notes[:, 3]
    held_to = end.copy()
    for number in np.unique(pedals[:, 0]).tolist():
        rows = np.flatnonzero(channel == number)
        held_to[rows] = _pedal_release(end[rows], pedals[pedals[:, 0] == number, 1:])
    _, key = np.unique(notes[:, 2:5], axis=0, return_inverse=True)
    place = key * (int(onset.max()) + 1)  # of each key's onsets on one line, apart from the others'
    line = np.append(np.sort(place + onset), NEVER)
    struck = line[np.searchsorted(line, place + np.minimum(end, onset.max() + 1))]  # again, on that line
    struck_tick = np.where(struck <= place + onset.max(), struck - place, NEVER)
    new_end = np.where(held_to > end, np.minimum(held_to, struck_tick), end)
    new_end[new_end == NEVER] = new_end[new_end < NEVER].max(initial=int(end.max()))
    notes[:, 1] = new_end - onset


def _pedal_release(ends: Columns, moves: Columns) -> Columns:
    """When notes that end then are let go by the pedal: at once where it is up, NEVER if it stays down.

    Args:
        ends: ticks.
        moves: rows of tick, value of the pedal.
    """
    moves = moves[np.argsort(moves[:, 0], kind="stable")]
    is_down = np.append(False, moves[:, 1] >= PEDAL_DOWN)[np.searchsorted(moves[:, 0], ends, side="right")]
    ups = np.append(moves[moves[:, 1] < PEDAL_DOWN, 0], NEVER)
    return np.where(is_down, ups[np.searchsorted(ups, ends, side="right")], ends)


def _note_columns(notes: Columns) -> Columns:
    """The rows with program and is_drum in the place of channel and program."""
    channel, program = notes[:, 3], notes[:, 4]
    return np.stack([*notes.T[:3], program, channel == DRUM_CHANNEL, notes[:, 5]], axis=1)


def _without_repeats(notes: Columns) -> Columns:
    """Of notes that are equal but for their velocity, the loudest."""
    onset, duration, pitch, program, is_drum, velocity = notes.T
    notes = np.take(notes, np.lexsort((-velocity, is_drum, program, pitch, duration, onset)), axis=0)
    is_new = np.append(True, (notes[1:, :5] != notes[:-1, :5]).any(axis=1))
    return np.compress(is_new, notes, axis=0)


def _tempo_map(changes: list[tuple[int, int]], last_tick: int) -> list[tuple[int, float]]:
    """(tick, beats per minute) in time order from tick 0; only what changes the tempo."""
    in_time = sorted(changes, key=lambda change: change[0])  # stable: the last of one tick stays last
    tempos = {0: DEFAULT_TEMPO} | {tick: MICROSECONDS_PER_MINUTE / beat for tick, beat in in_time}
    kept: list[tuple[int, float]] = []
    for tick, tempo in tempos.items():
        if tick <= last_tick and not (kept and kept[-1][1] == tempo):
            kept.append((tick, tempo))
    return kept


def _metre_map(changes: list[tuple[int, int, int]], last_tick: int) -> list[tuple[int, int, int]]:
    """(tick, numerator, denominator) in time order; the last of several at one tick counts."""
    metres = {tick: (numerator, denominator) for tick, numerator, denominator in changes if denominator}
    return [(tick, *metre) for tick, metre in sorted(metres.items()) if tick <= last_tick]
