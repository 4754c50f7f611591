"""What a run says at its start and at its end."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noternn.config.programs import program_command, python_command, quoted, train_command
from noternn.config.training import Logger
from noternn.files import shortest
from noternn.metrics import SplitSize
from noternn.runs.epochs import interval_of
from noternn.runs.folder import RunFolder
from noternn.runs.verdict import fits_base
from noternn.sampling.choice import Choice
from noternn.training.optim import Schedule
from noternn.training.tracking import Tracker

log = logging.getLogger(__name__)

MAX_PARAMETERS_PER_NOTE = 30  # see `describe_network`


def describe_network(num_parameters: int, num_train_notes: int, tokenizer: Mapping[str, Any]) -> None:
    """Say how large a new network is beside its corpus, and warn above `MAX_PARAMETERS_PER_NOTE`.

    A recurrent network can store about 5 bits a parameter (Collins, Sohl-Dickstein and Sussillo 2017,
    "Capacity and trainability in recurrent neural networks"), and a note is worth about 6 bits before its
    piece is known. So from one parameter a note on it can hold the corpus by heart, and only
    regularization keeps it from that: on Bach's chorales well at 7 a note, while 104 (the original Note-RNN's
    3 x 512) overfit from early on. The bound is about the geometric mean of these two.
    """
    per_note = num_parameters / max(1, num_train_notes)
    log.info("network: %s parameters, %.1f a training note", f"{num_parameters:,}", per_note)
    if per_note > MAX_PARAMETERS_PER_NOTE:
        log.warning(
            "  far too many for this corpus (above %d a note): it may learn it by heart; %stake more music",
            MAX_PARAMETERS_PER_NOTE,
            "start from a trained one (recipe=from_base), or " if fits_base(tokenizer) else "",
        )


def describe_steps(schedule: Schedule, training: SplitSize, lr: float) -> None:
    """Say so where steps are smaller than `optimizer.lr`, for pieces are long."""
    share = schedule.by_length(training.num_tokens, training.num_pieces)
    if share < 1:
        log.info(
            "learning rate %.2g, not %g: a training piece has %s tokens (schedule.piece_tokens=%d)",
            *(share * lr, lr, f"{training.num_tokens // training.num_pieces:,}", schedule.piece_tokens),
        )


def describe_ranks(num_ranks: int, num_lanes: int) -> None:
    """Say how many processes train, if it is more than one, and how many lanes each has."""
    if num_ranks > 1:
        log.info(
            "%d ranks of %d lanes: they train as one of %d would", num_ranks, num_lanes, num_ranks * num_lanes
        )


def say_not_audited(num_train_notes: int) -> None:
    """Say that the training pieces are too many for an audit beside the training."""
    log.info(
        "samples are not audited: %s training notes are too many for it; see %s audit",
        f"{num_train_notes:,}",
        program_command(),
    )


def say_how_to_resume(run_dir: Path) -> None:
    """Say how a run that was stopped goes on."""
    is_resumable = RunFolder(run_dir).last_checkpoint.exists()
    between = "; " if is_resumable else " before the first step: "
    log.info("stopped%s%s", between, how_to_resume(run_dir))


def how_to_resume(run_dir: Path) -> str:
    """How a run that was ended goes on."""
    if not RunFolder(run_dir).last_checkpoint.exists():
        return "there is nothing to resume"
    place = shlex.quote(f"resume={shortest(run_dir)}")
    return f"go on with: {train_command()} {place}"


def summary_text(
    summary: dict[str, Any], choice: Choice, run_dir: Path, logger: Logger, tracker: Tracker
) -> str:
    """What a run came to, where it lies, and what to do next."""
    lines = [
        "",
        summary["verdict"],
        *summary["advice"],
        *_loss_lines(summary),
        *([f"  samples              {choice.sentence}"] if choice.tried else []),
        *_sample_lines(summary["sample"]),
        *_copied_lines(summary),
        f"  run folder           {shortest(run_dir)}",
        "    best.ckpt last.ckpt metrics.csv curves.png sample.mid sample.png sample.wav split.json",
        *_tracker_lines(tracker),
        *_logger_lines(run_dir, logger),
        *_next_lines(run_dir),
    ]
    return "\n".join(lines)


def _loss_lines(summary: dict[str, Any]) -> list[str]:
    return [
        f"  best epoch           {summary['best_epoch']} of {summary['num_epochs']}",
        f"  val/nll              {summary['val/nll']:.4f} nats per token, "
        f"{summary['val/nats_per_note']:.4f} per note",
        *_interval_lines(summary),
        f"  generalization gap   {summary['gap/nll']:.4f} at the best epoch, "
        f"{summary['last/gap/nll']:.4f} at the last",
        f"  parameters           {summary['num_parameters']:,}",
        f"  seconds              {summary['seconds']:.0f}",
    ]


def _interval_lines(summary: dict[str, Any]) -> list[str]:
    around, num_pieces = interval_of(summary), summary["num_validation_pieces"]
    if around is None:
        return []
    low, high = around
    return [f"                       {low:.4f} to {high:.4f}: 95 % interval over {num_pieces} pieces"]


def _sample_lines(sample: dict[str, Any]) -> list[str]:
    return [
        f"  sample               {sample['num_notes']} notes, {sample['num_pitches']} pitches, "
        f"longest repetition {sample['longest_repetition']}, silent {sample['silent_fraction'] or 0:.0%}",
        f"                       {sample['health']}",
    ]


def _copied_lines(summary: dict[str, Any]) -> list[str]:
    if "audit/copied_16" not in summary:
        return []
    copied, limit = summary["audit/copied_16"], summary["audit/copied_16_held_out_95"]
    near, near_limit = summary["audit/near_16"], summary["audit/near_16_held_out_95"]
    beside = "" if limit is None else f" (in 95 of 100 held-out pieces at most {limit:.0%})"
    beside_near = "" if near_limit is None else f" ({near_limit:.0%})"
    return [
        f"  copied               {copied:.0%} of the samples' notes, in passages of 16{beside}",
        f"                       {near:.0%} with a wrong note now and then{beside_near}",
        *_from_start_lines(summary),
    ]


def _from_start_lines(summary: dict[str, Any]) -> list[str]:
    if "audit/start_16" not in summary:
        return []
    start = summary["started_from"]["dataset"]
    return [
        f"                       {summary['audit/start_16']:.0%} from {start}, which its start learned from"
    ]


def _tracker_lines(tracker: Tracker) -> list[str]:
    if not tracker.directory:
        return []
    lines = [f"  wandb                {'offline' if tracker.offline else tracker.url}"]
    if tracker.offline:
        lines.append(
            f"    look at it         {python_command()} -m wandb leet {quoted(tracker.directory.parent)}"
        )
        lines.append(f"    upload it          {python_command()} -m wandb sync {quoted(tracker.directory)}")
    return lines


def _logger_lines(run_dir: Path, logger: Logger) -> list[str]:
    lines = []
    if logger.tensorboard:
        folder = quoted(run_dir.parent)
        lines.append(f"  tensorboard          {python_command()} -m tensorboard.main --logdir {folder}")
    if logger.trackio:
        project = shlex.quote(logger.project)
        lines.append(f"  trackio              {python_command()} -m trackio.cli show --project {project}")
    return lines


def _next_lines(run_dir: Path) -> list[str]:
    program = program_command()
    return [
        f"  listen               {program} listen {quoted(run_dir)}",
        f"  compose more         {program} generate {quoted(run_dir)} -o more.mid",
    ]
