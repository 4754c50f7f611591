"""What a musician finds in a file of `noternn generate`."""

from __future__ import annotations

from pathlib import Path

import mido
import pytest

from noternn.__main__ import main
from noternn.datasets.sources import read_file
from noternn.music.midi import read_midi
from noternn.music.piece import Piece

Capture = pytest.CaptureFixture[str]
SHORT = ["--num-notes", "12", "--exact"]


def generate(run: Path, output: Path, *options: str) -> Piece:
    assert main(["generate", str(run), "-o", str(output), *SHORT, *options]) == 0
    return read_file(output)


def rows(piece: Piece) -> list[tuple[float, int]]:
    return list(zip((piece.onset / piece.ticks_per_beat).tolist(), piece.pitch.tolist(), strict=True))


def test_a_tempo_that_is_asked_for_replaces_that_of_the_music(
    tiny_run: Path, corpus_dir: Path, tmp_path: Path
) -> None:
    primer = ["--primer", str(corpus_dir / "piece_001.mid")]
    plain = generate(tiny_run, tmp_path / "a.mid", *primer)
    slow = generate(tiny_run, tmp_path / "b.mid", *primer, "--tempo", "50.5")
    assert [round(bpm, 2) for _, bpm in slow.tempos] == [50.5]
    assert rows(slow) == rows(plain)


def test_seconds_are_those_of_the_tempo(tiny_run: Path, tmp_path: Path) -> None:
    options = ["--exact", "--seconds", "6", "--tempo", "60"]
    assert main(["generate", str(tiny_run), "-o", str(tmp_path / "a.mid"), *options]) == 0
    assert read_midi(tmp_path / "a.mid").beats <= 6


@pytest.mark.parametrize("bpm", ["0", "3", "fast", "inf"])
def test_a_tempo_that_no_file_can_hold_is_refused(tmp_path: Path, capsys: Capture, bpm: str) -> None:
    with pytest.raises(SystemExit):
        main(["generate", str(tmp_path), "-o", "a.mid", "--tempo", bpm])
    assert "quarter notes a minute" in capsys.readouterr().err


def test_the_first_beats_of_a_primer_are_continued(
    tiny_run: Path, corpus_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    given = corpus_dir / "piece_001.mid"
    kept = [row for row in rows(read_midi(given)) if row[0] < 8]
    piece = generate(tiny_run, tmp_path / "a.mid", "--primer", str(given), "--primer-beats", "8")
    assert piece.num_notes == len(kept) + 12
    assert rows(piece)[: len(kept)] == kept
    assert main(["generate", str(tiny_run), "-o", str(tmp_path / "a.mid"), "--primer-beats", "8"]) == 1
    assert "it needs that file" in capsys.readouterr().err


def test_what_is_new_is_written_alone_where_it_stands(
    tiny_run: Path, corpus_dir: Path, tmp_path: Path
) -> None:
    primer = ["--primer", str(corpus_dir / "piece_001.mid")]
    every = generate(tiny_run, tmp_path / "a.mid", *primer)
    new = generate(tiny_run, tmp_path / "b.mid", *primer, "--only-new")
    assert rows(new) == rows(every)[-12:]


def test_a_score_holds_the_notes_of_the_midi_file(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    midi = generate(tiny_run, tmp_path / "a.mid")
    score = generate(tiny_run, tmp_path / "a.musicxml")
    assert rows(score) == rows(midi)
    assert main(["verify", str(tmp_path / "a.musicxml"), str(tiny_run)]) == 0
    written = (tmp_path / "a.musicxml").read_text(encoding="utf-8")
    (tmp_path / "a.musicxml").write_text(written.replace("<octave>4<", "<octave>5<"), encoding="utf-8")
    assert main(["verify", str(tmp_path / "a.musicxml"), str(tiny_run)]) == 1
    assert "differs" in capsys.readouterr().err


def test_tracks_have_names_and_the_file_a_key(tiny_run: Path, corpus_dir: Path, tmp_path: Path) -> None:
    generate(tiny_run, tmp_path / "a.mid", "--primer", str(corpus_dir / "piece_001.mid"))
    conductor, *tracks = mido.MidiFile(tmp_path / "a.mid").tracks
    assert [track.name for track in tracks] == ["Acoustic Grand Piano"]
    assert any(message.type == "key_signature" for message in conductor)
