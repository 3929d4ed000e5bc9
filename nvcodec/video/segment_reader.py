"""A source as one clip after the other, cut where its scenes change, so that no more than some seconds are held."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from fractions import Fraction

import torch

from nvcodec.video.clip import Clip
from nvcodec.video.frames import FrameCollector
from nvcodec.video.pictures import Source, as_clip
from nvcodec.video.scene_changes import scene_changes
from nvcodec.video.selection import Selection
from nvcodec.video.source import OnFrame, Reading, SourceReader, TimedPicture
from nvcodec.video.timing import FrameTime

LEAST_SECONDS, MOST_SECONDS = Fraction(2), Fraction(20)
LEAST_PASSED = Fraction(1, 240)  # seconds between two frames whose time stamps do not increase


@dataclasses.dataclass(frozen=True)
class SegmentLengths:
    """How long segments are.

    Attributes:
        least: seconds that a segment has at least. What is left at the end, and is shorter, belongs to the one before.
        most: seconds from a segment's first frame on, at which the next one begins at the latest.
        at_changes: whether segments also begin where scenes change.
        whole: seconds up to which a source is one segment, wherever its scenes change.
    """

    least: Fraction = LEAST_SECONDS
    most: Fraction = MOST_SECONDS
    at_changes: bool = True
    whole: Fraction = MOST_SECONDS

    @classmethod
    def fixed(cls, seconds: Fraction) -> SegmentLengths:
        """Segments of so many seconds."""
        return cls(min(LEAST_SECONDS, seconds / 2), seconds, False, Fraction(0))


NewCollector = Callable[[], FrameCollector]


def read_segments(
    source: Source,
    selection: Selection,
    fps: Fraction | None,
    lengths: SegmentLengths,
    new_collector: NewCollector,
    on_frame: OnFrame | None = None,
) -> Iterator[tuple[Clip, bool]]:
    """Read a source as clips, each of the frames of a segment.

    Of a file, or of pictures in a folder, no more is held than the segment that is read, and at the beginning up to
    ``lengths.whole`` seconds; any other source is collected before it is cut.

    Args:
        source, selection, fps: as in :func:`~nvcodec.video.pictures.as_clip`.
        lengths: of the segments.
        new_collector: makes what collects the pictures of a segment.
        on_frame: called for every frame that has been read.

    Yields:
        A clip, and whether it is the last one.

    Raises:
        InputError: as :func:`~nvcodec.video.pictures.as_clip` does.
        UsageError: likewise.
    """
    if isinstance(source, (str, os.PathLike)):
        reader: SourceReader | ClipReader = SourceReader(source, selection, fps)
    else:
        reader = ClipReader(as_clip(source, selection, fps))
    parts, last = list[_Part](), False
    for parts, last in _parts(reader, lengths, new_collector, on_frame):
        while len(parts) > (not last):
            part = parts.pop(0)
            behind = parts[0].times[:1] if parts else reader.behind
            clip = reader.clip(part.collector, [*part.times, *behind], len(part.times))
            del part  # no clip is held here while it is encoded
            yield clip, not parts
            del clip


class ClipReader:
    """Stands in for a :class:`SourceReader` where the frames are already there.

    Args:
        whole: all of them.
    """

    behind: list[FrameTime]
    reading: Reading

    def __init__(self, whole: Clip) -> None:
        self.whole, self.behind, self._given = whole, [], 0

    def pictures(self) -> Iterator[TimedPicture]:
        """Yield the pictures."""
        whole = self.whole
        frames = len(whole.frames)
        for number, (samples, (time, duration)) in enumerate(zip(whole.frames, whole.ticks, strict=True), 1):
            self.reading = Reading(number, frames, frames, whole.width, whole.height)
            yield TimedPicture(samples, FrameTime(time, duration), time * whole.time_base)

    def clip(self, frames: FrameCollector, times: list[FrameTime], count: int) -> Clip:
        """Return the next frames as a clip; see :meth:`SourceReader.clip`."""
        ticks = self.whole.ticks[self._given : self._given + count]
        self._given += count
        return dataclasses.replace(self.whole, frames=frames.frames(), ticks=ticks)


class _Part:
    """The frames of a segment that have been read."""

    def __init__(self, collector: FrameCollector) -> None:
        self.collector, self.times = collector, list[FrameTime]()
        self.seconds = Fraction(0)  # from its first frame to the end of its last one

    def append(self, picture: TimedPicture) -> None:
        """Add a picture."""
        self.collector.append(picture.samples)
        self.times.append(picture.time)

    def extend(self, other: _Part) -> None:
        """Add all frames of the next part."""
        for picture in other.collector.frames():
            self.collector.append(picture)
        self.times += other.times
        self.seconds += other.seconds


def _parts(
    reader: SourceReader | ClipReader, lengths: SegmentLengths, new_collector: NewCollector, on_frame: OnFrame | None
) -> Iterator[tuple[list[_Part], bool]]:
    """Yield the parts that are held, the last of which is still read, whenever the others are complete.

    What takes a part removes it from the list. Also yields whether the source has ended, and all parts are complete.
    """

    def pictures() -> Iterator[tuple[torch.Tensor, TimedPicture]]:
        for picture in reader.pictures():
            if on_frame:
                on_frame(reader.reading)
            yield picture.samples, picture

    held, seconds, latest = [_Part(new_collector())], Fraction(0), None
    for _, picture, changes in scene_changes(pictures()):
        part = held[-1]
        if latest is not None:  # a source may begin to count anew, and must not become one segment for that
            passed = picture.seconds - latest if picture.seconds > latest else LEAST_PASSED
            part.seconds += passed
            seconds += passed
        latest = picture.seconds
        changes = lengths.at_changes and changes and part.seconds >= lengths.least
        if part.times and (changes or part.seconds >= lengths.most):
            held.append(_Part(new_collector()))
        held[-1].append(picture)
        if len(held) > 1 and held[-1].seconds >= lengths.least and seconds > lengths.whole:
            yield held, False
    if seconds <= lengths.whole:
        while len(held) > 1:
            held[0].extend(held.pop(1))
    elif len(held) > 1 and held[-1].seconds < lengths.least:
        held[-2].extend(held.pop())
    yield held, True
