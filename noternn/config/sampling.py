"""How music is composed: the section sampling of the settings, and the options of `noternn generate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from noternn.config.checks import Section, setting

LEAST_SECONDS = 20  # of a run's samples: ten bars at 120 beats a minute
MOST_NOTES = 2000
DRAWING = ("temperature", "top_k", "top_p", "min_p", "steering")


@dataclass(kw_only=True)
class Sampling(Section, group="sampling"):
    """How to compose; see `noternn.sampling.probabilities` for the order of the steps.

    The samples of a run continue the openings of validation pieces, of `primer_notes` notes each. Greedy, the
    most probable token every time, is `top_k=1`. experiments/samplers compares the ways.

    `top_p` is the nucleus of Holtzman et al. (The Curious Case of Neural Text Degeneration, ICLR 2020),
    `min_p` is from Nguyen et al. (Turning Up the Heat: Min-p Sampling, arXiv 2407.01082). The temperature
    raises probabilities to the power 1 / temperature.

    The repetition penalty is after Keskar et al. (CTRL, arXiv 1909.05858), who divide logits by it; the zero
    of logits being arbitrary, log-probabilities are multiplied here. So what is certain stays, and nothing
    gets more likely by being repeated. It acts on tokens of pitches and chords alone, the primer's
    included: a rhythm is made of few durations and shifts that return, and so is what drums play.
    """

    way: str = setting(
        "auto",
        one_of=("auto", "given"),
        help="auto: the end of a run chooses temperature, top_k, top_p, min_p, steering, unless one is set",
    )
    primer_notes: int = setting(16, at_least=0, help="notes of a validation piece that samples continue")
    num_notes: int = setting(
        200, at_least=1, help="notes to compose; a run lengthens 200 to 20 seconds of its music"
    )
    ending: str = setting(
        "own",
        one_of=("own", "exact", "any"),
        help="own: a piece ends by itself within an eighth of its length; exact: it is cut there; "
        "any: it ends anywhere before",
    )
    temperature: float = setting(
        1.0,
        above=0,
        note=" and finite; top_k=1 takes the most probable token every time",
        help="above 1 bolder, below 1 safer",
    )
    top_k: int = setting(
        0, at_least=0, help="choose among so many most probable tokens; 0 for all, 1 is greedy"
    )
    top_p: float = setting(
        0.9,
        above=0,
        at_most=1,
        note=", which is all",
        help="choose among the fewest tokens of this probability together; 1 for all",
    )
    min_p: float = setting(
        0.0,
        at_least=0,
        at_most=1,
        help="choose among tokens of at least this part of the highest probability; 0 for all",
    )
    steering: int = setting(
        1,
        at_least=1,
        at_most=64,
        note=", which is none",
        help="of so many samples side by side go on those that are most like held-out music; 1 for none",
    )
    repetition_penalty: float = setting(
        1.0,
        at_least=1,
        note=", which is none, and finite",
        help="makes the last pitches less probable, p ** penalty; 1 for none",
    )
    repetition_window: int = setting(16, at_least=1, help="how many of the last pitches are penalized")
    seed: int = setting(0, at_least=0, help="of the random choices; the same gives the same music")

    def as_long_as(self, notes_per_second: float) -> Sampling:
        """With as many notes as music has in `LEAST_SECONDS`, and with a primer in proportion.

        What was set otherwise than it is stays.

        Args:
            notes_per_second: of the training music; many where a band plays.
        """
        usual = Sampling()
        num_notes = min(MOST_NOTES, round(LEAST_SECONDS * notes_per_second))
        if self.num_notes != usual.num_notes or num_notes <= usual.num_notes:
            return self
        primer_notes = self.primer_notes
        if primer_notes == usual.primer_notes:
            primer_notes = round(primer_notes * num_notes / usual.num_notes)
        return replace(self, num_notes=num_notes, primer_notes=primer_notes)

    @property
    def is_chosen(self) -> bool:
        """Whether the end of a run chooses how to draw."""
        return self.way == "auto" and self.drawing == Sampling().drawing

    @property
    def drawing(self) -> dict[str, Any]:
        """The settings that the end of a run may choose."""
        return {name: getattr(self, name) for name in DRAWING}
