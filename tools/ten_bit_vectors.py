"""The conformance vectors of version 1.3: pictures of 10 bits, and what of them must be refused."""

from __future__ import annotations

import dataclasses
import itertools
import zlib

import reference_decoder
from bad_compact_vectors import OP, picture_vectors
from bad_vectors import NOT_SUPPORTED, NOT_VERIFIED, refuse
from good_compact_vectors import MATRICES, base_net, correcting_layers, key_frames, levels, limit_net
from good_compact_vectors import plain as compact_plain
from good_vectors import plain, vector
from vector_parts import (
    COMPACT,
    COMPACT_TEN_BITS,
    TEN_BITS,
    VIDEO,
    Net,
    Segment,
    assemble,
    header,
    numbers,
    packed,
    parts_of,
    stream,
    with_checksums,
)

from nvcodec.format import operations as o
from nvcodec.format.units import Order, UnitType, Video

TEN = dataclasses.replace(VIDEO, sample_format=1)
OP10 = o.Picture10(*dataclasses.astuple(OP))


def fine(key: str, frames: int = 2, top: int = 1023, compact: bool = False) -> Net:
    """Two LATENTs that make a picture: one of multiples of 8, to which the other adds 0 to 7; from 0 to ``top``."""
    net = Net(frames, compact=compact)
    coarse = net.latent(numbers(key + " coarse", (frames, 3, 3, 4), 0, 127), 0, 127)
    rest = net.latent(numbers(key + " rest", (frames, 3, 3, 4), 0, 7), 0, 7, predictors=[1])
    net.add(o.Add(net.add(o.Table(coarse, 0, 0, 3, 0, 1016)), rest, 0, top))
    return net


# ---- what decodes ----------------------------------------------------------------------------------------------------


@vector("2", "4.1", "4.6", "6.1", interpolate=(3,))
def ten_bits() -> bytes:
    """Pictures of 10 bits in fixed form, from 0 to 1023; a checksum covers two frames."""
    nets = [Segment([fine(f"ten bits {frames}", frames)], groups=(2,)) for frames in (3, 2)]
    return stream(*nets, video=TEN, head=TEN_BITS)


@vector("2", "4.1")
def ten_bits_compact() -> bytes:
    """The same in compact form."""
    return stream(fine("ten bits compact", compact=True), video=TEN, head=COMPACT_TEN_BITS)


@vector("4.6", "6.1")
def ten_bits_of_few_levels() -> bytes:
    """Pictures whose range, 0 to 127, is far from 1023: their samples have 10 bits all the same."""
    return stream(plain("ten bits of few levels"), video=TEN, head=TEN_BITS)


@vector("2")
def ten_bits_without_need() -> bytes:
    """The feature bit of version 1.3 set, without need."""
    return stream(compact_plain("ten bits unused"), head=COMPACT_TEN_BITS)


@vector("2")
def ten_bits_without_bit_0() -> bytes:
    """The feature bits of versions 1.2 and 1.3 without that of 1.1, whose tables and GRIDs are not there."""
    return stream(fine("bit 2", compact=True), video=TEN, head=header(minor=3, features=6))


@vector("4.11", "6.9")
def ten_bits_matrices() -> bytes:
    """PICTURE10 with every matrix, limited and full range, 8 and 10 bits, at the ends of the samples' range; what is
    shown has 8 bits."""
    nets = [
        base_net(f"matrix {matrix}", o.Picture10(5, 6, depth, 1, 0, matrix, full_range, 0)).show()
        for depth, matrix, full_range in itertools.product((8, 10), MATRICES, (0, 1))
    ]
    return stream(*nets, head=COMPACT_TEN_BITS)


@vector("6.9")
def ten_bits_shapes() -> bytes:
    """PICTURE10 with every siting, margins, without chroma."""
    ops = [o.Picture10(5, 4, 10, 1, siting, 9, 0, margin) for siting, margin in ((0, 0), (1, 1), (2, 15))]
    ops += [o.Picture10(3, 3, depth, 0, 0, 1, depth == 8, 1) for depth in (8, 10)]
    return stream(*(base_net("shapes", op).show() for op in ops), head=COMPACT_TEN_BITS)


def ten_levels(net: Net, shift: int, top: int = 1023) -> Net:
    """Add what makes a picture of 10 bits of a PICTURE10, or with a shift of 0 of what is a PICTURE's."""
    net.add(o.Table(net.last, 0, shift, 0, 0, top))
    return net


@vector("6.1", "6.9")
def ten_bits_of_a_picture() -> bytes:
    """PICTURE in quarters of a level of 8 bits, shown as pictures of 10 bits; and PICTURE10 as such."""
    nets = [ten_levels(base_net("of a picture", op, (2, 1)), 0) for op in (OP, OP10)]
    return stream(*nets, video=TEN, head=COMPACT_TEN_BITS)


def layered(video: Video) -> bytes:
    """Two segments of four layers: PICTURE10, two that show 8 bits' worth of it, and one that goes to 1023."""
    segments = []
    for number, (size, runs, margin) in enumerate((((5, 8), (2, 1, 2), 3), ((8, 6), (4,), 0))):
        op = o.Picture10(*size, (8, 10)[number], 1, number, 6, number, margin)
        nets = correcting_layers(f"ten bits layered {number} ", base_net(f"ten {number}", op, runs), margin)
        net = Net(sum(runs), nets, compact=True)
        below = net.add(o.Below(0, 0))
        conv = net.conv(below, numbers(f"ten {number}", (3, 3, 3, 3), -9, 9), [5, -5, 99], 30, low=-1023, high=1023)
        total = net.add(o.Add(below, conv, 0, 1023))
        net.add(o.Crop(total, margin, margin, *size))
        segments.append(Segment([*nets, net], groups=(1, 0, 3, 2)))
    return stream(*segments, video=video, index=True, head=COMPACT_TEN_BITS)


@vector("4.11", "6.2", "8.1")
def ten_bits_layers() -> bytes:
    """Four layers of two segments, of 10 bits: a PICTURE10 with a margin, convolutions of it, latents, knots, noise."""
    return layered(TEN)


@vector("3", "4.12", "8.1")
def ten_bits_layers_by_segment() -> bytes:
    """The same, segment after segment."""
    return layered(dataclasses.replace(TEN, order=Order.BY_SEGMENT))


#: A PICTURE10 whose values are from -1159 to 2202: 7619 * 2202 + 177 is 2^24 - 1.
WIDE = o.Picture10(6, 6, 10, 1, 0, 1, 0, 0)


@vector("6.3", "6.9")
def ten_bits_accumulator_limit() -> bytes:
    """Accumulators of a PICTURE10 that may reach 2^24 - 1, and minus that."""
    return stream(limit_net(WIDE, (177, -177)), head=COMPACT_TEN_BITS)


# ---- what must be refused --------------------------------------------------------------------------------------------


def feature_vectors() -> None:
    """What sections 2, 4.1 and 6.2 refuse."""
    about = "pictures of 10 bits without the feature bit of version 1.3"
    parts = with_checksums(parts_of([fine("bad ten")], TEN), TEN_BITS)
    refuse("ten-bits-missing", "2", about, assemble(parts, header(minor=3)), NOT_SUPPORTED)
    compact = with_checksums(parts_of([fine("bad ten", compact=True)], TEN), COMPACT_TEN_BITS)
    refuse("ten-bits-missing-compact", "2", about, assemble(compact, COMPACT), NOT_SUPPORTED)
    data = assemble(parts_of([levels(base_net("ten missing", OP10))]), COMPACT)
    refuse("ten-bits-missing-picture", "2", "PICTURE10 without the feature bit of version 1.3", data, NOT_SUPPORTED)
    net = Net(1)
    net.add(OP10)
    data = assemble(parts_of([levels(net)]), TEN_BITS)
    refuse("ten-bits-missing-compact-form", "2", "PICTURE10 in fixed form", data, NOT_SUPPORTED)
    for value in (2, 3, 255):
        parts[0].payload = packed(TEN, sample_format=value)
        about = f"sample_format of {value}"
        refuse(f"ten-bits-sample-format-{value}", "4.1", about, assemble(parts, TEN_BITS))
    parts[0].payload = packed(TEN, sample_format=0)
    refuse("ten-bits-called-eight", "6.1", "a picture of 0 to 1023 with 8 bits", assemble(parts, TEN_BITS))
    data = assemble(parts_of([fine("bad top", top=1024)], TEN), TEN_BITS)
    refuse("ten-bits-above", "6.1", "a picture of 0 to 1024 with 10 bits", data)
    net = fine("bad low")
    net.add(o.Table(net.last, 0, 0, 0, -1, 1023))
    refuse("ten-bits-below", "6.1", "a picture of -1 to 1023 with 10 bits", assemble(parts_of([net], TEN), TEN_BITS))


def checksum_vectors() -> None:
    """Checksums of 10 bits that are not those of section 4.6."""
    about = "checksums of {}, not of two bytes a sample, the lower one first"
    for name, wrong in (("one byte a sample", "u1"), ("the higher byte first", ">u2")):
        parts = with_checksums(parts_of([fine("bad sums", 1)], TEN), TEN_BITS)
        picture = reference_decoder.decode(reference_decoder.parse(assemble(parts, TEN_BITS)), 0)
        (sums,) = (part for part in parts if part.kind == UnitType.CHECKSUMS)
        sums.payload = (1).to_bytes(4, "little") + zlib.crc32(picture.astype(wrong).tobytes()).to_bytes(4, "little")
        key = f"ten-bits-checksum-of-{name.replace(' ', '-')}"
        refuse(key, "4.6", about.format(name), assemble(parts, TEN_BITS), NOT_VERIFIED)


def mixed_vectors() -> None:
    """PICTURE and PICTURE10 in one list or one segment."""
    for first, second in ((OP, OP10), (OP10, OP)):
        net = base_net("mixed", first)
        net.add(o.Add(0, net.add(second), 0, 255))
        about = f"{first.NAME} and {second.NAME} in a list"
        data = assemble(parts_of([net]), COMPACT_TEN_BITS)
        refuse(f"{first.NAME.lower()}-with-{second.NAME.lower()}", "6.2", about, data)
        base = levels(base_net("above", first))
        upper = Net(1, [base], compact=True)
        upper.below = {}  # else it could not be added
        upper.picture(second, [(1, key_frames("upper", second, 1))])
        data = assemble(parts_of([Segment([base, levels(upper)])]), COMPACT_TEN_BITS)
        about = f"{second.NAME} in layer 1, above {first.NAME}"
        refuse(f"{second.NAME.lower()}-above-{first.NAME.lower()}", "6.2", about, data)


def bound_vectors() -> None:
    """What 6.3 refuses of a CONV that reads a PICTURE10."""
    for name, biases in {"above": (178, -177), "below": (177, -178)}.items():
        data = assemble(parts_of([limit_net(WIDE, biases)]), COMPACT_TEN_BITS)
        refuse(f"picture10-bound-{name}", "6.3", "an accumulator of a PICTURE10 that can reach 2^24", data)


feature_vectors()
checksum_vectors()
picture_vectors(OP10, COMPACT_TEN_BITS)
mixed_vectors()
bound_vectors()
