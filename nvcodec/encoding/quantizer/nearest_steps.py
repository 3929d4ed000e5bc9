"""Step indices without end, of which a stream can say those from 0 to 239 (specification, section 6.3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nvcodec.format.arithmetic.step_indices import MULTIPLIERS

OCTAVE = MULTIPLIERS[:8].astype(np.float64)


def factor_of(index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """What an accumulator is multiplied by: m * 2^-(e + 6), exact."""
    factors: npt.NDArray[np.float64] = OCTAVE[index % 8] * 2.0 ** (-6 - index // 8)
    return factors


def nearest_index(wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The index whose factor is nearest to each of ``wanted`` [n], all positive, in ratio."""
    # The octave it lies in, and the one above: its lowest factor is nearest to what lies just below it.
    octaves = np.floor(np.log2(wanted / OCTAVE[-1])).astype(np.int64)[:, None] + np.array([0, 1])
    indices = ((-6 - octaves) * 8)[:, :, None] + np.arange(8)
    candidates = indices.reshape(len(wanted), -1)
    best = np.abs(np.log2(factor_of(candidates)) - np.log2(wanted)[:, None]).argmin(1)
    nearest: npt.NDArray[np.int64] = candidates[np.arange(len(wanted)), best]
    return nearest
