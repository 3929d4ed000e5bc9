"""Outputs for decoded frames: which class writes a format. Each is a context manager that is given the pictures one by
one; those of files are in modules of their own.

Files appear under their final name only once they are complete (see :mod:`nvcodec.files`).
"""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction
from pathlib import Path

from nvcodec.errors import UsageError
from nvcodec.tracks import NO_EXTRAS, Extras
from nvcodec.video.byte_sinks import RawSink, Y4mSink
from nvcodec.video.clip import Color
from nvcodec.video.color_tags import NOTHING_SAID
from nvcodec.video.container_sink import FORMATS, ContainerSink
from nvcodec.video.png_sinks import PngFileSink, PngFolderSink
from nvcodec.video.sink_base import Picture, Properties, Sink, SinkBase, little_endian
from nvcodec.video.source import DEFAULT_FPS


class NullSink(SinkBase):
    """Discards the frames, for timing."""

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        """Do nothing."""


class Md5Sink(SinkBase):
    """Prints the MD5 of the samples of all frames, as raw RGB has them, as ``DIGEST  N frames``, or a line per frame.

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
        data = little_endian(picture)
        if self.per_frame:
            print(f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  frame {self.first + self.frames}")
        self.digest.update(data)
        self.frames += 1

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and not self.per_frame:
            print(f"{self.digest.hexdigest()}  {self.frames} frames")


TIMED = FORMATS.keys() - {".gif"}  # formats that may begin later than at 0
ENDINGS = ", ".join([".rgb", ".y4m", ".png", *FORMATS])


def open_sink(
    path: str,
    *,
    width: int,
    height: int,
    time_base: Fraction,
    fps: Fraction,
    sample_aspect: Fraction = Fraction(1),
    color: Color = NOTHING_SAID,
    bits: int = 8,
    extras: Extras = NO_EXTRAS,
    first: int = 0,
    keep_times: bool = False,
    output_format: str | None = None,
    overwrite: bool = False,
) -> Sink:
    """Return the sink for a path, by its ending.

    ``.rgb`` and ``.raw`` are raw RGB; ``.y4m``, ``.mkv`` (FFV1), ``.mp4`` and ``.mov`` (H.264), ``.webm`` (VP9) and
    ``.gif`` are video files; ``.png`` is one picture; a path without an ending is a folder of PNG files; ``-`` is y4m.

    Args:
        path: the output; ``-`` is standard output.
        width: of the pictures, in pixels.
        height: likewise.
        time_base: seconds per tick.
        fps: frames per second, for formats that state it; 25 if it is 0.
        sample_aspect: width of a sample divided by its height.
        color: what the source declares.
        bits: 8 or 10, of a sample of the pictures.
        extras: sound, subtitles, chapters and tags, for video files that hold them.
        first: number of the first PNG file of a folder.
        keep_times: whether a video file begins at the first frame's time, not at 0.
        output_format: ``rgb`` or ``y4m``, whatever the ending.
        overwrite: whether to replace an existing output.

    Raises:
        UsageError: the ending is unknown, the output exists and ``overwrite`` is False, times cannot be kept, or
            standard output is a terminal.
        InputError: the target cannot be written.
    """
    target = Path(path)
    suffix = f".{output_format}" if output_format else ".y4m" if path == "-" else target.suffix.lower()
    folder = path != "-" and (path.endswith(("/", os.sep)) or target.is_dir() or not suffix)
    if path != "-" and not overwrite and target.exists() and not (folder and _is_empty_folder(target)):
        raise UsageError(f"{path} exists; `overwrite=True` replaces it")
    if keep_times and (folder or suffix not in TIMED):
        raise UsageError(f"`keep_times=True` needs a format that has times: {', '.join(sorted(TIMED))}")
    properties = Properties(width, height, time_base, fps or DEFAULT_FPS, sample_aspect, color, bits, extras)
    if folder:
        if target.exists() and not target.is_dir():
            raise UsageError(f"{path} is a file; a folder is needed for PNG frames")
        return PngFolderSink(path, first, properties, overwrite)
    if suffix in (".rgb", ".raw"):
        return RawSink(path)
    if suffix == ".y4m":
        return Y4mSink(path, properties)
    if suffix == ".png":
        return PngFileSink(path, properties)
    if suffix in FORMATS:
        return ContainerSink(path, suffix, properties, keep_times)
    raise UsageError(f"{path}: the ending {suffix} is unknown; use a folder/, {ENDINGS} or -")


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
