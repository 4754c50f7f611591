"""Checkpoints are read at little cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OLD_RUN = Path(__file__).parents[1] / "data" / "version_0_1_0" / "run"


def test_composing_imports_neither_torchs_compiler_nor_what_trains(tmp_path: Path) -> None:
    code = f"""
import sys
from noternn.__main__ import main
assert main(["generate", {str(OLD_RUN)!r}, "-o", "out.mid", "--num-notes", "5"]) == 0
needless = ("torch._dynamo", "pytorch_lightning", "hydra", "omegaconf", "matplotlib", "wandb")
assert not [name for name in needless if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
