"""Times and durations of interpolated frames."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from networks import random_stream

import nvcodec
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream


def video_of(durations: list[list[int]]) -> nvcodec.Video:
    """A video whose segments have frames of these durations, the first one from tick 10 on, each after a gap of 5."""
    stream = random_stream(5, segments=len(durations))
    first_pts = 10
    for segment, wanted in zip(stream.segments, durations, strict=True):
        segment.durations = np.resize(np.array(wanted), segment.head.frames)
        segment.head = dataclasses.replace(segment.head, first_pts=first_pts, constant_duration=0)
        first_pts += int(segment.durations.sum()) + 5
    return nvcodec.Video(read_stream(write_stream(stream)), device="cpu")


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_every_frame_lasts_until_the_next(factor: int) -> None:
    """In ticks of a part of the stream's: a segment lasts as long as it did, its last frame included."""
    video = video_of([[7, 4, 9], [3]])
    ticks = video.interpolated_ticks(factor)
    frames = [segment.head.frames for segment in video.stream.segments]
    first = 0
    for start, count in zip((0, frames[0]), frames, strict=True):
        own = video.stream.ticks[start : start + count]
        between = ticks[first : first + (count - 1) * factor + 1]
        first += len(between)
        for (pts, duration), (following, _) in itertools.pairwise(between):
            assert pts + duration == following
        for (pts, duration), number in zip(own[:-1], range(count), strict=False):
            assert between[number * factor : (number + 1) * factor] == [
                (factor * pts + part * duration, duration) for part in range(factor)
            ]
        assert between[-1] == (factor * own[-1][0], factor * own[-1][1])
    assert first == len(ticks)
