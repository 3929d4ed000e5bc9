"""Times and durations: what a file says is kept, what it does not say is filled in and moves nothing else."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip
from nvcodec.video.timing import FrameTime, ticks_of


def ticks(*times: int | None, last: int = 40, count: int | None = None) -> tuple[list[int], list[int], int]:
    """Times, durations and factor of frames with these time stamps; the typical duration is 40."""
    frames = [FrameTime(time, last) for time in times]
    result, factor = ticks_of(frames, len(times) if count is None else count, 40)
    return [time for time, _ in result], [duration for _, duration in result], factor


def test_what_a_file_says_is_kept() -> None:
    assert ticks(-80, 0, 33, 100, last=7) == ([-80, 0, 33, 100], [80, 33, 67, 7], 1)
    assert ticks(0, 33, 100, count=2) == ([0, 33], [33, 67], 1)
    assert ticks(5, last=3) == ([5], [3], 1)
    assert ticks(5, last=0) == ([5], [40], 1)


def test_equal_and_missing_time_stamps_move_nothing_behind_them() -> None:
    assert ticks(0, 40, 40, 120, 160) == ([0, 40, 80, 120, 160], [40] * 5, 1)
    assert ticks(0, 80, 40, 160) == ([0, 80, 120, 160], [80, 40, 40, 40], 1)
    assert ticks(0, None, None, 90) == ([0, 30, 60, 90], [30, 30, 30, 40], 1)
    assert ticks(None, None, 100) == ([20, 60, 100], [40, 40, 40], 1)
    assert ticks(0, 40, 40, 40) == ([0, 40, 80, 120], [40] * 4, 1)
    assert ticks(0, 40, 40) == ([0, 40, 80], [40] * 3, 1)


def test_no_space_between_two_time_stamps() -> None:
    """Three frames in one unit: the unit becomes a third."""
    assert ticks(0, 10, 10, 10, 11, last=1) == ([0, 30, 31, 32, 33], [30, 1, 1, 1, 3], 3)


def test_no_time_stamps() -> None:
    """The last frame of a raw stream lasts as long as the others, whatever a parser made of its duration."""
    assert ticks(None, None, None, last=1) == ([0, 40, 80], [40, 40, 40], 1)


def test_a_new_count() -> None:
    """Time stamps that begin again, as in files put behind each other, go on from where they were."""
    times, durations, factor = ticks(0, 40, 4000, 4040, 0, 50, 90)
    assert times == [0, 40, 4000, 4040, 4080, 4130, 4170]
    assert (durations, factor) == ([40, 3960, 40, 40, 50, 40, 40], 1)


@given(st.lists(st.one_of(st.none(), st.integers(-500, 500)), min_size=1, max_size=12), st.integers(0, 50))
def test_time_always_increases(times: list[int | None], last: int) -> None:
    result, factor = ticks_of([FrameTime(time, last) for time in times], len(times), 40)
    assert len(result) == len(times)
    assert factor >= 1
    assert all(duration > 0 for _, duration in result)
    assert all(a + duration == b for (a, duration), (b, _) in itertools.pairwise(result))


# ---- files -----------------------------------------------------------------------------------------------------------


def video(path: Path, codec: str, starts: list[int], last: int, unit: Fraction, pixels: str = "yuv420p") -> Path:
    """Write frames that begin at ``starts``; packets get the durations that follow, the last one ``last``."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, pixels
        stream.time_base = unit
        for number, start in enumerate(starts):
            grey = np.full((32, 32, 3), 20 * number % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = start, unit
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            if packet.pts is not None and packet.pts * packet.time_base == starts[-1] * unit:
                packet.duration = round(last * unit / packet.time_base)
            container.mux(packet)
    return path


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv"])
def test_the_last_frame_lasts_as_long_as_the_container_says(tmp_path: Path, name: str) -> None:
    path = video(tmp_path / name, "libx264", [0, 2, 7, 19], 25, Fraction(1, 25))
    clip = read_clip(path)
    assert [time * clip.time_base for time, _ in clip.ticks] == [0, Fraction(2, 25), Fraction(7, 25), Fraction(19, 25)]
    assert clip.ticks[-1][1] * clip.time_base == 1
    part = read_clip(path, Selection(start=1, frames=2))
    assert [duration * part.time_base for _, duration in part.ticks] == [Fraction(5, 25), Fraction(12, 25)]


def test_the_last_frame_of_a_gif(tmp_path: Path) -> None:
    """The delays of a .gif are in its bytes, in hundredths of a second."""
    path = video(tmp_path / "x.gif", "gif", [0, 3, 8, 20], 1, Fraction(1, 25), "rgb8")
    data = path.read_bytes()
    at = data.rindex(b"\x21\xf9\x04") + 4
    path.write_bytes(data[:at] + (100).to_bytes(2, "little") + data[at + 2 :])
    clip = read_clip(path)
    assert [(time, duration) for time, duration in clip.ticks] == [(0, 12), (12, 20), (32, 48), (80, 100)]
    assert clip.seconds == pytest.approx(1.8)


def test_a_raw_stream(tmp_path: Path) -> None:
    path = video(tmp_path / "x.h264", "libx264", list(range(6)), 1, Fraction(1, 25))
    clip = read_clip(path)
    assert [duration * clip.time_base for _, duration in clip.ticks] == [Fraction(1, 25)] * 6
    assert [time * clip.time_base for time, _ in clip.ticks] == [Fraction(number, 25) for number in range(6)]
