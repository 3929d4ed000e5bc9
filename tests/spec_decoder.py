"""An independent decoder of SDMN files, which the tests use as a reference.

It was written from bitstream_spec.md alone, without a look at the codec's own code, so that the two check
each other and the specification. It is plain rather than fast: pure Python for the range decoder, NumPy
integers for the pictures, floating point nowhere. Numbers in brackets are sections of the specification.

    python spec_decoder.py FILE        prints the MD5 of the RGB bytes of all frames, and their number
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import sys
import zlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

MAGIC = b"\x89SDM\r\n\x1a\n"
VIDEO, SEGMENT, NETWORK, WEIGHTS, LATENTS, CHECKSUMS, LAYER_END = range(1, 8)
INDEX, METADATA, AUDIO = 32, 33, 34
(LATENT, NOISE, CONV, SHUFFLE, UNSHUFFLE, TABLE, ADD, SUBTRACT, CONCAT, SLICE, RESAMPLE, CROP, BELOW, GRID) = range(1, 15)
FIELDS = {  # [6.2] codes of `struct` and names of the fields; `in` is called a
    LATENT: ("HHHhhB", "channels height width low high kind"),
    GRID: ("HHHhhHB", "channels height width low high knots shift"),
    NOISE: ("HHHBHB", "channels height width scale gain per_frame"),
    CONV: ("HHBBBBhh", "a channels kernel_height kernel_width group bias_shift low high"),
    SHUFFLE: ("HB", "a r"),
    UNSHUFFLE: ("HB", "a r"),
    TABLE: ("HBBBhh", "a function p q low high"),
    ADD: ("HHhh", "a b low high"),
    SUBTRACT: ("HHhh", "a b low high"),
    CONCAT: ("HH", "a b"),
    SLICE: ("HHH", "a start count"),
    RESAMPLE: ("HHH", "a height width"),
    CROP: ("HHHHH", "a top left height width"),
    BELOW: ("BH", "layer op"),
}
MULTIPLIERS = np.array([235, 215, 197, 181, 166, 152, 140, 128], dtype=np.int64)
M32, M64 = 2**32 - 1, 2**64 - 1


class SpecError(Exception):
    """A file that a decoder refuses [10]; `status` is the exit status."""

    status = 1


class NotSdmn(SpecError):
    """Not an SDMN file."""

    status = 3


class Corrupt(SpecError):
    """Something that must hold does not."""

    status = 4


class NotSupported(SpecError):
    """A version, feature, unit, operation or table family that this decoder does not know."""

    status = 5


def need(condition: bool, message: str) -> None:
    """Refuse the file as corrupt unless the condition holds."""
    if not condition:
        raise Corrupt(message)


class Unit(NamedTuple):
    """One unit of the file [3]."""

    type: int
    segment: int
    layer: int
    payload: bytes
    offset: int


@dataclass
class Op:
    """An operation [6.2] with its fields, the shape of its result and the range of its values."""

    code: int
    f: dict[str, int]
    shape: tuple[int, int, int] = (0, 0, 0)
    low: int = 0
    high: int = 0


Conv = tuple[np.ndarray, np.ndarray, np.ndarray]  # step indices of all channels, biases, weights


@dataclass
class Layer:
    """A layer of a segment; `convs` and `latents` are keyed by the place of the operation."""

    ops: list[Op]
    convs: dict[int, Conv] = field(default_factory=dict)
    latents: dict[int, np.ndarray] = field(default_factory=dict)  # [frames, channels, height, width]
    group: int = 1  # frames that a checksum covers
    sums: list[int] = field(default_factory=list)


@dataclass
class Segment:
    """A segment [4.2]; without a list of durations, all are `constant_duration`."""

    first_frame: int
    frames: int
    width: int
    height: int
    first_pts: int
    constant_duration: int
    durations: list[int] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)

    def pts(self, n: int) -> int:
        """Presentation time of frame n of the segment, in ticks [8.2]."""
        return self.first_pts + (sum(self.durations[:n]) if self.durations else n * self.constant_duration)


@dataclass
class Stream:
    """A parsed file; `video` has the fields of [4.1]."""

    video: dict[str, int]
    segments: list[Segment]
    metadata: dict

    @property
    def frames(self) -> int:
        """Frames of all segments."""
        return sum(s.frames for s in self.segments)

    @property
    def layers(self) -> int:
        """Layers that the file holds."""
        return len(self.segments[0].layers)


class Reader:
    """Reads the fields of a payload."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        need(n <= len(self.data) - self.at, "a payload is too short")
        self.at += n
        return self.data[self.at - n : self.at]

    def read(self, codes: str) -> tuple[int, ...]:
        """Fields of fixed size, by the codes of `struct`."""
        return struct.unpack("<" + codes, self.take(struct.calcsize("<" + codes)))

    def varint(self, low: int, high: int) -> int:
        """A varint [1] from low to high."""
        value = shift = 0
        while (byte := self.take(1)[0]) > 127:
            value, shift = value | (byte & 127) << shift, shift + 7
            need(shift < 64, "a varint is too long")
        need(byte > 0 or shift == 0, "a varint takes more bytes than it needs")
        value |= byte << shift
        need(low <= value <= high, "a varint is out of range")
        return value

    def done(self) -> None:
        """The payload must end here."""
        need(self.at == len(self.data), "a payload is too long")


# ---- entropy coding [5] ----


def read_table(r: Reader, family: int, first: int, n: int) -> list[int]:
    """The rest of a table of family 0 to 3 [5.2]: its bounds L[0 .. n]."""
    if family > 3:
        raise NotSupported("unknown table family")
    weights = [1]
    if family == 1:
        peak, (ratio,), w = r.varint(0, n - 1), r.read("H"), [2**30]
        for _ in range(n):
            w.append((w[-1] * ratio) >> 16)
        weights = [w[abs(i - peak)] for i in range(n)]
    elif family == 2:
        peak, spread, (shape,) = r.varint(0, n - 1), r.varint(1, 2**31 - 1), r.read("B")
        need(shape <= 6, "the shape of a table is out of range")
        weights = [2**30 * spread // (spread + (i - peak) ** 2) for i in range(n)]
        for _ in range(shape):
            weights = [(w * w) >> 30 for w in weights]
    elif family == 3:
        weights = [r.varint(0, 2**24) for _ in range(n)]
        need(any(weights), "a histogram is empty")
    return bounds_of(weights)


def bounds_of(weights: list[int]) -> list[int]:
    """From weights to counts [5.2] and on to the bounds L[0 .. n] [5.3]."""
    sums, n = [0], len(weights)
    for w in weights:
        sums.append(sums[-1] + w)
    counts = [i + s * (2**16 - n) // sums[n] for i, s in enumerate(sums)]
    return [i + ((c * (2**24 - n)) >> 16) for i, c in enumerate(counts)]


def read_chunk(
    r: Reader, shape: tuple[int, ...], low: int, high: int, group: int = 0, near: bool = False
) -> np.ndarray:
    """A chunk [5.1] of integers from low to high; one that holds rows (the first side of `shape`) has a `group`, and
    may be of family 5 where `near`."""
    count = math.prod(shape)
    (family,), zigzag, n = r.read("B"), r.varint(0, 2**16), r.varint(1, 4096)
    need((n == 1) == (family == 0), "the size of a table does not fit its family")
    first = -(zigzag + 1) // 2 if zigzag % 2 else zigzag // 2
    by_rows = (family == 4 and group > 0) or (family == 5 and near)
    if by_rows:
        start, spread, (form,) = r.varint(0, 16320), r.varint(1, 65535), r.read("B")
        (weight,) = r.read("B") if family == 5 else (0,)
        need(form <= 6 and first <= 0 <= first + n - 1, "a table by rows is out of range")
        need(weight > 0 or family == 4, "the weight of a table by rows is out of range")
    else:
        bounds = read_table(r, family, first, n)
    size = r.varint(0, 24 * count // 32 + 2)
    words = struct.unpack(f"<{size}I", r.take(4 * size))
    need(n > 1 or size == 0, "a constant has words")
    values = np.full(count, first, dtype=np.int32)
    if n > 1:
        coder = RangeDecoder(words)
        if by_rows:
            values = read_rows(coder, shape, group, first, n, start, spread, form, weight)
        else:
            values += np.array([coder.symbol(bounds) for _ in range(count)], dtype=np.int32)
        coder.done()
    need(low <= values.min() and values.max() <= high, "a coded value is out of range")
    return values.reshape(shape)


def read_rows(
    coder: RangeDecoder,
    shape: tuple[int, ...],
    group: int,
    first: int,
    n: int,
    start: int,
    spread: int,
    form: int,
    weight: int,
) -> np.ndarray:
    """Values by rows [5.5], of family 5 where there is a weight."""
    rows, columns = shape[0], math.prod(shape[1:])
    values, magnitudes = np.zeros((rows, columns), np.int32), [0] * columns
    block = 1 if weight else min(rows, group * -(-256 // (group * columns)))

    @lru_cache(maxsize=None)
    def bounds(k: int) -> list[int]:
        m = 2 * k + 1 if k < 4 else (2 * (4 + k % 4) + 1) << (k // 4 - 1)
        v = max(1, (spread * m * m) >> 14)
        weights = [2**30 * v // (v + 256 * (i + first) ** 2) for i in range(n)]
        for _ in range(form):
            weights = [(w * w) >> 30 for w in weights]
        return bounds_of(weights)

    for top in range(0, rows, block):
        bottom = min(rows, top + block)
        classes = []
        for j in range(columns):
            e = (8 * start + 64 * magnitudes[j]) // (8 + top)
            if weight:
                e = (weight * start + 64 * around(values[top - 1], shape, j)) // (weight + 25) if top else start
            t = e.bit_length() - 3
            classes.append(e if e < 4 else 4 * t + (e >> t))
        for k in sorted(set(classes)):
            for row in range(top, bottom):
                for j in range(columns):
                    if classes[j] == k:
                        values[row, j] = first + coder.symbol(bounds(k))
        for j in range(columns):
            magnitudes[j] += int(np.abs(values[top:bottom, j]).sum())
    return values


def around(row: np.ndarray, shape: tuple[int, ...], j: int) -> int:
    """The magnitudes of a frame's values around its j-th, 5x5 of them [5.5]."""
    _, _, h, w = shape
    y, x = j // w % h, j % w
    plane = np.abs(row.reshape(shape[1:])[j // (h * w)])
    rows, columns = (np.clip(np.arange(at - 2, at + 3), 0, side - 1) for at, side in ((y, h), (x, w)))
    return int(plane[np.ix_(rows, columns)].sum())


class RangeDecoder:
    """The range decoder [5.4]."""

    def __init__(self, words: tuple[int, ...]) -> None:
        first, second = (words + (0, 0))[:2]
        self.words, self.at = words, 2
        self.lower, self.range, self.point = 0, M64, first << 32 | second

    def symbol(self, bounds: list[int]) -> int:
        """The next symbol of a table with these bounds."""
        scale = self.range >> 24
        q = ((self.point - self.lower) & M64) // scale
        need(q < 2**24, "a chunk does not decode")
        symbol = bisect_right(bounds, q) - 1
        self.lower = (self.lower + scale * bounds[symbol]) & M64
        self.range = scale * (bounds[symbol + 1] - bounds[symbol])
        if self.range < 2**32:
            self.lower, self.range = (self.lower << 32) & M64, self.range << 32
            self.point = ((self.point << 32) & M64) | (self.words[self.at] if self.at < len(self.words) else 0)
            self.at += 1
        return symbol

    def done(self) -> None:
        """What must hold after the last symbol."""
        end = len(self.words) <= self.at and (self.point - self.lower) & M64 < 2**33 - 1
        need(end, "a chunk has words that its values do not need")


# ---- the file [2, 3] and its payloads [4] ----


def read_header(data: bytes) -> None:
    """Check the file header [2]."""
    if data[:8] != MAGIC:
        raise NotSdmn("no SDMN file")
    need(len(data) >= 18, "the file header is cut off")
    if data[8] != 1:
        raise NotSupported("major version")
    minor, features, checksum = struct.unpack_from("<BII", data, 9)
    if checksum != zlib.crc32(data[:14]):
        raise NotSupported("minor version") if minor != 1 else Corrupt("checksum of the file header")
    if features & ~1:
        raise NotSupported("features")


def read_units(data: bytes) -> list[Unit]:
    """All units [3], with what is checked for each by itself."""
    units, at = [], 18
    while at < len(data):
        need(data[at : at + 8] != MAGIC, "two files have been concatenated")
        need(at + 17 <= len(data), "the file is cut off")
        kind, flags, segment, layer, length = struct.unpack_from("<BBHBQ", data, at)
        end = at + 13 + length
        need(end + 4 <= len(data), "the file is cut off")
        need(struct.unpack_from("<I", data, end)[0] == zlib.crc32(data[at:end]), "checksum of a unit")
        need(flags < 2, "flags of a unit")
        if VIDEO <= kind <= LAYER_END or INDEX <= kind <= AUDIO:
            need(flags == (kind >= INDEX), "ancillary flag of a unit")
        elif flags == 0:
            raise NotSupported("unknown critical unit")
        units.append(Unit(kind, segment, layer, data[at + 13 : end], at))
        at = end + 4
    return units


def parse(data: bytes) -> Stream:
    """Read a whole file and check everything that must hold."""
    read_header(data)
    units = read_units(data)
    need(bool(units) and units[0].type == VIDEO, "the first unit is not VIDEO")
    need(units[-1 - (units[-1].type == INDEX)].type == LAYER_END, "the file does not end after a LAYER_END")
    need(all(u.type != INDEX for u in units[:-1]), "INDEX is not the last unit")
    metadata: dict = {}
    for u in units:
        need(u.type not in (INDEX, METADATA, AUDIO) or u[1:3] == (0, 0), "segment or layer of a unit")
        if u.type == METADATA:
            metadata.update(read_metadata(Reader(u.payload)))
        elif u.type == INDEX:
            rows = b"".join(struct.pack("<BHBQ", v.type, v.segment, v.layer, v.offset) for v in units[:-1])
            need(u.payload == rows + struct.pack("<I", len(rows)), "INDEX does not agree with the units")
    core = [(n, u) for n, u in enumerate(units) if VIDEO <= u.type <= LAYER_END][::-1]

    def expect(*wanted: int) -> Reader:
        """The next unit, which must be of this type, segment and layer."""
        need(bool(core) and core[-1][1][:3] == wanted, "units are missing or out of order")
        return Reader(core.pop()[1].payload)

    stream = Stream(read_video(expect(VIDEO, 0, 0)), [], metadata)
    while core[-1][1].type == SEGMENT:
        stream.segments.append(read_segment(expect(SEGMENT, len(stream.segments), 0), stream.frames))
        need(stream.frames <= 2**22, "too many frames")
    need(bool(stream.segments), "no segments")
    totals = {"weights": 0, "latents": 0}
    while core:
        number = stream.layers
        for s, segment in enumerate(stream.segments):
            layer = Layer(read_network(expect(NETWORK, s, number), segment, totals))
            read_weights(expect(WEIGHTS, s, number), layer)
            for place, op in enumerate(layer.ops):
                done = 0
                total = {LATENT: segment.frames, GRID: op.f.get("knots", 0)}.get(op.code, 0)
                while done < total:
                    done = read_latents(expect(LATENTS, s, number), layer, place, done, total)
            r = expect(CHECKSUMS, s, number)
            (layer.group,) = r.read("I")
            need(1 <= layer.group <= segment.frames, "group of the checksums")
            layer.sums = list(r.read(f"{-(-segment.frames // layer.group)}I"))
            r.done()
            segment.layers.append(layer)
        n, end = core[-1] if core else (0, units[0])
        wanted = struct.pack("<I", n) + hashlib.sha256(data[: end.offset]).digest()
        need(expect(LAYER_END, 0, number).data == wanted, "LAYER_END does not match")
    return stream


def read_video(r: Reader) -> dict[str, int]:
    """VIDEO [4.1]."""
    names = (
        "sample_format primaries transfer matrix color_range sample_aspect_num sample_aspect_den "
        "time_base_num time_base_den seed"
    )
    v = dict(zip(names.split(), r.read("BBBBBHHIII")))
    r.done()
    need(v["sample_format"] == 0 and v["color_range"] <= 2, "sample format or colour range")
    need(all(v[k] for k in v if k.startswith(("sample_aspect", "time_base"))), "aspect or time base of zero")
    return v


def read_segment(r: Reader, before: int) -> Segment:
    """SEGMENT [4.2], with so many frames before it."""
    s = Segment(*r.read("IIHHqI"))
    need(s.first_frame == before and 1 <= s.frames <= 2**22, "frames of a segment")
    need(s.width > 0 and s.height > 0 and abs(s.first_pts) <= 2**62, "size or time of a segment")
    if s.constant_duration == 0:
        s.durations = [r.varint(0, 2**62) for _ in range(s.frames)]
    r.done()
    return s


def read_network(r: Reader, segment: Segment, totals: dict[str, int]) -> list[Op]:
    """NETWORK [4.3]: the list of operations, with shapes, ranges and limits [9] checked."""
    (count,) = r.read("H")
    need(1 <= count <= 1024, "count of operations")
    ops: list[Op] = []
    weights = products = alive = 0
    until: dict[int, int] = {}  # the last operation that reads an operation's tensor
    for place in range(count):
        (code,) = r.read("B")
        if code not in FIELDS:
            raise NotSupported("unknown operation")
        op = Op(code, dict(zip(FIELDS[code][1].split(), r.read(FIELDS[code][0]))))
        until[place] = place
        for source in (op.f[k] for k in "ab" if k in op.f):
            need(source < place, "an operation reads a later one")
            until[source] = place
        check_op(op, ops, segment)
        need(min(op.shape) >= 1 and math.prod(op.shape) <= 2**29, "shape of a tensor")
        need(op.low <= op.high, "range of a tensor")
        ops.append(op)
        if code == CONV:
            size = op.shape[0] * ops[op.f["a"]].shape[0] * op.f["kernel_height"] * op.f["kernel_width"]
            weights, products = weights + size, products + size * op.shape[1] * op.shape[2]
        elif code == LATENT:
            totals["latents"] += segment.frames * math.prod(op.shape)
        elif code == GRID:
            totals["latents"] += op.f["knots"] * math.prod(op.shape)
    r.done()
    last = ops[-1]
    need(last.shape == (3, segment.height, segment.width), "shape of the picture")
    need(0 <= last.low and last.high <= 255, "range of the picture")
    totals["weights"] += weights
    need(weights <= 2**25 and totals["weights"] <= 2**26, "too many weights")
    need(products <= 2**42, "too many multiplications")
    need(totals["latents"] <= 2**27, "too many latents")
    dies = [0] * count
    for place, end in until.items():
        dies[end] += math.prod(ops[place].shape)
    for op, gone in zip(ops, dies):
        alive += math.prod(op.shape)
        need(alive <= 2**30, "too many elements alive")
        alive -= gone
    return ops


def check_op(op: Op, ops: list[Op], segment: Segment) -> None:
    """Check an operation's fields and set its shape and range [6.2]."""
    f, code, ok = op.f, op.code, True
    x = ops[f["a"]] if "a" in f else op
    if code == BELOW:
        need(f["layer"] < len(segment.layers), "BELOW reads no lower layer")
        need(f["op"] < len(segment.layers[f["layer"]].ops), "BELOW reads no operation")
        x = segment.layers[f["layer"]].ops[f["op"]]
    (c, h, w), r = x.shape, f.get("r", 2)
    op.shape, op.low, op.high = x.shape, f.get("low", x.low), f.get("high", x.high)
    if code in (LATENT, GRID, NOISE, RESAMPLE, CROP):
        op.shape = f.get("channels", c), f["height"], f["width"]
    if code == LATENT:
        ok = -128 <= op.low and op.high <= 127 and f["kind"] <= 1
    elif code == GRID:
        ok = -128 <= op.low and op.high <= 127 and 1 <= f["knots"] <= segment.frames and f["shift"] <= 8
        op.low, op.high = op.low * 2 ** f["shift"], op.high * 2 ** f["shift"]
    elif code == NOISE:
        ok = f["gain"] <= 4096 and f["per_frame"] <= 1
        op.high = (235 * f["gain"] + 128) >> 8
        op.low = -op.high
    elif code == CONV:
        op.shape = f["channels"], h, w
        ok = all(f[k] % 2 == 1 and f[k] <= 15 for k in ("kernel_height", "kernel_width"))
        ok = ok and f["group"] >= 1 and f["bias_shift"] <= 12 and -4095 <= op.low and op.high <= 4095
    elif code in (SHUFFLE, UNSHUFFLE):
        need(2 <= r <= 16, "factor of a shuffle")
        op.shape = (c // r**2, h * r, w * r) if code == SHUFFLE else (c * r**2, h // r, w // r)
        ok = c % r**2 == 0 if code == SHUFFLE else h % r == w % r == 0
    elif code == TABLE:
        ok = f["function"] <= 2 and f["p"] <= 12 and f["q"] <= 16
    elif code in (ADD, SUBTRACT):
        ok = x.shape == ops[f["b"]].shape
    elif code == CONCAT:
        y = ops[f["b"]]
        op.shape, ok = (c + y.shape[0], h, w), y.shape[1:] == (h, w)
        op.low, op.high = min(x.low, y.low), max(x.high, y.high)
    elif code == SLICE:
        op.shape, ok = (f["count"], h, w), f["start"] + f["count"] <= c
    elif code == CROP:
        ok = f["top"] + f["height"] <= h and f["left"] + f["width"] <= w
    need(ok, f"fields of an operation with code {code}")


def read_weights(r: Reader, layer: Layer) -> None:
    """WEIGHTS [4.4], with the bound on sums [6.3] checked."""
    for place, op in enumerate(layer.ops):
        if op.code != CONV:
            continue
        f, x = op.f, layer.ops[op.f["a"]]
        steps = read_chunk(r, (-(-f["channels"] // f["group"]),), 0, 239).astype(np.int64)
        biases = read_chunk(r, (f["channels"],), -2047, 2047).astype(np.int64)
        shape = f["channels"], x.shape[0], f["kernel_height"], f["kernel_width"]
        weights = read_chunk(r, shape, -127, 127, f["group"]).astype(np.int64)
        steps = np.repeat(steps, f["group"])[: f["channels"]]
        layer.convs[place] = steps, biases, weights
        above, below = max(x.high, 0), max(-x.low, 0)
        sums = (np.maximum(sign * weights, 0).sum(axis=(1, 2, 3)).tolist() for sign in (1, -1))
        for step, bias, p, q in zip(steps.tolist(), biases.tolist(), *sums):  # not in int64: b is large
            s1 = max(0, step // 8 - 6)
            b = (bias << (s1 + f["bias_shift"])) + ((1 << s1) >> 1)
            need(p * above + q * below + max(b, 0) < 2**24, "a convolution may overflow")
            need(q * above + p * below + max(-b, 0) < 2**24, "a convolution may overflow")
    r.done()


def read_latents(r: Reader, layer: Layer, place: int, done: int, total: int) -> int:
    """LATENTS [4.5]: one run, which must follow the `done` frames; returns the frames done after it."""
    op = layer.ops[place]
    low, high = op.f["low"], op.f["high"]
    at, first, frames, predictor = r.read("HIIB")
    need(at == place and first == done and 1 <= frames <= total - done, "a run is missing or out of order")
    need(predictor <= 1, "predictor")
    values = read_chunk(r, (1, *op.shape), low, high)
    if frames > 1:
        span = high - low
        bounds = (-span, span) if predictor else (low, high)
        values = np.concatenate([values, read_chunk(r, (frames - 1, *op.shape), *bounds, 1, near=True)])
        values = values.cumsum(axis=0, dtype=np.int64) if predictor else values
    r.done()
    need(low <= values.min() and values.max() <= high, "a latent is out of range")
    if first == 0:
        layer.latents[place] = np.zeros((total, *op.shape), dtype=np.int8)
    layer.latents[place][first : first + frames] = values
    return first + frames


def read_metadata(r: Reader) -> dict:
    """METADATA [4.9]. Of packed data only the size is checked: there is no Zstandard at hand."""
    packing, size = r.read("BI")
    need(packing <= 1 and size <= 2**20, "fields of METADATA")
    if packing == 1:
        magic, head = r.read("IB")
        need(magic == 0xFD2FB528, "METADATA is no Zstandard frame")
        single, flag = head >> 5 & 1, head >> 6
        r.take((1 - single) + (0, 1, 2, 4)[head & 3])
        width = (single, 2, 4, 8)[flag]
        content = int.from_bytes(r.take(width), "little") + (256 if width == 2 else 0)
        need(width > 0 and content == size, "size of METADATA")
        return {}
    text = r.take(size)
    r.done()
    try:
        value = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Corrupt("METADATA is no JSON") from error
    need(isinstance(value, dict), "METADATA is no JSON object")
    return value


# ---- constants [6.5, 7.2] ----

F = 160
A = math.isqrt(2**507 // 0x3243F6A8885A308D313198A2E03707344A4093822299F31D)


def normal_cdf(x: int) -> int:
    """2^F * Phi(x / 2^F) for x >= 0, with the generator of [6.5]."""
    square, power, total, k = (x * x) >> F, x, 0, 0
    while power > 0:
        term = power // (2 * k + 1)
        total += -term if k % 2 else term
        k += 1
        power = ((power * square) >> F) // (2 * k)
    return 2 ** (F - 1) + ((total * A) >> F)


@lru_cache(maxsize=None)
def gelu(i: int) -> int:
    """The entry G[i] of the master table [6.5]."""
    if i < 0:
        return gelu(-i) + i * 2**12
    return (i * normal_cdf(i << (F - 12)) + 2**147) >> 148


def gelu_table() -> np.ndarray:
    """All of G, -32768 <= i < 32768, as little-endian int32."""
    return np.array([gelu(i) for i in range(-32768, 32768)], dtype="<i4")


@lru_cache(maxsize=None)
def normal_table() -> np.ndarray:
    """All of Z [7.2], as little-endian int16."""
    half = [normal_cdf((2 * v + 1) << (F - 7)) for v in range(236)]  # Phi((2v + 1) / 128) for v = 0 .. 235
    phi = [2**F - c for c in reversed(half)] + half  # and for v = -236 .. 235
    return np.array([bisect_left(phi, (2 * i + 1) << (F - 13)) - 236 for i in range(4096)], dtype="<i2")


# ---- operations [6] ----


def noise(op: Op, seed: int, segment: int, layer: int, frame: int | None) -> np.ndarray:
    """The values of a NOISE operation [7]; without a frame they have no frame key."""
    u = np.uint64
    c, y, x = np.indices(op.shape).astype(u)
    keyed = op.f["per_frame"] == 1 and frame is not None
    c0, c1 = x // u(4) + y * u(2**16), c + u(op.f["scale"] * 2**16)
    c2, c3 = np.full_like(c0, frame if keyed else 0), np.full_like(c0, keyed)
    k0, k1 = seed, segment + layer * 2**16
    for _ in range(10):
        a, b = u(0xD2511F53) * c0, u(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> u(32)) ^ c1 ^ u(k0), b & u(M32), (a >> u(32)) ^ c3 ^ u(k1), a & u(M32)
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    words = np.choose((x % u(4)).astype(np.int64), [c0, c1, c2, c3])
    return (normal_table()[(words >> u(20)).astype(np.int64)].astype(np.int64) * op.f["gain"] + 128) >> 8


def convolve(op: Op, conv: Conv, x: np.ndarray) -> np.ndarray:
    """CONV [6.3]."""
    steps, biases, weights = conv
    (i, h, w), (o, _, kh, kw), e = x.shape, weights.shape, steps[:, None] // 8
    s1, s2 = np.maximum(0, e - 6), np.minimum(12, e + 6)
    padded = np.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)))
    acc = np.zeros((o, h * w), dtype=np.int64) + (biases[:, None] << (s1 + op.f["bias_shift"]))
    for u in range(kh):
        for v in range(kw):
            acc += weights[:, :, u, v] @ padded[:, u : u + h, v : v + w].reshape(i, h * w)
    t = np.clip((acc + ((1 << s1) >> 1)) >> s1, -65535, 65535)
    t = (t * MULTIPLIERS[steps % 8][:, None] + (1 << (s2 - 1))) >> s2
    return np.clip(t, op.low, op.high).reshape(o, h, w)


def look_up(op: Op, x: np.ndarray) -> np.ndarray:
    """TABLE [6.5]."""

    def rounded(a: np.ndarray, n: int) -> np.ndarray:
        return (2 * a + 2**n) >> (n + 1)

    function, p, q = op.f["function"], op.f["p"], op.f["q"]
    v, place = np.unique(x, return_inverse=True)
    t = rounded(v * 2**q, p)
    if function == 1:
        t = np.where(v < 0, (2 * v * 2**q + 5 * 2**p) // (10 * 2**p), t)
    elif function == 2:
        inside = np.abs(v) * 2 ** (12 - p) < 32768
        g = [gelu(i * 2 ** (12 - p)) if near else 0 for i, near in zip(v.tolist(), inside.tolist())]
        t = np.where(inside, rounded(np.array(g, dtype=np.int64), 24 - q), np.where(v > 0, t, 0))
    return np.clip(t, op.low, op.high)[place].reshape(x.shape)


def latent(layer: Layer, place: int, n: int, frames: int) -> np.ndarray:
    """What a LATENT or GRID [6.7] yields for frame n of a segment."""
    op, values = layer.ops[place], layer.latents[place].astype(np.int64)
    if op.code == LATENT:
        return values[n]
    last, parts = op.f["knots"] - 1, max(1, frames - 1)
    j, k = divmod(n * last, parts)
    doubled = 2 ** (op.f["shift"] + 1) * ((parts - k) * values[j] + k * values[min(j + 1, last)])
    return (doubled + parts) // (2 * parts)


Between = tuple[int, int] | None  # k and d of an interpolated frame


def evaluate(
    stream: Stream, s: int, number: int, n: int, between: Between, done: dict[int, list[np.ndarray]]
) -> list[np.ndarray]:
    """All results of layer `number` of segment s for its frame n, or for one between n and n + 1."""
    layer, out = stream.segments[s].layers[number], []
    for place, op in enumerate(layer.ops):
        f, code, r = op.f, op.code, op.f.get("r", 1)
        x = out[f["a"]] if "a" in f else np.zeros((1, 1, 1), dtype=np.int64)
        c, h, w = x.shape
        if code in (LATENT, GRID):
            x = latent(layer, place, n, stream.segments[s].frames)
            if between:
                (k, d), y = between, latent(layer, place, n + 1, stream.segments[s].frames)
                x = (2 * ((d - k) * x + k * y) + d) // (2 * d)
        elif code == NOISE:
            x = noise(op, stream.video["seed"], s, number, None if between else n)
        elif code == CONV:
            x = convolve(op, layer.convs[place], x)
        elif code == SHUFFLE:
            x = x.reshape(c // r**2, r, r, h, w).transpose(0, 3, 1, 4, 2).reshape(op.shape)
        elif code == UNSHUFFLE:
            x = x.reshape(c, h // r, r, w // r, r).transpose(0, 2, 4, 1, 3).reshape(op.shape)
        elif code == TABLE:
            x = look_up(op, x)
        elif code in (ADD, SUBTRACT):
            x = np.clip(x + out[f["b"]] if code == ADD else x - out[f["b"]], op.low, op.high)
        elif code == CONCAT:
            x = np.concatenate([x, out[f["b"]]])
        elif code == SLICE:
            x = x[f["start"] : f["start"] + f["count"]]
        elif code == RESAMPLE:
            rows = (2 * np.arange(f["height"]) + 1) * h // (2 * f["height"])
            x = x[:, rows][:, :, (2 * np.arange(f["width"]) + 1) * w // (2 * f["width"])]
        elif code == CROP:
            x = x[:, f["top"] : f["top"] + f["height"], f["left"] : f["left"] + f["width"]]
        elif code == BELOW:
            if f["layer"] not in done:
                done[f["layer"]] = evaluate(stream, s, f["layer"], n, between, done)
            x = done[f["layer"]][f["op"]]
        assert x.shape == op.shape and op.low <= x.min() and x.max() <= op.high
        out.append(x)
    return out


# ---- pictures [8] ----


def picture(stream: Stream, frame: int, layer: int | None, between: Between) -> np.ndarray:
    """The shown picture of a frame, or of one between it and the next."""
    s = max(i for i, segment in enumerate(stream.segments) if segment.first_frame <= frame)
    n, number = frame - stream.segments[s].first_frame, stream.layers - 1 if layer is None else layer
    if not 0 <= n < stream.segments[s].frames - (between is not None):
        raise IndexError("no such frame")
    return evaluate(stream, s, number, n, between, {})[-1].transpose(1, 2, 0).astype(np.uint8, order="C")


def decode(stream: Stream, frame: int, layer: int | None = None) -> np.ndarray:
    """Frame `frame` (counted over all segments) of a layer, else of the highest: uint8 [height, width, 3]."""
    return picture(stream, frame, layer, None)


def interpolate(stream: Stream, frame: int, k: int, d: int, layer: int | None = None) -> np.ndarray:
    """The picture at k/d of the way from `frame` to the next one of its segment [8.3]."""
    if not 0 < k < d:
        raise ValueError("k must lie between 0 and d")
    return picture(stream, frame, layer, (k, d))


def checksum_ok(stream: Stream) -> bool:
    """Decode all frames of all layers and compare them with CHECKSUMS [4.6]."""
    for segment in stream.segments:
        for number, layer in enumerate(segment.layers):
            for group, wanted in enumerate(layer.sums):
                crc, start = 0, group * layer.group
                for n in range(start, min(start + layer.group, segment.frames)):
                    crc = zlib.crc32(decode(stream, segment.first_frame + n, number).tobytes(), crc)
                if crc != wanted:
                    return False
    return True


def main() -> int:
    """Print the MD5 of all frames of a file."""
    try:
        with open(sys.argv[1], "rb") as file:
            stream = parse(file.read())
    except SpecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.status
    digest = hashlib.md5()
    for frame in range(stream.frames):
        digest.update(decode(stream, frame).tobytes())
    print(f"{digest.hexdigest()}  {stream.frames} frames")
    if checksum_ok(stream):
        return 0
    print("Corrupt: a picture checksum does not match", file=sys.stderr)
    return Corrupt.status


if __name__ == "__main__":
    sys.exit(main())
