"""DNeRV (Zhao et al., *DNeRV: Modeling Inherent Dynamics via Difference Neural Representation for Videos*, CVPR 2023).

HNeRV with a second stream: a second encoder maps a frame's differences from its neighbours to a second, larger
embedding. In the decoder one convolution and one block map that embedding to features behind the third block from the
end, where the Collaborative Content Unit, a gate, joins both streams.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from baselines.shapes import nearest
from nvcodec.encoding.fit.fit import Fit, as_float
from nvcodec.encoding.model.convolution import Conv, shared_group
from nvcodec.encoding.model.decoder_network import MID_GREY, Decoder, ReferenceLayer, head_unit
from nvcodec.encoding.model.encoder_network import WIDTH, ChannelNorm, ConvNeXtBlock, Encoder
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.shape_solver import CHANNEL_SHRINK, EMBEDDING_VALUES, PUBLISHED_KERNELS, choose_strides

CHANNELS = 2  # of the embedding of differences
KERNEL = 3  # side of the kernels of its block and of the unit
JOIN_FROM_END = 3  # the streams join behind the third block from the end


@dataclasses.dataclass(frozen=True)
class DNeRVShape(NetworkShape):
    """HNeRV's shape, which also determines that of the second stream."""

    @property
    def join_block(self) -> int:
        """The block behind which the streams join."""
        return max(0, len(self.strides) - JOIN_FROM_END)

    @property
    def join_channels(self) -> int:
        """Channels of that block's input, and of the input of the second stream's block."""
        return (self.stem, *self.channels)[self.join_block]

    @property
    def difference_size(self) -> tuple[int, int]:
        """Height and width of the embedding of differences: those of that block's input."""
        before = math.prod(self.strides[: self.join_block])
        return self.embedding_size[0] * before, self.embedding_size[1] * before

    @property
    def decoder_parameters(self) -> int:
        joined, stride = self.channels[self.join_block], self.strides[self.join_block]
        stem = (CHANNELS + 1) * self.join_channels
        block = (KERNEL**2 * self.join_channels + 1) * joined * stride**2
        unit = (KERNEL**2 * 2 * joined + 1) * 2 * joined
        return super().decoder_parameters + stem + block + unit

    @property
    def latent_planes(self) -> list[tuple[int, int, int]]:
        """Channels, height and width of each latent that is stored per frame."""
        return [(self.embedding_channels, *self.embedding_size), (CHANNELS, *self.difference_size)]

    @property
    def latents_per_frame(self) -> int:
        return super().latents_per_frame + CHANNELS * math.prod(self.difference_size)


def solve(size: int, width: int, height: int, frames: int) -> DNeRVShape:
    """Return the network with ``size`` parameters for ``frames`` pictures.

    Strides, embedding and the rule for the channels are this codec's; the kernels are the published ones.

    Raises:
        UsageError: no network is so small.
    """
    strides = choose_strides(width, height)

    def build(stem: float, extra: int) -> DNeRVShape:
        channels = [max(3, round(stem / CHANNEL_SHRINK ** (block + 1))) for block in range(len(strides))]
        channels[-1] = max(3, channels[-1] + extra)
        kernels = PUBLISHED_KERNELS[: len(strides)]
        shape = DNeRVShape(width, height, 1, round(stem), tuple(channels), strides, kernels)
        cells = math.prod(shape.embedding_size)
        return dataclasses.replace(shape, embedding_channels=max(1, min(16, round(EMBEDDING_VALUES / cells))))

    def shapes() -> Iterator[DNeRVShape]:
        # The stem grows by little, because the channels round one at a time; ``extra`` makes for finer sizes.
        for stem in itertools.count(3, 0.125):
            candidates = [build(stem, extra) for extra in (0, 1, -1, 2, -2)]
            yield from candidates
            if candidates[0].parameters(frames) > 1.1 * size:
                return

    return nearest(size, frames, shapes())


class DNeRV(Decoder):
    """Maps both embeddings, [batch, C0, h0, w0] and [batch, 2, h1, w1], to pictures."""

    def __init__(self, shape: DNeRVShape) -> None:
        super().__init__(shape)
        joined, stride = shape.channels[shape.join_block], shape.strides[shape.join_block]
        self.join_block, self.stride = shape.join_block, stride
        self.difference_stem = Conv(CHANNELS, shape.join_channels, 1)
        self.difference_block = Conv(shape.join_channels, joined * stride**2, KERNEL, stride**2)
        # The paper's tanh(a * x + b * y) and sigmoid(c * x + d * y) as one convolution of x and y, concatenated.
        self.unit = Conv(2 * joined, 2 * joined, KERNEL, shared_group(joined))

    @property
    def latent_readers(self) -> list[Conv]:
        """The two stems."""
        return [self.stem, self.difference_stem]

    def forward(
        self, latents: Sequence[torch.Tensor], noise: Sequence[torch.Tensor], frames: Sequence[int] = ()
    ) -> torch.Tensor:
        embedding, difference = self.rounded(latents)
        y = F.pixel_shuffle(F.gelu(self.difference_block(self.difference_stem(difference))), self.stride)
        x = F.gelu(self.stem(embedding))
        for number, (block, stride) in enumerate(zip(self.blocks, self.shape.strides, strict=True)):
            x = F.pixel_shuffle(F.gelu(block(x)), stride)
            if number == self.join_block:
                x = self.join(x, y)
        picture: torch.Tensor = self.head(x) * head_unit(8)
        return picture[:, :, : self.shape.height, : self.shape.width] + MID_GREY

    def join(self, content: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
        """Join the features of both streams, all of one shape, by the Collaborative Content Unit."""
        proposed, gate = self.unit(torch.cat([content, difference], 1)).chunk(2, 1)
        return torch.lerp(content, torch.tanh(proposed), torch.sigmoid(gate))


class Encoders(nn.Module):
    """HNeRV's encoder for the content; for the differences, the same stages of 64 channels and a 1x1 convolution."""

    def __init__(self, shape: DNeRVShape) -> None:
        super().__init__()
        self.content = Encoder(shape)
        stages: list[nn.Module] = []
        channels = 6
        for stride in shape.strides[shape.join_block :]:
            stages += [nn.Conv2d(channels, WIDTH, stride, stride), ChannelNorm(WIDTH), ConvNeXtBlock(WIDTH)]
            channels = WIDTH
        self.difference = nn.Sequential(*stages, nn.Conv2d(WIDTH, CHANNELS, 1))
        self.coded_size = shape.coded_size

    def forward(self, before: torch.Tensor, picture: torch.Tensor, after: torch.Tensor) -> list[torch.Tensor]:
        """Return both embeddings of ``picture`` [batch, 3, height, width], which has these neighbours."""
        rows, columns = self.coded_size[0] - picture.shape[2], self.coded_size[1] - picture.shape[3]
        differences = F.pad(torch.cat([picture - before, after - picture], 1), (0, columns, 0, rows))
        return [self.content(picture)[0], self.difference(differences)]


class DNeRVFit(Fit):
    """A fit of DNeRV; the first and last frame are their own neighbours."""

    def build(self, reference: ReferenceLayer | None) -> tuple[Encoder, Decoder]:
        shape = cast(DNeRVShape, self.shape)
        return cast(Encoder, Encoders(shape)), DNeRV(shape)  # the fit needs no more of an encoder

    def analyse(self, pictures: torch.Tensor, frames: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        last = len(self.frames) - 1
        before, after = (
            as_float(self.frames[[min(last, max(0, frame + step)) for frame in frames]].to(self.device))
            for step in (-1, 1)
        )
        return self.encoder(before, pictures, after), []
