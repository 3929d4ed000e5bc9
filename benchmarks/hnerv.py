"""HNeRV (Chen et al., CVPR 2023) as its authors train it: the recipe that the fit is compared with.

Network, sizes, initialisation, loss and schedule follow train_nerv_all.py and model_all.py of the published code, with
the options of its README but another size and number of epochs:

    --conv_type convnext pshuffel --act gelu --norm none --loss L2 --enc_dim 64_16 --ks 0_1_5 --reduce 1.2
    --lower_width 12 -b 2 --lr 0.001 (cosine, 10 % warm-up)

What the published code itself reaches on 66 frames of Big Buck Bunny at 320x160 is in `hnerv_published.json`.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.encoding.model.encoder_network import Encoder
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.shape_solver import choose_strides
from nvcodec.metrics import psnr

EMBEDDING_CHANNELS, MIN_CHANNELS, CHANNEL_SHRINK, MAX_KERNEL = 16, 12, 1.2, 5
BATCH, PEAK_LR, WARMUP, INITIAL_LR_FACTOR = 2, 1e-3, 0.1, 0.1


def network_shape(size: int, width: int, height: int, frames: int) -> NetworkShape:
    """Return the network for ``--modelsize``: the width that solves the published quadratic equation, rounded down.

    Like the published one, the equation leaves out biases and head and counts the first convolution nine times; the
    number of stored parameters is that of the shape.
    """
    strides = choose_strides(width, height)
    kernels = tuple(min(1 + 2 * block, MAX_KERNEL) for block in range(len(strides)))
    cells = width * height / math.prod(strides) ** 2
    squared = sum(
        CHANNEL_SHRINK ** -(2 * block + 1) * stride**2 * kernel**2
        for block, (stride, kernel) in enumerate(zip(strides, kernels, strict=True))
    )
    stem = int(np.roots([squared, EMBEDDING_CHANNELS * 9, EMBEDDING_CHANNELS * cells * frames - size]).max())
    channels: list[int] = []
    for _ in strides:
        channels.append(max(round((channels or [stem])[-1] / CHANNEL_SHRINK), MIN_CHANNELS))
    return NetworkShape(width, height, EMBEDDING_CHANNELS, stem, tuple(channels), strides, kernels)


class HNeRV(nn.Module):
    """The autoencoder: maps pictures [batch, 3, height, width], 0 to 1, to their reconstructions."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.encoder = Encoder(shape)
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.stem = nn.Conv2d(shape.embedding_channels, shape.stem, 1)
        inputs = (shape.stem, *shape.channels[:-1])
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o * s * s, k, padding=k // 2), nn.PixelShuffle(s), nn.GELU())
            for i, o, s, k in zip(inputs, shape.channels, shape.strides, shape.kernels, strict=True)
        )
        self.head = nn.Conv2d(shape.channels[-1], 3, 3, padding=1)
        self.shape = shape

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.stem(self.encoder(pictures)[0]))
        for block in self.blocks:
            x = block(x)
        decoded = torch.tanh(self.head(x)) * 0.5 + 0.5
        return decoded[:, :, : self.shape.height, : self.shape.width]


@torch.no_grad()
def quality(network: HNeRV, frames: torch.Tensor) -> float:
    """Return the mean RGB PSNR in dB of the 8-bit reconstructions of ``frames``, uint8 [frames, 3, height, width]."""
    return statistics.mean(
        psnr((network(frame[None].float() / 255)[0] * 255).round().clamp(0, 255), frame) for frame in frames
    )


def learning_rate(share: float) -> float:
    """Return the learning rate after ``share`` of the fit."""
    if share < WARMUP:
        return PEAK_LR * (INITIAL_LR_FACTOR + (1 - INITIAL_LR_FACTOR) * share / WARMUP)
    return PEAK_LR * 0.5 * (math.cos(math.pi * (share - WARMUP) / (1 - WARMUP)) + 1)


def fit(frames: torch.Tensor, shape: NetworkShape, epochs: int, watch: Callable[[int, float, HNeRV], None]) -> HNeRV:
    """Fit a network in float, by the recipe.

    Args:
        frames: uint8 [frames, 3, height, width].
        shape: see :func:`network_shape`.
        epochs: passes over the frames, two at a time; of an odd number one frame is left out of each epoch.
        watch: called after each epoch with its number, the seconds of fitting so far, and the network.
    """
    torch.manual_seed(1)
    network = HNeRV(shape).to(memory_format=torch.channels_last)  # faster; the published code does without
    optimiser = torch.optim.Adam(network.parameters())
    seconds = 0.0
    steps_per_epoch = len(frames) // BATCH
    for epoch in range(epochs):
        start = time.perf_counter()
        order = torch.randperm(len(frames))
        for step in range(steps_per_epoch):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            pictures = (frames[chosen].float() / 255).contiguous(memory_format=torch.channels_last)
            optimiser.param_groups[0]["lr"] = learning_rate((epoch + step / steps_per_epoch) / epochs)
            loss = F.mse_loss(network(pictures), pictures)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        seconds += time.perf_counter() - start
        watch(epoch + 1, seconds, network)
    return network
