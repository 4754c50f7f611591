"""Recorded notes of the instruments that a network plays, as a page holds them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.music.instruments import VOICE_PROGRAMS
from noternn.music.piece import Piece
from noternn.music.soundfont import SoundFont

DRUMS = 128  # in the place of a program
MAX_CHARACTERS = 16_000_000  # of all recorded notes, as base64
SEMITONES = (4, 6, 12)  # between recorded notes, tried in this order
USUAL_PITCHES = (36, 96)  # where the tokens name none
DRUM_NUMBERS = range(27, 88)  # for which General MIDI fonts have sounds
STRUCK_SECONDS, HELD_SECONDS, DRUM_SECONDS = 2.0, 1.5, 0.8
LOOP_SECONDS = (0.7, 1.4)  # of a held note: from where to where it is repeated while it lasts
BLEND_SECONDS = 0.2  # before the end of that, which goes over into what stands before its beginning
FADE_SECONDS = 0.3
VELOCITY = 100
SILENT = 0.003  # of the greatest sample; what is softer at the end is left out


class Sounds(NamedTuple):
    """What pages/sound.js needs to play with.

    Args:
        facts: for JSON: the samples a second, and of each note its program, pitch, first sample, number
            of samples, gain and loop in seconds.
        samples: of all notes in a row, 16 bits, little-endian, as base64.
    """

    facts: dict[str, Any]
    samples: str


class _Note(NamedTuple):
    program: int
    pitch: int
    samples: NDArray[np.float32]  # (num_samples,)
    loop: tuple[float, float] | None


def _is_held(program: int) -> bool:
    """Whether an instrument sounds on while a note lasts, as organs, bows and winds do."""
    is_struck = program in (45, 46, 47, 55)  # pizzicato, harp, timpani, orchestra hit
    return 16 <= program <= 23 or (40 <= program <= 79 and not is_struck) or 88 <= program <= 95


def sounds_of(font: SoundFont, description: Mapping[str, Any]) -> Sounds:
    """The notes of a font for the instruments of a network.

    Args:
        font: plays them.
        description: of the network, see `noternn.model.plain.Plain`: its tokens tell the instruments.

    Raises:
        UserError: if they would be larger than `MAX_CHARACTERS`, or if the font is broken or silent.
    """
    tokens: Sequence[str] = description["tokens"]
    programs = _numbers(tokens, "Program_")
    if description["tokenizer"]["name"] == "voices":
        programs = sorted(VOICE_PROGRAMS)
    pitches = _numbers(tokens, "Pitch_") or list(USUAL_PITCHES)
    drums = [pitch for pitch in _numbers(tokens, "Drum_") if pitch in DRUM_NUMBERS]
    programs = programs if programs or drums else [0]
    limit = 3 * MAX_CHARACTERS // 8  # samples of two bytes, as base64
    for semitones in SEMITONES:
        places = range(pitches[0], pitches[-1] + semitones, semitones)
        wanted = [(program, min(pitch, 127)) for program in programs for pitch in places]
        found = _recorded(font, wanted + [(DRUMS, pitch) for pitch in drums], limit)
        if found is not None:
            return _packed(found, font)
    raise UserError(
        f"{font.path}: the sounds of {len(programs)} instruments would take more than "
        f"{MAX_CHARACTERS // 1_000_000} MB in the page; leave --soundfont out"
    )


def _numbers(tokens: Sequence[str], prefix: str) -> list[int]:
    found = (re.fullmatch(rf"{prefix}(\d+)", token) for token in tokens)
    return sorted({int(match[1]) for match in found if match})


def _recorded(font: SoundFont, wanted: Sequence[tuple[int, int]], limit: int) -> list[_Note] | None:
    """Notes of these programs and pitches; None if they have more samples than the limit."""
    notes: list[_Note] = []
    for program, pitch in wanted:
        note = _record(font, program, pitch)
        if note is None:
            continue
        notes.append(note)
        limit -= len(note.samples)
        if limit < 0:
            return None
    return notes


def _record(font: SoundFont, program: int, pitch: int) -> _Note | None:
    """A note in mono; None if the font has no sound for it."""
    is_drum = program == DRUMS
    held = _is_held(program)
    seconds = DRUM_SECONDS if is_drum else HELD_SECONDS if held else STRUCK_SECONDS
    piece = Piece.from_notes(
        *([0], [round(seconds * 960)], [pitch]),
        velocity=VELOCITY,
        program=0 if is_drum else program,
        is_drum=is_drum,
    )
    rate = font.sample_rate
    samples = font.play(piece).mean(axis=1)[: round(seconds * rate)]
    audible = np.flatnonzero(np.abs(samples) > SILENT * np.abs(samples).max())
    if not len(audible):
        return None
    samples = samples[: audible[-1] + 1]
    loop = None
    if held and len(samples) > LOOP_SECONDS[1] * rate:
        samples, loop = _looped(samples, rate), LOOP_SECONDS
    else:
        fade = samples[-round(FADE_SECONDS * rate) :]
        fade *= np.linspace(1, 0, len(fade), dtype=np.float32)
    return _Note(program, pitch, samples, loop)


def _looped(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """The note up to the end of its loop, which goes over into what precedes the loop without a click."""
    start, end, blend = (round(seconds * rate) for seconds in (*LOOP_SECONDS, BLEND_SECONDS))
    share = np.linspace(0, 1, blend, dtype=np.float32)
    looped = samples[:end].copy()
    looped[end - blend :] *= 1 - share
    looped[end - blend :] += share * samples[start - blend : start]
    return looped


def _packed(notes: Sequence[_Note], font: SoundFont) -> Sounds:
    """Each note at full scale; its gain, relative to the loudest with a pitch, says how loud it is."""
    if not notes:
        raise UserError(f"{font.path}: has no sound for any instrument of this network")
    peaks = [float(np.abs(note.samples).max()) for note in notes]
    pitched = [peak for note, peak in zip(notes, peaks, strict=True) if note.program != DRUMS]
    loudest = max(pitched or peaks)
    at, parts = 0, []
    told: list[dict[str, Any]] = []
    for note, peak in zip(notes, peaks, strict=True):
        gain = round(min(peak / loudest, 2.0), 4)
        length = len(note.samples)
        told.append({"program": note.program, "pitch": note.pitch, "at": at, "length": length})
        told[-1] |= {"gain": gain, "loop": note.loop}
        at += length
        parts.append(np.rint(note.samples * (32767 / peak)).astype("<i2").tobytes())
    return Sounds({"rate": font.sample_rate, "notes": told}, base64.b64encode(b"".join(parts)).decode())
