"""Unbounded step indices and their factors; a stream can represent 0 to 239 (specification, section 6.3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nvcodec.format.arithmetic.step_indices import MULTIPLIERS

INDICES_PER_OCTAVE = 8
OCTAVE = MULTIPLIERS[:INDICES_PER_OCTAVE].astype(np.float64)


def factor_of(index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return what an accumulator is multiplied by: m * 2^-(e + 6), exact."""
    factors: npt.NDArray[np.float64] = OCTAVE[index % INDICES_PER_OCTAVE] * 2.0 ** (-6 - index // INDICES_PER_OCTAVE)
    return factors


def nearest_index(wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the index whose factor has the ratio nearest to 1 to each of ``wanted`` [n], all positive."""
    # Candidates are the octave that contains the value and the one above, whose lowest factor may be nearest.
    octaves = np.floor(np.log2(wanted / OCTAVE[-1])).astype(np.int64)[:, None] + np.array([0, 1])
    indices = ((-6 - octaves) * INDICES_PER_OCTAVE)[:, :, None] + np.arange(INDICES_PER_OCTAVE)
    candidates = indices.reshape(len(wanted), -1)
    best = np.abs(np.log2(factor_of(candidates)) - np.log2(wanted)[:, None]).argmin(1)
    nearest: npt.NDArray[np.int64] = candidates[np.arange(len(wanted)), best]
    return nearest
