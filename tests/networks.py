"""Random but valid streams: every operation, several segments and layers."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from av1 import squares

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.picture_checksums import picture_bytes
from nvcodec.errors import CorruptStreamError
from nvcodec.format import operations as o
from nvcodec.format.arithmetic.bounds import LIMIT, reach, rounded_bias
from nvcodec.format.entropy.frequency_tables import Constant
from nvcodec.format.fields import varint
from nvcodec.format.inference import Tensor, infer, infer_one
from nvcodec.format.stream import BaseRun, ConvWeights, Layer, Segment, Stream
from nvcodec.format.units import (
    EndMark,
    LatentsHead,
    Order,
    SegmentHead,
    UnitType,
    Video,
    pack_file_header,
    pack_unit,
)


class Builder:
    """A growing list of operations, all of them valid."""

    def __init__(self, rng: np.random.Generator, lower: Sequence[Layer] = ()) -> None:
        self.rng = rng
        self.lower = {layer_index: layer.tensors for layer_index, layer in enumerate(lower)}
        self.ops: list[o.Op] = []
        self.tensors: list[Tensor] = []
        self.convs: dict[int, ConvWeights] = {}

    def add(self, op: o.Op) -> int:
        self.tensors.append(infer_one(op, len(self.ops), self.tensors, self.lower))
        self.ops.append(op)
        return len(self.ops) - 1

    def any(self) -> int:
        return int(self.rng.integers(len(self.ops)))

    def conv(self, source: int, channels: int, low: int, high: int) -> int:
        rng, tensor = self.rng, self.tensors[source]
        kernel = rng.choice([1, 3, 5], 2)
        op = o.Conv(source, channels, *map(int, kernel), int(rng.integers(1, 5)), int(rng.integers(0, 4)), low, high)
        spread = int(rng.choice([1, 20, 127]))
        weights = rng.integers(-spread, spread + 1, o.weight_shape(op, tensor.channels), dtype=np.int32)
        center = int(rng.integers(20, 110))
        steps = rng.integers(center - 10, center + 10, op.steps, dtype=np.int32)
        biases = rng.integers(-2047, 2048, channels, dtype=np.int32)
        while True:
            conv = ConvWeights(weights, biases, steps)
            bias = rounded_bias(conv.accumulator_bias(op), conv.first_shifts(op))
            if reach(weights, bias, tensor).max() < LIMIT:
                break
            weights, biases = weights // 2 + (weights < 0), biases // 2 + (biases < 0)
            if not weights.any() and not biases.any():
                steps = steps * 0
        self.convs[self.add(op)] = conv
        return len(self.ops) - 1

    def grow(self, count: int) -> None:
        """Add ``count`` random operations; those that break a rule are drawn again."""
        while count:
            source = self.any()
            try:
                index = self.draw(source)
            except CorruptStreamError:
                continue
            if max(self.tensors[index].elements, self.tensors[source].elements) > 4000:
                self.ops.pop(), self.tensors.pop(), self.convs.pop(index, None)
                continue
            count -= 1

    def draw(self, source: int) -> int:
        """Add one random operation that reads ``source`` or has no input."""

        def number(low: int, high: int) -> int:
            return int(self.rng.integers(low, high))

        low, high = sorted((number(-2000, 2000), number(-2000, 2000)))
        draws = {
            "conv": lambda: self.conv(source, number(1, 9), low, high),
            "shuffle": lambda: self.add(o.Shuffle(source, number(2, 4))),
            "unshuffle": lambda: self.add(o.Unshuffle(source, number(2, 4))),
            "table": lambda: self.add(o.Table(source, number(0, 3), number(0, 13), number(0, 17), low, high)),
            "add": lambda: self.add(o.Add(source, self.any(), low, high)),
            "double": lambda: self.add(o.Subtract(source, source, low, high)),
            "subtract": lambda: self.add(o.Subtract(source, self.any(), low, high)),
            "concat": lambda: self.add(o.Concat(source, self.any())),
            "slice": lambda: self.add(o.Slice(source, number(0, 4), number(1, 4))),
            "resample": lambda: self.add(o.Resample(source, number(1, 14), number(1, 14))),
            "crop": lambda: self.add(o.Crop(source, number(0, 2), number(0, 2), number(1, 6), number(1, 6))),
            "noise": lambda: self.add(
                o.Noise(number(1, 6), number(1, 6), number(1, 6), number(0, 256), number(0, 600), number(0, 2))
            ),
            "grid": lambda: self.add(
                o.Grid(
                    number(1, 6), number(1, 6), number(1, 6), -number(0, 99), number(0, 99), number(1, 3), number(0, 6)
                )
            ),
            "below": lambda: self.add(o.Below(len(self.lower) - 1, number(0, 6))),
        }
        return draws[str(self.rng.choice(list(draws)))]()

    def finish(self, frames: int, height: int, width: int) -> Layer:
        source = self.add(o.Resample(len(self.ops) - 1, height, width))
        self.conv(source, 3, 0, 255)
        return self.layer(frames, height, width)

    def layer(self, frames: int, height: int, width: int, peak: int = 255) -> Layer:
        """The layer whose picture is the last result, with random latents and no checksums yet."""
        latents = {
            index: self.rng.integers(
                op.low, op.high + 1, (op.transmitted(frames), op.channels, op.height, op.width)
            ).astype(np.int16)
            for index, op in enumerate(self.ops)
            if isinstance(op, o.Transmitted)
        }
        tensors = infer(self.ops, self.lower, (height, width), peak)
        return Layer(tuple(self.ops), tensors, self.convs, latents, 1, np.zeros(frames, np.uint32))


def random_stream(seed: int, *, segments: int = 1, layers: int = 1, operations: int = 8, frames: int = 3) -> Stream:
    """Build a valid stream with random content and correct checksums."""
    rng = np.random.default_rng(seed)
    made: list[Segment] = []
    for number in range(segments):
        height, width = map(int, rng.integers(1, 20, 2))
        head = SegmentHead(number * frames, frames, width, height, int(rng.integers(-9, 9)), 0)
        segment = Segment(head, rng.integers(0, 300, frames), [])
        for _ in range(layers):
            builder = Builder(rng, segment.layers)
            for kind in (0, 1):
                low, high = sorted(map(int, rng.integers(-128, 128, 2)))
                builder.add(o.Latent(*map(int, rng.integers(1, 7, 3)), low, high, kind))
            if segment.layers:
                builder.add(o.Below(len(segment.layers) - 1, len(segment.layers[-1].ops) - 1))
            builder.grow(operations)
            segment.layers.append(builder.finish(frames, height, width))
        made.append(segment)
    stream = Stream(Video(0, 1, 13, 5, 2, 4, 3, 1, 90000, seed), made, {"title": "x" * int(rng.integers(100))})
    return with_checksums(stream, int(rng.integers(1, frames + 1)))


def with_checksums(stream: Stream, group: int) -> Stream:
    """Fill in checksums of ``group`` frames each; returns the stream."""
    for number, segment in enumerate(stream.segments):
        for index, layer in enumerate(segment.layers):
            network = ExactNetwork(segment, number, stream.video.seed, torch.device("cpu"), index + 1)
            sums = []
            for first in range(0, segment.head.frames, group):
                pictures = network.decode(range(first, min(segment.head.frames, first + group)))
                sums.append(zlib.crc32(b"".join(map(picture_bytes, pictures))))
            layer.frames_per_checksum, layer.checksums = group, np.array(sums, np.uint32)
    return stream


def base_stream(
    runs: Sequence[Sequence[BaseRun]], op: o.Picture, *, layers: int = 2, order: Order = Order.BY_LAYER, seed: int = 0
) -> Stream:
    """Build a stream with an AV1 stream as layer 0; the layers above add latents to its pictures.

    Args:
        runs: of each segment.
        op: shows them.
        layers: number of layers.
        order: of the units.
        seed: of the latents.
    """
    rng = np.random.default_rng(seed)
    height, width = op.height, op.width
    segments: list[Segment] = []
    for number, part in enumerate(runs):
        frames = sum(run.frames for run in part)
        first = sum(segment.head.frames for segment in segments)
        segment = Segment(SegmentHead(first, frames, width, height, 40 * first, 40), np.full(frames, 40), [])
        ops: list[o.Op] = [op, o.Table(0, 0, 2, 0, 0, 255), o.Crop(1, op.margin, op.margin, height, width)]
        tensors = infer(ops, {}, (height, width))
        segment.layers.append(Layer(tuple(ops), tensors, {}, {}, 1, np.zeros(0, np.uint32), base=tuple(part)))
        for index in range(1, layers):
            builder = Builder(rng, segment.layers)
            below = builder.add(o.Below(index - 1, len(segment.layers[-1].ops) - 1))
            builder.add(o.Add(below, builder.add(o.Latent(3, height, width, -50 - number, 50, 0)), 0, 255))
            segment.layers.append(builder.layer(frames, height, width))
        segments.append(segment)
    video = Video(0, 2, 2, 2, 0, 1, 1, 1, 1000, seed, order=order)
    return with_checksums(Stream(video, segments, {"title": "x"}, compact=True), 1)


def squares_stream(
    lengths: Sequence[tuple[int, ...]] = ((4, 3),), *, height: int = 18, width: int = 32, depth: int = 8, **options: Any
) -> Stream:
    """Build a stream of moving squares with an AV1 stream as layer 0, of runs of so many frames for each segment; see
    :func:`base_stream`."""
    op = o.Picture(height, width, depth, 1, 0, 6, 0, 3)
    return base_stream([squares(height, width, depth, part) for part in lengths], op, **options)


ZERO = Constant(0, 1).pack() + varint(0)  # a chunk of any number of zeros


def zeros(
    width: int,
    height: int,
    frames: int,
    layers: Sequence[Sequence[o.Op]],
    run: int = 1024,
    metadata: Sequence[bytes] = (),
) -> bytes:
    """Build a file whose weights and latents are all zero: a few bytes, however many they are."""
    out = bytearray(pack_file_header())
    count = 0

    def put(kind: UnitType, payload: bytes, layer: int = 0) -> None:
        nonlocal count
        count += 1
        out.extend(pack_unit(kind, payload, 0, layer))

    put(UnitType.VIDEO, Video(0, 2, 2, 2, 0, 1, 1, 1, 25, 0).pack())
    put(UnitType.SEGMENT, SegmentHead(0, frames, width, height, 0, 1).pack())
    for payload in metadata:
        put(UnitType.METADATA, payload)
    for layer_index, ops in enumerate(layers):
        put(UnitType.NETWORK, o.pack_ops(ops), layer_index)
        put(UnitType.WEIGHTS, 3 * ZERO * sum(isinstance(op, o.Conv) for op in ops), layer_index)
        for index, op in enumerate(ops):
            if isinstance(op, o.Transmitted):
                for first in range(0, op.transmitted(frames), run):
                    length = min(run, op.transmitted(frames) - first)
                    rest = ZERO if length > 1 else b""
                    put(UnitType.LATENTS, LatentsHead(index, first, length, 1).pack() + ZERO + rest, layer_index)
        put(UnitType.CHECKSUMS, frames.to_bytes(4, "little") + bytes(4), layer_index)
        put(UnitType.LAYER_END, EndMark(count).pack() + hashlib.sha256(out).digest(), layer_index)
    return bytes(out)


def picture(width: int, height: int) -> o.Latent:
    """The only operation of a network whose latents are the picture."""
    return o.Latent(3, height, width, 0, 127, 0)
