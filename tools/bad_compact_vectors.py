"""The conformance vectors in compact form that must be refused, and what of version 1.2 a file in fixed form may not
have. Each breaks one rule of the specification; all else is right, checksums and hashes too."""

from __future__ import annotations

import copy
import dataclasses
import zlib
from typing import Any

import av1_writer as aw
import numpy as np
from av1_writer import INTRA_ONLY, KEY, SWITCH, FrameHeader, SequenceHeader, obu
from bad_vectors import (
    CORRUPT,
    NOT_SUPPORTED,
    NOT_VERIFIED,
    Instead,
    changed,
    end_of,
    moved,
    of,
    payload_of,
    put,
    refuse,
    without,
)
from good_compact_vectors import (
    WIDE,
    base_net,
    compact_metadata,
    key_frames,
    levels,
    limit_net,
    plain,
    planes_of,
    segment_of,
)
from good_vectors import audio
from vector_parts import (
    BY_SEGMENT,
    COMPACT,
    VIDEO,
    Net,
    Part,
    Segment,
    assemble,
    chunk,
    header,
    numbers,
    packed,
    parts_of,
    with_checksums,
)

from nvcodec.format import operations as o
from nvcodec.format.entropy.contexts import Contexts
from nvcodec.format.fields import pack_integer, varint
from nvcodec.format.units import BaseHead, LatentsHead, SegmentHead, UnitType

OP = o.Picture(8, 8, 8, 1, 0, 6, 0, 0)
SEQUENCE = SequenceHeader(8, 8)
PLANES = [planes_of(f"bad {n}", OP) for n in range(3)]


# ---- the files that are broken ---------------------------------------------------------------------------------------


def kinds(parts: list[Part]) -> list[int]:
    """The types of units."""
    return [part.kind for part in parts]


ONE = with_checksums(parts_of([plain("compact one")]))
BASE = with_checksums(parts_of([levels(base_net("bad base", OP, (2, 1)))]))
SEGMENTS = with_checksums(parts_of([segment_of(f"bad segment {n}", 4, 2, 1) for n in range(2)], BY_SEGMENT, index=True))
FIRST_END = kinds(SEGMENTS).index(UnitType.SEGMENT_END)
assert kinds(ONE) == [1, 2, 3, 5, 6, 7]
assert kinds(BASE) == [1, 2, 3, 8, 8, 6, 7]
# A layer has two LATENTs, in runs of 2 + 2 and four frames or of 1 + 1 + 1 + 1 and 2 + 2, and a GRID of 3 knots.
assert kinds(SEGMENTS[: FIRST_END + 1]) == [1, 2, 3, 3, *[5] * 18, 6, 6, 9]


def run_file(data: bytes, frames: int = 1, /, **head: int) -> bytes:
    """A file whose layer 0 is a PICTURE with one run."""
    net = Net(frames, compact=True)
    net.picture(OP, [(frames, data)])
    net.runs = [packed(BaseHead(1, 0, frames), True, **head) + data]
    parts = parts_of([levels(net)])
    assert parts[3].kind == UnitType.LATENTS
    parts[3].kind = UnitType.BASE
    return assemble(parts)


# ---- 1 and 2: numbers, features --------------------------------------------------------------------------------------


def feature_vectors() -> None:
    """What sections 2, 3 and 6.2 refuse without the feature bit of version 1.2, or without that of 1.1."""
    net = Net(1)
    net.add(OP)
    data = assemble(parts_of([levels(net)]))
    refuse("feature-1-missing-picture", "2", "PICTURE in fixed form", data, NOT_SUPPORTED)
    fixed = parts_of([levels(base_net("fixed", OP))])
    for part in fixed:
        part.compact = False
    data = assemble([*fixed[:3], Part(UnitType.WEIGHTS, b""), *fixed[3:]], header())
    refuse("feature-1-missing-base", "3", "BASE in fixed form", data, NOT_SUPPORTED)
    for name, made in (("grid", compact_grid()), ("rows", compact_rows())):
        data = assemble(parts_of([made]), header(minor=2, features=2))
        refuse(
            f"compact-feature-0-missing-{name}", "2", "what version 1.1 brought, without its bit", data, NOT_SUPPORTED
        )
    for bit in (4, 31):
        data = assemble(ONE, header(minor=2, features=3 | 1 << bit))
        refuse(f"compact-feature-{bit}", "2", "an unknown feature bit", data, NOT_SUPPORTED)
    data = header(minor=1, features=1) + assemble(ONE)[18:]
    refuse("compact-without-its-bit", "2", "the compact form without its feature bit", data)


def compact_grid() -> Net:
    """A list that is a GRID."""
    net = Net(2, compact=True)
    net.transmit(o.Grid(3, 1, 2, 0, 127, 2, 0), numbers("compact grid", (2, 3, 1, 2), 0, 127))
    return net


def compact_rows() -> Net:
    """A list with a LATENT that has a table by rows."""
    net = Net(3, compact=True)
    values = numbers("compact bad rows", (3, 3, 1, 2), 0, 99)
    net.latent(values, 0, 127, tables=[(None, Contexts(0, 128, 900, 200, 1, 4))])
    return net


def number_vectors() -> None:
    """What section 1 refuses of numbers in compact form."""
    good = assemble(ONE)

    def framed(name: str, about: str, *fields: bytes, payload: bytes = b"") -> None:
        body = b"".join(fields) + payload
        data = good[: end_of(ONE, 1)] + body + zlib.crc32(body).to_bytes(4, "little") + good[end_of(ONE, 1) :]
        refuse(f"compact-{name}", "1", about, data)

    zero = b"\0"
    framed("type-256", "a type beyond u8", varint(256), zero, zero, zero)
    framed("segment-65536", "a segment beyond u16", varint(200), varint(65536), zero, zero)
    framed("layer-256", "a layer beyond u8", varint(200), zero, varint(256), zero)
    framed("length-2-64", "a length beyond u64", varint(200), zero, zero, b"\x80" * 9 + b"\2")
    framed("length-2-63", "a unit longer than the file", varint(200), zero, zero, varint(2**63))
    framed("type-of-3-bytes", "a varint in more bytes than it needs", b"\xc8\x81\0", zero, zero, zero)
    framed("length-of-2-bytes", "a varint in more bytes than it needs", varint(200), zero, zero, b"\x80\0")
    framed("endless-type", "a varint without an end", b"\xff" * 40)
    for kind in (0, 10, 31):
        data = put(ONE, 2, Part(kind, b""))
        refuse(f"compact-critical-{kind}", "3", "an unknown unit that is not ancillary", data, NOT_SUPPORTED)

    def field(name: str, place: int, payload: bytes, section: str, error: str = CORRUPT) -> None:
        about = f"{name.replace('-', ' ')}, in compact form"
        refuse(f"compact-{name}", section, about, changed(ONE, place, payload=payload), error)

    for name, value in {"primaries": 256, "sample_aspect_num": 65536, "time_base_den": 2**32, "seed": 2**32}.items():
        field(f"{name}-of-{value}", 0, packed(VIDEO, True, **{name: value}), "4.1")
    for name, value in {"sample_format": 2, "color_range": 3, "sample_aspect_den": 0, "order": 2}.items():
        field(f"{name}-of-{value}", 0, packed(VIDEO, True, **{name: value}), "4.1")
    field("video-shorter", 0, payload_of(ONE, 0)[:-1], "4.1")
    field("video-longer", 0, payload_of(ONE, 0) + b"\0", "4.1")
    field("seed-of-2-bytes", 0, VIDEO.pack(True)[:-2] + b"\x87\0\0", "1")
    head = SegmentHead(0, 2, 3, 2, 0, 1)
    segment = {"width": (65536, 0), "frames": (2**32, 0, 2**22 + 1), "first_pts": (2**62 + 1, -(2**62) - 1, 2**63)}
    for name, values in {**segment, "constant_duration": (2**32,)}.items():
        for value in values:
            sign = "minus-" if value < 0 else ""
            field(f"{name}-of-{sign}{abs(value)}", 1, packed(head, True, **{name: value}), "4.2")
    data = packed(head, True, constant_duration=0)
    field("durations-missing", 1, data + b"\1", "4.2")
    field("durations-of-3-bytes", 1, data + b"\1\x81\x80\0", "4.2")
    network = payload_of(ONE, 2)
    field("operations-of-65536", 2, varint(65536) + network[1:], "4.3")
    field("operations-0", 2, b"\0", "4.3")
    field("operation-17", 2, network[:1] + b"\x11" + network[2:], "4.3", NOT_SUPPORTED)
    field("operation-256", 2, network[:1] + varint(256) + network[2:], "1")
    latent = o.Latent(3, 2, 3, 0, 127, 0)
    for name, value in {"channels": 65536, "low": -129, "high": 32768, "kind": 2}.items():
        sign = "minus-" if value < 0 else ""
        broken = b"\1\1" + packed(latent, True, **{name: value})
        field(f"latent-{name}-of-{sign}{abs(value)}", 2, broken, "6.2")
    run = payload_of(ONE, 3)
    for place, name in enumerate(("op", "first", "frames", "predictor")):
        rest = run[:place] + b"\x80" + bytes([0]) + run[place + 1 :]
        field(f"run-{name}-of-2-bytes", 3, rest, "1")
    field("run-op-of-65536", 3, varint(65536) + run[1:], "4.5")
    field("run-predictor-of-2", 3, run[:3] + b"\2" + run[4:], "4.5")
    sums = payload_of(ONE, 4)
    field("checksums-of-0-frames", 4, b"\0" + sums[1:], "4.6")
    field("checksums-of-3-frames", 4, b"\3" + sums[1:5], "4.6")
    field("checksums-in-fixed-form", 4, (1).to_bytes(4, "little") + sums[1:], "4.6")
    refuse(
        "compact-picture", "4.6", "the second picture has another checksum",
        changed(ONE, 4, payload=sums[:-1] + bytes([sums[-1] ^ 1])), NOT_VERIFIED,
    )  # fmt: skip


def weight_vectors() -> None:
    """What 4.4 refuses of plain step indices and biases."""

    def conv(**parts: bytes) -> bytes:
        net = Net(1, compact=True)
        net.latent(numbers("compact conv", (1, 1, 2, 2), -9, 9), -9, 9)
        net.conv(0, np.ones((4, 1, 1, 1), int), [1, -2, 3, -4], [14, 15, 16, 17])
        steps, biases = bytes([14, 15, 16, 17]), bytes([2, 3, 6, 7])
        assert net.weights.startswith(steps + biases)
        rest = net.weights[8:]
        net.weights = parts.get("steps", steps) + parts.get("biases", biases) + parts.get("weights", rest)
        return of(net.show())

    def bias(value: int) -> bytes:
        return b"\2\3\6" + pack_integer(value, "h", True)

    broken = {
        "step-240": {"steps": bytes([14, 15, 16]) + varint(240)},
        "step-256": {"steps": bytes([14, 15, 16]) + varint(256)},
        "step-of-2-bytes": {"steps": b"\x0e\x0f\x10\x91\0"},
        "step-missing": {"steps": b"\x0e\x0f\x10"},
        "bias-2048": {"biases": bias(2048)},
        "bias-minus-2048": {"biases": bias(-2048)},
        "bias-32768": {"biases": bias(32768)},
        "bias-of-3-bytes": {"biases": b"\2\3\6\x87\x80\0"},
        "steps-as-a-chunk": {"steps": chunk(np.array([14, 15, 16, 17]))},
        "biases-as-a-chunk": {"biases": chunk(np.array([1, -2, 3, -4]))},
        "weights-missing": {"weights": b""},
        "weights-longer": {"weights": chunk(np.ones(4, int)) + b"\0"},
    }
    for name, parts in broken.items():
        refuse(f"compact-{name}", "4.4", "step indices, biases or weights that break a rule", conv(**parts))
    empty = Part(UnitType.WEIGHTS, b"")
    refuse("compact-weights-without-conv", "3", "an empty WEIGHTS unit", put(ONE, 3, empty))
    net = Net(1, compact=True)
    net.latent(numbers("compact conv", (1, 1, 2, 2), -9, 9), -9, 9)
    net.conv(0, np.ones((4, 1, 1, 1), int))
    net.show().weights = b""
    refuse("compact-weights-of-a-conv-missing", "3", "no WEIGHTS unit for a list with CONV", of(net))


def ancillary_vectors() -> None:
    """What 4.7 to 4.9 refuse in compact form."""
    end = len(ONE) - 1
    digest = assemble(ONE)[end_of(ONE, end) + 5 :][:8]
    assert assemble(ONE)[end_of(ONE, end) :].startswith(bytes([7, 0, 0, 9, end]) + digest)
    ends = {
        "units": b"\6" + digest,
        "hash": bytes([end]) + digest[:-1] + bytes([digest[-1] ^ 1]),
        "shorter": bytes([end]) + digest[:-1],
        "of-32-bytes": bytes([end]) + digest + bytes(24),
        "of-2-bytes": bytes([end | 0x80, 0]) + digest,
    }
    for name, payload in ends.items():
        refuse(f"compact-layer-end-{name}", "4.7", "a LAYER_END that is not right", changed(ONE, end, payload=payload))
    rows = b"".join(
        bytes([part.kind]) + bytes(3) + end_of(ONE, place).to_bytes(8, "little") for place, part in enumerate(ONE)
    )
    varints = b"".join(bytes([part.kind, 0, 0]) + varint(end_of(ONE, place)) for place, part in enumerate(ONE))
    indices = {
        "of-varints": varints + varint(len(varints)),
        "offset": rows[:-8] + bytes(8) + len(rows).to_bytes(4, "little"),
        "length-as-a-varint": rows + varint(len(rows)),
    }
    for name, payload in indices.items():
        data = assemble([*ONE, Part(UnitType.INDEX, payload)])
        refuse(f"compact-index-{name}", "4.8", "an INDEX that does not agree with the units", data)
    text = b'{"a": 1}'
    units = {
        "size-in-fixed-form": b"\0" + len(text).to_bytes(4, "little") + text,
        "size-of-2-bytes": b"\0\x88\0" + text,
        "size-2-32": b"\0" + varint(2**32) + text,
        "packing": b"\2\x08" + text,
        "packing-256": varint(256) + b"\x08" + text,
    }
    for name, payload in units.items():
        data = put(ONE, 1, Part(UnitType.METADATA, payload))
        refuse(f"compact-metadata-{name}", "4.9", "metadata that break a rule", data)
    subtitled = Part(UnitType.SUBTITLES, b"")
    for name, part in {"metadata": compact_metadata(b"{}"), "audio": audio([]), "subtitles": subtitled}.items():
        refuse(
            f"compact-{name}-of-a-segment",
            "3",
            "a unit that belongs to no segment has one",
            put(ONE, 1, moved_to(part)),
        )
        data = put(ONE, len(ONE), part)
        instead = Instead("a decoder may offer the layers that are complete, and has to say so", (0, 4), assemble(ONE))
        about = "the file ends neither after a LAYER_END nor after INDEX"
        refuse(f"compact-{name}-after-the-end", "3", about, data, instead=instead)


def moved_to(part: Part) -> Part:
    """The same unit, of segment 1."""
    made = copy.copy(part)
    made.segment = 1
    return made


# ---- 6.2: PICTURE ----------------------------------------------------------------------------------------------------


def picture_vectors(op: o.Picture = OP, head: bytes = COMPACT) -> None:
    """What 6.2 refuses of PICTURE, or of PICTURE10."""
    name_of, key = op.NAME, op.NAME.lower()
    values = {
        "height": (0, 65536),
        "width": (0,),
        "depth": (0, 7, 9, 11, 12),
        "chroma": (2,),
        "siting": (3,),
        "matrix": (0, 2, 3, 8, 10, 255),
        "full_range": (2,),
        "margin": (16,),
    }
    for name, chosen in values.items():
        for value in chosen:
            net = Net(1, compact=True)
            net.picture(op, [(1, key_frames("field", op, 1))], **{name: value})
            refuse(f"{key}-{name}-{value}", "6.2", f"{name_of} with {name} {value}", of(levels(net), head))
    net = base_net("twice", op)
    second = net.add(op)
    net.add(o.Add(0, second, 0, 255))
    refuse(f"{key}-twice", "6.2", f"two {name_of}s in a list", of(net, head))
    for name, base in {"above-another": levels(base_net("above", op)), "in-layer-1": plain("above", 1, 8, 8)}.items():
        upper = Net(1, [base], compact=True)
        upper.below = {}  # else it could not be added
        upper.picture(op, [(1, key_frames("upper", op, 1))])
        data = assemble(parts_of([Segment([base, levels(upper)])]), head)
        refuse(f"{key}-{name}", "6.2", f"a {name_of} in layer 1", data)
    about = f"a {name_of}, which may yield less than 0, as the last operation"
    refuse(f"{key}-alone", "6.1", about, of(base_net("a", op), head))
    net = Net(1, compact=True)
    net.picture(op, [(1, key_frames("taller", op, 1))])
    parts = parts_of([levels(net)])
    parts[1].payload = SegmentHead(0, 1, 8, 9, 0, 1).pack(True)
    about = f"a {name_of} of another size than the segment"
    refuse(f"{key}-of-another-segment", "6.1", about, assemble(parts, head))


def bound_vectors() -> None:
    """What 6.3 refuses of a CONV that reads a PICTURE."""
    for name, biases in {"above": (1972, -1971), "below": (1971, -1972)}.items():
        refuse(
            f"picture-bound-{name}",
            "6.3",
            "an accumulator of a PICTURE that can reach 2^24",
            of(limit_net(WIDE, biases)),
        )


# ---- 4.11: BASE ------------------------------------------------------------------------------------------------------


def head_vectors() -> None:
    """What 4.11 refuses of a BASE unit's head, and of runs."""
    one, two = key_frames("head", OP, 1), key_frames("head", OP, 2)
    for codec in (0, 2, 255):
        refuse(f"base-codec-{codec}", "4.11", "an unknown codec", run_file(one, codec=codec), NOT_SUPPORTED)
    refuse("base-codec-256", "1", "a codec beyond u8", run_file(one, codec=256))
    refuse("base-of-no-frames", "4.11", "a run of no frames", run_file(one, frames=0))
    refuse("base-that-starts-late", "4.11", "a first run that does not start at 0", run_file(one, first=1))
    refuse("base-beyond", "4.11", "a run beyond the segment", run_file(two, 1, frames=2))
    refuse("base-of-2-32-frames", "4.11", "a run of 2^32 - 1 frames", run_file(one, frames=2**32 - 1))
    refuse("base-of-2-32", "1", "a number of frames beyond u32", run_file(one, frames=2**32))
    again = aw.show(SEQUENCE) * 1024
    refuse("base-of-1025-frames", "9", "a run of more than 2^10 frames", run_file(one + again, 1025))
    refuse("base-head-cut", "4.11", "a BASE unit that ends in its head", changed(BASE, 3, payload=b"\1\0"))
    refuse("base-empty", "4.11", "an empty BASE unit", changed(BASE, 3, payload=b""))
    refuse("base-without-obus", "4.11", "a run without OBUs", changed(BASE, 3, payload=b"\1\0\2"))
    refuse("base-missing", "4.11", "no run", without(BASE, 3, 4))
    refuse("base-first-missing", "4.11", "frames without a run", without(BASE, 3))
    refuse("base-second-missing", "4.11", "frames without a run", without(BASE, 4))
    refuse("base-swapped", "4.11", "runs out of order", moved(BASE, 4, 3))
    refuse("base-twice", "4.11", "a run that stands twice", put(BASE, 4, copy.copy(BASE[3])))
    refuse("base-overlaps", "4.11", "runs that overlap", changed(BASE, 4, payload=b"\1\1\2" + two))
    refuse("base-after-a-gap", "4.11", "runs with a gap", changed(BASE, 3, payload=b"\1\0\1" + one))
    refuse("base-without-picture", "3", "a BASE unit without PICTURE", put(ONE, 3, copy.copy(BASE[4])))
    refuse("base-of-segment-1", "3", "a unit of a segment it cannot belong to", changed(BASE, 3, segment=1))
    refuse("base-of-layer-1", "3", "a unit of a layer it cannot belong to", changed(BASE, 3, layer=1))
    latents = LatentsHead(0, 0, 3, 0).pack(True) + chunk(np.zeros(192, int)) + chunk(np.zeros(384, int))
    refuse("base-as-latents", "4.5", "LATENTS for a PICTURE", changed(BASE, 3, kind=UnitType.LATENTS, payload=latents))


def sequence_vectors() -> None:
    """What 4.11 refuses of sequence headers."""
    frame = aw.frame(SEQUENCE, PLANES[0])

    def sequence(name: str, about: str, **fields: Any) -> None:
        made = dataclasses.replace(SEQUENCE, **fields)
        refuse(f"base-{name}", "4.11", about, run_file(made.obu() + frame))

    sequence("profile-1", "seq_profile 1", profile=1)
    sequence("profile-2", "seq_profile 2", profile=2)
    sequence("reduced", "reduced_still_picture_header 1", still_picture=1, reduced=1)
    sequence("two-points", "two operating points", points_minus_1=1)
    sequence("point-idc", "operating_point_idc 0x101", point_idc=0x101)
    sequence("width", "another width than that of PICTURE", width=9)
    sequence("height", "another height than that of PICTURE", height=7)
    sequence("depth", "10 bits, where PICTURE has 8", depth=10)
    sequence("grey", "no chroma, where PICTURE has it", monochrome=True)
    sequence("identity", "matrix_coefficients 0, with the primaries and transfer of sRGB", color=(1, 13, 0))
    sequence("identity-of-others", "matrix_coefficients 0, with others", color=(9, 16, 0))
    sequence("film-grain", "film_grain_params_present 1", film_grain=1)
    grey = dataclasses.replace(OP, chroma=0)
    net = Net(1, compact=True)
    net.picture(grey, [(1, key_frames("color", OP, 1))])
    refuse("base-color", "4.11", "chroma, where PICTURE has none", of(levels(net)))
    net = Net(1, compact=True)
    net.picture(grey, [(1, key_frames("grey identity", grey, 1, color=(2, 2, 0)))])
    refuse("base-identity-of-grey", "4.11", "matrix_coefficients 0, without chroma", of(levels(net)))
    cut = obu(aw.SEQUENCE_HEADER, SEQUENCE.payload()[:6])
    refuse("base-sequence-header-cut", "4.11", "a sequence header that ends early", run_file(cut + frame))
    empty = obu(aw.SEQUENCE_HEADER, b"")
    refuse("base-sequence-header-empty", "4.11", "an empty sequence header", run_file(empty + frame))
    good, other = SEQUENCE.obu(), dataclasses.replace(SEQUENCE, level=4).obu()
    refuse("base-no-sequence-header", "4.11", "a run without a sequence header", run_file(frame))
    late = obu(aw.PADDING, b"\x80") + good
    refuse("base-late-sequence-header", "4.11", "padding before the sequence header", run_file(late + frame))
    refuse("base-sequence-headers-differ", "4.11", "two sequence headers", run_file(good + frame + other + frame, 2))
    longer = obu(aw.SEQUENCE_HEADER, SEQUENCE.payload() + b"\0")
    about = "a sequence header with a byte more than the first one"
    refuse("base-sequence-header-longer", "4.11", about, run_file(good + frame + longer + frame, 2))
    payload = payload_of(BASE, 4)
    assert payload[3:].startswith(good)
    about = "runs whose sequence headers differ"
    data = changed(BASE, 4, payload=payload[:3] + other + payload[3 + len(good) :])
    refuse("base-sequence-headers-of-runs", "4.11", about, data)


def obu_vectors() -> None:
    """What 4.11 refuses of OBUs."""
    good, frame = SEQUENCE.obu(), aw.frame(SEQUENCE, PLANES[0])
    body = aw.split(frame)[0][1]

    def broken(name: str, about: str, data: bytes, frames: int = 1) -> None:
        refuse(f"base-{name}", "4.11", about, run_file(data, frames))

    broken("forbidden-bit", "obu_forbidden_bit 1", good + obu(aw.FRAME, body, head=aw.FRAME << 3 | 0x82))
    extended = bytes([aw.FRAME << 3 | 6, 0]) + aw.leb128(len(body)) + body
    broken("extension", "obu_extension_flag 1", good + extended)
    broken("no-size", "obu_has_size_field 0", good + bytes([aw.FRAME << 3]) + body)
    others = (0, aw.TEMPORAL_DELIMITER, aw.REDUNDANT_FRAME_HEADER, aw.TILE_LIST, 9, 14)
    for kind in others:
        broken(f"obu-{kind}", "an OBU of a type that is not allowed", good + obu(kind, b"") + frame)
    broken("obu-cut", "an OBU that is longer than the payload", good + frame[:-1])
    broken("obu-size-cut", "a payload that ends in an obu_size", good + frame + b"\x7a\x80")
    broken("obu-size-of-9-bytes", "an obu_size of 9 bytes", good + b"\x7a" + b"\x80" * 8 + b"\0" + frame)
    broken("obu-size-2-56", "an obu_size of 2^56 - 1", good + frame + b"\x7a" + b"\xff" * 7 + b"\x7f")


def frame_vectors() -> None:
    """What 4.11 refuses of frames."""
    good, first = SEQUENCE.obu(), aw.frame(SEQUENCE, PLANES[0])
    hidden = aw.frame(SEQUENCE, PLANES[1], FrameHeader(show=0, refresh=2))
    intra = aw.frame(SEQUENCE, PLANES[1], FrameHeader(kind=INTRA_ONLY, refresh=1))
    head, tiles = (obu(*part) for part in aw.split(aw.frame(SEQUENCE, PLANES[2], groups=1)))
    again, loose = aw.show(SEQUENCE, 1), obu(aw.METADATA, b"\1\0\1\0\1\x80")

    def broken(name: str, about: str, *obus: bytes, frames: int = 1) -> None:
        refuse(f"base-{name}", "4.11", about, run_file(good + b"".join(obus), frames))

    broken("no-frames", "a run that shows no frame")
    broken("no-key-frame", "a run that begins with an INTRA_ONLY frame", intra)
    broken("hidden-first", "a run that begins with a hidden frame", hidden, first)
    broken("again-first", "a run that begins with show_existing_frame", again)
    override = FrameHeader(kind=KEY, size_override=1)
    broken("size-override", "frame_size_override_flag 1", aw.frame(SEQUENCE, PLANES[0], override))
    override = FrameHeader(kind=INTRA_ONLY, refresh=1, show=0, size_override=1)
    data = aw.frame(SEQUENCE, PLANES[1], override)
    broken("size-override-of-a-hidden-frame", "frame_size_override_flag 1", first, data, again, frames=2)
    data = aw.frame(SEQUENCE, PLANES[1], FrameHeader(kind=SWITCH))
    broken("switch", "a SWITCH_FRAME", first, data, frames=2)
    broken("frame-header-cut", "a frame header that ends early", first, obu(aw.FRAME_HEADER, b""), frames=2)
    broken("frame-shows-another", "an OBU_FRAME with show_existing_frame 1", first, shown_by_a_frame(), frames=2)
    broken("tiles-first", "a tile group without a frame", tiles, first)
    broken(
        "tiles-after-padding",
        "padding between a frame header and its tile group",
        head,
        obu(aw.PADDING, b"\x80"),
        tiles,
    )
    broken("tiles-after-metadata", "metadata between a frame header and its tile group", head, loose, tiles)
    broken(
        "tiles-after-a-sequence-header",
        "a sequence header before a tile group",
        first,
        head,
        good,
        tiles,
        first,
        frames=3,
    )
    broken("tiles-after-again", "a tile group after show_existing_frame", first, hidden, again, tiles, frames=2)
    broken("tiles-after-the-end", "a tile group after the last frame and metadata", first, loose, tiles)
    broken("one-frame-missing", "fewer frames than are stated", first, frames=2)
    broken("one-frame-more", "more frames than are stated", first, intra)
    broken("again-at-the-end", "more frames than are stated", first, hidden, again)
    broken("hidden-at-the-end", "a hidden frame after the last one that is shown", first, hidden)
    broken("sequence-header-at-the-end", "a sequence header after the last frame", first, good)
    broken("too-many-hidden-frames", "five frame headers for two frames", first, hidden * 4, again, frames=2)
    broken("too-many-hidden-frames-of-three", "seven frame headers for three", first, hidden * 6, again * 2, frames=3)


def shown_by_a_frame() -> bytes:
    """An OBU_FRAME that shows another frame."""
    return obu(aw.FRAME, aw.split(aw.show(SEQUENCE, 0))[0][1])


def undecodable_vectors() -> None:
    """What AV1's own specification refuses, behind headers that follow the rules."""
    good, first = SEQUENCE.obu(), aw.frame(SEQUENCE, PLANES[0])
    head, tiles = (obu(*part) for part in aw.split(aw.frame(SEQUENCE, PLANES[1], groups=1)))
    broken = {
        "header-only": (
            obu(aw.FRAME, aw.split(first)[0][1][:2]),
            "a frame header that ends early, behind what is checked",
        ),
        "no-tiles": (head, "a frame without tiles"),
        "empty-tile": (head + obu(aw.TILE_GROUP, b""), "a frame with an empty tile"),
        "two-tiles": (head + tiles + tiles, "a frame with a tile too many"),
    }
    for name, (data, about) in broken.items():
        refuse(f"base-undecodable-{name}", "4.11", about, run_file(good + data))
        parts = copy.deepcopy(BASE)
        parts[4].payload = b"\1\2\1" + good + data
        about += ", in the last run"
        refuse(f"base-undecodable-{name}-later", "4.11", about, assemble(parts), before=frames_of_first_run())
    wide = o.Picture(40, 128, 8, 1, 0, 6, 0, 0)
    sequence = SequenceHeader(128, 40)
    planes = [np.zeros((40, 128), int), *(np.full((20, 64), 128) for _ in range(2))]
    (_, header_of_two), (_, whole) = aw.split(aw.frame(sequence, planes, groups=1))
    _, left, right = (obu(*part) for part in aw.split(aw.frame(sequence, planes, groups=2)))
    tiles_of_two = {
        "tile-missing": (left, "a frame with a tile too few"),
        "tiles-swapped": (right + left, "tiles in the wrong order"),
        "tile-size": (obu(aw.TILE_GROUP, whole[:1] + b"\xff\xff" + whole[3:]), "a tile larger than its tile group"),
    }
    for name, (data, about) in tiles_of_two.items():
        net = Net(1, compact=True)
        net.picture(wide, [(1, sequence.obu() + obu(aw.FRAME_HEADER, header_of_two) + data)])
        refuse(f"base-undecodable-{name}", "4.11", about, of(levels(net)))


def frames_of_first_run() -> bytes:
    """A file with the frames that BASE has in its first run."""
    net = Net(2, compact=True)
    net.picture(OP, [(2, key_frames("bad base 0", OP, 2))])
    return assemble(with_checksums(parts_of([levels(net)])))


# ---- 3 and 4.12: segment after segment -------------------------------------------------------------------------------


def order_vectors() -> None:
    """What section 3 refuses of the order of units, in files in compact form."""
    end, last = FIRST_END, len(SEGMENTS) - 2
    runs = range(4, end - 2)
    assert kinds(SEGMENTS)[last] == UnitType.SEGMENT_END

    def segments(name: str, about: str, data: bytes, **options: Any) -> None:
        refuse(f"by-segment-{name}", "3", about, data, **options)

    missing = {"segment": 1, "network": 2, "upper-network": 3, "first-run": 4, "last-run": end - 3, "end": end}
    for name, place in {**missing, "second-segment": end + 1, "second-network": end + 2}.items():
        segments(f"missing-{name}", "a unit is missing", without(SEGMENTS, place))
    for name, place in {"segment": 1, "network": 2, "run": 4, "checksums": end - 2, "end": end}.items():
        segments(f"twice-{name}", "a unit stands twice", put(SEGMENTS, place + 1, copy.copy(SEGMENTS[place])))
    for name, place in {
        "networks": 2,
        "network-and-run": 3,
        "run-and-checksums": end - 3,
        "checksums": end - 2,
    }.items():
        segments(f"swapped-{name}", "two units in the wrong order", moved(SEGMENTS, place + 1, place))
    segments("checksums-after-the-end", "CHECKSUMS after SEGMENT_END", moved(SEGMENTS, end - 1, end + 1))
    segments("video-first", "a SEGMENT before VIDEO", assemble([*SEGMENTS[1::-1], *SEGMENTS[2:]], COMPACT))
    for place in runs[:-1]:
        data = moved(SEGMENTS, place + 1, place)
        segments(f"swapped-runs-{place - 4}", "two runs in the wrong order", data)
    layer_by_layer = sorted(SEGMENTS[4 : end - 2], key=lambda part: part.layer)
    data = assemble([*SEGMENTS[:4], *layer_by_layer, *SEGMENTS[end - 2 :]])
    segments("runs-layer-after-layer", "the runs of one layer, then those of the other", data)
    data = assemble([SEGMENTS[0], SEGMENTS[1], SEGMENTS[end + 1], *SEGMENTS[2 : end + 1], *SEGMENTS[end + 2 :]])
    segments("segments-first", "all SEGMENTs before the layers", data)
    data = assemble([SEGMENTS[0], *SEGMENTS[end + 1 : last + 1], *SEGMENTS[1 : end + 1]])
    segments("segments-swapped", "segment 1 before segment 0", data)
    for name, count in (("fewer", 1), ("more", 3)):
        parts = parts_of([segment_of("a", 2, 2), segment_of("b", 2, count)], BY_SEGMENT)
        segments(f"{name}-layers", "segments with different numbers of layers", assemble(parts))
    segments("without-segments", "no segments", assemble(SEGMENTS[:1]))
    layer_end = Part(UnitType.LAYER_END, None)
    segments("layer-end", "LAYER_END for SEGMENT_END", assemble([*SEGMENTS[:end], layer_end, *SEGMENTS[end + 1 :]]))
    segments("layer-end-before-segment-end", "a LAYER_END", put(SEGMENTS, end, layer_end))
    segments("end-of-segment-1", "SEGMENT_END with another segment", changed(SEGMENTS, end, segment=1))
    segments("end-of-layer-1", "SEGMENT_END with a layer", changed(SEGMENTS, end, layer=1))
    index = Part(UnitType.INDEX, None)
    segments("index-between", "INDEX between two segments", put(SEGMENTS, end + 1, index))
    segments("index-twice", "two INDEX units", put(SEGMENTS, last + 2, copy.copy(index)))
    segments(
        "metadata-before-index",
        "INDEX does not follow the last SEGMENT_END",
        put(SEGMENTS, last + 1, compact_metadata(b"{}")),
    )
    data = changed(SEGMENTS, 0, payload=packed(BY_SEGMENT, True, order=0))
    segments("called-layer-after-layer", "another order than VIDEO states", data)
    data = changed(ONE, 0, payload=packed(VIDEO, True, order=1))
    segments("of-layers", "layer after layer, where VIDEO states segment after segment", data)
    data = changed(ONE, len(ONE) - 1, kind=UnitType.SEGMENT_END)
    refuse("compact-segment-end", "3", "SEGMENT_END for LAYER_END", data)
    data = put(ONE, len(ONE), Part(UnitType.SEGMENT_END, None))
    refuse("compact-segment-end-after-layer-end", "3", "SEGMENT_END after LAYER_END", data)
    for name, place in {"network": 2, "latents": 3, "layer-end": 5}.items():
        refuse(f"compact-missing-{name}", "3", "a unit is missing", without(ONE, place))
    refuse("compact-swapped-network-and-latents", "3", "two units in the wrong order", moved(ONE, 3, 2))


def end_vectors() -> None:
    """What 4.12 refuses, and where section 3 says that a file may not end."""
    good, end = assemble(SEGMENTS), FIRST_END
    start, first = end_of(SEGMENTS, end), end_of(SEGMENTS, end + 1)
    digest = good[start + 5 : start + 13]
    assert good[start:].startswith(bytes([9, 0, 0, 9, end]) + digest)
    ends = {
        "units": bytes([end - 1]) + digest,
        "hash": bytes([end]) + bytes([digest[0] ^ 1]) + digest[1:],
        "shorter": bytes([end]) + digest[:-1],
        "longer": bytes([end]) + digest + b"\0",
    }
    for name, payload in ends.items():
        data = changed(SEGMENTS, end, payload=payload)
        refuse(f"segment-end-{name}", "4.12", "a SEGMENT_END that is not right", data)
    early = {"after-segment": end_of(SEGMENTS, 2), "between-runs": end_of(SEGMENTS, 9), "before-segment-end": start}
    for name, length in {**early, "in-segment-end": first - 1}.items():
        refuse(f"by-segment-cut-{name}", "3", "the file ends before a segment is complete", good[:length])
    last = end_of(SEGMENTS, len(SEGMENTS) - 1)
    late = {
        "in-a-unit-header": (good[: first + 2], 1),
        "after-the-second-segment": (good[: end_of(SEGMENTS, end + 2)], 1),
        "between-runs": (good[: end_of(SEGMENTS, end + 9)], 1),
        "in-the-second-segment-end": (good[: last - 1], 1),
        "in-the-index": (good[:-1], 2),
        "after-the-index": (good + b"more", 2),
        "after-a-byte": (good[:last] + b"\x80", 2),
        "after-metadata": (put(SEGMENTS[:-1], len(SEGMENTS) - 1, compact_metadata(b"{}")), 2),
    }
    why = "a decoder may offer the segments that are complete, and has to say so"
    for name, (data, count) in late.items():
        instead = Instead(why, (0, 4), good[:first] if count == 1 else good)
        about = "the file ends neither after a SEGMENT_END nor after INDEX"
        refuse(f"by-segment-end-{name}", "3", about, data, instead=instead)
    broken = bytearray(good)
    broken[first - 1] ^= 1
    refuse("by-segment-damaged-end", "3", "the checksum of a unit", bytes(broken))
    parts = copy.deepcopy(SEGMENTS)
    parts[end - 2].payload = payload_of(parts, end - 2)[:-1] + bytes([payload_of(parts, end - 2)[-1] ^ 1])
    refuse("by-segment-picture", "4.6", "a picture has another checksum", assemble(parts), NOT_VERIFIED)


for make in (
    feature_vectors,
    number_vectors,
    weight_vectors,
    ancillary_vectors,
    picture_vectors,
    bound_vectors,
    head_vectors,
    sequence_vectors,
    obu_vectors,
    frame_vectors,
    undecodable_vectors,
    order_vectors,
    end_vectors,
):
    make()
