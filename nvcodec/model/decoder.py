"""The decoder (paper, section 1.1 and Table 3): stem, blocks of convolution, GELU and pixel shuffle, head, and skip."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.exact.kernels import resample
from nvcodec.model.conv import Conv, RepConv, ste
from nvcodec.model.shape import HEAD_KERNEL, NetworkShape
from nvcodec.model.skip import Skip

HEAD_UNIT = 256 / 255  # the head predicts (x - 1/2) * 255/256, so that its integer step is a power of two
LATENT_PEAK = 127


def latent_integers(latent: torch.Tensor, step: float) -> torch.Tensor:
    """What a file holds of ``latent``: multiples of ``step`` within +-127, still float32."""
    return (latent / step).round().clamp(-LATENT_PEAK, LATENT_PEAK)


class Decoder(nn.Module):
    """Latents to pictures.

    A frame's way, channels x height x width: the embedding C0 x h0 x w0; after the 1x1 stem Cinit x h0 x w0; in block
    i, at h x w, its convolution gives channels[i] * strides[i]^2 x h x w and the shuffle channels[i] x h * strides[i]
    x w * strides[i], to which the first blocks add what the skip connection has for them; after the 3x3 head 3 x coded
    height x coded width, cut to 3 x height x width.

    Args:
        shape: the tensors' sizes.
        rep: whether the blocks' convolutions are reparameterised while fitting (section 3.1).

    ``latent_steps`` is None while fitting in float. With quantisation in the loop the embedding and each f are
    rounded to multiples of their step within +-127.
    """

    def __init__(self, shape: NetworkShape, rep: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.stem = Conv(shape.embedding, shape.stem, 1)
        inputs = (shape.stem, *shape.channels[:-1])
        kind = RepConv if rep else Conv
        self.blocks = nn.ModuleList(
            kind(i, o * s * s, k, group=s * s)
            for i, o, s, k in zip(inputs, shape.channels, shape.strides, shape.kernels, strict=True)
        )
        self.head = Conv(shape.channels[-1], 3, HEAD_KERNEL)
        skip = shape.skip
        skips = [Skip(skip, channels) for channels in shape.channels[: skip.scales]] if skip else []
        self._skips = nn.ModuleList(skips)
        self.latent_steps: list[float] | None = None

    @property
    def trunk(self) -> list[Conv]:
        """The stem, the blocks' convolutions and the head."""
        return cast("list[Conv]", [self.stem, *self.blocks, self.head])

    @property
    def skips(self) -> list[Skip]:
        """The skip connection, scale by scale, the smallest first."""
        return cast("list[Skip]", list(self._skips))

    def convs(self) -> list[Conv]:
        """Every convolution."""
        return [module for module in self.modules() if isinstance(module, Conv)]

    def release(self) -> None:
        """End quantisation in the loop."""
        self.latent_steps = None
        for conv in self.convs():
            conv.step = None

    @contextlib.contextmanager
    def in_float(self) -> Iterator[None]:
        """Weights and latents are left unrounded meanwhile."""
        convs, steps = self.convs(), self.latent_steps
        conv_steps = [conv.step for conv in convs]
        self.release()
        try:
            yield
        finally:
            self.latent_steps = steps
            for conv, step in zip(convs, conv_steps, strict=True):
                conv.step = step

    def rounded(self, latents: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The latents as a decoder gets them, with the gradients of those given."""
        if self.latent_steps is None:
            return list(latents)
        return [
            ste(latent, latent_integers(latent, step) * step)
            for latent, step in zip(latents, self.latent_steps, strict=True)
        ]

    def forward(self, latents: Sequence[torch.Tensor], noise: Sequence[torch.Tensor]) -> torch.Tensor:
        """Pictures [batch, 3, height, width], about 0 to 1.

        Args:
            latents: the embedding [batch, C0, h0, w0] and, of each scale of the skip connection, the smallest first,
                f [batch, 1, height, width].
            noise: z of each scale, [batch or 1, width - 1, height, width]; empty where there is none.
        """
        embedding, *features = self.rounded(latents)
        x = F.gelu(self.stem(embedding))
        for place, (block, stride) in enumerate(zip(self.blocks, self.shape.strides, strict=True)):
            # GELU before the shuffle yields the same, and the integer decoder wants it in this order.
            x = F.pixel_shuffle(F.gelu(block(x)), stride)
            if place < len(self.skips):
                z = noise[place].expand(len(x), -1, -1, -1) if noise else None
                x = x + resample(self.skips[place](features[place], z), x.shape[2], x.shape[3])
        picture: torch.Tensor = self.head(x) * HEAD_UNIT + 0.5
        return picture[:, :, : self.shape.height, : self.shape.width]
