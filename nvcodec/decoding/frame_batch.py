"""Decoded pictures with the times at which they are shown: :class:`Frame` and :class:`FrameBatch`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import torch


class Frame(NamedTuple):
    """A picture and when it is shown. As a named tuple it can be unpacked, and collated by a ``DataLoader``.

    Attributes:
        data: RGB [3, height, width], uint8, or uint16 with 10 bits.
        pts_seconds: presentation time, seconds.
        duration_seconds: seconds.
    """

    data: torch.Tensor
    pts_seconds: float
    duration_seconds: float

    def __repr__(self) -> str:
        return f"Frame(data={_outline(self.data)}, pts_seconds={self.pts_seconds}, duration_seconds={self[2]})"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FrameBatch:
    """Several pictures and when each is shown. Has ``len``; iterating yields, and indexing returns, a :class:`Frame`.

    Attributes:
        data: RGB [frames, 3, height, width], uint8, or uint16 with 10 bits.
        pts_seconds: presentation times, seconds, float64 [frames] on the CPU.
        duration_seconds: seconds, float64 [frames] on the CPU.
    """

    data: torch.Tensor
    pts_seconds: torch.Tensor
    duration_seconds: torch.Tensor

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Frame:
        return Frame(self.data[index], self.pts_seconds[index].item(), self.duration_seconds[index].item())

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        pts, durations = self.pts_seconds.tolist(), self.duration_seconds.tolist()
        return f"FrameBatch(data={_outline(self.data)}, pts_seconds={pts}, duration_seconds={durations})"


def _outline(data: torch.Tensor) -> str:
    """Describe a tensor without its values, such as ``<uint8 [3, 48, 64] on cpu>``."""
    return f"<{str(data.dtype).removeprefix('torch.')} {list(data.shape)} on {data.device}>"
