"""The clock of an encode and of a fit: seconds spent per named phase, and those that are left of a time limit."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

from nvcodec.errors import UsageError


class Clock:
    """Adds up the seconds spent in named phases, and tells every part of an encode how many it may still take.

    Args:
        limit: seconds from now on that everything may take; infinite without a limit.

    Attributes:
        seconds: the sum for each phase that has been entered.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._begin = time.monotonic()
        self._end = math.inf if limit is None else time.monotonic() + limit

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the duration of the block to a phase."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin

    @property
    def limited(self) -> bool:
        """Whether there is a time limit."""
        return math.isfinite(self._end)

    @property
    def left(self) -> float:
        """Seconds that are left, inside :meth:`share` of its part; infinite without a limit, negative after it."""
        return self._end - time.monotonic()

    @contextlib.contextmanager
    def share(self, part: float) -> Iterator[None]:
        """Let the block have a part of the seconds that are left; what it does not take is there again afterwards."""
        end = self._end
        if self.limited:
            self._end = time.monotonic() + part * max(0.0, self.left)
        try:
            yield
        finally:
            self._end = end

    def require(self, seconds: float, what: str) -> None:
        """Refuse what would take longer than there is time.

        Args:
            seconds: expected.
            what: takes them, a plural.

        Raises:
            UsageError: they are not left.
        """
        left = max(0.0, self.left)
        if seconds > left:
            raise UsageError(f"`time_limit` is too short: {what} take about {seconds:.1f} s, and {left:.1f} s are left")
