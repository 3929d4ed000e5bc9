"""The conformance vectors that decode and are in compact form: AV1 streams, segment after segment, numbers."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av1_writer as aw
import numpy as np
from av1_writer import INTRA_ONLY, FrameHeader, SequenceHeader, obu
from good_vectors import audio, raw_frame, vector
from vector_parts import (
    BY_SEGMENT,
    VIDEO,
    Net,
    Part,
    Segment,
    assemble,
    header,
    numbers,
    parts_of,
    stream,
    with_checksums,
)

from nvcodec.format import operations as o
from nvcodec.format.entropy.contexts import Contexts
from nvcodec.format.fields import pack_integer, varint
from nvcodec.format.units import UnitType, Video

Planes = list[np.ndarray]
MATRICES = (1, 4, 5, 6, 7, 9)
ENCODED = json.loads(Path(__file__).with_name("av1_runs.json").read_text())


# ---- AV1 -------------------------------------------------------------------------------------------------------------


def sequence_of(op: o.Picture, **fields: Any) -> SequenceHeader:
    """A sequence header for the pictures of an operation."""
    return SequenceHeader(op.width, op.height, op.depth, not op.chroma, **fields)


def planes_of(key: str, op: o.Picture) -> Planes:
    """Samples of a picture, the least, the greatest and black among them."""
    top, one = 2**op.depth - 1, 2 ** (op.depth - 8)
    levels = np.array([0, 1, 16 * one, 126 * one + 1, 130 * one, 235 * one, top - 1, top])
    pairs = np.array([0, 0, top, top, 128 * one, 128 * one - 1, 240 * one, 33 * one])
    others = np.array([0, top, 0, top, 128 * one, 16 * one, 128 * one + 1, 200 * one])
    planes = [levels[numbers(key, (op.height, op.width), 0, 7)]]
    if op.chroma:
        chosen = numbers(key + " chroma", (-(-op.height // 2), -(-op.width // 2)), 0, 7)
        planes += [pairs[chosen], others[chosen]]
    return planes


def key_frames(key: str, op: o.Picture, frames: int, **fields: Any) -> bytes:
    """A run of key frames."""
    sequence = sequence_of(op, **fields)
    return sequence.obu() + b"".join(aw.frame(sequence, planes_of(f"{key} {n}", op)) for n in range(frames))


def base_net(key: str, op: o.Picture, runs: Sequence[int] = (1,)) -> Net:
    """A list that is a PICTURE with runs of key frames."""
    net = Net(sum(runs), compact=True)
    net.picture(op, [(frames, key_frames(f"{key} {n}", op, frames)) for n, frames in enumerate(runs)])
    return net


def levels(net: Net, place: int = 0, margin: int = 0) -> Net:
    """Add what makes levels of a PICTURE, without its margin."""
    place = net.add(o.Table(place, 0, 2, 0, 0, 255))
    if margin:
        tensor = net.tensors[place]
        net.add(o.Crop(place, margin, margin, tensor.height - 2 * margin, tensor.width - 2 * margin))
    return net


@vector("4.11", "6.9")
def base_matrices() -> bytes:
    """PICTURE with every matrix, limited and full range, 8 and 10 bits, at the ends of the samples' range."""
    return stream(
        *(
            base_net(f"matrix {matrix}", o.Picture(5, 6, depth, 1, 0, matrix, full_range, 0)).show()
            for depth, matrix, full_range in itertools.product((8, 10), MATRICES, (0, 1))
        )
    )


@vector("6.9")
def base_sitings() -> bytes:
    """PICTURE with every siting and depth, of 1x1 and odd and even sides."""
    sizes = ((1, 1), (1, 6), (7, 1), (2, 3), (5, 4), (8, 8))
    return stream(
        *(
            base_net(f"siting {height} {width}", o.Picture(height, width, depth, 1, siting, 1, 1, 0)).show()
            for (height, width), depth, siting in itertools.product(sizes, (8, 10), (0, 1, 2))
        )
    )


@vector("6.9")
def base_margins() -> bytes:
    """PICTURE with margins of 1, 7 and 15 around pictures that may be smaller than they are."""
    sizes = ((1, 1), (3, 5), (8, 2))
    return stream(
        *(
            base_net(f"margin {height}", o.Picture(height, width, 8, 1, 1, 6, 0, margin)).show()
            for (height, width), margin in itertools.product(sizes, (1, 7, 15))
        )
    )


@vector("4.11", "6.9")
def base_grey() -> bytes:
    """PICTURE without chroma: 8 and 10 bits, limited and full range, sitings that do not matter, a margin."""
    nets = []
    for depth, full_range, siting in itertools.product((8, 10), (0, 1), (0, 1, 2)):
        height, width = ((1, 1), (3, 4), (5, 7))[siting]
        op = o.Picture(height, width, depth, 0, siting, 9, full_range, siting)
        nets.append(base_net(f"grey {full_range}", op, (2,)).show())
    return stream(*nets)


@vector("4.11")
def base_sizes() -> bytes:
    """AV1 pictures of one to two tiles, from 9x16 to 128x40."""
    sizes = ((16, 9), (18, 32), (41, 33), (64, 64), (40, 128))
    nets = []
    for height, width in sizes:
        op = o.Picture(height, width, 8, 1, 0, 1, 0, 0)
        sequence, planes = sequence_of(op), [coarse(plane) for plane in planes_of(f"size {height}", op)]
        net = Net(1, compact=True)
        net.picture(op, [(1, sequence.obu() + aw.frame(sequence, planes))])
        nets.append(levels(net))
    return stream(*nets)


#: Sequence headers with parts that are not needed, and others that move what stands in frame headers.
SEQUENCES: dict[str, dict[str, Any]] = {
    "still": {"still_picture": 1},
    "timing": {"timing": (0,)},
    "equal intervals": {"timing": (1, 12345)},
    "model": {"timing": (0,), "model": (10, 7, 9)},
    "model of equal intervals": {"timing": (1, 0), "model": (32, 32, 32)},
    "model of no point": {"timing": (0,), "model": (1, 1, 32), "model_of_point": False},
    "delay": {"display_delay": 9},
    "no delay of the point": {"display_delay": -1},
    "tier": {"level": 9, "tier": 1},
    "level 31": {"level": 31},
    "short sizes": {"size_bits": 4},
    "frame ids": {"frame_ids": (14, 2)},
    "short frame ids": {"frame_ids": (2, 1)},
    "order hints": {"order_hint_bits": 8, "motion_tools": 3},
    "screen content": {"screen_content_tools": 1, "integer_mv": 1},
    "screen content, motion vectors chosen": {"screen_content_tools": 1},
    "tools": {"tools": (7, 15), "filters": 7},
    "color": {"color": (9, 16, 9), "color_range": 1, "chroma_position": 2, "separate_delta_q": 1},
    "color that is RGB's but for its matrix": {"color": (1, 13, 1), "chroma_position": 1},
    "all": {
        "timing": (0,),
        "model": (5, 32, 32),
        "display_delay": 0,
        "level": 8,
        "frame_ids": (15, 1),
        "order_hint_bits": 1,
        "screen_content_tools": 1,
        "filters": 4,
        "color": (255, 255, 255),
    },
}


def three_frames(key: str, op: o.Picture, fields: dict[str, Any]) -> bytes:
    """A key frame; a hidden key frame and an INTRA_ONLY one; the hidden one, shown."""
    sequence = sequence_of(op, **fields)
    planes = [planes_of(f"{key} {n}", op) for n in range(3)]
    time = 1 if sequence.model else None
    hidden = FrameHeader(show=0, refresh=4, id=2, removal_time=time)
    return b"".join(
        (
            sequence.obu(),
            aw.frame(sequence, planes[0], FrameHeader(id=1, time=1, integer_mv=1, removal_time=time)),
            aw.frame(sequence, planes[1], hidden),
            aw.frame(sequence, planes[2], FrameHeader(kind=INTRA_ONLY, refresh=1, id=3, removal_time=time)),
            aw.show(sequence, 2, 2, 1),
        )
    )


@vector("4.11")
def base_sequence_headers() -> bytes:
    """Sequence headers with each optional part, and with all; what they say of colour does not matter."""
    nets = []
    for number, (name, fields) in enumerate(SEQUENCES.items()):
        op = o.Picture(8, 7, (8, 10)[number % 2], int(number % 3 > 0), 0, 6, 0, 0)
        if "still_picture" in fields:
            net = Net(1, compact=True)
            net.picture(op, [(1, key_frames(name, op, 1, **fields))])
        else:
            net = Net(3, compact=True)
            net.picture(op, [(3, three_frames(name, op, fields))])
        nets.append(levels(net))
    return stream(*nets)


@vector("4.5", "4.11")
def base_runs() -> bytes:
    """Runs of one to four frames, each of which decodes by itself; metadata, padding, repeated sequence headers, frame
    headers and tile groups by themselves; obu_size in more bytes than needed, obu_reserved_1bit; as many hidden frames
    as there may be; a picture to be shown in another size."""
    op = o.Picture(33, 100, 8, 1, 0, 1, 0, 0)
    sequence = sequence_of(op)
    planes = [[coarse(plane) for plane in planes_of(f"runs {n}", op)] for n in range(4)]
    loose = obu(aw.PADDING, bytes(9) + b"\x80") + obu(aw.METADATA, b"\1\0\1\0\1\x80")
    key = aw.frame(sequence, planes[0])
    hidden, again = aw.frame(sequence, planes[1], FrameHeader(show=0, refresh=2)), aw.show(sequence, 1)
    odd = obu(aw.FRAME, aw.split(aw.frame(sequence, planes[2]))[0][1], 4, aw.FRAME << 3 | 3)
    split = aw.frame(sequence, planes[3], groups=2)
    intra = aw.frame(sequence, planes[3], FrameHeader(kind=INTRA_ONLY, refresh=1, render_size=(50, 99)))
    runs = [
        (1, sequence.obu() + key),
        (1, sequence.obu(2) + loose + loose + aw.frame(sequence, planes[1], groups=1)),
        (3, sequence.obu() + key + hidden + loose + hidden + sequence.obu(8) + again + loose + split + loose),
        (4, sequence.obu(5) + sequence.obu() + odd + hidden + intra + loose + again + hidden + again),
        (2, sequence.obu() + key + hidden * 3 + again),
    ]
    net = Net(11, compact=True)
    net.picture(op, runs)
    return stream(levels(net), index=True)


def coarse(plane: np.ndarray) -> np.ndarray:
    """A plane that is coded in fewer bytes: one value for each 4x4 samples."""
    return plane[np.ix_(*(np.arange(side) // 4 for side in plane.shape))]


def encoded_net(name: str, margin: int = 0) -> Net:
    """A list that is a PICTURE with the runs of an encoder."""
    entry = ENCODED[name]
    runs = [(frames, base64.b64decode(data)) for frames, data in entry["runs"]]
    net = Net(sum(frames for frames, _ in runs), compact=True)
    net.picture(o.Picture(entry["height"], entry["width"], entry["depth"], 1, 0, 6, 0, margin), runs)
    return net


@vector("4.11")
def base_encoded_8_bits() -> bytes:
    """Runs of 5, 4 and 1 frames that an encoder made, with inter frames, hidden frames, and headers that show them."""
    return stream(levels(encoded_net("even-8")))


@vector("4.11", "6.9")
def base_encoded_10_bits() -> bytes:
    """Runs of 6 and 3 frames of 10 bits and odd sides that an encoder made."""
    return stream(levels(encoded_net("odd-10", 2), margin=2))


@vector("6.5", "6.9")
def base_into_tables() -> bytes:
    """TABLE of every function over the whole range of a PICTURE."""
    nets = []
    for depth, full_range in ((8, 0), (10, 1)):
        net = base_net("into tables", o.Picture(8, 8, depth, 1, 0, 9, full_range, 0))
        units = ((0, 2, 1), (0, 0, 3), (1, 2, 0), (1, 9, 9), (2, 8, 6), (2, 12, 16))
        places = [net.add(o.Table(0, *unit, -32768, 32767)) for unit in units]
        nets.append(net.show(net.joined(places)))
    return stream(*nets)


#: A PICTURE whose values are from -1156 to 2196: 7639 * 2196 + 1971 is 2^24 - 1.
WIDE = o.Picture(6, 6, 10, 1, 0, 1, 0, 0)


def limit_net(wide: o.Picture, biases: tuple[int, int]) -> Net:
    """CONVs of a picture that may reach the largest multiple of its highest value below 2^24, plus their biases, and
    minus that."""
    net = base_net("limit", wide)
    full, rest = divmod((2**24 - 1) // net.tensors[0].high, 127)
    weights = np.array([127] * full + [rest] + [0] * (74 - full)).reshape(1, 3, 5, 5)
    return net.show(net.conv(0, np.concatenate([weights, -weights]), biases, 48))


@vector("6.3", "6.9")
def base_accumulator_limit() -> bytes:
    """Accumulators of a PICTURE that may reach 2^24 - 1, and minus that."""
    return stream(limit_net(WIDE, (1971, -1971)))


# ---- layers ----------------------------------------------------------------------------------------------------------


def correcting_layers(key: str, base: Net, margin: int) -> list[Net]:
    """Layers above a PICTURE: one that corrects it by convolutions of the picture with its margin, one with latents,
    knots and noise."""
    frames, height, width = base.frames, base.tensors[-1].height, base.tensors[-1].width
    levels(base, 0, margin)
    middle = Net(frames, [base], compact=True)
    below = middle.add(o.Below(0, 0))
    low = middle.add(o.Below(0, 1))
    conv = middle.conv(below, numbers(key + "a", (4, 3, 3, 3), -9, 9), [5, -5, 99, -2047], [20, 30], group=2)
    table = middle.add(o.Table(conv, 1, 2, 2, -900, 900))
    conv = middle.conv(table, numbers(key + "b", (3, 4, 1, 3), -60, 60), 0, 60, low=-300, high=300, bias_shift=2)
    total = middle.add(o.Add(conv, low, 0, 255))
    height, width = (side - 2 * margin for side in (middle.tensors[total].height, middle.tensors[total].width))
    middle.add(o.Crop(total, margin, margin, height, width))
    top = Net(frames, [base, middle], compact=True)
    own = top.latent(
        numbers(key + "c", (frames, 3, height, width), -40, 40), -40, 40, runs=[2, frames - 2], predictors=[1, 0]
    )
    knots = numbers(key + "d", (3, 3, height, width), -9, 9)
    grid = top.transmit(o.Grid(3, height, width, -9, 9, 3, 1), knots, [1, 1, 1])
    total = top.add(o.Add(own, grid, -99, 99))
    total = top.add(o.Add(total, top.add(o.Noise(3, height, width, 0, 60, 1)), -99, 99))
    total = top.add(o.Subtract(top.add(o.Below(1, middle.last)), total, -99, 999))
    top.add(o.Table(total, 0, 1, 1, 0, 255))
    return [base, middle, top]


def layered(video: Video) -> bytes:
    """Two segments of three layers."""
    segments = []
    for number, (size, runs, margin) in enumerate((((5, 8), (2, 1, 2), 3), ((8, 6), (4,), 0))):
        op = o.Picture(*size, (8, 10)[number], 1, number, 6, number, margin)
        base = base_net(f"layered {number}", op, runs)
        segments.append(Segment(correcting_layers(f"layered {number} ", base, margin), groups=(1, 0, 3)))
    return stream(*segments, video=video, index=True)


@vector("4.11", "6.2", "8.1")
def base_layers() -> bytes:
    """Three layers of two segments: a PICTURE with a margin, convolutions of it, latents with knots and noise; BELOW,
    CONV, TABLE, ADD, SUBTRACT and CROP; a layer without checksums."""
    return layered(VIDEO)


@vector("3", "4.12", "8.1")
def base_layers_by_segment() -> bytes:
    """The same, segment after segment: runs of AV1 and of latents in the order of their frames."""
    return layered(BY_SEGMENT)


@vector("6.2")
def base_with_latents() -> bytes:
    """Layer 0 with a PICTURE among other operations: a LATENT, a GRID and NOISE before it, a LATENT after it."""

    def net() -> Net:
        op = o.Picture(4, 4, 8, 1, 0, 1, 0, 0)
        made = Net(3, compact=True)
        first = made.latent(numbers("with a", (3, 3, 4, 4), -50, 50), -50, 50, runs=[1, 2])
        knots = made.transmit(o.Grid(3, 4, 4, -9, 9, 2, 0), numbers("with b", (2, 3, 4, 4), -9, 9), runs=[1, 1])
        noise = made.add(o.Noise(3, 4, 4, 0, 100, 1))
        picture = made.picture(op, [(2, key_frames("with", op, 2)), (1, key_frames("with 2", op, 1))])
        last = made.latent(numbers("with c", (3, 3, 4, 4), -50, 50), -50, 50, runs=[2, 1])
        total = picture
        for place in (first, knots, noise, last):
            total = made.add(o.Add(total, place, -2000, 3000))
        return made.show()

    by_segment = dataclasses.replace(BY_SEGMENT, seed=99)
    return stream(net(), net(), video=by_segment)


# ---- the compact form and its numbers --------------------------------------------------------------------------------


def plain(key: str, frames: int = 2, height: int = 2, width: int = 3) -> Net:
    """The least a network can be: a LATENT that is the picture."""
    net = Net(frames, compact=True)
    net.latent(numbers(key, (frames, 3, height, width), 0, 127), 0, 127)
    return net


@vector("1", "4.1", "4.2", "8.2")
def compact_extremes() -> bytes:
    """Fields of VIDEO and SEGMENT at both ends of their ranges, in as many bytes as these need."""
    video = Video(0, 255, 255, 255, 2, 65535, 65535, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    times = [-(2**62), 2**62, -1, 0, 1, -(2**40), 63, -64, 64]
    segments = []
    for number, pts in enumerate(times):
        frames = 1 + number % 3
        durations = [(2**62, 0, 300)[(number + frame) % 3] for frame in range(frames)] if number % 2 else ()
        net = plain(f"compact {number}", frames, 1, (1, 127, 128)[number % 3])
        segments.append(Segment([net], 0 if durations else (1, 127, 2**32 - 1)[number % 3], durations, pts))
    net = Net(1, compact=True)
    net.add(o.Noise(3, 1, 5, 255, 60, 1))
    return stream(*segments, net.show(), video=video, index=True)


@vector("1", "4.3", "4.4", "6.2")
def compact_operations() -> bytes:
    """Every operation in compact form, with fields of one byte and of more, below 0 and above."""
    net = Net(2, compact=True)
    a = net.latent(numbers("compact a", (2, 4, 4, 6), -128, 127), runs=[1, 1])
    b = net.latent(numbers("compact b", (2, 4, 4, 6), -64, 63), -64, 63, 1)
    grid = net.transmit(o.Grid(4, 4, 6, -65, 64, 2, 8), numbers("compact c", (2, 4, 4, 6), -65, 64))
    noise = net.add(o.Noise(4, 4, 6, 255, 4096, 1))
    places = [net.add(o.Add(a, b, -32768, 32767)), net.add(o.Subtract(grid, noise, -8192, 8191))]
    places.append(net.conv(a, numbers("compact d", (4, 4, 3, 15), -9, 9), [63, -64, 2047, -2047], [127, 128], group=2))
    places.append(net.add(o.Table(places[-1], 2, 12, 16, -32768, 32767)))
    shuffled = net.add(o.Shuffle(b, 2))
    places.append(net.add(o.Unshuffle(shuffled, 2)))
    places.append(net.add(o.Crop(net.add(o.Resample(a, 300, 129)), 200, 123, 4, 6)))
    places.append(net.add(o.Slice(net.joined([a, b]), 3, 2)))
    net.show(net.joined(places))
    upper = Net(2, [net], compact=True)
    upper.add(o.Subtract(upper.add(o.Below(0, net.last)), upper.constant((3, *sides(net)), 9), 0, 255))
    return stream(Segment([net, upper]), index=True)


def sides(net: Net) -> tuple[int, int]:
    """Height and width of a list's last result."""
    return net.tensors[-1].height, net.tensors[-1].width


@vector("4.4")
def compact_steps_and_biases() -> bytes:
    """Step indices and biases as plain numbers: all step indices, biases from -2047 to 2047, groups of 1, 3 and 255."""
    net, places = Net(1, compact=True), []
    source = net.latent(numbers("compact SB", (1, 1, 1, 2), -128, 127))
    for group, channels in ((1, 240), (3, 20), (255, 4)):
        steps = numbers("compact steps", -(-channels // group), 0, 110) if group > 1 else np.arange(240)
        biases = numbers(f"compact biases {group}", channels, -2047, 2047)
        if group == 1:
            biases = np.where(steps < 96, biases, biases >> np.minimum(11, steps // 8 - 6))
        weights = numbers(f"compact W {group}", (channels, 1, 1, 1), -127, 127)
        places.append(net.conv(source, weights, biases, steps, group=group))
    return stream(net.show(net.joined(places)))


@vector("1", "5.5")
def compact_tables() -> bytes:
    """Chunks keep their form: tables with fields of fixed size, and by rows."""
    net = Net(5, compact=True)
    table = Contexts(-128, 256, 200, 200, 1, 130)
    net.latent(numbers("compact rows", (5, 1, 4, 6), -128, 127), tables=[(None, table)])
    weights = numbers("compact family 4", (9, 1, 3, 3), -90, 90)
    net.conv(0, weights, 0, 40, tables=(None, None, Contexts(-127, 255, 900, 300, 1)))
    return stream(net.show())


@vector("3")
def compact_without_weights_and_checksums() -> bytes:
    """Lists without CONV have no WEIGHTS unit; CHECKSUMS are missing in some layers of some segments, or in all."""
    segments = []
    for number, groups in enumerate(((1, 0), (0, 2), (0, 0), (2, 1))):
        base = plain(f"without {number}")
        upper = Net(2, [base], compact=True)
        below, own = upper.add(o.Below(0, 0)), upper.latent(numbers(f"without {number}", (2, 3, 2, 3), -9, 9))
        upper.add(o.Add(below, own, 0, 255))
        segments.append(Segment([base, upper], groups=groups))
    return stream(*segments)


def compact_metadata(raw: bytes, packed: bytes | None = None) -> Part:
    """A METADATA unit that holds ``raw``, as ``packed`` if given."""
    size = pack_integer(len(raw), "I", True)
    return Part(UnitType.METADATA, b"\0" + size + raw if packed is None else b"\1" + size + packed)


@vector("3", "4.8", "4.9")
def compact_ancillary_units() -> bytes:
    """METADATA, AUDIO and SUBTITLES that break their own rules, and unknown types from 36 on, of any segment and layer,
    in every place where they may stand; an INDEX, whose rows have a fixed size."""
    between = itertools.cycle(
        [
            Part(36, b"", 0, 1),
            Part(UnitType.SUBTITLES, b"\x09"),
            compact_metadata(b'{"a": "' + b"x" * 300 + b'"}'),
            Part(127, b"x" * 127, 65535, 255),
            audio([b"one"]),
            compact_metadata(b'{"b": [2]}', raw_frame(b'{"b": [2]}')),
            Part(128, b"x" * 128, 127, 128),
            Part(255, b"", 9, 9),
            compact_metadata(b"{}"),
        ]
    )
    nets = []
    for number in range(2):
        base = plain(f"ancillary {number}")
        upper = Net(2, [base], compact=True)
        upper.add(o.Add(upper.add(o.Below(0, 0)), upper.latent(np.full((2, 3, 2, 3), 5), 5, 5), 0, 255))
        nets.append(Segment([base, upper]))
    parts = with_checksums(parts_of(nets, BY_SEGMENT))
    spread = [parts[0]]
    for part in parts[1:]:
        spread += [next(between), part]
    return assemble([*spread, Part(UnitType.INDEX, None)])


def fields(*values: int | bytes) -> bytes:
    """Numbers as varints, and bytes after how many they are."""
    return b"".join(varint(v) if isinstance(v, int) else varint(len(v)) + v for v in values)


@vector("4.9", "4.10", "4.13")
def compact_tracks() -> bytes:
    """A track of SUBTITLES and one of AUDIO in two units between the layers, with numbers of one byte and of more,
    times before 0 and backwards; what the metadata say of them, of chapters and of the source."""

    def signed(value: int) -> int:
        return 2 * value if value >= 0 else -2 * value - 1

    said = {
        "tracks": [{"language": "deu", "disposition": ["forced"]}, {"title": "Ton", "layout": "downmix"}],
        "chapters": {"time_base": [1, 1000], "list": [[-40, 0, "eins"], [0, 10**12, "zwei"]]},
        "tags": {"title": "Zwei Kapitel", "creation_time": "2026-11-28T12:00:00.000000Z"},
    }
    texts: list[int | bytes] = [signed(0), 1500, b"Hallo", signed(-1000), 2**32 - 1, b""]
    first: list[int | bytes] = [signed(-312), 960, b"\xfc\xff\xfe", signed(0), 120, bytes(200)]
    later: list[int | bytes] = [signed(2**61), 1, b"x", signed(-(2**61) - 1), 0, b"y"]
    units = [
        compact_metadata(json.dumps(said).encode()),
        Part(UnitType.SUBTITLES, fields(0, b"subrip", 0, 0, 1, 1000, b"", 2, *texts)),
        Part(UnitType.AUDIO, fields(1, b"opus", 48000, 2, 1, 48000, b"OpusHead", 2, *first)),
        Part(UnitType.AUDIO, fields(1, 2, *later)),
    ]
    base = plain("tracks")
    upper = Net(2, [base], compact=True)
    upper.add(o.Add(upper.add(o.Below(0, 0)), upper.latent(np.full((2, 3, 2, 3), 5), 5, 5), 0, 255))
    parts = parts_of([Segment([base, upper])])
    for place, unit in zip((2, 2, 4, 6), units, strict=True):
        parts.insert(place, unit)
    return assemble(with_checksums(parts))


@vector("2")
def compact_without_bit_0() -> bytes:
    """The feature bit of version 1.2 without that of 1.1, whose tables and GRIDs are not there."""
    head = header(minor=2, features=2)
    return assemble(with_checksums(parts_of([plain("bit 1 alone")]), head), head)


@vector("2", "3")
def compact_version_1_9() -> bytes:
    """A newer minor version, with a unit and metadata that this version does not know."""
    parts = with_checksums(parts_of([plain("compact 1.9")]))
    parts.insert(1, Part(40, b"new", 3, 2))
    parts.insert(2, compact_metadata(b'{"new": {"of": 1.9}}'))
    return assemble(parts, header(minor=9, features=3))


# ---- segment after segment -------------------------------------------------------------------------------------------


def segment_of(key: str, frames: int, layers: int, high: int = 60) -> Segment:
    """A segment whose layers have latents, from 0 to ``high``, and knots in runs that differ."""
    nets: list[Net] = []
    for number in range(layers):
        net = Net(frames, nets, compact=True)
        places = [net.add(o.Below(number - 1, nets[-1].last))] if number else []
        steps = [max(1, frames // (number + 2)), 1 + number]
        for place, step in enumerate(steps):
            runs = [step] * (frames // step) + ([frames % step] if frames % step else [])
            values = numbers(f"{key} {number} {place}", (frames, 3, 2, 2), 0, high)
            places.append(net.latent(values, 0, high, runs=runs, predictors=[number % 2]))
        knots = max(1, frames - 1)
        values = numbers(f"{key} {number} knots", (knots, 3, 2, 2), 0, 1)
        places.append(net.transmit(o.Grid(3, 2, 2, 0, 9, knots, 3), values, runs=[1] * knots))
        total = places[0]
        for place in places[1:]:
            total = net.add(o.Add(total, place, 0, 255))
        nets.append(net)
    return Segment(nets, groups=(1, frames))


@vector("3", "4.12", interpolate=(2,))
def by_segment() -> bytes:
    """Segment after segment: four segments of two layers, with latents and knots in runs that differ."""
    segments = [segment_of(f"by segment {frames}", frames, 2) for frames in (1, 2, 7, 4)]
    return stream(*segments, video=BY_SEGMENT, index=True)


@vector("3")
def by_segment_cut() -> bytes:
    """The first two segments of such a file: they are one by themselves."""
    parts = with_checksums(
        parts_of([segment_of(f"by segment cut {frames}", frames, 2) for frames in (3, 2, 4)], BY_SEGMENT)
    )
    ends = [place for place, part in enumerate(parts) if part.kind == UnitType.SEGMENT_END]
    return assemble(parts[: ends[1] + 1])


@vector("3", "4.12")
def by_segment_of_one_frame() -> bytes:
    """Nine segments of one frame, each with three layers."""
    return stream(*(segment_of(f"one frame {number}", 1, 3) for number in range(9)), video=BY_SEGMENT)
