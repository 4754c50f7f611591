"""Checkpoints as safetensors."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch

from noternn.errors import UserError
from noternn.model.checkpoint import load_checkpoint, save_safetensors, trained_of

pytest.importorskip("safetensors", reason="the extra safetensors is not installed")


def test_what_was_written_comes_back(tiny_run: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_run / "best.ckpt")
    path = tmp_path / "model.safetensors"
    save_safetensors(checkpoint, path)
    first, second = (trained_of(content, path) for content in (checkpoint, load_checkpoint(path)))
    assert second.codec.vocabulary.tokens == first.codec.vocabulary.tokens
    assert (second.tempo, second.metre, second.pace) == (first.tempo, first.metre, first.pace)
    assert second.drawing == first.drawing
    own = first.network.state_dict()
    assert all(torch.equal(own[name], part) for name, part in second.network.state_dict().items())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no safetensors",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 38) + b'{"__metadata__":{"noternn":"[1, 2]"}}  ',
        struct.pack("<Q", 38) + b'{"__metadata__":{"noternn":"{{{{{{"}}  ',
    ],
)
def test_other_files_are_refused_in_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.safetensors: "):
        trained_of(load_checkpoint(path), path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a readable"):
        load_checkpoint(tmp_path / "a.safetensors")
