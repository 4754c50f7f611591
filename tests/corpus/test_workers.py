"""Tasks in processes: one that dies, hangs or cannot begin costs what it must and no more."""

from __future__ import annotations

import os
import time

import pytest

from noternn.corpus.workers import TASKS_AT_ONCE, Lost, Workers
from noternn.errors import UserError


def do(task: int | str) -> int:
    if task == "die":
        os._exit(1)
    if task == "hang":
        time.sleep(600)
    if task == "fill the memory":
        try:
            return len(bytearray(16 << 30))
        except MemoryError:
            return -1
    assert isinstance(task, int)
    return task * task


class CannotBegin:
    """What a process is given cannot be unpickled in it."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (1,)

    def __call__(self, task: int) -> int:
        return task


def test_every_task_has_its_result() -> None:
    with Workers(do, 2, max_seconds=60) as workers:
        for num_tasks in (50, 1, 0):
            assert dict(workers.map(range(num_tasks))) == {i: i * i for i in range(num_tasks)}


@pytest.mark.parametrize(
    ("bad", "reason"), [("die", "the process that read it died"), ("hang", "took more than 1 seconds")]
)
def test_task_that_ends_its_process_is_lost_and_no_other(bad: str, reason: str) -> None:
    tasks: list[int | str] = [*range(2 * TASKS_AT_ONCE), bad, *range(100, 140), bad]
    with Workers(do, 2, max_seconds=1) as workers:
        results = list(workers.map(tasks))
    assert len(results) == len(tasks)
    lost = [(task, result.reason) for task, result in results if isinstance(result, Lost)]
    assert [task for task, _ in lost] == [bad, bad]
    assert all(reason in said for _, said in lost)
    assert all(result == do(task) for task, result in results if task != bad)


def test_only_tasks_that_die_are_all_lost() -> None:
    with Workers(do, 2, max_seconds=60) as workers:
        assert all(isinstance(result, Lost) for _, result in workers.map(["die"] * 5))


def test_memory_is_bounded() -> None:
    pytest.importorskip("resource", reason="this system has no limits for processes")
    with Workers(do, 1, max_seconds=60) as workers:
        assert list(workers.map(["fill the memory", 3])) == [("fill the memory", -1), (3, 9)]


def test_processes_that_cannot_begin_are_an_error_not_a_loop() -> None:
    with (
        Workers(CannotBegin(), 2, max_seconds=60) as workers,
        pytest.raises(UserError, match=r"cannot be started; datamodule\.num_processes=0.* needs if __name__"),
    ):
        list(workers.map([1, 2, 3]))
