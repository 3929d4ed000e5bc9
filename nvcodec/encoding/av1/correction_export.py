"""A fitted correction network, and the AV1 picture itself, as the integer operations of layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from nvcodec.encoding.av1.correction_network import LEVELS_PER_UNIT, MID_GREY, Correction
from nvcodec.encoding.av1.crops import QUARTERS, Crops
from nvcodec.encoding.export.operation_builder import (
    PRE_ACTIVATION_PEAK,
    RANGE_HEADROOM,
    BoundBroken,
    OperationBuilder,
    Value,
)
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.quantizer.initial_steps import check_finite
from nvcodec.errors import NvcodecError
from nvcodec.format.inference import infer
from nvcodec.format.operations import Add, Below, Crop, Function, Picture, Picture10
from nvcodec.format.stream import BaseRun, Layer

QUARTER_SHIFT = 2  # of levels in quarters
PICTURE_SHIFT = round(math.log2(QUARTERS * LEVELS_PER_UNIT))  # of the network's input and output in quarters
MAX_HIDDEN_SHIFT = 12
RANGE_BATCH = 64


def export_base(picture: Picture, runs: Sequence[BaseRun], size: tuple[int, int]) -> Layer:
    """Return layer 0: the AV1 picture, rounded, clamped and without its margin.

    Args:
        picture: the operation that yields it.
        runs: the AV1 stream.
        size: height and width of the shown picture.
    """
    builder = OperationBuilder()
    peak = _show(builder, builder.add(picture), picture, size)
    return _layer(builder, size, peak, tuple(runs))


@torch.no_grad()
def export_correction(
    network: Correction,
    crops: Crops,
    lower_layers: Sequence[Layer],
    op_below: int,
    picture: Picture,
    size: tuple[int, int],
) -> Layer:
    """Return the integers of a network that was fitted with quantisation in the loop.

    Args:
        network: with its quantisation steps set.
        crops: what it was fitted to; the ranges of its activations are those that it has there.
        lower_layers: the layers below.
        op_below: operation of the highest of them that yields its picture, in the unit of ``picture``.
        picture: the operation that yields the lowest picture, with the same margin.
        size: height and width of the shown picture.

    Raises:
        NvcodecError: a value is not finite, because the fit has diverged.
    """
    check_finite(network, [])
    lower = {number: layer.tensors for number, layer in enumerate(lower_layers)}
    builder = OperationBuilder(lower)
    below = builder.add(Below(len(lower_layers) - 1, op_below))
    value = Value(below, PICTURE_SHIFT)
    convs = network.convs()
    # The network sees levels about mid-grey, the operation levels from 0: the first bias makes up for it.
    first = convs[0]
    assert first.quant_step is not None
    offset = -(first.integers() * first.quant_step).sum((1, 2, 3)).double().cpu().numpy() * (MID_GREY / LEVELS_PER_UNIT)
    shifts = [
        min(MAX_HIDDEN_SHIFT, math.floor(math.log2(PRE_ACTIVATION_PEAK / max(peak * RANGE_HEADROOM, 2.0**-9))))
        for peak in _hidden_peaks(network, crops)
    ]
    added = _chain(builder, convs, shifts, value, offset, picture.PEAK)
    total = builder.add(Add(below, added.op, 0, picture.PEAK))
    return _layer(builder, size, _show(builder, total, picture, size))


def export_unchanged(lower_layers: Sequence[Layer], picture: Picture, size: tuple[int, int]) -> Layer:
    """Return a layer that shows the picture below as it is, for a segment whose neighbours have a network there.

    Args:
        lower_layers: the layer of the AV1 stream, with ``picture`` as its first operation.
        picture: the operation that yields the lowest picture.
        size: height and width of the shown picture.
    """
    builder = OperationBuilder({number: layer.tensors for number, layer in enumerate(lower_layers)})
    below = builder.add(Below(len(lower_layers) - 1, 0))  # PICTURE
    return _layer(builder, size, _show(builder, below, picture, size))


def _chain(
    builder: OperationBuilder,
    convs: Sequence[Conv],
    shifts: Sequence[int],
    value: Value,
    offset: float | npt.NDArray[np.float64],
    peak: int,
) -> Value:
    """Append convolutions, all but the last with ReLU, which is the lower end of their range.

    Args:
        builder: gets them.
        convs: the convolutions.
        shifts: the finest unit that the result of each but the last may have. It gets a coarser one, of fewer bits,
            where the accumulators behind it would grow too large.
        value: what the first one reads.
        offset: added to the bias of the first one.
        peak: of the last one's result.

    Raises:
        NvcodecError: no units keep all bounds.
    """
    unit = 2.0**-value.shift
    if len(convs) == 1:
        return builder.convolve(convs[0], value.op, unit, PICTURE_SHIFT, (-peak, peak), offset)

    def build(shift: int) -> Value:
        limits = (0, PRE_ACTIVATION_PEAK >> shifts[0] - shift)
        hidden = builder.convolve(convs[0], value.op, unit, shift, limits, offset)
        try:
            return _chain(builder, convs[1:], shifts[1:], hidden, 0.0, peak)
        except NvcodecError:
            raise BoundBroken from None

    return builder.finest(range(shifts[0], -1, -1), build)


def _hidden_peaks(network: Correction, crops: Crops) -> list[float]:
    """Return the largest activation behind each convolution but the last, over all crops."""
    peaks = [0.0] * (len(network.trunk) - 1)
    for below in torch.split(crops.below, RANGE_BATCH):
        x = (below / QUARTERS - MID_GREY) / LEVELS_PER_UNIT
        for index, conv in enumerate(network.convs()[:-1]):
            x = torch.relu(cast(torch.Tensor, conv(x)))
            peaks[index] = max(peaks[index], float(x.max()))
    return peaks


def _show(builder: OperationBuilder, op: int, picture: Picture, size: tuple[int, int]) -> int:
    """Append what makes the shown picture of one in the unit, and with the margin, of ``picture``; returns its peak."""
    shift = 0 if isinstance(picture, Picture10) else QUARTER_SHIFT
    peak = picture.PEAK >> shift
    shown = builder.activate(Function.IDENTITY, Value(op, shift), 0, (0, peak))
    if picture.margin:
        builder.add(Crop(shown, picture.margin, picture.margin, *size))
    return peak


def _layer(builder: OperationBuilder, size: tuple[int, int], peak: int, runs: tuple[BaseRun, ...] = ()) -> Layer:
    """Return a layer without checksums."""
    tensors = infer(builder.ops, builder.lower_layers, size, peak)
    return Layer(tuple(builder.ops), tensors, builder.convs, {}, 1, np.zeros(0, np.uint32), base=runs)
