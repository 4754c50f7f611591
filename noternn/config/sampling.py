"""How music is composed: the type of the section sampling of conf/config.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from noternn.config.checks import Section, setting


@dataclass
class Sampling(Section, group="sampling"):
    """How the samples of a run are composed: they continue the opening of a validation piece.

    But for `primer_notes`, see `noternn.sampling.probabilities.SamplingOptions`.
    """

    primer_notes: int = setting(at_least=0, help="notes of a validation piece that samples continue")
    num_notes: int = setting(at_least=1, help="notes to compose")
    temperature: float = setting(
        above=0,
        note=" and finite; the most probable token every time is sampling.top_k=1",
        help="above 1 bolder, below 1 safer",
    )
    top_k: int = setting(at_least=0, help="choose among so many most probable tokens; 0 for all")
    top_p: float = setting(
        above=0,
        at_most=1,
        note=", which is all",
        help="choose among the fewest tokens of this probability together; 1 for all",
    )
    min_p: float = setting(
        at_least=0,
        at_most=1,
        help="choose among tokens of at least this part of the highest probability; 0 for all",
    )
    repetition_penalty: float = setting(
        at_least=1,
        note=", which is none, and finite",
        help="makes the last pitches less probable; 1 for none",
    )
    repetition_window: int = setting(at_least=1, help="how many of the last pitches are penalized")
    seed: int = setting(at_least=0, help="of the random choices")
