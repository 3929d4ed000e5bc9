"""Conversion of decoded frames of any pixel format to RGB with 8 or 10 bits, rounded once.

FFmpeg's scaler is used only where it moves samples without changing them: from packed and half-planar formats to
planes. Without accurate rounding, its conversion to RGB is a level too dark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
import torch

from nvcodec.samples import peak_of, rounded, with_bits
from nvcodec.video.yuv import BLACK, BT601, CHROMA_SPAN, GREY, LUMA_SPAN, LUMA_WEIGHTS

LIMITED, FULL = 1, 2  # FFmpeg's numbers of ranges
#: Code points of H.273 for matrices that have no luma weights.
IDENTITY, YCGCO, BT2020_CONSTANT = 0, 8, 10
#: All matrices that are converted by their own formulas; the others count as BT.601.
MATRICES = frozenset({IDENTITY, YCGCO, BT2020_CONSTANT, *LUMA_WEIGHTS})
_PLANES = re.compile(r"(yuvj?a?4\d\dp|gray|gbra?p)(\d+le)?")  # formats whose planes are read as they are
#: With several threads, FFmpeg's scaler (as of PyAV 17) now and then gets eight samples of half-planar chroma wrong.
_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}
_OTHERS = re.compile(r"^(xyz|bayer)|f16|f32|32[bl]e$")  # sensors, floats and 32 bits, left to FFmpeg altogether


def bits_of_frame(frame: av.VideoFrame) -> int:
    """Return the bits of a frame's samples, the most that one of its components has."""
    return max((part.bits for part in frame.format.components), default=8)


def frame_to_rgb(frame: av.VideoFrame, centred: bool = False, to_bits: int = 8) -> torch.Tensor:
    """Convert a frame by its own matrix and range to RGB [3, height, width], uint8 or uint16; alpha is ignored.

    An unspecified or unknown matrix is BT.601; an unspecified range is full for grey and limited otherwise. RGB is
    always full range, because encoders of RGB leave the flag at its default. Chroma is interpolated linearly, and
    repeated beyond the edge.

    Args:
        frame: of any format that is not of a device.
        centred: whether samples of chroma lie, horizontally, between those of luma (JPEG, MPEG-1) rather than on the
            left ones (MPEG-2 and later). Vertically they always lie between.
        to_bits: 8 or 10, of the result.
    """
    kind, bits = frame.format, bits_of_frame(frame)

    def finished(levels: torch.Tensor) -> torch.Tensor:
        return rounded(levels if to_bits == 8 else levels.mul_(peak_of(to_bits) / 255), to_bits)

    if (kind.is_rgb and bits <= 8) or kind.has_palette or kind.is_bit_stream or _OTHERS.search(kind.name):
        deep = bits > 8 and to_bits > 8  # floats, for instance
        rgb = torch.from_numpy(_reformatted(frame, "rgb48le" if deep else "rgb24").to_ndarray()).permute(2, 0, 1)
        return rounded(rgb.float() * (peak_of(to_bits) / 65535), to_bits) if deep else with_bits(rgb, to_bits)
    if kind.is_rgb:
        green, blue, red = map(torch.from_numpy, _planes(frame, f"gbrp{bits}le")[:3])
        return finished(torch.stack([red, green, blue]) * (255 / ((1 << bits) - 1)))
    grey = sum(not part.is_alpha for part in kind.components) < 3
    planes = _planes(frame, _sibling(kind, grey, bits))
    full = int(frame.color_range) == FULL or kind.name.startswith("yuvj")
    full |= grey and int(frame.color_range) != LIMITED
    black, luma_scale, zero, chroma_scale = _levels(bits, full)
    luma = torch.from_numpy(planes[0])
    if grey:
        return finished((luma - black) * luma_scale).expand(3, -1, -1)
    chroma = torch.from_numpy(np.stack(planes[1:3]))
    matrix = int(frame.colorspace)
    if matrix == IDENTITY and chroma.shape[1:] == luma.shape:
        return finished((torch.stack([chroma[1], luma, chroma[0]]) - black) * luma_scale)
    chroma = (chroma - zero) * chroma_scale
    if matrix == BT2020_CONSTANT:
        return finished(_constant_luminance((luma - black) * luma_scale, _enlarged(chroma, luma.shape, centred)))
    # What chroma adds to red, green and blue is linear, and there are fewer samples of it before they are interpolated.
    added = torch.einsum("pc,chw->phw", _chroma_factors(matrix), chroma) - black * luma_scale
    return finished(_enlarged(added, luma.shape, centred).add_(luma, alpha=luma_scale))


def is_transparent(frame: av.VideoFrame) -> bool:
    """Return whether any sample of a frame is not opaque."""
    if not (frame.format.has_palette or any(part.is_alpha for part in frame.format.components)):
        return False
    return bool(_reformatted(frame, "rgba").to_ndarray()[..., 3].min() < 255)


def _levels(bits: int, full: bool) -> tuple[float, float, float, float]:
    """Return the level of black, the factor from luma to 0..255, the level of no chroma, and the factor of chroma."""
    one = 1 << (bits - 8)
    if full:
        return 0.0, 255 / (256 * one - 1), 128.0 * one, 255 / (256 * one - 1)
    return BLACK * one, 255 / (LUMA_SPAN * one), GREY * one, 255 / (CHROMA_SPAN * one)


def _chroma_factors(matrix: int) -> torch.Tensor:
    """Return what a unit of Cb and of Cr adds to red, green and blue: float [3, 2]."""
    if matrix == YCGCO:
        return torch.tensor([[-1.0, 1.0], [1.0, 0.0], [-1.0, -1.0]])
    kr, kb = LUMA_WEIGHTS.get(matrix, LUMA_WEIGHTS[BT601])
    red, blue = 2 * (1 - kr), 2 * (1 - kb)
    return torch.tensor([[0, red], [-kb * blue / (1 - kr - kb), -kr * red / (1 - kr - kb)], [blue, 0]])


def _constant_luminance(luma: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """Convert BT.2020 with constant luminance, 0..255, where luma is of linear light (H.273, 8.3, equations for 10)."""
    kr, kb = LUMA_WEIGHTS[9]
    y, cb, cr = (luma / 255).clamp(0, 1), chroma[0] / 255, chroma[1] / 255
    blue = y + cb * torch.where(cb > 0, 2 * 0.7910, 2 * 0.9702)
    red = y + cr * torch.where(cr > 0, 2 * 0.4969, 2 * 0.8591)
    alpha, beta = 1.09929682680944, 0.018053968510807

    def linear(value: torch.Tensor) -> torch.Tensor:
        value = value.clamp(0, 1)
        return torch.where(value < 4.5 * beta, value / 4.5, ((value + alpha - 1) / alpha) ** (1 / 0.45))

    light = ((linear(y) - kr * linear(red) - kb * linear(blue)) / (1 - kr - kb)).clamp(0, 1)
    green = torch.where(light < beta, 4.5 * light, alpha * light**0.45 - (alpha - 1))
    return torch.stack([red, green, blue]) * 255


def _enlarged(chroma: torch.Tensor, size: Sequence[int], centred: bool) -> torch.Tensor:
    """Interpolate [channels, height, width] linearly to the height and width of luma."""
    height, width = size
    for axis, length, middle in ((1, height, True), (2, width, centred)):
        factor = 1 << ((length - 1) // chroma.shape[axis]).bit_length()  # 1, 2 or 4, also where the last one is cut
        if factor > 1:
            chroma = _interpolated(chroma, axis, factor, 0.5 if middle else 0.0).narrow(axis, 0, length)
    return chroma


def _interpolated(chroma: torch.Tensor, axis: int, factor: int, offset: float) -> torch.Tensor:
    """Interpolate one axis; sample n lies at ``factor * (n + offset) - offset`` of the result."""
    count = chroma.shape[axis]
    shape = list(chroma.shape)
    shape.insert(axis + 1, factor)
    result = chroma.new_empty(shape)
    for phase in range(factor):
        at = (phase + offset) / factor - offset
        before = int(at < 0)
        of_phase = result.select(axis + 1, phase)
        left, right = chroma.narrow(axis, 0, count - 1), chroma.narrow(axis, 1, count - 1)
        torch.lerp(left, right, at + before, out=of_phase.narrow(axis, before, count - 1))
        edge = 0 if before else count - 1
        of_phase.select(axis, edge).copy_(chroma.select(axis, edge))
    return result.flatten(axis, axis + 1)


def _sibling(kind: av.VideoFormat, grey: bool, bits: int) -> str:
    """Return the planar format, in little endian, that has the same samples."""
    if grey:
        return "gray" if bits == 8 else f"gray{bits}le"
    wide, high = 64 // kind.chroma_width(64), 64 // kind.chroma_height(64)
    layout = {(1, 1): 444, (2, 1): 422, (2, 2): 420, (4, 1): 411, (1, 2): 440, (4, 4): 410}[wide, high]
    return f"yuv{layout}p" + ("" if bits == 8 else f"{bits}le")


def _planes(frame: av.VideoFrame, sibling: str) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Return the planes of a frame, float32 [height, width], after bringing it to a sibling if it has no planes."""
    if not _PLANES.fullmatch(frame.format.name):
        frame = _reformatted(frame, sibling)
    dtype = np.dtype("u1") if max(part.bits for part in frame.format.components) == 8 else np.dtype("<u2")
    return [
        np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)
        for plane in frame.planes
    ]


def _reformatted(frame: av.VideoFrame, name: str) -> av.VideoFrame:
    """Bring a frame to a format that holds its samples as they are; matrix and range only have to be equal for that."""
    span = int(frame.color_range)
    return frame.reformat(
        format=name, src_colorspace=1, dst_colorspace=1, src_color_range=span, dst_color_range=span, **_ONE_THREAD
    )
