"""Video files and folders of images to a :class:`~nvcodec.video.clip.Clip`."""

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
LEAST_SIDE = 16

_RGB = npt.NDArray[np.uint8]  # upright, [height, width, 3]


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which part of a source is meant.

    Attributes:
        crop: width and height of the middle part, or None for all of it.
        scale: width and height to resize to, after the crop.
        start: frames to skip.
        frames: length of the part that is taken, None for all that is left.
        every: of this part one frame in so many is kept, the first one too.
    """

    crop: tuple[int, int] | None = None
    scale: tuple[int, int] | None = None
    start: int = 0
    frames: int | None = None
    every: int = 1


@dataclasses.dataclass(frozen=True)
class _Label:
    """What a frame says of itself, apart from its picture."""

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
    """Read a video file of any container and codec PyAV opens (its first video track), or a folder of images.

    Rotation stored in the file is applied; matrix and range are honoured (an unspecified matrix is BT.601). Packets
    that do not decode are left out with a warning on stderr.

    Args:
        source: a file or a folder, whose images are taken in natural order.
        selection: part of it.
        fps: frame rate of a folder of images (25 if None) or in place of a file's own time stamps.
        memory: bytes that the frames may take; more go to a temporary file. None: a quarter of what the machine has.

    Raises:
        InputError: there is no such source, it holds no video, no frame of it is left, or the disk is full.
        UsageError: the crop does not fit.
    """
    path = Path(source)
    reader = _ImageFolder(path) if path.is_dir() else _VideoFile(path)
    collector = FrameCollector(memory)
    count = 0
    first_size = torch.Size()
    seen: list[_Label] = []
    for place, (rgb, label) in enumerate(reader.frames()):
        if place < selection.start:
            continue
        after_start = place - selection.start
        if after_start == selection.frames:
            # One frame more than asked for has been read: its time says how long the last one lasts.
            seen.append(label)
            break
        if after_start % selection.every:
            continue
        if not count:
            shape = (rgb.shape[1], rgb.shape[0])
        upright = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
        picture = crop_and_scale(upright, selection.crop, selection.scale).contiguous()
        if count and picture.shape != first_size:
            raise InputError(
                f"{source}: frame {place} is {_size(picture.shape)} and the frames before are {_size(first_size)}; "
                "use --scale to give all one size"
            )
        first_size = picture.shape
        collector.append(picture)
        count += 1
        seen.append(label)
    if not count:
        raise InputError(f"{source}: no frame is left to read (--start {selection.start})")
    if min(first_size[1:]) < LEAST_SIDE:
        raise InputError(f"{source}: {_size(first_size)} is too small; both sides must be at least {LEAST_SIDE}")
    first = seen[0]
    if fps is not None or reader.time_base is None:
        ticks, time_base = steady(count, (DEFAULT_FPS if fps is None else fps) / selection.every)
    else:
        ticks, time_base = _ticks(seen, count, selection.every * reader.typical_duration), reader.time_base
    aspect = first.sample_aspect * _stretch(shape, selection)
    return Clip(collector.frames(), ticks, time_base, first.color, aspect)


def _stretch(size: tuple[int, int], selection: Selection) -> Fraction:
    """How much wider a sample becomes when a picture of ``size`` (width, height) is scaled as the selection says."""
    if selection.scale is None:
        return Fraction(1)
    width, height = selection.crop or size
    return Fraction(width * selection.scale[1], height * selection.scale[0])


def _size(shape: torch.Size) -> str:
    return f"{shape[2]}x{shape[1]}"


def _ticks(seen: list[_Label], count: int, typical: int) -> list[tuple[int, int]]:
    """Times and durations of the first ``count`` frames; ``seen`` may hold one more.

    A frame lasts until the next one. Where a file gives no time, or one that does not grow, the typical duration is
    taken, because the stream's times cannot run backwards.
    """
    times: list[int] = []
    for frame in seen:
        expected = times[-1] + typical if times else 0
        pts = expected if frame.pts is None else frame.pts
        times.append(pts if not times or pts > times[-1] else expected)
    durations = [after - before for before, after in itertools.pairwise(times)]
    if len(durations) < count:
        durations.append(seen[-1].duration or (durations[-1] if durations else typical))
    return list(zip(times[:count], durations[:count], strict=True))


class _VideoFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.container = av.open(os.path.abspath(path))  # else a:b would be the address b of a protocol a
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"cannot open {path}: {_reason(error)}") from None
        if not self.container.streams.video:
            raise InputError(f"{path} has no video track")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self.time_base: Fraction | None = self.stream.time_base
        rate = self.stream.average_rate or self.stream.guessed_rate or DEFAULT_FPS
        self.typical_duration = max(1, round(1 / (rate * self.time_base))) if self.time_base else 1

    def frames(self) -> Iterator[tuple[_RGB, _Label]]:
        bad = 0
        good = 0
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
                    if bad > 1000 and not good:
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

    def convert(self, frame: av.VideoFrame) -> tuple[_RGB, _Label]:
        rgb = _rgb(frame)
        turns = round(frame.rotation / 90) % 4
        aspect = self.stream.sample_aspect_ratio or Fraction(1)
        if turns:
            rgb = np.rot90(rgb, turns)
        if turns % 2:
            aspect = 1 / aspect
        return rgb, _Label(frame.pts, frame.duration or 0, _color(frame), aspect)


class _ImageFolder:
    time_base: Fraction | None = None
    typical_duration = 1

    def __init__(self, path: Path) -> None:
        self.paths = sorted(
            (entry for entry in path.iterdir() if entry.suffix.lower() in IMAGES and entry.is_file()),
            key=lambda entry: natural_key(entry.name),
        )
        if not self.paths:
            raise InputError(f"{path} holds no images")

    def frames(self) -> Iterator[tuple[_RGB, _Label]]:
        for path in self.paths:
            try:
                with av.open(os.path.abspath(path)) as container:
                    frame = next(container.decode(video=0))
            except (av.FFmpegError, OSError, ValueError, StopIteration, IndexError) as error:
                raise InputError(f"cannot read {path}: {_reason(error)}") from None
            yield _rgb(frame), _Label(None, 0, _color(frame), Fraction(1))


def _rgb(frame: av.VideoFrame) -> _RGB:
    """RGB [height, width, 3]; swscale honours the frame's matrix and range, and takes BT.601 where none is named."""
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which ``f2`` comes before ``f10``."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts]


def _color(frame: av.VideoFrame) -> Color:
    """FFmpeg's numbers are those of ITU-T H.273; values outside it become unspecified."""

    def point(value: int) -> int:
        return int(value) if 0 <= int(value) < 256 else UNSPECIFIED

    span = int(frame.color_range)
    return Color(
        point(frame.color_primaries),
        point(frame.color_trc),
        point(frame.colorspace),
        span if span in (0, 1, 2) else 0,
    )


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:1].lower() + str(text)[1:]
