"""Which part of a source to read. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
import re
from fractions import Fraction
from typing import Any

from nvcodec.errors import UsageError
from nvcodec.samples import BITS

#: A number of frames (int), or a time in seconds from the first frame on (any other number).
Moment = int | float | Fraction
MAX_MOMENT = 2**53  # frames, or seconds
#: Types that the options have in JSON.
STATED_TYPES: dict[str, tuple[type, ...]] = {
    "crop": (list,),
    "scale": (list,),
    "start": (int, float),
    "frames": (int,),
    "every": (int,),
    "duration": (int, float),
    "end": (int, float),
    "deinterlace": (bool,),
}


@dataclasses.dataclass(frozen=True)
class Selection:
    """The part of a source to read, and with how many bits.

    Attributes:
        crop: width and height of the middle part; None for the whole picture.
        scale: width and height to resize to, after cropping; None for no resizing. One of them may be -1, which keeps
            the shape of samples and makes that side even.
        start: where to begin: frames to skip (int), or a time in seconds (float, Fraction), at or after which the first
            frame begins.
        frames: number of source frames to consider from there; None for all the rest.
        every: take one in so many of the considered frames, beginning with the first.
        duration: seconds to consider from the first frame on, instead of ``frames``.
        end: where to end, exclusive, instead of ``frames``: a frame number or a time, like ``start``.
        deinterlace: whether frames that say they are interlaced are deinterlaced.
        bits: 8 or 10, of a sample of the pictures; None for 10 where the source has more than 8, and else 8. Not
            stated, as the stream itself says it.

    Raises:
        UsageError: a value is out of its range, or two exclude each other.
    """

    crop: tuple[int, int] | None = None
    scale: tuple[int, int] | None = None
    start: Moment = 0
    frames: int | None = None
    every: int = 1
    duration: float | Fraction | None = None
    end: Moment | None = None
    deinterlace: bool = True
    bits: int | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.frames, self.duration, self.end)) > 1:
            raise UsageError("`frames`, `duration` and `end` are three ways to end; give one of them")
        for name in ("frames", "every", "duration"):
            value = getattr(self, name)
            if value is not None and not 0 < value < MAX_MOMENT:
                raise UsageError(f"`{name}` must be above 0 and below 2^53, got {value}")
        for name in ("start", "end"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < MAX_MOMENT:
                raise UsageError(f"`{name}` must be from 0 to below 2^53, got {value}")
        if self.bits not in (None, *BITS):
            raise UsageError(f"`bits` must be 8 or 10, got {self.bits}")
        if self.end is not None and isinstance(self.end, int) != isinstance(self.start, int) and self.start:
            raise UsageError("`start` and `end` are both numbers of frames or both times")
        if self.end is not None and self.end <= self.start and isinstance(self.end, int) == isinstance(self.start, int):
            raise UsageError("`end` must be behind `start`")

    @property
    def stated(self) -> dict[str, Any]:
        """What differs from the whole source, as JSON: integers are frames, other numbers seconds."""
        said = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default and field.name != "bits":
                plain = list(value) if isinstance(value, tuple) else value
                said[field.name] = float(plain) if isinstance(plain, Fraction) else plain
        return said

    @classmethod
    def from_stated(cls, said: Any) -> Selection:
        """Return what :attr:`stated` has been made of; the whole source where it is something else."""
        if not isinstance(said, dict):
            return cls()
        known = {name: value for name, value in said.items() if type(value) in STATED_TYPES.get(name, ())}
        if known != said or not all(_is_size(value) for value in known.values() if isinstance(value, list)):
            return cls()
        options: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in known.items()}
        try:
            return cls(**options)
        except UsageError:
            return cls()

    @property
    def begin(self) -> int | Fraction:
        """``start``, exactly."""
        return self.start if isinstance(self.start, int) else _exact(self.start)

    @property
    def count(self) -> int | None:
        """Number of source frames to consider; None if only a time, or nothing, ends them."""
        if isinstance(self.end, int):
            return self.end - int(self.start)
        return self.frames

    def end_seconds(self, first: Fraction) -> Fraction | None:
        """Return the time at which no further frame may begin, given that of the first frame; None if there is none."""
        if self.duration is not None:
            return first + _exact(self.duration)
        return None if self.end is None or isinstance(self.end, int) else _exact(self.end)

    def numbers(self, fps: Fraction) -> tuple[int, int | None]:
        """Return the first frame, and the one to end before (None: after the last), at a constant frame rate."""
        first = self.begin if isinstance(self.begin, int) else math.ceil(self.begin * fps)
        if self.count is not None:
            return first, first + self.count
        end = self.end_seconds(Fraction(first) / fps)
        return first, None if end is None else math.ceil(end * fps)

    @property
    def counts_frames(self) -> bool:
        """Whether no time, but at most numbers of frames say which part it is."""
        return self.duration is None and not any(isinstance(m, (float, Fraction)) for m in (self.start, self.end))

    @property
    def whole(self) -> bool:
        """Whether it is a source from its beginning to its end."""
        return not self.start and (self.frames, self.duration, self.end) == (None, None, None)

    def expected(self, frames: int, fps: Fraction) -> int:
        """Return how many frames it takes of a source of so many; 0 if these are unknown, 0."""
        first, stop = self.numbers(fps)
        considered = max(0, min(frames, frames if stop is None else stop) - first)
        return -(-considered // self.every)

    def size_for(self, width: int, height: int) -> tuple[int, int] | None:
        """Return the width and height to resize a picture of this size to; None for no resizing."""
        if self.scale is None or min(self.scale) > 0:
            return self.scale
        width, height = self.crop or (width, height)
        wide, high = self.scale
        if wide > 0:
            return wide, _even(Fraction(wide * height, width))
        return _even(Fraction(high * width, height)), high


EVERYTHING = Selection()


def parse_moment(text: str) -> int | Fraction | None:
    """Parse ``1500`` as a frame number, and ``90s``, ``12.5`` or ``1:02:30.5`` as a time in seconds.

    Returns:
        None if the text is none of these.
    """
    if re.fullmatch(r"[0-9]{1,18}", text):
        return int(text)
    match = re.fullmatch(r"(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9}(?:\.\d{0,18})?|\.\d{1,18})s?", text, re.ASCII)
    if match is None:
        return None
    hours, minutes, seconds = (Fraction(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def _exact(seconds: float | Fraction) -> Fraction:
    """Return a time as it was meant: a tenth of a second for 0.1."""
    return seconds if isinstance(seconds, Fraction) else Fraction(seconds).limit_denominator(1_000_000)


def _even(value: Fraction) -> int:
    return max(2, 2 * round(value / 2))


def _is_size(value: list[Any]) -> bool:
    """Whether this is a width and a height."""
    return len(value) == 2 and all(type(side) is int for side in value)
