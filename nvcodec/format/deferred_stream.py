"""A file of which only the headers are read at first, and each segment when one of its frames is wanted.

The same readers check a segment then as in :mod:`nvcodec.format.stream_reader`. What they cannot see are rules about
the file as a whole: the hashes in LAYER_END and SEGMENT_END, the limits on the weights and latents of all segments, and
whatever lies in units that nobody wants.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from nvcodec.errors import CorruptStreamError, CutStreamError, about
from nvcodec.format import payloads
from nvcodec.format.accounting import Entry, UnitReport
from nvcodec.format.byte_source import ByteSource, FileSource, ObjectSource, is_url, object_source, path_source
from nvcodec.format.damage import Damage
from nvcodec.format.layer_reader import LayerReader
from nvcodec.format.limits import NO_LIMITS, Limits
from nvcodec.format.metadata import Metadata
from nvcodec.format.mp4_box import is_mp4
from nvcodec.format.operations import Conv, Picture, unpack_reference
from nvcodec.format.outline import complete, outline
from nvcodec.format.runs import DeferredRuns
from nvcodec.format.stream import BaseRun, ConvWeights, Layer, Segment, Stream
from nvcodec.format.stream_reader import (
    File,
    check_first_frame,
    downloaded,
    name_of,
    read_file,
    read_stream,
    read_video,
    reading,
)
from nvcodec.format.survey import Surveyed, survey
from nvcodec.format.unit_cursor import UnitCursor
from nvcodec.format.unit_heads import find_heads, read_units
from nvcodec.format.units import (
    FEATURE_1_1,
    FEATURE_1_4,
    HEADER_BYTES,
    MAX_FRAMES,
    TRACKS,
    Order,
    SegmentHead,
    Unit,
    UnitHead,
    UnitType,
    check_file_header,
    features_of,
    is_compact,
)

SMALL_BYTES = 2**20  # a file that is read at once takes at most
KEPT = 2  # segments whose layers are kept
T = TypeVar("T")


def open_file(file: File, limits: Limits = NO_LIMITS) -> Stream:
    """Open an SDMN file, of which only what is wanted is read.

    A path, an address of the web, or an object with ``seek`` is opened as :func:`open_stream` says. A file of at most
    :data:`SMALL_BYTES`, one in memory, a pipe, an MP4, and one on a server without ranges are read and checked at once.

    Takes and raises what :func:`~nvcodec.format.stream_reader.read_file` does.
    """
    name = name_of(file)
    with reading(name):
        source = _source_of(file)
        if source is None:
            return read_file(file, limits)
        if source.size > SMALL_BYTES and not is_mp4(bytes(source.read_at(0, HEADER_BYTES))):
            stream = open_stream(source, limits, name)
        elif isinstance(source, (FileSource, ObjectSource)):
            return read_file(file, limits)
        else:
            stream = read_stream(downloaded(source, limits), limits)
    stream.name = name
    return stream


def _source_of(file: File) -> ByteSource | None:
    """Return where the bytes of a file come from; None where they are in memory, or have to be read through."""
    if is_url(file):
        from nvcodec.format.http_source import HttpSource  # which loads a lot

        return HttpSource(str(file))
    if isinstance(file, (str, os.PathLike)):
        return path_source(file)
    return object_source(file, name_of(file))


def open_stream(source: ByteSource, limits: Limits = NO_LIMITS, name: str = "") -> Stream:
    """Open a file: read the headers of its units, VIDEO, METADATA, and the networks of the first segment.

    What else there is, is read when it is wanted, and raises then what
    :func:`~nvcodec.format.stream_reader.read_stream` would. A segment's AV1 stream is read run by run. The layers of
    the last segments are kept.

    Args:
        source: the bytes of the file, which have to stay as they are.
        limits: what each segment may need.
        name: of the file, for messages.

    Raises:
        InputError, LimitError, UnsupportedVersionError, CorruptStreamError: as
            :func:`~nvcodec.format.stream_reader.read_stream` does.
    """
    with about(name):
        return _DeferredFile(source, limits, name).stream()


class _DeferredFile:
    """A file whose segments are read when they are wanted. Two threads may at worst do that work twice."""

    def __init__(self, source: ByteSource, limits: Limits, name: str) -> None:
        self.source, self.limits, self.name = source, limits, name
        header = bytes(source.read_at(0, min(HEADER_BYTES, source.size)))
        self.version = check_file_header(header)
        self.features = features_of(header)
        heads, cut = find_heads(source, is_compact(header))
        if not heads:
            raise cut or CutStreamError("the stream ends where the VIDEO unit was expected")
        heads[0].check_is(UnitType.VIDEO, 0, 0)
        self.heads, self.note = complete(heads, cut, source.size)
        self.reports = [
            UnitReport(head.name, head.header.segment, head.header.layer, head.offset, head.bytes)
            for head in (self.heads if self.note else heads)
        ]
        self.compact, self.reuse = is_compact(header), bool(self.features & FEATURE_1_4)
        self.video, _ = read_video(read_units(source, heads[:1])[0], self.features)
        self.order = Order(self.video.order)
        self.outlines = outline(
            [head for head in self.heads[1:] if head.known and head.header.type < UnitType.INDEX], self.order
        )
        self._heads: dict[int, tuple[SegmentHead, npt.NDArray[np.int64]]] = {}
        self._layers: dict[int, list[Layer]] = {}

    def stream(self) -> Stream:
        """Return the stream, after what can be checked of it as a whole."""
        last, _ = self.segment_head(len(self.outlines) - 1)
        if last.first_frame + last.frames > MAX_FRAMES:
            raise CorruptStreamError(f"the stream has more than {MAX_FRAMES} frames")
        self._survey(0)
        return Stream(
            self.video,
            [DeferredSegment(self, number) for number in range(len(self.outlines))],
            self._metadata(),
            self.compact,
            self.reuse,
            Deferred(self._track_units),
            self.version,
            self.source.size,
            Deferred(self._entries),
            self.reports,
            self.note,
        )

    def segment_head(self, number: int) -> tuple[SegmentHead, npt.NDArray[np.int64]]:
        """Return what SEGMENT says of a segment, and the ticks of every frame."""
        found = self._heads.get(number)
        if found is None:
            with about(self.name):
                [unit] = read_units(self.source, [self.outlines[number].segment])
                found, _ = payloads.unpack_segment(unit)
                # Whoever looks for a frame has also read the segment behind the one that has it.
                if number == 0 or number - 1 in self._heads:
                    check_first_frame(found[0], self._end(number - 1))
                self._heads[number] = found
                if number + 1 in self._heads:
                    check_first_frame(self._heads[number + 1][0], self._end(number))
        return found

    def _end(self, number: int) -> int:
        """Number of frames of all segments up to one whose head has been read; -1 is the one before the first."""
        head = self._heads[number][0] if number >= 0 else None
        return head.first_frame + head.frames if head else 0

    def layers(self, number: int) -> list[Layer]:
        """Return the layers of a segment."""
        found = self._layers.get(number)
        if found is None:
            with about(self.name):
                found = self._read(number)
            others = [item for item in self._layers.items() if item[0] != number]
            self._layers = dict([*others[1 - KEPT :], (number, found)])
        return found

    def _read(self, number: int) -> list[Layer]:
        """Read the layers of a segment, all but its AV1 stream."""
        own = self.outlines[number]
        head, durations = self.segment_head(number)
        units = read_units(self.source, own.layers)
        networks = self._survey(number)
        cursor = UnitCursor(units, False, _no_ancillary, [], [])

        def base(picture: Picture) -> Sequence[BaseRun]:
            if not own.base:
                raise CorruptStreamError(f"segment {number} has a PICTURE and no BASE unit")
            return DeferredRuns(self.source, own.base, picture, head.frames, self.name)

        reader = LayerReader(cursor, networks, self.features, [], Damage(False), base)
        self._borrow(reader, number, units, networks)
        segment = Segment(head, durations, [])
        if self.order == Order.BY_SEGMENT:
            layers = reader.layers(segment, number, own.layer_count)
        else:
            layers = [reader.layer(segment, number, layer) for layer in range(own.layer_count)]
        more = cursor.next_or_none() or (own.base[0] if own.base and not layers[0].base else None)
        if more:
            raise CorruptStreamError(f"{more.where}: no layer of its segment can have it here")
        return layers

    def _survey(self, number: int) -> dict[int, Surveyed]:
        """Read the networks of a segment, and of those that they are taken from, and check them against all limits."""
        own = self.outlines[number]
        size = KEPT * (sum(head.bytes for head in own.layers) + max((head.bytes for head in own.base), default=0))
        networks = {number: self._network_units(number)}
        waiting = [number] if self.reuse else []
        while waiting:
            here = waiting.pop()
            for unit in networks[here]:
                source = unpack_reference(unit.cursor())
                if source is not None and source < here and source not in networks:
                    networks[source] = self._network_units(source)
                    waiting.append(source)
        numbers = sorted(networks)
        segments = read_units(self.source, [self.outlines[other].segment for other in numbers])
        units = [unit for segment, other in zip(segments, numbers, strict=True) for unit in (segment, *networks[other])]
        return survey(units, self.video.peak, size, self.limits, False, self.reuse, numbers)

    def _network_units(self, number: int) -> list[Unit]:
        """Read the NETWORK units of a segment."""
        heads = self.outlines[number].layers
        return read_units(self.source, [head for head in heads if head.header.type == UnitType.NETWORK])

    def _borrow(self, reader: LayerReader, number: int, units: Sequence[Unit], networks: dict[int, Surveyed]) -> None:
        """Give a reader of a segment, of which these are the units, the integers of networks of earlier segments."""
        for unit in units:
            source = networks[unit.index].source if unit.index in networks else None
            if source is None:
                continue
            layer, origin = unit.header.layer, source
            while True:
                own = (head for head in self.outlines[origin].layers if head.header.layer == layer)
                surveyed = next(networks[head.index] for head in own if head.index in networks)
                if surveyed.source is None:
                    break
                origin = surveyed.source
            convs: dict[int, ConvWeights] = {}
            if head := self._head_of(UnitType.WEIGHTS, origin, layer):
                [weights] = read_units(self.source, [head])
                convs, _ = payloads.unpack_weights(weights, *surveyed.network, bool(self.features & FEATURE_1_1))
            elif any(isinstance(op, Conv) for op in surveyed.network[0]):
                raise CorruptStreamError(f"segment {origin} has no WEIGHTS of layer {layer}")
            reader.convs[source, layer] = convs

    def _head_of(self, kind: UnitType, number: int, layer: int) -> UnitHead | None:
        """Return the first unit of a kind that a layer of a segment has; None where it has none."""
        heads = self.outlines[number].layers
        return next((head for head in heads if (head.header.type, head.header.layer) == (kind, layer)), None)

    def _metadata(self) -> dict[str, Any]:
        """Read all METADATA."""
        metadata = Metadata()
        for unit in read_units(self.source, [head for head in self.heads if head.header.type == UnitType.METADATA]):
            unit.check_is(UnitType.METADATA, 0, 0)
            metadata.add(unit.cursor())
        return metadata.values

    def _track_units(self) -> list[tuple[UnitType, bytes]]:
        """Read all AUDIO and SUBTITLES."""
        with about(self.name):
            units = read_units(self.source, [head for head in self.heads if head.header.type in TRACKS])
            for unit in units:
                unit.check_is(UnitType(unit.header.type), 0, 0)
            return [(UnitType(unit.header.type), bytes(unit.payload)) for unit in units]

    def _entries(self) -> Sequence[Entry]:
        """Say where all bytes went, which takes reading all of them."""
        with about(self.name):
            return read_stream(bytes(self.source.read_at(0, self.source.size)), self.limits).entries


def _no_ancillary(unit: Unit) -> None:
    """There is no ancillary unit among those of a segment."""
    raise AssertionError(unit.where)


class DeferredSegment(Segment):
    """A segment of a file, read when it is wanted."""

    def __init__(self, file: _DeferredFile, number: int) -> None:
        self._file, self._number = file, number

    @property
    def head(self) -> SegmentHead:  # type: ignore[override]  # what a file says is not set
        return self._file.segment_head(self._number)[0]

    @property
    def durations(self) -> npt.NDArray[np.int64]:  # type: ignore[override]
        return self._file.segment_head(self._number)[1]

    @property
    def layers(self) -> list[Layer]:  # type: ignore[override]
        return self._file.layers(self._number)

    @property
    def layer_count(self) -> int:
        return self._file.outlines[self._number].layer_count

    @property
    def has_base(self) -> bool:
        return bool(self._file.outlines[self._number].base)


class Deferred(Sequence[T]):
    """A sequence that is read as a whole when something of it is wanted."""

    def __init__(self, read: Callable[[], Sequence[T]]) -> None:
        self._read = read
        self._content: Sequence[T] | None = None

    @property
    def content(self) -> Sequence[T]:
        """What it has."""
        if self._content is None:
            self._content = self._read()
        return self._content

    def __len__(self) -> int:
        return len(self.content)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self.content[index]
