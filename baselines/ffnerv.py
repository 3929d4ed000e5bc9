"""FFNeRV (Lee et al., *FFNeRV: Flow-Guided Frame-Wise Neural Representations for Videos*, ACM MM 2023).

There is no encoder: the input consists of grids of learned values for some times of the clip, each grid with its own
resolution in time. From a frame's features the network predicts an *independent* frame, and the flows and weights with
which the independent frames of its neighbours are warped and summed to an *aggregated* one. A second pair of weights
blends both.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from baselines.shapes import nearest
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import MID_GREY, Decoder, ReferenceLayer, RoundedNetwork
from nvcodec.encoding.model.encoder_network import Encoder
from nvcodec.encoding.model.feature_grid import FeatureGrid
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.shape_solver import EMBEDDING_SIZE_COST, PADDING_COST

NEIGHBOURS = (-2, -1, 1, 2)  # frames whose independent frames are warped
GRID_CELLS = 144  # 9x16
LAST_STRIDES = (2, 2)  # of the last blocks; flows have a quarter of the picture's height and width
KERNEL = 3
GROUPS = 8  # of a compact block's first convolution
EXPANSION = 8  # channels behind the first block per channel of the grids
MAX_CHANNELS = 1024  # behind the first block, for the solver
SIDE_WEIGHT = 0.1  # of the losses of the independent and of the aggregated frame


@dataclasses.dataclass(frozen=True)
class FFNeRVShape(NetworkShape):
    """The sizes of the network's tensors; without latents, ``embedding_channels`` and ``stem`` are 0.

    Attributes:
        frames: number of frames in the clip.
        grid_channels: channels of each grid.
    """

    frames: int = 1
    grid_channels: int = 1

    @property
    def latent_planes(self) -> list[tuple[int, int, int]]:
        """None: nothing is stored per frame."""
        return []

    @property
    def feature_grid_sizes(self) -> dict[int, tuple[int, int, int, int]]:
        """Knots, channels, height and width of each grid: one has a knot for every second frame, one for each."""
        knots = (-(-self.frames // 2), self.frames)
        return {number: (count, self.grid_channels, *self.embedding_size) for number, count in enumerate(knots)}

    @property
    def flow_block(self) -> int:
        """The block behind which flows and weights are predicted."""
        return len(self.strides) - len(LAST_STRIDES) - 1

    @property
    def decoder_parameters(self) -> int:
        grids = self.feature_grid_sizes.values()
        first = self.channels[0] * self.strides[0] ** 2
        total = sum(math.prod(size) for size in grids)
        total += (KERNEL**2 * sum(size[1] for size in grids) + 1) * first
        for channels, after, stride in zip(self.channels, self.channels[1:], self.strides[1:], strict=False):
            out = after * stride**2
            total += (KERNEL**2 * channels // GROUPS + 1 + out + 1) * out
        flows = (self.channels[self.flow_block] + 1) * 3 * len(NEIGHBOURS)
        return total + flows + (self.channels[-1] + 1) * 5


def solve(size: int, width: int, height: int, frames: int) -> FFNeRVShape:
    """Return the network with ``size`` parameters for ``frames`` pictures, about as wide for its grids as published.

    Raises:
        UsageError: no network is so small.
    """
    strides = choose_strides(width, height)

    def build(first: int, grid_channels: int) -> FFNeRVShape:
        # Half as many channels after each block, in whole groups.
        channels = tuple(GROUPS * max(1, round(first / 2**block / GROUPS)) for block in range(len(strides)))
        kernels = (KERNEL,) * len(strides)
        return FFNeRVShape(width, height, 0, 0, channels, strides, kernels, frames=frames, grid_channels=grid_channels)

    def shapes() -> Iterator[FFNeRVShape]:
        for first in range(GROUPS, MAX_CHANNELS, GROUPS):
            one, two = (build(first, channels).decoder_parameters for channels in (1, 2))
            yield build(first, 1 + max(0, round((size - one) / (two - one))))

    def disproportion(shape: FFNeRVShape) -> float:
        channels = sum(grid[1] for grid in shape.feature_grid_sizes.values())
        return abs(math.log(shape.channels[0] / (EXPANSION * channels)))

    return nearest(size, frames, shapes(), disproportion)


def choose_strides(width: int, height: int) -> tuple[int, ...]:
    """Return strides for a picture: little padding, grids near 9x16, and 2 for the last two blocks."""

    def cost(strides: tuple[int, ...]) -> tuple[float, int]:
        total = math.prod(strides)
        cells = -(-height // total) * -(-width // total)
        padding = cells * total * total / (width * height) - 1
        return PADDING_COST * padding + EMBEDDING_SIZE_COST * abs(math.log2(cells / GRID_CELLS)), len(strides)

    firsts = itertools.chain.from_iterable(
        itertools.combinations_with_replacement((5, 4, 3, 2), blocks) for blocks in (1, 2, 3)
    )
    return min(((*first, *LAST_STRIDES) for first in firsts), key=cost)


class TemporalGrid(FeatureGrid):
    """A grid whose ``merge`` is its part of the first block's 3x3 convolution.

    The convolution of all grids, concatenated, is the sum of a convolution of each.

    Args:
        size: knots, channels, height and width.
        frames: number of frames in the clip.
        channels: output channels of the block before its pixel shuffle.
        group: consecutive output channels that become the pixels of one channel.
        bias: whether the convolution has a bias; one grid's is enough.
    """

    def __init__(self, size: tuple[int, int, int, int], frames: int, channels: int, group: int, bias: bool) -> None:
        super().__init__(size, frames, channels)
        nn.init.xavier_uniform_(self.values)
        self.merge = Conv(size[1], channels, KERNEL, group)
        if not bias:
            self.merge.register_parameter("bias", None)


class GroupedConv(Conv):
    """A convolution in GROUPS groups of channels."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, group: int) -> None:
        super().__init__(channels_in // GROUPS, channels_out, kernel, group)
        self.groups = GROUPS


class CompactBlock(nn.Module):
    """A grouped 3x3 convolution, a 1x1 one, pixel shuffle, GELU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        out = channels_out * stride**2
        self.grouped = GroupedConv(channels_in, out, KERNEL, stride**2)
        self.pointwise = Conv(out, out, 1, stride**2)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(F.gelu(self.pointwise(self.grouped(x))), self.stride)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the network predicts from a frame's own features.

    Attributes:
        independent: the independent frame [batch, 3, height, width], about 0 to 1.
        flows: [batch, neighbours, 2, h, w], x and y in pixels of the smaller picture.
        weights: of the warped neighbours, before the softmax, [batch, neighbours, h, w].
        blend: weights of the independent and the aggregated frame, before the softmax, [batch, 2, height, width].
    """

    independent: torch.Tensor
    flows: torch.Tensor
    weights: torch.Tensor
    blend: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Views:
    """The three pictures of a frame, each [batch, 3, height, width]; ``final`` is the one that is shown."""

    independent: torch.Tensor
    aggregated: torch.Tensor
    final: torch.Tensor


class FFNeRV(RoundedNetwork):
    """Maps times to pictures.

    Attributes:
        independents: the independent frames of the clip, float16 [frames + 1, 3, height, width], from which the
            neighbours are taken; the last one, black, stands for all outside the clip. While fitting, each comes from
            the last training step that saw its frame. None before :meth:`remember`.
    """

    def __init__(self, shape: FFNeRVShape) -> None:
        super().__init__()
        self.shape = shape
        stride, first = shape.strides[0], shape.channels[0]
        self._grids = nn.ModuleDict(
            {
                str(number): TemporalGrid(size, shape.frames, first * stride**2, stride**2, not number)
                for number, size in shape.feature_grid_sizes.items()
            }
        )
        self.blocks = nn.ModuleList(
            CompactBlock(before, after, stride)
            for before, after, stride in zip(shape.channels, shape.channels[1:], shape.strides[1:], strict=False)
        )
        self.flow_head = Conv(shape.channels[shape.flow_block], 3 * len(NEIGHBOURS), 1)
        self.head = Conv(shape.channels[-1], 5, 1)
        self.independents: torch.Tensor | None = None

    @property
    def latent_readers(self) -> list[Conv]:
        """None: there are no latents."""
        return []

    def predict(self, times: Sequence[int | Fraction]) -> Prediction:
        """Return what the features at ``times`` yield; times are in frames and may lie between two."""
        shape, count = self.shape, len(NEIGHBOURS)
        parts = [grid(times) for grid in self.grids.values()]
        x = F.pixel_shuffle(F.gelu(torch.stack(parts).sum(0)), shape.strides[0])
        for number in range(len(shape.strides)):
            if number:
                x = self.blocks[number - 1](x)
            if number == shape.flow_block:
                motion = self.flow_head(x).float()
        out = self.head(x)[:, :, : shape.height, : shape.width].float()
        flows = motion[:, : 2 * count].unflatten(1, (count, 2))
        return Prediction(out[:, :3] + MID_GREY, flows, motion[:, 2 * count :], out[:, 3:])

    @torch.no_grad()
    def remember(self) -> None:
        """Compute the independent frames of the whole clip."""
        frames = [self.predict([frame]).independent for frame in range(self.shape.frames)]
        self.independents = torch.cat([*frames, torch.zeros_like(frames[0])]).half()

    def views(self, times: Sequence[int | Fraction]) -> Views:
        """Return the pictures at ``times``, in frames. Between two frames, the neighbours are those of the first."""
        assert self.independents is not None, "remember() comes first"
        prediction, frames, shape = self.predict(times), self.shape.frames, self.shape
        numbers = [[math.floor(time) + offset for offset in NEIGHBOURS] for time in times]
        numbers = [[number if 0 <= number < frames else frames for number in row] for row in numbers]
        neighbours = self.independents[torch.tensor(numbers)].float()
        warped = warp(neighbours.flatten(0, 1), self.enlarged(prediction.flows.flatten(0, 1))).view_as(neighbours)
        scale = math.prod(LAST_STRIDES)
        weights = prediction.weights.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        weights = weights[:, :, : shape.height, : shape.width].softmax(1)
        aggregated = (weights[:, :, None] * warped).sum(1)
        blend = prediction.blend.softmax(1)
        final = blend[:, :1] * prediction.independent + blend[:, 1:] * aggregated
        return Views(prediction.independent, aggregated, final)

    def enlarged(self, flows: torch.Tensor) -> torch.Tensor:
        """Scale flows [batch, 2, h, w] from a quarter of the picture's height and width to the whole picture."""
        scale = math.prod(LAST_STRIDES)
        large = scale * F.interpolate(flows, scale_factor=scale, mode="bilinear", align_corners=False)
        return large[:, :, : self.shape.height, : self.shape.width]

    def forward(
        self, latents: Sequence[torch.Tensor], noise: Sequence[torch.Tensor], frames: Sequence[int | Fraction] = ()
    ) -> torch.Tensor:
        """Return the pictures for ``frames``, which may lie between two; there are no latents and no noise."""
        if self.independents is None:
            self.remember()
        return self.views(frames).final


def warp(pictures: torch.Tensor, flows: torch.Tensor) -> torch.Tensor:
    """Return ``pictures``, sampled where the flows point; outside a picture its edge continues.

    Args:
        pictures: [batch, 3, height, width].
        flows: [batch, 2, height, width], x and y in pixels.
    """
    height, width = pictures.shape[2:]
    x = torch.arange(width, device=flows.device) + flows[:, 0]
    y = torch.arange(height, device=flows.device)[:, None] + flows[:, 1]
    positions = torch.stack([2 * x / max(1, width - 1) - 1, 2 * y / max(1, height - 1) - 1], -1)
    return F.grid_sample(pictures, positions, "bilinear", "border", align_corners=True)


class FFNeRVFit(Fit):
    """A fit of FFNeRV. Independent and aggregated frames have their own losses beside that of the final one.

    Attributes:
        last_views: the pictures of the last training step.
    """

    last_views: Views

    def build(self, reference: ReferenceLayer | None) -> tuple[Encoder, Decoder]:
        halves = nn.Identity(), FFNeRV(cast(FFNeRVShape, self.shape))
        return cast("tuple[Encoder, Decoder]", halves)  # the fit only needs what a RoundedNetwork has

    def analyse(self, pictures: torch.Tensor, frames: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [], []

    def reconstruct(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        decoder = cast(FFNeRV, self.decoder)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bfloat16):
            if decoder.independents is None:
                decoder.remember()
            self.last_views = decoder.views(frames)
        assert decoder.independents is not None
        decoder.independents[frames] = self.last_views.independent.detach().half()
        return self.last_views.final, []

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        loss, error = super().objective(pictures, frames)
        for picture in (self.last_views.independent, self.last_views.aggregated):
            loss = loss + SIDE_WEIGHT * self.loss(picture, pictures, frames)
        return loss, error
