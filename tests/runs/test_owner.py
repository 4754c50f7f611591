"""One process at a time trains in a folder, and the others are told which, where and since when."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from noternn.runs.owner import GONE_SECONDS, Claim, Owner, TakenError, claimed

HOLD = """
import sys, time
from pathlib import Path
from noternn.runs.owner import Claim
claim = Claim(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(100)
"""
OTHER = Owner("elsewhere", 77, "2026-11-29 10:00:00", "another kernel")


@contextmanager
def held(folder: Path, code: str = HOLD) -> Iterator[subprocess.Popen[str]]:
    """Another process has the folder in this block, and is killed at its end."""
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def leave_note(folder: Path, owner: Owner, seconds_ago: float = 0.0) -> None:
    folder.mkdir(exist_ok=True)
    (folder / ".owner").write_text(json.dumps(asdict(owner)))
    then = time.time() - seconds_ago
    os.utime(folder / ".owner", (then, then))


def test_a_second_process_is_told_who_trains_there_since_when(tmp_path: Path) -> None:
    with held(tmp_path / "run") as process, pytest.raises(TakenError) as refused:
        Claim(tmp_path / "run")
    host, today = socket.gethostname(), time.strftime("%Y-%m-")
    assert f"run: process {process.pid} on {host} trains there since {today}" in str(refused.value)


def test_a_folder_is_free_once_its_process_was_killed(tmp_path: Path) -> None:
    with held(tmp_path):
        pass
    assert (tmp_path / ".owner").exists()
    with claimed(tmp_path):
        pass
    assert not (tmp_path / ".owner").exists()


def test_a_claim_that_was_not_used_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with claimed(tmp_path / "runs" / "a" / "b"), claimed(tmp_path / "kept"):
        assert (tmp_path / "runs" / "a" / "b" / ".owner").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_refused_claim_leaves_the_note_as_it_is(tmp_path: Path) -> None:
    with claimed(tmp_path):
        before = (tmp_path / ".owner").read_bytes()
        with pytest.raises(TakenError):
            Claim(tmp_path)
        assert (tmp_path / ".owner").read_bytes() == before


def test_a_child_does_not_hold_what_its_dead_parent_held(tmp_path: Path) -> None:
    code = HOLD.replace("print", "import os\nif not os.fork(): time.sleep(100)\nprint")
    with held(tmp_path, code) as process:
        process.kill()
        process.wait()
        with claimed(tmp_path):
            pass


def test_a_child_that_is_slow_to_let_go_keeps_nobody_out(tmp_path: Path) -> None:
    slow = "import os, time\nos.register_at_fork(after_in_child=lambda: time.sleep(0.5))\n"
    code = slow + HOLD.replace("print", "if not os.fork(): time.sleep(100)\nprint")
    with held(tmp_path, code) as process:
        process.kill()
        process.wait()
        with claimed(tmp_path):
            pass


def test_a_process_of_another_machine_is_believed_until_it_gives_no_sign_of_life(tmp_path: Path) -> None:
    leave_note(tmp_path, OTHER)
    with pytest.raises(TakenError, match="process 77 on elsewhere trains there since 2026-11-29 10:00:00"):
        Claim(tmp_path)
    leave_note(tmp_path, OTHER, GONE_SECONDS + 1)
    with claimed(tmp_path):
        pass


def test_the_same_machine_is_known_by_its_kernel_too(tmp_path: Path) -> None:
    leave_note(tmp_path, replace(OTHER, boot=Owner.this().boot or "-", host=socket.gethostname()))
    with claimed(tmp_path):
        pass


def test_a_job_that_slurm_starts_again_takes_its_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    leave_note(tmp_path, replace(OTHER, job="5 0"))
    with pytest.raises(TakenError):
        Claim(tmp_path)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with claimed(tmp_path):
        pass


def test_a_job_that_a_launcher_starts_again_takes_its_folder_back(tmp_path: Path) -> None:
    leave_note(tmp_path, OTHER)
    with claimed(tmp_path, is_ours=True):
        pass


@pytest.mark.parametrize("note", ["", "{", "[]", '{"host": 1}', "[" * 5000, '{"host": "\\u001b[31m"}'])
def test_a_note_that_cannot_be_read_keeps_nobody_out(note: str, tmp_path: Path) -> None:
    (tmp_path / ".owner").write_text(note)
    with claimed(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are no links")
def test_a_note_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".owner").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="owner"):
        Claim(tmp_path / "run")
    assert (tmp_path / "mine").read_text() == "mine"


def take_turns(folder: Path, seconds: float, told: Connection) -> None:
    """Count up a number in a file whenever the folder is ours; tell how often."""
    counted, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with claimed(folder):
                number = int((folder / "number").read_text())
                (folder / "number").write_text(str(number + 1))
                counted += 1
        except TakenError:
            pass
    told.send(counted)


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_processes_that_hammer_one_folder_are_never_in_it_together(seconds: float, tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    processes = [context.Process(target=take_turns, args=(tmp_path, seconds, tell)) for _ in range(3)]
    for process in processes:
        process.start()
    counts = Counter({i: told.recv() for i in range(3)})
    for process in processes:
        process.join()
    assert int((tmp_path / "number").read_text()) == counts.total() > 0
