"""Takes of music that an HTML page plays and draws by itself: sound, a moving piano roll, figures.

The page needs `STYLE`, `SCRIPT` and a `take_section` a take, see `noternn.pages.html`. The notes stand in the
page as JSON; the script makes the sound of them, so that nothing is loaded and the page stays small.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.music.instruments import instrument_name
from noternn.music.piece import Piece

STYLE = files("noternn.pages").joinpath("player.css").read_text("utf-8")
# Each in the order in which they need each other; the braces keep their names to themselves.
SOUND, ROLL, PLAYER = (
    files("noternn.pages").joinpath(f"{name}.js").read_text("utf-8") for name in ("sound", "roll", "player")
)
SCRIPT = f'\n"use strict";\n{{\n{SOUND}{ROLL}{PLAYER}}}\n'
SAVING = "".join(files("noternn.pages").joinpath(f"{name}.js").read_text("utf-8") for name in ("wav", "save"))
SCRIPT_THAT_SAVES = f'\n"use strict";\n{{\n{SOUND}{ROLL}{PLAYER}{SAVING}}}\n'
NUM_COLORS = 8  # of the style; what comes after them shares one
GRAY = -1
MAX_BARS = 10_000  # lines and numbers; an odd file may have a million
ICONS = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path class="to-play" d="M8 5v14l11-7z"/>'
    '<path class="to-pause" d="M7 5h4v14H7zM13 5h4v14h-4z"/></svg>'
)


class Measure(NamedTuple):
    """A figure of a take beside what it is in held-out pieces.

    Args:
        value: of the take.
        held_out: the least and the greatest that is usual there; None where there is nothing to compare.
    """

    value: float
    held_out: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Take:
    """Music to listen to, and what is known of it; what is left at its default is not shown.

    Args:
        title: its heading.
        piece: the music.
        epoch: whose weights composed it, counted from 1.
        is_best: whether these are the best weights of the run.
        file: where the music lies, as it is told.
        losses: at that epoch, by what to call them.
        num_given: so many notes at the beginning were given, not composed, and all that begin with the last
            of them: a primer ends where an onset begins.
        sources: (num_notes,) for each note of `piece` the index in `source_names` of what it is copied from;
            -1 for a note that is new. None if nobody has looked.
        source_names: pieces, with their bars.
        health: figures of the music, by name.
        remarks: sentences on its health, and on how it was made.
        midi: a MIDI file of it, which can be saved from the page, as its sound can; none if empty.
    """

    title: str
    piece: Piece
    epoch: int | None = None
    is_best: bool = False
    file: str = ""
    losses: Mapping[str, float] = field(default_factory=dict)
    num_given: int = 0
    sources: NDArray[np.int64] | None = None
    source_names: Sequence[str] = ()
    health: Mapping[str, Measure] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    midi: bytes = b""


def take_section(take: Take, anchor: str) -> str:
    """The HTML of a take, every text of it escaped.

    Args:
        take: what to show.
        anchor: the id of the section in its page, of letters, digits and hyphens.
    """
    colors, legend = _source_colors(take) if take.sources is not None else _instrument_colors(take.piece)
    notes = json.dumps(_notes(take, colors), separators=(",", ":"), allow_nan=False)
    mark = ' <span class="best">best</span>' if take.is_best else ""
    parts = [
        f'<section class="take" id="{anchor}" aria-labelledby="{anchor}-title" tabindex="-1">',
        f'<h3 id="{anchor}-title">{escape(take.title)}{mark}</h3>',
        _losses(take.losses),
        _controls(take, anchor),
        _legend(legend),
        _health(take),
        f'<p class="about">{escape(_about(take))}</p>',
        f'<script type="application/json">{notes}</script>',
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _notes(take: Take, colors: NDArray[np.int64]) -> dict[str, Any]:
    """What the script needs: times in seconds, to a millisecond."""
    piece = take.piece
    onset, end = piece.seconds(piece.onset), piece.seconds(piece.onset + piece.duration)
    bars = piece.seconds(np.array(piece.bar_ticks(piece.end)[:MAX_BARS]))
    num_given = _num_given(take)
    given = onset[num_given] if 0 < num_given < piece.num_notes else 0.0
    saved = {"midi": base64.b64encode(take.midi).decode()} if take.midi else {}
    return saved | {
        "seconds": round(piece.duration_seconds, 3),
        "given": round(float(given), 3),
        "bars": bars.round(3).tolist(),
        "onset": onset.round(3).tolist(),
        "duration": (end - onset).round(3).tolist(),
        "pitch": piece.pitch.tolist(),
        "velocity": piece.velocity.tolist(),
        "program": np.where(piece.is_drum, -1, piece.program).tolist(),  # -1 is a drum
        "color": colors.tolist(),
    }


def _num_given(take: Take) -> int:
    """How many notes were given, with all of the last onset."""
    onset = take.piece.onset
    return int((onset <= onset[take.num_given - 1]).sum()) if 0 < take.num_given <= len(onset) else 0


def _instrument_colors(piece: Piece) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    """The color of each note by instrument, and what each color means; drums are gray."""
    programs = np.unique(piece.program[~piece.is_drum])
    colors = np.minimum(np.searchsorted(programs, piece.program), NUM_COLORS)
    shown = programs[:NUM_COLORS].tolist()
    legend = [(color, instrument_name(False, program)) for color, program in enumerate(shown)]
    if len(programs) > NUM_COLORS:
        legend.append((NUM_COLORS, "other instruments"))
    if piece.is_drum.any():
        legend.append((GRAY, "drums"))
    return np.where(piece.is_drum, GRAY, colors), legend if len(legend) > 1 else []


def _source_colors(take: Take) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    """The color of each note by what it is copied from, most used first, and what each color means."""
    assert take.sources is not None
    counts = Counter(take.sources[take.sources >= 0].tolist())
    order = [source for source, _ in counts.most_common()]
    color_of = {source: min(i, NUM_COLORS) for i, source in enumerate(order)} | {-1: GRAY}

    def share(count: int) -> str:
        return f"{count / max(1, take.piece.num_notes):.0%}"

    legend = [
        (color, f"{take.source_names[source]}: {share(counts[source])}")
        for color, source in enumerate(order[:NUM_COLORS])
    ]
    others = order[NUM_COLORS:]
    if others:
        names = ", ".join(take.source_names[source] for source in others)
        legend.append((NUM_COLORS, f"others ({names}): {share(sum(counts[source] for source in others))}"))
    legend.append((GRAY, f"new: {share(take.piece.num_notes - counts.total())}"))
    return np.array([color_of[source] for source in take.sources.tolist()], dtype=np.int64), legend


def _losses(losses: Mapping[str, float]) -> str:
    items = (f"<div><dt>{escape(name)}</dt><dd>{value:.3f}</dd></div>" for name, value in losses.items())
    return f'<dl class="losses">{"".join(items)}</dl>' if losses else ""


def _controls(take: Take, anchor: str) -> str:
    """The piano roll, and below it what plays, seeks and sets the volume; the script wakes them."""
    if not take.piece.num_notes:
        return "<p>No notes.</p>"
    title, length = escape(take.title), clock_time(take.piece.duration_seconds)
    end = f"{take.piece.duration_seconds:.3f}"
    return f"""<canvas class="roll" role="img" aria-label="Piano roll of {title}"></canvas>
<div class="controls">
<button type="button" class="play" aria-label="Play {title}">{ICONS}</button>
<span class="time"><span class="now">0:00</span> / {length}</span>
<input type="range" class="seek" min="0" max="{end}" step="any" value="0" aria-label="Position in {title}" \
aria-valuetext="0:00 of {length}">
{_save_buttons(title) if take.midi else ""}
<label class="loudness" for="{anchor}-volume">volume</label>
<input type="range" class="volume" id="{anchor}-volume" min="0" max="100" value="70">
</div>"""


def _save_buttons(title: str) -> str:
    """What saves a take, whose title is escaped, in a page with `SCRIPT_THAT_SAVES`."""
    return "".join(
        f'<button type="button" class="save" value="{kind}" aria-label="Save {title} as {word}">'
        f"{word}</button>"
        for kind, word in (("mid", "MIDI"), ("wav", "WAV"))
    )


def _legend(legend: Sequence[tuple[int, str]]) -> str:
    items = (
        f'<li><span class="swatch {"gray" if color == GRAY else f"color-{color}"}"></span>{escape(text)}</li>'
        for color, text in legend
    )
    return f'<ul class="legend">{"".join(items)}</ul>' if legend else ""


def _health(take: Take) -> str:
    """What is to say in sentences, and the figures behind them, which open."""
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in take.remarks)
    said = f'<ul class="remarks">{remarks}</ul>\n' if remarks else ""
    if not take.health:
        return said
    num_unusual = sum(_is_unusual(measure) for measure in take.health.values())
    rows = "\n".join(_health_row(name, measure) for name, measure in take.health.items())
    return f"""{said}<details class="health">
<summary>Health: {num_unusual or "none"} of {len(take.health)} figures unusual for held-out pieces</summary>
<div><table>
<thead><tr><th>figure</th><th>sample</th><th>held-out pieces</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
</details>"""


def _is_unusual(measure: Measure) -> bool:
    return measure.held_out is not None and not measure.held_out[0] <= measure.value <= measure.held_out[1]


def _health_row(name: str, measure: Measure) -> str:
    mark, word = (' class="unusual"', " <small>unusual</small>") if _is_unusual(measure) else ("", "")
    value = f"{measure.value:.3g}{word}"
    usual = "{:.3g} to {:.3g}".format(*measure.held_out) if measure.held_out else ""
    return f'<tr{mark}><th scope="row">{escape(name)}</th><td>{value}</td><td>{usual}</td></tr>'


def _about(take: Take) -> str:
    count = f"{take.piece.num_notes:,} note{'s' if take.piece.num_notes != 1 else ''}"
    num_given = _num_given(take)
    given = f"the first {num_given} given (shaded)" if num_given else ""
    return ", ".join(part for part in (take.file, count, given) if part)


def clock_time(seconds: float) -> str:
    """Minutes and seconds, such as 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
