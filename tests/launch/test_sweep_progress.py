"""How far a sweep is, from the files of its jobs: what is said, and that it fits a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noternn.launch.notes import note_epochs, note_job, note_sweep
from noternn.launch.progress import (
    Job,
    SweepProgress,
    begun_jobs,
    job_line,
    seconds_left,
    sweep_line,
)

METRICS = "epoch,val/nll,seconds\n1,2.5,10\n2,2.0,20\n3,2.25,30\n"


def begin(sweep: Path, name: str, number: int) -> Path:
    run = sweep / name
    run.mkdir()
    note_job(sweep, run, number)
    note_epochs(sweep, run, 10)
    return run


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Five jobs: one finished, one failed, one in its fourth epoch, one in its first, one waiting."""
    note_sweep(tmp_path, 5)
    summary = {"status": "finished", "num_epochs": 8, "best_epoch": 6, "val/nll": 1.5, "seconds": 80.0}
    (begin(tmp_path, "seed=0", 1) / "summary.json").write_text(json.dumps(summary))
    failed = {"status": "failed", "error": "no files"}
    (begin(tmp_path, "seed=1", 2) / "summary.json").write_text(json.dumps(failed))
    metrics = begin(tmp_path, "seed=2", 3) / "metrics.csv"
    metrics.write_text(METRICS)
    os.utime(metrics, (2e9, 2e9))  # the last epoch is over just now, however slow the machine
    begin(tmp_path, "seed=3", 4)
    return tmp_path


def test_a_job_that_has_not_decided_its_epochs_is_told_without_them(tmp_path: Path) -> None:
    note_sweep(tmp_path, 1)
    note_job(tmp_path, tmp_path / "seed=0", 1)
    assert [job_line(job) for job in begun_jobs(tmp_path)] == ["seed=0: epoch 0"]


def test_a_job_is_told_with_its_epoch_its_best_value_and_the_time_left(sweep: Path) -> None:
    assert [job_line(job) for job in begun_jobs(sweep)] == [
        "seed=0: finished, best val/nll 1.5000 at epoch 6 of 8, 01:20",
        "seed=1: failed: no files",
        "seed=2: epoch 3/10, best val/nll 2.0000 at 2, 01:10 left",
        "seed=3: epoch 0/10",
    ]


def test_a_sweep_is_told_with_its_jobs_and_its_best_value(sweep: Path) -> None:
    line = sweep_line(begun_jobs(sweep), 5)
    assert line.startswith("2 of 5 jobs done (1 failed), about ")
    assert line.endswith(" left, 2 running, 1 waiting, best 1.5000 (seed=0)")
    assert sweep_line(begun_jobs(sweep), None).startswith("2 jobs done (1 failed), 2 running, best")


def test_time_left_is_that_of_the_jobs_to_come_shared_out_among_those_at_a_time() -> None:
    done = Job("a", 1, 10, "finished", 10, 1.0, 1, seconds=100)
    running = [
        Job(name, number, 10, "running", 5, 1.0, 1, 50, seconds_left=50)
        for number, name in enumerate("bc", start=2)
    ]
    assert seconds_left([done, *running], 5) == (2 * 50 + 2 * 100) / 2
    assert seconds_left(running[:1], 1) == 50
    assert seconds_left([Job("a", 1, 10)], 2) is None


@given(
    name=st.text("abc=,._", min_size=1, max_size=150),
    columns=st.integers(30, 200),
    left=st.floats(0, 1e6) | st.none(),
)
def test_a_line_fits_the_terminal(name: str, columns: int, left: float | None) -> None:
    best = None if left is None else 1.23456
    job = Job(name, 7, 400, "running", 123, best, 120, 1000.0, left)
    assert len(job_line(job, columns)) < columns
    assert job_line(job, 400).startswith(name)


def read(terminal: int) -> str:
    """All that was written to a terminal since."""
    shown = b""
    while select.select([terminal], [], [], 0)[0]:
        shown += os.read(terminal, 100_000)
    return shown.decode()


def test_on_a_terminal_running_jobs_have_a_line_that_is_updated_in_place(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        progress = SweepProgress(sweep)
        progress._look()
        shown = read(ours)
        assert shown.count("seed=0: finished") == 1
        assert "2 of 5 jobs done" in shown
        assert "seed=2  epoch 3/10, best val/nll 2.0000 at 2" in shown
        (sweep / "seed=2" / "metrics.csv").write_text(METRICS + "4,1.75,40\n")
        progress._look()
        shown = read(ours)
        assert "seed=0: finished" not in shown
        assert "\rseed=2  epoch 4/10, best val/nll 1.7500 at 4" in shown
        progress._thread.start()
        progress.stop()
        assert "seed=3: stopped after epoch 0 of 10" in read(ours)
    os.close(ours)
