"""One run on several devices: it is the run of one with as many lanes, and it ends as a whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from forked import TRAIN, Command
from helpers import TrainTiny, rows_of, same_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.corpus.pieces import Pieces
from noternn.errors import UserError
from noternn.model.checkpoint import load_checkpoint
from noternn.training.datamodule import LaneLoader

MUSIC = "dataset.validation_fraction=0.4"
TWO = (MUSIC, "trainer.devices=2", "trainer.strategy=ddp", "datamodule.batch_size=2")
ONE = (MUSIC, "datamodule.batch_size=4")
FAST = settings(max_examples=30, deadline=None, derandomize=True, database=None)


@FAST
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=9),
    st.integers(1, 4),
    st.integers(1, 45),
    st.integers(1, 4),
    st.none() | st.integers(0, 9),
)
def test_the_rows_of_all_ranks_are_those_of_one_with_all_lanes(
    lengths: list[int], batch_size: int, window_length: int, num_ranks: int, seed: int | None
) -> None:
    rng = np.random.default_rng(0)
    pieces = Pieces.of([rng.integers(1, 17, length) for length in lengths])
    whole = list(LaneLoader(pieces, batch_size * num_ranks, window_length, seed))
    shares = [
        list(LaneLoader(pieces, batch_size, window_length, seed, rank=rank, num_ranks=num_ranks))
        for rank in range(num_ranks)
    ]
    assert all(len(share) == len(whole) for share in shares)
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
        rows = {}
        for rank, part in enumerate(parts):
            assert part.num_lanes * num_ranks == batch.num_lanes
            assert len(part.lane) <= batch_size
            for row, lane in enumerate(part.lane.tolist()):
                rows[lane * num_ranks + rank] = (part.inputs[row].tolist(), part.targets[row].tolist())
        expected = zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)
        assert rows == dict(zip(batch.lane.tolist(), expected, strict=True))


def numbers_of(run_dir: Path) -> list[list[float]]:
    return [[float(value) for value in row.values()] for row in rows_of(run_dir)]


@pytest.fixture(scope="module")
def two_ranks(train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two ranks, without dropout; do not write to it."""
    run = tmp_path_factory.mktemp("two_ranks")
    train_tiny(run, *TWO, "model.dropout=0")
    return run


def test_two_ranks_train_as_one_with_as_many_lanes(
    two_ranks: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    """In the last steps of an epoch only one rank has lanes in which a piece is left."""
    train_tiny(tmp_path, *ONE, "model.dropout=0")
    np.testing.assert_allclose(numbers_of(two_ranks), numbers_of(tmp_path), rtol=1e-5)
    left = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    assert {path.relative_to(two_ranks) for path in two_ranks.rglob("*")} == left


def test_other_ranks_go_on_with_as_many_lanes_and_say_so(
    two_ranks: Path, train_tiny: TrainTiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(two_ranks, run)
    train_tiny(run, *ONE, "model.dropout=0", "trainer.max_epochs=4", f"resume='{run}'")
    assert "it was trained with 2 ranks of 2 lanes: with 1 of 4 it goes on" in caplog.text
    assert len(rows_of(run)) == 4
    assert rows_of(run)[:3] == rows_of(two_ranks)


def test_ranks_with_other_lanes_do_not_go_on(two_ranks: Path, train_tiny: TrainTiny) -> None:
    with pytest.raises(UserError, match="it was trained with 2 ranks of 2 lanes, not 1 of 2"):
        train_tiny(two_ranks, MUSIC, "datamodule.batch_size=2", "model.dropout=0", f"resume='{two_ranks}'")


Process = Command | subprocess.Popen[str]
Start = Callable[..., Process]


@pytest.fixture
def start(corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path) -> Start:
    """`start(*overrides, by=...)`: a run of two ranks that never ends, by train.py or what starts it."""

    def run(*overrides: str, by: tuple[str, ...] = (), **environment: str) -> Process:
        arguments = ["dataset=folder", f"dataset.path={corpus_dir}", *tiny, *TWO, "trainer.accelerator=cpu"]
        arguments += ["logger=csv", "datamodule.num_processes=0", *overrides]
        if not by:
            return Command(arguments, cwd=tmp_path, env=offline | environment)
        return subprocess.Popen(
            [sys.executable, *by, str(TRAIN), *arguments], cwd=tmp_path, env=offline | environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    return run


def follower_of(process: Process) -> int:
    """The process of rank 1."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children}
    (follower,) = (int(pid) for pid, command in commands.items() if "noternn.training.follower" in command)
    return follower


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def wait_for(path: Path, process: Process) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)


ENDLESS = ("trainer.max_epochs=100000", "checkpoint.every_n_epochs=100000")


def test_a_run_of_which_a_rank_is_killed_ends_in_one_line_and_can_go_on(start: Start, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(*ENDLESS, f"hydra.run.dir={run}")
    wait_for(run / "last.ckpt", process)
    follower = follower_of(process)
    os.kill(follower, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    last = err.splitlines()[-1]
    assert last.startswith(f"error: rank 1 of 2, process {follower}, was ended by SIGKILL (")
    assert last.endswith(f"resume={run.name}")
    load_checkpoint(run / "last.ckpt")


@pytest.mark.parametrize(
    ("name", "status"), [("SIGTERM", 143), pytest.param("SIGINT", 130, marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_a_signal_stops_all_ranks_after_the_same_step(
    name: str, status: int, start: Start, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    process = start(*ENDLESS, f"hydra.run.dir={run}")
    wait_for(run / "metrics.csv", process)
    follower = follower_of(process)
    os.killpg(process.pid, getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert err.splitlines()[-1].startswith("stopped; go on with: ")
    assert not is_running(follower)
    epochs = f"trainer.max_epochs={len(rows_of(run)) + 2}"
    train_tiny(run, *TWO, "checkpoint.every_n_epochs=100000", epochs, f"resume='{run}'")
    train_tiny(whole, *TWO, "checkpoint.every_n_epochs=100000", epochs)
    assert rows_of(run) == rows_of(whole)
    assert same_weights(run / "last.ckpt", whole / "last.ckpt")


@pytest.mark.slow
def test_torchrun_starts_the_ranks(start: Start, two_ranks: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    by = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone")
    process = start("model.dropout=0", f"hydra.run.dir={run}", by=by)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert rows_of(run) == rows_of(two_ranks)
    assert len(list(tmp_path.glob("*/metrics.csv"))) == 1
    assert err.count("run folder:") == 1


@pytest.mark.slow
def test_srun_starts_the_ranks(start: Start, two_ranks: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    slurm = {"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "notes", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"}
    slurm |= {"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost"}
    tasks = [
        start("model.dropout=0", f"hydra.run.dir={run}", **slurm, SLURM_PROCID=rank, SLURM_LOCALID=rank)
        for rank in ("0", "1")
    ]
    said = [task.communicate(timeout=120)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert rows_of(run) == rows_of(two_ranks)
    assert said[1] == ""


@pytest.mark.slow
def test_no_rank_outlives_rank_0(start: Start, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(*ENDLESS, f"hydra.run.dir={run}")
    wait_for(run / "metrics.csv", process)
    follower = follower_of(process)
    process.kill()
    process.communicate()
    give_up = time.monotonic() + 30
    while is_running(follower) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not is_running(follower)
