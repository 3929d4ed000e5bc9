"""Every stream in both forms and both orders: the same pictures; damage anywhere is one clear error."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Builder, random_stream, squares_stream

import nvcodec
from nvcodec.errors import (
    CorruptStreamError,
    CutStreamError,
    InputError,
    NvcodecError,
    UnsupportedVersionError,
    UsageError,
)
from nvcodec.format import operations as o
from nvcodec.format.fields import varint
from nvcodec.format.stream import Layer, Stream
from nvcodec.format.stream_reader import layer_ends, read_stream
from nvcodec.format.stream_writer import append_layer, write_stream
from nvcodec.format.units import (
    HEADER_BYTES,
    MAGIC,
    Order,
    UnitType,
    is_compact,
    pack_file_header,
    pack_unit,
    salvage_units,
    split_units,
)


def compact(stream: Stream, order: Order = Order.BY_LAYER) -> Stream:
    """The same stream in compact form."""
    return dataclasses.replace(stream, compact=True, video=dataclasses.replace(stream.video, order=order))


def same_integers(one: Stream, other: Stream) -> None:
    """Check that two streams hold the same."""
    assert one.ticks == other.ticks
    assert one.metadata == other.metadata
    assert dataclasses.replace(one.video, order=0) == dataclasses.replace(other.video, order=0)
    for before, after in zip(one.segments, other.segments, strict=True):
        assert before.head == after.head
        for a, b in zip(before.layers, after.layers, strict=True):
            assert a.ops == b.ops
            assert a.base == b.base
            assert (a.checksums == b.checksums).all()
            assert all((a.latents[k] == b.latents[k]).all() for k in a.latents)
            for k in a.convs:
                for name in ("weights", "biases", "steps"):
                    assert (getattr(a.convs[k], name) == getattr(b.convs[k], name)).all()


def read_back(stream: Stream, run: int = 2) -> tuple[Stream, bytes]:
    """Write a stream, read it and write it again, to the byte."""
    data = write_stream(stream, run)
    again = read_stream(data)
    assert write_stream(again, run) == data
    assert sum(entry.bytes for entry in again.entries) == again.file_bytes == len(data)
    same_integers(stream, again)
    return again, data


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3))
def test_both_forms_and_orders(seed: int, segments: int, layers: int) -> None:
    stream = random_stream(seed, segments=segments, layers=layers, operations=4)
    fixed, data = read_back(stream)
    assert (fixed.version, is_compact(data)) == ((1, 1), False)
    for order in Order:
        again, shorter = read_back(compact(stream, order))
        assert (again.version, is_compact(shorter), again.video.order) == ((1, 2), True, order)
        assert len(shorter) < len(data)
        pictures = zip(nvcodec.open(again, device="cpu"), nvcodec.open(fixed, device="cpu"), strict=True)
        assert all((one == other).all() for one, other in pictures)


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("depth", [8, 10])
def test_av1_streams(order: Order, depth: int) -> None:
    stream = squares_stream([(4, 3), (2, 1, 2)], depth=depth, order=order, layers=3)
    again, data = read_back(stream)
    runs = [len(segment.layers[0].base) for segment in again.segments]
    assert runs == [2, 3]
    base = sum(entry.bytes for entry in again.entries if entry.kind == "base")
    assert base == sum(len(run.data) for segment in stream.segments for run in segment.layers[0].base)
    assert data.count(stream.segments[0].layers[0].base[1].data) == 1
    assert len(nvcodec.open(again, device="cpu")[:]) == 12  # each frame's checksum has been compared


def test_units_that_may_be_missing() -> None:
    """WEIGHTS without CONV, CHECKSUMS."""
    stream = compact(random_stream(5, segments=2, layers=2, operations=1))
    without = compact(random_stream(5, segments=2, layers=2, operations=1), Order.BY_SEGMENT)
    for segment in without.segments:
        segment.layers[1].checksums = np.zeros(0, np.uint32)
    for one, count in ((stream, 4), (without, 2)):
        again, _ = read_back(one)
        assert [unit.type for unit in again.units].count("CHECKSUMS") == count
        assert [unit.type for unit in again.units].count("WEIGHTS") == 4
        assert len(list(nvcodec.open(again, device="cpu"))) == 6
    types = [unit.type for unit in read_back(squares_stream())[0].units]
    assert "WEIGHTS" not in types


# ---- damage ----------------------------------------------------------------------------------------------------------


def small(order: Order) -> bytes:
    """A file of two segments and two layers, with AV1, latents, a convolution and metadata."""
    return write_stream(squares_stream([(2, 1), (1,)], height=5, width=6, order=order), run=2)


@pytest.fixture(scope="module", params=list(Order), ids=["layers", "segments"])
def file(request: pytest.FixtureRequest) -> bytes:
    return small(request.param)


def ends_of(data: bytes) -> list[int]:
    """Where a file may end: after each LAYER_END or SEGMENT_END, and with its INDEX."""
    kinds = (UnitType.LAYER_END, UnitType.SEGMENT_END, UnitType.INDEX)
    return [unit.end for unit in split_units(memoryview(data)) if unit.header.type in kinds]


def test_cut_at_every_length(file: bytes) -> None:
    ends = ends_of(file)
    for length in range(len(file)):
        cut = file[:length]
        if length < ends[0]:
            with pytest.raises(InputError if length < 8 else CorruptStreamError):
                read_stream(cut)
            continue
        stream = read_stream(cut)
        whole = sum(end <= length for end in ends)
        by_segment = stream.video.order == Order.BY_SEGMENT
        assert (stream.layers, len(stream.segments)) == ((2, whole) if by_segment else (whole, 2))
        assert bool(stream.note) == (length not in ends)
        assert not stream.note or ("segment" if by_segment else "layer") in stream.note


def expected_error(offset: int) -> type[NvcodecError]:
    """The error that damage at a byte causes."""
    if offset < len(MAGIC):
        return InputError
    return UnsupportedVersionError if offset == len(MAGIC) else CorruptStreamError


def test_every_byte_flipped(file: bytes) -> None:
    """Whatever byte is damaged, the file is refused, or what is complete before it is read and a note says so."""
    for offset in range(len(file)):
        for bits in (0xFF, 1 << offset % 8):
            damaged = bytearray(file)
            damaged[offset] ^= bits
            try:
                assert read_stream(bytes(damaged)).note, offset
                assert offset >= ends_of(file)[0], offset
            except NvcodecError as error:
                found = CorruptStreamError if isinstance(error, CutStreamError) else type(error)
                if offset == 9:  # the minor version: newer ones are not supported, older ones corrupt
                    newer = damaged[offset] > file[offset]
                    assert found is (UnsupportedVersionError if newer else CorruptStreamError)
                else:
                    assert found is expected_error(offset), offset


@settings(max_examples=200)
@given(st.sampled_from(list(Order)), st.data())
def test_hostile_payloads_with_right_checksums(order: Order, data: st.DataObject) -> None:
    """There is a documented error or a stream that decodes or does not, never another exception."""
    good = small(order)
    units = list(split_units(memoryview(good)))
    number = data.draw(st.integers(0, len(units) - 2))
    payload = bytearray(units[number].payload)
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.sampled_from([0, 1, 2, 64, 127, 128, 255]))
    try:
        stream = read_stream(rebuilt(good, {number: bytes(payload)}))
        if stream.segments[0].head.width * stream.segments[0].head.height < 10_000:
            list(nvcodec.open(stream, device="cpu", verify=False))
    except NvcodecError as error:
        assert "\n" not in str(error)


def rebuilt(data: bytes, change: dict[int, bytes]) -> bytes:
    """Change the payloads of some units and correct all checksums and hashes; INDEX goes."""
    out = bytearray(data[:HEADER_BYTES])
    for number, unit in enumerate(split_units(memoryview(data))):
        payload = bytes(unit.payload)
        if unit.header.type in (UnitType.LAYER_END, UnitType.SEGMENT_END):
            payload = varint(number) + hashlib.sha256(out).digest()[:8]
        if unit.header.type == UnitType.INDEX:
            break
        header = unit.header
        out += pack_unit(UnitType(header.type), change.get(number, payload), header.segment, header.layer, compact=True)
    return bytes(out)


def test_rebuilt_changes_nothing() -> None:
    for order in Order:
        data = small(order)
        assert rebuilt(data, {}) == data[: ends_of(data)[-2]]


def test_unknown_units(file: bytes) -> None:
    """In compact form the type alone says whether a unit may be skipped."""
    (first, *_) = split_units(memoryview(file))
    for kind, wrong in ((10, True), (31, True), (36, False), (255, False)):
        body = varint(kind) + varint(65535) + varint(255) + varint(2) + b"hi"
        unit = body + zlib.crc32(body).to_bytes(4, "little")
        data = file[: first.end] + unit + file[first.end :]
        with pytest.raises(UnsupportedVersionError if wrong else CorruptStreamError):  # the hash of what comes before
            read_stream(data)
        assert len(list(split_units(memoryview(file[: first.end] + unit)))) == 2 if not wrong else True


def test_fixed_form_knows_neither_base_nor_segment_end() -> None:
    for kind in (UnitType.BASE, UnitType.SEGMENT_END):
        data = pack_file_header() + pack_unit(kind, b"")
        with pytest.raises(UnsupportedVersionError, match=f"critical unit type {kind.value}"):
            list(split_units(memoryview(data)))


def test_what_is_salvaged_behind_the_end(file: bytes) -> None:
    end = ends_of(file)[-1]
    for rest in (b"x", bytes(50), b"\xff" * 30):
        units, cut = salvage_units(memoryview(file + rest))
        assert (units[-1].end, cut) == (end, False)
        assert read_stream(file + rest, keep_going=True).note.startswith(f"{len(rest)} bytes")
    body = file[: ends_of(file)[-2]]  # without INDEX
    units, cut = salvage_units(memoryview(body + b"\x80"))
    assert (units[-1].end, cut) == (len(body), False)


# ---- layers that are added -------------------------------------------------------------------------------------------


def another_layer(stream: Stream) -> Stream:
    """The stream with a layer more, which adds latents."""
    rng = np.random.default_rng(0)
    for segment in stream.segments:
        height, width = segment.head.height, segment.head.width
        builder = Builder(rng, segment.layers)
        below = builder.add(o.Below(len(segment.layers) - 1, len(segment.layers[-1].ops) - 1))
        builder.add(o.Add(below, builder.add(o.Latent(3, height, width, -5, 5, 0)), 0, 255))
        layer: Layer = builder.layer(segment.head.frames, height, width)
        layer.checksums = np.zeros(0, np.uint32)
        segment.layers.append(layer)
    return stream


def test_adding_a_layer() -> None:
    data = write_stream(squares_stream([(2, 1), (1,)]))
    more = append_layer(data, another_layer(read_stream(data)), {"more": 1})
    end = layer_ends(data)[-1]
    assert more[:end] == data[:end]
    again = read_stream(more)
    assert (again.layers, again.metadata) == (3, {"title": "x", "more": 1})
    assert len(list(nvcodec.open(again, device="cpu"))) == 4


def test_layers_that_cannot_be_added() -> None:
    stream = squares_stream([(2, 1)], order=Order.BY_SEGMENT)
    with pytest.raises(UsageError, match="segment follows segment"):
        append_layer(write_stream(stream), another_layer(stream))
    fixed = random_stream(3)
    with pytest.raises(UsageError, match="earlier version"):
        append_layer(write_stream(fixed), another_layer(compact(fixed)))
