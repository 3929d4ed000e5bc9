"""HNeRV's encoder (Chen et al., CVPR 2023): ConvNeXt stages that shrink a picture to its embedding.

For the skip connection, 1x1 convolutions read the features of the scales above the last. The encoder is used only while
fitting: the stream carries its outputs, not the encoder.
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
    """The block of Liu et al., CVPR 2022: 7x7 depthwise, norm, 1x1 to four times the width, GELU, 1x1, scale, add."""

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
    """Maps pictures [batch, 3, height, width], 0 to 1, to embeddings and to features for the skip connection.

    Stage i shrinks both sides by ``strides[i]``. All stages have 64 channels, except the last, which has C0.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        channels = 3
        for number, stride in enumerate(shape.strides):
            last = number == len(shape.strides) - 1
            out = shape.embedding_channels if last else WIDTH
            shrink = nn.Conv2d(channels, out, stride, stride)
            # With a single stage, a normalised embedding would lose what distinguishes the frames.
            around = [shrink] if last else [shrink, ChannelNorm(out)]
            if number:
                around = [ChannelNorm(channels), shrink]
            self.stages.append(nn.Sequential(*around, ConvNeXtBlock(out)))
            channels = out
        skip = shape.skip
        self.taps = nn.ModuleList(nn.Conv2d(WIDTH, skip.width, 1) for _ in range(skip.scales)) if skip else ()
        self.coded_size = shape.coded_size

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return embeddings [batch, C0, h0, w0] and features [batch, width, height, width], smallest scale first."""
        height, width = self.coded_size
        rows, columns = height - picture.shape[2], width - picture.shape[3]
        x = F.pad(picture, (0, columns, 0, rows), mode="replicate") if rows or columns else picture
        scales = []
        for stage in self.stages:
            x = stage(x)
            scales.append(x)
        return x, [tap(scale) for tap, scale in zip(self.taps, scales[-2::-1], strict=False)]
