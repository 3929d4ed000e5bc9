"""The integer networks of one segment, run on a device: latents in, pixels out.

Every tensor is float32 in ``channels_last`` layout and holds integers; each step below is exact in float32 because
its magnitude, in units of its last place, stays at or below 2^24 (specification, section 6.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F

from nvcodec.decoding.kernels import Convolution, exact_arithmetic, resample
from nvcodec.format.arithmetic.bounds import reach, rounded_bias
from nvcodec.format.arithmetic.functions import function_table
from nvcodec.format.arithmetic.interpolation import between, interpolate
from nvcodec.format.arithmetic.noise import noise
from nvcodec.format.arithmetic.step_indices import MULTIPLIERS, SECOND_SHIFTS, T_LIMIT
from nvcodec.format.inference import Tensor, last_uses
from nvcodec.format.operations import (
    Add,
    Below,
    Concat,
    Conv,
    Crop,
    Grid,
    Latent,
    Noise,
    Op,
    Resample,
    Shuffle,
    Slice,
    Subtract,
    Table,
    Unshuffle,
)
from nvcodec.format.stream import ConvWeights, Layer, Segment

Step = Callable[[list[torch.Tensor], Sequence[int | Fraction]], torch.Tensor]


class ExactNetwork:
    """The layers of one segment, ready to decode any of its frames.

    Args:
        segment: the segment, as the reader gives it (its bounds have been proved).
        number: its place in the stream.
        seed: the stream's seed for z.
        device: where to compute.
        layers: how many layers to use, at least 1.
        wanted: results that :meth:`results` is to give, each its layer and the operation's place.
    """

    def __init__(
        self,
        segment: Segment,
        number: int,
        seed: int,
        device: torch.device,
        layers: int = 1,
        wanted: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.segment = segment
        self.number = number
        self.seed = seed
        self.device = device
        self.levels = segment.layers[:layers]
        self.wanted = tuple(wanted)
        kept = self._kept()
        self.last_uses = [last_uses(layer.ops, kept[level]) for level, layer in enumerate(self.levels)]
        with exact_arithmetic(device):
            self.steps = [
                [self._prepare(layer, level, place) for place in range(len(layer.ops))]
                for level, layer in enumerate(self.levels)
            ]

    def decode(self, frames: Sequence[int | Fraction]) -> torch.Tensor:
        """The pictures of ``frames``, numbers in the segment or between two of them (section 8.3): uint8 [frames, 3,
        height, width] on the device."""
        with exact_arithmetic(self.device):
            pictures = self._decode(frames)[-1][len(self.levels[-1].ops) - 1]
        return pictures.to(torch.uint8)  # outside, so that the caller gets an ordinary tensor

    def results(self, frames: Sequence[int | Fraction]) -> list[torch.Tensor]:
        """Those ``wanted`` for ``frames``, int16 [frames, channels, height, width] on the device."""
        with exact_arithmetic(self.device):
            made = self._decode(frames)
        return [made[level][place].to(torch.int16) for level, place in self.wanted]

    def _kept(self) -> list[frozenset[int]]:
        """For each layer, the operations that higher ones read."""
        kept: list[set[int]] = [set() for _ in self.levels]
        for level, place in self.wanted:
            kept[level].add(place)
        for layer in self.levels:
            for op in layer.ops:
                if isinstance(op, Below):
                    kept[op.layer].add(op.op)
        return [frozenset(places) for places in kept]

    def _decode(self, frames: Sequence[int | Fraction]) -> list[dict[int, torch.Tensor]]:
        """The results of each layer that are still needed at its end."""
        below: list[dict[int, torch.Tensor]] = []
        for level, layer in enumerate(self.levels):
            results: dict[int, torch.Tensor] = {}
            for place, op in enumerate(layer.ops):
                if isinstance(op, Below):
                    results[place] = below[op.layer][op.op]
                else:
                    inputs = [results[source] for source in op.inputs]
                    results[place] = self.steps[level][place](inputs, frames)
                    del inputs
                for source in {*op.inputs, place}:
                    if self.last_uses[level][source] == place:
                        del results[source]
            below.append(results)
        return below

    def _prepare(self, layer: Layer, level: int, place: int) -> Step:
        op = layer.ops[place]
        sources = [layer.tensors[source] for source in op.inputs]
        if isinstance(op, Conv):
            return self._conv(op, layer.convs[place], sources[0], self._feeds_table(layer, level, place))
        if isinstance(op, Table):
            return self._table(op, sources[0], self._feeds_table(layer, level, op.input))
        if isinstance(op, Latent):
            latents = layer.latents[place]

            def latent(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
                return self._upload(between(lambda whole: latents[whole], frames))

            return latent
        if isinstance(op, Grid):
            knots, total, shift = layer.latents[place], self.segment.head.frames, op.shift

            def grid(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
                return self._upload(between(lambda whole: interpolate(knots, whole, total, shift), frames))

            return grid
        if isinstance(op, Noise):
            z_op = op

            def z(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
                # A frame between two has no number.
                numbers = [int(frame) if frame == int(frame) else None for frame in frames]
                return self._upload(np.stack([noise(z_op, self.seed, self.number, level, n) for n in numbers]))

            return z
        return _plain(op)

    def _upload(self, values: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(values.astype(np.float32)).to(self.device)
        return tensor.contiguous(memory_format=torch.channels_last)

    def _feeds_table(self, layer: Layer, level: int, place: int) -> bool:
        """Whether operation ``place`` is a convolution of at most 12 bits that one table reads, and nothing else.

        Then it yields the table's indices, and the table overwrites them: passes over memory are what decoding costs
        beside the convolutions.
        """
        op = layer.ops[place]
        readers = [other for other, reader in enumerate(layer.ops) if place in reader.inputs]
        return (
            isinstance(op, Conv)
            and _fits_12_bits(op)
            and len(readers) == 1
            and isinstance(layer.ops[readers[0]], Table)
            and self.last_uses[level][place] == readers[0]
        )

    def _conv(self, op: Conv, conv: ConvWeights, source: Tensor, indices: bool) -> Step:
        shifts = conv.first_shifts(op)
        # Dividing weights and bias by 2^s1 beforehand is exact, and makes the first shift part of the convolution.
        unit = 2.0**-shifts
        bias = rounded_bias(conv.accumulator_bias(op), shifts)
        weight = torch.from_numpy((conv.weights * unit[:, None, None, None]).astype(np.float32))
        scaled_bias = torch.from_numpy((bias * unit).astype(np.float32))
        convolve = Convolution(weight.to(self.device), scaled_bias.to(self.device), source.low, source.high)
        steps = conv.channel_steps(op)
        factors = MULTIPLIERS[steps] * 2.0 ** -SECOND_SHIFTS[steps]
        second = torch.from_numpy(factors.astype(np.float32)).to(self.device).view(1, -1, 1, 1)
        # A t beyond its limit gives a result beyond 12 bits, with or without the limit (128 * 65535 / 2^12 rounds to
        # 2048), so the result's own clamp is enough where there is one to 12 bits.
        saturates = not _fits_12_bits(op) and bool((reach(conv.weights, bias, source) * unit > T_LIMIT).any())
        # Indices count from op.low. Below 2^12 the sum is exact in units of 2^-12; above, rounding cannot bring it
        # back.
        origin = op.low if indices else 0
        low, high = op.low - origin, op.high - origin
        half = torch.full((), 0.5 - origin, dtype=torch.float32, device=self.device)

        def step(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
            t = convolve(inputs[0]).floor_()
            if saturates:
                t.clamp_(-T_LIMIT, T_LIMIT)
            torch.addcmul(half, t, second, out=t)
            # Indices, which are not negative, are rounded down when they become integers.
            return t.clamp_(low, high) if indices else t.floor_().clamp_(low, high)

        return step

    def _table(self, op: Table, source: Tensor, indices: bool) -> Step:
        entries = function_table(op.function, op.in_shift, op.out_shift, (source.low, source.high), (op.low, op.high))
        table = torch.from_numpy(entries.astype(np.float32)).to(self.device)
        low = source.low

        def step(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
            x = _last(inputs[0] if indices else inputs[0] - low).permute(0, 2, 3, 1)
            flat = x.reshape(-1)
            torch.index_select(table, 0, flat.to(torch.int32), out=flat)
            return flat.view(x.shape).permute(0, 3, 1, 2)

        return step


def _fits_12_bits(op: Conv) -> bool:
    return op.low >= -2048 and op.high <= 2047


def _plain(op: Op) -> Step:
    """The operations that only move or add integers."""
    if isinstance(op, Shuffle):
        return lambda inputs, frames: _last(F.pixel_shuffle(inputs[0], op.factor))
    if isinstance(op, Unshuffle):
        return lambda inputs, frames: _last(F.pixel_unshuffle(inputs[0], op.factor))
    if isinstance(op, Add):
        return lambda inputs, frames: (inputs[0] + inputs[1]).clamp_(op.low, op.high)
    if isinstance(op, Subtract):
        return lambda inputs, frames: (inputs[0] - inputs[1]).clamp_(op.low, op.high)
    if isinstance(op, Concat):
        return lambda inputs, frames: _last(torch.cat(inputs, 1))
    if isinstance(op, Slice):
        return lambda inputs, frames: _last(inputs[0][:, op.start : op.start + op.count])
    if isinstance(op, Crop):
        return lambda inputs, frames: _last(inputs[0][:, :, op.top : op.top + op.height, op.left : op.left + op.width])
    if isinstance(op, Resample):
        return lambda inputs, frames: _last(resample(inputs[0], op.height, op.width))
    assert isinstance(op, Below), op  # taken from the layer below, nothing to compute
    return lambda inputs, frames: inputs[0]


def _last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)
