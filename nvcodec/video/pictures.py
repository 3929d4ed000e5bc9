"""Clips from whatever holds pictures: files, arrays, tensors, and iterables that yield one picture after the other."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nvcodec.errors import InputError, UsageError
from nvcodec.samples import bits_of, peak_of, with_bits
from nvcodec.video.clip import Clip, steady
from nvcodec.video.frames import FrameCollector, Frames
from nvcodec.video.selection import EVERYTHING, Selection
from nvcodec.video.source import DEFAULT_FPS, OnFrame, read_clip
from nvcodec.video.transform import crop_and_scale

FINEST_TIME_BASE = 10**6  # ticks per second of times for which no coarser time base is exact

Pixels = torch.Tensor | npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclasses.dataclass(frozen=True)
class Timed:
    """Pictures with a time for each.

    Attributes:
        pictures: an array, tensor or iterable; see :data:`Source`.
        timestamps: the presentation time of every frame, in seconds. One more is the end of the last frame, which else
            lasts as long as the one before it (a single one a 25th of a second). They are exact where a time base of
            at least a microsecond holds all of them, and else rounded to microseconds.
    """

    pictures: Source
    timestamps: Iterable[float | Fraction]


#: What can be encoded: a video file or a folder of images, a clip, RGB frames [frames, 3, height, width] or [frames,
#: height, width, 3], uint8, or uint16 with 10 bits, or an iterable of such pictures.
Source = str | os.PathLike[str] | Clip | Timed | Pixels | Iterable[Pixels]


def as_clip(
    source: Source,
    selection: Selection = EVERYTHING,
    fps: Fraction | None = None,
    memory: int | None = None,
    on_frame: OnFrame | None = None,
) -> Clip:
    """Return a source as a clip.

    Args:
        source: see :data:`Source`. An iterable is read once, to its end or as far as ``selection`` says; its length
            need not be known.
        selection: the part to read; a clip is taken as it is.
        fps: frame rate; None for the time stamps of a file, or 25 where there are none.
        memory: bytes of memory for the frames, beyond which they go to a temporary file; None for a quarter of the
            machine's memory.
        on_frame: called for every frame that has been read from a file.

    Raises:
        InputError: the source cannot be read, or there are no frames.
        UsageError: the pixels are not of a known type or shape; options do not go with this source; time stamps do not
            increase, or are not as many as frames.
    """
    timestamps = source.timestamps if isinstance(source, Timed) else None
    source = source.pictures if isinstance(source, Timed) else source
    if isinstance(source, Clip):
        if dataclasses.replace(selection, bits=None) != EVERYTHING or fps is not None or timestamps is not None:
            raise UsageError("a clip is taken as it is: it has times of its own, and its frames are chosen before")
        if selection.bits in (None, source.bits):
            return source
        return dataclasses.replace(source, frames=_with_bits(source.frames, selection.bits, memory))
    if isinstance(source, (str, os.PathLike)):
        if timestamps is not None:
            raise UsageError("`timestamps` go with pictures from Python; a file has its own")
        return read_clip(source, selection, fps, memory, on_frame)
    if isinstance(source, (bytes, bytearray, memoryview)) or not isinstance(source, Iterable):
        raise UsageError(
            "a source is a path, a Clip, an array or tensor of frames, or an iterable of pictures; "
            f"not {type(source).__name__}"
        )
    if timestamps is not None and (
        fps is not None or selection != Selection(selection.crop, selection.scale, bits=selection.bits)
    ):
        raise UsageError("`timestamps` say when each picture is shown; leave out `fps`, `start`, `frames` and `every`")
    frames = _read(source, selection, fps or DEFAULT_FPS, memory)
    if timestamps is not None:
        return Clip(frames, *_timed(timestamps, len(frames)))
    return Clip(frames, *steady(len(frames), (fps or DEFAULT_FPS) / selection.every))


def _read(source: Iterable[Pixels], selection: Selection, fps: Fraction, memory: int | None) -> Frames:
    """Read the selected pictures; those of an array or tensor are shared with it where they can be."""
    start, stop = selection.numbers(fps)
    if isinstance(source, (torch.Tensor, np.ndarray)):
        source = _channels_first(source, 4, "frames")
        chosen = source[start : stop : selection.every]
        if len(chosen) and selection.crop is None and selection.scale is None:
            contiguous = np.ascontiguousarray(chosen)
            frames = torch.from_numpy(contiguous if contiguous.flags.writeable else contiguous.copy())
            return _with_bits(frames, selection.bits or bits_of(frames), memory)
    collector = FrameCollector(memory)
    size = bits = None
    for number, pixels in enumerate(itertools.islice(source, start, stop, selection.every)):
        name = f"frame {start + number * selection.every}"
        # A copy, because a generator may use the same memory for its next picture.
        upright = torch.from_numpy(_channels_first(pixels, 3, name).copy())
        bits = selection.bits or bits or bits_of(upright)
        upright = with_bits(upright, bits)
        scale = selection.size_for(upright.shape[2], upright.shape[1])
        picture = crop_and_scale(upright, selection.crop, scale).contiguous()
        if size not in (None, picture.shape):
            raise UsageError(f"{name} is {list(picture.shape)} and the frames before it are {list(size or ())}")
        size = picture.shape
        collector.append(picture)
    if size is None:
        raise InputError("the source has no frame to encode")
    return collector.frames()


def _with_bits(frames: Frames, bits: int, memory: int | None) -> Frames:
    """Return frames with so many bits a sample."""
    if bits_of(frames) == bits:
        return frames
    collector = FrameCollector(memory)
    for frame in frames:
        collector.append(with_bits(frame, bits))
    return collector.frames()


def _channels_first(pixels: Any, dimensions: int, name: str) -> npt.NDArray[Any]:
    """Return pixels as an array [..., 3, height, width], without a copy where it can be.

    Raises:
        UsageError: they are no RGB pixels of 8 or 10 bits, or their shape does not say which dimension the channels
            are.
    """
    array = pixels.detach().cpu().numpy() if isinstance(pixels, torch.Tensor) else np.asarray(pixels)
    leading = "frames, " if dimensions == 4 else ""
    expected = f"[{leading}3, height, width] or [{leading}height, width, 3]"
    first, last = (array.shape[-3] == 3, array.shape[-1] == 3) if array.ndim == dimensions else (False, False)
    if array.dtype not in (np.uint8, np.uint16) or not (first or last):
        raise UsageError(
            f"{name} must be uint8 {expected}, or uint16 with 10 bits, got {array.dtype} {list(array.shape)}"
        )
    if array.dtype == np.uint16 and array.size and (peak := int(array.max())) > peak_of(10):
        raise UsageError(f"{name} of uint16 must have 10 bits, 0 to 1023, got {peak}")
    if first and last:
        raise UsageError(f"{name} of shape {list(array.shape)} may be {expected}; such a narrow picture cannot be told")
    return np.moveaxis(array, -1, -3) if last else array


def _timed(timestamps: Iterable[float | Fraction], frames: int) -> tuple[list[tuple[int, int]], Fraction]:
    """Return the ticks and time base of frames with these times; see :func:`as_clip`."""
    plain: Iterable[Any] = timestamps.tolist() if isinstance(timestamps, (torch.Tensor, np.ndarray)) else timestamps
    try:
        times = [Fraction(time if isinstance(time, (int, Fraction)) else float(time)) for time in plain]
    except (TypeError, ValueError, OverflowError):
        raise UsageError("`timestamps` are numbers of seconds") from None
    if len(times) not in (frames, frames + 1):
        raise UsageError(f"{len(times)} time stamps for {frames} frames")
    if len(times) == frames:
        times.append(times[-1] + (times[-1] - times[-2] if frames > 1 else 1 / DEFAULT_FPS))
    near = [time.limit_denominator(FINEST_TIME_BASE) for time in times]
    base = min(FINEST_TIME_BASE, math.lcm(*(time.denominator for time in near)))
    ticks = [round(time * base) for time in near]
    for number, (before, after) in enumerate(itertools.pairwise(ticks), 1):
        if after <= before:
            raise UsageError(
                f"time stamp {number}, {float(times[number])} s, is not after {float(times[number - 1])} s"
            )
    return [(before, after - before) for before, after in itertools.pairwise(ticks)], Fraction(1, base)
