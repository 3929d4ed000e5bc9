"""The fitted network as integer operations (specification, section 6).

Units: the embedding's is its step, the picture's 1/255, all others powers of two. Inside one coupling layer everything
that is added or joined shares a unit.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import torch

from nvcodec.encoding.export.observed_ranges import Seen, observe
from nvcodec.encoding.export.operation_builder import FINEST, HEADROOM, PRE_PEAK, Builder, Value, integer_range
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import Decoder, integers
from nvcodec.encoding.model.skip_connection import SLOPE, DenseBlock, Skip, noise_operations
from nvcodec.encoding.quantizer.initial_steps import check_finite
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

HEAD_SHIFT = 8  # the head's unit is 1/256, which HEAD_UNIT makes 1/255 of the picture's range
HEAD_OFFSET = 127.5 / 256
GRID_SHIFT = 3  # between its knots a grid has eighths of its step
GELU_MINIMUM = 0.17  # gelu(x) > -0.17 everywhere
GELU_REACH = 6.0  # below -6, gelu is zero at any precision used here


@torch.no_grad()
def export(
    decoder: Decoder,
    latents: Sequence[torch.Tensor],
    noise: Sequence[torch.Tensor],
    below: Sequence[Layer] = (),
) -> Layer:
    """Integers for a decoder that was fitted with quantisation in the loop.

    Args:
        decoder: with its steps set by ``prepare``.
        latents: the embeddings [frames, C0, h0, w0] and each f [frames, 1, height, width], in float.
        noise: z of each scale, as the decoder's forward pass takes it.
        below: the layers that an enhancement layer stands on.

    Returns:
        A layer whose checksums are still zero. Where a clip's activations would break an accumulator's bound they
        get a coarser unit, so every bound holds.

    Raises:
        NvcodecError: no unit is coarse enough, or a value is not finite, because the fit has diverged.
    """
    assert decoder.latent_steps is not None, "prepare() comes first"
    check_finite(decoder, latents)
    shape, steps = decoder.shape, decoder.latent_steps
    tensors_below = {level: layer.tensors for level, layer in enumerate(below)}
    builder = Builder(tensors_below)
    exporter = Exporter(decoder, builder, observe(decoder, latents, noise))
    kinds = [LatentKind.EMBEDDING] + [LatentKind.SKIP_FEATURE] * len(shape.skip_grids)
    held = {}
    for latent, step, kind in zip(latents, steps, kinds, strict=True):
        values = integers(latent, step).cpu().numpy().astype(np.int16)
        channels, height, width = values.shape[1:]
        held[builder.add(Latent(channels, height, width, int(values.min()), int(values.max()), kind))] = values
    embedding, *features = held
    added: dict[int, list[Addend]] = {}
    for block, grid in decoder.grids.items():
        assert grid.step is not None
        values = grid.integers().cpu().numpy().astype(np.int16)
        limits = int(values.min()), int(values.max())
        knots, channels, height, width = values.shape
        place = builder.add(Grid(channels, height, width, *limits, knots, GRID_SHIFT))
        held[place] = values
        added[block] = [Addend(grid.merge, place, grid.step.item() * 2.0**-GRID_SHIFT)]
    if decoder.lift is not None and decoder.underlay is not None:
        place = builder.add(Below(decoder.underlay.layer, decoder.underlay.places[0]))
        added.setdefault(shape.lift_place, []).append(Addend(decoder.lift, place, 2.0**-decoder.underlay.shift))
    for scale, (f, step) in enumerate(zip(features, steps[1:], strict=True)):
        place, unit = f, step.item()
        if decoder.skips[scale].coupling is not None:
            value = exporter.recover(scale, Value(f, -round(math.log2(unit))))
            place, unit = value.place, 2.0**-value.shift
        added.setdefault(scale, []).append(Addend(decoder.skips[scale].merge, place, unit))
    stem = decoder.stem
    shift = exporter.shift_for(stem, GELU_REACH)
    made = builder.finest(range(shift, -1, -1), functools.partial(builder.convolve, stem, embedding, steps[0].item()))
    for number in range(len(decoder.blocks) + 1):
        # No unit is finer than its input's.
        made = builder.finest(
            range(made.shift, -1, -1), functools.partial(exporter.stage, number, made, added.get(number - 1, []))
        )
    if shape.coded != (shape.height, shape.width):
        builder.add(Crop(made.place, 0, 0, shape.height, shape.width))
    if decoder.underlay is not None:
        left = len(builder.ops) - 1
        picture = builder.add(Below(decoder.underlay.layer, decoder.underlay.places[1]))
        builder.add(Add(picture, left, 0, 255))
    tensors = infer(builder.ops, tensors_below, (shape.height, shape.width))
    return Layer(tuple(builder.ops), tensors, builder.convs, held, 1, np.zeros(len(latents[0]), np.uint32))


@dataclasses.dataclass(frozen=True)
class Addend:
    """What is added to the trunk behind a block: the result of a 1x1 convolution of operation ``place``, in which 1
    stands for ``unit``."""

    conv: Conv
    place: int
    unit: float


class Exporter:
    """The parts of a decoder as operations; each method adds some and returns the last one's result."""

    def __init__(self, decoder: Decoder, builder: Builder, seen: Seen) -> None:
        self.decoder = decoder
        self.builder = builder
        self.seen = seen

    def shift_for(self, conv: torch.nn.Module, reach: float = math.inf) -> int:
        """The finest unit in which a convolution's result, where it is not below ``-reach``, fits 12 bits."""
        low, high = self.seen[conv][1]
        far = max(high, min(-low, reach), 2.0**-4)
        return max(0, min(FINEST, math.floor(math.log2(PRE_PEAK / (far * HEADROOM)))))

    def stage(self, number: int, made: Value, added: Sequence[Addend], shift: int) -> Value:
        """From the result of one convolution of the trunk to that of the next.

        Args:
            number: of the first one; 0 is the stem, which no pixel shuffle follows.
            made: its result.
            added: what is added behind its block.
            shift: the next one's input is to be in units of 2^-shift.
        """
        builder, conv, before = self.builder, self.decoder.trunk[number + 1], self.decoder.trunk[number]
        low = -math.ceil(GELU_MINIMUM * 2**shift)
        high = math.ceil(self.seen[before][1][1] * 2**shift * HEADROOM) + 1
        place = builder.activate(Function.GELU, made, shift, (low, min(high, PRE_PEAK)))
        if number:
            place = builder.add(Shuffle(place, self.decoder.shape.strides[number - 1]))
        for count, addend in enumerate(added, 1):
            limits = integer_range(self.seen[conv][0], shift) if count == len(added) else None
            place = self.merge(place, addend, shift, limits)
        if conv is self.decoder.head and self.decoder.underlay is not None:
            return builder.convolve(conv, place, 2.0**-shift, HEAD_SHIFT, (-255, 255))
        if conv is self.decoder.head:
            return builder.convolve(conv, place, 2.0**-shift, HEAD_SHIFT, (0, 255), HEAD_OFFSET)
        return builder.convolve(conv, place, 2.0**-shift, self.shift_for(conv, GELU_REACH))

    def merge(self, place: int, addend: Addend, shift: int, limits: tuple[int, int] | None) -> int:
        """The addend added to a tensor of the trunk in units of 2^-shift; ``limits`` are the sum's, None for all it may
        be."""
        builder, conv, tensor = self.builder, addend.conv, self.builder.tensors[place]
        own_limits = integer_range(self.seen[conv][1], shift)
        added = builder.convolve(conv, addend.place, addend.unit, shift, own_limits).place
        own = builder.tensors[added]
        if (own.height, own.width) != (tensor.height, tensor.width):
            # A 1x1 convolution yields the same before the resampling as after it, on fewer pixels.
            added = builder.add(Resample(added, tensor.height, tensor.width))
        low, high = limits or (tensor.low + own.low, tensor.high + own.high)
        return builder.add(Add(place, added, low, high))

    def recover(self, scale: int, f: Value) -> Value:
        """The features that the coupling layer of one scale recovers from f."""
        skip = self.decoder.skips[scale]
        z = Value(self.builder.add(noise_operations(self.decoder.shape)[scale]), NORMAL_SHIFT)
        return self.builder.finest(range(FINEST, -1, -1), functools.partial(self.invert, skip, f, z))

    def invert(self, skip: Skip, f: Value, z: Value, shift: int) -> Value:
        """The inverse of a coupling layer, in units of 2^-shift."""
        builder, coupling = self.builder, skip.coupling
        assert coupling is not None
        first, rest = builder.rescale(f, shift), builder.rescale(z, shift)
        limits = integer_range(self.seen[skip.merge][0], shift)
        rest = builder.add(Subtract(rest, self.dense(coupling.eta, first, shift), *limits))
        first = builder.add(Subtract(first, self.dense(coupling.phi, rest, shift), *limits))
        return Value(builder.add(Concat(first, rest)), shift)

    def dense(self, block: DenseBlock, place: int, shift: int) -> int:
        """A dense block whose input and result are in units of 2^-shift."""
        builder = self.builder
        *hidden, last = block.convs
        for conv in hidden:
            made = builder.convolve(conv, place, 2.0**-shift, self.shift_for(conv))
            low, high = self.seen[conv][1]
            active = builder.activate(Function.LEAKY_RELU, made, shift, integer_range((low * SLOPE, high), shift))
            place = builder.add(Concat(place, active))
        return builder.convolve(last, place, 2.0**-shift, shift, integer_range(self.seen[last][1], shift)).place
