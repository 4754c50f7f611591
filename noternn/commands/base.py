"""`noternn base`: train a network to start from, on the music that is installed."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("runs/base"), help="folder of its run (default runs/base)"
    )
    parser.add_argument(
        "--free",
        action="store_true",
        help="learn only from music whose terms plainly allow to pass the network on: Freedoom's",
    )


def run(options: argparse.Namespace) -> None:
    """Train a network on all installed music, and write its best weights in 16 bits beside the run."""
    from noternn.config.programs import quoted, train_command
    from noternn.launch.start import main as train
    from noternn.model.checkpoint import checkpoint_path, load_checkpoint, write_small
    from noternn.runs.folder import RunFolder

    folder = RunFolder(options.output)
    dataset = ["dataset=freedoom"] if options.free else []
    is_begun = folder.last_checkpoint.is_file() and not folder.summary.is_file()
    if is_begun:
        train([f"resume={quoted(options.output)}"])
    elif not folder.summary.is_file():
        train(["experiment=base", *dataset, f"hydra.run.dir={quoted(options.output)}"])
    small = options.output / "base.ckpt"
    write_small(load_checkpoint(checkpoint_path(options.output)), small)
    print(f"{small}: {small.stat().st_size / 1e6:.1f} MB; start from it with:")
    print(f"  {train_command()} init_from={quoted(options.output)} recipe=finetune dataset=...")
