"""A clip: RGB frames, their exact time stamps, and the colour coding that the source declares."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import torch

from nvcodec.errors import UsageError
from nvcodec.samples import bits_of
from nvcodec.tracks import NO_EXTRAS, NO_HDR, Extras, Hdr
from nvcodec.video.frames import Frames

UNSPECIFIED = 2  # code point of primaries, transfer and matrix (ITU-T H.273)


@dataclasses.dataclass(frozen=True)
class Color:
    """Colour coding that a source declares.

    Attributes:
        primaries, transfer, matrix: code points of ITU-T H.273.
        range: 0 unspecified, 1 limited, 2 full.
    """

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0


@dataclasses.dataclass
class Clip:
    """Frames with their time stamps and the properties of their source.

    Attributes:
        frames: RGB [frames, 3, height, width], uint8, or with 10 bits uint16, in memory or in a temporary file.
        ticks: presentation time and duration of each frame, in units of ``time_base``.
        time_base: seconds per tick.
        color: colour coding of the source.
        sample_aspect: width of a sample divided by its height.
        extras: audio, subtitles, chapters and tags that belong to the frames.
        hdr: what the source says of its display and light.

    Raises:
        UsageError: the frames have another type or shape, or there is not one time stamp per frame.
    """

    frames: Frames
    ticks: list[tuple[int, int]]
    time_base: Fraction
    color: Color = Color()
    sample_aspect: Fraction = Fraction(1)
    extras: Extras = NO_EXTRAS
    hdr: Hdr = NO_HDR

    def __post_init__(self) -> None:
        frames = self.frames
        if isinstance(frames, torch.Tensor) and (
            frames.dtype not in (torch.uint8, torch.uint16) or frames.ndim != 4 or frames.shape[1] != 3
        ):
            raise UsageError(
                "frames must be uint8 [frames, 3, height, width], or uint16 with 10 bits, "
                f"got {frames.dtype} {tuple(frames.shape)}"
            )
        if len(self.ticks) != len(self.frames):
            raise UsageError(f"{len(self.ticks)} time stamps for {len(self.frames)} frames")

    @property
    def width(self) -> int:
        """Width of the frames in pixels."""
        return self.frames.shape[3]

    @property
    def height(self) -> int:
        """Height of the frames in pixels."""
        return self.frames.shape[2]

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return bits_of(self.frames)

    @property
    def seconds(self) -> float:
        """Sum of the durations, in seconds."""
        return float(sum(duration for _, duration in self.ticks) * self.time_base)


def steady(frames: int, fps: Fraction) -> tuple[list[tuple[int, int]], Fraction]:
    """Return the ticks and time base of ``frames`` frames at a constant frame rate."""
    return [(index, 1) for index in range(frames)], 1 / fps
