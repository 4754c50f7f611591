"""Who trains in a folder: one process at a time, told by a note of its machine, its number and the time."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from noternn.errors import UserError
from noternn.files import shortest
from noternn.runs.folder import RunFolder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

BEAT_SECONDS = 20.0  # between two signs of life
GONE_SECONDS = 180.0  # without a sign of life, after which a process on another machine is taken for dead
FORK_SECONDS = 5.0  # for a child of a dead process to let go of its parent's lock
SETTLE_SECONDS = 0.5  # for two processes that wrote their notes at once, where files cannot be locked
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


_held: set[int] = set()  # the open files of this process's claims


def _leave_to_parent() -> None:
    """In a fork: a lock is held by the process of the note alone, or it would outlive it in its children."""
    for file in _held:
        os.close(file)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


class TakenError(UserError):
    """Another process trains in the folder; the message says which, where and since when."""


@dataclass(frozen=True)
class Owner:
    """A process that trains, as it is told in its folder.

    Args:
        host: the name of its machine.
        pid: its number there.
        since: when it began, by the clock of its machine.
        boot: what tells the kernel that it runs on from all others, also in a container; "" if not known.
        started: what tells it from a later process of the same number; "" if not known.
        job: of Slurm, with how often it was started again; "" without.
    """

    host: str
    pid: int
    since: str
    boot: str = ""
    started: str = ""
    job: str = ""

    @classmethod
    def this(cls) -> Owner:
        """This process."""
        job = os.environ.get("SLURM_JOB_ID", "")
        return cls(
            socket.gethostname(),
            os.getpid(),
            time.strftime("%Y-%m-%d %H:%M:%S"),
            _first_line("/proc/sys/kernel/random/boot_id"),
            _started(os.getpid()),
            f"{job} {os.environ.get('SLURM_RESTART_COUNT', '0')}" if job else "",
        )

    def is_on(self, other: Owner) -> bool:
        """Whether both are processes of one machine."""
        return self.host == other.host or (bool(self.boot) and self.boot == other.boot)

    def came_before(self, other: Owner) -> bool:
        """Whether this is an earlier start of the other's job of Slurm, and so over."""
        job, again = (self.job.split() or ["", "0"])[0], self.job.split()[1:]
        return bool(job) and other.job.split()[:1] == [job] and other.job.split()[1:] != again


class Claim:
    """A folder that this process has for itself until `release`, or until it is dead.

    Other processes of this machine are kept out by a lock of its kernel, which no dead process holds, and
    those of others by the note, of which the time is set anew every `BEAT_SECONDS`.

    Args:
        folder: made if it is not there.
        is_new: whether it must not be there.
        is_ours: whether a note of another machine is known to be of an earlier start of this very job.

    Raises:
        FileExistsError: if it must not be there, and is.
        TakenError: if another process has it.
        OSError: if nothing can be written there.
    """

    def __init__(self, folder: Path, *, is_new: bool = False, is_ours: bool = False) -> None:
        self.folder = folder
        self._path = RunFolder(folder).owner
        self._pid = os.getpid()
        self._is_over = threading.Event()
        self._made = _make(folder, is_new)
        try:
            self._file = _take(self._path, is_ours)
        except BaseException:
            self._unmake()
            raise
        _held.add(self._file)
        threading.Thread(target=self._beat, daemon=True).start()

    def release(self) -> None:
        """Let others in; the folder is taken away if it was made for this and is still empty."""
        if self._is_over.is_set() or os.getpid() != self._pid:
            return
        self._is_over.set()
        with suppress(OSError):  # taken away by someone, or open: Windows keeps it then
            self._path.unlink()
        _held.discard(self._file)
        os.close(self._file)
        with suppress(OSError):
            if fcntl is None:
                self._path.unlink()
        self._unmake()

    def _unmake(self) -> None:
        for folder in reversed(self._made):
            with suppress(OSError):  # it is in use
                folder.rmdir()

    def _beat(self) -> None:
        while not self._is_over.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self._path)


@contextmanager
def claimed(folder: Path, *, is_ours: bool = False) -> Iterator[None]:
    """A `Claim` in this block."""
    claim = Claim(folder, is_ours=is_ours)
    try:
        yield
    finally:
        claim.release()


def _make(folder: Path, is_new: bool) -> list[Path]:
    """Make a folder; the folders that were made for it, the outermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    while True:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(exist_ok=not is_new)
            return missing[::-1]
        except FileNotFoundError:  # another process has just taken an empty parent away
            time.sleep(0.01)


def _take(path: Path, is_ours: bool) -> int:
    """Put our note into the file; it stays open, and locked where that can be."""
    give_up = time.monotonic() + FORK_SECONDS
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            has_lock = _lock(file)
            if not _is_still(path, file):
                os.close(file)
                continue
            if has_lock is False and _is_of_dead(file) and time.monotonic() < give_up:
                os.close(file)
                time.sleep(0.02)
                continue
            _refuse_living(path, file, has_lock, is_ours)
            _write_note(path, file, has_lock)
        except BaseException:
            with suppress(OSError):
                os.close(file)
            raise
        return file


def _is_of_dead(file: int) -> bool:
    """Whether the note in a file is of a process of this machine that is dead."""
    other = _read_note(file)
    return other is not None and other.is_on(Owner.this()) and not _is_alive(other)


def _lock(file: int) -> bool | None:
    """Whether this process now has the lock of a file; None where files cannot be locked."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


def _is_still(path: Path, file: int) -> bool:
    """Whether a path still leads to an open file, which its owner may have taken away meanwhile."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(file))
    except FileNotFoundError:
        return False


def _refuse_living(path: Path, file: int, has_lock: bool | None, is_ours: bool) -> None:
    """Refuse a folder in which another process trains.

    Raises:
        TakenError: if one does.
    """
    other, this = _read_note(file), Owner.this()
    if has_lock is False:
        for _ in range(20):  # until it has written its note
            if other is not None:
                break
            time.sleep(0.01)
            other = _read_note(file)
        raise _taken(path, other)
    if other is None or is_ours or other.came_before(this):
        return
    if other.is_on(this):
        is_alive = has_lock is None and _is_alive(other)
    else:
        is_alive = time.time() - os.fstat(file).st_mtime < GONE_SECONDS
    if is_alive:
        later = f"; if that machine is gone, try again in {GONE_SECONDS / 60:.0f} minutes"
        raise _taken(path, other, "" if other.is_on(this) else later)


def _taken(path: Path, other: Owner | None, hint: str = "") -> TakenError:
    who = "another process" if other is None else f"process {other.pid} on {other.host}"
    since = "" if other is None else f" since {other.since}"
    return TakenError(f"{shortest(path.parent)}: {who} trains there{since}; wait for it, or stop it{hint}")


def _write_note(path: Path, file: int, has_lock: bool | None) -> None:
    note = json.dumps(asdict(Owner.this())).encode()
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, note)
    os.fsync(file)
    if has_lock is None:  # two that wrote at once see which of them was the last
        time.sleep(SETTLE_SECONDS)
        other = _read_note(file)
        if other != Owner(**json.loads(note)):
            raise _taken(path, other)


def _read_note(file: int) -> Owner | None:
    """The note in a file; None if there is none, or none that can be read."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        note = json.loads(os.read(file, 10_000))
        owner = Owner(**{f.name: note[f.name] for f in fields(Owner)})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_whole = all(isinstance(value, int if name == "pid" else str) for name, value in asdict(owner).items())
    return owner if is_whole and all(str(value).isprintable() for value in asdict(owner).values()) else None


def _is_alive(owner: Owner) -> bool:
    """Whether a process of this machine still runs."""
    if fcntl is None:  # Windows would end the process that is asked for
        return True
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return not owner.started or _started(owner.pid) in ("", owner.started)


def _started(pid: int) -> str:
    """When a process began, in ticks of its kernel, on Linux; "" elsewhere."""
    after_name = _first_line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return after_name[19] if len(after_name) > 19 else ""


def _first_line(path: str) -> str:
    try:
        return (Path(path).read_text(encoding="utf-8", errors="replace").splitlines() or [""])[0]
    except OSError:
        return ""
