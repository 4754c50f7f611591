"""The jobs of a sweep that run side by side on a machine with several GPUs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from noternn.launch.own_gpus import own_gpus, visible_gpus


def test_each_job_has_a_gpu_of_its_own_and_then_they_share(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5,7")
    assert visible_gpus() == ["3", "5", "7"]
    with ExitStack() as jobs:
        own = [jobs.enter_context(own_gpus(tmp_path, 1)) for _ in range(5)]
        assert own == ["3", "5", "7", "3", "5"]
    with own_gpus(tmp_path, 1) as first:  # what was taken is free again
        assert first == "3"


def test_the_gpus_of_a_job_that_is_over_are_the_next_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    with own_gpus(tmp_path, 2) as first:
        with own_gpus(tmp_path, 2) as second:
            assert (first, second) == ("0,1", "2,3")
        with own_gpus(tmp_path, 2) as third:
            assert third == "2,3"


@pytest.mark.parametrize("visible", ["", "0", "-1", "0,1,2"])
def test_where_there_are_not_enough_for_two_jobs_nothing_is_changed(
    visible: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with own_gpus(tmp_path, 2) as own:
        assert own is None
    assert not list(tmp_path.iterdir())
