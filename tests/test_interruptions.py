"""Processes that are stopped, killed or run out of disk: what is left, what they say, and how they go on."""

from __future__ import annotations

import csv
import multiprocessing
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from test_sweep import records  # what an offline wandb run holds

from noternn.config import CONF_DIR
from noternn.generation import load_checkpoint

TRAIN = CONF_DIR.parent / "train.py"
ENDLESS = "trainer.max_epochs=100000"


class TrainTiny(Protocol):
    def __call__(self, run_dir: Path, *overrides: str, folder: Path | None = None) -> dict[str, Any]: ...


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path) -> Start:
    """`start(*overrides, **environment)`: train.py in a process group of its own."""

    def run(*overrides: str, limit: int | None = None, **environment: str) -> subprocess.Popen[str]:
        def limit_files() -> None:
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        command = [sys.executable, str(TRAIN), "dataset=folder", f"dataset.path={corpus_dir}", *tiny]
        command += ["trainer.accelerator=cpu", "logger=csv", *overrides]
        return subprocess.Popen(
            command, cwd=tmp_path, env=offline | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True, preexec_fn=limit_files,
        )  # fmt: skip

    return run


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)


def rows_of(run_dir: Path) -> list[dict[str, str]]:
    """metrics.csv without the seconds."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def same_weights(a: Path, b: Path) -> bool:
    first, second = (torch.load(path, weights_only=True)["state_dict"] for path in (a, b))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def assert_never_stopped(train_tiny: TrainTiny, run: Path, whole: Path) -> None:
    """Go on for two epochs; it must be the run that never stopped."""
    epochs = f"trainer.max_epochs={len(rows_of(run)) + 2}"
    train_tiny(run, epochs, "checkpoint.every_n_epochs=100000", f"resume={run}")
    train_tiny(whole, epochs, "checkpoint.every_n_epochs=100000")
    assert rows_of(run) == rows_of(whole)
    assert same_weights(run / "last.ckpt", whole / "last.ckpt")


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stopped_run_says_how_to_go_on_and_then_is_the_run_that_never_stopped(
    name: str, status: int, start: Start, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "stopped"
    process = start(ENDLESS, f"hydra.run.dir={run}", "logger=wandb", "checkpoint.every_n_epochs=100000")
    wait_for(run / "metrics.csv", process)
    os.killpg(process.pid, getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert err.splitlines()[-1] == "stopped; go on with: python train.py resume=runs/stopped"
    assert "Traceback" not in err
    assert (run / "curves.png").exists()
    (log,) = (run / "wandb").glob("*.wandb")
    assert any(record.HasField("exit") for record in records(log))  # it was closed
    assert_never_stopped(train_tiny, run, tmp_path / "whole")


def test_a_run_that_is_stopped_before_its_first_step_says_so(start: Start, tmp_path: Path) -> None:
    process = start(ENDLESS, "hydra.run.dir=run")
    wait_for(tmp_path / "run" / ".hydra", process)
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
    options = ("trainer.max_epochs=40", "checkpoint.every_n_epochs=100")
    process = start(*options, **slurm)
    while not list(tmp_path.glob("runs/*/metrics.csv")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 138, err
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    assert err.splitlines()[-1] == "Slurm starts the job again, and it goes on by itself"
    (run,) = tmp_path.glob("runs/*_folder_adam")
    assert len(rows_of(run)) < 40
    again = start(*options, **slurm, SLURM_RESTART_COUNT="1")
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {run.name}
    train_tiny(tmp_path / "whole", *options)
    assert rows_of(run) == rows_of(tmp_path / "whole")


def test_a_signal_ends_a_sweep_after_saving_the_job_in_flight(
    start: Start, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    process = start("-m", "seed=0,1,2", "trainer.max_epochs=1,100000", "hydra.sweep.dir=sweep")
    job = tmp_path / "sweep" / "seed=0,trainer.max_epochs=100000"
    wait_for(job / "metrics.csv", process)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    line = "stopped; go on with: python train.py 'resume=sweep/seed=0,trainer.max_epochs=100000'"
    assert err.splitlines()[-1] == line
    jobs = {path.name for path in (tmp_path / "sweep").glob("seed*")}
    assert jobs == {"seed=0,trainer.max_epochs=1", job.name}
    assert (tmp_path / "sweep" / "seed=0,trainer.max_epochs=1" / "summary.json").exists()
    assert_never_stopped(train_tiny, job, tmp_path / "whole")


# kill -9


def train_until_killed(train_tiny: TrainTiny, run: Path, *overrides: str) -> None:
    """What a process does that will be killed: it saves as often as it can."""
    resume = [f"resume={run}"] if (run / "last.ckpt").exists() else []
    (run / "metrics.csv").exists() and not resume and (run / "metrics.csv").unlink()
    options = [ENDLESS, "checkpoint.every_minutes=1e-9", "checkpoint.every_n_epochs=3", "datamodule.num_processes=0"]
    train_tiny(run, *options, *overrides, *resume)
