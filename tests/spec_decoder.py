"""An independent decoder of SDMN files, used by the tests as a reference.

It was written from bitstream_spec.md alone, without a look at the codec's own code, so that the two check each other
and the specification. It aims at being short and plain, not fast: pure Python for the range decoder, NumPy integers
for the pictures (no floating point anywhere). Numbers in brackets are sections of the specification.

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

import numpy as np

MAGIC = b"\x89SDM\r\n\x1a\n"
VIDEO, SEGMENT, NETWORK, WEIGHTS, LATENTS, CHECKSUMS, LAYER_END, INDEX, METADATA, AUDIO = *range(1, 8), 32, 33, 34
(LATENT, NOISE, CONV, SHUFFLE, UNSHUFFLE, TABLE, ADD, SUBTRACT, CONCAT, SLICE, RESAMPLE, CROP,
 BELOW) = range(1, 14)
FIELDS = {  # [6.2] struct codes and names of the fields, by operation
    LATENT: ("HHHhhB", "channels height width low high kind"),
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


@dataclass
class Unit:
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


@dataclass
class Layer:
    """A layer of a segment; `convs` and `latents` are keyed by the place of the operation."""
    ops: list[Op]
    convs: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict)  # steps, biases, weights
    latents: dict[int, np.ndarray] = field(default_factory=dict)  # [frames, channels, height, width]
    group: int = 1  # frames that a checksum covers
    sums: list[int] = field(default_factory=list)


@dataclass
class Segment:
    """A segment [4.2]; an empty list of durations means `constant_duration`."""
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
        return self.data[self.at - n:self.at]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(len(self.data) - self.at)

    def read(self, codes: str) -> tuple[int, ...]:
        """Fields of fixed size, by the codes of `struct`."""
        return struct.unpack("<" + codes, self.take(struct.calcsize("<" + codes)))

    def varint(self, low: int, high: int) -> int:
        """A varint [1] from low to high."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            need(shift < 64, "a varint is too long")
        need(byte != 0 or shift == 0, "a varint takes more bytes than it needs")
        need(low <= value <= high, "a varint is out of range")
        return value

    def done(self) -> None:
        """The payload must end here."""
        need(self.at == len(self.data), "a payload is too long")


# ---- entropy coding [5] ----


def read_table(r: Reader) -> tuple[int, list[int]]:
    """A table [5.2]: the first value, and the bounds L[0 .. n] [5.3]."""
    family, = r.read("B")
    if family > 3:
        raise NotSupported("unknown table family")
    zigzag = r.varint(0, 2**16)
    first = -(zigzag + 1) // 2 if zigzag & 1 else zigzag // 2
    n = r.varint(1, 4096)
    need((n == 1) == (family == 0), "size of a table does not fit its family")
    weights = [1]
    if family == 1:
        peak, (ratio,) = r.varint(0, n - 1), r.read("H")
        powers = [2**30]
        for _ in range(n):
            powers.append((powers[-1] * ratio) >> 16)
        weights = [powers[abs(i - peak)] for i in range(n)]
    elif family == 2:
        peak, spread, (shape,) = r.varint(0, n - 1), r.varint(1, 2**31 - 1), r.read("B")
        need(shape <= 6, "shape of a table is out of range")
        weights = [2**30 * spread // (spread + (i - peak)**2) for i in range(n)]
        for _ in range(shape):
            weights = [(w * w) >> 30 for w in weights]
    elif family == 3:
        weights = [r.varint(0, 2**24) for _ in range(n)]
        need(any(weights), "an empty histogram")
    sums = [0]
    for w in weights:
        sums.append(sums[-1] + w)
    counts = [i + s * (2**16 - n) // sums[n] for i, s in enumerate(sums)]
    return first, [i + ((c * (2**24 - n)) >> 16) for i, c in enumerate(counts)]


def read_chunk(r: Reader, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """A chunk [5.1] of integers that must lie from low to high."""
    count = math.prod(shape)
    first, bounds = read_table(r)
    size = r.varint(0, 24 * count // 32 + 2)
    words = struct.unpack(f"<{size}I", r.take(4 * size))
    if len(bounds) == 2:
        need(size == 0, "a constant has words")
        values = np.full(count, first, dtype=np.int16 if first < 2**15 else np.int64)
    else:
        values = np.array(range_decode(words, bounds, count), dtype=np.int64) + first
    need(low <= int(values.min()) and int(values.max()) <= high, "a coded value is out of range")
    return values.reshape(shape)


def range_decode(words: tuple[int, ...], bounds: list[int], count: int) -> list[int]:
    """The range decoder [5.4]: `count` symbols."""
    padded = words + (0, 0)
    lower, range_, point, at = 0, M64, padded[0] << 32 | padded[1], 2
    out = []
    for _ in range(count):
        scale = range_ >> 24
        q = ((point - lower) & M64) // scale
        need(q < 2**24, "a chunk does not decode")
        symbol = bisect_right(bounds, q) - 1
        out.append(symbol)
        lower = (lower + scale * bounds[symbol]) & M64
        range_ = scale * (bounds[symbol + 1] - bounds[symbol])
        if range_ < 2**32:
            lower, range_ = (lower << 32) & M64, (range_ << 32) & M64
            point = ((point << 32) & M64) | (words[at] if at < len(words) else 0)
            at += 1
    need(len(words) <= at, "a chunk has words that it does not need")
    return out


# ---- the file [2, 3] and its payloads [4] ----


def read_header(data: bytes) -> None:
    """Check the file header [2]."""
    if data[:8] != MAGIC:
        raise NotSdmn("no SDMN file")
    if len(data) > 8 and data[8] != 1:
        raise NotSupported("major version")
    need(len(data) >= 18, "the file header is cut off")
    minor, features, checksum = struct.unpack_from("<BII", data, 9)
    if checksum != zlib.crc32(data[:14]):
        raise NotSupported("minor version") if minor != 0 else Corrupt("checksum of the file header")
    if features:
        raise NotSupported("features")


def read_units(data: bytes) -> list[Unit]:
    """All units [3], with what is checked for each by itself."""
    units, at = [], 18
    while at < len(data):
        need(data[at:at + 8] != MAGIC, "concatenated files")
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
        units.append(Unit(kind, segment, layer, data[at + 13:end], at))
        at = end + 4
    return units


def parse(data: bytes) -> Stream:
    """Read a whole file and check everything that must hold."""
    read_header(data)
    units = read_units(data)
    need(bool(units) and units[0].type == VIDEO, "the first unit is not VIDEO")
    last = len(units) - 1 - (units[-1].type == INDEX)
    need(units[last].type == LAYER_END, "the file does not end after a LAYER_END")
    need(all(u.type != INDEX for u in units[:-1]), "INDEX is not the last unit")
    metadata: dict = {}
    for u in units:
        need(u.type not in (INDEX, METADATA, AUDIO) or u.segment == u.layer == 0, "segment or layer of a unit")
        if u.type == METADATA:
            metadata.update(read_metadata(Reader(u.payload)))
        elif u.type == INDEX:
            rows = b"".join(struct.pack("<BHBQ", v.type, v.segment, v.layer, v.offset) for v in units[:-1])
            need(u.payload == rows + struct.pack("<I", len(rows)), "INDEX does not agree with the units")

    core = iter([(n, u) for n, u in enumerate(units) if u.type <= LAYER_END])
    ahead = next(core)

    def expect(kind: int, segment: int, layer: int) -> tuple[int, Unit, Reader]:
        """The next unit, which must be this one."""
        nonlocal ahead
        n, u = ahead
        need((u.type, u.segment, u.layer) == (kind, segment, layer), "units are missing or out of order")
        ahead = next(core, (len(units), Unit(0, 0, 0, b"", len(data))))
        return n, u, Reader(u.payload)

    stream = Stream(read_video(expect(VIDEO, 0, 0)[2]), [], metadata)
    while ahead[1].type == SEGMENT:
        r = expect(SEGMENT, len(stream.segments), 0)[2]
        stream.segments.append(read_segment(r, stream.frames))
        need(stream.frames <= 2**26, "too many frames")
    need(bool(stream.segments), "no segments")
    totals = {"weights": 0, "latents": 0}
    while ahead[1].type:
        number = stream.layers
        for s, segment in enumerate(stream.segments):
            layer = Layer(read_network(expect(NETWORK, s, number)[2], segment, totals))
            read_weights(expect(WEIGHTS, s, number)[2], layer)
            for place, op in enumerate(layer.ops):
                done = 0
                while op.code == LATENT and done < segment.frames:
                    done = read_latents(expect(LATENTS, s, number)[2], layer, place, done, segment.frames)
            r = expect(CHECKSUMS, s, number)[2]
            layer.group, = r.read("I")
            need(1 <= layer.group <= segment.frames, "group of checksums")
            layer.sums = list(r.read(f"{-(-segment.frames // layer.group)}I"))
            r.done()
            segment.layers.append(layer)
        n, u, r = expect(LAYER_END, 0, number)
        need(u.payload == struct.pack("<I", n) + hashlib.sha256(data[:u.offset]).digest(), "LAYER_END does not match")
    return stream


def read_video(r: Reader) -> dict[str, int]:
    """VIDEO [4.1]."""
    names = ("sample_format primaries transfer matrix color_range sample_aspect_num sample_aspect_den "
             "time_base_num time_base_den seed")
    v = dict(zip(names.split(), r.read("BBBBBHHIII")))
    r.done()
    need(v["sample_format"] == 0 and v["color_range"] <= 2, "sample format or colour range")
    need(all(v[k] for k in v if k.startswith(("sample_aspect", "time_base"))), "aspect or time base of zero")
    return v


def read_segment(r: Reader, first: int) -> Segment:
    """SEGMENT [4.2], where `first` frames are before it."""
    s = Segment(*r.read("IIHHqI"))
    need(s.first_frame == first and 1 <= s.frames <= 2**24, "frames of a segment")
    need(s.width > 0 and s.height > 0 and abs(s.first_pts) <= 2**62, "size or time of a segment")
    if s.constant_duration == 0:
        s.durations = [r.varint(0, M32) for _ in range(s.frames)]
    r.done()
    return s


def read_network(r: Reader, segment: Segment, totals: dict[str, int]) -> list[Op]:
    """NETWORK [4.3]: the list of operations, with shapes, ranges and limits [9] checked."""
    count, = r.read("H")
    need(1 <= count <= 1024, "count of operations")
    ops: list[Op] = []
    weights = products = 0
    for place in range(count):
        code, = r.read("B")
        if code not in FIELDS:
            raise NotSupported("unknown operation")
        codes, names = FIELDS[code]
        op = Op(code, dict(zip(names.split(), r.read(codes))))
        need(all(op.f[k] < place for k in "ab" if k in op.f), "an operation reads a later one")
        check_op(op, ops, segment)
        need(min(op.shape) >= 1 and math.prod(op.shape) <= 2**29 and op.low <= op.high, "shape or range of a tensor")
        ops.append(op)
        if code == CONV:
            size = op.shape[0] * ops[op.f["a"]].shape[0] * op.f["kernel_height"] * op.f["kernel_width"]
            weights, products = weights + size, products + size * op.shape[1] * op.shape[2]
        elif code == LATENT:
            totals["latents"] += segment.frames * math.prod(op.shape)
    r.done()
    picture = ops[-1]
    need(picture.shape == (3, segment.height, segment.width), "shape of the picture")
    need(0 <= picture.low and picture.high <= 255, "range of the picture")
    totals["weights"] += weights
    need(weights <= 2**28 and totals["weights"] <= 2**29 and products <= 2**42, "too many weights or products")
    need(totals["latents"] <= 2**27, "too many latents")
    until = list(range(count))  # the last operation that reads a tensor
    for place, op in enumerate(ops):
        for k in "ab":
            if k in op.f:
                until[op.f[k]] = place
    dies, alive = [0] * count, 0
    for place, end in enumerate(until):
        dies[end] += math.prod(ops[place].shape)
    for op, gone in zip(ops, dies):
        alive += math.prod(op.shape)
        need(alive <= 2**30, "too many elements alive")
        alive -= gone
    return ops


def check_op(op: Op, ops: list[Op], segment: Segment) -> None:
    """Check an operation's fields and set its shape and range [6.2]."""
    f = op.f
    x = ops[f["a"]] if "a" in f else op
    c, h, w = x.shape
    op.low, op.high = f.get("low", x.low), f.get("high", x.high)
    op.shape, ok = x.shape, True
    if op.code == LATENT:
        op.shape = f["channels"], f["height"], f["width"]
        ok = -128 <= op.low and op.high <= 127 and f["kind"] <= 1
    elif op.code == NOISE:
        op.shape = f["channels"], f["height"], f["width"]
        ok = f["gain"] <= 4096 and f["per_frame"] <= 1
        op.high = (235 * f["gain"] + 128) >> 8
        op.low = -op.high
    elif op.code == CONV:
        op.shape = f["channels"], h, w
        ok = all(f[k] % 2 == 1 and f[k] <= 15 for k in ("kernel_height", "kernel_width"))
        ok = ok and f["group"] >= 1 and f["bias_shift"] <= 12 and -4095 <= op.low and op.high <= 4095
    elif op.code == SHUFFLE:
        need(2 <= f["r"] <= 16, "factor of a SHUFFLE")
        op.shape, ok = (c // f["r"]**2, h * f["r"], w * f["r"]), c % f["r"]**2 == 0
    elif op.code == UNSHUFFLE:
        need(2 <= f["r"] <= 16, "factor of an UNSHUFFLE")
        op.shape = c * f["r"]**2, h // f["r"], w // f["r"]
        ok = h % f["r"] == 0 and w % f["r"] == 0
    elif op.code == TABLE:
        ok = f["function"] <= 2 and f["p"] <= 12 and f["q"] <= 16
    elif op.code in (ADD, SUBTRACT):
        ok = x.shape == ops[f["b"]].shape
    elif op.code == CONCAT:
        y = ops[f["b"]]
        op.shape, ok = (c + y.shape[0], h, w), y.shape[1:] == (h, w)
        op.low, op.high = min(x.low, y.low), max(x.high, y.high)
    elif op.code == SLICE:
        op.shape, ok = (f["count"], h, w), f["start"] + f["count"] <= c
    elif op.code == RESAMPLE:
        op.shape = c, f["height"], f["width"]
    elif op.code == CROP:
        op.shape = c, f["height"], f["width"]
        ok = f["top"] + f["height"] <= h and f["left"] + f["width"] <= w
    elif op.code == BELOW:
        need(f["layer"] < len(segment.layers), "BELOW reads no lower layer")
        need(f["op"] < len(segment.layers[f["layer"]].ops), "BELOW reads no operation")
        x = segment.layers[f["layer"]].ops[f["op"]]
        op.shape, op.low, op.high = x.shape, x.low, x.high
    need(ok, f"fields of an operation with code {op.code}")


def read_weights(r: Reader, layer: Layer) -> None:
    """WEIGHTS [4.4], with the bound on sums [6.3] checked."""
    for place, op in enumerate(layer.ops):
        if op.code != CONV:
            continue
        f, x = op.f, layer.ops[op.f["a"]]
        steps = read_chunk(r, (-(-f["channels"] // f["group"]),), 0, 239)
        biases = read_chunk(r, (f["channels"],), -2047, 2047)
        shape = f["channels"], x.shape[0], f["kernel_height"], f["kernel_width"]
        weights = read_chunk(r, shape, -127, 127).astype(np.int64)
        steps = np.repeat(steps, f["group"])[:f["channels"]]
        positive = np.maximum(weights, 0).sum(axis=(1, 2, 3)).tolist()
        negative = np.maximum(-weights, 0).sum(axis=(1, 2, 3)).tolist()
        above, below = max(x.high, 0), max(-x.low, 0)
        for step, bias, p, q in zip(steps.tolist(), biases.tolist(), positive, negative):
            s1 = max(0, step // 8 - 6)
            b = (bias << (s1 + f["bias_shift"])) + ((1 << s1) >> 1)
            need(p * above + q * below + max(b, 0) < 2**24, "a convolution may overflow")
            need(q * above + p * below + max(-b, 0) < 2**24, "a convolution may overflow")
        layer.convs[place] = steps.astype(np.int64), biases.astype(np.int64), weights
    r.done()


def read_latents(r: Reader, layer: Layer, place: int, done: int, total: int) -> int:
    """LATENTS [4.5]: one run, which must follow the `done` frames; returns the frames done after it."""
    op = layer.ops[place]
    at, first, frames, predictor = r.read("HIIB")
    need(at == place and first == done and 1 <= frames <= total - done and predictor <= 1, "fields of LATENTS")
    values = read_chunk(r, (1, *op.shape), op.low, op.high)
    if frames > 1:
        span = op.high - op.low
        bounds = (-span, span) if predictor else (op.low, op.high)
        more = read_chunk(r, (frames - 1, *op.shape), *bounds)
        values = np.concatenate([values, more]).astype(np.int64)
        values = values.cumsum(axis=0) if predictor else values
    r.done()
    need(op.low <= int(values.min()) and int(values.max()) <= op.high, "a latent is out of range")
    if first == 0:
        layer.latents[place] = np.zeros((total, *op.shape), dtype=np.int8)
    layer.latents[place][first:first + frames] = values
    return first + frames


def read_metadata(r: Reader) -> dict:
    """METADATA [4.9]; what is packed stays unread (no Zstandard in the standard library), but for its size."""
    packing, size = r.read("BI")
    need(packing <= 1 and size <= 2**20, "fields of METADATA")
    data = r.rest()
    if packing == 1:
        z = Reader(data)
        magic, head = z.read("IB")
        need(magic == 0xFD2FB528, "METADATA is no Zstandard frame")
        single, flag = head >> 5 & 1, head >> 6
        z.take((0 if single else 1) + (0, 1, 2, 4)[head & 3])
        width = (single, 2, 4, 8)[flag]
        need(width > 0 and int.from_bytes(z.take(width), "little") + (256 if width == 2 else 0) == size,
             "size of METADATA")
        return {}
    need(len(data) == size, "size of METADATA")
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Corrupt("METADATA is no JSON") from error
    need(isinstance(value, dict), "METADATA is no JSON object")
    return value


# ---- tables of constants [6.5, 7.2] ----

F = 160
A = math.isqrt(2**507 // 0x3243F6A8885A308D313198A2E03707344A4093822299F31D)


def normal_cdf(x: int) -> int:
    """2^F * Phi(x / 2^F) for x >= 0, with the generator of [6.5]."""
    square, power, total, k = (x * x) >> F, x, 0, 0
    while power > 0:
        term = power // (2 * k + 1)
        total += -term if k & 1 else term
        k += 1
        power = ((power * square) >> F) // (2 * k)
    return 2**(F - 1) + ((total * A) >> F)


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
    phi = [2**F - c for c in reversed(half)] + half                # for v = -236 .. 235
    return np.array([bisect_left(phi, (2 * i + 1) << (F - 13)) - 236 for i in range(4096)], dtype="<i2")


# ---- operations [6] ----


def noise(op: Op, seed: int, segment: int, layer: int, frame: int | None) -> np.ndarray:
    """The values of a NOISE operation [7]; without a frame they have no frame key."""
    c, y, x = (np.asarray(g, dtype=np.uint64) for g in np.indices(op.shape))
    keyed = op.f["per_frame"] == 1 and frame is not None
    u = np.uint64
    c0, c1 = x // u(4) + y * u(2**16), c + u(op.f["scale"] * 2**16)
    c2, c3 = np.full_like(c0, frame if keyed else 0), np.full_like(c0, 1 if keyed else 0)
    k0, k1 = seed, segment + layer * 2**16
    for _ in range(10):
        a, b = u(0xD2511F53) * c0, u(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> u(32)) ^ c1 ^ u(k0), b & u(M32), (a >> u(32)) ^ c3 ^ u(k1), a & u(M32)
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    word = np.choose((x % u(4)).astype(np.int64), [c0, c1, c2, c3])
    return (normal_table().astype(np.int64)[(word >> u(20)).astype(np.int64)] * op.f["gain"] + 128) >> 8


def convolve(op: Op, conv: tuple[np.ndarray, np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    """CONV [6.3]."""
    steps, biases, weights = conv
    (_, h, w), (o, _, kh, kw) = x.shape, weights.shape
    e = steps // 8
    s1, s2 = np.maximum(0, e - 6)[:, None], np.minimum(12, e + 6)[:, None]
    padded = np.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)))
    acc = np.zeros((o, h * w), dtype=np.int64) + (biases[:, None] << (s1 + op.f["bias_shift"]))
    for u in range(kh):
        for v in range(kw):
            acc += weights[:, :, u, v] @ padded[:, u:u + h, v:v + w].reshape(len(x), h * w)
    t = np.clip((acc + ((1 << s1) >> 1)) >> s1, -65535, 65535)
    t = (t * MULTIPLIERS[steps % 8][:, None] + (1 << (s2 - 1))) >> s2
    return np.clip(t, op.low, op.high).reshape(o, h, w)


def rounded(a: np.ndarray, n: int) -> np.ndarray:
    """R(a, n) of [6.5]."""
    return (2 * a + 2**n) >> (n + 1)


def look_up(op: Op, x: np.ndarray) -> np.ndarray:
    """TABLE [6.5]."""
    p, q = op.f["p"], op.f["q"]
    t = rounded(x * 2**q, p)
    if op.f["function"] == 1:
        t = np.where(x < 0, (2 * x * 2**q + 5 * 2**p) // (10 * 2**p), t)
    elif op.f["function"] == 2:
        near, place = np.unique(x, return_inverse=True)
        inside = np.abs(near) * 2**(12 - p) < 32768
        g = [gelu(v * 2**(12 - p)) if ok else 0 for v, ok in zip(near.tolist(), inside.tolist())]
        g = rounded(np.array(g, dtype=np.int64), 24 - q)
        t = np.where(inside[place].reshape(x.shape), g[place].reshape(x.shape), np.where(x > 0, t, 0))
    return np.clip(t, op.low, op.high)


def evaluate(stream: Stream, s: int, number: int, n: int, between: tuple[int, int] | None,
             done: dict[int, list[np.ndarray]]) -> list[np.ndarray]:
    """The results of all operations of layer `number` of segment s for frame n, or for one between n and n + 1."""
    if number in done:
        return done[number]
    layer, out = stream.segments[s].layers[number], []
    for place, op in enumerate(layer.ops):
        f = op.f
        x = out[f["a"]] if "a" in f else np.zeros((1, 1, 1), dtype=np.int64)
        y = out[f["b"]] if "b" in f else x
        c, h, w = x.shape
        if op.code == LATENT:
            x = layer.latents[place][n].astype(np.int64)
            if between:
                (k, d), other = between, layer.latents[place][n + 1].astype(np.int64)
                x = (2 * ((d - k) * x + k * other) + d) // (2 * d)
        elif op.code == NOISE:
            x = noise(op, stream.video["seed"], s, number, None if between else n)
        elif op.code == CONV:
            x = convolve(op, layer.convs[place], x)
        elif op.code == SHUFFLE:
            r = f["r"]
            x = x.reshape(c // r**2, r, r, h, w).transpose(0, 3, 1, 4, 2).reshape(op.shape)
        elif op.code == UNSHUFFLE:
            r = f["r"]
            x = x.reshape(c, h // r, r, w // r, r).transpose(0, 2, 4, 1, 3).reshape(op.shape)
        elif op.code == TABLE:
            x = look_up(op, x)
        elif op.code in (ADD, SUBTRACT):
            x = np.clip(x + y if op.code == ADD else x - y, op.low, op.high)
        elif op.code == CONCAT:
            x = np.concatenate([x, y])
        elif op.code == SLICE:
            x = x[f["start"]:f["start"] + f["count"]]
        elif op.code == RESAMPLE:
            rows = (2 * np.arange(f["height"]) + 1) * h // (2 * f["height"])
            x = x[:, rows][:, :, (2 * np.arange(f["width"]) + 1) * w // (2 * f["width"])]
        elif op.code == CROP:
            x = x[:, f["top"]:f["top"] + f["height"], f["left"]:f["left"] + f["width"]]
        elif op.code == BELOW:
            x = evaluate(stream, s, f["layer"], n, between, done)[f["op"]]
        assert x.shape == op.shape and op.low <= x.min() and x.max() <= op.high, "the specification contradicts itself"
        out.append(x)
    done[number] = out
    return out


# ---- pictures [8] ----


def picture(stream: Stream, frame: int, layer: int | None, between: tuple[int, int] | None) -> np.ndarray:
    """The shown picture of a frame, or of one between it and the next."""
    s = max(i for i, segment in enumerate(stream.segments) if segment.first_frame <= frame)
    n, number = frame - stream.segments[s].first_frame, stream.layers - 1 if layer is None else layer
    if not 0 <= n < stream.segments[s].frames - (between is not None):
        raise IndexError("no such frame")
    last = evaluate(stream, s, number, n, between, {})[-1]
    return np.ascontiguousarray(last.transpose(1, 2, 0)).astype(np.uint8)


def decode(stream: Stream, frame: int, layer: int | None = None) -> np.ndarray:
    """Frame `frame` (counted over all segments) of a layer, else of the highest: uint8 [height, width, 3]."""
    return picture(stream, frame, layer, None)


def interpolate(stream: Stream, frame: int, k: int, d: int, layer: int | None = None) -> np.ndarray:
    """The picture at k/d of the way from `frame` to the next one of its segment [8.3]."""
    if not 0 < k < d:
        raise ValueError("k and d")
    return picture(stream, frame, layer, (k, d))


def checksum_ok(stream: Stream) -> bool:
    """Decode all frames of all layers and compare them with CHECKSUMS [4.6]."""
    for segment in stream.segments:
        for number, layer in enumerate(segment.layers):
            crc = 0
            for n in range(segment.frames):
                crc = zlib.crc32(decode(stream, segment.first_frame + n, number).tobytes(), crc)
                if (n + 1) % layer.group == 0 or n + 1 == segment.frames:
                    if crc != layer.sums[n // layer.group]:
                        return False
                    crc = 0
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
    if not checksum_ok(stream):
        print("Corrupt: a picture checksum does not match", file=sys.stderr)
        return Corrupt.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
