"""Reading Humdrum: each expectation was written down by hand, and Verovio's reading is compared."""

from __future__ import annotations

import base64
import io
import re
from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import mido
import numpy as np
import pytest
from hypothesis import given, settings
from music21 import common

from noternn.music.limits import Limits
from noternn.music.piece import Piece, PieceError
from noternn.music.repeats import Repeats
from noternn.music.score import read_score, read_score_bytes

FILE = Path(__file__).parents[1] / "data" / "humdrum_cases.txt"
CASES = [block.split("\n") for block in FILE.read_text(encoding="utf-8").rstrip("\n").split("\n\n")[1:]]


def text_of(case: str) -> str:
    lines = case.split(" / ")
    return "\n".join(line.replace(" ", "\t").replace("~", " ") for line in lines) + "\n"


def read(case: str, repeats: Repeats = "printed") -> Piece:
    return read_score_bytes(text_of(case).encode(), ".krn", "piece", repeats=repeats)


def notes_of(piece: Piece) -> list[tuple[float, float, int]]:
    onset, duration = piece.onset / piece.ticks_per_beat, piece.duration / piece.ticks_per_beat
    return sorted(zip(onset.tolist(), duration.tolist(), piece.pitch.tolist(), strict=True))


def velocities_of(piece: Piece) -> list[int]:
    order = np.lexsort((piece.pitch, piece.onset))
    return piece.velocity[order].tolist()


def onsets(piece: Piece) -> str:
    """Onset and pitch of each note."""
    return " ".join(f"{onset:g}:{pitch}" for onset, _, pitch in notes_of(piece))


def check(piece: Piece, expected: str) -> None:
    wanted = [
        (float(onset), float(length), int(pitch))
        for onset, length, pitch in re.findall(r"([\d.]+)\+([\d.]+):(\d+)", expected)
    ]
    found = notes_of(piece)
    assert [pitch for *_, pitch in found] == [pitch for *_, pitch in sorted(wanted)]
    for note, want in zip(found, sorted(wanted), strict=True):
        assert note[:2] == pytest.approx(want[:2], abs=2e-3)  # a tick is 1/480 of a beat


@pytest.mark.parametrize(("case", "expected"), [pytest.param(*rest, id=name) for name, *rest in CASES])
def test_a_score_gives_its_notes(case: str, expected: str) -> None:
    check(read(case), expected)


@pytest.mark.parametrize("end", ["\r\n", "\r"])
@pytest.mark.parametrize(("case", "expected"), [pytest.param(*rest, id=name) for name, *rest in CASES[:5]])
def test_lines_may_end_as_on_other_systems(case: str, expected: str, end: str) -> None:
    data = text_of(case).replace("\n", end).encode()
    check(read_score_bytes(data, ".krn", "piece"), expected)


LISTS = "**kern / *>[A,A1,A,A2] / *>norep[A,A2] / "
SECTIONS = LISTS + "*>A / *M4/4 / =1!|: / 1c / *>A1 / =2 / 1d / *>A2 / =3:|! / 1e / *-"
SIGNS = "**kern / *M4/4 / =1 / 1c / =2!|: / 1d / =3:|!|: / 1e / =:|! / 1f / ="
VOLTAS = "**kern / *>A / *M4/4 / =1!|: / 1c / *>A1 / =2 / 1d / *>A2 / =3:|! / 1e / *>B / =4 / 1f / *-"


@pytest.mark.parametrize(
    ("case", "repeats", "expected"),
    [
        (SECTIONS, "printed", "0:60 4:62 8:64"),
        (SECTIONS, "once", "0:60 4:64"),
        (SECTIONS, "played", "0:60 4:62 8:60 12:64"),
        (SECTIONS.replace(" / *>norep[A,A2]", ""), "once", "0:60 4:64"),
        (SIGNS, "printed", "0:60 4:62 8:64 12:65"),
        (SIGNS, "once", "0:60 4:62 8:64 12:65"),
        (SIGNS, "played", "0:60 4:62 8:62 12:64 16:64 20:65"),
        (VOLTAS, "once", "0:60 4:64 8:65"),
        (VOLTAS, "played", "0:60 4:62 8:60 12:64 16:65"),
        ("**kern / *>[A,B,A] / *>A / 4c / *>B / 4d / *-", "played", "0:60 1:62 2:60"),
        ("**kern / *>[A,B,A] / *>A / 4c / *>B / 4d / *-", "once", "0:60 1:62"),
        ("**kern / *>norep[B] / *>A / 4c / *>B / 4d / *-", "once", "0:62"),
    ],
)  # fmt: skip
def test_repeats_are_read_as_asked(case: str, repeats: Repeats, expected: str) -> None:
    assert onsets(read(case, repeats)) == expected


def test_metre_pickup_and_tempo() -> None:
    piece = read(
        "**kern / *MM90 / *M3/4 / 4g / =1 / 2.c / *M2+3/8 / =2 / *MM60.5 / 4d / 4.e / =3 / *M4/0 / 0c / *-"
    )
    assert piece.metres == ((0, 1, 4), (480, 3, 4), (4 * 480, 5, 8), (6.5 * 480, 8, 1))
    assert piece.tempos == ((0, 90.0), (4 * 480, 60.5))


def test_a_metre_within_a_bar_begins_a_bar() -> None:
    piece = read("**kern / *M4/4 / =1 / 2c / *M3/4 / 4d / *M3/4 / 2e / =2 / 2.f / *-")
    assert piece.metres == ((0, 2, 4), (2 * 480, 3, 4))
    assert onsets(piece) == "0:60 2:62 3:64 5:65"


@pytest.mark.parametrize(
    ("marks", "velocities"),
    [
        ("**kern **dynam / 4c p / 4d . / 4e ff / *- *-", [49, 49, 112]),
        (
            "**kern **dynam / 4c ppp / 4d pp / 4e mp / 4f mf / 4g f / 4a fff / *- *-",
            [16, 33, 64, 80, 96, 126],
        ),
        ("**kern **dynam / 4c p~< / 4d ( / 4e [~f / *- *-", [49, 49, 96]),
        ("**kern **dynam / 4c f / 4d sf / 4e . / *- *-", [96, 112, 96]),
        ("**kern **dynam / 2c p / . f / 4d . / *- *-", [49, 96]),
        ("**dynam **kern / p 4c / *- *-", [49]),
        ("**kern **dynam **kern **dynam / 4c p 4e f / *- *- *- *-", [49, 96]),
        ("**kern **kern **dynam / *staff2 *staff1 *staff1/2 / 4c 4e p / *- *- *-", [49, 49]),
        ("**kern **kern **dynam / *staff2 *staff1 *staff2 / 4c 4e p / *- *- *-", [49, 80]),
        ("**kern **kern **dynam / *Ipiano *Ipiano *Ipiano / 4c 4e p / *- *- *-", [49, 49]),
        ("**kern **kern **dynam / *Icello *Ivioln * / 4c 4e p / *- *- *-", [80, 49]),
        ("**kern **dynam / *^ * / 4c 4e p / *v *v * / *- *-", [49, 49]),
    ],
)
def test_dynamics_are_velocities(marks: str, velocities: list[int]) -> None:
    assert velocities_of(read(marks)) == velocities


@pytest.mark.parametrize(
    ("code", "program"),
    [
        ("*Ivioln", 40), ("*Iviola", 41), ("*Icello", 42), ("*Iflt", 73), ("*Iclars", 71), ("*Ipiano", 0),
        ("*Icant", 52), ("*Icor", 60), ("*Itimpa", 47), ("*Ivioln2", 40), ('*I"Violin~II', 40),
        ('*I"Cello / *Ivioln', 40), ('*Ivioln / *I"Cello', 40), ('*I"A~singer', 0), ("*Iunknown", 0),
        ("*ICklav / *Iorgan", 19), ("*I#2 / *Ioboe", 68), ('*I"Flute', 73),
    ],
)  # fmt: skip
def test_instruments_are_programs(code: str, program: int) -> None:
    piece = read(f"**kern / {code} / 4c / *-")
    assert (piece.program.tolist(), piece.is_drum.tolist()) == ([program], [False])


@pytest.mark.parametrize(
    ("music", "sounds"),
    [
        ("*Iperc / 4R / 4R", [38, 38]),
        ("*clefX / 4R", [38]),
        ("*clefX / 4Rf / 4Rcc / 4Rgg", [36, 38, 42]),
        ("*Ibdrum / *clefF4 / 4C / 4R", [36, 36]),
        ("*Itrngl / 4e", [81]),
        ("4R", [38]),
    ],
)
def test_percussion_without_pitch_is_drums(music: str, sounds: list[int]) -> None:
    piece = read(f"**kern / {music} / *-")
    assert (piece.pitch.tolist(), piece.is_drum.tolist()) == (sounds, [True] * len(sounds))


def test_an_ornament_is_no_percussion() -> None:
    assert onsets(read("**kern / 4cTR / *-")) == "0:60"


def test_what_is_not_read_is_said() -> None:
    piece = read("**kern **dynam **mens **text / 8ddq p~< S la / 4cT xyz S la / 4 . . . / f . . . / 4d . . .")
    assert [str(remark) for remark in piece.remarks] == [
        "1 **mens spines not read (first: line 1)",
        "1 hairpins not played (first: line 2)",
        "1 grace notes left out (first: line 2)",
        "1 dynamics not understood (first: line 3)",
        "1 trills not played (first: line 3)",
        "1 tokens without a note or a rest left out (first: line 4)",
        "1 notes without a length left out (first: line 5)",
    ]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("**kern **kern / 4c / *- *-", "is damaged: line 2: has 1 columns; 2 are open"),
        ("**kern / 4c 4d / *-", "is damaged: line 2: has 2 columns; 1 are open"),
        ("**kern **kern / *v *v / 4c 4d / *- *-", "is damaged: line 3: has 2 columns; 1 are open"),
        ("**kern **kern / *v * / 4c / *-", "is damaged: line 2: *v must stand in two or more columns"),
        ("**kern **kern / *x * / 4c 4d / *- *-", "is damaged: line 2: *x must stand in two columns"),
        ("**kern / 4c / *- / **kern / 4d / *-", "is damaged: line 4: goes on after all columns have ended"),
        ("*M4/4 / **kern / 4c / *-", "is damaged: line 1: stands before the line of **kern"),
        ("**kern **kern / * 4c / 4c 4d / *- *-", "is damaged: line 2: '4c' stands among interpretations"),
        ("**kern / 4ccccccccc / *-", "is damaged: line 2: a pitch must be 0 to 127; got 156"),
        ("**kern / 4c / 12345c / *-", "is damaged: line 3: a duration must have at most 4 digits"),
        ("**kern / 4r / *-", "holds no notes"),
        ("**kern", "holds no notes"),
    ],
)
def test_damage_is_refused_with_the_line(case: str, reason: str) -> None:
    with pytest.raises(PieceError) as caught:
        read(case)
    assert str(caught.value).startswith(reason)


def test_limits_hold() -> None:
    data = text_of("**kern / 4c~4e / 4d / *-").encode()
    with pytest.raises(PieceError, match="too many notes: 3; at most 2"):
        read_score_bytes(data, ".krn", "piece", limits=Limits(max_notes=2))
    with pytest.raises(PieceError, match="2,001 bars"):
        read_score_bytes(b"**kern\n" + b"*>A\n4c\n" * 2_001 + b"*-\n", ".krn", "piece")


@pytest.mark.parametrize(
    "data",
    [
        b"**kern\n" + b"[4c\n" * 200_000 + b"4c]\n" * 200_000,
        b"**kern\n" + b"[4c" + b" [4c" * 120_000 + b"\n4c]" + b" 4c]" * 120_000 + b"\n",
        b"**kern" + b"\t**kern" * 100_000 + b"\n4c" + b"\t4c" * 100_000 + b"\n*-" + b"\t*" * 100_000 + b"\n",
        b"**kern" + b"\t**dynam" * 20_000 + b"\n*staff1" + b"\t*staff1/2/3/4/5/6/7/8/9" * 20_000
        + b"\n4c" + b"\tp" * 20_000 + (b"\n4c" + b"\t." * 20_000) * 20 + b"\n",
    ],
    ids=["ties that pile up", "ties in a chord", "100,000 spines", "20,000 spines of dynamics"],
)  # fmt: skip
def test_the_cost_grows_with_the_size_only(data: bytes) -> None:
    limits = Limits(max_notes=500_000, max_beats=1_000_000, max_sounding_beats=2**40)
    assert read_score_bytes(data, ".krn", "piece", limits=limits).num_notes


DURATIONS = {"1": Fraction(4), "2.": Fraction(3), "2": Fraction(2), "4.": Fraction(3, 2), "4": Fraction(1)}
NAMES = {"c": 60, "d": 62, "e": 64, "f": 65, "g": 67, "a": 69, "b": 71, "r": None}
DURATIONS |= {"8": Fraction(1, 2), "12": Fraction(1, 3), "6": Fraction(2, 3), "20": Fraction(1, 5)}


Voice = list[tuple[Fraction, Fraction, str, int | None]]  # onset, length, token, pitch


@st.composite
def voices(draw: st.DrawFn, beats: int = 4) -> Voice:
    """What fills a bar."""
    onset, found = Fraction(0), []
    while onset < beats:
        fitting = [token for token, length in DURATIONS.items() if onset + length <= beats]
        rest = 4 / (beats - onset)
        token = draw(st.sampled_from(fitting)) if fitting else f"{rest.numerator}%{rest.denominator}"
        length = DURATIONS[token] if fitting else beats - onset
        name, pitch = draw(st.sampled_from(list(NAMES.items())))
        found.append((onset, length, token + name, pitch))
        onset += length
    return found


@given(st.lists(st.lists(voices(), min_size=1, max_size=3), min_size=1, max_size=4))
@settings(deadline=None, max_examples=50)
def test_bars_of_several_voices_are_read_back(
    bars: list[list[Voice]],
) -> None:
    lines, expected = ["**kern", "*M4/4"], set()
    for number, bar in enumerate(bars):
        lines.append("=")
        lines += ["\t".join(["*"] * i + ["*^"]) for i in range(len(bar) - 1)]
        for time in sorted({onset for voice in bar for onset, *_ in voice}):
            at = [[token for onset, _, token, _ in voice if onset == time] for voice in bar]
            lines.append("\t".join(found[0] if found else "." for found in at))
        lines += ["\t".join(["*v"] * len(bar))] if len(bar) > 1 else []
        expected |= {
            (4 * number + o, length, p) for voice in bar for o, length, _, p in voice if p is not None
        }
    data = "\n".join([*lines, "*-", ""]).encode()
    if not expected:
        return
    found = notes_of(read_score_bytes(data, ".krn", "piece"))
    assert len(found) == len(expected)
    for note, want in zip(found, sorted(expected), strict=True):
        assert note == pytest.approx([float(value) for value in want], abs=3e-3)


CORPUS = common.getCorpusFilePath()
# Notes of ours that Verovio has not, and the other way round, and why.
DIFFERENCES = {"Missa_Sine_nomine-Kyrie.krn": (0, 4, "it strikes the second note of `[y1B 0Byy]` again")}
FILES = (
    *sorted(CORPUS.glob("[!p]*/**/*.krn")),
    *sorted(CORPUS.glob("palestrina/*.krn"))[::60],
    *(CORPUS.parent / "humdrum" / name for name in DIFFERENCES),
)


def without_grace_notes(text: str) -> str:
    """Verovio gives grace notes time."""
    lines = []
    for line in text.split("\n"):
        tokens = line.split("\t")
        if line[:1] not in "*=!":
            tokens = ["." if "q" in token else token for token in tokens]
        if set(tokens) != {"."}:
            lines.append("\t".join(tokens))
    return "\n".join(lines)


def verovio_reads(path: Path) -> set[tuple[int, int]]:
    """Onset in ticks and pitch of the notes."""
    verovio = pytest.importorskip("verovio", reason="the reading is compared where Verovio is installed")
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({"inputFrom": "humdrum", "expandNever": True})
    assert toolkit.loadData(without_grace_notes(path.read_text(encoding="utf-8")))
    midi = mido.MidiFile(file=io.BytesIO(base64.b64decode(toolkit.renderToMIDI())))
    found = set()
    for track in midi.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "note_on" and message.velocity:
                found.add((round(tick * 480 / midi.ticks_per_beat), message.note))
    return found


def missing(notes: set[tuple[int, int]], among: set[tuple[int, int]]) -> int:
    """How many are not there; Verovio rounds onsets down to its own ticks of 1/120 of a beat."""
    return sum(not any((onset + by, pitch) in among for by in range(-6, 7)) for onset, pitch in notes)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=f"{path.parent.name}/{path.name}", marks=[pytest.mark.slow] * (number % 3 > 0))
        for number, path in enumerate(FILES)
    ],
)
def test_verovio_reads_the_same(path: Path) -> None:
    theirs = verovio_reads(path)
    piece = read_score(path)
    ours = set(zip(piece.onset.tolist(), piece.pitch.tolist(), strict=True))
    known = DIFFERENCES.get(path.name, (0, 0))[:2]
    assert (missing(ours, theirs), missing(theirs, ours)) == known
