"""What `noternn generate` composes, and how to compose each sample again, which `noternn verify` does."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import noternn
from noternn.commands import arranged
from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.runs.folder import RunFolder

if TYPE_CHECKING:
    from noternn.audit.against import Against
    from noternn.health.yardstick import Yardstick
    from noternn.music.piece import Piece
    from noternn.sampling.clock import Clock
    from noternn.sampling.provenance import Copied, Given, Provenance

NUM_TRIED = 8  # samples of which --healthy takes one
SETTINGS = [field.name for field in fields(Sampling) if field.name not in ("primer_notes", "way", "ending")]
ENDINGS = {"exact": "exact", "any": "until-end"}  # of Sampling.ending, the option
STARTS = ("primer", "infill", "melody")  # options that name a file from which is composed
MUSICXML = ".musicxml"
SUFFIXES = (".mid", ".midi", MUSICXML)  # of what is written


@dataclass(frozen=True)
class Sample:
    """What was composed.

    Args:
        piece: the music.
        seed: with which it comes again alone.
        origin: for its line, where it comes from.
        new: the composed notes alone, where they stand.
        written: what is written of them: all, or these.
    """

    piece: Piece
    seed: int
    origin: str
    new: Piece
    written: Piece

    @property
    def is_new(self) -> NDArray[np.bool_]:
        """Which notes of the piece were composed, (num_notes,)."""
        new, all_notes = (
            np.stack([piece.onset, piece.pitch, piece.program, piece.is_drum]).T.tolist()
            for piece in (self.new, self.piece)
        )
        composed = set(map(tuple, new))
        return np.array([tuple(note) in composed for note in all_notes], dtype=np.bool_)

    @property
    def what(self) -> str:
        """The rest of its line: what it is like."""
        from noternn.health.measures import measure

        s = measure(self.written)
        return (
            f"{self.origin}{s.num_notes} notes, {s.num_pitches} pitches, {s.beats:.0f} beats, "
            f"longest repetition {s.longest_repetition}, silent {s.silent_fraction:.0%}{self._band}"
        )

    @property
    def _band(self) -> str:
        """The instruments of a band, for its line; "" of one instrument."""
        from noternn.music.instruments import instruments_text

        is_drum = self.written.is_drum
        names = instruments_text(self.written.program[~is_drum].tolist(), bool(is_drum.any()))
        return f", instruments: {names}" if ", " in names else ""


class Composing:
    """A checkpoint that composes what the options of `noternn generate` ask.

    Args:
        options: of the command.
        checkpoint: the file.

    Raises:
        UserError: if the checkpoint cannot be used.
    """

    def __init__(self, options: argparse.Namespace, checkpoint: Path) -> None:
        from noternn.model.checkpoint import load_checkpoint
        from noternn.sampling.composer import composer_of

        self.options, self.checkpoint = options, checkpoint
        self._loaded = load_checkpoint(checkpoint)
        self.composer = composer_of(self._loaded, checkpoint).told(options.label)
        given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
        ending = "exact" if options.exact else "any" if options.until_end else "own"
        self.sampling = Sampling(**{**self.composer.drawing, **given}, ending=ending)

    @property
    def folder(self) -> RunFolder:
        """The run's folder, in which the checkpoint lies."""
        run = self.options.checkpoint
        return RunFolder(run if run.is_dir() else self.checkpoint.parent)

    def compose(self, num_samples: int) -> list[Sample]:
        """So many samples, with the seeds from that of the options on.

        Raises:
            UserError: if what is asked cannot be composed.
        """
        filled = arranged.compose(self.options, self.composer, self.sampling, num_samples)
        if filled is None and arranged.is_chosen(self.options, self.composer):
            return self._copying_little(num_samples)
        if filled is None:
            return self._continued(num_samples)
        where, each = filled
        origins = [f"{one.num_composed} notes composed {where}, in all " for one in each]
        return self._samples([one.piece for one in each], [one.composed for one in each], origins)

    def _samples(self, pieces: list[Piece], new: list[Piece], origins: list[str]) -> list[Sample]:
        told: dict[str, Any] = {"name": ""}  # not that of the given file, which may be called otherwise
        if self.options.tempo:
            told["tempos"] = ((0, self.options.tempo),)
        pieces, new = ([replace(piece, **told) for piece in both] for both in (pieces, new))
        written = new if self.options.only_new else pieces
        seeds = range(self.sampling.seed, self.sampling.seed + len(pieces))
        return [Sample(*row) for row in zip(pieces, seeds, origins, new, written, strict=True)]

    def _continued(self, num_samples: int) -> list[Sample]:
        from noternn.sampling.primers import primer_end

        options, composer = self.options, self.composer
        primers, clock, origins = self._primers(num_samples)
        tempo = options.tempo or (clock.last_tempo if clock else composer.tempo)
        beats = options.beats if options.seconds is None else options.seconds * tempo / 60
        wishes = arranged.wished(options, composer)
        pieces = composer.compose_each(
            primers, self.sampling, beats, clock, wishes, instruments=options.instruments
        )
        ends = [primer_end(primer, composer.codec, composer.tempo) for primer in primers]
        new = [piece.select(piece.onset >= end) for piece, end in zip(pieces, ends, strict=True)]
        return self._samples(pieces, new, origins)

    def _copying_little(self, num_samples: int) -> list[Sample]:
        """So many samples, each the first of `NUM_TRIED` that copies no more than may be."""
        most, tried = self.options.max_copied, self._continued(NUM_TRIED * num_samples)
        shares = [copied_in(sample, self.against).share for sample in tried]
        chosen = []
        for k in range(num_samples):
            each = range(k, len(tried), num_samples)
            found = next((number for number in each if shares[number] <= most), None)
            if found is None:
                raise UserError(
                    f"--max-copied {most:g}: each of {NUM_TRIED} samples copies more, at least "
                    f"{min(shares[number] for number in each):.0%}; take an earlier checkpoint, or allow more"
                )
            chosen.append(tried[found])
        return chosen

    def _primers(self, num_samples: int) -> tuple[list[list[int]], Clock | None, list[str]]:
        """What each sample continues, its clock if it has one, and where it comes from, for its line."""
        options = self.options
        if options.opening:
            from noternn.evaluation.loading import held_out_openings, load_runs

            seeds = range(options.seed, options.seed + num_samples)
            primers, names = held_out_openings(load_runs([options.checkpoint])[0], seeds)
            return primers, None, [f"after the opening of {name}, " for name in names]
        if not options.primer:
            return [[]] * num_samples, None, [""] * num_samples
        from noternn.sampling.primers import encode_primer

        composer = self.composer
        asked = (composer.codec, options.primer_beats, composer.pedal)
        primer, clock, line = encode_primer(options.primer, *asked)
        print(line, file=sys.stderr)
        return [primer] * num_samples, clock, [""] * num_samples

    def healthiest(self, num_samples: int, yardstick: Yardstick | None) -> list[Sample]:
        """So many samples, each the one of `NUM_TRIED` that is most like held-out music.

        Raises:
            UserError: if there is no yardstick, or as `compose`.
        """
        from noternn.health.checkup import check

        if yardstick is None:
            raise UserError("--healthy: there is nothing to compare with; give a finished run's folder")
        samples = self.compose(NUM_TRIED * num_samples)
        order = ("healthy", "unusual")
        ranks = [
            (order.index(c.verdict) if c.verdict in order else len(order), c.num_outside, k)
            for k, c in enumerate(check(sample.written, yardstick) for sample in samples)
        ]
        chosen = [samples[min(ranks[k::num_samples])[-1]] for k in range(num_samples)]
        return [replace(one, origin=f"the healthiest of {NUM_TRIED}, {one.origin}") for one in chosen]

    @cached_property
    def against(self) -> Against:
        """The training pieces of the run.

        Raises:
            UserError: if they cannot be read, or if there is no run.
        """
        from noternn.audit.against import load, reference_of_run

        return load(reference_of_run(self.folder.path))

    def provenance(self, sample: Sample, given: Given | None, copied: Copied | None = None) -> Provenance:
        """How a sample is composed again.

        Args:
            sample: one of these.
            given: what `given_of` says.
            copied: what an audit has found in it.
        """
        from noternn.sampling.provenance import Provenance

        options = self._asked() | {"seed": sample.seed}
        if given:
            (start,) = (name for name in STARTS if getattr(self.options, name))
            options[start] = given.name
        file, weights = self._hashes
        return Provenance(noternn.__version__, file, options, given, copied, weights)

    @cached_property
    def _hashes(self) -> tuple[str, str]:
        """Of the checkpoint's file, and of its weights."""
        from noternn.model.checkpoint import weights_sha256
        from noternn.sampling.provenance import sha256_of

        return sha256_of(self.checkpoint), weights_sha256(self._loaded)

    def _asked(self) -> dict[str, Any]:
        """The options that decide what is composed, but for the seed, with those that the run has chosen."""
        options, sampling = self.options, self.sampling
        told: dict[str, Any] = {}
        if options.seconds is not None:
            told["seconds"] = options.seconds
        elif options.beats is not None:
            told["beats"] = arranged.span_text(options.beats)
        elif not options.infill and not options.melody:
            told["num-notes"] = sampling.num_notes
        if sampling.ending in ENDINGS:
            told[ENDINGS[sampling.ending]] = True
        for name in SETTINGS:
            if name not in ("num_notes", "seed"):
                told[name.replace("_", "-")] = getattr(sampling, name)
        for name in ("audit", "opening", "only_new", "instruments", "label", "tempo", "primer_beats"):
            if value := getattr(options, name):
                told[name.replace("_", "-")] = value
        return told | arranged.asked(options)


def file_bytes(piece: Piece, suffix: str, text: str) -> bytes:
    """The bytes of a file of a piece that says a text of itself.

    Args:
        piece: the music.
        suffix: of the file's name, one of `SUFFIXES`.
        text: in ASCII.
    """
    if suffix.lower() == MUSICXML:
        from noternn.music.musicxml_writer import musicxml_file  # imports music21

        return musicxml_file(piece, text)
    from noternn.music.keys import key_of
    from noternn.music.midi import midi_file

    return midi_file(piece, text, key_of(piece))


def copied_in(sample: Sample, against: Against) -> Copied:
    """What the composed notes of a sample copy, as `Copied` says."""
    from noternn.audit.report import MIN_NOTES
    from noternn.sampling.provenance import Copied

    audit = against.index.audit(sample.piece)
    is_new = sample.is_new & ~sample.piece.is_drum
    sources = audit.source_piece[is_new & (audit.longest >= MIN_NOTES)]
    pieces, counts = np.unique(sources, return_counts=True)
    num_notes = max(1, int(is_new.sum()))
    order = np.argsort(-counts, kind="stable").tolist()
    shares = {against.index.names[pieces[k]]: round(float(counts[k] / num_notes), 4) for k in order}
    return Copied(round(len(sources) / num_notes, 4), shares)


def given_of(options: argparse.Namespace) -> Given | None:
    """The file that is composed from: a primer, a melody or music with a gap; None without one.

    Raises:
        UserError: if it cannot be read.
    """
    from noternn.datasets.sources import file_of
    from noternn.sampling.provenance import Given, sha256_of

    paths: list[Path] = [path for name in STARTS if (path := getattr(options, name))]
    if not paths:
        return None
    return Given(paths[0].name, sha256_of(file_of(paths[0])))
