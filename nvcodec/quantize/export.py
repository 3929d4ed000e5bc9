"""The fitted network as integer operations: scales, biases, ranges (specification, section 6).

Units: the embedding's is its step, a pre-activation's 2^-p, an activation's 2^-q, the picture's 1/255.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import torch

from nvcodec.bitstream.ops import Conv as ConvOp
from nvcodec.bitstream.ops import Crop, Function, Latent, Op, Shuffle, Table, Tensor, infer
from nvcodec.errors import NvcodecError
from nvcodec.exact.bounds import LIMIT, reach, rounded_bias
from nvcodec.exact.steps import MAX_STEP, MULTIPLIERS, SECOND_SHIFTS
from nvcodec.model.decoder import Conv, Decoder
from nvcodec.quantize.prepare import EMBEDDING_PEAK, groups
from nvcodec.stream import ConvWeights, Layer

PRE_PEAK = 2047  # pre-activations: 12 bits
HEAD_SHIFT = 8  # the head's unit is 1/256, which HEAD_UNIT makes 1/255 of the picture's range
HEAD_OFFSET = 127.5 / 256
BIAS_PEAK = 2047
BIAS_FRACTION = 4  # a bias unit is at most a quarter of a result's
GELU_MINIMUM = 0.17  # gelu(x) > -0.17 everywhere
GELU_REACH = 6.0  # below -6, gelu is zero at any precision used here
HEADROOM = 1.02  # integers may come out slightly above the float maximum


@torch.no_grad()
def export(decoder: Decoder, embeddings: torch.Tensor) -> Layer:
    """Integers for a decoder that was fitted with quantisation in the loop.

    Args:
        decoder: with its steps set by ``prepare``.
        embeddings: float [frames, C0, h0, w0].

    Returns:
        A layer whose checksums are still zero. Where a clip's activations would break an accumulator's bound they
        get a coarser unit, so every bound holds.

    Raises:
        NvcodecError: no unit is coarse enough, because the fit has diverged.
    """
    assert decoder.embedding_step is not None, "prepare() comes first"
    shape = decoder.shape
    scaled = (embeddings / decoder.embedding_step).round().clamp(-EMBEDDING_PEAK, EMBEDDING_PEAK)
    latent = scaled.cpu().numpy().astype(np.int16)
    peaks = _observe(decoder, embeddings)
    source = Tensor(shape.embedding, *shape.grid, int(latent.min()), int(latent.max()))
    ops: list[Op] = [Latent(source.channels, source.height, source.width, source.low, source.high, kind=0)]
    convs: dict[int, ConvWeights] = {}
    unit = decoder.embedding_step
    pairs = list(zip(decoder.convs, groups(decoder), strict=True))
    made = _convolve(*pairs[0], unit, _shift_for(peaks[0]), source)
    for place, peak in enumerate(peaks):
        assert made is not None, "an embedding of 8 bits keeps every bound"
        pre_shift = made.shift
        convs[len(ops)] = made.integers
        ops.append(dataclasses.replace(made.op, input=len(ops) - 1))
        head = place == len(peaks) - 1
        next_shift = HEAD_SHIFT if head else _shift_for(peaks[place + 1])
        # The finest unit with which the next convolution stays within its bound, but none finer than its input's.
        for out_shift in range(pre_shift, -1, -1):
            low = -math.ceil(GELU_MINIMUM * 2**out_shift)
            high = math.ceil(max(peak[1], 0) * 2**out_shift * HEADROOM) + 1
            source = Tensor(1, 1, 1, low, min(high, PRE_PEAK))
            made = _convolve(*pairs[place + 1], 2.0**-out_shift, next_shift, source, head)
            if made is not None:
                break
        else:
            raise NvcodecError(f"the activations of block {place} reach {peak[1]:.3g}: the fit has diverged")
        ops.append(Table(len(ops) - 1, Function.GELU, pre_shift, out_shift, source.low, source.high))
        if place:
            ops.append(Shuffle(len(ops) - 1, shape.strides[place - 1]))
    assert made is not None
    convs[len(ops)] = made.integers
    ops.append(dataclasses.replace(made.op, input=len(ops) - 1))
    if shape.coded != (shape.height, shape.width):
        ops.append(Crop(len(ops) - 1, 0, 0, shape.height, shape.width))
    tensors = infer(ops, {}, (shape.height, shape.width))
    return Layer(tuple(ops), tensors, convs, {0: latent}, 1, np.zeros(len(latent), np.uint32))


@dataclasses.dataclass(frozen=True)
class _Made:
    op: ConvOp
    integers: ConvWeights
    shift: int


def _convolve(conv: Conv, group: int, unit: float, shift: int, source: Tensor, head: bool = False) -> _Made | None:
    """One convolution in integers, None where its bound does not hold.

    Args:
        conv: with its step set.
        group: channels that share a step.
        unit: what 1 stands for in the input.
        shift: the result's unit is to be 2^-shift; a coarser one is taken where no step index is coarse enough.
        source: the input's range.
        head: whether the result is the picture.
    """
    assert conv.step is not None and conv.bias is not None
    weights = conv.integers().cpu().numpy().astype(np.int32)
    bias = conv.bias.double().cpu().numpy() + (HEAD_OFFSET if head else 0.0)
    # A weight step times the input's unit is m * 2^-e by construction, so the nearest index is exact.
    scale = conv.step.double().flatten().cpu().numpy() * unit
    while (steps := _indices(scale * 2.0**shift)).min() < 0:
        if head:  # its unit is the picture's
            return None
        shift -= 1
    t_units = 2.0 ** SECOND_SHIFTS[steps] / MULTIPLIERS[steps]  # of t in a unit of the result
    bias_in_t = bias * 2.0**shift * t_units
    bias_shift = max(0, math.floor(math.log2(t_units.min() / BIAS_FRACTION)))
    while np.abs(np.round(bias_in_t / 2**bias_shift)).max() > BIAS_PEAK:
        bias_shift += 1
    biases = np.round(bias_in_t / 2**bias_shift).astype(np.int32)
    low, high = (0, 255) if head else (-PRE_PEAK - 1, PRE_PEAK)
    if steps.max() > MAX_STEP or bias_shift > 12:
        return None
    op = ConvOp(0, len(weights), weights.shape[2], weights.shape[3], group, bias_shift, low, high)
    integers = ConvWeights(weights, biases, steps[::group].astype(np.int32))
    bound = reach(weights, rounded_bias(integers.accumulator_bias(op), integers.first_shifts(op)), source)
    return _Made(op, integers, shift) if bound.max() < LIMIT else None


def _indices(wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The step index whose factor is nearest to each of ``wanted``; it may lie outside what a stream can say."""
    whole = np.floor(np.log2(wanted / 128))
    eighths = np.abs(MULTIPLIERS[:8] - wanted[:, None] * 2.0 ** -whole[:, None]).argmin(1)
    return (-6 - whole.astype(np.int64)) * 8 + eighths


def _shift_for(peak: tuple[float, float]) -> int:
    """The finest unit 2^-p in which pre-activations from ``peak[0]`` to ``peak[1]`` fit 12 bits."""
    far = max(peak[1], min(-peak[0], GELU_REACH), 2.0**-4)
    return max(0, min(12, math.floor(math.log2(PRE_PEAK / (far * HEADROOM)))))


def _observe(decoder: Decoder, embeddings: torch.Tensor) -> list[tuple[float, float]]:
    """The least and greatest pre-activation of each convolution but the head, over the whole clip."""
    hidden = decoder.convs[:-1]
    seen = [[0.0, 0.0] for _ in hidden]

    def watch(place: int) -> torch.utils.hooks.RemovableHandle:
        def hook(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
            low, high = torch.aminmax(output)
            seen[place] = [min(seen[place][0], float(low)), max(seen[place][1], float(high))]

        return hidden[place].register_forward_hook(hook)

    handles = [watch(place) for place in range(len(hidden))]
    try:
        for frame in range(len(embeddings)):
            decoder(embeddings[frame : frame + 1].contiguous(memory_format=torch.channels_last))
    finally:
        for handle in handles:
            handle.remove()
    return [(low, high) for low, high in seen]
