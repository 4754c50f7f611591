"""Settings and the ids of a codec -> a new network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from noternn.config.checks import AUTO
from noternn.model.lstm import NoteLSTM, Place
from noternn.tokenizer import Codec
from noternn.tokenizer.parts import parts_of
from noternn.tokenizer.pitch_kinds import PitchKinds

BAND_BEATS = [1, 4]  # in which the place is told where the tokens tell instruments
# Units of a layer, and up to how many training notes: larger networks learn so few by heart, see
# docs/starting.md.
SIZES = ((10_000, 64), (20_000, 128))
USUAL_SIZE = 256


def decided(options: Mapping[str, Any], codec: Codec, num_notes: int | None = None) -> dict[str, Any]:
    """The options with what `auto` stands for.

    Args:
        options: as `build_network` takes them, with `auto` for `hidden_size` or `position_beats`: with
            instruments the place in the beat and the bar is told.
        codec: of the ids.
        num_notes: that are trained on; None for many.
    """
    options = dict(options)
    if options["hidden_size"] == AUTO:
        fitting = (size for most, size in SIZES if num_notes is not None and num_notes < most)
        options["hidden_size"] = next(fitting, USUAL_SIZE)
    if options.get("position_beats") == AUTO:
        options["position_beats"] = BAND_BEATS if parts_of(codec) else []
    return options


def network_for(codec: Codec, options: Mapping[str, Any], num_labels: int = 0) -> NoteLSTM:
    """A new network for the ids of a codec, masked where the last id alone says what may follow.

    Args:
        codec: whose grammar and grid the network is told.
        options: as `build_network` takes them, or as `decided` does.
        num_labels: how many labels the pieces have.
    """
    options = decided(options, codec)
    is_markov = codec.tokenizer.is_markov
    followers = torch.from_numpy(codec.followers()) if is_markov else None
    return build_network(
        options,
        codec.token_steps().tolist(),
        codec.token_pitches().tolist(),
        codec.tokenizer.steps_per_beat,
        followers,
        PitchKinds(codec, by_part=options.get("part_memory", False)) if options.get("memory") else None,
        None if is_markov else torch.from_numpy(codec.before_pitch()),
        num_labels,
    )


def build_network(
    options: Mapping[str, Any],
    token_steps: Sequence[int],
    token_pitches: Sequence[int],
    steps_per_beat: int,
    followers: Tensor | None = None,
    kinds: PitchKinds | None = None,
    before_pitch: Tensor | None = None,
    num_labels: int = 0,
) -> NoteLSTM:
    """The network that a configuration describes, for the ids of a tokenizer.

    Args:
        options: arguments of `NoteLSTM`, of its `Place` `num_slots` and `position_beats`, the periods, and
            `part_memory`, which the `kinds` are made by, and `labels`, where the labels come from.
        token_steps: see `Place`.
        token_pitches: see `NoteLSTM`.
        steps_per_beat: of the tokenizer's grid.
        followers, kinds, before_pitch, num_labels: see `NoteLSTM`.
    """
    given, options = dict(options), dict(options)
    for name in ("part_memory", "labels"):
        options.pop(name, None)
    periods = [steps_per_beat * beats for beats in options.pop("position_beats", ())]
    place = Place(token_steps, periods, options.pop("num_slots", 0))
    network = NoteLSTM(
        len(token_steps),
        **options,
        place=place,
        token_pitches=token_pitches,
        followers=followers,
        kinds=kinds,
        before_pitch=before_pitch,
        num_labels=num_labels,
    )
    network.options = given
    return network


def num_parameters(network: nn.Module) -> int:
    """How many trainable numbers a network has."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
