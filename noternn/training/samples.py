"""The samples of a run: composed, audited, checked, saved and shown."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from noternn.audit.curve import START, copied_after, held_out_limit, note_audit
from noternn.audit.index import Index, index_of
from noternn.config.sampling import Sampling
from noternn.corpus.loading import Corpus
from noternn.health.checkup import as_rows, check
from noternn.health.surprise import Bounds, Nats
from noternn.health.yardstick import Yardstick
from noternn.model.course import Course
from noternn.model.lstm import NoteLSTM
from noternn.music.keys import key_of
from noternn.music.midi import read_midi, write_midi
from noternn.music.piano_roll import save_piano_roll
from noternn.music.piece import Piece
from noternn.music.sound import save_audio
from noternn.music.soundfont import installed_font
from noternn.runs.folder import RunFolder
from noternn.sampling.choice import Choice, choose
from noternn.sampling.composer import Composer
from noternn.sampling.primers import opening, primer_end
from noternn.sampling.scoring import scorer
from noternn.sampling.steering import course_of
from noternn.tables import read_csv
from noternn.training.ancestor import music_of
from noternn.training.messages import say_not_audited
from noternn.training.tracking import Tracker

NUM_AUDITED = 8  # samples at each checkpoint, made together: one alone says little
MAX_AUDITED_NOTES = 5_000_000  # of a training split whose index is built: 450 MB, half a minute


class Samples:
    """The samples of a run: they continue the openings of its first validation pieces, told no label.

    Args:
        run_dir: the run's folder.
        corpus: that the run trains on.
        sampling: how they are composed.
        tracker: is shown each sample.
        start: what the checkpoint that the run started from holds beside tensors; None for no start, or for
            one that is not there any more.
        pedal: whether the pieces were read with the pedal.
    """

    def __init__(
        self,
        run_dir: Path,
        corpus: Corpus,
        sampling: Sampling,
        tracker: Tracker,
        start: Mapping[str, Any] | None = None,
        pedal: bool = False,
    ) -> None:
        self.pedal = pedal
        self.start = start
        self.folder = RunFolder(run_dir)
        self.corpus = corpus
        self.tracker = tracker
        self.options = sampling
        self.choice = Choice(sampling.drawing)
        self.course: Course | None = None  # of held-out music, for the best weights
        pieces = corpus.encoded.ids["validation"]
        numbers = range(min(NUM_AUDITED, len(pieces)))
        self.primers = [opening(pieces[number], corpus.codec, sampling.primer_notes) for number in numbers]

    def make(self, network: NoteLSTM, epoch: int) -> None:
        """Compose with the weights of an epoch, always from the same primers and seed; keep the first."""
        encoded = self.corpus.encoded
        if network.embedding.weight.device.type != "cpu":  # step by step, a GPU mostly waits
            network = copy.deepcopy(network).cpu()
        network = network.told()  # no label
        composer = Composer(
            *(network, self.corpus.codec, encoded.tempo, encoded.metre, self.corpus.pace),
            bands=self.corpus.bands,
            pedal=self.pedal,
        )
        self._save(self._compose(composer, epoch), self.folder.samples / f"epoch_{epoch:03d}", epoch)

    def make_best(self, composer: Composer, epoch: int) -> dict[str, Any]:
        """Choose how to draw, and compose `sample.mid` with the best weights; what is said of its health."""
        nats = scorer(composer.network, composer.codec)
        bounds = Bounds.of(self.corpus.pieces("validation"), nats, self.options.num_notes * 7 // 8)
        self._yardstick = replace(self._yardstick, network=bounds)
        self._yardstick.save(self.folder.health)
        pieces = self.corpus.encoded.ids["validation"]
        music = chain(self.corpus.pieces("validation"), self.corpus.pieces("train"))
        self.course = course_of(composer.network, composer.codec, pieces, music)
        composer = replace(composer, course=self.course)
        if self.options.is_chosen:
            self.choice = choose(composer, pieces[: len(self.primers)], self._yardstick, self.options)
            self.options = replace(self.options, **self.choice.way)
        return self._save(self._compose(composer, epoch), self.folder.sample.with_suffix(""), epoch, nats)

    def copied(self, epoch: int) -> dict[str, float | None]:
        """What the samples of an epoch copy, and the most that 95 of 100 held-out pieces do."""
        if self._audited is None:
            return {}
        limit, near_limit = held_out_limit(self._audited, list(self.corpus.pieces("validation")))
        (row,) = (row for row in read_csv(self.folder.audit) if row["epoch"] == epoch)
        return {
            "audit/copied_16": row["audit/copied_16"],
            "audit/copied_16_held_out_95": limit,
            "audit/near_16": row["audit/near_16"],
            "audit/near_16_held_out_95": near_limit,
            **({START: row[START]} if START in row else {}),
        }

    @cached_property
    def _yardstick(self) -> Yardstick:
        """What the validation pieces are like, which the run's folder keeps for later samples."""
        yardstick = Yardstick.of(self.corpus.pieces("validation"), self.corpus.pieces("train"))
        yardstick.save(self.folder.health)
        return yardstick

    @cached_property
    def _audited(self) -> Index | None:
        """See `index_of`; None if the training pieces are too many for a run."""
        num_notes = self.corpus.encoded.sizes["train"].num_notes
        if num_notes > MAX_AUDITED_NOTES:
            say_not_audited(num_notes)
            return None
        return index_of(self.corpus)

    @cached_property
    def _start_audited(self) -> Index | None:
        """The index of what the start learned from; None without one, or where that music is not here."""
        return music_of(self.start, self.corpus.tokenized.cache.folder) if self.start else None

    def _compose(self, composer: Composer, epoch: int) -> Piece:
        """The sample from the first primer, which ends by itself; what it and the others copy is noted."""
        first, others = composer.compose_each(self.primers[:1], self.options), self._others(composer)
        samples = [*first, *others]
        if self._audited is not None:
            composed = [(piece, self._end(p)) for piece, p in zip(samples, self.primers, strict=True)]
            copied, from_start = (
                [copied_after(index, *each) for each in composed] if index else []
                for index in (self._audited, self._start_audited)
            )
            self.tracker.audit(note_audit(self.folder.audit, epoch, copied, from_start))
        return samples[0]

    def _others(self, composer: Composer) -> list[Piece]:
        """Samples that are audited and not kept: they are cut, which is quick."""
        options = replace(self.options, ending="exact", seed=self.options.seed + 1)
        return composer.compose_each(self.primers[1:], options) if self.primers[1:] else []

    def _save(self, piece: Piece, stem: Path, epoch: int, nats: Nats | None = None) -> dict[str, Any]:
        """Write a sample as MIDI, sound and picture, and show it; what is said of its health."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        midi, audio, picture = (stem.with_suffix(suffix) for suffix in (".mid", ".wav", ".png"))
        write_midi(piece, midi, key=key_of(piece))
        # A key that was struck while it sounded ends there in the file.
        written = read_midi(midi) if piece.num_notes else piece
        save_audio(written, audio, font=installed_font())
        later = written.onset[written.onset >= self._end(self.primers[0])]
        end = (
            int(later[0]) if self.primers[0] and len(later) else None
        )  # where the first composed note begins
        save_piano_roll(written, picture, primer_end=end, title=f"sample, epoch {epoch}")
        statistics = as_rows([check(written, self._yardstick, midi.name, nats)])[0]
        numbers = {name: value for name, value in statistics.items() if isinstance(value, int | float)}
        self.tracker.sample(epoch, audio, picture, numbers)
        return statistics

    def _end(self, primer: list[int]) -> int:
        """The first tick at which what is composed after a primer may begin."""
        return primer_end(primer, self.corpus.codec, self.corpus.encoded.tempo)
