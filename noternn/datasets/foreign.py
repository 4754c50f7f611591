"""Files of music that are not read, and what to do with them."""

from __future__ import annotations

from pathlib import Path

_FROM_ITSELF = "export MusicXML or MIDI from {}"
_FROM_MUSESCORE = "open it in MuseScore and export MusicXML or MIDI"
# By suffix, the program or format, and what to do.
_FORMATS = {
    **dict.fromkeys((".mscz", ".mscx"), ("MuseScore", _FROM_ITSELF)),
    **dict.fromkeys((".gp3", ".gp4", ".gp5", ".gpx", ".gp"), ("Guitar Pro", _FROM_MUSESCORE)),
    ".ptb": ("Power Tab", _FROM_MUSESCORE),
    ".cap": ("capella", _FROM_MUSESCORE),
    ".mei": ("MEI", _FROM_MUSESCORE),
    ".sib": ("Sibelius", _FROM_ITSELF),
    ".musx": ("Finale", _FROM_ITSELF),
    ".nwc": ("NoteWorthy Composer", _FROM_ITSELF),
    ".tef": ("TablEdit", _FROM_ITSELF),
    ".ly": ("LilyPond", "let LilyPond write MIDI, with \\midi in its score"),
}
FOREIGN_SUFFIXES = tuple(_FORMATS)


def is_foreign(path: Path) -> bool:
    """Whether a file's suffix says that it holds music in a format that is not read."""
    return path.suffix.lower() in _FORMATS


def why_foreign(path: Path) -> str:
    """Why such a file is not read, and what to do."""
    name, advice = _FORMATS[path.suffix.lower()]
    return f"is a score in the format of {name}, which is not read; {advice.replace('{}', name)}"
