"""Bjontegaard's delta rate (VCEG-M33, 2001): how many more bytes one codec takes than another at equal quality."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SAMPLES = 1000
Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Delta:
    """``percent`` more bytes (negative: fewer), as a mean over the qualities ``low`` to ``high`` that both reach;
    ``overlap`` is this range as a share of the one that either reaches."""

    percent: float
    low: float
    high: float
    overlap: float


def bd_rate(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> Delta | None:
    """How many more bytes ``test`` takes than ``anchor``; both are (bytes, quality) points, at least two each.

    The logarithm of bytes as a function of quality is interpolated by monotone cubic pieces (PCHIP). Points that cost
    more than another one and are no better are left out. None where the two have no quality in common.
    """
    curves = [_curve(points) for points in (anchor, test)]
    if any(len(quality) < 2 for quality, _ in curves):
        return None
    low = max(quality[0] for quality, _ in curves)
    high = min(quality[-1] for quality, _ in curves)
    if low >= high:
        return None
    at = np.linspace(low, high, SAMPLES)
    rates = [pchip(quality, rate, at) for quality, rate in curves]
    either = max(quality[-1] for quality, _ in curves) - min(quality[0] for quality, _ in curves)
    difference = float(np.trapezoid(rates[1] - rates[0], at) / (high - low))
    return Delta(100 * (float(np.exp(difference)) - 1), float(low), float(high), float((high - low) / either))


def _curve(points: Sequence[tuple[float, float]]) -> tuple[Array, Array]:
    """Qualities, which rise, and the logarithms of their bytes."""
    kept: list[tuple[float, float]] = []
    for size, quality in sorted(points):
        if not kept or quality > kept[-1][1]:
            kept.append((size, quality))
    sizes, qualities = np.array(kept, np.float64).reshape(-1, 2).T
    return qualities, np.log(sizes)


def pchip(x: Array, y: Array, at: Array) -> Array:
    """Monotone piecewise cubic interpolation (Fritsch and Butland, SIAM J. Sci. Stat. Comput., 1984), as in MATLAB and
    SciPy: the harmonic mean of both slopes at inner points, three-point slopes at the ends.

    Args:
        x: rising, at least two.
        y: values there.
        at: between the first and the last of ``x``.
    """
    h, slope = np.diff(x), np.diff(y) / np.diff(x)
    d = np.empty_like(y)
    if len(x) == 2:
        d[:] = slope[0]
    else:
        before, after = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
        rising = slope[:-1] * slope[1:] > 0
        safe = np.where(rising, slope[:-1] * slope[1:], 1)
        d[1:-1] = np.where(rising, (before + after) * safe / (before * slope[1:] + after * slope[:-1]), 0)
        d[0] = _end(h[0], h[1], slope[0], slope[1])
        d[-1] = _end(h[-1], h[-2], slope[-1], slope[-2])
    place = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    t = (at - x[place]) / h[place]
    u = 1 - t
    value: Array = (
        y[place] * u * u * (1 + 2 * t)
        + y[place + 1] * t * t * (1 + 2 * u)
        + h[place] * t * u * (d[place] * u - d[place + 1] * t)
    )
    return value


def _end(h0: float, h1: float, s0: float, s1: float) -> float:
    d = ((2 * h0 + h1) * s0 - h0 * s1) / (h0 + h1)
    if d * s0 <= 0:
        return 0.0
    return 3 * s0 if s0 * s1 <= 0 and abs(d) > abs(3 * s0) else d
