"""Values between stored ones: of a GRID between its knots (specification, section 6.7), of LATENT and GRID between
frames (8.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt


def position(frame: int, frames: int, knots: int) -> tuple[int, int]:
    """Locate a frame between knots.

    Returns:
        The knot at or before ``frame``, and how many of ``frames - 1`` parts of the way to the next knot lie between.
    """
    return divmod(frame * (knots - 1), max(1, frames - 1))


def interpolate(knots: npt.NDArray[np.int16], frames: Sequence[int], total: int, shift: int) -> npt.NDArray[np.int64]:
    """Interpolate a GRID.

    Args:
        knots: its values, [knots, channels, height, width].
        frames: numbers of the frames to compute.
        total: number of frames of the segment.
        shift: fractional bits of the result.

    Returns:
        [frames, channels, height, width] in units of 2^-shift.
    """
    parts = max(1, total - 1)
    positions = [position(frame, total, len(knots)) for frame in frames]
    before = knots[[knot for knot, _ in positions]].astype(np.int64)
    after = knots[[min(knot + 1, len(knots) - 1) for knot, _ in positions]].astype(np.int64)
    part = np.array([part for _, part in positions], np.int64).reshape(-1, 1, 1, 1)
    doubled = ((parts - part) * before + part * after) << (shift + 1)
    return (doubled + parts) // (2 * parts)


def between(
    at: Callable[[list[int]], npt.NDArray[np.integer]], frames: Sequence[int | Fraction]
) -> npt.NDArray[np.int64]:
    """Interpolate between the values of whole frames.

    Args:
        at: returns the values of whole frames, [frames, channels, height, width].
        frames: numbers of frames, or fractions between two with denominators of at most 65535.

    Returns:
        [frames, channels, height, width].
    """
    positions = [divmod(Fraction(frame), 1) for frame in frames]
    before = at([math.floor(frame) for frame in frames]).astype(np.int64)
    if not any(part for _, part in positions):
        return before
    after = at([math.ceil(frame) for frame in frames]).astype(np.int64)
    k = np.array([part.numerator for _, part in positions], np.int64).reshape(-1, 1, 1, 1)
    d = np.array([part.denominator for _, part in positions], np.int64).reshape(-1, 1, 1, 1)
    return (2 * ((d - k) * before + k * after) + d) // (2 * d)
