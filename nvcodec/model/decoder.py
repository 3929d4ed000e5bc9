"""The decoder of Table 3: a 1x1 stem, blocks of convolution, pixel shuffle and GELU, a 3x3 head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.model.shape import HEAD_KERNEL, NetworkShape

HEAD_UNIT = 256 / 255  # the head predicts (x - 1/2) * 255/256, so that its integer step is a power of two


def ste(value: torch.Tensor, quantised: torch.Tensor) -> torch.Tensor:
    """``quantised`` going forward, the gradient of ``value`` going back (straight-through estimator)."""
    return value + (quantised - value).detach()


class Conv(nn.Conv2d):
    """A stride-1 convolution with zeros around, as many pixels out as in.

    ``step`` is None while fitting in float. With quantisation in the loop it holds the weights' step, [out, 1, 1, 1],
    and the forward pass sees weights rounded to multiples of it within +-127.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2)
        self.step: torch.Tensor | None = None

    def integers(self) -> torch.Tensor:
        """The weights in steps, rounded: float32 [out, in, k, k] in -127 to 127."""
        assert self.step is not None
        return (self.weight / self.step).round_().clamp_(-127, 127)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        if self.step is not None:
            weight = ste(weight, self.integers() * self.step)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class Decoder(nn.Module):
    """Embeddings to pictures.

    Args:
        shape: the tensors' sizes.

    ``embedding_step`` is None while fitting in float. With quantisation in the loop the embeddings are rounded to
    multiples of it within +-127.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.stem = Conv(shape.embedding, shape.stem, 1)
        inputs = (shape.stem, *shape.channels[:-1])
        self.blocks = nn.ModuleList(
            Conv(i, o * s * s, k)
            for i, o, s, k in zip(inputs, shape.channels, shape.strides, shape.kernels, strict=True)
        )
        self.head = Conv(shape.channels[-1], 3, HEAD_KERNEL)
        self.embedding_step: float | None = None

    @property
    def convs(self) -> list[Conv]:
        """All convolutions in the order of computation."""
        return [self.stem, *self.blocks, self.head]

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Pictures [batch, 3, height, width], about 0 to 1, of embeddings [batch, C0, h0, w0]."""
        if self.embedding_step is not None:
            rounded = (embedding / self.embedding_step).round().clamp(-127, 127) * self.embedding_step
            embedding = ste(embedding, rounded)
        x = F.gelu(self.stem(embedding))
        for block, stride in zip(self.blocks, self.shape.strides, strict=True):
            # GELU before the shuffle yields the same, and the integer decoder wants it in this order.
            x = F.pixel_shuffle(F.gelu(block(x)), stride)
        picture: torch.Tensor = self.head(x) * HEAD_UNIT + 0.5
        return picture[:, :, : self.shape.height, : self.shape.width]
