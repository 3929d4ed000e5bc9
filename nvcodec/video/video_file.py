"""The first video track of a file."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.stream import Disposition

from nvcodec.errors import InputError, UsageError
from nvcodec.notes import note
from nvcodec.video.file_losses import Losses, counted_frames
from nvcodec.video.seeking import SeekFailed, can_seek, time_stamp_of
from nvcodec.video.selection import Moment
from nvcodec.video.source_frame import SourceFrame, has_centred_chroma, reason
from nvcodec.video.timing import FrameTime

STDIN = "-"
DEFAULT_FPS = Fraction(25)
MAX_LEADING_BAD_PACKETS = 1000  # a file that begins with more is given up
MAX_FAILURES = 100  # in a row, to read a packet or to get the decoder's last frames
SEEK_MARGIN = 4  # frames
ERRORS = (av.FFmpegError, OSError, ValueError)


class VideoFile:
    """The first video track of a file that PyAV can open.

    Args:
        path: the file; ``-`` for standard input.

    Attributes:
        time_base: seconds per unit of the frames' times.
        typical_duration: of a frame, in these units.
        counted: frames that the file says it shows; 0 where it does not say.
        announced: the same, or those that it has time for.

    Raises:
        InputError: the file does not open or has no video track.
        UsageError: standard input is a terminal.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.is_pipe = self.path == STDIN
        if self.is_pipe and sys.stdin.isatty():
            raise UsageError("standard input is a terminal; pipe a video into it")
        self._open()
        self.centred_chroma = has_centred_chroma(self.container, self.stream)
        self.time_base = self.stream.time_base or 1 / DEFAULT_FPS
        fps = self.stream.average_rate or self.stream.guessed_rate or DEFAULT_FPS
        self.typical_duration = max(1, round(1 / (fps * self.time_base)))
        self.origin = self.stream.start_time or 0
        self.counted = counted_frames(self.container, self.stream)
        self.announced = self.counted or round((self.container.duration or 0) / av.time_base * fps)

    def _open(self) -> None:
        try:
            # A relative name such as a:b would be taken for a URL.
            self.container = av.open(sys.stdin.buffer if self.is_pipe else os.path.abspath(self.path), "r")
        except ERRORS as error:
            raise InputError(f"cannot open {self.path}: {reason(error)}") from None
        tracks = [stream for stream in self.container.streams.video if not _is_picture(stream)]
        if not tracks:
            only = "but a picture" if self.container.streams.video else "track"
            raise InputError(f"{self.path} has no video {only}")
        self.stream = tracks[0]
        if self.stream.codec_context is None:
            raise InputError(f"{self.path} is coded in a way that FFmpeg does not know")
        # With several threads, how many frames of a damaged file come out depends on their number. Converting a frame
        # takes longer than decoding it.
        self.stream.codec_context.thread_count = 1

    def seconds(self, time: FrameTime) -> Fraction | None:
        """Return a time in seconds from the first frame on; None where the file does not say."""
        return None if time.pts is None else (time.pts - self.origin) * self.time_base

    def frames(self, start: Moment = 0) -> Iterator[SourceFrame]:
        """Decode all frames from a number or time on, and warn on stderr where something is lost.

        Raises:
            InputError: no frame decodes.
        """
        self._note_what_is_left_out()
        try:
            yield from self._frames(start, not self.is_pipe and can_seek(self.container))
        except SeekFailed:
            self.container.close()
            self._open()
            yield from self._frames(start, False)

    def _frames(self, start: Moment, seek: bool) -> Iterator[SourceFrame]:
        """As :meth:`frames`; raises SeekFailed, before it yields anything, where seeking does not lead there."""
        number = start if isinstance(start, int) else None
        target = None if number is not None else self.origin + math.ceil(Fraction(start) / self.time_base)
        if seek and number:
            target = time_stamp_of(self.container, self.stream, number)
            if target is None:
                raise SeekFailed
        sought = seek and bool(start)
        with self.container:
            losses = Losses.of(self.container, self.stream)
            if sought:
                # The index is of decoding times, which are some frames before those at which frames are shown.
                margin = SEEK_MARGIN * self.typical_duration
                try:
                    self.container.seek((target or 0) - margin, stream=self.stream)
                except ERRORS:
                    raise SeekFailed from None
                losses.announced = 0  # of a part, nothing is known
            begun = not start
            for frame in self._decoded(losses):
                if not begun:
                    pts = frame.pts
                    if target is not None and pts is None and not sought:
                        pts = losses.decoded * self.typical_duration
                    if sought and (pts is None or (not losses.decoded and pts > (target or 0))):
                        raise SeekFailed
                    begun = losses.decoded == number if target is None else pts is not None and pts >= target
                    if begun and sought and number and pts != target:
                        raise SeekFailed
                losses.decoded += 1
                if begun:
                    losses.damaged += frame.is_corrupt
                    aspect = self.stream.sample_aspect_ratio or Fraction(1)
                    yield SourceFrame(frame, FrameTime(frame.pts, frame.duration or 0), aspect, self.centred_chroma)
        if not losses.decoded:
            raise InputError(f"{self.path} has no video frame that decodes")
        losses.report(self.path)

    def _note_what_is_left_out(self) -> None:
        pictures = sum(map(_is_picture, self.container.streams.video))
        others = len(self.container.streams.video) - pictures - 1
        for count, kind in ((others, "other video track"), (pictures, "attached picture")):
            if count:
                note(self.path, f"{count} {kind} is left out" if count == 1 else f"{count} {kind}s are left out")
        if self.stream.metadata.get("alpha_mode") == "1":  # WebM: a stream beside the stream, which FFmpeg ignores
            note(self.path, "transparency is left out")
        if self.is_pipe and (self.container.streams.audio or self.container.streams.subtitles):
            note(self.path, "sound and subtitles are left out: standard input can be read only once")

    def _decoded(self, losses: Losses) -> Iterator[av.VideoFrame]:
        """Yield all frames that decode; also those that the decoder still holds when the file ends, however it does."""
        for packet in self._packets(losses):
            losses.hidden += packet.is_discard
            try:
                yield from packet.decode()
            except ERRORS:
                losses.failed += 1
                if losses.failed > MAX_LEADING_BAD_PACKETS and not losses.decoded:
                    return
        for _ in range(MAX_FAILURES):
            try:
                yield from self.stream.decode(None)
                return
            except EOFError:
                return
            except ERRORS:
                losses.failed += 1

    def _packets(self, losses: Losses) -> Iterator[av.Packet[Any]]:
        """Yield the packets of the track; after an error, reading goes on behind it."""
        failures = 0  # since the last packet
        while failures < MAX_FAILURES:
            try:
                for packet in self.container.demux():
                    if not packet.size:  # the decoder's end, which PyAV puts there
                        continue
                    failures = 0
                    losses.see(packet)
                    # Packets of sound and subtitles pass here, too.
                    if packet.stream is self.stream:
                        yield packet
                return
            except IndexError:  # by PyAV at the end, if a track appeared on the way
                return
            except ERRORS:
                failures += 1
        losses.failed += 1


def _is_picture(stream: av.VideoStream) -> bool:
    """Return whether a track is no video but the cover of an album or the thumbnail of a video."""
    return bool(stream.disposition & Disposition.attached_pic)
