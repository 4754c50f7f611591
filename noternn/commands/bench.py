"""`noternn bench`: compare speeds with other libraries, and with what this machine can do at most."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from noternn.commands.options import positive_int
from noternn.errors import UserError, install, is_installed
from noternn.tables import format_table

# What `bench gpu` trains.
GPU_NETWORKS = {
    "default": ["dataset=bach"],
    "2 x 1024": ["dataset=bach", "model.num_layers=2", "model.hidden_size=1024"],
    "note_rnn": ["dataset=bach", "recipe=note_rnn"],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "what",
        choices=(
            "ingest",
            "train",
            "generate",
            "start",
            "sweep",
            "memory",
            "audit",
            "infill",
            "health",
            "gpu",
        ),
        help="ingest: from MIDI files to ids; train and generate: beside the original Note-RNN's loops, in "
        "two or three minutes; start: until an answer and until the first step; sweep: jobs side by side and "
        "one after the other; memory: training on up to 10^8 tokens, in ten; audit: an index of 10^6 notes; "
        "infill: two bars by particles; health: what it tells of planted faults and of real music; "
        "gpu: training and composing on a CUDA device, in eight",
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="FOLDER",
        help="ingest: of MIDI files (pieces that are installed); health: a run's",
    )
    parser.add_argument(
        "--runs", type=positive_int, default=6, metavar="N", help="sweep: of so many runs (6)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> None:
    """Compare speeds with other libraries, and with what this machine can do at most."""
    if options.folder and options.what not in ("ingest", "health"):
        raise UserError(f"bench {options.what} {options.folder}: only ingest and health read a folder")
    if options.what == "health" and not options.folder:
        raise UserError("bench health needs a run's folder: its network and its held-out pieces")
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
        "particles_per_second": ("particles/s", "{:,.1f}"),
        "tokens_per_second": ("tokens/s", "{:,.0f}"),
        "times_reference": ("x Note-RNN", "{:.2f}"),
        "cpu_ms": ("ms of the processor", "{:,.1f}"),
        "times_scan": ("x a scan", "{:,.0f}"),
        "share_of_limit": ("of the limit", "{:.0%}"),
        "ms_per_step": ("ms a step", "{:.2f}"),
        "times_one_core": ("x one core", "{:.2f}"),
        "teraflops": ("10^12 operations/s", "{:.1f}"),
        "waits_per_step": ("waits a step", "{:.0f}"),
        "num_pieces": ("pieces", "{}"),
        "unhealthy": ("unhealthy", "{:.0%}"),
        "unusual": ("unusual", "{:.0%}"),
        "parallels": ("parallel fifths, octaves", "{:.2%}"),
        "val/nats_per_note": ("val/nats_per_note", "{:.4f}"),
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
    if options.what == "ingest":
        from noternn.bench.ingest import bench_ingest

        if not is_installed("miditok"):
            print(f"{install('miditok')} adds the reference, MidiTok", file=sys.stderr)
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
    if options.what == "infill":
        from noternn.bench.infill import bench_infill

        return bench_infill()
    if options.what == "health":
        from noternn.bench.health import bench_health

        return bench_health(options.folder)
    if options.what == "gpu":
        from noternn.bench.gpu import bench_gpu, check_cuda
        from noternn.config.schema import to_plain
        from noternn.launch.command_line import settings

        check_cuda()
        networks = {name: to_plain(settings(overrides)) for name, overrides in GPU_NETWORKS.items()}
        return bench_gpu(networks, ["dataset=bach"])
    from noternn.bench.model import bench_generate, bench_train

    return bench_train() if options.what == "train" else bench_generate()
