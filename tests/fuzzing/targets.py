"""Fuzz targets, and their allowed outcomes: success, or one of the documented errors."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable

import numpy as np
from fuzzing.apart import Apart

from nvcodec.errors import CorruptStreamError, InputError, UnsupportedVersionError, VerificationError
from nvcodec.format.byte_source import MemorySource
from nvcodec.format.deferred_stream import open_stream
from nvcodec.format.describe import describe
from nvcodec.format.extras import extras_of
from nvcodec.format.inference import measure
from nvcodec.format.mp4_box import UUID, unwrap
from nvcodec.format.operations import Table
from nvcodec.format.stream import Layer, Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.units import HEADER_BYTES

ALLOWED = (InputError, CorruptStreamError, UnsupportedVersionError, VerificationError)
FEW_FRAMES = 10_000  # up to here, the times of frames are listed
FEW_PICTURES = 30  # of an AV1 stream
MOST_MULTIPLICATIONS = 2**22  # per frame of what is decoded here
MOST_ELEMENTS = 2**18
MOST_ENTRIES = 2**20  # of all tables of functions


def outcome(target: Callable[[bytes], str], data: bytes) -> str:
    """The outcome for an input: the target's word, or the class of the error. Other exceptions pass through."""
    try:
        return target(data)
    except ALLOWED as error:
        assert str(error), "an error without a sentence"
        assert "\n" not in str(error), "an error of several lines"
        return type(error).__name__


def parser(data: bytes) -> str:
    """Read a stream and what ``info`` prints of it."""
    stream = read_stream(data)
    assert sum(entry.bytes for entry in stream.entries) == stream.file_bytes == len(data) or stream.note
    json.dumps(describe(stream))
    extras, note = extras_of(stream)
    assert sum(track.bytes for track in extras.tracks) <= len(data)
    assert "\n" not in note
    if stream.frames <= FEW_FRAMES:
        assert len(stream.ticks) == stream.frames
    return "read, with a note" if stream.note else "read"


def salvager(data: bytes) -> str:
    """Read what can be used of a damaged stream, and which layers each frame has."""
    stream = read_stream(data, keep_going=True)
    if stream.frames <= FEW_FRAMES:
        assert all(0 <= stream.layers_of(frame) <= stream.layers for frame in range(stream.frames))
    return "read, with damage" if stream.damage else "read"


def unwrapper(data: bytes) -> str:
    """Read the file inside an MP4 whose media data are a stream, and whose box has what follows a file header."""
    boxes = ((b"ftyp", b"isom"), (b"mdat", data), (b"uuid", UUID + data[HEADER_BYTES:]))
    file = b"".join((8 + len(content)).to_bytes(4, "big") + kind + content for kind, content in boxes)
    assert len(unwrap(io.BytesIO(file))) <= len(file)
    return "unwrapped"


def deferred(data: bytes) -> str:
    """Read a stream segment by segment, the last one first; one that is right as a whole has the same content then."""
    try:
        whole = read_stream(data)
    except ALLOWED:
        whole = None
    try:
        stream = open_stream(MemorySource(data))
        segments = [(segment.head, segment.durations, segment.layers) for segment in reversed(stream.segments)]
        runs = [[list(layer.base) for layer in layers] for _, _, layers in segments]
    except ALLOWED as error:
        # What looks cut to a reader that goes from unit to unit is damaged by what INDEX says.
        assert whole is None or whole.note, f"{error}, which the reader of the whole stream does not find"
        raise
    if whole is None:
        return "read, in spite of a damage elsewhere"
    assert (stream.frames, stream.metadata, stream.note) == (whole.frames, whole.metadata, whole.note)
    assert list(stream.track_units) == list(whole.track_units)
    for (head, durations, layers), base, expected in zip(segments, runs, reversed(whole.segments), strict=True):
        assert head == expected.head
        np.testing.assert_equal(durations, expected.durations)
        for layer, found, other in zip(layers, base, expected.layers, strict=True):
            np.testing.assert_equal(_plain(layer), _plain(other))
            assert found == list(other.base)
    return "read, with a note" if whole.note else "read"


def _plain(layer: Layer) -> dict[str, object]:
    """What a layer has but its AV1 stream, in a form that can be compared."""
    convs = {index: vars(conv) for index, conv in layer.convs.items()}
    return {**vars(layer), "convs": convs, "base": None}


def decoder(data: bytes) -> str:
    """Decode the first frame of a small stream, the one halfway to the next, and the last one."""
    stream = read_stream(data)
    if not small(stream):
        return "read, too large to decode here"
    if any(segment.has_base for segment in stream.segments):
        return "read, with AV1, which is decoded in a process of its own"
    from nvcodec.decoding.decoded_video import Video  # what only parses needs no torch

    video = Video(stream, device="cpu")
    for picture, _, _ in itertools.islice(video.interpolated(2), 2):
        assert picture.shape == (3, video.height, video.width)
    for pictures in video.decode([0, len(video) - 1]):
        assert pictures.shape[1] == 3
    return "decoded"


def base_decoder(data: bytes) -> str:
    """Decode some frames of a small stream with AV1: in order, and the last one first."""
    stream = read_stream(data)
    if not any(segment.has_base for segment in stream.segments):
        return "read, without AV1"
    if not small(stream):
        return "read, too large to decode here"
    import torch

    from nvcodec.decoding.decoded_video import Video

    torch.set_num_threads(2)  # dav1d's threads, too
    video = Video(stream, device="cpu", verify=False)
    for picture in itertools.islice(video, FEW_PICTURES):
        assert picture.shape[0] == 3
    for pictures in Video(stream, device="cpu").decode([len(video) - 1, 0]):
        assert pictures.shape[1] == 3
    return "decoded"


def small(stream: Stream) -> bool:
    """Whether decoding a frame takes little in every segment."""
    multiplications = elements = entries = 0
    for segment in stream.segments:
        for layer in segment.layers:
            cost = measure(layer.ops, layer.tensors)
            multiplications += cost.multiplications
            elements += sum(tensor.elements for tensor in layer.tensors)
            sources = [layer.tensors[op.input] for op in layer.ops if isinstance(op, Table)]
            entries += sum(tensor.high - tensor.low + 1 for tensor in sources)
    return multiplications <= MOST_MULTIPLICATIONS and elements <= MOST_ELEMENTS and entries <= MOST_ENTRIES


TARGETS: dict[str, Callable[[bytes], str]] = {
    "parser": parser,
    "unwrapper": unwrapper,
    "salvager": salvager,
    "deferred": deferred,
    "decoder": decoder,
    "base": Apart("fuzzing.targets.base_decoder"),
}
