"""The comparison of speeds runs; what it finds depends on the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from noternn.__main__ import main
from noternn.bench import OURS, interleaved


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
    assert OURS in [row["name"] for row in result["rows"]]
    assert all(row["ms_per_file"] > 0 for row in result["rows"])


def test_a_folder_without_music_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "ingest", str(tmp_path)]) == 1
    assert "there are no MIDI files in it" in capsys.readouterr().err
