"""A stream as blocks, the file header and then one per unit, which can be changed and repaired."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence

from nvcodec.format.units import CRC_BYTES, HASH_BYTES, HEADER_BYTES, UNIT_HEADER_BYTES, UnitType

FRAMING = UNIT_HEADER_BYTES + CRC_BYTES
LENGTH = slice(5, 13)  # the length in a unit's header
COUNT_BYTES = 4


def split(data: bytes) -> list[bytes]:
    """Split a stream whose framing is correct into blocks."""
    blocks, offset = [data[:HEADER_BYTES]], HEADER_BYTES
    while offset < len(data):
        length = int.from_bytes(data[offset:][LENGTH], "little")
        blocks.append(data[offset : offset + FRAMING + length])
        offset += FRAMING + length
    return blocks


def unit(kind: int, payload: bytes, segment: int = 0, layer: int = 0, flags: int | None = None) -> bytes:
    """Build the block of a unit; :func:`repaired` fills in length and checksum."""
    flags = int(kind >= UnitType.INDEX) if flags is None else flags
    return bytes([kind, flags]) + segment.to_bytes(2, "little") + bytes([layer]) + bytes(8) + payload + bytes(4)


def repaired(blocks: Sequence[bytes], ends: bool = True) -> list[bytes]:
    """Correct lengths and checksums; with ``ends`` also each LAYER_END and the INDEX."""
    out: list[bytes] = []
    sha, rows, offset = hashlib.sha256(), bytearray(), 0
    for number, block in enumerate(blocks):
        if number == 0:
            block = with_checksum(block)
        elif len(block) >= FRAMING:
            payload = block[UNIT_HEADER_BYTES:-CRC_BYTES]
            if ends and block[0] == UnitType.LAYER_END and len(payload) == COUNT_BYTES + HASH_BYTES:
                payload = (number - 1).to_bytes(COUNT_BYTES, "little") + sha.digest()
            if ends and block[0] == UnitType.INDEX:
                payload = bytes(rows) + len(rows).to_bytes(COUNT_BYTES, "little")
            block = with_checksum(block[: LENGTH.start] + len(payload).to_bytes(8, "little") + payload + bytes(4))
            rows += block[:1] + block[2:5] + offset.to_bytes(8, "little")
        sha.update(block)
        offset += len(block)
        out.append(block)
    return out


def with_checksum(block: bytes) -> bytes:
    """Replace the last four bytes of a block by the CRC-32 of those before."""
    body = block[:-CRC_BYTES]
    return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")


def whole(blocks: Iterable[bytes]) -> bytes:
    """Join blocks to a stream in which everything is correct."""
    return b"".join(repaired(list(blocks)))
