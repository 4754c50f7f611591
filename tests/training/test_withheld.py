"""What an offline wandb run does not tell of the machine that it was made on."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from noternn.training.tracking import track

SAID = ("requirements.txt", "wandb-metadata.json")


def test_host_paths_command_and_packages_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "a-private-folder"
    (secret / "run").mkdir(parents=True)
    monkeypatch.chdir(secret)
    monkeypatch.setattr(sys, "argv", ["train.py", "a_private_argument=1"])
    with track("offline", "noternn", None, secret / "run", None, {"seed": 0}) as tracker:
        assert tracker.directory is not None
        kept = tracker.directory
    content = b"".join(path.read_bytes() for path in kept.rglob("*.wandb"))
    for said in (platform.node(), "a-private-folder", "a_private_argument", sys.executable, "numpy=="):
        assert said.encode() not in content, said
    assert [path.name for path in kept.rglob("*") if path.name in SAID] == []
