"""The names of the General MIDI instruments."""

from __future__ import annotations

import pytest

from noternn.errors import UserError
from noternn.music.instruments import PROGRAM_NAMES, program_name, program_of


def test_there_are_128_instruments_by_different_names() -> None:
    assert len(set(PROGRAM_NAMES)) == 128
    assert [program_of(name) for name in PROGRAM_NAMES] == list(range(128))


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (0, "Acoustic Grand Piano"),
        (8, "Celesta"),
        (16, "Drawbar Organ"),
        (24, "Acoustic Guitar (nylon)"),
        (32, "Acoustic Bass"),
        (40, "Violin"),
        (48, "String Ensemble 1"),
        (56, "Trumpet"),
        (64, "Soprano Sax"),
        (72, "Piccolo"),
        (80, "Lead 1 (square)"),
        (88, "Pad 1 (new age)"),
        (96, "FX 1 (rain)"),
        (104, "Sitar"),
        (112, "Tinkle Bell"),
        (120, "Guitar Fret Noise"),
        (127, "Gunshot"),
    ],
)
def test_each_family_begins_where_general_midi_says(program: int, name: str) -> None:
    assert program_name(program) == name


@pytest.mark.parametrize(
    "name",
    ["Electric Guitar (jazz)", "electric_guitar_jazz", "ELECTRIC  GUITAR_jazz", " electric guitar jazz "],
)
def test_names_are_found_however_they_are_written(name: str) -> None:
    assert program_of(name) == 26


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("violn", "violin"), ("piano", "acoustic_grand_piano"), ("", "koto"), ("🎻", "koto")],
)
def test_unknown_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UserError, match="is no instrument of General MIDI") as caught:
        program_of(name)
    assert nearest == "koto" or f"(did you mean {nearest}?)" in str(caught.value)
