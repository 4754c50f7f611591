"""A piece -> MusicXML, which music21 writes: a part an instrument, voices, ties over bars.

Times are rounded to 1/48 of a quarter note, which holds the grids of 1/12, 1/16 and 1/24. What lasts longer
than a note can, or runs over a bar, is tied. Loudness is not written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
from music21 import chord, clef, instrument, key, layout, meter, note, pitch, stream, tempo, tie
from music21.musicxml.m21ToXml import ScoreExporter
from music21.stream.makeNotation import makeAccidentalsInMeasureStream, makeBeams, makeTupletBrackets

import noternn
from noternn.music.instruments import program_name
from noternn.music.keys import NO_KEY, Key, key_of, spelled
from noternn.music.midi_writer import DRUM_CHANNEL, as_played
from noternn.music.piece import Piece

GRID = 48  # steps of a quarter note
KEYBOARDS = (*range(9), *range(16, 21), 46)  # programs on two staves: pianos, celesta, organs, harp
MIDDLE_C = 60  # from it on the right hand plays; a staff of a lower mean pitch has a bass clef
FIELD = "noternn"  # of the miscellaneous ones
PLACES = {  # of drums on the staff, by their MIDI pitch; all others are on the third line
    35: "F4", 36: "F4", 38: "C5", 40: "C5", 42: "G5", 44: "D4", 46: "G5", 41: "G4", 43: "A4",
    45: "B4", 47: "D5", 48: "E5", 50: "F5", 49: "A5", 57: "A5", 51: "F5", 59: "F5",
}  # fmt: skip
DOCTYPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE score-partwise PUBLIC '
    '"-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n'
)
# Steps that one note can last: from four quarter notes down, dotted, and of triplets.
PLAIN = sorted(
    {int(f * GRID / 2**k) for f in (4, 6, Fraction(8, 3)) for k in range(8) if (f * GRID / 2**k) % 1 == 0}
)


class _Chord(NamedTuple):
    """Notes that begin and end together, in steps."""

    onset: int
    end: int
    pitches: tuple[int, ...]


class _Bar(NamedTuple):
    """From a step on, up to another, with its metre if it begins there."""

    start: int
    end: int
    metre: tuple[int, int] | None


@dataclass(frozen=True)
class _Staff:
    """Notes on one staff.

    Args:
        voices: chords of each, one after the other.
        is_bass: whether it has a bass clef.
        is_drum: whether it has drums.
    """

    voices: Sequence[Sequence[_Chord]]
    is_bass: bool
    is_drum: bool


def musicxml_file(piece: Piece, text: str = "") -> bytes:
    """The bytes of a MusicXML document of a piece; equal pieces give equal bytes.

    Args:
        piece: what is written. As in MIDI files a note ends where its instrument strikes its pitch again.
        text: that the document says among its miscellaneous fields; none if empty.
    """
    notes = as_played(_on_grid(piece))
    bars, found = _bars(piece), key_of(piece) or NO_KEY
    score = stream.Score()
    instruments = sorted({(note.is_drum, note.program) for note in notes}) or [(False, 0)]
    for number, (is_drum, program) in enumerate(instruments, 1):
        own = [note for note in notes if (note.is_drum, note.program) == (is_drum, program)]
        parts = [
            _part(staff, bars, found, f"P{number}-{k}", 4 * k)
            for k, staff in enumerate(_staves(own, is_drum, program))
        ]
        parts[0].insert(0, _instrument(is_drum, program, f"P{number}"))
        for part in parts:
            score.insert(0, part)
        if len(parts) > 1:
            score.insert(0, layout.StaffGroup(parts, symbol="brace"))
    _set_tempos(score.parts.first(), piece, bars)
    root = ScoreExporter(score, makeNotation=False).parse()
    _set_words(root, piece.name, text)
    if instruments[-1][0]:
        _set_drums(root, f"P{len(instruments)}")
    indent(root)
    return (DOCTYPE + tostring(root, encoding="unicode") + "\n").encode()


def _on_grid(piece: Piece) -> Piece:
    onset, end = (
        np.rint(times * (GRID / piece.ticks_per_beat)).astype(np.int64)
        for times in (piece.onset, piece.onset + piece.duration)
    )
    return replace(piece, onset=onset, duration=np.maximum(1, end - onset), ticks_per_beat=GRID)


def _bars(piece: Piece) -> list[_Bar]:
    """The bars in steps, the last of them full."""
    step = GRID / piece.ticks_per_beat
    metres = {round(tick * step): (over, under) for tick, over, under in piece.metres if over > 0}
    metres.setdefault(0, (4, 4))
    starts = [round(tick * step) for tick in piece.bar_ticks(max(1, piece.end))]
    last = metres[max(tick for tick in metres if tick <= starts[-1])]
    ends = [*starts[1:], starts[-1] + round(4 * GRID * last[0] / last[1])]
    return [_Bar(a, b, metres.get(a)) for a, b in zip(starts, ends, strict=True) if a < b]


def _staves(notes: Sequence[Any], is_drum: bool, program: int) -> list[_Staff]:
    """One staff, or two of an instrument of two hands that plays high and low."""
    high = [note for note in notes if note.pitch >= MIDDLE_C]
    low = [note for note in notes if note.pitch < MIDDLE_C]
    hands = [high, low] if not is_drum and program in KEYBOARDS and high and low else [notes]
    means = [np.mean([note.pitch for note in hand] or [MIDDLE_C]) for hand in hands]
    return [
        _Staff(_voices(hand), bool(mean < MIDDLE_C), is_drum) for hand, mean in zip(hands, means, strict=True)
    ]


def _voices(notes: Sequence[Any]) -> list[list[_Chord]]:
    """Chords in voices in which none overlap, the highest first."""
    together: dict[tuple[int, int], list[int]] = {}
    for note_ in notes:
        together.setdefault((note_.onset, note_.end), []).append(note_.pitch)
    chords = [_Chord(onset, end, tuple(sorted(p))) for (onset, end), p in together.items()]
    voices: list[list[_Chord]] = []
    for one in sorted(chords, key=lambda c: (c.onset, -c.pitches[-1], c.end)):
        free = next((voice for voice in voices if voice[-1].end <= one.onset), None)
        if free is None:
            voices.append([one])
        else:
            free.append(one)
    return voices


def _part(staff: _Staff, bars: Sequence[_Bar], found: Key, name: str, first_voice: int) -> Any:
    """A part of music21 with all bars."""
    part = stream.PartStaff(id=name)
    for number, bar in enumerate(bars, 1):
        measure = stream.Measure(number=number)
        if number == 1:
            measure.insert(0, _clef(staff))
            if not staff.is_drum:
                measure.insert(0, key.Key(_tonic(found), "minor" if found.is_minor else "major"))
        if bar.metre:
            measure.insert(0, meter.TimeSignature("{}/{}".format(*bar.metre)))
        for k, voice in enumerate(staff.voices or [[]]):
            measured = _voice(voice, bar, found, is_first=k == 0)
            if measured is not None:
                measured.id = str(first_voice + k + 1)
                measure.insert(0, measured)
        part.append(measure)
    makeAccidentalsInMeasureStream(part)
    for measure in part.getElementsByClass(stream.Measure):
        for voice in measure.voices:
            makeTupletBrackets(voice, inPlace=True)
    makeBeams(part, inPlace=True)
    return part


def _clef(staff: _Staff) -> clef.Clef:
    if staff.is_drum:
        return clef.PercussionClef()
    return clef.BassClef() if staff.is_bass else clef.TrebleClef()


def _tonic(found: Key) -> str:
    """As music21 names it."""
    step, alteration, _ = spelled(7 * (found.fifths + 3 * found.is_minor) % 12, found)
    return step + ("#" * alteration if alteration > 0 else "-" * -alteration)


def _voice(chords: Sequence[_Chord], bar: _Bar, found: Key, is_first: bool) -> stream.Voice | None:
    """What a voice does in a bar; None for one without notes, unless it is the first."""
    inside = [one for one in chords if one.onset < bar.end and one.end > bar.start]
    if not inside and not is_first:
        return None
    voice, now = stream.Voice(), bar.start
    for one in inside:
        start, end = max(one.onset, bar.start), min(one.end, bar.end)
        _insert_rests(voice, now, start, bar, is_shown=is_first)
        for first, last in lengths(start - bar.start, end - bar.start):
            element = _notes(one, found)
            element.quarterLength = Fraction(last - first, GRID)
            before, after = bar.start + first > one.onset, bar.start + last < one.end
            if before or after:
                element.tie = tie.Tie("continue" if before and after else "stop" if before else "start")
            voice.insert(Fraction(first, GRID), element)
        now = end
    _insert_rests(voice, now, bar.end, bar, is_shown=is_first)
    return voice


def _insert_rests(voice: stream.Voice, start: int, end: int, bar: _Bar, is_shown: bool) -> None:
    """Fill a gap; hidden rests stand for what other programs might place in their own way."""
    for first, last in lengths(start - bar.start, end - bar.start):
        rest = note.Rest(quarterLength=Fraction(last - first, GRID))
        rest.style.hideObjectOnPrint = not is_shown
        voice.insert(Fraction(first, GRID), rest)


def lengths(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Parts of a span in a bar, in steps, each as long as one note can be; beats are kept in sight."""
    while start < end:
        rest, in_beat = end - start, start % GRID
        if rest in PLAIN and (in_beat == 0 or in_beat + rest <= GRID or (in_beat * 2 == GRID and rest <= 96)):
            length = rest
        elif in_beat == 0 and rest > GRID:
            length = max(p for p in PLAIN if p <= rest and p % GRID == 0)
        else:
            left = min(rest, GRID - in_beat)
            ways = [p for p in PLAIN if p <= left]
            length = max((p for p in ways if p == left or left - p in PLAIN), default=ways[-1])
        yield start, start + length
        start += length


def _notes(one: _Chord, found: Key) -> note.Note | chord.Chord:
    names = [spelled(pitch_, found) for pitch_ in one.pitches]
    pitches = [pitch.Pitch(step=s, accidental=a or None, octave=o) for s, a, o in names]
    return note.Note(pitches[0]) if len(pitches) == 1 else chord.Chord(pitches)


def _instrument(is_drum: bool, program: int, name: str) -> instrument.Instrument:
    made = instrument.Instrument()
    made.partId, made.instrumentId = name, f"{name}-I1"
    made.partName = made.instrumentName = "Drums" if is_drum else program_name(program)
    made.midiProgram, made.midiChannel = program, DRUM_CHANNEL if is_drum else None
    return made


def _set_tempos(part: stream.Part, piece: Piece, bars: Sequence[_Bar]) -> None:
    measures = list(part.getElementsByClass(stream.Measure))
    for tick, bpm in piece.tempos:
        at = round(tick * GRID / piece.ticks_per_beat)
        for bar, measure in zip(bars, measures, strict=True):
            if bar.start <= at < bar.end:
                mark = tempo.MetronomeMark(number=round(bpm, 3), referent=1.0)
                measure.insert(Fraction(at - bar.start, GRID), mark)


def _set_words(root: Element, title: str, text: str) -> None:
    """What the document says of itself, without the date."""
    for found in root.findall("movement-title"):
        found.text = title or "Sample"
    head = root.find("identification")
    assert head is not None
    for creator in head.findall("creator"):
        creator.text = "NoteRNN"
    for encoding in head.findall("encoding"):
        for date in encoding.findall("encoding-date"):
            encoding.remove(date)
        for software in encoding.findall("software"):
            software.text = f"NoteRNN {noternn.__version__} with {software.text}"
    if text:
        SubElement(SubElement(head, "miscellaneous"), "miscellaneous-field", name=FIELD).text = text


def _set_drums(root: Element, part_id: str) -> None:
    """Let the notes of a part be strokes on drums, each of which is an instrument of its own."""
    (part,) = (part for part in root.findall("part") if part.get("id") == part_id)
    used = set()
    for element in part.iter("note"):
        pitch_ = element.find("pitch")
        if pitch_ is None:
            continue
        step, alter, octave = (pitch_.findtext(name, "0") for name in ("step", "alter", "octave"))
        number = pitch.Pitch(step=step, octave=int(octave)).midi + int(alter)
        used.add(number)
        for accidental in element.findall("accidental"):
            element.remove(accidental)
        place = PLACES.get(number, "C5")
        pitch_.clear()
        pitch_.tag = "unpitched"
        SubElement(pitch_, "display-step").text = place[0]
        SubElement(pitch_, "display-octave").text = place[1]
        at = [child.tag for child in element].index("voice")
        element.insert(at, Element("instrument", id=f"{part_id}-D{number}"))
    (head,) = (head for head in root.iter("score-part") if head.get("id") == part_id)
    for old in [*head.findall("score-instrument"), *head.findall("midi-instrument")]:
        head.remove(old)
    for number in sorted(used):
        SubElement(
            SubElement(head, "score-instrument", id=f"{part_id}-D{number}"), "instrument-name"
        ).text = f"Drum {number}"
    for number in sorted(used):
        midi = SubElement(head, "midi-instrument", id=f"{part_id}-D{number}")
        SubElement(midi, "midi-channel").text = str(DRUM_CHANNEL + 1)
        SubElement(midi, "midi-unpitched").text = str(number + 1)
