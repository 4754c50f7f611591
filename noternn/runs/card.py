"""The card of a run: in words and figures what it is, what it learned from and what it came to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noternn.errors import UserError
from noternn.files import read_json
from noternn.runs.epochs import Row, best_row, interval_of, read_epochs
from noternn.runs.folder import MAX_SPLIT_BYTES, RunFolder
from noternn.runs.record import read_settings
from noternn.runs.summary import read_summary
from noternn.runs.verdict import verdict
from noternn.terminal import printable

Facts = dict[str, str]


@dataclass(frozen=True)
class Card:
    """What is known of a run; what its files do not tell is left out.

    Args:
        name: of its folder.
        sentences: its verdict and advice.
        sections: by heading, what is told by name.
        held_out_copied: at most this share of the notes of 95 in 100 held-out pieces stands in training
            passages of 16.
    """

    name: str
    sentences: list[str]
    sections: dict[str, Facts]
    held_out_copied: float | None


def read_card(run: Path) -> Card:
    """The card of a run, from its own files; those that cannot be read are passed over."""
    summary, settings, rows = read_summary(run) or {}, _settings(run), _rows(run)
    sections = {
        "Results on held-out pieces": _results(rows),
        "What it learned from": _data(run, summary, settings),
        "What it composes": _music(summary),
        "How it was trained": _training(summary, settings),
    }
    limit = summary.get("audit/copied_16_held_out_95")
    return Card(
        printable(run.resolve().name),
        _sentences(rows, summary),
        {
            heading: {name: printable(text) for name, text in facts.items()}
            for heading, facts in sections.items()
            if facts
        },
        float(limit) if isinstance(limit, int | float) else None,
    )


def markdown(card: Card) -> str:
    """The card as Markdown."""
    lines = [f"# {_plain(card.name)}", "", *(f"{_plain(text)}  " for text in card.sentences), ""]
    for heading, facts in card.sections.items():
        lines += [f"## {_plain(heading)}", "", "| | |", "|---|---|"]
        lines += [f"| {_plain(name)} | {_plain(text)} |" for name, text in facts.items()]
        lines.append("")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """A text in which Markdown and HTML see no marks."""
    return re.sub(r"([\\`*_{}\[\]<>()#!|~&$])", r"\\\1", text)


def _settings(run: Path) -> Mapping[str, Any]:
    try:
        return read_settings(run)
    except UserError:
        return {}


def _rows(run: Path) -> list[Row]:
    try:
        return read_epochs(run)
    except UserError:
        return []


def _sentences(rows: list[Row], summary: Mapping[str, Any]) -> list[str]:
    said = summary.get("verdict") or (verdict(rows) if rows else "")
    return [
        printable(text[:1].upper() + text[1:]) + "." for text in (said, *summary.get("advice", [])) if text
    ]


def _results(rows: list[Row]) -> Facts:
    if not rows:
        return {}
    row = best_row(rows)
    facts = {
        "best epoch": f"{row['epoch']:.0f}",
        "loss (nll)": f"{row['val/nll']:.3f} nats a token",
        "loss a note": f"{row['val/nats_per_note']:.2f} nats",
        "gap to training pieces": f"{row['gap/nll']:+.3f} nats a token",
    }
    bounds = interval_of(row)
    if bounds:
        facts["loss (nll)"] += f", 95 % interval {bounds[0]:.3f} to {bounds[1]:.3f}"
    return facts


def _data(run: Path, summary: Mapping[str, Any], settings: Mapping[str, Any]) -> Facts:
    facts: Facts = {}
    dataset = settings.get("dataset", {})
    if isinstance(dataset, dict) and dataset.get("name"):
        facts["dataset"] = str(dataset["name"])
    licences = summary.get("licences")
    if isinstance(licences, dict) and licences:
        facts["licence"] = "; ".join(f"{name}: {text}" for name, text in licences.items())
    facts |= _ancestry(summary.get("started_from"))
    labels = summary.get("labels")
    if isinstance(labels, list) and labels:
        facts["labels"] = ", ".join(map(str, labels))
    try:
        sizes = read_json(RunFolder(run).split, MAX_SPLIT_BYTES)["sizes"]
        for name, size in sizes.items():
            facts[f"{name} pieces"] = f"{size['num_pieces']:,} with {size['num_notes']:,} notes"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # of a run that ended before it had read its pieces
    leak = summary.get("leak/validation")
    if isinstance(leak, int | float):
        facts["shared with training"] = (
            f"{leak:.1%} of the validation notes stand in passages of training pieces"
        )
    return facts


def _ancestry(start: object) -> Facts:
    """The network that a run started from, and the music of that one and of those before it."""
    if not isinstance(start, dict):
        return {}
    facts = {"started from": f"{start.get('init_from')}, which learned from {start.get('dataset')}"}
    music: dict[str, str] = {}
    while isinstance(start, dict):
        licences = start.get("licences")
        music |= licences if isinstance(licences, dict) else {}
        start = start.get("started_from")
    if music:
        facts["licence of the start's music"] = "; ".join(f"{name}: {text}" for name, text in music.items())
    return facts


def _music(summary: Mapping[str, Any]) -> Facts:
    facts: Facts = {}
    sample = summary.get("sample")
    if isinstance(sample, dict) and sample.get("health"):
        facts["health of its sample"] = str(sample["health"])
    copied, limit = summary.get("audit/copied_16"), summary.get("audit/copied_16_held_out_95")
    if isinstance(copied, int | float):
        facts["copied"] = f"{copied:.1%} of the notes of samples stand in training passages of 16 or more"
        if isinstance(limit, int | float):
            facts["copied"] += f"; of held-out pieces 95 in 100 have at most {limit:.0%}"
    drawing = summary.get("sampling")
    if isinstance(drawing, dict):
        facts["how it draws"] = ", ".join(f"{name} {value}" for name, value in drawing.items())
    return facts


def _training(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> Facts:
    facts: Facts = {}
    if isinstance(summary.get("num_parameters"), int | float):
        facts["parameters"] = f"{summary['num_parameters']:,}"
    for name in ("tokenizer", "optimizer"):
        section = settings.get(name)
        if isinstance(section, dict):
            facts[name] = ", ".join(f"{key} {value}" for key, value in section.items() if value is not None)
    if isinstance(summary.get("seconds"), int | float):
        facts["time"] = f"{summary['seconds'] / 60:.0f} min, {summary.get('num_epochs', 0)} epochs"
    versions = summary.get("versions")
    if isinstance(versions, dict):
        facts["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return facts
