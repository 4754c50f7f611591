"""Compose with a checkpoint: one file is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from noternn.config.sampling import Sampling
from noternn.model.checkpoint import load_checkpoint, trained_of
from noternn.model.course import Course
from noternn.model.labels import Bands, Labels, told
from noternn.model.lstm import NoteLSTM
from noternn.music.piece import Piece
from noternn.sampling.band import Instruments
from noternn.sampling.clock import Clock
from noternn.sampling.ending import MARGIN, end_each
from noternn.sampling.sampler import end_in_beats
from noternn.sampling.steering import continue_each
from noternn.sampling.wishes import ANYTHING, Wishes
from noternn.tokenizer import Codec
from noternn.tokenizer.pace import Pace
from noternn.tokenizer.pitch_kinds import BEATS_A_BAR


@dataclass(frozen=True)
class Composer:
    """A trained network with the codec that it was trained with.

    Args:
        network: the weights.
        codec: tokenizer and vocabulary.
        tempo: beats per minute of what it composes from nothing.
        metre: of the same.
        pace: of the training pieces, see `sample_each`; None for `Pace.default`.
        drawing: settings of sampling that the end of its run has chosen.
        labels: of the network, which tell others than it is told; None where it has none.
        bands: of the training pieces, see `noternn.tokenizer.bands.bands_of`; none where they are not known.
        pedal: whether the training music was read with the pedal: given music is too, and files get it back.
        course: of held-out music, which samples can be steered by; None where it is not known.
    """

    network: NoteLSTM
    codec: Codec
    tempo: float
    metre: tuple[int, int] = (4, 4)
    pace: Pace | None = None
    drawing: Mapping[str, Any] = field(default_factory=dict)
    labels: Labels | None = None
    bands: Bands = ()
    pedal: bool = False
    course: Course | None = None

    def told(self, mix: str) -> Composer:
        """The same that is told a mix of labels, and has their bands, see `noternn.model.labels.told`.

        Raises:
            UserError: if it is no mix of its labels, or if it has none.
        """
        network, bands = told(mix, self.network, self.bands, self.labels)
        return replace(self, network=network, bands=bands)

    def compose(self, primer: list[int], options: Sampling, clock: Clock | None = None) -> Piece:
        """The primer, given as ids without BOS and EOS, and its continuation."""
        return self.compose_each([primer], options, clock=clock)[0]

    def compose_each(
        self,
        primers: Sequence[list[int]],
        options: Sampling,
        beats: float | None = None,
        clock: Clock | None = None,
        wishes: Wishes = ANYTHING,
        num_particles: int | None = None,
        instruments: str = "",
    ) -> list[Piece]:
        """What `compose` gives for each primer, with the seeds from that of `options` on, made together.

        Args:
            primers: what is continued; empty ones start from nothing.
            options: how tokens are chosen.
            beats: a length that is asked for, see `sample_each`. A sample that does not end by itself has no
                note that begins at that time or later, and notes that would ring over it are cut there.
            clock: tempos and metres of the primers, which go on; None for those of the corpus.
            wishes: of what is composed: a key, a range, how many notes at once.
            num_particles: that look for an end; None for as many as `end_each` takes.
            instruments: names of those that play, see `Instruments.named`; "" for those of the primer and of
                a training piece's band, see `Instruments.playing`.

        Raises:
            UserError: if nothing does what is wished, or if the network never heard one of `instruments`.
        """
        bands = self.playing(primers, options.seed, instruments)
        clock = clock or Clock(((0.0, self.tempo),), ((0.0, *self.metre),))
        pieces: dict[int, Piece] = {}
        if options.ending != "exact" and options.repetition_penalty == 1:
            pace = self.pace or Pace.default(self.codec.tokenizer.steps_per_beat)
            asked = (wishes, num_particles, bands, self.course)
            ended = end_each(self.network, self.codec, primers, options, beats, pace, *asked)
            pieces = {k: self._piece(ids, clock) for k, ids in enumerate(ended) if ids}
            if beats is not None:
                pieces = {k: self._rung_out(piece, primers[k], beats) for k, piece in pieces.items()}
        if len(pieces) < len(primers):
            pieces = dict(enumerate(self._cut(primers, options, beats, clock, bands, wishes))) | pieces
        return list(pieces.values())

    def compose_ids(self, primers: Sequence[Sequence[int]], options: Sampling) -> list[list[int]]:
        """The primers, each with `options.num_notes` more notes, as ids; see `continue_each`."""
        bands = self.playing(primers, options.seed)
        asked = (options, None, self.pace, bands, ANYTHING, self.course)
        return continue_each(self.network, self.codec, primers, *asked)

    def playing(
        self, primers: Sequence[Sequence[int]], seed: int, instruments: str = ""
    ) -> list[frozenset[int] | None]:
        """The instruments that play after each primer; None for those of a sample's opening.

        Args:
            primers: see `compose_each`.
            seed: of the first sample; the others have those that follow.
            instruments: see `compose_each`.

        Raises:
            UserError: if the network never heard one of `instruments`.
        """
        known = Instruments(self.codec)
        if instruments:
            return [known.named(instruments)] * len(primers)
        return [known.playing(primer, self.bands, seed + k) for k, primer in enumerate(primers)]

    def _piece(self, ids: list[int], clock: Clock) -> Piece:
        return replace(clock.set(self.codec.decode(ids, self.tempo)), is_pedalled=self.pedal)

    def _rung_out(self, piece: Piece, primer: list[int], beats: float) -> Piece:
        """A piece that ended by itself, whose last notes ring on for a bar beyond its margin at most."""
        end = end_in_beats(self.codec, primer, (1 + MARGIN) * beats) + BEATS_A_BAR
        return piece.until(int(end * piece.ticks_per_beat))

    def _cut(
        self,
        primers: Sequence[list[int]],
        options: Sampling,
        beats: float | None,
        clock: Clock,
        bands: Sequence[frozenset[int] | None],
        wishes: Wishes,
    ) -> list[Piece]:
        """Samples that stop at their length."""
        asked = (options, beats, self.pace, bands, wishes, self.course)
        samples = continue_each(self.network, self.codec, primers, *asked)
        pieces = [self._piece(ids, clock) for ids in samples]
        if beats is None:
            return pieces
        ends = [end_in_beats(self.codec, primer, beats) for primer in primers]
        return [p.until(int(end * p.ticks_per_beat)) for p, end in zip(pieces, ends, strict=True)]


def load_composer(path: Path) -> Composer:
    """The composer in a checkpoint file.

    Raises:
        UserError: see `load_checkpoint` and `composer_of`.
    """
    return composer_of(load_checkpoint(path), path)


def composer_of(checkpoint: dict[str, Any], path: Path) -> Composer:
    """The composer in what `load_checkpoint` gave for a path.

    Raises:
        UserError: if another version wrote it that this one cannot read.
    """
    return Composer(*trained_of(checkpoint, path))
