"""The start of a run and a sweep can be timed; what is found depends on the machine."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

import pytest

from noternn.bench.start import bench_start, bench_sweep
from noternn.errors import UserError


@pytest.mark.slow
def test_the_start_is_timed_until_the_first_step(corpus_dir: Path, tiny: list[str], tmp_path: Path) -> None:
    cache = f"datamodule.cache_dir={tmp_path}"
    _, rows = bench_start(["dataset=folder", f"dataset.path={corpus_dir}", cache, *tiny], repeats=1)
    assert rows[0]["name"] == "import torch"
    assert rows[0]["share_of_torch"] == 1
    assert all(row["seconds"] > 0 and row["cpu_seconds"] > 0 for row in rows)


def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no MIDI files"):
        bench_start(["dataset=folder", f"dataset.path={tmp_path}"], repeats=1)


@pytest.mark.skipif(
    not any(distribution.name == "hydra-joblib-launcher" for distribution in distributions()),
    reason='needs the extra: pip install "noternn[joblib]"',
)
@pytest.mark.slow
def test_a_sweep_is_timed_both_ways(tiny: list[str]) -> None:
    line, rows = bench_sweep(2, 0, [*tiny, "dataset.max_files=6", "trainer.max_epochs=1"])
    assert line.startswith("a sweep of 2 runs on ")
    assert [row["name"] for row in rows] == ["one after the other", "side by side"]
    assert rows[0]["times_first"] == 1
