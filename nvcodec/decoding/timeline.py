"""Pictures between transmitted frames (specification, section 8.3): which ones, and when each is shown."""

from __future__ import annotations

import abc
import bisect
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from nvcodec.errors import UsageError
from nvcodec.format.stream import Stream
from nvcodec.format.units import MAX_FRAMES

MAX_DENOMINATOR = 65535  # of a position between two frames


class Moment(NamedTuple):
    """A picture to be shown.

    Attributes:
        segment: index of its segment.
        position: frames since the segment's first one; between two of them if not whole.
        pts: presentation time, ticks.
        duration: ticks.
    """

    segment: int
    position: Fraction
    pts: int
    duration: int


class Timeline(abc.ABC):
    """Moments in the order in which they are shown.

    Attributes:
        time_base: seconds per tick of the moments, which need not be that of the stream.
    """

    time_base: Fraction

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Moment]: ...


class Interpolated(Timeline):
    """All frames, and ``factor`` - 1 more, evenly spaced, between any two of a segment.

    A picture lasts until the next one; the last of a segment lasts as long as its frame.

    Raises:
        UsageError: ``factor`` is not in 1 to 65535, or there would be pictures between those of an AV1 stream.
    """

    def __init__(self, stream: Stream, factor: int) -> None:
        if not 1 <= factor <= MAX_DENOMINATOR:
            raise UsageError(f"between two frames there can be 0 to {MAX_DENOMINATOR - 1} more, not {factor - 1}")
        if factor > 1:
            _require_pictures_between(stream)
        self.stream = stream
        self.factor = factor
        self.time_base = stream.time_base / factor

    def __len__(self) -> int:
        return sum((segment.head.frames - 1) * self.factor + 1 for segment in self.stream.segments)

    def __iter__(self) -> Iterator[Moment]:
        ticks = iter(self.stream.ticks)
        for index, segment in enumerate(self.stream.segments):
            for frame, (pts, duration) in enumerate(itertools.islice(ticks, segment.head.frames)):
                if frame == segment.head.frames - 1:
                    yield Moment(index, Fraction(frame), pts * self.factor, duration * self.factor)
                    break
                for part in range(self.factor):
                    position = frame + Fraction(part, self.factor)
                    yield Moment(index, position, pts * self.factor + part * duration, duration)


class EvenRate(Timeline):
    """Pictures at an even frame rate, from the first frame's time until the last frame ends.

    Between two frames of a segment, each is the interpolated picture for its time (if that needs a denominator above
    65535, the nearest position with a smaller one); the last frame of a segment stays until the segment ends.

    Args:
        stream: the stream.
        fps: frames per second.

    Raises:
        UsageError: ``fps`` is not positive, there would be more than 2^22 pictures, a frame comes before the one before
            it, or the file has an AV1 stream.
    """

    def __init__(self, stream: Stream, fps: Fraction) -> None:
        if fps <= 0:
            raise UsageError(f"the frame rate must be positive, got {fps}")
        _require_pictures_between(stream)
        ticks = stream.ticks
        if any(after < before for (before, _), (after, _) in itertools.pairwise(ticks)):
            raise UsageError("the frames of this file are not in the order of their times")
        self.stream = stream
        first, end = ticks[0][0] * stream.time_base, sum(ticks[-1]) * stream.time_base
        self.count = max(1, math.ceil((end - first) * fps))
        if self.count > MAX_FRAMES:
            raise UsageError(f"at {float(fps):g} frames per second this file would have {self.count} frames")
        # The largest tick of which both the stream's ticks and 1/fps are multiples.
        self.time_base = _greatest_common_divisor(stream.time_base, 1 / fps)
        self.first_pts = int(first / self.time_base)
        self.duration = int(1 / fps / self.time_base)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Moment]:
        segments = self.stream.segments
        first_frames = [segment.head.first_frame for segment in segments]
        ticks = self.stream.ticks
        frame_pts = [pts for pts, _ in ticks]
        for number in range(self.count):
            pts = self.first_pts + number * self.duration
            now = pts * self.time_base / self.stream.time_base  # in the stream's ticks
            frame = max(0, bisect.bisect_right(frame_pts, now) - 1)
            index = bisect.bisect_right(first_frames, frame) - 1
            position = Fraction(frame - first_frames[index])
            start, duration = ticks[frame]
            if duration and position + 1 < segments[index].head.frames:
                position += min(Fraction(1), (now - start) / duration).limit_denominator(MAX_DENOMINATOR)
            yield Moment(index, position, pts, self.duration)


def _require_pictures_between(stream: Stream) -> None:
    """Check that there are pictures between the transmitted ones; raises UsageError."""
    if any(segment.has_base for segment in stream.segments):
        raise UsageError("this file has an AV1 stream, and between its frames there are no pictures to decode")


def _greatest_common_divisor(a: Fraction, b: Fraction) -> Fraction:
    """A common divisor of two positive fractions: both are whole multiples of it."""
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)
