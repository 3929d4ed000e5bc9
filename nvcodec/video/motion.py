"""How much of a clip stays where it is: what feature grids go by."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from nvcodec.video.frames import Frames

LAG = 4  # frames between those that are compared
PAIRS = 32  # at most
BLOCK = 8  # pixels; what is coarser than this is no detail


@torch.no_grad()
def change(frames: Frames) -> float:
    """How much of the detail in a picture is another four frames later: 0 none, 1 all of it.

    Half the mean squared difference of what is left of the luma without the means of 8x8 blocks, by its mean square.

    Args:
        frames: uint8 [frames, 3, height, width].
    """
    lag = min(LAG, len(frames) - 1)
    count = min(PAIRS, len(frames) - lag)
    starts = [place * (len(frames) - lag - 1) // max(1, count - 1) for place in range(count)]
    differences = energy = 0.0
    for start in starts:
        first, second = (_detail(frames[[place]]) for place in (start, start + lag))
        differences += float((first - second).square().mean())
        energy += float((first.square() + second.square()).mean())
    return differences / energy if energy else 0.0


def _detail(picture: torch.Tensor) -> torch.Tensor:
    luma = picture.float().mean(1, keepdim=True)
    height, width = luma.shape[2:]
    means = F.interpolate(F.avg_pool2d(luma, BLOCK, ceil_mode=True), scale_factor=BLOCK)
    return luma - means[:, :, :height, :width]
