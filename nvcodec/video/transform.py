"""Crop and scale, as ``--crop`` and ``--scale`` define them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from nvcodec.errors import UsageError


def crop_and_scale(picture: torch.Tensor, crop: tuple[int, int] | None, scale: tuple[int, int] | None) -> torch.Tensor:
    """Cut out the middle, then resize.

    Args:
        picture: uint8 [3, height, width].
        crop: width and height of the middle part to keep; its offset is floor(rest / 2).
        scale: width and height of the result: bicubic with antialiasing, clamped and rounded.

    Raises:
        UsageError: ``crop`` is larger than the picture.
    """
    if crop:
        width, height = crop
        rows, columns = picture.shape[1] - height, picture.shape[2] - width
        if rows < 0 or columns < 0:
            raise UsageError(
                f"--crop {width}x{height} does not fit the picture, which is {picture.shape[2]}x{picture.shape[1]}"
            )
        picture = picture[:, rows // 2 : rows // 2 + height, columns // 2 : columns // 2 + width]
    if scale and scale != (picture.shape[2], picture.shape[1]):
        size = (scale[1], scale[0])
        resized = F.interpolate(picture[None].float(), size, mode="bicubic", antialias=True)
        picture = resized[0].clamp(0, 255).round().to(torch.uint8)
    return picture
