"""Conversion between RGB and planes of Y, Cb and Cr, more accurate than FFmpeg's, and planes in PyAV's frames.

Everything is computed in floating point and rounded once. Planes are limited range (ITU-T H.273): with 8 bits Y is 16
to 235, Cb and Cr are 16 to 240; with 10 bits, four times that. In 4:2:0 a sample of chroma lies in the centre of 2x2
pixels; in 4:4:4 there is one for each pixel.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from nvcodec.errors import InputError, UsageError
from nvcodec.samples import bits_of, peak_of, sample_dtype

BT601 = 6  # ITU-T H.273's code point for the matrix
#: Kr and Kb of H.273's code points for matrices.
LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
BLACK, LUMA_SPAN, GREY, CHROMA_SPAN = 16, 219, 128, 224  # in levels of 8 bits
PIXEL_FORMATS = {8: "yuv420p", 10: "yuv420p10le"}  # FFmpeg's names, by bits
PIXEL_FORMATS_444 = {8: "yuv444p", 10: "yuv444p10le"}
SAMPLE_TYPES: dict[int, np.dtype[Any]] = {8: np.dtype("u1"), 10: np.dtype("<u2")}

Plane = npt.NDArray[np.unsignedinteger[Any]]
#: Y [height, width]; Cb and Cr likewise in 4:4:4, [ceil(height / 2), ceil(width / 2)] in 4:2:0; uint8 for 8 bits,
#: uint16 for 10.
Planes = tuple[Plane, Plane, Plane]


def rgb_to_yuv420(picture: torch.Tensor, bits: int, matrix: int = BT601) -> Planes:
    """Convert a picture to 4:2:0.

    Chroma is the mean over 2x2 pixels before rounding; an odd last row or column counts as if it were there twice.

    Args:
        picture: RGB [3, height, width], uint8 or uint16, on any device.
        bits: 8 or 10, per sample of the result.
        matrix: H.273's code point; one of ``LUMA_WEIGHTS``.

    Raises:
        UsageError: ``bits`` or ``matrix`` is another number.
    """
    levels = _levels(picture)
    # The matrix is linear, so that the means of red, green and blue give the mean of chroma.
    return _planes(levels, F.avg_pool2d(levels[None], 2, ceil_mode=True)[0], bits, matrix)


def rgb_to_yuv444(picture: torch.Tensor, bits: int, matrix: int = BT601) -> Planes:
    """Convert a picture to 4:4:4; arguments and errors are those of :func:`rgb_to_yuv420`."""
    levels = _levels(picture)
    return _planes(levels, levels, bits, matrix)


def yuv420_to_rgb(planes: Planes, bits: int, matrix: int = BT601, to_bits: int = 8) -> torch.Tensor:
    """Convert planes of 4:2:0 to a picture, RGB [3, height, width], uint8 or uint16.

    Chroma is interpolated bilinearly: of the nearest two samples in each direction, the nearer one counts 3/4 and the
    other 1/4; beyond the edge, the last sample is repeated.

    Args:
        planes: as :func:`rgb_to_yuv420` returns them.
        bits: 8 or 10, per sample.
        matrix: H.273's code point; one of ``LUMA_WEIGHTS``.
        to_bits: 8 or 10, per sample of the result.

    Raises:
        UsageError: ``bits`` or ``matrix`` is another number.
    """
    kr, kb = _luma_weights(bits, matrix)
    one = 1 << (bits - 8)
    luma, *chroma = (torch.from_numpy(plane.astype(np.float32)) / one for plane in planes)
    height, width = luma.shape
    doubled = F.interpolate(torch.stack(chroma)[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    peak = peak_of(to_bits)
    y = (luma - BLACK) * (peak / LUMA_SPAN)
    cb, cr = (doubled[:, :height, :width] - GREY) * (peak / CHROMA_SPAN)
    red = y + 2 * (1 - kr) * cr
    blue = y + 2 * (1 - kb) * cb
    green = y - (2 * kr * (1 - kr) * cr + 2 * kb * (1 - kb) * cb) / (1 - kr - kb)
    return torch.stack([red, green, blue]).round_().clamp_(0, peak).to(sample_dtype(to_bits))


def planes_to_frame(planes: Planes, bits: int, formats: dict[int, str] = PIXEL_FORMATS) -> av.VideoFrame:
    """Return a frame of PyAV with a copy of the planes; it has neither a time nor a declared colour coding.

    Args:
        planes: as :func:`rgb_to_yuv420` returns them.
        bits: 8 or 10, per sample.
        formats: pixel formats by bits; ``PIXEL_FORMATS_444`` for planes of :func:`rgb_to_yuv444`.

    Raises:
        UsageError: ``bits`` is another number.
    """
    if bits not in PIXEL_FORMATS:
        raise UsageError(f"`bits` must be 8 or 10, not {bits}")
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, formats[bits])
    for target, values in zip(frame.planes, planes, strict=True):
        # Rows are padded to a multiple of some bytes; zeros there keep what an encoder sees reproducible.
        rows = np.zeros((target.height, target.line_size // SAMPLE_TYPES[bits].itemsize), SAMPLE_TYPES[bits])
        rows[:, : target.width] = values
        target.update(rows.tobytes())
    return frame


def frame_to_planes(frame: av.VideoFrame) -> tuple[Planes, int]:
    """Return copies of the planes of a frame of PyAV, and the bits per sample.

    Raises:
        InputError: the frame is not 4:2:0 with 8 or 10 bits.
    """
    bits = next((bits for bits, name in PIXEL_FORMATS.items() if name == frame.format.name), None)
    if bits is None:
        raise InputError(f"the pixel format {frame.format.name} is not 4:2:0 with 8 or 10 bits")
    y, cb, cr = (
        np.frombuffer(plane, SAMPLE_TYPES[bits])
        .reshape(plane.height, plane.line_size // SAMPLE_TYPES[bits].itemsize)[:, : plane.width]
        .astype(SAMPLE_TYPES[bits].newbyteorder("="))
        for plane in frame.planes
    )
    return (y, cb, cr), bits


def _luma_weights(bits: int, matrix: int) -> tuple[float, float]:
    """Return Kr and Kb."""
    if bits not in PIXEL_FORMATS:
        raise UsageError(f"`bits` must be 8 or 10, not {bits}")
    if matrix not in LUMA_WEIGHTS:
        raise UsageError(f"`matrix` must be one of {', '.join(map(str, LUMA_WEIGHTS))}, not {matrix}")
    return LUMA_WEIGHTS[matrix]


def _levels(picture: torch.Tensor) -> torch.Tensor:
    """Return a picture in float32, 0 to 1."""
    return picture.detach().cpu().float() / peak_of(bits_of(picture))


def _planes(levels: torch.Tensor, for_chroma: torch.Tensor, bits: int, matrix: int) -> Planes:
    """Return luma of a picture, and chroma of another that may be smaller; both RGB, 0 to 1."""
    kr, kb = _luma_weights(bits, matrix)
    luma, mean_luma = _luma(levels, kr, kb), _luma(for_chroma, kr, kb)
    cb, cr = (for_chroma[2] - mean_luma) / (2 * (1 - kb)), (for_chroma[0] - mean_luma) / (2 * (1 - kr))
    return (
        _rounded(BLACK + LUMA_SPAN * luma, bits),
        _rounded(GREY + CHROMA_SPAN * cb, bits),
        _rounded(GREY + CHROMA_SPAN * cr, bits),
    )


def _luma(rgb: torch.Tensor, kr: float, kb: float) -> torch.Tensor:
    """Return the luma [height, width] of RGB [3, height, width], both 0 to 1."""
    return kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]


def _rounded(plane: torch.Tensor, bits: int) -> Plane:
    """Round a plane in levels of 8 bits to integers of ``bits`` bits."""
    scaled = (plane * (1 << (bits - 8))).round_()
    return scaled.numpy().astype(SAMPLE_TYPES[bits].newbyteorder("="))
