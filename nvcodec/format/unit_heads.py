"""The headers of a file's units, without their payloads: by its INDEX, or from unit to unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nvcodec.errors import CorruptStreamError, CutStreamError
from nvcodec.format.byte_source import ByteSource
from nvcodec.format.payloads import pack_index
from nvcodec.format.units import (
    CRC_BYTES,
    HEADER_BYTES,
    MAX_HEADER_BYTES,
    MAX_UNITS,
    Unit,
    UnitHead,
    UnitHeader,
    UnitType,
    flags_of,
    head_at,
    whole_unit,
)

TAIL_BYTES = 2**16  # in which an INDEX is looked for first
WINDOW_BYTES = 2**12  # that are read at once to go from unit to unit
MAX_VARINT = 10  # bytes
LENGTH_BYTES = 4  # of the length of the rows, at the end of INDEX
ROW = np.dtype([("type", "u1"), ("segment", "<u2"), ("layer", "u1"), ("offset", "<u8")])


def find_heads(source: ByteSource, compact: bool) -> tuple[list[UnitHead], CutStreamError | None]:
    """Find the headers of all units, types and flags checked, but no checksum except that of INDEX.

    Returns:
        The headers, and the error with which the file ends inside a unit.

    Raises:
        CorruptStreamError: a header breaks a rule, or INDEX does not agree with the units.
        UnsupportedVersionError: an unknown critical unit.
    """
    heads, cut = _by_index(source, compact), None
    if heads is None:
        heads, cut = _from_unit_to_unit(source, compact)
        if heads and heads[-1].header.type == UnitType.INDEX and not cut:
            [index] = read_units(source, heads[-1:])
            rows = ((head.header.type, head.header.segment, head.header.layer, head.offset) for head in heads[:-1])
            if index.payload != pack_index(rows):
                raise CorruptStreamError(f"{index.where} does not agree with the units")
    for head in heads:
        head.check_type()
    return heads, cut


def read_units(source: ByteSource, heads: Sequence[UnitHead]) -> list[Unit]:
    """Read units, given their headers, and check them.

    Raises:
        InputError: they cannot be read.
        CorruptStreamError: one is damaged, or is not what INDEX says.
        UnsupportedVersionError: an unknown critical unit.
    """
    units = []
    for head, data in zip(heads, source.read_pieces([(head.offset, head.end) for head in heads]), strict=True):
        if head_at(data, head.offset, head.index, source.size, head.compact) != head:
            raise CorruptStreamError(f"INDEX does not agree with the unit at byte {head.offset}")
        units.append(whole_unit(head, data))
    return units


def _by_index(source: ByteSource, compact: bool) -> list[UnitHead] | None:
    """Find the headers by a whole INDEX at the end of the file; None where there is none."""
    tail_start = max(HEADER_BYTES, source.size - TAIL_BYTES)
    tail = source.read_at(tail_start, max(0, source.size - tail_start))
    if len(tail) < LENGTH_BYTES + CRC_BYTES:
        return None
    rows = int.from_bytes(tail[-LENGTH_BYTES - CRC_BYTES : -CRC_BYTES], "little")
    count, rest = divmod(rows, ROW.itemsize)
    header_bytes = _header_size(UnitType.INDEX, 0, 0, rows + LENGTH_BYTES, compact)
    offset = source.size - CRC_BYTES - LENGTH_BYTES - rows - header_bytes
    if rest or not 0 < count < MAX_UNITS or offset < HEADER_BYTES:
        return None
    data = tail[offset - tail_start :] if offset >= tail_start else source.read_at(offset, source.size - offset)
    try:
        index = whole_unit(head_at(data, offset, count, source.size, compact), data)
    except CorruptStreamError:
        return None
    if index.header.type != UnitType.INDEX or index.end != source.size:
        return None
    table = np.frombuffer(index.payload[:-LENGTH_BYTES], ROW)
    if not compact and not {*table["type"].tolist()} <= {*UnitType}:
        return None  # the flags of an unknown unit stand in its header alone
    ends = [*table["offset"][1:].tolist(), offset]
    rows_and_ends = zip(table.tolist(), ends, strict=True)
    heads = [_stated(number, row, end, compact) for number, (row, end) in enumerate(rows_and_ends)]
    if heads[0].offset != HEADER_BYTES:
        raise CorruptStreamError(f"{index.where} does not agree with the units")
    return [*heads, index]


def _stated(number: int, row: tuple[int, int, int, int], end: int, compact: bool) -> UnitHead:
    """Return the header of a unit by what INDEX states: type, segment, layer, offset and, by the next, its end."""
    kind, segment, layer, offset = row
    # The longer the length, the longer is its own field: from 1 to 10 bytes in the compact form.
    for spare in range(MAX_VARINT if compact else 1):
        length = end - offset - CRC_BYTES - _header_size(kind, segment, layer, 0, compact) - spare
        header_bytes = _header_size(kind, segment, layer, max(0, length), compact)
        if length >= 0 and offset + header_bytes + length + CRC_BYTES == end:
            header = UnitHeader(type=kind, flags=flags_of(kind), segment=segment, layer=layer, length=length)
            return UnitHead(header, number, offset, header_bytes, compact)
    raise CorruptStreamError(f"INDEX does not agree with the unit at byte {offset}")


def _header_size(kind: int, segment: int, layer: int, length: int, compact: bool) -> int:
    """Return the bytes of a unit's header."""
    return len(UnitHeader(type=kind, flags=0, segment=segment, layer=layer, length=length).pack(compact))


def _from_unit_to_unit(source: ByteSource, compact: bool) -> tuple[list[UnitHead], CutStreamError | None]:
    """Find the headers one by one; also returns the error with which the file ends inside a unit."""
    heads: list[UnitHead] = []
    offset, start, window = HEADER_BYTES, 0, memoryview(b"")
    while offset < source.size:
        if len(heads) == MAX_UNITS:
            raise CorruptStreamError(f"the stream has more than {MAX_UNITS} units")
        needed = min(offset + MAX_HEADER_BYTES, source.size)
        if needed > start + len(window):
            start, window = offset, source.read_at(offset, min(WINDOW_BYTES, source.size - offset))
        try:
            heads.append(head_at(window[offset - start :], offset, len(heads), source.size, compact))
        except CutStreamError as error:
            return heads, error
        offset = heads[-1].end
    return heads, None
