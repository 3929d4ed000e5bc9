"""HNeRV's encoder (Chen et al., CVPR 2023): ConvNeXt stages that shrink a picture to its embedding.

Used while fitting only; the stream carries the embeddings, not the encoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.model.shape import NetworkShape

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
    """Pictures [batch, 3, coded height, coded width] in 0 to 1 to embeddings [batch, C0, h0, w0]."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for place, stride in enumerate(shape.strides):
            last = place == len(shape.strides) - 1
            out = shape.embedding if last else WIDTH
            if place:
                layers.append(ChannelNorm(channels))
            layers.append(nn.Conv2d(channels, out, stride, stride))
            if not place:
                layers.append(ChannelNorm(out))
            layers.append(ConvNeXtBlock(out))
            channels = out
        self.layers = nn.Sequential(*layers)
        self.coded = shape.coded

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        height, width = self.coded
        rows, columns = height - picture.shape[2], width - picture.shape[3]
        padded = F.pad(picture, (0, columns, 0, rows), mode="replicate") if rows or columns else picture
        embedding: torch.Tensor = self.layers(padded)
        return embedding
