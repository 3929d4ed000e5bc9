"""The closed set of integer operations a network is a list of (specification, section 6).

An operation yields one tensor of integers, channels x height x width for each frame, and is named by its place in
the list. Operations refer only to earlier ones, so every list is acyclic. :func:`infer` gives each result's shape
and range, and refuses a list that breaks a rule, before any memory is taken.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from nvcodec.bitstream.fields import Cursor, Record, i16, u8, u16
from nvcodec.errors import CorruptStreamError, UnsupportedVersionError

MAX_OPS = 1024
MAX_TENSOR = 2**29  # elements of one tensor of one frame
MAX_LIVE = 2**30  # elements alive at once for one frame
MAX_MULTIPLICATIONS = 2**42  # a frame
MAX_WEIGHTS = 2**25  # a network
CONV_LIMIT = 4095  # |value| a convolution may be asked to yield
NOISE_PEAK = 235  # the largest |entry| of the normal table


class Function(enum.IntEnum):
    """The functions a TABLE operation may apply."""

    IDENTITY = 0
    LEAKY_RELU = 1
    GELU = 2


class LatentKind(enum.IntEnum):
    """What a LATENT operation carries; the arithmetic is the same, ``info`` tells them apart."""

    EMBEDDING = 0
    SKIP_FEATURE = 1


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What is known of an operation's result before decoding: its shape and the range of its values."""

    channels: int
    height: int
    width: int
    low: int
    high: int

    @property
    def elements(self) -> int:
        """Integers a frame."""
        return self.channels * self.height * self.width


@dataclasses.dataclass(frozen=True)
class Op(Record):
    """Base of all operations."""

    CODE: ClassVar[int]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Places of the operations this one reads."""
        return ()


@dataclasses.dataclass(frozen=True)
class Latent(Op):
    """Per-frame integers transmitted in LATENTS units: the embedding E or a skip feature f."""

    CODE, NAME = 1, "LATENT"
    channels: int = u16(1)
    height: int = u16(1)
    width: int = u16(1)
    low: int = i16(-128, 127)
    high: int = i16(-128, 127)
    kind: int = u8(0, 1)

    def transmitted(self, frames: int) -> int:
        """Tensors transmitted for a segment of ``frames`` frames."""
        return frames


@dataclasses.dataclass(frozen=True)
class Grid(Op):
    """Integers transmitted in LATENTS units for ``knots`` times, evenly spread over the segment, and interpolated
    between them in units of 2^-shift."""

    CODE, NAME = 14, "GRID"
    channels: int = u16(1)
    height: int = u16(1)
    width: int = u16(1)
    low: int = i16(-128, 127)
    high: int = i16(-128, 127)
    knots: int = u16(1)
    shift: int = u8(0, 8)

    def transmitted(self, frames: int) -> int:
        """Tensors transmitted for a segment of ``frames`` frames.

        Raises:
            CorruptStreamError: fewer frames than knots.
        """
        if self.knots > frames:
            raise CorruptStreamError(f"a GRID has {self.knots} knots for {frames} frames")
        return self.knots


Transmitted = Latent | Grid


@dataclasses.dataclass(frozen=True)
class Noise(Op):
    """z: integers close to a normal distribution from the counter-based generator, times ``gain``/256."""

    CODE, NAME = 2, "NOISE"
    channels: int = u16(1)
    height: int = u16(1)
    width: int = u16(1)
    scale: int = u8()
    gain: int = u16(0, 4096)
    per_frame: int = u8(0, 1)


@dataclasses.dataclass(frozen=True)
class Conv(Op):
    """A convolution, stride 1, zeros around, as many pixels out as in, then re-quantisation."""

    CODE, NAME = 3, "CONV"
    input: int = u16()
    channels: int = u16(1)
    kernel_height: int = u8(1, 15)
    kernel_width: int = u8(1, 15)
    group: int = u8(1)
    bias_shift: int = u8(0, 12)
    low: int = i16(-CONV_LIMIT, CONV_LIMIT)
    high: int = i16(-CONV_LIMIT, CONV_LIMIT)

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)

    @property
    def steps(self) -> int:
        """Step indices stored: one for ``group`` consecutive channels."""
        return -(-self.channels // self.group)

    def weights(self, channels_in: int) -> int:
        """Weights stored."""
        return math.prod(weight_shape(self, channels_in))


@dataclasses.dataclass(frozen=True)
class Shuffle(Op):
    """Pixel shuffle: channels/factor^2, sides times factor."""

    CODE, NAME = 4, "SHUFFLE"
    input: int = u16()
    factor: int = u8(2, 16)

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)


@dataclasses.dataclass(frozen=True)
class Unshuffle(Op):
    """The inverse of SHUFFLE."""

    CODE, NAME = 5, "UNSHUFFLE"
    input: int = u16()
    factor: int = u8(2, 16)

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)


@dataclasses.dataclass(frozen=True)
class Table(Op):
    """A function by table: input in units of 2^-in_shift, output in units of 2^-out_shift, clamped."""

    CODE, NAME = 6, "TABLE"
    input: int = u16()
    function: int = u8(0, 2)
    in_shift: int = u8(0, 12)
    out_shift: int = u8(0, 16)
    low: int = i16()
    high: int = i16()

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)


@dataclasses.dataclass(frozen=True)
class Add(Op):
    """The sum of two tensors of one shape, clamped."""

    CODE, NAME = 7, "ADD"
    first: int = u16()
    second: int = u16()
    low: int = i16()
    high: int = i16()

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.first, self.second)


@dataclasses.dataclass(frozen=True)
class Subtract(Op):
    """``first`` minus ``second``, clamped."""

    CODE, NAME = 8, "SUBTRACT"
    first: int = u16()
    second: int = u16()
    low: int = i16()
    high: int = i16()

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.first, self.second)


@dataclasses.dataclass(frozen=True)
class Concat(Op):
    """Two tensors of one height and width, channels one after the other."""

    CODE, NAME = 9, "CONCAT"
    first: int = u16()
    second: int = u16()

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.first, self.second)


@dataclasses.dataclass(frozen=True)
class Slice(Op):
    """``count`` channels from ``start`` on: what a split takes apart, one operation a part."""

    CODE, NAME = 10, "SLICE"
    input: int = u16()
    start: int = u16()
    count: int = u16(1)

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)


@dataclasses.dataclass(frozen=True)
class Resample(Op):
    """Nearest neighbour to another height and width."""

    CODE, NAME = 11, "RESAMPLE"
    input: int = u16()
    height: int = u16(1)
    width: int = u16(1)

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)


@dataclasses.dataclass(frozen=True)
class Crop(Op):
    """A rectangle of the input."""

    CODE, NAME = 12, "CROP"
    input: int = u16()
    top: int = u16()
    left: int = u16()
    height: int = u16(1)
    width: int = u16(1)

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.input,)


@dataclasses.dataclass(frozen=True)
class Below(Op):
    """The result of operation ``op`` of a lower layer of the same segment."""

    CODE, NAME = 13, "BELOW"
    layer: int = u8()
    op: int = u16()


OPS: dict[int, type[Op]] = {
    kind.CODE: kind
    for kind in (
        Latent,
        Noise,
        Conv,
        Shuffle,
        Unshuffle,
        Table,
        Add,
        Subtract,
        Concat,
        Slice,
        Resample,
        Crop,
        Below,
        Grid,
    )
}


def pack_ops(ops: Sequence[Op]) -> bytes:
    """The payload of a NETWORK unit."""
    count = len(ops).to_bytes(2, "little")
    return count + b"".join(bytes([op.CODE]) + op.pack() for op in ops)


def unpack_ops(cursor: Cursor) -> tuple[Op, ...]:
    """Read a NETWORK unit's payload.

    Raises:
        CorruptStreamError: a field is out of its range or the bytes end early.
        UnsupportedVersionError: an operation this version does not know.
    """
    count = cursor.integer("H")
    if not 1 <= count <= MAX_OPS:
        raise CorruptStreamError(f"a network has {count} operations; 1 to {MAX_OPS} may stand")
    ops = []
    for _ in range(count):
        code = cursor.integer("B")
        if code not in OPS:
            raise UnsupportedVersionError(f"operation {code} is not known to this version")
        ops.append(OPS[code].unpack(cursor))
    cursor.end()
    return tuple(ops)


def infer(ops: Sequence[Op], below: Mapping[int, Sequence[Tensor]], picture: tuple[int, int]) -> tuple[Tensor, ...]:
    """Shape and range of every operation's result.

    Args:
        ops: the list.
        below: the inferred results of the lower layers of the segment, by layer.
        picture: height and width the last operation must yield, with 3 channels in 0 to 255.

    Raises:
        CorruptStreamError: a rule of the specification is broken or a limit exceeded.
    """
    results: list[Tensor] = []
    for place, op in enumerate(ops):
        results.append(infer_one(op, place, results, below))
    last = results[-1]
    if (last.channels, last.height, last.width) != (3, *picture) or last.low < 0 or last.high > 255:
        raise CorruptStreamError(
            f"the network yields {last.channels}x{last.height}x{last.width} in {last.low} to {last.high}; "
            f"expected 3x{picture[0]}x{picture[1]} in 0 to 255"
        )
    cost = measure(ops, results)
    for name, value, limit in (
        ("multiplications a frame", cost.multiplications, MAX_MULTIPLICATIONS),
        ("elements alive at once", cost.live, MAX_LIVE),
        ("weights", cost.weights, MAX_WEIGHTS),
    ):
        if value > limit:
            raise CorruptStreamError(f"the network needs {value} {name}; at most {limit} may stand")
    return tuple(results)


def infer_one(op: Op, place: int, results: Sequence[Tensor], below: Mapping[int, Sequence[Tensor]]) -> Tensor:
    """The result of the operation that stands at ``place``, given those of all before it; raises as :func:`infer`."""
    where = f"operation {place} ({op.NAME})"
    if any(source >= place for source in op.inputs):
        raise CorruptStreamError(f"{where} reads an operation that does not come before it")
    try:
        result = _RULES[type(op)](op, [results[source] for source in op.inputs], below)
    except _BrokenRule as error:
        raise CorruptStreamError(f"{where}: {error}") from None
    if result.low > result.high:
        raise CorruptStreamError(f"{where} has the empty range {result.low} to {result.high}")
    if result.elements > MAX_TENSOR:
        raise CorruptStreamError(f"{where} has {result.elements} elements; at most {MAX_TENSOR} may stand")
    return result


class _BrokenRule(Exception):
    pass


def _conv(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Conv)
    if op.kernel_height % 2 == 0 or op.kernel_width % 2 == 0:
        raise _BrokenRule("kernel sides must be odd")
    return Tensor(op.channels, inputs[0].height, inputs[0].width, op.low, op.high)


def _shuffle(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Shuffle)
    source = inputs[0]
    if source.channels % op.factor**2:
        raise _BrokenRule(f"{source.channels} channels do not divide by {op.factor}^2")
    return Tensor(
        source.channels // op.factor**2,
        source.height * op.factor,
        source.width * op.factor,
        source.low,
        source.high,
    )


def _unshuffle(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Unshuffle)
    source = inputs[0]
    if source.height % op.factor or source.width % op.factor:
        raise _BrokenRule(f"{source.height}x{source.width} does not divide by {op.factor}")
    return Tensor(
        source.channels * op.factor**2,
        source.height // op.factor,
        source.width // op.factor,
        source.low,
        source.high,
    )


def _sum(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, (Add, Subtract))
    a, b = inputs
    if (a.channels, a.height, a.width) != (b.channels, b.height, b.width):
        raise _BrokenRule("the two inputs differ in shape")
    return dataclasses.replace(a, low=op.low, high=op.high)


def _concat(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    a, b = inputs
    if (a.height, a.width) != (b.height, b.width):
        raise _BrokenRule("the two inputs differ in height or width")
    return Tensor(a.channels + b.channels, a.height, a.width, min(a.low, b.low), max(a.high, b.high))


def _slice(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Slice)
    if op.start + op.count > inputs[0].channels:
        raise _BrokenRule(f"channels {op.start} to {op.start + op.count} of {inputs[0].channels}")
    return dataclasses.replace(inputs[0], channels=op.count)


def _crop(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Crop)
    if op.top + op.height > inputs[0].height or op.left + op.width > inputs[0].width:
        raise _BrokenRule("the rectangle leaves its input")
    return dataclasses.replace(inputs[0], height=op.height, width=op.width)


def _below(op: Op, inputs: list[Tensor], below: Mapping[int, Sequence[Tensor]]) -> Tensor:
    assert isinstance(op, Below)
    if op.layer not in below or op.op >= len(below[op.layer]):
        raise _BrokenRule(f"there is no operation {op.op} in a lower layer {op.layer}")
    return below[op.layer][op.op]


def _noise(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Noise)
    peak = (NOISE_PEAK * op.gain + 128) >> 8
    return Tensor(op.channels, op.height, op.width, -peak, peak)


def _grid(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Grid)
    return Tensor(op.channels, op.height, op.width, op.low << op.shift, op.high << op.shift)


_RULES: dict[type[Op], Callable[[Op, list[Tensor], Mapping[int, Sequence[Tensor]]], Tensor]] = {
    Latent: lambda op, inputs, below: Tensor(op.channels, op.height, op.width, op.low, op.high),  # type: ignore[attr-defined]
    Noise: _noise,
    Conv: _conv,
    Shuffle: _shuffle,
    Unshuffle: _unshuffle,
    Table: lambda op, inputs, below: dataclasses.replace(inputs[0], low=op.low, high=op.high),  # type: ignore[attr-defined]
    Add: _sum,
    Subtract: _sum,
    Concat: _concat,
    Slice: _slice,
    Resample: lambda op, inputs, below: dataclasses.replace(inputs[0], height=op.height, width=op.width),  # type: ignore[attr-defined]
    Crop: _crop,
    Below: _below,
    Grid: _grid,
}


def beside_trunk(ops: Sequence[Op]) -> frozenset[int]:
    """The operations of a skip connection: those that neither an embedding, a grid nor a lower layer flows into."""
    trunk: set[int] = set()
    for place, op in enumerate(ops):
        source = isinstance(op, (Below, Grid)) or (isinstance(op, Latent) and op.kind == LatentKind.EMBEDDING)
        if source or trunk.intersection(op.inputs):
            trunk.add(place)
    return frozenset(range(len(ops))) - trunk


@dataclasses.dataclass(frozen=True)
class Cost:
    """What decoding one frame takes."""

    multiplications: int
    live: int
    weights: int


def last_uses(ops: Sequence[Op], kept: frozenset[int] = frozenset()) -> list[int]:
    """For each operation the place of the last one that reads it; ``len(ops)`` for the output and for ``kept``."""
    last = list(range(len(ops)))
    for place, op in enumerate(ops):
        for source in op.inputs:
            last[source] = place
    for place in {len(ops) - 1, *kept}:
        last[place] = len(ops)
    return last


def measure(ops: Sequence[Op], results: Sequence[Tensor], kept: frozenset[int] = frozenset()) -> Cost:
    """The cost of decoding one frame with a list.

    Args:
        ops: the list.
        results: of each operation.
        kept: places whose results a higher layer reads.
    """
    multiplications = weights = live = peak = 0
    last = last_uses(ops, kept)
    ends: dict[int, list[int]] = {}
    for place, use in enumerate(last):
        ends.setdefault(use, []).append(place)
    for place, (op, result) in enumerate(zip(ops, results, strict=True)):
        live += result.elements
        if isinstance(op, Conv):
            size = op.weights(results[op.input].channels)
            weights += size
            multiplications += size * result.height * result.width
        peak = max(peak, live)
        live -= sum(results[done].elements for done in ends.get(place, []))
    return Cost(multiplications, peak, weights)


def weight_shape(op: Conv, channels_in: int) -> tuple[int, int, int, int]:
    """Out channels, in channels, kernel height, kernel width."""
    return (op.channels, channels_in, op.kernel_height, op.kernel_width)
