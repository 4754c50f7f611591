"""Run train.py in processes of their own, forked by a server that has imported torch already.

Such a process is a real one: it has its own working folder, environment, streams, group and signals, and
can be killed. Only the imports, most of the time of a small run, are done once for all tests of a process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import resource
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

TRAIN = Path(__file__).parents[1] / "train.py"
NUM_STREAMS = 3  # standard output, standard error, and what becomes of the process
LENGTH = struct.Struct("!I")  # of a request, in bytes

# The side of the tests


class Command:
    """What `subprocess.Popen(..., text=True, start_new_session=True)` with two pipes is, as far as tests ask.

    Args:
        arguments: of train.py.
        cwd: the folder in which it runs.
        env: its whole environment.
        largest_file: in bytes; a longer one cannot be written. None for no limit.
        script: what is run in the place of train.py.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        cwd: Path,
        env: Mapping[str, str],
        largest_file: int | None = None,
        script: Path = TRAIN,
    ) -> None:
        self.args = [sys.executable, str(script), *map(str, arguments)]
        self.returncode: int | None = None
        pipes = [os.pipe() for _ in range(NUM_STREAMS)]
        request = {
            "arguments": self.args, "cwd": str(cwd), "env": dict(env), "largest_file": largest_file,
        }  # fmt: skip
        _ask(_server(), json.dumps(request).encode(), [write for _, write in pipes])
        for _, write in pipes:
            os.close(write)
        self.stdout, self.stderr = (os.fdopen(read, encoding="utf-8") for read, _ in pipes[:2])
        self._fate = os.fdopen(pipes[2][0], "rb", buffering=0)
        self.pid: int = LENGTH.unpack(self._fate.read(LENGTH.size))[0]

    def poll(self) -> int | None:
        """The status of a process that has ended, None of one that runs."""
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        """The status, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it runs still after these seconds.
        """
        status = self._wait(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it writes until it ends; as `wait`, and nothing is lost if it is asked again."""
        began = time.monotonic()
        for reader in self._readers:
            reader.join(None if timeout is None else max(0, began + timeout - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait()
        return self._said[0], self._said[1]

    def send_signal(self, number: int) -> None:
        """Send a signal to it alone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.wait()

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._fate], [], [], timeout)[0]:
            answer = self._fate.read(LENGTH.size)
            assert answer, "the server of commands has ended"
            self._fate.close()
            self.returncode = os.waitstatus_to_exitcode(LENGTH.unpack(answer)[0])
        return self.returncode

    @functools.cached_property
    def _readers(self) -> list[threading.Thread]:
        self._said = ["", ""]

        def read(place: int, stream: IO[str]) -> None:
            with stream:
                self._said[place] = stream.read()

        readers = [
            threading.Thread(target=read, args=item, daemon=True)
            for item in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        return readers


def run(
    arguments: Sequence[str | Path],
    cwd: Path,
    env: Mapping[str, str],
    check: bool = False,
    timeout: float = 300,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run train.py to its end, as `subprocess.run` with its output captured."""
    command = Command(arguments, cwd, env, **options)
    out, err = command.communicate(timeout)
    assert command.returncode is not None
    done = subprocess.CompletedProcess(command.args, command.returncode, out, err)
    if check:
        done.check_returncode()
    return done


@functools.cache
def _server() -> socket.socket:
    """Start the server; it ends with this process."""
    ours, theirs = socket.socketpair()
    one_thread = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        start_new_session=True, env=os.environ | one_thread,
    )  # fmt: skip
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _ask(server: socket.socket, request: bytes, streams: list[int]) -> None:
    socket.send_fds(server, [LENGTH.pack(len(request))], streams)
    server.sendall(request)


# The side of the server


def _requests(tests: socket.socket) -> Any:
    """Each request with its streams."""
    while True:
        length, streams, _, _ = socket.recv_fds(tests, LENGTH.size, NUM_STREAMS)
        if not length:
            return
        content = b""
        while len(content) < LENGTH.unpack(length)[0]:
            content += tests.recv(LENGTH.unpack(length)[0] - len(content))
        yield json.loads(content), streams


def _serve(tests: socket.socket) -> dict[str, Any]:
    """Fork a process for each request; returns, in that process alone, what it shall be."""
    for request, streams in _requests(tests):
        if not os.fork():  # the keeper: waits for the process and tells what became of it
            tests.close()
            process = os.fork()
            if not process:
                _become(request, streams)
                return dict(request)
            os.write(streams[2], LENGTH.pack(process))
            for stream in streams[:2]:
                os.close(stream)
            os.write(streams[2], LENGTH.pack(os.waitpid(process, 0)[1]))
            os._exit(0)
        for stream in streams:
            os.close(stream)
        _forget_those_that_ended()
    _forget_those_that_ended()
    os._exit(0)


def _forget_those_that_ended() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Take over what a process gets from the one that starts it."""
    from wandb.sdk.data_types._private import MEDIA_TMP

    os.setsid()
    for place, stream in enumerate(streams[:2], start=1):
        os.dup2(stream, place)
    for stream in streams:
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    tempfile.tempdir = None  # it is looked up in the environment
    MEDIA_TMP.name = tempfile.mkdtemp(suffix="wandb-media")  # wandb deletes it at the end
    if request["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], request["largest_file"]))
    sys.orig_argv[:] = request["arguments"]
    sys.argv[:] = request["arguments"][1:]
    sys.path[0] = str(TRAIN.parent)


def _import_what_trains() -> None:
    from wandb.sdk.data_types._private import MEDIA_TMP

    import noternn.datasets.configured
    import noternn.launch.job
    import noternn.launch.start
    import noternn.training.run  # noqa: F401

    MEDIA_TMP.cleanup()  # each fork has its own
    assert threading.active_count() == 1  # a thread would be missing in the forks
    gc.freeze()


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    import blank_pictures

    blank_pictures.install()
    sys.path.pop(0)
    sys.path.insert(0, str(TRAIN.parent))
    _import_what_trains()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_path(asked["arguments"][1], run_name="__main__")
