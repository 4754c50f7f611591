"""`python -m noternn report --html`: runs as one HTML page, from their files alone, finished or not.

The charts are Plotly's, whose script stands in the page: it is 4.8 MB, and needs no network.
"""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import noternn
from noternn.config.programs import PROGRAM, TRAIN
from noternn.errors import UserError
from noternn.files import read_json, write_text
from noternn.health.yardstick import Yardstick
from noternn.pages import listen, player
from noternn.pages.html import SORT_SCRIPT, html_page, table
from noternn.pages.player import NUM_COLORS, Take, take_section
from noternn.runs.comparison import (
    MAX_COLUMNS,
    ComparedRun,
    compares_per_token,
    differing,
    notes,
    table_rows,
    validate_on_the_same,
)
from noternn.runs.epochs import INTERVAL, Row, best_row, interval_of
from noternn.runs.folder import MAX_SPLIT_BYTES, RunFolder
from noternn.runs.record import given_settings
from noternn.runs.summary import read_summary
from noternn.runs.verdict import verdict
from noternn.tables import read_csv

MAX_POINTS = 60_000  # of curves on a page
MIN_POINTS = 20  # of a curve
MAX_ROWS = 1000  # of the table: more make a browser slow
MAX_TAKES = 3
MAX_LINES = 6  # of data or versions that differ between runs
MIN_PARALLEL = 6  # runs that are more than the table shows at a glance
MAX_AXES = 8
MAX_TICKS, MAX_LETTERS = 10, 18
LOG_RATIO = 10  # of the largest value to the least, from which on an axis is logarithmic
STYLE = listen.STYLE + files("noternn.pages").joinpath("report.css").read_text("utf-8")
SCRIPT = files("noternn.pages").joinpath("report.js").read_text("utf-8")


def save_page(runs: Sequence[ComparedRun], title: str, path: Path) -> None:
    """Write the page; every text from a file is escaped.

    Args:
        runs: the best first, see `comparison.read_runs`.
        title: its heading.
        path: the file.

    Raises:
        OSError: if it cannot be written.
    """
    parts = [
        "<main>",
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in _summary(runs)),
        "<noscript><p>To draw and play, this page must be allowed to run its scripts.</p></noscript>",
        _charts(runs),
        _results(runs),
        _parallel(runs),
        _samples(runs),
        _configuration(runs),
        "</main>",
        f'<script type="application/json" id="report-data">{_as_json(_chart_data(runs))}</script>',
    ]
    scripts = [_plotly(), SCRIPT, player.SCRIPT, SORT_SCRIPT]
    body = "\n".join(part for part in parts if part)
    write_text(path, html_page(f"Report: {title}", body, style=STYLE, scripts=scripts, inline_styles=True))


def _plotly() -> str:
    return files("plotly").joinpath("package_data", "plotly.min.js").read_text("utf-8")


def _as_json(data: Any) -> str:
    """JSON that stands in HTML, where a text must not end the script that it is in."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _summary(runs: Sequence[ComparedRun]) -> list[str]:
    """What became of the runs, in a sentence or two."""
    unfinished = [run for run in runs if run.status == "running or stopped"]
    as_of = [f"As of {datetime.now():%Y-%m-%d %H:%M}."] if unfinished else []
    if len(runs) == 1:
        return [_about(runs[0]), *_advice(runs[0]), *as_of]
    counts = Counter(run.status for run in runs)
    states = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    lines = [f"{len(runs):,} runs: {states}."]
    nats = runs[0].number("val/nats_per_note")
    if nats is not None and validate_on_the_same(runs):
        lines.append(f"Best: {runs[0].name} with {nats:.4f} nats a note, {_where(runs[0])}.")
    return [*lines, *as_of]


def _about(run: ComparedRun) -> str:
    num_pieces = run.number("num_validation_pieces")
    said = (
        verdict(run.epochs, None if num_pieces is None else int(num_pieces))
        if run.epochs
        else "no epoch has ended"
    )
    text = "; ".join([*([] if run.status == "finished" else [run.status]), run.error or said])
    return f"{text[:1].upper()}{text[1:]}."


def _advice(run: ComparedRun) -> list[str]:
    lines = run.results.get("advice", [])
    return [f"{line[:1].upper()}{line[1:]}." for line in lines] if isinstance(lines, list) else []


def _where(run: ComparedRun) -> str:
    return f"at epoch {run.number('best_epoch') or 0:.0f} of {run.number('num_epochs') or 0:.0f}"


def _colors(runs: Sequence[ComparedRun]) -> list[int]:
    """The color of each run: the best that have curves have one of their own, and the others -1."""
    with_curves = [run.name for run in runs if run.epochs][:NUM_COLORS]
    return [with_curves.index(run.name) if run.name in with_curves else -1 for run in runs]


def _charts(runs: Sequence[ComparedRun]) -> str:
    """Places for the curves, with what their lines mean."""
    if not any(run.epochs for run in runs):
        return "<p>No epoch has ended yet, so there are no curves.</p>"
    copied = (
        '<h2>Copied</h2>\n<p class="note">How much of the samples stands in passages of 16 notes or more of '
        "the training pieces, in %: note for note, and dotted with a wrong note now and then</p>\n"
        '<div class="chart low" id="copied"></div>'
        if any(_copied(run) for run in runs)
        else ""
    )
    return f"""<h2>Losses</h2>
{_key_of_one(any(map(interval_of, runs[0].epochs))) if len(runs) == 1 else _key(runs)}
<div class="chart" id="curves" role="img" aria-label="Losses by epoch"></div>
<h2>Gap</h2>
<p class="note">The loss of held-out pieces less that of training pieces, same weights</p>
<div class="chart low" id="gap" role="img" aria-label="Generalization gap by epoch"></div>
{copied}
<p class="note drag">A drag enlarges, a double click goes back.</p>"""


def _key_of_one(is_bounded: bool) -> str:
    bounds = '<li><span class="bounds"></span>95 % interval over these pieces</li>\n' if is_bounded else ""
    return f"""<ul class="key">
<li><span class="validation"></span>held-out pieces</li>
{bounds}<li><span class="training"></span>training pieces, same weights</li>
<li><span class="running"></span>training pieces, while training</li>
<li><span class="star">\N{BLACK STAR}</span>best epoch</li>
</ul>"""


def _key(runs: Sequence[ComparedRun]) -> str:
    """What the lines of several runs mean; the best by name."""
    colors = _colors(runs)
    named = [
        f'<li><span class="color-{color}"></span>{escape(run.name)}</li>'
        for run, color in zip(runs, colors, strict=True)
        if color >= 0
    ]
    num_others = sum(bool(run.epochs) for run in runs) - len(named)
    others = (
        f"<li><span class='rest'></span>{num_others:,} others, held-out pieces</li>" if num_others else ""
    )
    return f"""<ul class="key">
<li><span class="held-out"></span>held-out pieces</li>
<li><span class="own"></span>training pieces, same weights</li>
<li><span class="star">\N{BLACK STAR}</span>best epoch</li>
{others}</ul>
<ul class="key runs">{"".join(named)}</ul>"""


def _results(runs: Sequence[ComparedRun]) -> str:
    rows = table_rows(runs)[:MAX_ROWS]
    classes = [f"color-{color}" if color >= 0 else "plain" for color in _colors(runs)][:MAX_ROWS]
    columns, settings, lines = list(rows[0]), differing(runs), notes(runs) if len(runs) > 1 else []
    if len(settings) > MAX_COLUMNS:  # what came of them would be out of sight
        columns = [name for name in columns if name not in settings] + settings
    if len(runs) > MAX_ROWS:
        lines.append(f"and {len(runs) - MAX_ROWS:,} more, which are not shown")
    # Names of runs are settings with commas between them: there a long one may break.
    results = table(rows, columns, len(runs) > 1, classes).replace(",", ",<wbr>")
    return f"<h2>Results</h2>\n{results}\n{_lines(lines)}"


def _lines(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="lines">{items}</ul>' if lines else ""


class Axis(NamedTuple):
    """A setting or a result as an upright line on which each run has its place.

    Args:
        name: what it is.
        texts: of each run, "" where it is not known.
        places: of each run from 0, below, to 1; None where it is not known.
        ticks: places and what stands there.
    """

    name: str
    texts: Sequence[str]
    places: Sequence[float | None]
    ticks: Sequence[tuple[float, str]]


def axis(name: str, texts: Sequence[str]) -> Axis:
    """An axis of numbers, logarithmic if they are far apart, or of words at equal distances.

    Args:
        name: what it is.
        texts: of each run, "" where it is not known.
    """
    known = list(dict.fromkeys(text for text in texts if text))
    numbers = {text: _as_number(text) for text in known}
    values = {text: value for text, value in numbers.items() if value is not None}
    if len(values) == len(known):
        least, most = min(values.values()), max(values.values())
        is_log = least > 0 and most / least >= LOG_RATIO
        scaled = {text: math.log(value) if is_log else value for text, value in values.items()}
        known.sort(key=lambda text: values[text])
    else:
        known.sort()
        scaled = {text: float(i) for i, text in enumerate(known)}
    low, high = min(scaled.values()), max(scaled.values())
    place = {text: (value - low) / (high - low or 1.0) for text, value in scaled.items()}
    ticks = [(place[text], _short(text)) for text in _apart(known, place)]
    return Axis(name, texts, [place.get(text) for text in texts], ticks)


def _as_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _apart(texts: Sequence[str], place: dict[str, float]) -> list[str]:
    """Of the texts from below to above the first, the last, and those between that have room."""
    shown = [texts[0]]
    for text in texts[1:-1]:
        if min(place[text] - place[shown[-1]], place[texts[-1]] - place[text]) >= 1 / MAX_TICKS:
            shown.append(text)
    return [*shown, *texts[1:][-1:]]


def _short(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"


def _axes(runs: Sequence[ComparedRun]) -> list[Axis]:
    """Of what differs, and of the loss; none if the runs or the settings are few."""
    known = [run for run in runs if run.number("val/nats_per_note") is not None]
    settings = differing(known)[:MAX_AXES]
    if len(known) < MIN_PARALLEL or len(settings) < 2:
        return []
    nats = [run.number("val/nats_per_note") for run in runs]
    return [
        *(axis(name, [run.settings.get(name, "") for run in runs]) for name in settings),
        axis("nats a note", ["" if value is None else f"{value:.4f}" for value in nats]),
    ]


def _parallel(runs: Sequence[ComparedRun]) -> str:
    if not _axes(runs):
        return ""
    return """<h2>Settings</h2>
<p class="note">A line a run, in the colors of the curves, from what it was given to what it came to</p>
<div class="wide"><div class="chart" id="parallel" role="img" aria-label="Settings and losses"></div></div>"""


def _chart_data(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """What the script draws."""
    per_token, axes = compares_per_token(runs), _axes(runs)
    num_points = max(MIN_POINTS, MAX_POINTS // (4 * len(runs)))
    drawn = []
    for i, (run, color) in enumerate(zip(runs, _colors(runs), strict=True)):
        if run.epochs:
            places = [axis.places[i] for axis in axes]
            drawn.append(
                {"name": run.name, "color": color, **_curves(run, per_token, num_points)}
                | {"places": [place if place is None else round(place, 4) for place in places]}
                | {"values": [axis.texts[i] for axis in axes]}
            )
    return {
        "quantity": "nats a token" if per_token else "nats a note",
        "isAlone": len(runs) == 1,
        "runs": drawn,
        "axes": [{"name": axis.name, "ticks": axis.ticks} for axis in axes],
    }


def _curves(run: ComparedRun, per_token: bool, num_points: int) -> dict[str, Any]:
    """The losses of a run; of very many epochs some, evenly, and the best and the last."""
    best, last, every = best_row(run.epochs), run.epochs[-1], math.ceil(len(run.epochs) / num_points)
    rows = [row for i, row in enumerate(run.epochs) if i % every == 0 or row is best or row is last]

    def losses(name: str, rows: Sequence[Row] = rows) -> list[float]:
        scales = (1.0 if per_token else row["val/nats_per_note"] / (row["val/nll"] or 1.0) for row in rows)
        return [round(row[name] * scale, 4) for row, scale in zip(rows, scales, strict=True)]

    copied = _copied(run)
    val = losses("val/nll")
    bounded = [row for row in rows if interval_of(row)]
    return {
        "epochs": [row["epoch"] for row in rows],
        "val": val,
        "boundedEpochs": [row["epoch"] for row in bounded],
        "bounds": [losses(name, bounded) for name in INTERVAL],
        "train": losses("train_eval/nll"),
        "running": losses("train/nll"),
        "gap": losses("gap/nll"),
        "best": [best["epoch"], val[next(i for i, row in enumerate(rows) if row is best)]],
        "copiedEpochs": [epoch for epoch, _, _ in copied],
        "copied": [share for _, share, _ in copied],
        "near": [near if math.isfinite(near) else None for _, _, near in copied],
    }


def _copied(run: ComparedRun) -> list[tuple[float, float, float]]:
    """Epochs and what share of their samples stands in training passages, in percent: exactly, and nearly.

    The last is no number where an earlier version has not measured it.
    """
    try:
        rows = read_csv(RunFolder(run.folder).audit)
        found = [(r["epoch"], r["audit/copied_16"], r.get("audit/near_16", math.nan)) for r in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return [
        (epoch, round(100 * share, 3), round(100 * near, 3))
        for epoch, share, near in found
        if math.isfinite(epoch) and math.isfinite(share)
    ]


def _samples(runs: Sequence[ComparedRun]) -> str:
    """What the best runs have composed; of one run several checkpoints."""
    takes: list[Take] = []
    left_out: list[str] = []
    for run in runs:
        if len(takes) >= MAX_TAKES:
            break
        found = _takes(run)
        left_out += [f"{run.name}: {line}" for line in found.left_out]
        if len(runs) == 1:
            takes = list(found.takes[:MAX_TAKES])
        elif found.takes:
            takes.append(replace(found.takes[0], title=run.name, is_best=False))
    sections = [take_section(take, f"take-{number}") for number, take in enumerate(takes, start=1)]
    hint = f'<p class="note">All checkpoints of a run: <code>{PROGRAM} listen RUN</code></p>'
    return "\n".join(
        [
            "<h2>Samples</h2>",
            *(sections or ["<p>There are none yet.</p>"]),
            hint if sections else "",
            _lines(left_out),
        ]
    )


def _takes(run: ComparedRun) -> listen.HeardRun:
    """The samples of a run, with their health if its yardstick can be read."""
    try:
        found = listen.read_run(run.folder)
    except UserError as error:
        return listen.HeardRun(run.name, [], [], [str(error)] if run.status == "finished" else [], run.status)
    latest_first = sorted(found.takes, key=lambda take: (not take.is_best, -(take.epoch or 0)))
    found = replace(found, takes=latest_first[:MAX_TAKES])
    try:
        return listen.with_health(found, Yardstick.load(RunFolder(run.folder).health))
    except (OSError, UserError):
        return found


def _configuration(runs: Sequence[ComparedRun]) -> str:
    """What the runs have in common: data, settings, versions."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    shared = {name: values.pop() for name in names if len(values := _values(runs, name)) == 1}
    what = "All settings" if len(runs) == 1 else "What all runs share"
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in shared.items()
    )
    settings = f'<details><summary>{what}</summary>\n<dl class="settings">{items}</dl></details>'
    parts = [
        "<h2>Configuration</h2>",
        _command(runs[0]) if len(runs) == 1 else "",
        settings if shared else "<p>Its record cannot be read.</p>",
        _counted("Data", [_data(run.folder) for run in runs]),
        _counted("Versions", [_versions(run.folder) for run in runs]),
        f'<p class="note">This page was written by noternn {noternn.__version__}.</p>',
    ]
    return "\n".join(part for part in parts if part)


def _values(runs: Sequence[ComparedRun], name: str) -> set[str]:
    return {run.settings.get(name, "") for run in runs}


def _command(run: ComparedRun) -> str:
    try:
        given = given_settings(run.folder)
    except UserError:
        return ""
    return f"<pre>{escape(shlex.join([*TRAIN.split(), *given]))}</pre>"


def _counted(heading: str, lines: Sequence[str]) -> str:
    """Different lines, with how many runs have them if that is not all."""
    counts = Counter(line for line in lines if line).most_common()
    if not counts:
        return f"<h2>{heading}</h2>\n<p>Not recorded.</p>"
    told = [line if count == len(lines) else f"{line} ({count:,} runs)" for line, count in counts[:MAX_LINES]]
    if len(counts) > MAX_LINES:
        told.append(f"and {len(counts) - MAX_LINES:,} more")
    return f"<h2>{heading}</h2>\n{_lines(told)}"


def _data(folder: Path) -> str:
    """How much music a run had, in a line."""
    try:
        split = read_json(RunFolder(folder).split, MAX_SPLIT_BYTES)
        sizes = [
            f"{name} {size['num_pieces']:,} pieces, {size['num_notes']:,} notes"
            for name, size in split["sizes"].items()
        ]
        return f"seed {split['seed']}: {'; '.join(sizes)}; {len(split['skipped']):,} files left out"
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ""


def _versions(folder: Path) -> str:
    versions = (read_summary(folder) or {}).get("versions", {})
    return ", ".join(f"{name} {version}" for name, version in versions.items())
