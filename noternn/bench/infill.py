"""How long it takes particles to compose a gap anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from noternn.audit.online import Passages, texts_of
from noternn.bench.timing import interleaved
from noternn.config.sampling import Sampling
from noternn.datasets.sources import installed_sources
from noternn.model.checkpoint import BASE_CHECKPOINT
from noternn.music.piece import Piece
from noternn.sampling.arrange import infill
from noternn.sampling.composer import Composer, load_composer
from noternn.sampling.copies import Bound, ticks_of_beat
from noternn.sampling.wishes import ANYTHING, Wishes

NUM_PIECES = 11
BEATS = (8, 16)  # two bars


def bench_infill(
    numbers: Sequence[int] = (16, 64), repeats: int = 3, pieces: Sequence[Piece] = ()
) -> tuple[str, list[dict[str, Any]]]:
    """Compose two bars of a chorale anew with the network that comes with the package.

    Args:
        numbers: of particles.
        repeats: of each.
        pieces: whose first is changed, while the last row does not copy the others; none for 11 chorales.

    Returns:
        what was done, in a line, and a row for each number of particles: seconds of the processor, and
        particles a second.
    """
    composer = load_composer(BASE_CHECKPOINT)
    piece, *learned = pieces or [source.read() for source in installed_sources("bach")[:NUM_PIECES]]
    grid = composer.codec.tokenizer.steps_per_beat, ticks_of_beat(composer.codec)
    bounded = Wishes(bound=Bound(composer.codec, Passages(texts_of(learned), *grid, 0.0)))
    asked = [(number, ANYTHING) for number in numbers] + [(numbers[-1], bounded)]
    names = [f"{number} particles{', no copies' if wishes.bound else ''}" for number, wishes in asked]
    runs = {name: partial(_fill, composer, piece, *each) for name, each in zip(names, asked, strict=True)}
    rows = [
        {
            "name": timing.name,
            "cpu_seconds": timing.seconds,
            "particles_per_second": number / timing.seconds,
            "spread": timing.spread,
        }
        for timing, (number, _) in zip(interleaved(runs, repeats), asked, strict=True)
    ]
    return f"beats {BEATS[0]} to {BEATS[1]} of {piece.name or 'a chorale'}, composed anew", rows


def _fill(composer: Composer, piece: Piece, num_particles: int, wishes: Wishes) -> None:
    start, end = (beat * piece.ticks_per_beat for beat in BEATS)
    sampling = Sampling(top_p=1.0)
    infill(composer, piece, (start, end), sampling, num_particles, wishes)
