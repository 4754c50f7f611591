"""`noternn verify`: compose a file again from what it says of itself, and compare the bytes."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from noternn.commands.options import run_at
from noternn.errors import UserError

if TYPE_CHECKING:
    from noternn.sampling.provenance import Given, Provenance
MOST = {"num_notes": 100_000, "beats": 50_000, "seconds": 50_000, "particles": 10_000}  # that is composed


class _Parser(argparse.ArgumentParser):
    """Reads options from a file that anyone may have written."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with them."""
        raise UserError(f"its options are not those of noternn generate: {message}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, metavar="OUT.mid", help="a file that noternn generate wrote")
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="RUN_OR_CHECKPOINT",
        help="the run's folder or .ckpt file that it says it comes from",
    )
    parser.add_argument(
        "--card",
        type=Path,
        metavar="OUT.json",
        help="compose it from this card, which must say what the file itself does",
    )
    parser.add_argument(
        "--given",
        type=Path,
        metavar="IN.mid",
        help="the primer, melody or music that it was composed from (a file of that name beside it or here)",
    )


def run(options: argparse.Namespace) -> None:
    """Say whether a file comes again byte for byte; an error if not."""
    import noternn
    from noternn.commands.composed import Composing, copied_in, file_bytes
    from noternn.music.limits import DEFAULT_LIMITS, read_limited
    from noternn.sampling.provenance import read_provenance

    record = read_provenance(options.card or options.file)
    data = read_limited(options.file, DEFAULT_LIMITS.max_bytes)
    if record.version != noternn.__version__:
        raise UserError(
            f"{options.file}: NoteRNN {record.version} composed it, and this is {noternn.__version__}, "
            "which may compose otherwise"
        )
    options.checkpoint = run_at(options.checkpoint)
    checkpoint = _checkpoint(options.checkpoint, record)
    given = _given(options, record)
    asked = _options(options, record, given)
    composing = Composing(asked, checkpoint)
    (sample,) = composing.compose(1)
    copied = copied_in(sample, composing.against) if asked.audit else None
    made = composing.provenance(sample, record.given, copied)
    text = replace(made, checkpoint=record.checkpoint, weights=record.weights).text()
    again = file_bytes(sample.written, options.file.suffix, text)
    if again != data:
        raise UserError(
            f"{options.file}: differs from what {checkpoint} composes with its options: it was changed, "
            "or another machine composed it"
        )
    print(f"{options.file}: the same {len(data):,} bytes come again from {checkpoint}")


def _checkpoint(run: Path, record: Provenance) -> Path:
    """The checkpoint of a run, or the one that was named, if it or its weights are those of the record."""
    from noternn.model.checkpoint import checkpoint_path, load_checkpoint, weights_sha256
    from noternn.runs.folder import RunFolder
    from noternn.sampling.provenance import sha256_of

    paths = [checkpoint_path(run)]
    if run.is_dir():
        folder = RunFolder(run)
        paths += [folder.last_checkpoint, *sorted(folder.checkpoints.glob("*.ckpt"))]
    for path in paths:
        if path.is_file() and sha256_of(path) == record.checkpoint:
            return path
    if record.weights and weights_sha256(load_checkpoint(paths[0])) == record.weights:
        return paths[0]  # it was exported
    raise UserError(
        f"{run}: another checkpoint composed the file, of sha256 {record.checkpoint[:16]}...; "
        f"that of {paths[0].name} is {sha256_of(paths[0])[:16]}..."
    )


def _given(options: argparse.Namespace, record: Provenance) -> Path | None:
    """Where the file lies that the sample was composed from; None if there is none."""
    if record.given is None:
        return None
    name = record.given.name
    paths: list[Path] = [options.given] if options.given else [options.file.with_name(name), Path(name)]
    for path in paths:
        if _is_that(path, record.given):
            return path
    where = f"{options.given} is not" if options.given else "here is not"
    raise UserError(
        f"{options.file}: it was composed from {name} of sha256 {record.given.sha256[:16]}..., which {where} "
        "the same; give that file with --given"
    )


def _is_that(path: Path, given: Given) -> bool:
    from noternn.datasets.sources import file_of
    from noternn.sampling.provenance import sha256_of

    file = file_of(path)
    return file.is_file() and sha256_of(file) == given.sha256


def _options(options: argparse.Namespace, record: Provenance, given: Path | None) -> argparse.Namespace:
    """The options of `noternn generate` that the record tells."""
    from noternn.commands import generate
    from noternn.commands.composed import STARTS

    parser = _Parser(add_help=False, allow_abbrev=False)
    generate.add_arguments(parser)
    arguments = [
        f"--{name}={given}" if name in STARTS else text
        for name, text in zip(record.options, record.arguments(), strict=True)
    ]
    if given is None and any(name in STARTS for name in record.options):
        raise UserError(f"{options.file}: what it says of where it comes from is damaged")
    try:
        asked = parser.parse_args([str(options.checkpoint), "-o", str(options.file), *arguments])
    except UserError as error:
        raise UserError(f"{options.file}: {error}") from error
    for name, most in MOST.items():
        value = getattr(asked, name)
        if isinstance(value, int | float) and value > most:
            raise UserError(f"{options.file}: it asks for {name}={value:,}; at most {most:,} come again")
    return asked
