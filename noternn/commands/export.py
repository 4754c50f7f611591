"""`noternn export`: a trained network for other programs, as safetensors, ONNX or a folder for a hub."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noternn.commands.options import write
from noternn.errors import UserError, require

if TYPE_CHECKING:
    from noternn.runs.card import Card

EXTRAS = {"safetensors": "safetensors", "onnx": "onnx", "hub": "safetensors"}  # of each option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="where to write (RUN/export)")
    parser.add_argument(
        "--safetensors",
        action="store_true",
        help="weights, vocabulary and settings as model.safetensors, which generate takes as a checkpoint",
    )
    parser.add_argument(
        "--onnx", action="store_true", help="one step of the network as model.onnx, its state in and out"
    )
    parser.add_argument(
        "--hub",
        action="store_true",
        help="a folder for `huggingface-cli upload`: model.safetensors, a sample and the curves",
    )


def run(options: argparse.Namespace) -> None:
    """Write the files that are asked for, and a README that says what they are."""
    asked = [name for name in EXTRAS if getattr(options, name)]
    if not asked:
        raise UserError("export: give --safetensors, --onnx or --hub")
    if not options.folder.is_dir():
        raise UserError(f"{options.folder}: no folder of a run")
    for name in asked:
        require(EXTRAS[name], f"--{name}")
    from noternn.files import write_text
    from noternn.model.checkpoint import checkpoint_path, load_checkpoint, save_safetensors
    from noternn.runs.card import read_card

    folder = options.output or options.folder / "export"
    path = checkpoint_path(options.folder)
    checkpoint = load_checkpoint(path)
    if options.onnx:
        _write_onnx(checkpoint, path, folder / "model.onnx")
    if options.safetensors or options.hub:
        write("-o", folder / "model.safetensors", lambda out: save_safetensors(checkpoint, out))
    if options.hub:
        _copy_music(options.folder, folder)
    text = _readme(read_card(options.folder), folder)
    write("-o", folder / "README.md", lambda out: write_text(out, text))


def _write_onnx(checkpoint: dict[str, Any], path: Path, out: Path) -> None:
    from noternn.model.checkpoint import trained_of
    from noternn.model.one_step import save_onnx
    from noternn.model.plain import described

    trained = trained_of(checkpoint, path)
    write("-o", out, lambda file: save_onnx(trained.network, described(trained), file))


def _copy_music(run: Path, folder: Path) -> None:
    """Copy the sample and the curves of a run, as far as it has them."""
    from noternn.runs.folder import RunFolder

    for path in (RunFolder(run).curves, RunFolder(run).sample):
        if path.is_file():
            write("-o", folder / path.name, lambda out, path=path: shutil.copyfile(path, out))  # type: ignore[misc]


def _readme(card: Card, folder: Path) -> str:
    """The model card: what the network is, what it learned from, and how to use what is in the folder."""
    from noternn.runs.card import markdown
    from noternn.runs.folder import RunFolder

    lines = ["---", "library_name: noternn", "tags: [music, midi, lstm, symbolic-music]", "---", ""]
    lines += [markdown(card), "## How to use it", ""]
    if (folder / "model.safetensors").is_file():
        lines += ["```bash", 'pip install "noternn[safetensors]"']
        lines += ["noternn generate model.safetensors -o out.mid --num-notes 500", "```", ""]
        lines += ["`model.safetensors` holds the vocabulary, the tokenizer and all settings as JSON, under"]
        lines += ["`noternn` in its metadata.", ""]
    if (folder / "model.onnx").is_file():
        lines += ["`model.onnx` is one step: `ids` and the parts of the state (`hidden_in`, `cell_in`,"]
        lines += ["`recent_in`, `clock_in`, `pitches_in`, all zeros at the start of a piece) give the"]
        lines += [
            "log-probabilities of the next ids, `log_probs`, and the state after them. A network with a"
        ]
        lines += ["memory also takes what it suggests, `suggested`: see `noternn/model/recall.py`."]
        lines += ["What the ids are stands as JSON under `noternn` in its metadata.", ""]
    curves, sample = RunFolder(folder).curves, RunFolder(folder).sample
    if curves.is_file():
        lines += [f"![the curves]({curves.name})", ""]
    if sample.is_file():
        lines += [f"`{sample.name}` is what it composed at the end of its training.", ""]
    return "\n".join(lines)
