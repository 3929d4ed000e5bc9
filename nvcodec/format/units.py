"""Units: the framing, the kinds, and the fixed-size records in them (specification, sections 3 and 4)."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import zlib
from collections.abc import Iterator

from nvcodec.errors import CorruptStreamError, CutStreamError, InputError, UnsupportedVersionError
from nvcodec.format.fields import Cursor, Record, i64, u8, u16, u32, u64, varint

MAGIC = b"\x89SDM\r\n\x1a\n"
MAJOR, MINOR = 1, 1
FEATURES = 1  # bits of the required-features mask this version knows: 0, what 1.1 brought
ANCILLARY = 1
HEADER_BYTES = 18
MAX_UNITS = 2**20


class UnitType(enum.IntEnum):
    """Units this version knows."""

    VIDEO = 1
    SEGMENT = 2
    NETWORK = 3
    WEIGHTS = 4
    LATENTS = 5
    CHECKSUMS = 6
    LAYER_END = 7
    INDEX = 32
    METADATA = 33
    AUDIO = 34


@dataclasses.dataclass(frozen=True)
class UnitHeader(Record):
    """What stands before a unit's payload; a CRC-32 of header and payload stands after it."""

    NAME = "unit header"
    type: int = u8()
    flags: int = u8()
    segment: int = u16()
    layer: int = u8()
    length: int = u64()


UNIT_HEADER_BYTES = 13
CRC_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Unit:
    """A unit as it lies in the file; ``whole`` where its checksum matches."""

    header: UnitHeader
    payload: memoryview
    offset: int
    whole: bool

    @property
    def known(self) -> bool:
        """Whether this version knows the type."""
        return self.header.type in UnitType._value2member_map_

    @property
    def name(self) -> str:
        """The type's name, or its number where it is unknown."""
        return UnitType(self.header.type).name if self.known else f"UNIT_{self.header.type}"

    @property
    def bytes(self) -> int:
        """Header, payload and checksum."""
        return UNIT_HEADER_BYTES + len(self.payload) + CRC_BYTES

    @property
    def end(self) -> int:
        """Where the next unit starts."""
        return self.offset + self.bytes


@dataclasses.dataclass(frozen=True)
class Video(Record):
    """What holds for the whole video (VIDEO unit)."""

    NAME = "VIDEO"
    sample_format: int = u8(0, 0)
    primaries: int = u8()
    transfer: int = u8()
    matrix: int = u8()
    color_range: int = u8(0, 2)
    sample_aspect_num: int = u16(1)
    sample_aspect_den: int = u16(1)
    time_base_num: int = u32(1)
    time_base_den: int = u32(1)
    seed: int = u32()


@dataclasses.dataclass(frozen=True)
class SegmentHead(Record):
    """The fixed part of a SEGMENT unit."""

    NAME = "SEGMENT"
    first_frame: int = u32()
    frames: int = u32(1, 2**22)
    width: int = u16(1)
    height: int = u16(1)
    first_pts: int = i64(-(2**62), 2**62)
    constant_duration: int = u32()


@dataclasses.dataclass(frozen=True)
class LatentsHead(Record):
    """The fixed part of a LATENTS unit: a run of frames that decodes alone."""

    NAME = "LATENTS"
    op: int = u16()
    first: int = u32()
    frames: int = u32(1)
    predictor: int = u8(0, 1)


@dataclasses.dataclass(frozen=True)
class LayerEnd(Record):
    """The fixed part of a LAYER_END unit; the SHA-256 of all bytes before the unit follows."""

    NAME = "LAYER_END"
    units: int = u32()


HASH_BYTES = 32


def pack_file_header() -> bytes:
    """Magic, version, required features, CRC-32."""
    head = MAGIC + bytes([MAJOR, MINOR]) + FEATURES.to_bytes(4, "little")
    return head + zlib.crc32(head).to_bytes(4, "little")


def check_file_header(data: bytes) -> tuple[int, int]:
    """The version (major, minor) of the stream that starts with ``data``.

    Raises:
        InputError: it is no SDMN stream.
        UnsupportedVersionError: its version or a required feature is not known.
        CorruptStreamError: the header is damaged.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise InputError("this is not an SDMN file")
    if len(data) < HEADER_BYTES:
        raise CorruptStreamError(f"the file ends inside its header, after {len(data)} bytes")
    major, minor = data[8], data[9]
    damaged = zlib.crc32(data[:14]) != int.from_bytes(data[14:18], "little")
    if major != MAJOR or (damaged and minor != MINOR):
        raise UnsupportedVersionError(f"format version {major}.{minor} is not supported, {MAJOR}.{MINOR} is")
    if damaged:
        raise CorruptStreamError("the file header is damaged: its checksum does not match")
    unknown = int.from_bytes(data[10:14], "little") & ~FEATURES
    if unknown:
        raise UnsupportedVersionError(f"the stream needs features this decoder lacks (mask {unknown:#x})")
    return major, minor


def pack_unit(kind: UnitType, payload: bytes, segment: int = 0, layer: int = 0) -> bytes:
    """A whole unit."""
    flags = ANCILLARY if kind >= UnitType.INDEX else 0
    body = UnitHeader(kind, flags, segment, layer, len(payload)).pack() + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def split_units(data: memoryview) -> Iterator[Unit]:
    """The units after the file header, each with its framing and checksum checked.

    Raises:
        CutStreamError: the data end inside a unit.
        CorruptStreamError: a unit is damaged, or another stream follows.
        UnsupportedVersionError: an unknown critical unit.
    """
    position = HEADER_BYTES
    count = 0
    while position < len(data):
        count += 1
        if count > MAX_UNITS:
            raise CorruptStreamError(f"the stream has more than {MAX_UNITS} units")
        unit = _unit_at(data, position)
        if not unit.whole:
            raise CorruptStreamError(f"the unit at byte {position} is damaged: its checksum does not match")
        _check_kind(unit)
        yield unit
        position = unit.end


def salvage_units(data: memoryview) -> tuple[list[Unit], bool]:
    """The units of a stream that may be damaged (specification, section 10.1), those that are not whole among them.

    What follows the last LAYER_END or INDEX and holds no whole unit is left out.

    Returns:
        The units, and whether the data end, or can be followed no further, before a LAYER_END or INDEX.

    Raises:
        UnsupportedVersionError: an unknown critical unit.
    """
    units: list[Unit] = []
    with contextlib.suppress(CorruptStreamError):
        position = HEADER_BYTES
        while position < len(data) and len(units) < MAX_UNITS:
            unit = _unit_at(data, position)
            if unit.whole:
                _check_kind(unit)
            units.append(unit)
            position = unit.end
    whole = [place for place, unit in enumerate(units) if unit.whole]
    if whole and units[whole[-1]].header.type in (UnitType.LAYER_END, UnitType.INDEX):
        return units[: whole[-1] + 1], False
    return units, True


def _unit_at(data: memoryview, position: int) -> Unit:
    """The unit that starts at a byte.

    Raises:
        CutStreamError: the data end inside it.
        CorruptStreamError: another stream starts there.
    """
    if data[position : position + len(MAGIC)] == MAGIC:
        raise CorruptStreamError(f"another stream follows at byte {position}: files may not be concatenated")
    cursor = Cursor(data[position:], f"the unit at byte {position}")
    if cursor.left < UNIT_HEADER_BYTES:
        raise CutStreamError(f"the stream ends inside the unit at byte {position}")
    header = UnitHeader.unpack(cursor)
    if cursor.left < header.length + CRC_BYTES:
        raise CutStreamError(f"the stream ends inside the unit at byte {position}")
    payload = cursor.take(header.length)
    stated = cursor.integer("I")
    whole = zlib.crc32(data[position : position + UNIT_HEADER_BYTES + header.length]) == stated
    return Unit(header, payload, position, whole)


def _check_kind(unit: Unit) -> None:
    """Raises CorruptStreamError or UnsupportedVersionError where a unit's type and flags may not stand."""
    header = unit.header
    if header.flags & ~ANCILLARY:
        raise CorruptStreamError(f"{unit.name} at byte {unit.offset} has reserved flags set")
    if not unit.known and not header.flags & ANCILLARY:
        raise UnsupportedVersionError(f"critical unit type {header.type} is not known to this version")
    if unit.known and bool(header.flags & ANCILLARY) != (header.type >= UnitType.INDEX):
        raise CorruptStreamError(f"{unit.name} at byte {unit.offset} has the wrong ancillary flag")


def pack_durations(durations: tuple[int, ...]) -> bytes:
    """Durations that differ, after a SEGMENT unit's fixed part."""
    return b"".join(varint(duration) for duration in durations)
