"""The log file of a run: what is written there drives no terminal that shows it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from noternn.launch.log_file import make_log_harmless
from noternn.terminal import harmless

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def test_what_is_logged_drives_no_terminal_that_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = logging.FileHandler(tmp_path / "train.log", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    monkeypatch.setattr(logging.getLogger(), "handlers", [file])
    make_log_harmless()
    make_log_harmless()
    try:
        raise OSError(f"no file {ESCAPES}")
    except OSError:
        logging.getLogger("noternn").warning("skipped %s", f"a{ESCAPES}b", exc_info=True)
    file.close()
    text = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert text.startswith("WARNING: skipped a\\x1b]0;owned")
    assert text == harmless(text)
    assert "Traceback" in text
