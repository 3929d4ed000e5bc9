"""A part of a file, cut out without encoding anything again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from nvcodec.errors import UsageError
from nvcodec.format.describe import quality_key
from nvcodec.format.extras import CHAPTERS_KEY, SELECTION_KEY, TAGS_KEY, TRACKS_KEY, extra_units, extras_of
from nvcodec.format.operations import Grid, Latent, Noise
from nvcodec.format.stream import Layer, Segment, Stream
from nvcodec.tracks import Extras


def cut(stream: Stream, frames: range) -> tuple[Stream, range]:
    """Return the smallest part that holds some frames, begins and ends where runs do, and is shown from time 0 on.

    Latents are coded anew, so only runs of an AV1 stream stay whole, and segments of which every frame needs something
    in common: GRID, or NOISE that differs from frame to frame. Picture checksums stay where they cover the same frames
    as before. Packets, chapters and subtitles are cut to the part; the PSNR of the whole is no longer stated.

    Args:
        stream: a whole file's; not changed.
        frames: their numbers, at least one.

    Returns:
        The part, in compact form, and the frames that it holds.

    Raises:
        UsageError: pictures would change, because noise depends on the number of the segment.
    """
    segments: list[Segment] = []
    held: list[int] = []
    ticks = 0
    for number, segment in enumerate(stream.segments):
        first = segment.head.first_frame
        here = range(max(0, frames.start - first), min(segment.head.frames, frames.stop - first))
        if not here:
            continue
        if number != len(segments) and any(_noises(layer) for layer in segment.layers):
            raise UsageError(
                f"segment {number} has noise that depends on its number, so a part has to begin with segment 0"
            )
        part = _whole_runs(segment, here)
        if not segments:
            origin = segment.head.first_pts + int(segment.durations[: part.start].sum())
        pts = segment.head.first_pts + int(segment.durations[: part.start].sum()) - origin
        segments.append(_cut_segment(segment, part).moved(sum(s.head.frames for s in segments), pts))
        held += [first + part.start, first + part.stop]
        ticks = pts + segments[-1].ticks
    start = origin * stream.time_base
    extras = _shifted(extras_of(stream)[0].within(start, start + ticks * stream.time_base), stream, origin)
    units = extra_units(extras, True)
    metadata: dict[str, Any] = {
        key: value
        for key, value in stream.metadata.items()
        if key not in (TRACKS_KEY, CHAPTERS_KEY, TAGS_KEY, SELECTION_KEY, *map(quality_key, range(stream.layers)))
    }
    return (
        dataclasses.replace(
            stream,
            segments=segments,
            metadata=metadata,
            compact=True,
            track_units=units,
            entries=[],
            units=[],
        ),
        range(held[0], held[-1]),
    )


def _shifted(extras: Extras, stream: Stream, origin: int) -> Extras:
    """Return extras so much earlier that time ``origin``, in ticks of the stream, is 0."""
    start = origin * stream.time_base
    tracks = []
    for track in extras.tracks:
        ticks = round(start / track.time_base)
        packets = tuple(packet._replace(time=packet.time - ticks) for packet in track.packets)
        tracks.append(dataclasses.replace(track, packets=packets))
    chapters = tuple(c._replace(start=c.start - start, end=c.end - start) for c in extras.chapters)
    return dataclasses.replace(extras, tracks=tuple(tracks), chapters=chapters)


def _noises(layer: Layer) -> list[Noise]:
    """The operations of a layer that yield noise."""
    return [op for op in layer.ops if isinstance(op, Noise) and op.gain]


def _whole_runs(segment: Segment, here: range) -> range:
    """Return the smallest part of a segment that holds some frames of it and can stand by itself."""
    whole = range(segment.head.frames)
    for layer in segment.layers:
        if any(isinstance(op, Grid) for op in layer.ops):
            return whole
        if here.start and any(noise.per_frame for noise in _noises(layer)):
            here = range(0, here.stop)
    base = segment.layers[0].base
    if not base:
        return here
    start = max(run.first for run in base if run.first <= here.start)
    return range(start, min(run.first + run.frames for run in base if run.first + run.frames >= here.stop))


def _cut_segment(segment: Segment, part: range) -> Segment:
    """Return some frames of a segment."""
    head = dataclasses.replace(segment.head, frames=len(part))
    layers = [_cut_layer(layer, part, segment.head.frames) for layer in segment.layers]
    return Segment(head, segment.durations[part.start : part.stop], layers)


def _cut_layer(layer: Layer, part: range, frames: int) -> Layer:
    """Return a layer of some of ``frames`` frames."""
    group = layer.frames_per_checksum
    aligned = part.start % group == 0 and (part.stop % group == 0 or part.stop == frames)
    checksums = layer.checksums[part.start // group : -(-part.stop // group)] if aligned else np.zeros(0, np.uint32)
    latents = {
        index: values[part.start : part.stop] if isinstance(layer.ops[index], Latent) else values
        for index, values in layer.latents.items()
    }
    base = tuple(dataclasses.replace(run, first=run.first - part.start) for run in layer.base if run.first in part)
    return dataclasses.replace(
        layer,
        latents=latents,
        frames_per_checksum=min(group, len(part)) if aligned else 1,
        checksums=checksums,
        base=base,
        network_of=None,
    )


def without_checksums(before: Sequence[Segment], after: Stream) -> bool:
    """Whether picture checksums of a file are missing in a part of it."""
    had = any(len(layer.checksums) for segment in before for layer in segment.layers)
    return had and any(not len(layer.checksums) for segment in after.segments for layer in segment.layers)
