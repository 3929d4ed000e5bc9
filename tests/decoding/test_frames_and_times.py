"""Frames by number and by time, with their times; the properties of a video; closing it. All values are exact."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import threading
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import random_stream

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.frame_times import FrameTimes
from nvcodec.errors import CorruptStreamError, InputError, UsageError
from nvcodec.format.stream import Stream
from nvcodec.format.stream_writer import write_stream

#: Uneven times from -0.1 s to 0.5 s; frame 2 lasts for no time.
TICKS = [(-10, 5), (-5, 15), (10, 0), (10, 20), (30, 20)]
TIMES = FrameTimes(TICKS, Fraction(1, 100))


@pytest.fixture(scope="module")
def stream() -> Stream:
    """Six frames, each 1001/30000 s, from 1 s on."""
    stream = random_stream(4, frames=6)
    stream.video = type(stream.video)(**{**vars(stream.video), "time_base_num": 1001, "time_base_den": 30000})
    head = stream.segments[0].head
    stream.segments[0].head = type(head)(**{**vars(head), "first_pts": 30, "constant_duration": 1})
    stream.segments[0].durations[:] = 1
    return stream


@pytest.fixture
def video(stream: Stream) -> Video:
    return Video(stream, device="cpu")


@pytest.fixture(scope="module")
def pictures(stream: Stream) -> torch.Tensor:
    return torch.stack(list(Video(stream, device="cpu")))


@pytest.mark.parametrize(
    ("key", "frames"),
    [
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [5, 3, 1]),
        (slice(4, 99), [4, 5]),
        (slice(2, 2), []),
        ([3, 5], [3, 5]),
        ((5, 0, 0), [5, 0, 0]),
        ([-1, -6], [5, 0]),
        ([], []),
        (range(4, 0, -3), [4, 1]),
        (torch.tensor([2, 1]), [2, 1]),
        (torch.tensor([2]), [2]),
        (np.array([0, -2]), [0, 4]),
        (np.array([4]), [4]),
        ([np.int64(2), torch.tensor(3)], [2, 3]),
    ],
)
def test_several_frames(video: Video, pictures: torch.Tensor, key: Any, frames: list[int]) -> None:
    assert torch.equal(video[key], pictures[frames])
    batch = video.frames(key)
    assert torch.equal(batch.data, pictures[frames])
    assert batch.pts_seconds.tolist() == [float((30 + frame) * Fraction(1001, 30000)) for frame in frames]
    assert batch.duration_seconds.tolist() == [1001 / 30000] * len(frames)
    assert batch.pts_seconds.dtype == batch.duration_seconds.dtype == torch.float64
    assert len(batch) == len(list(batch)) == len(frames)


@pytest.mark.parametrize("key", [4, -2, np.int64(4), np.uint8(4), torch.tensor(4), np.array(-2)])
def test_one_frame(video: Video, pictures: torch.Tensor, key: Any) -> None:
    assert torch.equal(video[key], pictures[4])
    data, pts, duration = video.frame(key)
    assert torch.equal(data, pictures[4])
    assert (pts, duration) == (34 * 1001 / 30000, 1001 / 30000)


@pytest.mark.parametrize("key", [6, -7, [0, 6], torch.tensor([-7])])
def test_frames_that_do_not_exist(video: Video, key: Any) -> None:
    with pytest.raises(IndexError, match=r"^frame (6|-7) of a video of 6 frames$"):
        video[key]


@pytest.mark.parametrize(
    "key", [1.0, "1", None, [1.0], [[1]], torch.tensor([0.5]), torch.tensor([True] * 6), np.array([[1, 2]]), [True]]
)
def test_what_chooses_no_frames(video: Video, key: Any) -> None:
    with pytest.raises(UsageError, match=r"^frames are chosen by numbers"):
        video[key]


@pytest.mark.parametrize(
    ("seconds", "frame"),
    [(-0.1, 0), (-0.0501, 0), (-0.05, 1), (0, 1), (0.0999, 1), (0.1, 3), (Fraction(3, 10), 4), (0.4999, 4)],
)
def test_the_frame_at_a_time(seconds: float | Fraction, frame: int) -> None:
    assert TIMES.at(seconds) == frame


@pytest.mark.parametrize("seconds", [-0.1000001, 0.5, Fraction(1, 2), 1, float("nan"), float("inf")])
def test_times_at_which_nothing_is_shown(seconds: float | Fraction) -> None:
    with pytest.raises(IndexError, match=r"it lasts from -0\.1 s to before 0\.5 s$"):
        TIMES.at(seconds)


@pytest.mark.parametrize(
    ("start", "stop", "frames"),
    [
        (-0.1, 0.5, [0, 1, 2, 3, 4]),
        (-0.05, 0.1, [1]),
        (-0.06, 0.1, [0, 1]),
        (0.0, 0.11, [1, 2, 3]),
        (0.1, Fraction(3, 10), [3]),
        (0.2, 0.2, []),
        (0.5, 0.5, []),
    ],
)
def test_frames_between_two_times(start: float, stop: float, frames: list[int]) -> None:
    assert TIMES.between(start, stop) == frames


@pytest.mark.parametrize(("start", "stop"), [(0.2, 0.1), (-0.2, 0.1), (0.1, 0.6), (float("nan"), 0.1)])
def test_no_part_of_the_video(start: float, stop: float) -> None:
    with pytest.raises(UsageError, match="is no part of the video"):
        TIMES.between(start, stop)


def test_segments_that_overlap() -> None:
    """What began last is shown, whatever its number."""
    times = FrameTimes([(10, 10), (20, 10), (0, 15), (15, 10)], Fraction(1))
    assert [times.at(second) for second in (0, 10, 14, 15, 19, 20, 29)] == [2, 0, 0, 3, 3, 1, 1]
    assert (times.begin, times.end) == (0, 30)


def test_a_time_that_was_read_from_a_frame_finds_it(video: Video, pictures: torch.Tensor) -> None:
    """1001/30000 s has no float: each is a little before or after its frame's time."""
    errors = [Fraction(float(seconds)) - seconds for seconds in video.timestamps]
    assert min(errors) < 0 < max(errors)
    batch = video.frames_at(video.frames(slice(None)).pts_seconds)
    assert torch.equal(batch.data, pictures)
    assert [video.frame_at(seconds).pts_seconds for seconds in video.timestamps] == batch.pts_seconds.tolist()
    everything = video.frames_played_in(video.begin_seconds, video.end_seconds)
    assert torch.equal(everything.data, pictures)
    assert torch.equal(video.frames_at([1.1, 1.05]).data, pictures[[2, 1]])
    assert torch.equal(video.frames_played_in(1.05, 1.11).data, pictures[1:4])


def test_properties(video: Video) -> None:
    assert video.duration == Fraction(6 * 1001, 30000) == sum(video.durations)
    assert video.duration_seconds == 6006 / 30000
    assert (video.begin_seconds, video.end_seconds) == (30 * 1001 / 30000, 36 * 1001 / 30000)
    assert video.fps == 30000 / 1001
    about = nvcodec.info(write_stream(video.stream))
    assert video.color == about["color"]
    assert video.metadata == about["metadata"]
    aspect = video.stream.video
    assert video.sample_aspect == Fraction(aspect.sample_aspect_num, aspect.sample_aspect_den)


def test_reprs(video: Video, stream: Stream, tmp_path: Path) -> None:
    size = f"{video.width}x{video.height}"
    assert repr(video) == f"<nvcodec.Video: 6 frames of {size}, 29.97 frames/s, 0.2002 s>"
    path = tmp_path / "x.sdmn"
    path.write_bytes(write_stream(stream))
    named = nvcodec.open(path, device="cpu")
    assert repr(named) == f"<nvcodec.Video {path}: 6 frames of {size}, 29.97 frames/s, 0.2002 s>"
    named.close()
    assert repr(named) == f"<nvcodec.Video {path}: closed>"
    shape = f"<uint8 [3, {video.height}, {video.width}] on cpu>"
    assert repr(video.frame(0)) == f"Frame(data={shape}, pts_seconds=1.001, duration_seconds={1001 / 30000})"
    shape = f"<uint8 [1, 3, {video.height}, {video.width}] on cpu>"
    times = f"pts_seconds=[1.001], duration_seconds=[{1001 / 30000}]"
    assert repr(video.frames([0])) == f"FrameBatch(data={shape}, {times})"


# ---- files -----------------------------------------------------------------------------------------------------------


class Dripping(io.RawIOBase):
    """A binary file without a name or a number, whose reads are short."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def read(self, size: int = -1) -> bytes:
        piece, self.rest = self.rest[: min(size, 7)], self.rest[min(size, 7) :]
        return piece


def test_every_way_to_give_a_file(stream: Stream, pictures: torch.Tensor, tmp_path: Path) -> None:
    data = write_stream(stream)
    path = tmp_path / "x.sdmn"
    path.write_bytes(data)
    with path.open("rb") as opened:
        for file in (str(path), path, data, bytearray(data), memoryview(data), opened, io.BytesIO(data)):
            with nvcodec.open(file, device="cpu") as video:
                assert torch.equal(video[:], pictures)
    assert nvcodec.open(Dripping(data), device="cpu").stream.frames == 6  # type: ignore[arg-type]
    assert nvcodec.info(io.BytesIO(data)) == nvcodec.info(path)


def test_what_is_no_file(stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "x.sdmn"
    path.write_bytes(write_stream(stream))
    for wrong in (3, None, [b""]):
        with pytest.raises(UsageError, match="path, bytes, or an object with `read`; not as"):
            nvcodec.open(wrong)  # type: ignore[arg-type]
    with path.open(encoding="latin-1") as opened, pytest.raises(UsageError, match=r"x\.sdmn: .* not open in binary"):
        nvcodec.open(opened)  # type: ignore[arg-type]


def test_errors_name_the_file(stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "x.sdmn"
    good = write_stream(stream)
    for data, error in ((b"something else", InputError), (good[:40] + b"?" + good[41:], CorruptStreamError)):
        path.write_bytes(data)
        for function in (nvcodec.open, nvcodec.info):
            with pytest.raises(error, match=f"^{path}: "):
                function(path)
    path.write_bytes(good)
    with path.open("rb") as opened, pytest.raises(UsageError, match=f"^{path}: the file has 1 layer"):
        nvcodec.open(opened, layers=2)
    video = nvcodec.open(path, device="cpu")
    layer = video.stream.segments[0].layers[0]
    layer.frames_per_checksum, layer.checksums = 1, np.zeros(6, np.uint32)
    with pytest.raises(nvcodec.VerificationError, match=f"^{path}: frame 0 does not"):
        video[0]
    for wrong in (lambda: video[6], lambda: video.frame(6), lambda: video.frame_at(9)):
        with pytest.raises(IndexError, match=f"^{path}: "):
            wrong()
    for refused in (lambda: video["a"], lambda: video.frames_played_in(0, 9)):  # type: ignore[index]
        with pytest.raises(UsageError, match=f"^{path}: "):
            refused()


def test_closing(video: Video) -> None:
    with video as same:
        assert same is video
        waiting = iter(video)
        next(waiting)
        assert video._networks.kept
    assert video.closed
    assert not video._networks.kept
    video.close()
    uses = (
        lambda: len(video),
        lambda: video[0],
        lambda: video.frame_at(1.01),
        lambda: video.timestamps,
        lambda: video.metadata,
        lambda: video.interpolated(2),
        lambda: next(waiting),
        lambda: list(video),
        video.__enter__,
    )
    for use in uses:
        with pytest.raises(UsageError, match=r"^the video is closed$"):
            use()
    assert pickle.loads(pickle.dumps(video)).closed


# ---- processes -------------------------------------------------------------------------------------------------------


def _decode(video: Video, queue: Any) -> None:
    torch.set_num_threads(1)
    queue.put(video[3].numpy().tobytes())


def test_a_fork_of_a_video_with_an_av1_stream(tiny_av1_file: Path) -> None:
    """The child has neither the threads of dav1d nor whoever may hold the lock of the parent's decoder."""
    video = nvcodec.open(tiny_av1_file, device="cpu")
    torch.set_num_threads(3)
    try:
        expected = video[3].numpy().tobytes()
        video[1]
    finally:
        torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = context.Process(target=_decode, args=(video, queue), daemon=True)
        child.start()
    assert queue.get(timeout=60) == expected
    child.join(60)
    assert child.exitcode == 0


def test_cuda_in_a_forked_process(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, ...")

    monkeypatch.setattr("nvcodec.decoding.decoded_video.ExactNetwork", refuse)
    with pytest.raises(UsageError, match="CUDA cannot be used in a forked process"):
        video[0]


def test_closing_while_others_decode(stream: Stream) -> None:
    """Each thread decodes until it finds the video closed."""
    video = Video(stream, device="cpu")
    started = threading.Barrier(3)
    messages = []

    def work() -> None:
        video[0]
        started.wait(30)
        try:
            while True:
                video.frame_at(1.01)
        except UsageError as error:
            messages.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait(30)
    video.close()
    for thread in threads:
        thread.join(30)
    assert messages == ["the video is closed"] * 2
