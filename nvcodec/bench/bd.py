"""Bjontegaard delta rate (VCEG-M33, 2001): how many more bytes one codec needs than another at equal quality."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid
from scipy.interpolate import PchipInterpolator

INTEGRATION_SAMPLES = 1000

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Delta:
    """A BD-rate and the range of quality over which it was averaged.

    Attributes:
        percent: additional bytes of the test codec; negative where it needs fewer.
        low: lowest quality that both codecs reach.
        high: highest quality that both codecs reach.
        overlap: ``low`` to ``high`` as a share of the whole range of quality, 0 to 1.
    """

    percent: float
    low: float
    high: float
    overlap: float


def bd_rate(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> Delta | None:
    """Average the additional bytes that ``test`` needs compared with ``anchor`` over their common range of quality.

    The logarithm of the bytes is interpolated as a function of quality by monotone cubic pieces (PCHIP). Points that
    are larger than another point but no better are ignored.

    Args:
        anchor: (bytes, quality) points, at least two.
        test: likewise.

    Returns:
        None where the two curves have no range of quality in common.
    """
    curves = [_curve(points) for points in (anchor, test)]
    if any(len(quality) < 2 for quality, _ in curves):
        return None
    low = max(quality[0] for quality, _ in curves)
    high = min(quality[-1] for quality, _ in curves)
    if low >= high:
        return None
    samples = np.linspace(low, high, INTEGRATION_SAMPLES)
    anchor_bytes, test_bytes = (PchipInterpolator(quality, log_bytes)(samples) for quality, log_bytes in curves)
    whole = max(quality[-1] for quality, _ in curves) - min(quality[0] for quality, _ in curves)
    mean_difference = float(trapezoid(test_bytes - anchor_bytes, samples) / (high - low))
    return Delta(100 * (float(np.exp(mean_difference)) - 1), float(low), float(high), float((high - low) / whole))


def _curve(points: Sequence[tuple[float, float]]) -> tuple[Array, Array]:
    """Strictly rising qualities and the logarithms of their bytes."""
    pareto: list[tuple[float, float]] = []
    for size, quality in sorted(points):
        if not pareto or quality > pareto[-1][1]:
            pareto.append((size, quality))
    sizes, qualities = np.array(pareto, np.float64).reshape(-1, 2).T
    return qualities, np.log(sizes)
