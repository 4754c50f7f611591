"""The compiled sums of a convolution, noternn/model/pitch_sums.c; an import error where it was not built."""

from typing import Any

def weight_to_sums(*arguments: Any) -> None:
    """Adds to the sums the weight of every pitch that is heard.

    Args:
        arguments: pitches and ages (n, m), the class of lag of each of the m, the ages at which all classes
            but the first begin; weight (rolls, 2 * reach + 1, channels), sums (n, pitches, channels); the
            numbers of pitches and channels, reach, the lowest pitch.

    Raises:
        ValueError: if the sizes do not agree.
    """

def sums_to_weight(*arguments: Any) -> None:
    """Adds to the weight's gradient that of the sums; arguments and errors as above."""
