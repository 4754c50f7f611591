"""Processes that srun or torchrun starts: as many as the settings ask for, or one line that says so."""

from __future__ import annotations

import pytest

from noternn.config.training import Trainer
from noternn.errors import UserError
from noternn.training.cluster import Task, check_tasks, this_task

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
SRUN = {"SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "notes", "SLURM_NTASKS": "4", "SLURM_PROCID": "1"}
SRUN |= {"SLURM_STEP_NUM_NODES": "2", "SLURM_NNODES": "3"}
BATCH = {"SLURM_JOB_NAME": "notes", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"}


def trainer(devices: int, num_nodes: int) -> Trainer:
    return Trainer(
        limit_train_batches=None, max_time=None, profiler=None, devices=devices, num_nodes=num_nodes
    )


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("environment", "task"),
    [
        ({}, None),
        (TORCHRUN, Task(3, 4, 2, "torchrun")),
        (SRUN, Task(1, 4, 2, "srun")),
        (SRUN | {"SLURM_NTASKS": "1"}, None),
        (SRUN | {"SLURM_JOB_NAME": "bash"}, None),  # a shell in it, which starts what it likes
        (BATCH, None),  # the script of a batch job is one process
        (TORCHRUN | {"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "RANK": "0"}, None),
    ],
    indirect=["environment"],
)
def test_a_process_knows_who_started_it(task: Task | None) -> None:
    assert this_task() == task


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("environment", "devices", "num_nodes"),
    [({}, 1, 1), ({}, 2, 1), (TORCHRUN, 2, 2), (SRUN, 2, 2), (BATCH, 2, 1)],
    indirect=["environment"],
)
def test_as_many_as_the_settings_ask_for_train(devices: int, num_nodes: int) -> None:
    check_tasks(trainer(devices, num_nodes), is_sweep=False)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("environment", "devices", "num_nodes", "is_sweep", "message"),
    [
        (
            TORCHRUN,
            1,
            1,
            False,
            r"torchrun started 4 .* on 2 machines; give trainer.devices=2 trainer.num",
        ),
        (
            TORCHRUN,
            4,
            1,
            False,
            r"torchrun started 4 .* on 2 machines; give trainer.devices=2 trainer.num",
        ),
        (SRUN, 1, 2, False, r"srun started 4 processes on 2 machines; give trainer.devices=2"),
        (SRUN, 2, 2, True, "a sweep is one"),
        ({}, 2, 2, False, "this process is alone; start it on every machine with srun or torchrun"),
        ({}, 2, 2, True, "start it on every machine"),
        (BATCH, 1, 1, False, "SLURM_NTASKS=2: .* is one task; start the job with --ntasks=1"),
    ],
    indirect=["environment"],
)
def test_others_are_refused_in_one_line(devices: int, num_nodes: int, is_sweep: bool, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        check_tasks(trainer(devices, num_nodes), is_sweep)
    assert "\n" not in str(refused.value)
