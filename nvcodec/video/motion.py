"""A measure of motion, by which the encoder chooses its feature grids."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from nvcodec.video.frames import Frames

LAG = 4  # frames between the two pictures of a pair
MAX_PAIRS = 32
BLOCK = 8  # pixels; structure coarser than this does not count as detail


@torch.no_grad()
def change(frames: Frames) -> float:
    """Return the share of a picture's detail that is different four frames later.

    The detail is the mean of the channels minus the means of its 8x8 blocks. The share is the squared difference of the
    detail of two pictures divided by the sum of their squares, over at most 32 pairs spread over the clip.

    Args:
        frames: samples [frames, 3, height, width].

    Returns:
        0 for a still clip, 1 where the two are independent, up to 2 where one is the negative of the other.
    """
    lag = min(LAG, len(frames) - 1)
    count = min(MAX_PAIRS, len(frames) - lag)
    starts = [pair * (len(frames) - lag - 1) // max(1, count - 1) for pair in range(count)]
    differences = energy = 0.0
    for start in starts:
        first, second = (_detail(frames[[frame]]) for frame in (start, start + lag))
        differences += float((first - second).square().mean())
        energy += float((first.square() + second.square()).mean())
    return differences / energy if energy else 0.0


def _detail(picture: torch.Tensor) -> torch.Tensor:
    grey = picture.float().mean(1, keepdim=True)
    height, width = grey.shape[2:]
    means = F.interpolate(F.avg_pool2d(grey, BLOCK, ceil_mode=True), scale_factor=BLOCK)
    return grey - means[:, :, :height, :width]
