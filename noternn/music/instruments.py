"""The instruments of General MIDI: their names and programs.

Source: General MIDI System Level 1 (MIDI Manufacturers Association, RP-003), which counts them from 1.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from noternn.errors import UserError

VOICE_PROGRAMS = (
    40,
    41,
    42,
    43,
)  # violin, viola, cello, contrabass: what tells soprano, alto, tenor and bass apart
PROGRAM_NAMES = tuple(
    name.strip()
    for family in """
    Acoustic Grand Piano, Bright Acoustic Piano, Electric Grand Piano, Honky-tonk Piano
    Electric Piano 1, Electric Piano 2, Harpsichord, Clavi
    Celesta, Glockenspiel, Music Box, Vibraphone, Marimba, Xylophone, Tubular Bells, Dulcimer
    Drawbar Organ, Percussive Organ, Rock Organ, Church Organ
    Reed Organ, Accordion, Harmonica, Tango Accordion
    Acoustic Guitar (nylon), Acoustic Guitar (steel), Electric Guitar (jazz), Electric Guitar (clean)
    Electric Guitar (muted), Overdriven Guitar, Distortion Guitar, Guitar Harmonics
    Acoustic Bass, Electric Bass (finger), Electric Bass (pick), Fretless Bass
    Slap Bass 1, Slap Bass 2, Synth Bass 1, Synth Bass 2
    Violin, Viola, Cello, Contrabass, Tremolo Strings, Pizzicato Strings, Orchestral Harp, Timpani
    String Ensemble 1, String Ensemble 2, SynthStrings 1, SynthStrings 2
    Choir Aahs, Voice Oohs, Synth Voice, Orchestra Hit
    Trumpet, Trombone, Tuba, Muted Trumpet, French Horn, Brass Section, SynthBrass 1, SynthBrass 2
    Soprano Sax, Alto Sax, Tenor Sax, Baritone Sax, Oboe, English Horn, Bassoon, Clarinet
    Piccolo, Flute, Recorder, Pan Flute, Blown Bottle, Shakuhachi, Whistle, Ocarina
    Lead 1 (square), Lead 2 (sawtooth), Lead 3 (calliope), Lead 4 (chiff)
    Lead 5 (charang), Lead 6 (voice), Lead 7 (fifths), Lead 8 (bass + lead)
    Pad 1 (new age), Pad 2 (warm), Pad 3 (polysynth), Pad 4 (choir)
    Pad 5 (bowed), Pad 6 (metallic), Pad 7 (halo), Pad 8 (sweep)
    FX 1 (rain), FX 2 (soundtrack), FX 3 (crystal), FX 4 (atmosphere)
    FX 5 (brightness), FX 6 (goblins), FX 7 (echoes), FX 8 (sci-fi)
    Sitar, Banjo, Shamisen, Koto, Kalimba, Bag Pipe, Fiddle, Shanai
    Tinkle Bell, Agogo, Steel Drums, Woodblock, Taiko Drum, Melodic Tom, Synth Drum, Reverse Cymbal
    Guitar Fret Noise, Breath Noise, Seashore, Bird Tweet, Telephone Ring, Helicopter, Applause, Gunshot
    """.strip().splitlines()
    for name in family.split(",")
)

INSTRUMENT_FAMILIES = (  # of eight programs each, as General MIDI names them
    "piano",
    "chromatic percussion",
    "organ",
    "guitar",
    "bass",
    "strings",
    "ensemble",
    "brass",
    "reed",
    "pipe",
    "synth lead",
    "synth pad",
    "synth effects",
    "ethnic",
    "percussive",
    "sound effects",
)


def program_name(program: int) -> str:
    """The name of a General MIDI program from 0 to 127, such as "Violin" for 40."""
    return PROGRAM_NAMES[program]


def instrument_name(is_drum: bool, program: int) -> str:
    """The family of a General MIDI program with its number, from 0."""
    return "drums" if is_drum else f"{INSTRUMENT_FAMILIES[program // 8]} ({program})"


def instruments_text(programs: Iterable[int], has_drums: bool) -> str:
    """The names of instruments in General MIDI, drums last, such as "violin, electric bass (finger), drums".

    Args:
        programs: in any order, each as often as it comes.
        has_drums: whether drums play as well.
    """
    names = [program_name(program).lower() for program in sorted(set(programs))]
    return ", ".join([*names, *["drums"] * has_drums])


def program_of(name: str) -> int:
    """The General MIDI program of an instrument's name in any case; `_`, spaces and brackets are alike.

    Raises:
        UserError: if there is no such instrument, with the nearest one's name.
    """
    plain, names = _plain(name), [_plain(known) for known in PROGRAM_NAMES]
    if plain not in names:
        named_so = (known for known in names if plain and plain in known.split("_"))
        close = next(named_so, None) or difflib.get_close_matches(plain, names, n=1, cutoff=0)[0]
        raise UserError(f"{name!r} is no instrument of General MIDI (did you mean {close}?)")
    return names.index(plain)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")
