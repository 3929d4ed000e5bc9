"""What the solvers of both networks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.errors import UsageError

S = TypeVar("S", bound=NetworkShape)

TOLERANCE = 0.02  # distance from the size, of it, that counts as met


def nearest(size: int, frames: int, shapes: Iterable[S], taste: Callable[[S], float] = lambda shape: 0.0) -> S:
    """Of ``shapes`` one that stores about ``size`` parameters for ``frames`` frames: of those within 2 % the one that
    ``taste`` gives the least, else the largest below.

    Raises:
        UsageError: all are larger.
    """

    def order(shape: S) -> tuple[float, float]:
        error = abs(shape.parameters(frames) / size - 1)
        return (0.0, taste(shape)) if error <= TOLERANCE else (error, 0.0)

    small = [shape for shape in shapes if shape.parameters(frames) <= size * (1 + TOLERANCE)]
    if not small:
        raise UsageError(f"no such network has as few as {size} parameters for {frames} frames")
    return min(small, key=order)
