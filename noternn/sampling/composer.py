"""Compose with a checkpoint: one file is enough."""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import noternn
from noternn.datasets.sources import read_file
from noternn.errors import PieceError, UserError
from noternn.model.lstm import NoteLSTM, build_network
from noternn.model.stepper import Stepper, build_stepper
from noternn.music.piece import Piece
from noternn.sampling.copy_model import CopyStepper, Intervals
from noternn.sampling.sampler import SamplingOptions, end_in_beats, sample_each
from noternn.tokenizer import BpeTokenizer, Codec, Vocabulary, build_tokenizer

CHECKPOINT_KEY = "noternn"
MAX_UNKNOWN_NAMED = 5  # tokens of a primer


@dataclass(frozen=True)
class Composer:
    """A trained network with the codec that it was trained with.

    Args:
        network: the weights.
        codec: tokenizer and vocabulary.
        tempo: beats per minute of what it composes.
        copy_weights: of the copy model, which is mixed in; None for the network alone.
    """

    network: NoteLSTM
    codec: Codec
    tempo: float
    copy_weights: NDArray[np.float64] | None = None

    def compose(self, primer: list[int], options: SamplingOptions) -> Piece:
        """The primer, given as ids without BOS and EOS, and its continuation."""
        return self.compose_each([primer], options)[0]

    def compose_each(self, primers: Sequence[list[int]], options: SamplingOptions) -> list[Piece]:
        """What `compose` gives for each primer, with the seeds from that of `options` on, made together.

        If a length in beats is asked for, no note begins at that time or later, and notes that would ring
        over it are cut there.
        """
        build = build_stepper if self.copy_weights is None else self._copy_stepper
        samples = sample_each(self.network, self.codec, primers, options, build)
        pieces = [self.codec.decode(ids, self.tempo) for ids in samples]
        if options.beats is None:
            return pieces
        ends = [end_in_beats(self.codec, primer, options.beats) for primer in primers]
        return [p.until(int(end * p.ticks_per_beat)) for p, end in zip(pieces, ends, strict=True)]

    def _copy_stepper(self, network: NoteLSTM, num_streams: int) -> Stepper:
        assert self.copy_weights is not None
        # A single stream's draft may be off by its tolerance, which the copy model would magnify.
        stepper = build_stepper(network, max(2, num_streams))
        return CopyStepper(stepper, Intervals(self.codec), self.copy_weights)


def checkpoint_content(
    config: dict[str, Any], codec: Codec, tempo: float, fingerprint: str, version: str
) -> dict[str, Any]:
    """What a checkpoint holds beside the weights, as plain data."""
    merges = codec.tokenizer.merges.pairs if isinstance(codec.tokenizer, BpeTokenizer) else ()
    return {
        "config": config,
        "vocabulary": list(codec.vocabulary.tokens),
        "merges": [list(pair) for pair in merges],
        "tempo": tempo,
        "corpus_fingerprint": fingerprint,
        "version": version,
    }


def checkpoint_path(run_or_checkpoint: Path) -> Path:
    """The checkpoint of a run's best epoch, or the checkpoint that was named.

    Raises:
        UserError: if there is none.
    """
    path = run_or_checkpoint / "best.ckpt" if run_or_checkpoint.is_dir() else run_or_checkpoint
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint there; give a run's folder or a .ckpt file")
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's plain data and tensors; no code in it is run.

    Raises:
        UserError: if the file is damaged or not a checkpoint of NoteRNN.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch.load does not look at the checksums
        checkpoint = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: refused, it holds more than weights and plain data") from error
    except Exception as error:  # damage shows in many ways
        raise UserError(f"{path}: not a readable checkpoint ({type(error).__name__})") from error
    if damaged:
        raise UserError(f"{path}: the checkpoint is damaged (in {damaged}); use another one")
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(CHECKPOINT_KEY), dict):
        raise UserError(f"{path}: not a checkpoint of NoteRNN")
    return checkpoint


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
    try:
        return _composer(checkpoint)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path}: NoteRNN {noternn.__version__} cannot use this checkpoint, "
            f"which version {checkpoint[CHECKPOINT_KEY].get('version')} wrote"
        ) from error


def _composer(checkpoint: dict[str, Any]) -> Composer:
    content = checkpoint[CHECKPOINT_KEY]
    config = content["config"]
    tokenizer = build_tokenizer(**config["tokenizer"], merges=content.get("merges", ()))
    if not all(isinstance(token, str) for token in content["vocabulary"]):
        raise TypeError("a token is no string")
    codec = Codec(tokenizer, Vocabulary(content["vocabulary"]))
    weights = _weights(checkpoint["state_dict"])
    num_layers = sum(name.startswith("layers.") and "weight_hh" in name for name in weights)
    if config["model"]["num_layers"] != num_layers:
        raise ValueError("the weights are of another network")
    with torch.device("meta"):  # so that sizes which are not those of the weights cost no memory
        network = network_for(codec, config["model"])
    network.load_state_dict(weights, assign=True)
    tempo = float(content["tempo"])
    if not 0 < tempo < math.inf:
        raise ValueError("the tempo is none")
    return Composer(network.eval(), codec, tempo)


def network_for(codec: Codec, options: Mapping[str, Any]) -> NoteLSTM:
    """A new network for the ids of a codec, masked where the last id alone says what may follow.

    Args:
        codec: whose grammar and grid the network is told.
        options: as `build_network` takes them.
    """
    followers = torch.from_numpy(codec.followers()) if codec.tokenizer.is_markov else None
    return build_network(
        options,
        codec.token_steps().tolist(),
        codec.token_pitches().tolist(),
        codec.tokenizer.steps_per_beat,
        followers,
    )


def _weights(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of the network, averaged if they were."""
    prefixes = ("averaged.module.", "network.")
    prefix = next((p for p in prefixes if any(name.startswith(p) for name in state_dict)), prefixes[-1])
    return {
        name.removeprefix(prefix): tensor for name, tensor in state_dict.items() if name.startswith(prefix)
    }


def encode_primer(path: Path, codec: Codec) -> tuple[list[int], str]:
    """The ids of a MIDI file or score to continue, and a line on what of it the vocabulary lacks.

    Raises:
        UserError: if the file cannot be read or holds nothing that the tokenizer can write.
    """
    piece = read_file(path)
    try:
        ids = codec.encode(piece)[1:-1].tolist()
    except PieceError as error:
        raise UserError(f"{path}: {error}") from error
    if not ids:
        raise UserError(f"{path}: the primer holds no notes that this tokenizer can write (only drums?)")
    line = f"primer: {path}, {piece.num_notes} notes, {len(ids)} tokens"
    unknown = [token for token in codec.tokenizer.tokenize(piece) if token not in codec.vocabulary]
    if unknown:
        named = [token for token, _ in Counter(unknown).most_common(MAX_UNKNOWN_NAMED)]
        more = ", ..." if len(set(unknown)) > len(named) else ""
        line += f", {len(unknown)} of them unknown to the vocabulary ({', '.join(named)}{more})"
    return ids, line


def primer_end(primer: Sequence[int], codec: Codec, tempo: float) -> int:
    """The tick at which what is composed begins, after a primer without BOS and EOS."""
    return codec.decode(list(primer), tempo).end if primer else 0


def opening(piece: NDArray[np.int64], codec: Codec, num_notes: int) -> list[int]:
    """A primer: the beginning of a piece, (num_tokens,) with BOS and EOS, of `num_notes` notes or a few more.

    It ends with a whole note, or with the piece.
    """
    tokenizer, tokens = codec.tokenizer, codec.vocabulary.tokens
    primer: list[int] = []
    state, num_read = tokenizer.start, 0
    for id_ in piece[1:-1].tolist():
        if num_read >= num_notes and tokenizer.is_complete(state):
            break
        primer.append(id_)
        num_read += tokenizer.note_count(tokens[id_])
        state = tokenizer.advance(state, tokens[id_])
    return primer
