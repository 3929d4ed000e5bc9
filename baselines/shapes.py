"""The search that the solvers of both networks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.errors import UsageError

S = TypeVar("S", bound=NetworkShape)

TOLERANCE = 0.02  # relative distance from the size that counts as met


def nearest(size: int, frames: int, shapes: Iterable[S], cost: Callable[[S], float] = lambda shape: 0.0) -> S:
    """Return the shape that stores about ``size`` parameters for ``frames`` frames.

    Of the shapes within 2 % of the size it is the one with the lowest ``cost``; without any, the largest smaller one.

    Raises:
        UsageError: all shapes are larger.
    """

    def order(shape: S) -> tuple[float, float]:
        error = abs(shape.parameters(frames) / size - 1)
        return (0.0, cost(shape)) if error <= TOLERANCE else (error, 0.0)

    small = [shape for shape in shapes if shape.parameters(frames) <= size * (1 + TOLERANCE)]
    if not small:
        raise UsageError(f"no such network has as few as {size} parameters for {frames} frames")
    return min(small, key=order)
