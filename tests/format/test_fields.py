import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvcodec.errors import CorruptStreamError
from nvcodec.format.fields import Cursor, varint
from nvcodec.format.units import SegmentHead, UnitHeader


@given(st.integers(0, 2**32 - 1))
def test_varint_round_trip(value: int) -> None:
    data = varint(value)
    cursor = Cursor(data, "test")
    assert cursor.varint() == value
    cursor.end()


def test_varint_bytes() -> None:
    assert varint(0) == b"\x00"
    assert varint(127) == b"\x7f"
    assert varint(300) == b"\xac\x02"


@pytest.mark.parametrize("data", [b"\x80", b"\x80\x00", b"\xff" * 11, b"\xff\xff\xff\xff\x7f", b""])
def test_bad_varint(data: bytes) -> None:
    with pytest.raises(CorruptStreamError):
        Cursor(data, "test").varint()


def test_record_bytes() -> None:
    head = UnitHeader(type=3, flags=0, segment=0x0102, layer=5, length=7)
    assert head.pack() == bytes([3, 0, 2, 1, 5, 7, 0, 0, 0, 0, 0, 0, 0])
    assert UnitHeader.unpack(Cursor(head.pack(), "test")) == head


def test_record_refuses_what_is_out_of_range() -> None:
    with pytest.raises(CorruptStreamError, match="frames must be from 1 to 4194304, got 0"):
        SegmentHead(0, 0, 16, 16, 0, 1)


def test_cursor_checks_lengths() -> None:
    cursor = Cursor(b"abc", "thing")
    with pytest.raises(CorruptStreamError, match="thing ends early"):
        cursor.take(4)
    with pytest.raises(CorruptStreamError, match="3 bytes too many"):
        cursor.end()
