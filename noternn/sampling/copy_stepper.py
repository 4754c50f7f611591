"""The copy model mixed into a network's stepper."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from noternn.model.stepper import Stepper
from noternn.sampling.copy_model import Copier, Floats, features
from noternn.tokenizer.pitch_kinds import PitchKinds


class CopyStepper:
    """A stepper with the copy model mixed into its log-probabilities; each stream copies from its own past.

    Args:
        stepper: of the network, at the start of a piece.
        kinds: of the vocabulary.
        weights: (num_suggestions, num_features), see `fit`.
    """

    def __init__(self, stepper: Stepper, kinds: PitchKinds, weights: Floats) -> None:
        self.stepper = stepper
        self.weights = weights
        self.copiers = [Copier(kinds)]

    def step(self, ids: Sequence[int]) -> Floats:
        """See `Stepper`."""
        log_probs = self.stepper.step(ids).copy()
        for copier, id_, row in zip(self.copiers, ids, log_probs, strict=True):
            copier.append(id_)
            row += self._boosts(copier, row)
            row -= np.logaddexp.reduce(row)
        return log_probs

    def _boosts(self, copier: Copier, log_probs: Floats) -> Floats:
        suggested, lengths = copier.suggest()
        there = [k for k, id_ in enumerate(suggested) if id_ >= 0]
        ids = np.array([suggested[k] for k in there], dtype=np.int64)
        boosts = np.zeros_like(log_probs)
        table = features(np.array([lengths[k] for k in there]), log_probs[ids])
        np.add.at(boosts, ids, (table * self.weights[there]).sum(axis=-1))
        return boosts

    def repeat(self, num_streams: int) -> None:
        """See `Stepper`."""
        self.stepper.repeat(num_streams)
        self.copiers = [deepcopy(self.copiers[0]) for _ in range(num_streams)]
