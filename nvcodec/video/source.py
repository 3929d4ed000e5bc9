"""Reading of video files and folders of images into a :class:`~nvcodec.video.clip.Clip`."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import torch

from nvcodec.errors import InputError
from nvcodec.video.clip import UNSPECIFIED, Clip, Color, steady
from nvcodec.video.frames import FrameCollector
from nvcodec.video.transform import crop_and_scale

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
DEFAULT_FPS = Fraction(25)
LEAST_SIDE = 16  # pixels
MAX_LEADING_BAD_PACKETS = 1000  # a file that begins with more is given up

_RGB = npt.NDArray[np.uint8]  # [height, width, 3], after any rotation


@dataclasses.dataclass(frozen=True)
class Selection:
    """The part of a source to read.

    Attributes:
        crop: width and height of the middle part; None for the whole picture.
        scale: width and height to resize to, after cropping; None for no resizing.
        start: number of frames to skip.
        frames: number of source frames to consider after these; None for all the rest.
        every: take one in so many of the considered frames, beginning with the first.
    """

    crop: tuple[int, int] | None = None
    scale: tuple[int, int] | None = None
    start: int = 0
    frames: int | None = None
    every: int = 1


@dataclasses.dataclass(frozen=True)
class _FrameInfo:
    """Time, colour coding and sample aspect that a source declares for one frame."""

    pts: int | None
    duration: int
    color: Color
    sample_aspect: Fraction


def read_clip(
    source: str | os.PathLike[str],
    selection: Selection = Selection(),
    fps: Fraction | None = None,
    memory: int | None = None,
) -> Clip:
    """Read the first video track of a file that PyAV can open, or a folder of images.

    Applies the rotation stored in the file and converts to RGB by its matrix and range (BT.601 where the matrix is
    unspecified). Skips packets that do not decode, with a warning on stderr.

    Args:
        source: a file, or a folder whose images are read in natural order.
        selection: the part to read.
        fps: frame rate of a folder of images (25 if None), or one to replace a file's time stamps.
        memory: bytes of memory for the frames, beyond which they go to a temporary file; None for a quarter of the
            machine's memory.

    Raises:
        InputError: the source does not exist or contains no video, the selection is empty, or the disk is full.
        UsageError: the crop does not fit.
    """
    path = Path(source)
    reader = _ImageFolder(path) if path.is_dir() else _VideoFile(path)
    collector = FrameCollector(memory)
    count = 0
    first_size = torch.Size()
    infos: list[_FrameInfo] = []
    for index, (rgb, info) in enumerate(reader.frames()):
        if index < selection.start:
            continue
        after_start = index - selection.start
        if after_start == selection.frames:
            # The time stamp of the frame after the selection gives the duration of the last one.
            infos.append(info)
            break
        if after_start % selection.every:
            continue
        if not count:
            shape = (rgb.shape[1], rgb.shape[0])
        upright = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
        picture = crop_and_scale(upright, selection.crop, selection.scale).contiguous()
        if count and picture.shape != first_size:
            raise InputError(
                f"{source}: frame {index} is {_size(picture.shape)} and the frames before it are "
                f"{_size(first_size)}; scale can make them equal"
            )
        first_size = picture.shape
        collector.append(picture)
        count += 1
        infos.append(info)
    if not count:
        raise InputError(f"{source}: no frame is left to read (start {selection.start})")
    if min(first_size[1:]) < LEAST_SIDE:
        raise InputError(f"{source}: {_size(first_size)} is too small; both sides must be at least {LEAST_SIDE}")
    first = infos[0]
    if fps is not None or reader.time_base is None:
        ticks, time_base = steady(count, (DEFAULT_FPS if fps is None else fps) / selection.every)
    else:
        ticks, time_base = _ticks(infos, count, selection.every * reader.typical_duration), reader.time_base
    aspect = first.sample_aspect * _stretch(shape, selection)
    return Clip(collector.frames(), ticks, time_base, first.color, aspect)


def _stretch(size: tuple[int, int], selection: Selection) -> Fraction:
    """Return the factor by which scaling a picture of ``size`` (width, height) widens its samples."""
    if selection.scale is None:
        return Fraction(1)
    width, height = selection.crop or size
    return Fraction(width * selection.scale[1], height * selection.scale[0])


def _size(shape: torch.Size) -> str:
    return f"{shape[2]}x{shape[1]}"


def _ticks(infos: list[_FrameInfo], count: int, typical_duration: int) -> list[tuple[int, int]]:
    """Return times and durations of the first ``count`` frames; ``infos`` may contain one more.

    A frame lasts until the next one. Where a time stamp is missing or does not increase, the typical duration is used,
    because time in an SDMN file cannot run backwards.
    """
    times: list[int] = []
    for info in infos:
        expected = times[-1] + typical_duration if times else 0
        pts = expected if info.pts is None else info.pts
        times.append(pts if not times or pts > times[-1] else expected)
    durations = [after - before for before, after in itertools.pairwise(times)]
    if len(durations) < count:
        durations.append(infos[-1].duration or (durations[-1] if durations else typical_duration))
    return list(zip(times[:count], durations[:count], strict=True))


class _VideoFile:
    """The first video track of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.container = av.open(os.path.abspath(path))  # a relative name such as a:b would be taken for a URL
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"cannot open {path}: {_reason(error)}") from None
        if not self.container.streams.video:
            raise InputError(f"{path} has no video track")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self.time_base: Fraction | None = self.stream.time_base
        fps = self.stream.average_rate or self.stream.guessed_rate or DEFAULT_FPS
        self.typical_duration = max(1, round(1 / (fps * self.time_base))) if self.time_base else 1

    def frames(self) -> Iterator[tuple[_RGB, _FrameInfo]]:
        """Decode all frames, and warn on stderr where some do not decode."""
        bad = good = 0
        with self.container:
            packets = self.container.demux(self.stream)
            while True:
                try:
                    packet = next(packets, None)
                    if packet is None:
                        break
                    frames = packet.decode()
                except (av.FFmpegError, OSError, ValueError):
                    bad += 1
                    if bad > MAX_LEADING_BAD_PACKETS and not good:
                        break
                    continue
                for frame in frames:
                    good += 1
                    yield self.convert(frame)
        if not good:
            raise InputError(f"{self.path} has no video frame that decodes")
        announced = self.stream.frames
        if bad or good < announced:
            print(
                f"nvcodec: {self.path}: {good} frames decode"
                + (f" of the {announced} it announces" if announced else f", {bad} packets do not"),
                file=sys.stderr,
            )

    def convert(self, frame: av.VideoFrame) -> tuple[_RGB, _FrameInfo]:
        """Convert a decoded frame to RGB, upright."""
        rgb = _rgb(frame)
        turns = round(frame.rotation / 90) % 4
        aspect = self.stream.sample_aspect_ratio or Fraction(1)
        if turns:
            rgb = np.rot90(rgb, turns)
        if turns % 2:
            aspect = 1 / aspect
        return rgb, _FrameInfo(frame.pts, frame.duration or 0, _color(frame), aspect)


class _ImageFolder:
    """The images of a folder, in natural order."""

    time_base: Fraction | None = None
    typical_duration = 1

    def __init__(self, path: Path) -> None:
        self.paths = sorted(
            (entry for entry in path.iterdir() if entry.suffix.lower() in IMAGES and entry.is_file()),
            key=lambda entry: natural_key(entry.name),
        )
        if not self.paths:
            raise InputError(f"{path} contains no images")

    def frames(self) -> Iterator[tuple[_RGB, _FrameInfo]]:
        """Decode all images."""
        for path in self.paths:
            try:
                with av.open(os.path.abspath(path)) as container:
                    frame = next(container.decode(video=0))
            except (av.FFmpegError, OSError, ValueError, StopIteration, IndexError) as error:
                raise InputError(f"cannot read {path}: {_reason(error)}") from None
            yield _rgb(frame), _FrameInfo(None, 0, _color(frame), Fraction(1))


def _rgb(frame: av.VideoFrame) -> _RGB:
    """Convert a frame to RGB [height, width, 3] by its own matrix and range, or BT.601 where it has none."""
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts ``f2`` before ``f10``."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts]


def _color(frame: av.VideoFrame) -> Color:
    """Return the colour coding of a frame; FFmpeg's numbers are those of ITU-T H.273, others become unspecified."""

    def code_point(value: int) -> int:
        return int(value) if 0 <= int(value) < 256 else UNSPECIFIED

    span = int(frame.color_range)
    return Color(
        code_point(frame.color_primaries),
        code_point(frame.color_trc),
        code_point(frame.colorspace),
        span if span in (0, 1, 2) else 0,
    )


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:1].lower() + str(text)[1:]
