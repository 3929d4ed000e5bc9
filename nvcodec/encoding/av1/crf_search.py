"""The search for the constant rate factor with which a file meets a size or a quality."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

from nvcodec.encoding.av1.svt_encoder import CRF_STEP, MAX_CRF

HALVINGS = math.ceil(math.log2(MAX_CRF / CRF_STEP + 2))  # that leave one rate factor of all
MAX_TRIES = 4 + HALVINGS  # the first ones follow the slope
LEAST_SLOPE_SHARE = 0.3  # of the usual slope: two tries next to each other say little about it


@dataclasses.dataclass(frozen=True)
class Target:
    """A range of a value that falls as the rate factor rises.

    Attributes:
        low, high: the range that will do.
        wanted: the value in it that is best.
        slope: usual change of the value for each unit of the rate factor, negative.
        rather_below: whether a value that misses the range should be below it rather than above it.
    """

    low: float
    high: float
    wanted: float
    slope: float
    rather_below: bool

    def met_by(self, value: float) -> bool:
        """Return whether a value is in the range."""
        return self.low <= value <= self.high

    def nearly_met_by(self, value: float) -> bool:
        """Return whether a value misses the range by no more than its width."""
        width = self.high - self.low
        return self.low - width <= value <= self.high + width

    def best(self, values: Mapping[float, float]) -> float:
        """Return the rate factor, of those whose ``values`` are known, that meets the target; where none does, the
        nearest of those that miss it on the better side, if there are any."""

        def distance(crf: float) -> tuple[bool, bool, float]:
            value = values[crf]
            wrong = value > self.high if self.rather_below else value < self.low
            return not self.met_by(value), wrong, abs(value - self.wanted)

        return min(values, key=distance)


def target_of_size(file_bytes: int, least_share: float) -> Target:
    """Return the target of a file's size, of which the value is the logarithm."""
    low, high = math.log(least_share * file_bytes), math.log(file_bytes)
    return Target(low, high, (low + 2 * high) / 3, -0.06, True)


def target_of_quality(decibels: float, tolerance: float) -> Target:
    """Return the target of a PSNR in dB."""
    return Target(decibels, decibels + tolerance, decibels + tolerance / 3, -0.2, False)


class CrfSearch:
    """Proposes rate factors until one meets a target, or none is left to try.

    Args:
        target: what to meet.
        start: rate factor to begin with.

    Attributes:
        tried: the value with each rate factor.
    """

    def __init__(self, target: Target, start: float) -> None:
        self.target = target
        self.tried: dict[float, float] = {}
        self.next: float | None = start

    def tell(self, crf: float, value: float) -> None:
        """Take in the value with a rate factor, and choose the ``next``: None if this one, or no other, will do."""
        target = self.target
        self.tried[crf] = value
        self.next = None
        if target.met_by(value) or len(self.tried) >= MAX_TRIES:
            return
        # Values between two tries lie between theirs.
        above = max((c for c, v in self.tried.items() if v > target.high), default=-CRF_STEP)
        below = min((c for c, v in self.tried.items() if v < target.low), default=MAX_CRF + CRF_STEP)
        if len(self.tried) < MAX_TRIES - HALVINGS:
            proposed = crf + (target.wanted - value) / self._slope(crf)
        else:
            proposed = (above + below) / 2
        proposed = min(max(round(proposed / CRF_STEP) * CRF_STEP, above + CRF_STEP), below - CRF_STEP)
        if 0 <= proposed <= MAX_CRF and proposed not in self.tried:
            self.next = proposed

    def _slope(self, crf: float) -> float:
        """Return the change of the value for each unit of the rate factor, from the nearest other try."""
        others = sorted((abs(other - crf), other) for other in self.tried if other != crf)
        if not others:
            return self.target.slope
        other = others[0][1]
        measured = (self.tried[crf] - self.tried[other]) / (crf - other)
        return min(measured, LEAST_SLOPE_SHARE * self.target.slope)


def search(
    target: Target, start: float, value_of: Callable[[float], float], go_on: Callable[[], bool] = lambda: True
) -> dict[float, float]:
    """Return the values, from ``value_of``, of the rate factors that were tried until one met a target.

    At least one is tried, others only while ``go_on`` returns True.
    """
    tries = CrfSearch(target, start)
    while tries.next is not None and (go_on() or not tries.tried):
        crf = tries.next
        tries.tell(crf, value_of(crf))
    return tries.tried
