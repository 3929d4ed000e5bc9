"""Write section 11 of the specification: a whole stream in hex, and what it decodes to.

python tools/worked_example.py            # print the section
python tools/worked_example.py --update   # put it into bitstream_spec.md
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.picture_checksums import picture_bytes
from nvcodec.format import operations as o
from nvcodec.format.entropy.chunks import decode_chunk, effective
from nvcodec.format.entropy.frequency_tables import unpack_head, unpack_table
from nvcodec.format.fields import Cursor
from nvcodec.format.inference import infer
from nvcodec.format.stream import ConvWeights, Layer, Segment, Stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import (
    HEADER_BYTES,
    UNIT_HEADER_BYTES,
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


def section() -> str:
    """The text between the headings."""
    stream = example()
    data = write_stream(stream)
    lines = [
        "",
        "Made by `tools/worked_example.py`; a test compares it with the code. Two frames of 2x2 from the operations",
        "",
        "    index  operation",
    ]
    layer = stream.segments[0].layers[0]
    for index, op in enumerate(layer.ops):
        fields = ", ".join(f"{name}={int(value)}" for name, value in vars(op).items())
        lines.append(f"    {index}      {op.NAME} {fields}")
    lines += ["", f"The whole file, {len(data)} bytes, offset on the left:", ""]
    lines += [f"    {line}" for line in _listing(data)]
    lines += ["", "What each operation yields for frame 0 and frame 1:", ""]
    lines += [f"    {line}" for line in _values(stream)]
    return "\n".join([*lines, "", ""])


def _listing(data: bytes) -> Iterator[str]:
    def row(offset: int, size: int, text: str) -> Iterator[str]:
        for start in range(0, size, 16):
            piece = data[offset + start : offset + min(size, start + 16)]
            yield f"{offset + start:4}  {piece.hex(' '):<47}  {text if start == 0 else ''}".rstrip()

    yield from row(0, HEADER_BYTES, "file header: magic, version, features, CRC-32")
    for unit in split_units(memoryview(data)):
        yield from row(unit.offset, UNIT_HEADER_BYTES, f"{unit.name}, {len(unit.payload)} bytes")
        start = unit.offset + UNIT_HEADER_BYTES
        for size, text in _parts(unit):
            yield from row(start, size, text)
            start += size
        yield from row(start, 4, "CRC-32 of the unit")


def _parts(unit: Unit) -> Iterator[tuple[int, str]]:
    cursor = Cursor(unit.payload, unit.name)
    kind = unit.header.type
    if kind == UnitType.NETWORK:
        yield 2, "6 operations"
        for op in o.unpack_ops(cursor):
            yield 1 + len(op.pack()), op.NAME
        return
    if kind == UnitType.WEIGHTS:
        ops = [op for op in example().segments[0].layers[0].ops if isinstance(op, o.Conv)]
        for op, channels in zip(ops, (2, 1), strict=True):
            counts = (op.steps, op.channels, op.channels * channels * op.kernel_height * op.kernel_width)
            for name, count in zip(("steps", "biases", "weights"), counts, strict=True):
                yield from _chunk(cursor, count, name)
        return
    if kind == UnitType.LATENTS:
        head = LatentsHead.unpack(cursor)
        yield cursor.position, f"operation {head.op}, frames {head.first} to 1, predictor {head.predictor}"
        yield from _chunk(cursor, 2, "first frame")
        yield from _chunk(cursor, 2, "the other")
        return
    if kind == UnitType.LAYER_END:
        yield 4, "units before"
        yield 32, "SHA-256 of all bytes before the unit"
        return
    yield len(unit.payload), ""


def _chunk(cursor: Cursor, count: int, name: str) -> Iterator[tuple[int, str]]:
    start = cursor.position
    table = unpack_table(cursor, *unpack_head(cursor))
    table_end = cursor.position
    cursor.position = start
    values, _ = decode_chunk(cursor, (count,))
    bounds = effective(table.cumulative()).tolist()
    kind = type(table).__name__
    words = cursor.position - table_end
    yield table_end - start, f"{name}: {kind} from {table.first}, L = {bounds if len(bounds) < 6 else '...'}"
    yield words, f"{words // 4} words: {' '.join(map(str, values.tolist()))}"


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
