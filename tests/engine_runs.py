"""Scripts of pages run by Node.js, and networks and pieces for them."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import small_piece

from noternn.model.build import network_for
from noternn.model.checkpoint import Trained
from noternn.music.piece import Piece
from noternn.pages.engine import ENGINE
from noternn.tokenizer import Codec, Tokenizer, Vocabulary, VoicesTokenizer
from noternn.tokenizer.pace import Pace

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
PLAIN = {"embedding_dim": 12, "hidden_size": 16, "num_layers": 3, "dropout": 0.0, "num_fc_layers": 2}

DEFAULT = {
    "embedding_dim": 12, "hidden_size": 20, "num_layers": 1, "dropout": 0.0, "num_fc_layers": 1,
    "variational": True, "residual": True, "num_pitches": 8, "pitch_channels": 5, "memory": 2,
}  # fmt: skip
NETWORKS: dict[str, dict[str, Any]] = {
    "default": DEFAULT,
    "note_rnn": PLAIN,
    "places": {**PLAIN, "position_beats": [1, 4], "num_slots": 3},
    "input tokens": {**DEFAULT, "num_input_tokens": 3, "pitch_channels": 0, "num_layers": 2},
    "tied": {**PLAIN, "tied": True},
    "tied, one layer": {**PLAIN, "embedding_dim": 16, "tied": True, "num_fc_layers": 1, "memory": 3},
}


def source(name: str) -> str:
    """A script of the pages."""
    return files("noternn.pages").joinpath(name).read_text("utf-8")


def run_node(tmp_path: Path, script: str, result: str, data: Any) -> Any:
    """What a script, which comes after the engine and knows `data`, makes of its expression `result`."""
    (tmp_path / "data.json").write_text(json.dumps(data))
    ending = f"\nconsole.log(JSON.stringify({result}));"
    reading = 'const data = JSON.parse(require("fs").readFileSync(process.argv[2], "utf8"));'
    (tmp_path / "run.js").write_text(f"{ENGINE}\n{reading}\n{script}{ending}")
    assert NODE is not None
    arguments = [NODE, str(tmp_path / "run.js"), str(tmp_path / "data.json")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def trained(codec: Codec, options: dict[str, Any], pace: Pace | None = None) -> Trained:
    """A network that has learned nothing, but whose every weight matters."""
    torch.manual_seed(0)
    network = network_for(codec, options).eval()
    if network.memory is not None:
        torch.nn.init.normal_(network.memory.boosts.weight, std=0.3)
        torch.nn.init.normal_(network.memory.boosts.bias)
    return Trained(network, codec, 100.0, (4, 4), pace or Pace.default(codec.tokenizer.steps_per_beat), {})


def varied(seed: int, tokenizer: Tokenizer) -> Piece:
    """A small piece in several instruments, with drums."""
    piece = small_piece(seed)
    rng = np.random.default_rng(seed)
    programs = (40, 41, 42, 43) if isinstance(tokenizer, VoicesTokenizer) else (0, 5, 40, 127)
    return Piece.from_notes(
        piece.onset,
        piece.duration,
        piece.pitch,
        velocity=piece.velocity,
        program=rng.choice(programs, piece.num_notes),
        is_drum=rng.random(piece.num_notes) < 0.1,
        ticks_per_beat=piece.ticks_per_beat,
    )


def codec_of(tokenizer: Tokenizer) -> Codec:
    """Of some pieces; all instruments, drums and velocities that the tokenizer writes."""
    tokens = {token for seed in range(4) for token in tokenizer.tokenize(varied(seed, tokenizer))}
    return Codec(tokenizer, Vocabulary(tokens | set(tokenizer.alphabet)))
