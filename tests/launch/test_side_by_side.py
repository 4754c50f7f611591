"""`hydra/launcher=joblib`: a sweep's jobs side by side, in processes that live and die alone."""

from __future__ import annotations

import csv
import os
import signal
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

import forked
import pytest
from forked import TRAIN, Command
from helpers import records, rows_of

JOBS = {f"optimizer={name},seed={seed}" for name in ("sgd", "adam") for seed in (0, 1)}
needs_joblib = pytest.mark.skipif(
    not any(distribution.name == "hydra-joblib-launcher" for distribution in distributions()),
    reason='needs the extra: pip install "noternn[joblib]"',
)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="jobs share joblib's processes elsewhere")


def start(home: Path, corpus_dir: Path, *overrides: str, environment: dict[str, str]) -> Command:
    """Four jobs, two at a time."""
    fixed = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "optimizer=sgd,adam", "seed=0,1"]
    fixed += ["dataset=folder", f"dataset.path={corpus_dir}", "tokenizer.velocity=false", *overrides]
    return Command(fixed, cwd=home, env=environment)


def table(home: Path) -> dict[str, dict[str, str]]:
    (path,) = home.glob("runs/*/sweep.csv")
    with path.open(newline="") as file:
        return {row["job"]: row for row in csv.DictReader(file)}


def wait_for_two_jobs(home: Path, sweep: Command) -> None:
    """Until two jobs have saved an epoch."""
    while len(list(home.glob("runs/*/*/last.ckpt"))) < 2:
        assert sweep.poll() is None, sweep.communicate()[1]
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def done(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, str]:
    """A sweep that ended well: where it was started, and what it printed."""
    home = tmp_path_factory.mktemp("side_by_side")
    sweep = start(home, corpus_dir, *tiny, environment=offline)
    stdout, stderr = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, stderr
    return home, stdout, stderr


@needs_joblib
def test_jobs_side_by_side_have_folders_and_rows_of_their_own(done: tuple[Path, str, str]) -> None:
    home, stdout, _ = done
    rows = table(home)
    assert set(rows) == JOBS
    assert {row["status"] for row in rows.values()} == {"finished"}
    assert {path.parent.name for path in home.glob("runs/*/*/sample.mid")} == JOBS
    assert stdout.rstrip().splitlines()[-1].startswith("table: ")


@needs_joblib
def test_jobs_side_by_side_that_begin_at_once_read_their_corpus_once(done: tuple[Path, str, str]) -> None:
    logs = [path.read_text() for path in done[0].glob("runs/*/*/train.log")]
    assert len(logs) == 4
    assert "".join(logs).count("reading 10 files") == 1


@needs_joblib
def test_jobs_side_by_side_are_closed_wandb_runs_of_one_group(done: tuple[Path, str, str]) -> None:
    logs = [list(records(path)) for path in done[0].glob("runs/*/wandb/offline-run-*/*.wandb")]
    runs = [record.run for log in logs for record in log if record.HasField("run")]
    (sweep,) = done[0].glob("runs/*")
    assert {run.run_group for run in runs} == {sweep.name}
    assert sorted(run.display_name for run in runs) == sorted(JOBS)
    assert all(log[-1].HasField("exit") for log in logs)


@needs_joblib
def test_jobs_side_by_side_say_when_they_begin_and_what_they_came_to(done: tuple[Path, str, str]) -> None:
    home, stdout, stderr = done
    lines = stderr.splitlines()
    for job, row in table(home).items():
        assert sum(line.startswith(f"{job}: begins, job ") for line in lines) == 1
        best = (
            f"{job}: finished, best val/nll {float(row['val/nll']):.4f} at epoch {row['best_epoch']} of 3, "
        )
        assert sum(line.startswith(best) for line in lines) == 1
    assert "4 of 4 jobs done" in stderr
    assert "train/nll" not in stderr  # those lines stand in the logs of the jobs
    assert len([line for line in stdout.splitlines() if line]) == 6  # the table


@needs_joblib
def test_a_job_side_by_side_comes_to_the_same_as_alone(
    done: tuple[Path, str, str], corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path
) -> None:
    alone = [f"dataset.path={corpus_dir}", "dataset=folder", "tokenizer.velocity=false", "optimizer=sgd"]
    alone += ["seed=1", "hydra.run.dir=run"]
    forked.run([*alone, *tiny, "logger=csv"], cwd=tmp_path, env=offline, check=True)
    (beside,) = done[0].glob("runs/*/optimizer=sgd,seed=1/metrics.csv")
    assert rows_of(beside.parent) == rows_of(tmp_path / "run")


@needs_joblib
@on_linux
def test_a_job_that_is_killed_costs_no_other(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path
) -> None:
    more = [*tiny, "logger=csv", "trainer.max_epochs=8", "checkpoint.every_n_epochs=100"]
    sweep = start(tmp_path, corpus_dir, *more, environment=offline)
    wait_for_two_jobs(tmp_path, sweep)
    job = next(job for worker in children(sweep.pid) for job in children(worker))
    os.kill(job, signal.SIGKILL)
    _, stderr = sweep.communicate(timeout=300)
    assert sweep.returncode == 1, stderr
    rows = table(tmp_path)
    assert set(rows) == JOBS
    (failed,) = (row for row in rows.values() if row["status"] != "finished")
    assert failed["error"].startswith("its process was ended by SIGKILL")
    assert f"failed: {failed['job']}: " in stderr


@needs_joblib
@on_linux
@pytest.mark.slow
def test_a_process_of_joblib_that_is_killed_costs_no_job(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path
) -> None:
    more = [*tiny, "logger=csv", "trainer.max_epochs=20", "checkpoint.every_n_epochs=100"]
    sweep = start(tmp_path, corpus_dir, *more, environment=offline)
    wait_for_two_jobs(tmp_path, sweep)
    worker = next(worker for worker in children(sweep.pid) if children(worker))
    os.kill(worker, signal.SIGKILL)
    _, stderr = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, stderr
    assert "jobs in flight go on from their last checkpoints" in stderr
    rows = table(tmp_path)
    assert set(rows) == JOBS
    assert {(row["status"], row["num_epochs"]) for row in rows.values()} == {("finished", "20")}
    assert not list(tmp_path.glob("runs/*/.again"))


@needs_joblib
@on_linux
@pytest.mark.parametrize(
    ("signum", "status"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_a_signal_ends_the_sweep_once_its_jobs_are_saved(
    corpus_dir: Path,
    tiny: list[str],
    offline: dict[str, str],
    tmp_path: Path,
    signum: signal.Signals,
    status: int,
) -> None:
    more = [*tiny, "logger=csv", "trainer.max_epochs=100000", "checkpoint.every_n_epochs=100000"]
    sweep = start(tmp_path, corpus_dir, *more, environment=offline)
    wait_for_two_jobs(tmp_path, sweep)
    if signum == signal.SIGINT:  # a terminal sends Ctrl-C to all
        os.killpg(sweep.pid, signum)
    else:
        sweep.send_signal(signum)
    _, stderr = sweep.communicate(timeout=60)
    assert sweep.returncode == status, stderr
    assert stderr.count(": stopped after epoch ") == 2
    logs = "".join(path.read_text() for path in tmp_path.glob("runs/*/*/train.log"))
    assert logs.count(f"{TRAIN} resume=") == 2
    assert not list(tmp_path.glob("runs/*/.stop"))
