"""The commands beside training: `python -m noternn generate`, `evaluate`, `audit` and on."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noternn.errors import PieceError, UserError

if TYPE_CHECKING:
    from noternn.audit.against import Against, Reference
    from noternn.audit.report import Sample
    from noternn.health.checkup import Yardstick
    from noternn.music.piece import Piece
    from noternn.tokenizer import Codec

SAMPLING = ("num_notes", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repetition_window",
            "seed")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run a command; its results go to stdout, messages to stderr."""
    parser = build_parser()
    options, others = parser.parse_known_args(arguments)
    if others and (options.run is not corpus or any(other.startswith("-") for other in others)):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if others:
        options.corpus += others  # settings after options; argparse takes positionals in one place only
    try:
        options.run(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as `| head` does once it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def generate(options: argparse.Namespace) -> None:
    """Compose MIDI files with a checkpoint."""
    from noternn.health.checkup import FILE_NAME as HEALTH
    from noternn.health.checkup import Yardstick, check, measure
    from noternn.music.midi import write_midi
    from noternn.music.piano_roll import check_audio_path, save_audio
    from noternn.sampling.composer import load_composer
    from noternn.sampling.copy_model import FILE_NAME, load_weights
    from noternn.sampling.sampler import SamplingOptions

    if options.output.suffix.lower() not in (".mid", ".midi"):
        raise UserError(f"-o {options.output}: it must end in .mid or .midi")
    sounds = [suffix for suffix in (".wav", ".ogg") if getattr(options, suffix[1:])]
    for suffix in sounds:
        check_audio_path(options.output.with_suffix(suffix))
    checkpoint = _checkpoint(options.checkpoint, options.max_copied)
    composer = load_composer(checkpoint)
    folder = options.checkpoint if options.checkpoint.is_dir() else checkpoint.parent
    if options.copy:
        composer = replace(composer, copy_weights=load_weights(folder / FILE_NAME))
    primers, origins = _primers(options, composer.codec)
    beats = options.beats if options.seconds is None else options.seconds * composer.tempo / 60
    sampling = SamplingOptions(beats=beats, **{name: getattr(options, name) for name in SAMPLING})
    pieces = composer.compose_each(primers, sampling)
    paths = _output_paths(options.output, len(pieces))
    held_out = folder / HEALTH  # of a run's folder; a checkpoint alone has none
    yardstick = Yardstick.load(held_out) if held_out.is_file() else None
    for path, piece, origin in zip(paths, pieces, origins, strict=True):
        try:
            write_midi(piece, path)
            for suffix in sounds:
                save_audio(piece, path.with_suffix(suffix))
        except OSError as error:
            raise UserError(f"-o {path}: cannot be written: {error.strerror or error}") from error
        s = measure(piece)
        print(
            f"{path}: {origin}{s.num_notes} notes, {s.num_pitches} pitches, {s.beats:.0f} beats, "
            f"longest repetition {s.longest_repetition}, silent {s.silent_fraction:.0%}"
            + (f"; {check(piece, yardstick).sentence}" if yardstick else "")
        )


def _checkpoint(run: Path, max_copied: float | None) -> Path:
    """That of the best epoch, or of the best one whose samples copy at most so much."""
    from noternn.sampling.composer import checkpoint_path

    if max_copied is None:
        return checkpoint_path(run)
    from noternn.audit.curve import choose_checkpoint

    path = choose_checkpoint(run, max_copied)
    print(f"composing with {path}", file=sys.stderr)
    return path


def _primers(options: argparse.Namespace, codec: Codec) -> tuple[list[list[int]], list[str]]:
    """What each sample continues, and where that comes from, for its line."""
    from noternn.sampling.composer import encode_primer

    if options.opening:
        from noternn.evaluation.likelihood import held_out_openings, load_runs

        seeds = range(options.seed, options.seed + options.num_samples)
        primers, names = held_out_openings(load_runs([options.checkpoint])[0], seeds)
        return primers, [f"after the opening of {name}, " for name in names]
    primer: list[int] = []
    if options.primer:
        primer, line = encode_primer(options.primer, codec)
        print(line, file=sys.stderr)
    return [primer] * options.num_samples, [""] * options.num_samples


def _output_paths(path: Path, num_samples: int) -> list[Path]:
    """out.mid for one sample, out_001.mid and on for several."""
    if num_samples == 1:
        return [path]
    return [path.with_stem(f"{path.stem}_{number:03d}") for number in range(1, num_samples + 1)]


def health(options: argparse.Namespace) -> None:
    """Print what some samples are like beside held-out music, and what is wrong with them in words."""
    _check_output("--json", options.json, ".json")
    _check_output("--csv", options.csv, ".csv")
    from noternn.files import write_text
    from noternn.health.checkup import as_rows, check, describe
    from noternn.tables import write_csv

    pieces = _samples(options.samples)
    yardstick = _yardstick(options.against)
    checkups = [check(piece, yardstick, name) for name, piece in pieces.items()]
    rows = as_rows(checkups)
    if options.json:
        _write("--json", options.json, lambda path: write_text(path, json.dumps(rows, indent=1)))
    if options.csv:
        _write("--csv", options.csv, lambda path: write_csv(path, rows, list(rows[0])))
    print(describe(checkups, yardstick))


def _samples(path: Path) -> dict[str, Piece]:
    """The pieces of a file or folder by their names; what cannot be read is told and left out."""
    from noternn.datasets.sources import folder_sources, read_file

    if not path.is_dir():
        return {str(path): read_file(path)}
    pieces = {}
    for source in folder_sources(path):
        try:
            pieces[source.name] = source.read()
        except PieceError as error:
            print(f"skipped {source.name}: {error}", file=sys.stderr)
    if not pieces:
        raise UserError(f"{path}: there are no MIDI files or scores in it that can be read")
    return pieces


def _yardstick(against: str) -> Yardstick:
    """What the validation pieces of a run are like, from its folder if it is there, or of a corpus."""
    from noternn.health.checkup import FILE_NAME, Yardstick

    path = Path(against)
    folder = path.parent if path.suffix == ".ckpt" else path
    if (folder / FILE_NAME).is_file():
        return Yardstick.load(folder / FILE_NAME)
    if path.suffix == ".ckpt" or (path / "best.ckpt").is_file():
        from noternn.evaluation.likelihood import load_runs
        from noternn.training.samples import yardstick_of

        yardstick = yardstick_of(load_runs([path])[0].data)
        _write("--against", folder / FILE_NAME, yardstick.save)
        return yardstick
    from noternn.corpus.inspection import sources_at, validation_pieces
    from noternn.launch.command_line import corpus_settings

    config = corpus_settings(against, [])
    return Yardstick.of(validation_pieces(sources_at(against, config.dataset), config))


def evaluate(options: argparse.Namespace) -> None:
    """Print what the best weights of some runs come to on held-out pieces, one way and another."""
    _check_output("--json", options.json, ".json")
    from noternn.evaluation import likelihood as evaluation
    from noternn.files import write_text

    ways = evaluation.Options(options.split, options.copy, options.keys, options.dynamic)
    runs = evaluation.load_runs(options.runs)
    columns = evaluation.evaluate(runs, ways)
    print(evaluation.as_text(runs, ways, columns))
    if options.json:
        text = json.dumps(evaluation.as_plain(runs, ways, columns), indent=1)
        _write("--json", options.json, lambda path: write_text(path, text))
    saved = evaluation.save_copy_weights(runs[0], columns)
    if saved:
        print(f"written: {saved}, for generate --copy", file=sys.stderr)


def audit(options: argparse.Namespace) -> None:
    """Print what samples copy from the music that a network was trained on, beside what real pieces copy."""
    _check_output("--json", options.json, ".json")
    _check_output("--csv", options.csv, ".csv")
    from noternn.audit import report
    from noternn.audit.against import load
    from noternn.datasets.sources import file_sources, folder_sources, printable
    from noternn.files import write_text

    path, name = options.samples, printable(str(options.samples))
    if not path.exists():
        raise UserError(
            f"{name}: there is no such file or folder; give a MIDI file, a score or a folder of them"
        )
    sources = folder_sources(path) if path.is_dir() else file_sources(path, printable(path.name))
    if not sources:
        raise UserError(f"{name}: there are no MIDI files or scores in it")
    against = load(_reference(options.against))
    samples, skipped = report.audit_samples(sources, against)
    print(report.as_text(samples, skipped, against))
    if options.json:
        text = json.dumps(report.as_plain(samples, skipped, against), indent=1, ensure_ascii=False)
        _write("--json", options.json, lambda path: write_text(path, text))
    if options.csv:
        _write("--csv", options.csv, lambda path: report.save_table(samples, against, path))
    if options.picture or options.listen:
        _save_exhibits(samples, against, options)


def _save_exhibits(samples: Sequence[Sample], against: Against, options: argparse.Namespace) -> None:
    """Write what the audit found to see and to hear."""
    from noternn.audit import exhibits

    names = [sample.name for sample in samples]
    kinds = (
        ("--picture", options.picture, ".png", exhibits.save_attribution),
        ("--listen", options.listen, ".mid", exhibits.save_side_by_side),
    )
    for option, folder, suffix, save in kinds:
        if folder is None:
            continue
        for sample, name in zip(samples, exhibits.file_names(names, suffix), strict=True):
            if suffix == ".png" or sample.audit.passages:
                _write(option, folder / name, partial(save, sample, against))


def _reference(target: str) -> Reference:
    """The pieces that samples are compared with: those of a run, or a corpus."""
    from noternn.audit.against import Reference, is_run, reference_of_run

    if is_run(Path(target)):
        return reference_of_run(Path(target))
    from noternn.launch.command_line import corpus_settings

    config = corpus_settings(target, [])
    from noternn.corpus.inspection import sources_at
    from noternn.corpus.reading import ReadingOptions
    from noternn.datasets.sources import printable

    data, dataset = config.datamodule, config.dataset
    return Reference(
        title=printable(target),
        corpus=sources_at(target, dataset),
        held_out=[],
        options=ReadingOptions(dataset.tracks, dataset.pedal, dataset.limits),
        cache_dir=Path(data.cache_dir) if data.cache_dir else None,
        num_processes=data.num_processes,
    )


def tokens(options: argparse.Namespace) -> None:
    """Print the tokens of a MIDI file or score against its bars and beats, and what they lose."""
    from noternn.datasets.sources import read_file
    from noternn.tables import format_table
    from noternn.tokenizer import build_tokenizer, round_trip

    piece = read_file(options.file)
    tokenizer = build_tokenizer(options.tokenizer)
    try:
        groups = tokenizer.tokens_by_onset(piece)
    except PieceError as error:
        raise UserError(f"{options.file}: {error}") from error
    if not groups:
        raise UserError(f"{options.file}: holds no notes that this tokenizer can write (only drums?)")
    ticks = [onset * piece.ticks_per_beat / tokenizer.steps_per_beat for onset, _ in groups]
    bars, beats = piece.bars_and_beats(ticks)
    rows = [
        {"bar": bar, "beat": f"{beat:.2f}", "tokens": " ".join(group)}
        for bar, beat, (_, group) in zip(bars.tolist(), beats.tolist(), groups, strict=True)
    ]
    print(format_table(rows, ["bar", "beat", "tokens"]))
    trip = round_trip(tokenizer, piece)
    print(
        f"{piece.num_notes} notes, {sum(len(group) for _, group in groups)} tokens; "
        f"{trip.kept_fraction:.1%} of the notes come back, with errors of {trip.onset_error_beats:.3f} beats "
        f"in onset, {trip.duration_error_beats:.3f} in duration"
    )


def corpus(options: argparse.Namespace) -> None:
    """Print what a corpus holds, and write it as a table and as a page; or remove the token caches."""
    from noternn.launch.command_line import corpus_settings, other_tokenizers, settings

    if options.clear_cache:
        _clear_cache(settings(options.corpus).datamodule.cache_dir)
        return
    if not options.corpus:
        raise UserError("which corpus? give a dataset, a folder or a file: python -m noternn corpus bach")
    _check_output("--csv", options.csv, ".csv")
    _check_output("--html", options.html, ".html")
    target, *overrides = options.corpus
    config = corpus_settings(target, overrides)
    from noternn.corpus.inspection import inspect, save_table, sources_at, tokenize_part
    from noternn.corpus.overview import describe

    sources = sources_at(target, config.dataset)
    if options.shard:
        print(tokenize_part(sources, config, options.shard))
        return
    inspection = inspect(target, sources, config, other_tokenizers(config))
    if options.csv:
        _write("--csv", options.csv, lambda path: save_table(inspection, path))
    if options.html:
        from noternn.pages.corpus import save_page

        _write("--html", options.html, lambda path: save_page(inspection, path))
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


def _check_output(option: str, path: Path | None, suffix: str) -> None:
    """Refuse what could not be written before the slow work begins."""
    if path and path.suffix.lower() != suffix:
        raise UserError(f"{option} {path}: it must end in {suffix}")
    if path and path.is_dir():
        raise UserError(f"{option} {path}: there is a folder of that name")


def _write(option: str, path: Path, save: Callable[[Path], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path)
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written: {error.strerror or error}") from error
    print(f"written: {path}", file=sys.stderr)


def report(options: argparse.Namespace) -> None:
    """Print what the runs of some sweeps came to, with spreads over seeds; record them, or draw a page."""
    if options.html:
        _save_report_page(options)
        if not (options.study or options.baseline):
            return
    from noternn.runs.study import as_markdown, read_study, record

    study = read_study(options.folders, options.baseline)
    print(as_markdown(study))
    if options.study:
        try:
            written = record(study, options.study)
        except OSError as error:
            raise UserError(
                f"--study {options.study}: cannot be written: {error.strerror or error}"
            ) from error
        print(f"written: {', '.join(map(str, written))}", file=sys.stderr)


def _save_report_page(options: argparse.Namespace) -> None:
    """Write the page of some runs, finished or not: where `--html` says, or into the first folder."""
    first = options.folders[0]
    output = options.html if options.html.name else first / "report.html"
    _check_output("--html", output, ".html")
    from noternn.pages.report import check_charts, save_page
    from noternn.runs.comparison import read_runs

    check_charts()
    runs = read_runs(options.folders)
    title = ", ".join(folder.resolve().name for folder in options.folders)
    _write("--html", output, lambda path: save_page(runs, title, path))


def compare(options: argparse.Namespace) -> None:
    """Print some runs side by side: what differs between them, and what each came to so far."""
    from noternn.runs.comparison import as_text, read_runs

    print(as_text(read_runs(options.folders)))


def listen(options: argparse.Namespace) -> None:
    """Write the page on which the samples of a run are heard and seen."""
    output = options.output or options.folder / "listen.html"
    _check_output("-o", output, ".html")
    from noternn.audit.against import is_run, load, reference_of_run
    from noternn.health.checkup import FILE_NAME, Yardstick
    from noternn.pages.listen import read_run, save_page, with_audit, with_health

    run = read_run(options.folder)
    for line in run.left_out:
        print(f"left out: {line}", file=sys.stderr)
    try:
        if (options.folder / FILE_NAME).is_file():
            run = with_health(run, Yardstick.load(options.folder / FILE_NAME))
        if is_run(options.folder):
            run = with_audit(run, load(reference_of_run(options.folder)))
    except UserError as error:
        print(f"without what is copied, or healthy: {error}", file=sys.stderr)
    _write("-o", output, lambda path: save_page(run, path))


def samplers(options: argparse.Namespace) -> None:
    """Print what a network composes with one way of sampling and another."""
    _check_output("--csv", options.csv, ".csv")
    from noternn.evaluation.likelihood import load_runs
    from noternn.evaluation.samplers import compare
    from noternn.tables import format_table, write_csv

    run = load_runs([options.folder])[0]
    rows = compare(run, _yardstick(str(options.folder)), options.num_samples, options.num_notes)
    if options.csv:
        _write("--csv", options.csv, lambda path: write_csv(path, rows, list(rows[0])))
    columns = {
        "name": ("way", "{}"),
        "nats_per_note": ("nats a note", "{:.2f}"),
        "num_pitches": ("pitches", "{:.0f}"),
        "longest_repetition": ("in a row", "{:.0f}"),
        "local_scale_consistency": ("in one scale", "{:.0%}"),
        "repeated_fraction": ("heard before", "{:.0%}"),
        "healthy": ("healthy", "{}"),
        "unusual": ("unusual", "{}"),
        "unhealthy": ("unhealthy", "{}"),
        "copied_16": ("copied", "{:.1%}"),
        "longest": ("longest", "{}"),
    }
    shown = [{title: form.format(row[key]) for key, (title, form) in columns.items()} for row in rows]
    print(format_table(shown, [title for title, _ in columns.values()]))


def bench(options: argparse.Namespace) -> None:
    """Compare speeds with other libraries, and with what this machine can do at most."""
    from noternn.tables import format_table

    if options.folder and options.what != "ingest":
        raise UserError(f"bench {options.what} {options.folder}: only bench ingest reads a folder")
    line, rows = _bench(options)
    if options.json:
        print(json.dumps({"what": line, "rows": rows}))
        return
    print(line)
    formats = {
        "name": ("name", "{}"),
        "ms_per_file": ("ms a file", "{:.3f}"),
        "notes_per_second": ("notes/s", "{:,.0f}"),
        "times_miditok": ("x MidiTok", "{:.1f}"),
        "seconds": ("seconds", "{:.2f}"),
        "cpu_seconds": ("of the processor", "{:.2f}"),
        "share_of_torch": ("of import torch", "{:.2f}"),
        "times_first": ("x the first", "{:.2f}"),
        "tokens_per_second": ("tokens/s", "{:,.0f}"),
        "times_reference": ("x Note-RNN", "{:.2f}"),
        "cpu_ms": ("ms of the processor", "{:,.1f}"),
        "times_scan": ("x a scan", "{:,.0f}"),
        "share_of_limit": ("of the limit", "{:.0%}"),
        "ms_per_step": ("ms a step", "{:.2f}"),
        "disk_mb": ("MB on disk", "{:,.0f}"),
        "first_start_s": ("first start (s)", "{:.1f}"),
        "first_peak_mb": ("peak then (MB)", "{:,.0f}"),
        "second_start_s": ("next start (s)", "{:.1f}"),
        "peak_mb": ("peak then on (MB)", "{:,.0f}"),
        "ms_per_batch": ("ms a batch", "{:.2f}"),
        "spread": ("slowest/fastest", "{:.2f}"),
    }
    shown = [
        {
            formats[key][0]: "" if value is None else formats[key][1].format(value)
            for key, value in row.items()
        }
        for row in rows
    ]
    print(format_table(shown, list(shown[0])))


def _bench(options: argparse.Namespace) -> tuple[str, list[dict[str, Any]]]:
    """What was measured, in a line, and its rows."""
    import importlib.util

    if options.what == "ingest":
        from noternn.bench.ingest import bench_ingest

        if not importlib.util.find_spec("miditok"):
            print('pip install "noternn[miditok]" adds the reference, MidiTok', file=sys.stderr)
        return bench_ingest(options.folder)
    if options.what in ("start", "sweep"):
        from noternn.bench.start import bench_start, bench_sweep

        return bench_start() if options.what == "start" else bench_sweep(options.runs)
    if options.what == "memory":
        from noternn.bench.memory import bench_memory

        return bench_memory()
    if options.what == "audit":
        from noternn.bench.audit import bench_audit

        return bench_audit()
    from noternn.bench.model import bench_generate, bench_train

    return bench_train() if options.what == "train" else bench_generate()


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m noternn", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    g = commands.add_parser("generate", help="compose a MIDI file with a trained network")
    g.add_argument(
        "checkpoint", type=Path, metavar="RUN_OR_CHECKPOINT", help="a run's folder or a .ckpt file"
    )
    g.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.mid", help="the file to write")
    length = g.add_mutually_exclusive_group()
    length.add_argument("--num-notes", type=_positive_int, default=500, help="notes to compose (500)")
    length.add_argument(
        "--beats", type=_positive_float, help="or quarter notes; what would ring on is cut there"
    )
    length.add_argument("--seconds", type=_positive_float, help="or seconds, likewise")
    g.add_argument(
        "--temperature", type=_temperature, default=1.0, help="above 1 is bolder, below 1 safer (1.0)"
    )
    g.add_argument(
        "--top-k",
        type=_natural,
        default=0,
        metavar="K",
        help="choose among the K most probable tokens, 0 for all, 1 is greedy (0)",
    )
    g.add_argument(
        "--top-p",
        type=_top_p,
        default=0.9,
        metavar="P",
        help="and the fewest that together have probability P, 1 for all (0.9)",
    )
    g.add_argument(
        "--min-p",
        type=_fraction,
        default=0.0,
        metavar="P",
        help="and those at least P times as probable as the first, 0 for all (0.0)",
    )
    g.add_argument(
        "--repetition-penalty",
        type=_penalty,
        default=1.0,
        metavar="R",
        help="pitches of the last notes get less probable, p ** R, 1 for none (1.0)",
    )
    g.add_argument(
        "--repetition-window", type=_positive_int, default=16, metavar="N", help="of the last N notes (16)"
    )
    g.add_argument("--seed", type=_natural, default=0, help="the same seed gives the same file (0)")
    g.add_argument(
        "--num-samples",
        type=_positive_int,
        default=1,
        metavar="N",
        help="write OUT_001.mid and on, made together with the seeds from --seed on (1)",
    )
    start = g.add_mutually_exclusive_group()
    start.add_argument("--primer", type=Path, metavar="IN.mid", help="a MIDI file or score to continue")
    start.add_argument(
        "--opening",
        action="store_true",
        help="continue the opening of a validation piece, which --seed chooses; needs the run's corpus",
    )
    g.add_argument(
        "--copy",
        action="store_true",
        help="mix in the copy model, whose weights evaluate --copy has left beside the checkpoint",
    )
    g.add_argument("--wav", action="store_true", help="also write the sound, as OUT.wav")
    g.add_argument("--ogg", action="store_true", help="also write the sound, as OUT.ogg (the extra ogg)")
    g.add_argument(
        "--max-copied",
        type=_fraction,
        metavar="SHARE",
        help="take the run's best checkpoint among those of whose samples at most this share of the notes, "
        "0 to 1, stands in passages of 16 from training",
    )
    g.set_defaults(run=generate)
    h = commands.add_parser("health", help="compare samples with held-out music, and say what is wrong")
    h.add_argument("samples", type=Path, metavar="SAMPLE_OR_FOLDER", help="a MIDI file or score, or many")
    h.add_argument(
        "--against",
        required=True,
        metavar="RUN_OR_CORPUS",
        help="whose validation pieces are the yardstick: a run's folder, a dataset or a folder of music",
    )
    h.add_argument("--json", type=Path, metavar="OUT.json", help="write a row for each sample as JSON")
    h.add_argument("--csv", type=Path, metavar="OUT.csv", help="write the same as CSV")
    h.set_defaults(run=health)
    e = commands.add_parser("evaluate", help="measure trained networks on held-out pieces, in several ways")
    e.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folders of runs; several are an ensemble"
    )
    e.add_argument(
        "--split", choices=("validation", "test"), default="validation", help="which pieces (validation)"
    )
    e.add_argument("--dynamic", action="store_true", help="adapt the weights within each piece")
    e.add_argument(
        "--keys", type=_positive_int, default=1, metavar="N", help="average over N transpositions (1)"
    )
    e.add_argument("--copy", action="store_true", help="mix in the copy model, and keep its weights")
    e.add_argument("--json", type=Path, metavar="OUT.json", help="write the same as JSON")
    e.set_defaults(run=evaluate)
    a = commands.add_parser("audit", help="say what samples copy from the music that was learned from")
    a.add_argument(
        "samples", type=Path, metavar="SAMPLE_OR_FOLDER", help="a MIDI file, a score or a folder of them"
    )
    a.add_argument(
        "--against",
        required=True,
        metavar="RUN_OR_CORPUS",
        help="a run's folder, whose training pieces count; or a dataset, folder or file, all of which does",
    )
    a.add_argument("--json", type=Path, metavar="OUT.json", help="write all that was found as JSON")
    a.add_argument("--csv", type=Path, metavar="OUT.csv", help="write a row for each sample")
    a.add_argument(
        "--picture", type=Path, metavar="FOLDER", help="draw each sample in the colors of its sources"
    )
    a.add_argument(
        "--listen", type=Path, metavar="FOLDER", help="write copied passages and their sources as MIDI"
    )
    a.set_defaults(run=audit)
    t = commands.add_parser("tokens", help="print a MIDI file as tokens, against bars and beats")
    t.add_argument("file", type=Path, metavar="FILE.mid", help="the file to read")
    t.add_argument(
        "--tokenizer",
        choices=("event", "chord", "frames", "voices", "miditok"),
        default="event",
        help="with its defaults (event)",
    )
    t.set_defaults(run=tokens)
    c = commands.add_parser("corpus", help="look at a corpus before training on it")
    c.add_argument(
        "corpus",
        nargs="*",
        metavar="DATASET_OR_PATH NAME=VALUE",
        help="what to look at, and settings as of train.py",
    )
    c.add_argument("--csv", type=Path, metavar="OUT.csv", help="write a row for each file")
    c.add_argument("--html", type=Path, metavar="OUT.html", help="write a page with pictures")
    c.add_argument(
        "--shard", type=_part, metavar="I/N", help="only tokenize the I-th of N parts, and look at nothing"
    )
    c.add_argument("--clear-cache", action="store_true", help="remove the token caches, and look at nothing")
    c.set_defaults(run=corpus)
    w = commands.add_parser("samplers", help="compare ways of sampling from one network")
    w.add_argument("folder", type=Path, metavar="RUN", help="a run's folder")
    w.add_argument("--num-samples", type=_positive_int, default=16, metavar="N", help="with each way (16)")
    w.add_argument("--num-notes", type=_positive_int, default=200, metavar="N", help="of each sample (200)")
    w.add_argument("--csv", type=Path, metavar="OUT.csv", help="write the same as a table")
    w.set_defaults(run=samplers)
    r = commands.add_parser("report", help="compare the arms of sweeps, with spreads over seeds")
    r.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="of sweeps or runs; their runs are one study"
    )
    r.add_argument("--baseline", metavar="ARM", help="what others are compared with (the first by name)")
    r.add_argument(
        "--study",
        type=Path,
        metavar="experiments/NAME",
        help="write results.csv and figures there, and the table into its README.md",
    )
    r.add_argument(
        "--html",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="OUT.html",
        help="instead write a page of runs, finished or not, with curves and samples (FOLDER/report.html)",
    )
    r.set_defaults(run=report)
    d = commands.add_parser("compare", help="print runs side by side: what differs, what each came to")
    d.add_argument(
        "folders", type=Path, nargs="+", metavar="RUN", help="folders of runs, finished or not, or of sweeps"
    )
    d.set_defaults(run=compare)
    p = commands.add_parser("listen", help="write a page that plays and shows the samples of a run")
    p.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, also of one that still trains")
    p.add_argument("-o", "--output", type=Path, metavar="OUT.html", help="the page (RUN/listen.html)")
    p.set_defaults(run=listen)
    b = commands.add_parser("bench", help="compare speeds with other libraries, side by side")
    b.add_argument(
        "what",
        choices=("ingest", "train", "generate", "start", "sweep", "memory", "audit"),
        help="ingest: from MIDI files to ids; train and generate: beside the original Note-RNN's loops, in "
        "two or three minutes; start: until an answer and until the first step; sweep: jobs side by side and "
        "one after the other; memory: training on up to 10^8 tokens, in ten; audit: an index of 10^6 notes",
    )
    b.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="FOLDER",
        help="ingest: of MIDI files (pieces that are installed)",
    )
    b.add_argument("--runs", type=_positive_int, default=6, metavar="N", help="sweep: of so many runs (6)")
    b.add_argument("--json", action="store_true", help="print JSON")
    b.set_defaults(run=bench)
    return parser


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, total = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= total:
        raise argparse.ArgumentTypeError(f"{text}: it must be I/N such as 3/16, with I from 1 to N")
    return number, total


def _positive_int(text: str) -> int:
    return _number(int(text), minimum=1)


def _natural(text: str) -> int:
    return _number(int(text), minimum=0)


def _number(value: int, minimum: int) -> int:
    if value < minimum:
        raise argparse.ArgumentTypeError(f"{value}: it must be at least {minimum}")
    return value


def _positive_float(text: str) -> float:
    return _within(text, lambda value: 0 < value < float("inf"), "above 0")


def _temperature(text: str) -> float:
    allowed = "above 0; for the most probable token every time give --top-k 1"
    return _within(text, lambda value: 0 < value < float("inf"), allowed)


def _top_p(text: str) -> float:
    return _within(text, lambda value: 0 < value <= 1, "above 0 and at most 1")


def _fraction(text: str) -> float:
    return _within(text, lambda value: 0 <= value <= 1, "0 to 1")


def _penalty(text: str) -> float:
    return _within(text, lambda value: 1 <= value < float("inf"), "at least 1")


def _within(text: str, is_allowed: Callable[[float], bool], allowed: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not is_allowed(value):
        raise argparse.ArgumentTypeError(f"{text}: it must be {allowed}")
    return value


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack letters of a file's name
    logging.basicConfig(format="%(message)s")
    logging.getLogger("noternn").setLevel(logging.INFO)
    sys.exit(main())
