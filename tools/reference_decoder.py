"""A second decoder of SDMN files, to be read beside bitstream_spec.md.

It was written from the specification alone and shares nothing with nvcodec. It is laid out like the specification,
section by section, and is plain rather than fast: pure Python for the range decoder, NumPy integers for the pictures,
floating point nowhere. It needs Python and NumPy, and for files with BASE units PyAV, which decodes AV1. A sample
of 10 bits is given as two bytes, the lower one first.

    python tools/reference_decoder.py FILE                    the MD5 of the RGB bytes of all frames, and their number
    python tools/reference_decoder.py FILE --frames           that of each frame, a line a frame
    python tools/reference_decoder.py FILE --layers 1         what the lowest layer alone yields
    python tools/reference_decoder.py FILE --interpolate 3    with two frames more between each two

It ends with the exit status of section 10 and one sentence on stderr.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import struct
import sys
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# ======================================================================================================================
# 1 Terms
# ======================================================================================================================

U8, U16, U32, U64, I16, I64 = "B", "H", "I", "Q", "h", "q"  # as the module `struct` writes them
M32, M64 = 2**32 - 1, 2**64 - 1


class Reader:
    """Reads the fields of a payload from front to back; `features` are those of the file (section 2)."""

    def __init__(self, data: bytes, features: int = 1) -> None:
        self.data, self.features, self.at = data, features, 0

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        if n > len(self.data) - self.at:
            raise TooShort("a payload is too short")
        self.at += n
        return self.data[self.at - n : self.at]

    def fixed(self, codes: str) -> tuple[int, ...]:
        """Fields of fixed size, in every file."""
        return struct.unpack("<" + codes, self.take(struct.calcsize("<" + codes)))

    def read(self, codes: str) -> tuple[int, ...]:
        """Fields of fixed size, or in compact form a varint or svarint for each."""
        if not self.features & COMPACT:
            return self.fixed(codes)
        tops = [(code, 256 ** struct.calcsize("<" + code) - 1) for code in codes]
        return tuple(self.varint(0, top) if code.isupper() else self.svarint(top) for code, top in tops)

    def varint(self, low: int, high: int) -> int:
        """A varint from low to high."""
        value = shift = 0
        while (byte := self.take(1)[0]) > 127:
            value, shift = value | (byte & 127) << shift, shift + 7
            need(shift < 64, "a varint is too long")
        need(byte > 0 or shift == 0, "a varint takes more bytes than it needs")
        value |= byte << shift
        need(low <= value <= high, f"a varint is {value}, not from {low} to {high}")
        return value

    def svarint(self, high: int) -> int:
        """An svarint, whose varint is at most `high`."""
        value = self.varint(0, high)
        return -(value + 1) // 2 if value % 2 else value // 2

    def done(self) -> None:
        """The payload must end here."""
        need(self.at == len(self.data), "a payload is too long")


@dataclass
class Stream:
    """A parsed file; `video` has the fields of 4.1, `note` says what is there of a file that is cut."""

    video: dict[str, int]
    segments: list[Segment]
    metadata: dict[str, Any]
    layers: int = 0
    note: str = ""

    @property
    def frames(self) -> int:
        """Frames of all segments."""
        return sum(segment.frames for segment in self.segments)


@dataclass
class Segment:
    """A segment (4.2); without a list of durations, all are `constant_duration`."""

    first_frame: int
    frames: int
    width: int
    height: int
    first_pts: int
    constant_duration: int
    durations: list[int] = field(default_factory=list, init=False)
    layers: list[Layer] = field(default_factory=list, init=False)

    @property
    def has_picture(self) -> bool:
        """Whether its layer 0 is an AV1 stream, so that there is nothing between its frames (8.3)."""
        return any(op.code in PICTURES for op in self.layers[0].ops)


@dataclass
class Layer:
    """A layer of a segment; `convs` and `latents` go by the place of the operation."""

    ops: list[Op]
    convs: dict[int, Conv] = field(default_factory=dict)
    latents: dict[int, np.ndarray] = field(default_factory=dict)  # [frames or knots, channels, height, width]
    runs: list[Run] = field(default_factory=list)  # of PICTURE
    group: int = 1  # frames that a checksum covers
    sums: list[int] = field(default_factory=list)  # empty where there are no CHECKSUMS

    def with_runs(self) -> list[int]:
        """The indices of the operations that have runs: LATENT, GRID, PICTURE and PICTURE10."""
        return [place for place, op in enumerate(self.ops) if op.code in (LATENT, GRID, *PICTURES)]


# ======================================================================================================================
# 2 File header
# ======================================================================================================================

MAGIC = b"\x89SDM\r\n\x1a\n"
MAJOR, MINOR = 1, 4
ROWS, COMPACT, TEN_BITS, AGAIN = 1, 2, 4, 8  # bits of the mask of features: what versions 1.1, 1.2, 1.3, 1.4 brought
FEATURES = ROWS | COMPACT | TEN_BITS | AGAIN


def read_header(data: bytes) -> int:
    """Check the file header; returns its mask of features."""
    if data[:8] != MAGIC:
        raise NotSdmn("this is no SDMN file")
    need(len(data) >= 18, "the file header is cut off")
    major, minor, features, checksum = struct.unpack_from("<BBII", data, 8)
    if major != MAJOR:
        raise NotSupported(f"version {major}.{minor} is not supported")
    if checksum != zlib.crc32(data[:14]):
        need(minor > MINOR, "the checksum of the file header does not match")
        raise NotSupported(f"version {major}.{minor} is not supported")
    if features & ~FEATURES:
        raise NotSupported(f"the features {features:#x} are not supported")
    return features


# ======================================================================================================================
# 3 Units
# ======================================================================================================================

VIDEO, SEGMENT, NETWORK, WEIGHTS, LATENTS, CHECKSUMS, LAYER_END, BASE, SEGMENT_END = range(1, 10)
INDEX, METADATA, AUDIO, SUBTITLES = range(32, 36)


class Unit(NamedTuple):
    """One unit of the file; its first byte is at `offset`."""

    type: int
    segment: int
    layer: int
    payload: bytes
    offset: int


def known(kind: int, features: int) -> bool:
    """Whether there are units of this type; BASE and SEGMENT_END are known in compact form only."""
    return VIDEO <= kind <= (SEGMENT_END if features & COMPACT else LAYER_END) or INDEX <= kind <= SUBTITLES


def read_units(data: bytes, features: int) -> tuple[list[Unit], bool]:
    """All units, with what is checked for each by itself; and whether the file ends inside one more."""
    units: list[Unit] = []
    r = Reader(data, features)
    r.take(18)
    while r.at < len(data):
        at = r.at
        need(data[at : at + 8] != MAGIC, f"at byte {at} another file begins")
        need(len(units) < MAX_UNITS, "there are too many units")
        try:
            (kind,) = r.read(U8)
            (flags,) = (kind >= INDEX,) if features & COMPACT else r.read(U8)
            segment, layer, length = r.read(U16 + U8 + U64)
            payload = r.take(length)
            computed = zlib.crc32(data[at : r.at])
            (checksum,) = r.fixed(U32)
        except TooShort:
            return units, True
        need(checksum == computed, f"the checksum of the unit at byte {at} does not match")
        need(flags <= 1, f"the unit at byte {at} has unknown flags")
        if known(kind, features):
            need(flags == (kind >= INDEX), f"the unit at byte {at} has the wrong ancillary flag")
        elif flags == 0:
            raise NotSupported(f"units of type {kind} are not supported")
        units.append(Unit(kind, segment, layer, payload, at))
    return units, False


class Cut(Exception):
    """The units end where more were expected."""


class Units:
    """Gives the units of the file `data` in order; METADATA is taken in on the way, what may be skipped is."""

    def __init__(self, data: bytes, features: int) -> None:
        self.units, self.cut = read_units(data, features)
        self.data, self.features, self.at = data, features, 0
        self.metadata: dict[str, Any] = {}
        self.room = MAX_METADATA
        self.peak = 255  # the largest sample of a picture

    def peek(self) -> tuple[int, int, int]:
        """Type, segment and layer of the next unit that is not skipped."""
        while self.at < len(self.units):
            unit = self.units[self.at]
            if unit.type in (METADATA, AUDIO, SUBTITLES):
                need(unit[1:3] == (0, 0), "METADATA, AUDIO or SUBTITLES belongs to a segment or layer")
            if unit.type == METADATA:
                found, size = read_metadata(Reader(unit.payload, self.features), self.room)
                self.metadata.update(found)
                self.room -= size
            elif unit.type not in (AUDIO, SUBTITLES) and known(unit.type, self.features):
                return unit[:3]
            self.at += 1
        raise Cut

    def take(self, kind: int, segment: int, layer: int) -> Reader:
        """The payload of the next unit, which must be this one."""
        need(self.peek() == (kind, segment, layer), "units are missing or out of order")
        self.at += 1
        return Reader(self.units[self.at - 1].payload, self.features)

    def end(self) -> bool:
        """Whether the file ends here, or with an INDEX that comes next."""
        if self.at < len(self.units) and self.units[self.at].type == INDEX:
            read_index(self.take(INDEX, 0, 0), self.units[: self.at - 1])
            need(self.at == len(self.units), "a unit follows after INDEX")
            if self.cut:
                raise Cut
        return self.at == len(self.units) and not self.cut


def parse(data: bytes) -> Stream:
    """Read a whole file and check everything that must hold of it. Of a file that is cut, the layers, or segments, that
    are complete are offered, and `note` says so."""
    units = Units(data, read_header(data))
    stream = Stream({}, [], {})
    try:
        need(not units.units or units.units[0].type == VIDEO, "the first unit is not VIDEO")
        stream.video = read_video(units.take(VIDEO, 0, 0))
        units.peak = (255, 1023)[stream.video["sample_format"]]
        (segment_after_segment if stream.video["order"] else layer_after_layer)(units, stream)
    except Cut:
        need(stream.layers > 0, "the file is cut off")
        complete = f"{len(stream.segments)} segments" if stream.video["order"] else f"{stream.layers} layers"
        stream.note = f"the file is cut: {complete} of it are complete"
        for segment in stream.segments:
            del segment.layers[stream.layers :]
    for segment in stream.segments:
        for run in segment.layers[0].runs:
            decode_run(run)
    return stream


def layer_after_layer(units: Units, stream: Stream) -> None:
    """All units from the first SEGMENT on, in this order."""
    totals = {"weights": 0, "latents": 0, "again": 0}
    while units.peek()[0] == SEGMENT:
        reader = units.take(SEGMENT, len(stream.segments), 0)
        stream.segments.append(read_segment(reader, stream.frames))
    need(bool(stream.segments), "the stream has no segments")
    while True:
        for number, segment in enumerate(stream.segments):
            layer = read_layer(units, stream.segments[:number], segment, totals)
            for place in layer.with_runs():
                done = 0
                while done < total(segment, layer.ops[place]):
                    done = read_run(units, number, segment, stream.layers, place, done)
            read_checksums(units, number, segment, stream.layers)
        read_end(units.take(LAYER_END, 0, stream.layers), units)
        stream.layers += 1
        stream.metadata = dict(units.metadata)
        if units.end():
            return


def segment_after_segment(units: Units, stream: Stream) -> None:
    """All units from the first SEGMENT on, in this order."""
    totals = {"weights": 0, "latents": 0, "again": 0}
    while True:
        number = len(stream.segments)
        segment = read_segment(units.take(SEGMENT, number, 0), stream.frames)
        while len(segment.layers) < max(1, stream.layers) or (number == 0 and units.peek()[0] == NETWORK):
            read_layer(units, stream.segments, segment, totals)
        # of each operation that has runs to come, what the next one is sorted by, and how many frames or knots are done
        coming = [(0, level, place, 0) for level, layer in enumerate(segment.layers) for place in layer.with_runs()]
        while coming:
            _, level, place, done = min(coming)
            coming.remove(min(coming))
            op = segment.layers[level].ops[place]
            done = read_run(units, number, segment, level, place, done)
            if done < total(segment, op):
                coming.append((0 if op.code == GRID else done, level, place, done))
        for level in range(len(segment.layers)):
            read_checksums(units, number, segment, level)
        read_end(units.take(SEGMENT_END, number, 0), units)
        stream.segments.append(segment)
        stream.layers = len(segment.layers)
        stream.metadata = dict(units.metadata)
        if units.end():
            return


def read_layer(units: Units, before: list[Segment], segment: Segment, totals: dict[str, int]) -> Layer:
    """NETWORK and WEIGHTS of the next layer of the segment that comes after those before."""
    where = len(before), len(segment.layers)
    layer, own = read_network(units.take(NETWORK, *where), before, segment, units.peak, totals)
    segment.layers.append(layer)
    check_layers([lower.ops for lower in segment.layers])
    if not own:
        return layer
    if not units.features & COMPACT or any(op.code == CONV for op in layer.ops):
        read_weights(units.take(WEIGHTS, *where), layer)
    return layer


def total(segment: Segment, op: Op) -> int:
    """How many frames, or knots, the runs of an operation have."""
    return op.f["knots"] if op.code == GRID else segment.frames


def read_run(units: Units, number: int, segment: Segment, level: int, place: int, done: int) -> int:
    """The next run of operation `place` of layer `level` of segment `number`, `done` of whose frames, or knots, are
    read; returns how many are after it."""
    layer = segment.layers[level]
    if layer.ops[place].code in PICTURES:
        return read_base(units.take(BASE, number, level), segment, layer, place, done)
    return read_latents(units.take(LATENTS, number, level), segment, layer, place, done)


# ======================================================================================================================
# 4 Payloads
# ======================================================================================================================


def read_video(r: Reader) -> dict[str, int]:
    """4.1 VIDEO."""
    names = (
        "sample_format primaries transfer matrix color_range sample_aspect_num sample_aspect_den "
        "time_base_num time_base_den seed"
    )
    video = dict(zip(names.split(), r.read(5 * U8 + 2 * U16 + 3 * U32), strict=True))
    (video["order"],) = r.read(U8) if r.features & COMPACT else (0,)
    r.done()
    need(video["sample_format"] <= 1, "the sample format is reserved")
    if video["sample_format"] == 1 and not r.features & TEN_BITS:
        raise NotSupported("pictures of 10 bits are not supported")
    need(video["color_range"] <= 2, "the colour range is reserved")
    need(min(video["sample_aspect_num"], video["sample_aspect_den"]) > 0, "the sample aspect has a zero")
    need(min(video["time_base_num"], video["time_base_den"]) > 0, "the time base has a zero")
    need(video["order"] <= 1, "the order of units is reserved")
    return video


def read_segment(r: Reader, before: int) -> Segment:
    """4.2 SEGMENT, with so many frames in the segments before it."""
    segment = Segment(*r.read(2 * U32 + 2 * U16 + I64 + U32))
    need(segment.first_frame == before, "a segment does not begin where the one before ends")
    need(1 <= segment.frames <= MAX_FRAMES, "the frames of a segment are out of range")
    need(segment.width > 0 and segment.height > 0, "a segment's pictures are empty")
    need(-(2**62) <= segment.first_pts <= 2**62, "the time of a segment is out of range")
    if segment.constant_duration == 0:
        segment.durations = [r.varint(0, 2**62) for _ in range(segment.frames)]
    r.done()
    need(before + segment.frames <= MAX_FRAMES, "the stream has too many frames")
    return segment


def read_network(
    r: Reader, before: list[Segment], segment: Segment, peak: int, totals: dict[str, int]
) -> tuple[Layer, bool]:
    """4.3 NETWORK: a layer of the operations, and whether these are its own. Of an earlier segment's, it has the
    integers, too."""
    (count,) = r.read(U16)
    if count or not r.features & AGAIN:
        need(1 <= count <= MAX_OPERATIONS, "the number of operations is out of range")
        ops = checked((read_operation(r) for _ in range(count)), segment, peak)
        r.done()
        check_limits(ops, segment, totals)
        return Layer(ops), True
    (number,) = r.read(U16)
    r.done()
    need(number < len(before), "a network is that of a segment that is not an earlier one")
    source = before[number].layers[len(segment.layers)]
    totals["again"] += len(source.ops)
    need(totals["again"] <= MAX_AGAIN, "there are too many operations of earlier segments")
    ops = checked((Op(op.code, op.f) for op in source.ops), segment, peak)
    for op, there in zip(ops, source.ops, strict=True):
        same = (op.shape, op.low, op.high) == (there.shape, there.low, there.high)
        need(same, "an earlier segment's network yields something else here")
    check_limits(ops, segment, totals)
    return Layer(ops, source.convs), False


def read_operation(r: Reader) -> Op:
    """6.2: the code and the fields of an operation."""
    (code,) = r.read(U8)
    if code not in FIELDS or NEEDS.get(code, 0) & ~r.features:
        raise NotSupported(f"operations with code {code} are not supported")
    codes, names = FIELDS[code]
    return Op(code, dict(zip(names.split(), r.read(codes), strict=True)))


def checked(listed: Iterable[Op], segment: Segment, peak: int) -> list[Op]:
    """6.1: the operations of a list, with their shapes and ranges."""
    ops: list[Op] = []
    for place, op in enumerate(listed):
        for source in op.sources():
            need(source < place, f"operation {place} reads one that is not before it")
        check_operation(op, ops, segment)
        need(op.low <= op.high, f"operation {place} has an empty range")
        need(min(op.shape) >= 1, f"operation {place} yields an empty tensor")
        need(math.prod(op.shape) <= MAX_TENSOR, f"operation {place} yields too many elements")
        ops.append(op)
    need(ops[-1].shape == (3, segment.height, segment.width), "the last operation yields no picture of this size")
    need(ops[-1].low >= 0 and ops[-1].high <= peak, f"the last operation yields samples beyond 0 to {peak}")
    return ops


def read_weights(r: Reader, layer: Layer) -> None:
    """4.4 WEIGHTS."""
    for place, op in enumerate(layer.ops):
        if op.code == CONV:
            f, x = op.f, layer.ops[op.f["input"]]
            channels, group = f["channels"], f["group"]
            few = read_numbers if r.features & COMPACT else read_chunk
            steps = few(r, (-(-channels // group),), 0, 239)
            biases = few(r, (channels,), -2047, 2047)
            shape = (channels, x.shape[0], f["kernel_height"], f["kernel_width"])
            weights = read_chunk(r, shape, -127, 127, group)
            layer.convs[place] = np.repeat(steps, group)[:channels], biases, weights
            check_bound(op, layer.convs[place], x)
    r.done()


def read_numbers(r: Reader, shape: tuple[int], low: int, high: int) -> np.ndarray:
    """Step indices or biases in compact form."""
    values = np.array(r.read((U8 if low == 0 else I16) * shape[0]))
    need(low <= values.min() and values.max() <= high, "a step index or a bias is out of range")
    return values


def read_latents(r: Reader, segment: Segment, layer: Layer, place: int, done: int) -> int:
    """4.5 LATENTS: one run of an operation, so many of whose frames, or knots, are done; returns how many are after
    it."""
    op = layer.ops[place]
    low, high = op.f["low"], op.f["high"]
    at, first, frames, predictor = r.read(U16 + 2 * U32 + U8)
    need((at, first) == (place, done) and 1 <= frames <= total(segment, op) - done, "a run is missing or out of order")
    need(frames <= MAX_RUN, "a run is too long")
    need(predictor <= 1, "the predictor is reserved")
    values = read_chunk(r, (1, *op.shape), low, high)
    if frames > 1:
        span = high - low
        allowed = (-span, span) if predictor else (low, high)
        values = np.concatenate([values, read_chunk(r, (frames - 1, *op.shape), *allowed, group=1, latents=True)])
    r.done()
    if predictor:
        values = np.cumsum(values, axis=0)
    need(low <= values.min() and values.max() <= high, "a latent is out of range")
    if done == 0:
        layer.latents[place] = np.zeros((total(segment, op), *op.shape), np.int8)
    layer.latents[place][first : first + frames] = values
    return first + frames


def read_checksums(units: Units, number: int, segment: Segment, level: int) -> None:
    """4.6 CHECKSUMS of layer `level` of segment `number`; in compact form they may be missing."""
    if units.features & COMPACT and units.peek() != (CHECKSUMS, number, level):
        return
    r, layer = units.take(CHECKSUMS, number, level), segment.layers[level]
    (layer.group,) = r.read(U32)
    need(1 <= layer.group <= segment.frames, "a checksum covers no frame or more than there are")
    layer.sums = list(r.fixed(f"{-(-segment.frames // layer.group)}{U32}"))
    r.done()


def checksum_ok(stream: Stream, number: int | None = None) -> bool:
    """4.6: decode all frames of a layer, or of all, and compare them with CHECKSUMS."""
    for segment in stream.segments:
        for level, layer in enumerate(segment.layers):
            if number not in (None, level):
                continue
            for k, wanted in enumerate(layer.sums):
                crc = 0
                for n in range(k * layer.group, min((k + 1) * layer.group, segment.frames)):
                    crc = zlib.crc32(decode(stream, segment.first_frame + n, level).tobytes(), crc)
                if crc != wanted:
                    return False
    return True


def read_end(r: Reader, units: Units) -> None:
    """4.7 LAYER_END or 4.12 SEGMENT_END, the unit taken last."""
    (count,) = r.read(U32)
    digest = r.take(8 if r.features & COMPACT else 32)
    r.done()
    need(count == units.at - 1, "LAYER_END or SEGMENT_END states another number of units")
    computed = hashlib.sha256(units.data[: units.units[units.at - 1].offset]).digest()
    need(digest == computed[: len(digest)], "the hash of LAYER_END or SEGMENT_END does not match")


def read_index(r: Reader, before: list[Unit]) -> None:
    """4.8 INDEX, with the units before it."""
    rows = b"".join(struct.pack("<BHBQ", unit.type, unit.segment, unit.layer, unit.offset) for unit in before)
    need(r.data == rows + struct.pack("<I", len(rows)), "INDEX does not agree with the units")


def read_metadata(r: Reader, room: int) -> tuple[dict[str, Any], int]:
    """4.9 METADATA and their size, at most `room`. There is no Zstandard here: of packed metadata only the frame around
    them is checked."""
    packing, size = r.read(U8 + U32)
    need(packing <= 1, "the packing of METADATA is reserved")
    need(size <= room, "METADATA are too large")
    if packing == 1:
        need(zstandard_size(r) == size, "METADATA have not the size that is stated")
        r.done()
        return {}, size
    text = r.take(size)
    r.done()
    try:
        value = json.loads(text.decode("utf-8"), parse_int=json_integer, parse_constant=json_constant)
        need(json_levels(value) <= 64, "METADATA are nested too deep")
    except (ValueError, RecursionError) as error:
        raise Corrupt("METADATA are no JSON") from error
    need(isinstance(value, dict), "METADATA are no JSON object")
    return value, size


def json_integer(digits: str) -> int:
    """An integer of METADATA."""
    need(len(digits.lstrip("-")) <= 4300, "METADATA have an integer of too many digits")
    return int(digits)


def json_constant(name: str) -> None:
    """NaN and Infinity, which Python reads though JSON has none."""
    raise ValueError(name)


def json_levels(value: object) -> int:
    """How deep arrays and objects are nested, the outermost included."""
    if not isinstance(value, (dict, list)):
        return 0
    return 1 + max(map(json_levels, value.values() if isinstance(value, dict) else value), default=0)


def zstandard_size(r: Reader) -> int:
    """The content size that a Zstandard frame states (RFC 8878, 3.1.1); its blocks are passed over."""
    magic, descriptor = r.fixed(U32 + U8)
    need(magic == 0xFD2FB528, "METADATA are no Zstandard frame")
    single, code = descriptor >> 5 & 1, descriptor >> 6
    need(descriptor & 8 == 0, "a Zstandard frame has a reserved bit set")
    r.take((1 - single) + (0, 1, 2, 4)[descriptor & 3])  # the window and the number of a dictionary
    width = (single, 2, 4, 8)[code]
    need(width > 0, "a Zstandard frame does not state its content size")
    size = int.from_bytes(r.take(width), "little") + (256 if width == 2 else 0)
    last = 0
    while not last:
        block = int.from_bytes(r.take(3), "little")
        last, kind, length = block & 1, block >> 1 & 3, block >> 3
        need(kind < 3, "a Zstandard block is of a reserved type")
        r.take(1 if kind == 1 else length)
    r.take(4 if descriptor & 4 else 0)
    return size


# 4.10 AUDIO and 4.13 SUBTITLES are skipped.

# ---- 4.11 BASE -------------------------------------------------------------------------------------------------------

OBU_SEQUENCE_HEADER, OBU_FRAME_HEADER, OBU_TILE_GROUP, OBU_METADATA, OBU_FRAME, OBU_PADDING = 1, 3, 4, 5, 6, 15
OBUS = (OBU_SEQUENCE_HEADER, OBU_FRAME_HEADER, OBU_TILE_GROUP, OBU_METADATA, OBU_FRAME, OBU_PADDING)
KEY_FRAME, SWITCH_FRAME = 0, 3


@dataclass(eq=False)
class Run:
    """A run of an AV1 stream, for the operation `op`: a temporal unit for each frame."""

    op: Op
    first: int
    sequence: bytes  # what is in its sequence headers
    units: list[bytes]


def read_base(r: Reader, segment: Segment, layer: Layer, place: int, done: int) -> int:
    """4.11 BASE: one run of a PICTURE, so many of whose frames are done; returns how many are after it."""
    (codec,) = r.read(U8)
    if codec != 1:
        raise NotSupported(f"the codec {codec} is not supported")
    first, frames = r.read(2 * U32)
    need(first == done and 1 <= frames <= segment.frames - done, "a run is missing or out of order")
    need(frames <= MAX_RUN, "a run is too long")
    sequence, units = read_obus(r, layer.ops[place], frames)
    layer.runs.append(Run(layer.ops[place], first, sequence, units))
    need(sequence == layer.runs[0].sequence, "a segment has sequence headers that differ")
    return first + frames


def read_obus(r: Reader, op: Op, frames: int) -> tuple[bytes, list[bytes]]:
    """The OBUs of a run, to the end of the payload, with all that is checked before AV1 is decoded: what is in the
    sequence header, and the temporal units."""
    sequence = unit = b""
    units: list[bytes] = []
    coded = shown = 0  # frame headers
    tiles = False  # whether a tile group may follow
    while r.at < len(r.data):
        at = r.at
        kind, body = read_obu(r)
        need(bool(sequence) or kind == OBU_SEQUENCE_HEADER, "a run does not begin with a sequence header")
        if kind == OBU_TILE_GROUP:
            need(tiles, "a tile group has no frame header")
        elif shown > len(units):
            units.append(unit)
            unit = b""
        need(shown < frames or kind in (OBU_TILE_GROUP, OBU_METADATA, OBU_PADDING), "a run has too many frames")
        tiles = kind in (OBU_FRAME, OBU_TILE_GROUP)
        if kind == OBU_SEQUENCE_HEADER:
            need(sequence in (b"", body), "a segment has sequence headers that differ")
            sequence, fields = body, read_sequence_header(Bits(body), op)
        elif kind in (OBU_FRAME_HEADER, OBU_FRAME):
            existing, frame_type, show_frame = read_frame_header(Bits(body), fields)
            need(not existing or kind == OBU_FRAME_HEADER, "a frame shows another one")
            need(coded > 0 or (not existing and frame_type == KEY_FRAME and show_frame), "a run has no key frame first")
            coded, shown = coded + (not existing), shown + show_frame
            tiles = not existing
        unit += r.data[at : r.at]
    need(shown == frames, "a run has too few frames")
    need(coded <= 2 * frames, "a run has too many frame headers")
    if shown > len(units):
        units.append(unit)
    else:
        units[-1] += unit
    return sequence, units


def read_obu(r: Reader) -> tuple[int, bytes]:
    """An OBU's type and what is in it (AV1, 5.3)."""
    (head,) = r.fixed(U8)
    kind = head >> 3 & 15
    need(head & 0b1000_0110 == 0b0000_0010, "an OBU has the forbidden bit, an extension or no size")
    need(kind in OBUS, f"there is an OBU of type {kind}")
    size = 0
    for i in range(8):
        (byte,) = r.fixed(U8)
        size |= (byte & 127) << 7 * i
        if byte < 128:
            break
    need(byte < 128 and size < 2**32, "the size of an OBU is out of range")
    return kind, r.take(size)


class Bits:
    """Reads the fields of an OBU from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def f(self, n: int) -> int:
        """f(n) of AV1: n bits, the highest first."""
        first, self.at = self.at, self.at + n
        last = -(-self.at // 8)
        need(last <= len(self.data), "an OBU is too short")
        return int.from_bytes(self.data[first // 8 : last], "big") >> (8 * last - self.at) & (2**n - 1)

    def uvlc(self) -> None:
        """uvlc() of AV1, whose value is of no use here."""
        zeros = 0
        while not self.f(1):
            zeros += 1
        self.f(zeros if zeros < 32 else 0)


class SequenceFields(NamedTuple):
    """What a sequence header says about the fields of frame headers."""

    time_bits: int  # of frame_presentation_time, 0 where there is none
    id_bits: int  # of frame numbers, 0 where there are none
    seq_force_screen_content_tools: int
    seq_force_integer_mv: int


def read_sequence_header(b: Bits, op: Op) -> SequenceFields:
    """A sequence header (AV1, 5.5), which must be for the pictures of this PICTURE."""
    f, size = b.f, (op.f["width"], op.f["height"])
    need(f(3) == 0, "seq_profile is not 0")
    f(1)  # still_picture
    need(f(1) == 0, "reduced_still_picture_header is not 0")
    decoder_model = equal_interval = delay_bits = time_bits = 0
    if f(1):  # timing_info_present_flag
        f(32), f(32)
        equal_interval = f(1)
        if equal_interval:
            b.uvlc()
        decoder_model = f(1)
        if decoder_model:
            delay_bits = f(5) + 1
            f(32), f(5)
            time_bits = f(5) + 1
    display_delay = f(1)
    need(f(5) == 0, "operating_points_cnt_minus_1 is not 0")
    need(f(12) == 0, "operating_point_idc is not 0")
    if f(5) > 7:  # seq_level_idx
        f(1)
    if decoder_model and f(1):
        f(delay_bits), f(delay_bits), f(1)
    if display_delay and f(1):
        f(4)
    width_bits, height_bits = f(4) + 1, f(4) + 1
    need((f(width_bits) + 1, f(height_bits) + 1) == size, "a sequence header has another size")
    id_bits = f(4) + f(3) + 3 if f(1) else 0
    f(3), f(4)  # use_128x128_superblock to enable_intra_edge_filter, enable_interintra_compound to enable_dual_filter
    order_hint = f(1)
    if order_hint:
        f(2)
    screen = 2 if f(1) else f(1)
    integer_mv = 2 if screen == 0 or f(1) else f(1)
    if order_hint:
        f(3)
    f(3)  # enable_superres, enable_cdef, enable_restoration
    need(f(1) == (op.f["depth"] == 10), "a sequence header has another depth")
    need(f(1) == 1 - op.f["chroma"], "a sequence header has chroma where PICTURE has none, or the other way round")
    if f(1):  # color_description_present_flag
        f(8), f(8)
        need(f(8) != 0, "matrix_coefficients is 0")
    f(1)  # color_range
    if op.f["chroma"]:
        f(2), f(1)  # chroma_sample_position, separate_uv_delta_q
    need(f(1) == 0, "film_grain_params_present is not 0")
    return SequenceFields(0 if equal_interval else time_bits, id_bits, screen, integer_mv)


def read_frame_header(b: Bits, sequence: SequenceFields) -> tuple[bool, int, bool]:
    """A frame header (AV1, 5.9) up to frame_size_override_flag: show_existing_frame, frame_type, and whether it shows a
    frame."""
    f = b.f
    if f(1):
        return True, KEY_FRAME, True
    frame_type, show_frame = f(2), f(1)
    f(sequence.time_bits if show_frame else 1)  # frame_presentation_time, or showable_frame
    need(frame_type != SWITCH_FRAME, "there is a SWITCH_FRAME")
    if frame_type != KEY_FRAME or not show_frame:
        f(1)  # error_resilient_mode
    f(1)  # disable_cdf_update
    screen = f(1) if sequence.seq_force_screen_content_tools == 2 else sequence.seq_force_screen_content_tools
    if screen and sequence.seq_force_integer_mv == 2:
        f(1)
    f(sequence.id_bits)
    need(f(1) == 0, "frame_size_override_flag is not 0")
    return False, frame_type, bool(show_frame)


@lru_cache(maxsize=1)
def decode_run(run: Run) -> list[list[np.ndarray]]:
    """The planes of a run's pictures: luma, and where there is chroma, two more."""
    try:
        import av  # of all files, only those with BASE units need it
    except ImportError as error:
        raise NotSupported("BASE units need PyAV") from error
    context: Any
    try:
        context = av.CodecContext.create("libaom-av1", "r")
    except ValueError:  # PyAV has it not
        context = av.CodecContext.create("libdav1d", "r")
    context.thread_count = 1
    frames: list[Any] = []
    try:
        for unit in run.units:
            frames += context.decode(av.Packet(b"\x12\x00" + unit))  # a temporal delimiter goes first
        frames += context.decode(None)
    except av.FFmpegError as error:
        raise Corrupt("an AV1 stream does not decode") from error
    need(len(frames) == len(run.units), "an AV1 stream has another number of pictures")
    return [planes_of(frame, run.op.f) for frame in frames]


def planes_of(frame: Any, f: dict[str, int]) -> list[np.ndarray]:
    """The planes of one picture of PyAV, which must be as PICTURE, with these fields, has it."""
    kinds = ("yuv420p",) if f["chroma"] else ("gray", "yuv420p")  # libaom may add chroma to what has none
    need((frame.width, frame.height) == (f["width"], f["height"]), "a picture of an AV1 stream has another size")
    need(frame.format.name in [kind + {8: "", 10: "10le"}[f["depth"]] for kind in kinds], "it has another format")
    planes = []
    for plane in frame.planes[: 1 + 2 * f["chroma"]]:
        rows = np.frombuffer(plane, "u1" if f["depth"] == 8 else "<u2").reshape(plane.height, -1)
        planes.append(rows[:, : plane.width].copy())
    return planes


# 4.12 SEGMENT_END is in `read_end`.


# ======================================================================================================================
# 5 Entropy coding
# ======================================================================================================================


def read_chunk(
    r: Reader, shape: tuple[int, ...], low: int, high: int, group: int = 0, latents: bool = False
) -> np.ndarray:
    """5.1: a chunk of integers from low to high, as int64 of this shape.

    One that holds a matrix of rows, the first side of `shape`, has a `group`; `latents` is whether the rows are those
    of LATENTS.
    """
    count = math.prod(shape)
    family, first, n = read_table_head(r)
    by_rows = r.features & ROWS and ((family == 4 and group > 0) or (family == 5 and latents))
    rows = read_row_table(r, family, first, n) if by_rows else None
    bounds = [] if by_rows else table_bounds(read_table(r, family, n))
    size = r.varint(0, 24 * count // 32 + 2)
    need(family != 0 or size == 0, "a constant has words")
    words = r.fixed(f"{size}{U32}")
    if family == 0:
        values = np.full(count, first, np.int64)
    else:
        coder = RangeDecoder(words)
        if rows:
            values = read_rows(coder, rows, shape, group)
        else:
            values = first + np.array([coder.symbol(bounds) for _ in range(count)], np.int64)
        coder.done()
    need(low <= values.min() and values.max() <= high, f"a coded value is not from {low} to {high}")
    return values.reshape(shape)


# ---- 5.2 Tables ------------------------------------------------------------------------------------------------------


def read_table_head(r: Reader) -> tuple[int, int, int]:
    """5.2: family, first and size."""
    (family,) = r.fixed(U8)
    first, n = r.svarint(2**16), r.varint(1, 4096)
    need((n == 1) == (family == 0), "the size of a table does not fit its family")
    return family, first, n


def read_table(r: Reader, family: int, n: int) -> list[int]:
    """5.2: the weights W of a table of family 0 to 3."""
    if family == 0:
        return [1]
    if family == 1:
        peak, (ratio,) = r.varint(0, n - 1), r.fixed(U16)
        w = [2**30]
        for _ in range(n):
            w.append((w[-1] * ratio) >> 16)
        return [w[abs(i - peak)] for i in range(n)]
    if family == 2:
        peak, spread, (shape,) = r.varint(0, n - 1), r.varint(1, 2**31 - 1), r.fixed(U8)
        need(shape <= 6, "the shape of a table is out of range")
        return squared([2**30 * spread // (spread + (i - peak) ** 2) for i in range(n)], shape)
    if family == 3:
        weights = [r.varint(0, 2**24) for _ in range(n)]
        need(any(weights), "a histogram is empty")
        return weights
    raise NotSupported(f"tables of family {family} are not supported here")


def squared(weights: list[int], shape: int) -> list[int]:
    """Weights to the power 2^shape."""
    for _ in range(shape):
        weights = [(w * w) >> 30 for w in weights]
    return weights


def table_bounds(weights: list[int]) -> list[int]:
    """5.2 and 5.3: from the weights W to the counts C, and on to the bounds L of the 24-bit table."""
    n, sums = len(weights), [0]
    for w in weights:
        sums.append(sums[-1] + w)
    counts = [i + s * (2**16 - n) // sums[n] for i, s in enumerate(sums)]
    return [i + ((c * (2**24 - n)) >> 16) for i, c in enumerate(counts)]


# ---- 5.4 The range decoder -------------------------------------------------------------------------------------------


class RangeDecoder:
    """5.4."""

    def __init__(self, words: tuple[int, ...]) -> None:
        first, second = (*words, 0, 0)[:2]
        self.words, self.at = words, 2
        self.lower, self.range, self.point = 0, M64, first << 32 | second

    def symbol(self, bounds: list[int]) -> int:
        """The next symbol, by a table with these bounds."""
        scale = self.range >> 24
        q = ((self.point - self.lower) & M64) // scale
        need(q < 2**24, "a chunk does not decode")
        symbol = bisect_right(bounds, q) - 1
        self.lower = (self.lower + scale * bounds[symbol]) & M64
        self.range = scale * (bounds[symbol + 1] - bounds[symbol])
        if self.range < 2**32:
            self.lower, self.range = (self.lower << 32) & M64, self.range << 32
            self.point = (self.point << 32) & M64 | (self.words[self.at] if self.at < len(self.words) else 0)
            self.at += 1
        return symbol

    def done(self) -> None:
        """What must hold after the last symbol."""
        need(len(self.words) <= self.at, "a chunk has words that its values do not need")
        need((self.point - self.lower) & M64 < 2**33 - 1, "the last words of a chunk are not those of its values")


# ---- 5.5 Families 4 and 5: tables by rows ----------------------------------------------------------------------------


class RowTable(NamedTuple):
    """The parameters of a table by rows; `weight` is 0 in family 4."""

    first: int
    n: int
    start: int
    spread: int
    shape: int
    weight: int


def read_row_table(r: Reader, family: int, first: int, n: int) -> RowTable:
    """5.5: what follows family, first and size."""
    start, spread, (shape,) = r.varint(0, 16320), r.varint(1, 65535), r.fixed(U8)
    need(shape <= 6, "the shape of a table is out of range")
    (weight,) = r.fixed(U8) if family == 5 else (0,)
    need(family == 4 or weight >= 1, "the weight of a table is zero")
    need(first <= 0 <= first + n - 1, "zero is no symbol of a table by rows")
    return RowTable(first, n, start, spread, shape, weight)


def read_rows(coder: RangeDecoder, table: RowTable, shape: tuple[int, ...], group: int) -> np.ndarray:
    """5.5: the values of a chunk with a table by rows; `shape` is the rows, then what a row holds."""
    rows, columns = shape[0], math.prod(shape[1:])
    values = np.zeros((rows, columns), np.int64)
    block = 1 if table.weight else min(rows, group * -(-256 // (group * columns)))

    @cache
    def bounds(k: int) -> list[int]:
        m = 2 * k + 1 if k < 4 else (2 * (4 + k % 4) + 1) << (k // 4 - 1)
        v = max(1, (table.spread * m * m) >> 14)
        weights = [2**30 * v // (v + 256 * (i + table.first) ** 2) for i in range(table.n)]
        return table_bounds(squared(weights, table.shape))

    for top in range(0, rows, block):
        bottom = min(rows, top + block)
        if not table.weight:
            estimates = (8 * table.start + 64 * np.abs(values[:top]).sum(axis=0)) // (8 + top)
        elif top == 0:
            estimates = np.full(columns, table.start)
        else:
            around = magnitudes_around(values[top - 1].reshape(shape[1:])).ravel()
            estimates = (table.weight * table.start + 64 * around) // (table.weight + 25)
        classes = np.array([class_of(e) for e in estimates.tolist()])
        for k in sorted(set(classes.tolist())):
            for row in range(top, bottom):
                for j in np.flatnonzero(classes == k):
                    values[row, j] = table.first + coder.symbol(bounds(k))
    return values


def magnitudes_around(v: np.ndarray) -> np.ndarray:
    """5.5: S, for every place of a frame's values [channels, height, width]."""
    _, h, w = v.shape
    padded = np.pad(np.abs(v), ((0, 0), (2, 2), (2, 2)), mode="edge")
    return sum((padded[:, i : i + h, j : j + w] for i in range(5) for j in range(5)), np.zeros_like(v))


def class_of(e: int) -> int:
    """5.5: the class of a column with this estimate."""
    t = e.bit_length() - 3
    return e if e < 4 else 4 * t + (e >> t)


# ======================================================================================================================
# 6 Operations
# ======================================================================================================================

# ---- 6.1 Lists -------------------------------------------------------------------------------------------------------


@dataclass
class Op:
    """An operation with its fields, the shape of its result and the range of its values."""

    code: int
    f: dict[str, int]
    shape: tuple[int, int, int] = (0, 0, 0)
    low: int = 0
    high: int = 0

    def sources(self) -> list[int]:
        """The indices of the operations it reads."""
        return [self.f[name] for name in ("input", "first", "second") if name in self.f]


Between = tuple[int, int] | None  # k and d of an interpolated frame (8.3)


def evaluate(
    stream: Stream, s: int, number: int, n: int, between: Between, done: dict[int, list[np.ndarray]]
) -> list[np.ndarray]:
    """6.1: all results of layer `number` of segment s, for its frame n or for one between n and n + 1; `done` has those
    of lower layers, as far as they were asked for."""
    segment = stream.segments[s]
    layer = segment.layers[number]
    out: list[np.ndarray] = []
    for place, op in enumerate(layer.ops):
        x = [out[source] for source in op.sources()]
        if op.code in (LATENT, GRID):
            result = transmitted(segment, layer, place, n)
            if between:
                result = interpolated(result, transmitted(segment, layer, place, n + 1), between)
        elif op.code == NOISE:
            result = noise(op, stream.video["seed"], s, number, None if between else n)
        elif op.code in PICTURES:
            result = converted(op, planes_at(layer, n))
        elif op.code == CONV:
            result = convolve(op, layer.convs[place], x[0])
        elif op.code == TABLE:
            result = look_up(op, x[0])
        elif op.code == BELOW:
            below = op.f["layer"]
            if below not in done:
                done[below] = evaluate(stream, s, below, n, between, done)
            result = done[below][op.f["op"]]
        else:
            result = moved(op, x)
        assert result.shape == op.shape, "the specification's shapes are wrong"
        assert op.low <= result.min() and result.max() <= op.high, "the specification's ranges are wrong"
        out.append(result)
    return out


# ---- 6.2 Codes and fields --------------------------------------------------------------------------------------------

LATENT, NOISE, CONV, SHUFFLE, UNSHUFFLE, TABLE, ADD, SUBTRACT = range(1, 9)
CONCAT, SLICE, RESAMPLE, CROP, BELOW, GRID, PICTURE, PICTURE10 = range(9, 17)
PICTURES = {PICTURE: 1020, PICTURE10: 1023}  # and the value of white (6.9)
NEEDS = {GRID: ROWS, PICTURE: COMPACT, PICTURE10: COMPACT | TEN_BITS}  # features
FIELDS = {
    LATENT: (3 * U16 + 2 * I16 + U8, "channels height width low high kind"),
    NOISE: (3 * U16 + U8 + U16 + U8, "channels height width scale gain per_frame"),
    CONV: (2 * U16 + 4 * U8 + 2 * I16, "input channels kernel_height kernel_width group bias_shift low high"),
    SHUFFLE: (U16 + U8, "input factor"),
    UNSHUFFLE: (U16 + U8, "input factor"),
    TABLE: (U16 + 3 * U8 + 2 * I16, "input function in_shift out_shift low high"),
    ADD: (2 * U16 + 2 * I16, "first second low high"),
    SUBTRACT: (2 * U16 + 2 * I16, "first second low high"),
    CONCAT: (2 * U16, "first second"),
    SLICE: (3 * U16, "input start count"),
    RESAMPLE: (3 * U16, "input height width"),
    CROP: (5 * U16, "input top left height width"),
    BELOW: (U8 + U16, "layer op"),
    GRID: (3 * U16 + 2 * I16 + U16 + U8, "channels height width low high knots shift"),
    PICTURE: (2 * U16 + 6 * U8, "height width depth chroma siting matrix full_range margin"),
    PICTURE10: (2 * U16 + 6 * U8, "height width depth chroma siting matrix full_range margin"),
}


def check_operation(op: Op, ops: list[Op], segment: Segment) -> None:
    """6.2: check an operation's fields, and find the shape and range of its result."""
    f, code = op.f, op.code
    x = ops[op.sources()[0]] if op.sources() else op
    if code == BELOW:
        need(f["layer"] < len(segment.layers), "BELOW reads a layer that is not lower")
        need(f["op"] < len(segment.layers[f["layer"]].ops), "BELOW reads an operation that does not exist")
        x = segment.layers[f["layer"]].ops[f["op"]]
    (c, h, w), shape = x.shape, x.shape
    op.low, op.high = f.get("low", x.low), f.get("high", x.high)
    ok = True
    if code == LATENT:
        shape = f["channels"], f["height"], f["width"]
        ok = op.low >= -128 and op.high <= 127 and f["kind"] <= 1
    elif code == NOISE:
        shape = f["channels"], f["height"], f["width"]
        ok = f["gain"] <= 4096 and f["per_frame"] <= 1
        op.high = (235 * f["gain"] + 128) >> 8
        op.low = -op.high
    elif code == CONV:
        shape = f["channels"], h, w
        ok = all(f[side] % 2 == 1 and f[side] <= 15 for side in ("kernel_height", "kernel_width"))
        ok = ok and f["group"] >= 1 and f["bias_shift"] <= 12 and op.low >= -4095 and op.high <= 4095
    elif code == SHUFFLE:
        r = f["factor"]
        need(2 <= r <= 16 and c % r**2 == 0, "the factor of a SHUFFLE does not fit")
        shape = c // r**2, h * r, w * r
    elif code == UNSHUFFLE:
        r = f["factor"]
        need(2 <= r <= 16 and h % r == 0 and w % r == 0, "the factor of an UNSHUFFLE does not fit")
        shape = c * r**2, h // r, w // r
    elif code == TABLE:
        ok = f["function"] <= 2 and f["in_shift"] <= 12 and f["out_shift"] <= 16
    elif code in (ADD, SUBTRACT):
        ok = x.shape == ops[f["second"]].shape
    elif code == CONCAT:
        y = ops[f["second"]]
        ok = (h, w) == y.shape[1:]
        shape = c + y.shape[0], h, w
        op.low, op.high = min(x.low, y.low), max(x.high, y.high)
    elif code == SLICE:
        ok = f["start"] + f["count"] <= c
        shape = f["count"], h, w
    elif code == RESAMPLE:
        shape = c, f["height"], f["width"]
    elif code == CROP:
        ok = f["top"] + f["height"] <= h and f["left"] + f["width"] <= w
        shape = c, f["height"], f["width"]
    elif code == GRID:
        shape = f["channels"], f["height"], f["width"]
        ok = op.low >= -128 and op.high <= 127 and 1 <= f["knots"] <= segment.frames and f["shift"] <= 8
        op.low, op.high = op.low * 2 ** f["shift"], op.high * 2 ** f["shift"]
    elif code in PICTURES:
        first = not segment.layers and all(other.code not in PICTURES for other in ops)
        need(first, "PICTURE is in layer 0 only, and once")
        need(min(f["height"], f["width"]) >= 1 and f["depth"] in (8, 10), "PICTURE has no such size or depth")
        ok = f["chroma"] <= 1 and f["siting"] <= 2 and f["matrix"] in MATRICES
        need(ok and f["full_range"] <= 1 and f["margin"] <= 15, "the fields of PICTURE are out of range")
        shape = 3, f["height"] + 2 * f["margin"], f["width"] + 2 * f["margin"]
        op.low, op.high = picture_range(op)
    need(ok, f"the fields of an operation with code {code} break a rule")
    op.shape = shape


def moved(op: Op, x: list[np.ndarray]) -> np.ndarray:
    """6.2, 6.4, 6.6: the operations that only move or add integers."""
    f, a = op.f, x[0]
    c, h, w = a.shape
    if op.code == SHUFFLE:
        r = f["factor"]
        return a.reshape(c // r**2, r, r, h, w).transpose(0, 3, 1, 4, 2).reshape(op.shape)
    if op.code == UNSHUFFLE:
        r = f["factor"]
        return a.reshape(c, h // r, r, w // r, r).transpose(0, 2, 4, 1, 3).reshape(op.shape)
    if op.code == ADD:
        return np.clip(a + x[1], op.low, op.high)
    if op.code == SUBTRACT:
        return np.clip(a - x[1], op.low, op.high)
    if op.code == CONCAT:
        return np.concatenate([a, x[1]])
    if op.code == SLICE:
        return a[f["start"] : f["start"] + f["count"]]
    if op.code == CROP:
        return a[:, f["top"] : f["top"] + f["height"], f["left"] : f["left"] + f["width"]]
    assert op.code == RESAMPLE
    rows = (2 * np.arange(f["height"]) + 1) * h // (2 * f["height"])
    columns = (2 * np.arange(f["width"]) + 1) * w // (2 * f["width"])
    return a[:, rows][:, :, columns]


# ---- 6.3 CONV --------------------------------------------------------------------------------------------------------

Conv = tuple[np.ndarray, np.ndarray, np.ndarray]  # step indices of all channels, biases, weights
M = np.array([235, 215, 197, 181, 166, 152, 140, 128], np.int64)


def check_bound(op: Op, conv: Conv, x: Op) -> None:
    """6.3, Bound, for a CONV that reads x; Python's integers, since biases may be large."""
    steps, biases, weights = (values.tolist() for values in (conv[0], conv[1], conv[2].reshape(len(conv[2]), -1)))
    above, below = max(x.high, 0), max(-x.low, 0)
    for step, bias, channel in zip(steps, biases, weights, strict=True):
        s1 = max(0, step // 8 - 6)
        b = bias * 2 ** (s1 + op.f["bias_shift"]) + (2 ** (s1 - 1) if s1 else 0)
        p, q = sum(w for w in channel if w > 0), -sum(w for w in channel if w < 0)
        need(p * above + q * below + max(b, 0) < 2**24, "the sums of a CONV can reach 2^24")
        need(q * above + p * below + max(-b, 0) < 2**24, "the sums of a CONV can reach -2^24")


def convolve(op: Op, conv: Conv, x: np.ndarray) -> np.ndarray:
    """6.3: the result of a CONV."""
    steps, biases, weights = conv
    (channels, h, w), (out, _, kh, kw) = x.shape, weights.shape
    e = steps[:, None] // 8
    s1, s2 = np.maximum(0, e - 6), np.minimum(12, e + 6)
    padded = np.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)))
    acc = np.zeros((out, h * w), np.int64) + (biases[:, None] << (s1 + op.f["bias_shift"]))
    for u in range(kh):
        for v in range(kw):
            acc += weights[:, :, u, v] @ padded[:, u : u + h, v : v + w].reshape(channels, h * w)
    t = np.where(s1 == 0, acc, (acc + ((1 << s1) >> 1)) >> s1)
    t = np.clip(t, -65535, 65535)
    y = (t * M[steps % 8][:, None] + (1 << (s2 - 1))) >> s2
    return np.clip(y, op.low, op.high).reshape(out, h, w)


# 6.4 SHUFFLE and UNSHUFFLE are in `moved`.

# ---- 6.5 TABLE -------------------------------------------------------------------------------------------------------


def look_up(op: Op, x: np.ndarray) -> np.ndarray:
    """6.5: the result of a TABLE."""
    values, place = np.unique(x, return_inverse=True)
    table = np.array(
        [function(op.f["function"], v, op.f["in_shift"], op.f["out_shift"]) for v in values.tolist()], np.int64
    )
    return np.clip(table, op.low, op.high)[place].reshape(x.shape)


def function(number: int, v: int, p: int, q: int) -> int:
    """6.5: T(v)."""
    if number == 1 and v < 0:
        a, c = v * 2**q, 5 * 2**p
        return (2 * a + c) // (2 * c)
    if number == 2:
        if abs(v) * 2 ** (12 - p) < 32768:
            return rounded(gelu(v * 2 ** (12 - p)), 24 - q)
        if v < 0:
            return 0
    return rounded(v * 2**q, p)


def rounded(a: int, n: int) -> int:
    """6.5: R(a, n)."""
    return (2 * a + 2**n) >> (n + 1)


F = 160
A = math.isqrt(2**507 // 0x3243F6A8885A308D313198A2E03707344A4093822299F31D)


def normal_cdf(x: int) -> int:
    """6.5: `cdf` of the exact generator, 2^F * Phi(x / 2^F) for x >= 0."""
    square, power, total, k = (x * x) >> F, x, 0, 0
    while power > 0:
        term = power // (2 * k + 1)
        total += -term if k % 2 else term
        k += 1
        power = ((power * square) >> F) // (2 * k)
    return 2 ** (F - 1) + ((total * A) >> F)


@cache
def gelu(i: int) -> int:
    """6.5: the entry G[i] of the master table."""
    if i < 0:
        return gelu(-i) + i * 2**12
    return (i * normal_cdf(i << (F - 12)) + 2**147) >> 148


def gelu_table() -> np.ndarray:
    """6.5: all of G, as its SHA-256 is taken."""
    return np.array([gelu(i) for i in range(-32768, 32768)], "<i4")


# 6.6 RESAMPLE is in `moved`.

# ---- 6.7 GRID --------------------------------------------------------------------------------------------------------


def transmitted(segment: Segment, layer: Layer, place: int, n: int) -> np.ndarray:
    """What a LATENT or a GRID yields for frame n."""
    op, values = layer.ops[place], layer.latents[place].astype(np.int64)
    if op.code == LATENT:
        return values[n]
    knots, d = op.f["knots"], max(1, segment.frames - 1)
    j = n * (knots - 1) // d
    k = n * (knots - 1) - j * d
    a, b = values[j], values[min(j + 1, knots - 1)]
    return (2 ** (op.f["shift"] + 1) * ((d - k) * a + k * b) + d) // (2 * d)


# 6.8 is informative.

# ---- 6.9 PICTURE -----------------------------------------------------------------------------------------------------

MATRICES = {1: (2126, 722), 4: (3000, 1100), 5: (2990, 1140), 6: (2990, 1140), 7: (2120, 870), 9: (2627, 593)}


def planes_at(layer: Layer, n: int) -> list[np.ndarray]:
    """The planes of frame n of a segment."""
    run = next(run for run in reversed(layer.runs) if run.first <= n)
    return decode_run(run)[n - run.first]


def converted(op: Op, planes: list[np.ndarray]) -> np.ndarray:
    """6.9: the result of PICTURE or PICTURE10."""
    y, *chroma = (plane.astype(np.int64) for plane in planes)
    u, v = (upsampled(op, c) for c in chroma) if chroma else (np.zeros_like(y), np.zeros_like(y))
    sides = op.f["margin"], op.f["margin"]
    return np.pad(np.stack(red_green_blue(op, y, u, v)), ((0, 0), sides, sides), mode="edge")


def upsampled(op: Op, c: np.ndarray) -> np.ndarray:
    """6.9, Chroma: u or v."""
    f = op.f
    up = doubled(c, f["siting"] == 2)[: f["height"]]
    up = doubled(up.T, f["siting"] >= 1)[: f["width"]].T
    return up - 2**11 if f["depth"] == 8 else (up - 2**13 + 2) >> 2


def doubled(c: np.ndarray, co_sited: bool) -> np.ndarray:
    """6.9, Chroma: twice as many rows, by one of the two filters."""
    before, after = np.concatenate([c[:1], c[:-1]]), np.concatenate([c[1:], c[-1:]])
    even, odd = (4 * c, 2 * c + 2 * after) if co_sited else (3 * c + before, 3 * c + after)
    return np.stack([even, odd], axis=1).reshape(-1, c.shape[1])


class Matrix(NamedTuple):
    """The numbers of 6.9, Matrix."""

    a: int
    rv: int
    bu: int
    gu: int
    gv: int
    o: int


def matrix_of(op: Op) -> Matrix:
    """6.9, Matrix."""
    d, (r, b), p = op.f["depth"], MATRICES[op.f["matrix"]], 2**12 * PICTURES[op.code]
    g, q = 10000 - r - b, 16 if d == 8 else 4
    ey, ec, o = (219 << (d - 8), 224 << (d - 8), 1 << (d - 4)) if op.f["full_range"] == 0 else (2**d - 1, 2**d - 1, 0)

    def nearest(numerator: int, denominator: int) -> int:
        return (2 * numerator + denominator) // (2 * denominator)

    return Matrix(
        a=nearest(p, ey),
        rv=nearest(p * 2 * (10000 - r), 10000 * ec * q),
        bu=nearest(p * 2 * (10000 - b), 10000 * ec * q),
        gu=nearest(p * 2 * b * (10000 - b), 10000 * g * ec * q),
        gv=nearest(p * 2 * r * (10000 - r), 10000 * g * ec * q),
        o=o,
    )


def red_green_blue(op: Op, y: np.ndarray, u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
    """6.9, Matrix: the three formulas."""
    m = matrix_of(op)
    luma = m.a * (y - m.o) + 2**11
    return [(luma + m.rv * v) >> 12, (luma - m.gu * u - m.gv * v) >> 12, (luma + m.bu * u) >> 12]


def picture_range(op: Op) -> tuple[int, int]:
    """6.9, Range. The formulas are monotonic in each of Y, u and v, so their ends are at those of these."""
    ends = [-(2**11), 2032 if op.f["depth"] == 8 else 2044] if op.f["chroma"] else [0]
    values = red_green_blue(op, *np.meshgrid([0, 2 ** op.f["depth"] - 1], ends, ends))
    return int(np.min(values)), int(np.max(values))


# ======================================================================================================================
# 7 Noise
# ======================================================================================================================


def philox(counter: list[np.ndarray], k0: int, k1: int) -> list[np.ndarray]:
    """7.1: the generator, for many counters at once; 32-bit words, held in uint64."""
    u = np.uint64
    c0, c1, c2, c3 = counter
    for _ in range(10):
        a, b = u(0xD2511F53) * c0, u(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> u(32)) ^ c1 ^ u(k0), b & u(M32), (a >> u(32)) ^ c3 ^ u(k1), a & u(M32)
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return [c0, c1, c2, c3]


def noise(op: Op, seed: int, segment: int, layer: int, frame: int | None) -> np.ndarray:
    """7.1: the result of a NOISE operation; an interpolated frame has no number."""
    u = np.uint64
    c, y, x = np.indices(op.shape).astype(u)
    keyed = op.f["per_frame"] == 1 and frame is not None
    counter = [
        x // u(4) + y * u(2**16),
        c + u(op.f["scale"] * 2**16),
        np.full_like(c, frame if keyed else 0),
        np.full_like(c, 1 if keyed else 0),
    ]
    words = np.choose((x % u(4)).astype(np.int64), philox(counter, seed, segment + layer * 2**16))
    return (normal_table()[(words >> u(20)).astype(np.int64)].astype(np.int64) * op.f["gain"] + 128) >> 8


@cache
def normal_table() -> np.ndarray:
    """7.2: all of Z, as its SHA-256 is taken."""
    half = [normal_cdf((2 * v + 1) << (F - 7)) for v in range(236)]  # Phi((2v + 1) / 128) for v = 0 .. 235
    phi = [2**F - cdf for cdf in reversed(half)] + half  # and for v = -236 .. 235
    return np.array([bisect_left(phi, (2 * i + 1) << (F - 13)) - 236 for i in range(4096)], "<i2")


# ======================================================================================================================
# 8 Pictures and time
# ======================================================================================================================


def decode(stream: Stream, frame: int, layer: int | None = None) -> np.ndarray:
    """8.1: frame `frame`, counted over all segments, of a layer, else of the highest: uint8 [height, width, 3]."""
    return picture(stream, frame, layer, None)


def times(stream: Stream) -> list[tuple[int, int]]:
    """8.2: presentation time and duration of every frame, in ticks."""
    out = []
    for segment in stream.segments:
        pts = segment.first_pts
        for n in range(segment.frames):
            duration = segment.constant_duration or segment.durations[n]
            out.append((pts, duration))
            pts += duration
    return out


def interpolate(stream: Stream, frame: int, k: int, d: int, layer: int | None = None) -> np.ndarray:
    """8.3: the picture at k/d of the way from `frame` to the next one of its segment."""
    if not 0 < k < d <= 65535:
        raise ValueError("k must lie between 0 and d, d be at most 65535")
    return picture(stream, frame, layer, (k, d))


def interpolated(a: np.ndarray, b: np.ndarray, between: tuple[int, int]) -> np.ndarray:
    """8.3: what lies between the values a and b."""
    k, d = between
    return (2 * ((d - k) * a + k * b) + d) // (2 * d)


def picture(stream: Stream, frame: int, layer: int | None, between: Between) -> np.ndarray:
    """The picture of a frame, or of one between it and the next."""
    s = max(number for number, segment in enumerate(stream.segments) if segment.first_frame <= frame)
    n = frame - stream.segments[s].first_frame
    if not 0 <= n < stream.segments[s].frames - (between is not None):
        raise IndexError("no such frame")
    if between and stream.segments[s].has_picture:
        raise ValueError("interpolated frames are not defined for a segment with PICTURE")
    last = evaluate(stream, s, stream.layers - 1 if layer is None else layer, n, between, {})[-1]
    return last.transpose(1, 2, 0).astype(("u1", "<u2")[stream.video["sample_format"]], order="C")


def pictures(stream: Stream, layer: int | None = None, factor: int = 1) -> Iterator[np.ndarray]:
    """All frames of a layer, in order, compared with their checksums; with a factor above 1, frames between them as
    well, that many times as many, and no comparison."""
    number = stream.layers - 1 if layer is None else layer
    for segment in stream.segments:
        group, crc = segment.layers[number].group, 0
        for n in range(segment.frames):
            frame = segment.first_frame + n
            made = decode(stream, frame, number)
            yield made
            if n + 1 < segment.frames:
                yield from (interpolate(stream, frame, k, factor, number) for k in range(1, factor))
            crc = zlib.crc32(made.tobytes(), crc)
            if factor == 1 and segment.layers[number].sums and ((n + 1) % group == 0 or n + 1 == segment.frames):
                if crc != segment.layers[number].sums[n // group]:
                    raise NotVerified(f"frame {frame}, or one before it, has not the checksum that the stream states")
                crc = 0


# ======================================================================================================================
# 9 Limits
# ======================================================================================================================

MAX_OPERATIONS = 1024
MAX_TENSOR = 2**29
MAX_ALIVE = 2**30
MAX_MULTIPLICATIONS = 2**42
MAX_WEIGHTS, MAX_STREAM_WEIGHTS = 2**25, 2**26
MAX_LATENTS = 2**27
MAX_FRAMES = 2**22
MAX_RUN = 2**10
MAX_UNITS = 2**20
MAX_AGAIN = 2**16
MAX_METADATA = 2**20


def check_limits(ops: list[Op], segment: Segment, totals: dict[str, int]) -> None:
    """Check what a list takes; `totals` are the weights and latents of the stream so far."""
    multiplications = weights = 0
    for op in ops:
        size = math.prod(op.shape)
        if op.code == CONV:
            kernel = op.f["kernel_height"] * op.f["kernel_width"]
            count = op.shape[0] * ops[op.f["input"]].shape[0] * kernel
            weights += count
            multiplications += count * op.shape[1] * op.shape[2]
        elif op.code == LATENT:
            totals["latents"] += segment.frames * size
        elif op.code == GRID:
            totals["latents"] += op.f["knots"] * size
    need(most_alive(ops, set()) <= MAX_ALIVE, "too many elements are alive at once")
    totals["weights"] += weights
    need(multiplications <= MAX_MULTIPLICATIONS, "a list takes too many multiplications")
    need(weights <= MAX_WEIGHTS and totals["weights"] <= MAX_STREAM_WEIGHTS, "there are too many weights")
    need(totals["latents"] <= MAX_LATENTS, "there are too many latents")


def check_layers(lists: list[list[Op]]) -> None:
    """Check what the layers of a segment, so far, keep for the ones above."""
    below = 0
    for level, ops in enumerate(lists):
        higher = [op for above in lists[level + 1 :] for op in above if op.code == BELOW]
        kept = {op.f["op"] for op in higher if op.f["layer"] == level}
        need(below + most_alive(ops, kept) <= MAX_ALIVE, "too many elements are alive at once in all layers")
        below += sum(math.prod(ops[place].shape) for place in kept)


def most_alive(ops: list[Op], kept: set[int]) -> int:
    """The most elements that are alive at once; results of `kept` operations are to the end."""
    until = list(range(len(ops)))  # the last operation that reads each one's result
    for place, op in enumerate(ops):
        for source in op.sources():
            until[source] = place
    alive = most = 0
    for place, op in enumerate(ops):
        alive += math.prod(op.shape)
        most = max(most, alive)
        done = [other for other in range(place + 1) if until[other] == place and other not in kept]
        alive -= sum(math.prod(ops[other].shape) for other in done)
    return most


# ======================================================================================================================
# 10 Errors
# ======================================================================================================================


class SpecError(Exception):
    """A file that a decoder refuses, or whose pictures are wrong; `status` is the exit status."""

    status = 1


class NotSdmn(SpecError):
    """Not an SDMN file."""

    status = 3


class Corrupt(SpecError):
    """Something that must hold does not."""

    status = 4


class TooShort(Corrupt):
    """Data end inside a field."""


class NotSupported(SpecError):
    """A version, feature, unit, operation, table family or codec that this decoder does not know."""

    status = 5


class NotVerified(SpecError):
    """A picture has not its checksum."""

    status = 6


def need(condition: bool, message: str) -> None:
    """Refuse the file as corrupt unless the condition holds."""
    if not condition:
        raise Corrupt(message)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Decode an SDMN file, slowly, and print the MD5 of its RGB bytes.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--frames", action="store_true", help="a line for each frame")
    parser.add_argument("--layers", type=int, metavar="N", help="how many layers to use")
    parser.add_argument("--interpolate", type=int, metavar="N", default=1, help="N times as many frames")
    options = parser.parse_args(arguments)
    if not 1 <= options.interpolate <= 65535:
        parser.error("--interpolate must be from 1 to 65535")
    total, frames = hashlib.md5(), 0
    try:
        stream = parse(options.file.read_bytes())
        if stream.note:
            print(stream.note, file=sys.stderr)
        layers = stream.layers if options.layers is None else options.layers
        if not 1 <= layers <= stream.layers:
            parser.error(f"the file has {stream.layers} layers")
        if options.interpolate > 1 and any(segment.has_picture for segment in stream.segments):
            parser.error("there is nothing between the frames of an AV1 stream")
        for made in pictures(stream, layers - 1, options.interpolate):
            if options.frames:
                print(f"{hashlib.md5(made).hexdigest()}  frame {frames}")
            total.update(made)
            frames += 1
    except SpecError as error:
        print(error, file=sys.stderr)
        return error.status
    except OSError as error:
        print(f"the file cannot be read: {error.strerror}", file=sys.stderr)
        return NotSdmn.status
    if not options.frames:
        print(f"{total.hexdigest()}  {frames} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
