"""Free game music that comes with packages of Debian, and what each dataset with a name may be used for."""

from __future__ import annotations

from collections.abc import Iterable

# The package that brings the files of a dataset, on Debian, Ubuntu and what is made from them.
PACKAGES = {
    "simutrans": "simutrans-data",
    "openmsx": "openttd-openmsx",
    "planetblupi": "planetblupi-music-midi",
}
_ENCODED = "out of copyright; the encodings come with music21, see docs/licences.md"
_LICENCES = {
    **dict.fromkeys(("bach", "classical", "fiddle", "airs", "oneill"), _ENCODED),
    "freedoom": "BSD-3-Clause",
    "simutrans": "Artistic-1.0",
    "openmsx": "GPL-2.0-only",
    "planetblupi": "GPL-3.0-or-later",
}


def how_to_install(names: Iterable[str]) -> str | None:
    """The line that brings the music of some datasets; None if no package does."""
    packages = [PACKAGES[name] for name in names if name in PACKAGES]
    return f"apt-get install {' '.join(packages)}" if packages else None


def licence_of(name: str) -> str:
    """What is known of the terms of a dataset's music, by its name."""
    return _LICENCES.get(name, "not known to NoteRNN")
