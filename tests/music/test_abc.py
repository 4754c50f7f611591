"""Tunes in ABC and the notes that they give; those of `abc_cases.tsv` were written down by hand."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from noternn.datasets.sources import folder_sources
from noternn.music.piece import Piece, PieceError
from noternn.music.repeats import Repeats
from noternn.music.score import read_score_bytes

CASES = [line.split("\t") for line in (Path(__file__).parent / "abc_cases.tsv").read_text().splitlines()[1:]]
ESCAPES = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\\\": "\\"}


def unescaped(text: str) -> str:
    parts = text.split("\\\\")
    for short, long in list(ESCAPES.items())[:3]:
        parts = [part.replace(short, long) for part in parts]
    return "\\".join(parts)


def read(text: str, repeats: Repeats = "printed") -> Piece:
    return read_score_bytes(text.encode(), ".abc", "tune", repeats=repeats)


def notes_of(piece: Piece) -> list[tuple[float, float, int]]:
    """(onset, length, pitch) in quarter notes."""
    beats = (
        (onset / 480, duration / 480) for onset, duration in zip(piece.onset, piece.duration, strict=True)
    )
    return sorted(
        (onset, length, int(pitch)) for (onset, length), pitch in zip(beats, piece.pitch, strict=True)
    )


def expected_notes(text: str) -> list[tuple[float, float, int]]:
    words = (word.replace("+", ":").split(":") for word in text.split())
    return sorted((float(onset), float(length), int(pitch)) for onset, length, pitch in words)


def assert_notes(piece: Piece, expected: str) -> None:
    found, wanted = notes_of(piece), expected_notes(expected)
    assert [note[2] for note in found] == [note[2] for note in wanted]
    for note, want in zip(found, wanted, strict=True):
        assert note == pytest.approx(want, abs=2e-3)


@pytest.mark.parametrize(
    ("text", "printed", "played"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
def test_a_tune_gives_its_notes(text: str, printed: str, played: str) -> None:
    assert_notes(read(unescaped(text)), printed)
    assert_notes(read(unescaped(text), "played"), played or printed)


HEAD = "X:1\nM:4/4\nL:1/4\nK:C\n"


@pytest.mark.parametrize(
    ("field", "tempo"),
    [
        ("1/4=90", 90.0),
        ("1/2=60", 120.0),
        ("3/8=80", 120.0),
        ('"Allegro" 1/4=100', 100.0),
        ('1/4=100 "Allegro"', 100.0),
        ("1/4 3/8 1/4=40", 140.0),
        ("C=120", 60.0),
        ("C3=120", 180.0),
        ("120", 120.0),
        ("80", 80.0),
        ("1/4=92.5", 92.5),
        ('"Andante"', 120.0),
        ("nonsense", 120.0),
    ],
)
def test_the_tempo_is_read_in_all_its_forms(field: str, tempo: float) -> None:
    assert read(f"X:1\nL:1/8\nM:4/4\nQ:{field}\nK:C\nC8|\n").tempos == ((0, pytest.approx(tempo)),)


def test_the_tempo_of_the_header_holds_for_voices_of_any_name() -> None:
    tune = "X:1\nM:4/4\nL:1/4\nQ:1/4=90\nK:C\n[V:S]C4|\n[V:B]C,4|\n"
    assert read(tune).tempos == ((0, 90.0),)


def test_a_tempo_and_a_metre_within_the_tune_hold_from_there() -> None:
    piece = read(HEAD + "C4|[Q:1/4=60][M:3/4]D3|\nQ:1/4=90\nM:C|\nE4|\n")
    assert piece.tempos == ((0, 120.0), (1920, 60.0), (3360, 90.0))
    assert piece.metres == ((0, 4, 4), (1920, 3, 4), (3360, 2, 2))


def test_a_sign_within_the_first_bar_makes_no_pickup_of_it() -> None:
    assert read(HEAD + "C SD E F|G4|\n").metres == ((0, 4, 4),)
    assert read(HEAD + "C|D E F G|A4|\n").metres == ((0, 1, 4), (480, 4, 4))


def test_voices_have_their_programs_and_percussion_is_drums() -> None:
    voices = "V:1\n%%MIDI program 40\nC4|\nV:2\n[I:MIDI program 41]E4|\nV:3 clef=perc\nC,4|\n"
    piece = read(HEAD + voices + "V:4\n%%MIDI channel 10\n%%MIDI drummap D 38\nD4|\n")
    found = sorted(zip(piece.pitch.tolist(), piece.program.tolist(), piece.is_drum.tolist(), strict=True))
    assert found == [(38, 0, True), (48, 0, True), (60, 40, False), (64, 41, False)]


def test_fields_before_the_first_voice_hold_for_all() -> None:
    piece = read(HEAD + "L:1/8\nM:2/4\nQ:1/4=90\nK:G\nI:MIDI program 3\nV:A\nF4|\nV:B\nF4|f4|\n")
    assert notes_of(piece) == [(0, 2, 66), (2, 2, 78)]
    assert (piece.tempos, piece.metres, piece.program.tolist()) == (((0, 90.0),), ((0, 2, 4),), [3, 3])


def test_dynamics_are_velocities() -> None:
    piece = read(HEAD + "U:n=!pp!\nC !p!D +f+E nF|!mf!G4|\n")
    assert piece.velocity.tolist() == [80, 49, 96, 33, 80]


@pytest.mark.parametrize(
    ("music", "order"),
    [
        ("C4 !fine!|D4 !D.C.!|", "CDC"),
        ("C4|D4 !fine!|E4 !D.C.alfine!|", "CDECD"),
        ("C4|!segno!D4 !fine!|E4|!D.S.!|", "CDED"),
        ("C4|SD4|E4 !D.S.!|", "CDEDE"),
        ("C4|D4|OE4|F4 !D.C.!|OG4|", "CDEFCDG"),
        ("C4|D4 !dacoda!|E4 !D.C.alcoda!|OF4|", "CDECDF"),
    ],
)
def test_da_capo_dal_segno_and_coda_are_played(music: str, order: str) -> None:
    piece = read(HEAD + music + "\n", "played")
    assert piece.pitch.tolist() == [{"C": 60, "D": 62, "E": 64, "F": 65, "G": 67}[c] for c in order]


def test_parts_are_played_in_the_order_of_the_header() -> None:
    tune = "X:1\nM:4/4\nL:1/4\nP:(AB)2.C\nK:C\nP:A\nC4|\nP:B\n|:D4:|\n[P:C]E4|\n"
    assert read(tune, "played").pitch.tolist() == [60, 62, 62, 60, 62, 62, 64]
    assert read(tune).pitch.tolist() == [60, 62, 64]
    assert read(tune, "once").pitch.tolist() == [60, 62, 64]


def test_what_is_not_played_is_counted_with_the_line_of_the_first() -> None:
    music = "{cd}C TD !trill!E !nonsense!F|\ns:!f!\nC @ kD ~E2|\n!<(!C4!<)!|\n"
    remarks = {remark.what: (remark.number, remark.first) for remark in read(HEAD + music).remarks}
    assert remarks == {
        "grace notes dropped": (2, "line 5"),
        "trills not played": (2, "line 5"),
        "unknown decorations": (2, "line 5"),
        "symbol lines not read": (1, "line 6"),
        "unknown characters": (1, "line 7"),
        "rolls not played": (1, "line 7"),
        "hairpins not played": (1, "line 8"),
    }


def test_words_in_a_tune_are_no_notes() -> None:
    piece = read(HEAD + "C D E F|\nCollected from a fiddler; a good tune, played at the fair.\n</pre>\nG4|\n")
    assert piece.pitch.tolist() == [60, 62, 64, 65, 67]
    assert [str(remark) for remark in piece.remarks] == ["2 lines of text not read (first: line 6)"]


@pytest.mark.parametrize(
    ("tune", "reason"),
    [
        (HEAD + "^/C4|\n", "microtones"),
        ("X:1\nK:D ^/f\nC4|\n", "microtones"),
        ("X:1\nK:Bn\nC4|\n", "K:Bn is no key"),
        ("X:1\nK:hello\nC4|\n", "K:hello is no key"),
        (HEAD + "C/0|\n", "divided by 0"),
        (HEAD + "C,,,,,,,,4|\n", "a pitch must be 0 to 127"),
        (HEAD + "z4|\n", "holds no notes"),
        ("X:1\nM:100000000/4\nK:C\nZ|C|\n", "100,000,000 beats"),
        (HEAD + "Z1000000|C|\n", "too long: 1,000,001 bars"),
        (HEAD + "C" + "9" * 5_000 + "|\n", "a number of 5,000 digits"),
        ("X:1\nP:A99999\nK:C\nP:A\nC|\n", "more than 20,000 bars"),
        ("X:1\n" + "m:A=" + "A" * 1_000 + "\nK:C\n" + "A" * 3_000 + "\n", "its macros"),
    ],
)
def test_a_tune_that_cannot_be_read_right_is_refused(tune: str, reason: str) -> None:
    with pytest.raises(PieceError, match=reason):
        read(tune)


@pytest.mark.parametrize(
    "text",
    [
        "(",
        "[",
        "{",
        '"',
        '["',
        "!a",
        "(3",
        "^",
        "|:",
        ": ",
        "[V:",
        "&",
        "H",
        "+a",
        "]",
        "<",
        "C/",
        "^1",
        "(&",
    ],
)
def test_whatever_is_repeated_takes_time_in_proportion(text: str) -> None:
    def seconds(size: int) -> float:
        start = time.process_time()
        with contextlib.suppress(PieceError):
            read(HEAD + text * (size // len(text)) + "\n")
        return time.process_time() - start

    assert seconds(200_000) < 10 * seconds(50_000) + 0.5  # 16 times, if it grew with the square


def book(tmp_path: Path, data: bytes) -> list[Piece]:
    (tmp_path / "book.abc").write_bytes(data)
    return [source.read() for source in folder_sources(tmp_path)]


TUNES = "X:1\nT:a\nK:C\n^F f|\n\nX:2\nT:b\nK:C\nG TA|\n"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\r\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_book_is_read_whatever_ends_its_lines(tmp_path: Path, mark: bytes, end: str) -> None:
    pieces = book(tmp_path, mark + TUNES.replace("\n", end).encode())
    assert [piece.pitch.tolist() for piece in pieces] == [[66, 78], [67, 69]]
    assert [piece.name for piece in pieces] == ["book.abc#1", "book.abc#2"]


def test_a_book_whose_long_head_would_be_read_for_each_of_many_tunes_is_refused(tmp_path: Path) -> None:
    head = "".join(f"%%MIDI program {number}\n" for number in range(5000))
    tunes = "".join(f"X:{number}\nT:a\nK:C\nCDEF|\n\n" for number in range(9000))
    (tmp_path / "book.abc").write_text(head + tunes)
    [source] = folder_sources(tmp_path)
    with pytest.raises(PieceError, match=r"^has too many fields before its 9,000 tunes: .* at most 20 MB$"):
        source.read()


def test_the_head_of_a_book_holds_for_all_its_tunes(tmp_path: Path) -> None:
    head = "%abc-2.1\n%%propagate-accidentals octave\nI:MIDI program 7\nL:1/2\nM:3/4\nU:T=!f!\nm:G=g\n\n"
    first, second = book(tmp_path, (head + TUNES).encode())
    assert (first.pitch.tolist(), second.pitch.tolist()) == ([66, 77], [79, 69])
    assert (first.duration.tolist(), second.metres) == ([960, 960], ((0, 3, 4),))
    assert (second.velocity.tolist(), second.program.tolist()) == ([80, 96], [7, 7])


def test_prose_and_blocks_of_text_between_tunes_belong_to_none(tmp_path: Path) -> None:
    example = "%%begintext\nX:9\nL:1/2\nK:C\nCCC|\n%%endtext\n\n"
    prose = "\n\nA good dance tune, C D E F at the fair.\n\n"
    pieces = book(tmp_path, (example + prose + TUNES.replace("\n\n", prose)).encode())
    assert [piece.pitch.tolist() for piece in pieces] == [[66, 78], [67, 69]]
    assert [piece.duration.tolist() for piece in pieces] == [[240, 240], [240, 240]]


def test_a_book_in_latin_1_is_read(tmp_path: Path) -> None:
    pieces = book(tmp_path, TUNES.replace("T:a", "T:\u00fc").encode("latin-1"))
    assert [piece.num_notes for piece in pieces] == [2, 2]


LENGTHS = {1: "", 2: "2", 3: "3", 4: "4", 6: "6", 8: "8"}  # in eighths
ACCIDENTALS = {0: "=", 1: "^", -1: "_"}
heads = st.tuples(
    st.sampled_from("CDEFGABcdefgab"), st.sampled_from(["", ",", "'"]), st.sampled_from([0, 1, -1])
)
elements = st.tuples(
    st.lists(heads, max_size=3, unique_by=lambda head: head[:2]), st.sampled_from(list(LENGTHS))
)


@given(st.lists(st.lists(elements, min_size=1, max_size=6), min_size=1, max_size=8))
def test_bars_written_as_abc_are_read_back(bars: list[list[tuple[list[tuple[str, str, int]], int]]]) -> None:
    music, wanted, time_ = [], set(), 0
    for bar in bars:
        for chord, length in bar:
            names = [ACCIDENTALS[alteration] + letter + octave for letter, octave, alteration in chord]
            music.append(f"[{''.join(names)}]{LENGTHS[length]}" if chord else f"z{LENGTHS[length]}")
            for letter, octave, alteration in chord:
                pitch = {"C": 60, "D": 62, "E": 64, "F": 65, "G": 67, "A": 69, "B": 71}[letter.upper()]
                pitch += 12 * (letter.islower() + (octave == "'") - (octave == ",")) + alteration
                wanted.add((time_ / 2, length / 2, pitch))
            time_ += length
        music.append("|\n")
    assume(wanted)
    assert set(notes_of(read("X:1\nM:none\nL:1/8\nK:C\n" + "".join(music)))) == wanted
