"""Signals that ask the program to end, and the moment at which it does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# SIGHUP comes from a terminal that is closed, SIGUSR1 and SIGUSR2 from clusters some time before they take
# the machine away. Windows has none of these. A process that nohup started leaves SIGHUP ignored.
_NAMES = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"]
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    _NAMES.remove("SIGHUP")
SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


class Stopped(SystemExit):
    """A signal asked the program to end: its status is 128 and the signal's number, as shells count.

    Args:
        signum: the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.name = signal.Signals(signum).name


class StopRequest:
    """What signals asked for: raised at once as `Stopped`, or remembered until training has made its step."""

    def __init__(self) -> None:
        self._signum: int | None = None
        self._is_deferred = False

    def signum(self) -> int | None:
        """The signal that was remembered, if there was one."""
        return self._signum

    def install(self) -> None:
        """Answer the signals from now on, in place of earlier handlers."""
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                signal.signal(signum, self._answer)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Remember a signal in this block; who runs in it looks at `signum()`. At its end it is raised."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
        signum = self.signum()
        if signum is not None:
            raise Stopped(signum)

    def _answer(self, signum: int, _: FrameType | None) -> None:
        is_first, is_urgent = self._signum is None, signum == signal.SIGINT
        if not is_first and not is_urgent:
            return  # often sent twice, and what the first began must not be cut short
        self._signum = signum
        # A second Ctrl-C is from someone who does not want to wait.
        if not is_first or not self._is_deferred:
            raise Stopped(signum)


@contextmanager
def answering_signals() -> Iterator[StopRequest]:
    """Signals raise `Stopped` in this block, or are remembered by the request it is given."""
    request = StopRequest()
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    request.install()
    try:
        yield request
    finally:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in before.items():
                signal.signal(signum, handler)
