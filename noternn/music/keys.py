"""The key of a piece, by the notes that it has, and how its notes are spelled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from noternn.music.piece import Piece

# How well each pitch class fits a key, from its tonic on: Krumhansl and Kessler, Tracing the dynamic changes
# in perceived tonal organization in a spatial representation of musical keys, Psychological Review 89, 1982.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
LEAST_FIT = 0.5  # a correlation; music that fits no key better has none
STEPS = "FCGDAEB"  # by fifths
SHARPS = (0, 7, 2, -3, 4, -1, 6, 1, -4, 3, -2, 5)  # of the major key on each pitch class, from C on


class Key(NamedTuple):
    """A key.

    Args:
        fifths: sharps of its signature; flats below 0.
        is_minor: whether it is a minor key.
    """

    fifths: int
    is_minor: bool


NO_KEY = Key(0, False)  # without signs


def key_of(piece: Piece) -> Key | None:
    """The key whose profile fits the time that each pitch class sounds best; None where none fits.

    This is the algorithm of Krumhansl and Schmuckler (Krumhansl, Cognitive Foundations of Musical Pitch,
    1990, chapter 4). Drums are left out.
    """
    pitched = ~piece.is_drum
    sounding = np.bincount(piece.pitch[pitched] % 12, piece.duration[pitched], 12)
    if not sounding.any() or np.ptp(sounding) == 0:
        return None
    fits = [
        (float(np.corrcoef(np.roll(sounding, -tonic), profile)[0, 1]), tonic, is_minor)
        for is_minor, profile in ((False, MAJOR), (True, MINOR))
        for tonic in range(12)
    ]
    fit, tonic, is_minor = max(fits, key=lambda found: found[0])
    return Key(SHARPS[(tonic + 3 * is_minor) % 12], is_minor) if fit >= LEAST_FIT else None


def spelled(pitch: int, key: Key) -> tuple[str, int, int]:
    """The step, alteration in semitones and octave of a MIDI pitch.

    Of all names it takes the one nearest to the key by fifths: in C major from E flat to G sharp.
    """
    fifth = (pitch * 7 + 1) % 12  # of a name: F is 0, C is 1
    fifth += 12 * ((key.fifths + 9 - fifth) // 12)
    alteration, step = divmod(fifth, 7)
    return STEPS[step], alteration, (pitch - alteration) // 12 - 1
