"""How much the samples of a run copy, from checkpoint to checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from noternn.audit.figures import LENGTHS, Figures, RealFigures, measure, pooled, spread
from noternn.audit.index import Index
from noternn.errors import UserError
from noternn.music.piece import Piece
from noternn.runs.epochs import best_row
from noternn.runs.folder import RunFolder
from noternn.tables import read_csv, write_csv

COLUMNS = ("epoch", *(f"audit/{name}" for name in Figures._fields[1:]), "num_notes")


def copied_after(index: Index, piece: Piece, start: int) -> Figures:
    """What a sample copies beyond its primer.

    Args:
        index: of the training pieces.
        piece: the sample, primer included: a passage may begin in it.
        start: the tick at which the primer ends.
    """
    is_new = (piece.onset >= start) & ~piece.is_drum
    longest = index.audit(piece).longest[is_new]
    short, middle, long = (float((longest >= length).sum() / max(1, len(longest))) for length in LENGTHS)
    return Figures(len(longest), short, middle, long, int(longest.max(initial=0)))


def note_audit(path: Path, epoch: int, figures: Sequence[Figures]) -> dict[str, float]:
    """Put the row of an epoch into a run's audit.csv: its samples as if they were one.

    Returns:
        the row.
    """
    all_ = pooled(figures)
    row: dict[str, float] = dict(zip(COLUMNS, (epoch, *all_[1:], all_.num_notes), strict=True))
    before = read_csv(path) if path.exists() else []
    rows = {other["epoch"]: other for other in [*before, row]}
    counts = ("epoch", "audit/longest", "num_notes")
    write_csv(
        path, [{**rows[e], **{name: int(rows[e][name]) for name in counts}} for e in sorted(rows)], COLUMNS
    )
    return row


def held_out_limit(index: Index, held_out: Sequence[Piece]) -> float | None:
    """The `copied_16` that 95 of 100 held-out pieces stay below; None without any."""
    kept = [held_out[i] for i in spread(len(held_out))]
    figures = measure(index, kept, [None] * len(kept))
    return RealFigures(figures, figures[:0]).limit()


def choose_checkpoint(run: Path, max_copied: float) -> Path:
    """The checkpoint of a run with the best validation among those whose samples copy little enough.

    Args:
        run: its folder.
        max_copied: the largest share of notes in copied passages of at least 16 notes, 0 to 1.

    Raises:
        UserError: if the run was not audited or none copies as little.
    """
    folder = RunFolder(run)
    if not folder.audit.is_file() or not folder.metrics.is_file():
        raise UserError(
            f"{run}: its checkpoints were not audited; give a run's folder that holds {folder.audit.name}"
        )
    rows = read_csv(folder.metrics)
    losses = {row["epoch"]: row["val/nll"] for row in rows}
    best = best_row(rows)["epoch"]
    copied: dict[Path, tuple[float, float]] = {}
    for row in read_csv(folder.audit):
        epoch = row["epoch"]
        checkpoint = folder.best_checkpoint if epoch == best else folder.checkpoint(int(epoch))
        if checkpoint.is_file() and epoch in losses:
            copied[checkpoint] = (losses[epoch], row["audit/copied_16"])
    allowed = {path: loss for path, (loss, share) in copied.items() if share <= max_copied}
    if not allowed:
        least = min((share for _, share in copied.values()), default=float("nan"))
        raise UserError(f"{run}: no checkpoint copies at most {max_copied:.1%}; the least is {least:.1%}")
    return min(allowed, key=lambda path: allowed[path])
