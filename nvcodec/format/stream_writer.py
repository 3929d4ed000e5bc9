"""A :class:`~nvcodec.format.stream.Stream` to bytes (specification, sections 3 to 5)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from nvcodec.errors import UsageError
from nvcodec.format.arithmetic.bounds import prove
from nvcodec.format.entropy.chunks import encode_chunk
from nvcodec.format.entropy.contexts import Rows
from nvcodec.format.operations import Conv, pack_ops
from nvcodec.format.stream import Layer, Segment, Stream
from nvcodec.format.units import (
    LatentsHead,
    LayerEnd,
    UnitType,
    pack_durations,
    pack_file_header,
    pack_unit,
    split_units,
)

RUN = 128  # frames that decode alone: a run's first frame costs about twice what the others do


def write_stream(stream: Stream, run: int = RUN, index: bool = True) -> bytes:
    """The file that holds ``stream``.

    Args:
        stream: all but its ``entries`` and ``units``, which the reader fills.
        run: frames in a run of latents that decodes alone.
        index: whether an INDEX closes the file; a reader of a few units does as well without.

    Raises:
        CorruptStreamError: a bound does not hold; nothing is written that a decoder would refuse.
    """
    out = _Output(bytearray(pack_file_header()))
    out.put(UnitType.VIDEO, stream.video.pack())
    for number, segment in enumerate(stream.segments):
        out.put(UnitType.SEGMENT, _segment_payload(segment), number)
    if stream.metadata:
        out.put(UnitType.METADATA, _metadata_payload(stream.metadata))
    for level in range(stream.layers):
        out.put_layer(stream, level, run)
    return out.finished(index)


def append_layer(
    data: bytes, stream: Stream, metadata: dict[str, Any] | None = None, run: int = RUN, index: bool = True
) -> bytes:
    """The file ``data`` with one more layer, the highest of ``stream``; nothing below changes, but that an INDEX goes.

    Args:
        data: a file of all layers below.
        stream: those layers and the new one.
        metadata: of the new layer.
        run, index: as in :func:`write_stream`.

    Raises:
        CorruptStreamError: a bound does not hold.
        UsageError: the file is of a version that cannot hold what is added.
    """
    if data[: len(pack_file_header())] != pack_file_header():
        raise UsageError("the file is of an earlier version; encode it anew, then layers can be added")
    units = [unit for unit in split_units(memoryview(data)) if unit.header.type != UnitType.INDEX]
    placed = [(unit.header.type, unit.header.segment, unit.header.layer, unit.offset) for unit in units]
    out = _Output(bytearray(data[: units[-1].end]), placed)
    if metadata:
        out.put(UnitType.METADATA, _metadata_payload(metadata))
    out.put_layer(stream, stream.layers - 1, run)
    return out.finished(index)


class _Output:
    """A file that grows: its bytes, and the type, segment, layer and offset of every unit."""

    def __init__(self, data: bytearray, placed: Iterable[tuple[int, int, int, int]] = ()) -> None:
        self.data = data
        self.placed = list(placed)

    def put(self, kind: UnitType, payload: bytes, segment: int = 0, layer: int = 0) -> None:
        """Add a unit."""
        self.placed.append((kind, segment, layer, len(self.data)))
        self.data.extend(pack_unit(kind, payload, segment, layer))

    def put_layer(self, stream: Stream, level: int, run: int) -> None:
        """Add all units of one layer."""
        for number, segment in enumerate(stream.segments):
            layer = segment.layers[level]
            self.put(UnitType.NETWORK, pack_ops(layer.ops), number, level)
            self.put(UnitType.WEIGHTS, _weights_payload(layer), number, level)
            for place, values in layer.latents.items():
                for first in range(0, len(values), run):
                    payload = latents_payload(place, first, values[first : first + run])
                    self.put(UnitType.LATENTS, payload, number, level)
            sums = layer.frames_per_checksum.to_bytes(4, "little") + layer.checksums.astype("<u4").tobytes()
            self.put(UnitType.CHECKSUMS, sums, number, level)
        digest = hashlib.sha256(self.data).digest()
        self.put(UnitType.LAYER_END, LayerEnd(len(self.placed)).pack() + digest, 0, level)

    def finished(self, index: bool) -> bytes:
        """All bytes, with an INDEX at the end if it is wanted."""
        if index:
            self.put(UnitType.INDEX, _index_payload(self.placed))
        return bytes(self.data)


def _segment_payload(segment: Segment) -> bytes:
    varying = () if segment.head.constant_duration else tuple(segment.durations.tolist())
    return segment.head.pack() + pack_durations(varying)


def _metadata_payload(metadata: dict[str, object]) -> bytes:
    raw = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    packed = zstandard.ZstdCompressor(level=19).compress(raw)
    size = len(raw).to_bytes(4, "little")
    return b"\1" + size + packed if len(packed) < len(raw) else b"\0" + size + raw


def _weights_payload(layer: Layer) -> bytes:
    payload = bytearray()
    for place, conv in layer.convs.items():
        op = layer.ops[place]
        assert isinstance(op, Conv)
        prove(
            conv.weights,
            conv.accumulator_bias(op),
            conv.first_shifts(op),
            layer.tensors[op.input],
            f"operation {place} (CONV)",
        )
        payload += encode_chunk(conv.steps) + encode_chunk(conv.biases)
        payload += encode_chunk(conv.weights.reshape(op.channels, -1), Rows(op.group))
    return bytes(payload)


def latents_payload(place: int, first: int, values: npt.NDArray[np.int16]) -> bytes:
    """The payload of a LATENTS unit with some frames, or knots, of operation ``place``: [frames, channels, height,
    width], of which ``first`` is the first."""
    start = encode_chunk(values[0])
    if len(values) == 1:
        return LatentsHead(place, first, 1, 0).pack() + start
    flat = values.reshape(len(values), -1).astype(np.int32)
    plain = flat[1:]
    rest = [encode_chunk(rows, Rows(plane=values.shape[1:])) for rows in (plain, plain - flat[:-1])]
    predictor = min((0, 1), key=lambda option: len(rest[option]))
    return LatentsHead(place, first, len(values), predictor).pack() + start + rest[predictor]


def _index_payload(placed: list[tuple[int, int, int, int]]) -> bytes:
    rows = b"".join(
        bytes([kind]) + segment.to_bytes(2, "little") + bytes([layer]) + offset.to_bytes(8, "little")
        for kind, segment, layer, offset in placed
    )
    return rows + len(rows).to_bytes(4, "little")
