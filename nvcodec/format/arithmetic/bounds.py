"""The proof that float32 arithmetic is exact for a network (specification, section 6.3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nvcodec.errors import CorruptStreamError
from nvcodec.format.inference import Tensor

LIMIT = 2**24

Ints = npt.NDArray[np.int64]


def rounded_bias(bias: npt.NDArray[np.integer], shifts: npt.NDArray[np.integer]) -> Ints:
    """Add the rounding constant of the first shift, 2^(s1-1), to the accumulators' bias.

    Args:
        bias: per output channel, at the accumulator's scale.
        shifts: s1 per output channel.
    """
    shifts = shifts.astype(np.int64)
    return bias.astype(np.int64) + ((1 << shifts) >> 1)


def reach(weights: npt.NDArray[np.integer], bias: Ints, source: Tensor) -> Ints:
    """The largest magnitude that any partial sum of an accumulator can take, per output channel.

    Args:
        weights: [out, in, height, width].
        bias: [out], rounding constant included.
        source: the input; padding adds zeros to its range.

    The range of an input ``a``, extended to zero, bounds each term w * a on both sides. The sum of the upper bounds is
    an upper bound of every partial sum in any order of summation, the sum of the lower bounds a lower one.
    """
    # int64 cannot overflow: 127 * 2^15 * (the 2^25 weights a network may have) < 2^47.
    flat = weights.reshape(len(weights), -1)
    positive = np.maximum(flat, 0).sum(1, dtype=np.int64)
    negative = positive - flat.sum(1, dtype=np.int64)
    high, low = max(source.high, 0), max(-source.low, 0)
    above = positive * high + negative * low + np.maximum(bias, 0)
    below = negative * high + positive * low + np.maximum(-bias, 0)
    return np.maximum(above, below)


def prove(
    weights: npt.NDArray[np.integer],
    bias: npt.NDArray[np.integer],
    shifts: npt.NDArray[np.integer],
    source: Tensor,
    where: str,
) -> None:
    """Check that no partial sum of a convolution can reach 2^24, so that float32 holds each exactly.

    Args:
        weights: [out, in, height, width].
        bias: per output channel, at the accumulator's scale.
        shifts: s1 per output channel.
        source: the input.
        where: the operation, as the error message names it.

    Raises:
        CorruptStreamError: a partial sum can reach 2^24.
    """
    worst = reach(weights, rounded_bias(bias, shifts), source)
    if worst.max() >= LIMIT:
        channel = int(worst.argmax())
        raise CorruptStreamError(
            f"{where}: an accumulator of channel {channel} can reach {int(worst[channel])}; it must stay below 2^24"
        )
