"""Quality of a decoded picture compared with its source: PSNR in RGB, Y, Cb and Cr, SSIM, MS-SSIM."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from nvcodec.samples import peak_of

PSNR_MAX = 100.0  # dB; identical pictures count as this
LUMA_FACTORS = (0.299, 0.587, 0.114)  # of red, green and blue, BT.601
WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian, in pixels
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from the finest scale to the coarsest
MS_SSIM_SIDE_LIMIT = (WINDOW - 1) * 2 ** (len(MS_SSIM_WEIGHTS) - 1)  # pixels; both sides must be longer


def measure(decoded: torch.Tensor, source: torch.Tensor) -> dict[str, float | None]:
    """Return every measure by name for two RGB pictures [3, height, width]; ``ms_ssim`` may be None.

    Pictures are uint8, or uint16 with 10 bits, here and below; all measures are those of levels from 0 to 255, of which
    10 bits have fractions, or of floats that are such levels.
    """
    y, (cb, cr) = psnr_y(decoded, source), psnr_chroma(decoded, source)
    return {
        "psnr_rgb": psnr(decoded, source),
        "psnr_y": y,
        "psnr_cb": cb,
        "psnr_cr": cr,
        "psnr_611": psnr_611(y, cb, cr),
        "ssim": ssim(decoded, source),
        "ms_ssim": ms_ssim(decoded, source),
    }


def psnr(decoded: torch.Tensor, source: torch.Tensor) -> float:
    """Return the peak signal-to-noise ratio, in dB, over all samples of two pictures of equal shape."""
    return _decibel((_levels(decoded) - _levels(source)).square().mean().item())


def psnr_y(decoded: torch.Tensor, source: torch.Tensor) -> float:
    """Return the PSNR, in dB, of the luma (BT.601, full range, not rounded) of two RGB pictures [3, height, width]."""
    return _decibel((luma(decoded) - luma(source)).square().mean().item())


def psnr_chroma(decoded: torch.Tensor, source: torch.Tensor) -> tuple[float, float]:
    """Return the PSNR, in dB, of Cb and of Cr as :func:`chroma` gives them, of two RGB pictures [3, height, width]."""
    cb, cr = (chroma(decoded) - chroma(source)).square().mean((1, 2)).tolist()
    return _decibel(cb), _decibel(cr)


def psnr_611(y: float, cb: float, cr: float) -> float:
    """Return the mean of the PSNRs of Y, Cb and Cr, in dB, weighted 6:1:1 as is usual for video in 4:2:0."""
    return (6 * y + cb + cr) / 8


def luma(picture: torch.Tensor) -> torch.Tensor:
    """Return the BT.601 luma, 0 to 255, float64 [height, width], of an RGB picture [3, height, width]."""
    red, green, blue = _levels(picture)
    return LUMA_FACTORS[0] * red + LUMA_FACTORS[1] * green + LUMA_FACTORS[2] * blue


def chroma(picture: torch.Tensor) -> torch.Tensor:
    """Return Cb and Cr (BT.601, full range, about 0, not rounded) of an RGB picture [3, height, width].

    Returns:
        float64 [2, ceil(height / 2), ceil(width / 2)], -127.5 to 127.5: means over 2x2 pixels. At an odd last row or
        column, the mean is over the pixels that there are.
    """
    red, _, blue = _levels(picture)
    y = luma(picture)
    full = torch.stack([(blue - y) / (2 * (1 - LUMA_FACTORS[2])), (red - y) / (2 * (1 - LUMA_FACTORS[0]))])
    return F.avg_pool2d(full[None], 2, ceil_mode=True)[0]


def _levels(picture: torch.Tensor) -> torch.Tensor:
    """Return a picture in levels, 0 to 255, float64."""
    return picture.double() * (255 / peak_of(10)) if picture.dtype == torch.uint16 else picture.double()


def _decibel(mean_squared_error: float) -> float:
    return min(PSNR_MAX, 10 * math.log10(255**2 / mean_squared_error)) if mean_squared_error else PSNR_MAX


def ssim(decoded: torch.Tensor, source: torch.Tensor) -> float:
    """Return the structural similarity (Wang et al., 2004) of two RGB pictures [3, height, width].

    The window is a Gaussian of 11 pixels with sigma 1.5, without padding; the result is the mean over the channels.
    """
    return ssim_maps(_levels(decoded)[None].float(), _levels(source)[None].float())[0].mean().item()


def ms_ssim(decoded: torch.Tensor, source: torch.Tensor) -> float | None:
    """Return the multi-scale SSIM (Wang et al., 2003, with the published weights) of two RGB pictures.

    None where a side is 160 pixels or less, because the window would not fit into the coarsest scale.
    """
    if min(source.shape[1:]) <= MS_SSIM_SIDE_LIMIT:
        return None
    a, b = _levels(decoded)[None].float(), _levels(source)[None].float()
    product = torch.ones(3)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        similarity, contrast = (part.mean((0, 2, 3)) for part in ssim_maps(a, b))
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        product = product * (similarity if last else contrast).clamp(min=0) ** weight
        if not last:
            a, b = (
                F.avg_pool2d(x, 2, padding=(x.shape[2] % 2, x.shape[3] % 2), count_include_pad=True) for x in (a, b)
            )
    return product.mean().item()


def ssim_maps(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return SSIM, and its contrast-structure factor, at each position of the window.

    Args:
        a: pictures [batch, 3, height, width], 0 to 255.
        b: likewise.

    Returns:
        Two maps [batch, 3, height - 10, width - 10]; a side shorter than the window keeps its length.
    """
    offset = torch.arange(WINDOW, dtype=torch.float32, device=a.device) - WINDOW // 2
    window = torch.exp(-(offset**2) / (2 * SIGMA**2))
    window = (window / window.sum()).expand(3, 1, 1, WINDOW)

    def blur(x: torch.Tensor) -> torch.Tensor:
        # A picture narrower or lower than the window is not blurred in that direction.
        if x.shape[3] >= WINDOW:
            x = F.conv2d(x, window, groups=3)
        return F.conv2d(x, window.transpose(2, 3), groups=3) if x.shape[2] >= WINDOW else x

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    contrast = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1) * contrast, contrast
