"""FFNeRV (Lee et al., *FFNeRV: Flow-Guided Frame-Wise Neural Representations for Videos*, ACM MM 2023).

No encoder: the input are grids of learned values for some times of the clip, as many resolutions in time as there are
grids. From a frame's own features the network makes an *independent* frame, and flows and weights with which the
independent frames of its neighbours are warped and summed to an *aggregated* one; a second pair of weights blends both.
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
from nvcodec.encoding.model.decoder_network import Decoder, ReferenceLayer, RoundedNetwork
from nvcodec.encoding.model.encoder_network import Encoder
from nvcodec.encoding.model.feature_grid import FeatureGrid
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.shape_solver import EMBEDDING_SIZE_COST, PADDING_COST

NEIGHBOURS = (-2, -1, 1, 2)  # frames whose independent frames are warped
GRID_CELLS = 144  # 9x16
LAST = (2, 2)  # strides of the last blocks; flows are a quarter of the picture's size
KERNEL = 3
GROUPS = 8  # of a compact block's first convolution
EXPANSION = 8  # channels behind the first block for each of the grids'
MOST_CHANNELS = 1024  # after the first block, that the solver tries
SIDE_WEIGHT = 0.1  # of the losses of the independent and the aggregated frame


@dataclasses.dataclass(frozen=True)
class FFNeRVShape(NetworkShape):
    """The sizes of its tensors; there are no latents, so ``embedding_channels`` and ``stem`` are 0.

    Attributes:
        frames: of the clip.
        grid_channels: of each of the grids.
    """

    frames: int = 1
    grid_channels: int = 1

    @property
    def latent_planes(self) -> list[tuple[int, int, int]]:
        """Nothing is stored of a frame."""
        return []

    @property
    def feature_grid_sizes(self) -> dict[int, tuple[int, int, int, int]]:
        """Knots, channels, height and width of each grid: one has a knot for every frame, one for every second."""
        knots = (-(-self.frames // 2), self.frames)
        return {number: (count, self.grid_channels, *self.embedding_size) for number, count in enumerate(knots)}

    @property
    def flow_place(self) -> int:
        """The block behind which flows and weights are made."""
        return len(self.strides) - len(LAST) - 1

    @property
    def decoder_parameters(self) -> int:
        grids = self.feature_grid_sizes.values()
        first = self.channels[0] * self.strides[0] ** 2
        total = sum(math.prod(size) for size in grids)
        total += (KERNEL**2 * sum(size[1] for size in grids) + 1) * first
        for channels, after, stride in zip(self.channels, self.channels[1:], self.strides[1:], strict=False):
            made = after * stride**2
            total += (KERNEL**2 * channels // GROUPS + 1 + made + 1) * made
        flows = (self.channels[self.flow_place] + 1) * 3 * len(NEIGHBOURS)
        return total + flows + (self.channels[-1] + 1) * 5


def solve(size: int, width: int, height: int, frames: int) -> FFNeRVShape:
    """The network of ``size`` parameters for ``frames`` pictures, as wide for its grids as the published ones, about.

    Raises:
        UsageError: it has no network as small.
    """
    strides = choose_strides(width, height)

    def build(first: int, grid_channels: int) -> FFNeRVShape:
        # Half as many channels after each block, in whole groups.
        channels = tuple(GROUPS * max(1, round(first / 2**place / GROUPS)) for place in range(len(strides)))
        kernels = (KERNEL,) * len(strides)
        return FFNeRVShape(width, height, 0, 0, channels, strides, kernels, frames=frames, grid_channels=grid_channels)

    def shapes() -> Iterator[FFNeRVShape]:
        for first in range(GROUPS, MOST_CHANNELS, GROUPS):
            least, more = (build(first, channels).decoder_parameters for channels in (1, 2))
            yield build(first, 1 + max(0, round((size - least) / (more - least))))

    def taste(shape: FFNeRVShape) -> float:
        channels = sum(grid[1] for grid in shape.feature_grid_sizes.values())
        return abs(math.log(shape.channels[0] / (EXPANSION * channels)))

    return nearest(size, frames, shapes(), taste)


def choose_strides(width: int, height: int) -> tuple[int, ...]:
    """Strides for a picture: the last two 2, so that flows have a quarter of its size; little padding, and grids near
    9x16."""

    def cost(strides: tuple[int, ...]) -> tuple[float, int]:
        total = math.prod(strides)
        cells = -(-height // total) * -(-width // total)
        padding = cells * total * total / (width * height) - 1
        return PADDING_COST * padding + EMBEDDING_SIZE_COST * abs(math.log2(cells / GRID_CELLS)), len(strides)

    firsts = itertools.chain.from_iterable(
        itertools.combinations_with_replacement((5, 4, 3, 2), blocks) for blocks in (1, 2, 3)
    )
    return min(((*first, *LAST) for first in firsts), key=cost)


class TemporalGrid(FeatureGrid):
    """A grid whose ``merge`` is its part of the first block's 3x3 convolution: that of all grids side by side is the
    sum of one for each.

    Args:
        size: knots, channels, height and width.
        frames: of the clip.
        channels: that the block yields before its pixel shuffle.
        group: consecutive ones that become the pixels of one.
        bias: whether it has one; the first grid's is enough.
    """

    def __init__(self, size: tuple[int, int, int, int], frames: int, channels: int, group: int, bias: bool) -> None:
        super().__init__(size, frames, channels)
        nn.init.xavier_uniform_(self.values)
        self.merge = Conv(size[1], channels, KERNEL, group)
        if not bias:
            self.merge.register_parameter("bias", None)


class GroupedConv(Conv):
    """A convolution of GROUPS groups of channels, each of which sees its own only."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, group: int) -> None:
        super().__init__(channels_in // GROUPS, channels_out, kernel, group)
        self.groups = GROUPS


class CompactBlock(nn.Module):
    """A grouped 3x3 convolution, a 1x1 one, pixel shuffle, GELU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        made = channels_out * stride**2
        self.grouped = GroupedConv(channels_in, made, KERNEL, stride**2)
        self.pointwise = Conv(made, made, 1, stride**2)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(F.gelu(self.pointwise(self.grouped(x))), self.stride)


@dataclasses.dataclass(frozen=True)
class Own:
    """What the network makes of a frame's own features.

    Attributes:
        independent: the independent frame [batch, 3, height, width], about 0 to 1.
        flows: [batch, neighbours, 2, h, w], x and y in pixels of this smaller picture.
        weights: of the warped neighbours before the softmax, [batch, neighbours, h, w].
        blend: of the independent and the aggregated frame before the softmax, [batch, 2, height, width].
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
    """Times to pictures.

    Attributes:
        independents: the independent frames of the clip, float16 [frames + 1, 3, height, width], which the neighbours
            are taken from; the last, black, stands for those outside the clip. While fitting they are as old as the
            last step that saw their frame. None before :meth:`remember`.
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
        self.flow_head = Conv(shape.channels[shape.flow_place], 3 * len(NEIGHBOURS), 1)
        self.head = Conv(shape.channels[-1], 5, 1)
        self.independents: torch.Tensor | None = None

    @property
    def latent_readers(self) -> list[Conv]:
        """None: there are no latents."""
        return []

    def own(self, times: Sequence[int | Fraction]) -> Own:
        """What comes of the features for ``times``, in frames; they may lie between two."""
        shape, count = self.shape, len(NEIGHBOURS)
        parts = [grid(times) for grid in self.grids.values()]
        x = F.pixel_shuffle(F.gelu(torch.stack(parts).sum(0)), shape.strides[0])
        for place in range(len(shape.strides)):
            if place:
                x = self.blocks[place - 1](x)
            if place == shape.flow_place:
                motion = self.flow_head(x).float()
        made = self.head(x)[:, :, : shape.height, : shape.width].float()
        flows = motion[:, : 2 * count].unflatten(1, (count, 2))
        return Own(made[:, :3] + 0.5, flows, motion[:, 2 * count :], made[:, 3:])

    @torch.no_grad()
    def remember(self) -> None:
        """Make the independent frames of the whole clip."""
        made = [self.own([frame]).independent for frame in range(self.shape.frames)]
        self.independents = torch.cat([*made, torch.zeros_like(made[0])]).half()

    def views(self, times: Sequence[int | Fraction]) -> Views:
        """The pictures for ``times``, in frames. Between two, neighbours are those of the frame before."""
        assert self.independents is not None, "remember() comes first"
        own, frames, shape = self.own(times), self.shape.frames, self.shape
        near = [[math.floor(time) + step for step in NEIGHBOURS] for time in times]
        places = torch.tensor([[place if 0 <= place < frames else frames for place in row] for row in near])
        neighbours = self.independents[places].float()
        warped = warp(neighbours.flatten(0, 1), self.enlarged(own.flows.flatten(0, 1))).view_as(neighbours)
        scale = math.prod(LAST)
        weights = own.weights.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        weights = weights[:, :, : shape.height, : shape.width].softmax(1)
        aggregated = (weights[:, :, None] * warped).sum(1)
        blend = own.blend.softmax(1)
        return Views(own.independent, aggregated, blend[:, :1] * own.independent + blend[:, 1:] * aggregated)

    def enlarged(self, flows: torch.Tensor) -> torch.Tensor:
        """Flows [batch, 2, h, w] of a quarter of the picture's size as flows of the picture's."""
        scale = math.prod(LAST)
        large = scale * F.interpolate(flows, scale_factor=scale, mode="bilinear", align_corners=False)
        return large[:, :, : self.shape.height, : self.shape.width]

    def forward(
        self, latents: Sequence[torch.Tensor], noise: Sequence[torch.Tensor], frames: Sequence[int | Fraction] = ()
    ) -> torch.Tensor:
        """The pictures for ``frames``, which may lie between two."""
        if self.independents is None:
            self.remember()
        return self.views(frames).final


def warp(pictures: torch.Tensor, flows: torch.Tensor) -> torch.Tensor:
    """What ``pictures`` [batch, 3, height, width] have where ``flows`` [batch, 2, height, width], x and y in pixels,
    point from each place; bilinear, and outside the picture what is at its edge."""
    height, width = pictures.shape[2:]
    x = torch.arange(width, device=flows.device) + flows[:, 0]
    y = torch.arange(height, device=flows.device)[:, None] + flows[:, 1]
    places = torch.stack([2 * x / max(1, width - 1) - 1, 2 * y / max(1, height - 1) - 1], -1)
    return F.grid_sample(pictures, places, "bilinear", "border", align_corners=True)


class FFNeRVFit(Fit):
    """A fit of FFNeRV. Independent and aggregated frames have losses of their own beside that of the final one."""

    made: Views

    def build(self, reference: ReferenceLayer | None) -> tuple[Encoder, Decoder]:
        halves = nn.Identity(), FFNeRV(cast(FFNeRVShape, self.shape))
        return cast("tuple[Encoder, Decoder]", halves)  # the fit itself asks of them what a RoundedNetwork has

    def analyse(self, pictures: torch.Tensor, frames: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [], []

    def reconstruct(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        decoder = cast(FFNeRV, self.decoder)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bfloat16):
            if decoder.independents is None:
                decoder.remember()
            self.made = decoder.views(frames)
        assert decoder.independents is not None
        decoder.independents[frames] = self.made.independent.detach().half()
        return self.made.final, []

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        loss, error = super().objective(pictures, frames)
        for picture in (self.made.independent, self.made.aggregated):
            loss = loss + SIDE_WEIGHT * self.loss(picture, pictures, frames)
        return loss, error
