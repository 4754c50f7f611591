"""`noternn export`: what it writes, and that it is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from noternn.__main__ import main
from noternn.errors import LIBRARIES, is_installed
from noternn.music.midi import midi_file, read_midi
from noternn.runs.card import Card, markdown

Capture = pytest.CaptureFixture[str]


@pytest.mark.skipif(not is_installed("safetensors"), reason="the extra safetensors is not installed")
def test_a_folder_for_a_hub_composes_as_the_run_does(tiny_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    assert main(["export", str(tiny_run), "--hub", "-o", str(folder)]) == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"README.md", "model.safetensors", "curves.png", "sample.mid"}
    for source, name in ((tiny_run, "a.mid"), (folder / "model.safetensors", "b.mid")):
        assert main(["generate", str(source), "-o", str(tmp_path / name), "--num-notes", "20"]) == 0
    run, hub = (midi_file(read_midi(tmp_path / name)) for name in ("a.mid", "b.mid"))
    assert run == hub
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlibrary_name: noternn\n")
    assert "| best epoch |" in text
    assert "model.onnx" not in text


@pytest.mark.skipif(not is_installed("onnx"), reason="the extra onnx is not installed")
def test_onnx_is_written_beside_its_card(tiny_run: Path, tmp_path: Path) -> None:
    assert main(["export", str(tiny_run), "--onnx", "-o", str(tmp_path / "a")]) == 0
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"README.md", "model.onnx"}


def test_nothing_asked_for_is_refused(tiny_run: Path, capsys: Capture) -> None:
    assert main(["export", str(tiny_run)]) == 1
    assert capsys.readouterr().err == "error: export: give --safetensors, --onnx or --hub\n"


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert main(["export", str(tmp_path / "none"), "--onnx"]) == 1
    assert capsys.readouterr().err.endswith("no folder of a run\n")


@pytest.mark.parametrize("option", ["safetensors", "onnx"])
def test_a_missing_extra_is_named(
    tiny_run: Path, option: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(LIBRARIES, option, (option, "noternn_has_no_such_module"))
    assert main(["export", str(tiny_run), f"--{option}"]) == 1
    assert f'pip install "noternn[{option}]"' in capsys.readouterr().err


def test_marks_in_a_card_stay_text() -> None:
    hostile = "</td>|![x](http://a) <script> *b* `c`"
    text = markdown(Card(hostile, [hostile], {hostile: {hostile: hostile}}, None))
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "](" not in text
