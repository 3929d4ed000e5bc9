"""A :class:`~nvcodec.format.stream.Stream` to bytes (specification, sections 3 to 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from nvcodec.errors import UsageError
from nvcodec.format import payloads
from nvcodec.format.metadata import pack_metadata
from nvcodec.format.operations import pack_ops
from nvcodec.format.stream import Stream
from nvcodec.format.units import UnitType, pack_file_header, pack_unit, split_units

RUN = 128  # frames per run of latents: a run's first frame costs about twice what each other frame does


def write_stream(stream: Stream, run: int = RUN, index: bool = True) -> bytes:
    """Encode a stream as a file.

    Args:
        stream: its ``entries`` and ``units``, which the reader fills, are not used.
        run: frames, or knots, per run of latents. A run decodes without the others.
        index: whether an INDEX ends the file; with few units, a reader does as well without.

    Raises:
        CorruptStreamError: an accumulator can reach 2^24, so that a decoder would refuse the file.
    """
    out = _Output(bytearray(pack_file_header()))
    out.put(UnitType.VIDEO, stream.video.pack())
    for number, segment in enumerate(stream.segments):
        out.put(UnitType.SEGMENT, payloads.pack_segment(segment.head, segment.durations), number)
    if stream.metadata:
        out.put(UnitType.METADATA, pack_metadata(stream.metadata))
    for layer in range(stream.layers):
        out.put_layer(stream, layer, run)
    return out.finished(index)


def append_layer(
    data: bytes, stream: Stream, metadata: dict[str, Any] | None = None, run: int = RUN, index: bool = True
) -> bytes:
    """Add a layer, the highest of ``stream``, to a file. Its other bytes stay as they are, except that an INDEX goes.

    Args:
        data: a file of all lower layers.
        stream: those layers and the new one.
        metadata: what is to be said of the new layer.
        run, index: as in :func:`write_stream`.

    Raises:
        CorruptStreamError: an accumulator can reach 2^24.
        UsageError: the file is of a version that cannot hold what is added.
    """
    if data[: len(pack_file_header())] != pack_file_header():
        raise UsageError("the file is of an earlier version; encode it anew, then layers can be added")
    units = [unit for unit in split_units(memoryview(data)) if unit.header.type != UnitType.INDEX]
    placed = [(unit.header.type, unit.header.segment, unit.header.layer, unit.offset) for unit in units]
    out = _Output(bytearray(data[: units[-1].end]), placed)
    if metadata:
        out.put(UnitType.METADATA, pack_metadata(metadata))
    out.put_layer(stream, stream.layers - 1, run)
    return out.finished(index)


class _Output:
    """A growing file: its bytes, and the type, segment, layer and offset of every unit."""

    def __init__(self, data: bytearray, placed: Iterable[tuple[int, int, int, int]] = ()) -> None:
        self.data = data
        self.placed = list(placed)

    def put(self, kind: UnitType, payload: bytes, segment: int = 0, layer: int = 0) -> None:
        """Add a unit."""
        self.placed.append((kind, segment, layer, len(self.data)))
        self.data.extend(pack_unit(kind, payload, segment, layer))

    def put_layer(self, stream: Stream, number: int, run: int) -> None:
        """Add all units of layer ``number``."""
        for segment_index, segment in enumerate(stream.segments):
            layer = segment.layers[number]
            self.put(UnitType.NETWORK, pack_ops(layer.ops), segment_index, number)
            self.put(UnitType.WEIGHTS, payloads.pack_weights(layer), segment_index, number)
            for op_index, values in layer.latents.items():
                for first in range(0, len(values), run):
                    payload = payloads.pack_latents(op_index, first, values[first : first + run])
                    self.put(UnitType.LATENTS, payload, segment_index, number)
            checksums = payloads.pack_checksums(layer.frames_per_checksum, layer.checksums)
            self.put(UnitType.CHECKSUMS, checksums, segment_index, number)
        digest = hashlib.sha256(self.data).digest()
        self.put(UnitType.LAYER_END, payloads.pack_layer_end(len(self.placed), digest), 0, number)

    def finished(self, index: bool) -> bytes:
        """All bytes, ending with an INDEX if ``index``."""
        if index:
            self.put(UnitType.INDEX, payloads.pack_index(self.placed))
        return bytes(self.data)
