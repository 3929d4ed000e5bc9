"""Outputs that are bare bytes, to a file or a pipe: raw RGB and YUV4MPEG2."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import BinaryIO

from nvcodec.errors import UsageError
from nvcodec.files import atomic_file
from nvcodec.video.sink_base import Picture, Properties, SinkBase, channels_first, little_endian
from nvcodec.video.yuv import rgb_to_yuv444


class ByteSink(SinkBase):
    """Bytes to a file; ``-`` is standard output.

    Raises:
        UsageError: standard output is a terminal.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.file: BinaryIO
        if path == "-":
            if sys.stdout.isatty():
                raise UsageError(
                    "standard output is a terminal, which cannot show pictures; name a file, or pipe them on"
                )
            self.file = sys.stdout.buffer
        else:
            temporary = self.stack.enter_context(atomic_file(path))
            self.file = self.stack.enter_context(temporary.open("wb"))


class RawSink(ByteSink):
    """Raw RGB, frame by frame, row by row, a byte a sample or with 10 bits two, the lower one first; lossless."""

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        self.file.write(little_endian(picture).data)


class Y4mSink(ByteSink):
    """YUV4MPEG2 in 4:4:4, BT.601, limited range, at a constant frame rate; rounding to YUV is not lossless.

    Not written by FFmpeg's muxer, because PyAV cannot give it the sample aspect. The format cannot name a matrix, and
    readers take BT.601 where none is named. Frames that the frame rate does not show at their times are noted.
    """

    def __init__(self, path: str, properties: Properties) -> None:
        super().__init__(path)
        self.fps, self.time_base, self.bits = properties.fps, properties.time_base, properties.bits
        self.begin = 0  # of the first frame, in ticks
        self.frames = 0
        self.latest = Fraction(0)  # largest distance of a frame from its time, in seconds
        aspect = properties.sample_aspect
        kind = "C444" if self.bits == 8 else "C444p10 XYSCSS=444P10"
        self.file.write(
            f"YUV4MPEG2 W{properties.width} H{properties.height} F{self.fps.numerator}:{self.fps.denominator} Ip "
            f"A{aspect.numerator}:{aspect.denominator} {kind} XCOLORRANGE=LIMITED\n".encode()
        )
        self.stack.push(self._finish)

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        self.file.write(b"FRAME\n")
        for plane in rgb_to_yuv444(channels_first(picture), self.bits):
            self.file.write(little_endian(plane).data)
        if not self.frames:
            self.begin = pts
        for ticks, frames in ((pts, self.frames), (pts + duration, self.frames + 1)):
            error = abs((ticks - self.begin) * self.time_base - frames / self.fps)
            self.latest = max(self.latest, error)
        self.frames += 1

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        # Less than a tick is rounding, and less than a tenth of a frame nobody sees.
        if kind is None and self.latest > self.time_base + 1 / self.fps / 10:
            self.notes.append(
                f"the frames do not last equally long; y4m shows {float(self.fps):g} frames per second, some of them "
                f"{float(self.latest):.2g} s too early or too late"
            )
