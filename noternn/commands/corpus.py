"""`noternn corpus`: look at a corpus before training on it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from noternn.commands.options import check_outputs, corpus_at, write
from noternn.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "corpus",
        nargs="*",
        metavar="DATASET_OR_PATH NAME=VALUE",
        help="what to look at, and settings as of train.py",
    )
    parser.add_argument("--csv", type=Path, metavar="OUT.csv", help="write a row for each file")
    parser.add_argument("--html", type=Path, metavar="OUT.html", help="write a page with pictures")
    parser.add_argument(
        "--shard", type=_part, metavar="I/N", help="only tokenize the I-th of N parts, and look at nothing"
    )
    parser.add_argument(
        "--clear-cache", action="store_true", help="remove the token caches, and look at nothing"
    )


def run(options: argparse.Namespace) -> None:
    """Print what a corpus holds, and write it as a table and as a page; or remove the token caches."""
    from noternn.config.programs import program_command
    from noternn.launch.command_line import other_tokenizers, settings

    if options.clear_cache:
        _clear_cache(settings(options.corpus).datamodule.cache_dir)
        return
    if not options.corpus:
        given = "give a dataset, a folder or a file"
        raise UserError(f"which corpus? {given}: {program_command()} corpus bach")
    check_outputs(options, "csv", "html")
    target, *overrides = options.corpus
    sources, config = corpus_at(target, overrides)
    from noternn.corpus.inspection import inspect, save_table, tokenize_part
    from noternn.corpus.overview import describe

    if options.shard:
        print(tokenize_part(sources, config, options.shard))
        return
    inspection = inspect(target, sources, config, other_tokenizers(config))
    if options.csv:
        write("--csv", options.csv, lambda path: save_table(inspection, path))
    if options.html:
        from noternn.pages.corpus import save_page

        write("--html", options.html, lambda path: save_page(inspection, path))
    print(describe(inspection))


def _clear_cache(cache_dir: str | None) -> None:
    """Remove the token caches, and say how much that freed."""
    from noternn.corpus.cache import clear

    if cache_dir is None:
        raise UserError("datamodule.cache_dir=null: there is no cache to clear")
    try:
        freed = clear(Path(cache_dir))
    except OSError as error:
        raise UserError(f"{cache_dir}: cannot be cleared: {error.strerror or error}") from error
    print(f"{cache_dir}: {freed / 1e6:,.1f} MB of token caches removed")


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, total = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= total:
        raise argparse.ArgumentTypeError(f"{text}: it must be I/N such as 3/16, with I from 1 to N")
    return number, total
