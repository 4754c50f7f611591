"""The page in which a network composes and is played with, as a file and in a browser."""

from __future__ import annotations

import io
import json
import re
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_runs import PLAIN, needs_node, run_node, source, trained, varied
from helpers import small_piece

from noternn.__main__ import main
from noternn.audit.index import Index
from noternn.config.sampling import Sampling
from noternn.model.plain import plain_of
from noternn.music.midi import midi_bytes, read_midi_bytes
from noternn.music.piece import Piece
from noternn.pages.copies import plain_index
from noternn.pages.listen import HeardRun
from noternn.pages.studio import Studio, save_page
from noternn.runs.card import Card, read_card
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary

Open = Callable[..., Any]
Capture = pytest.CaptureFixture[str]
MIDI = source("midi.js")
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"


@pytest.fixture(scope="module")
def page_path(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The studio of a tiny run."""
    path = tmp_path_factory.mktemp("studio") / "studio.html"
    assert main(["studio", str(tiny_run), "-o", str(path)]) == 0
    return path


# As a file


def test_the_page_loads_nothing_and_runs_no_other_script(page_path: Path) -> None:
    text = page_path.read_text(encoding="utf-8")
    assert "://" not in text
    assert "default-src 'none'" in text
    assert "worker-src blob:;" in text
    assert "unsafe" not in text
    assert not re.search(r"\s(style|on\w+)=\"", text)
    assert text.count("<script>") == 1


def test_the_page_of_base_says_why_nothing_is_marked(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "studio.html"
    assert main(["studio", "base", "-o", str(path)]) == 0
    assert "are not marked: base comes without the music" in path.read_text(encoding="utf-8")
    assert capsys.readouterr().err == f"written: {path}\n"


def test_32_bits_take_twice_the_room_and_hold_the_very_weights(
    tiny_run: Path, page_path: Path, tmp_path: Path
) -> None:
    assert main(["studio", str(tiny_run), "-o", str(tmp_path / "a.html"), "--bits", "32"]) == 0
    small, large = (embedded(path, "weights") for path in (page_path, tmp_path / "a.html"))
    assert len(large) == pytest.approx(2 * len(small), abs=4)
    assert json.loads(embedded(tmp_path / "a.html", "model"))["bits"] == 32


def embedded(path: Path, name: str) -> str:
    found = re.findall(
        rf'<script type="[a-z/]+" id="{name}">(.*?)</script>', path.read_text(encoding="utf-8"), re.S
    )
    assert len(found) == 1
    return str(found[0])


def test_the_card_is_told_from_the_runs_files(tiny_run: Path, page_path: Path) -> None:
    text = page_path.read_text(encoding="utf-8")
    card = read_card(tiny_run)
    assert card.sections["Results on held-out pieces"]["best epoch"] in ("1", "2", "3")
    assert "pieces" in " ".join(card.sections["What it learned from"])
    for facts in card.sections.values():
        for name in facts:
            assert f"<dt>{name}</dt>" in text


def test_a_folder_without_a_run_has_an_empty_card(tmp_path: Path) -> None:
    assert read_card(tmp_path).sections == {}


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert main(["studio", str(tmp_path / "none"), "-o", str(tmp_path / "a.html")]) == 1
    assert main(["studio", str(tmp_path), "-o", str(tmp_path / "a.html")]) == 1
    assert main(["studio", str(tmp_path), "-o", str(tmp_path / "a.txt")]) == 1
    messages = capsys.readouterr().err.splitlines()
    assert [message.startswith("error: ") for message in messages] == [True] * 3


def test_a_corpus_too_large_for_a_page_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index.build([small_piece(0)], ["a"])
    assert plain_index(index) is not None
    monkeypatch.setattr("noternn.pages.copies.MAX_CHARACTERS", 10)
    assert plain_index(index) is None


def hostile_page(path: Path) -> Path:
    """Every text is an attack."""
    pieces = [small_piece(0), small_piece(1)]
    codec = Codec(EventTokenizer(), Vocabulary(t for p in pieces for t in EventTokenizer().tokenize(p)))
    plain = plain_of(trained(codec, PLAIN))
    card = Card(HOSTILE, [HOSTILE], {HOSTILE: {HOSTILE: HOSTILE}}, None)
    run = HeardRun(HOSTILE, [], [], [HOSTILE], HOSTILE)
    index = plain_index(Index.build(pieces, [HOSTILE, HOSTILE]))
    save_page(Studio(run, card, *plain, Sampling(), index, "", 16), path)
    return path


def test_hostile_names_are_text(tmp_path: Path) -> None:
    text = hostile_page(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<img" not in text
    assert len(re.findall(r"</script", text)) == 5


# Its scripts, run by Node.js


@needs_node
def test_midi_files_are_read_and_written_as_here(tmp_path: Path) -> None:
    pieces = [varied(seed, EventTokenizer(program=True)) for seed in range(3)]
    script = MIDI + (
        "const found = data.map(bytes => readMidi(Uint8Array.from(bytes)));\n"
        "const again = found.map(file => Array.from(writeMidi(file)));"
    )
    files = [list(midi_bytes(piece)) for piece in pieces]
    for piece, (file, bytes_) in zip(
        pieces, run_node(tmp_path, script, "found.map((file, i) => [file, again[i]])", files), strict=True
    ):
        read = read_midi_bytes(midi_bytes(piece), "a")
        assert file["ticksPerBeat"] == read.ticks_per_beat
        assert [note["onset"] for note in file["notes"]] == read.onset.tolist()
        written = read_midi_bytes(bytes(bytes_), "b")
        for name in ("onset", "duration", "pitch", "velocity", "is_drum"):
            assert sorted_notes(written, name) == sorted_notes(read, name)
        assert written.tempos[0][1] == pytest.approx(read.tempos[0][1], rel=1e-4)


def sorted_notes(piece: Piece, name: str) -> list[Any]:
    """A column of a piece in an order that files keep."""
    order = np.lexsort((piece.is_drum, piece.velocity, piece.duration, piece.pitch, piece.onset))
    return list(getattr(piece, name)[order].tolist())


@needs_node
@pytest.mark.parametrize("data", [b"", b"MThd", b"RIFF0000", b"MThd\0\0\0\6\0\1\0\1\1\0MTrk\0\0\0\xff\0\x90"])
def test_damaged_midi_files_are_refused_in_words(tmp_path: Path, data: bytes) -> None:
    script = MIDI + (
        "let said = null;\n"
        "try { readMidi(Uint8Array.from(data)); } catch (error) { said = [error.name, error.message]; }"
    )
    name, message = run_node(tmp_path, script, "said", list(data))
    assert (name, bool(message)) == ("Error", True)


@needs_node
def test_copied_passages_are_those_that_the_audit_finds(tmp_path: Path) -> None:
    pieces = [small_piece(seed) for seed in range(8)]
    index = Index.build(pieces, [f"piece {i}" for i in range(8)])
    moved = replace(pieces[2], pitch=pieces[2].pitch + 3)
    part = moved.select((moved.onset >= 4 * 480) & (moved.onset < 20 * 480))
    asked = [moved, part, small_piece(50), small_piece(51)]
    notes = [
        [
            {"onset": onset // 40, "duration": duration // 40, "pitch": pitch, "program": 0}
            for onset, duration, pitch in zip(
                p.onset.tolist(), p.duration.tolist(), p.pitch.tolist(), strict=True
            )
        ]
        for p in asked
    ]
    script = source("copies.js") + "\nconst copies = new Copies(data.index);"
    result = "data.notes.map(notes => copies.find(notes, 12))"
    found = run_node(tmp_path, script, result, {"index": plain_index(index), "notes": notes})
    for piece, passages in zip(asked, found, strict=True):
        audit = index.audit(piece)
        assert [passage is not None for passage in passages] == (audit.longest >= 16).tolist()
    assert {passage["piece"] for passage in found[0]} == {2}
    assert {tuple(passage["bars"]) for passage in found[1] if passage} == {(2, 5)}
    assert not any(found[2])


# In a browser

LISTEN = """
window.taps = [];
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...others) {
  if (to === this.context.destination && this.context instanceof AudioContext) {
    const tap = new AnalyserNode(this.context, {fftSize: 2048});
    window.taps.push(tap);
    connect.call(this, tap);
  }
  return connect.call(this, to, ...others);
};
window.loudness = () => Math.max(0, ...window.taps.map(tap => {
  const samples = new Float32Array(2048);
  tap.getFloatTimeDomainData(samples);
  return Math.max(...samples.map(Math.abs));
}));
"""


@pytest.fixture
def studio(open_page: Open, page_path: Path) -> Any:
    page = open_page(page_path, viewport={"width": 1280, "height": 800}, accept_downloads=True)
    page.evaluate(LISTEN)
    wait_for(page, lambda: "Ready" in page.inner_text("#status"))
    return page


def wait_for(page: Any, is_so: Callable[[], bool]) -> None:
    """Half a minute at most."""
    for _ in range(300):
        if is_so():
            return
        page.wait_for_timeout(100)
    pytest.fail(f"it never came about; the page says: {page.inner_text('#status')}")


def seconds(page: Any) -> int:
    minutes, rest = page.inner_text("#now").split(":")
    return 60 * int(minutes) + int(rest)


def saved(page: Any, button: str) -> bytes:
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


def drop(page: Any, piece: Piece, name: str) -> None:
    page.evaluate(
        """([bytes, name]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(bytes)], name));
          dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        [list(midi_bytes(piece)), name],
    )


def test_play_sounds_within_a_second_and_goes_on(studio: Any) -> None:
    studio.click("#play")
    wait_for(studio, lambda: studio.evaluate("loudness()") > 0.01)
    wait_for(studio, lambda: seconds(studio) >= 2)
    assert studio.locator("#legend li").first.inner_text() == "composed"
    assert "are not marked: they could not be read" in studio.inner_text("#copied")
    studio.get_by_role("button", name="Pause").click()
    paused = seconds(studio)
    studio.wait_for_timeout(300)
    assert seconds(studio) == paused


def test_play_that_is_pressed_while_it_loads_begins_with_the_first_note(
    open_page: Open, page_path: Path
) -> None:
    page = open_page(page_path)
    page.evaluate(LISTEN)
    page.click("#play")
    assert page.get_by_role("button", name="Pause").count() == 1
    wait_for(page, lambda: page.evaluate("loudness()") > 0.01)
    assert seconds(page) <= 1


def test_what_was_heard_is_saved_as_midi_and_as_sound(studio: Any) -> None:
    studio.click("#play")
    wait_for(studio, lambda: seconds(studio) >= 2)
    studio.click("#play")
    piece = read_midi_bytes(saved(studio, "#save-midi"), "a")
    assert piece.num_notes > 0
    with wave.open(io.BytesIO(saved(studio, "#save-wav"))) as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
        assert sound.getframerate() == 44100
    assert np.abs(samples).max() > 1000


def test_a_dropped_file_is_continued(studio: Any) -> None:
    drop(studio, small_piece(3), "tune.mid")
    wait_for(studio, lambda: "tune.mid: " in studio.inner_text("#status"))
    wait_for(studio, lambda: "composed" in studio.inner_text("#legend"))
    assert "from the file" in studio.inner_text("#legend")
    studio.click("#play")
    wait_for(studio, lambda: studio.evaluate("loudness()") > 0.01)
    studio.click("#undo")
    wait_for(studio, lambda: "from the file" not in studio.inner_text("#legend"))


def test_what_is_no_midi_file_is_said(studio: Any) -> None:
    studio.set_input_files("#file", {"name": "a.mid", "mimeType": "audio/midi", "buffer": b"MThd"})
    wait_for(studio, lambda: studio.inner_text("#status") == "a.mid cannot be read: the file ends too early.")


def play_phrase(page: Any) -> None:
    for key in "adg":
        page.keyboard.down(key)
        page.wait_for_timeout(220)
        page.keyboard.up(key)
        page.wait_for_timeout(60)


def test_a_phrase_is_heard_shown_and_answered(studio: Any) -> None:
    play_phrase(studio)
    studio.keyboard.down("d")
    wait_for(studio, lambda: studio.evaluate("loudness()") > 0.01)
    studio.keyboard.up("d")
    assert studio.inner_text("#legend") == "played by you"
    wait_for(studio, lambda: studio.inner_text("#status") == "Answering.")
    wait_for(studio, lambda: "composed" in studio.inner_text("#legend"))
    piece = read_midi_bytes(saved(studio, "#save-midi"), "a")
    assert piece.pitch[:3].tolist() == [60, 64, 67]


def test_what_is_played_together_stands_in_the_music(studio: Any) -> None:
    studio.check("#together")
    studio.click("#play")
    wait_for(studio, lambda: seconds(studio) >= 1)
    play_phrase(studio)
    wait_for(studio, lambda: "played by you" in studio.inner_text("#legend"))
    wait_for(studio, lambda: "composed" in studio.inner_text("#legend"))


def test_the_keys_on_the_screen_play(studio: Any) -> None:
    studio.hover('[data-pitch="64"]')
    studio.mouse.down()
    studio.wait_for_timeout(300)
    assert studio.locator('[data-pitch="64"].down').count() == 1
    studio.mouse.up()
    assert studio.locator(".down").count() == 0
    wait_for(studio, lambda: "played by you" in studio.inner_text("#legend"))


def test_takes_are_kept(studio: Any) -> None:
    studio.click("#play")
    wait_for(studio, lambda: seconds(studio) >= 1)
    studio.click("#keep")
    studio.click("#new")
    wait_for(studio, lambda: "A new piece" in studio.inner_text("#status"))
    assert studio.locator("#takes li").count() == 1
    assert read_midi_bytes(saved(studio, '#takes [aria-label="Save Take 1 as MIDI"]'), "a").num_notes > 0
    studio.click('#takes [aria-label="Throw Take 1 away"]')
    assert studio.locator("#takes li").count() == 0


def test_a_length_ends_the_piece(studio: Any) -> None:
    studio.select_option("#length", "100")
    studio.evaluate("document.querySelector('#tempo').value = 240")
    studio.dispatch_event("#tempo", "input")
    studio.click("#play")
    wait_for(studio, lambda: studio.inner_text("#status").startswith("The end."))


def test_settings_can_be_changed_while_it_plays(studio: Any) -> None:
    studio.click("#play")
    for name in ("temperature", "top-p", "top-k", "tempo", "volume"):
        studio.focus(f"#{name}")
        studio.keyboard.press("ArrowLeft")
    studio.select_option("#own-program", "19")
    before = seconds(studio)
    wait_for(studio, lambda: seconds(studio) >= before + 2)


def test_the_other_tab_tells_of_the_network(studio: Any) -> None:
    studio.focus("#tab-play")
    studio.keyboard.press("ArrowRight")
    assert studio.locator("#panel-about").is_visible()
    assert not studio.locator("#panel-play").is_visible()
    assert studio.locator("#panel-about img").count() == 1
    assert "nats" in studio.inner_text("#panel-about")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 720), (1920, 1080)])
def test_it_fits_on_one_screen(
    open_page: Open, page_path: Path, width: int, height: int, scheme: str
) -> None:
    page = open_page(page_path, viewport={"width": width, "height": height}, color_scheme=scheme)
    wait_for(page, lambda: "Ready" in page.inner_text("#status"))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.scrollHeight") <= height
    box = page.locator("#keys").bounding_box()
    assert box["y"] + box["height"] <= height
    assert page.locator("#roll").bounding_box()["height"] >= 140


def test_hostile_names_stay_text_in_a_browser(open_page: Open, tmp_path: Path) -> None:
    page = open_page(hostile_page(tmp_path / "a.html"))
    assert page.inner_text("h1") == HOSTILE
    wait_for(page, lambda: "Ready" in page.inner_text("#status"))
    drop(page, small_piece(0), "a.mid")
    wait_for(page, lambda: f"as in {HOSTILE}, bars" in page.inner_text("#legend"))
    wait_for(page, lambda: "% stand in passages of 16" in page.inner_text("#copied"))


FAKE_MIDI = """
window.sent = [];
const port = {id: "out", name: "A synthesizer", send: (bytes, time) => window.sent.push([...bytes])};
window.input = {id: "in", name: "A keyboard"};
const access = {inputs: new Map([["in", window.input]]), outputs: new Map([["out", port]])};
Object.defineProperty(navigator, "requestMIDIAccess", {value: async () => access});
"""


def test_midi_comes_in_and_goes_out(studio: Any) -> None:
    studio.evaluate(FAKE_MIDI)
    studio.click("#midi")
    wait_for(studio, lambda: studio.inner_text("#status") == "MIDI: 1 inputs, 1 outputs.")
    for status, velocity in ((0x90, 100), (0x80, 0)):
        studio.evaluate(f"window.input.onmidimessage({{data: [{status}, 67, {velocity}]}})")
        studio.wait_for_timeout(200)
    wait_for(studio, lambda: "played by you" in studio.inner_text("#legend"))
    studio.select_option("#midi-out", "out")
    wait_for(studio, lambda: studio.inner_text("#status") == "Answering.")
    wait_for(studio, lambda: any(message[0] == 0x90 for message in studio.evaluate("window.sent")))
    assert studio.evaluate("window.sent")[0] == [0xC0, 0]
    studio.click("#play")
    assert [0xB0, 123, 0] in studio.evaluate("window.sent")


def test_a_browser_without_midi_says_so(studio: Any) -> None:
    studio.evaluate("Object.defineProperty(navigator, 'requestMIDIAccess', {value: undefined})")
    studio.click("#midi")
    wait_for(studio, lambda: studio.inner_text("#status") == "This browser knows no MIDI.")
