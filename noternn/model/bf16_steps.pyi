"""The compiled recurrence of an LSTM layer in bfloat16, noternn/model/bf16_steps.c.

An import error where it was not built. A processor without AVX512-BF16 stops at the first call.
"""

from typing import Any

def forward(*arguments: Any) -> None:
    """Computes the hidden units of a window.

    Args:
        arguments: w_hh by tiles of gates; what the layer's input adds to the gates (batch, time, 4 * size);
            hidden units (batch, time + 1, size), all of bfloat16, and cells alike of 32 bits, of which the
            first are known; gates (batch, time, 4 * size) and hidden units (batch, time, size) of 32 bits;
            batch, time, size.

    Raises:
        ValueError: if the sizes do not agree.
    """

def backward(*arguments: Any) -> None:
    """Computes the gradient of the sums that the gates are made of.

    Args:
        arguments: w_hh by tiles of units; that gradient (batch, time, 4 * size), both of bfloat16; the
            gradient of hidden units and cells (2, batch, size), of those after the window, which becomes that
            of those before it; cells and gates as `forward` leaves them; the gradient of the hidden units
            (batch, time, size); batch, time, size.

    Raises:
        ValueError: as above.
    """
