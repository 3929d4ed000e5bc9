"""A list of integer operations that grows: convolutions with their scales, biases and ranges.

A finer unit loses less and reaches further in the accumulators it feeds: :meth:`Builder.finest` looks for the finest
one with which every bound of the specification's section 6.3 holds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from nvcodec.encoding.export.observed_ranges import Range
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.quantizer.nearest_steps import nearest_index
from nvcodec.errors import NvcodecError
from nvcodec.format.arithmetic.bounds import LIMIT, reach, rounded_bias
from nvcodec.format.arithmetic.step_indices import MAX_STEP, MULTIPLIERS, SECOND_SHIFTS
from nvcodec.format.inference import Tensor, infer_one
from nvcodec.format.operations import BIAS_PEAK, Function, Op, Table
from nvcodec.format.operations import Conv as ConvOp
from nvcodec.format.stream import ConvWeights

PRE_PEAK = 2047  # pre-activations and features: 12 bits
FINEST = 12  # the finest unit of a table's input is 2^-12
BIAS_FRACTION = 4  # a bias unit is at most a quarter of a result's
IDLE_STEP = 64  # the step index of a convolution that has no weights but zeros
HEADROOM = 1.02  # integers may come out slightly above the float maximum

T = TypeVar("T")


class BoundBroken(Exception):
    """A bound does not hold in the unit that is tried."""


@dataclasses.dataclass(frozen=True)
class Value:
    """An operation's result: its place, and its unit 2^-shift."""

    place: int
    shift: int


class Builder:
    """Holds ``ops``, their inferred ``tensors``, and ``convs``, the integers of each CONV by its place.

    Args:
        below: the inferred results of the lower layers of the segment, by layer.
    """

    def __init__(self, below: Mapping[int, Sequence[Tensor]] | None = None) -> None:
        self.below = below or {}
        self.ops: list[Op] = []
        self.tensors: list[Tensor] = []
        self.convs: dict[int, ConvWeights] = {}

    def add(self, op: Op) -> int:
        """Append an operation; returns its place."""
        self.tensors.append(infer_one(op, len(self.ops), self.tensors, self.below))
        self.ops.append(op)
        return len(self.ops) - 1

    def finest(self, shifts: Iterable[int], build: Callable[[int], T]) -> T:
        """What ``build`` returns for the first of ``shifts`` with which it breaks no bound.

        Raises:
            NvcodecError: there is none.
        """
        mark = len(self.ops)
        for shift in shifts:
            try:
                return build(shift)
            except BoundBroken:
                del self.ops[mark:], self.tensors[mark:]
                self.convs = {place: conv for place, conv in self.convs.items() if place < mark}
        raise NvcodecError("no unit keeps the accumulators below 2^24: the fit has diverged")

    def convolve(
        self, conv: Conv, source: int, unit: float, shift: int, limits: tuple[int, int] | None = None, offset: float = 0
    ) -> Value:
        """Add one convolution.

        Args:
            conv: with its step set.
            source: place of its input.
            unit: what 1 stands for in the input.
            shift: the result's unit is to be 2^-shift.
            limits: the result's range. None: a pre-activation of 12 bits, in a coarser unit where no step index is
                coarse enough for this one.
            offset: added to the bias.

        Raises:
            BoundBroken: an accumulator could reach 2^24, or a field leaves its range.
        """
        assert conv.step is not None and conv.bias is not None
        weights = conv.integers().detach().cpu().numpy().astype(np.int32)
        bias = conv.bias.detach().double().cpu().numpy() + offset
        # A weight step times the input's unit is m * 2^-e by construction, up to float32's rounding.
        scale = conv.step.double().flatten().cpu().numpy() * unit
        # Where all of a group are zero any step will do.
        groups = np.arange(0, len(weights), conv.group)
        live = np.logical_or.reduceat(weights.reshape(len(weights), -1).any(1), groups).repeat(conv.group)[: len(scale)]
        while live.any() and nearest_index(scale[live] * 2.0**shift).min() < 0:
            if limits:
                raise BoundBroken
            shift -= 1
        steps = np.full(len(scale), IDLE_STEP)
        if live.any():
            steps[live] = nearest_index(scale[live] * 2.0**shift)
            steps[~live] = round(np.median(steps[live]))
        if steps.max() > MAX_STEP:
            raise BoundBroken
        t_units = 2.0 ** SECOND_SHIFTS[steps] / MULTIPLIERS[steps]  # of t in a unit of the result
        bias_in_t = bias * 2.0**shift * t_units
        bias_shift = max(0, math.floor(math.log2(t_units.min() / BIAS_FRACTION)))
        while np.abs(np.round(bias_in_t / 2**bias_shift)).max() > BIAS_PEAK:
            bias_shift += 1
        biases = np.round(bias_in_t / 2**bias_shift).astype(np.int32)
        if bias_shift > 12:
            raise BoundBroken
        low, high = limits or (-PRE_PEAK - 1, PRE_PEAK)
        op = ConvOp(source, len(weights), weights.shape[2], weights.shape[3], conv.group, bias_shift, low, high)
        integers = ConvWeights(weights, biases, steps[:: conv.group].astype(np.int32))
        full_bias = rounded_bias(integers.accumulator_bias(op), integers.first_shifts(op))
        if reach(weights, full_bias, self.tensors[source]).max() >= LIMIT:
            raise BoundBroken
        place = self.add(op)
        self.convs[place] = integers
        return Value(place, shift)

    def activate(self, function: Function, value: Value, shift: int, limits: tuple[int, int]) -> int:
        """Add a TABLE from a value's unit to 2^-shift; returns its place."""
        return self.add(Table(value.place, function, value.shift, shift, *limits))

    def rescale(self, value: Value, shift: int) -> int:
        """The value in units of 2^-shift; returns its place."""
        if value.shift == shift:
            return value.place
        tensor = self.tensors[value.place]
        limits = integer_range((tensor.low * 2.0**-value.shift, tensor.high * 2.0**-value.shift), shift)
        return self.activate(Function.IDENTITY, value, shift, limits)


def integer_range(values: Range, shift: int) -> tuple[int, int]:
    """What ``values`` becomes in units of 2^-shift, with headroom and zero inside.

    Raises:
        BoundBroken: more than 12 bits.
    """
    low = math.floor(min(values[0], 0) * 2**shift * HEADROOM) - 1
    high = math.ceil(max(values[1], 0) * 2**shift * HEADROOM) + 1
    if low < -PRE_PEAK - 1 or high > PRE_PEAK:
        raise BoundBroken
    return low, high
