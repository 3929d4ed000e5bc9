"""The integer networks of one segment, run on a device: latents in, pixels out.

Every tensor is float32 in ``channels_last`` layout and holds integers; all arithmetic below is exact in float32 because
magnitudes, in units of their last place, stay at or below 2^24 (specification, section 6.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F

from nvcodec.decoding.base_decoder import BaseDecoder
from nvcodec.decoding.kernels import Convolution, exact_arithmetic, resample
from nvcodec.decoding.picture_conversion import PictureConversion
from nvcodec.decoding.strips import BasePictures, Kernel, Key, StripPlan, Strips
from nvcodec.format.arithmetic.bounds import reach, rounded_bias
from nvcodec.format.arithmetic.functions import function_table
from nvcodec.format.arithmetic.interpolation import between, interpolate
from nvcodec.format.arithmetic.noise import noise
from nvcodec.format.arithmetic.step_indices import MULTIPLIERS, SECOND_SHIFTS, T_LIMIT
from nvcodec.format.inference import Tensor, last_uses
from nvcodec.format.limits import AV1_CACHE
from nvcodec.format.operations import (
    Add,
    Below,
    Concat,
    Conv,
    Crop,
    Function,
    Grid,
    Latent,
    Noise,
    Op,
    Picture,
    Resample,
    Shuffle,
    Slice,
    Subtract,
    Table,
    Unshuffle,
)
from nvcodec.format.stream import ConvWeights, Layer, Segment
from nvcodec.samples import sample_dtype


class ExactNetwork:
    """The layers of one segment, ready to decode any of its frames.

    Args:
        segment: the segment, as the reader gives it (its bounds have been proved).
        segment_index: its index in the stream.
        seed: the stream's seed for z.
        device: where to compute.
        layers: number of layers to use, at least 1.
        wanted: the results that :meth:`results` returns, each given as layer and index of the operation.
        cache_bytes: bytes of decoded frames of an AV1 stream that are kept for later.
        bits: of a sample of the pictures.
    """

    def __init__(
        self,
        segment: Segment,
        segment_index: int,
        seed: int,
        device: torch.device,
        layers: int = 1,
        wanted: Sequence[tuple[int, int]] = (),
        cache_bytes: int = AV1_CACHE,
        bits: int = 8,
    ) -> None:
        self.segment = segment
        self.cache_bytes = cache_bytes
        self.segment_index = segment_index
        self.seed = seed
        self.dtype = sample_dtype(bits)
        self.device = device
        self.layers = segment.layers[:layers]
        self.wanted = tuple(wanted)
        self.pictures: dict[Key, BasePictures] = {}
        kept = self._kept()
        self.last_uses = [last_uses(layer.ops, kept[number]) for number, layer in enumerate(self.layers)]
        with exact_arithmetic(device):
            self.kernels = [
                [self._prepare(layer, number, index) for index in range(len(layer.ops))]
                for number, layer in enumerate(self.layers)
            ]
        threads = torch.get_num_threads()
        plan = StripPlan(self.layers, threads) if device.type == "cpu" else None
        self.strips = Strips(plan, self.kernels, self.pictures, self.dtype, threads) if plan and plan.strips else None

    def decode(self, frames: Sequence[int | Fraction]) -> torch.Tensor:
        """Decode pictures.

        Args:
            frames: numbers in the segment, or fractions between two of them (specification, section 8.3).

        Returns:
            Samples [frames, 3, height, width] on the device, uint8, or uint16 where they have 10 bits.
        """
        with exact_arithmetic(self.device):
            if self.strips is not None and len(frames) == 1:
                return self.strips.decode(frames)
            pictures = self._decode(frames)[-1][len(self.layers[-1].ops) - 1]
        return pictures.to(self.dtype)  # outside inference mode, so that the caller gets an ordinary tensor

    def results(self, frames: Sequence[int | Fraction]) -> list[torch.Tensor]:
        """Compute the results ``wanted`` for ``frames``, each int16 [frames, channels, height, width] on the device."""
        with exact_arithmetic(self.device):
            results = self._decode(frames)
        return [results[number][index].to(torch.int16) for number, index in self.wanted]

    def _kept(self) -> list[frozenset[int]]:
        """For each layer, the operations whose results are needed after its end."""
        kept: list[set[int]] = [set() for _ in self.layers]
        for number, index in self.wanted:
            kept[number].add(index)
        for layer in self.layers:
            for op in layer.ops:
                if isinstance(op, Below):
                    kept[op.layer].add(op.op)
        return [frozenset(indices) for indices in kept]

    def _decode(self, frames: Sequence[int | Fraction]) -> list[dict[int, torch.Tensor]]:
        """Evaluate all layers; returns for each the results that are kept, by index of the operation."""
        lower: list[dict[int, torch.Tensor]] = []
        for number, layer in enumerate(self.layers):
            results: dict[int, torch.Tensor] = {}
            for index, op in enumerate(layer.ops):
                if isinstance(op, Below):
                    results[index] = lower[op.layer][op.op]
                else:
                    inputs = [results[source] for source in op.inputs]
                    results[index] = self.kernels[number][index](inputs, frames)
                    del inputs
                for source in {*op.inputs, index}:
                    if self.last_uses[number][source] == index:
                        del results[source]
            lower.append(results)
        return lower

    def _prepare(self, layer: Layer, number: int, index: int) -> Kernel:
        """The kernel of operation ``index`` of layer ``number``."""
        op = layer.ops[index]
        sources = [layer.tensors[source] for source in op.inputs]
        if isinstance(op, Conv):
            return _conv(op, layer.convs[index], sources[0], self.device, self._feeds_table(layer, number, index))
        if isinstance(op, Table):
            return _table(op, sources[0], self.device, self._feeds_table(layer, number, op.input))
        if isinstance(op, Latent):
            latents = layer.latents[index]

            def latent(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
                return self._upload(between(lambda whole: latents[whole], frames))

            return latent
        if isinstance(op, Grid):
            knots, total, shift = layer.latents[index], self.segment.head.frames, op.shift

            def grid(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
                return self._upload(between(lambda whole: interpolate(knots, whole, total, shift), frames))

            return grid
        if isinstance(op, Noise):
            z_op = op

            def z(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
                # A frame between two has no number.
                numbers = [int(frame) if frame == int(frame) else None for frame in frames]
                return self._upload(np.stack([noise(z_op, self.seed, self.segment_index, number, n) for n in numbers]))

            return z
        if isinstance(op, Picture):
            pictures = BasePictures(BaseDecoder(layer.base, op, self.cache_bytes), PictureConversion(op, self.device))
            self.pictures[number, index] = pictures
            height = layer.tensors[index].height

            def picture(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
                return pictures.conversion.rows(pictures.samples(frames), 0, height)

            return picture
        return _plain(op)

    def _upload(self, values: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(values.astype(np.float32)).to(self.device)
        return tensor.contiguous(memory_format=torch.channels_last)

    def _feeds_table(self, layer: Layer, number: int, index: int) -> bool:
        """Whether operation ``index`` is a convolution of at most 12 bits whose only reader is a table.

        If so, it yields the table's indices, and the table overwrites them: apart from the convolutions, passes over
        memory are what decoding costs.
        """
        op = layer.ops[index]
        readers = [other for other, reader in enumerate(layer.ops) if index in reader.inputs]
        return (
            isinstance(op, Conv)
            and _fits_12_bits(op)
            and len(readers) == 1
            and isinstance(layer.ops[readers[0]], Table)
            and self.last_uses[number][index] == readers[0]
        )


def _conv(op: Conv, conv: ConvWeights, source: Tensor, device: torch.device, indices: bool) -> Kernel:
    """The kernel of a convolution; with ``indices`` it yields those of the table that reads it."""
    shifts = conv.first_shifts(op)
    # Dividing weights and bias by 2^s1 beforehand is exact and makes the first shift part of the convolution.
    unit = 2.0**-shifts
    bias = rounded_bias(conv.accumulator_bias(op), shifts)
    weight = torch.from_numpy((conv.weights * unit[:, None, None, None]).astype(np.float32))
    scaled_bias = torch.from_numpy((bias * unit).astype(np.float32))
    convolve = Convolution(weight.to(device), scaled_bias.to(device), source.low, source.high)
    steps = conv.channel_steps(op)
    factors = MULTIPLIERS[steps] * 2.0 ** -SECOND_SHIFTS[steps]
    second = torch.from_numpy(factors.astype(np.float32)).to(device).view(1, -1, 1, 1)
    # One number for all channels is several times as fast as one for each.
    common = float(factors[0]) if (factors == factors[0]).all() else None
    # A t beyond its limit gives a result beyond 12 bits, with or without the limit (128 * 65535 / 2^12 rounds to
    # 2048), so if the result is clamped to 12 bits anyway, that is enough.
    saturates = not _fits_12_bits(op) and bool((reach(conv.weights, bias, source) * unit > T_LIMIT).any())
    # Indices count from op.low. Below 2^12 the sum is exact in units of 2^-12; above, rounding cannot bring it
    # back.
    origin = op.low if indices else 0
    low, high = op.low - origin, op.high - origin
    half = torch.full((), 0.5 - origin, dtype=torch.float32, device=device)

    def kernel(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
        t = convolve(inputs[0]).floor_()
        if saturates:
            t.clamp_(-T_LIMIT, T_LIMIT)
        if common is None:
            torch.addcmul(half, t, second, out=t)
        else:
            torch.add(half, t, alpha=common, out=t)
        # Indices are not negative, so converting them to integers rounds them down.
        return t.clamp_(low, high) if indices else t.floor_().clamp_(low, high)

    return kernel


def _table(op: Table, source: Tensor, device: torch.device, indices: bool) -> Kernel:
    """The kernel of a table; with ``indices`` its input is already an index into it."""
    if op.function == Function.IDENTITY and not indices and op.in_shift >= op.out_shift:
        unit, low, high = 2.0 ** (op.out_shift - op.in_shift), op.low, op.high
        half = torch.full((), 0.5, dtype=torch.float32, device=device)
        # At most 16 bits and 12 of a fraction: exact.
        return lambda inputs, frames: torch.add(half, inputs[0], alpha=unit).floor_().clamp_(low, high)
    entries = function_table(op.function, op.in_shift, op.out_shift, (source.low, source.high), (op.low, op.high))
    table = torch.from_numpy(entries.astype(np.float32)).to(device)
    low = source.low

    def kernel(inputs: list[torch.Tensor], frames: Sequence[int | Fraction]) -> torch.Tensor:
        x = _last(inputs[0] if indices else inputs[0] - low).permute(0, 2, 3, 1)
        flat = x.reshape(-1)
        torch.index_select(table, 0, flat.to(torch.int32), out=flat)
        return flat.view(x.shape).permute(0, 3, 1, 2)

    return kernel


def _fits_12_bits(op: Conv) -> bool:
    return op.low >= -2048 and op.high <= 2047


def _plain(op: Op) -> Kernel:
    """The kernel of an operation that only moves or adds integers."""
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
    assert isinstance(op, Below), op  # its result is taken from the lower layer
    return lambda inputs, frames: inputs[0]


def _last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)
