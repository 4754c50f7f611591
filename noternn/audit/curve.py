"""How much the samples of a run copy, from checkpoint to checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from noternn.audit.figures import LENGTHS, Figures, RealFigures, measure, pooled, spread
from noternn.audit.index import Index
from noternn.audit.streams import Ints
from noternn.errors import UserError
from noternn.music.piece import Piece
from noternn.runs.epochs import MAX_EPOCH
from noternn.runs.folder import RunFolder
from noternn.tables import read_csv, write_csv

EXACT = tuple(f"audit/{name}" for name in Figures._fields[1:])
NEAR = tuple(f"audit/near_{name.removeprefix('copied_')}" for name in Figures._fields[1:])
COLUMNS = ("epoch", *EXACT, "num_notes", *NEAR)
START = "audit/start_16"  # of a run that starts from another: its samples, from what that one learned from
COUNTS = ("epoch", "audit/longest", "num_notes", "audit/near_longest")


class Copied(NamedTuple):
    """What a sample copies.

    Args:
        exact: note for note.
        near: with a wrong note now and then, see `noternn.audit.index.Audit.near`.
    """

    exact: Figures
    near: Figures


def copied_after(index: Index, piece: Piece, start: int) -> Copied:
    """What a sample copies beyond its primer.

    Args:
        index: of the training pieces.
        piece: the sample, primer included: a passage may begin in it.
        start: the first tick at which what was composed may begin.
    """
    is_new = (piece.onset >= start) & ~piece.is_drum
    audit = index.audit(piece)
    return Copied(*(_figures(rule.longest[is_new]) for rule in (audit, audit.near)))


def _figures(longest: Ints) -> Figures:
    """The figures of some notes by the longest passages that they stand in."""
    short, middle, long = (float((longest >= length).sum() / max(1, len(longest))) for length in LENGTHS)
    return Figures(len(longest), short, middle, long, int(longest.max(initial=0)))


def note_audit(
    path: Path, epoch: int, copied: Sequence[Copied], from_start: Sequence[Copied] = ()
) -> dict[str, float]:
    """Put the row of an epoch into a run's audit.csv: its samples as if they were one.

    Args:
        path: of audit.csv.
        epoch: counted from 1.
        copied: of each sample, from the training pieces.
        from_start: of each sample, from the music of what the run started from; none if that is not known.

    Returns:
        the row.
    """
    exact, near = (pooled([both[rule] for both in copied]) for rule in range(2))
    row: dict[str, float] = dict(zip(COLUMNS, (epoch, *exact[1:], exact.num_notes, *near[1:]), strict=True))
    if from_start:
        row[START] = pooled([both.exact for both in from_start]).copied_16
    before = read_csv(path) if path.exists() else []
    rows = {other["epoch"]: other for other in [*before, row]}
    columns = (*COLUMNS, START) if any(START in other for other in rows.values()) else COLUMNS
    write_csv(path, [_written(rows[e]) for e in sorted(rows)], columns)
    return row


def _written(row: dict[str, float]) -> dict[str, float]:
    """A row as it is written; what an earlier version did not measure is no number."""
    whole = {name: int(row[name]) for name in COUNTS if name in row and math.isfinite(row[name])}
    return {**dict.fromkeys(COLUMNS, math.nan), **row, **whole}


def held_out_limit(index: Index, held_out: Sequence[Piece]) -> tuple[float | None, float | None]:
    """The `copied_16`, exact and near, that 95 of 100 held-out pieces stay below; None without any."""
    kept = [held_out[i] for i in spread(len(held_out))]
    exact, near = (RealFigures(f, f[:0]).limit() for f in measure(index, kept, [None] * len(kept)))
    return exact, near


def choose_checkpoint(run: Path, max_copied: float) -> Path:
    """The checkpoint of a run with the best validation among those whose samples copy little enough.

    Args:
        run: its folder.
        max_copied: the largest share of notes in copied passages of at least 16 notes, 0 to 1. If none copies
            as little that which copies least is taken.

    Raises:
        UserError: if the run was not audited, or no checkpoint that was is left.
    """
    folder = RunFolder(run)
    if not folder.audit.is_file() or not folder.metrics.is_file():
        raise UserError(
            f"{run}: its checkpoints were not audited; give a run's folder that holds {folder.audit.name}"
        )
    losses = _of_epochs(folder.metrics, "val/nll")
    best = min(losses, key=lambda epoch: losses[epoch], default=None)
    copied: dict[Path, tuple[float, float]] = {}
    for epoch, share in _of_epochs(folder.audit, "audit/copied_16").items():
        if epoch not in losses:
            continue
        checkpoint = folder.best_checkpoint if epoch == best else folder.checkpoint(int(epoch))
        if checkpoint.is_file():
            copied[checkpoint] = (losses[epoch], share)
    if not copied:
        raise UserError(f"{run}: none of the checkpoints in {folder.audit.name} is left")
    least = min(share for _, share in copied.values())
    allowed = {path: loss for path, (loss, share) in copied.items() if share <= max(max_copied, least)}
    return min(allowed, key=lambda path: allowed[path])


def _of_epochs(path: Path, name: str) -> dict[float, float]:
    """One column of a table with a row an epoch.

    Raises:
        UserError: if it is no such table.
    """
    try:
        values = {row["epoch"]: row[name] for row in read_csv(path)}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no table of epochs with {name}: {error}") from error
    if not all(0 < epoch <= MAX_EPOCH for epoch in values):
        raise UserError(f"{path}: no table of epochs with {name}: an epoch is none")
    return values
