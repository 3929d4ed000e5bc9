"""The skip connection (paper, section 1.2 and Table 1): encoder features that reach the decoder.

At each of the smallest scales above the embedding, an additive coupling layer maps the encoder's features x (one
channel x1 and the others x2) to

    f = x1 + phi(x2)      one channel, transmitted for every frame
    z = x2 + eta(f)       trained towards a normal distribution, not transmitted

and the decoder maps them back, with z from the stream's generator:

    x2 = z - eta(f),  x1 = f - phi(x2)

phi and eta are dense blocks as in IRN (Xiao et al., ECCV 2020). The direct connection has only f and no
network.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.encoding.model.convolution import Conv, shared_group
from nvcodec.encoding.model.network_shape import DENSE_CONVS, NetworkShape, SkipShape
from nvcodec.format.arithmetic.functions import NORMAL_SHIFT
from nvcodec.format.arithmetic.noise import noise
from nvcodec.format.operations import Noise

LEAKY_SLOPE = 0.2


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which reads the block's input and the outputs of all earlier ones.

    LeakyReLU 0.2 follows the first four. The fifth starts at zero, so a new coupling layer is the identity.
    Tensors are [batch, channels, height, width].
    """

    def __init__(self, channels_in: int, channels_out: int, growth: int) -> None:
        super().__init__()
        widths = [growth] * (DENSE_CONVS - 1) + [channels_out]
        self._convs = nn.ModuleList(
            Conv(channels_in + i * growth, width, 3, shared_group(width)) for i, width in enumerate(widths)
        )
        for parameter in self._convs[-1].parameters():
            nn.init.zeros_(parameter)

    @property
    def convs(self) -> list[Conv]:
        """The five convolutions, in order."""
        return cast("list[Conv]", list(self._convs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *hidden, last = self.convs
        for conv in hidden:
            x = torch.cat([x, F.leaky_relu(conv(x), LEAKY_SLOPE)], 1)
        y: torch.Tensor = last(x)
        return y


class Coupling(nn.Module):
    """The additive coupling layer: features x [batch, width, height, width] to f (one channel) and z (the others)."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.eta = DenseBlock(1, width - 1, growth)
        self.phi = DenseBlock(width - 1, 1, growth)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, rest = x[:, :1], x[:, 1:]
        f = first + self.phi(rest)
        return f, rest + self.eta(f)

    def inverse(self, f: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the features x that map to (f, z)."""
        rest = z - self.eta(f)
        return torch.cat([f - self.phi(rest), rest], 1)


class Skip(nn.Module):
    """The skip connection at one scale.

    Args:
        shape: see :class:`~nvcodec.encoding.model.network_shape.SkipShape`.
        channels: number of channels of the decoder's features at this scale.
    """

    def __init__(self, shape: SkipShape, channels: int) -> None:
        super().__init__()
        self.coupling = Coupling(shape.width, shape.growth) if shape.invertible else None
        self.merge = Conv(shape.width, channels, 1, shared_group(channels))

    def split(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return f and z (None if direct) for the encoder's features [batch, width, height, width]."""
        return (features, None) if self.coupling is None else self.coupling(features)

    def forward(self, f: torch.Tensor, z: torch.Tensor | None) -> torch.Tensor:
        """Return what is added to the decoder's features, [batch, channels, ...] at the resolution of f."""
        features = f
        if self.coupling is not None:
            assert z is not None
            features = self.coupling.inverse(f, z)
        added: torch.Tensor = self.merge(features)
        return added


def noise_operations(shape: NetworkShape) -> list[Noise]:
    """Return the operations that generate z, smallest scale first; none if the connection is not invertible."""
    skip = shape.skip
    if skip is None or not skip.invertible:
        return []
    return [
        Noise(skip.width - 1, height, width, scale, skip.z_gain, per_frame=0)
        for scale, (height, width) in enumerate(shape.skip_feature_sizes)
    ]


def sample_noise(shape: NetworkShape, seed: int) -> list[torch.Tensor]:
    """Return z as every decoder samples it: [1, width - 1, height, width] per scale."""
    return [
        torch.from_numpy(noise(op, seed, 0, 0, None).astype(np.float32)[None] / 2**NORMAL_SHIFT)
        for op in noise_operations(shape)
    ]


def abnormality(z: torch.Tensor) -> torch.Tensor:
    """Return how far z [batch, channels, height, width] is from N(0, 1), in nats per value: 0 for normal channels.

    This is the negative log-likelihood minus the entropy of a normal distribution of the same variance. The likelihood
    alone would be best at z = 0, and because an additive coupling preserves volume nothing would counteract that.
    """
    variance = z.var((0, 2, 3), correction=0) + 1e-6
    return 0.5 * (z.square().mean() - variance.log().mean() - 1)
