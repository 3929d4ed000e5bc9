"""The decoder (paper, section 1.1 and Table 3): stem, blocks of convolution, GELU and pixel shuffle, head, and skip."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.decoding.kernels import resample
from nvcodec.encoding.model.convolution import Conv, RepConv, ste
from nvcodec.encoding.model.network_shape import HEAD_KERNEL, NetworkShape
from nvcodec.encoding.model.skip_connection import Skip, whole_group
from nvcodec.format.arithmetic.interpolation import position
from nvcodec.video.frames import Frames

HEAD_UNIT = 256 / 255  # the head predicts (x - 1/2) * 255/256, so that its integer step is a power of two
GREY = 0.5  # what the head's result of a base layer is added to
LATENT_PEAK = 127
GRID_SPREAD = 0.02  # standard deviation of a new grid's values


def integers(values: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """What a file holds of latents or a grid: multiples of ``step`` within +-127, still float32."""
    return (values / step).round().clamp(-LATENT_PEAK, LATENT_PEAK)


def rounded(values: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """What a decoder makes of these multiples, with a gradient to the values and the step."""
    steps = (values / step).clamp(-LATENT_PEAK, LATENT_PEAK)
    return ste(steps, steps.round()) * step


@dataclasses.dataclass(frozen=True)
class Underlay:
    """What the layers below give an enhancement layer: the integers a decoder has there.

    Attributes:
        pictures: uint8 [frames, 3, height, width].
        features: int16 [frames, channels, height, width], of the layer right below, what its last block reads.
        shift: of their unit, 2^-shift.
        layer: the number of that layer.
        places: of the operations in it that yield the features and the picture.
        bits: of all layers below.
    """

    pictures: Frames
    features: Frames
    shift: int
    layer: int
    places: tuple[int, int]
    bits: float

    def __deepcopy__(self, memo: object) -> Underlay:
        return self  # nothing changes it, and it is large


class Grid(nn.Module):
    """A feature grid: learned values for some times of the clip, interpolated between them, and added to the features
    behind a block by a 1x1 convolution (the grids of HiNeRV, Kwan et al., NeurIPS 2023, and FFNeRV, Lee et al., 2023).

    Args:
        size: knots, channels, height and width.
        frames: of the clip.
        channels: of the features.

    ``step`` is None while fitting in float. With quantisation in the loop the values are rounded to multiples of it
    within +-127.
    """

    def __init__(self, size: tuple[int, int, int, int], frames: int, channels: int) -> None:
        super().__init__()
        self.frames = frames
        # All knots start alike: where nothing moves they then stay alike.
        start = torch.randn(size[1:]) * GRID_SPREAD
        self.values = nn.Parameter(start.repeat(size[0], 1, 1, 1))
        self.merge = Conv(size[1], channels, 1, whole_group(channels))
        self.step: torch.Tensor | None = None

    def integers(self) -> torch.Tensor:
        """What a file holds: multiples of the step, still float32."""
        assert self.step is not None
        return integers(self.values, self.step)

    def at(self, frames: Sequence[int | Fraction]) -> torch.Tensor:
        """Its values at ``frames``, which may lie between two: [frames, channels, height, width]."""
        near, parts = [], []
        for frame in frames:
            last = frame.denominator * (self.frames - 1)
            knot, part = position(frame.numerator, last + 1, len(self.values))
            near += [self.values[knot], self.values[min(knot + 1, len(self.values) - 1)]]
            parts.append(part / max(1, last))
        ends = torch.stack(near)
        if self.step is not None:
            ends = rounded(ends, self.step)  # of many knots a step of the fit sees few
        return torch.stack([torch.lerp(*way) for way in zip(ends[::2], ends[1::2], parts, strict=True)])

    def forward(self, frames: Sequence[int | Fraction]) -> torch.Tensor:
        """What is added to the features: [frames, channels, height, width]."""
        added: torch.Tensor = self.merge(self.at(frames).contiguous(memory_format=torch.channels_last))
        return added


class RoundedNetwork(nn.Module):
    """A network that can be rounded while it is fitted: what the fit and its quantisation know of a decoder.

    Attributes:
        latent_steps: None while fitting in float. With quantisation in the loop the latents are rounded to multiples of
            their step within +-127.
        underlay: see :class:`Decoder`.
    """

    latent_steps: list[torch.Tensor] | None = None
    underlay: Underlay | None = None
    _grids: nn.ModuleDict

    @property
    def grids(self) -> dict[int, Grid]:
        """The feature grids, by number; in a :class:`Decoder` that is the block that each stands behind."""
        return {int(place): cast(Grid, grid) for place, grid in self._grids.items()}

    @property
    def latent_readers(self) -> list[Conv]:
        """The convolutions that read the latents whose steps may be anything, because a weight's step takes them in.
        These latents come first; the steps of others have to be powers of two."""
        raise NotImplementedError

    def convs(self) -> list[Conv]:
        """Every convolution."""
        return [module for module in self.modules() if isinstance(module, Conv)]

    def rounded_parts(self) -> list[Conv | Grid]:
        """All that has a step of rounding of its own."""
        return [*self.convs(), *self.grids.values()]

    def release(self) -> None:
        """End quantisation in the loop."""
        self.latent_steps = None
        for part in self.rounded_parts():
            part.step = None

    @contextlib.contextmanager
    def in_float(self) -> Iterator[None]:
        """Weights, latents and grids are left unrounded meanwhile."""
        parts, steps = self.rounded_parts(), self.latent_steps
        part_steps = [part.step for part in parts]
        self.release()
        try:
            yield
        finally:
            self.latent_steps = steps
            for part, step in zip(parts, part_steps, strict=True):
                part.step = step

    def rounded(self, latents: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The latents as a decoder gets them, with the gradients of those given."""
        if self.latent_steps is None:
            return list(latents)
        return [rounded(latent, step) for latent, step in zip(latents, self.latent_steps, strict=True)]


class Decoder(RoundedNetwork):
    """Latents to pictures.

    A frame's way, channels x height x width: the embedding C0 x h0 x w0; after the 1x1 stem Cinit x h0 x w0; in block
    i, at h x w, its convolution gives channels[i] * strides[i]^2 x h x w and the shuffle channels[i] x h * strides[i]
    x w * strides[i], to which the first blocks add what the skip connection has for them, and some what their grid
    has; after the 3x3 head 3 x coded height x coded width, cut to 3 x height x width.

    Args:
        shape: the tensors' sizes.
        rep: whether the blocks' convolutions are reparameterised while fitting (section 3.1).
        underlay: what an enhancement layer stands on: a 1x1 convolution of the features below is added behind the
            last block but one, and the picture below to what the head yields. None in a base layer.
    """

    def __init__(self, shape: NetworkShape, rep: bool = False, underlay: Underlay | None = None) -> None:
        super().__init__()
        self.shape, self.underlay = shape, underlay
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
        frames = shape.grids.frames if shape.grids else 0
        grids = {str(place): Grid(size, frames, shape.channels[place]) for place, size in shape.grid_sizes.items()}
        self._grids = nn.ModuleDict(grids)
        lifted = shape.channels[shape.lift_place]
        self.lift = Conv(shape.below, lifted, 1, whole_group(lifted)) if underlay else None
        if underlay:
            nn.init.zeros_(self.head.weight)  # the first picture is the one below
            nn.init.zeros_(cast(torch.Tensor, self.head.bias))

    @property
    def trunk(self) -> list[Conv]:
        """The stem, the blocks' convolutions and the head."""
        return cast("list[Conv]", [self.stem, *self.blocks, self.head])

    @property
    def skips(self) -> list[Skip]:
        """The skip connection, scale by scale, the smallest first."""
        return cast("list[Skip]", list(self._skips))

    @property
    def latent_readers(self) -> list[Conv]:
        """The stem and, unless the features f go through coupling layers, the convolutions that add them."""
        invertible = any(skip.coupling is not None for skip in self.skips)
        return [self.stem, *([] if invertible else [skip.merge for skip in self.skips])]

    def forward(
        self, latents: Sequence[torch.Tensor], noise: Sequence[torch.Tensor], frames: Sequence[int] = ()
    ) -> torch.Tensor:
        """Pictures [batch, 3, height, width], about 0 to 1.

        Args:
            latents: the embedding [batch, C0, h0, w0] and, of each scale of the skip connection, the smallest first,
                f [batch, 1, height, width].
            noise: z of each scale, [batch or 1, width - 1, height, width]; empty where there is none.
            frames: the numbers of the pictures; of use to grids and enhancement layers only.
        """
        return self.picture_and_features(latents, noise, frames, self.below(frames))[0]

    def picture_and_features(
        self,
        latents: Sequence[torch.Tensor],
        noise: Sequence[torch.Tensor],
        frames: Sequence[int],
        below: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`forward`, and the features that the last block reads, [batch, channels, height, width].

        ``below`` is the same of the layer below, None for a base layer.
        """
        grids = self.grids
        embedding, *features = self.rounded(latents)
        x = read = F.gelu(self.stem(embedding))
        for place, (block, stride) in enumerate(zip(self.blocks, self.shape.strides, strict=True)):
            read = x
            # GELU before the shuffle yields the same, and the integer decoder wants it in this order.
            x = F.pixel_shuffle(F.gelu(block(x)), stride)
            if place < len(self.skips):
                z = noise[place].expand(len(x), -1, -1, -1) if noise else None
                x = x + resample(self.skips[place](features[place], z), x.shape[2], x.shape[3])
            if place in grids:
                x = x + grids[place](frames)
            if self.lift is not None and below and place == self.shape.lift_place:
                x = x + resample(self.lift(below[1]), x.shape[2], x.shape[3])
        left: torch.Tensor = self.head(x) * HEAD_UNIT
        picture = left[:, :, : self.shape.height, : self.shape.width] + (below[0] if below else GREY)
        return picture, read

    def below(self, frames: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Pictures [frames, 3, height, width] and features [frames, channels, height, width] of the layers below, as a
        decoder has them; None for a base layer."""
        if self.underlay is None:
            return None
        device, chosen = self.head.weight.device, list(frames)
        pictures, features = (found[chosen].to(device) for found in (self.underlay.pictures, self.underlay.features))
        unit = 2.0**-self.underlay.shift
        return pictures / 255, (features * unit).contiguous(memory_format=torch.channels_last)
