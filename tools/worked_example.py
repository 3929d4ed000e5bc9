"""Write section 11 of the specification: a whole stream in hex, and what it decodes to.

python tools/worked_example.py            # print the section
python tools/worked_example.py --update   # put it into bitstream_spec.md
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import av1_writer as aw
import numpy as np
import torch

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.picture_checksums import picture_bytes
from nvcodec.format import operations as o
from nvcodec.format.av1_headers import check_run, obus
from nvcodec.format.entropy.chunks import decode_chunk, effective
from nvcodec.format.entropy.contexts import Contexts, Rows
from nvcodec.format.entropy.frequency_tables import unpack_head, unpack_table
from nvcodec.format.fields import Cursor
from nvcodec.format.inference import infer
from nvcodec.format.stream import BaseRun, ConvWeights, Layer, Segment, Stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import (
    HEADER_BYTES,
    BaseHead,
    LatentsHead,
    SegmentHead,
    Unit,
    UnitType,
    Video,
    split_units,
)

SPECIFICATION = Path(__file__).parents[1] / "bitstream_spec.md"
START, END = "## 11 Worked example\n", "## 12 Changes\n"


def example() -> Stream:
    """A stream of two frames of 2x2: latents, a convolution, a shuffle, noise, and a convolution to the picture."""
    ops: tuple[o.Op, ...] = (
        o.Latent(2, 1, 1, -20, 20, 0),
        o.Conv(0, 4, 1, 1, 4, 1, -100, 100),
        o.Shuffle(1, 2),
        o.Noise(1, 2, 2, 0, 64, 1),
        o.Add(2, 3, -128, 127),
        o.Conv(4, 3, 3, 3, 1, 2, 0, 255),
    )
    first = ConvWeights(
        np.array([9, -4, 2, 7, 0, 5, -3, -1], np.int32).reshape(4, 2, 1, 1),
        np.array([3, -2, 0, 1], np.int32),
        np.array([20], np.int32),
    )
    kernel = np.array([1, 2, 1, 2, 9, 2, 1, 2, 1], np.int32).reshape(1, 1, 3, 3)
    second = ConvWeights(
        np.concatenate([kernel, kernel - 2, -kernel]),
        np.array([150, 120, 230], np.int32),
        np.array([36, 36, 38], np.int32),
    )
    latents = np.array([[12, -7], [14, -6]], np.int16).reshape(2, 2, 1, 1)
    tensors = infer(ops, {}, (2, 2))
    layer = Layer(ops, tensors, {1: first, 5: second}, {0: latents}, 1, np.zeros(2, np.uint32))
    segment = Segment(SegmentHead(0, 2, 2, 2, 0, 1), np.ones(2, np.int64), [layer])
    stream = Stream(Video(0, 2, 2, 2, 0, 1, 1, 1, 25, 7), [segment])
    layer.checksums = np.array([zlib.crc32(picture_bytes(picture)) for picture in pictures(stream)], np.uint32)
    return stream


def pictures(stream: Stream) -> torch.Tensor:
    """Both frames, uint8 [2, 3, 2, 2]."""
    return ExactNetwork(stream.segments[0], 0, stream.video.seed, torch.device("cpu")).decode([0, 1])


def base_example() -> Stream:
    """A stream of one frame of 8x8: an AV1 picture of one colour but for a square, and a network of one convolution."""
    y, u, v = np.full((8, 8), 100), np.full((4, 4), 120), np.full((4, 4), 140)
    y[2:4, 2:4] = 180
    sequence = aw.SequenceHeader(8, 8)
    data = sequence.obu() + aw.frame(sequence, (y, u, v))
    picture = o.Picture(8, 8, 8, 1, 0, 6, 0, 1)
    base_ops: tuple[o.Op, ...] = (picture, o.Table(0, 0, 2, 0, 0, 255), o.Crop(1, 1, 1, 8, 8))
    ops: tuple[o.Op, ...] = (
        o.Below(0, 0),
        o.Conv(0, 3, 3, 3, 3, 0, -100, 100),
        o.Add(0, 1, 0, 1020),
        o.Table(2, 0, 2, 0, 0, 255),
        o.Crop(3, 1, 1, 8, 8),
    )
    weights = np.zeros((3, 3, 3, 3), np.int32)
    weights[range(3), range(3), 1, 1] = -8
    weights[range(3), range(3), 1, 0] = weights[range(3), range(3), 1, 2] = 4
    conv = ConvWeights(weights, np.array([0, 10, -10], np.int32), np.array([45], np.int32))
    below = infer(base_ops, {}, (8, 8))
    none = np.zeros(0, np.uint32)
    run = BaseRun(0, 1, data, *check_run(data, 1, picture, "the example"))
    layers = [
        Layer(base_ops, below, {}, {}, 1, none, base=(run,)),
        Layer(ops, infer(ops, {0: below}, (8, 8)), {1: conv}, {}, 1, none),
    ]
    segment = Segment(SegmentHead(0, 1, 8, 8, 0, 1), np.ones(1, np.int64), layers)
    stream = Stream(Video(0, 2, 2, 6, 1, 1, 1, 1, 25, 0), [segment], compact=True)
    shown = ExactNetwork(segment, 0, 0, torch.device("cpu"), 2).decode([0])
    layers[1].checksums = np.array([zlib.crc32(picture_bytes(shown[0]))], np.uint32)
    return stream


def section() -> str:
    """The text between the headings."""
    stream, above = example(), base_example()
    lines = ["", "Made by `tools/worked_example.py`; a test compares it with the code.", ""]
    lines += ["### 11.1 A network alone, in fixed form", "", "Two frames of 2x2 from the operations", ""]
    lines += [*_operations(stream, 0), *_file(stream), "What each operation yields for frame 0 and frame 1:", ""]
    lines += [f"    {line}" for line in _values(stream)]
    lines += ["", "### 11.2 A network above an AV1 stream, in compact form", ""]
    lines += ["One frame of 8x8. Layer 0:", "", *_operations(above, 0)]
    lines += ["Layer 1:", "", *_operations(above, 1), *_file(above)]
    lines += [
        "The AV1 picture has Y 100, in rows and columns 2 and 3 180, Cb 120 and Cr 140. Row 3, red, green, blue:",
        "",
    ]
    lines += [f"    {line}" for line in _rows(above)]
    return "\n".join([*lines, "", ""])


def _operations(stream: Stream, layer: int) -> list[str]:
    """The list of a layer's operations."""
    lines = ["    index  operation"]
    for index, op in enumerate(stream.segments[0].layers[layer].ops):
        fields = ", ".join(f"{name}={int(value)}" for name, value in vars(op).items())
        lines.append(f"    {index}      {op.NAME} {fields}")
    return [*lines, ""]


def _file(stream: Stream) -> list[str]:
    """The bytes of the file."""
    data = write_stream(stream, index=not stream.compact)
    lines = [f"The whole file, {len(data)} bytes, offset on the left:", ""]
    return [*lines, *(f"    {line}" for line in _listing(data, stream)), ""]


def _rows(stream: Stream) -> Iterator[str]:
    """One row of PICTURE, of the convolution, and of the picture."""
    wanted = [(0, 0), (1, 1), (1, 4)]
    network = ExactNetwork(stream.segments[0], 0, 0, torch.device("cpu"), 2, wanted)
    for (number, index), result in zip(wanted, network.results([0]), strict=True):
        op = stream.segments[0].layers[number].ops[index]
        row = 3 + (result.shape[2] - 8) // 2
        for color, values in zip(("red", "green", "blue"), result[0, :, row].tolist(), strict=True):
            yield f"layer {number}, {index} {op.NAME:<8} {color:<6} {' '.join(map(str, values))}"


def _listing(data: bytes, stream: Stream) -> Iterator[str]:
    def row(offset: int, size: int, text: str) -> Iterator[str]:
        for start in range(0, size, 16):
            piece = data[offset + start : offset + min(size, start + 16)]
            yield f"{offset + start:4}  {piece.hex(' '):<47}  {text if start == 0 else ''}".rstrip()

    yield from row(0, HEADER_BYTES, "file header: magic, version, features, CRC-32")
    for unit in split_units(memoryview(data)):
        yield from row(unit.offset, unit.header_bytes, f"{unit.name}, {len(unit.payload)} bytes")
        start = unit.offset + unit.header_bytes
        for size, text in _parts(unit, stream):
            yield from row(start, size, text)
            start += size
        yield from row(start, 4, "CRC-32 of the unit")


def _parts(unit: Unit, stream: Stream) -> Iterator[tuple[int, str]]:
    cursor, compact = unit.cursor(), unit.compact
    kind = unit.header.type
    layer = stream.segments[0].layers[unit.header.layer]
    if kind == UnitType.NETWORK:
        yield 1 if compact else 2, f"{len(layer.ops)} operations"
        for op in o.unpack_ops(cursor):
            yield 1 + len(op.pack(compact)), op.NAME
        return
    if kind == UnitType.WEIGHTS:
        for index, op in enumerate(layer.ops):
            if isinstance(op, o.Conv):
                channels = layer.tensors[op.input].channels
                yield from _weights(cursor, op, channels, layer.convs[index])
        return
    if kind == UnitType.LATENTS:
        head = LatentsHead.unpack(cursor)
        yield cursor.position, f"operation {head.op}, frames {head.first} to 1, predictor {head.predictor}"
        yield from _chunk(cursor, 2, "first frame")
        yield from _chunk(cursor, 2, "the other")
        return
    if kind == UnitType.BASE:
        base = BaseHead.unpack(cursor)
        yield cursor.position, f"codec {base.codec}, frames {base.first} to {base.first + base.frames - 1}"
        for obu in obus(unit.payload[cursor.position :], "the example"):
            yield obu.end - obu.start, f"OBU_{obu.kind.name}"
        return
    if kind == UnitType.LAYER_END:
        yield 1 if compact else 4, "units before"
        yield 8 if compact else 32, "SHA-256 of all bytes before the unit" + (", its first bytes" if compact else "")
        return
    yield len(unit.payload), ""


def _weights(cursor: Cursor, op: o.Conv, channels: int, conv: ConvWeights) -> Iterator[tuple[int, str]]:
    """What a WEIGHTS unit has for one convolution."""
    count = op.weights(channels)
    if cursor.compact:
        for name, values, code in (("steps", conv.steps, "B"), ("biases", conv.biases, "h")):
            start = cursor.position
            found = [cursor.integer(code) for _ in values]
            yield cursor.position - start, f"{name}: {' '.join(map(str, found))}"
        yield from _chunk(cursor, (op.channels, count // op.channels), "weights", Rows(op.group))
        return
    for name, size in (("steps", op.steps), ("biases", op.channels), ("weights", count)):
        yield from _chunk(cursor, size, name)


def _chunk(
    cursor: Cursor, shape: int | tuple[int, int], name: str, rows: Rows | None = None
) -> Iterator[tuple[int, str]]:
    start = cursor.position
    code, first, size = unpack_head(cursor)
    if code in Contexts.CODES:
        Contexts.unpack(cursor, code, first, size)
        kind, about = f"family {code}", f"{size} symbols"
    else:
        table = unpack_table(cursor, code, first, size)
        bounds = effective(table.cumulative()).tolist()
        kind, about = type(table).__name__, f"L = {bounds if len(bounds) < 6 else '...'}"
    table_end = cursor.position
    cursor.position = start
    values, _ = decode_chunk(cursor, (shape,) if isinstance(shape, int) else shape, rows)
    words = cursor.position - table_end
    yield table_end - start, f"{name}: {kind} from {first}, {about}"
    yield words, f"{words // 4} words: {' '.join(map(str, values.flatten().tolist()))}"


def _values(stream: Stream) -> Iterator[str]:
    layer = stream.segments[0].layers[0]
    network = ExactNetwork(stream.segments[0], 0, stream.video.seed, torch.device("cpu"))
    network.last_uses = [[len(layer.ops)] * len(layer.ops)]  # keep everything
    results: list[torch.Tensor] = []
    for index, op in enumerate(layer.ops):
        results.append(network.kernels[0][index]([results[source] for source in op.inputs], [0, 1]))
        for frame in (0, 1):
            values = results[-1][frame].to(torch.int64).flatten().tolist()
            yield f"{index} {op.NAME:<8} frame {frame}: {' '.join(map(str, values))}"


def main() -> None:
    """Print the section, or put it in its place."""
    text = SPECIFICATION.read_text()
    start, end = text.index(START) + len(START), text.index(END)
    if "--update" in sys.argv:
        SPECIFICATION.write_text(text[:start] + section() + text[end:])
    else:
        print(section())


if __name__ == "__main__":
    main()
