"""From the planes of an AV1 picture to red, green and blue, exactly (specification, section 6.9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from nvcodec.decoding.base_decoder import Planes
from nvcodec.format.arithmetic.color import FRACTION_BITS, conversion_of
from nvcodec.format.operations import Picture

# Values of `siting`.
CENTRED, LEFT = 0, 1


class Samples(NamedTuple):
    """The samples of pictures on a device, as integers of 8 or 16 bits: luma [pictures, height, width], and chroma
    [pictures, 2, height, width], None where they are grey."""

    luma: torch.Tensor
    chroma: torch.Tensor | None


class PictureConversion:
    """The conversion of one PICTURE operation.

    All numbers are integers below 2^24 in float32, so that every step is exact.

    Args:
        op: the operation.
        device: where to compute.
    """

    def __init__(self, op: Picture, device: torch.device) -> None:
        self.op, self.device = op, device
        self.factors = conversion_of(op)

    def upload(self, pictures: Sequence[Planes]) -> Samples:
        """Bring pictures to the device."""
        luma = self._upload([planes[0] for planes in pictures])
        chroma = self._upload([np.stack(planes[1:]) for planes in pictures]) if self.op.chroma else None
        return Samples(luma, chroma)

    def _upload(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        stacked = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
        # torch does not compute with uint16, and a sample has at most 10 bits.
        return torch.from_numpy(stacked.view(np.int16) if stacked.dtype == np.uint16 else stacked).to(self.device)

    def rows(self, samples: Samples, low: int, high: int) -> torch.Tensor:
        """Convert the rows ``low`` to ``high`` - 1 of the result, margin included.

        Returns:
            float32 [pictures, 3, high - low, width + 2 * margin].
        """
        op, factors = self.op, self.factors
        first, end = (min(max(row - op.margin, 0), op.height) for row in (low, high))
        first, end = min(first, op.height - 1), max(end, 1)
        luma = samples.luma[:, first:end].float()
        scaled = luma.sub_(factors.black).mul_(factors.luma).add_(1 << FRACTION_BITS - 1)
        batch, rows, columns = scaled.shape
        rgb = scaled.new_empty((batch, 3, rows, columns)).to(memory_format=torch.channels_last)
        red, green, blue = rgb.unbind(1)
        if samples.chroma is None:
            rgb.copy_(scaled[:, None].expand(-1, 3, -1, -1))
        else:
            u, v = self._chroma(samples.chroma, first, end).unbind(1)
            torch.add(scaled, v, alpha=factors.red_v, out=red)
            torch.add(scaled.add(u, alpha=-factors.green_u), v, alpha=-factors.green_v, out=green)
            torch.add(scaled, u, alpha=factors.blue_u, out=blue)
        rgb.mul_(2.0**-FRACTION_BITS).floor_()
        if not op.margin:
            return rgb
        above, below = first - (low - op.margin), (high - op.margin) - end
        padded = F.pad(rgb, (op.margin, op.margin, above, below), mode="replicate")
        return padded.contiguous(memory_format=torch.channels_last)

    def _chroma(self, planes: torch.Tensor, first: int, end: int) -> torch.Tensor:
        """Bring the rows of chroma beside some rows of luma to their size, as u and v [pictures, 2, rows, width]."""
        op, factors = self.op, self.factors
        # With one row more on each side, for the filter; clamping at the picture's own edges is part of it.
        top, bottom = max(0, first // 2 - 1), min(planes.shape[2], (end + 1) // 2 + 1)
        part = planes[:, :, top:bottom].float()
        rows = _doubled(part, 2, op.siting in (CENTRED, LEFT))[:, :, first - 2 * top : end - 2 * top]
        up = _doubled(rows, 3, op.siting == CENTRED)[..., : op.width]
        half = 1 << factors.chroma_shift >> 1
        return up.sub_(factors.chroma_offset - half).mul_(2.0**-factors.chroma_shift).floor_()


def _doubled(x: torch.Tensor, axis: int, centred: bool) -> torch.Tensor:
    """Double an axis of [pictures, channels, height, width] by one of the two filters, whose gain is 4."""
    size = x.shape[axis]
    after = torch.cat([x.narrow(axis, 1, size - 1), x.narrow(axis, size - 1, 1)], axis)
    if centred:
        before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, size - 1)], axis)
        pair = [torch.add(before, x, alpha=3), torch.add(after, x, alpha=3)]
    else:
        pair = [4 * x, 2 * (x + after)]
    return torch.stack(pair, axis + 1).flatten(axis, axis + 1)
