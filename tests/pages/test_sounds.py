"""Recorded notes in the studio's page."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_runs import needs_node, run_node, source

from noternn.__main__ import main
from noternn.errors import LIBRARIES, UserError, is_installed
from noternn.music.soundfont import SoundFont, installed_font
from noternn.pages.sounds import DRUMS, sounds_of

Open = Callable[..., Any]
Capture = pytest.CaptureFixture[str]
needs_sound = pytest.mark.skipif(not is_installed("sound"), reason="the extra sound is not installed")


@pytest.fixture
def font() -> SoundFont:
    found = installed_font()
    if found is None:
        pytest.skip("the extra sound is not installed whole: there is no font")
    return found


def network(*tokens: str, name: str = "event") -> dict[str, Any]:
    return {"tokens": tokens, "tokenizer": {"name": name}}


def test_every_instrument_and_drum_of_the_vocabulary_is_recorded(font: SoundFont) -> None:
    drums = ("Program_drum", "Drum_36", "Drum_38", "Drum_3")
    facts, text = sounds_of(font, network(*drums, "Program_0", "Program_40", "Pitch_60", "Pitch_70"))
    recorded = [(note["program"], note["pitch"]) for note in facts["notes"]]
    assert recorded[:8] == [(program, pitch) for program in (0, 40) for pitch in (60, 64, 68, 72)]
    assert recorded[8:] == [(DRUMS, 36), (DRUMS, 38)]
    samples = np.frombuffer(base64.b64decode(text), dtype="<i2")
    for note in facts["notes"]:
        own = samples[note["at"] : note["at"] + note["length"]].astype(int)
        assert np.abs(own).max() == 32767
        assert (note["loop"] is not None) == (note["program"] == 40)
        if note["loop"]:
            assert note["loop"][1] == pytest.approx(len(own) / facts["rate"], abs=0.001)
    assert sum(note["length"] for note in facts["notes"]) == len(samples)


def test_the_instruments_of_networks_without_them(font: SoundFont) -> None:
    def programs(description: dict[str, Any]) -> set[int]:
        return {note["program"] for note in sounds_of(font, description).facts["notes"]}

    assert programs(network("Pitch_60")) == {0}
    assert programs(network("S_60", name="voices")) == {40, 41, 42, 43}


def test_a_loop_goes_over_into_itself_without_a_click(font: SoundFont) -> None:
    facts, text = sounds_of(font, network("Program_73", "Pitch_72"))
    note = facts["notes"][0]
    samples = np.frombuffer(base64.b64decode(text), dtype="<i2")[note["at"] :][: note["length"]].astype(float)
    start = round(note["loop"][0] * facts["rate"])
    assert abs(samples[-1] - samples[start - 1]) < 0.01 * 32767


def test_the_same_font_gives_the_same_sounds(font: SoundFont) -> None:
    assert sounds_of(font, network("Pitch_60")) == sounds_of(font, network("Pitch_60"))


def test_what_is_too_large_has_notes_further_apart_and_else_is_refused(
    font: SoundFont, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = network("Pitch_60", "Pitch_72")
    facts, text = sounds_of(font, description)
    assert [note["pitch"] for note in facts["notes"]] == [60, 64, 68, 72]
    monkeypatch.setattr("noternn.pages.sounds.MAX_CHARACTERS", len(text) - 10)
    facts, smaller = sounds_of(font, description)
    assert [note["pitch"] for note in facts["notes"]] == [60, 66, 72]
    assert len(smaller) < len(text) - 10
    monkeypatch.setattr("noternn.pages.sounds.MAX_CHARACTERS", 1000)
    with pytest.raises(UserError, match="1 instruments would take more than"):
        sounds_of(font, description)


def test_the_option_without_its_extra_or_file_is_refused(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    command = ["studio", str(tiny_run), "-o", str(tmp_path / "a.html"), "--soundfont"]
    if is_installed("sound"):
        assert main([*command, str(tmp_path / "none.sf2")]) == 1
        assert "none.sf2: cannot be read" in capsys.readouterr().err
    monkeypatch.setitem(LIBRARIES, "sound", ("midirenderer", "noternn_has_no_such_module"))
    for path in ("default", "a.sf2"):
        assert main([*command, path]) == 1
        assert 'midirenderer is not installed; pip install "noternn[sound]"' in capsys.readouterr().err


@needs_node
def test_the_nearest_note_plays(tmp_path: Path) -> None:
    programs = {0: [60, 64], DRUMS: [36]}
    notes = [
        {"program": program, "pitch": pitch, "at": 0, "length": 2, "gain": 1, "loop": None}
        for program, pitches in programs.items()
        for pitch in pitches
    ]
    data = {"facts": {"rate": 24000, "notes": notes}, "text": base64.b64encode(b"\0\x40\0\xc0").decode()}
    script = (
        "class AudioBuffer { copyToChannel(samples) { this.samples = [...samples]; } }\n"
        + source("sound.js")
        + "const sounds = new Sounds(data.facts, data.text);\n"
        "const pitch = (program, wanted) => sounds.nearest(program, wanted)?.pitch ?? null;\n"
    )
    asked = "[pitch(0, 20), pitch(0, 63), pitch(0, 100), pitch(128, 36), pitch(128, 37), pitch(5, 60)]"
    result = f"[{asked}, sounds.nearest(0, 60).buffer.samples]"
    assert run_node(tmp_path, script, result, data) == [[60, 64, 64, 36, None, None], [0.5, -0.5]]


COUNT = """
window.started = {AudioBufferSourceNode: 0, OscillatorNode: 0};
for (const name of Object.keys(window.started)) {
  const start = window[name].prototype.start;
  window[name].prototype.start = function (...given) {
    window.started[name]++;
    return start.apply(this, given);
  };
}
const connect = AudioNode.prototype.connect;
window.taps = [];
AudioNode.prototype.connect = function (to, ...others) {
  if (to === this.context.destination && this.context instanceof AudioContext) {
    window.taps.push(new AnalyserNode(this.context, {fftSize: 2048}));
    connect.call(this, window.taps.at(-1));
  }
  return connect.call(this, to, ...others);
};
window.loudness = () => Math.max(0, ...window.taps.map(tap => {
  const samples = new Float32Array(2048);
  tap.getFloatTimeDomainData(samples);
  return Math.max(...samples.map(Math.abs));
}));
"""


def wait_for(page: Any, expression: str) -> None:
    """Half a minute at most; `wait_for_function` would need a policy that allows to evaluate text."""
    for _ in range(300):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"it never came about: {expression}")


def test_recorded_notes_are_heard_in_a_browser(
    font: SoundFont, tiny_run: Path, open_page: Open, tmp_path: Path
) -> None:
    path = tmp_path / "studio.html"
    assert main(["studio", str(tiny_run), "-o", str(path), "--soundfont", str(font.path)]) == 0
    found = re.findall(r'id="sounds">(.*?)</script>', path.read_text("utf-8"), re.S)
    assert {note["program"] for note in json.loads(found[0])["notes"]} == {0}
    page = open_page(path)
    page.evaluate(COUNT)
    wait_for(page, "document.querySelector('#status').textContent.startsWith('Ready')")
    page.click("#play")
    wait_for(page, "loudness() > 0.01")
    assert page.evaluate("started.AudioBufferSourceNode") > 0
    assert page.evaluate("started.OscillatorNode") == 0
