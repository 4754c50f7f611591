"""Words, curves and tables of runs and sweeps."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import pytest

from noternn.report import SWEEP_COLUMNS, save_curves, sweep_rows, verdict
from noternn.tables import format_table, read_csv, write_csv, write_text

COLUMNS = ("epoch", "train/nll", "train_eval/nll", "val/nll", "gap/nll")


def rows_of(validation: list[float], training: list[float]) -> list[dict[str, float]]:
    return [
        dict(zip(COLUMNS, (epoch, train + 0.1, train, val, val - train), strict=True))
        for epoch, (val, train) in enumerate(zip(validation, training, strict=True), start=1)
    ]


OVERFITTED = rows_of([3.0, 2.5, 2.75, 3.0], [2.9, 2.3, 2.0, 1.9])


def test_verdict_of_a_run_that_still_improved() -> None:
    text = verdict(rows_of([3.0, 2.5, 2.4], [2.9, 2.3, 2.0]))
    assert "lowest at the last epoch (3)" in text
    assert "more epochs" in text


def test_verdict_of_a_run_that_memorized() -> None:
    text = verdict(OVERFITTED)
    assert text.startswith("best at epoch 2 of 4")
    assert "val/nll did not (+0.500)" in text
    assert "train_eval/nll fell by 0.400" in text
    assert "memorizing" in text


def test_verdict_of_a_run_that_stopped_learning() -> None:
    text = verdict(rows_of([3.0, 2.5, 2.6], [2.9, 2.3, 2.4]))
    assert text.startswith("best at epoch 2 of 3")
    assert "stopped learning" in text
    assert "memorizing" not in text


def test_verdict_of_a_single_epoch() -> None:
    assert "(1)" in verdict(rows_of([3.0], [2.9]))


@pytest.mark.parametrize("num_epochs", [1, 4, 60])
def test_curves_are_drawn_from_the_table_of_a_run(num_epochs: int, tmp_path: Path) -> None:
    table, picture = tmp_path / "metrics.csv", tmp_path / "curves.png"
    rows = (OVERFITTED * 15)[:num_epochs]
    write_csv(table, [{**row, "epoch": i + 1} for i, row in enumerate(rows)], COLUMNS)
    save_curves(table, picture, title="a run with $ and _ in its name")
    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[0] > 400
    assert pixels.shape[1] > 600
    assert pixels[..., :3].min() < 0.5 < pixels[..., :3].max()


def save_summary(folder: Path, **summary: object) -> None:
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))


def test_sweep_is_sorted_by_val_nll_with_failed_jobs_last(tmp_path: Path) -> None:
    save_summary(tmp_path / "a", status="failed", error="no such thing")
    save_summary(tmp_path / "b", **{"status": "finished", "val/nll": 2.5})
    save_summary(tmp_path / "c" / "deeper", **{"status": "finished", "val/nll": 2.25})
    (tmp_path / "unfinished").mkdir()
    rows = sweep_rows(tmp_path)
    assert [row["job"] for row in rows] == [str(Path("c", "deeper")), "b", "a"]
    assert rows[2]["error"] == "no such thing"


def test_sweep_without_jobs_is_an_empty_table(tmp_path: Path) -> None:
    assert sweep_rows(tmp_path) == []
    assert format_table([], SWEEP_COLUMNS).split() == list(SWEEP_COLUMNS)


def test_table_aligns_text_left_and_numbers_right() -> None:
    rows = [
        {"job": "lr=0.1", "val/nll": 2.5, "epochs": 7},
        {"job": "lr=0.01", "val/nll": 12.25, "epochs": 12},
        {"job": "failed", "val/nll": None, "epochs": 1234.5},
    ]
    assert format_table(rows, ("job", "val/nll", "epochs", "missing")).splitlines() == [
        "job      val/nll  epochs  missing",
        "lr=0.1    2.5000       7        -",
        "lr=0.01  12.2500      12        -",
        "failed         -    1234        -",
    ]


def test_csv_gives_back_the_numbers_that_were_written(tmp_path: Path) -> None:
    rows = [{"epoch": 1.0, "val/nll": 1 / 3}, {"epoch": 2.0, "val/nll": 1e-300}]
    write_csv(tmp_path / "t.csv", rows, ("epoch", "val/nll"))
    assert read_csv(tmp_path / "t.csv") == rows


def test_csv_quotes_what_would_break_it_and_leaves_out_other_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"job": 'a,"b"', "other": 1}], ("job", "error"))
    assert (tmp_path / "t.csv").read_text() == 'job,error\n"a,""b""",\n'


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_text(path, "first, and longer")
    write_text(path, "naïve ♯")
    assert path.read_text("utf-8") == "naïve ♯"
    assert list(tmp_path.iterdir()) == [path]
