"""Where a frame number is in a file, found without decoding."""

from __future__ import annotations

import bisect

import av

#: FFmpeg's names of formats with an index, and of codecs of which each packet is one frame that is shown.
INDEXED_FORMATS = ("mov,", "matroska,")
ONE_FRAME_PER_PACKET = frozenset({"h264", "hevc", "av1", "vp9", "prores", "mjpeg", "ffv1"})


class SeekFailed(Exception):
    """A file does not hold what its time stamps promised; it has to be decoded from its beginning."""


def can_seek(container: av.container.InputContainer) -> bool:
    """Return whether a file's index leads to the key frame before a time."""
    return container.format.name.startswith(INDEXED_FORMATS)


def time_stamp_of(container: av.container.InputContainer, stream: av.VideoStream, number: int) -> int | None:
    """Return the time stamp of a frame, given how many are shown before it; None where only decoding can tell.

    Reads packets from the beginning to the one that is wanted.
    """
    if stream.codec_context.codec.canonical_name not in ONE_FRAME_PER_PACKET:
        return None
    seen: list[int] = []
    try:
        for packet in container.demux(stream):
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is None or packet.is_corrupt:
                return None
            bisect.insort(seen, packet.pts)
            # No packet is shown before it is decoded, so that none of those to come is shown before this time.
            if packet.dts is not None and len(seen) > number and seen[number] <= packet.dts:
                break
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return None
    shown = seen[: number + 1]
    return shown[-1] if len(set(shown)) == number + 1 else None
