"""Convolutions that can be rounded while they are fitted, and reparameterised ones (paper, section 3.1).

A reparameterised convolution is the sum of several branches. All of them are linear, so their sum is one kernel;
because kernels are much smaller than pictures, the fit sums kernels and convolves once. After :meth:`RepConv.fold`
only that kernel is left.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.encoding.quantizer.rounding import PEAK, ste

MAX_GROUP = 255  # output channels that can share a quantisation step (specification, CONV)


def shared_group(channels: int) -> int:
    """Return the largest quantisation group: all ``channels``, if the format allows it.

    In small convolutions, a step for each channel would cost more bytes than it saves.
    """
    return min(channels, MAX_GROUP)


class Conv(nn.Conv2d):
    """A stride-1 convolution with zero padding that keeps height and width: [batch, channels, height, width].

    Args:
        channels_in, channels_out: channels.
        kernel: side of the kernel, odd.
        group: consecutive output channels that share a quantisation step.

    Attributes:
        quant_step: None while fitting in float. With quantisation in the loop it holds the weights' quantisation steps,
            [out, 1, 1, 1], and the forward pass sees weights rounded to multiples of them, -127 to 127 times.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, group: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2)
        self.group = group
        self.quant_step: torch.Tensor | None = None

    def kernel(self) -> torch.Tensor:
        """Return the kernel before rounding, [out, in, k, k]."""
        return self.weight

    def fold(self) -> None:
        """Make ``weight`` the whole kernel."""

    def integers(self) -> torch.Tensor:
        """Return the rounded weights in quantisation steps: float32 [out, in, k, k], -127 to 127."""
        assert self.quant_step is not None
        return (self.weight / self.quant_step).round_().clamp_(-PEAK, PEAK)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.kernel()
        if self.quant_step is not None:
            steps = (weight / self.quant_step).clamp(-PEAK, PEAK)
            weight = ste(steps, steps.round()) * self.quant_step
        return F.conv2d(x, weight, self.bias, padding=self.padding, groups=self.groups)


class KernelBranch(nn.Module):
    """A branch whose kernel, height x width and both odd, covers the middle of the whole kernel."""

    def __init__(self, channels_in: int, channels_out: int, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels_out, channels_in, height, width))

    def kernel(self, side: int) -> torch.Tensor:
        """Return the branch as a kernel [out, in, side, side]."""
        rows, columns = (side - self.weight.shape[2]) // 2, (side - self.weight.shape[3]) // 2
        return F.pad(self.weight, (columns, columns, rows, rows))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the branch adds to the convolution of ``x``; the fit uses :meth:`kernel`."""
        return F.conv2d(x, self.weight, padding=(self.weight.shape[2] // 2, self.weight.shape[3] // 2))


class RepConv(Conv):
    """A convolution that is a sum of branches while it is fitted.

    Beside the k x k kernel itself: 3x3 (for k > 3), 1 x k and k x 1 (for k > 1). New branches are zero, so a new
    RepConv equals a Conv; the branches change the path of the optimiser.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, group: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, group)
        sizes = [(1, kernel), (kernel, 1), (3, 3)] if kernel > 3 else [(1, kernel), (kernel, 1)] if kernel > 1 else []
        self.branches = nn.ModuleList(KernelBranch(channels_in, channels_out, *size) for size in sizes)

    def kernel(self) -> torch.Tensor:
        total: torch.Tensor = self.weight
        for branch in self.branches:
            total = total + cast(KernelBranch, branch).kernel(self.weight.shape[2])
        return total

    @torch.no_grad()
    def fold(self) -> None:
        """Add all branches to ``weight`` and drop them."""
        self.weight.copy_(self.kernel())
        for parameter in self.branches.parameters():
            parameter.grad = None  # an optimiser that still holds it then leaves it alone
        self.branches = nn.ModuleList()
