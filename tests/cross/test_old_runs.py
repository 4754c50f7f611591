"""What version 0.1.0 left on disk, before the modules moved into rooms, is read as it was then."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import forked
import numpy as np
import pytest

from noternn.__main__ import main
from noternn.errors import is_installed
from noternn.music.midi import read_midi
from noternn.runs.epochs import interval_of, read_epochs

ROOT = Path(__file__).resolve().parents[2]
LEFT = ROOT / "tests" / "data" / "version_0_1_0"

# The entries of a new token cache, the first eight digits of each name, by the settings that read the music.
# They change with `CACHE_VERSION` alone: another change would make every user's caches anew without need.
CACHED = {
    "": "1775b63c 32d241ee 517f2da9 69e4ed7a a5364575 cc03976e d4f6b283 ecf6ecfc fa338ade",
    "tokenizer=chord dataset.tracks=melody dataset.pedal=true dataset.limits.max_notes=1000": (
        "2c16f46a 5c8e050f 5dc7bc3f 6e303305 88aa0b1d a8f80a48 b4d723cf b802bcc0 d71fcdc8"
    ),
    "tokenizer.bpe_vocab_size=60 augmentation=none": (
        "1775b63c 517f2da9 99e1fe1e a5364575 cc03976e ecf6ecfc f55f5094 fa338ade"
    ),
    "augmentation.transpose=3 dataset.train_fraction=0.5 seed=1": (
        "1775b63c 24841a92 517f2da9 8edc2c5e 945b6770 a5364575 cc03976e ecf6ecfc fa338ade"
    ),
}
AUDITED = "985152f5"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a run, a sweep with one job stopped, a token cache and their music."""
    folder = tmp_path / "old"
    shutil.copytree(LEFT, folder)
    monkeypatch.chdir(folder)
    return folder


def train(folder: Path, offline: dict[str, str], *overrides: str) -> None:
    done = forked.run(overrides, cwd=folder, env=offline)
    assert done.returncode == 0, done.stderr


def losses(path: Path) -> list[list[float]]:
    with path.open(newline="") as file:
        # Of training pieces others are measured since.
        return [[float(row[name]) for name in ("train/nll", "val/nll")] for row in csv.DictReader(file)]


def test_a_checkpoint_composes_what_it_did(old: Path) -> None:
    assert main(["generate", "run", "-o", "out.mid", "--num-notes", "40", "--seed", "1", "--exact"]) == 0
    now, then = (read_midi(old / name) for name in ("out.mid", "composed.mid"))
    assert now.onset.tolist() == then.onset.tolist()
    assert now.pitch.tolist() == then.pitch.tolist()
    is_told = ~np.isin(
        then.pitch, [32, 33]
    )  # then they were struck while they sounded: their lengths are lost
    assert now.duration[is_told].tolist() == then.duration[is_told].tolist()


def test_runs_and_sweeps_compare_as_they_did(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "run", "sweep"]) == 0
    assert capsys.readouterr().out == (old / "compared.txt").read_text(encoding="utf-8")


def test_a_run_goes_on_though_its_tokens_are_made_anew(old: Path, offline: dict[str, str]) -> None:
    train(old, offline, "resume=run", "trainer.max_epochs=3")
    assert losses(old / "run" / "metrics.csv") == [
        pytest.approx(row, rel=1e-4, abs=1e-4) for row in losses(old / "resumed.csv")
    ]
    assert [row["epoch"] for row in read_epochs(old / "run")] == [1, 2, 3]
    assert interval_of(read_epochs(old / "run")[0]) is None  # it was not measured


def test_a_sweep_goes_on(old: Path, offline: dict[str, str]) -> None:
    train(old, offline, "resume=sweep")
    with (old / "sweep" / "sweep.csv").open(newline="") as file:
        rows = {row["job"]: row for row in csv.DictReader(file)}
    assert {row["status"] for row in rows.values()} == {"finished"}
    assert float(rows["optimizer=sgd"]["val/nll"]) == pytest.approx(3.4624, abs=1e-3)


def entries(cache: Path) -> set[str]:
    return {folder.name[:8] for folder in cache.iterdir() if folder.is_dir()}


@pytest.mark.parametrize("settings", CACHED)
def test_a_cache_is_found_under_the_same_names(old: Path, settings: str) -> None:
    if "bpe_vocab_size" in settings and not is_installed("miditok"):
        pytest.skip("the extra miditok is not installed")
    settings_then = ["dataset.min_validation=0", *settings.split()]
    assert main(["corpus", "midi", "datamodule.cache_dir=new", *settings_then]) == 0
    assert entries(old / "new") == set(CACHED[settings].split())


def test_the_index_of_an_audit_is_found_under_the_same_name(old: Path) -> None:
    before = entries(old / "cache")
    assert main(["audit", "midi/piece_0.mid", "--against", "run"]) == 0
    assert entries(old / "cache") - before == {AUDITED}


def test_a_run_whose_music_has_changed_does_not_go_on(old: Path, offline: dict[str, str]) -> None:
    first, second = sorted((old / "midi").iterdir())[:2]
    shutil.copy(first, second)
    done = forked.run(["resume=run", "trainer.max_epochs=3"], cwd=old, env=offline)
    assert done.returncode == 1
    assert "trained with other files" in done.stderr


@pytest.mark.usefixtures("old")
def test_a_run_is_evaluated_though_its_tokens_are_made_anew(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run"]) == 0
    assert "validation" in capsys.readouterr().out
