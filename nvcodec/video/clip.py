"""A clip: RGB frames, their exact times, and what the source says of its colours."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import torch

from nvcodec.video.frames import Frames

UNSPECIFIED = 2  # in primaries, transfer and matrix (ITU-T H.273)


@dataclasses.dataclass(frozen=True)
class Color:
    """How the source's colours are coded: code points of ITU-T H.273, and the range (0 unspecified, 1 limited, 2
    full)."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0


@dataclasses.dataclass
class Clip:
    """Frames and what belongs to them.

    Attributes:
        frames: uint8 [frames, 3, height, width], RGB, in memory or in a temporary file.
        ticks: presentation time and duration of each frame.
        time_base: seconds a tick.
        color: of the source.
        sample_aspect: width over height of a sample.
    """

    frames: Frames
    ticks: list[tuple[int, int]]
    time_base: Fraction
    color: Color = Color()
    sample_aspect: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        frames = self.frames
        if isinstance(frames, torch.Tensor) and (
            frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3
        ):
            raise ValueError(
                f"frames must be uint8 [frames, 3, height, width], got {frames.dtype} {tuple(frames.shape)}"
            )
        if len(self.ticks) != len(self.frames):
            raise ValueError(f"{len(self.ticks)} time stamps for {len(self.frames)} frames")

    @property
    def width(self) -> int:
        """Pixels."""
        return self.frames.shape[3]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.frames.shape[2]

    @property
    def seconds(self) -> float:
        """How long it lasts: all durations."""
        return float(sum(duration for _, duration in self.ticks) * self.time_base)


def steady(frames: int, fps: Fraction) -> tuple[list[tuple[int, int]], Fraction]:
    """Ticks and time base of ``frames`` frames at a constant rate."""
    return [(place, 1) for place in range(frames)], 1 / fps
