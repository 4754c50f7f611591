"""One part of a MusicXML score -> its bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import floor
from typing import NamedTuple
from xml.etree.ElementTree import Element

from noternn.errors import PieceError
from noternn.music.limits import Limits, check_beats
from noternn.music.musicxml_instruments import Instrument, Instruments, guessed_key
from noternn.music.musicxml_signs import (
    Levels,
    Mark,
    ending_numbers,
    marks_of,
    place_of,
    read_sound_signs,
    read_words,
    sound_tempo,
    tempo_of,
    velocity_of,
)
from noternn.music.musicxml_values import (
    attribute_number,
    bar_units,
    beat_units,
    decimal,
    is_common,
    metre_of,
    shown,
    table,
    type_units,
    whole,
)
from noternn.music.notation import UNITS_PER_BEAT, Bar, Note, check_number_of_notes
from noternn.music.remarks import Remarks

MAX_DIVISIONS = 10_000_000  # of a beat
MAX_KEPT = 10_000  # durations and pitches that are worked out once
MAX_PASSAGES = 16  # "as before" in one bar
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ALTERATIONS = table("sharp 1, flat -1, double-sharp 2, sharp-sharp 2, flat-flat -2, double-flat -2")
NOT_PLAYED = table("""
    arpeggiate arpeggios, non-arpeggiate arpeggios, glissando glissandos, slide slides, schleifer slides
    trill-mark trills, shake trills, wavy-line trills, tremolo tremolos, mordent mordents
    inverted-mordent mordents, turn turns, delayed-turn turns, inverted-turn turns, vertical-turn turns
    delayed-inverted-turn turns, inverted-vertical-turn turns, haydn turns
""")  # by element of a note's notations


class Transposition(NamedTuple):
    """How a staff sounds: so many semitones higher, and perhaps once more at a distance of `doubled`."""

    semitones: int | Fraction = 0
    doubled: int = 0


class ReadBar(NamedTuple):
    """A bar, and what its length is to be worked out from.

    Args:
        bar: of length as far as its notes, rests and skips reach; what the parts have in common is not in it.
        number: as the file says it.
        elastic: how far its rests reach that last as long as the bar, in units.
        full: the length of a full bar of its metre, in units; 0 for one that is meant not to be full.
    """

    bar: Bar
    number: str
    elastic: int
    full: int


class PartReader:
    """Reads the bars of a part in their order.

    Args:
        name: of the part, for remarks; "" where there is one only.
        instruments: of the part.
        divisions: of a beat, as long as the part does not say it.
        limits: of which notes and beats are looked at.
        remarks: to add to.
    """

    def __init__(
        self, name: str, instruments: Instruments, divisions: int | Fraction, limits: Limits, remarks: Remarks
    ) -> None:
        self._name, self._instruments, self._limits, self._remarks = name, instruments, limits, remarks
        self._divisions = divisions
        self._lengths: dict[str, int | Fraction] = {}  # by duration as it is written, in these divisions
        self._levels = Levels()
        self._metre: tuple[int, int] | None = None
        self._next_metre: tuple[int, int] | None = None
        self._transpositions: dict[str, Transposition] = {}
        self._percussion_staves: set[str] = set()
        self._ending: tuple[int, ...] = ()
        self._repeated: dict[str, int] = {}  # by staff, of how many bars a pattern is that goes on
        self._beats_repeated: set[str] = set()
        self._pitches: dict[tuple[str | None, ...], int] = {}
        self._done: list[tuple[Bar, list[str]]] = []  # each bar, and the staff of each of its notes
        self._num_notes = 0
        self._start_bar(None)

    def _start_bar(self, measure: Element | None) -> None:
        """Forget what is of the last bar only."""
        number = str(len(self._done) + 1)
        self._is_implicit = measure is not None and measure.get("implicit") == "yes"
        self._number = number if measure is None else measure.get("number", number)
        self._bar = Bar(metre=self._next_metre, endings=self._ending)
        self._next_metre = None
        self._staves: list[str] = []  # of the notes
        self._own: dict[int, int] = {}  # by note, a velocity of its own
        self._marks: list[Mark] = []
        self._metronomes: dict[int, float] = {}
        self._tempos: dict[int, float] = {}
        self._cursor: int | Fraction = 0  # in units, as all times here; exact
        self._onset: int | Fraction = 0  # of the last note, where a chord goes on
        self._reached: int | Fraction = 0
        self._elastic: int | Fraction = 0
        self._repeated_now = dict(self._repeated)
        self._beats: list[tuple[str, int, int]] = [(staff, 0, -1) for staff in sorted(self._beats_repeated)]

    @property
    def _place(self) -> str:
        return place_of(self._name, self._number)

    def read(self, measures: Iterable[Element]) -> list[ReadBar]:
        """The bars of the part.

        Raises:
            PieceError: if there is what no score can have, or too much.
        """
        return [self._read_bar(measure) for measure in measures]

    def _read_bar(self, measure: Element) -> ReadBar:
        self._start_bar(measure)
        for element in measure:
            if element.tag == "note":
                self._read_note(element)
            else:
                reader = _READERS.get(element.tag)
                if reader is not None:
                    reader(self, element)
        self._set_velocities()
        self._repeat_beats()
        self._repeat_bars()
        return self._finished()

    def _finished(self) -> ReadBar:
        bar = self._bar
        tempos = self._metronomes | self._tempos
        bar.tempos = sorted(tempos.items())
        bar.length = max(bar.length, round(self._reached))
        beats = max(bar.length, round(self._elastic)) // UNITS_PER_BEAT
        check_beats(beats, self._limits)
        self._done.append((bar, self._staves))
        full = 0 if self._is_implicit else bar_units(self._metre)
        return ReadBar(bar, self._number, round(self._elastic), full)

    # Times

    def _units(self, text: str) -> int | Fraction:
        """A duration as it is written, in units."""
        units = self._lengths.get(text)
        if units is None:
            duration = decimal(text, "a duration")
            if duration < 0:
                raise PieceError(f"is damaged: a duration of {shown(text)}")
            units = Fraction(duration * UNITS_PER_BEAT) / self._divisions
            units = units.numerator if units.denominator == 1 else units
            if len(self._lengths) < MAX_KEPT:
                self._lengths[text] = units
        return units

    def _reach(self, time: int | Fraction) -> None:
        if time > self._reached:
            self._reached = time

    def _read_backup(self, element: Element) -> None:
        time = self._cursor - self._units(element.findtext("duration") or "0")
        if time < 0:
            self._remarks.add("steps back to before a bar", self._place)
        self._cursor = max(0, time)

    def _read_forward(self, element: Element) -> None:
        self._cursor += self._units(element.findtext("duration") or "0")
        self._reach(self._cursor)

    def _offset(self, element: Element) -> int:
        """Where the sound of a direction begins, which an `<offset>` in it may move."""
        offset = element.find("offset")
        if offset is None or (element.tag == "direction" and offset.get("sound") != "yes"):
            return round(self._cursor)
        divisions = decimal(offset.text or "0", "an offset")
        return max(0, round(self._cursor + Fraction(divisions * UNITS_PER_BEAT) / self._divisions))

    # Notes

    def _read_note(self, element: Element) -> None:
        self._num_notes += 1
        if self._num_notes > self._limits.max_notes:
            check_number_of_notes(self._num_notes, self._limits)
        fields = {child.tag: child for child in element}
        if "grace" in fields:
            self._remarks.add("grace notes not played", self._place)
            return
        length = self._length_of(element, fields)
        if "chord" in fields:
            onset = self._onset
        else:
            onset = self._onset = self._cursor
            self._cursor += length
        if "rest" in fields:
            self._rest(fields, onset + length)
            return
        start, end = round(onset), round(onset + length)
        self._reach(onset + length)
        if "cue" in fields:
            self._remarks.add("cue notes are silent", self._place)
        elif start == end:
            self._remarks.add("notes without length not played", self._place)
        else:
            self._add_note(element, fields, start, end)

    def _rest(self, fields: dict[str, Element], end: int | Fraction) -> None:
        """Reach to the end of a rest; one that is as long as its bar may be as short as the bar."""
        is_elastic = self._is_implicit or "duration" not in fields
        if is_elastic and fields["rest"].get("measure") == "yes":
            self._elastic = max(self._elastic, end)
        else:
            self._reach(end)

    def _length_of(self, element: Element, fields: dict[str, Element]) -> int | Fraction:
        """The length of a note, by its duration or else by its type."""
        duration = fields.get("duration")
        if duration is not None:
            return self._units(duration.text or "")
        if "rest" in fields and fields["rest"].get("measure") == "yes":
            return bar_units(self._metre)
        return type_units(element)

    def _add_note(self, element: Element, fields: dict[str, Element], onset: int, end: int) -> None:
        voice, staff = fields.get("voice"), fields.get("staff")
        staff_name = (staff.text or "1") if staff is not None else "1"
        instrument = self._instrument(fields.get("instrument"))
        tie_in, tie_out = self._ties(element, fields)
        pitch, is_drum = self._sound(fields, instrument, staff_name)
        if pitch is None:
            self._remarks.add("notes without a pitch not played", self._place)
            return
        velocity = self._levels.get(staff_name)
        percent = attribute_number(element, "dynamics") if element.attrib else None
        if percent is not None:
            velocity = self._own[len(self._bar.notes)] = velocity_of(percent)
        program = 0 if is_drum else instrument.program
        voice_name = voice.text if voice is not None else None
        note = Note(onset, end - onset, pitch, tie_in, tie_out, voice_name, velocity, program, is_drum)
        self._keep(note, staff_name)
        doubled = 0 if is_drum else self._transposition(staff_name).doubled
        if doubled:
            self._keep(note._replace(pitch=_checked_pitch(pitch + doubled)), staff_name)
            if percent is not None:
                self._own[len(self._bar.notes) - 1] = velocity

    def _keep(self, note: Note, staff: str) -> None:
        self._bar.notes.append(note)
        self._staves.append(staff)

    def _instrument(self, element: Element | None) -> Instrument:
        return self._instruments.get(None if element is None else element.get("id"))

    def _sound(
        self, fields: dict[str, Element], instrument: Instrument, staff: str
    ) -> tuple[int | None, bool]:
        """The pitch, or for a drum its key, and whether it is a drum; no pitch for a note that says none."""
        pitch, unpitched = fields.get("pitch"), fields.get("unpitched")
        if unpitched is None and pitch is None:
            return None, False
        is_drum = instrument.is_drum or (instrument.key is not None and staff in self._percussion_staves)
        if pitch is not None and not is_drum:
            return self._pitch(pitch, staff, fields.get("accidental")), False
        if instrument.key is not None:
            return instrument.key, True
        if pitch is not None:
            return self._pitch(pitch, ""), True
        self._remarks.add("drum notes whose key was guessed", self._place)
        assert unpitched is not None
        step, octave = unpitched.findtext("display-step"), unpitched.findtext("display-octave")
        return guessed_key(instrument, f"{(step or '').strip()}{(octave or '').strip()}"), True

    def _pitch(self, element: Element, staff: str, accidental: Element | None = None) -> int:
        """The pitch as it sounds; with staff "" as it is written."""
        alter = element.findtext("alter")
        if alter is None and accidental is not None:  # it is only shown
            alter = ALTERATIONS.get((accidental.text or "").strip())
        written = (element.findtext("step"), alter, element.findtext("octave"))
        pitch = self._pitches.get((staff, *written))
        if pitch is None:
            semitones = self._transposition(staff).semitones if staff else 0
            pitch = _checked_pitch(_rounded(self._written_pitch(*written) + semitones))
            if len(self._pitches) < MAX_KEPT:
                self._pitches[staff, *written] = pitch
        return pitch

    def _written_pitch(self, step: str | None, alter: str | None, octave: str | None) -> int | Fraction:
        semitone, number = STEPS.get((step or "").strip()), whole(octave)
        if semitone is None or number is None:
            raise PieceError(f"is damaged: a pitch of {shown(step or '')}, octave {shown(octave or '')}")
        altered = decimal(alter, "an accidental") if alter else 0
        if altered.denominator != 1:
            self._remarks.add("pitches between semitones rounded", self._place)
        return 12 * (number + 1) + semitone + altered

    def _ties(self, element: Element, fields: dict[str, Element]) -> tuple[bool, bool]:
        """Whether a tie leads to a note, and whether one begins at it."""
        kinds = [tie.get("type") for tie in element.findall("tie")] if "tie" in fields else []
        notations = fields.get("notations")
        if notations is not None:
            for child in element.findall("notations"):
                kinds += [tied.get("type") for tied in child.findall("tied")]
                self._read_notations(child, fields)
        if not kinds:
            return False, False
        return "stop" in kinds or "continue" in kinds, "start" in kinds or "continue" in kinds

    def _read_notations(self, notations: Element, fields: dict[str, Element]) -> None:
        """Say what is not played, and read the dynamics of one note."""
        for child in notations:
            if child.tag == "ornaments":
                self._remark_all(ornament.tag for ornament in child)
            elif child.tag == "dynamics":
                staff = fields["staff"].text or "" if "staff" in fields else ""
                self._marks += marks_of(child, round(self._onset), staff, self._remarks, self._place)
            elif child.tag in NOT_PLAYED:
                self._remark_all([child.tag])

    def _remark_all(self, tags: Iterable[str]) -> None:
        for tag in tags:
            if tag in NOT_PLAYED:
                self._remarks.add(f"{NOT_PLAYED[tag]} not played", self._place)

    # Signs

    def _read_attributes(self, element: Element) -> None:
        for child in element:
            if child.tag == "divisions":
                self._set_divisions(child.text or "")
            elif child.tag == "time":
                self._set_metre(child)
            elif child.tag == "transpose":
                self._set_transposition(child)
            elif child.tag == "clef":
                self._set_clef(child)
            elif child.tag == "measure-style":
                self._read_style(child)

    def _set_divisions(self, text: str) -> None:
        divisions = decimal(text, "a number of divisions")
        if not 0 < divisions <= MAX_DIVISIONS:
            raise PieceError(f"is damaged: {shown(text)} divisions of a beat")
        if divisions != self._divisions:
            self._divisions = divisions
            self._lengths.clear()

    def _set_metre(self, time: Element) -> None:
        metre = metre_of(time)
        if time.find("senza-misura") is not None or metre is None:
            self._metre = None
            return
        self._metre = metre
        if not is_common(metre):
            self._remarks.add("metres that MIDI cannot say", self._place)
        elif self._cursor == 0:
            self._bar.metre = metre
        else:
            self._next_metre = metre

    def _set_transposition(self, element: Element) -> None:
        octaves = whole(element.findtext("octave-change")) or 0
        semitones = decimal(element.findtext("chromatic") or "0", "a transposition") + 12 * octaves
        double = element.find("double")
        doubled = 0 if double is None else (12 if double.get("above") == "yes" else -12)
        staff = element.get("number", "")
        if not staff:
            self._transpositions.clear()
        self._transpositions[staff] = Transposition(semitones, doubled)
        self._pitches.clear()

    def _transposition(self, staff: str) -> Transposition:
        if not self._transpositions:
            return Transposition()
        return self._transpositions.get(staff) or self._transpositions.get("") or Transposition()

    def _set_clef(self, element: Element) -> None:
        staff = element.get("number", "1")
        if (element.findtext("sign") or "").strip() == "percussion":
            self._percussion_staves.add(staff)
        else:
            self._percussion_staves.discard(staff)

    def _read_style(self, element: Element) -> None:
        staff = element.get("number", "")
        for child in element:
            if child.tag == "measure-repeat":
                self._set_bars_repeated(staff, child)
            elif child.tag == "beat-repeat":
                self._set_beats_repeated(staff, child)
            elif child.tag == "slash" and child.get("type") == "start":
                self._remarks.add("passages in slashes", self._place)

    def _set_bars_repeated(self, staff: str, element: Element) -> None:
        if element.get("type") == "start" and len(self._repeated_now) < MAX_PASSAGES:
            self._repeated[staff] = self._repeated_now[staff] = max(1, whole(element.text) or 1)
            return
        self._repeated.pop(staff, None)
        if self._cursor == 0:
            self._repeated_now.pop(staff, None)

    def _set_beats_repeated(self, staff: str, element: Element) -> None:
        time = round(self._cursor)
        if element.get("type") == "start" and len(self._beats) < MAX_PASSAGES:
            self._beats_repeated.add(staff)
            self._beats.append((staff, time, -1))
            return
        self._beats_repeated.discard(staff)
        self._beats = [
            (one, start, time if one == staff and end < 0 else end) for one, start, end in self._beats
        ]

    def _read_direction(self, element: Element) -> None:
        offset, staff = self._offset(element), element.findtext("staff") or ""
        sound = element.find("sound")
        has_signs = sound is not None and read_sound_signs(sound, self._bar)
        words: list[str] = []
        for kind in element.findall("direction-type"):
            for child in kind:
                self._read_direction_type(child, offset, staff, has_signs, words)
        if words and not has_signs:
            read_words(words, self._bar, self._cursor == 0, self._remarks, self._place)
        if sound is not None:
            self._read_sound(sound, offset, staff)

    def _read_direction_type(
        self, child: Element, offset: int, staff: str, has_signs: bool, words: list[str]
    ) -> None:
        if child.tag == "dynamics":
            self._marks += marks_of(child, offset, staff, self._remarks, self._place)
        elif child.tag == "metronome":
            tempo = tempo_of(child, self._remarks, self._place)
            if tempo is not None:
                self._metronomes[offset] = tempo
        elif child.tag == "wedge":
            if child.get("type") != "stop":
                self._remarks.add("hairpins not played", self._place)
        elif child.tag == "words":
            words.append(child.text or "")
        elif child.tag in ("segno", "coda") and not has_signs:
            words.append(child.tag)

    def _read_sound(self, sound: Element, offset: int | None = None, staff: str = "") -> None:
        if offset is None:  # it stands in the bar itself
            read_sound_signs(sound, self._bar)
        if offset is None or sound.find("offset") is not None:
            offset = self._offset(sound)
        tempo, percent = sound_tempo(sound), attribute_number(sound, "dynamics")
        if tempo is not None:
            self._tempos[offset] = tempo
        if percent is not None:
            self._marks.append(Mark(offset, staff, velocity_of(percent)))
        self._instruments.change(sound)
        if sound.find("swing") is not None and sound.find("swing/straight") is None:
            self._remarks.add("swing not played", self._place)

    def _read_barline(self, element: Element) -> None:
        is_left = element.get("location", "right") == "left"
        for child in element:
            if child.tag == "repeat":
                self._read_repeat(child, is_left)
            elif child.tag == "ending":
                self._read_ending(child)
            elif child.tag == "segno" and is_left:
                self._bar.segno = True
            elif child.tag == "coda" and is_left:
                self._bar.coda = True

    def _read_repeat(self, element: Element, is_left: bool) -> None:
        if element.get("direction") == "forward":
            self._bar.repeat_start = True
            return
        times = whole(element.get("times")) or 2
        bar = self._done[-1][0] if is_left and self._done else self._bar
        bar.repeat_end = max(1, times)

    def _read_ending(self, element: Element) -> None:
        if element.get("type") == "start":
            self._ending = self._bar.endings = ending_numbers(element)
            self._bar.begins_ending = True
        else:
            self._ending = ()

    # After all of a bar is read

    def _set_velocities(self) -> None:
        """Give the notes of a bar the velocities of the marks in it, wherever in the bar they stand."""
        if not self._marks:
            return
        notes, marks = self._bar.notes, sorted(self._marks, key=lambda mark: mark.offset)
        accents = {(mark.offset, mark.staff): mark.velocity for mark in marks if mark.is_accent}
        lasting = [mark for mark in marks if not mark.is_accent]
        next_mark = 0
        for i in sorted(range(len(notes)), key=lambda i: notes[i].offset):
            onset, staff = notes[i].offset, self._staves[i]
            while next_mark < len(lasting) and lasting[next_mark].offset <= onset:
                self._levels.set(lasting[next_mark].staff, lasting[next_mark].velocity)
                next_mark += 1
            velocity = self._levels.get(staff)
            accent = accents.get((onset, staff), accents.get((onset, ""), 0))
            notes[i] = notes[i]._replace(velocity=self._own.get(i, max(velocity, accent)))
        for mark in lasting[next_mark:]:
            self._levels.set(mark.staff, mark.velocity)

    def _repeat_bars(self) -> None:
        """Fill a bar that is marked "as before" and has no notes."""
        for staff, pattern in self._repeated_now.items():
            if pattern <= len(self._done) and not self._has_notes(staff, 0, None):
                before, _ = self._done[-pattern]
                self._copy(self._notes_of(-pattern, staff), 0)
                self._bar.length = max(self._bar.length, before.length)

    def _repeat_beats(self) -> None:
        """Fill beats that are marked "as before" and have no notes."""
        beat = beat_units(self._metre)
        for staff, start, end in self._beats:
            stop = end if end >= 0 else round(self._reached) or bar_units(self._metre)
            if self._has_notes(staff, start, stop):
                continue
            notes, first = self._notes_of(0, staff), start - beat
            if first < 0 and self._done:
                notes, first = self._notes_of(-1, staff), self._done[-1][0].length - beat
            pattern = [(note, one) for note, one in notes if first <= note.offset < first + beat]
            for time in range(start, stop, beat) if pattern else ():
                self._copy(pattern, time - first)

    def _notes_of(self, bar: int, staff: str) -> list[tuple[Note, str]]:
        """The notes of a staff, or with "" of all, in this bar (0) or one before it (-1 and so on)."""
        notes, staves = (self._bar.notes, self._staves) if bar == 0 else _of_bar(self._done[bar])
        return [(note, one) for note, one in zip(notes, staves, strict=True) if not staff or one == staff]

    def _has_notes(self, staff: str, start: int, stop: int | None) -> bool:
        return any(
            start <= note.offset and (stop is None or note.offset < stop)
            for note, _ in self._notes_of(0, staff)
        )

    def _copy(self, notes: list[tuple[Note, str]], shift: int) -> None:
        """Add notes of a bar or beat before, so much later in the bar than they were."""
        self._num_notes += len(notes)
        check_number_of_notes(self._num_notes, self._limits)
        for note, staff in notes:
            self._keep(note._replace(offset=note.offset + shift), staff)


def _of_bar(done: tuple[Bar, list[str]]) -> tuple[list[Note], list[str]]:
    return done[0].notes, done[1]


def _rounded(number: int | Fraction) -> int:
    """The nearest whole number, halves upwards."""
    return number if isinstance(number, int) else floor(number + Fraction(1, 2))


def _checked_pitch(pitch: int) -> int:
    if not 0 <= pitch <= 127:
        raise PieceError(f"is damaged: a pitch must be 0 to 127; got {pitch}")
    return pitch


_READERS: dict[str, Callable[[PartReader, Element], None]] = {
    "attributes": PartReader._read_attributes,
    "backup": PartReader._read_backup,
    "barline": PartReader._read_barline,
    "direction": PartReader._read_direction,
    "forward": PartReader._read_forward,
    "sound": PartReader._read_sound,
}
