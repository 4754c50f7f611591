"""`noternn studio`: a trained network that composes, plays and is played with, as one HTML page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noternn.config.sampling import Sampling
from noternn.files import write_text
from noternn.music.instruments import program_name
from noternn.pages import listen, player
from noternn.pages.engine import ENGINE, engine_of
from noternn.pages.html import html_page
from noternn.pages.listen import HeardRun, curves
from noternn.pages.sounds import Sounds
from noternn.runs.card import Card

SCRIPTS = ("midi.js", "wav.js", "studio.js", "studio_controls.js")
WORKER_SCRIPTS = ("copies.js", "worker.js")
STYLE = listen.STYLE + files("noternn.pages").joinpath("studio.css").read_text("utf-8")
VOICES = (0, 6, 11, 19, 24, 40, 48, 52, 56, 73)  # programs to hear what was written without instruments
LENGTHS = {0: "endless", 100: "100 notes", 200: "200 notes", 500: "500 notes", 1000: "1,000 notes"}
DRUMS = 128
MAX_TEMPO, MIN_TEMPO = 240, 30


@dataclass(frozen=True)
class Studio:
    """What the page is made of.

    Args:
        run: its losses; its takes are not shown.
        card: what is told of it.
        description: of the network, see `noternn.model.plain.Plain`.
        tensors: see there.
        drawing: the settings of sampling to begin with.
        index: of the training pieces, see `noternn.pages.copies.plain_index`; None leaves it out.
        why_no_index: then why, in words.
        bits: of each weight, 16 or 32.
        sounds: recorded notes; None leaves all to the page's synthesizer.
    """

    run: HeardRun
    card: Card
    description: Mapping[str, Any]
    tensors: Mapping[str, NDArray[np.float32]]
    drawing: Sampling
    index: Mapping[str, Any] | None
    why_no_index: str
    bits: int
    sounds: Sounds | None = None


def save_page(studio: Studio, path: Path) -> None:
    """Write the page; every text from a file is escaped.

    Raises:
        OSError: if it cannot be written.
        UserError: see `noternn.pages.engine.engine_of`.
    """
    drawing = studio.drawing
    names = "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repetition_window"
    sampling = {name: getattr(drawing, name) for name in names}
    engine = engine_of({**studio.description, "sampling": sampling}, studio.tensors, studio.bits)
    worker = ENGINE + _scripts(WORKER_SCRIPTS)
    facts = {
        "name": studio.card.name,
        "seed": drawing.seed,
        "index": studio.index,
        "held_out": _held_out(studio.card),
    }
    body = "\n".join(
        [
            '<div id="studio" class="studio">',
            _header(studio.card.name),
            _play_panel(studio, sampling),
            _about_panel(studio),
            "</div>",
            _data("model", "application/json", engine.model),
            _data("corpus", "application/json", json.dumps(facts, separators=(",", ":"))),
            _data("weights", "text/plain", engine.weights),
            _data("engine", "text/plain", worker),
            *_recorded(studio.sounds),
        ]
    )
    script = f'\n"use strict";\n{{\n{player.SOUND}{player.ROLL}{_scripts(SCRIPTS)}}}\n'
    page = html_page(f"Studio: {studio.card.name}", body, style=STYLE, scripts=[script], workers=True)
    write_text(path, page)


def _scripts(names: tuple[str, ...]) -> str:
    return "".join(files("noternn.pages").joinpath(name).read_text("utf-8") for name in names)


def _data(name: str, kind: str, text: str) -> str:
    """A text in the page that its script reads; `<` ends no element in JSON, and stands in no base64."""
    if kind == "application/json":
        text = text.replace("<", "\\u003c")
    assert "</script" not in text
    return f'<script type="{kind}" id="{name}">{text}</script>'


def _recorded(sounds: Sounds | None) -> list[str]:
    if sounds is None:
        return []
    facts = json.dumps(sounds.facts, separators=(",", ":"))
    return [_data("sounds", "application/json", facts), _data("samples", "text/plain", sounds.samples)]


def _held_out(card: Card) -> str:
    if card.held_out_copied is None:
        return ""
    return f"; of held-out pieces 95 in 100 have at most {card.held_out_copied:.0%}"


def _header(name: str) -> str:
    return f"""<header>
<h1>{escape(name)}</h1>
<div role="tablist" aria-label="Views">
<button type="button" role="tab" id="tab-play" aria-controls="panel-play" aria-selected="true">Play</button>
<button type="button" role="tab" id="tab-about" aria-controls="panel-about" aria-selected="false"
 tabindex="-1">About this network</button>
</div>
</header>"""


def _play_panel(studio: Studio, sampling: Mapping[str, Any]) -> str:
    left_out = "" if studio.index else f"Passages of training pieces are not marked: {studio.why_no_index}."
    return f"""<main id="panel-play" role="tabpanel" aria-labelledby="tab-play">
<noscript><p>To compose and play, this page must be allowed to run its script.</p></noscript>
<canvas id="roll" class="roll" role="img" aria-label="Piano roll of what is heard"></canvas>
<ul id="legend" class="legend" aria-label="Colors of the notes"></ul>
<p id="copied" class="soft">{escape(left_out)}</p>
<div class="transport">
<button type="button" id="play" class="round" aria-label="Play">{player.ICONS}</button>
<span id="now" class="now" aria-label="Time">0:00</span>
<button type="button" id="new">New piece</button>
<button type="button" id="undo" disabled>Undo</button>
<button type="button" id="keep">Keep</button>
<button type="button" id="save-midi">Save MIDI</button>
<button type="button" id="save-wav">Save WAV</button>
<button type="button" id="open">Open MIDI</button>
<input type="file" id="file" accept=".mid,.midi" hidden>
<p id="status" role="status">The network is being loaded ...</p>
</div>
<ul id="takes" class="takes" aria-label="Takes that are kept"></ul>
<div class="settings">
{_settings(studio, sampling)}
</div>
<div id="keys" class="keys" role="group" aria-label="Keyboard: arrows move, space plays"></div>
<p class="soft hint">Play with the keys above, with A S D F ... on your keyboard (Z and X change the octave),
or by MIDI; drop a MIDI file to continue it.</p>
</main>"""


def _settings(studio: Studio, sampling: Mapping[str, Any]) -> str:
    tokens = studio.description["tokens"]
    tempo = round(min(MAX_TEMPO, max(MIN_TEMPO, studio.description["tempo"])))
    programs = sorted(
        int(t.removeprefix("Program_")) for t in tokens if t.startswith("Program_") and t[8:].isdigit()
    )
    lengths = "".join(f'<option value="{number}">{text}</option>' for number, text in LENGTHS.items())
    parts = [
        _slider("temperature", "Temperature", 0.3, 2, 0.05, sampling["temperature"]),
        _slider("top-p", "Top-p", 0.05, 1, 0.05, sampling["top_p"], {"1": "all"}),
        _slider("top-k", "Top-k", 0, max(50, sampling["top_k"]), 1, sampling["top_k"], {"0": "all"}),
        _slider("tempo", "Tempo", MIN_TEMPO, MAX_TEMPO, 1, tempo),
        _slider("volume", "Volume", 0, 100, 1, 70),
        f'<label>Length <select id="length">{lengths}</select></label>',
        _own_program(studio, programs),
        '<label class="check"><input type="checkbox" id="together"> Play together, not in turns</label>',
        '<span class="midi"><button type="button" id="midi">Connect MIDI</button> '
        '<label id="ports" hidden>Sound from <select id="midi-out"></select></label></span>',
        _instruments(programs, "Program_drum" in tokens),
    ]
    return "\n".join(part for part in parts if part)


def _slider(
    name: str,
    label: str,
    low: float,
    high: float,
    step: float,
    value: float,
    words: Mapping[str, str] | None = None,
) -> str:
    """A slider that shows its value, or a word for some."""
    marks = "".join(f' data-at{number}="{text}"' for number, text in (words or {}).items())
    limits = f'min="{low:g}" max="{high:g}" step="{step:g}" value="{value:g}"'
    return (
        f'<label>{label} <output for="{name}"{marks}>{value:g}</output>'
        f'<input type="range" id="{name}" {limits}></label>'
    )


def _own_program(studio: Studio, programs: list[int]) -> str:
    """The instrument of what is played, or the sound of all where the network knows no instruments."""
    if studio.description["tokenizer"]["name"] == "voices":
        return ""
    choices = programs or list(VOICES)
    options = "".join(
        f'<option value="{number}">{escape(program_name(number))}</option>' for number in choices
    )
    label = "You play" if programs else "Sound"
    return f'<label>{label} <select id="own-program">{options}</select></label>'


def _instruments(programs: list[int], has_drums: bool) -> str:
    """Which instruments the network may use, where it knows them."""
    named = [(number, program_name(number)) for number in programs]
    named += [(DRUMS, "Drums")] if has_drums else []
    boxes = "".join(
        f'<label class="check"><input type="checkbox" value="{number}" checked> {escape(name)}</label>'
        for number, name in named
    )
    if not named:
        return '<div id="instruments" hidden></div>'
    return f'<details><summary>Instruments</summary><div id="instruments">{boxes}</div></details>'


def _about_panel(studio: Studio) -> str:
    card = studio.card
    picture = curves(studio.run, [])[0] if studio.run.rows else ""
    sentences = "".join(f"<p>{escape(text)}</p>" for text in card.sentences)
    sections = "\n".join(
        f"<h2>{escape(heading)}</h2>\n<dl>"
        + "".join(f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in facts.items())
        + "</dl>"
        for heading, facts in card.sections.items()
    )
    panel = 'class="about" role="tabpanel" aria-labelledby="tab-about" tabindex="0" hidden'
    return f"""<div id="panel-about" {panel}>
{sentences}
{picture}
{sections}
<h2>In this page</h2>
<p>The network runs here, in your browser, with weights of {studio.bits} bits; the page loads and
sends nothing. What it composes is drawn with the settings that you choose, and is not checked by anybody.</p>
</div>"""
