"""What a network above an AV1 stream is fitted for: error relative to that of the stream, by planes, in RGB, or of
structure.

A squared error relative to that of its frame is what PSNR counts: halving it gains 3 dB in every frame alike.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from nvcodec.encoding.av1.crops import Crops, planes_of
from nvcodec.encoding.fit.losses import PIXEL_ERRORS, Loss, dissimilarity

PLANE_SHARES = (0.75, 0.125, 0.125)  # of Y, Cb and Cr: 6:1:1
RGB_SHARE = 0.2  # of the default loss
PSNR_SHARE = 0.3  # of the loss for SSIM: without it, PSNR would fall below that of the stream
LEAST_DISSIMILARITY = 1e-4
LEAST_ERROR = 1 / 12  # mean squared error of rounding to samples, in their unit: no file comes below it

#: Mean error of a batch, []: of pictures in levels, [batch, 3, height, width], against crops of these numbers.
CropLoss = Callable[[torch.Tensor, Crops, torch.Tensor], torch.Tensor]


def planes_loss(decoded: torch.Tensor, crops: Crops, chosen: torch.Tensor) -> torch.Tensor:
    """Return the squared errors of Y, Cb and Cr, each relative to that of its frame below, weighted 6:1:1."""
    luma, chroma = planes_of(decoded - crops.originals(chosen))
    squares = [luma.square(), *chroma.square().unbind(1)]
    if crops.weights is not None:
        pixels = crops.relative_weights(chosen).mean(1)
        blocks = F.avg_pool2d(pixels, 2, ceil_mode=True)
        squares = [squares[0] * pixels, squares[1] * blocks, squares[2] * blocks]
    errors = torch.stack([square.mean((1, 2)) for square in squares], 1)
    relative = errors / crops.plane_errors[chosen].clamp(min=LEAST_ERROR * crops.step**2)
    return (relative @ relative.new_tensor(PLANE_SHARES)).mean()


def rgb_loss(decoded: torch.Tensor, crops: Crops, chosen: torch.Tensor) -> torch.Tensor:
    """Return the squared errors of red, green and blue, relative to that of their frame below."""
    squares = (decoded - crops.originals(chosen)).square()
    if crops.weights is not None:
        squares = squares * crops.relative_weights(chosen)
    return (squares.mean((1, 2, 3)) / crops.rgb_errors[chosen].clamp(min=LEAST_ERROR * crops.step**2)).mean()


def balanced_loss(decoded: torch.Tensor, crops: Crops, chosen: torch.Tensor) -> torch.Tensor:
    """Return four parts of :func:`planes_loss` and one of :func:`rgb_loss`.

    Means over 2x2 pixels say nothing of chroma between them: without the fifth part a network puts noise there.
    """
    planes, rgb = planes_loss(decoded, crops, chosen), rgb_loss(decoded, crops, chosen)
    return (1 - RGB_SHARE) * planes + RGB_SHARE * rgb


def ssim_loss(decoded: torch.Tensor, crops: Crops, chosen: torch.Tensor) -> torch.Tensor:
    """Return mostly 1 - SSIM, relative to that of the same crops below, and for the rest :func:`balanced_loss`."""
    with torch.no_grad():
        below = _dissimilarity(crops.pictures_below(chosen), crops, chosen).clamp(min=LEAST_DISSIMILARITY)
    structure = _dissimilarity(decoded, crops, chosen) / below
    return (1 - PSNR_SHARE) * structure + PSNR_SHARE * balanced_loss(decoded, crops, chosen)


def _dissimilarity(pictures: torch.Tensor, crops: Crops, chosen: torch.Tensor) -> torch.Tensor:
    """Return the mean of 1 - SSIM."""
    values = dissimilarity(pictures / crops.peak, crops.originals(chosen) / crops.peak)
    return (values if crops.weights is None else values * crops.relative_weights(chosen)).mean()


def named_loss(name: str) -> CropLoss:
    """Return the mean of a pixel error of :class:`~nvcodec.encoding.fit.losses.PictureLoss` as a loss of crops."""
    pixel_errors = PIXEL_ERRORS[name]

    def crop_loss(decoded: torch.Tensor, crops: Crops, chosen: torch.Tensor) -> torch.Tensor:
        errors = pixel_errors(decoded / crops.peak, crops.originals(chosen) / crops.peak)
        return (errors if crops.weights is None else errors * crops.relative_weights(chosen)).mean()

    return crop_loss


def custom_loss(loss: Loss) -> CropLoss:
    """Return a loss of pictures from 0 to 1 as one of crops."""

    def crop_loss(decoded: torch.Tensor, crops: Crops, chosen: torch.Tensor) -> torch.Tensor:
        return loss(decoded / crops.peak, crops.originals(chosen) / crops.peak, crops.frames[chosen].tolist())

    return crop_loss
