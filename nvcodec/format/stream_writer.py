"""A :class:`~nvcodec.format.stream.Stream` to bytes, at once or segment by segment (specification, sections 3 to 5)."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Protocol

from nvcodec.errors import UsageError
from nvcodec.format import payloads
from nvcodec.format.metadata import pack_metadata
from nvcodec.format.operations import Grid, Picture, Transmitted, pack_ops
from nvcodec.format.stream import Layer, Segment, Stream
from nvcodec.format.units import (
    HEADER_BYTES,
    TRACKS,
    Order,
    UnitType,
    Video,
    is_compact,
    pack_file_header,
    pack_unit,
    split_units,
)

RUN = 128  # frames per run of latents: a run's first frame costs about twice what each other frame does


class ByteSink(Protocol):
    """Where bytes go: a binary file, a pipe, memory."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""


def write_stream(stream: Stream, run: int = RUN, index: bool = True) -> bytes:
    """Encode a stream as a file, in its form and order of units.

    Args:
        stream: its ``entries`` and ``units``, which the reader fills, are not used.
        run: frames, or knots, per run of latents. A run decodes without the others.
        index: whether an INDEX ends the file; with few units, a reader does as well without.

    Raises:
        CorruptStreamError: an accumulator can reach 2^24, so that a decoder would refuse the file.
    """
    file = io.BytesIO()
    if stream.video.order == Order.BY_SEGMENT:
        writer = StreamWriter(file, stream.video, run)
        for kind, payload in stream.track_units:
            writer.put_track_unit(kind, payload)
        writer.put_metadata(stream.metadata)
        for segment in stream.segments:
            writer.add_segment(segment)
        writer.finish(index)
        return file.getvalue()
    out = _Output(file, stream.compact, run)
    out.copy(pack_file_header(stream.compact, stream.video.sample_format))
    out.put(UnitType.VIDEO, stream.video.pack(stream.compact))
    for kind, payload in stream.track_units:
        out.put(kind, payload)
    for number, segment in enumerate(stream.segments):
        out.put_segment(segment, number)
    out.put_metadata(stream.metadata)
    for layer in range(stream.layers):
        out.put_layer(stream, layer)
    if index:
        out.put_index()
    return file.getvalue()


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
    file = io.BytesIO()
    out = _Output(file, stream.compact, run)
    out.copy(data[: units[-1].end])
    out.placed += [(unit.header.type, unit.header.segment, unit.header.layer, unit.offset) for unit in units]
    out.put_metadata(metadata or {})
    out.put_layer(stream, stream.layers - 1)
    if index:
        out.put_index()
    return file.getvalue()


def with_units(data: bytes, units: Iterable[tuple[UnitType, bytes]]) -> bytes:
    """Return a whole file with further METADATA, AUDIO or SUBTITLES units, by type and payload, right after VIDEO.

    A file that is cut keeps them there. All other units stay, but for hashes and INDEX, which are made anew.
    """
    file = io.BytesIO()
    out = _Output(file, is_compact(data), RUN)
    out.copy(data[:HEADER_BYTES])
    for unit in split_units(memoryview(data)):
        kind = UnitType(unit.header.type)
        if kind in (UnitType.LAYER_END, UnitType.SEGMENT_END):
            out.put_end(kind, unit.header.segment, unit.header.layer)
        elif kind == UnitType.INDEX:
            out.put_index()
        else:
            out.put(kind, bytes(unit.payload), unit.header.segment, unit.header.layer)
        if kind == UnitType.VIDEO:
            for added, payload in units:
                out.put(added, payload)
    return file.getvalue()


class StreamWriter:
    """Writes a file in compact form segment after segment, so that it grows with the video and plays while it grows.

    It ends validly after each segment. Memory does not grow but for some bytes per unit, which an INDEX needs.

    Args:
        sink: the bytes go there as they come; flushed after each segment, where it has ``flush``.
        video: properties of the whole video; its ``order`` is not used.
        run: frames, or knots, per run of latents.

    Attributes:
        frames: number of frames so far.
        segments: number of segments so far.
        end: where the last frame so far ends, in ticks; None before the first segment.
    """

    def __init__(self, sink: ByteSink, video: Video, run: int = RUN) -> None:
        self.sink, self.frames, self.segments = sink, 0, 0
        self.time_base = Fraction(video.time_base_num, video.time_base_den)
        self.end: int | None = None
        self._layers = 0
        self._out = _Output(sink, True, run)
        self._out.copy(pack_file_header(True, video.sample_format))
        self._out.put(UnitType.VIDEO, dataclasses.replace(video, order=Order.BY_SEGMENT).pack(True))

    @property
    def file_bytes(self) -> int:
        """Bytes written so far."""
        return self._out.offset

    def put_metadata(self, metadata: dict[str, Any]) -> None:
        """Add metadata, if there is anything to say; only a segment after it makes it part of the file."""
        self._out.put_metadata(metadata)

    def put_track_unit(self, kind: UnitType, payload: bytes) -> None:
        """Add an AUDIO or SUBTITLES unit, as :mod:`nvcodec.format.extras` makes them; only a segment after it makes it
        part of the file."""
        assert kind in TRACKS
        self._out.put(kind, payload)

    def add_segment(self, segment: Segment) -> None:
        """Add a segment with all its layers; see :meth:`~nvcodec.format.stream.Segment.moved`.

        Raises:
            UsageError: it does not begin with the next frame, or has another number of layers than those before.
            CorruptStreamError: an accumulator can reach 2^24.
        """
        if segment.head.first_frame != self.frames:
            raise UsageError(f"a segment begins with frame {segment.head.first_frame}; the next one is {self.frames}")
        if self.segments and len(segment.layers) != self._layers:
            raise UsageError(f"a segment has {len(segment.layers)} layers; those before have {self._layers}")
        self._out.put_segment(segment, self.segments)
        self._out.put_layers(segment, self.segments)
        self._out.put_end(UnitType.SEGMENT_END, self.segments, 0)
        self.segments, self._layers = self.segments + 1, len(segment.layers)
        self.frames += segment.head.frames
        self.end = segment.head.first_pts + segment.ticks
        if flush := getattr(self.sink, "flush", None):
            flush()

    def add_stream(self, stream: Stream) -> None:
        """Add the segments of another stream, which begins where the last frame so far ends; its times keep their
        distances. Its metadata and tracks are left out.

        Raises:
            UsageError: its tick is no multiple of this file's, or as :meth:`add_segment`.
            CorruptStreamError: a time is too large for its field.
        """
        ticks = stream.time_base / self.time_base
        if ticks.denominator != 1:
            raise UsageError(f"a tick of {stream.time_base} s is no multiple of {self.time_base} s")
        first = stream.segments[0].head.first_pts * int(ticks)
        shift = 0 if self.end is None else self.end - first
        for segment in stream.segments:
            self.add_segment(segment.moved(self.frames, segment.head.first_pts * int(ticks) + shift, int(ticks)))

    def finish(self, index: bool = True) -> None:
        """End the file, by an INDEX if ``index``; there must have been a segment."""
        if not self.segments:
            raise UsageError("a file has at least one segment")
        if index:
            self._out.put_index()


class _Output:
    """A growing file: its hash, and the type, segment, layer and offset of every unit.

    Args:
        sink: the bytes go there.
        compact: whether it is in compact form.
        run: frames, or knots, per run of latents.
    """

    def __init__(self, sink: ByteSink, compact: bool, run: int) -> None:
        self.sink, self.compact, self.run = sink, compact, run
        self.hash, self.offset = hashlib.sha256(), 0
        self.placed: list[tuple[int, int, int, int]] = []

    def copy(self, data: bytes) -> None:
        """Add bytes as they are."""
        self.sink.write(data)
        self.hash.update(data)
        self.offset += len(data)

    def put(self, kind: UnitType, payload: bytes, segment: int = 0, layer: int = 0) -> None:
        """Add a unit."""
        self.placed.append((kind, segment, layer, self.offset))
        self.copy(pack_unit(kind, payload, segment, layer, self.compact))

    def put_segment(self, segment: Segment, number: int) -> None:
        """Add a SEGMENT unit."""
        self.put(UnitType.SEGMENT, payloads.pack_segment(segment.head, segment.durations, self.compact), number)

    def put_metadata(self, metadata: dict[str, Any]) -> None:
        """Add a METADATA unit, if there is anything to say."""
        if metadata:
            self.put(UnitType.METADATA, pack_metadata(metadata, self.compact))

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
        self.put(kind, payloads.pack_end(len(self.placed), self.hash.digest(), self.compact), segment, layer)

    def put_index(self) -> None:
        """Add an INDEX."""
        self.put(UnitType.INDEX, payloads.pack_index(self.placed))
