"""The other ranks of a run on this machine: started, watched, and ended with it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from lightning_fabric.plugins import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from noternn.config.schema import Config
from noternn.datasets.sources import Source
from noternn.errors import UserError
from noternn.training.cluster import this_task
from noternn.training.messages import how_to_resume
from noternn.training.ranks import part_ways

HERE = "127.0.0.1"
POLL_SECONDS = 0.1
NOTICE_SECONDS = 5.0  # until it is seen which process a broken connection led to
HANG_SECONDS = 20.0  # after the loss of a rank, until one that still waits for it is ended
END_SECONDS = 60.0  # for the other ranks to end by themselves after the last epoch


@dataclass(frozen=True)
class Order:
    """What a follower is told by rank 0.

    Args:
        config: of the run.
        sources: the files of its dataset.
        run_dir: the run's folder, where last.ckpt lies if it goes on.
        rank: of the follower.
        port: on which rank 0 listens.
    """

    config: Config
    sources: Sequence[Source]
    run_dir: Path
    rank: int
    port: int

    def environment(self) -> ClusterEnvironment:
        """How Lightning finds the other ranks."""
        return StartedHere(self.rank, self.config.trainer.devices, self.port)


class StartedHere(LightningEnvironment):
    """Ranks on one machine that `started_ranks` has started.

    Args:
        rank: of this process.
        num_ranks: how many there are.
        port: on which rank 0 listens.
    """

    def __init__(self, rank: int, num_ranks: int, port: int) -> None:
        super().__init__()
        self.set_global_rank(rank)
        self.set_world_size(num_ranks)
        self._main_port = port

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts none."""
        return True

    @property
    def main_address(self) -> str:
        """Of rank 0."""
        return HERE

    @property
    def main_port(self) -> int:
        """Of rank 0."""
        return self._main_port

    def local_rank(self) -> int:
        """The rank on this machine."""
        return self.global_rank()

    def node_rank(self) -> int:
        """Of this machine."""
        return 0


@contextmanager
def started_ranks(
    config: Config, sources: Sequence[Source], run_dir: Path
) -> Iterator[ClusterEnvironment | None]:
    """How Lightning finds the other ranks of a run in this block; those that nobody else starts are started.

    Raises:
        UserError: if one of them was lost, which ends the run.
    """
    task = this_task()
    if config.trainer.devices * config.trainer.num_nodes == 1:
        yield None
    elif task is not None:
        with _parting():
            yield environment_of(task.starter, config.trainer.devices)
    else:
        with _within_this_machine(), _parting(), _Followers(config, sources, run_dir) as followers:
            yield followers.environment


def environment_of(starter: str, devices: int) -> ClusterEnvironment:
    """How Lightning finds the ranks that srun or torchrun has started.

    Args:
        starter: which of them.
        devices: ranks of a machine.
    """
    if starter == "torchrun":
        return TorchElasticEnvironment()
    os.environ.setdefault(
        "SLURM_NTASKS_PER_NODE", str(devices)
    )  # Lightning wants it; set by some options only
    return SLURMEnvironment(auto_requeue=False)  # the run does it


@contextmanager
def _within_this_machine() -> Iterator[None]:
    """Let gloo use no network in this block, whatever this machine is called there."""
    name = "GLOO_SOCKET_IFNAME"
    if name in os.environ or sys.platform != "linux":
        yield
        return
    os.environ[name] = "lo"
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def _parting() -> Iterator[None]:
    try:
        yield
    finally:
        part_ways()


class _Followers:
    """The processes of ranks 1 and on; each ends when this one does, by the end of what it reads."""

    def __init__(self, config: Config, sources: Sequence[Source], run_dir: Path) -> None:
        num_ranks, port = config.trainer.devices, find_free_network_port()
        self.orders = [Order(config, sources, run_dir, rank, port) for rank in range(1, num_ranks)]
        self.run_dir = run_dir
        self.environment = StartedHere(0, num_ranks, port)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._said: list[IO[bytes]] = []
        self._is_over = threading.Event()

    def __enter__(self) -> _Followers:
        for order in self.orders:
            said = tempfile.TemporaryFile()
            self._said.append(said)
            self._processes.append(_start(order, said))
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._is_over.set()
        reason = None
        if isinstance(error, Exception) and not isinstance(error, UserError):
            reason = self._lost_within(NOTICE_SECONDS)
        self._end(END_SECONDS if error is None else 0.0)
        if reason:
            raise UserError(f"{reason}; {how_to_resume(self.run_dir)}") from error

    def _lost(self) -> str | None:
        """Which rank has ended before the run was over, and why; None if none has."""
        for order, process, said in zip(self.orders, self._processes, self._said, strict=True):
            if process.poll():
                which = f"rank {order.rank} of {len(self.orders) + 1}, process {process.pid},"
                return f"{which} {_why(process, said)}"
        return None

    def _lost_within(self, seconds: float) -> str | None:
        give_up = time.monotonic() + seconds
        while (reason := self._lost()) is None and time.monotonic() < give_up:
            time.sleep(POLL_SECONDS)
        return reason

    def _watch(self) -> None:
        """End this process if it waits for a lost rank: a GPU's library may wait forever."""
        while not self._is_over.wait(POLL_SECONDS):
            reason = self._lost()
            if reason and not self._is_over.wait(HANG_SECONDS):
                self._leave(reason)

    def _leave(self, reason: str) -> NoReturn:
        print(f"error: {reason}; {how_to_resume(self.run_dir)}", file=sys.stderr, flush=True)
        self._end(0.0)
        os._exit(1)

    def _end(self, seconds: float) -> None:
        """Wait for the followers, and end those that take longer."""
        give_up = time.monotonic() + seconds
        for process in self._processes:
            try:
                process.wait(max(0.0, give_up - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
        for said in self._said:
            said.close()


def _start(order: Order, said: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a follower, which writes what goes wrong into a file."""
    package = str(Path(__file__).parents[2])  # it imports what this process did, installed or not
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "noternn.training.follower"], stdin=subprocess.PIPE, stdout=said, stderr=said,
        env=os.environ | {"PYTHONPATH": path}, start_new_session=True,  # a Ctrl-C reaches rank 0 alone
    )  # fmt: skip
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it is lost already, which is told when it is missed
        pickle.dump(order, process.stdin)
        process.stdin.flush()
    return process


def _why(process: subprocess.Popen[bytes], said: IO[bytes]) -> str:
    """Why a process has ended."""
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return f"was ended by {name} (was there too little memory?)"
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return f"failed: {lines[-1].removeprefix('error: ')}" if lines else "failed without a word"
