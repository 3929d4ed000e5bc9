"""A growing list of integer operations: convolutions with their quantisation steps, biases and ranges.

A finer unit loses less precision but lets the accumulators that it feeds grow larger: :meth:`OperationBuilder.finest`
looks for the finest unit with which every bound of the specification's section 6.3 holds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

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

PRE_ACTIVATION_PEAK = 2047  # pre-activations and features have 12 bits
MAX_UNIT_SHIFT = 12  # the finest unit of a table's input is 2^-12
MAX_BIAS_SHIFT = 12
BIAS_UNITS_PER_RESULT = 4  # a bias unit is at most a quarter of a result's
ZERO_GROUP_STEP_INDEX = 64  # step index of a convolution that has no weights but zeros
RANGE_HEADROOM = 1.02  # integers may come out slightly above the float maximum

T = TypeVar("T")


class BoundBroken(Exception):
    """A bound does not hold in the unit that is tried."""


@dataclasses.dataclass(frozen=True)
class Value:
    """The result of operation number ``op``, in units of 2^-shift."""

    op: int
    shift: int


class OperationBuilder:
    """Collects operations, their inferred results and the integers of each convolution.

    Args:
        lower_layers: the inferred results of the lower layers of the segment, by layer.

    Attributes:
        ops: the operations.
        tensors: shape and range of each one's result.
        convs: the integers of each CONV, by its index in ``ops``.
    """

    def __init__(self, lower_layers: Mapping[int, Sequence[Tensor]] | None = None) -> None:
        self.lower_layers = lower_layers or {}
        self.ops: list[Op] = []
        self.tensors: list[Tensor] = []
        self.convs: dict[int, ConvWeights] = {}

    def add(self, op: Op) -> int:
        """Append an operation and return its index."""
        self.tensors.append(infer_one(op, len(self.ops), self.tensors, self.lower_layers))
        self.ops.append(op)
        return len(self.ops) - 1

    def finest(self, shifts: Iterable[int], build: Callable[[int], T]) -> T:
        """Return the result of ``build`` for the first of ``shifts`` with which it breaks no bound.

        Raises:
            NvcodecError: there is none.
        """
        mark = len(self.ops)
        for shift in shifts:
            try:
                return build(shift)
            except BoundBroken:
                del self.ops[mark:], self.tensors[mark:]
                self.convs = {index: conv for index, conv in self.convs.items() if index < mark}
        raise NvcodecError("no unit keeps the accumulators below 2^24: the fit has diverged")

    def convolve(
        self,
        conv: Conv,
        source: int,
        unit: float,
        shift: int,
        limits: tuple[int, int] | None = None,
        offset: float | npt.NDArray[np.float64] = 0,
    ) -> Value:
        """Append a convolution.

        Args:
            conv: with its quantisation step set.
            source: index of the operation that yields its input.
            unit: the value that 1 stands for in the input.
            shift: the result is to be in units of 2^-shift.
            limits: range of the result. None: a pre-activation of 12 bits, in a coarser unit if no step index is coarse
                enough for this one.
            offset: added to the bias, for all channels or for each one.

        Raises:
            BoundBroken: an accumulator could reach 2^24, or a field leaves its range.
        """
        assert conv.quant_step is not None and conv.bias is not None
        weights = conv.integers().detach().cpu().numpy().astype(np.int32)
        bias = conv.bias.detach().double().cpu().numpy() + offset
        # A weight's step times the input's unit is m * 2^-e by construction, up to float32's rounding.
        scale = conv.quant_step.double().flatten().cpu().numpy() * unit
        # If all weights of a group are zero, any step will do.
        groups = np.arange(0, len(weights), conv.group)
        nonzero = weights.reshape(len(weights), -1).any(1)
        live = np.logical_or.reduceat(nonzero, groups).repeat(conv.group)[: len(scale)]
        while live.any() and nearest_index(scale[live] * 2.0**shift).min() < 0:
            if limits:
                raise BoundBroken
            shift -= 1
        indices = np.full(len(scale), ZERO_GROUP_STEP_INDEX)
        if live.any():
            indices[live] = nearest_index(scale[live] * 2.0**shift)
            indices[~live] = round(np.median(indices[live]))
        if indices.max() > MAX_STEP:
            raise BoundBroken
        biases, bias_shift = _integer_biases(bias * 2.0**shift, indices)
        low, high = limits or (-PRE_ACTIVATION_PEAK - 1, PRE_ACTIVATION_PEAK)
        op = ConvOp(source, len(weights), weights.shape[2], weights.shape[3], conv.group, bias_shift, low, high)
        integers = ConvWeights(weights, biases, indices[:: conv.group].astype(np.int32))
        full_bias = rounded_bias(integers.accumulator_bias(op), integers.first_shifts(op))
        if reach(weights, full_bias, self.tensors[source]).max() >= LIMIT:
            raise BoundBroken
        index = self.add(op)
        self.convs[index] = integers
        return Value(index, shift)

    def activate(self, function: Function, value: Value, shift: int, limits: tuple[int, int]) -> int:
        """Append a TABLE from a value's unit to 2^-shift and return its index."""
        return self.add(Table(value.op, function, value.shift, shift, *limits))

    def rescale(self, value: Value, shift: int) -> int:
        """Return the index of the operation that yields the value in units of 2^-shift."""
        if value.shift == shift:
            return value.op
        tensor = self.tensors[value.op]
        limits = integer_range((tensor.low * 2.0**-value.shift, tensor.high * 2.0**-value.shift), shift)
        return self.activate(Function.IDENTITY, value, shift, limits)


def _integer_biases(bias: npt.NDArray[np.float64], indices: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], int]:
    """Return the integers that a file holds for ``bias``, in units of the result, and the shift of their unit.

    Raises:
        BoundBroken: the biases need a coarser unit than the format has.
    """
    t_units = 2.0 ** SECOND_SHIFTS[indices] / MULTIPLIERS[indices]  # units of t per unit of the result
    bias_in_t = bias * t_units
    shift = max(0, math.floor(math.log2(t_units.min() / BIAS_UNITS_PER_RESULT)))
    while np.abs(np.round(bias_in_t / 2**shift)).max() > BIAS_PEAK:
        shift += 1
    if shift > MAX_BIAS_SHIFT:
        raise BoundBroken
    return np.round(bias_in_t / 2**shift).astype(np.int32), shift


def integer_range(values: Range, shift: int) -> tuple[int, int]:
    """Return a range of floats in units of 2^-shift, with headroom and zero inside.

    Raises:
        BoundBroken: it takes more than 12 bits.
    """
    low = math.floor(min(values[0], 0) * 2**shift * RANGE_HEADROOM) - 1
    high = math.ceil(max(values[1], 0) * 2**shift * RANGE_HEADROOM) + 1
    if low < -PRE_ACTIVATION_PEAK - 1 or high > PRE_ACTIVATION_PEAK:
        raise BoundBroken
    return low, high
