"""NoteRNN from Python: read music, look at a corpus, compose and score with a trained network."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noternn.config.sampling import Sampling
from noternn.config.schema import Config
from noternn.corpus.inspection import sources_at
from noternn.corpus.loading import corpus_of
from noternn.corpus.reading import ReadingOptions
from noternn.datasets.sources import read_file
from noternn.errors import PieceError, UserError
from noternn.launch.command_line import corpus_settings
from noternn.music.piece import Piece

if TYPE_CHECKING:
    from noternn.sampling.composer import Composer


def read(path: str | Path) -> Piece:
    """Read a MIDI file or a score.

    Raises:
        PieceError: if it cannot be read, with the reason.
    """
    return read_file(Path(path))


def load(run_or_checkpoint: str | Path) -> Network:
    """Load a trained network: the best weights of a run's folder, or a .ckpt file.

    Raises:
        UserError: if there is none, or if it cannot be used.
    """
    from noternn.model.checkpoint import CHECKPOINT_KEY, checkpoint_path, load_checkpoint
    from noternn.sampling.composer import composer_of

    path = checkpoint_path(Path(run_or_checkpoint))
    checkpoint = load_checkpoint(path)
    return Network(composer_of(checkpoint, path), checkpoint[CHECKPOINT_KEY]["config"])


class Network:
    """A trained network that composes and scores.

    Args:
        composer: its weights, tokenizer and vocabulary.
        settings: that it was trained with, section by section.
    """

    def __init__(self, composer: Composer, settings: dict[str, Any]) -> None:
        self.composer = composer
        self.settings = settings

    @property
    def num_parameters(self) -> int:
        """How many weights it has."""
        from noternn.model.build import num_parameters

        return num_parameters(self.composer.network)

    def compose(
        self,
        num_notes: int = Sampling.num_notes,
        *,
        seed: int = Sampling.seed,
        primer: Piece | str | Path | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        steering: int | None = None,
        label: str = "",
        ending: str = Sampling.ending,
        instruments: str = "",
    ) -> Piece:
        """Compose a piece; the same seed gives the same piece.

        Args:
            num_notes: notes to add to the primer, at least 1.
            seed: of the random choices, at least 0.
            primer: a piece, MIDI file or score to continue; None starts from nothing.
            temperature, top_k, top_p, min_p, steering: see `noternn.config.sampling.Sampling`; None as the
                end of the run has found, or as there.
            label: of a network with labels, or a mix such as "chrono:0.7,zelda:0.3"; "" tells none.
            ending: own, which ends by itself near `num_notes`; exact, which is cut; or any: see `Sampling`.
            instruments: that play, such as "piano,bass,drums", of a network that tells them apart; "" for
                those of the primer and of a training piece's band, which the seed names.

        Raises:
            UserError: if there is no such label or instrument, the primer cannot be read or written by the
                tokenizer, or a number is out of range.
        """
        from noternn.sampling.clock import clock_of

        given = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "steering": steering,
        }
        told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        told |= {"num_notes": num_notes, "seed": seed, "ending": ending}
        options = Sampling(**{**self.composer.drawing, **told})
        composer = self.composer.told(label)
        ids, clock = [], None
        if primer is not None:
            music = self._read(primer)
            ids = self._ids(music)[1:-1].tolist()
            clock = clock_of(music, self.composer.codec.tokenizer)
        return composer.compose_each([ids], options, clock=clock, instruments=instruments)[0]

    def nll(self, piece: Piece | str | Path) -> NDArray[np.float64]:
        """How unlikely each note of a piece is to the network, in nats.

        A note costs its own tokens and the tokens of time before it. Notes that one token writes share its
        cost, and the last note also pays for the end of the piece. So the sum is the cost of the whole piece.

        Returns:
            (num_notes,) in the order in which the tokenizer writes the notes: by onset.

        Raises:
            UserError: if the piece cannot be read, or holds no notes that the tokenizer can write.
        """
        ids = self._ids(piece)
        from noternn.sampling.scoring import note_nlls, token_nlls

        (nats,) = token_nlls(self.composer.network, [ids])
        return note_nlls(self.composer.codec, ids, nats)

    def _read(self, piece: Piece | str | Path) -> Piece:
        """A piece, read as the training music was."""
        return piece if isinstance(piece, Piece) else read_file(Path(piece), self.composer.pedal)

    def _ids(self, piece: Piece | str | Path) -> NDArray[np.int64]:
        """A piece as ids, (num_tokens,) with BOS and EOS."""
        music = self._read(piece)
        ids = self.composer.codec.encode(music)
        if len(ids) <= 2:
            raise UserError("the piece holds no notes that this network's tokenizer can write (only drums?)")
        return ids


class Corpus:
    """The music in a folder or file, or in a dataset by its name such as "bach".

    Iterating reads the pieces one by one, by name; `skipped` then holds what could not be read.

    Args:
        target: a folder, a file or a dataset.
        settings: as `train.py` takes them, such as "dataset.tracks=melody".

    Raises:
        UserError: if there is no such music, or on a wrong setting.
    """

    def __init__(self, target: str | Path, *settings: str) -> None:
        self.config: Config = corpus_settings(str(target), list(settings))
        self.sources = sources_at(str(target), self.config.dataset)
        self.skipped: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """The names of its files or tunes, in the order in which they are read."""
        return [source.name for source in self.sources]

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[Piece]:
        self.skipped.clear()
        options = ReadingOptions.of(self.config.dataset)
        for source in self.sources:
            try:
                yield options.read(source)
            except PieceError as error:
                self.skipped[source.name] = str(error)

    @cached_property
    def splits(self) -> dict[str, list[str]]:
        """The names of the pieces in each split that a training would make."""
        return corpus_of(self.config, self.sources).encoded.names
