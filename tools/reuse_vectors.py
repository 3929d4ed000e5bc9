"""The conformance vectors of version 1.4: networks of earlier segments, and what of them must be refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from bad_vectors import refuse
from good_compact_vectors import base_net, levels
from good_compact_vectors import plain as compact_plain
from good_vectors import vector
from vector_parts import (
    BY_SEGMENT,
    COMPACT,
    VIDEO,
    Net,
    Part,
    Segment,
    assemble,
    header,
    numbers,
    parts_of,
    with_checksums,
)

from nvcodec.format import operations as o
from nvcodec.format.fields import pack_integer
from nvcodec.format.units import UnitType, Video

REUSE, REUSE_FIXED = header(minor=4, features=11), header(minor=4, features=9)
OP = o.Picture(6, 8, 10, 1, 0, 1, 0, 1)

#: From where layers take their network: segment and layer to an earlier segment.
Sources = Mapping[tuple[int, int], int]


def reference(segment: int, compact: bool = True) -> bytes:
    """The payload of a NETWORK that takes that of a segment."""
    return pack_integer(0, "H", compact) + pack_integer(segment, "H", compact)


def taken(parts: Sequence[Part], sources: Sources) -> list[Part]:
    """The units with references in place of some networks."""
    out = []
    for part in parts:
        source = sources.get((part.segment, part.layer))
        if source is not None and part.kind == UnitType.WEIGHTS:
            continue
        if source is not None and part.kind == UnitType.NETWORK:
            part = dataclasses.replace(part, payload=reference(source, parts[0].compact))
        out.append(part)
    return out


def reusing(
    segments: Sequence[Segment | Net], sources: Sources, video: Video = BY_SEGMENT, head: bytes = REUSE
) -> bytes:
    """A whole valid file in which some layers have the network of an earlier segment."""
    return assemble(with_checksums(taken(parts_of(segments, video, index=True), sources), head), head)


def corrected(key: str, frames: int, network: str, lower: str = "", op: o.Picture = OP) -> Segment:
    """A segment of an AV1 stream and a layer that corrects it by convolutions, latents, knots and noise.

    Args:
        key: gives the picture, latents and knots.
        frames: how many it has.
        network: gives the weights.
        lower: gives those of a convolution in layer 0; there is none if empty.
        op: of layer 0.
    """
    height, width = op.height, op.width
    base = base_net(key, op, [1, frames - 1])
    place = 0
    if lower:
        place = base.conv(0, numbers(lower, (3, 3, 1, 1), -50, 50), 3, 50, low=-1156, high=2196)
    levels(base, place, op.margin)
    upper = Net(frames, [base], compact=True)
    conv = upper.conv(upper.add(o.Below(0, place)), numbers(network + "a", (3, 3, 3, 3), -9, 9), [1, -2, 3], 40)
    crop = upper.add(o.Crop(conv, op.margin, op.margin, height, width))
    own = upper.latent(numbers(key + "b", (frames, 3, height, width), -20, 20), -20, 20)
    grid = upper.transmit(o.Grid(3, height, width, -9, 9, 2, 1), numbers(key + "c", (2, 3, height, width), -9, 9))
    total = upper.add(o.Add(crop, own, -99, 99))
    total = upper.add(o.Add(total, grid, -99, 99))
    total = upper.add(o.Add(total, upper.add(o.Noise(3, height, width, 0, 60, 1)), -99, 99))
    upper.add(o.Add(upper.add(o.Below(0, base.last)), total, 0, 255))
    return Segment([base, upper])


# ---- what decodes ----------------------------------------------------------------------------------------------------


def five() -> list[Segment]:
    """Segments of different lengths, of which 0, 1, 3 and 4 have one network, and 2 has another."""
    return [corrected(f"five {n}", 2 + n, "other" if n == 2 else "one") for n in range(5)]


@vector("2", "4.3")
def reuse() -> bytes:
    """Both layers, or one of them, have the network of an earlier segment, which may have it from an earlier one;
    noise, latents, knots and the AV1 stream are their own."""
    return reusing(five(), {(1, 0): 0, (1, 1): 0, (2, 0): 1, (3, 1): 1, (4, 0): 3, (4, 1): 3})


@vector("3", "4.3")
def reuse_layer_after_layer() -> bytes:
    """The same where layer follows layer."""
    sources = {(1, 0): 0, (1, 1): 0, (2, 0): 1, (3, 1): 1, (4, 0): 3, (4, 1): 3}
    return reusing(five(), sources, VIDEO)


@vector("2", "4.3")
def reuse_in_fixed_form() -> bytes:
    """A network with a convolution, of latents, in fixed form, without the WEIGHTS unit."""
    nets = []
    for n in range(3):
        net = Net(2)
        source = net.latent(numbers(f"fixed {n}", (2, 2, 2, 3), -20, 20), -20, 20)
        net.conv(source, numbers("fixed", (3, 2, 3, 3), -9, 9), [9, 50, 99], 30, low=0, high=255)
        nets.append(net)
    return reusing(nets, {(1, 0): 0, (2, 0): 1}, VIDEO, REUSE_FIXED)


@vector("4.3")
def reuse_above_another_network() -> bytes:
    """Layer 1 has the network of an earlier segment above another one with results of the same shapes and ranges."""
    segments = [corrected(f"lower {n}", 2, "upper", f"lower {n}") for n in range(2)]
    return reusing(segments, {(1, 1): 0})


@vector("4.3")
def reuse_between_sizes() -> bytes:
    """Segments of two picture sizes by turns, each with the network of the last one of its size."""
    sizes = (OP, dataclasses.replace(OP, height=8, width=5))
    segments = [corrected(f"sizes {n}", 2, f"size {n % 2}", op=sizes[n % 2]) for n in range(5)]
    return reusing(segments, {(n, layer): n - 2 for n in range(2, 5) for layer in range(2)})


@vector("2")
def reuse_without_need() -> bytes:
    """The feature bit of version 1.4 set, without need."""
    return reusing([compact_plain("reuse unused")], {})


@vector("3", "4.3")
def reuse_cut() -> bytes:
    """A file that ends after the second of its segments, which has the network of the first."""
    parts = with_checksums(taken(parts_of(five(), BY_SEGMENT), {(n, 1): 0 for n in (1, 3, 4)}), REUSE)
    ends = [place for place, part in enumerate(parts) if part.kind == UnitType.SEGMENT_END]
    return assemble(parts[: ends[1] + 1], REUSE)


# ---- what must be refused --------------------------------------------------------------------------------------------


def refuse_reuse(name: str, about: str, data: bytes, section: str = "4.3") -> None:
    """Put a corrupt vector into the list."""
    refuse(f"reuse-{name}", section, about, data)


def small(number: int) -> Segment:
    """A segment of one pixel and two layers, the upper one a convolution."""
    base = compact_plain(f"small {number}", 1, 1, 1)
    upper = Net(1, [base], compact=True)
    upper.conv(upper.add(o.Below(0, base.last)), numbers("small", (3, 3, 1, 1), -9, 9), low=0, high=255)
    return Segment([base, upper])


def source_vectors() -> None:
    """Networks that are not there."""
    for order, video in (("", BY_SEGMENT), ("-layer-after-layer", VIDEO)):
        parts = parts_of([small(n) for n in range(3)], video)
        for name, sources in {
            "of-itself": {(1, 1): 1},
            "of-the-next": {(1, 1): 2},
            "of-a-missing-segment": {(2, 1): 3},
            "of-segment-65535": {(2, 1): 65535},
            "in-segment-0": {(0, 0): 0},
        }.items():
            about = "the network of a segment that is not an earlier one"
            refuse_reuse(name + order, about, assemble(taken(parts, sources), REUSE))
        if video == VIDEO:
            continue
        good = taken(parts, {(1, 1): 0})
        refuse_reuse("missing-feature", "a list of no operations, without feature bit 3", assemble(good, COMPACT))
        (place,) = (
            n for n, part in enumerate(good) if (part.kind, part.segment, part.layer) == (UnitType.NETWORK, 1, 1)
        )
        for name, payload in {
            "longer": reference(0) + b"\0",
            "shorter": reference(0)[:1],
            "of-segment-65536": pack_integer(0, "H", True) + pack_integer(65536, "I", True),
        }.items():
            broken = [*good[:place], dataclasses.replace(good[place], payload=payload), *good[place + 1 :]]
            refuse_reuse(name, "a reference to a segment that is not just its number", assemble(broken, REUSE))
        weights = next(part for part in parts if part.kind == UnitType.WEIGHTS)
        broken = [*good[: place + 1], dataclasses.replace(weights, segment=1), *good[place + 1 :]]
        refuse_reuse("with-weights", "WEIGHTS after a reference", assemble(broken, REUSE), "3")


def difference_vectors() -> None:
    """Networks that would yield something else."""
    wide = dataclasses.replace(OP, width=7)
    for name, about, other in (
        ("of-another-size", "pictures of another size", corrected("other", 2, "one", op=wide)),
        ("of-another-range", "what BELOW reads has another range", corrected("other", 2, "one", op=full_range())),
    ):
        parts = parts_of([corrected("first", 2, "one"), other], BY_SEGMENT)
        refuse_reuse(name, about, assemble(taken(parts, {(1, 1): 0}), REUSE))
    parts = parts_of([corrected("first", 2, "one"), corrected("other", 2, "one", op=wide)], BY_SEGMENT)
    refuse_reuse("of-another-av1-size", "pictures of another size", assemble(taken(parts, {(1, 0): 0}), REUSE))
    parts = parts_of([corrected("first", 2, "one"), corrected("other", 2, "one", op=eight_bits())], BY_SEGMENT)
    about = "an AV1 stream that is not as the PICTURE of the earlier segment says"
    refuse_reuse("of-another-av1-depth", about, assemble(taken(parts, {(1, 0): 0, (1, 1): 0}), REUSE), "4.11")
    parts = parts_of([Segment([levels(base_net("one", OP), 0, 1)]), corrected("other", 2, "one")], BY_SEGMENT)
    about = "the network of a layer that the earlier segment does not have"
    refuse_reuse("of-a-missing-layer", about, assemble(taken(parts, {(1, 0): 0, (1, 1): 0}), REUSE))
    nets = []
    for frames in (3, 2):
        net = Net(frames, compact=True)
        net.transmit(o.Grid(3, 1, 2, 0, 9, frames, 1), numbers(f"knots {frames}", (frames, 3, 1, 2), 0, 9))
        nets.append(net)
    refuse_reuse(
        "of-more-knots",
        "a GRID of more knots than frames",
        assemble(taken(parts_of(nets, BY_SEGMENT), {(1, 0): 0}), REUSE),
    )


def full_range() -> o.Picture:
    """The PICTURE with other factors, so that its range is another."""
    return dataclasses.replace(OP, full_range=1)


def eight_bits() -> o.Picture:
    """The PICTURE of 8 bits."""
    return dataclasses.replace(OP, depth=8)


def limit_vector() -> None:
    """More operations of earlier segments than section 9 allows, each list 1024 operations."""
    net = Net(1, compact=True)
    last = net.latent(numbers("limit", (1, 3, 1, 1), 0, 9), 0, 9)
    while len(net.tensors) < o.MAX_OPS:
        last = net.add(o.Slice(last, 0, 3))
    parts = parts_of([Segment([net], groups=(0,))] * 66, BY_SEGMENT)
    data = assemble(taken(parts, {(n, 0): n - 1 for n in range(1, 66)}), REUSE)
    refuse_reuse("too-often", "lists of earlier segments with 65 * 1024 operations", data, "9")


source_vectors()
difference_vectors()
limit_vector()
