"""Every installed tune against abc2midi (Debian: abcmidi); `abc_differences.tsv` lists the differences.

abc2midi plays ornaments, grace notes, swing and staccato, so it is given the tunes without them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from noternn.datasets.sources import Source, installed_sources
from noternn.errors import PieceError
from noternn.music.midi import read_midi
from noternn.music.piece import Piece
from noternn.music.repeats import Repeats
from noternn.music.score import read_score_bytes

pytestmark = pytest.mark.skipif(shutil.which("abc2midi") is None, reason="needs abc2midi (Debian: abcmidi)")

Notes = list[tuple[float, float, int]]  # (onset, length, pitch), in quarter notes

TABLE = Path(__file__).parent / "abc_differences.tsv"
DIFFERENCES = {
    tuple(line.split("\t")[:3]): line.split("\t")[3] for line in TABLE.read_text().splitlines()[1:]
}
CORPORA = ("fiddle", "airs", "oneill")
TOLERANCE = 0.02  # abc2midi ends each note a tick early, and begins a tick late
OPTIONS = ("-NGRA", "-NGUI", "-NFER", "-NFNP", "-NCOM", "-quiet")
QUOTED = re.compile(r'("[^"]*"|\{[^}]*\}|![^!]*!|\[[A-Za-z]:[^\]]*\])')
SIGNS = re.compile(r"(\(\d+(?::\d*){1,2})|\[(?=\|)|(?<=\|)\]|:+|(?<=\|)\d[\d,\-]*|\[\d[\d,\-]*")
FIELD = re.compile(r"\s*(?:[H-Zdhik-w+]:|[A-G]:(?![:|]))|%")


def without_signs(music: str) -> str:
    """Music without repeats and endings."""
    return SIGNS.sub(lambda sign: sign[1] or ("|" if sign[0][0] == ":" else " "), music)


def plain_music(line: str, *, printed: bool) -> str:
    """A line without ornaments and words; as printed also without signs of repetition."""
    parts = []
    for i, part in enumerate(QUOTED.split(line.split("%")[0])):
        if i % 2:
            parts.append("" if part[0] in '"{!' else part)
        else:
            music = re.sub(r"[.~H-Wh-w]", "", part)
            parts.append(without_signs(music) if printed else music)
    return "".join(parts)


def plain_tune(text: str, *, printed: bool) -> str:
    lines, in_body = [], False
    for line in re.split(r"\r*\n|\r", text):
        if re.match(r"\s*[RP]:" if printed else r"\s*R:", line):  # a hornpipe would be swung
            continue
        if in_body and not FIELD.match(line):
            lines.append(plain_music(line, printed=printed))
            continue
        lines.append(line)
        if not in_body and re.match(r"\s*K:", line):
            in_body = True
            lines.append("%%MIDI chordattack 0")
    return "\n".join(lines) + "\n"


def notes_of(piece: Piece) -> Notes:
    beats = piece.ticks_per_beat
    columns = zip(piece.onset.tolist(), piece.duration.tolist(), piece.pitch.tolist(), strict=True)
    notes = [(onset / beats, duration / beats, pitch) for onset, duration, pitch in columns]
    return sorted(notes, key=lambda note: (round(note[0] * 12), note[2]))


def notes_by_abc2midi(text: str) -> Notes:
    with TemporaryDirectory() as folder:
        tune, midi = Path(folder, "tune.abc"), Path(folder, "tune.mid")
        tune.write_text(text, encoding="latin-1", errors="replace")
        command = ["abc2midi", str(tune), "-o", str(midi), *OPTIONS]
        subprocess.run(command, capture_output=True, check=False, timeout=60)
        return notes_of(read_midi(midi))


def agrees(found: Notes, expected: Notes) -> bool:
    return len(found) == len(expected) and all(
        abs(a[0] - b[0]) < TOLERANCE and abs(a[1] - b[1]) < TOLERANCE and a[2] == b[2]
        for a, b in zip(found, expected, strict=True)
    )


def text_of(source: Source) -> str:
    data = source.path.read_bytes()
    if source.span is not None:
        offset, size = source.span
        data = source.prefix + data[offset : offset + size]
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def differs(source: Source, repeats: Repeats) -> bool:
    text = text_of(source)
    try:
        found = notes_of(read_score_bytes(text.encode(), ".abc", source.name, repeats=repeats))
    except PieceError:
        return True
    return not agrees(found, notes_by_abc2midi(plain_tune(text, printed=repeats == "printed")))


def found_differences(corpus: str, repeats: Repeats, some: slice) -> tuple[set[str], set[str]]:
    """The names of the tunes that differ, and of those that the table says, among some of a corpus."""
    sources = installed_sources(corpus)[some]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda source: differs(source, repeats), sources))
    names = {source.name for source, differ in zip(sources, found, strict=True) if differ}
    kinds = ("printed",) if repeats == "printed" else ("printed", "played")
    listed = {name for c, name, kind in DIFFERENCES if c == corpus and kind in kinds}
    return names, listed & {source.name for source in sources}


@pytest.mark.parametrize("repeats", ["printed", "played"])
@pytest.mark.parametrize("corpus", CORPORA)
def test_a_sample_of_tunes_is_read_as_by_abc2midi(corpus: str, repeats: Repeats) -> None:
    found, listed = found_differences(corpus, repeats, slice(None, None, 40))
    assert found == listed


@pytest.mark.slow
@pytest.mark.parametrize("repeats", ["printed", "played"])
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("corpus", CORPORA)
def test_all_tunes_are_read_as_by_abc2midi(corpus: str, part: int, repeats: Repeats) -> None:
    found, listed = found_differences(corpus, repeats, slice(part, None, 4))
    assert found == listed
