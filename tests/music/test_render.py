"""Pictures and sound of pieces."""

from __future__ import annotations

import logging
import sys
import wave
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.music.piano_roll import DRUM_COLOR, PROGRAM_COLORS, save_piano_roll
from noternn.music.piece import Piece
from noternn.music.sound import RELEASE_SECONDS, check_audio_path, save_audio

pytestmark = pytest.mark.usefixtures("draws")
SAMPLE_RATE = 22050


def a4(seconds: float = 2.0) -> Piece:
    return Piece.from_notes([0], [round(seconds * 960)], [69])


def played(piece: Piece, folder: Path) -> NDArray[np.int16]:
    """The samples of the piece's audio, shape (num_samples,)."""
    save_audio(piece, folder / "piece.wav", SAMPLE_RATE)
    with wave.open(str(folder / "piece.wav"), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, SAMPLE_RATE)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def drawn(piece: Piece, folder: Path, primer_end: int | None = None, title: str = "t") -> NDArray[np.float32]:
    """The picture, shape (height, width, 4)."""
    save_piano_roll(piece, folder / "piece.png", primer_end=primer_end, title=title)
    assert (folder / "piece.png").read_bytes().startswith(b"\x89PNG")
    return matplotlib.image.imread(folder / "piece.png")


def has_color(picture: NDArray[np.float32], color: str) -> bool:
    rgb = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return bool((np.abs(picture[..., :3] - rgb).max(axis=-1) < 0.01).any())


def test_audio_lasts_as_long_as_the_piece(tmp_path: Path) -> None:
    seconds = len(played(a4(seconds=2.0), tmp_path)) / SAMPLE_RATE
    assert 2.0 <= seconds <= 2.2


def test_audio_follows_the_tempo_map(tmp_path: Path) -> None:
    piece = Piece.from_notes([0, 480], 480, 69, tempos=[(0, 60), (480, 120)])
    assert len(played(piece, tmp_path)) / SAMPLE_RATE == pytest.approx(1.5 + RELEASE_SECONDS, abs=0.01)


def test_the_loudest_sample_is_near_full_scale_however_many_notes_sound(tmp_path: Path) -> None:
    cluster = Piece.from_notes([0] * 60, 960, range(30, 90), velocity=127)
    for piece in (a4(), cluster):
        assert np.abs(played(piece, tmp_path).astype(int)).max() == pytest.approx(0.9 * 32767, abs=1)


@pytest.mark.parametrize(("pitch", "frequency"), [(69, 440.0), (60, 261.63), (36, 65.41)])
def test_the_strongest_frequency_is_that_of_the_pitch(tmp_path: Path, pitch: int, frequency: float) -> None:
    samples = played(Piece.from_notes([0], [1920], [pitch]), tmp_path)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    strongest = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)[spectrum.argmax()]
    assert strongest == pytest.approx(frequency, abs=1)


@pytest.mark.parametrize("seconds", [0.02, 2.0, 12.0])
def test_notes_end_without_a_click(tmp_path: Path, seconds: float) -> None:
    low = Piece.from_notes([0], [round(seconds * 960)], [24])
    samples = played(low, tmp_path).astype(int)
    assert abs(samples[0]) < 300
    assert np.abs(samples[-5:]).max() < 300
    assert np.abs(np.diff(samples)).max() < 6000


def test_a_loud_note_sounds_louder_than_a_soft_one(tmp_path: Path) -> None:
    samples = played(Piece.from_notes([0, 960], 480, 69, velocity=[120, 30]), tmp_path).astype(float)
    loud, soft = samples[: SAMPLE_RATE // 2].std(), samples[SAMPLE_RATE:].std()
    assert loud > 4 * soft


@pytest.mark.parametrize("pitch", [36, 38, 42])
def test_a_drum_is_short_and_not_a_tone(tmp_path: Path, pitch: int) -> None:
    piece = Piece.from_notes([0], [1920], [pitch], is_drum=True)
    samples = played(piece, tmp_path).astype(float)
    assert samples[: SAMPLE_RATE // 4].std() > 100 * samples[SAMPLE_RATE:].std()


def test_equal_pieces_sound_equal_to_the_byte(tmp_path: Path) -> None:
    piece = Piece.from_notes([0, 0, 240], 480, [69, 38, 72], is_drum=[0, 1, 0])
    for name in ("a.wav", "b.wav"):
        save_audio(piece, tmp_path / name)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_audio_stops_after_ten_minutes_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    piece = Piece.from_notes([0, 2**40], 480, 69, name="endless")
    with caplog.at_level(logging.WARNING):
        save_audio(piece, tmp_path / "piece.wav", sample_rate=1000)
    assert (tmp_path / "piece.wav").stat().st_size < 2 * 1000 * 601
    assert "endless" in caplog.text


def test_a_piece_without_notes_is_silence(tmp_path: Path) -> None:
    assert not played(Piece.from_notes([], [], []), tmp_path).any()


def test_the_picture_shows_the_notes(tmp_path: Path) -> None:
    low, high = (Piece.from_notes([0], [1920], [pitch]) for pitch in (60, 62))
    both = Piece.from_notes([0, 0], [960, 1920], [60, 62])
    assert not np.array_equal(drawn(low, tmp_path), drawn(both, tmp_path))
    assert not np.array_equal(drawn(high, tmp_path), drawn(both, tmp_path))


def test_equal_pieces_give_equal_pictures(tmp_path: Path) -> None:
    piece = Piece.from_notes([0, 480], 480, [60, 64])
    assert np.array_equal(drawn(piece, tmp_path), drawn(piece, tmp_path))


def test_instruments_have_colors_and_drums_are_gray(tmp_path: Path) -> None:
    piece = Piece.from_notes(
        [0, 0, 0], 1920, [60, 64, 40], velocity=127, program=[0, 40, 0], is_drum=[False, False, True]
    )
    picture = drawn(piece, tmp_path)
    for color in (*PROGRAM_COLORS[:2], DRUM_COLOR):
        assert has_color(picture, color)
    assert not has_color(picture, PROGRAM_COLORS[2])


def test_the_primer_is_shaded(tmp_path: Path) -> None:
    piece = Piece.from_notes([0, 960], 960, 60)
    plain, with_primer = drawn(piece, tmp_path), drawn(piece, tmp_path, primer_end=960)
    changed = (plain != with_primer).any(axis=-1).mean(axis=0)  # share of each column of pixels
    left, right = changed[: len(changed) // 3], changed[len(changed) * 2 // 3 :]
    assert left.mean() > 0.5
    assert right.mean() == 0


def test_a_title_with_dollar_signs_is_text(tmp_path: Path) -> None:
    assert not np.array_equal(drawn(a4(), tmp_path, title="a$b"), drawn(a4(), tmp_path, title="a$_{b$"))


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(Piece.from_notes([], [], []), id="no notes"),
        pytest.param(Piece.from_notes([0], [1], [0]), id="lowest"),
        pytest.param(Piece.from_notes([0], [1], [127]), id="highest"),
        pytest.param(Piece.from_notes([0, 2**31], 480, 60), id="endless"),
        pytest.param(Piece.from_notes([0] * 40, 480, 60, program=range(40)), id="many programs"),
        pytest.param(Piece.from_notes([0], [9600], [60], metres=[(480, 3, 4), (5000, 6, 8)]), id="metres"),
    ],
)
def test_odd_pieces_can_be_drawn(tmp_path: Path, piece: Piece) -> None:
    assert drawn(piece, tmp_path).size


def test_ogg_is_the_same_sound_in_less_space(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile", reason="soundfile, an optional extra, is not installed")
    samples = played(a4(), tmp_path) / 32768
    save_audio(a4(), tmp_path / "piece.ogg", SAMPLE_RATE)
    decoded, sample_rate = soundfile.read(tmp_path / "piece.ogg")
    assert sample_rate == SAMPLE_RATE
    assert np.corrcoef(samples, decoded)[0, 1] > 0.99
    assert (tmp_path / "piece.ogg").stat().st_size < (tmp_path / "piece.wav").stat().st_size / 3


def test_ogg_without_its_library_is_refused_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match=r'soundfile is not installed; pip install "noternn\[ogg\]"'):
        save_audio(a4(), tmp_path / "piece.ogg")


def test_sound_of_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"piece\.mp3: sound is written as \.wav or \.ogg"):
        check_audio_path(tmp_path / "piece.mp3")


def test_a_metre_of_no_beats_is_passed_over() -> None:
    assert Piece.from_notes([0], [1], [60], metres=[(0, 0, 4)]).bar_ticks(3840) == [0, 1920]


def test_folders_are_made(tmp_path: Path) -> None:
    save_piano_roll(a4(), tmp_path / "new" / "piece.png")
    save_audio(a4(), tmp_path / "newer" / "piece.wav")
    assert (tmp_path / "new" / "piece.png").is_file()
    assert (tmp_path / "newer" / "piece.wav").is_file()


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    save_piano_roll(a4(), tmp_path / "piece.png")
    import matplotlib.pyplot

    assert matplotlib.pyplot.get_fignums() == []
