"""Is a sample healthy? What can be measured of its notes, beside the same of real held-out music.

A quantity says little alone: 40 distinct pitches are many for a tune and few for a sonata. So every value of
a sample stands beside a `Yardstick`, the same quantity over excerpts of held-out pieces with the same number
of notes. Its 5th to 95th percentile is what is usual; one real excerpt in ten is outside.
A sample is called unhealthy, and how it has collapsed is said, only where it is further out than any real
excerpt (see `_limits`); unusual, where more quantities are outside at once than real music has.

Times are in quarter notes. Drums count as notes and sound, but have no pitches.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.files import write_text
from noternn.music.facts import find_key
from noternn.music.piece import Piece
from noternn.music.steps import note_steps
from noternn.tables import format_table

Floats = NDArray[np.float64]

FILE_NAME = "health.json"
MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
REPEATED_NOTES = 8  # in a passage that counts as one that came before: two bars of a tune
LOCAL_NOTES = 32  # within which music hardly changes its key: two bars of four parts
MIN_NOTES = 16  # fewer can be anything
OUTSIDE = "num_outside"
MAX_PIECES = 256  # of a split that are measured
MAX_BYTES = 10**6  # of a file of these measures; one has some kilobytes
MAX_EXCERPTS = 4  # of each piece and length
PERCENTILES = (0, 5, 50, 95, 100)


@dataclass(frozen=True)
class Health:
    """What a piece, or an excerpt of one, is like in numbers.

    Args:
        num_notes: notes, drums included.
        beats: from the first onset to the last end.
        num_pitches: distinct pitches.
        longest_repetition: most onsets in a row that sound the same pitches.
        silent_fraction: share of the time in which nothing sounds, 0 to 1.
        notes_per_beat: `num_notes` / `beats`.
        polyphony: mean number of pitches that sound while any does (the average polyphony of Dong et al.,
            MuseGAN, 2018; what C-RNN-GAN calls polyphony is how often two notes begin together).
        scale_consistency: share of the notes in the major scale that holds most of them. Mogren (C-RNN-GAN,
            2016) and MusPy also try minor scales; the natural ones have the pitches of major ones, so that
            this is the same number. Notes count alike, however long. The harmonic minor's seventh counts as
            foreign, as it does there. At least 7/12 of evenly used pitches.
        local_scale_consistency: the mean of that over every 32 notes in a row (all, of fewer): high where
            `scale_consistency` is low, music goes from key to key.
        pitch_class_distance: how far the histogram of pitch classes, weighted by duration, is from the mean
            one of the held-out pieces, in the best of 12 transpositions, for keys say nothing about health:
            the Jensen-Shannon divergence in bits (Lin, 1991), 0 to 1. Yang and Lerch (On the evaluation of
            generative models in music, 2020) compare such histograms of whole sets, by Euclidean distances
            and without transposition; here one sample is to be judged. NaN without held-out pieces.
        repeated_fraction: share of the notes that stand in a passage of 8 notes that came before in the
            piece, in any key: the same intervals and times from onset to onset. A measure of self-similarity
            that needs no bars, which samples do not have. A loop comes near 1.
        loop_beats: median time since the passage was last heard, of all such passages; NaN without any.
    """

    num_notes: int
    beats: float
    num_pitches: int
    longest_repetition: int
    silent_fraction: float
    notes_per_beat: float
    polyphony: float
    local_scale_consistency: float
    scale_consistency: float
    pitch_class_distance: float
    repeated_fraction: float
    loop_beats: float


def measure(piece: Piece, profile: Floats | None = None) -> Health:
    """The quantities of a piece; what cannot be said of it is NaN.

    Args:
        piece: any.
        profile: (12,) the mean pitch classes of held-out pieces, see `Yardstick`.
    """
    if not piece.num_notes:
        return Health(0, 0.0, 0, 0, *[math.nan] * 8)
    pitched = piece.select(~piece.is_drum)
    ticks = piece.end - int(piece.onset[0])
    beats = ticks / piece.ticks_per_beat
    repeated_fraction, loop_beats = _repeated(pitched)
    return Health(
        num_notes=piece.num_notes,
        beats=beats,
        num_pitches=len(np.unique(pitched.pitch)),
        longest_repetition=_longest_repetition(piece),
        silent_fraction=1 - _sounding_ticks(piece) / ticks,
        notes_per_beat=piece.num_notes / beats,
        polyphony=pitched.duration.sum() / _sounding_ticks(pitched) if pitched.num_notes else 0.0,
        local_scale_consistency=_local_scale_consistency(pitched.pitch),
        scale_consistency=_scale_consistency(pitched.pitch),
        pitch_class_distance=_pitch_class_distance(pitched, profile),
        repeated_fraction=repeated_fraction,
        loop_beats=loop_beats,
    )


def _longest_repetition(piece: Piece) -> int:
    chords: dict[int, set[tuple[bool, int]]] = {}
    keys = zip(piece.is_drum.tolist(), piece.pitch.tolist(), strict=True)
    for onset, key in zip(piece.onset.tolist(), keys, strict=True):
        chords.setdefault(onset, set()).add(key)
    longest = run = 0
    previous: set[tuple[bool, int]] | None = None
    for _, keys_there in sorted(chords.items()):
        run = run + 1 if keys_there == previous else 1
        longest, previous = max(longest, run), keys_there
    return longest


def _sounding_ticks(piece: Piece) -> int:
    """Length of the union of the notes' time spans."""
    covered_until = np.maximum.accumulate(piece.onset + piece.duration)  # onsets are sorted
    start = np.maximum(piece.onset, np.concatenate([[piece.onset[0]], covered_until[:-1]]))
    return int(np.maximum(covered_until - start, 0).sum())


def _scale_consistency(pitch: NDArray[np.int64]) -> float:
    return float(_in_scales(pitch).sum(axis=0).max() / pitch.size) if pitch.size else math.nan


def _local_scale_consistency(pitch: NDArray[np.int64]) -> float:
    if pitch.size < LOCAL_NOTES:
        return _scale_consistency(pitch)
    counts = np.cumsum(np.vstack([np.zeros((1, 12), dtype=np.int64), _in_scales(pitch)]), axis=0)
    within = counts[LOCAL_NOTES:] - counts[:-LOCAL_NOTES]  # (num_windows, 12)
    return float(within.max(axis=1).mean() / LOCAL_NOTES)


def _in_scales(pitch: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which notes are in each of the 12 major scales, (num_notes, 12)."""
    above_tonic = (pitch[:, None] - np.arange(12)) % 12
    in_scales: NDArray[np.bool_] = np.isin(above_tonic, MAJOR_SCALE)
    return in_scales


def _pitch_classes(pitched: Piece) -> Floats:
    """The share of the time that each pitch class sounds, (12,)."""
    sounding = np.bincount(pitched.pitch % 12, weights=pitched.duration, minlength=12)
    shares: Floats = sounding / sounding.sum()
    return shares


def _pitch_class_distance(pitched: Piece, profile: Floats | None) -> float:
    if profile is None or not pitched.num_notes:
        return math.nan
    shares = _pitch_classes(pitched)
    return min(_divergence(np.roll(shares, -k), profile) for k in range(12))


def _divergence(p: Floats, q: Floats) -> float:
    """The Jensen-Shannon divergence of two distributions in bits, 0 to 1."""
    mean = (p + q) / 2

    def from_mean(x: Floats) -> float:
        there = x > 0
        return float((x[there] * np.log2(x[there] / mean[there])).sum())

    return max(0.0, (from_mean(p) + from_mean(q)) / 2)


def _repeated(pitched: Piece) -> tuple[float, float]:
    """`repeated_fraction` and `loop_beats`."""
    steps = note_steps(pitched)  # (num_notes - 1,), of which a passage of 8 notes has 7
    if len(steps) < REPEATED_NOTES - 1:
        return 0.0, math.nan
    gaps = np.cumsum(np.concatenate([[0], steps >> 8])) / 12  # onsets in beats, see `note_steps`
    last_heard: dict[bytes, int] = {}
    is_repeated = np.zeros(len(steps) + 1, dtype=np.bool_)
    since: list[float] = []
    for start in range(len(steps) - REPEATED_NOTES + 2):
        passage = steps[start : start + REPEATED_NOTES - 1].tobytes()
        before = last_heard.get(passage)
        if before is not None:
            is_repeated[start : start + REPEATED_NOTES] = True
            since.append(float(gaps[start] - gaps[before]))
        last_heard[passage] = start
    return float(is_repeated.mean()), float(np.median(since)) if since else math.nan


@dataclass(frozen=True)
class Quantity:
    """What a quantity is called, and when it is called a collapse.

    Args:
        name: of the field of `Health`.
        label: in tables.
        lowest, highest: what it can be at least and at most.
        least: the smallest distance from real music that is worth a word.
        low, high: the collapse in words, with `{value}` and `{loop}`; "" where there is none.
    """

    name: str
    label: str
    lowest: float = 0.0
    highest: float = math.inf
    least: float = 0.0
    low: str = ""
    high: str = ""


QUANTITIES = (
    Quantity("num_pitches", "distinct pitches", 1, 128, 2, low="it circles around {value} pitches"),
    Quantity(
        "longest_repetition",
        "longest repetition",
        1,
        least=3,
        high="it strikes one note or chord {value} times in a row",
    ),
    Quantity("silent_fraction", "silent", 0, 1, 0.1, high="it falls silent, {value} of the time"),
    Quantity(
        "notes_per_beat",
        "notes a beat",
        least=0.25,
        low="it hardly moves, a drone of {value} notes a beat",
        high="it is a flood of {value} notes a beat",
    ),
    Quantity(
        "polyphony",
        "notes at a time",
        least=0.5,
        low="it has grown thin, {value} notes at a time",
        high="it is a cluster of {value} notes at a time",
    ),
    Quantity(
        "local_scale_consistency",
        "in one scale (32 notes)",
        7 / 12,
        1,
        0.05,
        low="it is out of any key, {value} of every 32 notes in one scale",
    ),
    Quantity(
        "scale_consistency",
        "in one scale",
        7 / 12,
        1,
        0.05,
        low="it wanders from key to key, {value} of the notes in one scale",
    ),
    Quantity(
        "pitch_class_distance",
        "pitch class distance",
        0,
        1,
        0.05,
        high="its pitch classes are {value} bits from those of this music",
    ),
    Quantity(
        "repeated_fraction",
        "heard before",
        0,
        1,
        0.1,
        high="it goes round in a loop of {loop} beats, {value} heard before",
    ),
)


@dataclass(frozen=True)
class Range:
    """One quantity over excerpts of real music: least, 5th percentile, median, 95th percentile, most."""

    least: float
    low: float
    median: float
    high: float
    most: float


@dataclass(frozen=True)
class Yardstick:
    """What held-out pieces are like.

    Args:
        num_pieces: measured.
        profile: (12,) their mean pitch classes, each piece moved to C major or A minor first.
        ranges: by the number of notes of the excerpts, and by quantity; `num_outside` is how many of an
            excerpt's quantities are outside of what is usual.
    """

    num_pieces: int
    profile: tuple[float, ...]
    ranges: Mapping[int, Mapping[str, Range]]

    @classmethod
    def of(cls, pieces: Iterable[Piece]) -> Yardstick:
        """Measure held-out pieces; of more than 256 the first ones.

        Excerpts have 16, 32, 64, ... notes up to the pieces' median, and that. Shorter pieces are whole.
        """
        measured = [piece for piece, _ in zip(pieces, range(MAX_PIECES), strict=False) if piece.num_notes]
        profiles = [_profile(piece) for piece in measured if not piece.is_drum.all()]
        profile = np.mean(profiles, axis=0) if profiles else np.full(12, 1 / 12)
        ranges = {}
        for length in _lengths([piece.num_notes for piece in measured]):
            parts = [part for piece in measured for part in excerpts(piece, length)[:MAX_EXCERPTS]]
            measured_parts = [measure(part, profile) for part in parts]
            ranges[length] = _ranges(measured_parts)
            counts = [sum(map(abs, _sides(vars(part), ranges[length]).values())) for part in measured_parts]
            ranges[length][OUTSIDE] = Range(*np.percentile(counts, PERCENTILES).tolist())
        return cls(len(measured), tuple(profile.tolist()), ranges)

    def length_for(self, num_notes: int) -> int:
        """How many notes excerpts of a piece of `num_notes` have, to be compared."""
        return max(
            (length for length in self.ranges if length <= num_notes), default=min(self.ranges, default=0)
        )

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_text(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Yardstick:
        """Read what `save` wrote, or somebody else did.

        Raises:
            UserError: if it holds anything else.
        """
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError("too large")
            plain = json.loads(path.read_text(encoding="utf-8"))
            names = {OUTSIDE, *(quantity.name for quantity in QUANTITIES)}
            ranges = {
                int(length): {name: Range(*(float(row[key]) for key in Range.__dataclass_fields__))
                              for name, row in rows.items() if name in names}
                for length, rows in plain["ranges"].items()
            }  # fmt: skip
            profile = tuple(float(share) for share in plain["profile"])
            are_ranges = all(n >= 1 and set(rows) == names for n, rows in ranges.items())
            if len(profile) != 12 or not min(profile) >= 0 or not are_ranges:
                raise ValueError("other quantities")
            return cls(int(plain["num_pieces"]), profile, ranges)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}: not the measures of held-out pieces; delete it to have the corpus measured anew"
            ) from error


def _profile(piece: Piece) -> Floats:
    """The pitch classes of a piece from C, or from A if it is in minor."""
    pitched = piece.select(~piece.is_drum)
    tonic, is_minor, _ = find_key(pitched.pitch, pitched.duration)
    return np.roll(_pitch_classes(pitched), -(max(tonic, 0) + 3 * is_minor))


def _lengths(num_notes: Sequence[int]) -> list[int]:
    if not num_notes:
        return []
    median = max(1, int(np.median(num_notes)))
    powers = [MIN_NOTES << k for k in range(20)]
    return [length for length in powers if length < median] + [median]


def excerpts(piece: Piece, num_notes: int) -> list[Piece]:
    """As few parts of so many notes as cover a piece, evenly spaced; a shorter piece is whole.

    Notes that ring on after the last onset of a part are cut where the next note of the piece begins or, at
    the end of the piece, are whole.
    """
    if piece.num_notes <= num_notes:
        return [piece]
    num_parts = -(-piece.num_notes // num_notes)
    starts = np.linspace(0, piece.num_notes - num_notes, num_parts).round().astype(int).tolist()
    place = np.arange(piece.num_notes)
    parts = []
    for start in starts:
        part = piece.select((place >= start) & (place < start + num_notes))
        later = piece.onset[start + num_notes :]
        later = later[later > part.onset[-1]]
        parts.append(part.until(int(later[0])) if len(later) else part)
    return parts


def _ranges(measured: Sequence[Health]) -> dict[str, Range]:
    ranges = {}
    for quantity in QUANTITIES:
        values = np.array([getattr(health, quantity.name) for health in measured], dtype=np.float64)
        values = values[np.isfinite(values)]
        ranges[quantity.name] = (
            Range(*np.percentile(values, PERCENTILES).tolist()) if len(values) else Range(*[math.nan] * 5)
        )
    return ranges


@dataclass(frozen=True)
class Checkup:
    """A sample beside real music.

    Args:
        name: of the sample.
        whole: its quantities from beginning to end.
        length: notes of the excerpts that were compared.
        values: by quantity, the mean over its excerpts.
        outside: by quantity -1 or 1 where that mean is below or above what is usual.
        collapses: what is wrong in words, with where it was heard.
        verdict: "unhealthy" if anything is; "unusual" if more quantities are outside than in 19 of 20 real
            excerpts; "healthy", or "too short to tell".
    """

    name: str
    whole: Health
    length: int
    values: Mapping[str, float]
    outside: Mapping[str, int]
    collapses: Sequence[str]
    verdict: str

    @property
    def num_outside(self) -> int:
        """How many quantities are outside of what is usual."""
        return sum(map(abs, self.outside.values()))

    @property
    def sentence(self) -> str:
        """What there is to say, in a line."""
        if not self.values:
            return f"{self.verdict} ({MIN_NOTES} notes are needed)"
        if self.collapses:
            return f"unhealthy: {'; '.join(self.collapses)}"
        labels = {quantity.name: quantity.label for quantity in QUANTITIES}
        odd = [
            f"{labels[name]} {'high' if side > 0 else 'low'}" for name, side in self.outside.items() if side
        ]
        if self.verdict == "unusual":
            return f"unusual: {', '.join(odd)}"
        return "healthy: like held-out music" + (f", but {', '.join(odd)}" if odd else "")


def check(piece: Piece, yardstick: Yardstick, name: str = "") -> Checkup:
    """Compare a sample with held-out pieces.

    It is cut into excerpts as they are. The table shows the mean over these; a collapse in one is enough.
    """
    profile = np.array(yardstick.profile)
    whole = measure(piece, profile)
    if piece.num_notes < MIN_NOTES or not yardstick.ranges:
        return Checkup(name, whole, 0, {}, {}, [], "too short to tell")
    length = yardstick.length_for(piece.num_notes)
    parts, ranges = excerpts(piece, length), yardstick.ranges[length]
    measured = [measure(part, profile) for part in parts]
    values = {q.name: float(np.mean([getattr(health, q.name) for health in measured])) for q in QUANTITIES}
    outside, collapses = _sides(values, ranges), _collapses(piece, parts, measured, ranges)
    is_unusual = sum(map(abs, outside.values())) > ranges[OUTSIDE].high
    verdict = "unhealthy" if collapses else "unusual" if is_unusual else "healthy"
    return Checkup(name, whole, length, values, outside, collapses, verdict)


def _sides(values: Mapping[str, float], ranges: Mapping[str, Range]) -> dict[str, int]:
    """By quantity -1 or 1 where it is below or above what is usual."""
    at = {quantity.name: ranges[quantity.name] for quantity in QUANTITIES}
    return {name: int(values[name] > real.high) - int(values[name] < real.low) for name, real in at.items()}


def _limits(quantity: Quantity, of_real: Range) -> tuple[float, float]:
    """Beyond what a quantity is called a collapse.

    Further out than all real excerpts: by as much as the outermost is from their median, but by no more than
    half of the way to what is possible at all, and by at least `Quantity.least`.
    """
    below = min(of_real.median - of_real.least, (of_real.least - quantity.lowest) / 2)
    above = min(of_real.most - of_real.median, (quantity.highest - of_real.most) / 2)
    return of_real.least - max(below, quantity.least), of_real.most + max(above, quantity.least)


def _collapses(
    piece: Piece, parts: Sequence[Piece], measured: Sequence[Health], ranges: Mapping[str, Range]
) -> list[str]:
    """What is wrong in words, each once, in its worst excerpt."""
    found: dict[str, str] = {}
    for quantity in QUANTITIES:
        real = ranges[quantity.name]
        values = np.array([getattr(health, quantity.name) for health in measured], dtype=np.float64)
        values = np.where(np.isfinite(values), values, real.median)
        low, high = _limits(quantity, real)
        for words, is_out, worst in (
            (quantity.low, values < low, int(values.argmin())),
            (quantity.high, values > high, int(values.argmax())),
        ):
            if words and is_out.any():
                text = words.format(
                    value=show(quantity.name, values[worst]), loop=f"{measured[worst].loop_beats:.0f}"
                )
                found[quantity.name] = f"{text} {_usual(quantity, ranges)}{_where(piece, parts, is_out)}"
    if "local_scale_consistency" in found:
        found.pop("scale_consistency", None)  # it follows
    return list(found.values())


def _usual(quantity: Quantity, ranges: Mapping[str, Range]) -> str:
    real = ranges[quantity.name]
    return f"(held-out: {show(quantity.name, real.least)} to {show(quantity.name, real.most)})"


def _where(piece: Piece, parts: Sequence[Piece], is_out: NDArray[np.bool_]) -> str:
    """From which beat on, if not all of the sample is so."""
    first = parts[int(is_out.argmax())]
    since = (int(first.onset[0]) - int(piece.onset[0])) / piece.ticks_per_beat
    return f", from beat {since:.0f}" if since > 0 else ""


def show(name: str, value: float) -> str:
    """A quantity as a reader wants it."""
    if not math.isfinite(value):
        return "-"
    if name in ("silent_fraction", "local_scale_consistency", "scale_consistency", "repeated_fraction"):
        return f"{100 * value:.0f} %"
    if name in ("num_notes", "num_pitches", "longest_repetition"):
        return f"{value:.0f}" if value == round(value) else f"{value:.1f}"
    return f"{value:.3f}" if name == "pitch_class_distance" else f"{value:.2f}"


def describe(checkups: Sequence[Checkup], yardstick: Yardstick) -> str:
    """A table of the quantities beside those of held-out music, then a line for each sample."""
    told = [checkup for checkup in checkups if checkup.values]
    lines = [_table(told, yardstick)] if told else []
    lines += [f"{checkup.name}: {checkup.sentence}" for checkup in checkups]
    if len(checkups) > 1:
        verdicts = Counter(checkup.verdict for checkup in checkups)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        lines.append(f"{len(checkups)} samples: {counts}")
    return "\n".join(lines)


def _table(checkups: Sequence[Checkup], yardstick: Yardstick) -> str:
    """Each quantity of the samples, the median of several, and how many of them are outside its range."""
    lengths = [checkup.length for checkup in checkups]
    length = max(set(lengths), key=lengths.count)
    column = "sample" if len(checkups) == 1 else "samples"
    rows: list[dict[str, object]] = []
    for q in QUANTITIES:
        real = yardstick.ranges[length][q.name]
        sides = [checkup.outside[q.name] for checkup in checkups]
        num_outside = {"high": sides.count(1), "low": sides.count(-1)}
        marks = [name if len(checkups) == 1 else f"{n} {name}" for name, n in num_outside.items() if n]
        value = float(np.median([checkup.values[q.name] for checkup in checkups]))
        cells = {column: value, "5 %": real.low, "median": real.median, "95 %": real.high}
        rows.append(
            {"": q.label, **{name: show(q.name, v) for name, v in cells.items()}, " ": ", ".join(marks)}
        )
    head = f"excerpts of {length} notes; on the right those of {yardstick.num_pieces} held-out pieces\n\n"
    return head + format_table(rows, list(rows[0])) + "\n"


def as_rows(checkups: Sequence[Checkup]) -> list[dict[str, object]]:
    """A row for each sample, for CSV and JSON: its quantities as a whole, and what there is to say."""
    rows = []
    for c in checkups:
        row: dict[str, object] = {"name": c.name, "health": c.sentence, "num_outside": c.num_outside}
        whole = asdict(c.whole).items()
        rows.append(row | {name: value if math.isfinite(value) else None for name, value in whole})
    return rows
