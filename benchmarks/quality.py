"""What a float network's pictures are worth."""

from __future__ import annotations

import statistics

import torch

from nvcodec.fit.loop import Fitted
from nvcodec.metrics import psnr


@torch.no_grad()
def float_psnr(fitted: Fitted, frames: torch.Tensor) -> float:
    """Mean RGB PSNR, dB, of the network with nothing rounded but its 8-bit pictures."""
    with fitted.decoder.in_float():
        pictures = [(fitted.picture(frame)[0] * 255).round().clamp(0, 255).byte().cpu() for frame in range(len(frames))]
    return statistics.mean(psnr(a, b) for a, b in zip(pictures, frames, strict=True))
