"""How a piece becomes tokens: the types of conf/tokenizer/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noternn.config.checks import AUTO, Section, choices, require, setting
from noternn.errors import require as require_extra

FINEST_FRAMES = 24  # steps in a beat where every step is written, also those in which nothing begins
MIDITOK_KINDS = ("REMI", "TSD", "Structured")
DECIDED = ("velocity", "program")  # settings that may be `AUTO`


@dataclass
class Tokenizer(Section, group="tokenizer"):
    """See `noternn.tokenizer.build_tokenizer`."""

    name: str = setting(help="kind of tokenizer; choose with tokenizer=OPTION")
    steps_per_beat: int = setting(at_least=1, at_most=480, help="steps of the grid in a quarter note")
    bpe_vocab_size: int | None = setting(None, at_least=1, help="merge tokens until there are so many")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bpe_vocab_size is not None:
            require_extra("miditok", "tokenizer.bpe_vocab_size")


@dataclass
class EventTokenizer(Tokenizer):
    """See `noternn.tokenizer.EventTokenizer`."""

    max_shift_beats: int = setting(at_least=1, at_most=1024, help="longest shift of one token, in beats")
    max_duration_beats: int = setting(
        at_least=1, at_most=1024, help="longest duration of one token, in beats"
    )
    velocity: Any = setting(help="write how loud notes are; auto: where they are played so")
    program: Any = setting(help="tell instruments apart and keep the drums; auto: where there are any")
    drums_first: bool = setting(help="write the drums of an onset before its other notes")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_decided(self)
        require(self.name == "event", "tokenizer.name", self.name, "event; choose with tokenizer=OPTION")


@dataclass
class ChordTokenizer(Tokenizer):
    """See `noternn.tokenizer.ChordTokenizer`."""

    max_beats: int = setting(at_least=1, at_most=1024, help="longest duration of one token, in beats")
    durations: bool = setting(help="write how long chords last")
    rests: bool = setting(help="write rests")
    pitch_class: bool = setting(help="forget the octaves of chords")
    step_beats: float = setting(above=0, at_most=1024, help="beats of a chord where durations are off")
    min_count: int = setting(at_least=1, help="rarer chords of the training split become <unk>")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.name == "chord", "tokenizer.name", self.name, "chord; choose with tokenizer=OPTION")


@dataclass
class FramesTokenizer(Tokenizer):
    """See `noternn.tokenizer.FramesTokenizer`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.name == "frames", "tokenizer.name", self.name, "frames; choose with tokenizer=OPTION")
        _require_frames(self.steps_per_beat)


@dataclass
class VoicesTokenizer(Tokenizer):
    """See `noternn.tokenizer.VoicesTokenizer`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.name == "voices", "tokenizer.name", self.name, "voices; choose with tokenizer=OPTION")
        _require_frames(self.steps_per_beat)


@dataclass
class MidiTokTokenizer(Tokenizer):
    """See `noternn.tokenizer.MidiTokTokenizer`."""

    kind: str = setting(help=f"one of MidiTok's: {', '.join(MIDITOK_KINDS)}")
    velocity: Any = setting(help="write how loud notes are; auto: where they are played so")
    program: Any = setting(help="tell instruments apart and keep the drums; auto: where there are any")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_decided(self)
        require(self.name == "miditok", "tokenizer.name", self.name, "miditok; choose with tokenizer=OPTION")
        require(self.kind in MIDITOK_KINDS, "tokenizer.kind", self.kind, choices(self.kind, MIDITOK_KINDS))
        require_extra("miditok", "tokenizer=miditok")


# By the names of `build_tokenizer`.
TOKENIZERS: dict[str, type[Tokenizer]] = {
    "event": EventTokenizer,
    "chord": ChordTokenizer,
    "frames": FramesTokenizer,
    "voices": VoicesTokenizer,
    "miditok": MidiTokTokenizer,
}


def _require_frames(steps_per_beat: int) -> None:
    is_grid = steps_per_beat <= FINEST_FRAMES
    require(is_grid, "tokenizer.steps_per_beat", steps_per_beat, f"1 to {FINEST_FRAMES} for this tokenizer")


def _check_decided(tokenizer: Tokenizer) -> None:
    for name in DECIDED:
        value = getattr(tokenizer, name)
        is_allowed = value == AUTO or isinstance(value, bool)
        require(is_allowed, f"tokenizer.{name}", value, "auto, true or false")


def tokenizer_of(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `build_tokenizer` in stored settings of a tokenizer.

    Before there was a setting of it drums came last; where there are none it makes no difference.
    """
    if plain["name"] != "event":
        return dict(plain)
    return {**plain, "drums_first": bool(plain.get("drums_first")) if plain.get("program") else True}
