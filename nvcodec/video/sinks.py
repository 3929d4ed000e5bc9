"""Where decoded frames go: one class per format, each a context manager that takes pictures one by one.

Files appear under their final name only when they are complete (see :mod:`nvcodec.files`).
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

Picture = npt.NDArray[np.uint8]  # RGB [height, width, 3]


class Sink(Protocol):
    """Takes frames in order."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def put(self, picture: Picture, pts: int, duration: int) -> None:
        """Take one frame; ``pts`` and ``duration`` are in ticks."""


class _Base:
    """A sink whose resources are an ``ExitStack``."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.__exit__(kind, error, trace)


class NullSink(_Base):
    """Takes frames and does nothing with them: for timing."""

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        """Nothing."""


class Md5Sink(_Base):
    """MD5 over the RGB bytes of all frames in order; ``DIGEST  N frames``, or a line a frame."""

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
    """RGB bytes, frame after frame, row-major: exact. ``-`` is standard output."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.file: BinaryIO = sys.stdout.buffer
        if path != "-":
            temporary = self.stack.enter_context(atomic_file(path))
            self.file = self.stack.enter_context(temporary.open("wb"))

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        self.file.write(np.ascontiguousarray(picture).data)


class Y4mSink(_Base):
    """YUV4MPEG2, 4:4:4, BT.601 limited range: not exact, because RGB to 8-bit YUV rounds; time is a constant rate.

    Written by hand, because PyAV cannot give FFmpeg's muxer the sample aspect.
    """

    def __init__(self, path: str, width: int, height: int, fps: Fraction, sample_aspect: Fraction) -> None:
        super().__init__()
        temporary = self.stack.enter_context(atomic_file(path))
        self.file = self.stack.enter_context(temporary.open("wb"))
        rate = fps or Fraction(25)
        self.file.write(
            f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip "
            f"A{sample_aspect.numerator}:{sample_aspect.denominator} C444\n".encode()
        )

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        planes = frame.to_ndarray(format="yuv444p")
        self.file.write(b"FRAME\n")
        self.file.write(np.ascontiguousarray(planes).data)


def png(picture: Picture) -> bytes:
    """A picture as a PNG file."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.pts = None
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb24"
    encoder.time_base = Fraction(1)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


class PngSink(_Base):
    """A folder of PNG files ``00000.png ...``: exact. The folder appears when all frames are written."""

    def __init__(self, path: str, first: int, overwrite: bool) -> None:
        super().__init__()
        self.target = Path(os.path.realpath(path))
        self.next = first
        self.overwrite = overwrite
        with writing(path):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.folder = self.stack.enter_context(temporary_path(self.target))
            self.folder.mkdir()
        self.stack.push(self._finish)

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        with writing(self.target):
            (self.folder / f"{self.next:05d}.png").write_bytes(png(picture))
        self.next += 1

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        with writing(self.target):
            if not self.target.exists() or not any(self.target.iterdir()):
                self.folder.replace(self.target)  # all pictures at once
                return
            if self.overwrite:  # frames of an earlier run must not stay among the new ones; nothing else is touched
                for old in self.target.iterdir():
                    if re.fullmatch(r"\d{5,}\.png", old.name) and old.is_file():
                        old.unlink()
            for file in self.folder.iterdir():
                file.replace(self.target / file.name)


class VideoSink(_Base):
    """A video file through PyAV with the original time stamps.

    ``.mkv`` holds FFV1 in RGB, which is exact; Matroska counts milliseconds from 0, so time stamps are rounded to them
    and negative ones shifted; PyAV cannot give it the sample aspect. ``.mp4`` holds H.264 in BT.709 YUV 4:2:0, which
    is not exact.
    """

    def __init__(
        self, path: str, width: int, height: int, time_base: Fraction, fps: Fraction, sample_aspect: Fraction
    ) -> None:
        super().__init__()
        self.path = path
        self.exact = path.lower().endswith(".mkv")
        if not self.exact and (width % 2 or height % 2):
            raise UsageError(f".mp4 needs even sides and the video is {width}x{height}; write .mkv instead")
        temporary = self.stack.enter_context(atomic_file(path))
        self.time_base = time_base
        with self.errors():
            self.container = av.open(str(temporary), "w", format="matroska" if self.exact else "mp4")
            self.stack.callback(self.container.close)
            self.stream = self.container.add_stream("ffv1" if self.exact else "libx264", rate=fps or Fraction(25))
            self.stream.width, self.stream.height = width, height
            self.stream.pix_fmt = "bgr0" if self.exact else "yuv420p"
            self.stream.time_base = self.stream.codec_context.time_base = time_base
            context: Any = self.stream.codec_context
            context.sample_aspect_ratio = sample_aspect
            if not self.exact:
                self.stream.options = {"crf": "12"}
                context.colorspace, context.color_range = _BT709, _LIMITED
                context.color_primaries = context.color_trc = _BT709

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """What a container cannot hold becomes a sentence."""
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
            if self.exact:
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
    """The sink that a path's ending names.

    ``-`` and ``.rgb`` are raw RGB, ``.y4m``, ``.mkv`` (FFV1) and ``.mp4`` (H.264) video files; anything else without
    an ending is a folder for PNG files, whose numbers start at ``first``.

    Raises:
        UsageError: the ending is not known, or the target exists and ``overwrite`` is False.
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
        raise UsageError(f"{path} exists; -y overwrites it")
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
    raise UsageError(f"{path}: the ending {suffix} is not known; use a folder/, .rgb, .y4m, .mkv, .mp4 or -")
