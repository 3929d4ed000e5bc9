"""A file's integer network back in float: what a warm start begins with (the way back of ``export``)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nvcodec.encoding.export.network_export import HEAD_OFFSET, HEAD_SHIFT
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

Floats = npt.NDArray[np.float32]

ONE_UNIT = (Shuffle, Resample, Crop, Add, Subtract, Concat)  # all that these read and yield has one unit


@dataclasses.dataclass(frozen=True)
class RestoredConv:
    """A convolution of the float decoder: ``weight`` [out, in, k, k], ``bias`` [out]."""

    weight: Floats
    bias: Floats


@dataclasses.dataclass(frozen=True)
class Restored:
    """A float decoder as far as a file tells.

    Attributes:
        trunk: stem, blocks' convolutions and head.
        skips: the skip connection's convolutions, in the order of the stream.
        strides: of the blocks.
        latents: the embeddings [frames, C0, h0, w0] and each f [frames, 1, height, width].
        grids: of each feature grid, in the order of the blocks, its values [knots, channels, height, width] and the
            convolution that adds them.
    """

    trunk: list[RestoredConv]
    skips: list[RestoredConv]
    strides: tuple[int, ...]
    latents: list[Floats]
    grids: list[tuple[Floats, RestoredConv]]


def restore(layer: Layer) -> Restored:
    """The float network of a layer.

    A latent's unit is not in the stream, because the convolution that reads it takes it in; one is chosen with which
    that convolution's weights are as large as PyTorch's initialisation would make them.

    Raises:
        UsageError: the network is none that this encoder writes.
    """
    ops = layer.ops
    shifts = known_shifts(ops)
    units = {place: 2.0**-shift for place, shift in shifts.items()}
    beside = skip_connection_ops(ops)
    trunk: list[RestoredConv] = []
    skips: list[RestoredConv] = []
    grids: list[tuple[Floats, RestoredConv]] = []
    for place, op in enumerate(ops):
        if not isinstance(op, Conv):
            continue
        if place not in units:
            raise UsageError("the network is none that this encoder writes: a unit cannot be told")
        conv = layer.convs[place]
        factor = factors(conv.channel_steps(op)) * units[place]
        weight = conv.weights * factor[:, None, None, None]
        if op.input not in units:
            spread = float(np.sqrt(np.square(weight).mean())) or 1.0
            units[op.input] = spread * math.sqrt(3 * weight[0].size)
        bias = conv.accumulator_bias(op) * factor
        last = not any(place in other.inputs for other in ops if not isinstance(other, Crop))
        restored = RestoredConv(
            (weight / units[op.input]).astype(np.float32), (bias - (HEAD_OFFSET if last else 0)).astype(np.float32)
        )
        source = ops[op.input]
        if isinstance(source, Grid):
            unit = units[op.input] * 2.0**source.shift
            grids.append((layer.latents[op.input].astype(np.float32) * np.float32(unit), restored))
        else:
            (skips if place in beside else trunk).append(restored)
    strides = tuple(op.factor for op in ops if isinstance(op, Shuffle))
    if len(trunk) != len(strides) + 2:
        raise UsageError("the network is none that this encoder writes: it is no chain of blocks")
    latents = [
        layer.latents[place].astype(np.float32) * np.float32(units.get(place, 1.0))
        for place, op in enumerate(ops)
        if isinstance(op, Latent)
    ]
    return Restored(trunk, skips, strides, latents, grids)


def known_shifts(ops: Sequence[Op]) -> dict[int, int]:
    """The unit 2^-shift of each result, as far as tables, noise and the picture at the end tell it."""
    shifts = {len(ops) - 1: HEAD_SHIFT}
    for place, op in enumerate(ops):
        if isinstance(op, Table):
            shifts[op.input], shifts[place] = op.in_shift, op.out_shift
        elif isinstance(op, Noise):
            shifts[place] = NORMAL_SHIFT
    before = 0
    while before < len(shifts):
        before = len(shifts)
        for place, op in enumerate(ops):
            if isinstance(op, ONE_UNIT):
                members = (place, *op.inputs)
                known = [shifts[member] for member in members if member in shifts]
                shifts.update(dict.fromkeys(members, known[0]) if known else {})
    return shifts
