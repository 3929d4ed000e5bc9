"""When each frame of a video is shown, and which frame is shown at a time."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from nvcodec.errors import UsageError


class FrameTimes:
    """The times of all frames, exact, in seconds.

    A frame is shown from its time until the next one begins, as players do it; the last one as long as it lasts. Of
    frames with equal times only the last is shown.

    A ``float`` is compared with times that are rounded to floats, so that a time that was read from a frame finds this
    frame again; an ``int`` or a ``Fraction`` is compared exactly.

    Args:
        ticks: presentation time and duration of each frame.
        time_base: seconds per tick.

    Attributes:
        starts, durations: of each frame.
        begin: the time of the frame that is shown first.
        end: when the last frame ends.
    """

    def __init__(self, ticks: Sequence[tuple[int, int]], time_base: Fraction) -> None:
        self.starts = [pts * time_base for pts, _ in ticks]
        self.durations = [duration * time_base for _, duration in ticks]
        # A segment may begin before the one in front of it ends. Sorting is stable.
        self._order = sorted(range(len(ticks)), key=self.starts.__getitem__)
        self._sorted = [self.starts[frame] for frame in self._order]
        self.begin = self._sorted[0]
        self.end = max(pts + duration for pts, duration in ticks) * time_base

    def at(self, seconds: float | Fraction) -> int:
        """Return the number of the frame that is shown at a time.

        Raises:
            IndexError: the video does not last from before this time until after it.
        """
        seconds, form = _comparable(seconds)
        if not form(self.begin) <= seconds < form(self.end):
            raise IndexError(f"no frame is shown at {seconds} s; {self._span}")
        return self._order[bisect.bisect_right(self._sorted, seconds, key=form) - 1]

    def between(self, start: float | Fraction, stop: float | Fraction) -> list[int]:
        """Return the numbers of the frames that are shown at any time from ``start`` to before ``stop``.

        Raises:
            UsageError: this is no part of the time that the video lasts.
        """
        (start, form), (stop, form_of_stop) = _comparable(start), _comparable(stop)
        if not (form(self.begin) <= start <= stop <= form_of_stop(self.end)):
            raise UsageError(f"{start} s to {stop} s is no part of the video; {self._span}")
        if start == stop:
            return []
        first = bisect.bisect_right(self._sorted, start, key=form) - 1
        return self._order[first : bisect.bisect_left(self._sorted, stop, key=form_of_stop)]

    @property
    def _span(self) -> str:
        return f"it lasts from {float(self.begin)} s to before {float(self.end)} s"


def _comparable(seconds: float | Fraction) -> tuple[float | Fraction, Callable[[Any], Any]]:
    """Return a time, and the function that brings exact times into the form in which they are compared with it."""
    return (seconds, Fraction) if isinstance(seconds, (int, Fraction)) else (float(seconds), float)
