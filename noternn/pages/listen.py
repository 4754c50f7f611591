"""`python -m noternn listen`: the samples of a run, to play beside its curves, as one HTML page."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from noternn.audit.against import Against
from noternn.audit.figures import Figures, RealFigures
from noternn.audit.index import Audit
from noternn.audit.report import MIN_NOTES, bar_words
from noternn.datasets.sources import read_file
from noternn.errors import PieceError, UserError
from noternn.files import write_text
from noternn.health.checkup import check
from noternn.health.measures import QUANTITIES
from noternn.health.yardstick import Yardstick
from noternn.music.limits import DEFAULT_LIMITS, read_limited
from noternn.music.midi import MIDI_SUFFIXES, midi_file, read_midi_bytes
from noternn.pages import player
from noternn.pages.html import html_page
from noternn.pages.player import Measure, Take, take_section
from noternn.runs.curves import draw_losses
from noternn.runs.epochs import Row, best_row, interval_of, read_epochs
from noternn.runs.folder import RunFolder
from noternn.runs.record import read_settings
from noternn.runs.summary import read_summary
from noternn.runs.verdict import verdict
from noternn.sampling.provenance import read_provenance
from noternn.terminal import printable

LOSSES = {  # a column of metrics.csv: what it is called
    "val/nll": "held-out nll",
    "train_eval/nll": "training nll",
    "gap/nll": "gap",
    "val/nats_per_note": "held-out nats a note",
}
MANY = 12  # marks on the curves: more are small
MAX_MARKS = 30
NARROW = "(max-width: 44rem)"
DARK = "(prefers-color-scheme: dark)"


class Size(NamedTuple):
    """Of the picture of the curves, in inches, and of its letters, in points."""

    width: float
    height: float
    letters: float


class Colors(NamedTuple):
    """The colors of the curves, as in noternn/pages/player.css."""

    ink: str
    soft: str
    line: str
    validation: str
    training: str


WIDE, SLIM = Size(9.0, 3.2, 8.0), Size(5.0, 3.2, 10.5)
MARGINS = (0.56, 0.5, 0.12, 0.12)  # left, bottom, right, top: around the axes, in inches
LIGHT_COLORS = Colors("#1d2126", "#5a6169", "#dedbd4", "#b8403f", "#2f6fb3")
DARK_COLORS = Colors("#e9e7e2", "#a2a8b1", "#343943", "#e87a74", "#5b9fe6")
STYLE = player.STYLE + files("noternn.pages").joinpath("listen.css").read_text("utf-8")


@dataclass(frozen=True)
class HeardRun:
    """What there is to hear and to see of a run.

    Args:
        name: of its folder.
        rows: of its metrics.csv; none before the first epoch has ended.
        takes: what the best weights composed, then the checkpoints in the order of their epochs.
        left_out: what could not be read, with the reason, a line each.
        state: finished, failed, or that it is still training or was stopped; empty of files without a run.
    """

    name: str
    rows: Sequence[Row]
    takes: Sequence[Take]
    left_out: Sequence[str]
    state: str


def read_run(run_dir: Path) -> HeardRun:
    """Read what a run has left so far; files that cannot be read are left out and named.

    Raises:
        UserError: if it is no folder of a run.
    """
    if not RunFolder(run_dir).holds_music_or_losses:
        raise UserError(
            f"{run_dir}: no run: give a folder that train.py has written, such as runs/NAME, or "
            "MIDI files and scores"
        )
    left_out: list[str] = []
    rows = _read_rows(run_dir, left_out)
    takes = _read_takes(run_dir, rows, left_out)
    return HeardRun(run_dir.resolve().name, rows, takes, left_out, _state(run_dir))


def read_files(paths: Sequence[Path]) -> HeardRun:
    """Read MIDI files and scores of any origin; those that cannot be read are left out and named.

    What files of `noternn generate` say of how they were made stands below them.

    Raises:
        UserError: if none can be read.
    """
    takes: list[Take] = []
    left_out: list[str] = []
    for path in paths:
        name = printable(str(path))
        try:
            piece = read_file(path)
            is_midi = path.suffix.lower() in MIDI_SUFFIXES[:2] and path.is_file()
            midi = read_limited(path, DEFAULT_LIMITS.max_bytes) if is_midi else midi_file(piece)
        except (UserError, ValueError) as error:
            left_out.append(printable(str(error)))
            continue
        takes.append(Take(printable(path.stem), piece, file=name, remarks=_how_made(path), midi=midi))
    if not takes:
        raise UserError(left_out[0])
    return HeardRun("Music", [], takes, left_out, "")


def _how_made(path: Path) -> list[str]:
    """What a file of `noternn generate` says of itself; nothing for other files."""
    try:
        return read_provenance(path).sentences
    except UserError:
        return []


def with_audit(run: HeardRun, against: Against) -> HeardRun:
    """The same with each copied note marked by the piece that it stands in.

    Args:
        run: any.
        against: the pieces that it was trained on, see `noternn.audit`.
    """
    return replace(run, takes=[_audited(take, against) for take in run.takes])


def _audited(take: Take, against: Against) -> Take:
    exact = against.index.audit(take.piece)
    audit = exact.near
    is_copied = audit.longest >= MIN_NOTES
    pieces, sources = np.unique(audit.source_piece[is_copied], return_inverse=True)
    marks = np.full(take.piece.num_notes, -1, dtype=np.int64)
    marks[is_copied] = sources
    names = []
    for number in pieces.tolist():
        notes = audit.source_note[is_copied & (audit.source_piece == number) & (audit.source_note >= 0)]
        names.append(f"{against.index.names[number]}, {bar_words(against.index.bars(number, notes))}")
    shares = [f"{rule.copied(MIN_NOTES):.0%}" for rule in (exact, audit)]
    besides = [_beside(rule, real) for rule, real in ((exact, against.real), (audit, against.near))]
    copied = [
        f"{shares[0]} of the notes stand in training passages of {MIN_NOTES} or more{besides[0]}",
        f"{shares[1]} with a wrong note now and then{besides[1]}",
    ]
    return replace(take, sources=marks, source_names=names, remarks=[*take.remarks, *copied])


def _beside(audit: Audit, real: RealFigures) -> str:
    percentile = real.percentile(Figures.of(audit))
    return f", more than {percentile:.0f} of 100 {real.what}" if percentile else ""


def with_health(run: HeardRun, yardstick: Yardstick) -> HeardRun:
    """Add to each sample its figures beside held-out pieces."""
    return replace(run, takes=[_checked(take, yardstick) for take in run.takes])


def _checked(take: Take, yardstick: Yardstick) -> Take:
    checkup = check(take.piece, yardstick, take.title)
    ranges = yardstick.ranges.get(checkup.length, {})
    figures = {
        quantity.label: Measure(value, _finite((usual.low, usual.high) if usual else None))
        for quantity in QUANTITIES
        if math.isfinite(value := checkup.values.get(quantity.name, math.nan))
        for usual in [ranges.get(quantity.name)]
    }
    return replace(take, health=figures, remarks=[*take.remarks, checkup.sentence])


def _finite(usual: tuple[float, float] | None) -> tuple[float, float] | None:
    """What is usual, where real music has any of it."""
    return usual if usual and math.isfinite(usual[0]) else None


def _state(run_dir: Path) -> str:
    summary = read_summary(run_dir)
    return summary["status"] if summary else "still training, or stopped"


def _read_rows(run_dir: Path, left_out: list[str]) -> list[Row]:
    try:
        return read_epochs(run_dir)
    except UserError as error:
        left_out.append(str(error))
        return []


def _read_takes(run_dir: Path, rows: Sequence[Row], left_out: list[str]) -> list[Take]:
    """A take for each sample; the best weights' stands for the checkpoint that it equals, too."""
    best, num_given = RunFolder(run_dir).sample, _num_primer_notes(run_dir)
    paths = [best] if best.exists() else []
    paths += sorted(RunFolder(run_dir).samples.glob("*.mid"), key=lambda path: (_epoch(path) or 0, path.name))
    takes: list[Take] = []
    seen: set[tuple[int | None, bytes]] = set()
    for path in paths:
        file = path.relative_to(run_dir).as_posix()
        is_best = path == best
        epoch = int(best_row(rows)["epoch"]) if is_best and rows else _epoch(path)
        title = f"Epoch {epoch}" if epoch else "Best weights" if is_best else path.stem
        try:
            data = read_limited(path, DEFAULT_LIMITS.max_bytes)
            piece = read_midi_bytes(data, path.stem)
        except PieceError as error:
            left_out.append(f"{file}: {error}")
            continue
        if (epoch, data) not in seen:
            losses = _losses(rows, epoch)
            takes.append(Take(title, piece, epoch, is_best, file, losses, num_given, midi=data))
        seen.add((epoch, data))
    return takes


def _epoch(path: Path) -> int | None:
    match = re.fullmatch(r"epoch_(\d+)", path.stem)
    return int(match[1]) if match else None


def _num_primer_notes(run_dir: Path) -> int:
    """So many notes at least begin each sample that were not composed."""
    try:
        return max(0, int(read_settings(run_dir)["sampling"]["primer_notes"]))
    except (UserError, ValueError, TypeError, KeyError):
        return 0  # not known


def _losses(rows: Sequence[Row], epoch: int | None) -> dict[str, float]:
    found = [row for row in rows if row["epoch"] == epoch]
    return {label: found[0][name] for name, label in LOSSES.items()} if found else {}


def save_page(run: HeardRun, path: Path) -> None:
    """Write the page; every text from a file is escaped.

    Raises:
        OSError: if it cannot be written.
    """
    anchors = [f"take-{number}" for number in range(1, len(run.takes) + 1)]
    without = "<p>No epoch has ended yet.</p>" if run.state else ""
    picture, marks = curves(run, anchors) if run.rows else (without, "")
    sections = [take_section(take, anchor) for take, anchor in zip(run.takes, anchors, strict=True)]
    body = "\n".join(
        [
            "<main>",
            f"<h1>{escape(run.name)}</h1>",
            f"<p>{escape(_summary(run))}</p>" if run.state else "",
            picture,
            "<h2>Samples</h2>" if run.state else "",
            "" if sections else "<p>There are none yet: one is composed at every checkpoint.</p>",
            "<noscript><p>To play and draw them, this page must be allowed to run its script.</p></noscript>",
            *sections,
            _left_out(run.left_out),
            "</main>",
        ]
    )
    write_text(
        path, html_page(f"Listen: {run.name}", body, style=STYLE + marks, scripts=[player.SCRIPT_THAT_SAVES])
    )


def _summary(run: HeardRun) -> str:
    states = [] if run.state == "finished" else [run.state]
    text = "; ".join([*states, verdict(run.rows)] if run.rows else states)
    return text[:1].upper() + text[1:]


def _left_out(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<h2>Left out</h2>\n<ul class="left-out">{items}</ul>' if lines else ""


def curves(run: HeardRun, anchors: Sequence[str]) -> tuple[str, str]:
    """The curves with a link to the sample of each checkpoint, and the style that puts the links in place."""
    best = best_row(run.rows)
    marked = _marked(run.takes, anchors)
    bounded = any(map(interval_of, run.rows))
    words = escape(f"Losses by epoch: {verdict(run.rows)}. Held-out nll there: {best['val/nll']:.3f}.")
    picture = f"""<div class="curves">
<picture>
<source media="{NARROW} and {DARK}" srcset="{_draw(run.rows, SLIM, DARK_COLORS)}">
<source media="{NARROW}" srcset="{_draw(run.rows, SLIM, LIGHT_COLORS)}">
<source media="{DARK}" srcset="{_draw(run.rows, WIDE, DARK_COLORS)}">
<img src="{_draw(run.rows, WIDE, LIGHT_COLORS)}" alt="{words}">
</picture>
{"".join(_link(anchor, take) for anchor, take in marked)}
</div>
<ul class="key">
<li><span class="validation"></span>held-out pieces</li>
{'<li><span class="bounds"></span>95 % interval over these pieces</li>' if bounded else ""}
<li><span class="training"></span>training pieces, same weights</li>
<li><span class="running"></span>training pieces, while training</li>
<li><span class="star">\N{BLACK STAR}</span>best: epoch {best["epoch"]:.0f}, nll {best["val/nll"]:.3f}</li>
{'<li><span class="mark"></span>a sample to hear</li>' if marked else ""}
</ul>"""
    small = "\n.curves a { border-width: 2px; height: 12px; margin: -6px 0 0 -6px; width: 12px }"
    wide, slim = (_places(marked, run.rows, size) for size in (WIDE, SLIM))
    return picture, f"{wide}{small if len(marked) > MANY else ''}\n@media {NARROW} {{\n{slim}\n}}\n"


def _marked(takes: Sequence[Take], anchors: Sequence[str]) -> list[tuple[str, Take]]:
    """The takes that have a place on the curves, each with its anchor; of very many only some, evenly."""
    placed = [(anchor, take) for anchor, take in zip(anchors, takes, strict=True) if take.losses]
    return placed[:: max(1, math.ceil(len(placed) / MAX_MARKS))]


def _link(anchor: str, take: Take) -> str:
    title, nll = escape(take.title), take.losses[LOSSES["val/nll"]]
    return (
        f'<a id="at-{anchor}" href="#{anchor}" title="{title}" '
        f'aria-label="Sample of {title}, held-out nll {nll:.3f}"></a>\n'
    )


def _limits(rows: Sequence[Row]) -> tuple[float, float, float, float]:
    """The least and greatest epoch and loss of the axes; of the first epoch's high loss, as far as needed."""
    epochs = [row["epoch"] for row in rows]
    losses = [row[name] for row in rows for name in ("train/nll", "train_eval/nll", "val/nll")]
    across, up = max(1.0, epochs[-1] - epochs[0]), max(losses) - min(losses) or 1.0
    return (
        epochs[0] - 0.03 * across,
        epochs[-1] + 0.03 * across,
        min(losses) - 0.08 * up,
        max(losses) + 0.08 * up,
    )


def _places(marked: Sequence[tuple[str, Take]], rows: Sequence[Row], size: Size) -> str:
    """Where the links lie on the picture, in CSS."""
    (left, bottom, right, top), (first, last, low, high) = MARGINS, _limits(rows)
    rules = []
    for anchor, take in marked:
        assert take.epoch is not None
        across = (take.epoch - first) / (last - first)
        down = (high - take.losses[LOSSES["val/nll"]]) / (high - low)
        x = (left + across * (size.width - left - right)) / size.width
        y = (top + down * (size.height - top - bottom)) / size.height
        rules.append(f"#at-{anchor} {{ left: {x:.2%}; top: {y:.2%} }}")
    return "\n".join(rules)


def _draw(rows: Sequence[Row], size: Size, colors: Colors) -> str:
    """The curves as a picture in a `data:` address; letters and lines are drawn, the ground is the page's."""
    settings: Any = {  # its stubs list 300 names
        "font.size": size.letters,
        "text.color": colors.ink,
        "axes.labelcolor": colors.soft,
        "axes.edgecolor": colors.soft,
        "xtick.color": colors.soft,
        "ytick.color": colors.soft,
        "grid.color": colors.line,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "noternn",
    }
    left, bottom, right, top = MARGINS
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(size.width, size.height))
        FigureCanvasSVG(figure)
        width, height = size.width - left - right, size.height - bottom - top
        axes = figure.add_axes(
            (left / size.width, bottom / size.height, width / size.width, height / size.height),
            facecolor="none",
            xlabel="epoch",
            ylabel="nll (nats per token)",
            axisbelow=True,
        )
        first, last, low, high = _limits(rows)
        axes.set(xlim=(first, last), ylim=(low, high))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.grid()
        draw_losses(axes, rows, validation=colors.validation, training=colors.training, ink=colors.ink)
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
