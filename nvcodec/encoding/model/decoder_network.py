"""The decoder (paper, section 1.1 and Table 3): stem, blocks of convolution, GELU and pixel shuffle, head, and skip."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.decoding.kernels import resample
from nvcodec.encoding.model.convolution import Conv, RepConv, shared_group
from nvcodec.encoding.model.feature_grid import FeatureGrid
from nvcodec.encoding.model.network_shape import HEAD_KERNEL, NetworkShape
from nvcodec.encoding.model.skip_connection import Skip
from nvcodec.encoding.quantizer.rounding import rounded
from nvcodec.samples import peak_of, signed
from nvcodec.video.frames import Frames

MID_GREY = 0.5  # added to the head's output in a base layer

#: Pictures [batch, 3, height, width], 0 to 1, and features [batch, channels, height, width] of the layer below.
Reference = tuple[torch.Tensor, torch.Tensor]


def head_unit(bits: int) -> float:
    """Return the unit of the head of a network for pictures of so many bits.

    With 8 bits it predicts (x - 1/2) * 255/256, so that its integer step is a power of two.
    """
    return 2**bits / peak_of(bits)


@dataclasses.dataclass(frozen=True)
class ReferenceLayer:
    """What an enhancement layer is predicted from: pictures and features of the layer below, as every decoder has them.

    Attributes:
        pictures: samples [frames, 3, height, width].
        features: int16 [frames, channels, height, width]: the input of the last block of the layer below.
        shift: the features are in units of 2^-shift.
        layer: number of the layer below.
        feature_op, picture_op: indices of the operations in that layer that yield the features and the picture.
        bits: size of all lower layers.
    """

    pictures: Frames
    features: Frames
    shift: int
    layer: int
    feature_op: int
    picture_op: int
    bits: float

    def __deepcopy__(self, memo: object) -> ReferenceLayer:
        return self  # immutable, and large


class RoundedNetwork(nn.Module):
    """A decoder that can be rounded while it is fitted: what the fit and the quantiser need to know of one.

    Attributes:
        latent_steps: None while fitting in float. With quantisation in the loop, the quantisation step of each kind of
            latent; latents are rounded to multiples of it, -127 to 127 times.
        reference: see :class:`Decoder`.
    """

    latent_steps: list[torch.Tensor] | None = None
    reference: ReferenceLayer | None = None
    _grids: nn.ModuleDict

    @property
    def grids(self) -> dict[int, FeatureGrid]:
        """The feature grids by number; in a :class:`Decoder` the number of the block that each one follows."""
        return {int(number): cast(FeatureGrid, grid) for number, grid in self._grids.items()}

    @property
    def latent_readers(self) -> list[Conv]:
        """The convolutions that read latents with free quantisation steps, which the weights' steps absorb.

        These latents come first; the quantisation steps of the others have to be powers of two.
        """
        raise NotImplementedError

    def convs(self) -> list[Conv]:
        """Return every convolution."""
        return [module for module in self.modules() if isinstance(module, Conv)]

    def rounded_parts(self) -> list[Conv | FeatureGrid]:
        """Return every part that has a quantisation step of its own."""
        return [*self.convs(), *self.grids.values()]

    def release(self) -> None:
        """Take quantisation out of the loop."""
        self.latent_steps = None
        for part in self.rounded_parts():
            part.quant_step = None

    @contextlib.contextmanager
    def in_float(self) -> Iterator[None]:
        """Leave weights, latents and grids unrounded within the block."""
        parts, latent_steps = self.rounded_parts(), self.latent_steps
        part_steps = [part.quant_step for part in parts]
        self.release()
        try:
            yield
        finally:
            self.latent_steps = latent_steps
            for part, step in zip(parts, part_steps, strict=True):
                part.quant_step = step

    def rounded(self, latents: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the latents as a decoder sees them, with gradients to those given."""
        if self.latent_steps is None:
            return list(latents)
        return [rounded(latent, step) for latent, step in zip(latents, self.latent_steps, strict=True)]


class Decoder(RoundedNetwork):
    """Maps latents to pictures.

    The path of a frame, channels x height x width: the embedding C0 x h0 x w0; after the 1x1 stem Cinit x h0 x w0; in
    block i, at h x w, the convolution gives channels[i] * strides[i]^2 x h x w and the pixel shuffle channels[i] x h *
    strides[i] x w * strides[i], to which the first blocks add the skip connection, and some blocks their feature grid;
    after the 3x3 head 3 x coded height x coded width, cropped to 3 x height x width.

    Args:
        shape: sizes of the tensors.
        rep: whether the blocks' convolutions are reparameterised while fitting (section 3.1).
        reference: what an enhancement layer is predicted from: a 1x1 convolution of its features is added behind the
            last block but one, and its picture to the head's output. None in a base layer.
        bits: of a sample of the pictures that it is for.
    """

    def __init__(
        self, shape: NetworkShape, rep: bool = False, reference: ReferenceLayer | None = None, bits: int = 8
    ) -> None:
        super().__init__()
        self.shape, self.reference, self.bits = shape, reference, bits
        self.stem = Conv(shape.embedding_channels, shape.stem, 1)
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
        frames = shape.feature_grids.frames if shape.feature_grids else 0
        grids = {
            str(block): FeatureGrid(size, frames, shape.channels[block])
            for block, size in shape.feature_grid_sizes.items()
        }
        self._grids = nn.ModuleDict(grids)
        channels = shape.channels[shape.inter_layer_block]
        self.inter_layer_conv = (
            Conv(shape.reference_channels, channels, 1, shared_group(channels)) if reference else None
        )
        if reference:
            nn.init.zeros_(self.head.weight)  # the first picture is the reference layer's
            nn.init.zeros_(cast(torch.Tensor, self.head.bias))

    @property
    def trunk(self) -> list[Conv]:
        """The stem, the blocks' convolutions and the head."""
        return cast("list[Conv]", [self.stem, *self.blocks, self.head])

    @property
    def skips(self) -> list[Skip]:
        """The skip connection, scale by scale, smallest first."""
        return cast("list[Skip]", list(self._skips))

    @property
    def latent_readers(self) -> list[Conv]:
        """The stem and, unless the features f pass through coupling layers, the convolutions that add them."""
        invertible = any(skip.coupling is not None for skip in self.skips)
        return [self.stem, *([] if invertible else [skip.merge for skip in self.skips])]

    def forward(
        self, latents: Sequence[torch.Tensor], noise: Sequence[torch.Tensor], frames: Sequence[int] = ()
    ) -> torch.Tensor:
        """Return pictures [batch, 3, height, width], about 0 to 1.

        Args:
            latents: the embedding [batch, C0, h0, w0] and, for each scale of the skip connection, smallest first,
                f [batch, 1, height, width].
            noise: z for each scale, [batch or 1, width - 1, height, width]; empty without an invertible connection.
            frames: frame numbers of the pictures; used only by feature grids and enhancement layers.
        """
        return self.picture_and_features(latents, noise, frames, self.reference_for(frames))[0]

    def picture_and_features(
        self,
        latents: Sequence[torch.Tensor],
        noise: Sequence[torch.Tensor],
        frames: Sequence[int],
        reference: Reference | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pictures, as :meth:`forward` does, and the last block's input [batch, channels, height, width].

        Args:
            latents, noise, frames: as for :meth:`forward`.
            reference: the same two of the layer below; None in a base layer.
        """
        grids = self.grids
        embedding, *features = self.rounded(latents)
        x = block_input = F.gelu(self.stem(embedding))
        for number, (block, stride) in enumerate(zip(self.blocks, self.shape.strides, strict=True)):
            block_input = x
            # GELU before the shuffle yields the same, and the integer decoder needs this order.
            x = F.pixel_shuffle(F.gelu(block(x)), stride)
            if number < len(self.skips):
                z = noise[number].expand(len(x), -1, -1, -1) if noise else None
                x = x + resample(self.skips[number](features[number], z), x.shape[2], x.shape[3])
            if number in grids:
                x = x + grids[number](frames)
            if self.inter_layer_conv is not None and reference and number == self.shape.inter_layer_block:
                x = x + resample(self.inter_layer_conv(reference[1]), x.shape[2], x.shape[3])
        residual: torch.Tensor = self.head(x) * head_unit(self.bits)
        cropped = residual[:, :, : self.shape.height, : self.shape.width]
        return cropped + (reference[0] if reference else MID_GREY), block_input

    def reference_for(self, frames: Sequence[int]) -> Reference | None:
        """Return the reference layer's pictures and features for ``frames``; None in a base layer."""
        if self.reference is None:
            return None
        device, chosen = self.head.weight.device, list(frames)
        pictures, features = (
            signed(stored[chosen]).to(device) for stored in (self.reference.pictures, self.reference.features)
        )
        unit = 2.0**-self.reference.shift
        return pictures / peak_of(self.bits), (features * unit).contiguous(memory_format=torch.channels_last)
