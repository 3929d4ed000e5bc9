"""Times and durations of a clip's frames, from what a source says of each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

MAX_BACKWARD_FRAMES = 10  # typical durations; a time stamp that is further back than that begins a new count


class FrameTime(NamedTuple):
    """Time and duration of a frame as a file gives them, in units of its time base; None and 0 where it does not."""

    pts: int | None
    duration: int


def ticks_of(frames: Sequence[FrameTime], count: int, typical_duration: int) -> tuple[list[tuple[int, int]], int]:
    """Return times and durations of the first ``count`` frames, and how many of their units are one of the file's.

    A frame lasts until the next one, the last one as long as the file says. Time in an SDMN file has to increase:
    frames without a time stamp, and those whose stamp does not increase, are spread evenly up to the next one that
    does, so that nothing behind them moves. Where a time stamp goes back by more than some frames, the rest goes on
    from there.

    Args:
        frames: in order of presentation; there may be one more, which ends the last.
        count: how many to return.
        typical_duration: in the file's units, where it does not say.
    """
    ticks = Ticks(typical_duration)
    return ticks.part(frames, count), ticks.factor


class Ticks:
    """Times and durations of the frames of a source, as :func:`ticks_of` says, but part after part.

    Args:
        typical_duration: in the file's units, where it does not say.

    Attributes:
        factor: how many ticks are one of the file's units; the first part decides.
    """

    def __init__(self, typical_duration: int) -> None:
        self.typical_duration, self.factor = typical_duration, 1
        self._end: int | None = None  # ticks; where the next part begins
        self._offset = 0  # ticks

    def part(self, frames: Sequence[FrameTime], count: int) -> list[tuple[int, int]]:
        """Return times and durations of the next ``count`` frames, in ticks.

        Args:
            frames: of this part, and the first one of the next part, if there is one, which ends the last.
            count: how many to return.
        """
        factor, typical = self.factor, self.factor * self.typical_duration
        given = [FrameTime(None if time is None else factor * time, factor * length) for time, length in frames]
        if self._end is not None:
            given[0] = FrameTime(self._end, given[0].duration)
        known, self._offset = _increasing(given, typical, self._offset)
        anchors = [(index, time) for index, time in enumerate(known) if time is not None]
        # Behind the last time stamp, frames have the typical duration.
        anchors.append((len(frames), anchors[-1][1] + (len(frames) - anchors[-1][0]) * typical))
        # More frames than units between two time stamps need a smaller unit.
        finer = 1 if self._end is not None else max(-(-number // span) for _, span, number in _spans(anchors))
        self.factor *= finer
        anchors = _far_enough([(index, finer * time) for index, time in anchors])
        times = [start + n * span // number for start, span, number in _spans(anchors) for n in range(number)]
        durations = [after - before for before, after in itertools.pairwise(times)]
        if len(durations) < count:
            durations.append(finer * _last_duration(given, typical))
        self._end, self._offset = times[count - 1] + durations[count - 1], finer * self._offset
        return list(zip(times[:count], durations[:count], strict=True))


def _spans(anchors: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return the times that are known, each with the time and the number of frames up to the next one."""
    return [(start, until - start, end - begin) for (begin, start), (end, until) in itertools.pairwise(anchors)]


def _far_enough(anchors: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return those frames and times, in ticks, that leave each frame before them a tick; the last one is moved."""
    kept = [anchors[0]]
    for index, time in anchors[1:-1]:
        if time - kept[-1][1] >= index - kept[-1][0]:
            kept.append((index, time))
    (begin, start), (end, until) = kept[-1], anchors[-1]
    return [*kept, (end, max(until, start + end - begin))]


def _increasing(frames: Sequence[FrameTime], typical_duration: int, offset: int) -> tuple[list[int | None], int]:
    """Return the time stamps, None where one is missing or does not increase; the first frame always has one.

    Args:
        frames: their times.
        typical_duration: in the same units.
        offset: what is added to time stamps from the second frame on.

    Returns:
        Also what is added at the end, which is more where a new count has begun.
    """
    given = ((index, frame.pts) for index, frame in enumerate(frames) if frame.pts is not None)
    index, pts = next(given, (0, 0))
    latest, since = pts - index * typical_duration, 1  # the last one, frames since it
    times: list[int | None] = [latest]
    for frame in frames[1:]:
        time = None if frame.pts is None else frame.pts + offset
        if time is not None and time <= latest - MAX_BACKWARD_FRAMES * typical_duration:
            expected = latest + since * typical_duration
            time, offset = expected, offset + expected - time
        if time is not None and time <= latest:
            time = None
        times.append(time)
        latest, since = (latest, since + 1) if time is None else (time, 1)
    return times, offset


def _last_duration(frames: Sequence[FrameTime], typical_duration: int) -> int:
    """Return the duration of the last frame; a file without time stamps knows none of its frames' durations either."""
    return (frames[-1].duration if frames[-1].pts is not None else 0) or typical_duration
