"""Files joined one after the other, without encoding anything again.

The result is in compact form, segment after segment; every picture is that of its file. Each file begins where the one
before ends, and the first one keeps its times.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from nvcodec.errors import UsageError
from nvcodec.format.describe import quality_key
from nvcodec.format.extras import (
    CHAPTERS_KEY,
    HDR_KEY,
    SELECTION_KEY,
    TAGS_KEY,
    TRACKS_KEY,
    extra_units,
    extras_of,
    more_units,
)
from nvcodec.format.operations import Noise
from nvcodec.format.stream import Stream
from nvcodec.format.stream_writer import ByteSink, StreamWriter
from nvcodec.format.units import MAX_FRAMES
from nvcodec.tracks import Chapter, Extras, Packet, Track

MAX_SEGMENTS = 2**16
_OF_EXTRAS = (TRACKS_KEY, CHAPTERS_KEY, TAGS_KEY, SELECTION_KEY, HDR_KEY)
#: What must be the same in all files, because it says how pictures are shown.
_SHOWN = {
    "sample_format": "sample format",
    "primaries": "colour primaries",
    "transfer": "transfer characteristics",
    "sample_aspect_num": "sample aspect",
    "sample_aspect_den": "sample aspect",
}


@dataclasses.dataclass(frozen=True)
class Part:
    """What joining needs to know of a file before it writes.

    Attributes:
        stream: without segments and units of tracks.
        extras: without packets.
        begin, seconds: time of the first frame, and from there to the end of the last one.
        frames, segments, layers: how many it has.
        noise: whether pictures depend on the numbers of its segments.
    """

    stream: Stream
    extras: Extras
    begin: Fraction
    seconds: Fraction
    frames: int
    segments: int
    layers: int
    noise: bool


def join(sink: ByteSink, reads: Sequence[Callable[[], Stream]]) -> list[str]:
    """Write files one after the other.

    Args:
        sink: takes the bytes.
        reads: each reads one of the files; called twice, so that no more than one file is in memory.

    Returns:
        What is left out, a phrase for each.

    Raises:
        UsageError: the files do not go together.
    """
    parts = [_part(read()) for read in reads]
    _check(parts)
    video = dataclasses.replace(parts[0].stream.video, **_time_base(parts))
    writer = StreamWriter(sink, video, reuse=any(part.stream.reuse for part in parts))
    writer.put_metadata(_metadata(parts))
    left_out: list[str] = []
    tracks = parts[0].extras.tracks
    at = parts[0].begin
    chapters: list[Chapter] = []
    for part in parts:
        shift = at - part.begin
        chapters += [Chapter(c.start + shift, c.end + shift, c.title) for c in part.extras.chapters]
        at += part.seconds
    at = parts[0].begin
    for number, (read, part) in enumerate(zip(reads, parts, strict=True)):
        stream = read()
        packets = _packets(stream, part, at - part.begin, tracks, number == 0, number == len(parts) - 1, left_out)
        own = tuple(dataclasses.replace(t, packets=p) for t, p in zip(tracks, packets, strict=True))
        extras = Extras(own, tuple(chapters), _tags(parts), hdr=_hdr(parts))
        for kind, payload in more_units(own) if number else extra_units(extras, True):
            writer.put_track_unit(kind, payload)
        writer.add_stream(stream)
        at += part.seconds
    writer.finish()
    return left_out + _lost(parts)


def _part(stream: Stream) -> Part:
    """Keep of a file what joining needs to know."""
    extras = extras_of(stream)[0]
    tracks = tuple(dataclasses.replace(track, packets=()) for track in extras.tracks)
    begin = stream.segments[0].head.first_pts * stream.time_base
    last = stream.segments[-1]
    noise = any(
        isinstance(op, Noise) and op.gain for segment in stream.segments for layer in segment.layers for op in layer.ops
    )
    return Part(
        dataclasses.replace(stream, segments=[], track_units=[], entries=[], units=[]),
        dataclasses.replace(extras, tracks=tracks),
        begin,
        (last.head.first_pts + last.ticks) * stream.time_base - begin,
        stream.frames,
        len(stream.segments),
        stream.layers,
        noise,
    )


def _check(parts: Sequence[Part]) -> None:
    """Check that files go together; raises UsageError."""
    first = parts[0]
    for part in parts[1:]:
        name = part.stream.name or "a file"
        for field, what in _SHOWN.items():
            if getattr(part.stream.video, field) != getattr(first.stream.video, field):
                raise UsageError(f"{name} has another {what} than the first file")
        if part.layers != first.layers:
            raise UsageError(f"{name} has {part.layers} layer(s), the first file has {first.layers}")
        if part.noise:
            raise UsageError(
                f"{name} has noise that depends on the numbers of its segments, so only the first file may have it"
            )
    for number, most, what in (
        (sum(part.frames for part in parts), MAX_FRAMES, "frames"),
        (sum(part.segments for part in parts), MAX_SEGMENTS, "segments"),
    ):
        if number > most:
            raise UsageError(f"the files have {number} {what}; a file holds at most {most}")


def _time_base(parts: Sequence[Part]) -> dict[str, int]:
    """Return the fields of the longest tick of which those of all files are multiples; raises UsageError."""
    tick = parts[0].stream.time_base
    for part in parts[1:]:
        other = part.stream.time_base
        tick = Fraction(
            math.gcd(tick.numerator * other.denominator, other.numerator * tick.denominator),
            tick.denominator * other.denominator,
        )
    if max(tick.numerator, tick.denominator) >= 2**32:
        raise UsageError("the time bases of the files have no common multiple that a file can state")
    return {"time_base_num": tick.numerator, "time_base_den": tick.denominator}


def _metadata(parts: Sequence[Part]) -> dict[str, Any]:
    """Return what can still be said: what all files say, and the mean PSNR over all frames."""
    said = [part.stream.metadata for part in parts]
    kept = {
        key: value
        for key, value in said[0].items()
        if key not in _OF_EXTRAS and all(other.get(key) == value for other in said)
    }
    frames = sum(part.frames for part in parts)
    for layer in range(parts[0].layers):
        key = quality_key(layer)
        values = [other[key] for other in said if type(other.get(key)) in (int, float)]
        kept.pop(key, None)
        if len(values) == len(parts):
            total = sum(part.frames * value for part, value in zip(parts, values, strict=True))
            kept[key] = round(total / frames, 3)
    return kept


def _tags(parts: Sequence[Part]) -> dict[str, str]:
    """Return the tags that all files have."""
    return {k: v for k, v in parts[0].extras.tags.items() if all(part.extras.tags.get(k) == v for part in parts)}


def _hdr(parts: Sequence[Part]) -> Any:
    """Return what is said of display and light, where all files say the same."""
    first = parts[0].extras.hdr
    return first if all(part.extras.hdr == first for part in parts) else type(first)()


def _lost(parts: Sequence[Part]) -> list[str]:
    """Return what of the metadata only some files say."""
    lost = []
    if any(part.extras.tags != _tags(parts) for part in parts):
        lost.append("tags that differ")
    if any(part.extras.hdr != _hdr(parts) for part in parts):
        lost.append("what differs of the mastering display and light level")
    return lost


def _packets(
    stream: Stream, part: Part, shift: Fraction, tracks: Sequence[Track], first: bool, last: bool, left_out: list[str]
) -> list[tuple[Packet, ...]]:
    """Return the packets with which a file continues each track, ``shift`` seconds later than in the file.

    A file's track continues the first one of its kind, codec and parameters that no other track of it does. Where
    another file follows or goes before, the packets outside the file's own time are left out.
    """
    found: dict[int, tuple[Packet, ...]] = {}
    end = part.begin + part.seconds
    for track in extras_of(stream)[0].tracks:
        number = next((n for n, t in enumerate(tracks) if n not in found and _same(t, track)), None)
        if number is None:
            left_out.append(f"a track of {track.kind.value} ({track.codec}) of {stream.name or 'a file'}")
            continue
        base = track.time_base
        inside = [
            packet
            for packet in track.packets
            if (first or packet.time * base >= part.begin) and (last or packet.time * base < end)
        ]
        cut = dataclasses.replace(track, packets=tuple(inside))
        ticks = round(shift / base)
        shown = cut.packets if last else cut.shown_until(end).packets
        found[number] = tuple(packet._replace(time=packet.time + ticks) for packet in shown)
    return [found.get(number, ()) for number in range(len(tracks))]


def _same(one: Track, other: Track) -> bool:
    """Whether the packets of two tracks can be decoded one after the other."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("kind", "codec", "time_base", "codec_data", "sample_rate", "channels", "layout")
    )
