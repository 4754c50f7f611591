"""What is printed drives no terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from written_runs import write_run

from noternn.__main__ import main
from noternn.tables import format_table
from noternn.terminal import HarmlessStream, harmless, harmless_streams, printable

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def test_a_name_is_one_line_without_escapes() -> None:
    assert printable(f"a\n{ESCAPES}b").isprintable()


def test_lines_stay_and_escapes_are_written_out() -> None:
    assert harmless("a\n\tb\x1b[1A") == "a\n\tb\\x1b[1A"


def test_a_stream_keeps_what_a_progress_bar_needs() -> None:
    stream = io.StringIO()
    HarmlessStream(stream).write("\r 3 of 4\r\x1b[A\r")
    assert stream.getvalue() == "\r 3 of 4\\r\\x1b[A\r"


def test_a_cell_of_a_table_is_one_line() -> None:
    assert len(format_table([{"a": f"x\ny{ESCAPES}"}], ["a"]).splitlines()) == 2


def test_streams_come_back_as_they_were() -> None:
    before = sys.stdout
    with harmless_streams():
        assert sys.stdout is not before
    assert sys.stdout is before


@pytest.mark.parametrize("command", ["compare", "report"])
def test_settings_and_reasons_of_a_strangers_run_drive_no_terminal(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        run = tmp_path / f"runs\x1b[5m/seed={seed}"
        write_run(run, f"seed={seed}", f'dataset.path="{seed}\\e]0;x\\a"', status="finished")
    write_run(tmp_path / "runs\x1b[5m/bad", f"dataset={ESCAPES}", status="failed", error=f"no{ESCAPES}")
    main([command, str(tmp_path / "runs\x1b[5m")])
    shown = "".join(capsys.readouterr())
    assert harmless(shown) == shown


def test_what_a_command_refuses_drives_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / f"{ESCAPES}.mid"
    sample.write_bytes(b"MThd")
    assert main(["tokens", str(sample)]) == 1
    shown = capsys.readouterr().err
    assert harmless(shown) == shown
    assert "\\x1b" in shown
