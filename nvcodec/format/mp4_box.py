"""An SDMN file inside an MP4 file that any player shows (specification, section 13).

The MP4 has the AV1 stream and the packets of sound as its own samples; a box at its end has the rest, and says where
the pieces of the file are.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import BinaryIO, NamedTuple

from nvcodec.errors import CorruptStreamError, InputError, UnsupportedVersionError
from nvcodec.format.fields import Cursor, varint
from nvcodec.format.limits import NO_LIMITS, Limits

UUID = bytes.fromhex("9c2f1e0a53444d4eb7d16e7663646563")
BOX_VERSION = 1
_KIND_BYTES, _SIZE_BYTES = 4, 4
_HEAD_BYTES = 8  # of a box: size and kind
_LARGE_BYTES = 8  # of its size, where that is 1
MOST_BOXES = 1000  # that are looked at; each costs a read, never its contents
LEAST_PIECE_BYTES = 3  # of the table


class Piece(NamedTuple):
    """A piece of an SDMN file: so many bytes of the box, and then so many of the media data, from an offset on."""

    own: int
    offset: int
    copied: int


class _Box(NamedTuple):
    """A box on the outermost level: its kind, and where its contents begin and end."""

    kind: bytes
    start: int
    end: int


def is_mp4(head: bytes) -> bool:
    """Whether a file begins as an MP4 does."""
    return head[_SIZE_BYTES:_HEAD_BYTES] == b"ftyp"


def unwrap(file: BinaryIO, limits: Limits = NO_LIMITS) -> bytes:
    """Return the SDMN file inside an MP4, byte for byte; its own checksums are still to be checked.

    Of an MP4 without one, only the heads of its boxes are read.

    Raises:
        InputError: there is none in it.
        LimitError: it takes more memory than is allowed.
        CorruptStreamError: its box is cut or damaged.
        UnsupportedVersionError: the box is of a later version.
    """
    if not (hasattr(file, "seekable") and file.seekable()):
        raise InputError("an MP4 cannot be read from a pipe; name the file")
    boxes, size = _boxes(file)
    box = next((box for box in boxes if box.kind == b"uuid" and _at(file, box.start, len(UUID)) == UUID), None)
    if box is None:
        cut = ", and the file is cut" if boxes and boxes[-1].end > size else ""
        raise InputError(
            f"this MP4 has no nvcodec box{cut}: another program wrote it, or copied it without the networks; "
            "players show its video"
        )
    if box.end > size:
        raise CorruptStreamError(
            f"the MP4 is cut {box.end - size} bytes before the end of its nvcodec box: the networks are lost; "
            "players show its video"
        )
    limits.check_memory(size)
    media = next((box for box in boxes if box.kind == b"mdat"), _Box(b"mdat", 0, 0))
    cursor = Cursor(_at(file, box.start + len(UUID), box.end - box.start - len(UUID)), "the nvcodec box", compact=True)
    pieces = _read_table(cursor, size, media.end - media.start)
    out = [b""]
    for own, offset, copied in pieces:
        out.append(bytes(cursor.take(own)))
        out.append(_at(file, media.start + offset, copied))
    out.append(bytes(cursor.take(cursor.left)))
    return b"".join(out)


def _boxes(file: BinaryIO) -> tuple[list[_Box], int]:
    """Return the boxes on the outermost level, up to what is no box, and the size of the file."""
    size = file.seek(0, io.SEEK_END)
    boxes: list[_Box] = []
    at = 0
    while at < size and len(boxes) < MOST_BOXES:
        head = _at(file, at, _HEAD_BYTES + _LARGE_BYTES)
        length, kind, start = int.from_bytes(head[:_SIZE_BYTES], "big"), head[_SIZE_BYTES:_HEAD_BYTES], at + _HEAD_BYTES
        if length == 1:
            length, start = int.from_bytes(head[_HEAD_BYTES:], "big"), start + _LARGE_BYTES
        elif length == 0:
            length = size - at
        if length < start - at:
            break
        boxes.append(_Box(kind, start, at + length))
        at += length
    return boxes, size


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Read bytes from an offset on; fewer at the end of the file."""
    file.seek(offset)
    return file.read(count)


def _read_table(cursor: Cursor, size: int, media: int) -> list[Piece]:
    """Read version and table of pieces.

    Args:
        cursor: at the version.
        size: bytes of the MP4, which no file inside it exceeds.
        media: bytes of the media data.

    Raises:
        CorruptStreamError: they break the specification.
        UnsupportedVersionError: the version is unknown.
    """
    if (version := cursor.fixed("B")) != BOX_VERSION:
        raise UnsupportedVersionError(f"version {version} of the nvcodec box is not supported; this program reads 1")
    count = cursor.varint()
    if count > cursor.left // LEAST_PIECE_BYTES:
        raise CorruptStreamError(f"the nvcodec box has {cursor.left} bytes for {count} pieces")
    pieces = []
    end = total = 0
    for _ in range(count):
        own, step, copied = cursor.integer("I"), cursor.integer("q"), cursor.integer("I")
        offset = end + step
        end, total = offset + copied, total + own + copied
        if offset < 0 or end > media or total > size:
            raise CorruptStreamError("a piece in the nvcodec box lies outside the file")
        pieces.append(Piece(own, offset, copied))
    return pieces


def pack_box(data: bytes, copies: Iterable[tuple[int, int, int]]) -> bytes:
    """Return the box of an SDMN file.

    Args:
        data: the SDMN file.
        copies: what the media data have of it, in the order of the SDMN file: offsets in the SDMN file and in the media
            data, and how many bytes.
    """
    table, own, count = bytearray(), bytearray(), 0
    done = end = 0
    for start, offset, size in _joined(copies):
        step = offset - end
        table += varint(start - done) + varint(2 * step if step >= 0 else -2 * step - 1) + varint(size)
        own += data[done:start]
        done, end, count = start + size, offset + size, count + 1
    body = UUID + bytes([BOX_VERSION]) + varint(count) + bytes(table) + bytes(own) + data[done:]
    size = _HEAD_BYTES + len(body)
    if size < 2**32:
        return size.to_bytes(_SIZE_BYTES, "big") + b"uuid" + body
    return (1).to_bytes(_SIZE_BYTES, "big") + b"uuid" + (size + _LARGE_BYTES).to_bytes(_LARGE_BYTES, "big") + body


def media_data(data: bytes) -> tuple[int, int]:
    """Return where the media data of an MP4 begin and end; twice 0 where there are none."""
    boxes, _ = _boxes(io.BytesIO(data))
    return next(((box.start, box.end) for box in boxes if box.kind == b"mdat"), (0, 0))


def _joined(copies: Iterable[tuple[int, int, int]]) -> Sequence[tuple[int, int, int]]:
    """Join copies that follow each other both where they come from and where they go."""
    joined: list[tuple[int, int, int]] = []
    for start, offset, size in copies:
        if joined and (start - joined[-1][0], offset - joined[-1][1]) == (joined[-1][2], joined[-1][2]):
            joined[-1] = (*joined[-1][:2], joined[-1][2] + size)
        else:
            joined.append((start, offset, size))
    return joined
