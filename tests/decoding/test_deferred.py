"""Files of which only what is wanted is read: the same pictures as of the whole file, from few bytes."""

from __future__ import annotations

import dataclasses
import gc
import io
import os
import pickle
from pathlib import Path

import pytest
import torch
from networks import random_stream, squares_stream

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.errors import CorruptStreamError, CutStreamError, InputError, LimitError, NvcodecError
from nvcodec.format import deferred_stream, unit_heads
from nvcodec.format.byte_source import MemorySource
from nvcodec.format.deferred_stream import KEPT, open_stream
from nvcodec.format.describe import describe
from nvcodec.format.limits import Limits
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import HEADER_BYTES, Order, UnitType, pack_unit, split_units

SEGMENTS, FRAMES = 40, 3


class Counting(MemorySource):
    """Bytes in memory; notes what is read of them."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads: list[range] = []

    def read_at(self, offset: int, count: int) -> memoryview:
        assert 0 <= offset <= offset + count <= self.size
        self.reads.append(range(offset, offset + count))
        return super().read_at(offset, count)

    def read(self) -> int:
        return len({byte for piece in self.reads for byte in piece})


def file_of(order: Order, compact: bool, index: bool, segments: int = 4, seed: int = 7) -> bytes:
    """Random networks of two layers."""
    stream = random_stream(seed, segments=segments, layers=2, frames=FRAMES, operations=3)
    stream.compact, stream.video = compact, dataclasses.replace(stream.video, order=order)
    return write_stream(stream, index=index)


FORMS = [(Order.BY_SEGMENT, True), (Order.BY_LAYER, True), (Order.BY_LAYER, False)]


@pytest.fixture(scope="module")
def many() -> bytes:
    """Many segments, one after the other."""
    return file_of(Order.BY_SEGMENT, True, True, SEGMENTS)


@pytest.fixture(scope="module")
def with_base() -> bytes:
    """Two segments with AV1 streams of several runs."""
    return write_stream(squares_stream(((4, 3, 4, 2, 4), (2, 5)), order=Order.BY_SEGMENT))


def lazily(data: bytes) -> Video:
    return Video(open_stream(MemorySource(data)), device="cpu")


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize(("order", "compact"), FORMS)
def test_all_is_as_in_the_whole_file(order: Order, compact: bool, index: bool) -> None:
    data = file_of(order, compact, index)
    whole, video = Video(data, device="cpu"), lazily(data)
    assert (len(video), video.timestamps, video.durations) == (len(whole), whole.timestamps, whole.durations)
    assert (video.layers, video.metadata, video.color) == (whole.layers, whole.metadata, whole.color)
    assert (video.stream.compact, video.stream.version, video.fps) == (compact, whole.stream.version, whole.fps)
    for frame in (*range(len(whole)), -1, 0, 4):
        assert torch.equal(video[frame], whole[frame])
    assert describe(video.stream) == describe(whole.stream)


def test_av1_is_read_run_by_run(with_base: bytes) -> None:
    whole, source = Video(with_base, device="cpu"), Counting(with_base)
    video = Video(open_stream(source), device="cpu")
    for frame in (12, 0, 7, 23, 16, 17):
        assert torch.equal(video[frame], whole[frame])
    video = Video(open_stream(source), device="cpu")
    video._networks.of(video.stream, 0)
    runs = [unit for unit in split_units(memoryview(with_base)) if unit.header.type == UnitType.BASE]
    source.reads.clear()
    video[12]  # of the fourth run
    payloads = [
        unit for unit in runs if any(piece.start <= unit.offset and unit.end <= piece.stop for piece in source.reads)
    ]
    assert payloads == [runs[3]]


def test_a_frame_takes_the_bytes_of_its_segment(many: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_heads, "TAIL_BYTES", 100)  # INDEX is longer
    source = Counting(many)
    video = Video(open_stream(source), device="cpu")
    opened = source.read()
    headers = 12 * len(list(split_units(memoryview(many))))  # INDEX
    first = next(unit.end for unit in split_units(memoryview(many)) if unit.header.type == UnitType.SEGMENT_END)
    assert opened < headers + first + 500
    source.reads.clear()
    assert torch.equal(video[FRAMES * 20 + 1], Video(many, device="cpu")[FRAMES * 20 + 1])
    units = [unit for unit in split_units(memoryview(many)) if unit.header.segment == 20]
    assert source.read() < sum(unit.bytes for unit in units) + 60 * SEGMENTS.bit_length()
    assert len(source.reads) <= SEGMENTS.bit_length() + len(units)


def test_few_segments_are_kept(many: bytes) -> None:
    source = Counting(many)
    stream = open_stream(source)
    layers = [segment.layers for segment in stream.segments]
    source.reads.clear()
    for number in range(SEGMENTS - KEPT, SEGMENTS):
        assert stream.segments[number].layers is layers[number]
    assert not source.reads
    assert stream.segments[0].layers is not layers[0]
    assert source.reads


def test_damage_costs_the_frames_of_its_segment(many: bytes) -> None:
    units = list(split_units(memoryview(many)))
    for kind in (UnitType.NETWORK, UnitType.WEIGHTS, UnitType.LATENTS, UnitType.CHECKSUMS):
        unit = next(unit for unit in units if unit.header.type == kind and unit.header.segment == 20)
        damaged = bytearray(many)
        damaged[unit.end - 5] ^= 1
        video, whole = lazily(bytes(damaged)), Video(many, device="cpu")
        for frame in (0, FRAMES * 10, FRAMES * SEGMENTS - 1):
            assert torch.equal(video[frame], whole[frame])
        with pytest.raises(CorruptStreamError, match=f"the unit at byte {unit.offset} is damaged"):
            video[FRAMES * 20]
        with pytest.raises(CorruptStreamError):
            read_stream(bytes(damaged))


def test_damaged_runs_of_av1(with_base: bytes) -> None:
    runs = [unit for unit in split_units(memoryview(with_base)) if unit.header.type == UnitType.BASE]
    damaged = bytearray(with_base)
    damaged[runs[1].end - 5] ^= 1
    video, whole = lazily(bytes(damaged)), Video(with_base, device="cpu")
    for frame in (0, 7, 20):
        assert torch.equal(video[frame], whole[frame])
    with pytest.raises(CorruptStreamError, match="damaged"):
        video[5]


@pytest.mark.parametrize("index", [True, False])
def test_cut_files(index: bool) -> None:
    for order, compact in FORMS:
        data = file_of(order, compact, index)
        ends = [unit.end for unit in split_units(memoryview(data)) if unit.header.type in (7, 9)]
        for end in (*ends, *(end + 3 for end in ends[:-1]), *(end - 3 for end in ends), HEADER_BYTES, 60):
            outcomes = []
            for read in (read_stream, lambda part: open_stream(MemorySource(part))):
                try:
                    stream = read(data[:end])
                    outcomes.append((stream.note, stream.frames, stream.layers, [unit.type for unit in stream.units]))
                except NvcodecError as error:
                    outcomes.append((type(error), isinstance(error, CutStreamError)))
            assert outcomes[0] == outcomes[1]


def test_an_index_that_disagrees(many: bytes) -> None:
    units = list(split_units(memoryview(many)))
    index = units[-1]

    def with_row(number: int, change: bytes) -> bytes:
        rows = bytearray(index.payload)
        rows[12 * number : 12 * number + len(change)] = change
        return many[: index.offset] + pack_unit(UnitType.INDEX, bytes(rows), compact=True)

    network = next(unit for unit in units if unit.header.type == UnitType.WEIGHTS and unit.header.segment == 20)
    for change in (b"\x05", b"\x04\x15\x00", b"\x04\x14\x00\x07"):  # another type, segment, layer
        with pytest.raises(CorruptStreamError):
            lazily(with_row(network.index, change))[FRAMES * 20]
    row = bytes(index.payload[12 * network.index : 12 * network.index + 4])
    for offset in (network.offset - 1, network.offset + 1, 0, 2**63):
        with pytest.raises(CorruptStreamError):
            lazily(with_row(network.index, row + offset.to_bytes(8, "little")))[FRAMES * 20]
    damaged = bytearray(many)
    damaged[-1] ^= 1
    with pytest.raises(CorruptStreamError, match=f"the unit at byte {index.offset} is damaged"):
        lazily(bytes(damaged))


def test_limits_hold_for_each_segment(many: bytes) -> None:
    with pytest.raises(LimitError, match="memory"):
        open_stream(MemorySource(many), Limits(max_memory=2**20))
    heads = [segment.head for segment in read_stream(many).segments]
    first = heads[0].width * heads[0].height
    large = next(number for number, head in enumerate(heads) if head.width * head.height > first)
    video = Video(open_stream(MemorySource(many), Limits(max_pixels=first)), device="cpu")
    video[0]
    with pytest.raises(LimitError, match="pixels"):
        video[FRAMES * large]


class Remote(io.RawIOBase):
    """A file of no operating system, with ``read`` and ``seek``."""

    def __init__(self, data: bytes) -> None:
        self.inner = io.BytesIO(data)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.inner.seek(offset, whence)

    def tell(self) -> int:
        return self.inner.tell()

    def read(self, count: int = -1) -> bytes:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        return self.inner.read(min(count, 1000) if count >= 0 else count)


def test_ways_to_give_a_file(many: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred_stream, "SMALL_BYTES", 0)
    path = tmp_path / "x.sdmn"
    path.write_bytes(many)
    (tmp_path / "behind").write_bytes(b"something" + many)
    expected = Video(many, device="cpu")[50]
    with path.open("rb") as file, (tmp_path / "behind").open("rb") as behind:
        behind.seek(len("something"))
        remote = Remote(many)
        videos = [nvcodec.open(source, device="cpu") for source in (path, str(path), file, behind, remote)]
    path.unlink()  # what is open stays
    for video in videos:
        assert type(video.stream.segments[0]) is deferred_stream.DeferredSegment
        assert torch.equal(video[50], expected)
        assert torch.equal(pickle.loads(pickle.dumps(video))[50], expected)
    remote.close()
    with pytest.raises(InputError, match="closed"):
        videos[-1][0]
    for whole in (many, io.BytesIO(many)):
        assert type(nvcodec.open(whole, device="cpu").stream.segments[0]) is not deferred_stream.DeferredSegment


def test_small_files_are_checked_at_once(many: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.sdmn"
    path.write_bytes(many[:-1] + bytes([many[-1] ^ 1]))
    with pytest.raises(CorruptStreamError, match=r"x\.sdmn"):
        nvcodec.open(path)


def test_a_file_that_becomes_shorter(many: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred_stream, "SMALL_BYTES", 0)
    path = tmp_path / "x.sdmn"
    path.write_bytes(many)
    video = nvcodec.open(path, device="cpu")
    path.write_bytes(many[:1000])
    with pytest.raises(InputError, match="shorter"):
        video[50]


def test_closing_closes_the_file(many: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred_stream, "SMALL_BYTES", 0)
    path = tmp_path / "x.sdmn"
    path.write_bytes(many)
    video = nvcodec.open(path, device="cpu")
    video[50]
    descriptor = video.stream.segments[0]._file.source.descriptor  # type: ignore[attr-defined]
    os.fstat(descriptor)
    video.close()
    gc.collect()  # networks refer to themselves
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize("order", list(Order))
def test_networks_of_earlier_segments(order: Order) -> None:
    """Each segment has the network of the first one."""
    stream = random_stream(5, segments=1, layers=2, frames=FRAMES, operations=3)
    [first] = stream.segments
    stream.segments += [first.moved(FRAMES * number, 1000 * number) for number in range(1, 5)]
    stream.compact = stream.reuse = True
    stream.video = dataclasses.replace(stream.video, order=order)
    data = write_stream(stream)
    whole = Video(data, device="cpu", verify=False)
    assert whole.stream.reused_networks == 8
    source = Counting(data)
    video = Video(open_stream(source), device="cpu", verify=False)
    source.reads.clear()
    for frame in (FRAMES * 3 + 1, 0, FRAMES * 4, FRAMES * 2):
        assert torch.equal(video[frame], whole[frame])
    assert describe(video.stream) == describe(whole.stream)
