"""Convolutions that can be rounded while they are fitted, and reparameterised ones (paper, section 3.1).

A reparameterised convolution is the sum of several branches. All of them are linear, so their sum is one kernel, and as
kernels are much smaller than pictures the fit sums kernels and convolves once. After :meth:`RepConv.fold` that kernel
is all there is.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn


def ste(value: torch.Tensor, quantised: torch.Tensor) -> torch.Tensor:
    """``quantised`` going forward, the gradient of ``value`` going back (straight-through estimator)."""
    return value + (quantised - value).detach()


class Conv(nn.Conv2d):
    """A stride-1 convolution with zeros around, as many pixels out as in: [batch, channels, height, width].

    Args:
        group: consecutive output channels that share a quantisation step.

    ``step`` is None while fitting in float. With quantisation in the loop it holds the weights' step, [out, 1, 1, 1],
    and the forward pass sees weights rounded to multiples of it within +-127.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, group: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2)
        self.group = group
        self.step: torch.Tensor | None = None

    def kernel(self) -> torch.Tensor:
        """What the input is convolved with before rounding: [out, in, k, k]."""
        return self.weight

    def fold(self) -> None:
        """Make ``weight`` the whole kernel."""

    def integers(self) -> torch.Tensor:
        """The weights in steps, rounded: float32 [out, in, k, k] in -127 to 127."""
        assert self.step is not None
        return (self.weight / self.step).round_().clamp_(-127, 127)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.kernel()
        if self.step is not None:
            steps = (weight / self.step).clamp(-127, 127)
            weight = ste(steps, steps.round()) * self.step
        return F.conv2d(x, weight, self.bias, padding=self.padding, groups=self.groups)


class SmallKernel(nn.Module):
    """A branch whose kernel, height x width and both odd, covers the middle of the whole one."""

    def __init__(self, channels_in: int, channels_out: int, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels_out, channels_in, height, width))

    def kernel(self, side: int) -> torch.Tensor:
        """The same branch as a kernel [out, in, side, side]."""
        rows, columns = (side - self.weight.shape[2]) // 2, (side - self.weight.shape[3]) // 2
        return F.pad(self.weight, (columns, columns, rows, rows))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the branch adds to the convolution of ``x``; the fit uses :meth:`kernel`."""
        return F.conv2d(x, self.weight, padding=(self.weight.shape[2] // 2, self.weight.shape[3] // 2))


class RepConv(Conv):
    """A convolution that is the sum of branches while it is fitted.

    Beside the k x k kernel itself: 3x3 (where k > 3), 1 x k and k x 1 (where k > 1). New branches are zero, so a new
    RepConv equals a Conv; what they change is the way the fit takes.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, group: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, group)
        sizes = [(1, kernel), (kernel, 1), (3, 3)] if kernel > 3 else [(1, kernel), (kernel, 1)] if kernel > 1 else []
        self.branches = nn.ModuleList(SmallKernel(channels_in, channels_out, *size) for size in sizes)

    def kernel(self) -> torch.Tensor:
        total: torch.Tensor = self.weight
        for branch in self.branches:
            total = total + cast(SmallKernel, branch).kernel(self.weight.shape[2])
        return total

    @torch.no_grad()
    def fold(self) -> None:
        """Add all branches to ``weight`` and drop them."""
        self.weight.copy_(self.kernel())
        for parameter in self.branches.parameters():
            parameter.grad = None  # an optimiser that still holds it leaves it alone
        self.branches = nn.ModuleList()
