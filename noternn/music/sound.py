"""`Piece` -> a file of sound: a small synthesizer, or a font of recorded instruments."""

from __future__ import annotations

import logging
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError, require
from noternn.files import replacing
from noternn.music.piece import Piece
from noternn.music.soundfont import SoundFont

logger = logging.getLogger(__name__)

MAX_AUDIO_SECONDS = 600.0
RELEASE_SECONDS = 0.08
ATTACK_SECONDS = 0.004
RING_SECONDS = 8.0  # a tone that is held longer has died away by then
PEAK = 0.9  # of full scale
HARMONICS = (1.0, 0.45, 0.22, 0.12, 0.06, 0.03)  # amplitudes of the partials


def save_audio(piece: Piece, path: Path, sample_rate: int = 22050, font: SoundFont | None = None) -> None:
    """Play a piece into a file: WAV of 16 bits or Ogg Vorbis, a tenth as large.

    A font plays its instruments, in stereo. Without one a small synthesizer plays, in mono: every pitched
    note is a decaying tone of six harmonics, every drum a burst of noise; programs sound alike. The loudest
    sample is at 0.9 of full scale. Tempo changes are followed. Music after ten minutes is left out, with a
    warning. Equal pieces give equal bytes of WAV.

    Args:
        piece: what to play; without notes the file is a moment of silence.
        path: the file, whose suffix says which of the two; folders that are missing are made.
        sample_rate: samples a second of the synthesizer; a font has its own.
        font: what plays; None takes the synthesizer.

    Raises:
        UserError: see `check_audio_path`, and if the font is broken.
    """
    check_audio_path(path)
    if piece.duration_seconds > MAX_AUDIO_SECONDS:
        logger.warning(
            "%s lasts %.0f s: only the first %.0f s are played",
            piece.name or "the piece",
            piece.duration_seconds,
            MAX_AUDIO_SECONDS,
        )
    if font:
        samples, sample_rate = font.play(_beginning(piece)), font.sample_rate
    else:
        samples = _mix(piece, sample_rate)[:, None]
    loudest = float(np.abs(samples).max())
    scale = PEAK * 32767 / loudest if loudest > 0 else 0.0
    write = _write_ogg if path.suffix.lower() == ".ogg" else _write_wav
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        write(file, np.rint(samples * scale).astype("<i2"), sample_rate)


def _beginning(piece: Piece) -> Piece:
    """What sounds in the first `MAX_AUDIO_SECONDS`."""
    low, high = 0, piece.end  # ticks; the last that is not too late lies between
    while low < high:
        middle = (low + high + 1) // 2
        is_early = piece.seconds(np.array([middle]))[0] <= MAX_AUDIO_SECONDS
        low, high = (middle, high) if is_early else (low, middle - 1)
    return piece.until(low)


def check_audio_path(path: Path) -> None:
    """Refuse a file that `save_audio` could not write.

    Raises:
        UserError: if it is neither .wav nor .ogg, or if it is .ogg and its library is not installed.
    """
    if path.suffix.lower() not in (".wav", ".ogg"):
        raise UserError(f"{path}: sound is written as .wav or .ogg")
    if path.suffix.lower() == ".ogg":
        require("ogg", f"{path}")


def _write_wav(file: BinaryIO, samples: NDArray[np.int16], sample_rate: int) -> None:
    """Write samples of the shape (num_samples, num_channels)."""
    with wave.open(file, "wb") as wav:
        wav.setnchannels(samples.shape[1])
        wav.setsampwidth(2)
        wav.setframerate(sample_rate)
        wav.writeframes(samples.tobytes())


def _write_ogg(file: BinaryIO, samples: NDArray[np.int16], sample_rate: int) -> None:
    import soundfile  # a wheel with libsndfile in it: no package of the system is needed

    with soundfile.SoundFile(file, "w", sample_rate, samples.shape[1], subtype="VORBIS", format="OGG") as ogg:
        for start in range(0, len(samples), sample_rate):  # its encoder overflows the stack on many at once
            ogg.write(samples[start : start + sample_rate])


def _mix(piece: Piece, sample_rate: int) -> NDArray[np.float32]:
    """All notes added up, shape (num_samples,), not yet scaled."""
    total = min(piece.duration_seconds, MAX_AUDIO_SECONDS) + RELEASE_SECONDS
    samples = np.zeros(int(np.ceil(total * sample_rate)), dtype=np.float32)
    sounds: dict[tuple[bool, int], NDArray[np.float32]] = {}
    ring_seconds = min(_longest_note_seconds(piece) + RELEASE_SECONDS, RING_SECONDS)
    release = np.linspace(1, 0, round(RELEASE_SECONDS * sample_rate), dtype=np.float32)
    for start, end, pitch, velocity, is_drum in _played_notes(piece, sample_rate):
        if start >= len(samples):
            break
        if (is_drum, pitch) not in sounds:
            sounds[is_drum, pitch] = (
                _drum(pitch, sample_rate) if is_drum else _tone(pitch, ring_seconds, sample_rate)
            )
        sound = sounds[is_drum, pitch]
        # A drum rings out, however short its note. Even a sound that dies away is faded, to avoid a click.
        longest = len(sound) - len(release)
        held = longest if is_drum else min(end - start, longest)
        note = sound[: min(held + len(release), len(samples) - start)] * np.float32((velocity / 127) ** 1.5)
        tail = note[held:]
        tail *= release[: len(tail)]
        samples[start : start + len(note)] += note
    return samples


def _played_notes(piece: Piece, sample_rate: int) -> Iterator[tuple[int, int, int, int, bool]]:
    """(first sample, end sample, pitch, velocity, is_drum) of each note in time order."""
    start = np.rint(piece.seconds(piece.onset) * sample_rate).astype(np.int64)
    end = np.rint(piece.seconds(piece.onset + piece.duration) * sample_rate).astype(np.int64)
    columns = (start, end, piece.pitch, piece.velocity, piece.is_drum)
    yield from zip(*(column.tolist() for column in columns), strict=True)


def _longest_note_seconds(piece: Piece) -> float:
    lengths = piece.seconds(piece.onset + piece.duration) - piece.seconds(piece.onset)
    return float(lengths.max(initial=0.0))


def _tone(pitch: int, seconds: float, sample_rate: int) -> NDArray[np.float32]:
    """A struck string of this pitch, not yet released, shape (num_samples,); high ones die sooner."""
    time = np.arange(round(seconds * sample_rate) + 1) / sample_rate
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    decay = 1.2 * 2 ** ((pitch - 60) / 24)  # per second
    tone = np.zeros_like(time)
    envelope, faster = np.exp(-decay * time), np.exp(-0.35 * decay * time)
    for number, amplitude in enumerate(HARMONICS, start=1):
        if number * frequency < sample_rate / 2:
            tone += amplitude * envelope * np.sin(2 * np.pi * number * frequency * time)
            envelope *= faster  # the next partial dies sooner
    # The ear hears high tones of equal amplitude as louder.
    loudness = 2 ** ((60 - pitch) / 36)
    attack = np.minimum(time / ATTACK_SECONDS, 1)
    return (tone * attack * loudness).astype(np.float32)


def _drum(pitch: int, sample_rate: int) -> NDArray[np.float32]:
    """A burst of noise, shape (num_samples,): low drums are dull and long, cymbals bright and short."""
    is_bass_drum, is_metal = pitch in (35, 36), pitch in (42, 44, 46, 49, 51, 52, 53, 55, 57, 59)
    time = np.arange(round(0.3 * sample_rate)) / sample_rate
    noise = np.random.default_rng(pitch).uniform(-1, 1, len(time))
    if is_bass_drum:
        thump = np.sin(2 * np.pi * 55 * time) + 0.1 * noise
        return (1.4 * thump * np.exp(-18 * time)).astype(np.float32)
    brightness = np.diff(noise, prepend=0.0) if is_metal else noise
    return (0.4 * brightness * np.exp(-(45 if is_metal else 28) * time)).astype(np.float32)
