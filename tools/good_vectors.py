"""The conformance vectors that decode. Each is a function that gives a file; its docstring says what it covers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from vector_parts import (
    Net,
    Part,
    Segment,
    assemble,
    chunk,
    header,
    numbers,
    parts_of,
    stream,
    with_checksums,
)

from nvcodec.format import operations as o
from nvcodec.format.entropy.contexts import Contexts
from nvcodec.format.entropy.frequency_tables import Constant, Histogram, Laplace, Student
from nvcodec.format.fields import varint
from nvcodec.format.units import LatentsHead, UnitType, Video

RELEASED = Path(__file__).parents[1] / "tests" / "golden"


@dataclass(frozen=True)
class Good:
    """A vector that decodes.

    Attributes:
        about: what it covers, one sentence.
        sections: of the specification.
        make: gives the file.
        interpolate: factors with which it is decoded as well, section 8.3.
    """

    about: str
    sections: tuple[str, ...]
    make: Callable[[], bytes]
    interpolate: tuple[int, ...] = ()


GOOD: dict[str, Good] = {}


def vector(*sections: str, interpolate: tuple[int, ...] = ()) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """Put a function into the list, under its own name."""

    def put(make: Callable[[], bytes]) -> Callable[[], bytes]:
        assert make.__doc__
        name = make.__name__.replace("_", "-")
        GOOD[name] = Good(" ".join(make.__doc__.split()), sections, make, interpolate)
        return make

    return put


def plain(key: str, frames: int = 2, height: int = 2, width: int = 3) -> Net:
    """The least a network can be: a LATENT that is the picture."""
    net = Net(frames)
    net.latent(numbers(key, (frames, 3, height, width), 0, 127), 0, 127)
    return net


# ---- 2 to 4: header, units, payloads ---------------------------------------------------------------------------------


@vector("2")
def version_1_0() -> bytes:
    """A file of version 1.0: no feature bit, none of what version 1.1 brought."""
    net = Net()
    source = net.latent(numbers("1.0", (2, 2, 3, 3), -20, 20))
    net.conv(source, numbers("1.0 weights", (3, 2, 3, 3), -9, 9), [120, 130, 140], low=0, high=255)
    return assemble(with_checksums(parts_of([net])), header(minor=0, features=0))


@vector("2", "3")
def version_1_9() -> bytes:
    """A newer minor version, with a unit and metadata that this version does not know."""
    parts = with_checksums(parts_of([plain("1.9")]))
    parts.insert(1, Part(40, b"new", 3, 2, 1))
    parts.insert(2, metadata(b'{"new": {"of": 1.9}}'))
    return assemble(parts, header(minor=9))


@vector("2")
def feature_bit_unused() -> bytes:
    """The feature bit of version 1.1 set, without need."""
    return assemble(with_checksums(parts_of([plain("feature")])), header(minor=0, features=1))


def metadata(raw: bytes, packed: bytes | None = None) -> Part:
    """A METADATA unit that holds ``raw``, as ``packed`` if given."""
    size = len(raw).to_bytes(4, "little")
    return Part(UnitType.METADATA, b"\0" + size + raw if packed is None else b"\1" + size + packed)


def zstandard_frame(blocks: list[tuple[int, bytes, int]], size: int, *, stated: bool = True) -> bytes:
    """A Zstandard frame of raw (0) and repeated-byte (1) blocks: type, bytes, size of each."""
    out = bytearray((0xFD2FB528).to_bytes(4, "little"))
    out += bytes([0x80 if stated else 0, 0x58]) + (size.to_bytes(4, "little") if stated else b"")
    for place, (kind, data, length) in enumerate(blocks):
        out += ((place + 1 == len(blocks)) | kind << 1 | length << 3).to_bytes(3, "little") + data
    return bytes(out)


def raw_frame(raw: bytes) -> bytes:
    """A Zstandard frame that holds bytes as they are."""
    return zstandard_frame([(0, raw, len(raw))], len(raw))


def spaces_frame(text: bytes, size: int) -> bytes:
    """A Zstandard frame that holds a text and then spaces up to a size."""
    blocks = [(0, text, len(text))]
    left = size - len(text)
    while left:
        blocks.append((1, b" ", min(left, 2**17)))
        left -= blocks[-1][2]
    return zstandard_frame(blocks, size)


def audio(packets: list[bytes]) -> Part:
    """An AUDIO unit."""
    out = b"\4opus" + (48000).to_bytes(4, "little") + b"\2" + (1).to_bytes(4, "little") + (48000).to_bytes(4, "little")
    out += (3).to_bytes(4, "little") + b"cfg" + len(packets).to_bytes(4, "little")
    for place, packet in enumerate(packets):
        head = (960 * place).to_bytes(8, "little") + (960).to_bytes(4, "little")
        out += head + len(packet).to_bytes(4, "little") + packet
    return Part(UnitType.AUDIO, out)


@vector("3", "4.8", "4.9", "4.10")
def ancillary_units() -> bytes:
    """METADATA, AUDIO, SUBTITLES, and unknown ancillary units of any segment and layer, in every place where they may
    stand; an INDEX that lists them."""
    base = Net()
    base.latent(numbers("ancillary", (2, 3, 2, 2), 0, 127), 0, 127)
    upper = Net(2, [base])
    upper.add(o.Add(upper.add(o.Below(0, 0)), upper.latent(numbers("ancillary 2", (2, 3, 2, 2), -9, 9)), 0, 255))
    parts = with_checksums(parts_of([Segment([base, upper])]))
    between = itertools.cycle(
        [
            Part(0, b"", 0, 0, 1),
            metadata(b'{"a": 1}'),
            Part(8, b"eight", 65535, 255, 1),
            audio([b"one", b""]),
            Part(31, b"x", 1, 0, 1),
            Part(36, b"", 0, 1, 1),
            Part(UnitType.SUBTITLES, b"of 1.2"),
            metadata(b'{"b": [2]}', raw_frame(b'{"b": [2]}')),
            Part(255, bytes(40), 9, 9, 1),
            Part(UnitType.AUDIO, b""),
        ]
    )
    spread = [parts[0]]
    for part in parts[1:]:
        spread += [next(between), part]
    return assemble([*spread, Part(UnitType.INDEX, None)])


@vector("4.9")
def metadata_extremes() -> bytes:
    """Metadata at their limits: 64 levels, an integer of 4300 digits, 2^20 bytes in all, an empty object, white space
    and escapes; several units with the same key."""
    parts = with_checksums(parts_of([plain("metadata")]))
    units = [
        b'{"deep": ' + b"[" * 63 + b"0" + b"]" * 63 + b"}",
        b'{"deep": 1, "many": -' + b"9" * 4300 + b"}",
        b"{}",
        b' \t\r\n{"\\u00e9\xc3\xa9\xf0\x9f\x8e\x9e": [true, false, null, -0, 1e400, "\\ud83c\\udf9e"]} ',
    ]
    rest = 2**20 - sum(map(len, units))
    packed = metadata(b" " * rest, spaces_frame(b'{"deep": {"large": 1}}', rest))
    return assemble([parts[0], *map(metadata, units), packed, *parts[1:]])


@vector("4.1")
def video_extremes() -> bytes:
    """Every field of VIDEO at its highest value; the seed goes into noise."""
    video = Video(0, 255, 255, 255, 2, 65535, 65535, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    net = Net(1)
    net.add(o.Noise(3, 2, 5, 255, 60, 1))
    return stream(net.show(), video=video)


@vector("4.2", "8.2")
def segments() -> bytes:
    """Seven segments with pictures of their own sizes, from 1x1; times from -2^62 to 2^62; durations that vary."""
    sizes = [(1, 1), (1, 7), (7, 1), (3, 5), (5, 3), (2, 2), (4, 9)]
    times = [-(2**62), 2**62, -1, 0, 1, -(2**40), 12345]
    out = []
    for number, ((height, width), pts) in enumerate(zip(sizes, times, strict=True)):
        frames = 1 + number % 3
        durations = [(2**62, 0, 300)[(number + frame) % 3] for frame in range(frames)] if number % 2 else ()
        duration = 0 if durations else (1, 2**32 - 1)[number % 4 // 2]
        out.append(Segment([plain(f"segment {number}", frames, height, width)], duration, durations, pts))
    return stream(*out, index=True)


@vector("4.2", "6.2")
def widest_and_tallest() -> bytes:
    """Pictures of 65535x1 and 1x65535."""
    nets = []
    for height, width in ((1, 65535), (65535, 1)):
        net = Net(1)
        source = net.latent(numbers(f"wide {height}", (1, 3, 3, 3), 0, 127), 0, 127)
        net.add(o.Resample(source, height, width))
        nets.append(net)
    return stream(*nets)


@vector("4.5")
def runs() -> bytes:
    """Runs of all lengths and both predictors, which differ from operation to operation."""
    net = Net(7)
    places = [
        net.latent(numbers("runs a", (7, 1, 2, 3), -128, 127), runs=[1, 1, 5], predictors=[1, 0, 1]),
        net.latent(numbers("runs b", (7, 1, 2, 3), -3, 3), -3, 3, 1, runs=[1] * 7),
        net.latent(numbers("runs c", (7, 1, 2, 3), 5, 99), 5, 99, runs=[3, 4], predictors=[0, 1]),
    ]
    knots = net.transmit(o.Grid(1, 2, 3, -9, 9, 5, 0), numbers("runs d", (5, 1, 2, 3), -9, 9), [2, 1, 2], [1, 0])
    return stream(net.show(net.joined([*places, knots])), index=True)


@vector("4.5")
def latents_extremes() -> bytes:
    """Latents that jump between -128 and 127, so that differences are +-255; ranges of one value."""
    net = Net(6)
    jumps = np.where(numbers("jumps", (6, 2, 3, 3), 0, 1) == 1, 127, -128)
    wide = Student(-255, 511, 255, 20000, 0)
    places = [net.latent(jumps, predictors=[predictor], tables=[(None, wide)]) for predictor in (0, 1)]
    places += [net.constant((1, 3, 3), value) for value in (-128, 127, 0)]
    return stream(net.show(net.joined(places)))


@vector("4.6")
def checksum_groups() -> bytes:
    """Checksums over 1, 2, 4 and all frames, the last one over fewer; over others in the layer above."""
    out = []
    for number, groups in enumerate([(1, 5), (2, 3), (4, 1), (5, 2)]):
        base = plain(f"groups {number}", 5, 1, 2)
        upper = Net(5, [base])
        upper.add(
            o.Add(upper.add(o.Below(0, 0)), upper.latent(numbers(f"upper {number}", (5, 3, 1, 2), -5, 5)), 0, 255)
        )
        out.append(Segment([base, upper], groups=groups))
    return stream(*out)


@vector("4.7", "6.2", "8.1", interpolate=(3,))
def three_layers() -> bytes:
    """Three layers of two segments; BELOW reads results in the middle and at the end of all lower layers."""
    out = []
    for number, (height, width) in enumerate([(3, 5), (4, 2)]):
        key = f"layers {number} "
        base = Net(3)
        source = base.latent(numbers(key + "E", (3, 2, height, width), -60, 60), -60, 60)
        base.conv(source, numbers(key + "W", (3, 2, 3, 3), -20, 20), 1500, 44, low=0, high=255)
        middle = Net(3, [base])
        knots = numbers(key + "G", (2, 2, height, width), -30, 30)
        grid = middle.transmit(o.Grid(2, height, width, -30, 30, 2, 1), knots)
        middle.add(o.Add(middle.add(o.Below(0, 0)), grid, -99, 99))
        middle.conv(middle.last, numbers(key + "V", (3, 2, 1, 1), -20, 20), 0, 40, low=-100, high=100)
        middle.add(o.Add(middle.last, middle.add(o.Below(0, 1)), 0, 255))
        top = Net(3, [base, middle])
        top.add(o.Noise(3, height, width, 1, 90, 1))
        top.add(o.Add(top.last, top.add(o.Below(1, 4)), -200, 200))
        top.add(o.Add(top.add(o.Below(0, 1)), top.last - 1, -300, 300))
        top.add(o.Add(top.last, top.add(o.Below(1, 5)), 0, 255))
        out.append(Segment([base, middle, top], groups=(1, 2, 3)))
    return stream(*out, index=True)


# ---- 5: entropy coding -----------------------------------------------------------------------------------------------


def coded(key: str, tables: Sequence[Laplace | Student | Histogram | Constant]) -> Net:
    """A net with a LATENT for each table, which both its chunks use; values are drawn from the table's symbols."""
    net = Net(2)
    for number, table in enumerate(tables):
        low, high = max(-128, table.first), min(127, table.first + table.size - 1)
        values = numbers(f"{key} {number}", (2, 1, 2, 4), low, high)
        values[0, 0, 0, 0], values[1, 0, 0, 0] = low, high
        net.latent(values, low, high, tables=[(table, table)])
    return net.show(net.joined(list(range(len(tables)))))


@vector("5.1", "5.2")
def tables_constant() -> bytes:
    """Tables of family 0, in every kind of chunk, at the ends of what may be coded."""
    net = Net(3)
    places = [net.constant((1, 2, 2), value) for value in (-128, -1, 0, 127)]
    source = net.joined(places)
    kernel = np.full((2, 4, 1, 1), 127)
    for weight, bias, step in ((127, 2047, 0), (-127, -2047, 239), (0, 0, 48)):
        places.append(net.conv(source, kernel * weight // 127, bias if step < 239 else 0, step))
    return stream(net.show(net.joined(places)))


@vector("5.2", "5.3", "5.4")
def tables_laplace() -> bytes:
    """Tables of family 1: ratios 0 and 65535, peaks at both ends, 2 and 4096 symbols, some beyond what may be coded."""
    parameters = [
        (-128, 256, 0, 0),
        (-128, 256, 255, 65535),
        (-128, 256, 128, 60000),
        (-100, 200, 57, 1),
        (0, 2, 0, 65535),
        (0, 2, 1, 0),
        (-2048, 4096, 2047, 65535),
        (-3968, 4096, 4095, 65000),
        (-4223, 4096, 0, 0),
        (127, 4096, 4095, 65500),
    ]
    return stream(coded("laplace", [Laplace(*parameter) for parameter in parameters]))


@vector("5.2", "5.3", "5.4")
def tables_student() -> bytes:
    """Tables of family 2: all shapes, the least and greatest spread, peaks at both ends, 2 and 4096 symbols."""
    parameters = [(-128, 256, 128, 300 << shape, shape) for shape in range(7)]
    parameters += [
        (-128, 256, 0, 1, 0),
        (-128, 256, 255, 1, 6),
        (-128, 256, 100, 2**31 - 1, 0),
        (-128, 256, 100, 2**31 - 1, 6),
        (5, 2, 0, 1, 3),
        (5, 2, 1, 2**31 - 1, 6),
        (-2048, 4096, 2047, 4000, 1),
        (-2000, 4096, 4095, 2**31 - 1, 6),
    ]
    return stream(coded("student", [Student(*parameter) for parameter in parameters]))


@vector("5.2", "5.3", "5.4")
def tables_histogram() -> bytes:
    """Tables of family 3: weights of 0 and of 2^24, all the same, 2 and 4096 symbols."""
    most = 2**24
    tables = [
        Histogram(-128, 256, (0,) * 255 + (1,)),
        Histogram(-20, 64, (most,) * 64),
        Histogram(-2, 5, (0, most, 1, 0, 3)),
        Histogram(126, 2, (1, 0)),
        Histogram(-128, 2, (0, most)),
        Histogram(-2048, 4096, (0,) * 2000 + tuple(range(1, 97)) + (0,) * 2000),
    ]
    return stream(coded("histogram", tables))


@vector("5.1", "5.4")
def words_that_are_not_needed() -> bytes:
    """Chunks with as many words as there may be, one more than their values need, and with none where zeros do."""
    net = Net(1)
    table = Histogram(3, 2, (1, 1))
    places = [net.latent(np.full((1, 1, 1, 1), value)) for value in (3, 4, 3)]
    head = [LatentsHead(place, 0, 1, 0).pack() for place in places]
    values = [np.array([3]), np.array([4])]
    net.runs = [start + chunk(value, table, more=bytes(4)) for start, value in zip(head, values, strict=False)]
    net.runs.append(head[2] + table.pack() + varint(0))
    return stream(net.show(net.joined(places)))


@vector("4.4", "5.2")
def tables_of_steps_and_biases() -> bytes:
    """Tables of steps and biases with symbols beyond what may be coded: first symbols from -6143 to 2047."""
    net = Net(1)
    source = net.latent(numbers("SB", (1, 1, 2, 2), -128, 127))
    cases = [
        (238, Student(-3857, 4096, 4095, 50, 0), 0, Student(-7, 20, 7, 9, 6)),
        (239, Laplace(239, 4096, 0, 3), 0, Constant(0, 1)),
        (0, Histogram(-1, 3, (1, 1, 1)), -2047, Student(-6142, 4096, 4095, 9, 2)),
        (15, Constant(15, 1), 2047, Laplace(2047, 4096, 0, 7)),
    ]
    places = []
    for number, (step, step_table, bias, bias_table) in enumerate(cases):
        kernel = numbers(f"SB {number}", (2, 1, 1, 1), -3, 3)
        places.append(net.conv(source, kernel, bias, step, tables=(step_table, bias_table, None)))
    return stream(net.show(net.joined(places)))


@vector("5.1", "5.5")
def tables_by_rows_of_weights() -> bytes:
    """Tables of family 4 for weights: blocks larger than the rows, whole and partial blocks, groups that are odd or do
    not divide, starts of 0 and 16320, the least and greatest spread and shape, 2 and 4096 symbols."""
    net = Net(1)
    source = net.latent(numbers("rows", (1, 4, 2, 3), -4, 4), -4, 4)
    cases = [  # channels, kernel, group, first, size, start, spread, shape
        (20, (1, 1), 1, -127, 255, 64 * 30, 256, 1),
        (29, (3, 3), 1, -127, 255, 0, 65535, 0),
        (31, (3, 3), 3, -40, 81, 16320, 1, 6),
        (23, (3, 1), 5, -2047, 4096, 640, 64, 0),
        (9, (5, 5), 7, -1, 2, 3, 900, 6),
        (12, (3, 5), 255, 0, 2, 0, 300, 3),
        (1, (1, 1), 1, -3, 7, 100, 100, 2),
    ]
    places = []
    for number, (channels, (height, width), group, first, size, *rest) in enumerate(cases):
        low, high = max(first, -127), min(first + size - 1, 127)
        weights = numbers(f"rows {number}", (channels, 4, height, width), low, high)
        loud = numbers(f"loud {number}", (1, 4, height, width), 0, 8)
        weights = weights >> loud if low < -1 else weights  # columns that differ
        tables = (None, None, Contexts(first, size, *rest))
        places.append(net.conv(source, weights, 0, 30, group=group, tables=tables))
    return stream(net.show(net.joined(places)))


def loud_by_turns(key: str, frames: int, plane: tuple[int, int, int], low: int, high: int) -> np.ndarray:
    """Values of which some places are loud and others quiet, [frames, *plane]."""
    values = numbers(key, (frames, *plane), low, high)
    quiet = numbers(key + " quiet", (1, *plane), 0, 7)
    return np.where(values < 0, -(-values >> quiet), values >> quiet)


@vector("5.1", "5.5")
def tables_by_rows_of_latents() -> bytes:
    """Tables of families 4 and 5 for latents and knots: weights 1 and 255, starts of 0 and 16320, pictures smaller than
    the neighbourhood, both predictors; with 0 and 16320 the first and the last class."""
    net, places = Net(9), []
    cases = [  # predictor, first, size, start, spread, shape, weight
        (0, -128, 256, 0, 256, 0, 0),
        (0, -128, 256, 16320, 65535, 1, 1),
        (1, -255, 511, 16320, 300, 0, 255),
        (1, -255, 511, 0, 1, 6, 4),
        (0, -2048, 4096, 900, 128, 2, 16),
        (1, -2048, 4096, 640, 65535, 6, 0),
    ]
    for number, (predictor, *rest) in enumerate(cases):
        values = loud_by_turns(f"near {number}", 9, (1, 4, 6), -128, 127)
        if number == 2:
            values = np.where(numbers("hard", values.shape, 0, 1) == 1, 127, -128)
        places.append(net.latent(values, predictors=[predictor], tables=[(None, Contexts(*rest))]))
    knots = loud_by_turns("knots", 5, (2, 4, 6), -9, 9)
    table = Contexts(-18, 37, 64, 256, 1, 9)
    places.append(net.transmit(o.Grid(2, 4, 6, -9, 9, 5, 0), knots, [3, 2], [1], [(None, table)]))
    nets = [net.show(net.joined(places))]
    for plane in ((3, 1, 1), (2, 1, 7), (1, 5, 2), (2, 3, 3)):
        small = Net(5)
        for weight in (0, 3):
            table = Contexts(-128, 256, 200, 200, 1, weight)
            small.latent(loud_by_turns(f"{plane} {weight}", 5, plane, -128, 127), tables=[(None, table)])
        nets.append(small.show(small.joined([0, 1])))
    return stream(*nets)


@vector("5.5")
def tables_by_rows_blocks() -> bytes:
    """Tables of family 4 for latents of 150, 255, 256 and 257 columns: blocks of one and two rows."""
    nets = []
    for plane in ((1, 10, 15), (1, 15, 17), (1, 16, 16), (1, 1, 257)):
        net = Net(6)
        net.latent(
            loud_by_turns(f"blocks {plane}", 6, plane, -9, 9), -9, 9, tables=[(None, Contexts(-9, 19, 200, 150, 1))]
        )
        nets.append(net.show())
    return stream(*nets)


@vector("5.5")
def tables_by_rows_classes() -> bytes:
    """Tables of family 5 of all 52 classes: estimates at the lowest one of each, and one below it."""
    net = Net(2)
    for edge in (*range(4), *(m << octave for octave in range(12) for m in (4, 5, 6, 7))):
        for start in (edge - 1, edge):
            reach = min(127, 1 + start // 40)
            values = numbers(f"class {start}", (2, 1, 2, 4), -reach, reach)
            if start >= 0:
                net.latent(values, tables=[(None, Contexts(-128, 256, start, 200, start % 3, 1))])
    return stream(net.show(net.joined(list(range(len(net.tensors))))))


# ---- 6: operations ---------------------------------------------------------------------------------------------------


@vector("6.1")
def operations_1024() -> bytes:
    """A list of 1024 operations."""
    net = Net(1)
    first = net.latent(numbers("1024", (1, 3, 1, 2), -3, 3), -3, 3)
    place = net.latent(np.full((1, 3, 1, 2), 99), 99, 99)
    while place < 1023:
        place = net.add((o.Add if place % 3 else o.Subtract)(place, first, 0, 255))
    return stream(net)


@vector("6.2", "6.4")
def sides_beyond_65535() -> bytes:
    """A result 131072 wide, and a CROP from its column 65535."""
    net = Net(1)
    net.latent(numbers("beyond", (1, 256, 1, 1), 0, 127), 0, 127)
    net.add(o.Shuffle(net.add(o.Resample(0, 1, 8192)), 16))
    place = net.add(o.Crop(net.last, 9, 65535, 2, 5))
    return stream(net.pixels(place))


def step_net(low: int, high: int) -> Net:
    """A CONV with all 240 steps, whose accumulators go as far as the bound lets them."""
    net = Net(3)
    values = numbers("steps", (3, 4, 2, 2), -128, 127)
    values[0] >>= 4
    values[1, :, 0] = 127
    values[1, :, 1] = -128
    source = net.add(o.Table(net.latent(values), 0, 0, 8, -32768, 32512))
    steps = np.arange(243) % 240
    shifts = np.maximum(0, steps // 8 - 6)
    largest = np.maximum(1, 2**20 >> shifts)
    biases = numbers("step biases", 243, -2047, 2047).clip(-largest, largest)
    total = (biases << shifts) + (1 << shifts >> 1)
    budget = (2**24 - 1 - np.abs(total)) // 32768
    weights = np.minimum(127, budget // 4)[:, None] * np.ones((1, 4), np.int64)
    weights[1::2, 1::2] *= -1
    weights[2::4] *= -1
    net.conv(source, weights[:, :, None, None], biases, steps, low=low, high=high)
    return net.show()


@vector("6.3")
def conv_steps() -> bytes:
    """All 240 step indices, with accumulators up to their bound, and results in +-4095 and in 12 bits."""
    return stream(step_net(-4095, 4095), step_net(-2048, 2047))


@vector("6.3")
def conv_kernels() -> bytes:
    """Kernels of 1 to 15 each way, on pictures smaller than they are; groups of 1, 2, 3 and 255."""
    nets = []
    kernels = [(1, 1), (1, 3), (3, 1), (5, 7), (15, 15), (15, 1), (1, 15), (13, 3)]
    for height, width in ((3, 4), (1, 1), (17, 2)):
        net, places = Net(1), []
        source = net.latent(numbers(f"kernels {height}", (1, 2, height, width), -100, 90), -100, 90)
        for number, kernel in enumerate(kernels):
            group = (1, 2, 3, 255)[number % 4]
            weights = numbers(f"kernel {number}", (5, 2, *kernel), -9, 9)
            steps = numbers(f"kernel steps {number}", -(-5 // group), 20, 60)
            biases = numbers(f"kernel biases {number}", 5, -2047, 2047)
            places.append(net.conv(source, weights, biases, steps, group=group))
        nets.append(net.show(net.joined(places)))
    return stream(*nets)


@vector("6.3")
def conv_biases() -> bytes:
    """Biases of +-2047 with every bias_shift from 0 to 12, also where the step's own shift is as large as it may be."""
    net, places = Net(1), []
    source = net.latent(numbers("biases", (1, 1, 1, 3), -128, 127))
    for shift in range(13):
        for first_shift in (0, 12 - shift):
            step = 8 * (first_shift + 6) + shift % 8
            weights = numbers(f"bias weights {shift}", (4, 1, 1, 1), -127, 127)
            places.append(net.conv(source, weights, [2047, -2047, 1, -1], step, bias_shift=shift))
    return stream(net.show(net.joined(places)))


def limit_net(first_shift: int, reach: int, weights: list[int], biases: list[int]) -> Net:
    """A CONV of which some accumulator reaches exactly 2^24 - 1 or its negative, for inputs from -reach to reach.

    Args:
        first_shift: s1.
        reach: of the inputs, which go there.
        weights: of the inputs, all positive; channels have these, and their negatives.
        biases: of two channels with the weights, and of two with their negatives.
    """
    net = Net(1)
    values = numbers("limit", (1, len(weights), 1, 4), -128, 127)
    values[:, :, :, 0], values[:, :, :, 1] = 127, -128
    source = net.add(o.Table(net.latent(values), 0, 0, 9, -reach, reach))
    kernel = np.array([weights, weights, np.negative(weights), np.negative(weights)])[:, :, None, None]
    net.conv(source, kernel, biases, 8 * (first_shift + 6), low=-4095, high=4095)
    return net.show()


@vector("6.3")
def conv_accumulator_limit() -> bytes:
    """Accumulators of exactly 2^24 - 1 and -(2^24 - 1): without a first shift, and with one and its rounding."""
    return stream(
        limit_net(0, 32767, [127, 127, 127, 127, 4], [511, -511, 511, -511]),
        limit_net(8, 32641, [127, 127, 127, 127, 3], [381, -382, 381, -382]),
    )


@vector("6.1", "6.3")
def conv_ranges() -> bytes:
    """Inputs whose range has no zero, which the padding adds; results with a range of one value, without zero, and of
    +-4095, +-2047 and 12 bits, which the values leave."""
    net, places = Net(2), []
    for low, high in ((5, 10), (-10, -5), (-128, 127), (0, 0)):
        source = net.latent(numbers(f"ranges {low}", (2, 1, 3, 3), low, high), low, high)
        kernel = numbers(f"ranges kernel {low}", (2, 1, 3, 3), -127, 127)
        results = [(-4095, 4095), (-2047, 2047), (-2048, 2047), (7, 7), (-300, -20), (20, 300), (-4095, -4095)]
        for number, (least, most) in enumerate(results):
            places.append(net.conv(source, kernel, [900, -900], 15 + 4 * number, low=least, high=most))
    return stream(net.show(net.joined(places)))


@vector("6.3", "6.5")
def conv_into_table() -> bytes:
    """Convolutions that a TABLE reads, alone or beside another, with ranges within and beyond 12 bits."""
    net, places = Net(2), []
    source = net.latent(numbers("into", (2, 2, 3, 3), -128, 127))
    ranges = [(-2048, 2047), (-2047, 2047), (-4095, 4095), (-700, -90), (100, 900), (0, 2047), (-2048, -2048)]
    for number, (low, high) in enumerate(ranges):
        kernel = numbers(f"into {number}", (2, 2, 3, 3), -60, 60)
        conv = net.conv(source, kernel, [number, -number], 18 + number, low=low, high=high)
        places.append(net.add(o.Table(conv, number % 3, 8, 7, -1000, 1000)))
        if number % 2:
            places.append(net.add(o.Table(conv, 2, 9, 8, -1000, 1000)))
    table = net.add(o.Table(net.add(o.Table(places[0], 1, 6, 8, -2048, 2047)), 2, 8, 10, -4000, 4000))
    return stream(net.show(net.joined([*places, table])))


@vector("6.4")
def shuffles() -> bytes:
    """SHUFFLE and UNSHUFFLE by 2, 3, 5 and 16, of pictures that are not square."""
    nets = []
    for factor in (2, 3, 5, 16):
        net = Net(1)
        net.latent(numbers(f"shuffle {factor}", (1, 3 * factor**2, 1, 2), 0, 127), 0, 127)
        net.add(o.Shuffle(0, factor))
        nets.append(net)
        net = Net(1)
        net.latent(numbers(f"unshuffle {factor}", (1, 2, factor, 2 * factor), 0, 127), 0, 127)
        nets.append(net.pixels(net.add(o.Unshuffle(0, factor))))
    return stream(*nets)


def table_net(function: int) -> Net:
    """TABLE operations with one function, all p and q, over all of -128 to 127."""
    net = Net(1)
    source = net.latent(np.arange(-128, 128).reshape(1, 1, 16, 16))
    units = sorted({(0, 0), (0, 16), (12, 0), (12, 16), *((p, (5 * p + 3) % 17) for p in range(13))})
    units += [(3 + q % 7, q) for q in range(17)]
    places = [net.add(o.Table(source, function, p, q, -32768, 32767)) for p, q in units]
    places.append(net.add(o.Table(source, function, 4, 4, -50, -3)))
    places.append(net.add(o.Table(source, function, 4, 4, 9, 9)))
    return net.show(net.joined(places))


@vector("6.5")
def table_identity() -> bytes:
    """TABLE with function 0: every p and every q, ties, clamps."""
    return stream(table_net(0))


@vector("6.5")
def table_leaky() -> bytes:
    """TABLE with function 1: every p and every q, ties, clamps."""
    return stream(table_net(1))


@vector("6.5")
def table_gelu() -> bytes:
    """TABLE with function 2: every p and every q, arguments within and beyond +-8."""
    return stream(table_net(2))


@vector("6.5")
def table_gelu_whole() -> bytes:
    """TABLE with function 2 over all of the master table."""
    net = Net(1)
    every = np.arange(-128, 128)
    rows = net.add(o.Table(net.latent(every.reshape(1, 1, 256, 1)), 0, 0, 8, -32768, 32512))
    large = net.add(o.Resample(rows, 256, 256))
    small = net.add(o.Resample(net.latent(every.reshape(1, 1, 1, 256)), 256, 256))
    source = net.add(o.Add(large, net.add(o.Table(small, 0, 0, 0, -128, 127)), -32768, 32767))
    return stream(net.show(net.joined([net.add(o.Table(source, 2, 12, q, -32768, 32767)) for q in (12, 16)])))


@vector("6.5")
def table_wide_inputs() -> bytes:
    """TABLE over inputs near -32768, 0 and 32767, the ends of the master table among them."""
    net, places = Net(1), []
    source = net.latent(np.arange(-128, 128).reshape(1, 1, 16, 16))
    for low, high, end in ((-32768, -32512, -128), (32512, 32767, 127)):
        base = net.add(o.Table(net.constant((1, 16, 16), end), 0, 0, 8, low, high))
        near = net.add(o.Add(net.add(o.Add(base, source, low, high)), source, low, high))
        for function, p, q in ((2, 12, 12), (2, 11, 9), (1, 0, 0), (0, 1, 0)):
            places.append(net.add(o.Table(near, function, p, q, -32768, 32767)))
    return stream(net.show(net.joined(places)))


@vector("6.2")
def add_subtract() -> bytes:
    """ADD and SUBTRACT with clamps that bind on either side, at the ends of 16 bits, of a result and itself."""
    net = Net(2)
    a, b = (net.latent(numbers(f"sum {name}", (2, 2, 3, 3), -128, 127)) for name in "ab")
    large_a, large_b = (net.add(o.Table(place, 0, 0, 9, -32768, 32767)) for place in (a, b))
    places = []
    for kind in (o.Add, o.Subtract):
        places += [net.add(kind(large_a, other, -32768, 32767)) for other in (large_b, large_a)]
        places += [net.add(kind(a, b, -100, 50)), net.add(kind(b, a, -3, -3)), net.add(kind(a, large_b, 7, 9000))]
    return stream(net.show(net.joined(places)))


@vector("6.1", "6.2")
def concat_slice() -> bytes:
    """CONCAT of different ranges and of a result with itself; SLICE of the first, some middle, the last and all
    channels."""
    net = Net(2)
    a = net.latent(numbers("concat a", (2, 3, 2, 3), -7, 30), -7, 30)
    b = net.latent(numbers("concat b", (2, 4, 2, 3), -128, 5), -128, 5)
    whole = net.joined([a, b, a])
    slices = [net.add(o.Slice(whole, start, count)) for start, count in ((0, 1), (2, 3), (9, 1), (0, 10), (6, 4))]
    return stream(net.show(net.joined([*slices, whole, net.add(o.Concat(b, b))])))


@vector("6.6")
def resample() -> bytes:
    """RESAMPLE up, down, by odd ratios, and to 1x1."""
    nets = []
    for height, width in ((1, 1), (3, 5), (5, 7), (7, 5), (10, 14), (13, 11), (4, 20), (64, 1)):
        net = Net(1)
        net.latent(numbers("resample", (1, 3, 5, 7), 0, 127), 0, 127)
        net.add(o.Resample(0, height, width))
        nets.append(net)
    return stream(*nets)


@vector("6.2")
def crop() -> bytes:
    """CROP of corners, one pixel, everything, and a middle."""
    nets = []
    for top, left, height, width in (
        (0, 0, 1, 1),
        (5, 6, 1, 1),
        (0, 0, 6, 7),
        (2, 1, 3, 5),
        (4, 0, 2, 7),
        (0, 4, 6, 3),
    ):
        net = Net(1)
        net.latent(numbers("crop", (1, 3, 6, 7), 0, 127), 0, 127)
        net.add(o.Crop(0, top, left, height, width))
        nets.append(net)
    return stream(*nets)


@vector("6.7", interpolate=(2,))
def grids() -> bytes:
    """GRID with 1 knot, as many as there are frames, and numbers between, for segments of 1, 2, 5 and 8 frames; every
    shift from 0 to 8."""
    nets = []
    for frames in (1, 2, 5, 8):
        net, places = Net(frames), []
        for shift in range(9):
            knots = (1, frames, max(1, frames // 2), max(1, frames - 1))[shift % 4]
            values = numbers(f"grid {frames} {shift}", (knots, 1, 2, 2), -128, 127)
            values[0, 0, 0] = 127, -128
            values[-1, 0, 0] = -128, -128
            places.append(net.transmit(o.Grid(1, 2, 2, -128, 127, knots, shift), values, predictors=[shift % 2]))
        values = numbers(f"grid all {frames}", (frames, 1, 2, 2), -5, 9)
        places.append(net.transmit(o.Grid(1, 2, 2, -5, 9, frames, 3), values))
        nets.append(net.show(net.joined(places)))
    return stream(*nets)


# ---- 7 and 8: noise, time --------------------------------------------------------------------------------------------


@vector("7.1", "7.2")
def noise() -> bytes:
    """NOISE with gains of 0, 1, 255, 256 and 4096, scales 0 and 255, with and without the frame; nine columns, which
    four does not divide."""
    net, places = Net(3), []
    for number, gain in enumerate((0, 1, 64, 255, 256, 1000, 4096)):
        places.append(net.add(o.Noise(2, 3, 9, (0, 255, 1)[number % 3], gain, number % 2)))
    places.append(net.add(o.Noise(5, 3, 9, 0, 256, 0)))
    places.append(net.add(o.Noise(5, 3, 9, 0, 256, 1)))
    return stream(net.show(net.joined(places)), video=Video(0, 2, 2, 2, 0, 1, 1, 1, 25, 0x89ABCDEF))


@vector("7.2")
def noise_of_all_quantiles() -> bytes:
    """So much NOISE that every entry of the normal table is there, with a gain that leaves it as it is."""
    net = Net(1)
    net.add(o.Noise(53, 30, 30, 0, 256, 0))
    return stream(net.show())


@vector("7.1")
def noise_of_segments_and_layers() -> bytes:
    """The same NOISE in three segments of three layers: segment and layer go into its key."""

    def net(below: list[Net]) -> Net:
        made = Net(2, below)
        return made.show(made.joined([made.add(o.Noise(3, 2, 2, 0, 90, per_frame)) for per_frame in (0, 1)]))

    segments = []
    for _ in range(3):
        nets: list[Net] = []
        for _ in range(3):
            nets.append(net(nets))
        segments.append(Segment(nets))
    return stream(*segments)


@vector("7.1")
def noise_of_a_large_picture() -> bytes:
    """NOISE of 1200 columns and 2 rows, and of 2 columns and 1200 rows, of which the ends are shown; and of 300
    channels."""
    nets = []
    for height, width in ((2, 1200), (1200, 2)):
        net = Net(1)
        rows, columns = min(9, height), min(9, width)
        net.add(o.Crop(net.add(o.Noise(1, height, width, 0, 100, 0)), height - rows, width - columns, rows, columns))
        nets.append(net.show())
    net = Net(1)
    net.add(o.Slice(net.add(o.Noise(300, 1, 2, 0, 100, 0)), 253, 47))
    return stream(*nets, net.show())


@vector("8.3", interpolate=(2, 3, 7))
def interpolation() -> bytes:
    """Frames between frames of LATENT, GRID and both kinds of NOISE, in two layers of segments of 1, 2 and 4 frames."""
    out = []
    for frames in (1, 2, 4):
        base = Net(frames)
        key, knots = f"between {frames} ", max(1, frames - 1)
        places = [
            base.latent(numbers(key + "E", (frames, 2, 2, 2), -128, 127)),
            base.transmit(o.Grid(2, 2, 2, -128, 127, knots, 3), numbers(key + "G", (knots, 2, 2, 2), -128, 127)),
            base.add(o.Noise(1, 2, 2, 0, 99, 0)),
            base.add(o.Noise(1, 2, 2, 0, 99, 1)),
        ]
        base.show(base.joined(places))
        upper = Net(frames, [base])
        own = upper.latent(numbers(key + "F", (frames, 6, 2, 2), -128, 127))
        lower = upper.add(o.Below(0, 6))
        upper.show(upper.add(o.Add(own, lower, -32768, 32767)))
        out.append(Segment([base, upper], 0, range(frames), groups=(1, frames)))
    return stream(*out)


def released() -> None:
    """Put every stream of a released version into the list; they stay for good."""
    for path in sorted(RELEASED.glob("*/streams.json")):
        for name, entry in json.loads(path.read_text()).items():
            if "md5" in entry:
                version = path.parent.name
                about = f"A stream that version {version} of the format was released with."
                GOOD[f"released-{version}-{name}"] = Good(about, (), (path.parent / f"{name}.sdmn").read_bytes)


released()
