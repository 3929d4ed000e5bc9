"""Reading of video files and pictures into a :class:`~nvcodec.video.clip.Clip`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch

from nvcodec.errors import InputError
from nvcodec.notes import note
from nvcodec.video.clip import Clip, steady
from nvcodec.video.deinterlacing import deinterlaced
from nvcodec.video.frames import FrameCollector
from nvcodec.video.hdr import hdr_of
from nvcodec.video.image_sequence import ImageSequence, is_pattern
from nvcodec.video.selection import EVERYTHING, Selection
from nvcodec.video.source_frame import SourceFrame
from nvcodec.video.timing import FrameTime, ticks_of
from nvcodec.video.transform import crop_and_scale
from nvcodec.video.video_file import DEFAULT_FPS, STDIN, VideoFile

__all__ = ["DEFAULT_FPS", "LEAST_SIDE", "OnFrame", "Reading", "read_clip"]

LEAST_SIDE = 16  # pixels


class Reading(NamedTuple):
    """How far a source has been read.

    Attributes:
        frames: that have been read.
        expected: frames in all, as far as times tell; 0 where they do not.
        least: frames in all, as far as they have been counted, by the file or on the way.
        width, height: of the frames.
    """

    frames: int
    expected: int
    least: int
    width: int
    height: int


OnFrame = Callable[[Reading], None]


def read_clip(
    source: str | os.PathLike[str],
    selection: Selection = EVERYTHING,
    fps: Fraction | None = None,
    memory: int | None = None,
    on_frame: OnFrame | None = None,
) -> Clip:
    """Read the first video track of a file that PyAV can open, or pictures.

    Turns each frame upright, as a display matrix or EXIF says, and converts to RGB by its matrix and range (BT.601
    where the matrix is unspecified). Skips packets that do not decode, and deinterlaces, both with a
    line on stderr.

    Args:
        source: a file, ``-`` for standard input, or pictures, which are read in natural order: a folder, a glob such as
            ``f*.png``, or a pattern such as ``f%04d.png``.
        selection: the part to read.
        fps: frame rate of pictures (25 if None), or one to replace a file's time stamps.
        memory: bytes of memory for the frames, beyond which they go to a temporary file; None for a quarter of the
            machine's memory.
        on_frame: called for every frame that has been read.

    Raises:
        InputError: the source does not exist or contains no video, the selection is empty, or the disk is full.
        UsageError: the crop does not fit, or standard input is a terminal.
    """
    name = os.fspath(source)
    pictures = name != STDIN and (os.path.isdir(name) or is_pattern(Path(name)))
    reader = ImageSequence(Path(name), fps or DEFAULT_FPS) if pictures else VideoFile(name)
    usual_fps = 1 / (reader.typical_duration * reader.time_base)
    expected = selection.expected(reader.announced, usual_fps)
    counted = selection.expected(reader.counted, usual_fps) if selection.counts_frames else 0
    collector = FrameCollector(memory)
    times: list[FrameTime] = []
    count = 0
    for frame, wanted in _considered(reader, selection, name):
        times.append(frame.time)
        if not wanted:
            break
        if not count:
            bits = selection.bits or frame.bits
            frame.note_what_is_left_out(name, bits)
            hdr = hdr_of(frame.frame)
        upright = frame.picture(bits)
        if not count:
            color, shape = frame.color, (upright.shape[2], upright.shape[1])
            scale = selection.size_for(*shape)
            aspect = frame.sample_aspect * _stretch(shape, selection.crop, scale)
        picture = crop_and_scale(upright, selection.crop, scale).contiguous()
        if not count:
            first_size = picture.shape
            if min(first_size[1:]) < LEAST_SIDE:
                raise InputError(f"{name}: {_size(first_size)} is too small; both sides must be at least {LEAST_SIDE}")
        elif picture.shape != first_size:
            raise InputError(
                f"{name}: frame {count * selection.every} of the selection is {_size(picture.shape)} and the frames "
                f"before it are {_size(first_size)}; scale can make them equal"
            )
        collector.append(picture)
        count += 1
        if on_frame:
            on_frame(Reading(count, expected, max(count, counted), picture.shape[2], picture.shape[1]))
    if not count:
        raise InputError(f"{name}: no frame is left to read (start {selection.start})")
    if pictures or fps is not None:
        ticks, time_base = steady(count, (fps or DEFAULT_FPS) / selection.every)
    else:
        ticks, factor = ticks_of(times, count, selection.every * reader.typical_duration)
        time_base = reader.time_base / factor
    return Clip(collector.frames(), ticks, time_base, color, aspect, hdr=hdr)


def _considered(
    reader: VideoFile | ImageSequence, selection: Selection, name: str
) -> Iterator[tuple[SourceFrame, bool]]:
    """Yield the frames to take, each with True, then the one after the selection, with False: it ends the last one."""
    frames = reader.frames(selection.begin)
    if selection.deinterlace:
        frames = deinterlaced(frames, lambda: note(name, "interlaced frames are deinterlaced"))
    end: Fraction | None = None
    for number, frame in enumerate(frames):
        seconds = reader.seconds(frame.time)
        if seconds is None:  # a stream without time stamps
            seconds = Fraction(number * reader.typical_duration) * reader.time_base
        if not number:
            end = selection.end_seconds(seconds)
        if number == selection.count or (end is not None and seconds >= end):
            yield frame, False
            return
        if not number % selection.every:
            yield frame, True


def _stretch(size: tuple[int, int], crop: tuple[int, int] | None, scale: tuple[int, int] | None) -> Fraction:
    """Return the factor by which scaling a picture of ``size`` (width, height) widens its samples."""
    if scale is None:
        return Fraction(1)
    width, height = crop or size
    return Fraction(width * scale[1], height * scale[0])


def _size(shape: torch.Size) -> str:
    return f"{shape[2]}x{shape[1]}"
