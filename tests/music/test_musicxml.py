"""MusicXML, kind by kind: bars, chords, ties, signs, instruments, dynamics, tempo, metre, repeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noternn.music.limits import DEFAULT_LIMITS, Limits
from noternn.music.musicxml import read_musicxml
from noternn.music.notation import Score
from noternn.music.piece import Piece, PieceError
from noternn.music.repeats import Repeats
from noternn.music.score import read_score_bytes

STEPS = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))
START = "<tie type='start'/>"
STOP = "<tie type='stop'/>"


def note(name: str, duration: float, inside: str = "", *, before: str = "", voice: str = "1") -> str:
    """A note such as "C4" or "r" for a rest; four divisions are a beat."""
    alter = f"<alter>{name.count('#') - name.count('b')}</alter>" if set("#b") & set(name[1:]) else ""
    pitch = f"<pitch><step>{name[0]}</step>{alter}<octave>{name[-1]}</octave></pitch>"
    what = "<rest/>" if name == "r" else pitch
    return f"<note>{before}{what}<duration>{duration}</duration>{inside}<voice>{voice}</voice></note>"


def notes(names: str, duration: float) -> str:
    return "".join(note(name, duration) for name in names.split())


def chord(name: str, duration: float, inside: str = "") -> str:
    return note(name, duration, inside, before="<chord/>")


def backup(duration: int) -> str:
    return f"<backup><duration>{duration}</duration></backup>"


def direction(kind: str, more: str = "") -> str:
    return f"<direction><direction-type>{kind}</direction-type>{more}</direction>"


def sound(attributes: str, inside: str = "") -> str:
    return f"<sound {attributes}>{inside}</sound>"


def attributes(inside: str) -> str:
    return f"<attributes>{inside}</attributes>"


def time(beats: str, kind: str = "4") -> str:
    return f"<time><beats>{beats}</beats><beat-type>{kind}</beat-type></time>"


def bar(body: str, how: str = "") -> str:
    return f"<measure {how}>{body}</measure>"


def document(*parts: list[str], first: str = time("4"), listed: str | None = None) -> bytes:
    """A score of parts of bars; a bar that is no `<measure>` yet becomes one."""
    heads = "".join(f"<score-part id='P{i}'>{listed or ''}</score-part>" for i in range(1, len(parts) + 1))
    music = ""
    for i, part in enumerate(parts, start=1):
        bars = [body if body.startswith("<measure") else bar(body) for body in part]
        start = bars[0].index(">") + 1
        bars[0] = bars[0][:start] + attributes(f"<divisions>4</divisions>{first}") + bars[0][start:]
        music += f"<part id='P{i}'>{''.join(bars)}</part>"
    return f"<score-partwise><part-list>{heads}</part-list>{music}</score-partwise>".encode()


def read(*parts: list[str], repeats: Repeats = "printed", first: str = time("4"), listed: str = "") -> Piece:
    return read_score_bytes(
        document(*parts, first=first, listed=listed), ".musicxml", "piece", repeats=repeats
    )


def written(piece: Piece) -> str:
    """The notes as "onset+length:pitch" in beats."""
    return " ".join(
        f"{onset / 480:g}+{duration / 480:g}:{pitch}"
        for onset, duration, pitch in sorted(zip(piece.onset, piece.duration, piece.pitch, strict=True))
    )


def remarks(piece: Piece) -> list[str]:
    return [str(remark) for remark in piece.remarks]


WHOLE_REST = "<note><rest measure='yes'/><duration>{}</duration></note>"
IMPLICIT = "number='0' implicit='yes'"
REPEAT_END = "<barline location='right'><repeat direction='backward'/></barline>"

BARS = {
    "a rest as long as a pickup": (
        [bar(note("G4", 4), IMPLICIT), note("C4", 16)],
        [bar(WHOLE_REST.format(4), IMPLICIT), note("C3", 16)],
        "0+1:67 1+4:48 1+4:60",
    ),
    "a rest of a whole bar in a pickup": (
        [bar(note("G4", 4), IMPLICIT), note("C4", 16)],
        [bar(WHOLE_REST.format(16), IMPLICIT), note("C3", 16)],
        "0+1:67 1+4:48 1+4:60",
    ),
    "a pickup with no rest in one part": (
        [bar(note("G4", 4), IMPLICIT), note("C4", 16)],
        [bar("", IMPLICIT), note("C3", 16)],
        "0+1:67 1+4:48 1+4:60",
    ),
    "a bar split at a repeat": (
        [notes("D4 E4 F4", 4) + REPEAT_END, bar(note("G4", 4), "implicit='yes'"), note("C4", 16)],
        [WHOLE_REST.format(12) + REPEAT_END, bar(WHOLE_REST.format(4), "implicit='yes'"), note("C3", 16)],
        "0+1:62 1+1:64 2+1:65 3+1:67 4+4:48 4+4:60",
    ),
    "a bar longer in one part": (
        [note("C4", 16) + note("D4", 4), note("E4", 16)],
        [note("C3", 16), note("E3", 16)],
        "0+4:48 0+4:60 4+1:62 5+4:52 5+4:64",
    ),
    "a bar shorter in one part": (
        [note("C4", 8), note("E4", 16)],
        [note("C3", 16), note("E3", 16)],
        "0+2:60 0+4:48 4+4:52 4+4:64",
    ),
    "a bar short in all parts": (
        [note("C4", 8), note("E4", 16)],
        [note("C3", 8), ""],
        "0+2:48 0+2:60 2+4:64",
    ),
    "a bar of which nothing is said": (["", note("C4", 16)], ["", ""], "4+4:60"),
    "a bar of skips": (
        ["<forward><duration>12</duration></forward>", note("C4", 16)],
        ["", note("C3", 16)],
        "3+4:48 3+4:60",
    ),
    "a part that ends early": ([note("C4", 16), note("D4", 16)], [note("C3", 16)], "0+4:48 0+4:60 4+4:62"),
    "a part that lacks a bar by its number": (
        [
            bar(note("C4", 16), "number='1'"),
            bar(note("D4", 16), "number='2'"),
            bar(note("E4", 16), "number='3'"),
        ],
        [bar(note("C3", 16), "number='1'"), bar(note("E3", 16), "number='3'")],
        "0+4:48 0+4:60 4+4:62 8+4:52 8+4:64",
    ),
    "rests for some bars, which are all written": (
        [
            note("C4", 16),
            attributes("<measure-style><multiple-rest>2</multiple-rest></measure-style>")
            + WHOLE_REST.format(16),
            WHOLE_REST.format(16),
            note("D4", 16),
        ],
        [note("C3", 16), WHOLE_REST.format(16), "", note("D3", 16)],
        "0+4:48 0+4:60 12+4:50 12+4:62",
    ),
    "voices of different lengths": (
        [note("C4", 16) + backup(16) + note("E3", 4, voice="2"), note("D4", 16)],
        [note("C3", 16), note("D3", 16)],
        "0+1:52 0+4:48 0+4:60 4+4:50 4+4:62",
    ),
}


@pytest.mark.parametrize(("upper", "lower", "expected"), BARS.values(), ids=BARS.keys())
def test_bars_of_one_number_begin_together(upper: list[str], lower: list[str], expected: str) -> None:
    assert written(read(upper, lower)) == expected


def test_a_bar_of_rounded_durations_is_a_full_one() -> None:
    assert written(read([notes("C4 D4 E4", 5.334), note("F4", 16)], [note("C3", 16), ""])).endswith("4+4:65")


def test_a_part_without_divisions_goes_by_the_types_of_its_notes() -> None:
    typed = [note(name, 3, "<type>quarter</type><dot/>") for name in ("C4", "D4")]
    data = document(["".join(typed)], first="").replace(b"<divisions>4</divisions>", b"")
    assert written(read_score_bytes(data, ".xml", "")) == "0+1.5:60 1.5+1.5:62"
    untyped = document([notes("C4 D4", 1)]).replace(b"<divisions>4</divisions>", b"")
    assert written(read_score_bytes(untyped, ".xml", "")) == "0+1:60 1+1:62"


def test_divisions_may_change_within_a_bar() -> None:
    body = note("C4", 4) + attributes("<divisions>6</divisions>") + notes("D4 E4 F4", 2) + backup(6)
    assert (
        written(read([body + note("G4", 3)]))
        == "0+1:60 1+0.333333:62 1+0.5:67 1.33333+0.333333:64 1.66667+0.333333:65"
    )


def test_a_score_ordered_by_measures_is_read() -> None:
    heads = "<part-list><score-part id='a'/><score-part id='b'/></part-list>"
    four = attributes("<divisions>4</divisions>")
    first = f"<part id='a'>{four}{note('C4', 16)}</part><part id='b'>{four}{note('C3', 16)}</part>"
    second = f"<part id='a'>{note('D4', 16)}</part><part id='b'>{note('D3', 4)}</part>"
    data = f"<score-timewise>{heads}{bar(first)}{bar(second)}</score-timewise>"
    assert written(read_score_bytes(data.encode(), ".xml", "")) == "0+4:48 0+4:60 4+1:50 4+4:62"


@pytest.mark.parametrize(
    "between",
    [
        direction("<words>dolce</words>"),
        "<harmony><root><root-step>C</root-step></root><kind>major</kind></harmony>",
        "<print new-system='yes'/>",
        sound("tempo='90'"),
        "<figured-bass><figure><figure-number>6</figure-number></figure><duration>4</duration></figured-bass>",
        attributes("<clef><sign>F</sign><line>4</line></clef>"),
        "<grouping type='start'/>",
        "<bookmark id='a'/>",
    ],
    ids=lambda text: text.split()[0].strip("<>").split(">")[0],
)
def test_what_stands_between_the_notes_of_a_chord_does_not_break_it(between: str) -> None:
    body = note("C4", 4) + between + chord("E4", 4) + between + chord("G4", 4) + note("D4", 4)
    assert written(read([body])) == "0+1:60 0+1:64 0+1:67 1+1:62"


def test_each_note_of_a_chord_has_its_own_length() -> None:
    assert written(read([note("C4", 4) + chord("E4", 8) + note("D4", 4)])) == "0+1:60 0+2:64 1+1:62"


TIES = {
    "over a bar line": ([note("C4", 16, START), note("C4", 8, STOP)], "0+6:60"),
    "by the sign only": (
        [
            note("C4", 16, "<notations><tied type='start'/></notations>"),
            note("C4", 8, "<notations><tied type='stop'/></notations>"),
        ],
        "0+6:60",
    ),
    "to another voice": ([note("C4", 16, START, voice="2"), note("C4", 8, STOP, voice="1")], "0+6:60"),
    "to another staff": (
        [note("C4", 16, START + "<staff>2</staff>"), note("C4", 8, STOP + "<staff>1</staff>")],
        "0+6:60",
    ),
    "written another way": ([note("C#4", 16, START), note("Db4", 8, STOP)], "0+6:61"),
    "to nothing": ([note("C4", 16, START), note("D4", 8)], "0+4:60 4+2:62"),
    "that rings on": (
        [note("C4", 16, "<notations><tied type='let-ring'/></notations>"), note("C4", 16)],
        "0+4:60 4+4:60",
    ),
    "that rings on, as it sounds": (
        [note("C4", 16, "<tie type='let-ring'/>"), note("C4", 16)],
        "0+4:60 4+4:60",
    ),
    "of which one side lacks": ([note("C4", 16, START), note("C4", 16)], "0+4:60 4+4:60"),
    "of two voices in unison": (
        [
            note("G4", 8, START)
            + note("G4", 8, STOP + START)
            + backup(16)
            + note("r", 8)
            + note("G4", 4, voice="2")
            + note("E4", 4, voice="2"),
            note("G4", 16, STOP),
        ],
        "0+8:67 2+1:67 3+1:64",
    ),
    "of a chord's inner note": (
        [note("C4", 16) + chord("E4", 16, START), note("E4", 8, STOP) + note("C4", 8)],
        "0+4:60 0+6:64 6+2:60",
    ),
}


@pytest.mark.parametrize(("bars", "expected"), TIES.values(), ids=TIES.keys())
def test_ties(bars: list[str], expected: str) -> None:
    assert written(read(bars)) == expected


def test_a_tie_leads_over_a_bar_that_is_short_in_its_part() -> None:
    upper, lower = [note("C4", 8, START), note("C4", 8, STOP)], [note("C3", 16), note("D3", 8)]
    assert written(read(upper, lower)) == "0+4:48 0+6:60 4+2:50"
    untied = [note("C4", 8, START), note("D4", 8)]
    assert written(read(untied, lower)) == "0+2:60 0+4:48 4+2:50 4+2:62"


def test_cue_notes_are_silent_and_take_their_time() -> None:
    piece = read([note("C6", 4, before="<cue/>") + note("D4", 4)])
    assert (written(piece), remarks(piece)) == ("1+1:62", ["1 cue notes are silent (first: bar 1)"])


def test_an_accidental_that_is_only_shown_counts() -> None:
    shown = note("A4", 4, "<accidental>sharp</accidental>") + note(
        "A#4", 4, "<accidental>natural</accidental>"
    )
    assert (
        written(read([shown + note("A4", 4, "<accidental>natural</accidental>")])) == "0+1:70 1+1:70 2+1:69"
    )


def test_a_note_that_is_not_printed_sounds() -> None:
    assert written(read([note("C4", 4).replace("<note>", "<note print-object='no'>")])) == "0+1:60"


def test_what_is_not_played_is_told_with_its_bar() -> None:
    trill = "<notations><ornaments><trill-mark/></ornaments></notations>"
    arpeggio = "<notations><arpeggiate/></notations>"
    wedge = direction("<wedge type='crescendo'/>") + direction("<wedge type='stop'/>")
    grace = "<note><grace/><pitch><step>D</step><octave>5</octave></pitch></note>"
    first = note("C4", 4, trill) + note("C4", 4, arpeggio)
    found = remarks(read([first, note("C4", 4, trill) + wedge + grace], [note("C3", 4), ""]))
    assert found == [
        "2 trills not played (first: part P1, bar 1)",
        "1 arpeggios not played (first: part P1, bar 1)",
        "1 hairpins not played (first: part P1, bar 2)",
        "1 grace notes not played (first: part P1, bar 2)",
    ]


def as_before(kind: str, number: str = "", text: str = "") -> str:
    return attributes(
        f"<measure-style {number}><measure-repeat type='{kind}'>{text}</measure-repeat></measure-style>"
    )


AS_BEFORE = {
    "one bar": (
        [
            note("C4", 16),
            as_before("start", "", "1") + WHOLE_REST.format(16),
            as_before("stop") + note("D4", 16),
        ],
        "0+4:60 4+4:60 8+4:62",
    ),
    "three times": ([note("C4", 16), as_before("start", "", "1"), "", ""], "0+4:60 4+4:60 8+4:60 12+4:60"),
    "two bars": (
        [note("C4", 16), note("D4", 16), as_before("start", "", "2"), ""],
        "0+4:60 4+4:62 8+4:60 12+4:62",
    ),
    "with its notes": ([note("C4", 16), as_before("start", "", "1") + note("E4", 16)], "0+4:60 4+4:64"),
    "on one staff": (
        [
            note("C4", 16, "<staff>1</staff>") + backup(16) + note("C3", 16, "<staff>2</staff>"),
            as_before("start", "number='2'", "1") + note("D4", 16, "<staff>1</staff>"),
        ],
        "0+4:48 0+4:60 4+4:48 4+4:62",
    ),
    "a beat": (
        [
            note("C4", 2)
            + note("D4", 2)
            + attributes("<measure-style><beat-repeat type='start'/></measure-style>")
            + note("r", 8)
            + attributes("<measure-style><beat-repeat type='stop'/></measure-style>")
            + note("E4", 4),
        ],
        "0+0.5:60 0.5+0.5:62 1+0.5:60 1.5+0.5:62 2+0.5:60 2.5+0.5:62 3+1:64",
    ),
}


@pytest.mark.parametrize(("bars", "expected"), AS_BEFORE.values(), ids=AS_BEFORE.keys())
def test_what_is_marked_as_before_is_played_again(bars: list[str], expected: str) -> None:
    assert written(read(bars)) == expected


def instrument(identifier: str, inside: str, name: str = "") -> str:
    named = (
        f"<score-instrument id='{identifier}'><instrument-name>{name}</instrument-name></score-instrument>"
    )
    return f"{named}<midi-instrument id='{identifier}'>{inside}</midi-instrument>"


def test_the_program_is_that_of_the_instrument() -> None:
    listed = instrument("a", "<midi-channel>1</midi-channel><midi-program>41</midi-program>") + instrument(
        "b", "<midi-program>46</midi-program>"
    )
    piece = read([note("C4", 4) + note("D4", 4, "<instrument id='b'/>")], listed=listed)
    assert piece.program.tolist() == [40, 45]
    assert not piece.is_drum.any()


@pytest.mark.parametrize(
    ("sound_id", "program"),
    [
        ("strings.cello", 42),
        ("wind.flutes.flute", 73),
        ("wind.reed.clarinet.bflat", 71),
        ("keyboard.piano.grand", 0),
        ("wind.reed.saxophone.tenor", 66),
        ("brass.french-horn", 60),
        ("voice.soprano", 52),
        ("strings.group", 48),
        ("pluck.guitar.electric", 27),
        ("pitched-percussion.vibraphone", 11),
        ("of.no.family", 0),
    ],
)
def test_a_sound_of_the_standard_has_its_program(sound_id: str, program: int) -> None:
    listed = f"<score-instrument id='a'><instrument-sound>{sound_id}</instrument-sound></score-instrument>"
    assert read([note("C4", 4)], listed=listed).program.tolist() == [program]


def test_the_program_may_change() -> None:
    change = sound("", "<midi-instrument id='a'><midi-program>46</midi-program></midi-instrument>")
    listed = instrument("a", "<midi-program>41</midi-program>")
    assert read([note("C4", 4) + change + note("D4", 4)], listed=listed).program.tolist() == [40, 45]


def unpitched(duration: int, inside: str = "", position: str = "C5") -> str:
    where = f"<display-step>{position[0]}</display-step><display-octave>{position[1]}</display-octave>"
    return f"<note><unpitched>{where}</unpitched><duration>{duration}</duration>{inside}</note>"


DRUM_CHANNEL = "<midi-channel>10</midi-channel>"


def drums(piece: Piece) -> list[int]:
    assert piece.is_drum.all()
    assert not piece.program.any()
    return piece.pitch.tolist()


def test_drums_have_the_keys_that_are_counted_from_one() -> None:
    listed = instrument("a", DRUM_CHANNEL + "<midi-unpitched>37</midi-unpitched>") + instrument(
        "b", DRUM_CHANNEL + "<midi-unpitched>43</midi-unpitched>"
    )
    piece = read([unpitched(4, "<instrument id='a'/>") + unpitched(4, "<instrument id='b'/>")], listed=listed)
    assert drums(piece) == [36, 42]
    assert remarks(piece) == []


def test_percussion_that_is_written_with_pitches_is_drums() -> None:
    listed = instrument("a", DRUM_CHANNEL + "<midi-unpitched>36</midi-unpitched>")
    assert drums(read([notes("C4 D4", 4)], listed=listed)) == [35, 35]
    clef = attributes("<clef><sign>percussion</sign></clef>")
    listed = instrument("a", "<midi-unpitched>39</midi-unpitched>")
    assert drums(read([clef + note("C4", 4)], listed=listed)) == [38]
    assert not read([note("C4", 4)], listed=listed).is_drum.any()


@pytest.mark.parametrize(
    ("name", "position", "key"),
    [
        ("Bass Drum", "C5", 36),
        ("Closed Hi-Hat", "C5", 42),
        ("Triangle", "C5", 81),
        ("", "F4", 36),
        ("", "C5", 38),
    ],
)
def test_a_drum_without_a_key_has_that_of_its_name_or_place(name: str, position: str, key: int) -> None:
    piece = read([unpitched(4, position=position)], listed=instrument("a", DRUM_CHANNEL, name))
    assert drums(piece) == [key]
    assert remarks(piece) == ["1 drum notes whose key was guessed (first: bar 1)"]


def transpose(chromatic: int, more: str = "", number: str = "") -> str:
    return attributes(f"<transpose {number}><chromatic>{chromatic}</chromatic>{more}</transpose>")


def test_transposing_instruments_sound_at_concert_pitch() -> None:
    bars = [
        transpose(-2) + note("C4", 16),
        transpose(-2, "<octave-change>-1</octave-change>") + note("C4", 16),
        transpose(0) + note("C4", 8) + transpose(3) + note("C4", 8),
        transpose(-2, number="number='2'")
        + note("C4", 16, "<staff>1</staff>")
        + chord("E4", 16, "<staff>2</staff>"),
    ]
    assert written(read(bars)) == "0+4:58 4+4:46 8+2:60 10+2:63 12+4:62 12+4:63"


def test_a_doubled_instrument_sounds_in_two_octaves() -> None:
    assert written(read([transpose(0, "<double/>") + note("C4", 16)])) == "0+4:48 0+4:60"
    assert written(read([transpose(0, "<double above='yes'/>") + note("C4", 16)])) == "0+4:60 0+4:72"


def dynamics(mark: str, more: str = "") -> str:
    return direction(f"<dynamics><{mark}/></dynamics>", more)


LOUD = {
    "none": (notes("C4 D4", 4), [80, 80]),
    "marks": (dynamics("p") + note("C4", 4) + dynamics("ff") + note("D4", 4), [49, 112]),
    "in per cent": (sound("dynamics='50'") + note("C4", 4), [45]),
    "in per cent beside a mark": (dynamics("ff", sound("dynamics='120'")) + note("C4", 4), [108]),
    "an accent": (dynamics("p") + note("C4", 4) + dynamics("sfz") + notes("D4 E4", 4), [49, 112, 49]),
    "loud, then soft": (dynamics("fp") + notes("D4 E4", 4), [112, 49]),
    "of a note": (note("C4", 4).replace("<note>", "<note dynamics='100'>") + note("D4", 4), [90, 80]),
    "in a note": (
        note("C4", 4, "<notations><dynamics><f/></dynamics></notations>") + note("D4", 4),
        [96, 96],
    ),
    "after the notes": (notes("C4 D4", 4) + backup(4) + dynamics("f"), [80, 96]),
    "of another voice": (
        note("C4", 4) + dynamics("f") + note("D4", 4) + backup(8) + note("E3", 4) + note("F3", 4),
        [80, 80, 96, 96],
    ),
}


@pytest.mark.parametrize(("body", "velocities"), LOUD.values(), ids=LOUD.keys())
def test_dynamics(body: str, velocities: list[int]) -> None:
    assert read([body]).velocity.tolist() == velocities


def test_dynamics_hold_until_the_next_and_for_their_part() -> None:
    piece = read([dynamics("pp") + note("C5", 16), note("D5", 16)], [note("C4", 16), note("D4", 16)])
    assert piece.velocity.tolist() == [33, 80, 33, 80]


def test_a_staff_without_marks_follows_the_other_one() -> None:
    upper, lower = "<staff>1</staff>", "<staff>2</staff>"
    first = dynamics("p", upper) + note("C5", 4, upper) + chord("C3", 4, lower)
    second = dynamics("f", upper) + dynamics("pp", lower) + note("C5", 4, upper) + chord("C3", 4, lower)
    third = dynamics("ff", upper) + note("C5", 4, upper) + chord("C3", 4, lower)
    assert read([first + second + third]).velocity.tolist() == [49, 49, 96, 33, 112, 33]


def metronome(unit: str, per_minute: str) -> str:
    return direction(f"<metronome><beat-unit>{unit}</beat-unit>{per_minute}</metronome>")


TEMPOS = {
    "none": (note("C4", 4), ((0, 120.0),)),
    "a sound": (sound("tempo='90.5'") + note("C4", 4), ((0, 90.5),)),
    "a mark": (metronome("half", "<per-minute>50</per-minute>") + note("C4", 4), ((0, 100.0),)),
    "a dotted beat": (
        metronome("quarter", "<beat-unit-dot/><per-minute>60</per-minute>") + note("C4", 4),
        ((0, 90.0),),
    ),
    "about": (metronome("quarter", "<per-minute>c. 72-80</per-minute>") + note("C4", 4), ((0, 72.0),)),
    "both": (
        sound("tempo='66'") + metronome("quarter", "<per-minute>70</per-minute>") + note("C4", 4),
        ((0, 66.0),),
    ),
    "later": (note("C4", 4) + sound("tempo='60'") + note("C4", 4), ((0, 120.0), (480, 60.0))),
    "with an offset": (
        sound("tempo='60'", "<offset>4</offset>") + notes("C4 D4", 4),
        ((0, 120.0), (480, 60.0)),
    ),
    "of no speed": (sound("tempo='0'") + note("C4", 4), ((0, 120.0),)),
}


@pytest.mark.parametrize(("body", "tempos"), TEMPOS.values(), ids=TEMPOS.keys())
def test_tempo(body: str, tempos: tuple[tuple[int, float], ...]) -> None:
    assert read([body]).tempos == tempos


METRES = {
    "3/4": (time("3"), ((0, 3, 4),)),
    "3+2/8": (time("3+2", "8"), ((0, 5, 8),)),
    "3/8+2/4": (time("3", "8").replace("</time>", "") + time("2").replace("<time>", ""), ((0, 7, 8),)),
    "cut": ("<time symbol='cut'><beats>2</beats><beat-type>2</beat-type></time>", ((0, 2, 2),)),
    "free": ("<time><senza-misura/></time>", ()),
    "one of two": (
        "<time><beats>3</beats><beat-type>4</beat-type><interchangeable><beats>6</beats><beat-type>8</beat-type>"
        "</interchangeable></time>",
        ((0, 3, 4),),
    ),
    "none": ("", ()),
}


@pytest.mark.parametrize(("first", "metres"), METRES.values(), ids=METRES.keys())
def test_metre(first: str, metres: tuple[tuple[int, int, int], ...]) -> None:
    assert read([notes("C4 D4 E4 F4 G4 A4 B4 C5", 4)], first=first).metres == metres


def test_a_pickup_is_a_metre_of_its_own() -> None:
    assert read([bar(note("C4", 4), IMPLICIT), note("C4", 16)]).metres == ((0, 1, 4), (480, 4, 4))


def ending(numbers: str, kind: str) -> str:
    return f"<ending number='{numbers}' type='{kind}'/>"


def left(inside: str) -> str:
    return f"<barline location='left'>{inside}</barline>"


def right(inside: str) -> str:
    return f"<barline location='right'>{inside}</barline>"


FORWARD, BACKWARD = "<repeat direction='forward'/>", "<repeat direction='backward'/>"
VOLTA = [
    left(FORWARD) + note("C4", 16),
    left(ending("1", "start")) + note("D4", 16) + right(ending("1", "stop") + BACKWARD),
    left(ending("2", "start")) + note("E4", 16) + right(ending("2", "discontinue")),
    note("F4", 16),
]
REPEATED = {
    "a passage": (
        [note("C4", 16), left(FORWARD) + note("D4", 16) + right(BACKWARD), note("E4", 16)],
        "CDE",
        "CDDE",
    ),
    "three times": (
        [note("C4", 16) + right("<repeat direction='backward' times='3'/>"), note("D4", 16)],
        "CD",
        "CCCD",
    ),
    "said at the left": ([note("C4", 16), left(BACKWARD) + note("D4", 16)], "CD", "CCD"),
    "endings": (VOLTA, "CEF", "CDCEF"),
    "da capo": ([note("C4", 16) + sound("fine='yes'"), note("D4", 16) + sound("dacapo='yes'")], "CD", "CDC"),
    "da capo in words": (
        [
            note("C4", 16) + direction("<words>Fine</words>"),
            note("D4", 16) + direction("<words>D. C. al Fine</words>"),
        ],
        "CD",
        "CDC",
    ),
    "dal segno": (
        [
            note("C4", 16),
            direction("<segno/>", sound("segno='s'")) + note("D4", 16),
            note("E4", 16) + sound("dalsegno='s'"),
        ],
        "CDE",
        "CDEDE",
    ),
    "dal segno al coda": (
        [
            note("C4", 16),
            direction("<segno/>") + note("D4", 16),
            note("E4", 16) + direction("<words>To Coda</words></direction-type><direction-type><coda/>"),
            note("F4", 16) + direction("<words>D.S. al Coda</words>"),
            direction("<coda/>") + note("G4", 16),
        ],
        "CDEFG",
        "CDEFDEG",
    ),
}


@pytest.mark.parametrize(("bars", "once", "played"), REPEATED.values(), ids=REPEATED.keys())
def test_repeats(bars: list[str], once: str, played: str) -> None:
    for repeats, expected in (("once", once), ("played", played)):
        for parts in ([bars], [bars, [note("C2", 16)] * len(bars)]):
            piece = read(*parts, repeats=repeats)  # type: ignore[arg-type]
            melody = piece.pitch[piece.pitch >= 60].tolist()
            assert melody == [60 + STEPS[name] for name in expected]


REFUSED = {
    "a metre of 10^8 beats": (document([note("C4", 4)], first=time("100000000")), "a metre of 100,000,000/4"),
    "a duration in words": (document([note("C4", 4).replace(">4<", ">long<", 1)]), "a pitch of"),
    "a duration below 0": (document(["<note><rest/><duration>-4</duration></note>"]), "a duration of '-4'"),
    "a long duration": (document([note("C4", 4) + backup(0) + note("C4", 10**14)]), "a duration of"),
    "a late note": (
        document([f"<forward><duration>{10**9}</duration></forward>" + note("C4", 4)]),
        "250,000,001 beats",
    ),
    "no divisions": (
        document([attributes("<divisions>0</divisions>") + note("C4", 4)]),
        "divisions of a beat",
    ),
    "a pitch too high": (
        document([note("C#9", 4) + note("C4", 4).replace("4</octave>", "11</octave>")]),
        "pitch must be",
    ),
    "cue notes only": (document([note("C4", 4, before="<cue/>")]), "holds no notes"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_read_is_refused_in_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(PieceError) as caught:
        read_score_bytes(data, ".musicxml", "piece")
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_bar_that_is_played_very_often_is_refused_as_too_many_notes() -> None:
    often = notes("C4 D4", 1) * 50 + right("<repeat direction='backward' times='19999'/>")
    with pytest.raises(PieceError, match="too many notes"):
        read([often], repeats="played")


def test_bars_as_before_do_not_pass_the_limit_of_notes() -> None:
    limits = Limits(max_notes=100)
    bars = [notes("C4 D4", 1) * 10, as_before("start", "", "1"), *[""] * 20]
    with pytest.raises(PieceError, match="too many notes"):
        read_musicxml(document(bars), limits)
    assert isinstance(read_musicxml(document(bars), DEFAULT_LIMITS), Score)


WRITTEN_NOTE = st.tuples(st.sampled_from([1, 2, 3, 4, 6, 8, 16]), st.none() | st.integers(36, 84))
VOICE = st.lists(WRITTEN_NOTE, min_size=1, max_size=6)
PART_BARS = st.lists(st.lists(VOICE, min_size=1, max_size=2), min_size=3, max_size=3)
NAMES = ["C{}", "C#{}", "D{}", "Eb{}", "E{}", "F{}", "F#{}", "G{}", "Ab{}", "A{}", "Bb{}", "B{}"]


def as_xml(voices: list[list[tuple[int, int | None]]]) -> str:
    written_voices = []
    for number, voice in enumerate(voices, start=1):
        names = ["r" if p is None else NAMES[p % 12].format(p // 12 - 1) for _, p in voice]
        body = "".join(
            note(n, length, voice=str(number)) for n, (length, _) in zip(names, voice, strict=True)
        )
        written_voices.append(body + backup(sum(length for length, _ in voice)))
    return "".join(written_voices)


@given(st.lists(PART_BARS, min_size=1, max_size=3))
def test_bars_that_are_written_are_read_back(parts: list[list[list[list[tuple[int, int | None]]]]]) -> None:
    expected = set()
    start = 0
    for bars in zip(*parts, strict=True):
        for voices in bars:
            for voice in voices:
                onset = start
                for length, pitch in voice:
                    if pitch is not None:
                        expected.add((onset * 120, length * 120, pitch))
                    onset += length
        start += max(sum(length for length, _ in voice) for voices in bars for voice in voices)
    data = document(*[[as_xml(voices) for voices in bars] for bars in parts])
    if not expected:
        return
    piece = read_score_bytes(data, ".xml", "")
    assert (
        set(zip(piece.onset.tolist(), piece.duration.tolist(), piece.pitch.tolist(), strict=True)) == expected
    )
