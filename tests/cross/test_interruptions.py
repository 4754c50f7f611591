"""Processes that are stopped, killed or run out of disk: what is left, what they say, and how they go on."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import TRAIN, Command
from helpers import TrainTiny, records, rows_of, same_weights

from noternn.model.checkpoint import load_checkpoint

ENDLESS = "trainer.max_epochs=100000"


Start = Callable[..., Command]


@pytest.fixture
def start(corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path) -> Start:
    """`start(*overrides)`: train.py in a process group of its own; `alone`: with nothing but these."""

    def run(*overrides: str, limit: int | None = None, alone: bool = False, **environment: str) -> Command:
        flags = [o for o in overrides if o.startswith("-")]
        arguments = [*flags, "dataset=folder", f"dataset.path={corpus_dir}", *tiny, "trainer.accelerator=cpu"]
        arguments += ["logger=csv", *(o for o in overrides if o not in flags)]
        if alone:
            arguments = [*overrides]
        return Command(arguments, cwd=tmp_path, env=offline | environment, largest_file=limit)

    return run


def wait_for(path: Path, process: Command) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)


def assert_never_stopped(train_tiny: TrainTiny, run: Path, whole: Path, *overrides: str) -> None:
    """Go on for two epochs; it must be the run that never stopped."""
    epochs = f"trainer.max_epochs={len(rows_of(run)) + 2}"
    train_tiny(run, epochs, "checkpoint.every_n_epochs=100000", *overrides, f"resume='{run}'")
    train_tiny(whole, epochs, "checkpoint.every_n_epochs=100000", *overrides)
    assert rows_of(run) == rows_of(whole)
    assert same_weights(run / "last.ckpt", whole / "last.ckpt")


@pytest.mark.parametrize(
    ("name", "status"), [pytest.param("SIGINT", 130, marks=pytest.mark.slow), ("SIGTERM", 143)]
)
def test_a_stopped_run_says_how_to_go_on_and_then_is_the_run_that_never_stopped(
    name: str, status: int, start: Start, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "stopped"
    process = start(ENDLESS, f"hydra.run.dir={run}", "logger=wandb", "checkpoint.every_n_epochs=100000")
    wait_for(run / "metrics.csv", process)
    os.killpg(process.pid, getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert err.splitlines()[-1].endswith(f" {TRAIN} resume=runs/stopped")
    assert "Traceback" not in err
    assert (run / "curves.png").exists()
    (log,) = (run / "wandb").glob("*.wandb")
    assert any(record.HasField("exit") for record in records(log))  # it was closed
    assert_never_stopped(train_tiny, run, tmp_path / "whole")


def test_a_program_that_is_stopped_before_it_trains_ends_with_the_status_alone(
    start: Start, tmp_path: Path
) -> None:
    process = start(ENDLESS, "hydra.run.dir=run")
    wait_for(tmp_path / "run" / ".owner", process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in err


def test_slurm_starts_a_job_again_and_it_goes_on_with_its_run(
    start: Start, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    scontrol = programs / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    slurm = {
        "PATH": f"{programs}:{os.environ['PATH']}", "SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "notes",
        "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
    }  # fmt: skip
    options = ("trainer.max_epochs=15", "checkpoint.every_n_epochs=100")
    process = start(*options, **slurm)
    while not list(tmp_path.glob("runs/*/metrics.csv")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 138, err
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    assert err.splitlines()[-1] == "Slurm starts the job again, and it goes on by itself"
    (run,) = tmp_path.glob("runs/*_folder_adamw")
    assert len(rows_of(run)) < 15
    again = start(*options, **slurm, SLURM_RESTART_COUNT="1")
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {run.name}
    train_tiny(tmp_path / "whole", *options)
    assert rows_of(run) == rows_of(tmp_path / "whole")


@pytest.mark.slow
def test_a_signal_ends_a_sweep_after_saving_the_job_in_flight(
    start: Start, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    process = start("-m", "seed=0,1,2", "trainer.max_epochs=40", "hydra.sweep.dir=sweep")
    job = tmp_path / "sweep" / "seed=1"
    wait_for(job / "metrics.csv", process)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert err.splitlines()[-1].endswith(f" {TRAIN} resume=sweep/seed=1")
    assert {path.name for path in (tmp_path / "sweep").glob("seed*")} == {"seed=0", "seed=1"}
    assert (tmp_path / "sweep" / "seed=0" / "summary.json").exists()
    with (tmp_path / "sweep" / "sweep.csv").open(newline="") as file:
        listed = [(row["job"], row["status"], row["num_epochs"]) for row in csv.DictReader(file)]
    assert listed == [("seed=0", "finished", "40"), ("seed=1", "stopped", str(len(rows_of(job))))]
    assert_never_stopped(train_tiny, job, tmp_path / "whole", "seed=1")


# kill -9


class Killed:
    """A run whose process is killed at random moments, and each time goes on in another process.

    The processes are forks of one that has the slow imports behind it. They save at every step, and every
    other one makes the token cache.
    """

    def __init__(self, corpus: Path, home: Path, tiny: list[str]) -> None:
        self.run, self.cache = home / "run", home / "cache"
        self.overrides = [
            "dataset=folder", f"dataset.path={corpus}", "logger=csv", "trainer.accelerator=cpu", *tiny,
            f"datamodule.cache_dir={self.cache}", "datamodule.num_processes=0",
        ]  # fmt: skip
        self.run.mkdir()
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["noternn.training.run", "hydra"])

    def live(self, seconds: float) -> None:
        """Train for some time, then kill."""
        resume = [f"resume={self.run}"] if (self.run / "last.ckpt").exists() else []
        options = [ENDLESS, "checkpoint.every_minutes=1e-9", "checkpoint.every_n_epochs=3", *resume]
        process = self.context.Process(target=train_in_fork, args=(self.run, [*self.overrides, *options]))
        process.start()
        process.join(seconds)
        assert process.exitcode is None, "it ended by itself"
        process.kill()
        process.join()

    def check(self) -> None:
        """Whatever is there is whole."""
        for path in self.run.rglob("*.ckpt"):
            load_checkpoint(path)  # raises, also where a checksum is wrong
        if (self.run / "metrics.csv").exists():
            assert all(float(row["val/nll"]) > 0 for row in rows_of(self.run))


def train_in_fork(run: Path, overrides: list[str]) -> None:
    from hydra import compose, initialize_config_dir

    from noternn.config import schema as config
    from noternn.datasets.configured import sources_of
    from noternn.training.run import train

    torch.set_num_threads(1)
    config.register()
    with initialize_config_dir(str(config.CONF_DIR), version_base="1.3"):
        parsed = config.parse(compose("config", overrides))
    train(parsed, sources_of(parsed.dataset), run)


@pytest.mark.parametrize("num_kills", [pytest.param(100, marks=pytest.mark.slow), 3])
def test_a_run_that_is_killed_at_any_moment_goes_on(
    num_kills: int, corpus_dir: Path, tiny: list[str], train_tiny: TrainTiny, tmp_path: Path
) -> None:
    killed = Killed(corpus_dir, tmp_path, tiny)
    rng = np.random.default_rng(num_kills)
    steps = [0]
    for i in range(num_kills + 50):
        if i >= num_kills and (killed.run / "metrics.csv").exists():
            break  # on a busy machine the first epoch takes longer than some lives
        if i % 2:
            shutil.rmtree(killed.cache, ignore_errors=True)
        killed.live(float(rng.uniform(0.3, 4)))
        killed.check()
        if (killed.run / "last.ckpt").exists():
            steps.append(load_checkpoint(killed.run / "last.ckpt")["global_step"])
    print(f"{i} kills; the last step that was saved after each: {steps}")
    assert steps == sorted(steps)
    assert steps[-1] > 0
    assert_never_stopped(train_tiny, killed.run, tmp_path / "whole")
    assert not list(killed.run.rglob(".*.tmp"))


# Disks


def test_a_full_disk_is_told_in_one_line_and_leaves_the_last_checkpoint(start: Start, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start("trainer.max_epochs=1", "checkpoint.every_n_epochs=100", "hydra.run.dir=run")
    process.communicate(timeout=120)
    before = {path.name: path.read_bytes() for path in run.glob("*.ckpt")}
    limit = min(map(len, before.values())) // 2  # as if so much were left on the disk
    full = start("resume=run", "trainer.max_epochs=5", "checkpoint.every_n_epochs=100", limit=limit)
    _, err = full.communicate(timeout=120)
    assert full.returncode == 1, err
    assert "Traceback" not in err
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert (
        "run/best.ckpt: cannot be written (File too large); what was written before is intact; make room, "
        in line
    )
    assert line.endswith(f" {TRAIN} resume=run")
    assert {path.name: path.read_bytes() for path in run.glob("*.ckpt")} == before
    assert not list(run.glob(".*.tmp"))


@pytest.mark.slow
def test_a_disk_that_is_full_in_the_first_epoch_leaves_a_run_that_starts_over_as_is_advised(
    start: Start, tmp_path: Path
) -> None:
    full = start("hydra.run.dir=run", "trainer.max_epochs=1", limit=30_000)
    _, err = full.communicate(timeout=120)
    assert full.returncode == 1, err
    assert "cannot be written (File too large); make room, then start over with: " in err.splitlines()[-1]
    command = err.splitlines()[-1].rpartition("train.py ")[2]
    again = start(command, alone=True)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    whole = start("hydra.run.dir=whole", "trainer.max_epochs=1")
    whole.communicate(timeout=120)
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


def test_a_cache_that_cannot_be_written_is_told_and_not_needed(
    train_tiny: TrainTiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()  # in place of a folder: nothing can be written into it, not even by root
    train_tiny(tmp_path / "run", "trainer.max_epochs=1", f"datamodule.cache_dir={tmp_path / 'file'}")
    train_tiny(tmp_path / "other", "trainer.max_epochs=1")
    assert "the token cache was not written" in caplog.text
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "other")


def test_a_cache_on_a_full_disk_is_told_and_not_needed(start: Start, tmp_path: Path) -> None:
    process = start("hydra.run.dir=run", f"datamodule.cache_dir={tmp_path}/cache", limit=3000)
    _, err = process.communicate(timeout=120)
    assert "the token cache was not written" in err
    assert "epoch   1/3" in err  # then there is no room for a checkpoint
    assert "run/best.ckpt: cannot be written (File too large)" in err.splitlines()[-1]
    assert process.returncode == 1
    assert "Traceback" not in err


def test_two_runs_may_make_one_cache_at_once(start: Start, tmp_path: Path) -> None:
    options = (
        "trainer.max_epochs=2",
        "checkpoint.every_n_epochs=100",
        f"datamodule.cache_dir={tmp_path / 'cache'}",
    )
    processes = [start(*options, f"hydra.run.dir={name}") for name in ("a", "b")]
    for process in processes:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
