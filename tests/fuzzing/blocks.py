"""A stream as blocks, the file header and then one per unit, which can be changed and repaired.

Blocks look the same in both forms of a file: a unit's header is that of the fixed form. :func:`joined` and
:func:`repaired` give it the form that the file header announces.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence

from nvcodec.errors import CorruptStreamError
from nvcodec.format.av1_headers import obus
from nvcodec.format.fields import Cursor, varint
from nvcodec.format.payloads import pack_end
from nvcodec.format.units import (
    COMPACT_HASH_BYTES,
    CRC_BYTES,
    FEATURE_1_2,
    FEATURES_OFFSET,
    HASH_BYTES,
    HEADER_BYTES,
    BaseHead,
    UnitType,
    split_units,
)

UNIT_HEADER_BYTES = 13
FRAMING = UNIT_HEADER_BYTES + CRC_BYTES
LENGTH = slice(5, 13)  # the length in a unit's header
COUNT_BYTES = 4
ENDS = (UnitType.LAYER_END, UnitType.SEGMENT_END)


def split(data: bytes) -> list[bytes]:
    """Split a stream whose framing is correct into blocks."""
    blocks = [data[:HEADER_BYTES]]
    for found in split_units(memoryview(data)):
        head = found.header
        block = unit(head.type, bytes(found.payload), head.segment, head.layer, head.flags)
        length = len(found.payload).to_bytes(8, "little")
        blocks.append(block[: LENGTH.start] + length + block[LENGTH.stop : -CRC_BYTES] + data[: found.end][-CRC_BYTES:])
    return blocks


def unit(kind: int, payload: bytes, segment: int = 0, layer: int = 0, flags: int | None = None) -> bytes:
    """Build the block of a unit; :func:`repaired` fills in length and checksum."""
    flags = int(kind >= UnitType.INDEX) if flags is None else flags
    return bytes([kind, flags]) + segment.to_bytes(2, "little") + bytes([layer]) + bytes(8) + payload + bytes(4)


def is_compact(blocks: Sequence[bytes]) -> bool:
    """Whether the file header, if there is one, announces the compact form."""
    return bool(blocks) and len(blocks[0]) == HEADER_BYTES and bool(blocks[0][FEATURES_OFFSET] & FEATURE_1_2)


def outer(block: bytes, compact: bool) -> bytes:
    """The bytes in a file of a unit's block; what is no whole block stays as it is."""
    if not compact or len(block) < FRAMING:
        return block
    numbers = block[0], int.from_bytes(block[2:4], "little"), block[4], int.from_bytes(block[LENGTH], "little")
    return b"".join(map(varint, numbers)) + block[UNIT_HEADER_BYTES:]


def joined(blocks: Sequence[bytes]) -> bytes:
    """Join blocks to a stream as they are."""
    compact = is_compact(blocks)
    return b"".join(outer(block, compact) if number else block for number, block in enumerate(blocks))


def repaired(blocks: Sequence[bytes], ends: bool = True) -> bytes:
    """Join blocks to a stream with correct lengths and checksums; with ``ends`` also each LAYER_END and SEGMENT_END,
    and the INDEX."""
    compact = is_compact(blocks)
    out, rows = bytearray(), bytearray()
    sha = hashlib.sha256()
    for number, block in enumerate(blocks):
        if number == 0:
            block = with_checksum(block)
        elif len(block) >= FRAMING:
            payload = block[UNIT_HEADER_BYTES:-CRC_BYTES]
            if ends and block[0] in ENDS and _has_hash(payload, compact):
                payload = pack_end(number - 1, sha.digest(), compact)
            if ends and block[0] == UnitType.INDEX:
                payload = bytes(rows) + len(rows).to_bytes(COUNT_BYTES, "little")
            rows += block[:1] + block[2:5] + len(out).to_bytes(8, "little")
            length = len(payload).to_bytes(8, "little")
            block = with_checksum(outer(block[: LENGTH.start] + length + payload + bytes(CRC_BYTES), compact))
        sha.update(block)
        out += block
    return bytes(out)


def _has_hash(payload: bytes, compact: bool) -> bool:
    """Whether the payload of an end has the size that it should have."""
    count = len(payload) - (COMPACT_HASH_BYTES if compact else HASH_BYTES)
    return 1 <= count <= COUNT_BYTES if compact else count == COUNT_BYTES


def with_checksum(block: bytes) -> bytes:
    """Replace the last four bytes of a block by the CRC-32 of those before."""
    body = block[:-CRC_BYTES]
    return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")


def whole(blocks: Iterable[bytes]) -> bytes:
    """Join blocks to a stream in which everything is correct."""
    return repaired(list(blocks))


def obus_of(block: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Where the OBUs of a BASE unit's block begin, and type and payload of each; nothing if it has none."""
    try:
        cursor = Cursor(block[UNIT_HEADER_BYTES:-CRC_BYTES], "BASE", compact=True)
        BaseHead.unpack(cursor)
        start = UNIT_HEADER_BYTES + cursor.position
        found = [(int(obu.kind), bytes(obu.payload)) for obu in obus(cursor.take(cursor.left), "BASE")]
    except CorruptStreamError:
        return 0, []
    return start, found


def obu(kind: int, payload: bytes) -> bytes:
    """Build an OBU."""
    return bytes([kind << 3 | 2]) + varint(len(payload)) + payload
