"""What of a damaged file did not come out, told in one sentence."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any

import av

#: FFmpeg's names of formats whose header has the duration; elsewhere FFmpeg may only have guessed it.
HAVE_DURATION = frozenset({"flv", "matroska,webm"})
LEAST_MISSING_SECONDS = 0.3  # of such a file; durations in headers are not exact
#: Lengths of a transport stream's packets, plain, with a time before each and with a code behind each, in bytes, and
#: the bytes before the one with which each plain one begins.
TRANSPORT_PACKETS = {188: 0, 192: 4, 204: 0}
SYNC_BYTE, SYNC_BYTES_READ = b"\x47", 4


@dataclasses.dataclass
class Losses:
    """Counts what a file announced and what was read of it.

    Attributes:
        announced: frames that the file says it has, also those that an edit list hides; 0 if it does not say.
        announced_seconds: its duration; 0.0 if it does not say.
        decoded: frames that decoded.
        hidden: packets that are there only for others to be decoded.
        damaged: frames of these of which a part is missing.
        failed: packets, or attempts to read one, that failed.
        incomplete: packets, also of sound, that the file has a part of only.
        end: time of the end of the last packet of any track, in seconds; None if there is none.
        is_transport_stream: whether packets of the container have a fixed length, which shows where it is cut.
    """

    announced: int
    announced_seconds: float
    decoded: int = 0
    damaged: int = 0
    hidden: int = 0
    failed: int = 0
    incomplete: int = 0
    end: float | None = None
    is_transport_stream: bool = False

    @classmethod
    def of(cls, container: av.container.InputContainer, stream: av.VideoStream) -> Losses:
        """Return what a file announces."""
        index = index_of(container, stream)
        announced = min(stream.frames, len(index)) if index else stream.frames
        known = container.duration if container.format.name in HAVE_DURATION else None
        is_transport_stream = container.format.name == "mpegts"
        return cls(announced, (known or 0) / av.time_base, is_transport_stream=is_transport_stream)

    def see(self, packet: av.Packet[Any]) -> None:
        """Count a packet of any track."""
        self.incomplete += packet.is_corrupt
        if packet.pts is not None and packet.time_base is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self.end = end if self.end is None else max(self.end, end)

    def report(self, path: str) -> None:
        """Print one line on stderr if something is lost."""
        missing = self.announced - self.decoded - self.hidden
        ends_early = self.end is not None and self.announced_seconds - self.end > LEAST_MISSING_SECONDS
        is_cut = self.is_transport_stream and ends_within_packet(path)
        if not (missing > 0 or ends_early or is_cut or self.damaged or self.failed or self.incomplete):
            return
        parts = [f"{self.decoded} frames decode" + (f" of the {self.announced} it announces" if missing > 0 else "")]
        if ends_early:
            parts.append(f"it ends at {self.end:.2f} s of the {self.announced_seconds:.2f} s it announces")
        if is_cut:
            parts.append("it ends within a packet")
        if self.damaged:
            parts.append(f"a part of {self.damaged} of them is missing")
        if self.failed and missing <= 0:
            parts.append(f"{self.failed} packet{'s do' if self.failed > 1 else ' does'} not")
        if self.incomplete:
            parts.append(f"{self.incomplete} packet{'s are' if self.incomplete > 1 else ' is'} incomplete")
        print(f"nvcodec: {path}: {', '.join(parts)}", file=sys.stderr)


def ends_within_packet(path: str) -> bool:
    """Return whether a transport stream ends before its last packet does; False for what is no file."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        head = file.read(SYNC_BYTES_READ * max(TRANSPORT_PACKETS))
    for length, before in TRANSPORT_PACKETS.items():
        if head[before::length][:SYNC_BYTES_READ] == SYNC_BYTE * SYNC_BYTES_READ:
            return os.path.getsize(path) % length != 0
    return False


def index_of(container: av.container.InputContainer, stream: av.VideoStream) -> Sequence[Any]:
    """Return the packets that an .mp4 lists, of which an edit list needs some, and leaves out others; () elsewhere."""
    # `stream.frames` counts all that were written. Newer versions of PyAV have the index.
    return getattr(stream, "index_entries", ()) if container.format.name.startswith("mov,") else ()


def counted_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """Return the number of frames that a file says it shows; 0 where it does not say."""
    if index := index_of(container, stream):
        return min(stream.frames, sum(not entry.is_discard for entry in index))
    return stream.frames
