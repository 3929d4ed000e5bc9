"""Units: their framing, their types, and the fixed-size records in them (specification, sections 2 to 4)."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import zlib
from collections.abc import Iterator

from nvcodec.errors import CorruptStreamError, CutStreamError, InputError, UnsupportedVersionError
from nvcodec.format.fields import Cursor, Record, i64, only_in, u8, u16, u32, u64
from nvcodec.samples import BITS, peak_of

MAGIC = b"\x89SDM\r\n\x1a\n"
MAJOR, MINOR = 1, 4
FEATURE_1_1 = 1  # bit 0 of the required-features mask: tables by rows and GRID, which version 1.1 brought
FEATURE_1_2 = 2  # bit 1: the compact form, AV1 streams and segment after segment, which version 1.2 brought
FEATURE_1_3 = 4  # bit 2: pictures with 10 bits, which version 1.3 brought
FEATURE_1_4 = 8  # bit 3: networks of earlier segments, which version 1.4 brought
FEATURES = FEATURE_1_1 | FEATURE_1_2 | FEATURE_1_3 | FEATURE_1_4  # all bits that this version knows
FEATURES_OFFSET = 10  # of the mask, in the file header
ANCILLARY = 1
HEADER_BYTES = 18
MAX_UNITS = 2**20
MAX_FRAMES = 2**22  # of a segment, and of a stream


class UnitType(enum.IntEnum):
    """Unit types that this version knows."""

    VIDEO = 1
    SEGMENT = 2
    NETWORK = 3
    WEIGHTS = 4
    LATENTS = 5
    CHECKSUMS = 6
    LAYER_END = 7
    BASE = 8
    SEGMENT_END = 9
    INDEX = 32
    METADATA = 33
    AUDIO = 34
    SUBTITLES = 35


TRACKS = (UnitType.AUDIO, UnitType.SUBTITLES)
COMPACT_ONLY = (UnitType.BASE, UnitType.SEGMENT_END)  # unknown in a file of the fixed form


@dataclasses.dataclass(frozen=True)
class UnitHeader(Record):
    """The fields before a unit's payload; a CRC-32 of header and payload follows it."""

    NAME = "unit header"
    type: int = u8()
    flags: int = only_in(False, u8())
    segment: int = u16()
    layer: int = u8()
    length: int = u64()


CRC_BYTES = 4
MAX_HEADER_BYTES = 18  # at least those of any header


@dataclasses.dataclass(frozen=True)
class UnitHead:
    """What the header of a unit says, and where it lies in the file.

    Attributes:
        header: its fields; in the compact form ``flags`` are those that its type implies.
        index: number of units before it.
        offset: its first byte, counted from the start of the file.
        header_bytes: length of the header.
        compact: whether the file is in compact form.
    """

    header: UnitHeader
    index: int
    offset: int
    header_bytes: int
    compact: bool

    @property
    def known(self) -> bool:
        """Whether its type is known in a file of this form."""
        return self.header.type in UnitType._value2member_map_ and (
            self.compact or self.header.type not in COMPACT_ONLY
        )

    @property
    def name(self) -> str:
        """Name of its type, or the type's number where it is unknown."""
        return UnitType(self.header.type).name if self.known else f"UNIT_{self.header.type}"

    @property
    def where(self) -> str:
        """Name and offset, for error messages."""
        return f"{self.name} at byte {self.offset}"

    @property
    def framing_bytes(self) -> int:
        """Bytes of header and checksum."""
        return self.header_bytes + CRC_BYTES

    @property
    def bytes(self) -> int:
        """Bytes of header, payload and checksum."""
        return self.framing_bytes + self.header.length

    @property
    def end(self) -> int:
        """Offset of the next unit."""
        return self.offset + self.bytes

    def check_is(self, kind: UnitType, segment: int, layer: int) -> None:
        """Check what the unit is.

        Raises:
            CorruptStreamError: it has another type, segment or layer.
        """
        found = self.header
        if (found.type, found.segment, found.layer) != (kind, segment, layer):
            raise CorruptStreamError(
                f"{self.name} of segment {found.segment}, layer {found.layer} at byte {self.offset}; "
                f"expected {kind.name} of segment {segment}, layer {layer}"
            )

    def check_type(self) -> None:
        """Check type and flags.

        Raises:
            CorruptStreamError: the flags do not go with the type, or reserved ones are set.
            UnsupportedVersionError: the type is unknown and not ancillary.
        """
        header = self.header
        if header.flags & ~ANCILLARY:
            raise CorruptStreamError(f"{self.where} has reserved flags set")
        if not self.known and not header.flags & ANCILLARY:
            raise UnsupportedVersionError(f"critical unit type {header.type} is not known to this version")
        if self.known and bool(header.flags & ANCILLARY) != (header.type >= UnitType.INDEX):
            raise CorruptStreamError(f"{self.where} has the wrong ancillary flag")


@dataclasses.dataclass(frozen=True)
class Unit(UnitHead):
    """A unit as it lies in the file.

    Attributes:
        payload: what it holds.
        whole: whether its checksum matches.
    """

    payload: memoryview
    whole: bool

    def cursor(self) -> Cursor:
        """A cursor at the start of its payload."""
        return Cursor(self.payload, self.where, self.compact)


@dataclasses.dataclass(frozen=True)
class Video(Record):
    """Properties of the whole video (VIDEO unit)."""

    NAME = "VIDEO"
    sample_format: int = u8(0, 1)
    primaries: int = u8()
    transfer: int = u8()
    matrix: int = u8()
    color_range: int = u8(0, 2)
    sample_aspect_num: int = u16(1)
    sample_aspect_den: int = u16(1)
    time_base_num: int = u32(1)
    time_base_den: int = u32(1)
    seed: int = u32()
    order: int = only_in(True, u8(0, 1))

    @property
    def bits(self) -> int:
        """Bits of a sample of the pictures."""
        return BITS[self.sample_format]

    @property
    def peak(self) -> int:
        """The largest sample."""
        return peak_of(self.bits)


class Order(enum.IntEnum):
    """Orders of units (section 3)."""

    BY_LAYER = 0
    BY_SEGMENT = 1


@dataclasses.dataclass(frozen=True)
class SegmentHead(Record):
    """The fixed part of a SEGMENT unit."""

    NAME = "SEGMENT"
    first_frame: int = u32()
    frames: int = u32(1, MAX_FRAMES)
    width: int = u16(1)
    height: int = u16(1)
    first_pts: int = i64(-(2**62), 2**62)
    constant_duration: int = u32()


@dataclasses.dataclass(frozen=True)
class LatentsHead(Record):
    """The fixed part of a LATENTS unit: a run of frames whose latents decode without those of others."""

    NAME = "LATENTS"
    op: int = u16()
    first: int = u32()
    frames: int = u32(1)
    predictor: int = u8(0, 1)


@dataclasses.dataclass(frozen=True)
class BaseHead(Record):
    """The fixed part of a BASE unit: a run of frames of an AV1 stream, which decode without those of others."""

    NAME = "BASE"
    codec: int = u8()
    first: int = u32()
    frames: int = u32(1)


CODEC_AV1 = 1


@dataclasses.dataclass(frozen=True)
class EndMark(Record):
    """The fixed part of a LAYER_END or SEGMENT_END unit; the SHA-256 of all bytes before the unit follows."""

    NAME = "end mark"
    units: int = u32()


HASH_BYTES = 32
COMPACT_HASH_BYTES = 8  # the first ones


def pack_file_header(compact: bool = False, sample_format: int = 0, reuse: bool = False) -> bytes:
    """Encode magic, the version and the features that a form, a sample format and the use of earlier segments' networks
    require, and CRC-32."""
    minor = 4 if reuse else 3 if sample_format else 2 if compact else 1
    features = FEATURE_1_1 | FEATURE_1_2 * bool(compact) | FEATURE_1_3 * bool(sample_format) | FEATURE_1_4 * reuse
    head = MAGIC + bytes([MAJOR, minor]) + features.to_bytes(4, "little")
    return head + zlib.crc32(head).to_bytes(4, "little")


def is_compact(data: bytes | memoryview) -> bool:
    """Return whether a file, whose header has been checked, is in compact form."""
    return bool(features_of(data) & FEATURE_1_2)


def features_of(data: bytes | memoryview) -> int:
    """Return the mask of required features of a file."""
    return int.from_bytes(data[FEATURES_OFFSET : FEATURES_OFFSET + 4], "little")


def check_file_header(data: bytes) -> tuple[int, int]:
    """Check the file header that ``data`` starts with and return the version (major, minor).

    Raises:
        InputError: this is no SDMN stream.
        UnsupportedVersionError: its version or a required feature is not known.
        CorruptStreamError: the header is damaged.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise InputError("this is not an SDMN file")
    if len(data) < HEADER_BYTES:
        raise CorruptStreamError(f"the file ends inside its header, after {len(data)} bytes")
    major, minor = data[8], data[9]
    damaged = zlib.crc32(data[:14]) != int.from_bytes(data[14:18], "little")
    if major != MAJOR or (damaged and minor > MINOR):
        raise UnsupportedVersionError(
            f"format version {major}.{minor} is not supported; this decoder reads {MAJOR}.{MINOR}"
        )
    if damaged:
        raise CorruptStreamError("the file header is damaged: its checksum does not match")
    unknown = features_of(data) & ~FEATURES
    if unknown:
        raise UnsupportedVersionError(f"the stream needs features this decoder lacks (mask {unknown:#x})")
    return major, minor


def pack_unit(kind: UnitType, payload: bytes, segment: int = 0, layer: int = 0, compact: bool = False) -> bytes:
    """Encode a unit: header, payload and checksum."""
    body = UnitHeader(type=kind, flags=flags_of(kind), segment=segment, layer=layer, length=len(payload)).pack(compact)
    body += payload
    return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")


def flags_of(kind: int) -> int:
    """Return the flags of a unit of a known type, or of any type in the compact form."""
    return ANCILLARY if kind >= UnitType.INDEX else 0


def split_units(data: memoryview) -> Iterator[Unit]:
    """Yield the units after the file header, each with its framing and checksum checked.

    Raises:
        CutStreamError: the data end inside a unit.
        CorruptStreamError: a unit is damaged, or another stream follows.
        UnsupportedVersionError: an unknown critical unit.
    """
    offset = HEADER_BYTES
    index = 0
    while offset < len(data):
        if index == MAX_UNITS:
            raise CorruptStreamError(f"the stream has more than {MAX_UNITS} units")
        head = head_at(data[offset:], offset, index, len(data), is_compact(data))
        yield whole_unit(head, data[offset:])
        offset, index = head.end, index + 1


def salvage_units(data: memoryview) -> tuple[list[Unit], bool]:
    """Find the units of a stream that may be damaged, including those that are not whole (specification, section 10.1).

    What follows the last whole LAYER_END, SEGMENT_END or INDEX is left out if none of its units is whole.

    Returns:
        The units, and whether the stream ends early: the data end, or can be followed no further, before one of these.

    Raises:
        UnsupportedVersionError: an unknown critical unit.
    """
    units: list[Unit] = []
    with contextlib.suppress(CorruptStreamError):
        offset = HEADER_BYTES
        while offset < len(data) and len(units) < MAX_UNITS:
            unit = _unit(head_at(data[offset:], offset, len(units), len(data), is_compact(data)), data[offset:])
            if unit.whole:
                unit.check_type()
            units.append(unit)
            offset = unit.end
    last = next((unit for unit in reversed(units) if unit.whole), None)
    if last and last.header.type in (UnitType.LAYER_END, UnitType.SEGMENT_END, UnitType.INDEX):
        return units[: last.index + 1], False
    return units, True


def head_at(data: memoryview, offset: int, index: int, file_bytes: int, compact: bool) -> UnitHead:
    """Read the header of the unit that starts at a byte.

    Args:
        data: the bytes from there on, at least :data:`MAX_HEADER_BYTES` where the file has them.
        offset: of that byte in the file.
        index: number of units before it.
        file_bytes: size of the file.
        compact: whether it is in compact form.

    Raises:
        CutStreamError: the file ends inside the unit.
        CorruptStreamError: another stream starts there.
    """
    if data[: len(MAGIC)] == MAGIC:
        raise CorruptStreamError(f"another stream follows at byte {offset}: files must not be concatenated")
    cursor = Cursor(data, f"the unit at byte {offset}", compact)
    try:
        header = UnitHeader.unpack(cursor)
    except CorruptStreamError:
        if compact and cursor.left:
            raise  # a number that is not a varint, or too large
        raise CutStreamError(f"the stream ends inside the unit at byte {offset}") from None
    if compact:
        header = dataclasses.replace(header, flags=flags_of(header.type))
    head = UnitHead(header, index, offset, cursor.position, compact)
    if head.end > file_bytes:
        raise CutStreamError(f"the stream ends inside the unit at byte {offset}")
    return head


def whole_unit(head: UnitHead, data: memoryview) -> Unit:
    """Return a unit, given its bytes, whatever follows them; its checksum and type are checked.

    Raises:
        CorruptStreamError: it is damaged.
        UnsupportedVersionError: an unknown critical unit.
    """
    unit = _unit(head, data)
    if not unit.whole:
        raise CorruptStreamError(f"the unit at byte {head.offset} is damaged: its checksum does not match")
    unit.check_type()
    return unit


def _unit(head: UnitHead, data: memoryview) -> Unit:
    """A unit, given its bytes, whatever follows them."""
    body = head.header_bytes + head.header.length
    payload = data[head.header_bytes : body]
    whole = zlib.crc32(data[:body]) == int.from_bytes(data[body : body + CRC_BYTES], "little")
    return Unit(head.header, head.index, head.offset, head.header_bytes, head.compact, payload, whole)
