"""Frames of an AV1 stream on demand: the same in every order, with little kept, from several threads, or an error."""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import os
import time
import warnings
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import av1
import av1_writer as aw
import numpy as np
import pytest
import torch
from av1_writer import SequenceHeader, obu
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import base_stream, squares_stream

from nvcodec.decoding import base_decoder
from nvcodec.decoding.base_decoder import OPEN_RUNS, BaseDecoder, Planes
from nvcodec.decoding.decoded_video import Video
from nvcodec.errors import CorruptStreamError, InputError, UsageError
from nvcodec.format.operations import Picture
from nvcodec.format.stream import BaseRun
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream

LENGTHS = (5, 4, 1, 3)
PICTURE = Picture(18, 32, 8, 1, 0, 6, 0, 0)
PLENTY = 2**30
SMALL = SequenceHeader(8, 8)
SMALL_PICTURE = Picture(8, 8, 8, 1, 0, 6, 0, 0)
PLANES = av1.picture(1, SMALL)


def runs(depth: int = 8) -> tuple[BaseRun, ...]:
    return av1.squares(18, 32, depth, LENGTHS)


def sequential(depth: int = 8) -> list[list[list[list[int]]]]:
    """The planes of all frames, run by run, as numbers."""
    return [[plane.tolist() for plane in planes] for run in runs(depth) for planes in av1.dav1d(run.temporal_units)]


def numbers(decoder: BaseDecoder, frame: int) -> list[list[list[int]]]:
    return [plane.tolist() for plane in decoder.planes(frame)]


def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the first frame of each run that is opened."""
    found: list[int] = []

    class Counted(base_decoder._OpenRun):
        def __init__(self, run: BaseRun, picture: Picture) -> None:
            found.append(run.first)
            super().__init__(run, picture)

    monkeypatch.setattr(base_decoder, "_OpenRun", Counted)
    return found


@pytest.mark.parametrize("depth", [8, 10])
def test_in_order(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = opened(monkeypatch)
    op = dataclasses.replace(PICTURE, depth=depth)
    decoder = BaseDecoder(runs(depth), op, 0)
    assert [numbers(decoder, frame) for frame in range(13)] == sequential(depth)
    assert found == [0, 5, 9, 10]
    planes = decoder.planes(3)
    assert {plane.dtype for plane in planes} == {np.dtype(np.uint8 if depth == 8 else np.uint16)}
    assert [plane.shape for plane in planes] == [(18, 32), (9, 16), (9, 16)]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 12), max_size=20), st.sampled_from([0, 2000, PLENTY]))
def test_in_any_order(frames: list[int], cache_bytes: int) -> None:
    decoder, expected = BaseDecoder(runs(), PICTURE, cache_bytes), sequential()
    assert [numbers(decoder, frame) for frame in frames] == [expected[frame] for frame in frames]


def test_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that were decoded on the way are kept as well; those that were asked for longest ago go first."""
    found = opened(monkeypatch)
    size = 18 * 32 * 3 // 2
    decoder = BaseDecoder(runs(), PICTURE, 3 * size + 5)
    decoder.planes(4)
    assert list(decoder._kept) == [2, 3, 4]
    decoder.planes(2), decoder.planes(3)
    assert found == [0]
    decoder.planes(5)
    assert list(decoder._kept) == [2, 3, 5]
    decoder.planes(4)
    assert found == [0, 5, 0]
    assert list(decoder._kept) == [2, 3, 4]
    for frame in (*range(13), *range(12, -1, -1)):
        decoder.planes(frame)
        assert sum(plane.nbytes for planes in decoder._kept.values() for plane in planes) <= 3 * size
        assert len(decoder._open) <= OPEN_RUNS


def test_runs_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs may be read side by side; of three, the one that waited longest is opened anew."""
    found = opened(monkeypatch)
    decoder = BaseDecoder(runs(), PICTURE, 0)
    for frame in (0, 5, 1, 6, 2):
        decoder.planes(frame)
    assert found == [0, 5]
    decoder.planes(10)
    decoder.planes(7)
    assert found == [0, 5, 10, 5]
    decoder.planes(3)
    assert found == [0, 5, 10, 5, 0]


@pytest.mark.parametrize("cache_bytes", [0, PLENTY])
def test_several_threads(cache_bytes: int) -> None:
    decoder, expected = BaseDecoder(runs(), PICTURE, cache_bytes), sequential()
    frames = np.random.default_rng(1).integers(0, 13, 60).tolist()
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda frame: numbers(decoder, frame), frames))
    assert found == [expected[frame] for frame in frames]


def test_several_threads_and_little_room() -> None:
    """Between looking for a frame and taking it, another thread could drop it."""

    class Slow(OrderedDict[int, Planes]):
        def __contains__(self, key: object) -> bool:
            found = super().__contains__(key)
            time.sleep(0.001)
            return found

    decoder, expected = BaseDecoder(runs(), PICTURE, 2 * 18 * 32 * 3 // 2), sequential()
    decoder._kept = Slow()
    frames = [0, 1, 0, 5, 1, 6] * 15
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda frame: numbers(decoder, frame), frames))
    assert found == [expected[frame] for frame in frames]


def test_several_threads_of_dav1d() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        decoder = BaseDecoder(runs(), PICTURE, 0)
        assert [numbers(decoder, frame) for frame in range(13)] == sequential()
    finally:
        torch.set_num_threads(before)


def test_a_child_lets_go_of_decoders() -> None:
    """Threads of dav1d stay with the parent: a child that waited for those of a decoder would wait for good.

    One decoder is in use, and one is left over from a cycle, where it would be found whenever Python looks for such.
    """
    used, expected = list[BaseDecoder](), sequential()[6]

    def child() -> None:
        used.clear()
        gc.collect()
        os._exit(0 if numbers(BaseDecoder(runs(), PICTURE, 0), 6) == expected else 1)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    gc.disable()
    try:
        used.append(BaseDecoder(runs(), PICTURE, 0))
        left: list[object] = [BaseDecoder(runs(), PICTURE, 0)]
        for decoder in (*used, *left):
            decoder.planes(1)  # type: ignore[attr-defined]
        left.append(left)
        del left, decoder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of forks in a process with threads
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
        process.join(60)
        hangs = process.exitcode is None
        process.kill()
        assert (hangs, process.exitcode) == (False, 0)
    finally:
        gc.enable()
        torch.set_num_threads(before)


@pytest.mark.parametrize("depth", [8, 10])
def test_grey(depth: int) -> None:
    sequence = SequenceHeader(7, 5, depth, monochrome=True)
    planes = [av1.picture(seed, sequence) for seed in range(2)]
    data = sequence.obu() + b"".join(aw.frame(sequence, each) for each in planes)
    op = Picture(5, 7, depth, 0, 0, 6, 0, 0)
    decoder = BaseDecoder([av1.run_of(data, 0, 2, op)], op, 0)
    assert [numbers(decoder, frame) for frame in (1, 0)] == [[planes[1][0].tolist()], [planes[0][0].tolist()]]


# ---- what does not decode --------------------------------------------------------------------------------------------

WHOLE = aw.frame(SMALL, PLANES)
HEAD, TILES = (obu(*part) for part in aw.split(aw.frame(SMALL, PLANES, groups=1)))
BROKEN = {
    "a header that ends early": obu(aw.FRAME, aw.split(WHOLE)[0][1][:2]),
    "no tiles": HEAD,
    "an empty tile": HEAD + obu(aw.TILE_GROUP, b""),
    "a tile too many": WHOLE + TILES,
}


def small_run(*frames: bytes, first: int = 0) -> BaseRun:
    return av1.run_of(SMALL.obu() + b"".join(frames), first, len(frames), SMALL_PICTURE)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_run_that_does_not_decode(broken: bytes, threads: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Its frames raise, each time; those of other runs do not. Nobody but the caller hears of it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = [small_run(WHOLE, first=0), small_run(WHOLE, broken, first=1), small_run(WHOLE, first=3)]
        decoder = BaseDecoder(made, SMALL_PICTURE, 0)
        for _ in range(2):
            with pytest.raises(CorruptStreamError, match="AV1 frames 1 to 2 do not decode: ") as error:
                decoder.planes(2)
            assert "\n" not in str(error.value)
            assert numbers(decoder, 3) == numbers(decoder, 0) == [plane.tolist() for plane in PLANES]
    finally:
        torch.set_num_threads(before)
    assert capfd.readouterr() == ("", "")


def test_packets_are_ffmpegs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of dav1d that lets go of Python's memory waits for Python's lock, perhaps for good."""
    import av

    monkeypatch.setattr(base_decoder, "essential", lambda unit: unit)
    create, packets = av.CodecContext.create, list[tuple[int, bytes]]()

    class Listening:
        def __init__(self, *arguments: str) -> None:
            self.context = create(*arguments)

        def decode(self, packet: av.Packet | None) -> list[av.VideoFrame]:
            if packet is not None:
                packets.append((packet.buffer_ptr, bytes(packet)))
            return self.context.decode(packet)

    monkeypatch.setattr(av, "CodecContext", type("Codecs", (), {"create": Listening}))
    run = small_run(WHOLE, WHOLE)
    BaseDecoder([run], SMALL_PICTURE, 0).planes(1)
    assert [data for _, data in packets] == list(run.temporal_units)
    assert all(
        where != np.frombuffer(unit, np.uint8).ctypes.data
        for (where, _), unit in zip(packets, run.temporal_units, strict=True)
    )


def test_metadata_do_not_matter() -> None:
    """dav1d refuses some that make no sense."""
    unit = obu(aw.METADATA, b"") + obu(aw.METADATA, b"\xff" * 9) + obu(aw.METADATA, b"\4\xb5") + obu(aw.PADDING, b"x")
    run = av1.run_of(SMALL.obu() + unit + WHOLE + unit + WHOLE + unit, 0, 2, SMALL_PICTURE)
    decoder = BaseDecoder([run], SMALL_PICTURE, 0)
    assert numbers(decoder, 0) == numbers(decoder, 1) == [plane.tolist() for plane in PLANES]


def test_fewer_pictures_than_stated() -> None:
    decoder = BaseDecoder([small_run(WHOLE, BROKEN["no tiles"])], SMALL_PICTURE, 0)
    with pytest.raises(CorruptStreamError, match="yields only 1"):
        decoder.planes(1)


def test_a_lost_run() -> None:
    decoder = BaseDecoder([run for run in runs() if run.first != 5], PICTURE, PLENTY)
    expected = sequential()
    for frame in range(13):
        if 5 <= frame < 9:
            with pytest.raises(CorruptStreamError, match=f"frame {frame} of the segment is lost"):
                decoder.planes(frame)
        else:
            assert numbers(decoder, frame) == expected[frame]


@pytest.mark.parametrize("change", [{"width": 9}, {"height": 7}, {"depth": 10}, {"chroma": 0}], ids=str)
def test_another_picture_than_stated(change: dict[str, int]) -> None:
    """The headers' check refuses such a run before; should the two ever disagree, it ends here."""
    decoder = BaseDecoder([small_run(WHOLE)], dataclasses.replace(SMALL_PICTURE, **change), 0)
    with pytest.raises(CorruptStreamError, match="dav1d yields 8x8 yuv420p"):
        decoder.planes(0)


def test_without_dav1d(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_decoder, "CODEC", "no-such-codec")
    with pytest.raises(InputError, match="pip install"):
        BaseDecoder(runs(), PICTURE, 0).planes(0)


# ---- videos ----------------------------------------------------------------------------------------------------------


def test_frames_of_a_video_in_any_order() -> None:
    video = Video(write_stream(squares_stream([(4, 3), (2, 2)])), device="cpu")
    whole = video[:]
    assert whole.shape == (11, 3, 18, 32)
    for frame in (6, 3, 9, 10, 0, 8, 4):
        assert (video[frame] == whole[frame]).all()
    assert (video[9:1:-3] == whole.flip(0)[1:9:3]).all()
    assert (Video(video.stream, device="cpu", batch=4)[:] == whole).all()


def test_nothing_lies_between_frames() -> None:
    video = Video(squares_stream(), device="cpu")
    assert len(list(video.interpolated(1))) == 7
    for between in (lambda: video.interpolated(2), lambda: video.at_rate(25)):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="between its frames there are no pictures"):
            between()


def test_a_video_of_a_run_that_does_not_decode() -> None:
    good = base_stream([[small_run(WHOLE, WHOLE)]], SMALL_PICTURE, layers=1)
    bad = base_stream([[small_run(WHOLE, WHOLE)]], SMALL_PICTURE, layers=1)
    bad.segments[0].layers[0].base = (small_run(WHOLE, BROKEN["no tiles"]),)
    video = Video(read_stream(write_stream(bad)), device="cpu")
    assert (video[0] == Video(good, device="cpu")[0]).all()
    with pytest.raises(CorruptStreamError, match="do not decode"):
        video[1]
