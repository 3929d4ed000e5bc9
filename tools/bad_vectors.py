"""The conformance vectors that must be refused. Each breaks one rule of the specification; all else is right, checksums
and hashes too."""

from __future__ import annotations

import copy
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from good_vectors import audio, limit_net, metadata, plain, raw_frame, spaces_frame, zstandard_frame
from vector_parts import Net, Part, Segment, assemble, chunk, header, numbers, packed, parts_of, unit, with_checksums

from nvcodec.format import operations as o
from nvcodec.format.entropy.contexts import Contexts, Rows
from nvcodec.format.entropy.frequency_tables import Histogram, Laplace, Student
from nvcodec.format.fields import varint
from nvcodec.format.units import MAGIC, LatentsHead, SegmentHead, UnitType, Video

NOT_SDMN, CORRUPT, NOT_SUPPORTED, NOT_VERIFIED = "not-sdmn", "corrupt", "not-supported", "not-verified"


@dataclass(frozen=True)
class Instead:
    """What a decoder may do in place of refusing: yield the pictures of layer 0 of a sound file.

    Attributes:
        why: one sentence.
        status: the exit statuses it may end with.
        sound: that file.
    """

    why: str
    status: tuple[int, ...]
    sound: bytes


@dataclass(frozen=True)
class Bad:
    """A vector that must be refused.

    Attributes:
        section: of the specification, where the rule is.
        about: the rule, or how it is broken.
        data: the file.
        error: the class of section 10.
        instead: what a decoder may do as well.
        layers: how many are asked for.
        before: a sound file with the frames that a decoder may have yielded before it finds the error.
    """

    section: str
    about: str
    data: bytes
    error: str = CORRUPT
    instead: Instead | None = None
    layers: int = 1
    before: bytes | None = None


BAD: dict[str, Bad] = {}


def refuse(name: str, section: str, about: str, data: bytes, error: str = CORRUPT, **options: Any) -> None:
    """Put a vector into the list; see :class:`Bad`."""
    name = "bad-" + name.replace("_", "-")
    assert name not in BAD, name
    BAD[name] = Bad(section, about, data, error, **options)


# ---- the files that are broken ---------------------------------------------------------------------------------------


def two_layers() -> list[Part]:
    """Two layers of two segments, the lower one with two LATENTs, one of them in two runs."""
    segments = []
    for number in range(2):
        key = f"base {number} "
        base = Net(3)
        a = base.latent(numbers(key + "a", (3, 1, 2, 2), -9, 9), -9, 9, runs=[1, 2])
        b = base.latent(numbers(key + "b", (3, 1, 2, 2), -9, 9), -9, 9)
        base.conv(base.joined([a, b]), numbers(key + "W", (3, 2, 1, 1), -9, 9), [100, 120, 140], low=0, high=255)
        upper = Net(3, [base])
        upper.add(o.Add(upper.add(o.Below(0, 3)), upper.latent(numbers(key + "c", (3, 3, 2, 2), -9, 9), -9, 9), 0, 255))
        segments.append(Segment([base, upper]))
    return with_checksums(parts_of(segments, index=True))


ONE = with_checksums(parts_of([plain("one")]))  # VIDEO, SEGMENT, NETWORK, WEIGHTS, LATENTS, CHECKSUMS, LAYER_END
TWO = two_layers()
LAYER_ENDS = [place for place, part in enumerate(TWO) if part.kind == UnitType.LAYER_END]


def end_of(parts: list[Part], count: int) -> int:
    """How many bytes the first ``count`` units take, with the header."""
    return len(assemble(parts[:count]))


def changed(parts: list[Part], place: int, **fields: Any) -> bytes:
    """The file with other fields of one unit."""
    out = copy.deepcopy(parts)
    for name, value in fields.items():
        setattr(out[place], name, value)
    return assemble(out)


def payload_of(parts: list[Part], place: int) -> bytes:
    """The payload of a unit."""
    payload = parts[place].payload
    assert payload is not None
    return payload


def put(parts: list[Part], place: int, *more: Part) -> bytes:
    """The file with more units before a place."""
    return assemble([*parts[:place], *more, *parts[place:]])


def moved(parts: list[Part], source: int, target: int) -> bytes:
    """The file with a unit taken out and put before another place."""
    rest = [part for place, part in enumerate(parts) if place != source]
    return assemble([*rest[:target], parts[source], *rest[target:]])


def without(parts: list[Part], *places: int) -> bytes:
    """The file without some units."""
    return assemble([part for place, part in enumerate(parts) if place not in places])


def of(net: Net, head: bytes | None = None) -> bytes:
    """The file of a list of operations; what it breaks leaves no pictures to have right checksums."""
    return assemble(parts_of([net]), head)


# ---- 2: the file header ----------------------------------------------------------------------------------------------


def header_vectors() -> None:
    """What section 2 refuses."""
    good = assemble(ONE)
    units = good[18:]

    def damaged(**fields: int) -> bytes:
        return header(**fields)[:14] + bytes(4)

    refuse("empty", "2", "no bytes at all", b"", NOT_SDMN)
    refuse("inside-the-magic", "2", "the file ends inside the magic", MAGIC[:7], NOT_SDMN)
    refuse("png", "2", "the magic of another format", b"\x89PNG\r\n\x1a\n" + units, NOT_SDMN)
    refuse("seven-bits", "2", "bit 7 is cleared", bytes([9]) + good[1:], NOT_SDMN)
    refuse("newlines-shorter", "2", "each CR LF has become LF", good.replace(b"\r\n", b"\n"), NOT_SDMN)
    refuse("newlines-longer", "2", "each LF has become CR LF", good.replace(b"\n", b"\r\n"), NOT_SDMN)
    refuse("magic-alone", "2", "the file ends after the magic", good[:8])
    refuse("inside-the-header", "2", "the file ends inside the header", good[:17])
    refuse("header-alone", "3", "no units", good[:18])
    refuse("major-2", "2", "a newer major version", header(2) + units, NOT_SUPPORTED)
    refuse("major-0", "2", "an older major version", header(0) + units, NOT_SUPPORTED)
    about = "the major version is checked before the checksum"
    refuse("major-2-damaged", "2", about, damaged(major=2) + units, NOT_SUPPORTED)
    refuse("header-damaged", "2", "the checksum of the header", damaged() + units)
    about = "the checksum of the header, under the decoder's own minor version"
    for minor in (2, 3, 4):
        refuse(f"header-damaged-minor-{minor}", "2", about, damaged(minor=minor) + units)
    about = "the checksum of the header, under a newer minor version"
    refuse("header-damaged-minor-5", "2", about, damaged(minor=5) + units, NOT_SUPPORTED)
    about = "the checksum is checked before the features"
    refuse("header-damaged-features", "2", about, damaged(features=16) + units)
    for bit in (4, 8, 31):
        data = header(features=1 | 1 << bit) + units
        refuse(f"feature-{bit}", "2", "an unknown feature bit", data, NOT_SUPPORTED)
    data = header(minor=9, features=16) + units
    refuse("feature-4-minor-9", "2", "an unknown feature bit of a newer version", data, NOT_SUPPORTED)
    for name, net in (("grid", grid_net()), ("rows", rows_net())):
        data = assemble(with_checksums(parts_of([net])), header(features=0))
        refuse(f"feature-0-missing-{name}", "2", "what version 1.1 brought, without its bit", data, NOT_SUPPORTED)


def grid_net(**broken: int) -> Net:
    """A list that is a GRID."""
    net = Net(2)
    net.transmit(o.Grid(3, 1, 2, 0, 127, 2, 0), numbers("bad grid", (2, 3, 1, 2), 0, 127), broken=broken)
    return net


def rows_net(first: int = 0, start: int = 900, spread: int = 200, shape: int = 1) -> Net:
    """A list with a LATENT that has a table of family 5, of 100 symbols; its values are among them."""
    net = Net(4)
    values = numbers("bad rows", (4, 3, 1, 2), first, first + 99)
    net.latent(values, -128, 127, tables=[(None, Contexts(first, 100, start, spread, shape, 4))])
    return net.show()


# ---- 3: units --------------------------------------------------------------------------------------------------------


def framing_vectors() -> None:
    """What section 3 refuses of units by themselves."""
    good = assemble(ONE)
    video_end = end_of(ONE, 1)
    refuse("concatenated", "3", "another file follows", good + good)
    refuse("concatenated-magic", "3", "the magic of another file follows", good + MAGIC)
    refuse("concatenated-early", "3", "another file after the first unit", good[:video_end] + good)
    refuse("zeros-at-the-end", "3", "17 zeros after the last unit", good + bytes(17))
    for length in (40, 63):
        head = struct.pack("<BBHBQ", 1, 0, 0, 0, 2**length)
        refuse(f"length-2-{length}", "3", "a unit longer than the file", good[:18] + head + good[31:])
    head = struct.pack("<BBHBQ", 1, 0, 0, 0, 2**64 - 1)
    refuse("length-2-64", "3", "a unit longer than the file", good[:18] + head + good[31:])
    for place, part in enumerate(ONE):
        broken = bytearray(good)
        broken[end_of(ONE, place + 1) - (1 if part.payload == b"" else 5)] ^= 1  # in the payload, if there is one
        name = UnitType(part.kind).name.lower()
        refuse(f"damaged-{name}", "3", "the checksum of a unit", bytes(broken))
    subtitled = Part(UnitType.SUBTITLES, b"packet")
    skipped = {
        "metadata": metadata(b"{}"),
        "audio": audio([b"packet"]),
        "subtitles": subtitled,
        "unknown": Part(200, b"x", flags=1),
    }
    for name, part in {**skipped, "critical": Part(200, b"x", flags=0), "flags": Part(200, b"x", flags=2)}.items():
        body = bytearray(unit(part, part.payload or b""))
        body[-1] ^= 1
        about = "the checksum of a unit, checked before its flags and type"
        refuse(f"damaged-{name}", "3", about, good[:video_end] + body + good[video_end:])
    for kind in (0, 8, 9, 10, 31, 36, 255):
        data = put(ONE, 2, Part(kind, b"", flags=0))
        refuse(f"critical-{kind}", "3", "an unknown unit that is not ancillary", data, NOT_SUPPORTED)
    for flags in (2, 3, 128):
        refuse(f"flags-{flags}", "3", "unknown flags", put(ONE, 2, Part(200, b"", flags=flags)))
    refuse("flags-of-video", "3", "VIDEO with the ancillary flag", changed(ONE, 0, flags=1))
    refuse("flags-of-layer-end", "3", "LAYER_END with the ancillary flag", changed(ONE, 6, flags=1))
    refuse("flags-of-index", "3", "INDEX without the ancillary flag", changed(TWO, 25, flags=0))
    for name in ("metadata", "audio", "subtitles"):
        part = copy.copy(skipped[name])
        part.flags = 0
        refuse(f"flags-of-{name}", "3", "an ancillary unit without its flag", put(ONE, 2, part))


def end_vectors() -> None:
    """Where section 3 says that a file may not end."""
    good, one = assemble(TWO), assemble(ONE)
    first, last = (end_of(TWO, place + 1) for place in LAYER_ENDS)
    early = {
        "in-the-first-unit": 30,
        "after-video": end_of(TWO, 1),
        "after-segments": end_of(TWO, 3),
        "before-layer-end": end_of(TWO, LAYER_ENDS[0]),
        "in-layer-end": first - 1,
    }
    for name, length in early.items():
        refuse(f"cut-{name}", "3", "the file ends before a layer is complete", good[:length])
    late = {
        "in-a-unit-header": good[: first + 5],
        "in-a-payload": good[: first + 20],
        "between-units": good[: end_of(TWO, LAYER_ENDS[0] + 3)],
        "in-the-second-layer-end": good[: last - 1],
        "in-the-index": good[:-1],
        "after-the-index": good + b"more",
        "after-a-byte": one + b"\0",
        "after-12-bytes": one + b"\xff" * 12,
        "after-30-bytes": one + b"\xff" * 30,
        "after-metadata": put(ONE, 7, metadata(b"{}")),
    }
    why = "a decoder may offer the layers that are complete, and has to say so"
    for name, data in late.items():
        instead = Instead(why, (0, 4), one if data.startswith(one) else good)
        refuse(f"end-{name}", "3", "the file ends neither after a LAYER_END nor after INDEX", data, instead=instead)


def order_vectors() -> None:
    """What section 3 refuses of the order of units."""
    assert [part.kind for part in TWO] == [1, 2, 2, *[3, 4, 5, 5, 5, 6] * 2, 7, *[3, 4, 5, 6] * 2, 7, 32]
    missing = {"video": 0, "segment": 1, "second-segment": 2, "network": 3, "weights": 4, "first-run": 5}
    missing |= {"second-run": 6, "latents": 7, "checksums": 8, "layer-end": 15, "upper-network": 16}
    for name, place in missing.items():
        refuse(f"missing-{name}", "3", "a unit is missing", without(TWO, place))
    refuse("missing-all-segments", "3", "no segments", without(TWO, 1, 2))
    refuse("missing-all-layers", "3", "no layers", without(ONE, 2, 3, 4, 5))
    refuse("missing-segment-of-layer", "3", "a layer of one segment only", without(TWO, *range(9, 15)))
    refuse("missing-layer-0", "3", "layer 1 without layer 0", without(TWO, *range(3, 16)))
    twice = {"video": 0, "segment": 1, "network": 3, "weights": 4, "run": 5, "latents": 7, "checksums": 8}
    for name, place in {**twice, "layer-end": 15, "index": 25}.items():
        refuse(f"twice-{name}", "3", "a unit stands twice", put(TWO, place + 1, copy.copy(TWO[place])))
    swapped = {"video": 0, "segments": 1, "segment-and-network": 2, "network-and-weights": 3, "runs": 5, "latents": 6}
    swapped |= {"latents-and-checksums": 7, "checksums-and-layer-end": 14, "layer-end-and-index": 24}
    for name, place in swapped.items():
        refuse(f"swapped-{name}", "3", "two units in the wrong order", moved(TWO, place + 1, place))
    both = assemble([*TWO[:3], *TWO[9:15], *TWO[3:9], *TWO[15:]])
    refuse("swapped-segments-of-a-layer", "3", "segment 1 of a layer before segment 0", both)
    ancillary = {"metadata": metadata(b"{}"), "audio": audio([]), "subtitles": Part(UnitType.SUBTITLES, b"")}
    ancillary["unknown"] = Part(99, b"", flags=1)
    for name, part in ancillary.items():
        refuse(f"{name}-before-video", "3", "VIDEO is not the first unit", put(ONE, 0, part))
        refuse(f"{name}-before-index", "3", "INDEX does not follow the last LAYER_END", put(TWO, 25, part))
        refuse(f"{name}-after-index", "3", "INDEX is not the last unit", put(TWO, 26, part))
    refuse("index-between-layers", "3", "INDEX between two layers", put(TWO, 16, Part(UnitType.INDEX, None)))
    places = {"video": 0, "segment": 2, "network": 3, "weights": 4, "latents": 5, "checksums": 8}
    for name, place in {**places, "layer-end": 15, "index": 25}.items():
        segment = 2 if name == "segment" else 1
        refuse(
            f"segment-of-{name}", "3", "a unit of a segment it cannot belong to", changed(TWO, place, segment=segment)
        )
        refuse(f"layer-of-{name}", "3", "a unit of a layer it cannot belong to", changed(TWO, place, layer=1))
    for name in ("metadata", "audio", "subtitles"):
        for field in ("segment", "layer"):
            part = copy.copy(ancillary[name])
            setattr(part, field, 1)
            refuse(f"{field}-of-{name}", "3", f"a unit that belongs to no {field} has one", put(ONE, 2, part))


# ---- 4: payloads -----------------------------------------------------------------------------------------------------


def length_vectors() -> None:
    """What section 4 refuses of the length of payloads."""
    for place, number in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)):
        name, payload = UnitType(ONE[place].kind).name.lower(), payload_of(ONE, place)
        refuse(
            f"{name}-longer",
            f"4.{number}",
            "a payload with a byte too many",
            changed(ONE, place, payload=payload + b"\0"),
        )
        if payload:
            refuse(
                f"{name}-shorter", f"4.{number}", "a payload that ends early", changed(ONE, place, payload=payload[:-1])
            )


def field_vectors() -> None:
    """What 4.1 and 4.2 refuse of fields."""
    zeros = ("sample_aspect_num", "sample_aspect_den", "time_base_num", "time_base_den")
    for name, value in {"sample_format": 2, "color_range": 3, **dict.fromkeys(zeros, 0)}.items():
        video = packed(Video(0, 2, 2, 2, 0, 1, 1, 1, 25, 7), **{name: value})
        refuse(f"video-{name}", "4.1", f"{name} of {value}", changed(ONE, 0, payload=video))
    head = SegmentHead(0, 2, 3, 2, 0, 1)
    values = [("first_frame", 1), ("frames", 0), ("width", 0), ("height", 0)]
    for name, value in [*values, ("first_pts", 2**62 + 1), ("first_pts", -(2**62) - 1)]:
        sign = "-negative" if value < 0 else ""
        data = changed(ONE, 1, payload=packed(head, **{name: value}))
        refuse(f"segment-{name}{sign}", "4.2", f"{name} of {value}", data)
    data = changed(TWO, 2, payload=(4).to_bytes(4, "little") + payload_of(TWO, 2)[4:])
    refuse("segment-after-a-gap", "4.2", "a segment that does not begin where the one before ends", data)
    durations = {
        "too-long": varint(2**62 + 1) + b"\1",
        "with-a-byte-too-many": b"\x80\0\1",
        "endless": b"\x80" * 40,
        "of-11-bytes": b"\x80" * 10 + b"\1\1",
        "missing": b"\1",
        "too-many": b"\1\1\1",
    }
    for name, coded in durations.items():
        data = changed(ONE, 1, payload=packed(head, constant_duration=0) + coded)
        refuse(f"durations-{name}", "4.2", "durations that break a rule", data)


def checksum_vectors() -> None:
    """What 4.6, 4.7 and 4.8 refuse."""
    sums = payload_of(ONE, 5)
    refuse("checksums-of-0-frames", "4.6", "a checksum of no frames", changed(ONE, 5, payload=bytes(4) + sums[4:]))
    data = changed(ONE, 5, payload=(3).to_bytes(4, "little") + sums[4:8])
    refuse("checksums-of-3-frames", "4.6", "a checksum of more frames than there are", data)
    refuse("checksums-one-missing", "4.6", "too few checksums", changed(ONE, 5, payload=sums[:8]))
    refuse("checksums-one-more", "4.6", "too many checksums", changed(ONE, 5, payload=sums + bytes(4)))
    data = changed(ONE, 5, payload=sums[:-1] + bytes([sums[-1] ^ 1]))
    refuse("picture", "4.6", "the second picture has another checksum", data, NOT_VERIFIED)
    data = changed(ONE, 5, payload=(2).to_bytes(4, "little") + bytes(4))
    refuse("picture-of-two", "4.6", "two pictures have another checksum", data, NOT_VERIFIED)
    data = changed(TWO, 23, payload=payload_of(TWO, 23)[:-1] + bytes([payload_of(TWO, 23)[-1] ^ 1]))
    refuse("picture-of-layer-1", "4.6", "a picture of layer 1 has another checksum", data, NOT_VERIFIED, layers=2)

    before = end_of(ONE, 6)
    digest = assemble(ONE)[before + 17 : before + 49]
    count, other = (6).to_bytes(4, "little"), (7).to_bytes(4, "little")
    ends = {"units": other + digest, "hash": count + digest[:-1] + bytes([digest[-1] ^ 1])}
    for name, payload in {**ends, "shorter": count + digest[:-1], "longer": count + digest + b"\0"}.items():
        refuse(f"layer-end-{name}", "4.7", "a LAYER_END that is not right", changed(ONE, 6, payload=payload))

    rows = b"".join(struct.pack("<BHBQ", part.kind, 0, 0, end_of(ONE, place)) for place, part in enumerate(ONE))
    length = len(rows).to_bytes(4, "little")
    indices = {
        "offset": rows[:-8] + bytes(8) + length,
        "type": b"\2" + rows[1:] + length,
        "segment": rows[:1] + b"\1" + rows[2:] + length,
        "layer": rows[:3] + b"\1" + rows[4:] + length,
        "row-missing": rows[:-12] + (len(rows) - 12).to_bytes(4, "little"),
        "length": rows + (len(rows) + 4).to_bytes(4, "little"),
        "length-missing": rows,
        "empty": b"",
    }
    for name, payload in indices.items():
        data = assemble([*ONE, Part(UnitType.INDEX, payload)])
        refuse(f"index-{name}", "4.8", "an INDEX that does not agree with the units", data)


def metadata_vectors() -> None:
    """What 4.9 refuses."""

    def sized(data: bytes, size: int, packing: int) -> Part:
        return Part(UnitType.METADATA, bytes([packing]) + size.to_bytes(4, "little") + data)

    text = b'{"a": 1}'
    unpacked = {
        "packing": sized(text, 8, 2),
        "size-too-large": sized(text, 9, 0),
        "size-too-small": sized(text, 7, 0),
        "size-2-32": sized(text, 2**32 - 1, 0),
        "head-cut": Part(UnitType.METADATA, b"\0\0"),
        "empty": metadata(b""),
        "not-utf-8": metadata(b'{"a": "\xff"}'),
        "utf-16": metadata('{"a": 1}'.encode("utf-16")),
        "byte-order-mark": metadata(b"\xef\xbb\xbf{}"),
        "array": metadata(b"[1]"),
        "number": metadata(b"1"),
        "nan": metadata(b'{"a": NaN}'),
        "infinity": metadata(b'{"a": -Infinity}'),
        "two-objects": metadata(b"{}{}"),
        "comma": metadata(b'{"a": 1,}'),
        "quotes": metadata(b"{'a': 1}"),
        "control-character": metadata(b'{"a": "\n"}'),
        "leading-zero": metadata(b'{"a": 01}'),
        "unfinished": metadata(b'{"a": '),
        "65-levels": metadata(b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}"),
        "5000-levels": metadata(b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
        "4301-digits": metadata(b'{"a": ' + b"9" * 4301 + b"}"),
    }
    for name, part in unpacked.items():
        refuse(f"metadata-{name}", "4.9", "metadata that break a rule", put(ONE, 2, part))
    limit = 2**20
    too_large = {"too-large": sized(spaces_frame(text, limit + 1), limit + 1, 1), "2-32": sized(b"", 2**32 - 1, 1)}
    for name, part in too_large.items():
        refuse(f"metadata-packed-{name}", "4.9", "packed metadata of more than 2^20 bytes", put(ONE, 2, part))
    half = sized(spaces_frame(text, limit // 2), limit // 2, 1)
    together = put(ONE, 2, half, half, sized(b"{}", 2, 0))
    refuse("metadata-together", "9", "metadata of more than 2^20 bytes in three units", together)
    frame, bomb = raw_frame(text), spaces_frame(text, 2**27)
    packed_ones = {
        "no-frame": b"not Zstandard",
        "nothing": b"",
        "size-not-stated": zstandard_frame([(0, text, 8)], 8, stated=False),
        "size-stated-wrong": zstandard_frame([(0, text, 8)], 9),
        "content-shorter": zstandard_frame([(0, text[:7], 7)], 8),
        "two-frames": frame + frame,
        "more": frame + b"more",
        "cut": frame[:-1],
        "reserved-block": zstandard_frame([(3, text, 8)], 8),
        "no-json": raw_frame(b"no JSON!"),
        "bomb": bomb,
        "bomb-that-states-8": frame[:10] + bomb[10:],
    }
    instead = Instead("a decoder without Zstandard ignores packed metadata", (0,), assemble(ONE))
    for name, data in packed_ones.items():
        about = "packed metadata that break a rule"
        refuse(f"metadata-packed-{name}", "4.9", about, put(ONE, 2, sized(data, 8, 1)), instead=instead)


# ---- 4.3 and 6: lists of operations ----------------------------------------------------------------------------------


def source(channels: int = 1, height: int = 4, width: int = 4, broken: dict[str, int] | None = None) -> Net:
    """A list that begins with a LATENT."""
    net = Net(2)
    net.latent(numbers("source", (2, channels, height, width), -9, 9), -9, 9, broken=broken)
    return net


def with_op(op: o.Op, net: Net | None = None, /, **broken: int) -> Net:
    """A list with one operation more, of which some fields are broken, shown."""
    net = net or source()
    net.add(op, **broken)
    return net.show()


def list_vectors() -> None:
    """What 4.3 and 6.1 refuse of lists."""
    for code in (0, 17, 255):
        network = bytearray(payload_of(ONE, 2))
        network[2] = code
        data = changed(ONE, 2, payload=bytes(network))
        refuse(f"operation-{code}", "4.3", "an operation of an unknown code", data, NOT_SUPPORTED)
    refuse("operations-0", "4.3", "a list without operations", changed(ONE, 2, payload=bytes(2)))
    data = changed(ONE, 2, payload=b"\2\0" + payload_of(ONE, 2)[2:])
    refuse("operations-missing", "4.3", "fewer operations than are stated", data)
    net = plain("1025 operations")
    while net.last < 1024:
        net.add(o.Slice(net.last, 0, 3))
    refuse("operations-1025", "4.3", "1025 operations", of(net))
    for name, place in {"itself": 1, "a-later-one": 2, "none": 65535}.items():
        refuse(
            f"reads-{name}", "6.1", "an operation reads one not before it", of(with_op(o.Slice(0, 0, 1), input=place))
        )
    for op in (o.Add(0, 0, -9, 9), o.Subtract(0, 0, -9, 9), o.Concat(0, 0)):
        data = of(with_op(op, second=1))
        refuse(f"reads-itself-{op.NAME.lower()}", "6.1", "an operation reads one not before it", data)
    for ranged in (o.Table(0, 0, 0, 0, 5, 5), o.Add(0, 0, 5, 5), o.Subtract(0, 0, 5, 5)):
        refuse(f"range-of-{ranged.NAME.lower()}", "6.1", "an empty range", of(with_op(ranged, low=6)))
    net = source()
    net.conv(0, numbers("range", (1, 1, 1, 1), -9, 9), low=5, high=5, broken={"low": 6})
    refuse("range-of-conv", "6.1", "an empty range", of(net.show()))
    net = source()
    net.latent(np.full((2, 1, 4, 4), 5), 5, 5, broken={"low": 6})
    refuse("range-of-latent", "6.1", "an empty range", of(net.show(net.joined([0, 1]))))
    refuse("range-of-grid", "6.1", "an empty range", of(grid_net(low=1, high=0)))
    shapes = {"channels": (4, 2, 3), "gray": (1, 2, 3), "height": (3, 3, 3), "width": (3, 2, 2)}
    for name, shape in shapes.items():
        net = Net(2)
        net.latent(numbers("picture", (2, *shape), 0, 99), 0, 99)
        parts = parts_of([net])
        parts[1] = ONE[1]
        refuse(f"picture-{name}", "6.1", "the last operation yields another shape", assemble(parts))
    refuse("picture-low", "6.1", "the last operation may yield -1", of(grid_net(low=-1)))
    net = plain("too bright")
    net.add(o.Add(0, 0, 0, 256))
    refuse("picture-high", "6.1", "the last operation may yield 256", of(net))


def operation_vectors() -> None:
    """What 6.2 refuses of operations."""

    def field(op: str, name: str, value: int, net: Net) -> None:
        refuse(f"{op}-{name}-{value}".replace("--", "-minus-"), "6.2", f"{op.upper()} with {name} {value}", of(net))

    noise = o.Noise(1, 2, 2, 0, 4096, 0)
    for name in ("channels", "height", "width"):
        field("latent", name, 0, source(broken={name: 0}).show())
        field("noise", name, 0, with_op(noise, **{name: 0}))
        field("grid", name, 0, grid_net(**{name: 0}))
    for name, value in (("low", -129), ("high", 128), ("kind", 2)):
        field("latent", name, value, source(broken={name: value}).show())
    field("noise", "gain", 4097, with_op(noise, gain=4097))
    field("noise", "per_frame", 2, with_op(noise, per_frame=2))
    for name, value in (("knots", 0), ("knots", 3), ("shift", 9)):
        field("grid", name, value, grid_net(**{name: value}))
    net = Net(2)
    net.transmit(o.Grid(3, 2, 3, 0, 127, 2, 0), numbers("low grid", (2, 3, 2, 3), 0, 127), broken={"low": -129})
    field("grid", "low", -129, net.show())
    net = Net(2)
    net.transmit(o.Grid(3, 2, 3, 0, 127, 2, 0), numbers("high grid", (2, 3, 2, 3), 0, 127), broken={"high": 128})
    field("grid", "high", 128, net.show())
    values = [("channels", 0), ("group", 0), ("bias_shift", 13), ("low", -4096), ("high", 4096)]
    for name, value in [*values, *((side, size) for side in ("kernel_height", "kernel_width") for size in (0, 2, 17))]:
        net = source()
        shape = (1, 1, value if name == "kernel_height" else 1, value if name == "kernel_width" else 1)
        op = o.Conv(0, 1, 1, 1, 1, 0, -4095, 4095)
        net.add(op, **{name: value})
        biases = steps = chunk(np.array([15]))
        net.weights = steps + biases + chunk(np.full(shape, 2) if 0 not in shape else np.array([2]))
        field("conv", name, value, net.show())
    for factor in (0, 1, 17):
        field("shuffle", "r", factor, with_op(o.Shuffle(0, 2), source(4 * 289, 1, 1), factor=factor))
        field("unshuffle", "r", factor, with_op(o.Unshuffle(0, 2), source(1, 34, 34), factor=factor))
    for name, value in (("function", 3), ("in_shift", 13), ("out_shift", 17)):
        field("table", name, value, with_op(o.Table(0, 0, 3, 4, -99, 99), **{name: value}))
    for name in ("height", "width"):
        field("resample", name, 0, with_op(o.Resample(0, 2, 2), **{name: 0}))
        field("crop", name, 0, with_op(o.Crop(0, 0, 0, 2, 2), **{name: 0}))
    for name, value in (("top", 3), ("left", 3), ("height", 5), ("width", 5), ("top", 65535)):
        field("crop", name, value, with_op(o.Crop(0, 0, 0, 2, 2), **{name: value}))
    for name, (start, count) in {
        "past-the-end": (2, 2),
        "nowhere": (3, 1),
        "nothing": (0, 0),
        "far": (65535, 2),
    }.items():
        net = with_op(o.Slice(0, 0, max(1, count)), source(3), start=start, count=count)
        refuse(f"slice-{name}", "6.2", "SLICE of channels that do not exist, or of none", of(net))


def shape_vectors() -> None:
    """What 6.2 refuses of inputs that do not fit."""
    refuse("shuffle-channels", "6.2", "SHUFFLE by 3 of 4 channels", of(with_op(o.Shuffle(0, 2), source(4), factor=3)))
    for name, sides in {"height": (4, 6), "width": (6, 4)}.items():
        net = with_op(o.Unshuffle(0, 2), source(1, *sides), factor=3)
        refuse(f"unshuffle-{name}", "6.2", f"UNSHUFFLE by 3 of a {name} of 4", of(net))
    shapes = {"channels": (2, 4, 4), "height": (1, 3, 4), "width": (1, 4, 3)}
    for op in (o.Add(0, 0, -9, 9), o.Subtract(0, 0, -9, 9), o.Concat(0, 0)):
        for name, shape in shapes.items():
            if name == "channels" and isinstance(op, o.Concat):
                continue
            net = source()
            other = net.constant(shape, 1)
            data = of(with_op(op, net, second=other))
            refuse(f"{op.NAME.lower()}-{name}", "6.2", "two inputs whose shapes do not go together", data)
    base = plain("below", 3, 2, 2)
    for name, broken in {"own-layer": {"layer": 1}, "higher-layer": {"layer": 2}, "missing": {"op": 1}}.items():
        upper = Net(3, [base])
        upper.add(o.Below(0, 0), **broken)
        upper.add(o.Add(0, upper.constant((3, 2, 2), 1), 0, 255))
        data = assemble(parts_of([Segment([base, upper])]))
        refuse(f"below-{name}", "6.2", "BELOW reads what does not exist", data)
    upper = Net(3, [base])
    upper.latent(numbers("below", (3, 3, 2, 2), 0, 99), 0, 99)
    upper.add(o.Below(0, 0))
    refuse("below-in-layer-0", "6.2", "BELOW in the lowest layer", of(upper))


# ---- 9: limits -------------------------------------------------------------------------------------------------------


def limit_vectors() -> None:
    """What section 9 refuses, in files of a few hundred bytes that ask for terabytes, or for a little too much. Where a
    decoder that misses the limit would work for hours, there are no CHECKSUMS, so that it finds another error."""

    def layer(ops: Sequence[o.Op], level: int = 0, frames: int = 2, whole: bool = True) -> list[Part]:
        """A layer with this list of operations, of which all weights and latents are 0."""
        zeros = chunk(np.zeros(1, int))
        network = len(ops).to_bytes(2, "little") + b"".join(bytes([op.CODE]) + packed(op) for op in ops)
        parts = [Part(UnitType.NETWORK, network, 0, level)]
        parts.append(Part(UnitType.WEIGHTS, 3 * sum(isinstance(op, o.Conv) for op in ops) * zeros, 0, level))
        for place, op in enumerate(ops):
            if isinstance(op, o.Transmitted):
                count = op.transmitted(frames)
                run = LatentsHead(place, 0, count, 0).pack() + zeros * min(2, count)
                parts.append(Part(UnitType.LATENTS, run, 0, level))
        sums = [Part(UnitType.CHECKSUMS, frames.to_bytes(4, "little") + bytes(4), 0, level)]
        return [*parts, *(sums if whole else []), Part(UnitType.LAYER_END, None, 0, level)]

    def listed(*ops: o.Op, frames: int = 2, whole: bool = True) -> bytes:
        segment = Part(UnitType.SEGMENT, SegmentHead(0, frames, 3, 2, 0, 1).pack())
        return assemble([ONE[0], segment, *layer(ops, 0, frames, whole)])

    def layered(*lists: Sequence[o.Op]) -> bytes:
        return assemble([*ONE[:2], *(part for level, ops in enumerate(lists) for part in layer(ops, level))])

    def limit(name: str, about: str, data: bytes) -> None:
        refuse(f"limit-{name}", "9", about, data)

    most = 65535
    whole = o.Slice(0, 0, 3), o.Crop(1, 0, 0, 2, 3)
    small, dot = o.Latent(3, 2, 3, 0, 9, 0), o.Latent(1, 1, 1, 0, 9, 0)
    limit("latent", "a LATENT of 2^48 elements", listed(o.Latent(most, most, most, 0, 9, 0), *whole))
    limit("noise", "a NOISE of 2^48 elements", listed(o.Noise(most, most, most, 0, 9, 0), *whole))
    limit("grid", "a GRID of 2^48 elements", listed(o.Grid(most, most, most, 0, 9, 1, 0), *whole))
    limit("resample", "a RESAMPLE to 2^33 elements", listed(small, o.Resample(0, most, most), o.Crop(1, 0, 0, 2, 3)))
    rest: tuple[o.Op, ...] = (o.Crop(1, 0, 0, 2, 3), o.Concat(2, 2), o.Concat(3, 2))
    limit("tensor", "a result of 2^29 + 2^14 elements", listed(dot, o.Resample(0, 32769, 16384), *rest))
    conv = o.Conv(1, most, 1, 1, 255, 0, 0, 9)
    rest = o.Slice(2, 0, 3), o.Crop(3, 0, 0, 2, 3)
    limit("conv", "a CONV to 2^40 elements", listed(small, o.Resample(0, 4096, 4096), conv, *rest))
    half = o.Resample(0, 32768, 16384)
    rest = o.Crop(2, 0, 0, 2, 3), o.Concat(3, 3), o.Concat(4, 3)
    limit("concat", "a CONCAT to 2^30 elements", listed(dot, half, o.Concat(1, 1), *rest))
    corners = o.Crop(1, 0, 0, 2, 3), o.Crop(2, 0, 0, 2, 3), o.Concat(3, 4), o.Concat(5, 4)
    limit("alive", "2^30 + 1 elements alive at once", listed(dot, half, half, *corners))
    lower = dot, half, o.Crop(1, 0, 0, 2, 3), o.Concat(2, 2), o.Concat(3, 2)
    reads = o.Below(0, 1), o.Crop(0, 0, 0, 2, 3), o.Below(1, 1), o.Crop(2, 0, 0, 2, 3), o.Concat(1, 3), o.Concat(4, 1)
    limit("alive-in-all-layers", "3 * 2^29 elements in three layers", layered(lower, lower, reads))
    conv = o.Conv(1, 1024, 5, 5, 255, 0, 0, 9)
    wide = o.Latent(1024, 1, 1, 0, 9, 0), o.Resample(0, 410, 410), conv, o.Slice(2, 0, 3), o.Crop(3, 0, 0, 2, 3)
    limit("multiplications", "410 * 410 * 25 * 2^20 multiplications", listed(*wide, whole=False))
    conv = o.Conv(0, most, 1, 1, 255, 0, 0, 9)
    rest = o.Slice(1, 0, 3), o.Resample(2, 2, 3)
    limit("weights", "513 * 65535 weights in a list", listed(o.Latent(513, 1, 1, 0, 9, 0), conv, *rest))
    rest = o.Slice(0, 0, 3), o.Resample(1, 2, 3)
    limit("latents", "33 * 2^22 latents", listed(o.Latent(33, 1, 1, 0, 9, 0), *rest, frames=2**22, whole=False))
    limit("knots", "2049 * 65535 knots", listed(o.Grid(2049, 1, 1, 0, 9, most, 0), *rest, frames=2**22, whole=False))
    head = SegmentHead(0, 2, 3, 2, 0, 1)
    for name, frames in {"frames": 2**22 + 1, "frames-2-32": 2**32 - 1}.items():
        limit(name, f"a segment of {frames} frames", changed(ONE, 1, payload=packed(head, frames=frames)))
    durations = packed(head, frames=2**22, constant_duration=0)
    limit("durations", "2^22 durations that are not there", changed(ONE, 1, payload=durations))
    parts = copy.deepcopy(ONE)
    parts[1].payload = packed(head, frames=2**22)
    parts.insert(2, Part(UnitType.SEGMENT, packed(head, first_frame=2**22, frames=1), 1))
    limit("frames-of-a-stream", "2^22 + 1 frames in two segments", assemble(parts))


# ---- 4.4, 5, 6.3: weights and tables ---------------------------------------------------------------------------------

STEPS, BIASES = np.array([14, 15, 16, 17]), np.array([1, 2, 3, 4])
KERNEL = numbers("coded", (4, 1, 1, 1), -9, 9)


def conv_with(steps: bytes | None = None, biases: bytes | None = None, weights: bytes | None = None) -> bytes:
    """A file with one CONV, of which a chunk may be another."""
    net = source()
    net.conv(0, KERNEL, BIASES, STEPS)
    net.weights = chunk(STEPS) if steps is None else steps
    net.weights += chunk(BIASES) if biases is None else biases
    net.weights += chunk(KERNEL) if weights is None else weights
    return of(net.show())


def weight_vectors() -> None:
    """What 4.4 refuses of values, and 6.3 of sums."""
    for name, value in {"240": 240, "negative": -1}.items():
        refuse(f"step-{name}", "4.4", f"a step index of {value}", conv_with(steps=chunk(np.array([14, value, 16, 17]))))
    for name, value in {"2048": 2048, "minus-2048": -2048}.items():
        refuse(f"bias-{name}", "4.4", f"a bias of {value}", conv_with(biases=chunk(np.array([1, value, 3, 4]))))
    for name, value in {"128": 128, "minus-128": -128}.items():
        refuse(f"weight-{name}", "4.4", f"a weight of {value}", conv_with(weights=chunk(np.array([1, value, 3, 4]))))
    for name, value in {"32768": 2**15, "minus-32768": -(2**15)}.items():
        refuse(
            f"biases-of-{name}",
            "4.4",
            "the first and last symbols there are",
            conv_with(biases=chunk(np.full(4, value))),
        )
    refuse("weights-missing", "4.4", "no weights for a CONV", conv_with(weights=b""))
    sums = [127, 127, 127, 127, 4]
    for name, biases in {
        "above": [512, 0, 0, 0],
        "below": [0, -512, 0, 0],
        "above-by-negative-weights": [0, 0, 512, 0],
        "below-by-negative-weights": [0, 0, 0, -512],
    }.items():
        refuse(f"bound-{name}", "6.3", "an accumulator that can reach 2^24", of(limit_net(0, 32767, sums, biases)))
    refuse("bound-far", "6.3", "an accumulator that can reach 2^28", of(limit_net(0, 32767, [127] * 90, [0] * 4)))
    net = Net(1)
    wide = net.add(o.Table(net.latent(numbers("rounding", (1, 3, 1, 1), -128, 127)), 0, 0, 9, -128, 32640))
    assert (127 + 127 + 3) * 32640 + (1024 << 13) + 2**7 == 2**24
    net.conv(wide, np.array([127, 127, 3]).reshape(1, 3, 1, 1), 1024, 8 * (8 + 6), bias_shift=5)
    refuse("bound-by-rounding", "6.3", "an accumulator that its rounding takes to 2^24", of(net.show()))
    net = Net(1)
    net.latent(numbers("large bias", (1, 1, 1, 1), -9, 9), -9, 9)
    net.conv(0, np.ones((2, 1, 1, 1), int), [2047, -2047], 239, bias_shift=12)
    refuse("bound-by-bias", "6.3", "biases of +-2047 * 2^35", of(net.show()))


def table_vectors() -> None:
    """What 5.1 to 5.4 refuse of tables and words."""

    def table(name: str, about: str, data: bytes, error: str = CORRUPT, section: str = "5.2") -> None:
        refuse(f"table-{name}", section, about, conv_with(biases=data), error)

    symbols = b"\2\4"  # from 1, four of them
    flat = Student(1, 4, 3, 2**31 - 1, 0)
    for family in (6, 255):
        coded = chunk(BIASES, head=bytes([family]) + symbols + b"\1\1\1\1")
        table(f"family-{family}", "an unknown family", coded, NOT_SUPPORTED)
    four, five = Contexts(0, 20, 64, 100, 1), Contexts(-9, 19, 64, 100, 1, 4)
    table("family-4-of-biases", "a table by rows for biases", chunk(BIASES, head=four.pack()), NOT_SUPPORTED, "5.1")
    data = conv_with(steps=chunk(STEPS, head=four.pack()))
    refuse("table-family-4-of-steps", "5.1", "a table by rows for steps", data, NOT_SUPPORTED)
    data = conv_with(weights=chunk(KERNEL, head=five.pack()))
    refuse("table-family-5-of-weights", "5.1", "a table of family 5 for weights", data, NOT_SUPPORTED)
    net = plain("first frame", 1)
    first = chunk(numbers("first frame", (3, 2, 3), 0, 127), head=Contexts(0, 128, 64, 100, 1).pack())
    net.runs = [LatentsHead(0, 0, 1, 0).pack() + first]
    refuse("table-family-4-of-a-first-frame", "5.1", "a table by rows for a first frame", of(net), NOT_SUPPORTED)

    ones = np.ones(4, int)
    table("size-0", "no symbols", chunk(BIASES, head=b"\3\2\0"))
    table("size-1", "one symbol, and no constant", chunk(ones, Histogram(1, 1, (1,))))
    table("size-4097", "4097 symbols", chunk(BIASES, Histogram(1, 4097, (1,) * 4097)))
    table("size-of-a-constant", "a constant of two symbols", chunk(ones, head=b"\0\2\2"))
    table("first", "a first symbol beyond 2^16", chunk(ones, head=b"\0" + varint(2**16 + 1) + b"\1"))
    table("first-of-3-bytes", "a varint with a byte too many", chunk(ones, head=b"\0\x82\0\1"))
    table("histogram-of-zeros", "a histogram of zeros", chunk(BIASES, head=b"\3" + symbols + bytes(4)))
    table("histogram-weight", "a weight above 2^24", chunk(BIASES, Histogram(1, 4, (2**24 + 1, 1, 1, 1))))
    table("laplace-peak", "a peak beyond the symbols", chunk(BIASES, Laplace(1, 4, 4, 9999)))
    table("student-peak", "a peak beyond the symbols", chunk(BIASES, Student(1, 4, 4, 9, 1)))
    table("student-spread-2-31", "a spread of 2^31", chunk(BIASES, Student(1, 4, 3, 2**31, 1)))
    table("student-spread-0", "a spread of 0", chunk(BIASES, head=b"\2" + symbols + b"\3\0\1"))
    table("student-shape", "a shape of 7", chunk(BIASES, Student(1, 4, 3, 9, 7)))
    refuse("table-cut", "5.2", "a table that ends early", conv_with(weights=b"\3\2\4\1"))

    table("words-of-a-constant", "a constant with a word", chunk(ones, more=bytes(4)), section="5.1")
    table("words-too-many", "more words than the values can need", chunk(BIASES, more=bytes(20)), section="5.1")
    refuse("table-words-missing", "5.1", "fewer words than are stated", conv_with(weights=chunk(KERNEL)[:-4]))
    table("words-not-read", "a word that no value needs", chunk(BIASES, flat, more=bytes(8)), section="5.4")
    broken = bytearray(chunk(BIASES, flat))
    broken[-4] += 5  # the same values, but not the end that an encoder writes
    table("words-end", "the last word is larger than it has to be", bytes(broken), section="5.4")
    broken = bytearray(chunk(BIASES, flat, more=bytes(4)))
    broken[-8:] = b"\xff" * 8
    table("words-invalid", "a quotient of 2^24", bytes(broken), section="5.4")

    for name, parameters in {
        "start": {"start": 16321},
        "spread-0": {"spread": 0},
        "spread-65536": {"spread": 65536},
        "shape": {"shape": 7},
        "first": {"first": 1},
        "last": {"first": -100},
    }.items():
        refuse(f"table-by-rows-{name}", "5.5", "a parameter out of its range", of(rows_net(**parameters)))
    net, sound = rows_net(), Contexts(0, 100, 900, 200, 1, 4).pack()
    net.runs[0] = net.runs[0].replace(sound, sound[:-1] + b"\0")
    refuse("table-by-rows-weight", "5.5", "family 5 with a weight of 0", of(net))
    data = conv_with(weights=chunk(KERNEL.reshape(4, 1), Contexts(-9, 19, 900, 65536, 1), Rows(1)))
    refuse("table-by-rows-of-weights", "5.5", "a parameter out of its range", data)


# ---- 4.5: latents ----------------------------------------------------------------------------------------------------


def run_vectors() -> None:
    """What 4.5 refuses of runs and values."""
    values = numbers("bad runs", (4, 3, 1, 2), 0, 99)

    def runs(name: str, about: str, *payloads: bytes) -> None:
        net = Net(4)
        net.latent(values, 0, 99)
        net.runs = list(payloads)
        refuse(f"run-{name}", "4.5", about, of(net))

    def run(first: int, frames: int, /, **stated: int) -> bytes:
        part = values[first : first + frames]
        head = packed(LatentsHead(0, first, frames, 0), **stated)
        return head + chunk(part[0]) + (chunk(part[1:]) if frames > 1 else b"")

    runs("of-another-operation", "a run of an operation that has none", run(0, 4, op=1))
    runs("that-starts-late", "a first run that does not start at 0", run(1, 3))
    runs("after-a-gap", "runs with a gap", run(0, 2), run(3, 1))
    runs("that-overlaps", "runs that overlap", run(0, 2), run(1, 3))
    runs("beyond", "a run beyond the segment", run(0, 4, frames=5))
    runs("of-2-32-frames", "a run of 2^32 - 1 frames", run(0, 4, frames=2**32 - 1))
    runs("of-no-frames", "a run of no frames", run(0, 1, frames=0), run(0, 4))
    runs("missing", "frames without a run", run(0, 3))
    runs("predictor", "an unknown predictor", run(0, 4, predictor=2))
    long = Net(1025)
    long.latent(np.zeros((1025, 3, 1, 2), int), 0, 99)
    zeros = chunk(np.zeros(6, int))
    long.runs = [LatentsHead(0, 0, 1025, 0).pack() + zeros + zeros]
    refuse("run-of-1025-frames", "9", "a run of more than 2^10 frames", of(long))
    plain_head, sum_head = LatentsHead(0, 0, 4, 0).pack(), LatentsHead(0, 0, 4, 1).pack()
    low, high, over = values.copy(), values.copy(), np.diff(values, axis=0)
    low[2, 1], high[0, 0], over[0, 0, 0, 0] = -1, 100, 100
    runs("value-below", "a latent below its range", plain_head + chunk(low[0]) + chunk(low[1:]))
    runs("value-above", "a latent above its range", plain_head + chunk(high[0]) + chunk(high[1:]))
    runs("sum-below", "differences that lead below the range", sum_head + chunk(low[0]) + chunk(np.diff(low, axis=0)))
    runs("difference", "a difference that no two values have", sum_head + chunk(values[0]) + chunk(over))


for make in (
    header_vectors,
    framing_vectors,
    end_vectors,
    order_vectors,
    length_vectors,
    field_vectors,
    checksum_vectors,
    metadata_vectors,
    list_vectors,
    operation_vectors,
    shape_vectors,
    limit_vectors,
    weight_vectors,
    table_vectors,
    run_vectors,
):
    make()
