"""Clips of several scenes, for the tests of segments."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from conftest import moving_squares

HEIGHT, WIDTH = 48, 64


@functools.cache
def shot(frames: int, seed: int) -> torch.Tensor:
    """A scene with shading of its own, motion and noise: uint8 [frames, 3, 48, 64]."""
    random = torch.Generator().manual_seed(seed)
    shading = F.interpolate(torch.rand(1, 3, 4, 5, generator=random), (HEIGHT, WIDTH))[0] * 255
    noise = 2 * torch.randn(frames, 3, HEIGHT, WIDTH, generator=random)
    return (shading / 2 + moving_squares(frames, HEIGHT, WIDTH) / 2 + noise).clamp(0, 255).to(torch.uint8)


def joined(*lengths: int) -> torch.Tensor:
    """Scenes of so many frames, one after the other."""
    return torch.cat([shot(frames, seed) for seed, frames in enumerate(lengths, 1)])
