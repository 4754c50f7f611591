"""Checkpoints are read at little cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from noternn.model.build import network_for
from noternn.model.checkpoint import checkpoint_content, trained_of
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary
from noternn.tokenizer.pace import Pace

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


MODEL = {"embedding_dim": 8, "hidden_size": 8, "num_layers": 1, "dropout": 0.0, "num_fc_layers": 1}


def test_a_network_that_scored_pitches_everywhere_still_does() -> None:
    """As networks over event tokens did before it was known where a pitch may come."""
    codec = Codec(EventTokenizer(), Vocabulary(["Pitch_60", "Pitch_62", "Duration_6", "Shift_6"]))
    model = MODEL | {"num_pitches": 4, "pitch_channels": 4}
    config = {"tokenizer": {"name": "event"}, "model": model}
    state = {f"network.{name}": part for name, part in network_for(codec, model).state_dict().items()}
    content = checkpoint_content(config, codec, 120.0, (4, 4), Pace.default(12), "", "0.1.0")
    then = state | {"network.before_pitch": torch.ones(len(codec.vocabulary), dtype=torch.bool)}
    now, before = (
        trained_of({"state_dict": weights, "noternn": content}, Path("x.ckpt")).network
        for weights in (state, then)
    )
    assert before.before_pitch.all()
    ids = torch.from_numpy(codec.encode(codec.decode([4, 6, 4, 7, 5, 4])))[None]
    is_scored = now.before_pitch[ids[0]]
    with torch.no_grad():
        found, found_then = now(ids)[0][0], before(ids)[0][0]
    torch.testing.assert_close(found[is_scored], found_then[is_scored])
    assert not torch.isclose(found[~is_scored], found_then[~is_scored]).all()
