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
    known = _increasing(frames, typical_duration)
    anchors = [(index, time) for index, time in enumerate(known) if time is not None]
    # Behind the last time stamp, frames have the typical duration.
    anchors.append((len(frames), anchors[-1][1] + (len(frames) - anchors[-1][0]) * typical_duration))
    # More frames than units between two time stamps need a smaller unit.
    spans = [(start, until - start, end - begin) for (begin, start), (end, until) in itertools.pairwise(anchors)]
    factor = max(-(-number // span) for _, span, number in spans)
    times = [factor * start + n * factor * span // number for start, span, number in spans for n in range(number)]
    durations = [after - before for before, after in itertools.pairwise(times)]
    if len(durations) < count:
        durations.append(factor * _last_duration(frames, typical_duration))
    return list(zip(times[:count], durations[:count], strict=True)), factor


def _increasing(frames: Sequence[FrameTime], typical_duration: int) -> list[int | None]:
    """Return the time stamps, None where one is missing or does not increase; the first frame always has one."""
    given = ((index, frame.pts) for index, frame in enumerate(frames) if frame.pts is not None)
    index, pts = next(given, (0, 0))
    latest, since, offset = pts - index * typical_duration, 1, 0  # the last one, frames since it, what is added
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
    return times


def _last_duration(frames: Sequence[FrameTime], typical_duration: int) -> int:
    """Return the duration of the last frame; a file without time stamps knows none of its frames' durations either."""
    return (frames[-1].duration if frames[-1].pts is not None else 0) or typical_duration
