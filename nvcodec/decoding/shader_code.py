"""The operations of the specification as GLSL: the function of one pass of a user shader.

Every statement is ``type name = expression;``. A value is a ``vec4`` of integers, four channels of a tensor at the
pixel that the pass computes. All of it is float32 below 2^24, and every factor that stands for a shift is a power of
two, so that nothing is rounded but by ``floor``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nvcodec.format.arithmetic.color import FRACTION_BITS, conversion_of
from nvcodec.format.arithmetic.step_indices import FIRST_SHIFTS, MULTIPLIERS, SECOND_SHIFTS, T_LIMIT
from nvcodec.format.inference import Tensor
from nvcodec.format.operations import Add, Conv, Crop, Op, Picture, Subtract, Table
from nvcodec.format.stream import ConvWeights

Ref = tuple[int, int]  # an operation: its layer, its index

LANES = 4  # channels of a texture
CENTRED, LEFT = 0, 1  # values of `siting`


@dataclasses.dataclass(frozen=True)
class Node:
    """An operation, its result, what it reads, and the integers of a CONV."""

    op: Op
    tensor: Tensor
    inputs: tuple[Ref, ...]
    weights: ConvWeights | None


def groups_of(tensor: Tensor) -> int:
    """Return how many textures hold a tensor."""
    return -(-tensor.channels // LANES)


def texture_name(ref: Ref, group: int) -> str:
    """Return the name of the texture with four channels of an operation's result."""
    return f"NV{ref[0]}_{ref[1]}_{group}"


def texture_scale(tensor: Tensor) -> float:
    """Return by what a texture's values, within +-1, are multiplied to be a tensor's integers.

    A power of two, so that a half float keeps 11 bits, and 16 bits of a fixed-point texture are enough as well.
    """
    return 2.0 ** math.ceil(math.log2(max(-tensor.low, tensor.high, 1)))


class PassCode:
    """The code of one pass, in which ``p`` is the centre of the pixel to compute, counted in the result's pixels.

    Args:
        nodes: the operations.
        stored: those whose results are textures.
        masked: whether convolutions must see zeros beyond their inputs; textures repeat their edges there.

    Attributes:
        lines: statements so far.
        textures: names of the textures that they read.
    """

    def __init__(self, nodes: Mapping[Ref, Node], stored: frozenset[Ref], masked: bool) -> None:
        self.nodes, self.stored, self.masked = nodes, stored, masked
        self.lines: list[str] = []
        self.textures = ["HOOKED"]

    def define(self, ref: Ref, group: int, down: int = 0, right: int = 0) -> str:
        """Append what computes four channels of a result; returns the variable that has them.

        Args:
            ref: the operation.
            group: which four channels.
            down, right: of which pixel, from ``p``.
        """
        node = self.nodes[ref]
        op = node.op
        if isinstance(op, Picture):
            return self._picture(op)
        if isinstance(op, Conv):
            return self._conv(op, node, group, down, right)
        if isinstance(op, Crop):
            return self._read(node.inputs[0], group, down + op.top, right + op.left)
        values = [self._read(source, group, down, right) for source in node.inputs]
        if isinstance(op, Table):
            scaled = f"floor({values[0]} * {2.0 ** (op.out_shift - op.in_shift)} + 0.5)"
            return self._clamped(scaled, op.low, op.high)
        assert isinstance(op, (Add, Subtract))
        return self._clamped(f"{values[0]} {'+' if isinstance(op, Add) else '-'} {values[1]}", op.low, op.high)

    def _read(self, ref: Ref, group: int, down: int, right: int) -> str:
        """Return four channels of a result: from its texture, or computed here."""
        if ref not in self.stored:
            return self.define(ref, group, down, right)
        scale = texture_scale(self.nodes[ref].tensor)
        # Rounded, because the filters of GPUs add a little of the neighbours, and a TABLE may round a tie.
        return self._new("vec4", f"floor({self._texel(ref, group, down, right)} * {scale} + 0.5)")

    def _conv(self, op: Conv, node: Node, group: int, down: int, right: int) -> str:
        """Append a convolution (specification, section 6.3)."""
        assert node.weights is not None
        source = node.inputs[0]
        channels_in = self.nodes[source].tensor.channels
        blocks = _padded(node.weights.weights, channels_in, group)
        total = "vec4(0.0)"
        for row in range(op.kernel_height):
            for column in range(op.kernel_width):
                y, x = down + row - op.kernel_height // 2, right + column - op.kernel_width // 2
                terms = [
                    f"{_matrix(block[:, :, row, column])} * {self._texel(source, number, y, x)}"
                    for number, block in enumerate(blocks)
                    if block[:, :, row, column].any()
                ]
                if terms and self.masked:
                    terms = [f"({' + '.join(terms)}) * {self._inside(source, y, x)}"]
                for term in terms:
                    total = self._new("vec4", f"{total} + {term}")
        steps = node.weights.channel_steps(op)
        first, second = FIRST_SHIFTS[steps], SECOND_SHIFTS[steps]
        half = np.where(first > 0, 1 << np.maximum(first, 1) - 1, 0)
        # 0.5 changes no floor of integers, and rounds what the filters of GPUs add of the neighbours.
        start = _vector(node.weights.accumulator_bias(op) + half + 0.5, group)
        accumulated = self._new("vec4", f"{total} * {texture_scale(self.nodes[source].tensor)} + {start}")
        shifted = self._new("vec4", f"floor({accumulated} * {_vector(2.0**-first, group)})")
        limited = self._clamped(shifted, -T_LIMIT, T_LIMIT)
        scaled = f"floor({limited} * {_vector(MULTIPLIERS[steps] * 2.0**-second, group)} + 0.5)"
        return self._clamped(scaled, op.low, op.high)

    def _picture(self, op: Picture) -> str:
        """Append the conversion of luma and chroma (specification, section 6.9)."""
        factors = conversion_of(op)
        # Players scale 10 bits differently, and luma's factor tells how: a texture of 16 bits has samples or 64 times
        # them, so the factor is nearly 64 or 1. Where chroma has been copied, its own factor is lost.
        peak = "255.0" if op.depth == 8 else f"exp2(floor(log2(LUMA_mul) + 0.5)) / LUMA_mul * {65535 / 64}"
        self._bind("LUMA")
        scale = self._new("float", peak)
        size = f"vec2({op.width - 1}.0, {op.height - 1}.0)"
        q = self._new("vec2", f"clamp(p - {op.margin + 0.5}, vec2(0.0), {size})")
        luma = self._new("float", f"floor(LUMA_tex(({q} + 0.5) * LUMA_pt).x * {scale} + 0.5)")
        grey = self._new("float", f"({luma} - {factors.black}.0) * {factors.luma}.0 + {2 ** (FRACTION_BITS - 1)}.0")
        red = green = blue = grey
        if op.chroma:
            uv = self._chroma(op, q, scale)
            red = f"{grey} + {factors.red_v}.0 * {uv}.y"
            green = f"{grey} - {factors.green_u}.0 * {uv}.x - {factors.green_v}.0 * {uv}.y"
            blue = f"{grey} + {factors.blue_u}.0 * {uv}.x"
        return self._new("vec4", f"floor(vec4({red}, {green}, {blue}, 0.0) * {2.0**-FRACTION_BITS})")

    def _chroma(self, op: Picture, q: str, scale: str) -> str:
        """Append u and v at the luma sample ``q``."""
        factors = conversion_of(op)
        self._bind("CHROMA")
        last = f"vec2({-(-op.width // 2) - 1}.0, {-(-op.height // 2) - 1}.0)"
        near = self._new("vec2", f"floor({q} * 0.5)")
        odd = self._new("vec2", f"{q} - 2.0 * {near}")
        across, along = op.siting == CENTRED, op.siting in (CENTRED, LEFT)  # centred horizontally, vertically
        centred = f"vec2({float(across)}, {float(along)})"
        # Centred: 3 parts of the nearest sample, 1 of the next one on that side. Co-sited: 4 of it, or 2 and 2.
        weight = self._new("vec2", f"{centred} + (1.0 - {centred}) * 2.0 * {odd}")
        beside = self._new("vec2", f"clamp({near} + {odd} * (1.0 + {centred}) - {centred}, vec2(0.0), {last})")
        total = "vec2(0.0)"
        for x, wx in ((near, f"(4.0 - {weight}.x)"), (beside, f"{weight}.x")):
            for y, wy in ((near, f"(4.0 - {weight}.y)"), (beside, f"{weight}.y")):
                sample = f"CHROMA_tex((vec2({x}.x, {y}.y) + 0.5) * CHROMA_pt).xy"
                total = self._new("vec2", f"{total} + {wx} * {wy} * floor({sample} * {scale} + 0.5)")
        offset = factors.chroma_offset - (1 << factors.chroma_shift >> 1)
        return self._new("vec2", f"floor(({total} - {offset}.0) * {2.0**-factors.chroma_shift})")

    def _texel(self, ref: Ref, group: int, down: int, right: int) -> str:
        """Return what a texture has beside ``p``."""
        name = texture_name(ref, group)
        self._bind(name)
        return f"{name}_tex((p + vec2({right}.0, {down}.0)) * {name}_pt)"

    def _inside(self, ref: Ref, down: int, right: int) -> str:
        """Return 1 where the pixel beside ``p`` is one of a result, else 0."""
        tensor = self.nodes[ref].tensor
        q = self._new("vec2", f"p + vec2({right}.0, {down}.0)")
        inside = self._new("vec2", f"step(vec2(0.0), {q}) * step({q}, vec2({tensor.width}.0, {tensor.height}.0))")
        return f"({inside}.x * {inside}.y)"

    def _clamped(self, value: str, low: int, high: int) -> str:
        return self._new("vec4", f"clamp({value}, {low}.0, {high}.0)")

    def _new(self, kind: str, value: str) -> str:
        """Append a new variable."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{kind} {name} = {value};")
        return name

    def _bind(self, texture: str) -> None:
        if texture not in self.textures:
            self.textures.append(texture)


def _padded(weights: npt.NDArray[np.int32], channels_in: int, group: int) -> list[npt.NDArray[np.int32]]:
    """Return the weights of four output channels by four input channels, [4, 4, height, width] each."""
    own = weights[LANES * group : LANES * (group + 1)]
    groups = -(-channels_in // LANES)
    whole = np.zeros((LANES, LANES * groups, *weights.shape[2:]), np.int32)
    whole[: own.shape[0], :channels_in] = own
    return np.split(whole, groups, axis=1)


def _matrix(weights: npt.NDArray[np.int32]) -> str:
    """Return a matrix, output by input channels, as GLSL, which has column after column."""
    return f"mat4({', '.join(map(str, weights.T.flatten().tolist()))})"


def _vector(values: Sequence[float] | npt.NDArray[np.generic], group: int) -> str:
    """Return the values of four channels, 0 beyond the last one."""
    own = [float(value) for value in values[LANES * group : LANES * (group + 1)]]
    return f"vec4({', '.join(map(repr, own + [0.0] * (LANES - len(own))))})"
