"""How music is composed: the type of the section sampling of conf/config.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from noternn.config.checks import require


@dataclass
class Sampling:
    """How the samples of a run are composed: they continue the opening of a validation piece.

    But for `primer_notes`, see `noternn.sampling.probabilities.SamplingOptions`.
    """

    primer_notes: int = 16
    num_notes: int = 200
    temperature: float = 1.0
    top_k: int = 10
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_window: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        in_range = 0 < self.temperature < float("inf")
        allowed = "above 0 and finite; the most probable token every time is sampling.top_k=1"
        require(in_range, "sampling.temperature", self.temperature, allowed)
        require(0 < self.top_p <= 1, "sampling.top_p", self.top_p, "above 0 and at most 1, which is all")
        require(0 <= self.min_p <= 1, "sampling.min_p", self.min_p, "0, which is all, to 1")
        in_range = 1 <= self.repetition_penalty < float("inf")
        allowed = "at least 1, which is none, and finite"
        require(in_range, "sampling.repetition_penalty", self.repetition_penalty, allowed)
        natural = {"primer_notes": 0, "num_notes": 1, "top_k": 0, "repetition_window": 1, "seed": 0}
        for key, least in natural.items():
            require(getattr(self, key) >= least, f"sampling.{key}", getattr(self, key), f"at least {least}")
