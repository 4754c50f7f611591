"""The network: the type of conf/model/."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from noternn.config.checks import require

MAX_PITCHES = 64  # see `noternn.model.intervals.MEMORY`, which torch would have to be imported for


@dataclass
class Model:
    """See `noternn.model.lstm.NoteLSTM` and `noternn.model.build.build_network`; null takes `dropout`."""

    embedding_dim: int = MISSING
    hidden_size: int = MISSING
    num_layers: int = MISSING
    dropout: float = MISSING
    num_fc_layers: int = MISSING
    input_dropout: float | None = None
    output_dropout: float | None = None
    embedding_dropout: float = 0.0
    weight_dropout: float = 0.0
    variational: bool = False
    residual: bool = False
    num_input_tokens: int = 1
    tied: bool = False
    position_beats: list[int] = field(default_factory=list)
    num_slots: int = 0
    num_pitches: int = 0
    pitch_channels: int = 0

    def __post_init__(self) -> None:
        for key in ("embedding_dim", "hidden_size", "num_layers", "num_input_tokens"):
            require(getattr(self, key) >= 1, f"model.{key}", getattr(self, key), "at least 1")
        for key in ("dropout", "input_dropout", "output_dropout", "embedding_dropout", "weight_dropout"):
            value = getattr(self, key)
            require(value is None or 0 <= value < 1, f"model.{key}", value, "at least 0 and below 1")
        require(self.num_fc_layers in (1, 2), "model.num_fc_layers", self.num_fc_layers, "1 or 2")
        can_be_tied = self.num_fc_layers == 2 or self.embedding_dim == self.hidden_size
        allowed = (
            f"false, or give model.embedding_dim={self.hidden_size} (the hidden_size) or num_fc_layers=2"
        )
        require(can_be_tied or not self.tied, "model.tied", self.tied, allowed)
        are_positive = all(beats >= 1 for beats in self.position_beats)
        require(are_positive, "model.position_beats", self.position_beats, "beats, each at least 1")
        require(self.num_slots >= 0, "model.num_slots", self.num_slots, "at least 0")
        require(
            0 <= self.num_pitches <= MAX_PITCHES, "model.num_pitches", self.num_pitches, f"0 to {MAX_PITCHES}"
        )
        require(self.pitch_channels >= 0, "model.pitch_channels", self.pitch_channels, "at least 0")
