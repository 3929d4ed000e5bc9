"""The closed set of integer operations a network is a list of (specification, section 6).

An operation yields one tensor of integers, channels x height x width for each frame, and is named by its place in
the list. Operations refer only to earlier ones, so every list is acyclic. :func:`infer` gives each result's shape
and range, and refuses a list that breaks a rule, before any memory is taken.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import ClassVar

from nvcodec.errors import CorruptStreamError, UnsupportedVersionError
from nvcodec.format.fields import Cursor, Record, i16, u8, u16

MAX_OPS = 1024
CONV_LIMIT = 4095  # |value| a convolution may be asked to yield


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


def beside_trunk(ops: Sequence[Op]) -> frozenset[int]:
    """The operations of a skip connection: those that neither an embedding, a grid nor a lower layer flows into."""
    trunk: set[int] = set()
    for place, op in enumerate(ops):
        source = isinstance(op, (Below, Grid)) or (isinstance(op, Latent) and op.kind == LatentKind.EMBEDDING)
        if source or trunk.intersection(op.inputs):
            trunk.add(place)
    return frozenset(range(len(ops))) - trunk


def weight_shape(op: Conv, channels_in: int) -> tuple[int, int, int, int]:
    """Out channels, in channels, kernel height, kernel width."""
    return (op.channels, channels_in, op.kernel_height, op.kernel_width)
