"""Step indices: how a convolution's accumulator is scaled down to its result (specification, section 6.3).

    t = clamp(floor(acc * 2^-s1 + 1/2), +-65535)
    y = floor(t * m * 2^-s2 + 1/2), clamped to the operation's range

An index i gives the multiplier m, one of eight per octave, selected by i & 7, and the shifts s1 = max(0, (i >> 3) - 6)
and s2 = min(12, (i >> 3) + 6). So from one index to the next the factor m * 2^-(s1 + s2) falls by nearly 2^(1/8).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_STEP = 239
T_LIMIT = 65535  # largest |t|

MULTIPLIERS = np.tile(np.array([235, 215, 197, 181, 166, 152, 140, 128], np.int64), 30)
FIRST_SHIFTS = np.maximum(0, np.arange(MAX_STEP + 1) // 8 - 6)
SECOND_SHIFTS = np.minimum(12, np.arange(MAX_STEP + 1) // 8 + 6)


def factors(steps: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """The exact factor m * 2^-(s1 + s2) of each step index."""
    return MULTIPLIERS[steps] * 2.0 ** -(FIRST_SHIFTS + SECOND_SHIFTS)[steps]
