"""Sound of recorded instruments."""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from noternn.__main__ import main
from noternn.errors import LIBRARIES, UserError, is_installed
from noternn.music.piece import Piece
from noternn.music.sound import save_audio
from noternn.music.soundfont import FULL_RATE, HALF_RATE, RING_SECONDS, SoundFont, installed_font, read_font

Capture = pytest.CaptureFixture[str]
needs_sound = pytest.mark.skipif(not is_installed("sound"), reason="the extra sound is not installed")


def font(sample_rate: int = HALF_RATE) -> SoundFont:
    found = installed_font(sample_rate)
    if found is None:
        pytest.skip("the extra sound is not installed whole: there is no font")
    return found


def a4(seconds: float = 2.0, program: int = 16, pitch: int = 69) -> Piece:
    return Piece.from_notes([0], [round(seconds * 960)], [pitch], program=program)


def pitch_of(samples: NDArray[np.float32], rate: int) -> float:
    """The strongest frequency in Hz."""
    mono = samples.sum(axis=1)
    spectrum = np.abs(np.fft.rfft(mono * np.hanning(len(mono))))
    return float(spectrum.argmax() * rate / len(mono))


@needs_sound
@pytest.mark.parametrize("sample_rate", [FULL_RATE, HALF_RATE])
def test_a_note_has_its_pitch_and_rings_on(sample_rate: int) -> None:
    samples = font(sample_rate).play(a4(program=73))
    assert samples.shape == (round((2 + RING_SECONDS) * sample_rate), 2)
    assert pitch_of(samples[: 2 * sample_rate], sample_rate) == pytest.approx(440, rel=0.01)
    assert np.abs(samples[-10:]).max() < 1


@needs_sound
def test_instruments_and_drums_sound_unlike() -> None:
    pieces = [a4(program=program) for program in (0, 40, 73)]
    pieces += [Piece.from_notes([0], [1920], [69], is_drum=True)]
    heard = [font().play(piece).sum(axis=1) for piece in pieces]
    for i, one in enumerate(heard):
        assert np.abs(one).max() > 100
        for other in heard[:i]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.9


@needs_sound
def test_tempo_changes_are_followed() -> None:
    piece = Piece.from_notes([0, 480], 480, 69, tempos=[(0, 60), (480, 120), (5000, 10)])
    assert len(font().play(piece)) / HALF_RATE == pytest.approx(1.5 + RING_SECONDS, abs=0.01)


@needs_sound
def test_a_file_is_stereo_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        save_audio(a4(), tmp_path / name, font=font())
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    with wave.open(str(tmp_path / "a.wav"), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, HALF_RATE)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    assert np.abs(samples.astype(int)).max() == pytest.approx(0.9 * 32767, abs=1)


@needs_sound
def test_without_notes_there_is_a_moment_of_silence(tmp_path: Path) -> None:
    save_audio(Piece.from_notes([], [], []), tmp_path / "a.wav", font=font())
    with wave.open(str(tmp_path / "a.wav"), "rb") as file:
        assert not any(file.readframes(file.getnframes()))


@needs_sound
def test_music_after_the_limit_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noternn.music.sound.MAX_AUDIO_SECONDS", 1.0)
    save_audio(Piece.from_notes([0, 2**31], [2**31, 480], 60), tmp_path / "a.wav", font=font())
    with wave.open(str(tmp_path / "a.wav"), "rb") as file:
        assert file.getnframes() / HALF_RATE == pytest.approx(1 + RING_SECONDS, abs=0.01)


@needs_sound
@pytest.mark.parametrize("data", [b"", b"RIFF" * 10, b"\xff\n" * 500])
def test_what_is_no_font_is_refused_in_a_line(tmp_path: Path, data: bytes, capsys: Capture) -> None:
    (tmp_path / "a.sf2").write_bytes(data)
    command = ["generate", str(tmp_path), "-o", str(tmp_path / "out.mid"), "--wav"]
    assert main([*command, "--soundfont", str(tmp_path / "a.sf2")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'a.sf2'}: is no SoundFont that can be played: ")


@needs_sound
def test_a_font_that_is_cut_off_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sf2").write_bytes(font().data[:-1000])
    with pytest.raises(UserError, match=r"a\.sf2: is no SoundFont that can be played"):
        read_font(tmp_path / "a.sf2")
    for missing in (tmp_path / "b.sf2", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_font(missing)


@needs_sound
def test_a_broken_font_of_the_extra_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "broken" / "a.sf2").write_bytes(b"RIFF")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("noternn.music.soundfont.INSTALLED", ("broken", "a.sf2"))
    assert installed_font() is None
    assert "a plain synthesizer plays" in caplog.text
    monkeypatch.setattr("noternn.music.soundfont.INSTALLED", ("noternn_has_no_such_package", "a.sf2"))
    assert installed_font() is None


def test_without_the_extra_the_way_to_it_is_said(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(LIBRARIES, "sound", ("midirenderer", "noternn_has_no_such_module"))
    command = ["generate", str(tiny_run), "-o", str(tmp_path / "out.mid"), "--num-notes", "5", "--wav"]
    assert main(command) == 0
    assert "noternn[sound]" in capsys.readouterr().err
    with wave.open(str(tmp_path / "out.wav"), "rb") as file:
        assert file.getnchannels() == 1
    assert main([*command, "--soundfont", "a.sf2"]) == 1
    assert 'a.sf2: midirenderer is not installed; pip install "noternn[sound]"' in capsys.readouterr().err


def test_a_font_that_would_play_nothing_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert main(["generate", str(tmp_path), "-o", str(tmp_path / "a.mid"), "--soundfont", "a.sf2"]) == 1
    assert "give --wav or --ogg with it" in capsys.readouterr().err


@needs_sound
def test_generate_plays_with_a_font(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "my.sf2").write_bytes(font().data)
    command = ["generate", str(tiny_run), "-o", str(tmp_path / "out.mid"), "--num-notes", "5", "--wav"]
    sounds = []
    for options in ([], ["--soundfont", str(tmp_path / "my.sf2")]):
        assert main([*command, *options]) == 0
        sounds.append((tmp_path / "out.wav").read_bytes())
        with wave.open(str(tmp_path / "out.wav"), "rb") as file:
            assert (file.getnchannels(), file.getframerate()) == (2, FULL_RATE)
    assert sounds[0] == sounds[1]
    assert "pretty_midi" not in sys.modules
