"""Cropping and scaling of a picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from nvcodec.errors import UsageError
from nvcodec.samples import bits_of, peak_of


def crop_and_scale(picture: torch.Tensor, crop: tuple[int, int] | None, scale: tuple[int, int] | None) -> torch.Tensor:
    """Cut out the middle of a picture, then resize it.

    Args:
        picture: samples [3, height, width].
        crop: width and height of the middle part; None for the whole picture. Where the margins cannot be equal, those
            on the left and at the top are one pixel narrower.
        scale: width and height of the result, by antialiased bicubic interpolation; None for no resizing.

    Raises:
        UsageError: ``crop`` is larger than the picture.
    """
    if crop:
        width, height = crop
        rows, columns = picture.shape[1] - height, picture.shape[2] - width
        if rows < 0 or columns < 0:
            raise UsageError(
                f"crop {width}x{height} does not fit the picture, which is {picture.shape[2]}x{picture.shape[1]}"
            )
        picture = picture[:, rows // 2 : rows // 2 + height, columns // 2 : columns // 2 + width]
    if scale and scale != (picture.shape[2], picture.shape[1]):
        size = (scale[1], scale[0])
        resized = F.interpolate(picture[None].float(), size, mode="bicubic", antialias=True)
        picture = resized[0].clamp(0, peak_of(bits_of(picture))).round().to(picture.dtype)
    return picture
