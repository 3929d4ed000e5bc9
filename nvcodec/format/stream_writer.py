"""A :class:`~nvcodec.format.stream.Stream` to bytes (specification, sections 3 to 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from nvcodec.errors import UsageError
from nvcodec.format import payloads
from nvcodec.format.metadata import pack_metadata
from nvcodec.format.operations import Grid, Picture, Transmitted, pack_ops
from nvcodec.format.stream import Layer, Segment, Stream
from nvcodec.format.units import HEADER_BYTES, Order, UnitType, is_compact, pack_file_header, pack_unit, split_units

RUN = 128  # frames per run of latents: a run's first frame costs about twice what each other frame does


def write_stream(stream: Stream, run: int = RUN, index: bool = True) -> bytes:
    """Encode a stream as a file, in its form and order of units.

    Args:
        stream: its ``entries`` and ``units``, which the reader fills, are not used.
        run: frames, or knots, per run of latents. A run decodes without the others.
        index: whether an INDEX ends the file; with few units, a reader does as well without.

    Raises:
        CorruptStreamError: an accumulator can reach 2^24, so that a decoder would refuse the file.
    """
    out = _Output(bytearray(pack_file_header(stream.compact, stream.video.sample_format)), stream.compact, run)
    out.put(UnitType.VIDEO, stream.video.pack(stream.compact))
    out.put_tracks(stream)
    if stream.video.order == Order.BY_SEGMENT:
        out.put_metadata(stream.metadata)
        for number, segment in enumerate(stream.segments):
            out.put_segment(segment, number)
            out.put_layers(segment, number)
            out.put_end(UnitType.SEGMENT_END, number, 0)
        return out.finished(index)
    for number, segment in enumerate(stream.segments):
        out.put_segment(segment, number)
    out.put_metadata(stream.metadata)
    for layer in range(stream.layers):
        out.put_layer(stream, layer)
    return out.finished(index)


def append_layer(
    data: bytes, stream: Stream, metadata: dict[str, Any] | None = None, run: int = RUN, index: bool = True
) -> bytes:
    """Add a layer, the highest of ``stream``, to a file. Its other bytes stay as they are, except that an INDEX goes.

    Args:
        data: a file of all lower layers, layer after layer.
        stream: those layers and the new one.
        metadata: what is to be said of the new layer.
        run, index: as in :func:`write_stream`.

    Raises:
        CorruptStreamError: an accumulator can reach 2^24.
        UsageError: the file is of a version that cannot hold what is added.
    """
    if not data.startswith(pack_file_header(stream.compact, stream.video.sample_format)):
        raise UsageError("the file is of an earlier version; encode it anew, then layers can be added")
    if stream.video.order == Order.BY_SEGMENT:
        raise UsageError("in this file segment follows segment; layers can be added where layer follows layer")
    units = [unit for unit in split_units(memoryview(data)) if unit.header.type != UnitType.INDEX]
    placed = [(unit.header.type, unit.header.segment, unit.header.layer, unit.offset) for unit in units]
    out = _Output(bytearray(data[: units[-1].end]), stream.compact, run, placed)
    out.put_metadata(metadata or {})
    out.put_layer(stream, stream.layers - 1)
    return out.finished(index)


def with_units(data: bytes, units: Iterable[tuple[UnitType, bytes]]) -> bytes:
    """Return a whole file with further METADATA, AUDIO or SUBTITLES units, by type and payload, right after VIDEO.

    A file that is cut keeps them there. All other units stay, but for hashes and INDEX, which are made anew.
    """
    out = _Output(bytearray(data[:HEADER_BYTES]), is_compact(data), RUN)
    for unit in split_units(memoryview(data)):
        kind = UnitType(unit.header.type)
        if kind in (UnitType.LAYER_END, UnitType.SEGMENT_END):
            out.put_end(kind, unit.header.segment, unit.header.layer)
        elif kind == UnitType.INDEX:
            return out.finished(True)
        else:
            out.put(kind, bytes(unit.payload), unit.header.segment, unit.header.layer)
        if kind == UnitType.VIDEO:
            for added, payload in units:
                out.put(added, payload)
    return out.finished(False)


class _Output:
    """A growing file: its bytes, and the type, segment, layer and offset of every unit.

    Args:
        data: what there is of it.
        compact: whether it is in compact form.
        run: frames, or knots, per run of latents.
        placed: the units that are there.
    """

    def __init__(
        self, data: bytearray, compact: bool, run: int, placed: Iterable[tuple[int, int, int, int]] = ()
    ) -> None:
        self.data, self.compact, self.run = data, compact, run
        self.placed = list(placed)

    def put(self, kind: UnitType, payload: bytes, segment: int = 0, layer: int = 0) -> None:
        """Add a unit."""
        self.placed.append((kind, segment, layer, len(self.data)))
        self.data.extend(pack_unit(kind, payload, segment, layer, self.compact))

    def put_segment(self, segment: Segment, number: int) -> None:
        """Add a SEGMENT unit."""
        self.put(UnitType.SEGMENT, payloads.pack_segment(segment.head, segment.durations, self.compact), number)

    def put_metadata(self, metadata: dict[str, Any]) -> None:
        """Add a METADATA unit, if there is anything to say."""
        if metadata:
            self.put(UnitType.METADATA, pack_metadata(metadata, self.compact))

    def put_tracks(self, stream: Stream) -> None:
        """Add all AUDIO and SUBTITLES units."""
        for kind, payload in stream.track_units:
            self.put(kind, payload)

    def put_layer(self, stream: Stream, number: int) -> None:
        """Add all units of layer ``number``."""
        for segment_index, segment in enumerate(stream.segments):
            layer = segment.layers[number]
            self.put_network(layer, segment_index, number)
            for _, kind, payload in self.runs(layer):
                self.put(kind, payload, segment_index, number)
            self.put_checksums(layer, segment_index, number)
        self.put_end(UnitType.LAYER_END, 0, number)

    def put_layers(self, segment: Segment, segment_index: int) -> None:
        """Add all units of a segment's layers, run by run."""
        for number, layer in enumerate(segment.layers):
            self.put_network(layer, segment_index, number)
        runs = [(number, *run) for number, layer in enumerate(segment.layers) for run in self.runs(layer)]
        for number, _, kind, payload in sorted(runs, key=lambda run: (run[1], run[0])):
            self.put(kind, payload, segment_index, number)
        for number, layer in enumerate(segment.layers):
            self.put_checksums(layer, segment_index, number)

    def put_network(self, layer: Layer, segment: int, number: int) -> None:
        """Add NETWORK and WEIGHTS."""
        self.put(UnitType.NETWORK, pack_ops(layer.ops, self.compact), segment, number)
        if layer.convs or not self.compact:
            self.put(UnitType.WEIGHTS, payloads.pack_weights(layer, self.compact), segment, number)

    def runs(self, layer: Layer) -> Iterator[tuple[int, UnitType, bytes]]:
        """Yield the runs of each operation: what orders them in a segment, type and payload."""
        for op_index, op in enumerate(layer.ops):
            if isinstance(op, Picture):
                for base in layer.base:
                    yield base.first, UnitType.BASE, payloads.pack_base(base)
            elif isinstance(op, Transmitted):
                values = layer.latents[op_index]
                for first in range(0, len(values), self.run):
                    part = values[first : first + self.run]
                    payload = payloads.pack_latents(op_index, first, part, self.compact)
                    yield 0 if isinstance(op, Grid) else first, UnitType.LATENTS, payload

    def put_checksums(self, layer: Layer, segment: int, number: int) -> None:
        """Add CHECKSUMS; none in the compact form if the layer has none."""
        if len(layer.checksums) or not self.compact:
            payload = payloads.pack_checksums(layer.frames_per_checksum, layer.checksums, self.compact)
            self.put(UnitType.CHECKSUMS, payload, segment, number)

    def put_end(self, kind: UnitType, segment: int, layer: int) -> None:
        """Add a LAYER_END or SEGMENT_END."""
        digest = hashlib.sha256(self.data).digest()
        self.put(kind, payloads.pack_end(len(self.placed), digest, self.compact), segment, layer)

    def finished(self, index: bool) -> bytes:
        """All bytes, ending with an INDEX if ``index``."""
        if index:
            self.put(UnitType.INDEX, payloads.pack_index(self.placed))
        return bytes(self.data)
