"""Who starts the processes of a run: it itself, or Slurm's srun or torchrun. Imports no torch."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

from noternn.config.training import Trainer
from noternn.errors import UserError

INTERACTIVE = ("bash", "interactive")  # names of Slurm's jobs in which a shell runs, not the tasks
MORE = "see docs/many_devices.md"


class Task(NamedTuple):
    """One of several processes that were started together.

    Args:
        rank: its number, from 0.
        num_ranks: how many there are.
        num_nodes: on how many machines.
        starter: what started them.
    """

    rank: int
    num_ranks: int
    num_nodes: int
    starter: Literal["srun", "torchrun"]


def this_task() -> Task | None:
    """This process among those that srun or torchrun started with it; None if it is alone."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        num_ranks, each = _number("WORLD_SIZE"), _number("LOCAL_WORLD_SIZE")
        task = Task(_number("RANK", 0), num_ranks, -(-num_ranks // max(each, 1)), "torchrun")
    elif "SLURM_STEP_ID" in os.environ and _is_batch():
        num_nodes = _number("SLURM_STEP_NUM_NODES", _number("SLURM_NNODES"))
        task = Task(_number("SLURM_PROCID", 0), _number("SLURM_NTASKS"), num_nodes, "srun")
    else:
        return None
    return task if task.num_ranks > 1 else None


def check_tasks(trainer: Trainer, is_sweep: bool) -> None:
    """Refuse other processes than the settings ask for: some would train alone, or wait for others forever.

    Raises:
        UserError: says what to give instead.
    """
    task, devices, num_nodes = this_task(), trainer.devices, trainer.num_nodes
    wanted = f"trainer.devices={devices} trainer.num_nodes={num_nodes}"
    if task is None:
        _check_alone(trainer)
    elif is_sweep:
        raise UserError(
            f"{task.starter} started {task.num_ranks} processes: a sweep is one, and its jobs start what "
            f"trainer.devices says; {MORE}"
        )
    elif (task.num_ranks, task.num_nodes) != (devices * num_nodes, num_nodes):
        meant = f"trainer.devices={task.num_ranks // task.num_nodes} trainer.num_nodes={task.num_nodes}"
        raise UserError(
            f"{wanted}: {task.starter} started {task.num_ranks} processes on {task.num_nodes} "
            f"machine{'s' * (task.num_nodes > 1)}; give {meant}, or start as many as you want; {MORE}"
        )
    if is_sweep and num_nodes > 1:
        raise UserError(f"trainer.num_nodes={num_nodes}: a job of a sweep is on one machine; {MORE}")


def _check_alone(trainer: Trainer) -> None:
    if trainer.num_nodes > 1:
        raise UserError(
            f"trainer.num_nodes={trainer.num_nodes}: this process is alone; start it on every machine with "
            f"srun or torchrun; {MORE}"
        )
    num_tasks = _number("SLURM_NTASKS")
    if _is_batch() and num_tasks not in (1, trainer.devices):
        raise UserError(
            f"SLURM_NTASKS={num_tasks}: a run with trainer.devices={trainer.devices} is one task; start the "
            "job with --ntasks=1, and the jobs of a sweep with hydra/launcher=slurm"
        )


def _is_batch() -> bool:
    return os.environ.get("SLURM_JOB_NAME") not in (None, *INTERACTIVE)


def _number(name: str, default: int = 1) -> int:
    """A number of the environment."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
