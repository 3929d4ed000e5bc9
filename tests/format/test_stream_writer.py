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
from nvcodec.format.stream_writer import StreamWriter, append_layer, write_stream
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


# ---- networks of earlier segments ------------------------------------------------------------------------------------


def again(stream: Stream, *numbers: int) -> Stream:
    """A stream of some segments of another, one after the other, which may come several times."""
    segments, frames = [], 0
    for number in numbers:
        segments.append(stream.segments[number].moved(frames, 0))
        frames += segments[-1].head.frames
    return dataclasses.replace(stream, segments=segments, reuse=True)


def sources(data: bytes) -> list[list[int | None]]:
    """Of which segment each layer of each segment has the network."""
    return [[layer.network_of for layer in segment.layers] for segment in read_stream(data).segments]


@pytest.mark.parametrize("order", list(Order))
def test_a_network_is_stored_once(stream: Stream, order: Order) -> None:
    repeated = again(stream, 0, 1, 0, 1, 0)
    repeated.video = dataclasses.replace(repeated.video, order=order)
    data = write_stream(repeated)
    assert sources(data) == [[None, None], [None, None], [0, 0], [1, 1], [0, 0]]
    read, whole = read_stream(data), read_stream(write_stream(dataclasses.replace(repeated, reuse=False)))
    assert (read.version, read.reuse, read.reused_networks) == ((1, 4), True, 6)
    assert (whole.version, whole.reuse, whole.reused_networks) == ((1, 2), False, 0)
    assert read.file_bytes < whole.file_bytes
    own = [layer.convs for segment in read.segments[:2] for layer in segment.layers]
    stored = sum(conv.weights.size + conv.biases.size for convs in own for conv in convs.values())
    latents = sum(v.size for segment in read.segments for layer in segment.layers for v in layer.latents.values())
    assert read.parameters == stored + latents
    for one, other in zip(read.segments, whole.segments, strict=True):
        for a, b in zip(one.layers, other.layers, strict=True):
            assert (a.ops, a.tensors, a.convs.keys()) == (b.ops, b.tensors, b.convs.keys())
            assert all((a.convs[k].weights == b.convs[k].weights).all() for k in a.convs)
    assert write_stream(read) == data
    entries = [entry.label for entry in read.entries if entry.label.startswith("network")]
    assert entries.count("network of segment 0") == 4
    assert sum(entry.bytes for entry in read.entries) == len(data)


def test_layers_are_compared_one_by_one(stream: Stream) -> None:
    """The upper layer of a segment has another network; equal operations above others are another network, too."""
    repeated = again(stream, 0, 0, 0)
    upper = repeated.segments[1].layers[1]
    index, conv = next(iter(upper.convs.items()))
    changed = dataclasses.replace(conv, biases=-conv.biases)
    assert (conv.biases != 0).any()
    repeated.segments[1].layers = [
        repeated.segments[1].layers[0],
        dataclasses.replace(upper, convs={**upper.convs, index: changed}),
    ]
    low, high = upper.tensors[0].low, upper.tensors[0].high
    wider = dataclasses.replace(upper.tensors[0], low=low - 1, high=high + 1)
    repeated.segments[2].layers = [
        repeated.segments[2].layers[0],
        dataclasses.replace(upper, tensors=(wider, *upper.tensors[1:])),
    ]
    assert sources(write_stream(repeated)) == [[None, None], [0, None], [0, None]]


def test_no_more_operations_are_taken_than_allowed(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = again(stream, 0, 0, 0)
    once = sum(len(layer.ops) for layer in repeated.segments[0].layers)
    for module in ("stream_writer", "survey"):
        monkeypatch.setattr(f"nvcodec.format.{module}.MAX_REUSED_OPS", once)
    data = write_stream(repeated)
    assert sources(data) == [[None, None], [0, 0], [None, None]]
    monkeypatch.setattr("nvcodec.format.survey.MAX_REUSED_OPS", once - 1)
    with pytest.raises(CorruptStreamError, match="earlier segments have more than"):
        read_stream(data)


def test_layers_above_networks_used_again(stream: Stream) -> None:
    """A layer is added to a file that has references; its own network comes twice."""
    repeated = again(stream, 0, 0)
    repeated.video = dataclasses.replace(repeated.video, order=Order.BY_LAYER)
    lower = dataclasses.replace(
        repeated, segments=[dataclasses.replace(s, layers=s.layers[:1]) for s in repeated.segments]
    )
    data = append_layer(write_stream(lower), repeated)
    assert sources(data) == [[None, None], [0, 0]]
    with pytest.raises(UsageError, match="earlier version"):
        append_layer(write_stream(dataclasses.replace(lower, reuse=False)), repeated)
