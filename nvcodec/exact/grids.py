"""The values of a GRID between its knots (specification, section 6.7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def position(frame: int, frames: int, knots: int) -> tuple[int, int]:
    """The knot at or before ``frame`` of ``frames``, and how many of the ``frames - 1`` parts of the way from there to
    the next one it has come."""
    return divmod(frame * (knots - 1), max(1, frames - 1))


def interpolate(knots: npt.NDArray[np.int16], frames: Sequence[int], total: int, shift: int) -> npt.NDArray[np.int64]:
    """What a GRID yields for some of ``total`` frames: [frames, channels, height, width] in units of 2^-shift.

    ``knots`` are its values, [knots, channels, height, width].
    """
    parts = max(1, total - 1)
    places = [position(frame, total, len(knots)) for frame in frames]
    before = knots[[knot for knot, _ in places]].astype(np.int64)
    after = knots[[min(knot + 1, len(knots) - 1) for knot, _ in places]].astype(np.int64)
    part = np.array([part for _, part in places], np.int64).reshape(-1, 1, 1, 1)
    doubled = ((parts - part) * before + part * after) << (shift + 1)
    return (doubled + parts) // (2 * parts)
