"""AV1 streams written to files that any player opens, without encoding them again."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import av

from nvcodec.errors import InputError, UsageError
from nvcodec.files import atomic_file
from nvcodec.tracks import NO_EXTRAS, Extras
from nvcodec.video.track_muxer import TrackMuxer

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm", ".ivf": "ivf", ".obu": "obu"}  # FFmpeg's, by suffix
TEMPORAL_DELIMITER = b"\x12\x00"


class TimedUnit(NamedTuple):
    """The temporal unit of a frame, without delimiter; when the frame is shown, in ticks; whether it can start a
    stream."""

    data: bytes
    pts: int
    duration: int
    key: bool


def write_av1(
    path: str | os.PathLike[str],
    units: Sequence[TimedUnit],
    time_base: Fraction,
    sample_aspect: Fraction,
    extras: Extras = NO_EXTRAS,
) -> list[str]:
    """Write a stream to a file whose suffix names the format: .mp4, .mkv, .webm, .ivf or .obu.

    Colours are those that the stream itself declares. The first frame is shown at 0.

    Args:
        path: the file.
        units: one for each frame, at least one.
        time_base: seconds per tick. Matroska and WebM round times to milliseconds.
        sample_aspect: width of a sample divided by its height. Only MP4 keeps it: PyAV does not hand it to the
            writers of Matroska and WebM, and the others have none.
        extras: what travels beside the pictures.

    Returns:
        What the format cannot hold, in a few words each.

    Raises:
        UsageError: the suffix is another one.
        InputError: the file cannot be written.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in FORMATS:
        raise UsageError(f"{os.fspath(path)} must end in {', '.join(FORMATS)}")
    try:
        with atomic_file(path) as temporary:
            left_out = _write(str(temporary), FORMATS[suffix], units, time_base, sample_aspect, extras)
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"cannot write {os.fspath(path)}: {error}") from None
    if sample_aspect != 1 and suffix != ".mp4":
        left_out.append(f"the shape of its samples, which are {sample_aspect.numerator}:{sample_aspect.denominator}")
    return left_out


def _write(
    path: str,
    container_format: str,
    units: Sequence[TimedUnit],
    time_base: Fraction,
    sample_aspect: Fraction,
    extras: Extras,
) -> list[str]:
    """Copy a stream into a file of a format; returns what that cannot hold."""
    # FFmpeg's own parser finds out what the container has to know: size, format, colours, codec data.
    raw = io.BytesIO(b"".join(TEMPORAL_DELIMITER + unit.data for unit in units))
    options = {"movflags": "faststart"} if container_format == "mp4" else {}  # so that a file that is cut still plays
    with (
        av.open(raw, format="obu") as source,
        av.open(path, "w", format=container_format, container_options=options) as container,
    ):
        stream: Any = container.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.time_base = time_base
        stream.sample_aspect_ratio = sample_aspect
        origin = units[0].pts  # a part of a video plays nothing first
        muxer = TrackMuxer(container, extras, origin * time_base)
        for unit in units:
            muxer.before((unit.pts - origin) * time_base)
            packet: Any = av.Packet(unit.data)  # FFmpeg inserts temporal delimiters where the format has them
            packet.stream, packet.time_base, packet.is_keyframe = stream, time_base, unit.key
            packet.pts = packet.dts = unit.pts - origin
            packet.duration = unit.duration
            container.mux(packet)
        muxer.finish()
        return muxer.notes
