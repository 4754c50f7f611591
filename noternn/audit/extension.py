"""Where two lines of notes go on together after notes that differ: many matches extended at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.audit.streams import LOOSE_STEPS_PER_BEAT, Ints

Floats = NDArray[np.float64]

COST = 7  # agreeing notes that one differing note takes away: at most one in eight may differ
SLACK = 4  # below the best where a passage may end: three agreeing notes behind the last that differs
DROP = 21  # so far below the best a passage may fall before it is over: three differing notes
BLOCK = 16  # notes that are compared at a time
MIN_RUN = 3  # agreeing notes after those that differ
MAX_SKIPPED = 3  # notes of each line that differ next to each other
AHEAD = 5  # agreeing notes that are looked for after each way to skip some
# Beats of the slower line, a quarter of the source's: an eighth that is swung 3 : 1 is as late.
TOLERANCE = LOOSE_STEPS_PER_BEAT // 4
MIN_TOLERANCE = LOOSE_STEPS_PER_BEAT // 12
SKIPS = [(i, j) for i in range(MAX_SKIPPED + 1) for j in range(MAX_SKIPPED + 1) if i or j]


class Line(NamedTuple):
    """Notes of several streams one after the other.

    Args:
        time: (num_notes,) onsets in loose steps; those of neighboring streams are far apart.
        pitch: of the same shape.
    """

    time: NDArray[np.int32]
    pitch: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Seeds:
    """Where extensions begin.

    Args:
        ours: (num_seeds,) a note of the one line.
        theirs: of the same shape, that of the other which it agrees with.
        ratio: of the same shape, how many times as long the one takes for it.
    """

    ours: Ints
    theirs: Ints
    ratio: Floats

    def __len__(self) -> int:
        return len(self.ours)

    def at(self, which: Ints) -> Seeds:
        """Some of them."""
        return Seeds(self.ours[which], self.theirs[which], self.ratio[which])


@dataclass(frozen=True, eq=False)
class Extent:
    """How far seeds go on in one direction.

    Args:
        agreeing: (num_seeds,) notes that agree.
        differing: of the same shape, the notes between them that do not, of the line that has more of them.
        runs: seed, first notes of both lines, and length of each run of notes that agree, (num_runs, 4).
    """

    agreeing: Ints
    differing: Ints
    runs: Ints


def extended(ours: Line, theirs: Line, seeds: Seeds, direction: int) -> Extent:
    """Go on from each seed, its own notes included, as long as at most one note in eight differs.

    A note agrees if its pitch differs from the other's as at the seed, and if it stands within a quarter of a
    beat of where the other has it, counted from the last that agreed. Notes are skipped where at least three
    agree behind them; the way is taken with which the most agree. A passage ends where the share of agreeing
    notes is the best: each that agrees counts 1, each that differs takes away 7 (as X-drop in Altschul 1990).

    Args:
        ours, theirs: the lines.
        seeds: where to begin.
        direction: 1 for later notes, -1 for earlier ones.
    """
    walk = _Walk(ours, theirs, seeds, direction)
    while len(walk.going):
        walk.advance()
        walk.skip()
    return walk.extent()


class _Walk:
    """Both lines at all seeds that go on, in one direction."""

    def __init__(self, ours: Line, theirs: Line, seeds: Seeds, direction: int) -> None:
        self.lines = (ours, theirs)
        self.direction = direction
        self.ratio = seeds.ratio
        self.tolerance = np.maximum(MIN_TOLERANCE, TOLERANCE * seeds.ratio) + 1e-6
        self.shift = ours.pitch[seeds.ours].astype(np.int64) - theirs.pitch[seeds.theirs]
        self.next = np.stack([seeds.ours, seeds.theirs])  # the next note of each line
        self.anchor = self.next.copy()  # the last that agreed
        self.going = np.arange(len(seeds))
        self.agreeing, self.best = np.zeros((2, len(seeds)), dtype=np.int64)
        self.skipped = np.zeros((2, len(seeds)), dtype=np.int64)
        self.best_agreeing, self.best_differing, self.best_round = np.zeros((3, len(seeds)), dtype=np.int64)
        self.runs: list[Ints] = []

    def _agree(self, ours: Ints, theirs: Ints) -> NDArray[np.bool_]:
        """Whether notes so far ahead of the next agree, (num_going, *shape of ours and theirs)."""
        shape = (-1, *(1,) * ours.ndim)
        values = []
        inside: NDArray[np.bool_] | bool = True
        for line, steps, first, anchor in zip(
            self.lines, (ours, theirs), self.next[:, self.going], self.anchor[:, self.going], strict=True
        ):
            places = first.reshape(shape) + self.direction * steps
            last = len(line.time) - 1
            inside = inside & (places >= 0) & (places <= last)
            places = np.clip(places, 0, last)
            since = line.time[places].astype(np.int64) - line.time[anchor].reshape(shape)
            values.append((line.pitch[places].astype(np.int64), since))
        (pitch, time), (other_pitch, other_time) = values
        ratio, tolerance, shift = (
            value[self.going].reshape(shape) for value in (self.ratio, self.tolerance, self.shift)
        )
        is_near = np.abs(time - ratio * other_time) <= tolerance
        agree: NDArray[np.bool_] = inside & (pitch - other_pitch == shift) & is_near
        return agree

    def advance(self) -> None:
        """Go on while the next notes agree, and note the best end."""
        ahead = np.arange(BLOCK)
        agree = np.concatenate([self._agree(ahead, ahead), np.zeros((len(self.going), 1), bool)], axis=1)
        lengths = agree.argmin(axis=1)
        going = self.going
        self.runs.append(np.stack([going, *self.next[:, going], lengths], axis=1))
        self.agreeing[going] += lengths
        self.next[:, going] += self.direction * lengths
        moved = going[lengths > 0]
        self.anchor[:, moved] = self.next[:, moved] - self.direction
        differing = self.skipped[:, going].max(axis=0)
        score = self.agreeing[going] - COST * differing
        self.best[going] = np.maximum(self.best[going], score)
        is_best = (score >= self.best[going] - SLACK) & (lengths > 0)
        best = going[is_best]
        self.best_agreeing[best] = self.agreeing[best]
        self.best_differing[best] = differing[is_best]
        self.best_round[best] = len(self.runs)
        self._is_stuck = lengths < BLOCK

    def skip(self) -> None:
        """Where notes differ skip some of them, or give up."""
        everything = self.going
        stuck = self.going = everything[self._is_stuck]
        size = np.arange(MAX_SKIPPED + AHEAD)
        agree = self._agree(size[:, None], size[None, :])
        gains = np.full((len(SKIPS), len(stuck)), -np.inf)
        likes = np.zeros((len(SKIPS), len(stuck)), dtype=np.int64)
        before = self.skipped[:, stuck].max(axis=0)
        for row, (i, j) in enumerate(SKIPS):
            run = np.ones(len(stuck), dtype=bool)
            length = np.zeros(len(stuck), dtype=np.int64)
            for k in range(AHEAD):
                run &= agree[:, i + k, j + k]
                length += run
            likes[row] = alike = agree[:, :i, :j].any(axis=2).sum(axis=1)
            cost = np.maximum(self.skipped[0, stuck] + i - alike, self.skipped[1, stuck] + j - alike) - before
            gains[row] = np.where(length >= MIN_RUN, length - COST * cost - 0.1 * (i + j), -np.inf)
        chosen = gains.argmax(axis=0)
        steps = np.array(SKIPS)[chosen].T
        alike = likes[chosen, np.arange(len(stuck))]
        self.skipped[:, stuck] += steps - alike
        self.agreeing[stuck] += alike
        self.next[:, stuck] += self.direction * steps
        score = self.agreeing[stuck] - COST * self.skipped[:, stuck].max(axis=0)
        is_over = np.isinf(gains.max(axis=0)) | (score < self.best[stuck] - DROP)
        self.going = np.sort(np.concatenate([everything[~self._is_stuck], stuck[~is_over]]))

    def extent(self) -> Extent:
        """What was found."""
        rounds = np.repeat(np.arange(len(self.runs)), [len(run) for run in self.runs])
        runs = np.concatenate([np.zeros((0, 4), dtype=np.int64), *self.runs])
        runs = runs[(rounds < self.best_round[runs[:, 0]]) & (runs[:, 3] > 0)]
        if self.direction < 0:
            runs[:, 1:3] -= runs[:, 3:] - 1
        return Extent(self.best_agreeing, self.best_differing, runs)
