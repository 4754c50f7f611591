"""The page of runs and sweeps, as a file and in a browser."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from written_runs import write_run

from noternn.__main__ import main
from noternn.music.midi import write_midi
from noternn.music.piece import Piece
from noternn.pages.report import axis, save_page
from noternn.runs.comparison import read_runs
from noternn.runs.epochs import NEEDED, read_epochs
from noternn.tables import write_csv

pytest.importorskip("plotly", reason="plotly, an optional extra, is not installed")

Capture = pytest.CaptureFixture[str]
MakePiece = Callable[[int], Piece]
Open = Callable[[Path], Any]
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'&amp;%{x}"


def write_sweep(folder: Path, num_runs: int, num_epochs: int = 4) -> Path:
    """A sweep over dropout, optimizer and seed whose first jobs are best."""
    values = itertools.product(range(100), ("adam", "sgd", "rmsprop"), (0.1, 0.5))
    for number, (seed, optimizer, dropout) in enumerate(itertools.islice(values, num_runs)):
        overrides = (f"model.dropout={dropout}", f"optimizer={optimizer}", f"seed={seed}")
        val_nll = tuple(1.0 + 0.01 * number + 1 / epoch for epoch in range(1, num_epochs + 1))
        write_run(folder / ",".join(overrides), *overrides, val_nll=val_nll)
    return folder


def page_of(*folders: Path, title: str = "a page") -> str:
    path = folders[0] / "report.html"
    save_page(read_runs(folders), title, path)
    return path.read_text(encoding="utf-8")


def chart_data(page: str) -> dict[str, Any]:
    found = re.findall(r'<script type="application/json" id="report-data">(.*?)</script>', page)
    assert len(found) == 1
    return json.loads(found[0])


def test_the_page_lies_in_the_folder(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path)
    assert main(["report", str(tmp_path), "--html"]) == 0
    assert capsys.readouterr().err == f"written: {tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").is_file()


def test_a_trained_run_becomes_a_page_elsewhere(tiny_run: Path, tmp_path: Path) -> None:
    assert main(["report", str(tiny_run), "--html", str(tmp_path / "new" / "a.html")]) == 0
    page = (tmp_path / "new" / "a.html").read_text(encoding="utf-8")
    assert chart_data(page)["runs"][0]["epochs"] == [1, 2, 3]
    assert ">sample.mid, " in page
    assert "seed 0: train " in page


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_that_is_no_run_is_refused_in_a_line(name: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / name), "--html"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert list(tmp_path.rglob("*.html")) == []


def test_a_page_of_another_suffix_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert main(["report", str(write_run(tmp_path)), "--html", "a.csv"]) == 1
    assert capsys.readouterr().err == "error: --html a.csv: it must end in .html\n"


def test_a_failed_run_tells_its_reason(tmp_path: Path) -> None:
    write_run(tmp_path, status="failed", error="the loss is no finite number", val_nll=())
    page = page_of(tmp_path)
    assert "Failed; the loss is no finite number." in page
    assert "No epoch has ended yet" in page


def test_a_running_run_shows_its_epochs_so_far(tmp_path: Path) -> None:
    write_run(tmp_path, status="running", val_nll=(2.0, 1.5, 1.75))
    page = page_of(tmp_path)
    assert "Running or stopped; best at epoch 2 of 3" in page
    assert chart_data(page)["runs"][0]["best"] == [2, 1.5]


def test_a_sweep_says_how_many_runs_became_what(tmp_path: Path) -> None:
    write_sweep(tmp_path, 3)
    write_run(tmp_path / "failed", status="failed", error="too <little> memory")
    write_run(tmp_path / "running", status="running")
    page = page_of(tmp_path)
    assert "5 runs: 3 finished, 1 running or stopped, 1 failed." in page
    assert "failed: too &lt;little&gt; memory" in page


def test_only_the_best_runs_have_colors_and_samples(tmp_path: Path, make_piece: MakePiece) -> None:
    for run in read_runs([write_sweep(tmp_path, 12)]):
        write_midi(make_piece(0), run.folder / "sample.mid")
    page = page_of(tmp_path)
    colors = [run["color"] for run in chart_data(page)["runs"]]
    assert colors == [*range(8), -1, -1, -1, -1]
    assert page.count('<section class="take"') == 3


def test_curves_of_very_many_epochs_keep_the_best_and_the_last(tmp_path: Path) -> None:
    nll = [2 - 0.00001 * epoch for epoch in range(20_000)]
    nll[17_777] = 0.5
    write_run(tmp_path, val_nll=tuple(nll))
    (run,) = chart_data(page_of(tmp_path))["runs"]
    assert len(run["epochs"]) < 16_000
    assert (run["best"], run["epochs"][-1]) == ([17_778, 0.5], 20_000)


def test_losses_are_per_note_where_tokens_differ(tmp_path: Path) -> None:
    write_run(tmp_path / "a", val_nll=(2.0,))
    write_run(tmp_path / "b", val_nll=(2.0,), tokenizer="chord")
    data = chart_data(page_of(tmp_path))
    assert data["quantity"] == "nats a note"
    assert data["runs"][0]["val"] == [4.0]


def test_the_interval_around_held_out_pieces_is_shaded_where_it_is_known(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path, val_nll=(2.0, 1.5)))
    (run,) = chart_data(page)["runs"]
    assert (run["boundedEpochs"], run["bounds"]) == ([1, 2], [[1.9, 1.4], [2.2, 1.7]])
    assert "95 % interval" in page
    old = [{name: row[name] for name in NEEDED} for row in read_epochs(tmp_path)]
    write_csv(tmp_path / "metrics.csv", old, NEEDED)
    page = page_of(tmp_path)
    (run,) = chart_data(page)["runs"]
    assert (run["val"], run["boundedEpochs"], run["bounds"]) == ([2.0, 1.5], [], [[], []])
    assert "95 % interval" not in page


def test_how_much_is_copied_is_drawn_where_it_is_known(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert 'id="copied"' not in page_of(tmp_path)
    write_csv(tmp_path / "audit.csv", [{"epoch": 2, "audit/copied_16": 0.125}], ("epoch", "audit/copied_16"))
    page = page_of(tmp_path)
    assert 'id="copied"' in page
    [run] = chart_data(page)["runs"]
    assert (run["copied"], run["near"]) == ([12.5], [None])
    row = {"epoch": 2, "audit/copied_16": 0.125, "audit/near_16": 0.5}
    write_csv(tmp_path / "audit.csv", [row], tuple(row))
    [run] = chart_data(page_of(tmp_path))["runs"]
    assert (run["copied"], run["near"]) == ([12.5], [50.0])


def test_the_packages_of_a_run_are_told(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert "noternn 0.1.0, torch 2.13.0<" in page_of(tmp_path)


def test_settings_are_drawn_beside_losses_from_six_runs_on(tmp_path: Path) -> None:
    write_sweep(tmp_path, 5)
    assert 'id="parallel"' not in page_of(tmp_path)
    write_sweep(tmp_path / "more", 1)
    page = page_of(tmp_path)
    assert 'id="parallel"' in page
    names = [axis["name"] for axis in chart_data(page)["axes"]]
    assert names == ["optimizer", "model.dropout", "nats a note"]


@pytest.mark.parametrize(
    ("texts", "places"),
    [
        (["0", "1", "4"], [0, 0.25, 1]),
        (["0.001", "0.01", "0.1"], [0, 0.5, 1]),
        (["sgd", "adam", "", "b"], [1, 0, None, 0.5]),
        (["1", "none", "2"], [0, 1, 0.5]),
        (["5", "5"], [0, 0]),
    ],
    ids=["numbers", "far apart", "words", "mixed", "one value"],
)
def test_an_axis_gives_each_value_its_place(texts: list[str], places: list[float | None]) -> None:
    assert axis("a", texts).places == pytest.approx(places)


def test_an_axis_has_no_more_ticks_than_have_room() -> None:
    ticks = axis("a", [str(number) for number in range(1000)]).ticks
    assert len(ticks) <= 11
    assert (ticks[0], ticks[-1]) == ((0, "0"), (1, "999"))


def test_files_that_cannot_be_read_leave_a_page_all_the_same(tmp_path: Path) -> None:
    write_run(tmp_path)
    for name in ("metrics.csv", "summary.json", "split.json", "audit.csv", "health.json", "sample.mid"):
        (tmp_path / name).write_bytes(b"\xff\x00{")
    (tmp_path / ".hydra" / "config.yaml").write_text("a: [", encoding="utf-8")
    assert "summary.json cannot be read" in page_of(tmp_path)


def test_a_library_that_is_missing_is_named(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    assert main(["report", str(write_run(tmp_path)), "--html"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'pip install "noternn[report]"' in line


def hostile_sweep(folder: Path) -> Path:
    """Every text that a file or a folder can hold is an attack."""
    name = HOSTILE.replace("/", "\N{FRACTION SLASH}")
    for number in range(8):
        run = folder / f"{name}{number}"
        write_run(run, f"model.dropout={HOSTILE}{number}", f"seed={number}", dataset=HOSTILE)
    write_run(folder / "failed", status="failed", error=HOSTILE)
    return folder


def test_hostile_names_are_text(tmp_path: Path) -> None:
    page = page_of(hostile_sweep(tmp_path), title=HOSTILE)
    assert page.count("<script") == 5  # the data, and four of the page's own
    assert "<img src" not in page


def test_the_policy_lets_nothing_be_loaded_and_no_other_script_run(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    assert rules["script-src"].count("sha256-") == 4
    assert "unsafe" not in rules["script-src"]


# In a browser


def show_report(open_page: Callable[..., Any], folder: Path, **options: Any) -> Any:
    save_page(read_runs([folder]), folder.name, folder / "report.html")
    return open_page(folder / "report.html", **options)


def num_lines(page: Any, chart: str) -> int:
    return int(page.locator(f"#{chart} .scatterlayer .trace").count())


def column(page: Any, number: int) -> list[str]:
    return list(page.locator(f"table.sortable tbody td:nth-child({number})").all_inner_texts())


def test_one_run_is_drawn_and_its_sample_plays(
    open_page: Open, tmp_path: Path, make_piece: MakePiece
) -> None:
    write_midi(make_piece(0), write_run(tmp_path) / "sample.mid")
    page = show_report(open_page, tmp_path)
    assert (num_lines(page, "curves"), num_lines(page, "gap")) == (5, 1)  # three losses, an interval, a star
    page.click("#take-1 .play")
    for _ in range(100):
        if float(page.locator("#take-1 .seek").input_value()) > 0.2:
            return
        page.wait_for_timeout(100)
    pytest.fail("it does not play")


def test_fifteen_runs_are_drawn_sorted_and_shown_in_settings(open_page: Open, tmp_path: Path) -> None:
    page = show_report(open_page, write_sweep(tmp_path, 15))
    assert num_lines(page, "curves") == 1 + 3 * 8  # the others as one
    assert num_lines(page, "parallel") == 1 + 8
    assert page.locator("table.sortable tbody tr").count() == 15
    before = column(page, 5)
    assert before == sorted(before, key=float)
    heading = page.get_by_role("columnheader", name="nats a note")
    for order in ("ascending", "descending"):
        heading.click()
        assert heading.get_attribute("aria-sort") == order
    assert column(page, 5) == before[::-1]
    page.get_by_role("columnheader", name="optimizer").press("Enter")
    assert column(page, 2) == sorted(column(page, 2))


def test_what_is_not_known_is_sorted_to_the_end(open_page: Open, tmp_path: Path) -> None:
    write_run(write_sweep(tmp_path, 3) / "x", status="failed", val_nll=())
    page = show_report(open_page, tmp_path)
    for _ in range(2):
        page.get_by_role("columnheader", name="val/nll").click()
        assert column(page, 1)[-1] == "x"


def test_three_hundred_runs_are_drawn(open_page: Open, tmp_path: Path) -> None:
    page = show_report(open_page, write_sweep(tmp_path, 300, num_epochs=60))
    assert (tmp_path / "report.html").stat().st_size < 15e6
    assert page.locator("table.sortable tbody tr").count() == 300
    assert num_lines(page, "curves") == 1 + 3 * 8


def test_failed_and_running_runs_are_shown(open_page: Open, tmp_path: Path) -> None:
    write_run(tmp_path / "failed", status="failed", error="no memory", val_nll=())
    page = show_report(open_page, tmp_path / "failed")
    assert "no memory" in page.inner_text("main")
    write_run(tmp_path / "running", status="running")
    assert num_lines(show_report(open_page, tmp_path / "running"), "curves") == 5  # with the interval
    assert num_lines(show_report(open_page, tmp_path), "curves") == 3


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (700, "dark"), (1280, "light")])
def test_everything_fits_into_the_window(
    open_page: Callable[..., Any], tmp_path: Path, width: int, scheme: str
) -> None:
    options: dict[str, Any] = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    page = show_report(open_page, write_sweep(tmp_path, 9), **options)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("#curves .main-svg").first.bounding_box()["width"] <= width


def test_hostile_names_stay_text_in_a_browser(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = show_report(open_page, hostile_sweep(tmp_path), viewport={"width": 360, "height": 800})
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    box = page.locator("#curves .nsewdrag").bounding_box()
    for x in range(0, int(box["width"]), 20):  # over the lines, where names are shown
        page.mouse.move(box["x"] + x, box["y"] + box["height"] / 2)
        page.wait_for_timeout(20)
    assert page.locator("#curves image, #curves a").count() == 0
