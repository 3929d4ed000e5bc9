"""Bytes to a :class:`~nvcodec.format.stream.Stream`, everything checked (specification, sections 3 to 5 and 10.1).

The order of units is part of the format, so reading is one pass over them, after a survey of the heads that says what
the rest will take.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nvcodec.errors import CorruptStreamError, CutStreamError, InputError, UnsupportedVersionError, UsageError, about
from nvcodec.format import payloads
from nvcodec.format.accounting import Entry, UnitReport
from nvcodec.format.byte_source import ByteSource, is_url
from nvcodec.format.damage import Damage
from nvcodec.format.layer_reader import LayerReader
from nvcodec.format.limits import NO_LIMITS, Limits
from nvcodec.format.metadata import Metadata
from nvcodec.format.mp4_box import is_mp4, unwrap
from nvcodec.format.stream import Segment, Stream
from nvcodec.format.survey import survey
from nvcodec.format.unit_cursor import UnitCursor
from nvcodec.format.units import (
    FEATURE_1_3,
    FEATURE_1_4,
    HEADER_BYTES,
    TRACKS,
    Order,
    SegmentHead,
    Unit,
    UnitType,
    Video,
    check_file_header,
    features_of,
    is_compact,
    salvage_units,
    split_units,
)

READ_BYTES = 2**20  # read from a file at once

#: How a file may be given.
File = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


def read_file(file: File, limits: Limits = NO_LIMITS) -> Stream:
    """Read and check an SDMN file.

    Of a file that is cut inside a layer or segment, the complete ones are read, and
    :attr:`~nvcodec.format.stream.Stream.note` says so.

    Args:
        file: a path, an address of the web, the bytes of a file, or an object with ``read``, such as a file opened in
            binary mode.
        limits: what it may need; checked before anything is decoded.

    Raises:
        UsageError: this is no way to give a file.
        InputError: the file cannot be opened or is not an SDMN file.
        LimitError: it needs more than ``limits`` allow.
        UnsupportedVersionError: it needs a newer decoder.
        CorruptStreamError: it is damaged or breaks the specification.
    """
    name = name_of(file)
    with reading(name):
        stream = read_stream(bytes_of(file, limits), limits)
    stream.name = name
    return stream


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Put a file's name before errors in the block, and turn those of the operating system into InputError."""
    try:
        with about(name):
            yield
    except OSError as error:
        raise InputError(f"cannot read {name or 'the file'}: {error.strerror or error}") from None
    except MemoryError:
        raise InputError(f"there is too little memory to read {name or 'the file'}") from None


def name_of(file: File) -> str:
    """Return the name of a file, for messages; empty where it has none."""
    if isinstance(file, (str, os.PathLike)):
        return os.fspath(file)
    name = getattr(file, "name", "")
    return name if isinstance(name, str) else ""


def bytes_of(file: File, limits: Limits = NO_LIMITS) -> bytes:
    """Return the bytes of a file, however it is given; raises OSError, and as :func:`read_file`."""
    if isinstance(file, (bytes, bytearray, memoryview)):
        data = bytes(file)
        return unwrap(io.BytesIO(data), limits) if is_mp4(data[:HEADER_BYTES]) else data
    if is_url(file):
        from nvcodec.format.http_source import HttpSource  # which loads a lot

        return downloaded(HttpSource(str(file)), limits)
    if isinstance(file, (str, os.PathLike)):
        with Path(file).open("rb") as opened:
            return read_all(opened, limits)
    if not hasattr(file, "read"):
        raise UsageError(f"a file is given as a path, bytes, or an object with `read`; not as {type(file).__name__}")
    return read_all(file, limits)


def read_all(file: BinaryIO, limits: Limits = NO_LIMITS) -> bytes:
    """Read all bytes of a file that starts as an SDMN file does, or of the one in an MP4.

    Raises as :func:`read_file`.
    """
    head = b""
    while len(head) < HEADER_BYTES and (piece := file.read(HEADER_BYTES - len(head))):
        if not isinstance(piece, bytes):
            raise UsageError("the file is not open in binary mode")
        head += piece
    if is_mp4(head):
        return unwrap(file, limits)
    check_file_header(head)  # before the rest is read: a wrong file may be large
    with contextlib.suppress(AttributeError, OSError):  # not every object is a file of the operating system
        limits.check_memory(os.fstat(file.fileno()).st_size)
    pieces, size = [head], len(head)
    while piece := file.read(READ_BYTES):  # the size of a pipe is not known in advance
        pieces.append(piece)
        size += len(piece)
        limits.check_memory(size)
    return b"".join(pieces)


def downloaded(source: ByteSource, limits: Limits) -> bytes:
    """Return all bytes of a source; raises as :func:`read_file`."""
    if source.whole is not None:
        with source.whole as answer:
            return read_all(answer, limits)
    head = bytes(source.read_at(0, min(HEADER_BYTES, source.size)))
    if not is_mp4(head):
        check_file_header(head)
    limits.check_memory(source.size)
    data = bytes(source.read_at(0, source.size))
    return unwrap(io.BytesIO(data), limits) if is_mp4(head) else data


def read_stream(data: bytes, limits: Limits = NO_LIMITS, keep_going: bool = False) -> Stream:
    """Read and check a stream in memory; raises as :func:`read_file`.

    With ``keep_going``, what can be used of a damaged stream is read (specification, section 10.1):
    :attr:`~nvcodec.format.stream.Stream.damage` and each layer's ``lost`` say what is missing.
    """
    version = check_file_header(data)
    if keep_going:
        return _Reader(memoryview(data), version, limits, keep_going).read()
    try:
        return _Reader(memoryview(data), version, limits).read()
    except CutStreamError:
        ends, noun = layer_ends(data), "layer"
        if not ends:
            ends, noun = _ends(data, UnitType.SEGMENT_END), "segment"
        if not ends:
            raise
        stream = _Reader(memoryview(data)[: ends[-1]], version, limits).read()
        stream.note = cut_note(len(data), ends[-1], len(ends), noun)
        return stream


def layer_ends(data: bytes) -> list[int]:
    """The offset at which each complete layer ends; empty where segment follows segment."""
    return _ends(data, UnitType.LAYER_END)


def _ends(data: bytes, kind: UnitType) -> list[int]:
    """The offset at which each unit of a kind ends."""
    ends = []
    with contextlib.suppress(CutStreamError):
        for unit in split_units(memoryview(data)):
            if unit.header.type == kind:
                ends.append(unit.end)
    return ends


def read_video(unit: Unit, features: int) -> tuple[Video, list[Entry]]:
    """Read the VIDEO unit of a stream with these features: what it says, and where its bytes went.

    Raises:
        CorruptStreamError: it is another unit, or breaks a rule.
        UnsupportedVersionError: it needs what the features lack.
    """
    unit.check_is(UnitType.VIDEO, 0, 0)
    video, entries = payloads.unpack_video(unit)
    if video.sample_format and not features & FEATURE_1_3:
        raise UnsupportedVersionError("10 bits are not supported without the feature bit of version 1.3")
    return video, entries


def check_first_frame(head: SegmentHead, expected: int) -> None:
    """Check that a segment starts where the one before it ends; raises CorruptStreamError."""
    if head.first_frame != expected:
        raise CorruptStreamError(f"a segment starts at frame {head.first_frame}; expected {expected}")


def cut_note(file_bytes: int, used: int, ends: int, noun: str) -> str:
    """Say how much of a file that is cut can be used: so many bytes, and so many layers or segments."""
    return f"the file is cut: of its {file_bytes} bytes {used}, {ends} {noun}(s), can be used"


class _Reader:
    """One pass over the units of a stream: their order, and what to do about damage.

    Without ``keep_going``, damage raises. With it, damage is noted, and ends the layers or loses runs of frames.
    """

    def __init__(self, data: memoryview, version: tuple[int, int], limits: Limits, keep_going: bool = False) -> None:
        self.data = data
        self.version = version
        self.limits = limits
        self.features = features_of(data)
        self.compact, self.reuse = is_compact(data), bool(self.features & FEATURE_1_4)
        self.damage = Damage(keep_going)
        self.entries = [Entry(-1, "overhead", "file header", HEADER_BYTES, 0)]
        self.metadata = Metadata()
        self.track_units: list[tuple[UnitType, bytes]] = []
        # Reading all units first checks every frame and checksum before anything is decoded.
        self.units, self.cut = salvage_units(data) if keep_going else (list(split_units(data)), False)
        if self.cut:
            end = self.units[-1].end if self.units else HEADER_BYTES
            self.damage.found.append(f"the stream ends, or cannot be followed, at byte {end}")
        self.cursor = UnitCursor(self.units, self.cut, self.ancillary, self.entries, self.damage.found)
        self.hash, self.hashed_bytes = hashlib.sha256(), 0

    def read(self) -> Stream:
        video = self.video()
        networks = survey(self.units, video.peak, len(self.data), self.limits, self.damage.keep_going, self.reuse)
        self.layers = LayerReader(self.cursor, networks, self.features, self.entries, self.damage)
        segments = self.by_segment() if video.order == Order.BY_SEGMENT else self.by_layer()
        reports = [
            UnitReport(unit.name, unit.header.segment, unit.header.layer, unit.offset, unit.bytes)
            for unit in self.units
        ]
        more = len(self.data) - self.units[-1].end
        note = f"{more} bytes after the end of the stream are ignored" if more and not self.cut else ""
        size = len(self.data)
        return Stream(
            video,
            segments,
            self.metadata.values,
            self.compact,
            self.reuse,
            self.track_units,
            self.version,
            size,
            self.entries,
            reports,
            note,
            self.damage.found,
        )

    def video(self) -> Video:
        if self.units and self.units[0].header.type != UnitType.VIDEO:
            raise CorruptStreamError(f"the stream starts with {self.units[0].name}; VIDEO was expected")
        video, entries = read_video(self.cursor.next("the VIDEO unit"), self.features)
        self.entries += entries
        return video

    def by_layer(self) -> list[Segment]:
        """Read all segments, then all layers of them, and the INDEX."""
        segments: list[Segment] = []
        while (unit := self.cursor.next("a SEGMENT unit")).header.type == UnitType.SEGMENT:
            segments.append(self.segment(unit, segments))
        if not segments:
            raise CorruptStreamError("the stream has no SEGMENT unit")
        self.cursor.push_back(unit)
        number = 0
        while True:
            try:
                layers = [self.layers.layer(segment, index, number) for index, segment in enumerate(segments)]
            except CorruptStreamError as error:
                if not (self.damage.keep_going and number):
                    raise
                self.damage.found.append(f"of the layers only the first {number} can be used: {error}")
                return segments
            for segment, layer in zip(segments, layers, strict=True):
                segment.layers.append(layer)
            if self.ended(UnitType.LAYER_END, 0, number):
                return segments
            number += 1

    def by_segment(self) -> list[Segment]:
        """Read all segments, each with all its layers, and the INDEX."""
        segments: list[Segment] = []
        while True:
            try:
                segment = self.segment(self.cursor.next("a SEGMENT unit"), segments)
                expected = len(segments[0].layers) if segments else None
                segment.layers += self.layers.layers(segment, len(segments), expected)
            except CorruptStreamError as error:
                if not (self.damage.keep_going and segments):
                    raise
                self.damage.found.append(f"of the segments only the first {len(segments)} can be used: {error}")
                return segments
            segments.append(segment)
            if self.ended(UnitType.SEGMENT_END, len(segments) - 1, 0):
                return segments

    def segment(self, unit: Unit, before: list[Segment]) -> Segment:
        """Read the SEGMENT unit of the segment after those of ``before``."""
        unit.check_is(UnitType.SEGMENT, len(before), 0)
        (head, durations), entries = payloads.unpack_segment(unit)
        self.entries += entries
        check_first_frame(head, sum(segment.head.frames for segment in before))
        return Segment(head, durations, [])

    def ended(self, kind: UnitType, segment_index: int, number: int) -> bool:
        """Read an end mark, and what follows the last one; returns whether this was the last one.

        After damage, a hash cannot be compared.
        """
        unit = self.cursor.expected(kind, segment_index, number)
        if unit is not None and not self.damage.found:
            (units, digest), entries = payloads.unpack_end(unit)
            if units != unit.index:
                raise CorruptStreamError(f"{unit.where}: it states {units} units before it, there are {unit.index}")
            self.hash.update(self.data[self.hashed_bytes : unit.offset])
            self.hashed_bytes = unit.offset
            if digest != self.hash.digest()[: len(digest)]:
                raise CorruptStreamError(f"{unit.where}: the hash of all bytes before it does not match")
            self.entries += entries
        end = self.cursor.position
        after = self.cursor.next_or_none()
        if after is not None and after.header.type != UnitType.INDEX:
            self.cursor.push_back(after)
            return False
        if self.damage.found or self.cut:
            return True
        if after is not None:
            self.index(after)
            end += 1
        if end != len(self.units) - 1:
            raise CorruptStreamError(f"after the last {kind.name} only an INDEX is allowed")
        return True

    def index(self, unit: Unit) -> None:
        """Check that INDEX agrees with the units."""
        unit.check_is(UnitType.INDEX, 0, 0)
        before = ((u.header.type, u.header.segment, u.header.layer, u.offset) for u in self.units[: unit.index])
        if bytes(unit.payload) != payloads.pack_index(before):
            raise CorruptStreamError(f"{unit.where} does not agree with the units")
        self.entries.append(Entry(unit.index, "overhead", "index", len(unit.payload), 0))

    def ancillary(self, unit: Unit) -> None:
        """Take in METADATA; keep the payload of AUDIO and SUBTITLES; skip unknown units."""
        kind = unit.header.type
        if kind in (UnitType.METADATA, *TRACKS):
            unit.check_is(UnitType(kind), 0, 0)
        if kind == UnitType.METADATA:
            with self.damage.tolerated():  # not needed to decode, but nothing in a file is passed over silently
                self.metadata.add(unit.cursor())
        if kind in TRACKS:
            self.track_units.append((UnitType(kind), bytes(unit.payload)))
        if unit.payload:
            account = unit.name.lower() if kind in TRACKS else "overhead"
            self.entries.append(Entry(unit.index, account, unit.name, len(unit.payload), 0))
