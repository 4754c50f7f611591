"""The decorations of ABC and what they are to a reader (ABC standard 2.1, section 4.14)."""

from __future__ import annotations

from noternn.music.notation import VELOCITIES

# The letters that stand for decorations unless `U:` says otherwise (section 4.16); "" is none.
SYMBOLS = {
    "~": "roll",
    "H": "fermata",
    "L": "accent",
    "M": "lowermordent",
    "O": "coda",
    "P": "uppermordent",
    "S": "segno",
    "T": "trill",
    "u": "upbow",
    "v": "downbow",
}

DYNAMICS = VELOCITIES | {"pppp": 10}

# Signs that a performer plays as more than what is written, by what a remark calls them.
ORNAMENTS = {
    "arpeggio": "arpeggios",
    "crescendo(": "hairpins",
    "diminuendo(": "hairpins",
    "<(": "hairpins",
    ">(": "hairpins",
    "cresc": "hairpins",
    "decresc": "hairpins",
    "dimin": "hairpins",
    "8va(": "octave signs",
    "8vb(": "octave signs",
    "15ma(": "octave signs",
    "15mb(": "octave signs",
    "invertedturn": "turns",
    "invertedturnx": "turns",
    "lowermordent": "mordents",
    "mordent": "mordents",
    "uppermordent": "mordents",
    "pralltriller": "mordents",
    "roll": "rolls",
    "slide": "slides",
    "glissando(": "slides",
    "~(": "slides",
    "trill": "trills",
    "trill(": "trills",
    "turn": "turns",
    "turnx": "turns",
    "sfz": "sforzati",
    "sf": "sforzati",
    "fp": "sforzati",
    "rfz": "sforzati",
    **dict.fromkeys(("/", "//", "///", "////", "tremolo"), "tremolos"),
    **dict.fromkeys((f"{name}{n}" for name in ("trem", "tremolo") for n in range(1, 5)), "tremolos"),
}

# Signs that change neither pitch nor written length.
ARTICULATIONS = {
    *("", "nil", "none", ".", "staccato", "wedge", "tenuto", "accent", ">", "emphasis", "marcato", "^"),
    *(
        "fermata",
        "invertedfermata",
        "upbow",
        "downbow",
        "open",
        "thumb",
        "snap",
        "+",
        "plus",
        "breath",
        "mark",
    ),
    *("shortphrase", "mediumphrase", "longphrase", "editorial", "courtesy", "stemless", "beamon", "caesura"),
    *(
        "crescendo)",
        "diminuendo)",
        "<)",
        ">)",
        "trill)",
        "8va)",
        "8vb)",
        "15ma)",
        "15mb)",
        "~)",
        "glissando)",
    ),
    *("0", "1", "2", "3", "4", "5", "ped", "ped-up", "ped(", "ped)", "xstem", "rbstop", "head-slash", "slur"),
    *("beambr1", "beambr2", "beam-accel", "beam-rall", "-(", "-)", "dot"),
}

# Where the player goes on elsewhere, by the name in lower case without dots and spaces; fields of `Bar`.
JUMPS = {
    "fine": "fine",
    "dacoda": "to_coda",
    "tocoda": "to_coda",
    "dc": "dacapo",
    "dacapo": "dacapo",
    "dcalfine": "dacapo",
    "dcalcoda": "dacapo",
    "ds": "dalsegno",
    "dalsegno": "dalsegno",
    "dsalfine": "dalsegno",
    "dsalcoda": "dalsegno",
}
