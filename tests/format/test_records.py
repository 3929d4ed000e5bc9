"""Every record is read back as it was written, and refused if a field is out of range."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_stream

from nvcodec.errors import CorruptStreamError
from nvcodec.format import fields
from nvcodec.format.entropy.contexts import MAX_SHAPE, MAX_START, Contexts
from nvcodec.format.entropy.frequency_tables import unpack_head, zigzag
from nvcodec.format.fields import Cursor, Record, varint
from nvcodec.format.operations import OPS, Op, pack_ops, unpack_ops
from nvcodec.format.payloads import pack_segment, unpack_segment
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import (
    COMPACT_ONLY,
    HEADER_BYTES,
    BaseHead,
    EndMark,
    LatentsHead,
    SegmentHead,
    UnitHeader,
    UnitType,
    Video,
    pack_file_header,
    pack_unit,
    split_units,
)

RECORDS: tuple[type[Record], ...] = (UnitHeader, Video, SegmentHead, LatentsHead, BaseHead, EndMark, *OPS.values())


def stored(kind: type[Record], compact: bool = False) -> list[dataclasses.Field[Any]]:
    names = [name for name, _ in kind.stored(compact)]
    return [field for field in dataclasses.fields(kind) if field.name in names]


def records(kind: type[Record], compact: bool = False) -> st.SearchStrategy[Record]:
    """Records of a kind, each field of a form anywhere in its range."""
    fields = stored(kind, compact)
    return st.builds(kind, **{f.name: st.integers(f.metadata["low"], f.metadata["high"]) for f in fields})


def operations() -> st.SearchStrategy[Op]:
    return st.one_of([records(kind) for kind in OPS.values()])  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.NAME)
@pytest.mark.parametrize("compact", [False, True], ids=["fixed", "compact"])
@given(data=st.data())
@settings(max_examples=30)
def test_round_trip(kind: type[Record], compact: bool, data: st.DataObject) -> None:
    record = data.draw(records(kind, compact))
    cursor = Cursor(record.pack(compact), "test", compact)
    assert kind.unpack(cursor) == record
    cursor.end()
    with pytest.raises(CorruptStreamError, match="ends"):
        kind.unpack(Cursor(record.pack(compact)[:-1], "test", compact))


def test_exact_bytes_of_both_forms() -> None:
    """Section 1: in the compact form a varint for each unsigned field, an svarint for each signed one."""
    head = SegmentHead(first_frame=0, frames=300, width=480, height=270, first_pts=-5, constant_duration=1)
    fixed = "00000000 2c010000 e001 0e01 fbffffffffffffff 01000000"
    assert head.pack().hex() == fixed.replace(" ", "")
    assert head.pack(compact=True).hex() == "00 ac02 e003 8e02 09 01".replace(" ", "")
    unit = pack_unit(UnitType.METADATA, b"abc", compact=True)
    assert unit == b"\x21\0\0\3abc" + zlib.crc32(b"\x21\0\0\3abc").to_bytes(4, "little")
    assert Video(0, 1, 1, 1, 1, 1, 1, 1, 25, 7, order=1).pack(compact=True).hex() == "0001010101010101190701"
    assert pack_ops([OPS[4](3, 2)], compact=True) == b"\1\4\3\2"  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("code", "raw", "message"),
    [("B", b"\x80\x02", "at most 255"), ("h", b"\x80\x80\x04", "at most 65535"), ("H", b"\x81\x00", "more bytes")],
)
def test_numbers_of_the_compact_form_keep_to_their_type(code: str, raw: bytes, message: str) -> None:
    with pytest.raises(CorruptStreamError, match=message):
        Cursor(raw, "test", compact=True).integer(code)


def narrow(kind: type[Record]) -> list[dataclasses.Field[Any]]:
    """Fields whose range is smaller than their type's."""
    return [f for f in stored(kind) if (f.metadata["low"], f.metadata["high"]) != fields._LIMITS[f.metadata["code"]]]


@pytest.mark.parametrize("kind", [kind for kind in RECORDS if narrow(kind)], ids=lambda kind: kind.NAME)
@given(data=st.data())
@settings(max_examples=30)
def test_out_of_range(kind: type[Record], data: st.DataObject) -> None:
    wrong = data.draw(st.sampled_from(narrow(kind)))
    low, high = fields._LIMITS[wrong.metadata["code"]]
    outside = st.integers(low, wrong.metadata["low"] - 1) if low < wrong.metadata["low"] else st.nothing()
    outside |= st.integers(wrong.metadata["high"] + 1, high) if wrong.metadata["high"] < high else st.nothing()
    value = data.draw(outside)
    record = data.draw(records(kind))
    raw = b"".join(
        struct.pack("<" + f.metadata["code"], value if f is wrong else getattr(record, f.name)) for f in stored(kind)
    )
    with pytest.raises(CorruptStreamError, match=f"{wrong.name} must be from"):
        kind.unpack(Cursor(raw, "test"))


@given(st.lists(operations(), min_size=1, max_size=20), st.booleans())
def test_lists_of_operations(ops: list[Op], compact: bool) -> None:
    payload = pack_ops(ops, compact)
    assert unpack_ops(Cursor(payload, "test", compact)) == tuple(ops)
    for wrong in (payload[:-1], payload + b"\0"):
        with pytest.raises(CorruptStreamError):
            unpack_ops(Cursor(wrong, "test", compact))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([kind for kind in UnitType if kind not in COMPACT_ONLY]),
            st.binary(max_size=40),
            st.integers(0, 2**16 - 1),
            st.integers(0, 255),
        ),
        max_size=9,
    ),
    st.booleans(),
)
def test_units(made: list[tuple[UnitType, bytes, int, int]], compact: bool) -> None:
    data = pack_file_header(compact) + b"".join(pack_unit(*unit, compact=compact) for unit in made)
    units = list(split_units(memoryview(data)))
    found = [(unit.header.type, bytes(unit.payload), unit.header.segment, unit.header.layer) for unit in units]
    assert found == made
    assert [unit.offset for unit in units] == [HEADER_BYTES, *(unit.end for unit in units)][: len(units)]


@st.composite
def contexts(draw: st.DrawFn) -> Contexts:
    size = draw(st.integers(2, 4096))
    return Contexts(
        -draw(st.integers(0, size - 1)),
        size,
        draw(st.integers(0, MAX_START)),
        draw(st.integers(1, 65535)),
        draw(st.integers(0, MAX_SHAPE)),
        draw(st.integers(0, 255)),
    )


@given(contexts())
def test_tables_by_rows(table: Contexts) -> None:
    cursor = Cursor(table.pack(), "test")
    assert Contexts.unpack(cursor, *unpack_head(cursor)) == table
    cursor.end()


@given(st.integers(-(2**15), 2**15))
def test_first_symbols(first: int) -> None:
    assert unpack_head(Cursor(b"\1" + varint(zigzag(first)) + b"\2", "test")) == (1, first, 2)


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=20))
def test_durations(durations: list[int]) -> None:
    head = SegmentHead(0, len(durations), 1, 1, 0, 0)
    data = pack_file_header() + pack_unit(UnitType.SEGMENT, pack_segment(head, np.array(durations)))
    (unit,) = split_units(memoryview(data))
    (found, ticks), entries = unpack_segment(unit)
    assert (found, ticks.tolist()) == (head, durations)
    assert sum(entry.bytes for entry in entries) == len(unit.payload)


plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    plain | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9), values, max_size=5))
def test_metadata(metadata: dict[str, Any]) -> None:
    stream = random_stream(3, frames=1, operations=0)
    stream.metadata = metadata
    assert read_stream(write_stream(stream)).metadata == metadata
