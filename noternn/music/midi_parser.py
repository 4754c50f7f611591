"""The bytes of a MIDI file -> note columns, tempo and metre maps, within stated limits of time and memory.

Written for files from anywhere: what is odd but means something is read, what is broken is refused with a
reason, and no file costs more than its size and the limits (`noternn.music.limits`) allow.

Rules
- Notes: a note-on of velocity above 0 begins a note; a note-off, or note-on of velocity 0, of its track,
  channel and pitch ends it. Where notes of one pitch overlap, the one that began first ends first. All Sound
  Off and All Notes Off (controllers 120 and 123, and the modes 124 to 127, which imply it) end what began on
  their channel before their tick.
- Notes that no note-off of their track ends: where a key gets fewer note-offs than strikes until it is
  silent, the strikes without one are those that leave each of the others the nearest. Such a strike is
  ended by a note-off of its channel and pitch in another track that ends nothing there; else by the next
  strike of its key or All Notes Off on its channel, whichever comes first, in any track; else by the end of
  its track, or if it began there by the end of the last track. A note-off that ends nothing is passed over.
- Notes of no length: a drum hit that ends where it begins lasts a tick; other notes are dropped, and so is a
  strike left over that is followed by another at its tick.
- One pitch struck twice at one tick is two notes, in one track or in two, but of notes equal in onset,
  duration, pitch and instrument the loudest is kept.
- What is dropped for its length, and what is ended by something else than a note-off, is counted in remarks.
- Ports: a channel belongs to the port that the track named last (meta event 0x21), to port 0 before; each
  port has programs, drums, pedals and notes of its own. Where all notes are on one port that is not 0, ports
  are passed over.
- Instruments: a note has the program that its channel had when it began. A track's own changes count;
  before the first of them the last in any track, at or before the note's tick. Drums have program 0.
- Drums are channel 10 of each port, and what messages make a drum kit of any channel, from their tick on; the
  same messages make channel 10 melodic. Roland GS: "use for rhythm part" (sysex 41 xx 42 12 40 1p 15). Yamaha
  XG: part mode (43 1x 4C 08 pp 07). By bank (controller 0), from the next change of program: 126, 127 and
  120 are drums and the others melodic after an XG reset; after a GM2 reset 120 is drums, 121 melodic; after a
  GS or GM reset banks do not say, for GS has the MT-32's instruments in 127. Before any reset 120, 126 and
  127 are drums, and other banks do not make channel 10 melodic, since many programs write bank 0 everywhere.
  A reset of any of them (GM, GM2, GS, XG) leaves channel 10 as the drums of its port. At one tick resets come
  first, then the other messages, then programs. FluidSynth and TiMidity++ read them so, each some of them.
- Time: SMPTE files, which count film frames, are read in beats of half a second (their ticks doubled where
  that is no whole number of them); their tempos and metres, which do not time them, are left out.
- Tempos: of several at one tick the last counts; one equal to that before it is left out.
- Running status goes on over meta events and sysex. A track ends with its end-of-track event or its chunk;
  what follows is passed over, as are chunks of other types, tracks beyond the announced number, and every
  other event: pitch bends, pressure, names.
- The sustain pedal (controller 64: 64 and above is down, below is up) is passed over too, unless it is asked
  for. Then a note that ends while its channel's pedal is down, whichever track moved it, sounds on until the
  pedal goes up or a note of the same channel, program and pitch begins; without either, until the piece ends,
  which is when the last of the other notes does. At one tick the pedal moves before notes end. These are
  the rules of Magenta's note-seq.

Where miditoolkit, the reference reader of the tests, differs (not in the 1,034 Nottingham tunes)
- It drops drum hits of no length and notes that no note-off of their track ends, and where one is missing it
  gives every later note of the key the end of the next.
- It knows no drums but channel 10, no ports, and reads on over All Notes Off.
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
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noternn.music.limits import DEFAULT_LIMITS, Limits, check_length
from noternn.music.midi_endings import BY_STRIKE, remarks, settle
from noternn.music.midi_events import NO_PROGRAM, PEDAL_DOWN, Columns, TrackEvents, read_tracks
from noternn.music.midi_kits import drum_notes
from noternn.music.piece import DEFAULT_TEMPO, PieceError
from noternn.music.remarks import Remark

SCAN_VERSION = 2  # of what midi_scan.c returns

try:
    from noternn.music import midi_scan as midi_scan

    if getattr(midi_scan, "VERSION", 0) != SCAN_VERSION:  # compiled from another state of the clone
        midi_scan = None  # type: ignore[assignment]
except ImportError:  # there was no compiler
    midi_scan = None  # type: ignore[assignment]

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

# What the rows of `ParsedMidi.notes` weigh in the order of `Piece`.
PLACE = np.array([1 << 15, 0, -1, 1 << 14, 1 << 7, 0], dtype=np.int64)
NEVER = np.iinfo(np.int64).max
MICROSECONDS_PER_MINUTE = 60e6
FRAMES_PER_SECOND = (24, 25, 29, 30)  # 29 stands for 30 frames in 1.001 seconds


@dataclass(frozen=True, eq=False)
class ParsedMidi:
    """The music of a MIDI file.

    Args:
        ticks_per_beat: ticks in a quarter note.
        notes: onset, duration, pitch, is_drum, program, velocity of each note in the order of `Piece`, shape
            (6, num_notes >= 1).
        tempos: (tick, beats per minute) in time order from tick 0.
        metres: (tick, numerator, denominator) in time order.
        remarks: what was dropped, and what was ended without a note-off.
    """

    ticks_per_beat: int
    notes: Columns
    tempos: list[tuple[int, float]]
    metres: list[tuple[int, int, int]]
    remarks: tuple[Remark, ...] = ()


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
    events = _read_events(data, num_tracks, limits)
    notes, is_drum, said = _notes(events, ticks_per_beat // scale)
    notes[:2] *= scale
    check_length(notes[0], notes[1], ticks_per_beat, limits)
    if pedal and events.pedals:
        _hold(notes, np.array(events.pedals, dtype=np.int64) * (1, scale, 1))
        check_length(notes[0], notes[1], ticks_per_beat, limits)
    last_tick = limits.max_beats * ticks_per_beat
    return ParsedMidi(
        ticks_per_beat=ticks_per_beat,
        notes=_in_order(notes, is_drum),
        tempos=[(0, tempo)] if is_film else _tempo_map(events.tempos, last_tick),
        metres=[] if is_film else _metre_map(events.metres, last_tick),
        remarks=said,
    )


def _read_events(data: bytes, num_tracks: int, limits: Limits) -> TrackEvents:
    """The events of the announced tracks."""
    spans: list[tuple[int, int]] = []
    try:
        spans.extend(track_spans(data, num_tracks, limits))
    except PieceError:
        read_tracks(data, spans, limits)  # what is wrong in the tracks before comes first
        raise
    return scan(data, spans, limits) or read_tracks(data, spans, limits)


def scan(data: bytes, spans: list[tuple[int, int]], limits: Limits) -> TrackEvents | None:
    """What `read_tracks` reads, many times faster; None for what it refuses, and if nothing was compiled."""
    if midi_scan is None:
        return None
    found = midi_scan.scan_events(data, spans, limits.max_events, limits.max_notes, limits.max_changes)
    if found is None:
        return None
    rows, causes, strays = found[:3]
    return TrackEvents(
        limits,
        np.frombuffer(rows, dtype=np.int64).reshape(6, -1),
        np.frombuffer(causes, dtype=np.uint8),
        np.frombuffer(strays, dtype=np.int64).reshape(-1, 3),
        *found[3:],
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


def track_spans(data: bytes, num_tracks: int, limits: Limits) -> Iterator[tuple[int, int]]:
    """Start and end of the events of each announced track; chunks of other types are passed over."""
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
            yield position, position + size
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


def _notes(events: TrackEvents, ticks_per_beat: int) -> tuple[Columns, NDArray[np.bool_], tuple[Remark, ...]]:
    """Onset, duration, pitch, channel, program, velocity of each note; which are drums; what to say of them.

    Raises:
        PieceError: if there are none.
    """
    notes = events.notes
    if not notes.size:
        raise PieceError("holds no notes")
    if events.max_port:
        _forget_single_port(events)
    if events.num_unusual:
        settle(events)
    is_drum = drum_notes(events)
    said: tuple[Remark, ...] = ()
    if events.num_unusual:
        is_hit = is_drum & (events.causes != BY_STRIKE)
        notes[1, is_hit & (notes[1] == 0)] = 1
        is_dropped = notes[1] == 0
        said = remarks(events, is_dropped, ticks_per_beat)
        notes, is_drum = notes[:, ~is_dropped], is_drum[~is_dropped]
        if not notes.size:
            raise PieceError("holds no notes")
    _inherit_programs(notes, events.programs)
    notes[4, is_drum] = 0
    return notes, is_drum, said


def _forget_single_port(events: TrackEvents) -> None:
    """Put everything on port 0 where all notes are on one other port."""
    ports = events.notes[3] >> 4
    if ports.min() == 0 or ports.min() < ports.max():
        return
    events.notes[3] &= 15
    events.strays[:, 1] &= 15
    events.programs = [(place & 15, tick, program, bank) for place, tick, program, bank in events.programs]
    events.kits = [(0, tick, message) for _, tick, message in events.kits]
    events.silences = [(channel & 15, tick) for channel, tick in events.silences]
    events.pedals = [(channel & 15, tick, value) for channel, tick, value in events.pedals]


def _inherit_programs(notes: Columns, programs: list[tuple[int, int, int, int]]) -> None:
    """Give each note before the first change of its track the program that any track gave the channel."""
    onset, channels, own = notes[0], notes[3], notes[4]
    if not programs:
        own[:] = 0
        return
    heirs = np.flatnonzero(own == NO_PROGRAM)
    if not len(heirs):
        return
    changes = np.array(programs, dtype=np.int64).reshape(-1, 4)[:, :3]
    changes = changes[np.argsort(changes[:, 1], kind="stable")]
    for channel in np.flatnonzero(np.bincount(channels[heirs])).tolist():
        rows = heirs[channels[heirs] == channel]
        _, tick, program = changes[changes[:, 0] == channel].T
        own[rows] = np.append(0, program)[np.searchsorted(tick, onset[rows], side="right")]


def _hold(notes: Columns, pedals: Columns) -> None:
    """Let the notes that end while the pedal is down sound on.

    Args:
        notes: onset, duration, pitch, channel, program, velocity of each; durations are changed.
        pedals: rows of channel, tick, value.
    """
    onset, end, channel = notes[0], notes[0] + notes[1], notes[3]
    held_to = end.copy()
    for number in np.unique(pedals[:, 0]).tolist():
        rows = np.flatnonzero(channel == number)
        held_to[rows] = _pedal_release(end[rows], pedals[pedals[:, 0] == number, 1:])
    _, key = np.unique(notes[2:5], axis=1, return_inverse=True)
    place = key * (int(onset.max()) + 1)  # of each key's onsets on one line, apart from the others'
    line = np.append(np.sort(place + onset), NEVER)
    struck = line[np.searchsorted(line, place + np.minimum(end, onset.max() + 1))]  # again, on that line
    struck_tick = np.where(struck <= place + onset.max(), struck - place, NEVER)
    new_end = np.where(held_to > end, np.minimum(held_to, struck_tick), end)
    new_end[new_end == NEVER] = new_end[new_end < NEVER].max(initial=int(end.max()))
    notes[1] = new_end - onset


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


def _in_order(notes: Columns, is_drum: NDArray[np.bool_]) -> Columns:
    """The columns of `ParsedMidi`; of notes that are equal but for their velocity, the loudest.

    Args:
        notes: onset, duration, pitch, channel, program, velocity of each; the channel is overwritten.
        is_drum: whether each is a drum.
    """
    notes[3] = is_drum
    place = PLACE @ notes
    order = place.argsort()
    in_order = place.take(order)
    if (in_order[1:] > in_order[:-1]).all():
        return notes.take(order, axis=1)
    order = np.lexsort((-notes[5], notes[1], place))
    is_new = np.append(True, (np.diff(place[order]) > 0) | (np.diff(notes[1, order]) > 0))
    return notes[:, order[is_new]]


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
