"""The network: the type of conf/model/."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from noternn.config.checks import AUTO, Section, require, setting

NO_LABELS = "none"
LABELS = (NO_LABELS, "folder", "dataset")  # where the labels of pieces come from
MAX_PITCHES = 64  # see `noternn.model.intervals.MEMORY`, which torch would have to be imported for


@dataclass
class Model(Section, group="model"):
    """See `noternn.model.lstm.NoteLSTM` and `noternn.model.build.build_network`; null takes `dropout`."""

    embedding_dim: int = setting(at_least=1, help="numbers that stand for a token")
    hidden_size: Any = setting(help="units of a layer; auto: as many as its training notes call for")
    num_layers: int = setting(at_least=1, help="layers of the LSTM")
    dropout: float = setting(at_least=0, below=1, help="share of the activations that is left out")
    num_fc_layers: int = setting(one_of=(1, 2), help="fully connected layers behind the LSTM")
    input_dropout: float | None = setting(None, at_least=0, below=1, help="share of the input left out")
    output_dropout: float | None = setting(None, at_least=0, below=1, help="share left out before the end")
    embedding_dropout: float = setting(0.0, at_least=0, below=1, help="share of the tokens left out")
    weight_dropout: float = setting(0.0, at_least=0, below=1, help="share of the recurrent weights left out")
    variational: bool = setting(False, help="leave out the same units along a window")
    residual: bool = setting(False, help="add the input of a layer to its output")
    num_input_tokens: int = setting(1, at_least=1, help="last tokens that are read at once")
    tied: bool = setting(False, help="one matrix for the embedding and the last layer")
    position_beats: Any = setting([], help="read the place in spans of so many beats; auto: of a band")
    num_slots: int = setting(0, at_least=0, help="places within a frame that are told apart")
    num_pitches: int = setting(0, at_least=0, at_most=MAX_PITCHES, help="last pitches, read as intervals")
    pitch_channels: int = setting(0, at_least=0, help="channels of a convolution along the last pitches")
    memory: int = setting(0, at_least=0, at_most=8, help="ids that each search of the piece's past suggests")
    part_memory: bool = setting(False, help="search each instrument's own past too, where tokens tell them")
    labels: str = setting(NO_LABELS, help="tell each piece's label: none, folder, dataset, or a CSV table")

    def __post_init__(self) -> None:
        """Refuse what is outside its range, and what does not go together."""
        super().__post_init__()
        size = self.hidden_size
        is_size = size == AUTO or (type(size) is int and size >= 1)
        require(is_size, "model.hidden_size", size, f"{AUTO}, or a whole number of at least 1")
        can_be_tied = self.num_fc_layers == 2 or self.embedding_dim == self.hidden_size
        allowed = (
            f"false, or give model.hidden_size={self.embedding_dim} (the embedding_dim) or num_fc_layers=2"
        )
        require(can_be_tied or not self.tied, "model.tied", self.tied, allowed)
        beats = self.position_beats
        are_positive = isinstance(beats, list) and all(type(beat) is int and beat >= 1 for beat in beats)
        allowed = "auto, or a list of beats, each a whole number of at least 1"
        require(beats == AUTO or are_positive, "model.position_beats", beats, allowed)
        is_known = self.labels in LABELS or self.labels.lower().endswith(".csv")
        require(is_known, "model.labels", self.labels, f"{', '.join(LABELS)}, or a CSV table (FILE.csv)")
