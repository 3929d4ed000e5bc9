"""A file that grows segment by segment: valid after each one, and the same as one written at once."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from networks import random_stream

from nvcodec.errors import CorruptStreamError, UsageError
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import StreamWriter, write_stream
from nvcodec.format.units import Order


def by_segment(stream: Stream) -> Stream:
    """The same stream in compact form, segment after segment."""
    return dataclasses.replace(stream, compact=True, video=dataclasses.replace(stream.video, order=Order.BY_SEGMENT))


def alone(stream: Stream, number: int) -> Stream:
    """One segment of a stream as a stream of its own, which begins with frame 0 at time 0."""
    return dataclasses.replace(stream, segments=[stream.segments[number].moved(0, 0)], metadata={}, track_units=[])


class Recorder(io.BytesIO):
    """A sink that remembers what there was at each flush."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[bytes] = []

    def flush(self) -> None:
        self.flushed.append(self.getvalue())


@pytest.fixture
def stream() -> Stream:
    """A stream of several segments."""
    return by_segment(random_stream(3, segments=3, layers=2))


def test_the_file_is_valid_after_each_segment(stream: Stream) -> None:
    sink = Recorder()
    writer = StreamWriter(sink, stream.video)
    for segment in stream.segments:
        writer.add_segment(segment)
    assert len(sink.flushed) == len(stream.segments)
    for count, data in enumerate(sink.flushed, 1):
        assert len(read_stream(data).segments) == count
    assert writer.file_bytes == len(sink.getvalue())
    writer.finish()
    assert read_stream(sink.getvalue()).units[-1].type == "INDEX"


def test_segments_written_by_themselves_make_the_same_file(stream: Stream) -> None:
    """Also with ticks of another length in between."""
    expected = write_stream(dataclasses.replace(stream, metadata={"a": 1}))
    sink = io.BytesIO()
    writer = StreamWriter(sink, stream.video)
    writer.put_metadata({"a": 1})
    for number, segment in enumerate(stream.segments):
        writer.end = segment.head.first_pts
        writer.add_stream(read_stream(write_stream(alone(stream, number))))
    writer.finish()
    assert sink.getvalue() == expected


def test_ticks_of_another_length(stream: Stream) -> None:
    fine = dataclasses.replace(stream.video, time_base_den=stream.video.time_base_den * 3)
    sink = io.BytesIO()
    writer = StreamWriter(sink, fine)
    writer.add_stream(stream)
    writer.finish()
    read = read_stream(sink.getvalue())
    assert read.ticks == [(3 * pts, 3 * duration) for pts, duration in stream.ticks]
    assert read.seconds == stream.seconds
    with pytest.raises(UsageError, match="no multiple"):
        StreamWriter(io.BytesIO(), stream.video).add_stream(dataclasses.replace(stream, video=fine))


def test_a_duration_that_needs_another_field(stream: Stream) -> None:
    segment = stream.segments[0]
    frames = segment.head.frames
    head = dataclasses.replace(segment.head, constant_duration=2**31)
    segment = dataclasses.replace(segment, head=head, durations=np.broadcast_to(np.int64(2**31), frames))
    moved = segment.moved(0, 0, 2)
    assert (moved.head.constant_duration, moved.ticks) == (0, 2**32 * frames)
    with pytest.raises(CorruptStreamError, match="too long"):
        segment.moved(0, 0, 2**32)


def test_what_does_not_follow(stream: Stream) -> None:
    writer = StreamWriter(io.BytesIO(), stream.video)
    with pytest.raises(UsageError, match="at least one segment"):
        writer.finish()
    with pytest.raises(UsageError, match="begins with frame"):
        writer.add_segment(stream.segments[1])
    writer.add_segment(stream.segments[0])
    fewer = stream.segments[1]
    with pytest.raises(UsageError, match="layers"):
        writer.add_segment(dataclasses.replace(fewer, layers=[*fewer.layers, fewer.layers[0]]))
