"""The cache of arrays: an entry is made once, is whole or made again, and is never mistaken for another."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from noternn.corpus.cache import ArrayCache, Entry, clear

FIRST, SECOND = "a" * 64, "b" * 64


def entry(start: int = 0) -> Entry:
    arrays = {"numbers": np.arange(start, start + 5, dtype=np.uint16), "none": np.zeros(0)}
    return Entry(arrays, {"words": ["ä", "b"]})


def not_again() -> Entry:
    raise AssertionError("made although it is in the cache")


def assert_same(one: Entry, other: Entry) -> None:
    assert one.values == other.values
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        assert array.tolist() == other.arrays[name].tolist()


@pytest.mark.parametrize("kept", [True, False], ids=["on disk", "in memory"])
def test_what_was_made_is_found(kept: bool, tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path / "new" / "cache" if kept else None)
    assert cache.find(FIRST) is None
    assert_same(cache.get(FIRST, entry), entry())
    assert_same(cache.get(FIRST, not_again), entry())
    assert cache.find(SECOND) is None


def test_arrays_are_mapped_not_loaded(tmp_path: Path) -> None:
    numbers = ArrayCache(tmp_path).get(FIRST, entry).arrays["numbers"]
    assert not numbers.flags.owndata
    assert not numbers.flags.writeable


def test_there_is_no_array_of_another_name(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        ArrayCache(tmp_path).get(FIRST, entry).arrays["letters"]


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


@pytest.mark.parametrize("name", ["numbers.npy", "content.json"])
@pytest.mark.parametrize("damage", [truncate, flip, lambda _: b"", None], ids=["cut", "bit", "empty", "gone"])
def test_damage_is_noticed_once_and_the_entry_made_again(
    damage: Callable[[bytes], bytes] | None, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ArrayCache(tmp_path).get(FIRST, entry)
    [path] = tmp_path.glob(f"*/{name}")
    if damage:
        path.write_bytes(damage(path.read_bytes()))
    else:
        path.unlink()
    assert_same(ArrayCache(tmp_path).get(FIRST, lambda: entry(7)), entry(7))
    [record] = caplog.records
    assert f"the token cache {path.parent} is damaged and is made again" in record.getMessage()
    assert_same(ArrayCache(tmp_path).get(FIRST, not_again), entry(7))


def test_changed_value_is_noticed(tmp_path: Path) -> None:
    ArrayCache(tmp_path).get(FIRST, entry)
    [path] = tmp_path.glob("*/content.json")
    path.write_text(path.read_text().replace('"b"', '"c"'))
    assert_same(ArrayCache(tmp_path).get(FIRST, lambda: entry(7)), entry(7))


def test_entry_under_another_name_is_not_believed(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    cache.get(FIRST, entry)
    shutil.copytree(tmp_path / FIRST[:32], tmp_path / SECOND[:32])
    assert_same(cache.get(SECOND, lambda: entry(7)), entry(7))


def test_folder_that_cannot_be_written_costs_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = ArrayCache(tmp_path / "file")
    assert_same(cache.get(FIRST, entry), entry())
    assert_same(cache.get(FIRST, not_again), entry())
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "the token cache was not written" in record.getMessage()


def make_slowly(folder: Path, made: Path) -> None:
    def make() -> Entry:
        time.sleep(0.5)
        with made.open("a") as file:
            file.write("made\n")
        return entry()

    assert_same(ArrayCache(folder).get(FIRST, make), entry())


def test_processes_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    folder, made = tmp_path / "cache", tmp_path / "made"
    processes = [context.Process(target=make_slowly, args=(folder, made)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert made.read_text() == "made\n"


def test_what_another_is_making_can_be_left_to_it(tmp_path: Path) -> None:
    cache, other = ArrayCache(tmp_path), ArrayCache(tmp_path)

    def make() -> Entry:
        assert other.get_unless_busy(FIRST, not_again) is None
        return entry()

    assert cache.get_unless_busy(FIRST, make) is not None


def test_clearing_deletes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    ArrayCache(folder).get(FIRST, entry)
    (folder / f".{SECOND[:32]}.x.tmp").mkdir()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (folder / "notes.txt").touch()
    (folder / "c" / "deep").mkdir(parents=True)
    (folder / ("d" * 32)).symlink_to(foreign)
    assert clear(folder) > 0
    assert sorted(path.name for path in folder.iterdir()) == ["c", "d" * 32, "notes.txt"]
    assert foreign.is_dir()
    assert clear(folder) == 0
    assert clear(tmp_path / "nowhere") == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(
    ("folder_mode", "folder_owner", "is_believed"),
    [(0o777, 0, False), (0o775, 4242, False), (0o755, 0, False), (0o755, 4242, True)],
    ids=["open to all", "open to a group", "of root", "of the same user alone"],
)
def test_another_users_entry_is_made_again_where_others_may_write(
    folder_mode: int, folder_owner: int, is_believed: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    ArrayCache(folder).get(FIRST, lambda: entry(7))
    [path] = folder.glob("*/")
    for each in (path, *path.iterdir()):
        os.chown(each, 4242, 4242)
    os.chown(folder, folder_owner, 0)
    folder.chmod(folder_mode)
    found = ArrayCache(folder).get(FIRST, entry)
    assert_same(found, entry(7 if is_believed else 0))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_another_users_link_to_an_entry_of_theirs_is_not_followed(tmp_path: Path) -> None:
    folder, theirs = tmp_path / "cache", tmp_path / "theirs"
    ArrayCache(theirs).get(FIRST, lambda: entry(7))
    [path] = theirs.glob("*/")
    folder.mkdir()
    (folder / path.name).symlink_to(path)
    for each in (theirs, path, *path.iterdir(), folder / path.name):
        os.chown(each, 4242, 4242, follow_symlinks=False)
    folder.chmod(0o777)
    assert_same(ArrayCache(folder).get(FIRST, entry), entry())


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows keeps users apart by other means")
def test_an_entry_that_anyone_may_change_is_made_again(tmp_path: Path) -> None:
    ArrayCache(tmp_path).get(FIRST, lambda: entry(7))
    [path] = tmp_path.glob("*/numbers.npy")
    path.chmod(0o666)
    assert_same(ArrayCache(tmp_path).get(FIRST, entry), entry())
