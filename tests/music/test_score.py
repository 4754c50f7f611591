"""Reading scores."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import music21
import pytest

from noternn.datasets.scores import chorale_paths, embedded_scores
from noternn.datasets.sources import INSTALLED_CORPORA, folder_sources, installed_sources
from noternn.music.piece import Piece, PieceError
from noternn.music.score import read_score
from noternn.music.score_bytes import SCORE_FORMATS

MUSICXML = """<?xml version="1.0"?>
<score-partwise version="4.0">
  <part-list>{parts}</part-list>
  {music}
</score-partwise>"""
ATTRIBUTES = (
    "<attributes><divisions>12</divisions>"
    "<time><beats>{beats}</beats><beat-type>4</beat-type></time>{more}</attributes>"
)


def note(step: str, duration: int, *, octave: int = 4, inside: str = "", before: str = "") -> str:
    """A MusicXML note; 12 divisions are a beat."""
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    length = f"<duration>{duration}</duration>" if duration else ""
    return f"<note>{before}{pitch}{length}{inside}</note>"


def score(*parts: list[str], beats: int = 4, more: str = "") -> str:
    """A MusicXML file; a part is a list of measures."""
    listed = "".join(
        f"<score-part id='P{i}'><part-name>P{i}</part-name></score-part>" for i in range(len(parts))
    )
    music = ""
    for i, measures in enumerate(parts):
        attributes = ATTRIBUTES.format(beats=beats, more=more)
        bodies = [attributes + measures[0], *measures[1:]]
        numbered = [f"<measure number='{j}'>{body}</measure>" for j, body in enumerate(bodies, start=1)]
        music += f"<part id='P{i}'>{''.join(numbered)}</part>"
    return MUSICXML.format(parts=listed, music=music)


def read_text(folder: Path, text: str, suffix: str = ".musicxml") -> Piece:
    path = folder / f"piece{suffix}"
    path.write_text(text, encoding="utf-8")
    return read_score(path)


def notes_of(piece: Piece) -> list[tuple[int, int, int]]:
    return list(zip(piece.onset.tolist(), piece.duration.tolist(), piece.pitch.tolist(), strict=True))


@cache
def chorale(name: str) -> Piece:
    return read_score(next(path for path in chorale_paths() if path.stem == name))


def test_the_edition_has_348_files_in_order() -> None:
    paths = chorale_paths()
    catalog: Any = music21.corpus.chorales.ChoraleListRKBWV()
    edition = {f"bwv{chorale['bwv']}" for chorale in catalog.byRiemenschneider.values()}
    assert {path.stem for path in paths} == edition - {"bwv18.5-l", "bwv69.6"}
    assert len(set(paths)) == 348
    assert paths == sorted(paths)
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize(
    ("corpus", "num_files", "name"),
    [
        ("airs", 6, "book1"),
        ("bach", 348, "bwv269"),
        ("classical", 59, "beethoven/opus18no1/movement1"),
        ("fiddle", 1059, "AcrobatsHornpipe"),
        ("oneill", 39, "0001-0050"),
    ],
)
def test_an_embedded_corpus_is_found_by_the_names_of_its_pieces(
    corpus: str, num_files: int, name: str
) -> None:
    scores = embedded_scores(corpus)
    assert corpus in INSTALLED_CORPORA
    assert len(scores) == num_files
    assert scores[name].is_file()
    assert all(path.suffix in SCORE_FORMATS for path in scores.values())


@pytest.mark.parametrize(
    ("corpus", "num_tunes", "name"),
    [("airs", 1180, "book6#180"), ("fiddle", 1059, "AcrobatsHornpipe"), ("oneill", 2009, "0001-0050#1")],
)
def test_each_tune_of_an_embedded_book_is_a_piece(corpus: str, num_tunes: int, name: str) -> None:
    sources = installed_sources(corpus)
    assert len(sources) == num_tunes
    [source] = [source for source in sources if source.name == name]
    assert source.read().num_notes > 50


def test_a_chorale_is_read_as_four_voices() -> None:
    piece = chorale("bwv269")
    assert piece.name == "bwv269"
    assert piece.pitch[:4].tolist() == [67, 62, 59, 43]
    assert set(piece.program.tolist()) == {0}
    assert set(piece.velocity.tolist()) == {80}
    assert not piece.is_drum.any()


@pytest.mark.parametrize("name", ["bwv10.7", "bwv277", "bwv227.11"])
def test_tied_notes_are_those_of_music21s_own_merging(name: str) -> None:
    path = next(path for path in chorale_paths() if path.stem == name)
    parsed: Any = music21.converter.parse(path, forceSource=True)
    reference = set()
    for part in parsed.parts:
        for element in part.stripTies().flatten().notes:
            for pitch in element.pitches:
                if element.quarterLength:
                    reference.add(
                        (round(element.offset * 480), round(element.quarterLength * 480), pitch.midi)
                    )
    assert set(notes_of(chorale(name))) == reference


def test_a_pickup_is_a_metre_of_its_own() -> None:
    assert chorale("bwv269").metres == ((0, 1, 4), (480, 3, 4))


def test_a_piece_that_begins_with_a_whole_bar_has_its_metre_from_the_start(tmp_path: Path) -> None:
    assert read_text(tmp_path, score([note("C", 48), note("D", 48)])).metres == ((0, 4, 4),)


def test_a_tie_across_a_bar_line_makes_one_note(tmp_path: Path) -> None:
    first = note("C", 48, inside="<tie type='start'/>")
    middle = note("C", 48, inside="<tie type='stop'/><tie type='start'/>")
    last = note("C", 24, inside="<tie type='stop'/>") + note("C", 24)
    piece = read_text(tmp_path, score([first, middle, last]))
    assert notes_of(piece) == [(0, 5 * 960, 60), (5 * 960, 960, 60)]


def test_a_tie_that_leads_nowhere_ends_its_note(tmp_path: Path) -> None:
    body = note("C", 24, inside="<tie type='start'/>") + note("D", 24)
    assert notes_of(read_text(tmp_path, score([body]))) == [(0, 960, 60), (960, 960, 62)]


def test_only_the_tied_notes_of_a_chord_are_merged(tmp_path: Path) -> None:
    first = note("C", 48, inside="<tie type='start'/>") + note("E", 48, before="<chord/>")
    second = note("C", 48, inside="<tie type='stop'/>") + note("E", 48, before="<chord/>")
    piece = read_text(tmp_path, score([first, second]))
    assert notes_of(piece) == [(0, 1920, 64), (0, 3840, 60), (1920, 1920, 64)]


def test_triplets_fall_on_whole_ticks(tmp_path: Path) -> None:
    modification = (
        "<time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification>"
    )
    triplet = "".join(note(step, 4, inside=f"<type>eighth</type>{modification}") for step in "CDE")
    assert notes_of(read_text(tmp_path, score([triplet]))) == [(0, 160, 60), (160, 160, 62), (320, 160, 64)]


def test_grace_notes_are_dropped(tmp_path: Path) -> None:
    body = note("D", 0, before="<grace/>", inside="<type>eighth</type>") + note("C", 48)
    assert notes_of(read_text(tmp_path, score([body]))) == [(0, 1920, 60)]


def test_chord_symbols_are_not_notes(tmp_path: Path) -> None:
    symbol = "<harmony><root><root-step>G</root-step></root><kind>major</kind></harmony>"
    assert notes_of(read_text(tmp_path, score([symbol + note("C", 48)]))) == [(0, 1920, 60)]


def test_voices_in_unison_are_one_note_only_if_they_last_as_long(tmp_path: Path) -> None:
    parts = [note("C", 48)], [note("C", 48)], [note("C", 24) + note("D", 24)]
    assert notes_of(read_text(tmp_path, score(*parts))) == [(0, 960, 60), (0, 1920, 60), (960, 960, 62)]


def test_a_transposing_instrument_sounds_at_concert_pitch(tmp_path: Path) -> None:
    clarinet = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    assert read_text(tmp_path, score([note("D", 48)], more=clarinet)).pitch.tolist() == [60]


def test_repeats_are_not_played(tmp_path: Path) -> None:
    body = note("C", 48) + "<barline location='right'><repeat direction='backward'/></barline>"
    assert read_text(tmp_path, score([body])).num_notes == 1


def test_tempo_is_that_of_the_metronome_mark_or_120(tmp_path: Path) -> None:
    mark = (
        "<direction><direction-type><metronome><beat-unit>half</beat-unit><per-minute>50</per-minute>"
        "</metronome></direction-type></direction>"
    )
    assert read_text(tmp_path, score([mark + note("C", 48)])).tempos == ((0, 100.0),)
    assert read_text(tmp_path, score([note("C", 48)])).tempos == ((0, 120.0),)


def test_a_tune_in_abc_is_read(tmp_path: Path) -> None:
    tune = "X:1\nT:Tune\nM:3/4\nL:1/4\nK:C\nCDE|G3|\n"
    assert read_text(tmp_path, tune, ".abc").pitch.tolist() == [60, 62, 64, 67]


def test_a_tune_in_abc_begins_with_its_pickup_and_each_part_is_read_once(tmp_path: Path) -> None:
    tune = "X:1\nT:Tune\nM:2/4\nL:1/8\nK:G\n(3DEF|G2 AB|cBA :|\n|:z|G2 AB|G3:|\n"
    piece = read_text(tmp_path, tune.replace("(3DEF", "(3D/E/F/"), ".abc")
    assert piece.metres[:2] == ((0, 1, 8), (240, 2, 4))
    assert piece.onset[:4].tolist() == [0, 80, 160, 240]
    assert piece.pitch.tolist() == [62, 64, 66, 67, 69, 71, 72, 71, 69, 67, 69, 71, 67]
    assert piece.end == 4 * 960


def test_grace_notes_and_fingerings_in_abc_are_dropped(tmp_path: Path) -> None:
    tune = 'X:1\nT:Tune\nM:2/4\nL:1/8\nK:C\n{d}"4"c2 {ag}vg2|\n'
    assert notes_of(read_text(tmp_path, tune, ".abc")) == [(0, 480, 72), (480, 480, 79)]


def test_an_overfull_bar_in_abc_does_not_lose_the_first_metre(tmp_path: Path) -> None:
    tune = "X:1\nT:Tune\nM:2/4\nL:1/8\nK:C\nCDEF|GABcd|cBAG|\n"
    assert read_text(tmp_path, tune, ".abc").metres == ((0, 2, 4),)


def test_a_quartet_is_read_as_four_strings() -> None:
    piece = read_score(embedded_scores("classical")["mozart/k156/movement4"])
    assert (piece.num_notes, piece.beats) == (608, 95)
    assert piece.metres == ((0, 4, 4),)
    assert (piece.pitch.min(), piece.pitch.max()) == (38, 84)


def test_each_tune_of_an_abc_file_is_a_piece(tmp_path: Path) -> None:
    head = "% My book\nL:1/4\nM:3/4\n\n"
    tunes = "X:1\nT:A\nK:C\nCDE|\n\nX:7\nT:B\nM:2/4\nK:C\nED|\n"
    (tmp_path / "book.abc").write_text(head + tunes, encoding="utf-8")
    first, second = folder_sources(tmp_path)
    assert (first.name, second.name) == ("book.abc#1", "book.abc#2")
    assert notes_of(first.read()) == [(0, 480, 60), (480, 480, 62), (960, 480, 64)]
    assert notes_of(second.read()) == [(0, 480, 64), (480, 480, 62)]
    assert (first.read().metres, second.read().metres) == (((0, 3, 4),), ((0, 2, 4),))
    assert first.content_hash() != second.content_hash()


def test_a_tune_of_an_abc_file_is_hashed_with_what_holds_for_all(tmp_path: Path) -> None:
    hashes = set()
    for unit in ("L:1/4", "L:1/8"):
        (tmp_path / "book.abc").write_text(f"{unit}\nX:1\nK:C\nC|\nX:2\nK:C\nD|\n", encoding="utf-8")
        hashes.add(folder_sources(tmp_path)[1].content_hash())
    assert len(hashes) == 2


def test_nothing_of_a_file_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_text(tmp_path, "X:1\nT:Tune\nM:2/4\nL:1/8\nK:C\nCDEF|\xff2 GA|\n", ".abc")
    assert capsys.readouterr() == ("", "")


BROKEN = {
    "empty": ("", ".musicxml", "file is empty"),
    "not XML": ("hello", ".xml", "is no XML"),
    "not a zip": ("hello", ".mxl", "is no XML"),
    "cut": (score([note("C", 48)])[:-40], ".musicxml", "is damaged"),
    "rests": (score(["<note><rest/><duration>48</duration></note>"]), ".musicxml", "holds no notes"),
    "suffix": ("hello", ".p", "not a score"),
    "two tunes": ("X:1\nT:A\nL:1/4\nK:C\nCDE|\n\nX:2\nT:B\nL:1/4\nK:C\nEDC|\n", ".abc", "holds 2 pieces"),
}


@pytest.mark.parametrize(("text", "suffix", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_with_the_reason(
    tmp_path: Path, text: str, suffix: str, reason: str
) -> None:
    with pytest.raises(PieceError) as caught:
        read_text(tmp_path, text, suffix)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PieceError, match="cannot be opened"):
        read_score(tmp_path / "missing.mxl")
    (tmp_path / "folder.mxl").mkdir()
    with pytest.raises(PieceError, match="is a folder"):
        read_score(tmp_path / "folder.mxl")


def test_no_cache_is_read_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("music21's cache was used")

    monkeypatch.setattr(music21.converter, "PickleFilter", refuse)
    assert read_text(tmp_path, score([note("C", 48)])).num_notes == 1
