"""What every output for decoded frames is: the protocol, and a base class that releases resources."""

from __future__ import annotations

import contextlib
import dataclasses
from fractions import Fraction
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch

from nvcodec.tracks import NO_EXTRAS, Extras
from nvcodec.video.clip import Color

Picture = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]  # RGB [height, width, 3], with 8 or 10 bits


@dataclasses.dataclass(frozen=True)
class Properties:
    """What is known of the frames before the first one.

    Attributes:
        width, height: of the pictures, in pixels.
        time_base: seconds per tick.
        fps: frames per second, for formats that state it.
        sample_aspect: width of a sample divided by its height.
        color: what the source declares.
        bits: 8 or 10, of a sample of the pictures.
        extras: what travels beside the pictures; only containers that FFmpeg writes take it.
    """

    width: int
    height: int
    time_base: Fraction
    fps: Fraction
    sample_aspect: Fraction
    color: Color
    bits: int = 8
    extras: Extras = NO_EXTRAS


def channels_first(picture: Picture) -> torch.Tensor:
    """Return a copy of a picture as a tensor [3, height, width]."""
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())


def little_endian(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return samples in this order of bytes, and one after the other in memory; a copy only where they are not."""
    return np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))


class Sink(Protocol):
    """An output for frames in presentation order.

    Attributes:
        notes: sentences about what the format could not hold; complete when the sink is closed.
    """

    notes: list[str]

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def put(self, picture: Picture, pts: int, duration: int) -> None:
        """Write one frame.

        Args:
            picture: RGB [height, width, 3], uint8, or with 10 bits uint16.
            pts: presentation time in ticks of the time base.
            duration: likewise.
        """


class SinkBase:
    """A sink that releases its resources by an ``ExitStack``."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.__exit__(kind, error, trace)
