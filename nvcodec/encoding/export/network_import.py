"""A layer's integer network back in float, for a warm start: the inverse of :mod:`network_export`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nvcodec.encoding.export.network_export import head_offset
from nvcodec.errors import UsageError
from nvcodec.format.arithmetic.functions import NORMAL_SHIFT
from nvcodec.format.arithmetic.step_indices import factors
from nvcodec.format.operations import (
    Add,
    Concat,
    Conv,
    Crop,
    Grid,
    Latent,
    Noise,
    Op,
    Resample,
    Shuffle,
    Subtract,
    Table,
    skip_connection_ops,
)
from nvcodec.format.stream import Layer

FloatArray = npt.NDArray[np.float32]

SAME_UNIT = (Shuffle, Resample, Crop, Add, Subtract, Concat)  # operations whose inputs and output share a unit


@dataclasses.dataclass(frozen=True)
class ImportedConv:
    """A convolution in float: ``weight`` [out, in, k, k], ``bias`` [out]."""

    weight: FloatArray
    bias: FloatArray


@dataclasses.dataclass(frozen=True)
class ImportedNetwork:
    """A decoder in float, as far as a file determines it.

    Attributes:
        trunk: stem, blocks' convolutions and head.
        skips: the skip connection's convolutions, in the order of the stream.
        strides: strides of the blocks.
        latents: the embeddings [frames, C0, h0, w0] and each f [frames, 1, height, width].
        grids: for each feature grid, in the order of the blocks, its values [knots, channels, height, width] and the
            convolution that adds them.
    """

    trunk: list[ImportedConv]
    skips: list[ImportedConv]
    strides: tuple[int, ...]
    latents: list[FloatArray]
    grids: list[tuple[FloatArray, ImportedConv]]


def import_network(layer: Layer, bits: int = 8) -> ImportedNetwork:
    """Return the float network of a layer of pictures of so many bits.

    A latent's unit is not in the stream, because the convolution that reads it absorbs it; one is chosen with which
    that convolution's weights are as large as PyTorch's initialisation would make them.

    Raises:
        UsageError: the network was not written by this encoder.
    """
    ops = layer.ops
    units = {index: 2.0**-shift for index, shift in unit_shifts(ops, bits).items()}
    skip_ops = skip_connection_ops(ops)
    trunk: list[ImportedConv] = []
    skips: list[ImportedConv] = []
    grids: list[tuple[FloatArray, ImportedConv]] = []
    for index, op in enumerate(ops):
        if not isinstance(op, Conv):
            continue
        imported = _import_conv(layer, index, op, units, bits)
        source = ops[op.input]
        if isinstance(source, Grid):
            unit = units[op.input] * 2.0**source.shift
            grids.append((layer.latents[op.input].astype(np.float32) * np.float32(unit), imported))
        else:
            (skips if index in skip_ops else trunk).append(imported)
    strides = tuple(op.factor for op in ops if isinstance(op, Shuffle))
    if len(trunk) != len(strides) + 2:
        raise UsageError("this encoder did not write the network: it is not a chain of blocks")
    latents = [
        layer.latents[index].astype(np.float32) * np.float32(units.get(index, 1.0))
        for index, op in enumerate(ops)
        if isinstance(op, Latent)
    ]
    return ImportedNetwork(trunk, skips, strides, latents, grids)


def _import_conv(layer: Layer, index: int, op: Conv, units: dict[int, float], bits: int) -> ImportedConv:
    """Return a convolution in float; adds the unit of its input to ``units`` if it is free."""
    ops = layer.ops
    if index not in units:
        raise UsageError("this encoder did not write the network: a unit cannot be determined")
    conv = layer.convs[index]
    factor = factors(conv.channel_steps(op)) * units[index]
    weight = conv.weights * factor[:, None, None, None]
    if op.input not in units:
        rms = float(np.sqrt(np.square(weight).mean())) or 1.0
        units[op.input] = rms * math.sqrt(3 * weight[0].size)
    bias = conv.accumulator_bias(op) * factor
    is_head = not any(index in other.inputs for other in ops if not isinstance(other, Crop))
    return ImportedConv(
        (weight / units[op.input]).astype(np.float32),
        (bias - (head_offset(bits) if is_head else 0)).astype(np.float32),
    )


def unit_shifts(ops: Sequence[Op], bits: int = 8) -> dict[int, int]:
    """Return the unit 2^-shift of each result, as far as tables, noise and the picture at the end determine it."""
    shifts = {len(ops) - 1: bits}
    for index, op in enumerate(ops):
        if isinstance(op, Table):
            shifts[op.input], shifts[index] = op.in_shift, op.out_shift
        elif isinstance(op, Noise):
            shifts[index] = NORMAL_SHIFT
    known_before = 0
    while known_before < len(shifts):
        known_before = len(shifts)
        for index, op in enumerate(ops):
            if isinstance(op, SAME_UNIT):
                members = (index, *op.inputs)
                known = [shifts[member] for member in members if member in shifts]
                shifts.update(dict.fromkeys(members, known[0]) if known else {})
    return shifts
