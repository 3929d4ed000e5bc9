"""Times of frames in the ticks of an output."""

from __future__ import annotations

from fractions import Fraction

MAX_TERM = 2**31 - 1  # of a time base, in FFmpeg


class OutputTimes:
    """Converts times of frames, in the order of their presentation, to those of an output.

    The first frame is shown at 0, or at its own time if times are kept and it is not negative. Times are rounded to
    ticks of the output; each frame comes at least one tick after the one before it, so that none is lost.

    Attributes:
        tick: seconds per tick of the output.
        shifted: seconds by which times that were to be kept are later, because the first is negative.

    Args:
        time_base: seconds per tick of the frames.
        tick: seconds per tick of the output; None takes the frames', or microseconds where FFmpeg cannot express them.
        keep: whether the first frame keeps its time.
    """

    def __init__(self, time_base: Fraction, tick: Fraction | None, keep: bool) -> None:
        self.time_base = time_base
        fits = max(time_base.numerator, time_base.denominator) <= MAX_TERM
        self.tick = tick or (time_base if fits else Fraction(1, 1_000_000))
        self.keep = keep
        self.shifted = Fraction(0)
        self._origin: int | None = None  # what is shown at 0
        self._last = -1

    def of(self, pts: int, duration: int) -> tuple[int, int]:
        """Return time and duration of the next frame, in ticks of the output; the duration is at least 1."""
        if self._origin is None:
            self._origin = min(pts, 0) if self.keep else pts
            self.shifted = -self._origin * self.time_base if self.keep else Fraction(0)
        scale = self.time_base / self.tick
        begin = max(round((pts - self._origin) * scale), self._last + 1)
        end = round((pts + duration - self._origin) * scale)
        self._last = begin
        return begin, max(1, end - begin)
