"""Files that are broken, odd or hostile, each with what a careful reader must make of it.

Everything is made here, byte by byte and always the same. `all_files` are the MIDI files, `score_files` the
scores; `make_path_oddities` makes what the file system can put in a reader's way. To look at them:
`python tests/hostile_files.py FOLDER`.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal

Note = tuple[int, int, int, int, int, bool]  # onset, duration, pitch, velocity, program, is_drum
DIVISION = 96
END_OF_TRACK = b"\x00\xff\x2f\x00"
C4: Note = (0, 96, 60, 80, 0, False)
E4: Note = (96, 96, 64, 80, 0, False)


@dataclass(frozen=True)
class LabelledFile:
    """A file and what must come of it: its notes, or a reason that holds the words of `reason`.

    Args:
        label: says what is odd; unique.
        kind: "unreadable", "odd" (but valid), or "hostile" (meant to cost time or memory).
        make: its bytes.
        notes: what it holds, in any order; empty if it must be refused.
        reason: part of the message that refuses it.
        ticks_per_beat, tempos: as read; of no meaning if it must be refused.
        differs: why miditoolkit reads something else; empty if it must give the same notes and tempos.
        suffix: of its name.
    """

    label: str
    kind: Literal["unreadable", "odd", "hostile"]
    make: Callable[[], bytes]
    notes: tuple[Note, ...] = ()
    reason: str = ""
    ticks_per_beat: int = DIVISION
    tempos: tuple[tuple[int, float], ...] = ((0, 120.0),)
    differs: str = ""
    suffix: str = ".mid"


def all_files() -> list[LabelledFile]:
    """Every file, in a fixed order."""
    makers = (
        *(cut_files, other_formats, wrong_lengths, impossible_events, impossible_headers, without_notes),
        *(running_status, wrappers, film_time, resolutions, tempos, metres, pairing, endings, kits, ports),
        *(
            unknown_events,
            sysex,
            track_ends,
            instruments,
            ignored_messages,
            texts,
            broken_details,
            headers,
            hostile,
        ),
    )
    return [file for maker in makers for file in maker()]


# Building blocks


def header(midi_format: int = 0, num_tracks: int = 1, division: int = DIVISION) -> bytes:
    return b"MThd" + struct.pack(">LHHH", 6, midi_format, num_tracks, division)


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack(">L", len(data)) + data


def track(events: bytes, end: bytes = END_OF_TRACK) -> bytes:
    return chunk(b"MTrk", events + end)


def one_track(events: bytes, division: int = DIVISION) -> bytes:
    return header(division=division) + track(events)


def tracks(*events: bytes) -> bytes:
    return header(1, len(events)) + b"".join(track(of_one) for of_one in events)


def quantity(value: int, num_bytes: int = 1) -> bytes:
    """A variable-length quantity, padded to at least `num_bytes`."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    digits += [0x80] * (num_bytes - len(digits))
    return bytes(reversed(digits))


def meta(kind: int, data: bytes, delta: int = 0) -> bytes:
    return quantity(delta) + bytes([0xFF, kind]) + quantity(len(data)) + data


def tempo(microseconds: int, delta: int = 0) -> bytes:
    return meta(0x51, microseconds.to_bytes(3, "big"), delta)


def on(pitch: int, delta: int = 0, channel: int = 0, velocity: int = 80) -> bytes:
    return quantity(delta) + bytes([0x90 + channel, pitch, velocity])


def off(pitch: int, delta: int = 96, channel: int = 0, velocity: int = 64) -> bytes:
    return quantity(delta) + bytes([0x80 + channel, pitch, velocity])


def note(pitch: int = 60, channel: int = 0, velocity: int = 80, duration: int = 96) -> bytes:
    return on(pitch, 0, channel, velocity) + off(pitch, duration, channel)


def program(number: int, channel: int = 0, delta: int = 0) -> bytes:
    return quantity(delta) + bytes([0xC0 + channel, number])


def unreadable(label: str, data: bytes, reason: str, suffix: str = ".mid") -> LabelledFile:
    return LabelledFile(label, "unreadable", lambda: data, reason=reason, suffix=suffix)


def odd(label: str, data: bytes, *notes: Note, **rest: object) -> LabelledFile:
    return LabelledFile(label, "odd", lambda: data, notes=notes, **rest)  # type: ignore[arg-type]


# Unreadable


def cut_files() -> Iterator[LabelledFile]:
    """Two files, cut between and within all their parts."""
    events = [
        *(b"\x00", b"\xff\x51", b"\x03", b"\x07\xa1\x20"),  # tempo
        *(b"\x00", b"\xff\x03", b"\x04", b"na", b"me"),
        *(b"\x00", b"\xf0", b"\x03", b"\x7e\x09\xf7"),
        *(b"\x00", b"\xc0", b"\x05", b"\x00", b"\x90", b"\x3c", b"\x50"),
        *(b"\x60", b"\x3c", b"\x00"),  # running status
        *(b"\x81", b"\x00", b"\x90", b"\x40", b"\x50", b"\x60", b"\x80", b"\x40", b"\x00"),
        *(b"\x00", b"\xff\x2f", b"\x00"),
    ]
    size = struct.pack(">L", sum(len(part) for part in events))
    whole_track = [b"MT", b"rk", size[:2], size[2:], *events]
    head = [b"MT", b"hd", b"\x00\x00", b"\x00\x06", b"\x00"]
    one = [*head, b"\x00", b"\x00\x01", b"\x00", b"\x60", *whole_track]
    two = [*head, b"\x01", b"\x00\x02", b"\x00", b"\x60", *whole_track, *whole_track]
    for name, parts in (("one track", one), ("two tracks", two)):
        for count in range(len(parts)):
            data = b"".join(parts[:count])
            yield unreadable(f"{name}, cut at byte {len(data)}", data, _cut_reason(len(data)))
    wrapped = b"RIFF" + struct.pack("<L", 100) + b"RMIDdata" + struct.pack("<L", 80) + b"".join(one)
    for length, reason in ((4, "not a MIDI"), (8, "not a MIDI"), (12, "RMID"), (16, "RMID"), (20, "RMID")):
        yield unreadable(f"RMID, cut at byte {length}", wrapped[:length], reason)
    yield unreadable("RMID, cut in a track", wrapped[:60], "ends in the middle of a track")


def _cut_reason(length: int) -> str:
    if length == 0:
        return "file is empty"
    if length < 4:
        return "not a MIDI file"
    return "ends in the middle of the header" if length < 14 else "ends in the middle of a track"


def other_formats() -> Iterator[LabelledFile]:
    page = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>"
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">L4sLLBBBBB", 13, b"IHDR", 1, 1, 8, 0, 0, 0, 0)
    wave = b"RIFF" + struct.pack("<L4s4sL", 36, b"WAVE", b"fmt ", 16) + bytes(24)
    formats = {
        "PNG": (png, "a PNG picture"),
        "JPEG": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(50), "a JPEG picture"),
        "ZIP": (b"PK\x03\x04\x14\x00" + bytes(24) + one_track(note()), "a ZIP archive"),
        "gzip": (b"\x1f\x8b\x08\x00" + bytes(6) + b"\x03\x00" + bytes(8), "a gzip archive"),
        "RAR": (b"Rar!\x1a\x07\x00" + bytes(20), "a RAR archive"),
        "PDF": (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        "MP3": (b"ID3\x03\x00" + bytes(40), "an MP3 recording"),
        "Ogg": (b"OggS\x00\x02" + bytes(40), "an Ogg recording"),
        "WAVE": (wave, "a WAVE recording"),
        "web page": (page, "a web page"),
        "web page after spaces": (b"\r\n \t<HTML><body>moved</body></HTML>", "a web page"),
        "MusicXML": (b'<?xml version="1.0"?><score-partwise/>', "an XML document"),
        "sound font": (b"RIFF" + struct.pack("<L4s", 40, b"sfbk") + bytes(40), "begin with MThd"),
        "text": (b"C E G C, please play this\n", "begin with MThd"),
        "text in UTF-16": ("\ufeffMThd".encode("utf-16-le"), "begin with MThd"),
        "ABC": (b"X:1\nT:Tune\nK:C\nCDEF|\n", "begin with MThd"),
        "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "begin with MThd"),
        "Apple double": (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(60), "begin with MThd"),
        "zeros": (bytes(500), "begin with MThd"),
        "ones": (b"\xff" * 500, "begin with MThd"),
        "a line feed": (b"\n", "begin with MThd"),
        "small letters": (b"mthd" + one_track(note())[4:], "begin with MThd"),
        "a track without header": (track(note()), "begin with MThd"),
        "a header in the wrong order": (b"dhTM" + one_track(note())[4:], "begin with MThd"),
        "a byte before the header": (b"\x00" + one_track(note()), "begin with MThd"),
    }
    for name, (data, reason) in formats.items():
        yield unreadable(f"format: {name}", data, reason)


def wrong_lengths() -> Iterator[LabelledFile]:
    whole = note() + END_OF_TRACK
    for name, size in (("one byte", len(whole) + 1), ("a megabyte", 2**20), ("2 GB", 2**31 - 1)):
        data = header() + b"MTrk" + struct.pack(">L", size) + whole
        yield unreadable(f"a track longer than the file by {name}", data, "ends in the middle of a track")
    for size in (1, 2, 3, 5, 6, 7, 9, 10):
        data = header() + b"MTrk" + struct.pack(">L", size) + whole
        reason = "holds no notes" if size == 4 else "runs over the track's end"
        yield unreadable(f"a track of {len(whole)} bytes that announces {size}", data, reason)
    for size in (0, 1, 5):
        data = b"MThd" + struct.pack(">LHHH", size, 0, 1, DIVISION) + track(note())
        yield unreadable(f"a header of {size} bytes", data, f"header announces {size} bytes")
    for name, event in {
        "a text": b"\x00\xff\x01\x7f" + b"short",
        "an unknown meta event": b"\x00\xff\x4b\x83\x00",
        "a sysex": b"\x00\xf0\x40\x7e",
        "an escape": b"\x00\xf7\x7f\x7e",
        "a meta event without length": b"\x00\xff\x01",
        "a meta event without type": b"\x00\xff",
        "a time": b"\x81\x81",
        "a note": b"\x00\x90\x3c",
        "a controller": b"\x00\xb0\x07",
        "a program": b"\x00\xc0",
        "only the time of an event": b"\x00",
    }.items():
        data = header() + track(note() + event, end=b"")
        yield unreadable(f"{name} longer than its track", data, "runs over the track's end")
    alien = header() + b"XFIH" + struct.pack(">L", 1000) + track(note())
    yield unreadable(
        "a chunk of another type longer than the file", alien, "is damaged: a part of 1,000 bytes"
    )


def impossible_events() -> Iterator[LabelledFile]:
    for status in range(0x80, 0xF0, 0x10):
        for place in (1, 2):
            if place == 2 and status in (0xC0, 0xD0):
                continue
            event = bytearray([0, status, 0x3C, 0x50])
            event[1 + place] |= 0x80
            event = event[:3] if status in (0xC0, 0xD0) else event
            label = f"status 0x{status:02X} with data byte {place} above 127"
            yield unreadable(label, one_track(note() + event), "data byte must be in range 0 to 127")
    for status in (0xF4, 0xF5, 0xF9, 0xFD):
        data = one_track(note() + bytes([0, status, 0]))
        yield unreadable(f"status 0x{status:02X}", data, f"there is no event of status 0x{status:02X}")
    yield unreadable("running status at the start", one_track(b"\x00\x3c\x50" + note()), "running status")
    restart = tracks(note(), b"\x00\x3c\x50")
    yield unreadable("running status from the track before", restart, "running status")
    for size in range(3):
        data = one_track(meta(0x51, bytes(size)) + note())
        yield unreadable(f"a tempo of {size} bytes", data, "a tempo that is cut off")
    for size in range(2):
        data = one_track(meta(0x58, b"\x04"[:size]) + note())
        yield unreadable(f"a metre of {size} bytes", data, "a metre that is cut off")
    yield unreadable("metre 0/4", one_track(meta(0x58, b"\x00\x02\x18\x08") + note()), "a metre of 0 beats")


def impossible_headers() -> Iterator[LabelledFile]:
    for midi_format in (3, 4, 256, 0xFFFF):
        reason = f"there is no MIDI format {midi_format}"
        yield unreadable(f"format {midi_format}", header(midi_format) + track(note()), reason)
    several = header(2, 2) + track(note()) + track(note(64))
    yield unreadable("format 2", several, "several independent sequences (MIDI format 2)")
    yield unreadable("no tracks announced", header(1, 0) + track(note()), "holds no tracks")
    for announced in (2, 3, 1000):
        data = header(1, announced) + track(note())
        yield unreadable(f"one track of {announced}", data, f"track 2 of {announced:,} is missing")
    for frames in (1, 12, 23, 26, 28, 31, 60, 128):
        data = one_track(note(), (0x100 - frames) << 8 | 40)
        yield unreadable(f"SMPTE: {frames} frames", data, f"film frames (SMPTE), but in {frames} a second")
    for frames in (24, 25, 29, 30):
        data = one_track(note(), (0x100 - frames) << 8)
        yield unreadable(f"SMPTE: {frames} frames of 0 ticks", data, "of 0 ticks")
    yield unreadable("no track, only another chunk", header() + chunk(b"XTrk", note()), "no MTrk header")


def without_notes() -> Iterator[LabelledFile]:
    for name, data in {
        "an empty track": one_track(b""),
        "a track of 0 bytes": header() + chunk(b"MTrk", b""),
        "ten empty tracks": tracks(*[b""] * 10),
        "a note without end": one_track(on(60)),
        "strikes at the end of the track": one_track(on(60) + on(60) + on(60)),
        "a note of length 0": one_track(note(duration=0)),
        "ends only": one_track(off(60) + off(60)),
        "texts only": one_track(meta(1, b"hello") + meta(5, b"la")),
        "controllers only": one_track(b"\x00\xb0\x07\x64\x00\x40\x7f"),
        "a note after the end of the track": header() + chunk(b"MTrk", END_OF_TRACK + note()),
    }.items():
        yield unreadable(f"without notes: {name}", data, "holds no notes")


# Odd but valid


def running_status() -> Iterator[LabelledFile]:
    between = {
        "a tempo": tempo(500_000),
        "a text": meta(1, b"text"),
        "an unknown meta event": meta(0x4B, b"\x00\x01"),
        "a clock": b"\x00\xf8",
        "an active sense": b"\x00\xfe",
        "a sysex": b"\x00\xf0\x03\x7e\x09\xf7",
        "an escape": b"\x00\xf7\x02\x7e\x09",
    }
    lost = {"a clock", "an active sense", "a sysex", "an escape"}
    for name, event in between.items():
        data = one_track(on(60) + event + b"\x60\x3c\x00")
        why = "mido takes the status of the system event" if name in lost else ""
        yield odd(f"running status over {name}", data, C4, differs=why)
    both = [C4, E4]
    yield odd(
        "running status, note-ons only",
        one_track(b"\x00\x90\x3c\x50\x60\x3c\x00\x00\x40\x50\x60\x40\x00"),
        *both,
    )
    ends = on(60) + on(64) + off(60) + b"\x00\x40\x40"
    yield odd("running status of note-offs", one_track(ends), C4, (0, 96, 64, 80, 0, False))
    yield odd("running status of controllers", one_track(b"\x00\xb0\x07\x64\x00\x0a\x40" + note()), C4)
    programs = one_track(b"\x00\xc0\x05\x00\x06" + note())
    yield odd("running status of programs", programs, (0, 96, 60, 80, 6, False))
    bends = one_track(b"\x00\xe0\x00\x40\x00\x00\x41" + note())
    yield odd("running status of pitch bends", bends, C4)
    for velocity in (0, 1, 64, 127):
        data = one_track(on(60) + off(60, velocity=velocity))
        yield odd(f"a note-off of velocity {velocity}", data, C4)
    yield odd("a note-on of velocity 0 ends a note", one_track(on(60) + on(60, 96, velocity=0)), C4)


def wrappers() -> Iterator[LabelledFile]:
    def riff(*parts: tuple[bytes, bytes]) -> bytes:
        padded = [n + struct.pack("<L", len(data)) + data + bytes(len(data) % 2) for n, data in parts]
        body = b"RMID" + b"".join(padded)
        return b"RIFF" + struct.pack("<L", len(body)) + body

    even, uneven = one_track(note()), one_track(meta(1, b"x") + note() + meta(1, b""))
    why = "mido knows no RMID"
    info = (b"LIST", b"INFOINAM\x04\x00\x00\x00name")
    yield odd("RMID", riff((b"data", even)), C4, differs=why)
    yield odd("RMID of uneven length", riff((b"data", uneven)), C4, differs=why)
    yield odd("RMID with a title before", riff(info, (b"data", even)), C4, differs=why)
    yield odd("RMID with a title after", riff((b"data", even), info), C4, differs=why)
    yield odd("RMID after a part of uneven length", riff((b"DISP", b"abc"), (b"data", even)), C4, differs=why)
    yield odd(
        "RMID with an embedded sound bank", riff((b"data", even), (b"RIFF", bytes(99))), C4, differs=why
    )
    wrong = b"RIFF" + bytes(4) + riff((b"data", even))[8:]
    yield odd("RMID of announced length 0", wrong, C4, differs=why)
    yield odd("RMID with data after it", riff((b"data", even)) + b"junk", C4, differs=why)


def film_time() -> Iterator[LabelledFile]:
    why = "miditoolkit reads a negative resolution"
    for frames in (24, 25, 29, 30):
        for ticks in (1, 3, 4, 8, 10, 40, 80, 100, 255):
            ticks_per_second = {24: 24, 25: 25, 29: 30, 30: 30}[frames] * ticks
            scale = 2 if ticks_per_second % 2 else 1
            data = one_track(b"\x18" + note()[1:] + tempo(250_000), (0x100 - frames) << 8 | ticks)
            yield odd(
                f"SMPTE: {frames} frames of {ticks} ticks",
                data,
                (24 * scale, 96 * scale, 60, 80, 0, False),
                ticks_per_beat=ticks_per_second * scale // 2,
                tempos=((0, 120 / 1.001 if frames == 29 else 120.0),),
                differs=why,
            )


def resolutions() -> Iterator[LabelledFile]:
    for division in (1, 2, 3, 5, 24, 48, 100, 120, 192, 240, 384, 480, 960, 1000, 1024, 15_360, 32_767):
        yield odd(f"{division} ticks a beat", one_track(note(), division), C4, ticks_per_beat=division)
    longest = 2**28 - 1
    data = one_track(on(60, longest) + off(60), 32_767)
    yield odd("the longest time", data, (longest, 96, 60, 80, 0, False), ticks_per_beat=32_767)
    for num_bytes in (2, 3, 4, 5):
        data = one_track(quantity(0, num_bytes) + b"\x90\x3c\x50" + quantity(96, num_bytes) + b"\x80\x3c\x00")
        yield odd(f"times padded to {num_bytes} bytes", data, C4)


def tempos() -> Iterator[LabelledFile]:
    slow, fast = 1_000_000, 300_000  # 60 and 200 beats a minute
    for microseconds in (1, 2, 16_667, 333_333, 500_001, 0xFFFFFF):
        data = one_track(tempo(microseconds) + note())
        yield odd(f"{microseconds} microseconds a beat", data, C4, tempos=((0, 60e6 / microseconds),))
    changing = one_track(tempo(slow) + on(60) + tempo(fast, 48) + off(60, 48) + tempo(slow))
    yield odd("tempos during a note", changing, C4, tempos=((0, 60.0), (48, 200.0), (96, 60.0)))
    late = one_track(note() + tempo(slow, 1000))
    yield odd("a tempo after the music", late, C4, tempos=((0, 120.0), (1096, 60.0)))
    twice = one_track(tempo(slow) + tempo(fast) + note())
    yield odd("two tempos at the start", twice, C4, tempos=((0, 200.0),))
    again = one_track(note() + tempo(slow) + tempo(fast))
    why = "miditoolkit keeps both of one tick"
    yield odd("two tempos at one tick", again, C4, tempos=((0, 120.0), (96, 200.0)), differs=why)
    same = one_track(tempo(slow) + note() + tempo(slow))
    yield odd("a tempo repeated", same, C4, tempos=((0, 60.0),))
    default = one_track(note() + tempo(500_000) + tempo(slow, 96))
    yield odd("the tempo that is the default", default, C4, tempos=((0, 120.0), (192, 60.0)))
    later = tracks(note(), tempo(slow, 48))
    yield odd("a tempo in the second track", later, C4, tempos=((0, 120.0), (48, 60.0)))
    mixed = tracks(tempo(slow, 200), note() + tempo(fast))
    yield odd("tempos of two tracks", mixed, C4, tempos=((0, 120.0), (96, 200.0), (200, 60.0)))
    forgotten = tracks(tempo(slow, 48), tempo(fast) + note())
    why = "a tempo at tick 0 makes miditoolkit forget those before"
    yield odd("a first tempo in the last track", forgotten, C4, tempos=((0, 200.0), (48, 60.0)), differs=why)
    hidden = tracks(tempo(slow, 48) + tempo(fast, 144), tempo(fast, 96) + note(), b"")
    expected = ((0, 120.0), (48, 60.0), (96, 200.0))
    moved = (96, 96, 60, 80, 0, False)
    why = "miditoolkit compares tempos in the order of the tracks"
    yield odd("equal tempos of two tracks", hidden, moved, tempos=expected, differs=why)
    long = one_track(meta(0x51, b"\x0f\x42\x40\x00\x00") + note())
    yield odd("a tempo of 5 bytes", long, C4, tempos=((0, 60.0),))


def metres() -> Iterator[LabelledFile]:
    for numerator, power in ((1, 0), (2, 1), (3, 2), (6, 3), (13, 4), (255, 5), (4, 6), (4, 7)):
        data = one_track(meta(0x58, bytes([numerator, power, 24, 8])) + note())
        yield odd(f"metre {numerator}/{2**power}", data, C4)
    for power in (8, 31, 255):
        data = one_track(meta(0x58, bytes([4, power, 24, 8])) + note())
        why = "mido takes it for no power of 2" if power == 31 else ""
        yield odd(f"metre 4/2^{power}", data, C4, differs=why)
    short = one_track(meta(0x58, b"\x04\x02") + note())
    yield odd("a metre without clocks", short, C4, differs="mido wants all its 4 bytes")
    change = one_track(note() + meta(0x58, b"\x03\x02\x18\x08") + note(64) + meta(0x58, b"\x06\x03\x24\x08"))
    yield odd("metres that change", change, C4, E4)


def pairing() -> Iterator[LabelledFile]:
    def at(onset: int, duration: int, velocity: int = 80, pitch: int = 60) -> Note:
        return (onset, duration, pitch, velocity, 0, False)

    nested = on(60) + on(60, 24, velocity=70)
    yield odd(
        "overlap: first to begin ends first",
        one_track(nested + off(60, 24) + off(60, 24)),
        at(0, 48),
        at(24, 48, 70),
    )
    three = nested + on(60, 24, velocity=60) + off(60, 24) + off(60, 24) + off(60, 24)
    yield odd("overlap of three", one_track(three), at(0, 72), at(24, 72, 70), at(48, 72, 60))
    apart = on(60) + on(60, 24, channel=1) + off(60, 24) + off(60, 24, channel=1)
    yield odd("overlap on two channels", one_track(apart), at(0, 48), at(24, 48))
    yield odd("overlap in two tracks", tracks(note(), b"\x30" + note()[1:]), at(0, 96), at(48, 96))
    touch = on(60) + on(60, 96) + off(60, 0) + off(60, 96)
    yield odd("a note begun before its like has ended", one_track(touch), at(0, 96), at(96, 96))
    yield odd("a note repeated at once", one_track(note() + note()), at(0, 96), at(96, 96))
    yield odd("a second end", one_track(note() + off(60) + note(64)), at(0, 96), at(192, 96, pitch=64))
    yield odd("an end before the beginning", one_track(off(60, 0) + note()), C4)
    yield odd("a note of length 0 beside others", one_track(note(70, duration=0) + note()), C4)
    yield odd("a note of length 0 of the same pitch", one_track(note(duration=0) + note()), C4)
    yield odd("a note of one tick", one_track(note(duration=1)), at(0, 1))
    yield odd("notes twice in a track", one_track(on(60) + on(60) + off(60) + off(60, 0)), C4)
    yield odd("notes twice in two tracks", tracks(note(), note()), C4)
    yield odd("notes twice, the second louder", tracks(note(), note(velocity=90)), at(0, 96, 90))
    yield odd(
        "notes twice on two channels", one_track(on(60) + on(60, channel=3) + off(60) + off(60, 0, 3)), C4
    )
    longer = tracks(note(), note(duration=97))
    yield odd("notes of one onset, unequal in length", longer, at(0, 96), at(0, 97))
    yield odd(
        "a chord of 128 notes",
        one_track(b"".join(map(on, range(128))) + off(0) + b"".join(off(p, 0) for p in range(1, 128))),
        *(at(0, 96, pitch=p) for p in range(128)),
    )
    yield odd("velocity 1", one_track(note(velocity=1)), at(0, 96, 1))
    yield odd("velocity 127", one_track(note(velocity=127)), at(0, 96, 127))


def endings() -> Iterator[LabelledFile]:
    """Notes that no note-off of their own track ends, and hits of no length."""

    def at(onset: int, duration: int, pitch: int = 60, velocity: int = 80) -> Note:
        return (onset, duration, pitch, velocity, 0, False)

    def hit(onset: int, duration: int = 1) -> Note:
        return (onset, duration, 36, 80, 0, True)

    why = "miditoolkit drops notes without a note-off, and takes that of the next"
    hung = on(60) + b"\x60" + note()[1:]
    yield odd("strike ends a note never ended", one_track(hung), at(0, 96), at(96, 96), differs=why)
    four = b"".join(on(60, 96 if i else 0) for i in range(4)) + off(60)
    yield odd("four strikes, one end", one_track(four), *(at(96 * i, 96) for i in range(4)), differs=why)
    nested = on(60) + on(60, 24, velocity=70) + off(60, 24)
    yield odd("overlap, one of two ended", one_track(nested), at(0, 24), at(24, 24, 60, 70), differs=why)
    several = on(60) + 3 * (on(60, 48) + off(60, 48))
    rest = [at(48 + 96 * i, 48) for i in range(3)]
    yield odd("a note never ended, then three", one_track(several), at(0, 48), *rest, differs=why)
    touching = on(60) + on(60, 48) + off(60, 0) + on(60, 48) + off(60, 0) + b"\x30\xff\x01\x00"
    thirds = [at(48 * i, 48) for i in range(3)]
    yield odd("the last of touching notes never ended", one_track(touching), *thirds, differs=why)
    twice = on(60, velocity=70) + on(60) + off(60) + note(64)
    yield odd(
        "struck twice at once, ended once", one_track(twice), at(0, 96), E4, differs="it keeps the first"
    )
    first = off(64, 48) + on(64, 0) + note(64)
    yield odd("end before a note of its tick", one_track(first), (48, 96, 64, 80, 0, False))
    ended = on(50) + note() + note(64)
    yield odd("end of the track ends a note", one_track(ended), C4, E4, at(0, 192, 50), differs=why)
    yield odd("ended on another channel", one_track(on(60) + off(60, channel=1)), C4, differs=why)
    yield odd("ended at another pitch", one_track(on(60) + off(61)), C4, differs=why)
    early = tracks(on(50) + note(), note(64) + note(64) + note(64))
    three = [(96 * i, 96, 64, 80, 0, False) for i in range(3)]
    yield odd("end of its own track ends a note", early, C4, at(0, 96, 50), *three, differs=why)
    late = tracks(on(50), note(64) + note(64))
    yield odd("end of the file ends a note", late, at(0, 192, 50), *three[:2], differs=why)
    why = "miditoolkit pairs by track"
    yield odd("ended in another track", tracks(on(60), off(60)), C4, differs=why)
    yield odd("ended in an earlier track", tracks(off(60) + note(64), on(60)), C4, E4, differs=why)
    legato = tracks(on(60) + on(60, 48) + note(50), off(60, 60) + off(60, 36))
    notes = at(0, 60), at(48, 48), at(48, 96, 50)
    yield odd("two ended in another track", legato, *notes, differs=why)
    other = tracks(on(60), b"\x30" + on(60)[1:] + off(60, 96))
    yield odd("struck in another track", other, at(0, 48), at(48, 96), differs=why)
    strays = tracks(note(), b"\x30\x80\x3c\x00" + note(64)[:-4] + off(64))
    yield odd("an end too many in another track", strays, C4, (48, 96, 64, 80, 0, False))
    for number in (120, 123, 124, 125, 126, 127):
        silence = bytes([0xB0, number, 0])
        why = "miditoolkit passes over controllers"
        two = on(60) + on(62) + b"\x30" + silence + off(60, 48) + note(64)
        notes = at(0, 48), at(0, 48, 62), E4
        yield odd(f"controller {number} ends notes", one_track(two), *notes, differs=why)
    silence = b"\xb0\x7b\x00"
    again = on(60) + b"\x30" + silence + on(60, 0) + off(60, 48)
    yield odd("All Notes Off between strikes", one_track(again), at(0, 48), at(48, 48), differs=why)
    struck = on(60) + b"\x00" + silence + off(60)
    yield odd("All Notes Off after a strike of its tick", one_track(struck), C4)
    other = on(60) + b"\x30\xb1\x7b\x00" + off(60, 48)
    yield odd("All Notes Off on another channel", one_track(other), C4)
    apart = tracks(on(60), b"\x30" + silence + note(64))
    notes = at(0, 48), (48, 96, 64, 80, 0, False)
    yield odd("All Notes Off in another track", apart, *notes, differs=why)
    kept = tracks(note(), b"\x30" + silence)
    yield odd("All Notes Off in another track, a note ended in its own", kept, C4)
    why = "miditoolkit drops notes of no length"
    brief = note(36, 9, duration=0)
    yield odd("hits of no length", one_track(brief + b"\x60" + brief[1:]), hit(0), hit(96), differs=why)
    silent = on(36, 0, 9) + on(36, 0, 9, velocity=0) + note(64)
    yield odd("a hit of no length, velocity 0", one_track(silent), hit(0), (0, *E4[1:]), differs=why)
    long = one_track(brief + note(36, 9) + brief)
    yield odd("hits of a tick and of a beat", long, hit(0), hit(0, 96), hit(96), differs=why)
    before = 3 * (off(36, 48, 9) + on(36, 0, 9)) + off(36, 48, 9) + note(64)
    hits = [hit(48 * i, 48) for i in (1, 2, 3)]
    yield odd("ends before hits of their ticks", one_track(before), *hits, (192, 96, 64, 80, 0, False))
    last = one_track(note(64) + on(36, 0, 9))
    yield odd("a hit at the end of the track", last, (0, *E4[1:]), hit(96), differs=why)


GM_ON, GM2_ON = b"\x7e\x7f\x09\x01\xf7", b"\x7e\x7f\x09\x03\xf7"
GS_RESET = b"\x41\x10\x42\x12\x40\x00\x7f\x00\x41\xf7"
XG_ON = b"\x43\x10\x4c\x00\x00\x7e\x00\xf7"


def sysex_event(data: bytes, delta: int = 0, status: int = 0xF0) -> bytes:
    return quantity(delta) + bytes([status]) + quantity(len(data)) + data


def gs_part(part: int, rhythm: int) -> bytes:
    return bytes([0x41, 0x10, 0x42, 0x12, 0x40, 0x10 | part, 0x15, rhythm, 0x00, 0xF7])


def xg_part(part: int, mode: int) -> bytes:
    return bytes([0x43, 0x10, 0x4C, 0x08, part, 0x07, mode, 0xF7])


def bank(number: int, channel: int) -> bytes:
    return bytes([0, 0xB0 + channel, 0, number])


def kits() -> Iterator[LabelledFile]:
    """Drums on other channels than 10, and channel 10 that is melodic."""
    why = "miditoolkit knows no drums but channel 10"

    def kit(label: str, before: bytes, *, channel: int, is_drum: bool, number: int = 16) -> LabelledFile:
        data = before + program(number, channel) + note(40, channel)
        played = (0, 96, 40, 80, 0 if is_drum else number, is_drum)
        usual = is_drum == (channel == 9)
        return odd(f"kit: {label}", one_track(data), played, differs="" if usual else why)

    on_channel_11 = {
        "GS part 11": sysex_event(GS_RESET) + sysex_event(gs_part(0xA, 1)),
        "GS part 11, no reset": sysex_event(gs_part(0xA, 2)),
        "GS part 11, in an escape": sysex_event(b"\xf0" + gs_part(0xA, 1), status=0xF7),
        "XG part 11": sysex_event(XG_ON) + sysex_event(xg_part(10, 2)),
        "XG bank 127": sysex_event(XG_ON) + bank(127, 10),
        "XG bank 126": sysex_event(XG_ON) + bank(126, 10),
        "bank 127, no reset": bank(127, 10),
        "bank 120, no reset": bank(120, 10),
        "GM2 bank 120": sysex_event(GM2_ON) + bank(120, 10),
        "GM, then XG": sysex_event(GM_ON) + sysex_event(XG_ON) + bank(127, 10),
    }
    for label, before in on_channel_11.items():
        yield kit(label, before, channel=10, is_drum=True)
    melodic = {
        "GS bank 127, of the MT-32": sysex_event(GS_RESET) + bank(127, 10),
        "GM bank 127": sysex_event(GM_ON) + bank(127, 10),
        "GM2 bank 121": sysex_event(GM2_ON) + bank(121, 10),
        "bank 1": bank(1, 10),
        "XG bank 64": sysex_event(XG_ON) + bank(64, 10),
        "GS part 11, reset again": sysex_event(gs_part(0xA, 1)) + sysex_event(GM_ON, 1),
        "XG bank 127, then 0": sysex_event(XG_ON) + bank(127, 10) + program(1, 10) + bank(0, 10),
        "bank 127, no program yet": sysex_event(XG_ON) + program(16, 10) + bank(127, 10)[:-1] + b"\x00",
        "GS part 12": sysex_event(gs_part(0xB, 1)),
        "GS of another model": sysex_event(gs_part(0xA, 1).replace(b"\x42", b"\x45")),
        "GS, cut off": sysex_event(gs_part(0xA, 1)[:7]),
    }
    for label, before in melodic.items():
        if label.endswith("reset again"):
            shifted = before + program(16, 10) + note(40, 10)
            yield odd(f"kit: {label}", one_track(shifted), (1, 96, 40, 80, 16, False))
        else:
            yield kit(label, before, channel=10, is_drum=False)
    channel_10 = {
        "GS part 10 melodic": sysex_event(gs_part(0, 0)),
        "XG part 10 melodic": sysex_event(XG_ON) + sysex_event(xg_part(9, 0)),
        "XG bank 0 on channel 10": sysex_event(XG_ON) + bank(0, 9),
        "GM2 bank 121 on channel 10": sysex_event(GM2_ON) + bank(121, 9),
    }
    for label, before in channel_10.items():
        yield kit(label, before, channel=9, is_drum=False)
    for label, before in {
        "bank 0 on channel 10": bank(0, 9),
        "bank 121 on channel 10, no reset": bank(121, 9),
        "GM bank 0 on channel 10": sysex_event(GM_ON) + bank(0, 9),
        "GS bank 0 on channel 10": sysex_event(GS_RESET) + bank(0, 9),
        "XG, no bank": sysex_event(XG_ON),
        "XG bank 127 on channel 10": sysex_event(XG_ON) + bank(127, 9),
    }.items():
        yield kit(label, before, channel=9, is_drum=True)
    switch = program(16, 10) + note(40, 10) + sysex_event(gs_part(0xA, 1)) + note(40, 10)
    switch += sysex_event(gs_part(0xA, 0)) + note(40, 10)
    three = [(96 * i, 96, 40, 80, 0 if i == 1 else 16, i == 1) for i in range(3)]
    yield odd("kit: for a while", one_track(switch), *three, differs=why)
    apart = tracks(sysex_event(GS_RESET) + sysex_event(gs_part(0xA, 1)), program(16, 10) + note(40, 10))
    yield odd("kit: in another track", apart, (0, 96, 40, 80, 0, True), differs=why)
    brief = sysex_event(gs_part(0xA, 1)) + note(40, 10, duration=0)
    yield odd("kit: a hit of no length", one_track(brief), (0, 1, 40, 80, 0, True), differs=why)


def ports() -> Iterator[LabelledFile]:
    def port(number: int) -> bytes:
        return meta(0x21, bytes([number]))

    piano, violin = (0, 96, 60, 80, 0, False), (0, 96, 60, 80, 40, False)
    why = "miditoolkit knows no ports"
    both = tracks(port(0) + program(40), port(1) + note(), port(0) + note())
    yield odd("ports: programs of their own", both, piano, violin, differs="it reads programs by track")
    drums = tracks(port(0) + note(36, 9), port(1) + note(38, 9))
    hits = [(0, 96, pitch, 80, 0, True) for pitch in (36, 38)]
    yield odd("ports: channel 10 of each is drums", drums, *hits)
    part = tracks(port(0) + sysex_event(gs_part(0xA, 1)) + note(40, 10), port(1) + note(60, 10))
    why_kit = "miditoolkit knows no drums but channel 10"
    yield odd("ports: kits of their own", part, (0, 96, 40, 80, 0, True), piano, differs=why_kit)
    held = tracks(port(0) + on(60), port(1) + off(60), port(0) + off(60, 48))
    yield odd("ports: ends of their own", held, (0, 48, 60, 80, 0, False), differs=why)
    silence = tracks(port(0) + on(60), port(1) + b"\x30\xb0\x7b\x00", port(0) + off(60))
    yield odd("ports: silences of their own", silence, C4, differs=why)
    change = port(0) + on(60) + port(1) + on(60, 48) + off(60, 48) + port(0) + off(60, 48)
    notes = (0, 144, 60, 80, 0, False), (48, 48, 60, 80, 0, False)
    yield odd("ports: one track changes", one_track(change), *notes, differs=why)
    single = tracks(program(40), port(1) + note())
    yield odd("ports: all notes on one", single, violin, differs="it reads programs by track")


def unknown_events() -> Iterator[LabelledFile]:
    shifted = (48, 96, 60, 80, 0, False)
    why = "mido loses the time of meta events of unknown type"
    for kind in (0x08, 0x0A, 0x10, 0x1F, 0x22, 0x30, 0x4B, 0x50, 0x5A, 0x60, 0x7E, 0x80, 0xC0, 0xFE):
        data = one_track(meta(kind, b"\x01\x02", 48) + note())
        yield odd(f"meta event 0x{kind:02X}", data, shifted, differs=why)
    long = one_track(meta(0x7F, bytes(range(256)) * 80) + note())
    yield odd("20,000 bytes for one sequencer", long, C4)
    alien = chunk(b"XFIH", b"\x00\x90\x3c\x50")
    why = "mido refuses chunks of other types"
    for name, data in {
        "before the track": header() + alien + track(note()),
        "of length 0": header() + chunk(b"\x00\x00\x00\x00", b"") + track(note()),
        "that holds a track": header() + chunk(b"LIST", track(note(64))) + track(note()),
        "between tracks": header(1, 2) + track(b"") + alien + track(note()),
        "of odd length": header() + chunk(b"abcd", b"x") + track(note()),
    }.items():
        yield odd(f"a chunk of another type {name}", data, C4, differs=why)


def sysex() -> Iterator[LabelledFile]:
    for name, event in {
        "GM reset": b"\x00\xf0\x05\x7e\x7f\x09\x01\xf7",
        "of length 0": b"\x00\xf0\x00",
        "without its end": b"\x00\xf0\x02\x7e\x09",
        "in packets": b"\x00\xf0\x02\x43\x12\x00\xf7\x02\x10\xf7",
        "an escape": b"\x00\xf7\x02\x40\x41",
        "an escape of length 0": b"\x00\xf7\x00",
        "of 300 bytes": b"\x00\xf0" + quantity(300) + bytes(299) + b"\xf7",
    }.items():
        yield odd(f"sysex: {name}", one_track(event + note()), C4)
    inside = b"\x00\xf7\x03\x90\x40\x50"
    yield odd("sysex: a note in an escape", one_track(inside + note()), C4, differs="mido refuses its bytes")
    moved = (48, 96, 60, 80, 0, False)
    yield odd("sysex: takes its time", one_track(b"\x30\xf0\x02\x7e\xf7" + note()), moved)
    yield odd("sysex: an escape takes its time", one_track(b"\x30\xf7\x02\x7e\xf7" + note()), moved)


def track_ends() -> Iterator[LabelledFile]:
    yield odd("no end of track", header() + track(note(), end=b""), C4)
    yield odd(
        "no end of the first track", header(1, 2) + track(note(), end=b"") + track(note(64)), C4, (0, *E4[1:])
    )
    yield odd("a late end of track", header() + track(note(), end=b"\x8f\xff\x7f\xff\x2f\x00"), C4)
    why = "mido reads on after the end of a track"
    yield odd(
        "zeros after the end of the track",
        header() + track(note() + END_OF_TRACK, end=bytes(16)),
        C4,
        differs=why,
    )
    yield odd(
        "notes after the end of the track",
        header() + track(note() + END_OF_TRACK + note(64)),
        C4,
        differs=why,
    )
    yield odd(
        "junk after the end of the track",
        header() + track(note() + END_OF_TRACK, end=b"junk"),
        C4,
        differs=why,
    )
    data = header() + track(note(), end=b"\x00\xff\x2f\x02\x00\x00")
    yield odd("an end of track with data", data, C4)
    for name, junk in {
        "zeros": bytes(300),
        "a byte": b"\x1a",
        "a text": b"made with love",
        "a tag": b"TAG" + bytes(125),
        "half a chunk": b"MTrk\x00\x00\xff\xff\x00",
        "a track too many": track(note(64)),
        "another chunk": chunk(b"XFKM", b"karaoke"),
    }.items():
        yield odd(f"after the last track: {name}", one_track(note()) + junk, C4)
    zero = chunk(b"MTrk", b"")
    why = "miditoolkit asks for the last event of a track without any"
    for name, data in {
        "first": header(1, 2) + zero + track(note()),
        "last": header(1, 2) + track(note()) + zero,
        "in between": header(1, 3) + track(b"") + zero + track(note()),
    }.items():
        yield odd(f"a track of 0 bytes {name}", data, C4, differs=why)
    yield odd("format 0 with two tracks", header(0, 2) + track(note()) + track(note(64)), C4, (0, *E4[1:]))
    yield odd("format 1 with one track", header(1) + track(note()), C4)
    many = tracks(*(note(pitch) for pitch in range(100)))
    yield odd("100 tracks", many, *((0, 96, pitch, 80, 0, False) for pitch in range(100)))


def instruments() -> Iterator[LabelledFile]:
    def played(by: int, onset: int = 0, pitch: int = 60, is_drum: bool = False) -> Note:
        return (onset, 96, pitch, 80, by, is_drum)

    for channel in range(16):
        data = one_track(program(19, channel) + note(channel=channel))
        is_drum = channel == 9
        yield odd(f"channel {channel + 1}", data, played(0 if is_drum else 19, is_drum=is_drum))
    for number in (0, 1, 64, 127):
        yield odd(f"program {number}", one_track(program(number) + note()), played(number))
    why = "miditoolkit takes the program at the end of a note"
    during = on(60) + program(40, delta=48) + off(60, 48)
    yield odd("a program during a note", one_track(during), played(0), differs=why)
    during = program(5) + on(60) + program(40, delta=48) + off(60, 48) + note(64)
    yield odd("a program between notes", one_track(during), played(5), played(40, 96, 64), differs=why)
    after = on(60) + program(40) + off(60)
    yield odd("a program after a note at one tick", one_track(after), played(40))
    yield odd("two programs at one tick", one_track(program(3) + program(4) + note()), played(4))
    own = tracks(program(40) + note(), program(41) + note(64))
    yield odd("tracks of one channel with programs of their own", own, played(40), played(41, pitch=64))
    why = "miditoolkit reads programs by track"
    setup = tracks(program(40) + program(41, 1), note(), note(64, 1))
    yield odd("programs in the first track", setup, played(40), played(41, pitch=64), differs=why)
    setup = tracks(note() + note(64), program(40, delta=96))
    yield odd("programs in the last track", setup, played(0), played(40, 96, 64), differs=why)
    setup = tracks(program(40), program(41) + note(), note(64, 1))
    yield odd("a program of one's own before another's", setup, played(41), played(0, pitch=64))
    drums = tracks(note(36, 9), note(60))
    yield odd("drums first", drums, played(0, pitch=36, is_drum=True), played(0))
    yield odd("drums only", one_track(note(36, 9)), played(0, pitch=36, is_drum=True))
    kit = one_track(program(25, 9) + note(36, 9))
    yield odd("a drum kit", kit, played(0, pitch=36, is_drum=True))
    both = tracks(note(60, 9), note(60))
    yield odd("drums and a piano of one pitch", both, played(0, is_drum=True), played(0))
    kits = tracks(program(25, 9) + note(36, 9), program(40, 9) + note(36, 9))
    yield odd("two drum kits in unison", kits, played(0, pitch=36, is_drum=True))


def ignored_messages() -> Iterator[LabelledFile]:
    for name, event in {
        "pedal": b"\x00\xb0\x40\x7f",
        "all notes off": b"\x00\xb0\x7b\x00",
        "all sound off": b"\x00\xb0\x78\x00",
        "bank": b"\x00\xb0\x00\x01\x00\xb0\x20\x02",
        "registered parameter": b"\x00\xb0\x65\x00\x00\x64\x01\x00\x06\x40",
        "pressure of a key": b"\x00\xa0\x3c\x40",
        "pressure of a channel": b"\x00\xd0\x40",
        "pitch bend": b"\x00\xe0\x7f\x7f",
        "song position": b"\x00\xf2\x01\x02",
        "song number": b"\x00\xf3\x01",
        "quarter frame": b"\x00\xf1\x01",
        "tune request": b"\x00\xf6",
        "start": b"\x00\xfa",
        "stop": b"\x00\xfc",
    }.items():
        yield odd(f"{name} is passed over", one_track(event + note()), C4)
    pedal = one_track(b"\x00\xb0\x40\x7f" + note() + b"\x60\xb0\x40\x00")
    yield odd("a pedal does not lengthen a note", pedal, C4)


def texts() -> Iterator[LabelledFile]:
    names = {
        "latin-1": "Für Élise".encode("latin-1"),
        "UTF-8": "Für Élise, 月光".encode(),
        "Shift-JIS": "月光".encode("shift_jis"),
    }
    for kind in (1, 2, 3, 4, 5, 6, 7):
        for name, data in names.items():
            yield odd(f"text 0x{kind:02X} in {name}", one_track(meta(kind, data) + note()), C4)
    for name, data in {
        "empty": b"",
        "zeros": bytes(40),
        "every byte": bytes(range(256)),
        "5,000 bytes": b"long " * 1000,
        "karaoke": b"@KMIDI KARAOKE FILE",
        "a newline": b"two\nlines\r\n",
    }.items():
        yield odd(f"a name of {name}", one_track(meta(3, data) + note()), C4)


def broken_details() -> Iterator[LabelledFile]:
    """Events that hold no music, broken: the music is read all the same."""
    for name, event in {
        "key signature of 9 sharps": meta(0x59, b"\x09\x00"),
        "key signature of 8 flats": meta(0x59, b"\xf8\x00"),
        "key signature in mode 7": meta(0x59, b"\x00\x07"),
        "key signature of 0 bytes": meta(0x59, b""),
        "key signature of 1 byte": meta(0x59, b"\x00"),
        "film offset of 0 bytes": meta(0x54, b""),
        "film offset out of range": meta(0x54, b"\xff" * 5),
        "channel prefix of 0 bytes": meta(0x20, b""),
        "sequence number of 1 byte": meta(0x00, b"\x01"),
    }.items():
        yield odd(f"broken {name}", one_track(event + note()), C4, differs="mido refuses the file")
    for name, event in {
        "key signature of 3 bytes": meta(0x59, b"\x00\x00\x00"),
        "channel prefix 200": meta(0x20, b"\xc8"),
        "port of 0 bytes": meta(0x21, b""),
        "sequence number of 0 bytes": meta(0x00, b""),
    }.items():
        yield odd(f"broken {name}", one_track(event + note()), C4)


def headers() -> Iterator[LabelledFile]:
    for extra in (1, 2, 4, 100):
        data = b"MThd" + struct.pack(">LHHH", 6 + extra, 0, 1, DIVISION) + bytes(extra) + track(note())
        yield odd(f"a header with {extra} bytes more", data, C4)
    for announced in (1, 2):
        data = header(1, announced) + track(note()) + track(note(64)) + track(note(67))
        notes = [(0, 96, pitch, 80, 0, False) for pitch in (60, 64)[:announced]]
        yield odd(f"{announced} of 3 tracks announced", data, *notes)


# Hostile


def hostile() -> Iterator[LabelledFile]:
    """Files meant to cost time or memory; what they must give is in the table."""
    refused: dict[str, tuple[Callable[[], bytes], str]] = {
        "a track of 4 GB announced": (
            lambda: header() + b"MTrk\xff\xff\xff\xff" + note(),
            "middle of a track",
        ),
        "a chunk of 4 GB announced": (
            lambda: header() + b"XFIH\xff\xff\xff\xff" + note(),
            "4,294,967,295 bytes",
        ),
        "a header of 4 GB announced": (
            lambda: b"MThd\xff\xff\xff\xff" + one_track(note())[8:],
            "header announces",
        ),
        "a wrapper of 4 GB": (lambda: b"RIFF" + b"\xff" * 4 + b"RMIDLIST" + b"\xff" * 4 + bytes(99), "RMID"),
        "a wrapper of a million parts": (lambda: b"RIFF" + bytes(4) + b"RMID" + bytes(8_000_000), "RMID"),
        "a text of 256 MB announced": (
            lambda: one_track(b"\x00\xff\x01\xff\xff\xff\x7f" + note()),
            "runs over",
        ),
        "a sysex of 256 MB announced": (lambda: one_track(b"\x00\xf0\xff\xff\xff\x7f" + note()), "runs over"),
        "a time that never ends": (lambda: one_track(note() + b"\xff" * 1_000_000), "more than 5 bytes"),
        "a time of a million zeros": (lambda: one_track(b"\x80" * 1_000_000 + note()), "more than 5 bytes"),
        "a length that never ends": (
            lambda: one_track(b"\x00\xff\x01" + b"\xff" * 1_000_000),
            "more than 5 bytes",
        ),
        "a time of a megabyte": (
            lambda: one_track(b"\x81" * 1_000_000 + b"\x00\x90\x3c\x50"),
            "more than 5 bytes",
        ),
        "the longest time 1,000 times": (
            lambda: one_track(1000 * (b"\xff\xff\xff\x7f" + note()[1:])),
            "at most 100,000 are read",
        ),
        "the longest time 400,000 times": (
            lambda: one_track(on(60) + 400_000 * b"\xff\xff\xff\x7f\xb0\x07\x64" + off(60)),
            "at most 100,000 are read",
        ),
        "77 hours of silence": (
            lambda: one_track(on(60, 2**28 - 1, 0) + off(60)),
            "at most 100,000 are read",
        ),
        "silence of a beat a tick": (
            lambda: one_track(on(60, 2**27) + off(60), 1),
            "at most 100,000 are read",
        ),
        "a note of 77 hours": (lambda: one_track(on(60) + off(60, 2**28 - 1)), "at most 100,000 are read"),
        "a million notes never ended": (
            lambda: one_track(b"\x00\x90\x3c\x50" + 999_999 * b"\x00\x3c\x50"),
            "too many notes",
        ),
        "200,000 notes never ended": (
            lambda: one_track(on(60) + 200_000 * b"\x00\x3c\x50"),
            "holds no notes",
        ),
        "a million notes": (
            lambda: one_track(on(60) + 500_000 * b"\x01\x3c\x00\x00\x3c\x50"),
            "too many notes",
        ),
        "a million notes in 500 tracks": (
            lambda: tracks(*[on(60) + 1000 * b"\x01\x3c\x00\x00\x3c\x50"] * 500),
            "too many notes",
        ),
        "notes that pile up": (
            lambda: one_track(on(60) + 100_000 * b"\x01\x3c\x50" + 100_000 * b"\x00\x3c\x00"),
            "beats together; at most 2,000,000 are read",
        ),
        "a million tempos": (
            lambda: one_track(1_000_000 * tempo(500_000, 1) + note()),
            "too many changes of tempo",
        ),
        "a million metres": (
            lambda: one_track(500_000 * meta(0x58, b"\x04\x02\x18\x08", 1) + note()),
            "too many changes of metre",
        ),
        "a million programs": (
            lambda: one_track(b"\x00\xc0\x01" + 500_000 * b"\x00\x02\x00\x01" + note()),
            "too many changes of program",
        ),
        "six million events": (
            lambda: one_track(b"\x00\xd0\x01" + 6_000_000 * b"\x00\x01"),
            "too many events",
        ),
        "three million empty events": (lambda: one_track(3_000_000 * b"\x00\xff\x01\x00"), "too many events"),
        "ten million clocks": (lambda: one_track(9_900_000 * b"\x00\xf8"), "too many events"),
        "ten thousand tracks": (lambda: tracks(*[note()] * 10_000), "too many tracks: 10,000; at most 1,000"),
        "65,535 tracks announced": (lambda: header(1, 65_535) + track(note()), "too many tracks: 65,535"),
        "a million chunks": (
            lambda: header() + 1_000_000 * chunk(b"junk", b"") + track(note()),
            "are not tracks",
        ),
        "division 0": (lambda: one_track(note(), 0), "its beat has 0 ticks"),
        "tempo 0": (lambda: one_track(tempo(0) + note()), "a tempo without duration"),
        "a megabyte of tracks cut": (
            lambda: header(1, 900) + 800 * track(900 * b"\x00\xf8"),
            "track 801 of 900 is missing",
        ),
        "19 MB of zeros": (lambda: header() + bytes(19_000_000), "is damaged"),
        "19 MB of spaces": (lambda: b" " * 19_000_000, "begin with MThd"),
        "20 MB and more": (
            lambda: one_track(note()) + bytes(20_000_000),
            "too large: 20.0 MB; at most 20 MB",
        ),
    }
    for label, (make, reason) in refused.items():
        yield LabelledFile(f"hostile: {label}", "hostile", make, reason=reason)
    yield from _hostile_but_read()


def _hostile_but_read() -> Iterator[LabelledFile]:
    repeated = tuple((tick, 1, 60, 80, 0, False) for tick in range(100_000))
    read = partial(LabelledFile, kind="hostile")
    yield read(
        "hostile: 100,000 notes",
        make=lambda: one_track(b"\x00\x90\x3c\x50" + 99_999 * b"\x01\x3c\x00\x00\x3c\x50" + b"\x01\x3c\x00"),
        notes=repeated,
    )
    piled = tuple((0, 1 + i, 60, 80, 0, False) for i in range(15_000))
    yield read(
        "hostile: 15,000 notes of one pitch at once",
        make=lambda: one_track(b"\x00\x90\x3c\x50" + 14_999 * b"\x00\x3c\x50" + 15_000 * b"\x01\x3c\x00"),
        notes=piled,
    )
    yield read(
        "hostile: a million ends", make=lambda: one_track(note() + 900_000 * b"\x00\x3c\x40"), notes=(C4,)
    )
    yield read(
        "hostile: 10 MB of text", make=lambda: one_track(meta(1, bytes(10_000_000)) + note()), notes=(C4,)
    )
    yield read(
        "hostile: 19 MB after the last track", make=lambda: one_track(note()) + bytes(19_000_000), notes=(C4,)
    )
    yield read(
        "hostile: 100,000 strikes, one end",
        make=lambda: one_track(b"\x00\x90\x3c\x50" + 99_999 * b"\x01\x3c\x50" + b"\x01\x3c\x00"),
        notes=repeated,
    )
    silences = b"\x00\xb0\x7b\x00" + 800_000 * b"\x01\x7b\x00"
    yield read(
        "hostile: 100,000 strikes, 800,000 silences in another track",
        make=lambda: tracks(b"\x00\x90\x3c\x50" + 99_999 * b"\x01\x3c\x50", silences),
        notes=repeated,
    )
    yield read("hostile: 800,000 silences", make=lambda: one_track(note() + silences), notes=(C4,))
    yield read(
        "hostile: 100,000 changes of port",
        make=lambda: one_track(50_000 * (meta(0x21, b"\x00", 1) + on(60) + meta(0x21, b"\x01", 1) + on(60))),
        notes=(*((1 + tick, 2, 60, 80, 0, False) for tick in range(99_998)), (99_999, 1, 60, 80, 0, False)),
    )
    yield read("hostile: 900 tracks", make=lambda: tracks(*[note()] * 900), notes=(C4,))
    yield read(
        "hostile: 900 chunks of other types",
        make=lambda: header() + 900 * chunk(b"junk", b"") + track(note()),
        notes=(C4,),
    )
    yield read(
        "hostile: a tempo past every limit",
        make=lambda: one_track(note() + 1000 * tempo(400_000, 2**28 - 1) + 1000 * tempo(300_000, 2**28 - 1)),
        notes=(C4,),
    )
    yield read(
        "hostile: an end of track past every limit",
        make=lambda: header() + track(note(), end=b"\xff\xff\xff\x7f\xff\x2f\x00"),
        notes=(C4,),
    )
    yield read(
        "hostile: 50,000 beats of silence",
        make=lambda: one_track(note() + on(64, 4_800_000) + off(64)),
        notes=(C4, (4_800_096, 96, 64, 80, 0, False)),
    )


# The file system


# Scores


SCORE_C4: Note = (0, 480, 60, 80, 0, False)
SCORE_E4: Note = (480, 480, 64, 80, 0, False)
XML_NOTE = "<note><pitch><step>{}</step><octave>4</octave></pitch><duration>{}</duration></note>"
TUNE = "X:{}\nT:Tune\nM:4/4\nL:1/4\nK:C\n{}|\n"
KERN = "**kern\n*M4/4\n4c\n4e\n*-\n"


def music_xml(notes: str | None = None, prolog: str = "", root: str = "score-partwise") -> bytes:
    """A MusicXML score of one bar; two beats, C and E, unless told otherwise. A beat is one division."""
    notes = XML_NOTE.format("C", 1) + XML_NOTE.format("E", 1) if notes is None else notes
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prolog}<{root}><part-list><score-part id="P1">'
        f'<part-name>P1</part-name></score-part></part-list><part id="P1"><measure number="1"><attributes>'
        f"<divisions>1</divisions></attributes>{notes}</measure></part></{root}>"
    ).encode()


def archive(method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> bytes:
    """A zip archive of `a_xml` as a.xml and so on, and of `container` as its table of contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as opened:
        for name, data in files.items():
            entry = "META-INF/container.xml" if name == "container" else name.replace("_", ".")
            opened.writestr(zipfile.ZipInfo(entry), data, method)
    return buffer.getvalue()


def score_files() -> list[LabelledFile]:
    """Every score, in a fixed order."""
    makers = (unreadable_xml, unreadable_archives, unreadable_texts, odd_scores, hostile_scores)
    return [file for maker in makers for file in maker()]


def unreadable_xml() -> Iterator[LabelledFile]:
    page = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>"
    pixels = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
    whole = music_xml()
    for label, data, reason in (
        ("empty", b"", "file is empty"),
        ("not XML", b"C E G C, please play this\n", "is no XML"),
        ("MIDI", one_track(note()), "is no XML"),
        ("zeros", bytes(500), "is no XML"),
        ("a web page", page, "its outermost element is <html>"),
        ("a picture in SVG", pixels, "its outermost element is <svg>"),
        ("only a comment", b"<!-- nothing -->", "is no XML"),
        ("of an unknown encoding", b'<?xml version="1.0" encoding="UTF-x"?><score-partwise/>', "is no XML"),
        ("said to be ordered by measures", music_xml(root="score-timewise"), "holds no notes"),
        *((f"cut at byte {size}", whole[:size], "is no XML") for size in (1, 20, 50)),
        *((f"cut at byte {size}", whole[:size], "is damaged") for size in (70, 150, 250, len(whole) - 1)),
        ("without parts", b"<score-partwise/>", "holds no notes"),
        ("only a rest", music_xml("<note><rest/><duration>4</duration></note>"), "holds no notes"),
        ("an octave of 99", music_xml(XML_NOTE.replace("4<", "99<").format("C", 1)), "is damaged"),
        ("a step that is none", music_xml(XML_NOTE.format("Q", 1)), "is damaged"),
        ("a duration that is none", music_xml(XML_NOTE.format("C", "long")), "is damaged"),
    ):
        yield unreadable(f"MusicXML: {label}", data, reason, ".xml")


def unreadable_archives() -> Iterator[LabelledFile]:
    container = b"<container><rootfiles/></container>"
    whole = archive(score_xml=music_xml())
    for label, data, reason in (
        ("empty", b"", "file is empty"),
        ("not an archive", b"hello", "is no XML"),
        ("without a root file", archive(container=container, cover_png=b"\x89PNG"), "without a score"),
        ("with nothing in it", archive(), "is no XML"),
        ("with a web page in it", archive(score_xml=b"<html/>"), "element is <html>"),
        ("of another compression", archive(zipfile.ZIP_LZMA, score_xml=music_xml()), "other means"),
        *((f"cut at byte {size}", whole[:size], "is damaged") for size in (10, 50, len(whole) - 1)),
        ("with a byte changed", whole[:60] + bytes([whole[60] ^ 0xFF]) + whole[61:], "is damaged"),
    ):
        yield unreadable(f".mxl: {label}", data, reason, ".mxl")


def unreadable_texts() -> Iterator[LabelledFile]:
    for label, data, reason in (
        ("empty", b"", "file is empty"),
        ("without tunes", b"% a book that is still to be written\n", "holds no tune in ABC"),
        ("a web page", b"<html><body>X:1</body></html>", "holds no tune in ABC"),
        ("a tune without notes", TUNE.format(1, "z4").encode(), "holds no notes"),
    ):
        yield unreadable(f"ABC: {label}", data, reason, ".abc")
    for label, data, reason in (
        ("empty", b"", "file is empty"),
        ("not Humdrum", b"hello\n", "no **kern spine"),
        ("only words", b"**text\nla\n*-\n", "no **kern spine"),
        ("without notes", KERN.replace("4c", "4r").replace("4e", "4r").encode(), "holds no notes"),
    ):
        yield unreadable(f"Humdrum: {label}", data, reason, ".krn")


def odd_scores() -> Iterator[LabelledFile]:
    both = (SCORE_C4, SCORE_E4)
    fetched = '<!DOCTYPE score-partwise SYSTEM "http://127.0.0.1:9/partwise.dtd">'
    container = b"<container><rootfiles><rootfile full-path='b.xml'/></rootfiles></container>"
    other = music_xml(XML_NOTE.format("G", 1))
    utf_16 = music_xml().decode().replace("UTF-8", "UTF-16").encode("utf-16")
    for label, suffix, data in (
        ("MusicXML", ".xml", music_xml()),
        ("MusicXML: a document type to fetch", ".musicxml", music_xml(prolog=fetched)),
        ("MusicXML: UTF-16", ".musicxml", utf_16),
        ("MusicXML: a byte order mark", ".xml", b"\xef\xbb\xbf" + music_xml()),
        (".mxl", ".mxl", archive(score_xml=music_xml())),
        (".mxl: not packed", ".mxl", music_xml()),
        (".mxl: stored", ".mxl", archive(zipfile.ZIP_STORED, score_xml=music_xml())),
        (".mxl: the second of two", ".mxl", archive(a_xml=other, b_xml=music_xml(), container=container)),
        (".mxl: called .xml", ".xml", archive(score_xml=music_xml())),
        ("ABC: one tune", ".abc", TUNE.format(1, "CE").encode()),
        ("ABC: no number", ".abc", b"M:4/4\nL:1/4\nK:C\nCE|\n"),
        ("ABC: carriage returns", ".abc", TUNE.format(1, "CE").replace("\n", "\r\n").encode()),
        ("ABC: latin-1", ".abc", TUNE.replace("Tune", "Für").format(1, "CE").encode("latin-1")),
        ("Humdrum", ".krn", KERN.encode()),
    ):
        yield odd(label, data, *both, suffix=suffix)
    three = "\n".join(TUNE.format(i, tune) for i, tune in enumerate(("C", "zE", "zzG"), start=1))
    g4 = (960, 480, 67, 80, 0, False)
    yield odd("ABC: three tunes", three.encode(), *both, g4, suffix=".abc")
    shared = "L:1/4\n\nX:1\nM:4/4\nK:C\nC|\n\nX:2\nM:4/4\nK:C\nzE|\n"
    yield odd("ABC: a unit of length for two tunes", shared.encode(), *both, suffix=".abc")


def hostile_scores() -> Iterator[LabelledFile]:
    """Files meant to cost time or memory, to run something or to fetch something."""
    laughs = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
    bomb = f'<!DOCTYPE score-partwise [<!ENTITY l0 "ha">{laughs}]>'
    external = '<!DOCTYPE score-partwise [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    parameter = '<!DOCTYPE score-partwise [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]>'
    many = "<note/>" * 250_001
    deep = "<a>" * 10**5 + "</a>" * 10**5
    long_tune = TUNE.format(1, "C" * 3_000_000)
    long_kern = KERN.replace("4c\n", "4c\n" * 10**6)
    blank = f"<!--{' ' * 19_000_000}-->"
    bars = "</measure><measure>".join([XML_NOTE.format("C", 1)] * 20_001)
    kern_of_bars = KERN.replace("4c", "4c\n=\n" * 2_001 + "4c")
    held = XML_NOTE.format("C", 10**9)
    for label, suffix, make, reason in (
        ("MusicXML: billion laughs", ".xml", lambda: music_xml("&l9;", bomb), "XML entities"),
        ("MusicXML: billion laughs in UTF-16", ".xml", lambda: wide(music_xml("&l9;", bomb)), "XML entities"),
        ("MusicXML: a file as an entity", ".xml", lambda: music_xml("&x;", external), "XML entities"),
        ("MusicXML: an address as an entity", ".xml", lambda: music_xml("", parameter), "XML entities"),
        ("MusicXML: 250,001 notes", ".xml", lambda: music_xml(many), "too many notes"),
        ("MusicXML: a note of 10^9 beats", ".xml", lambda: music_xml(held), "1,000,000,000 beats"),
        ("MusicXML: 20,001 bars", ".xml", lambda: music_xml(bars), "is too long: 20,001 bars"),
        ("ABC: 2,001 bars", ".abc", lambda: TUNE.format(1, "C|" * 2_001).encode(), "is too long: 2,001 bars"),
        ("Humdrum: 2,001 bars", ".krn", kern_of_bars.encode, "2,001 bars"),
        ("MusicXML: 20 MB", ".xml", lambda: music_xml(" " * 20_000_000), "file is too large: 20.0 MB"),
        ("MusicXML: a comment of 19 MB", ".xml", lambda: music_xml(prolog=blank), "no element begins"),
        ("MusicXML: a comment of 19 MB inside", ".xml", lambda: music_xml(blank + "<!"), "is damaged"),
        ("MusicXML: 100,000 elements deep", ".xml", lambda: music_xml(deep), "holds no notes"),
        (".mxl: 2 GB of zeros", ".mxl", lambda: zeros_archive(2_000), "unpacks to more than 20 MB"),
        (".mxl: 100,000 files", ".mxl", many_files_archive, "more than 1,000 files"),
        (
            "ABC: 3 MB of notes",
            ".abc",
            long_tune.encode,
            "is too large: 3.0 MB",
        ),
        ("ABC: a million tunes", ".abc", lambda: b"X:1\nK:C\n" * 10**6, "many tunes: 1,000,000; at"),
        ("ABC: a note of 10^12 beats", ".abc", lambda: TUNE.format(1, "C" + "9" * 12).encode(), " beats"),
        (
            "Humdrum: 3 MB",
            ".krn",
            long_kern.encode,
            "is too large: 3.0 MB",
        ),
    ):
        yield LabelledFile(label, "hostile", make, reason=reason, suffix=suffix)


def wide(document: bytes) -> bytes:
    return document.decode().replace("UTF-8", "UTF-16").encode("utf-16")


def zeros_archive(megabytes: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        info = zipfile.ZipInfo("score.xml")
        info.compress_type = zipfile.ZIP_DEFLATED
        with opened.open(info, "w") as member:
            for _ in range(megabytes):
                member.write(bytes(1_000_000))
    return buffer.getvalue()


def many_files_archive() -> bytes:
    return b"PK\x03\x04" + b"PK\x01\x02" * 100_000


def make_path_oddities(folder: Path) -> dict[Path, str]:
    """Files whose trouble is not in their bytes, with the reason to refuse each; "" if it must be read."""
    folder.mkdir(parents=True, exist_ok=True)
    good = one_track(note())
    found: dict[Path, str] = {}
    names = [
        *(
            "new\nline.mid",
            "a=b.mid",
            "100%.mid",
            "%(name)s.mid",
            "'single'.mid",
            '"double".mid',
            "$HOME.mid",
        ),
        *("tab\t.mid", "back\\slash.mid", "trailing space .mid", "-rf.mid", "[a].mid", "*.mid", "月光.mid"),
        *("LOUD.MID", "long.MIDI", "é.mid", "e\u0301.mid", "\u202eevil.mid", "{x}.mid", "x" * 240 + ".mid"),
        *("#1.mid", ";ls.mid", "~.mid", "null.mid.mid", "\x1b[31mred.mid", os.fsdecode(b"\xff\xfe.mid")),
    ]
    for name in names:
        try:
            (folder / name).write_bytes(good)
        except OSError:  # not every file system takes every name
            continue
        found[folder / name] = ""
    (folder / "folder.mid").mkdir()
    (folder / "folder.mid" / "inside.mid").write_bytes(good)
    found[folder / "folder.mid" / "inside.mid"] = ""
    deep = folder.joinpath(*["deep"] * 40)
    deep.mkdir(parents=True)
    (deep / "deep.mid").write_bytes(good)
    found[deep / "deep.mid"] = ""
    _make_links(folder, found)
    with (folder / "sparse.mid").open("wb") as file:
        file.write(good)
        file.truncate(5_000_000_000)
    found[folder / "sparse.mid"] = "too large: 5,000.0 MB; at most 20 MB"
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.mid")
        found[folder / "pipe.mid"] = "is not a regular file"
    if hasattr(os, "geteuid") and os.geteuid() != 0:  # root reads everything
        (folder / "secret.mid").write_bytes(good)
        (folder / "secret.mid").chmod(0)
        found[folder / "secret.mid"] = "cannot be opened: Permission denied"
    return found


def _make_links(folder: Path, found: dict[Path, str]) -> None:
    (folder / "good").write_bytes(one_track(note()))
    (folder / "link.mid").symlink_to("good")
    (folder / "loop.mid").symlink_to("loop.mid")
    (folder / "there.mid").symlink_to("back.mid")
    (folder / "back.mid").symlink_to("there.mid")
    (folder / "nowhere.mid").symlink_to("missing")
    (folder / "device.mid").symlink_to("/dev/zero")
    (folder / "around").symlink_to(".")
    found[folder / "link.mid"] = ""
    for name in ("loop", "there", "back"):
        found[folder / f"{name}.mid"] = "cannot be opened: Too many levels of symbolic links"
    found[folder / "nowhere.mid"] = "cannot be opened: No such file or directory"
    found[folder / "device.mid"] = "is not a regular file"


def mutant(data: bytes, random: Random) -> bytes:
    """The bytes with one to four changes: bytes set, bits flipped, parts cut out, doubled or overwritten."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(changed) or 1)
        length = random.choice((1, 2, 4, random.randint(1, 64)))
        match random.randrange(6):
            case 0:
                changed[place : place + 1] = bytes(
                    [random.choice((0, 0x7F, 0x80, 0xFF, random.randrange(256)))]
                )
            case 1:
                changed[place : place + 1] = bytes(
                    byte ^ 1 << random.randrange(8) for byte in changed[place : place + 1]
                )
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = changed[place : place + length]
            case 4:
                changed[place : place + length] = random.randbytes(length)
            case _:
                changed[place : place + 4] = random.choice((b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff"))
    return bytes(changed)


def write_files(folder: Path) -> dict[Path, LabelledFile]:
    """Write every file of `all_files`, each in a folder of its kind."""
    written = {}
    for number, file in enumerate(all_files()):
        path = folder / file.kind / f"{number:03d}.mid"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.make())
        written[path] = file
    return written


if __name__ == "__main__":
    for path, file in write_files(Path(sys.argv[1])).items():
        print(f"{path}\t{file.label}\t{file.reason or f'{len(file.notes)} notes'}")
    for number, file in enumerate(score_files()):
        path = Path(sys.argv[1], "scores", f"{number:03d}{file.suffix}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.make())
        print(f"{path}\t{file.label}\t{file.reason or f'{len(file.notes)} notes'}")
    make_path_oddities(Path(sys.argv[1]) / "paths")
