"""The comparison of speeds runs; what it finds depends on the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from noternn.__main__ import main
from noternn.bench import memory as bench_memory
from noternn.bench.cores import time_cores
from noternn.bench.gpu import Scale, bench_gpu
from noternn.bench.health import bench_health
from noternn.bench.infill import bench_infill
from noternn.bench.ingest import OURS
from noternn.bench.model import Predecessor, Size, bench_generate, bench_train
from noternn.bench.timing import interleaved
from noternn.config.schema import to_plain
from noternn.launch.command_line import settings
from noternn.music import midi_parser
from noternn.training.devices import has_bfloat16_units
from tests.helpers import small_piece


def test_contestants_take_turns_and_the_first_turn_does_not_count() -> None:
    turns: list[str] = []
    timings = interleaved({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, repeats=2)
    assert turns == ["a", "b"] * 3
    assert [timing.name for timing in timings] == ["a", "b"]


def test_ingest_is_compared_on_the_files_of_a_folder(
    midi_folder: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "ingest", str(midi_folder(3)), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["what"].startswith("3 files of ")
    assert result["what"].endswith(
        f"by the {'plain' if midi_parser.midi_scan is None else 'compiled'} reader"
    )
    assert OURS in [row["name"] for row in result["rows"]]
    assert all(row["ms_per_file"] > 0 for row in result["rows"])


def test_a_folder_without_music_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "ingest", str(tmp_path)]) == 1
    assert "there are no MIDI files in it" in capsys.readouterr().err


def test_training_is_compared_with_the_predecessor_and_the_machine() -> None:
    tiny = Size(2, 8, 3, 5, repeats=1)
    _, rows = bench_train([tiny], num_steps=3, default=tiny)
    in_half = [row for row in rows if "bf16-mixed" in row["name"]]
    assert len(in_half) == (2 if has_bfloat16_units() else 0)
    others = [row for row in rows if row not in in_half]
    theirs, ours, masked, reference, default, transformer, limit, half, lightning, logging, one_core, *_ = (
        others
    )
    assert all(row["share_of_limit"] > 0 for row in in_half)
    assert reference["times_reference"] == 1
    assert [row["name"].split(",")[0] for row in (default, transformer)] == [
        "the default network", "a transformer of as many weights",
    ]  # fmt: skip
    assert limit["share_of_limit"] == pytest.approx(1)
    assert half["tokens_per_second"] > 0
    assert theirs["times_reference"] == 1
    assert ours["name"] == "NoteRNN, 2 x 8, batch 3, window 5"
    assert masked["name"] == "NoteRNN, one dropout mask a window, 2 x 8, batch 3, window 5"
    assert ours["share_of_limit"] > 0
    assert ours["tokens_per_second"] > 0
    assert lightning["ms_per_step"] is not None
    assert logging["ms_per_step"] is not None
    assert one_core["times_one_core"] == 1


def test_one_core_is_compared_with_all() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    one, both = time_cores(num_steps=1, repeats=1)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert one.seconds > 0
    assert both.seconds > 0
    assert both.name == "both cores"


def test_a_gpu_is_measured_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device: it takes eight minutes")
    assert main(["bench", "gpu"]) == 1
    assert capsys.readouterr().err == "error: bench gpu: this machine has no CUDA device\n"


def test_what_is_measured_on_a_gpu_runs_on_a_processor_too(
    corpus_dir: Path, tiny: list[str], tmp_path: Path
) -> None:
    pieces = ["dataset=folder", f"dataset.path={corpus_dir}", f"datamodule.cache_dir={tmp_path}"]
    pieces += [*tiny, "trainer.max_epochs=1", "datamodule.num_processes=0"]
    scale = Scale(3600.0, 0.01, warm_steps=1, product=16, num_notes=3, num_streams=2, ways=("", "CUDA graph"))
    line, rows = bench_gpu({"tiny": to_plain(settings(pieces))}, pieces, "cpu", scale)
    assert line.startswith("training and composing on cpu; ")
    named = {row["name"].partition(":")[0]: row for row in rows}
    assert named["a whole run"]["val/nats_per_note"] > 0
    for numbers in ("float32", "tf32", "bf16"):
        assert named[f"largest product, {numbers}"]["teraflops"] > 0
        row = named[f"tiny, {numbers}"]  # there are CPUs on which torch has no LSTM in bfloat16
        assert (
            "not possible" in row["name"] if row["tokens_per_second"] is None else row["share_of_limit"] > 0
        )
    assert named["tiny, float32"]["tokens_per_second"] > 0
    assert named["composing on cpu, 2 together"]["tokens_per_second"] > 0
    assert named["waits"]["waits_per_step"] == 0
    assert "tiny, bf16, CUDA graph" in named


def test_composing_is_compared_with_the_predecessor_and_the_machine() -> None:
    _, (theirs, alone, together, *default) = bench_generate(1, 8, num_notes=3, num_streams=4, repeats=1)
    assert theirs["times_reference"] == 1
    assert alone["name"] == "NoteRNN, one sample"
    assert together["name"] == "NoteRNN, 4 together"
    counts = ("one sample", "4 together")
    assert [row["name"] for row in default] == [f"NoteRNN, the default network, {count}" for count in counts]
    assert all(
        row["tokens_per_second"] > 0 and row["share_of_limit"] > 0
        for row in (theirs, alone, together, *default)
    )


def test_the_predecessor_samples_as_many_notes_as_asked_for() -> None:
    assert len(Predecessor(1, 8).eval().sample(5)) == 6  # with the id that it begins with


def test_only_ingest_reads_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "train", str(tmp_path)]) == 1
    assert "only ingest and health read a folder" in capsys.readouterr().err


def test_memory_of_training_is_told_for_each_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not bench_memory.STATUS.exists():
        pytest.skip("this system does not tell how much memory a process has")
    monkeypatch.setattr(bench_memory, "CACHE_DIR", tmp_path)
    line, [row] = bench_memory.bench_memory((6_000,), num_files=3)
    assert "30 steps" in line
    assert int(row["name"].split()[0].replace(",", "")) >= 6_000
    assert 0 < row["peak_mb"] < 500
    assert row["ms_per_batch"] > 0


def test_a_gap_is_filled_with_and_without_a_bound_on_copies() -> None:
    line, rows = bench_infill((2,), repeats=1, pieces=[small_piece(0), small_piece(1)])
    assert line.startswith("beats 8 to 16")
    assert [row["name"] for row in rows] == ["2 particles", "2 particles, no copies"]
    assert all(row["particles_per_second"] > 0 for row in rows)


def test_health_is_asked_about_planted_faults(tiny_run: Path) -> None:
    line, rows = bench_health(tiny_run, num_each=2, foreign=[small_piece(seed) for seed in (90, 91)])
    assert line.startswith("excerpts of ")
    assert [row["name"] for row in rows][:3] == ["held-out excerpts", "its samples", "the inverted sampler"]
    assert all(0 <= row["unhealthy"] <= 1 for row in rows)
    assert rows[2]["num_pieces"] == 2
