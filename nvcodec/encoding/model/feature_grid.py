"""Feature grids: learned values for some times of the clip, interpolated and added to the decoder's features.

They are the grids of HiNeRV (Kwan et al., NeurIPS 2023) and FFNeRV (Lee et al., 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import nn

from nvcodec.encoding.model.convolution import Conv, shared_group
from nvcodec.encoding.quantizer.rounding import integers, rounded
from nvcodec.format.arithmetic.interpolation import position

INITIAL_DEVIATION = 0.02  # standard deviation of a new grid's values


class FeatureGrid(nn.Module):
    """Learned values at evenly spaced knots, and the 1x1 convolution that adds them to a block's features.

    Args:
        size: knots, channels, height and width.
        frames: number of frames in the clip.
        channels: number of channels of the block's features.

    Attributes: quant_step: None while fitting in float. With quantisation in the loop the values are rounded to
        multiples of it, -127 to 127 times.
    """

    def __init__(self, size: tuple[int, int, int, int], frames: int, channels: int) -> None:
        super().__init__()
        self.frames = frames
        # All knots start alike; where nothing moves they stay alike.
        start = torch.randn(size[1:]) * INITIAL_DEVIATION
        self.values = nn.Parameter(start.repeat(size[0], 1, 1, 1))
        self.merge = Conv(size[1], channels, 1, shared_group(channels))
        self.quant_step: torch.Tensor | None = None

    def integers(self) -> torch.Tensor:
        """Return the values as a file holds them: multiples of the quantisation step, as float32."""
        assert self.quant_step is not None
        return integers(self.values, self.quant_step)

    def at(self, frames: Sequence[int | Fraction]) -> torch.Tensor:
        """Return the values at ``frames``, which may lie between two: [frames, channels, height, width]."""
        ends, parts = [], []
        for frame in frames:
            last = frame.denominator * (self.frames - 1)
            knot, part = position(frame.numerator, last + 1, len(self.values))
            ends += [self.values[knot], self.values[min(knot + 1, len(self.values) - 1)]]
            parts.append(part / max(1, last))
        stacked = torch.stack(ends)
        if self.quant_step is not None:
            stacked = rounded(stacked, self.quant_step)  # only the knots in use: one training step sees few of them
        return torch.stack(
            [torch.lerp(*ends_and_part) for ends_and_part in zip(stacked[::2], stacked[1::2], parts, strict=True)]
        )

    def forward(self, frames: Sequence[int | Fraction]) -> torch.Tensor:
        """Return what is added to the features: [frames, channels, height, width]."""
        added: torch.Tensor = self.merge(self.at(frames).contiguous(memory_format=torch.channels_last))
        return added
