"""Reading of video files and pictures into a :class:`~nvcodec.video.clip.Clip`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch

from nvcodec.errors import InputError
from nvcodec.notes import note
from nvcodec.video.clip import Clip
from nvcodec.video.deinterlacing import deinterlaced
from nvcodec.video.frames import FrameCollector
from nvcodec.video.hdr import hdr_of
from nvcodec.video.image_sequence import ImageSequence, is_pattern
from nvcodec.video.selection import EVERYTHING, Selection
from nvcodec.video.source_frame import SourceFrame
from nvcodec.video.timing import FrameTime, Ticks
from nvcodec.video.transform import crop_and_scale
from nvcodec.video.video_file import DEFAULT_FPS, STDIN, VideoFile

__all__ = ["DEFAULT_FPS", "LEAST_SIDE", "OnFrame", "Reading", "SourceReader", "TimedPicture", "read_clip"]

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
    reader = SourceReader(source, selection, fps)
    collector = FrameCollector(memory)
    times: list[FrameTime] = []
    for picture in reader.pictures():
        collector.append(picture.samples)
        times.append(picture.time)
        if on_frame:
            on_frame(reader.reading)
    return reader.clip(collector, [*times, *reader.behind], len(times))


class TimedPicture(NamedTuple):
    """A picture of a source.

    Attributes:
        samples: RGB [3, height, width], uint8 or with 10 bits uint16.
        time: what the source says of its time.
        seconds: its time in seconds on the clock of the source.
    """

    samples: torch.Tensor
    time: FrameTime
    seconds: Fraction


class SourceReader:
    """Reads a source as :func:`read_clip` does, picture by picture.

    Args:
        source, selection, fps: as in :func:`read_clip`.

    Attributes:
        behind: the time of the frame behind the selection, which ends the last one, if there is such a frame.
        reading: how far it has been read, from the first picture on.
    """

    reading: Reading

    def __init__(self, source: str | os.PathLike[str], selection: Selection, fps: Fraction | None) -> None:
        self.name, self.selection = os.fspath(source), selection
        pictures = self.name != STDIN and (os.path.isdir(self.name) or is_pattern(Path(self.name)))
        self.reader = ImageSequence(Path(self.name), fps or DEFAULT_FPS) if pictures else VideoFile(self.name)
        self.steady_fps = (fps or DEFAULT_FPS) / selection.every if pictures or fps is not None else None
        self.ticks = Ticks(selection.every * self.reader.typical_duration)
        self.behind: list[FrameTime] = []
        self._given = 0  # frames that clips have been made of

    @property
    def expected(self) -> int:
        """How many frames there will be, as far as times tell; 0 where they do not."""
        return self.selection.expected(self.reader.announced, self._usual_fps)

    @property
    def _usual_fps(self) -> Fraction:
        return 1 / (self.reader.typical_duration * self.reader.time_base)

    def pictures(self) -> Iterator[TimedPicture]:
        """Yield the pictures, once; raises as :func:`read_clip` does."""
        name, selection, expected = self.name, self.selection, self.expected
        counted = selection.expected(self.reader.counted, self._usual_fps) if selection.counts_frames else 0
        count = 0
        for frame, seconds, wanted in _considered(self.reader, selection, name):
            if not wanted:
                self.behind = [frame.time]
                break
            if not count:
                bits = selection.bits or frame.bits
                frame.note_what_is_left_out(name, bits)
                self.hdr = hdr_of(frame.frame)
            upright = frame.picture(bits)
            if not count:
                shape = (upright.shape[2], upright.shape[1])
                self.color, scale = frame.color, selection.size_for(*shape)
                self.sample_aspect = frame.sample_aspect * _stretch(shape, selection.crop, scale)
            picture = crop_and_scale(upright, selection.crop, scale).contiguous()
            if not count:
                first_size = picture.shape
            _check_size(picture.shape, first_size, name, count * selection.every)
            count += 1
            self.reading = Reading(count, expected, max(count, counted), picture.shape[2], picture.shape[1])
            yield TimedPicture(picture, frame.time, seconds)
        if not count:
            raise InputError(f"{name}: no frame is left to read (start {selection.start})")

    def clip(self, frames: FrameCollector, times: Sequence[FrameTime], count: int) -> Clip:
        """Return the next frames that have been read as a clip.

        Args:
            frames: their pictures.
            times: of them, and of the frame behind them, if there is one.
            count: how many they are.
        """
        if self.steady_fps is not None:
            first, time_base = self._given, 1 / self.steady_fps
            ticks = [(index, 1) for index in range(first, first + count)]
        else:
            ticks = self.ticks.part(times, count)
            time_base = self.reader.time_base / self.ticks.factor
        self._given += count
        return Clip(frames.frames(), ticks, time_base, self.color, self.sample_aspect, hdr=self.hdr)


def _check_size(size: torch.Size, first_size: torch.Size, name: str, number: int) -> None:
    """Refuse a picture that is too small, or not of the first one's size; raises InputError."""
    if min(size[1:]) < LEAST_SIDE:
        raise InputError(f"{name}: {_size(size)} is too small; both sides must be at least {LEAST_SIDE}")
    if size != first_size:
        raise InputError(
            f"{name}: frame {number} of the selection is {_size(size)} and the frames "
            f"before it are {_size(first_size)}; scale can make them equal"
        )


def _considered(
    reader: VideoFile | ImageSequence, selection: Selection, name: str
) -> Iterator[tuple[SourceFrame, Fraction, bool]]:
    """Yield the frames to take, each with its time in seconds and True, then the one after the selection, with False:
    it ends the last one."""
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
            yield frame, seconds, False
            return
        if not number % selection.every:
            yield frame, seconds, True


def _stretch(size: tuple[int, int], crop: tuple[int, int] | None, scale: tuple[int, int] | None) -> Fraction:
    """Return the factor by which scaling a picture of ``size`` (width, height) widens its samples."""
    if scale is None:
        return Fraction(1)
    width, height = crop or size
    return Fraction(width * scale[1], height * scale[0])


def _size(shape: torch.Size) -> str:
    return f"{shape[2]}x{shape[1]}"
