"""`noternn blind`: a page for a blind listening test; what listeners say is saved by their browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np

from noternn.files import write_text
from noternn.music.piece import Piece
from noternn.pages import player
from noternn.pages.html import html_page
from noternn.pages.player import Take, take_section

STYLE = player.STYLE + files("noternn.pages").joinpath("blind.css").read_text("utf-8")
SCRIPT = files("noternn.pages").joinpath("blind.js").read_text("utf-8")
VELOCITY = 80


@dataclass(frozen=True)
class Trial:
    """Two excerpts of different sources.

    Args:
        sources: what composed each.
        pieces: the excerpts.
    """

    sources: tuple[str, str]
    pieces: tuple[Piece, Piece]


def make_trials(excerpts: dict[str, Sequence[Piece]], num_trials: int, seed: int) -> list[Trial]:
    """Pairs of excerpts in random order, each two sources as often as any others, or nearly so.

    Args:
        excerpts: of each source, all heard equally often; at least two sources.
        num_trials: how many.
        seed: of the order.
    """
    rng = np.random.default_rng(seed)
    sources = sorted(excerpts)
    pairs = [(a, b) for i, a in enumerate(sources) for b in sources[i + 1 :]]
    chosen: list[tuple[str, str]] = []
    while len(chosen) < num_trials:
        chosen += [pairs[i] for i in rng.permutation(len(pairs)).tolist()]
    order = {source: rng.permutation(len(excerpts[source])).tolist() for source in sources}
    heard = dict.fromkeys(sources, 0)
    trials = []
    for pair in chosen[:num_trials]:
        a, b = pair if rng.random() < 0.5 else pair[::-1]
        pieces = []
        for source in (a, b):
            pieces.append(excerpts[source][order[source][heard[source] % len(order[source])]])
            heard[source] += 1
        trials.append(Trial((a, b), (pieces[0], pieces[1])))
    return trials


def alike(piece: Piece, tempo: float) -> Piece:
    """The notes of a piece without what gives its source away: loudness, instruments, drums and tempo."""
    piece = piece.select(~piece.is_drum)
    start = int(piece.onset.min()) if piece.num_notes else 0
    return Piece.from_notes(
        piece.onset - start,
        piece.duration,
        piece.pitch,
        velocity=VELOCITY,
        ticks_per_beat=piece.ticks_per_beat,
        tempos=((0, tempo),),
    )


def save_page(title: str, trials: Sequence[Trial], seed: int, path: Path) -> None:
    """Write the page.

    Raises:
        OSError: if it cannot be written.
    """
    # Encoded, so that a listener does not read it by accident.
    key = base64.b64encode(json.dumps([trial.sources for trial in trials]).encode()).decode()
    body = "\n".join(
        [
            "<main>",
            f"<h1>{escape(title)}</h1>",
            "<p>You hear two short pieces at a time. Some were composed by people, others by programs. "
            "Listen to both, as often as you like, and answer. There is no right or wrong.</p>",
            '<p id="progress" role="status"></p>',
            *(_trial(number, trial) for number, trial in enumerate(trials)),
            '<section id="end" hidden><h2>Thank you</h2>'
            "<p>Save your answers, and send the file to whoever asked you.</p>"
            '<p><button type="button" id="save">Save the answers</button></p></section>',
            "<noscript><p>This page must be allowed to run its script.</p></noscript>",
            "</main>",
            f'<script type="text/plain" id="key" data-seed="{seed}">{key}</script>',
        ]
    )
    write_text(path, html_page(title, body, style=STYLE, scripts=[player.SCRIPT, SCRIPT]))


def _trial(number: int, trial: Trial) -> str:
    takes = "\n".join(
        take_section(Take(f"Piece {letter.upper()}", piece), f"t{number}-{letter}")
        for letter, piece in zip("ab", trial.pieces, strict=True)
    )
    sides = {"a": "A", "b": "B", "neither": "No difference"}
    questions = [
        _question(f"preferred-{number}", "Which do you like better?", sides),
        _question(
            f"person-{number}", "Which was composed by a person?", sides | {"neither": "I cannot tell"}
        ),
        *(
            _question(
                f"rating_{letter}-{number}",
                f"How good is {letter.upper()}? 1 is bad, 5 very good.",
                {str(value): str(value) for value in range(1, 6)},
            )
            for letter in "ab"
        ),
    ]
    return f"""<section class="trial" id="trial-{number}" hidden>
{takes}
{"".join(questions)}
<p><button type="button" class="next" disabled>Next</button></p>
</section>"""


def _question(name: str, text: str, answers: dict[str, str]) -> str:
    choices = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"> {escape(answer)}</label>'
        for value, answer in answers.items()
    )
    return f"<fieldset><legend>{escape(text)}</legend>{choices}</fieldset>\n"
