"""The files of a run's folder."""

from __future__ import annotations

from pathlib import Path

from written_runs import write_run

from noternn.runs.folder import RunFolder


def test_a_trained_run_has_its_files_where_the_folder_says(tiny_run: Path) -> None:
    folder = RunFolder(tiny_run)
    assert folder.is_run
    assert not folder.is_sweep
    assert folder.holds_music_or_losses
    files = (folder.best_checkpoint, folder.last_checkpoint, folder.metrics, folder.summary, folder.split)
    others = (folder.curves, folder.sample, folder.health)
    assert [path.name for path in (*files, *others) if not path.is_file()] == []


def test_jobs_are_found_at_any_depth_by_any_trace(tmp_path: Path) -> None:
    write_run(tmp_path / "b" / "deeper")
    write_run(tmp_path / "a", status="running", val_nll=())  # its settings alone
    (tmp_path / "empty").mkdir()
    assert RunFolder(tmp_path).jobs == [tmp_path / "a", tmp_path / "b" / "deeper"]
    assert RunFolder(tmp_path / "a").jobs == [tmp_path / "a"]


def test_an_empty_folder_is_neither_run_nor_sweep(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not any((folder.is_run, folder.is_sweep, folder.holds_music_or_losses))
