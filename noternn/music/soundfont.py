"""`Piece` -> sound of recorded instruments: a SoundFont, played by midirenderer (the extra `sound`)."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import logging
import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError, is_installed, require
from noternn.music.midi_writer import midi_bytes
from noternn.music.piece import Piece

logger = logging.getLogger(__name__)

FULL_RATE, HALF_RATE = 48_000, 24_000  # samples a second: what midirenderer gives, and half of it
RING_SECONDS = 1.5  # that are heard after the last note
FADE_SECONDS = 0.5  # of them, at the end
MAX_FONT_BYTES = 2**30
INSTALLED = ("pretty_midi", "TimGM6mb.sf2")  # a package, and the General MIDI font that lies in it


@dataclass(frozen=True)
class SoundFont:
    """A font that can be read.

    Args:
        path: its file, for messages.
        data: what is in it.
        sample_rate: of what it plays, `FULL_RATE` or `HALF_RATE`.
    """

    path: Path
    data: bytes = field(repr=False)
    sample_rate: int = HALF_RATE

    def play(self, piece: Piece) -> NDArray[np.float32]:
        """All notes and `RING_SECONDS` after them, shape (num_samples, 2): left and right.

        Equal pieces give equal samples.

        Args:
            piece: not longer than its sound may be; a MIDI file can hold its tempos and metres.

        Raises:
            UserError: if the font turns out to be broken.
        """
        if not piece.num_notes:
            return np.zeros((self.sample_rate // 10, 2), dtype=np.float32)
        marked, seconds = _with_mark(piece)
        samples = self._render(midi_bytes(marked))[: round(seconds * FULL_RATE)]
        if self.sample_rate == HALF_RATE:
            samples = _halved(samples)
        fade = samples[-round(FADE_SECONDS * self.sample_rate) :]
        fade *= np.linspace(1, 0, len(fade), dtype=np.float32)[:, None]
        return samples

    def check(self) -> None:
        """Refuse a broken font.

        Raises:
            UserError: says what is wrong with it.
        """
        self._render(midi_bytes(Piece.from_notes([], [], [])))

    def _render(self, midi: bytes) -> NDArray[np.float32]:
        """The samples of a MIDI file, shape (num_samples, 2), which end with its last message."""
        import midirenderer

        try:
            data = midirenderer.render_wave_from(self.data, midi)
        except RuntimeError as error:
            what = str(error).encode("ascii", "backslashreplace").decode()
            raise UserError(f"{self.path}: is no SoundFont that can be played: {what}") from error
        with wave.open(io.BytesIO(data)) as sound:
            samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
        return samples.reshape(-1, 2).astype(np.float32)


def read_font(path: Path, sample_rate: int = HALF_RATE) -> SoundFont:
    """Read a .sf2 file.

    Raises:
        UserError: if the extra is not installed, or if the file cannot be read or is broken.
    """
    require("sound", f"{path}")
    try:
        if path.stat().st_size > MAX_FONT_BYTES:
            raise UserError(f"{path}: a SoundFont may have {MAX_FONT_BYTES:,} bytes at most")
        font = SoundFont(path, path.read_bytes(), sample_rate)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    font.check()
    return font


def installed_font(sample_rate: int = HALF_RATE) -> SoundFont | None:
    """The General MIDI font that comes with the extra, read where pip put it; None without the extra.

    The code of the package in which it lies is not run. A broken one is told in a warning.
    """
    if not is_installed("sound"):
        return None
    package, name = INSTALLED
    found = importlib.util.find_spec(package)
    folders = (found and found.submodule_search_locations) or ()
    path = next((path for folder in folders if (path := Path(folder) / name).is_file()), None)
    try:
        return read_font(path, sample_rate) if path else None
    except UserError as error:
        logger.warning("a plain synthesizer plays: %s", error)
        return None


def _with_mark(piece: Piece) -> tuple[Piece, float]:
    """The piece with a note of no weight `RING_SECONDS` after its end, and the second at which that begins.

    What is rendered ends with the last message of the file, and would cut off what still sounds.
    """
    tempos = tuple(tempo for tempo in piece.tempos if tempo[0] < piece.end) or piece.tempos[:1]
    mark = piece.end + round(np.ceil(RING_SECONDS * tempos[-1][1] / 60 * piece.ticks_per_beat))
    marked = dataclasses.replace(
        piece,
        onset=np.append(piece.onset, mark),
        duration=np.append(piece.duration, 1),
        pitch=np.append(piece.pitch, piece.pitch[0]),
        velocity=np.append(piece.velocity, 1),
        program=np.append(piece.program, piece.program[0]),
        is_drum=np.append(piece.is_drum, piece.is_drum[0]),
        tempos=tempos,
        span=None,
    )
    return marked, float(marked.seconds(np.array([mark]))[0])


def _halved(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every second sample, shape (num_samples / 2, 2), without what is too high for them.

    A windowed sinc of 63 points (Blackman): 10 kHz loses 1 dB, 12 kHz 28 dB, 13 kHz 78 dB.
    """
    time = np.arange(-31, 32)
    kernel = (np.sinc(time * 0.45) * np.blackman(65)[1:-1]).astype(np.float32)
    kernel /= kernel.sum()
    return np.stack([np.convolve(channel, kernel, mode="same")[::2] for channel in samples.T], axis=1)
