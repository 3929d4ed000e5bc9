"""What a network above an AV1 stream is fitted to: crops of the pictures below, and of the source.

Their number does not grow with the pictures or the video, so neither do the time and the memory of a fit.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch
import torch.nn.functional as F

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.devices import thread_count
from nvcodec.metrics import LUMA_FACTORS
from nvcodec.samples import bits_of, peak_of, signed
from nvcodec.video.frames import Frames

CROP_SIDE = 64  # pixels, even
MAX_CROPS = 4096
MAX_CROP_FRAMES = 256  # frames that crops are taken from
QUARTERS = 4.0  # units of a picture below in a level; with 10 bits, samples in one


def level_step(bits: int) -> float:
    """Return the levels between two neighbouring samples of so many bits: 1, or with 10 bits 1/4, so that white is 255
    or 255.75."""
    return 1.0 if bits == 8 else 1 / QUARTERS


@dataclasses.dataclass(frozen=True)
class Crops:
    """Crops of pictures below and of the source.

    Attributes:
        below: int16 [crops, 3, side + 2 * border, side + 2 * border], quarters of a level.
        source: uint8, or with 10 bits int16, [crops, 3, side, side].
        weights: importance of each pixel, uint8 [crops, 3, side, side]; None where all count alike.
        frames: the frame of each crop.
        plane_errors: mean squared errors of Y, Cb and Cr of the pictures below in levels, [crops, 3], over the whole
            frame of each crop.
        rgb_errors: the same of red, green and blue together, [crops].
    """

    below: torch.Tensor
    source: torch.Tensor
    weights: torch.Tensor | None
    frames: torch.Tensor
    plane_errors: torch.Tensor
    rgb_errors: torch.Tensor

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return bits_of(self.source)

    @property
    def step(self) -> float:
        """Levels between two neighbouring samples."""
        return level_step(self.bits)

    @property
    def peak(self) -> float:
        """The level of white."""
        return peak_of(self.bits) * self.step

    def originals(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return the source of some crops in levels, float32 [chosen, 3, side, side]."""
        return self.source[chosen].float() * self.step

    def pictures_below(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return some crops of the pictures below as shown, in levels but not rounded, [chosen, 3, side, side]."""
        height, width = self.source.shape[2:]
        border = (self.below.shape[2] - height) // 2
        inner = self.below[chosen][:, :, border : border + height, border : border + width]
        return (inner / QUARTERS).clamp(0, self.peak)

    def to(self, device: torch.device) -> Crops:
        """Return the same crops on a device."""
        return Crops(
            self.below.to(device),
            self.source.to(device),
            None if self.weights is None else self.weights.to(device),
            self.frames.to(device),
            self.plane_errors.to(device),
            self.rgb_errors.to(device),
        )

    @functools.cached_property
    def mean_weight(self) -> float:
        """The mean weight of all crops."""
        assert self.weights is not None
        return max(float(self.weights.sum(dtype=torch.float64)) / self.weights.numel(), 1e-9)

    def relative_weights(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return the weights of some crops, [chosen, 3, side, side], relative to the mean of all crops."""
        assert self.weights is not None
        return self.weights[chosen].float() / self.mean_weight


def take_crops(
    network: ExactNetwork, source: Frames, weights: Frames | None, border: int, margin: int, seed: int
) -> Crops:
    """Decode the pictures below and cut crops out of them, spread evenly over the frames.

    Args:
        network: yields the picture below, ``margin`` wider on each side than the source, as its only wanted result.
        source: samples [frames, 3, height, width].
        weights: importance of each pixel, uint8 [frames, 3, height, width]; None where all count alike.
        border: pixels around a crop that the network to fit sees as well, at most ``margin``.
        margin: pixels around the picture below.
        seed: of the random choice.
    """
    frames, _, height, width = source.shape
    step = level_step(bits_of(source))
    peak = peak_of(bits_of(source)) * step
    random = np.random.default_rng(seed)
    chosen = np.unique(np.linspace(0, frames - 1, min(frames, MAX_CROP_FRAMES)).round().astype(int)).tolist()
    rows, columns = (min(CROP_SIDE, side // 2 * 2) for side in (height, width))
    parts = [len(part) for part in np.array_split(np.arange(MAX_CROPS), len(chosen))]
    below, originals, importance, numbers, plane_errors, rgb_errors = [], [], [], [], [], []
    for frame, count in zip(chosen, parts, strict=True):
        picture, original = network.results([frame])[0][0].cpu(), signed(source[frame].cpu())
        mask = None if weights is None else weights[frame].cpu()
        shown = picture[:, margin : margin + height, margin : margin + width] / QUARTERS
        difference = (shown.clamp(0, peak) - original * step)[None]
        with thread_count(1):  # the order of summation must not depend on the number of threads
            plane_errors.append(plane_squares(difference).expand(count, 3))
            rgb_errors.append(difference.square().mean().expand(count))
        numbers.append(torch.full((count,), frame))
        # Even positions, so that 2x2 pixels that share their chroma stay together.
        tops = 2 * random.integers(0, (height - rows) // 2 + 1, count)
        lefts = 2 * random.integers(0, (width - columns) // 2 + 1, count)
        for top, left in zip(tops.tolist(), lefts.tolist(), strict=True):
            inner = (slice(None), slice(top, top + rows), slice(left, left + columns))
            row, column = top + margin - border, left + margin - border
            below.append(picture[:, row : row + rows + 2 * border, column : column + columns + 2 * border].clone())
            originals.append(original[inner].clone())
            if mask is not None:
                importance.append(mask[inner].clone())
    return Crops(
        torch.stack(below),
        torch.stack(originals),
        torch.stack(importance) if importance else None,
        torch.cat(numbers),
        torch.cat(plane_errors),
        torch.cat(rgb_errors),
    )


def planes_of(rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return luma [batch, height, width], and Cb and Cr [batch, 2, height / 2, width / 2] as means of 2x2 pixels.

    BT.601, full range. At an odd last row or column, the mean is over the pixels that there are.

    Args:
        rgb: [batch, 3, height, width], levels, or differences of levels.
    """
    red, green, blue = LUMA_FACTORS
    luma = red * rgb[:, 0] + green * rgb[:, 1] + blue * rgb[:, 2]
    cb, cr = (rgb[:, 2] - luma) / (2 * (1 - blue)), (rgb[:, 0] - luma) / (2 * (1 - red))
    return luma, F.avg_pool2d(torch.stack([cb, cr], 1), 2, ceil_mode=True)


def plane_squares(difference: torch.Tensor) -> torch.Tensor:
    """Return the mean squares of Y, Cb and Cr, [batch, 3], of a difference of pictures [batch, 3, height, width]."""
    luma, chroma = planes_of(difference)
    return torch.cat([luma.square().mean((1, 2))[:, None], chroma.square().mean((2, 3))], 1)
