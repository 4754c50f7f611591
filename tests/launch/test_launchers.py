"""Hydra's launchers for clusters: jobs that come to the same as one after the other, and die alone."""

from __future__ import annotations

import csv
import os
import signal
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

import pytest
from forked import Command
from hydra.core.override_parser.overrides_parser import OverridesParser

from noternn.errors import LIBRARIES, UserError
from noternn.launch import command_line
from noternn.launch.command_line import check
from noternn.launch.launchers import run_queued
from noternn.launch.notes import is_started_again, note_start
from noternn.tables import read_csv
from noternn.training.stopping import Stopped

INSTALLED = {distribution.name for distribution in distributions()}
needs_submitit = pytest.mark.skipif(
    "hydra-submitit-launcher" not in INSTALLED, reason='needs the extra: pip install "noternn[submitit]"'
)
needs_ray = pytest.mark.skipif(
    "hydra-ray-launcher" not in INSTALLED, reason='needs the extra: pip install "noternn[ray]"'
)
DIES, GOES_ON, DIVERGES = (f"optimizer.lr={lr}" for lr in ("0.001", "0.01", "1e+38"))
LAST_EPOCH = 20


def start(home: Path, environment: dict[str, str], *arguments: str) -> Command:
    return Command(arguments, cwd=home, env=environment)


def table(home: Path) -> dict[str, dict[str, str]]:
    (path,) = home.glob("runs/*/sweep.csv")
    with path.open(newline="") as file:
        return {row["job"]: row for row in csv.DictReader(file)}


def process_of(home: Path, sweep: Command, job: str) -> int:
    """The process of a job of submitit that has saved an epoch."""
    while not list(home.glob(f"runs/*/{job}/last.ckpt")):
        assert sweep.poll() is None, sweep.communicate()[1]
        time.sleep(0.05)
    (note,) = home.glob(f"runs/*/{job}/.job")
    controller = note.read_text()
    (process,) = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    return int(process)


@pytest.fixture(scope="module")
def eventful(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int, str]:
    """A sweep of submitit in which a job is killed, one runs out of time and one diverges."""
    home = tmp_path_factory.mktemp("eventful")
    swept = "optimizer.lr=0.001,0.01,1e38"
    fixed = ["dataset=folder", f"dataset.path={corpus_dir}", "logger=csv", *tiny, "optimizer=sgd"]
    fixed += [f"trainer.max_epochs={LAST_EPOCH}", "checkpoint.every_n_epochs=1000"]
    fixed += ["trainer.gradient_clip_val=null"]
    sweep = start(home, offline, "-m", "hydra/launcher=submitit_local", swept, *fixed)
    os.kill(process_of(home, sweep, DIES), signal.SIGKILL)
    os.kill(process_of(home, sweep, GOES_ON), signal.SIGUSR1)
    _, stderr = sweep.communicate(timeout=300)
    return home, sweep.returncode, stderr


@needs_submitit
def test_a_job_of_submitit_that_dies_or_fails_costs_no_other(eventful: tuple[Path, int, str]) -> None:
    home, status, stderr = eventful
    rows = table(home)
    assert {job: row["status"] for job, row in rows.items()} == {
        DIES: "failed", GOES_ON: "finished", DIVERGES: "failed",
    }, stderr  # fmt: skip
    assert rows[DIES]["error"].startswith("its process was ended")
    assert rows[DIVERGES]["error"].startswith("training diverged")
    assert (status, "Traceback" in stderr) == (1, False)


@needs_submitit
def test_a_job_of_submitit_that_runs_out_of_time_goes_on_where_it_was(
    eventful: tuple[Path, int, str],
) -> None:
    home, _, stderr = eventful
    (run,) = home.glob(f"runs/*/{GOES_ON}")
    assert [row["epoch"] for row in read_csv(run / "metrics.csv")] == [*range(1, LAST_EPOCH + 1)], stderr
    assert "stopped; go on with" in (run / "train.log").read_text()


@needs_submitit
@pytest.mark.slow
def test_a_sweep_goes_on_with_another_launcher(
    eventful: tuple[Path, int, str], offline: dict[str, str]
) -> None:
    home = eventful[0]
    (folder,) = home.glob("runs/*_sweep")
    again = start(home, offline, f"resume={folder.relative_to(home)}", "hydra/launcher=basic")
    _, stderr = again.communicate(timeout=300)
    status = {job: row["status"] for job, row in table(home).items()}
    assert status == {DIES: "finished", GOES_ON: "finished", DIVERGES: "failed"}, stderr
    epochs = [row["epoch"] for row in read_csv(folder / DIES / "metrics.csv")]
    assert epochs == [*range(1, LAST_EPOCH + 1)]


@needs_submitit
@pytest.mark.slow
def test_a_signal_ends_a_sweep_of_submitit_once_its_jobs_are_saved(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path
) -> None:
    fixed = ["dataset=folder", f"dataset.path={corpus_dir}", "logger=csv", *tiny]
    fixed += ["trainer.max_epochs=100000", "checkpoint.every_n_epochs=100000"]
    sweep = start(tmp_path, offline, "-m", "hydra/launcher=submitit_local", "seed=0,1", *fixed)
    jobs = [process_of(tmp_path, sweep, f"seed={seed}") for seed in (0, 1)]
    os.killpg(sweep.pid, signal.SIGINT)  # as a terminal sends Ctrl-C to all
    _, stderr = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, stderr
    assert not [job for job in jobs if Path(f"/proc/{job}").exists()]
    assert {row["status"] for row in table(tmp_path).values()} == {"stopped"}
    for log in tmp_path.glob("runs/*/*/train.log"):
        assert "stopped; go on with" in log.read_text()


@needs_ray
@pytest.mark.slow
def test_a_sweep_of_ray_lists_its_jobs_and_what_failed(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "music").symlink_to(corpus_dir)
    fixed = ["dataset=folder", "dataset.path=empty,music", "logger=csv", *tiny]
    sweep = start(tmp_path, offline, "-m", "hydra/launcher=ray", *fixed)
    _, stderr = sweep.communicate(timeout=300)
    status = {job: row["status"] for job, row in table(tmp_path).items()}
    assert status == {"dataset.path=music": "finished", "dataset.path=empty": "failed"}, stderr


def test_a_job_is_started_again_if_its_folder_knows_it(tmp_path: Path) -> None:
    again = []
    for job in ("7_0", "7_0", "7_0", "8_0"):
        again.append(is_started_again(tmp_path, job))
        note_start(tmp_path, job)
    assert again == [False, True, True, False]


def test_a_job_that_may_not_be_queued_again_is_told_to_have_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("timed-out too many times.")

    def run_out_of_time() -> None:
        raise Stopped(signal.SIGUSR1)

    monkeypatch.setattr(signal, "getsignal", lambda _: refuse)
    reasons: list[str] = []
    assert run_queued(run_out_of_time, reasons.append) is None
    assert reasons[0].startswith("timed-out too many times. It goes on when the sweep does")


@pytest.mark.parametrize(("choice", "extra"), [*command_line.PLUGINS.items()])
def test_what_is_not_installed_is_told_in_one_line(
    choice: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[extra][1], None)
    overrides = OverridesParser.create().parse_overrides([choice])
    with pytest.raises(UserError, match=rf"^{choice}: .*pip install \"noternn\[{extra}\]\""):
        command_line.check_plugins(overrides)


@needs_submitit
@pytest.mark.parametrize("launcher", ["slurm", "submitit_slurm", "submitit_local"])
def test_launchers_of_submitit_compose(launcher: str) -> None:
    command = ["-m", f"hydra/launcher={launcher}", "hydra.launcher.timeout_min=60", "seed=0,1"]
    assert check(command) == command
