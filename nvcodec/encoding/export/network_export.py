"""The fitted network as integer operations (specification, section 6).

Units: the embedding's is its quantisation step, the picture's is 1/255 or 1/1023, all others are powers of two. Inside
a coupling layer, everything that is added or concatenated shares a unit.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from nvcodec.encoding.export.observed_ranges import ObservedRanges
from nvcodec.encoding.export.operation_builder import (
    MAX_UNIT_SHIFT,
    PRE_ACTIVATION_PEAK,
    RANGE_HEADROOM,
    OperationBuilder,
    Value,
    integer_range,
)
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import MID_GREY, Decoder
from nvcodec.encoding.model.skip_connection import LEAKY_SLOPE, DenseBlock, Skip, noise_operations
from nvcodec.encoding.quantizer.initial_steps import check_finite
from nvcodec.encoding.quantizer.rounding import integers
from nvcodec.format.arithmetic.functions import NORMAL_SHIFT
from nvcodec.format.inference import infer
from nvcodec.format.operations import (
    Add,
    Below,
    Concat,
    Crop,
    Function,
    Grid,
    Latent,
    LatentKind,
    Resample,
    Shuffle,
    Subtract,
)
from nvcodec.format.stream import Layer
from nvcodec.samples import peak_of

GRID_SHIFT = 3  # between its knots a feature grid has eighths of its quantisation step
GELU_MINIMUM = 0.17  # gelu(x) > -0.17 everywhere
GELU_REACH = 6.0  # below -6, gelu is zero at any precision used here


def head_offset(bits: int) -> float:
    """Return mid-grey in the head's unit: 127.5 / 256 for pictures of 8 bits."""
    return MID_GREY * peak_of(bits) / 2**bits


@torch.no_grad()
def export_layer(
    decoder: Decoder,
    latents: Sequence[torch.Tensor],
    noise: Sequence[torch.Tensor],
    lower_layers: Sequence[Layer] = (),
) -> Layer:
    """Return the integers of a decoder that was fitted with quantisation in the loop.

    Args:
        decoder: with its quantisation steps set.
        latents: the embeddings [frames, C0, h0, w0] and each f [frames, 1, height, width], in float.
        noise: z for each scale, as the decoder's forward pass takes it.
        lower_layers: the layers below an enhancement layer.

    Returns:
        A layer whose checksums are still zero. If a clip's activations would break an accumulator's bound they get a
        coarser unit, so every bound holds.

    Raises:
        NvcodecError: no unit is coarse enough, or a value is not finite, because the fit has diverged.
    """
    assert decoder.latent_steps is not None, "quantisation has to be in the loop"
    check_finite(decoder, latents)
    lower_tensors = {number: layer.tensors for number, layer in enumerate(lower_layers)}
    builder = OperationBuilder(lower_tensors)
    exporter = Exporter(decoder, builder, ObservedRanges(decoder, latents, noise))
    stored = exporter.latents(latents)
    embedding, *features = stored
    stored |= exporter.feature_grids()
    exporter.reference_features()
    exporter.skip_features(features)
    exporter.trunk(embedding)
    exporter.picture()
    shape = decoder.shape
    tensors = infer(builder.ops, lower_tensors, (shape.height, shape.width), peak_of(decoder.bits))
    return Layer(tuple(builder.ops), tensors, builder.convs, stored, 1, np.zeros(len(latents[0]), np.uint32))


@dataclasses.dataclass(frozen=True)
class Addend:
    """A term of the trunk behind a block: a 1x1 convolution of operation ``op``, in which 1 stands for ``unit``."""

    conv: Conv
    op: int
    unit: float


class Exporter:
    """Appends the parts of a decoder to a builder, in the order of its methods.

    Args:
        decoder: the network.
        builder: still empty.
        ranges: what the decoder's convolutions read and yield.

    Attributes:
        addends: what is added behind each block, filled by the methods that precede :meth:`trunk`.
    """

    def __init__(self, decoder: Decoder, builder: OperationBuilder, ranges: ObservedRanges) -> None:
        self.decoder, self.builder, self.ranges = decoder, builder, ranges
        self.addends: dict[int, list[Addend]] = {}

    def latents(self, latents: Sequence[torch.Tensor]) -> dict[int, npt.NDArray[np.int16]]:
        """Append the LATENT operations and return their integers."""
        steps = self.decoder.latent_steps
        assert steps is not None
        kinds = [LatentKind.EMBEDDING] + [LatentKind.SKIP_FEATURE] * (len(latents) - 1)
        stored = {}
        for latent, step, kind in zip(latents, steps, kinds, strict=True):
            values = integers(latent, step).cpu().numpy().astype(np.int16)
            channels, height, width = values.shape[1:]
            op = Latent(channels, height, width, int(values.min()), int(values.max()), kind)
            stored[self.builder.add(op)] = values
        return stored

    def feature_grids(self) -> dict[int, npt.NDArray[np.int16]]:
        """Append the GRID operations and return their integers."""
        stored = {}
        for block, grid in self.decoder.grids.items():
            assert grid.quant_step is not None
            values = grid.integers().cpu().numpy().astype(np.int16)
            knots, channels, height, width = values.shape
            op = Grid(channels, height, width, int(values.min()), int(values.max()), knots, GRID_SHIFT)
            index = self.builder.add(op)
            stored[index] = values
            self.addends[block] = [Addend(grid.merge, index, grid.quant_step.item() * 2.0**-GRID_SHIFT)]
        return stored

    def reference_features(self) -> None:
        """Append the features of the layer below, in an enhancement layer."""
        reference, conv = self.decoder.reference, self.decoder.inter_layer_conv
        if conv is not None and reference is not None:
            index = self.builder.add(Below(reference.layer, reference.feature_op))
            addend = Addend(conv, index, 2.0**-reference.shift)
            self.addends.setdefault(self.decoder.shape.inter_layer_block, []).append(addend)

    def skip_features(self, features: Sequence[int]) -> None:
        """Append what recovers the skip connection's features from each f, given the operations that yield f."""
        steps = self.decoder.latent_steps
        assert steps is not None
        for scale, (f, step) in enumerate(zip(features, steps[1:], strict=True)):
            index, unit = f, step.item()
            if self.decoder.skips[scale].coupling is not None:
                value = self.recover(scale, Value(f, -round(math.log2(unit))))
                index, unit = value.op, 2.0**-value.shift
            self.addends.setdefault(scale, []).append(Addend(self.decoder.skips[scale].merge, index, unit))

    def trunk(self, embedding: int) -> None:
        """Append stem, blocks and head; ``embedding`` is the operation that yields the embedding."""
        builder, decoder = self.builder, self.decoder
        assert decoder.latent_steps is not None
        shift, unit = self.shift_for(decoder.stem, GELU_REACH), decoder.latent_steps[0].item()
        value = builder.finest(range(shift, -1, -1), functools.partial(builder.convolve, decoder.stem, embedding, unit))
        for number in range(len(decoder.blocks) + 1):
            # No unit is finer than its input's.
            stage = functools.partial(self.stage, number, value, self.addends.get(number - 1, []))
            value = builder.finest(range(value.shift, -1, -1), stage)

    def picture(self) -> None:
        """Append the crop and, in an enhancement layer, the sum with the picture of the layer below."""
        shape, reference = self.decoder.shape, self.decoder.reference
        residual = len(self.builder.ops) - 1
        if shape.coded_size != (shape.height, shape.width):
            residual = self.builder.add(Crop(residual, 0, 0, shape.height, shape.width))
        if reference is not None:
            picture = self.builder.add(Below(reference.layer, reference.picture_op))
            self.builder.add(Add(picture, residual, 0, peak_of(self.decoder.bits)))

    def shift_for(self, conv: torch.nn.Module, reach: float = math.inf) -> int:
        """Return the finest unit 2^-shift in which a convolution's output fits 12 bits, where it exceeds ``-reach``."""
        low, high = self.ranges.outputs[conv]
        farthest = max(high, min(-low, reach), 2.0**-4)
        return max(0, min(MAX_UNIT_SHIFT, math.floor(math.log2(PRE_ACTIVATION_PEAK / (farthest * RANGE_HEADROOM)))))

    def stage(self, number: int, value: Value, addends: Sequence[Addend], shift: int) -> Value:
        """Append what leads from one convolution of the trunk to the next; returns the next one's result.

        Args:
            number: of the first convolution; 0 is the stem, which no pixel shuffle follows.
            value: its result.
            addends: what is added behind its block.
            shift: the next convolution's input is to be in units of 2^-shift.
        """
        builder, conv, previous = self.builder, self.decoder.trunk[number + 1], self.decoder.trunk[number]
        low = -math.ceil(GELU_MINIMUM * 2**shift)
        high = math.ceil(self.ranges.outputs[previous][1] * 2**shift * RANGE_HEADROOM) + 1
        index = builder.activate(Function.GELU, value, shift, (low, min(high, PRE_ACTIVATION_PEAK)))
        if number:
            index = builder.add(Shuffle(index, self.decoder.shape.strides[number - 1]))
        for count, addend in enumerate(addends, 1):
            limits = integer_range(self.ranges.inputs[conv], shift) if count == len(addends) else None
            index = self.merge(index, addend, shift, limits)
        if conv is self.decoder.head:
            # The head's unit is 1/256, which its own unit turns into 1/255 of the picture's range, or so with 10 bits.
            bits = self.decoder.bits
            peak = peak_of(bits)
            if self.decoder.reference is not None:
                return builder.convolve(conv, index, 2.0**-shift, bits, (-peak, peak))
            return builder.convolve(conv, index, 2.0**-shift, bits, (0, peak), head_offset(bits))
        return builder.convolve(conv, index, 2.0**-shift, self.shift_for(conv, GELU_REACH))

    def merge(self, trunk: int, addend: Addend, shift: int, limits: tuple[int, int] | None) -> int:
        """Append the sum of an addend and a tensor of the trunk in units of 2^-shift; returns its index.

        ``limits`` is the range of the sum; None: every value that it can take.
        """
        builder, conv, tensor = self.builder, addend.conv, self.builder.tensors[trunk]
        addend_limits = integer_range(self.ranges.outputs[conv], shift)
        added = builder.convolve(conv, addend.op, addend.unit, shift, addend_limits).op
        added_tensor = builder.tensors[added]
        if (added_tensor.height, added_tensor.width) != (tensor.height, tensor.width):
            # A 1x1 convolution yields the same before the resampling as after it, on fewer pixels.
            added = builder.add(Resample(added, tensor.height, tensor.width))
        low, high = limits or (tensor.low + added_tensor.low, tensor.high + added_tensor.high)
        return builder.add(Add(trunk, added, low, high))

    def recover(self, scale: int, f: Value) -> Value:
        """Append the inverse of one scale's coupling layer; returns the features recovered from f."""
        skip = self.decoder.skips[scale]
        z = Value(self.builder.add(noise_operations(self.decoder.shape)[scale]), NORMAL_SHIFT)
        return self.builder.finest(range(MAX_UNIT_SHIFT, -1, -1), functools.partial(self.invert, skip, f, z))

    def invert(self, skip: Skip, f: Value, z: Value, shift: int) -> Value:
        """Append the inverse of a coupling layer in units of 2^-shift."""
        builder, coupling = self.builder, skip.coupling
        assert coupling is not None
        first, rest = builder.rescale(f, shift), builder.rescale(z, shift)
        limits = integer_range(self.ranges.inputs[skip.merge], shift)
        rest = builder.add(Subtract(rest, self.dense(coupling.eta, first, shift), *limits))
        first = builder.add(Subtract(first, self.dense(coupling.phi, rest, shift), *limits))
        return Value(builder.add(Concat(first, rest)), shift)

    def dense(self, block: DenseBlock, source: int, shift: int) -> int:
        """Append a dense block whose input and output are in units of 2^-shift; returns its index."""
        builder, index = self.builder, source
        *hidden, last = block.convs
        for conv in hidden:
            value = builder.convolve(conv, index, 2.0**-shift, self.shift_for(conv))
            low, high = self.ranges.outputs[conv]
            limits = integer_range((low * LEAKY_SLOPE, high), shift)
            index = builder.add(Concat(index, builder.activate(Function.LEAKY_RELU, value, shift, limits)))
        return builder.convolve(last, index, 2.0**-shift, shift, integer_range(self.ranges.outputs[last], shift)).op
