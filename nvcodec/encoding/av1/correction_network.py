"""The network above an AV1 stream: a few small convolutions whose result is added to the picture below."""

from __future__ import annotations

import dataclasses
import itertools
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.encoding.model.convolution import Conv, shared_group
from nvcodec.encoding.model.decoder_network import RoundedNetwork

KERNELS = (3, 1, 3)  # sides of the kernels: as good for its bytes as three of 3, and quicker
BORDER = sum(side // 2 for side in KERNELS)  # pixels around a picture that a network sees
LEVELS_PER_UNIT = 64.0  # of the network's input and output: 8 bits about 0 are -2 to 2
MID_GREY = 128.0  # level that the network sees as 0


@dataclasses.dataclass(frozen=True)
class CorrectionShape:
    """The size of a correction network.

    Attributes:
        hidden: channels between two convolutions.
    """

    hidden: int

    @property
    def channels(self) -> list[int]:
        """Channels before, between and after the convolutions."""
        return [3, *[self.hidden] * (len(KERNELS) - 1), 3]

    @property
    def weights(self) -> int:
        """Number of weights."""
        pairs = itertools.pairwise(self.channels)
        return sum(side**2 * before * after for side, (before, after) in zip(KERNELS, pairs, strict=True))

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return self.weights + sum(self.channels[1:])


class Correction(RoundedNetwork):
    """Maps pictures below to what is added to them.

    Convolutions with ReLU between them. No padding: each convolution takes one pixel off each side.

    Args:
        shape: see :class:`CorrectionShape`.
    """

    def __init__(self, shape: CorrectionShape) -> None:
        super().__init__()
        self.shape = shape
        pairs = itertools.pairwise(shape.channels)
        self.trunk = nn.ModuleList(
            Conv(before, after, side, shared_group(after)) for side, (before, after) in zip(KERNELS, pairs, strict=True)
        )
        self._grids = nn.ModuleDict()
        for conv in self.convs():
            conv.padding = (0, 0)
        last = cast(Conv, self.trunk[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(torch.Tensor, last.bias))

    @property
    def latent_readers(self) -> list[Conv]:
        return []

    def forward(self, below: torch.Tensor) -> torch.Tensor:
        """Return what to add, in levels.

        Args:
            below: pictures below in levels, [batch, 3, height + 2 * border, width + 2 * border].
        """
        x = (below - MID_GREY) / LEVELS_PER_UNIT
        for conv in self.trunk[:-1]:
            x = F.relu(conv(x))
        correction: torch.Tensor = self.trunk[-1](x)
        return correction * LEVELS_PER_UNIT
