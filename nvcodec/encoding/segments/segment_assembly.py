"""Finished segments to one file, with the sound and the subtitles of each before its pictures."""

from __future__ import annotations

import dataclasses

import numpy as np

from nvcodec import __version__
from nvcodec.encoding.av1.correction_export import export_unchanged
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.source_extras import ExtrasInParts
from nvcodec.format.describe import AV1_KEY, quality_key
from nvcodec.format.extras import extra_units, metadata_of, more_units
from nvcodec.format.operations import Picture
from nvcodec.format.stream import Segment, Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import ByteSink, StreamWriter
from nvcodec.format.units import TRACKS
from nvcodec.tracks import Extras


class SegmentAssembly:
    """A growing file of segments.

    Args:
        sink: gets the bytes.
        extras: what travels beside the pictures.

    Attributes:
        frames, parameters: of all segments so far.
        latest: the last segment so far.
    """

    latest: Encoded

    def __init__(self, sink: ByteSink, extras: ExtrasInParts) -> None:
        self.sink, self.extras = sink, extras
        self.frames = self.parameters = 0
        self._writer: StreamWriter | None = None
        self._psnrs = 0.0  # sum over the frames

    @property
    def psnr(self) -> float:
        """RGB PSNR in dB, mean over the frames so far."""
        return self._psnrs / self.frames

    @property
    def file_bytes(self) -> int:
        """Bytes so far."""
        return 0 if self._writer is None else self._writer.file_bytes

    def add(self, encoded: Encoded, last: bool) -> None:
        """Add a segment, after which the file is valid; ``last``: whether it is complete then."""
        stream = read_stream(encoded.data)
        segment = with_equal_layers(stream.segments[0])
        self.latest = encoded
        self._psnrs += encoded.psnr * encoded.frames
        self.frames += encoded.frames
        self.parameters += stream.parameters
        end = (segment.head.first_pts + segment.ticks) * stream.time_base
        writer = self._writer or self._begun(stream)
        for kind, payload in more_units(self.extras.until(end, last)):
            writer.put_track_unit(kind, payload)
        if last:
            said = {quality_key(len(segment.layers) - 1): round(self.psnr, 2)}
            writer.put_metadata(said | metadata_of(Extras(chapters=self.extras.chapters(end))))
        writer.add_segment(segment.moved(writer.frames, segment.head.first_pts))
        if last:
            self.finish()

    def finish(self) -> None:
        """End the file after the segments that it has."""
        assert self._writer is not None
        self._writer.finish()
        self.extras.close()

    def _begun(self, stream: Stream) -> StreamWriter:
        """Begin the file with what holds for all segments."""
        self._writer = StreamWriter(self.sink, stream.video)
        said = {key: stream.metadata[key] for key in (AV1_KEY,) if key in stream.metadata}
        heads = self.extras.heads
        self._writer.put_metadata({**said, "encoder": f"nvcodec {__version__}", **metadata_of(heads)})
        for kind, payload in extra_units(heads, True):
            if kind in TRACKS:
                self._writer.put_track_unit(kind, payload)
        return self._writer


def with_equal_layers(segment: Segment) -> Segment:
    """Return a segment with as many layers as its neighbours, which have a network above their AV1 stream."""
    layers = segment.layers
    if len(layers) > 1 or not segment.has_base:
        return segment
    below, (picture, *_) = layers[0], layers[0].ops
    assert isinstance(picture, Picture)
    unchanged = export_unchanged(layers, picture, (segment.head.height, segment.head.width))
    unchanged.checksums, unchanged.frames_per_checksum = below.checksums, below.frames_per_checksum
    alone = dataclasses.replace(below, checksums=np.zeros(0, np.uint32), frames_per_checksum=1)
    return dataclasses.replace(segment, layers=[alone, unchanged])
