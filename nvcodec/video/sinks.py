"""Outputs for decoded frames: one class per format, each a context manager that is given the pictures one by one.

Files appear under their final name only once they are complete (see :mod:`nvcodec.files`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import av
import numpy as np
import numpy.typing as npt

from nvcodec.errors import InputError, UsageError
from nvcodec.files import atomic_file, temporary_path, writing
from nvcodec.video.source import DEFAULT_FPS

Picture = npt.NDArray[np.uint8]  # RGB [height, width, 3]


class Sink(Protocol):
    """An output for frames in presentation order."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def put(self, picture: Picture, pts: int, duration: int) -> None:
        """Write one frame.

        Args:
            picture: RGB, uint8 [height, width, 3].
            pts: presentation time in ticks of the time base.
            duration: likewise.
        """


class _Base:
    """A sink that releases its resources by an ``ExitStack``."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.__exit__(kind, error, trace)


class NullSink(_Base):
    """Discards the frames, for timing."""

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        """Do nothing."""


class Md5Sink(_Base):
    """Prints the MD5 of the RGB bytes of all frames as ``DIGEST  N frames``, or one line per frame.

    Args:
        per_frame: whether to print one line per frame.
        first: number of the first frame in these lines.
    """

    def __init__(self, per_frame: bool, first: int = 0) -> None:
        super().__init__()
        self.per_frame = per_frame
        self.first = first
        self.frames = 0
        self.digest = hashlib.md5(usedforsecurity=False)
        self.stack.push(self._finish)

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        data = np.ascontiguousarray(picture)
        if self.per_frame:
            print(f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  frame {self.first + self.frames}")
        self.digest.update(data)
        self.frames += 1

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and not self.per_frame:
            print(f"{self.digest.hexdigest()}  {self.frames} frames")


class RawSink(_Base):
    """Raw RGB bytes, frame by frame, row by row; lossless. ``-`` is standard output."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.file: BinaryIO = sys.stdout.buffer
        if path != "-":
            temporary = self.stack.enter_context(atomic_file(path))
            self.file = self.stack.enter_context(temporary.open("wb"))

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        self.file.write(np.ascontiguousarray(picture).data)


class Y4mSink(_Base):
    """YUV4MPEG2 in 4:4:4, BT.601, limited range, at a constant frame rate; rounding to 8-bit YUV is not lossless.

    Not written by FFmpeg's muxer, because PyAV cannot give it the sample aspect.
    """

    def __init__(self, path: str, width: int, height: int, fps: Fraction, sample_aspect: Fraction) -> None:
        super().__init__()
        temporary = self.stack.enter_context(atomic_file(path))
        self.file = self.stack.enter_context(temporary.open("wb"))
        fps = fps or DEFAULT_FPS
        self.file.write(
            f"YUV4MPEG2 W{width} H{height} F{fps.numerator}:{fps.denominator} Ip "
            f"A{sample_aspect.numerator}:{sample_aspect.denominator} C444\n".encode()
        )

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        planes = frame.to_ndarray(format="yuv444p")
        self.file.write(b"FRAME\n")
        self.file.write(np.ascontiguousarray(planes).data)


def png(picture: Picture) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.pts = None
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb24"
    encoder.time_base = Fraction(1)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


class PngSink(_Base):
    """A folder of PNG files ``00000.png ...``; lossless. The folder appears once all frames are written.

    Args:
        path: the folder.
        first: number of the first file.
        overwrite: whether to remove the numbered PNG files that the folder contains.
    """

    def __init__(self, path: str, first: int, overwrite: bool) -> None:
        super().__init__()
        self.target = Path(os.path.realpath(path))
        self.number = first
        self.overwrite = overwrite
        with writing(path):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.folder = self.stack.enter_context(temporary_path(self.target))
            self.folder.mkdir()
        self.stack.push(self._finish)

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        with writing(self.target):
            (self.folder / f"{self.number:05d}.png").write_bytes(png(picture))
        self.number += 1

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        with writing(self.target):
            if not self.target.exists() or not any(self.target.iterdir()):
                self.folder.replace(self.target)  # all pictures appear at once
                return
            if self.overwrite:  # frames of an earlier run must not remain among the new ones; other files stay
                for old in self.target.iterdir():
                    if re.fullmatch(r"\d{5,}\.png", old.name) and old.is_file():
                        old.unlink()
            for file in self.folder.iterdir():
                file.replace(self.target / file.name)


class VideoSink(_Base):
    """A video file, written by PyAV, with the original time stamps.

    ``.mkv`` contains FFV1 in RGB, which is lossless. Matroska counts milliseconds from 0, so time stamps are rounded to
    them and negative ones shifted; PyAV cannot give it the sample aspect. ``.mp4`` contains H.264 in BT.709 YUV 4:2:0,
    which is lossy.
    """

    def __init__(
        self, path: str, width: int, height: int, time_base: Fraction, fps: Fraction, sample_aspect: Fraction
    ) -> None:
        super().__init__()
        self.path = path
        self.lossless = path.lower().endswith(".mkv")
        if not self.lossless and (width % 2 or height % 2):
            raise UsageError(f".mp4 needs even sides and the video is {width}x{height}; write .mkv instead")
        temporary = self.stack.enter_context(atomic_file(path))
        self.time_base = time_base
        with self.errors():
            self.container = av.open(str(temporary), "w", format="matroska" if self.lossless else "mp4")
            self.stack.callback(self.container.close)
            self.stream = self.container.add_stream("ffv1" if self.lossless else "libx264", rate=fps or DEFAULT_FPS)
            self.stream.width, self.stream.height = width, height
            self.stream.pix_fmt = "bgr0" if self.lossless else "yuv420p"
            self.stream.time_base = self.stream.codec_context.time_base = time_base
            context: Any = self.stream.codec_context
            context.sample_aspect_ratio = sample_aspect
            if not self.lossless:
                self.stream.options = {"crf": "12"}
                context.colorspace, context.color_range = _BT709, _LIMITED
                context.color_primaries = context.color_trc = _BT709

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the container cannot hold, and other errors of PyAV, into one sentence."""
        try:
            yield
        except OverflowError:
            raise UsageError(
                f"{self.path}: the format cannot hold these time stamps; write a folder/ or .rgb"
            ) from None
        except (av.FFmpegError, ValueError, OSError) as error:
            raise InputError(f"cannot write {self.path}: {error}") from None

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        with self.errors():
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if self.lossless:
                frame = frame.reformat(format="bgr0")
            else:
                frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)
                frame.colorspace, frame.color_range = _BT709, _LIMITED
            frame.pts, frame.duration, frame.time_base = pts, duration, self.time_base
            self.container.mux(self.stream.encode(frame))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            with self.errors():
                self.container.mux(self.stream.encode(None))
        super().__exit__(kind, error, trace)


_BT709, _LIMITED = 1, 1  # FFmpeg's numbers, which are those of ITU-T H.273


def open_sink(
    path: str,
    *,
    width: int,
    height: int,
    time_base: Fraction,
    fps: Fraction,
    sample_aspect: Fraction = Fraction(1),
    first: int = 0,
    overwrite: bool = False,
) -> Sink:
    """Return the sink for a path, by its ending.

    ``-``, ``.rgb`` and ``.raw`` are raw RGB; ``.y4m``, ``.mkv`` (FFV1) and ``.mp4`` (H.264) are video files; a path
    without an ending is a folder of PNG files.

    Args:
        path: the output; ``-`` is standard output.
        width: of the pictures, in pixels.
        height: likewise.
        time_base: seconds per tick.
        fps: frames per second, for formats that state it; 25 if it is 0.
        sample_aspect: width of a sample divided by its height.
        first: number of the first PNG file.
        overwrite: whether to replace an existing output.

    Raises:
        UsageError: the ending is unknown, or the output exists and ``overwrite`` is False.
        InputError: the target cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    folder = path.endswith(("/", os.sep)) or target.is_dir() or not suffix
    if (
        path != "-"
        and not overwrite
        and target.exists()
        and not (folder and target.is_dir() and not any(target.iterdir()))
    ):
        raise UsageError(f"{path} exists; `overwrite=True` replaces it")
    if path == "-" or (suffix in (".rgb", ".raw") and not folder):
        return RawSink(path)
    if folder:
        if target.exists() and not target.is_dir():
            raise UsageError(f"{path} is a file; a folder is needed for PNG frames")
        return PngSink(path, first, overwrite)
    if suffix == ".y4m":
        return Y4mSink(path, width, height, fps, sample_aspect)
    if suffix in (".mkv", ".mp4"):
        return VideoSink(path, width, height, time_base, fps, sample_aspect)
    raise UsageError(f"{path}: the ending {suffix} is unknown; use a folder/, .rgb, .y4m, .mkv, .mp4 or -")
