"""Fuzz targets, and their allowed outcomes: success, or one of the documented errors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

from nvcodec.errors import CorruptStreamError, InputError, UnsupportedVersionError, VerificationError
from nvcodec.format.describe import describe
from nvcodec.format.inference import measure
from nvcodec.format.operations import Table
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream

ALLOWED = (InputError, CorruptStreamError, UnsupportedVersionError, VerificationError)
FEW_FRAMES = 10_000  # up to here, the times of frames are listed
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
    if stream.frames <= FEW_FRAMES:
        assert len(stream.ticks) == stream.frames
    return "read, with a note" if stream.note else "read"


def decoder(data: bytes) -> str:
    """Decode the first frame of a small stream, the one halfway to the next, and the last one."""
    stream = read_stream(data)
    if not small(stream):
        return "read, too large to decode here"
    from nvcodec.decoding.decoded_video import Video  # what only parses needs no torch

    video = Video(stream, device="cpu")
    for picture, _, _ in itertools.islice(video.interpolated(2), 2):
        assert picture.shape == (3, video.height, video.width)
    for pictures in video.decode([0, len(video) - 1]):
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


TARGETS: dict[str, Callable[[bytes], str]] = {"parser": parser, "decoder": decoder}
