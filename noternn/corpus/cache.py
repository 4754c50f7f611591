"""Arrays that are made once and then read from the disk: folders of .npy files, named by what made them."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Array = NDArray[Any]
CACHE_VERSION = 8  # raise it when a change of the code changes what a cache holds
CONTENT = "content.json"
KEPT_SUFFIX = ".piece"  # of the files of `noternn.corpus.kept`
NAME_LENGTH = 32  # digits of the fingerprint in a folder's name; the whole one stands inside


@dataclass(frozen=True)
class Entry:
    """What the cache holds under one fingerprint.

    Args:
        arrays: mapped from the disk when they are asked for, or kept in memory where there is no disk.
        values: numbers, strings, lists and dicts of them.
    """

    arrays: Mapping[str, Array]
    values: dict[str, Any]


class _MappedArrays(Mapping[str, Array]):
    """The .npy files of a folder; each is mapped anew, so that none stays open for nothing."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder = folder
        self.names = names

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise KeyError(name)
        return np.asarray(np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class ArrayCache:
    """A folder of entries. Each is made once. Deleting any of it is always safe.

    Args:
        folder: where entries are kept; None keeps them in memory alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._in_memory: dict[str, Entry] = {}

    def get(self, fingerprint: str, make: Callable[[], Entry]) -> Entry:
        """The entry, made if it is not there; another process that is making it is waited for.

        Args:
            fingerprint: a hash of all that decides what `make` returns.
            make: makes it.
        """
        entry = self._get(fingerprint, make, wait=True)
        assert entry is not None
        return entry

    def get_unless_busy(self, fingerprint: str, make: Callable[[], Entry]) -> Entry | None:
        """The same, but None if another process is making it."""
        return self._get(fingerprint, make, wait=False)

    def _get(self, fingerprint: str, make: Callable[[], Entry], *, wait: bool) -> Entry | None:
        entry = self.find(fingerprint)
        if entry is not None:
            return entry
        with self._locked(fingerprint, wait) as is_ours:
            if not is_ours:
                return None
            return self.find(fingerprint, warn=False) or self._keep(fingerprint, make())

    def find(self, fingerprint: str, *, warn: bool = True) -> Entry | None:
        """The entry if it is there, whole; a damaged one is not, and told in a warning."""
        if fingerprint in self._in_memory or self.folder is None:
            return self._in_memory.get(fingerprint)
        return _load(self._path(fingerprint), fingerprint, warn)

    def _path(self, fingerprint: str) -> Path:
        assert self.folder is not None
        return self.folder / fingerprint[:NAME_LENGTH]

    @contextmanager
    def _locked(self, fingerprint: str, wait: bool) -> Iterator[bool]:
        """Keep other processes from making the same; False if one does and is not to be waited for."""
        if self.folder is None:
            yield True
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._path(fingerprint).with_suffix(".lock"))
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                yield False
                return
            log.info("another process is making a part of the token cache; waiting for it")
            lock.acquire()
        except OSError:
            yield True  # a folder that cannot be written; `_keep` says so
            return
        try:
            yield True
        finally:
            lock.release()

    def _keep(self, fingerprint: str, entry: Entry) -> Entry:
        """Write the entry and map it; where it cannot be written it stays in memory."""
        if self.folder is not None:
            try:
                _save(entry, self._path(fingerprint), fingerprint)
                written = _load(self._path(fingerprint), fingerprint, warn=True)
                if written is not None:
                    return written
            except OSError as error:
                log.warning("the token cache was not written (%s); the next run makes it again", error)
        self._in_memory[fingerprint] = entry
        return entry


def clear(folder: Path) -> int:
    """Delete the entries in a cache folder, and what killed processes left of some; nothing else there.

    Returns:
        How many bytes were freed.
    """
    freed = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink() or not _is_ours(path):
            continue
        files = list(path.iterdir()) if path.is_dir() else [path]
        freed += sum(file.lstat().st_size for file in files)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return freed


def _is_ours(path: Path) -> bool:
    """Whether a path in the cache folder is an entry, a part of one, a kept piece, or a lock.

    Others name files by hashes too: a well-known corpus of MIDI has names of 32 such digits and ".mid".
    """
    digits = f"[0-9a-f]{{{NAME_LENGTH}}}"
    if not path.is_dir():
        kept = re.escape(KEPT_SUFFIX)
        return bool(re.fullmatch(rf"{digits}\.lock|{digits}{kept}|\.{digits}{kept}\.\d+\.tmp", path.name))
    is_named = re.fullmatch(rf"{digits}|\.{digits}\..*\.tmp", path.name)
    return bool(is_named) and all(f.name == CONTENT or f.suffix == ".npy" for f in path.iterdir())


def _check_whole(path: Path) -> None:
    """Refuse an array whose end was lost on a full disk, where closing a file may fail unsaid."""
    try:
        np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise OSError(errno.ENOSPC, "no room for all of it", str(path)) from error


def _save(entry: Entry, path: Path, fingerprint: str) -> None:
    """Write an entry beside its place and rename it, so that no reader sees half of it."""
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        checksums = {}
        for name, array in entry.arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
            _check_whole(temporary / f"{name}.npy")
            checksums[name] = _flushed_checksum(temporary / f"{name}.npy")
        content = {
            "fingerprint": fingerprint,
            "checksums": checksums,
            "checksum": _values_checksum(entry.values),
            "values": entry.values,
        }
        (temporary / CONTENT).write_text(json.dumps(content), encoding="utf-8")
        _flushed_checksum(temporary / CONTENT)
        temporary.chmod(0o755)  # mkdtemp's folders are for their owner alone
        shutil.rmtree(path, ignore_errors=True)  # a damaged one
        os.rename(temporary, path)  # fails where another user's entry cannot be taken away
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _flushed_checksum(path: Path) -> int:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return _checksum(path)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _load(path: Path, fingerprint: str, warn: bool) -> Entry | None:
    """The entry in a folder, or None where there is no whole one of this fingerprint."""
    if not path.is_dir():
        return None
    if not _is_trusted(path):
        if warn:
            log.warning("the token cache %s is another user's and is made again", path)
        return None
    try:
        content = json.loads((path / CONTENT).read_text(encoding="utf-8"))
        if content["fingerprint"] != fingerprint:
            return None
        if content["checksum"] != _values_checksum(content["values"]):
            raise ValueError(f"{CONTENT} has changed")
        for name, checksum in content["checksums"].items():
            if _checksum(path / f"{name}.npy") != checksum:
                raise ValueError(f"{name}.npy has changed")
        return Entry(_MappedArrays(path, list(content["checksums"])), content["values"])
    except Exception as error:  # damage shows in many ways, and a cache can always be made again
        if warn:
            log.warning("the token cache %s is damaged and is made again (%s)", path, error)
        return None


def _is_trusted(path: Path) -> bool:
    """Whether an entry and all its files are believed, and the link that leads to it if there is one."""
    real = path.resolve()
    files = all(is_believed(each.lstat(), real.parent) for each in (real, *real.iterdir()))
    return files and is_believed(path.lstat(), path.parent)


def is_believed(file: os.stat_result, folder: Path) -> bool:
    """Whether a file was made by this user, by root, or by the owner of a folder that none else may write.

    Where others may write into the folder as well, one of them could have put anything there. Who names a
    folder into which only its owner may write trusts that owner.

    Args:
        file: what the system says of it.
        folder: the cache.
    """
    if not hasattr(os, "geteuid"):  # Windows keeps users apart by other means
        return True
    trusted = {0, os.geteuid()}
    status = folder.stat()
    if not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        trusted.add(status.st_uid)
    return file.st_uid in trusted and not _may_all_write(file)


def _may_all_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_IWOTH) and not stat.S_ISLNK(status.st_mode)


def _values_checksum(values: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())
