"""Damage anywhere is one clear error; undamaged streams are read back to the byte."""

from __future__ import annotations

import hashlib
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import reference_decoder
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_stream

import nvcodec
from nvcodec.errors import CorruptStreamError, CutStreamError, InputError, NvcodecError, UnsupportedVersionError
from nvcodec.format.accounting import bytes_by_kind
from nvcodec.format.describe import by_layer
from nvcodec.format.stream_reader import layer_ends, read_file, read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import HEADER_BYTES, MAGIC, MINOR, TRACKS, UnitType, pack_unit, split_units


@pytest.fixture(scope="module")
def small() -> bytes:
    return write_stream(random_stream(3, frames=2, operations=3))


def unit_starts(data: bytes) -> dict[int, str]:
    """Offset and name of every unit."""
    return {unit.offset: unit.name for unit in split_units(memoryview(data))}


def expected_error(offset: int, value: int) -> type[NvcodecError]:
    """The error that damage at a byte, which makes it this value, causes."""
    if offset < len(MAGIC):
        return InputError
    newer = offset == 8 or (offset == 9 and value > MINOR)
    return UnsupportedVersionError if newer else CorruptStreamError


def test_every_byte_flipped(small: bytes) -> None:
    for offset in range(len(small)):
        for bits in (0xFF, 1 << offset % 8):
            damaged = bytearray(small)
            damaged[offset] ^= bits
            # A wrong length looks like a cut; complete layers before it are read, with a note.
            try:
                assert read_stream(bytes(damaged)).note, offset
                assert offset >= layer_ends(small)[0], offset
            except NvcodecError as error:
                found = CorruptStreamError if isinstance(error, CutStreamError) else type(error)
                assert found is expected_error(offset, damaged[offset]), offset


def test_cut_at_every_length(small: bytes) -> None:
    names = unit_starts(small)
    ends = sorted([*names, len(small)])
    after_layer_end = {ends[ends.index(start) + 1] for start, name in names.items() if name == "LAYER_END"}
    assert after_layer_end
    for length in range(len(small)):
        if length >= min(after_layer_end):
            stream = read_stream(small[:length])
            assert stream.frames == 2
            assert bool(stream.note) == (length not in after_layer_end)
            continue
        with pytest.raises(InputError if length < 8 else CorruptStreamError):
            read_stream(small[:length])


def test_layers_can_be_cut_off() -> None:
    data = write_stream(random_stream(8, layers=3))
    whole = nvcodec.open(read_stream(data), device="cpu")
    assert whole.stream.layers == 3
    names = unit_starts(data)
    starts = sorted(names)
    for kept, start in enumerate([s for s in starts if names[s] == "LAYER_END"], 1):
        end = starts[starts.index(start) + 1]
        cut = nvcodec.open(read_stream(data[:end]), device="cpu")
        assert cut.stream.layers == kept
        assert cut[:].shape == whole[:].shape  # every frame's checksum has been compared


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 2))
def test_round_trip(seed: int, segments: int, layers: int) -> None:
    stream = random_stream(seed, segments=segments, layers=layers)
    data = write_stream(stream, run=2)
    again = read_stream(data)
    assert write_stream(again, run=2) == data
    assert again.ticks == stream.ticks
    assert again.metadata == stream.metadata
    assert sum(entry.bytes for entry in again.entries) == again.file_bytes == len(data)
    for before, after in zip(stream.segments, again.segments, strict=True):
        for a, b in zip(before.layers, after.layers, strict=True):
            assert a.ops == b.ops
            assert all((a.latents[k] == b.latents[k]).all() for k in a.latents)


def test_random_garbage_never_gets_far() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        with pytest.raises(NvcodecError):
            read_stream(MAGIC + rng.bytes(int(rng.integers(0, 300))))


def rebuilt(data: bytes, change: dict[int, bytes]) -> bytes:
    """Change the payloads of some units and correct all checksums and hashes."""
    out = bytearray(data[:HEADER_BYTES])
    for number, unit in enumerate(split_units(memoryview(data))):
        payload = bytes(unit.payload)
        if unit.header.type == UnitType.LAYER_END:
            payload = payload[:4] + hashlib.sha256(out).digest()
        if unit.header.type == UnitType.INDEX:
            break
        out += pack_unit(
            UnitType(unit.header.type), change.get(number, payload), unit.header.segment, unit.header.layer
        )
    return bytes(out)


@settings(max_examples=150)
@given(st.data())
def test_hostile_payloads_with_right_checksums(small: bytes, data: st.DataObject) -> None:
    """Without the CRC's help there is a documented error or a stream that decodes, never another exception."""
    units = list(split_units(memoryview(small)))
    number = data.draw(st.integers(0, len(units) - 2))
    payload = bytearray(units[number].payload)
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.sampled_from([0, 1, 2, 64, 127, 128, 255]))
    try:
        stream = read_stream(rebuilt(small, {number: bytes(payload)}))
        if stream.segments[0].head.width * stream.segments[0].head.height < 10_000:
            nvcodec.open(stream, device="cpu", verify=False)[0]
    except NvcodecError as error:
        assert "\n" not in str(error)


def test_concatenated_files_are_refused(small: bytes) -> None:
    with pytest.raises(CorruptStreamError, match=r"concatenated|INDEX"):
        read_stream(small + small)


def raw_unit(kind: int, flags: int, payload: bytes = b"", segment: int = 0) -> bytes:
    """Build a unit of any type with a correct checksum."""
    body = bytes([kind, flags]) + segment.to_bytes(2, "little") + b"\0" + len(payload).to_bytes(8, "little") + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def with_unit(small: bytes, unit: bytes, *, before: bool = False) -> bytes:
    """Remove INDEX, insert a unit after (or before) VIDEO, and correct LAYER_END."""
    units = list(split_units(memoryview(small)))
    offset = HEADER_BYTES if before else units[0].end
    end = next(number for number, unit in enumerate(units) if unit.header.type == UnitType.LAYER_END)
    body = small[:offset] + unit + small[offset : units[end].offset]
    payload = (end + 1).to_bytes(4, "little") + hashlib.sha256(body).digest()
    return body + pack_unit(UnitType.LAYER_END, payload)


@pytest.mark.parametrize("kind", [0, 8, 20, 31, 36, 99, 255])
def test_unknown_units(small: bytes, kind: int) -> None:
    """The reader and the reference decoder skip unknown ancillary units and refuse critical ones."""
    data = with_unit(small, raw_unit(kind, 1, b"whatever", segment=9))
    assert read_stream(data).frames == reference_decoder.parse(data).frames == 2
    for flags, error in ((0, UnsupportedVersionError), (3, CorruptStreamError)):
        with pytest.raises(error):
            read_stream(with_unit(small, raw_unit(kind, flags)))


@pytest.mark.parametrize("kind", TRACKS)
def test_tracks_are_skipped(small: bytes, kind: UnitType) -> None:
    """Whatever is in them; but they belong to no segment and layer, and are ancillary."""
    data = with_unit(small, pack_unit(kind, b"packets"))
    assert read_stream(data).frames == reference_decoder.parse(data).frames == 2
    assert bytes_by_kind(read_stream(data))[kind.name.lower()] == 7
    for place in ({"segment": 1}, {"layer": 1}):
        with pytest.raises(CorruptStreamError, match=kind.name):
            read_stream(with_unit(small, pack_unit(kind, b"packets", **place)))
    with pytest.raises(CorruptStreamError, match="wrong ancillary flag"):
        read_stream(with_unit(small, raw_unit(kind, 0)))


def test_video_comes_first(small: bytes) -> None:
    for unit in (raw_unit(99, 1), metadata(b"{}")):
        with pytest.raises(CorruptStreamError, match="VIDEO was expected"):
            read_stream(with_unit(small, unit, before=True))


def metadata(raw: bytes, packed: bytes | None = None) -> bytes:
    """Build a METADATA unit with the content ``raw``, packed as ``packed`` if given."""
    size = len(raw).to_bytes(4, "little")
    return pack_unit(UnitType.METADATA, b"\0" + size + raw if packed is None else b"\1" + size + packed)


def test_metadata(small: bytes) -> None:
    good = zstandard.compress(b'{"a": [1, "x"]}')
    stream = read_stream(with_unit(small, metadata(b'{"a": [1, "x"]}', good)))
    assert stream.metadata["a"] == [1, "x"]
    for unit in (
        metadata(b'{"a": NaN}'),
        metadata(b"[1]"),
        metadata(b"\xff"),
        metadata(b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}"),
        metadata(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        metadata(b'{"a": [1, "x"]}', good + b"more"),
        metadata(b'{"a": [1, "x"]}', good + good),
        metadata(b'{"a": [1, "x"]}', good[:-1]),
        metadata(b"{}", good),
        metadata(b" " * 2**21, zstandard.compress(b" " * 2**21)),
    ):
        with pytest.raises(CorruptStreamError):
            read_stream(with_unit(small, unit))


def test_metadata_that_no_float_holds(small: bytes) -> None:
    """Metadata that have been read can be written as JSON again, which has no Infinity."""
    stream = read_stream(with_unit(small, metadata(b'{"a": [1e999, -1e999, 0.5]}')))
    assert stream.metadata["a"] == [sys.float_info.max, -sys.float_info.max, 0.5]


@pytest.mark.parametrize("number", [b"9" * 400, b"-1e999", b"null", b'"31"'])
def test_a_stated_quality_that_is_none(small: bytes, number: bytes) -> None:
    stream = read_stream(with_unit(small, metadata(b'{"psnr_rgb_0":' + number + b"}")))
    assert [row["psnr_rgb"] for row in by_layer(stream)] == [None]


def test_versions(small: bytes) -> None:
    def header(major: int, minor: int, features: int) -> bytes:
        head = MAGIC + bytes([major, minor]) + features.to_bytes(4, "little")
        return head + zlib.crc32(head).to_bytes(4, "little")

    with pytest.raises(UnsupportedVersionError, match=r"version 2\.0"):
        read_stream(header(2, 0, 0) + small[18:])
    with pytest.raises(UnsupportedVersionError, match="mask 0x10"):
        read_stream(header(1, 0, 16) + small[18:])
    with pytest.raises(CorruptStreamError, match="hash"):  # a newer minor version is read, but this header is hashed
        read_stream(header(1, 7, 0) + small[18:])


def test_absurd_sizes_take_no_memory(small: bytes) -> None:
    units = list(split_units(memoryview(small)))
    for number, unit in enumerate(units):
        if unit.header.type == UnitType.NETWORK:
            payload = bytearray(unit.payload)
            assert payload[2] == 1  # the first operation is a LATENT
            payload[3:9] = b"\xff\xff\xff\xff\xff\xff"
            with pytest.raises(CorruptStreamError, match="elements"):
                read_stream(rebuilt(small, {number: bytes(payload)}))
        if unit.header.type == UnitType.SEGMENT:
            payload = bytearray(unit.payload)
            payload[4:8] = (2**22).to_bytes(4, "little")
            with pytest.raises(CorruptStreamError, match="durations do not fit"):
                read_stream(rebuilt(small, {number: bytes(payload)}))


def test_a_large_wrong_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(InputError, match="not an SDMN file"):
        read_file(path)


@pytest.mark.parametrize("name", ["missing.sdmn", "."])
def test_unreadable(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_file(tmp_path / name)


def test_nothing_but_an_index_follows_the_last_layer_end(small: bytes) -> None:
    names = unit_starts(small)
    index = next(start for start, name in names.items() if name == "INDEX")
    body = bytes([33, 1]) + bytes(3) + (7).to_bytes(8, "little") + b"\0\2\0\0\0{}"
    metadata = body + zlib.crc32(body).to_bytes(4, "little")
    for data in (small[:index] + metadata, small + metadata):
        with pytest.raises(CorruptStreamError, match="after the last LAYER_END"):
            read_stream(data)


def test_long_durations_survive() -> None:
    stream = random_stream(5)
    stream.segments[0].durations = np.array([2**62, 0, 2**40])
    assert read_stream(write_stream(stream)).ticks[2][0] == stream.segments[0].head.first_pts + 2**62
