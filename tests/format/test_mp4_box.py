"""An SDMN file inside an MP4: the box alone, without a muxer, and what nobody would write."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nvcodec
from nvcodec.errors import CorruptStreamError, InputError, LimitError, NvcodecError, UnsupportedVersionError
from nvcodec.format.fields import varint
from nvcodec.format.limits import Limits
from nvcodec.format.mp4_box import UUID, media_data, pack_box, unwrap
from nvcodec.format.stream_reader import read_all

FTYP = (16).to_bytes(4, "big") + b"ftypisom\0\0\0\0"


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def mp4(media: bytes, ours: bytes) -> bytes:
    return FTYP + box(b"moov", b"x" * 40) + box(b"mdat", media) + ours


def table(*numbers: int, version: int = 1, rest: bytes = b"") -> bytes:
    return box(b"uuid", UUID + bytes([version]) + b"".join(map(varint, numbers)) + rest)


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=60), st.data())
def test_round_trip(data: bytes, media: bytes, draw: st.DataObject) -> None:
    """With copies that go back and forth in the media data."""
    copies, at = [], 0
    made = bytearray()
    for _ in range(draw.draw(st.integers(0, 4))):
        own = draw.draw(st.integers(0, 5))
        offset = draw.draw(st.integers(0, len(media) - 1))
        size = draw.draw(st.integers(1, len(media) - offset))
        made += data[at : at + own]
        at = min(len(data), at + own)
        copies.append((len(made), offset, size))
        made += media[offset : offset + size]
    made += data[at:]
    file = mp4(media, pack_box(bytes(made), copies))
    if len(made) <= len(file):
        assert unwrap(io.BytesIO(file)) == made
        moved = FTYP + box(b"free", bytes(9)) + file[len(FTYP) :]  # as programs do that make a file start fast
        assert unwrap(io.BytesIO(moved)) == made
        assert unwrap(io.BytesIO(file + box(b"free", b"later"))) == made
    begin, end = media_data(file)
    assert file[begin:end] == media


def test_pieces_that_follow_each_other_are_one() -> None:
    """The table then has one row: nothing before it, from 3 on, 6 bytes."""
    packed = pack_box(b"abcdefXY", [(0, 3, 4), (4, 7, 2)])
    assert packed == box(b"uuid", UUID + b"\1" + bytes([1, 0, 6, 6]) + b"XY")
    assert unwrap(io.BytesIO(mp4(b"...abcdef", packed))) == b"abcdefXY"


def test_large_boxes() -> None:
    """With sizes of 64 bits, or up to the end of the file."""
    ours = pack_box(b"abcdXY", [(0, 1, 4)])[8:]
    large = FTYP + b"\0\0\0\1mdat" + (16 + 6).to_bytes(8, "big") + b".abcd." + b"\0\0\0\0uuid" + ours
    assert unwrap(io.BytesIO(large)) == b"abcdXY"


@pytest.mark.parametrize(
    ("ours", "error", "said"),
    [
        (b"", InputError, "has no nvcodec box: another"),
        (box(b"uuid", b"x" * 40), InputError, "has no nvcodec box"),
        (box(b"uuid", UUID[:9]), InputError, "has no nvcodec box"),
        (b"\0\0\0\3uuid" + UUID, InputError, "has no nvcodec box"),
        (b"\0\0\x10\0mdat", InputError, "has no nvcodec box, and the file is cut: "),
        (table(0)[:-1], CorruptStreamError, "is cut 1 bytes before the end of its nvcodec box"),
        (box(b"uuid", UUID), CorruptStreamError, "ends early"),
        (table(0, version=2), UnsupportedVersionError, "version 2 of the nvcodec box"),
        (table(2, 0, 0, 0), CorruptStreamError, "3 bytes for 2 pieces"),
        (table(2**32 - 1), CorruptStreamError, "0 bytes for 4294967295 pieces"),
        (table(1, 0, 0, 11), CorruptStreamError, "outside"),
        (table(1, 0, 1, 1), CorruptStreamError, "outside"),
        (table(1, 0, 20, 1), CorruptStreamError, "outside"),
        (table(1, 2**32 - 1, 0, 1), CorruptStreamError, "outside"),
        (table(1, 5, 0, 1, rest=b"four"), CorruptStreamError, "ends early"),
        (table(40, *[0, 0, 10, 0, 19, 10] * 20), CorruptStreamError, "outside"),  # more than the MP4 has bytes
    ],
)
def test_what_is_refused(ours: bytes, error: type[NvcodecError], said: str) -> None:
    file = mp4(b"0123456789", ours)
    with pytest.raises(error, match=said):
        unwrap(io.BytesIO(file))
    with pytest.raises(error, match=said):
        nvcodec.open(file, device="cpu")
    with pytest.raises(error, match=said):
        nvcodec.info(file)


@given(st.binary(max_size=60), st.integers(0, 120), st.binary(max_size=3))
def test_hostile_boxes(content: bytes, at: int, change: bytes) -> None:
    """Whatever is in the box, and however a good one is changed: no more bytes than the MP4 has, or an error."""
    good = bytearray(mp4(b"0123456789", pack_box(b"ab1234cd", [(2, 1, 4)])))
    good[at : at + len(change)] = change
    for file in (mp4(b"0123456789", box(b"uuid", UUID + content)), bytes(good)):
        try:
            assert len(unwrap(io.BytesIO(file))) <= len(file)
        except NvcodecError as error:
            assert "\n" not in str(error)


class Huge(io.RawIOBase):
    """A file of a terabyte, most of it media data, which counts what is read of it."""

    def __init__(self, head: bytes) -> None:
        self.head, self.at, self.bytes_read = head, 0, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = 2**40 if whence == io.SEEK_END else offset
        return self.at

    def read(self, count: int = -1) -> bytes:
        assert count >= 0
        self.bytes_read += count
        piece = self.head[self.at : self.at + count]
        self.at += count
        return piece + bytes(min(count, 2**40 - self.at + count) - len(piece))


def test_a_huge_foreign_file_is_not_read() -> None:
    file = Huge(FTYP + b"\0\0\0\1mdat" + (2**40 - len(FTYP)).to_bytes(8, "big"))
    with pytest.raises(InputError, match="no nvcodec box"):
        read_all(file)  # type: ignore[arg-type]
    assert file.bytes_read < 200
    boxes = Huge(FTYP + box(b"free", b"") * 100_000)
    with pytest.raises(InputError, match="no nvcodec box"):
        read_all(boxes)  # type: ignore[arg-type]
    assert boxes.bytes_read < 20_000


def test_limits() -> None:
    file = mp4(bytes(2**20), table(0, rest=b"x"))
    with pytest.raises(LimitError):
        unwrap(io.BytesIO(file), Limits(None, 2**20))
