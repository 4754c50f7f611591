"""How a piece becomes tokens: the types of conf/tokenizer/."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from noternn.config.checks import choices, require
from noternn.tokenizer.bpe import require_tokenizers
from noternn.tokenizer.grid import FINEST_FRAMES
from noternn.tokenizer.miditok_tokenizer import KINDS, require_miditok


@dataclass
class Tokenizer:
    """See `noternn.tokenizer.build_tokenizer`."""

    name: str = MISSING
    steps_per_beat: int = 12
    bpe_vocab_size: int | None = None

    def __post_init__(self) -> None:
        if self.bpe_vocab_size is not None:
            require(self.bpe_vocab_size >= 1, "tokenizer.bpe_vocab_size", self.bpe_vocab_size, "at least 1")
            require_tokenizers()
        require(1 <= self.steps_per_beat <= 480, "tokenizer.steps_per_beat", self.steps_per_beat, "1 to 480")


@dataclass
class EventTokenizer(Tokenizer):
    """See `noternn.tokenizer.EventTokenizer`."""

    max_shift_beats: int = 4
    max_duration_beats: int = 8
    velocity: bool = False
    program: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.name == "event", "tokenizer.name", self.name, "event; choose with tokenizer=OPTION")
        for key in ("max_shift_beats", "max_duration_beats"):
            require(1 <= getattr(self, key) <= 1024, f"tokenizer.{key}", getattr(self, key), "1 to 1024")


@dataclass
class ChordTokenizer(Tokenizer):
    """See `noternn.tokenizer.ChordTokenizer`."""

    max_beats: int = 8
    durations: bool = True
    rests: bool = True
    pitch_class: bool = False
    step_beats: float = 0.5
    min_count: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.name == "chord", "tokenizer.name", self.name, "chord; choose with tokenizer=OPTION")
        require(1 <= self.max_beats <= 1024, "tokenizer.max_beats", self.max_beats, "1 to 1024")
        require(self.min_count >= 1, "tokenizer.min_count", self.min_count, "at least 1")
        in_range = 0 < self.step_beats <= 1024
        require(in_range, "tokenizer.step_beats", self.step_beats, "above 0 and at most 1024")


@dataclass
class FramesTokenizer(Tokenizer):
    """See `noternn.tokenizer.FramesTokenizer`."""

    steps_per_beat: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.name == "frames", "tokenizer.name", self.name, "frames; choose with tokenizer=OPTION")
        _require_frames(self.steps_per_beat)


@dataclass
class VoicesTokenizer(Tokenizer):
    """See `noternn.tokenizer.VoicesTokenizer`."""

    steps_per_beat: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.name == "voices", "tokenizer.name", self.name, "voices; choose with tokenizer=OPTION")
        _require_frames(self.steps_per_beat)


@dataclass
class MidiTokTokenizer(Tokenizer):
    """See `noternn.tokenizer.MidiTokTokenizer`."""

    kind: str = "REMI"
    velocity: bool = False
    program: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.name == "miditok", "tokenizer.name", self.name, "miditok; choose with tokenizer=OPTION")
        require(self.kind in KINDS, "tokenizer.kind", self.kind, choices(self.kind, KINDS))
        require_miditok()


def _require_frames(steps_per_beat: int) -> None:
    is_grid = steps_per_beat <= FINEST_FRAMES
    require(is_grid, "tokenizer.steps_per_beat", steps_per_beat, f"1 to {FINEST_FRAMES} for this tokenizer")
