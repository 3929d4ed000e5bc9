"""HNeRV's encoder (Chen et al., CVPR 2023): ConvNeXt stages that shrink a picture to its embedding.

For the skip connection a 1x1 convolution takes the features of the last scales but one along. Used while fitting
only; the stream carries what comes of it, not the encoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.encoding.model.network_shape import NetworkShape

WIDTH = 64


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of [batch, channels, height, width]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        last = x.permute(0, 2, 3, 1)
        return F.layer_norm(last, self.weight.shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Liu et al., CVPR 2022: 7x7 depthwise, norm, 1x1 to four times the width, GELU, 1x1 back, scaled, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = ChannelNorm(channels)
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.project = nn.Conv2d(4 * channels, channels, 1)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 1e-6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.scale * self.project(F.gelu(self.expand(self.norm(self.depthwise(x)))))


class Encoder(nn.Module):
    """Pictures [batch, 3, height, width] in 0 to 1 to embeddings and to features for the skip connection.

    Stage i shrinks both sides by ``strides[i]``; all have 64 channels but the last, which has C0.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        channels = 3
        for place, stride in enumerate(shape.strides):
            last = place == len(shape.strides) - 1
            out = shape.embedding if last else WIDTH
            shrink = nn.Conv2d(channels, out, stride, stride)
            # The normalised embedding of a lone stage would have lost what tells frames apart.
            around = [shrink] if last else [shrink, ChannelNorm(out)]
            if place:
                around = [ChannelNorm(channels), shrink]
            self.stages.append(nn.Sequential(*around, ConvNeXtBlock(out)))
            channels = out
        skip = shape.skip
        self.taps = nn.ModuleList(nn.Conv2d(WIDTH, skip.width, 1) for _ in range(skip.scales)) if skip else ()
        self.coded = shape.coded

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Embeddings [batch, C0, h0, w0] and, the smallest scale first, features [batch, width, height, width]."""
        height, width = self.coded
        rows, columns = height - picture.shape[2], width - picture.shape[3]
        x = F.pad(picture, (0, columns, 0, rows), mode="replicate") if rows or columns else picture
        scales = []
        for stage in self.stages:
            x = stage(x)
            scales.append(x)
        return x, [tap(scale) for tap, scale in zip(self.taps, scales[-2::-1], strict=False)]
