"""The order in which bars are played; each expectation was written down by hand."""

from __future__ import annotations

import pytest

from noternn.music.notation import Bar
from noternn.music.piece import PieceError
from noternn.music.repeats import MAX_PLAYED_BARS, Repeats, playing_order


def bars_of(text: str) -> list[Bar]:
    """Bars such as `|: A 1[B :| 2[C fine`: a letter is a bar, signs before and after it are its own."""
    bars: list[Bar] = []
    begins, endings, opens = False, (), False
    for word in text.split():
        if word == "|:":
            begins, endings = True, ()
        elif word.startswith(":|"):
            bars[-1].repeat_end = int(word[2:] or 2)
        elif word[0].isdigit() and word.endswith("["):
            endings, opens = tuple(int(c) for c in word[:-1].split(",")), True
        elif word == "]":
            endings = ()
        elif word in ("dacapo", "dalsegno"):
            bars[-1].jump = word
        elif word in ("fine", "to_coda"):
            setattr(bars[-1], word, True)
        elif word in ("segno", "coda"):
            bars.append(Bar(**{word: True}))
        elif word.startswith("P:"):
            bars.append(Bar(section=word[2:]))
        else:
            bars.append(Bar(repeat_start=begins, endings=endings, begins_ending=opens))
            begins = opens = False
    return bars


def order(text: str, repeats: Repeats, sections: str = "") -> str:
    """The letters of the bars as they are played; a bar with a sign in the place of its letter is silent."""
    bars = bars_of(text)
    names = [w for w in text.split() if w.isupper() or w in ("segno", "coda") or w.startswith("P:")]
    found = playing_order(bars, repeats, tuple(sections), tuple(sections) if repeats == "once" else ())
    return "".join(names[i] if names[i].isupper() and ":" not in names[i] else "" for i in found)


@pytest.mark.parametrize(
    ("text", "once", "played"),
    [
        ("A B", "AB", "AB"),
        ("|: A :| B", "AB", "AAB"),
        ("A :| B :|", "AB", "AABB"),
        ("A |: B :|3 C", "ABC", "ABBBC"),
        ("|: A 1[ B :| 2[ C ]", "AC", "ABAC"),
        ("|: A 1[ B :| 2[ C :|", "AC", "ABAC"),
        ("|: A 1[ B :| 2[ C ] D", "ACD", "ABACD"),
        ("|: A 1,3[ B :| 2[ C :| 4[ D ] E", "ADE", "ABACABADE"),
        ("|: A 1[ B :| ] C", "AC", "ABAC"),
        ("|: A 1[ B 2[ C ] D", "ACD", "ABACD"),
        ("|: A 1[ B :| 2[ C |: D 1[ E :| 2[ F ]", "ACDF", "ABACDEDF"),
        ("A 1[ B :| 2[ C ] D 1[ E :| 2[ F ]", "ACDF", "ABACDEDF"),
        ("A fine B dacapo", "AB", "ABA"),
        ("A segno B fine C dalsegno", "ABC", "ABCB"),
        ("A to_coda B dacapo coda C", "ABC", "ABAC"),
        ("|: A 1[ B :| 2[ C fine ] D dacapo", "ACD", "ABACDAC"),
    ],
)
def test_bars_are_read_once_or_as_they_are_played(text: str, once: str, played: str) -> None:
    assert order(text, "once") == once
    assert order(text, "played") == played
    assert order(text, "printed") == "".join(c for c in text if c in "ABCDEF")


def test_sections_are_played_in_the_order_that_the_file_gives() -> None:
    text = "P:A A :| P:B B P:C C"
    assert order(text, "played", "ABBA") == "AABBAA"
    assert order(text, "once", "AC") == "AC"
    assert order(text, "played", "XY") == "AABC"


def test_a_piece_that_repeats_for_ever_is_refused() -> None:
    with pytest.raises(PieceError, match=r"dataset\.repeats=once"):
        playing_order(bars_of(f"|: A :|{MAX_PLAYED_BARS + 2}"), "played")
