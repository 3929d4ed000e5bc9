"""The closed set of integer operations a network is a list of (specification, section 6).

An operation yields one integer tensor, channels x height x width, per frame, and is identified by its index in the
list. Operations refer only to earlier ones, so every list is acyclic.

The set is closed, so what differs from one operation to the next is written as a ladder where it is used.
``docs/adding-an-operation.md`` lists all these places.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import ClassVar

from nvcodec.errors import CorruptStreamError, UnsupportedVersionError
from nvcodec.format.fields import Cursor, Record, i16, pack_integer, ref, u8, u16

MAX_OPS = 1024
MAX_REUSED_OPS = 2**16  # of all networks of a stream that are taken from earlier segments
CONV_LIMIT = 4095  # largest |low| and |high| of a CONV
WEIGHT_PEAK = 127  # largest |weight| of a CONV
BIAS_PEAK = 2047  # largest |bias| of a CONV, before its shift


class Function(enum.IntEnum):
    """Functions of a TABLE operation."""

    IDENTITY = 0
    LEAKY_RELU = 1
    GELU = 2


class LatentKind(enum.IntEnum):
    """Kinds of LATENT. Only ``info`` distinguishes them; the arithmetic is the same."""

    EMBEDDING = 0
    SKIP_FEATURE = 1


@dataclasses.dataclass(frozen=True)
class Op(Record):
    """Base of all operations."""

    CODE: ClassVar[int]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Indices of the operations this one reads, in the order of its fields."""
        return tuple(getattr(self, name) for name in _REFERENCES[type(self)])


@dataclasses.dataclass(frozen=True)
class Transmitted(Op):
    """Base of the operations whose tensors are transmitted in LATENTS units."""

    channels: int = u16(1)
    height: int = u16(1)
    width: int = u16(1)
    low: int = i16(-128, 127)
    high: int = i16(-128, 127)

    @property
    def elements(self) -> int:
        """Integers of one tensor."""
        return self.channels * self.height * self.width

    def transmitted(self, frames: int) -> int:
        """Number of tensors transmitted for a segment of ``frames`` frames."""
        return frames

    def transmitted_values(self, frames: int) -> int:
        """Number of integers transmitted for a segment of ``frames`` frames; raises as :meth:`transmitted`."""
        return self.transmitted(frames) * self.elements


@dataclasses.dataclass(frozen=True)
class Latent(Transmitted):
    """One tensor per frame: the embedding E or a skip feature f."""

    CODE, NAME = 1, "LATENT"
    kind: int = u8(0, 1)


@dataclasses.dataclass(frozen=True)
class Grid(Transmitted):
    """Tensors for ``knots`` times, spread evenly over the segment; interpolated between these in units of 2^-shift."""

    CODE, NAME = 14, "GRID"
    knots: int = u16(1)
    shift: int = u8(0, 8)

    def transmitted(self, frames: int) -> int:
        """Number of tensors transmitted for a segment of ``frames`` frames.

        Raises:
            CorruptStreamError: there are fewer frames than knots.
        """
        if self.knots > frames:
            raise CorruptStreamError(f"a GRID has {self.knots} knots for {frames} frames")
        return self.knots


@dataclasses.dataclass(frozen=True)
class Noise(Op):
    """z: approximately normal integers from the counter-based generator, times ``gain``/256."""

    CODE, NAME = 2, "NOISE"
    channels: int = u16(1)
    height: int = u16(1)
    width: int = u16(1)
    scale: int = u8()
    gain: int = u16(0, 4096)
    per_frame: int = u8(0, 1)


@dataclasses.dataclass(frozen=True)
class Conv(Op):
    """A convolution with stride 1 and zero padding that keeps height and width, then re-quantisation."""

    CODE, NAME = 3, "CONV"
    input: int = ref()
    channels: int = u16(1)
    kernel_height: int = u8(1, 15)
    kernel_width: int = u8(1, 15)
    group: int = u8(1)
    bias_shift: int = u8(0, 12)
    low: int = i16(-CONV_LIMIT, CONV_LIMIT)
    high: int = i16(-CONV_LIMIT, CONV_LIMIT)

    @property
    def steps(self) -> int:
        """Number of step indices stored: one per ``group`` consecutive channels."""
        return -(-self.channels // self.group)

    def weights(self, channels_in: int) -> int:
        """Number of weights stored."""
        return math.prod(weight_shape(self, channels_in))


@dataclasses.dataclass(frozen=True)
class Shuffle(Op):
    """Pixel shuffle: divides channels by factor^2, multiplies height and width by factor."""

    CODE, NAME = 4, "SHUFFLE"
    input: int = ref()
    factor: int = u8(2, 16)


@dataclasses.dataclass(frozen=True)
class Unshuffle(Op):
    """The inverse of SHUFFLE."""

    CODE, NAME = 5, "UNSHUFFLE"
    input: int = ref()
    factor: int = u8(2, 16)


@dataclasses.dataclass(frozen=True)
class Table(Op):
    """A tabulated function, clamped: input in units of 2^-in_shift, output in units of 2^-out_shift."""

    CODE, NAME = 6, "TABLE"
    input: int = ref()
    function: int = u8(0, 2)
    in_shift: int = u8(0, 12)
    out_shift: int = u8(0, 16)
    low: int = i16()
    high: int = i16()


@dataclasses.dataclass(frozen=True)
class Add(Op):
    """The clamped sum of two tensors of the same shape."""

    CODE, NAME = 7, "ADD"
    first: int = ref()
    second: int = ref()
    low: int = i16()
    high: int = i16()


@dataclasses.dataclass(frozen=True)
class Subtract(Op):
    """``first`` minus ``second``, clamped."""

    CODE, NAME = 8, "SUBTRACT"
    first: int = ref()
    second: int = ref()
    low: int = i16()
    high: int = i16()


@dataclasses.dataclass(frozen=True)
class Concat(Op):
    """Two tensors of the same height and width, concatenated along the channels."""

    CODE, NAME = 9, "CONCAT"
    first: int = ref()
    second: int = ref()


@dataclasses.dataclass(frozen=True)
class Slice(Op):
    """``count`` channels from ``start`` on. A split is one such operation per part."""

    CODE, NAME = 10, "SLICE"
    input: int = ref()
    start: int = u16()
    count: int = u16(1)


@dataclasses.dataclass(frozen=True)
class Resample(Op):
    """Nearest-neighbour resampling to another height and width."""

    CODE, NAME = 11, "RESAMPLE"
    input: int = ref()
    height: int = u16(1)
    width: int = u16(1)


@dataclasses.dataclass(frozen=True)
class Crop(Op):
    """A rectangle of the input."""

    CODE, NAME = 12, "CROP"
    input: int = ref()
    top: int = u16()
    left: int = u16()
    height: int = u16(1)
    width: int = u16(1)


@dataclasses.dataclass(frozen=True)
class Below(Op):
    """The result of operation ``op`` of a lower layer of the same segment."""

    CODE, NAME = 13, "BELOW"
    layer: int = u8()
    op: int = u16()


@dataclasses.dataclass(frozen=True)
class Picture(Op):
    """The frame's picture of the AV1 stream in quarters of a level, with copies of its edge around it.

    Attributes:
        PEAK: the value of white.
    """

    CODE, NAME = 15, "PICTURE"
    PEAK: ClassVar[int] = 4 * 255
    height: int = u16(1)
    width: int = u16(1)
    depth: int = u8(8, 10)
    chroma: int = u8(0, 1)
    siting: int = u8(0, 2)
    matrix: int = u8(1, 9)
    full_range: int = u8(0, 1)
    margin: int = u8(0, 15)

    @property
    def frame_bytes(self) -> int:
        """Bytes of the samples of a decoded frame."""
        samples = self.height * self.width + 2 * self.chroma * -(-self.height // 2) * -(-self.width // 2)
        return samples * (1 if self.depth == 8 else 2)


@dataclasses.dataclass(frozen=True)
class Picture10(Picture):
    """The same in levels of 10 bits."""

    CODE, NAME = 16, "PICTURE10"
    PEAK: ClassVar[int] = 1023


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
        Picture,
        Picture10,
    )
}

#: Names of the fields of each operation that refer to an earlier one; collected once, because decoding asks per frame.
_REFERENCES: dict[type[Op], tuple[str, ...]] = {
    kind: tuple(field.name for field in dataclasses.fields(kind) if field.metadata.get("ref")) for kind in OPS.values()
}


def pack_ops(ops: Sequence[Op], compact: bool = False) -> bytes:
    """Encode the payload of a NETWORK unit."""
    count = pack_integer(len(ops), "H", compact)
    return count + b"".join(pack_integer(op.CODE, "B", compact) + op.pack(compact) for op in ops)


def pack_reference(segment: int, compact: bool) -> bytes:
    """Encode the payload of a NETWORK unit that takes the network of an earlier segment."""
    return pack_integer(0, "H", compact) + pack_integer(segment, "H", compact)


def unpack_reference(cursor: Cursor) -> int | None:
    """Read a NETWORK unit's payload if it takes the network of an earlier segment.

    Returns:
        That segment's number; None, with nothing read, where the payload has operations of its own.

    Raises:
        CorruptStreamError: the payload is too short or too long.
    """
    start = cursor.position
    if cursor.integer("H"):
        cursor.position = start
        return None
    segment = cursor.integer("H")
    cursor.end()
    return segment


def unpack_ops(cursor: Cursor) -> tuple[Op, ...]:
    """Read a NETWORK unit's payload.

    Raises:
        CorruptStreamError: a field is out of its range, or the payload is too short or too long.
        UnsupportedVersionError: an operation is not known to this version.
    """
    count = cursor.integer("H")
    if not 1 <= count <= MAX_OPS:
        raise CorruptStreamError(f"a network has {count} operations; 1 to {MAX_OPS} are allowed")
    ops = []
    for _ in range(count):
        code = cursor.integer("B")
        if code not in OPS:
            raise UnsupportedVersionError(f"operation {code} is not known to this version")
        ops.append(OPS[code].unpack(cursor))
    cursor.end()
    return tuple(ops)


def skip_connection_ops(ops: Sequence[Op]) -> frozenset[int]:
    """Indices of the operations of skip connections: those that no embedding, grid, AV1 picture or lower layer
    flows into."""
    trunk: set[int] = set()
    for index, op in enumerate(ops):
        source = isinstance(op, (Below, Grid, Picture)) or (isinstance(op, Latent) and op.kind == LatentKind.EMBEDDING)
        if source or trunk.intersection(op.inputs):
            trunk.add(index)
    return frozenset(range(len(ops))) - trunk


def weight_shape(op: Conv, channels_in: int) -> tuple[int, int, int, int]:
    """Shape of the weights: output channels, input channels, kernel height, kernel width."""
    return (op.channels, channels_in, op.kernel_height, op.kernel_width)
