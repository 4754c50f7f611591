"""The page on which the samples of a run are heard and seen, as a file and in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noternn.__main__ import main
from noternn.audit.against import Against
from noternn.audit.figures import RealFigures
from noternn.audit.index import Index
from noternn.corpus.reading import ReadingOptions
from noternn.health import yardstick as health
from noternn.music.midi import read_midi_bytes, write_midi
from noternn.music.piece import Piece
from noternn.pages.listen import HeardRun, read_run, save_page, with_audit, with_health
from noternn.pages.player import GRAY, NUM_COLORS, Measure, Take, take_section
from noternn.sampling.provenance import Copied, Provenance
from noternn.tables import write_csv

Capture = pytest.CaptureFixture[str]
MakePiece = Callable[[int], Piece]
Open = Callable[..., Any]
COLUMNS = ("epoch", "train/nll", "train_eval/nll", "val/nll", "gap/nll", "val/nats_per_note")
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'&amp;"


def write_metrics(run_dir: Path, *val_nll: float) -> None:
    rows = [
        dict(zip(COLUMNS, (epoch, nll + 0.1, nll - 0.2, nll, 0.2, 2 * nll), strict=True))
        for epoch, nll in enumerate(val_nll, start=1)
    ]
    write_csv(run_dir / "metrics.csv", rows, COLUMNS)


@pytest.fixture
def run_dir(tmp_path: Path, make_piece: MakePiece) -> Path:
    """A finished run of four epochs: the best is the third, samples are of the second and the fourth."""
    folder = tmp_path / "my_run"
    folder.mkdir()
    write_metrics(folder, 2.0, 1.5, 1.25, 1.75)
    for name, seed in (("samples/epoch_002.mid", 2), ("samples/epoch_004.mid", 4), ("sample.mid", 3)):
        write_midi(make_piece(seed), folder / name)
    (folder / "summary.json").write_text('{"status": "finished"}', encoding="utf-8")
    return folder


def embedded(section: str) -> dict[str, Any]:
    """The notes that stand in the section of a take."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', section)
    assert len(found) == 1
    return json.loads(found[0])


def legend(section: str) -> list[tuple[str, str]]:
    return re.findall(r'<span class="swatch ([\w-]+)"></span>([^<]*)</li>', section)


def test_a_trained_run_becomes_a_page(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["listen", str(tiny_run), "-o", str(tmp_path / "new" / "a.html")]) == 0
    assert "written:" in capsys.readouterr().err
    text = (tmp_path / "new" / "a.html").read_text(encoding="utf-8")
    assert ">Epoch 2<" in text


def test_the_page_lies_in_the_folder_of_the_run(run_dir: Path) -> None:
    assert main(["listen", str(run_dir)]) == 0
    assert (run_dir / "listen.html").is_file()


def test_the_best_weights_come_first_then_the_epochs_in_order(run_dir: Path, make_piece: MakePiece) -> None:
    write_midi(make_piece(5), run_dir / "samples" / "epoch_1000.mid")
    takes = read_run(run_dir).takes
    assert [(take.epoch, take.is_best) for take in takes] == [
        (3, True),
        (2, False),
        (4, False),
        (1000, False),
    ]


def test_a_take_has_the_losses_of_its_epoch(run_dir: Path, make_piece: MakePiece) -> None:
    write_midi(make_piece(5), run_dir / "samples" / "epoch_009.mid")
    held_out = [take.losses.get("held-out nll") for take in read_run(run_dir).takes]
    assert held_out == [1.25, 1.5, 1.75, None]


def test_the_best_weights_stand_for_the_checkpoint_of_the_same_music(
    run_dir: Path, make_piece: MakePiece
) -> None:
    write_midi(make_piece(3), run_dir / "samples" / "epoch_003.mid")
    assert [take.epoch for take in read_run(run_dir).takes] == [3, 2, 4]


def test_the_opening_that_was_given_is_told(run_dir: Path) -> None:
    (run_dir / ".hydra").mkdir()
    (run_dir / ".hydra" / "config.yaml").write_text("sampling: {primer_notes: 4}", encoding="utf-8")
    take = read_run(run_dir).takes[0]
    section = take_section(take, "a")
    onset = take.piece.onset
    num_given = int((onset <= onset[3]).sum())
    began = take.piece.seconds(onset)[num_given]
    assert embedded(section)["given"] == pytest.approx(began, abs=1e-3)
    assert f"the first {num_given} given" in section


def test_what_was_given_ends_where_an_onset_begins() -> None:
    chords = Piece.from_notes([0, 0, 0, 480, 480, 960], 480, [60, 64, 67, 62, 65, 64])
    section = take_section(Take("a", chords, num_given=4), "a")
    assert embedded(section)["given"] == 1  # second: 120 beats a minute
    assert "the first 5 given" in section


def test_a_stopped_run_shows_what_is_there(run_dir: Path) -> None:
    (run_dir / "summary.json").unlink()
    (run_dir / "sample.mid").unlink()
    run = read_run(run_dir)
    save_page(run, run_dir / "a.html")
    assert [take.epoch for take in run.takes] == [2, 4]
    assert "Still training, or stopped; best at epoch 3 of 4" in (run_dir / "a.html").read_text("utf-8")


def test_a_run_within_its_first_epoch_says_so(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").touch()
    assert main(["listen", str(tmp_path)]) == 0
    text = (tmp_path / "listen.html").read_text(encoding="utf-8")
    assert "No epoch has ended yet." in text
    assert "There are none yet" in text


@pytest.mark.parametrize("name", ["", "missing", "file"])
def test_what_is_no_run_is_refused_in_a_line(tmp_path: Path, capsys: Capture, name: str) -> None:
    (tmp_path / "file").touch()
    assert main(["listen", str(tmp_path / name), "-o", str(tmp_path / "a.html")]) == 1
    assert re.fullmatch(r"error: .*: no run: give a folder .*\n", capsys.readouterr().err)
    assert not (tmp_path / "a.html").exists()


def test_a_page_of_another_suffix_is_refused(run_dir: Path, capsys: Capture) -> None:
    assert main(["listen", str(run_dir), "-o", "sample.mid"]) == 1
    assert capsys.readouterr().err == "error: -o sample.mid: it must end in .html\n"


def test_of_very_many_samples_some_are_marked_on_the_curves_and_all_can_be_heard(
    run_dir: Path,
) -> None:
    write_metrics(run_dir, *np.linspace(2, 1, 100).tolist())
    run = read_run(run_dir)
    takes = [replace(run.takes[0], epoch=epoch) for epoch in range(1, 101)]
    save_page(replace(run, takes=takes), run_dir / "a.html")
    text = (run_dir / "a.html").read_text(encoding="utf-8")
    assert (text.count('<a id="at-'), text.count('<section class="take"')) == (25, 100)


def test_unreadable_files_are_named_and_left_out(run_dir: Path, capsys: Capture) -> None:
    (run_dir / "samples" / "epoch_002.mid").write_bytes(b"MThd")
    (run_dir / "metrics.csv").write_text("epoch,val/nll\n1,<b>\n", encoding="utf-8")
    assert main(["listen", str(run_dir)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines[:-1]] == ["metrics.csv", "samples/epoch_002.mid"]
    text = (run_dir / "listen.html").read_text(encoding="utf-8")
    assert all(name in text for name in ("metrics.csv: ", "samples/epoch_002.mid: ", ">Epoch 4<"))


def test_notes_are_given_in_seconds() -> None:
    piece = Piece.from_notes([0, 480, 960], 480, 60, tempos=[(0, 60), (480, 120)])
    notes = embedded(take_section(Take("a", piece), "a"))
    assert notes["onset"] == [0, 1, 1.5]
    assert notes["duration"] == [1, 0.5, 0.5]
    assert notes["seconds"] == 2


def test_drums_and_instruments_are_told_apart() -> None:
    piece = Piece.from_notes([0, 1, 2], 480, [60, 40, 36], program=[0, 33, 0], is_drum=[False, False, True])
    section = take_section(Take("a", piece), "a")
    assert embedded(section)["program"] == [0, 33, -1]
    assert embedded(section)["color"] == [0, 1, GRAY]
    assert legend(section) == [("color-0", "piano (0)"), ("color-1", "bass (33)"), ("gray", "drums")]


def test_copied_notes_have_the_color_of_their_source_and_new_ones_are_gray() -> None:
    piece = Piece.from_notes(range(0, 4800, 480), 480, 60)
    sources = np.array([0, 0, 1, 1, 1, 1, -1, -1, -1, -1])
    take = Take("a", piece, sources=sources, source_names=("one, bars 1 to 2", "two, bars 3 to 9"))
    section = take_section(take, "a")
    assert embedded(section)["color"] == [1, 1, 0, 0, 0, 0, GRAY, GRAY, GRAY, GRAY]
    assert legend(section) == [
        ("color-0", "two, bars 3 to 9: 40%"),
        ("color-1", "one, bars 1 to 2: 20%"),
        ("gray", "new: 40%"),
    ]


def test_copied_notes_are_found_in_the_training_pieces_and_health_is_told(
    run_dir: Path, make_piece: MakePiece
) -> None:
    source = replace(make_piece(4), pitch=make_piece(4).pitch + 2)  # the sample of epoch 4, in another key
    index = Index.build([source, make_piece(9)], ["one, <two>", "other"])
    real = np.array([[50, 0.1, 0.05, 0.0, 9.0]])
    against = Against("corpus", index, RealFigures(real, real[:0]), (), ReadingOptions(), ())
    pieces = [make_piece(seed) for seed in range(20, 30)]
    run = with_health(with_audit(read_run(run_dir), against), health.Yardstick.of(pieces))
    new, _, copied = run.takes
    assert copied.sources is not None
    assert (copied.sources == 0).mean() > 0.9
    assert copied.source_names == ["one, <two>, bars 1-9"]
    assert "more than 100 of 100 held-out pieces" in copied.remarks[0]
    assert new.sources is not None
    assert set(new.sources.tolist()) == {-1}
    assert new.remarks[0].startswith("0% of the notes")
    assert "in one scale" in new.health
    assert new.health["in one scale"].held_out is not None
    save_page(run, run_dir / "out.html")
    assert "one, &lt;two&gt;, bars 1-9: " in (run_dir / "out.html").read_text(encoding="utf-8")


def test_a_run_whose_files_have_changed_is_shown_without_sources(
    tiny_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    (tmp_path / "run" / "health.json").write_text("{}")
    assert main(["listen", str(tmp_path / "run")]) == 0
    assert "without what is copied, or healthy:" in capsys.readouterr().err


def test_sources_beyond_the_colors_share_one() -> None:
    num_sources = NUM_COLORS + 2
    piece = Piece.from_notes(range(num_sources), 480, 60)
    names = [f"piece {i}" for i in range(num_sources)]
    take = Take("a", piece, sources=np.arange(num_sources), source_names=names)
    section = take_section(take, "a")
    assert embedded(section)["color"] == [*range(NUM_COLORS), NUM_COLORS, NUM_COLORS]
    assert ("color-8", "others (piece 8, piece 9): 20%") in legend(section)


def test_figures_beyond_the_held_out_range_are_marked(make_piece: MakePiece) -> None:
    health = {"pitches": Measure(3, (20, 30)), "silence": Measure(0.1, (0, 0.2)), "distance": Measure(0.5)}
    section = take_section(Take("a", make_piece(0), health=health, remarks=["Few pitches."]), "a")
    assert "Health: 1 of 3 figures" in section
    assert section.count('class="unusual"') == 1
    assert "<li>Few pitches.</li>" in section


def test_what_is_not_known_is_not_shown(make_piece: MakePiece) -> None:
    section = take_section(Take("a", make_piece(0)), "a")
    assert not any(word in section for word in ("legend", "health", "remarks", "losses", "given ("))


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(Piece.from_notes([], [], []), id="no notes"),
        pytest.param(Piece.from_notes([0], [1], [127]), id="highest"),
        pytest.param(Piece.from_notes([0, 2**31], 480, 60), id="endless"),
        pytest.param(Piece.from_notes([0] * 40, 480, 60, program=range(40)), id="many programs"),
        pytest.param(Piece.from_notes([0], [9600], [60], metres=[(480, 0, 4), (5000, 6, 8)]), id="metres"),
    ],
)
def test_odd_pieces_become_small_sections(piece: Piece) -> None:
    assert len(take_section(Take("a", piece), "a")) < 200_000


def hostile_run(make_piece: MakePiece) -> HeardRun:
    """Every text of the page is an attack."""
    rows = [dict(zip(COLUMNS, (1, 2.0, 2.0, 2.0, 0.1, 4.0), strict=True))]
    take = Take(HOSTILE, make_piece(0), 1, True, HOSTILE, {"held-out nll": 2.0, HOSTILE: 1.0})
    sources = np.zeros(take.piece.num_notes, dtype=np.int64)
    take = replace(take, sources=sources, source_names=[HOSTILE], remarks=[HOSTILE])
    take = replace(take, health={HOSTILE: Measure(1.0, (2.0, 3.0))})
    return HeardRun(HOSTILE, rows, [take], [HOSTILE], HOSTILE)


def test_files_of_any_origin_are_heard(
    tmp_path: Path, make_piece: MakePiece, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = Provenance(
        "0.1.0", "sha", {"top-p": 1.0, "seed": 1, "exact": True}, copied=Copied(0.25, {"<b>": 0.25})
    )
    write_midi(make_piece(1), tmp_path / "mine.mid", record.text())
    (tmp_path / "tune.abc").write_text("X:1\nT:t\nK:C\nCDEF|\n", encoding="utf-8")
    (tmp_path / "broken.mid").write_bytes(b"no music")
    assert main(["listen", "mine.mid", "tune.abc", "broken.mid"]) == 0
    assert "left out: broken.mid: " in capsys.readouterr().err
    text = (tmp_path / "listen.html").read_text(encoding="utf-8")
    assert re.findall(r"<h3[^>]*>([^<]*)</h3>", text) == ["mine", "tune"]
    assert re.findall(r"<li>([^<]*)</li>", text)[:2] == [
        "composed by NoteRNN 0.1.0 with --seed=1 --exact",
        "25% of what is new copied in passages of 16 notes, most from &lt;b&gt;",
    ]
    notes = re.findall(r'<script type="application/json">(.*?)</script>', text)
    assert base64.b64decode(json.loads(notes[0])["midi"]) == (tmp_path / "mine.mid").read_bytes()
    assert read_midi_bytes(base64.b64decode(json.loads(notes[1])["midi"]), "").num_notes == 4
    assert main(["listen", "broken.mid", "-o", "a.html"]) == 1


def test_hostile_names_are_text(tmp_path: Path, make_piece: MakePiece) -> None:
    save_page(hostile_run(make_piece), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert text.count("<script") == 2  # the notes and the page's own
    assert "onerror=alert(1)>" not in text


def test_the_page_loads_nothing_and_runs_no_other_script(run_dir: Path) -> None:
    main(["listen", str(run_dir)])
    text = (run_dir / "listen.html").read_text(encoding="utf-8")
    assert "://" not in text
    assert "default-src 'none'" in text
    assert "unsafe" not in text
    assert not re.search(r"\s(style|on\w+)=", text)


# In a browser

HAS_DRAWN = """name => {
  const canvas = document.querySelector(name);
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width || 1, canvas.height);
  return data.some(value => value);
}"""


@pytest.fixture
def page_path(run_dir: Path) -> Path:
    save_page(read_run(run_dir), run_dir / "listen.html")
    return run_dir / "listen.html"


def position(page: Any, take: int) -> float:
    return float(page.locator(f"#take-{take} .seek").input_value())


def wait_for(page: Any, is_so: Callable[[], bool]) -> None:
    """Half a minute at most; Playwright's own way needs what the page's policy forbids."""
    for _ in range(300):
        if is_so():
            return
        page.wait_for_timeout(100)
    pytest.fail("it never came about")


def wait_for_seconds(page: Any, take: int, seconds: float) -> None:
    wait_for(page, lambda: position(page, take) > seconds)


def is_playing(page: Any, take: int) -> bool:
    return bool(page.locator(f"#take-{take}.playing").count())


@pytest.mark.parametrize("reduced_motion", ["no-preference", "reduce"])
def test_a_sample_plays(open_page: Open, page_path: Path, reduced_motion: str) -> None:
    page = open_page(page_path, reduced_motion=reduced_motion)
    page.click("#take-1 .play")
    wait_for_seconds(page, 1, 1)
    assert page.inner_text("#take-1 .now") != "0:00"
    page.get_by_role("button", name="Pause Epoch 3").click()
    assert not is_playing(page, 1)
    paused = position(page, 1)
    page.wait_for_timeout(100)
    assert position(page, 1) == paused > 0


def test_a_sample_is_saved_as_midi_and_as_sound(open_page: Open, page_path: Path) -> None:
    page = open_page(page_path, accept_downloads=True)
    saved = []
    for kind in ("mid", "wav"):
        with page.expect_download() as download:
            page.click(f".take .save[value={kind}]")
        assert download.value.suggested_filename.endswith(f".{kind}")
        saved.append(Path(download.value.path()).read_bytes())
    midi, sound = saved
    assert midi == (page_path.parent / "sample.mid").read_bytes()
    assert sound[:4] == b"RIFF"
    assert np.abs(np.frombuffer(sound[44:], dtype="<i2")).max() > 1000


def test_one_sample_plays_at_a_time(open_page: Open, page_path: Path) -> None:
    page = open_page(page_path)
    page.click("#take-1 .play")
    page.click("#take-2 .play")
    wait_for_seconds(page, 2, 0.1)
    assert (is_playing(page, 1), is_playing(page, 2)) == (False, True)


def test_a_sample_that_has_ended_can_be_played_again(open_page: Open, tmp_path: Path) -> None:
    short = Piece.from_notes([0, 0], 120, [60, 36], is_drum=[False, True])
    save_page(HeardRun("a", [], [Take("a", short)], [], "finished"), tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    for _ in range(2):
        page.click(".play")
        page.wait_for_selector(".take.playing", state="detached")
        assert position(page, 1) == 0


def test_the_keyboard_plays_and_seeks(open_page: Open, page_path: Path) -> None:
    page = open_page(page_path)
    for _ in range(4):  # three samples on the curves, then the first one's button
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    wait_for_seconds(page, 1, 0.1)
    page.keyboard.press("Space")
    assert not is_playing(page, 1)
    page.keyboard.press("Tab")
    for key, seconds in (("Home", 0), ("ArrowRight", 1), ("PageUp", 6), ("ArrowLeft", 5), ("ArrowLeft", 4)):
        page.keyboard.press(key)
        assert position(page, 1) == pytest.approx(seconds)
    assert page.locator("#take-1 .seek").get_attribute("aria-valuetext").startswith("0:04 of ")
    page.keyboard.press("Space")
    wait_for_seconds(page, 1, 4.1)


def test_a_click_on_the_roll_seeks(open_page: Open, page_path: Path) -> None:
    page = open_page(page_path)
    page.click("#take-2 .roll", position={"x": 300, "y": 100})
    assert position(page, 2) > 1
    assert not is_playing(page, 2)


def test_a_mark_on_the_curves_leads_to_its_sample(open_page: Open, page_path: Path) -> None:
    page = open_page(page_path, viewport={"width": 800, "height": 400})
    page.get_by_role("link", name="Sample of Epoch 4").click()
    assert page.url.endswith("#take-3")
    assert page.locator("#take-3").bounding_box()["y"] < 400
    assert page.locator("#take-3 h3").inner_text() == "Epoch 4"


def test_the_volume_is_that_of_all_samples(open_page: Open, page_path: Path) -> None:
    page = open_page(page_path)
    page.focus("#take-1 .volume")
    page.keyboard.press("Home")
    assert [volume.input_value() for volume in page.locator(".volume").all()] == ["0", "0", "0"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everything_fits_and_is_drawn(open_page: Open, page_path: Path, width: int, scheme: str) -> None:
    page = open_page(page_path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.querySelector('.curves img').naturalWidth") > 0
    page.locator("#take-1 .roll").scroll_into_view_if_needed()
    wait_for(page, lambda: page.evaluate(HAS_DRAWN, "#take-1 .roll"))


def test_hostile_names_stay_text_in_a_browser(open_page: Open, tmp_path: Path, make_piece: MakePiece) -> None:
    save_page(hostile_run(make_piece), tmp_path / "a.html")
    page = open_page(tmp_path / "a.html", viewport={"width": 360, "height": 800})
    assert page.inner_text("h1") == HOSTILE
    assert page.locator("img").count() == 1  # the curves
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.click(".play")
    wait_for_seconds(page, 1, 0.1)
