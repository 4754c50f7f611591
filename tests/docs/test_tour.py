"""The notebook of the guide runs from top to bottom."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "tour.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
PARAMETERS, *CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


class Shown(list[Path]):
    """The files that the notebook shows, in place of IPython, which the tests do not install."""

    def file(self, path: str) -> Path:
        """Stand for `Image` and `Audio`, which read the file at once."""
        assert Path(path).stat().st_size
        return Path(path)

    def display(self, *files: Path) -> None:
        self.extend(files)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    shown = Shown()
    display: Any = ModuleType("IPython.display")
    display.Image = display.Audio = shown.file
    display.display = shown.display
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def test_the_notebook_runs_on_a_small_corpus(
    shown: Shown,
    corpus_dir: Path,
    tiny: list[str],
    offline: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (offline | {"PYTHONPATH": str(NOTEBOOK.parents[1])}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(corpus_dir.parent)
    settings = [*tiny, "trainer.accelerator=cpu", "datamodule.num_processes=0"]
    settings.remove("trainer.max_epochs=3")
    given = {"MUSIC": corpus_dir.name, "EPOCHS": 2, "SETTINGS": settings}
    names: dict[str, Any] = {}
    exec(PARAMETERS, names)
    assert given.keys() == names.keys() - {"__builtins__"}
    names |= given
    for source in CODE:
        exec(source, names)

    work = names["WORK"]
    assert work.parent == tmp_path
    assert [str(file.relative_to(work)) for file in shown] == [
        "piece.png", "piece.wav", "run/curves.png", "run/sample.wav", "composed.wav",
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "10 pieces" in printed
    assert "of 2: " in printed  # the verdict of the training
    assert "sample.mid" in printed.split("of 2: ")[1]  # the audit


def test_the_notebook_is_short_and_stored_without_outputs() -> None:
    assert len(CELLS) < 12
    assert [cell for cell in CELLS if cell.get("outputs") or cell.get("execution_count")] == []
