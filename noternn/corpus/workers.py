"""Processes that share a list of tasks; one that dies or takes too long costs its task, and no other."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Generic, Self, TypeVar

from noternn.errors import UserError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

Task = TypeVar("Task")
Result = TypeVar("Result")

TASKS_AT_ONCE = 8  # that a process is given, so that it need not wait for the next
START_SECONDS = 300.0  # that a process may take to begin, on a busy machine
MAX_BYTES = 4 << 30  # of memory that a process may take; more is a MemoryError in it


@dataclass(frozen=True)
class Lost:
    """Why there is no result: in words that go after the name of the task."""

    reason: str


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    is_ready: bool = False
    tasks: deque[int] = field(default_factory=deque)  # given and not answered
    since: float = field(default_factory=time.monotonic)  # its last answer


class Workers(Generic[Task, Result]):
    """Processes that call one function; a context that ends them.

    Args:
        function: takes a task; it and what it returns can be pickled.
        num_processes: how many, at least 1.
        max_seconds: after which a task is given up and its process ended.
    """

    def __init__(self, function: Callable[[Task], Result], num_processes: int, max_seconds: float) -> None:
        self.function = function
        self.num_processes = num_processes
        self.max_seconds = max_seconds
        self._workers: list[_Worker] = []
        # Forking would be unsafe where torch's threads already run.
        self._context = multiprocessing.get_context("spawn")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            _end(worker)
        self._workers.clear()

    def map(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result | Lost]]:
        """Every task with its result, in the order in which they are done.

        Raises:
            UserError: if the processes cannot be started.
        """
        waiting = deque(range(len(tasks)))
        num_left = len(tasks)
        while num_left:
            while len(self._workers) < min(self.num_processes, num_left):
                self._workers.append(self._start())
            for worker in self._workers:
                self._give(worker, waiting, tasks)
            for number, result in self._answers(waiting):
                num_left -= 1
                yield tasks[number], result

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self.function), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _give(self, worker: _Worker, waiting: deque[int], tasks: Sequence[Task]) -> None:
        """The next tasks, if it has none."""
        if worker.tasks or not waiting:
            return
        fair = max(1, min(TASKS_AT_ONCE, len(waiting) // (2 * self.num_processes)))
        worker.tasks.extend(waiting.popleft() for _ in range(fair))
        worker.since = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):  # it died; `_answers` sees to it
            worker.connection.send([tasks[i] for i in worker.tasks])

    def _answers(self, waiting: deque[int]) -> Iterator[tuple[int, Result | Lost]]:
        """What the processes answer next; tasks given to a process that is lost go back to the others."""
        busy = {worker.connection: worker for worker in self._workers if worker.tasks}
        soonest = min(self._deadline(worker) for worker in busy.values())
        ready = wait(list(busy), timeout=max(0.0, soonest - time.monotonic()) + 0.01)
        for connection in ready:
            assert isinstance(connection, Connection)
            worker = busy[connection]
            try:
                answer = connection.recv()
            except (EOFError, ConnectionResetError):
                yield self._lose(worker, waiting, "the process that read it died (out of memory?)")
                continue
            worker.since = time.monotonic()
            if worker.is_ready:
                yield worker.tasks.popleft(), answer
            worker.is_ready = True  # the first answer says no more than that
        for worker in busy.values():
            if worker.connection not in ready and time.monotonic() > self._deadline(worker):
                yield self._lose(
                    worker,
                    waiting,
                    f"reading it took more than {self.max_seconds:g} seconds (dataset.limits.max_seconds)",
                )

    def _deadline(self, worker: _Worker) -> float:
        return worker.since + (self.max_seconds if worker.is_ready else START_SECONDS)

    def _lose(self, worker: _Worker, waiting: deque[int], reason: str) -> tuple[int, Lost]:
        """End a process; the task that it was at is lost, the others go back."""
        _end(worker)
        self._workers.remove(worker)
        if not worker.is_ready:
            raise UserError(
                "the processes that read files cannot be started; datamodule.num_processes=0 reads them "
                'without, and a script of your own needs if __name__ == "__main__": before what it does'
            )
        lost = worker.tasks.popleft()
        waiting.extendleft(reversed(worker.tasks))
        return lost, Lost(reason)


def _work(connection: Connection, function: Callable[[Task], Result]) -> None:
    """What a process does until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = MAX_BYTES if hard == resource.RLIM_INFINITY else min(MAX_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        connection.send(None)
        while True:
            for task in connection.recv():
                connection.send(function(task))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.connection.close()
