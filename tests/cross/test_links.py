"""Nothing that a folder holds makes a command write outside it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import forked
import pytest
from helpers import TrainTiny

from noternn.__main__ import main
from noternn.errors import UserError
from noternn.files import write_text
from noternn.launch.resume import resumed
from noternn.runs.folder import RunFolder, refuse_links

PLACES = ("train.log", ".hydra", ".hydra/config.yaml", "samples", "checkpoints", "last.ckpt", "split.json")


def linked(folder: Path, place: str, outside: Path) -> Path:
    """Put a link to something outside into a folder, in the place of what is there."""
    link = folder / place
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    return link


@pytest.mark.parametrize("place", PLACES)
def test_a_run_with_a_link_is_not_resumed(place: str, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, symlinks=True)
    linked(run, place, tmp_path / "outside")
    with pytest.raises(UserError, match=f"{run / place}: is a symbolic link"):
        resumed([f"resume={run}"])
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("place", ["samples", "checkpoints"])
def test_no_run_begins_in_a_folder_with_a_link(place: str, train_tiny: TrainTiny, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "run").mkdir()
    linked(tmp_path / "run", place, outside)
    with pytest.raises(UserError, match="is a symbolic link"):
        train_tiny(tmp_path / "run")
    assert list(outside.iterdir()) == []


def test_links_that_the_program_makes_are_no_reason(tmp_path: Path) -> None:
    (tmp_path / "multirun.yaml").touch()
    for folder in ("job", "wandb", ".cache"):
        (tmp_path / folder).mkdir()
    for link in ("job/wandb", "wandb/latest-run", ".cache/0123"):
        (tmp_path / link).symlink_to(tmp_path)
    refuse_links(tmp_path)
    shutil.rmtree(tmp_path / "wandb")
    (tmp_path / "wandb").symlink_to(tmp_path)  # into which wandb would write what its jobs log
    with pytest.raises(UserError, match="wandb: is a symbolic link"):
        refuse_links(tmp_path)


@pytest.mark.parametrize("place", ["samples", "music/of/mine"])
def test_nothing_is_composed_through_a_link_in_a_runs_folder(
    place: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(tiny_run, run, symlinks=True)
    outside.mkdir()
    (run / place).parent.mkdir(parents=True, exist_ok=True)
    linked(run, place, outside)
    output = run / place / "deeper" / "x.mid"
    assert main(["generate", str(run), "-o", str(output), "--num-notes", "5"]) == 1
    assert "is a symbolic link" in capsys.readouterr().err
    assert list(outside.iterdir()) == []


def test_a_link_above_a_run_is_the_users_own(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(tiny_run.parent)
    run = tmp_path / "runs" / tiny_run.name
    assert main(["generate", str(run), "-o", str(tmp_path / "x.mid"), "--num-notes", "5"]) == 0
    refuse_links(run)


def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("as before")
    link = linked(tmp_path, "metrics.csv", outside)
    write_text(RunFolder(tmp_path).metrics, "new")
    assert (link.read_text(), outside.read_text()) == ("new", "as before")
    assert not link.is_symlink()


def test_the_log_of_a_new_run_is_not_opened_through_a_link(tmp_path: Path, tiny: list[str]) -> None:
    outside = tmp_path / "outside"
    (tmp_path / "run").mkdir()
    linked(tmp_path / "run", "train.log", outside)
    result = forked.run([*tiny, f"hydra.run.dir={tmp_path / 'run'}"], cwd=tmp_path, env=os.environ)
    assert result.returncode == 1
    assert "train.log: is a symbolic link" in result.stderr
    assert not outside.exists()
