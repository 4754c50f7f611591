"""Mutants of every file of a run and of a search: `evaluate` and `resume` end soon, write nowhere else."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from random import Random

import forked
import pytest
from forked import Command
from mutants import mutant, mutant_json

from noternn.__main__ import main
from noternn.terminal import harmless

MAX_SECONDS = 30.0  # of a command that may train two epochs, on a busy machine
READ_BY_EVALUATE = ("split.json", "summary.json", "metrics.csv", ".hydra/config.yaml")


@pytest.fixture(scope="module")
def home(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder that holds `run`, a trained run, and its music; do not write to it."""
    folder = tmp_path_factory.mktemp("spoiled")
    shutil.copytree(corpus_dir, folder / "music")
    arguments = ["dataset=folder", "dataset.path=music", *tiny, "trainer.max_epochs=2", "logger=csv"]
    arguments += ["trainer.accelerator=cpu", "hydra.run.dir=run", "datamodule.cache_dir=null"]
    forked.run(arguments, cwd=folder, env=offline, check=True)
    return folder


@pytest.fixture
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the current folder."""
    folder = Path(shutil.copytree(home, tmp_path / "home"))
    monkeypatch.chdir(folder)
    return folder


def files_of(run: Path) -> list[str]:
    """The files that hold text, by their paths in the run."""
    kinds = (".json", ".csv", ".yaml", ".log", ".txt", "")
    return sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file() and p.suffix in kinds)


def outside(place: Path, run: str) -> dict[str, int]:
    """When each file that is not the run's was written."""
    folders = [path for path in place.iterdir() if path.name != run]
    files = [file for folder in folders for file in (folder, *folder.rglob("*"))]
    return {str(path): path.stat().st_mtime_ns for path in files}


def spoil(file: Path, rng: Random) -> None:
    data = file.read_bytes()
    make = mutant_json if file.suffix == ".json" and rng.random() < 0.7 else mutant
    file.write_bytes(make(data, rng))


def check_said(status: int, out: str, error: str) -> None:
    """It ended with results, or with a mistake in one line, the last."""
    assert harmless(out + error) == out + error
    assert "Traceback" not in error, error
    assert status in (0, 1)
    if status:
        assert [line for line in error.splitlines() if line.startswith("error: ")] == error.splitlines()[-1:]


def evaluate(place: Path, file: str, number: int, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    rng, whole = Random(f"{seed} {file}"), (place / "run" / file).read_bytes()
    before = outside(place, "run")
    for _ in range(number):
        (place / "run" / file).write_bytes(whole)
        spoil(place / "run" / file, rng)
        began = time.monotonic()
        status = main(["evaluate", "run"])
        assert time.monotonic() - began < MAX_SECONDS
        check_said(status, *capsys.readouterr())
    assert outside(place, "run") == before


def go_on(place: Path, file: str, number: int, seed: int, env: dict[str, str]) -> None:
    rng = Random(f"{seed} {file}")
    shutil.move(place / "run", place / "whole")
    before = outside(place, "run")
    for _ in range(number):
        shutil.copytree(place / "whole", place / "run")
        spoil(place / "run" / file, rng)
        command = Command(["resume=run", "trainer.max_epochs=3"], cwd=place, env=env)
        out, error = command.communicate(timeout=MAX_SECONDS)
        assert command.returncode is not None
        check_said(command.returncode, out, error)
        shutil.rmtree(place / "run")
        assert outside(place, "run") == before


@pytest.mark.parametrize("file", READ_BY_EVALUATE)
def test_a_spoiled_run_is_evaluated_or_refused(
    file: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(place, file, 2, 0, capsys)


@pytest.mark.parametrize("file", ["split.json", "metrics.csv", ".hydra/config.yaml"])
def test_a_spoiled_run_goes_on_or_is_refused(file: str, place: Path, offline: dict[str, str]) -> None:
    go_on(place, file, 1, 0, offline)


@pytest.mark.slow
def test_many_mutants_of_all_files_of_a_run_are_evaluated_or_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in files_of(place / "run"):
        evaluate(place, file, int(os.environ.get("NOTERNN_MUTANTS", "30")), 1, capsys)


@pytest.mark.slow
def test_many_mutants_of_all_files_of_a_run_go_on_or_are_refused(
    home: Path, tmp_path: Path, offline: dict[str, str]
) -> None:
    for number, file in enumerate(files_of(home / "run")):
        place = Path(shutil.copytree(home, tmp_path / str(number)))
        go_on(place, file, int(os.environ.get("NOTERNN_MUTANTS", "30")), 1, offline)
