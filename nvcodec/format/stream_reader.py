"""Bytes to a :class:`~nvcodec.format.stream.Stream`, everything checked (specification, sections 3 to 5 and 10.1).

The order of units is part of the format, so reading is one pass over them, after a survey of the heads that says what
the rest will take.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nvcodec.errors import CorruptStreamError, CutStreamError, InputError, UnsupportedVersionError
from nvcodec.format import payloads
from nvcodec.format.accounting import Entry, UnitReport
from nvcodec.format.limits import NO_LIMITS, Limits
from nvcodec.format.metadata import Metadata
from nvcodec.format.operations import Grid, Transmitted
from nvcodec.format.payloads import Latents
from nvcodec.format.stream import Layer, Segment, Stream
from nvcodec.format.survey import survey
from nvcodec.format.unit_cursor import UnitCursor
from nvcodec.format.units import (
    FEATURE_1_1,
    HEADER_BYTES,
    LatentsHead,
    Unit,
    UnitType,
    Video,
    check_file_header,
    salvage_units,
    split_units,
)

READ_BYTES = 2**20  # read from a file at once
MAX_RUN = 2**10  # frames, or knots, of a run


def read_file(path: str | os.PathLike[str], limits: Limits = NO_LIMITS) -> Stream:
    """Read and check an SDMN file.

    Of a file that is cut inside a layer, the complete layers are read, and :attr:`~nvcodec.format.stream.Stream.note`
    says so.

    Args:
        path: the file.
        limits: what it may need; checked before anything is decoded.

    Raises:
        InputError: the file cannot be opened or is not an SDMN file.
        LimitError: it needs more than ``limits`` allow.
        UnsupportedVersionError: it needs a newer decoder.
        CorruptStreamError: it is damaged or breaks the specification.
    """
    try:
        with Path(path).open("rb") as file:
            return read_stream(read_all(file, limits), limits)
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    except MemoryError:
        raise InputError(f"there is too little memory to read {os.fspath(path)}") from None


def read(source: str | os.PathLike[str] | bytes, limits: Limits = NO_LIMITS) -> Stream:
    """Read and check a file, given its path or its bytes; raises as :func:`read_file`."""
    return read_stream(source, limits) if isinstance(source, bytes) else read_file(source, limits)


def read_all(file: BinaryIO, limits: Limits = NO_LIMITS) -> bytes:
    """Read all bytes of a file that starts as an SDMN file does; raises as :func:`read_file`."""
    head = file.read(HEADER_BYTES)
    check_file_header(head)  # before the rest is read: a wrong file may be large
    limits.check_memory(os.fstat(file.fileno()).st_size)
    pieces, size = [head], len(head)
    while piece := file.read(READ_BYTES):  # the size of a pipe is not known in advance
        pieces.append(piece)
        size += len(piece)
        limits.check_memory(size)
    return b"".join(pieces)


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
        ends = layer_ends(data)
        if not ends:
            raise
        stream = _Reader(memoryview(data)[: ends[-1]], version, limits).read()
        stream.note = f"the file is cut: of its {len(data)} bytes {ends[-1]}, {len(ends)} layer(s), can be used"
        return stream


def layer_ends(data: bytes) -> list[int]:
    """The offset at which each complete layer ends."""
    ends = []
    with contextlib.suppress(CutStreamError):
        for unit in split_units(memoryview(data)):
            if unit.header.type == UnitType.LAYER_END:
                ends.append(unit.end)
    return ends


class _Reader:
    """One pass over the units of a stream: their order, and what to do about damage.

    Without ``keep_going``, damage raises. With it, damage is noted, and ends the layers or loses runs of frames.
    """

    def __init__(self, data: memoryview, version: tuple[int, int], limits: Limits, keep_going: bool = False) -> None:
        self.data = data
        self.version = version
        self.limits = limits
        self.keep_going = keep_going
        self.by_rows = bool(data[10] & FEATURE_1_1)
        self.damage: list[str] = []
        self.entries = [Entry(-1, "overhead", "file header", HEADER_BYTES, 0)]
        self.metadata = Metadata()
        # Reading all units first checks every frame and checksum before anything is decoded.
        self.units, self.cut = salvage_units(data) if keep_going else (list(split_units(data)), False)
        if self.cut:
            end = self.units[-1].end if self.units else HEADER_BYTES
            self.damage.append(f"the stream ends, or cannot be followed, at byte {end}")
        self.cursor = UnitCursor(self.units, self.cut, self.ancillary, self.entries, self.damage)
        self.hash, self.hashed_bytes = hashlib.sha256(), 0

    def read(self) -> Stream:
        self.networks = survey(self.units, len(self.data), self.limits, self.keep_going)
        video = self.video()
        segments = self.segments()
        self.layers(segments)
        reports = [
            UnitReport(unit.name, unit.header.segment, unit.header.layer, unit.offset, unit.bytes)
            for unit in self.units
        ]
        more = len(self.data) - self.units[-1].end
        note = f"{more} bytes after the end of the stream are ignored" if more and not self.cut else ""
        size = len(self.data)
        return Stream(
            video, segments, self.metadata.values, self.version, size, self.entries, reports, note, self.damage
        )

    def video(self) -> Video:
        if self.units and self.units[0].header.type != UnitType.VIDEO:
            raise CorruptStreamError(f"the stream starts with {self.units[0].name}; VIDEO was expected")
        unit = self.cursor.next("the VIDEO unit")
        unit.check_is(UnitType.VIDEO, 0, 0)
        video, entries = payloads.unpack_video(unit)
        self.entries += entries
        return video

    def segments(self) -> list[Segment]:
        segments: list[Segment] = []
        frames = 0
        while (unit := self.cursor.next("a SEGMENT unit")).header.type == UnitType.SEGMENT:
            unit.check_is(UnitType.SEGMENT, len(segments), 0)
            (head, durations), entries = payloads.unpack_segment(unit)
            self.entries += entries
            if head.first_frame != frames:
                raise CorruptStreamError(f"a segment starts at frame {head.first_frame}; expected {frames}")
            frames += head.frames
            segments.append(Segment(head, durations, []))
        if not segments:
            raise CorruptStreamError("the stream has no SEGMENT unit")
        self.cursor.push_back(unit)
        return segments

    def layers(self, segments: list[Segment]) -> None:
        """Read all layers of all segments, and the INDEX."""
        number = 0
        while True:
            try:
                layers = [self.layer(index, number, segment) for index, segment in enumerate(segments)]
            except CorruptStreamError as error:
                if not (self.keep_going and number):
                    raise
                self.damage.append(f"of the layers only the first {number} can be used: {error}")
                return
            for segment, layer in zip(segments, layers, strict=True):
                segment.layers.append(layer)
            self.layer_end(number)
            end = self.cursor.position
            after = self.cursor.next_or_none()
            if after is None or after.header.type == UnitType.INDEX:
                break
            self.cursor.push_back(after)
            number += 1
        if self.damage or self.cut:
            return
        if after is not None:
            self.index(after)
            end += 1
        if end != len(self.units) - 1:
            raise CorruptStreamError("after the last LAYER_END only an INDEX is allowed")

    def layer(self, segment_index: int, number: int, segment: Segment) -> Layer:
        """Read layer ``number`` of a segment."""
        unit = self.cursor.needed(UnitType.NETWORK, segment_index, number)
        if unit.index not in self.networks:
            raise CorruptStreamError(f"{unit.where} breaks a rule")
        ops, tensors = self.networks[unit.index]
        if not self.by_rows and any(isinstance(op, Grid) for op in ops):
            raise UnsupportedVersionError("a GRID is not supported without the feature bit of version 1.1")
        self.entries.append(Entry(unit.index, "side_info", "network", len(unit.payload), 0))
        unit = self.cursor.needed(UnitType.WEIGHTS, segment_index, number)
        convs, entries = payloads.unpack_weights(unit, ops, tensors, self.by_rows)
        self.entries += entries
        latents: dict[int, Latents] = {}
        lost: list[range] = []
        for op_index, op in enumerate(ops):
            if isinstance(op, Transmitted):
                runs = _Runs(op_index, op, segment.head.frames)
                self.latents(runs, segment_index, number)
                latents[op_index] = runs.values()
                lost += runs.lost
        group, checksums = 1, np.zeros(0, np.uint32)
        if found := self.cursor.expected(UnitType.CHECKSUMS, segment_index, number):
            with self.tolerance():
                (group, checksums), entries = payloads.unpack_checksums(found, segment.head.frames)
                self.entries += entries
        return Layer(ops, tensors, convs, latents, group, checksums, tuple(lost))

    def latents(self, runs: _Runs, segment_index: int, number: int) -> None:
        """Read all runs of an operation."""
        while runs.done < runs.total:
            unit = self.cursor.expected(UnitType.LATENTS, segment_index, number)
            if unit is None:
                runs.lose(runs.total)
                return
            head = LatentsHead.unpack(unit.cursor())
            if self.cursor.gap and head.op != runs.op_index:
                self.cursor.push_back(unit)
                runs.lose(runs.total)
                return
            if self.cursor.gap and runs.done < head.first < runs.total:
                runs.lose(head.first)
            runs.check_next(unit, head)
            with self.tolerance():
                values, entries = payloads.unpack_latents(unit, runs.op, self.by_rows)
                self.entries += entries
                runs.add(values)
                continue
            runs.lose(runs.done + head.frames)

    def layer_end(self, number: int) -> None:
        """Read LAYER_END; after damage its hash cannot be compared."""
        unit = self.cursor.expected(UnitType.LAYER_END, 0, number)
        if unit is None or self.damage:
            return
        (units, digest), entries = payloads.unpack_layer_end(unit)
        if units != unit.index:
            raise CorruptStreamError(f"{unit.where}: it states {units} units before it, there are {unit.index}")
        self.hash.update(self.data[self.hashed_bytes : unit.offset])
        self.hashed_bytes = unit.offset
        if digest != self.hash.digest():
            raise CorruptStreamError(f"{unit.where}: the hash of all bytes before it does not match")
        self.entries += entries

    def index(self, unit: Unit) -> None:
        """Check that INDEX agrees with the units."""
        unit.check_is(UnitType.INDEX, 0, 0)
        before = ((u.header.type, u.header.segment, u.header.layer, u.offset) for u in self.units[: unit.index])
        if bytes(unit.payload) != payloads.pack_index(before):
            raise CorruptStreamError(f"{unit.where} does not agree with the units")
        self.entries.append(Entry(unit.index, "overhead", "index", len(unit.payload), 0))

    def ancillary(self, unit: Unit) -> None:
        """Take in METADATA; skip AUDIO and unknown units."""
        kind = unit.header.type
        if kind in (UnitType.METADATA, UnitType.AUDIO):
            unit.check_is(UnitType(kind), 0, 0)
        if kind == UnitType.METADATA:
            with self.tolerance():  # not needed to decode, but nothing in a file is passed over silently
                self.metadata.add(unit.cursor())
        if unit.payload:
            self.entries.append(Entry(unit.index, "overhead", unit.name, len(unit.payload), 0))

    @contextlib.contextmanager
    def tolerance(self) -> Iterator[None]:
        """With ``keep_going``, note as damage what is corrupt in the block instead of raising it."""
        try:
            yield
        except CorruptStreamError as error:
            if not self.keep_going:
                raise
            self.damage.append(str(error))


class _Runs:
    """The latents of one operation, run by run.

    Args:
        op_index: index of the operation.
        op: the operation.
        frames: number of frames of the segment.

    Attributes:
        total: number of frames, or knots, of the operation.
        done: how many of them the runs so far have.
        lost: frames whose values are lost.
    """

    def __init__(self, op_index: int, op: Transmitted, frames: int) -> None:
        self.op_index = op_index
        self.op = op
        self.total = op.transmitted(frames)
        self.done = 0
        self.lost: list[range] = []
        self.runs: list[Latents] = []
        self.noun = "knots" if isinstance(op, Grid) else "frames"

    def check_next(self, unit: Unit, head: LatentsHead) -> None:
        """Check that a unit holds the next run; raises CorruptStreamError."""
        if (head.op, head.first) != (self.op_index, self.done) or head.frames > self.total - self.done:
            raise CorruptStreamError(
                f"{unit.where}: {self.noun} {head.first} to {head.first + head.frames} of operation {head.op}; "
                f"expected operation {self.op_index} from {self.done} of {self.total}"
            )
        if head.frames > MAX_RUN:
            raise CorruptStreamError(f"{unit.where}: {head.frames} {self.noun} in a run; at most {MAX_RUN} are allowed")

    def add(self, values: Latents) -> None:
        """Add a run, [frames or knots, values of one]."""
        self.runs.append(values)
        self.done += len(values)

    def lose(self, until: int) -> None:
        """Fill up to frame ``until`` with some value in the operation's range.

        Raises:
            CorruptStreamError: the operation is a GRID, all of whose knots are needed.
        """
        if isinstance(self.op, Grid):
            raise CorruptStreamError(f"knots of operation {self.op_index}, which all frames need, are damaged")
        self.lost.append(range(self.done, until))
        filler = np.int16(min(max(0, self.op.low), self.op.high))
        self.add(np.broadcast_to(filler, (until - self.done, self.op.elements)))

    def values(self) -> Latents:
        """All values, [frames or knots, channels, height, width]."""
        values = self.runs[0] if len(self.runs) == 1 else np.concatenate(self.runs)
        return values.reshape(self.total, self.op.channels, self.op.height, self.op.width)
