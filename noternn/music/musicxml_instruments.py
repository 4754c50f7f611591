"""The instruments that a MusicXML file names, as General MIDI has them.

Sources: General MIDI System Level 1 for programs and keys, and the identifiers of MusicXML's standard sounds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import Element

from noternn.music.musicxml_values import table, whole

DRUM_CHANNEL = 10
DRUM_BANK = 120  # of General MIDI 2, as the more significant half of a bank's number
MAX_NAME = 100
NO_POSITION_KEY = 38  # acoustic snare drum

# Identifiers of sounds, by family, with their programs; a longer one is of the family it begins with.
_PROGRAMS = table("""
    brass 61, brass.trumpet 56, brass.cornet 56, brass.flugelhorn 56, brass.bugle 56, brass.cornett 56
    brass.trombone 57, brass.sackbutt 57, brass.tuba 58, brass.sousaphone 58, brass.helicon 58
    brass.euphonium 58, brass.baritone-horn 58, brass.cimbasso 58, brass.ophicleide 58, brass.serpent 58
    brass.french-horn 60, brass.natural-horn 60, brass.vienna-horn 60, brass.wagner-tuba 60
    brass.mellophone 60, brass.alto-horn 60, brass.saxhorn 60, brass.posthorn 60, brass.group.synth 62
    drum 116, drum.timpani 47, drum.tom-tom 117, effect 122
    keyboard 0, keyboard.piano.honky-tonk 3, keyboard.piano.electric 4, keyboard.harpsichord 6
    keyboard.virginal 6, keyboard.clavichord 7, keyboard.celesta 8, keyboard.organ 19
    keyboard.organ.drawbar 16, keyboard.organ.percussive 17, keyboard.organ.rotary 18
    keyboard.organ.reed 20, keyboard.harmonium 20, keyboard.accordion 21, keyboard.concertina 21
    keyboard.bandoneon 23
    metal.bells 14, metal.bells.agogo 113, metal.bells.tinklebell 112, metal.steel-drums 114
    metal.cymbal.reverse 119
    pitched-percussion 12, pitched-percussion.glockenspiel 9, pitched-percussion.bell-lyre 9
    pitched-percussion.crotales 9, pitched-percussion.celesta 8, pitched-percussion.music-box 10
    pitched-percussion.vibraphone 11, pitched-percussion.xylophone 13, pitched-percussion.xylorimba 13
    pitched-percussion.tubular-bells 14, pitched-percussion.handbells 14
    pitched-percussion.hammer-dulcimer 15, pitched-percussion.cimbalom 15, pitched-percussion.kalimba 108
    pluck 24, pluck.guitar.steel-string 25, pluck.guitar.electric 27, pluck.bass 33, pluck.bass.acoustic 32
    pluck.bass.fretless 35, pluck.bass.synth 38, pluck.harp 46, pluck.mandolin 25, pluck.balalaika 25
    pluck.dulcimer 15, pluck.zither 15, pluck.banjo 105, pluck.sitar 104, pluck.shamisen 106, pluck.koto 107
    strings 48, strings.violin 40, strings.viola 41, strings.cello 42, strings.contrabass 43
    strings.fiddle 110, strings.hardanger-fiddle 110, strings.erhu 110, strings.viol 42
    strings.group.synth 50
    synth 80, synth.tone.sawtooth 81, synth.pad 88, synth.effects 96, synth.group 90
    voice 52, voice.oo 53, voice.synth 54
    wind 73, wind.flutes.flute.piccolo 72, wind.flutes.piccolo 72, wind.flutes.recorder 74
    wind.flutes.panpipes 75, wind.flutes.blown-bottle 76, wind.flutes.shakuhachi 77
    wind.flutes.whistle 78, wind.flutes.ocarina 79, wind.pipes 109
    wind.reed 71, wind.reed.oboe 68, wind.reed.oboe-damore 68, wind.reed.oboe-da-caccia 69
    wind.reed.english-horn 69, wind.reed.bassoon 70, wind.reed.contrabassoon 70, wind.reed.saxophone 65
    wind.reed.saxophone.soprano 64, wind.reed.saxophone.tenor 66, wind.reed.saxophone.baritone 67
    wind.reed.saxophone.bass 67, wind.reed.harmonica 22, wind.reed.melodica 22, wind.reed.shenai 111
    wood.wood-block 115, wood.temple-block 115
    """)

# Words of a drum's name or sound, tried in this order, with the key of General MIDI.
_KEYS = {
    re.compile(words): int(key)
    for words, key in table(r"""
    side.?stick|rim 37, snare 38, bass.?drum|kick 36, clap 39, floor.?tom 43, low.?tom 45
    high.?tom|hi.?tom 50, tom.?tom|\btoms?\b 47, open.*hi.?hat|hi.?hat.*open 46
    (pedal|foot).*hi.?hat|hi.?hat.*(pedal|foot) 44, hi.?hat 42, ride.*bell 53, ride 51, crash 49, chin 52
    splash 55, gong|tam.?tam 52, cymbal 49, tambourine 54, cow.?bell 56, vibra.?slap 58, bongo 60, conga 63
    timbal 65, agogo 67, cabasa 69, maraca 70, whistle 71, guiro 73, clave 75
    wood.?block|temple.?block 76, cuica 78, triangle 81, shaker|egg 82, sleigh|jingle 83, castanet 85
    surdo 86, drum 38
    """).items()
}
# Where the notes of a drum kit usually stand on the staff, as in a treble clef.
_POSITION_KEYS = table(
    "D4 44, E4 35, F4 36, G4 41, A4 43, B4 41, C5 38, D5 45, E5 47, F5 51, G5 42, A5 49, B5 52"
)


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument of a part.

    Args:
        program: General MIDI program, 0 to 127.
        is_drum: whether it plays on the channel or the bank of drums.
        key: of its drum, 0 to 127; None where none is said.
        name: as the file has it, and its sound, in small letters.
    """

    program: int = 0
    is_drum: bool = False
    key: int | None = None
    name: str = ""


@dataclass(slots=True)
class Instruments:
    """The instruments of a part by their identifiers, the first of which plays what names none."""

    by_id: dict[str, Instrument] = field(default_factory=dict)

    def get(self, identifier: str | None) -> Instrument:
        """The instrument of that name, or else the first; one drum or other where there are several."""
        if identifier is not None and identifier in self.by_id:
            return self.by_id[identifier]
        first = next(iter(self.by_id.values()), _PIANO)
        return _SOME_DRUM if first.is_drum and len(self.by_id) > 1 else first

    def change(self, sound: Element) -> bool:
        """Take over what a `<sound>` says of instruments, and tell whether it said anything."""
        changes = [*sound.findall("midi-instrument"), *sound.findall("instrument-change")]
        for change in changes:
            identifier = change.get("id", "")
            before = self.by_id.get(identifier, self.get(None))
            self.by_id[identifier] = _changed(before, change)
        return bool(changes)


_PIANO = Instrument()
_SOME_DRUM = Instrument(is_drum=True)


def instruments_of(part_list: Element | None) -> dict[str, Instruments]:
    """The instruments of each part, by the part's identifier."""
    found: dict[str, Instruments] = {}
    for part in () if part_list is None else part_list.findall("score-part"):
        instruments = found.setdefault(part.get("id", ""), Instruments())
        for element in part:
            if element.tag in ("score-instrument", "midi-instrument"):
                identifier = element.get("id", "")
                before = instruments.by_id.get(identifier, _PIANO)
                instruments.by_id[identifier] = _changed(before, element)
    return found


def _changed(before: Instrument, element: Element) -> Instrument:
    """An instrument with what one element says of it."""
    sound = (element.findtext("instrument-sound") or "").strip().lower()[:MAX_NAME]
    name = (element.findtext("instrument-name") or "").lower()[:MAX_NAME]
    after = replace(before, name=f"{name} {sound}".strip()) if name or sound else before
    if sound:
        after = replace(after, program=program_of_sound(sound))
    program, channel = whole(element.findtext("midi-program")), whole(element.findtext("midi-channel"))
    key, bank = whole(element.findtext("midi-unpitched")), whole(element.findtext("midi-bank"))
    if program is not None and 1 <= program <= 128:
        after = replace(after, program=program - 1)
    if key is not None and 1 <= key <= 128:
        after = replace(after, key=key - 1)
    if channel is not None:
        after = replace(after, is_drum=channel == DRUM_CHANNEL)
    if bank is not None and (bank - 1) >> 7 == DRUM_BANK:
        after = replace(after, is_drum=True)
    return after


def program_of_sound(sound: str) -> int:
    """The program of one of MusicXML's standard sounds, such as "strings.violin"; 0 for an unknown one."""
    words = sound.split(".")[:10]
    while words:
        program = _PROGRAMS.get(".".join(words))
        if program is not None:
            return int(program)
        words.pop()
    return 0


def guessed_key(instrument: Instrument, position: str) -> int:
    """A key of General MIDI for a drum that says none: by its name, or by where it stands.

    Args:
        instrument: that plays it.
        position: on the staff, such as "F4"; "" where it has none.
    """
    for words, key in _KEYS.items():
        if words.search(instrument.name):
            return key
    return int(_POSITION_KEYS.get(position, NO_POSITION_KEY))
