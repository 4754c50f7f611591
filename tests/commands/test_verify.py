"""`noternn verify`: a file that was generated says how it comes again, byte for byte."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from noternn.__main__ import main
from noternn.config.schema import to_plain
from noternn.launch.command_line import corpus_settings
from noternn.model.checkpoint import load_checkpoint, save_safetensors
from noternn.music.midi import read_midi, text_of, write_midi
from noternn.sampling.provenance import read_provenance

Capture = pytest.CaptureFixture[str]
SHORT = ["--num-notes", "12", "--exact"]


def generate(run: Path, output: Path, *options: str) -> None:
    assert main(["generate", str(run), "-o", str(output), *options]) == 0


def refusal(capsys: Capture, *arguments: object) -> str:
    capsys.readouterr()
    assert main(["verify", *map(str, arguments)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


@pytest.mark.parametrize(
    "options",
    [
        SHORT,
        ["--beats", "5", "--temperature", "1.1", "--top-k", "7", "--seed", "5"],
        ["--seconds", "2", "--exact", "--repetition-penalty", "1.1", "--tempo", "80"],
        [*SHORT[:2], "--key", "F#-minor", "--range", "40-90", "--max-polyphony", "3", "--particles", "4"],
        [*SHORT, "--opening", "--seed", "2"],
        [*SHORT, "--max-copied", "0"],
    ],
    ids=" ".join,
)
def test_what_was_generated_comes_again(tiny_run: Path, tmp_path: Path, options: list[str]) -> None:
    generate(tiny_run, tmp_path / "out.mid", *options)
    assert main(["verify", str(tmp_path / "out.mid"), str(tiny_run)]) == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--primer", *SHORT],
        ["--infill", "--beats", "8-9", "--only-new"],
    ],
    ids=" ".join,
)
def test_what_was_composed_from_a_file_comes_again_with_that_file(
    tiny_run: Path, corpus_dir: Path, tmp_path: Path, capsys: Capture, options: list[str]
) -> None:
    given, out, few = tmp_path / "given.mid", tmp_path / "out.musicxml", ["--particles", "2"]
    shutil.copy(corpus_dir / "piece_003.mid", given)
    generate(tiny_run, out, options[0], str(given), *options[1:], *few)
    assert main(["verify", str(out), str(tiny_run)]) == 0
    given.rename(tmp_path / "elsewhere.mid")
    assert "given.mid" in refusal(capsys, out, tiny_run)
    assert main(["verify", str(out), str(tiny_run), "--given", str(tmp_path / "elsewhere.mid")]) == 0
    assert "--given" in refusal(capsys, out, tiny_run, "--given", corpus_dir / "piece_004.mid")


@pytest.mark.parametrize("more", [[], ["--healthy"]], ids=["plain", "healthy"])
def test_each_of_several_samples_comes_again_alone(tiny_run: Path, tmp_path: Path, more: list[str]) -> None:
    generate(tiny_run, tmp_path / "out.mid", *SHORT, "--num-samples", "2", *more)
    for number in (1, 2):
        assert main(["verify", str(tmp_path / f"out_00{number}.mid"), str(tiny_run)]) == 0


@pytest.fixture
def run_with_settings(tiny_run: Path, corpus_dir: Path, tmp_path: Path) -> Path:
    """The tiny run with what Hydra notes of a run, so that its corpus is found."""
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    plain = to_plain(corpus_settings(str(corpus_dir), ["datamodule.cache_dir=null"]))
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    return run


def test_a_file_and_its_card_say_the_same(run_with_settings: Path, tmp_path: Path, capsys: Capture) -> None:
    tiny_run, out, card = run_with_settings, tmp_path / "out.mid", tmp_path / "card.json"
    generate(tiny_run, out, *SHORT, "--seed", "9", "--audit", "--card", str(card))
    assert "% of what is new copied in passages of 16 notes" in capsys.readouterr().out
    said = json.loads(text_of(out.read_bytes(), "{") or "")
    assert said == json.loads(card.read_text())
    assert said["checkpoint"] == hashlib.sha256((tiny_run / "best.ckpt").read_bytes()).hexdigest()
    assert said["options"]["seed"] == 9
    assert 0 <= said["copied"]["share"] <= 1
    assert read_provenance(card) == read_provenance(out)
    assert main(["verify", str(out), str(tiny_run), "--card", str(card)]) == 0


def test_a_checkpoint_besides_the_best_is_found(tiny_run: Path, tmp_path: Path) -> None:
    generate(tiny_run / "checkpoints" / "epoch_002.ckpt", tmp_path / "out.mid", *SHORT)
    assert main(["verify", str(tmp_path / "out.mid"), str(tiny_run)]) == 0


def test_an_exported_checkpoint_composes_the_same_file(tiny_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    generate(tiny_run, tmp_path / "out.mid", *SHORT)
    exported = tmp_path / "model.safetensors"
    save_safetensors(load_checkpoint(tiny_run / "best.ckpt"), exported)
    assert main(["verify", str(tmp_path / "out.mid"), str(exported)]) == 0
    generate(exported, tmp_path / "again.mid", *SHORT)
    assert main(["verify", str(tmp_path / "again.mid"), str(tiny_run)]) == 0


def test_a_note_that_was_changed_is_told(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.mid"
    generate(tiny_run, out, *SHORT)
    record = read_provenance(out)
    write_midi(read_midi(out).transpose(1), out, record.text())
    assert "differs" in refusal(capsys, out, tiny_run)


def test_another_checkpoint_version_or_file_is_told(
    tiny_run: Path, corpus_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out.mid"
    generate(tiny_run, out, *SHORT)
    last = tiny_run / "checkpoints" / "epoch_002.ckpt"
    assert "another checkpoint" in refusal(capsys, out, last)
    assert "does not say where it comes from" in refusal(capsys, corpus_dir / "piece_000.mid", tiny_run)
    text = read_provenance(out).text()
    write_midi(read_midi(out), out, text.replace('"noternn": "', '"noternn": "9'))
    assert "NoteRNN 9" in refusal(capsys, out, tiny_run)


@pytest.mark.parametrize("changed", ['{"noternn": 1}', '{"noternn": [', '{"noternn": "0.1.0", "options": 3}'])
def test_a_damaged_record_is_told(
    corpus_dir: Path, tiny_run: Path, tmp_path: Path, capsys: Capture, changed: str
) -> None:
    write_midi(read_midi(corpus_dir / "piece_000.mid"), tmp_path / "out.mid", changed)
    assert "is damaged" in refusal(capsys, tmp_path / "out.mid", tiny_run)


def test_options_that_generate_does_not_have_or_that_cost_too_much_are_told(
    tiny_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out.mid"
    generate(tiny_run, out, *SHORT)
    text = read_provenance(out).text()
    write_midi(read_midi(out), out, text.replace('"top-k"', '"top-q"'))
    assert "not those of noternn generate" in refusal(capsys, out, tiny_run)
    write_midi(read_midi(out), out, text.replace('"num-notes": 12', '"num-notes": 1000000000000'))
    assert "at most 100,000" in refusal(capsys, out, tiny_run)
