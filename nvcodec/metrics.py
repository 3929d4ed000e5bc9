"""How near a decoded picture is to its source: PSNR, SSIM, MS-SSIM."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

IDENTICAL = 100.0  # dB that identical pictures count as
WINDOW, SIGMA = 11, 1.5
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_LEAST = (WINDOW - 1) * 2 ** (len(MS_SSIM_WEIGHTS) - 1)  # a side must be longer than this


def measure(decoded: torch.Tensor, source: torch.Tensor) -> dict[str, float | None]:
    """All measures of two pictures, uint8 [3, height, width], by name; ``ms_ssim`` may be None."""
    return {
        "psnr_rgb": psnr(decoded, source),
        "psnr_y": psnr_y(decoded, source),
        "ssim": ssim(decoded, source),
        "ms_ssim": ms_ssim(decoded, source),
    }


def psnr(decoded: torch.Tensor, source: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two 8-bit pictures of one shape, over all their samples."""
    return _decibel((decoded.double() - source.double()).square().mean().item())


def psnr_y(decoded: torch.Tensor, source: torch.Tensor) -> float:
    """PSNR of the luma (BT.601, full range, not rounded) of two RGB pictures [3, height, width]."""
    return _decibel((luma(decoded) - luma(source)).square().mean().item())


def luma(picture: torch.Tensor) -> torch.Tensor:
    """Y' of BT.601, 0 to 255, of an RGB picture [3, height, width]."""
    red, green, blue = picture.double()
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _decibel(error: float) -> float:
    return min(IDENTICAL, 10 * math.log10(255**2 / error)) if error else IDENTICAL


def ssim(decoded: torch.Tensor, source: torch.Tensor) -> float:
    """Structural similarity (Wang et al., 2004) of two RGB pictures [3, height, width]: Gaussian window of 11 pixels
    and sigma 1.5, no padding, mean over the channels."""
    return ssim_maps(decoded[None].float(), source[None].float())[0].mean().item()


def ms_ssim(decoded: torch.Tensor, source: torch.Tensor) -> float | None:
    """Multi-scale SSIM (Wang et al., 2003) with its five published weights; None where a side is 160 or less, because
    the window would not fit the smallest scale."""
    if min(source.shape[1:]) <= MS_SSIM_LEAST:
        return None
    a, b = decoded[None].float(), source[None].float()
    product = torch.ones(3)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        whole, contrast = (part.mean((0, 2, 3)) for part in ssim_maps(a, b))
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        product = product * (whole if last else contrast).clamp(min=0) ** weight
        if not last:
            a, b = (
                F.avg_pool2d(x, 2, padding=(x.shape[2] % 2, x.shape[3] % 2), count_include_pad=True) for x in (a, b)
            )
    return product.mean().item()


def ssim_maps(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """SSIM and its contrast-structure part at each place of the window, of pictures [batch, 3, height, width] in 0 to
    255; where a side is at least the window's it comes out ``WINDOW - 1`` shorter."""
    place = torch.arange(WINDOW, dtype=torch.float32, device=a.device) - WINDOW // 2
    window = torch.exp(-(place**2) / (2 * SIGMA**2))
    window = (window / window.sum()).expand(3, 1, 1, WINDOW)

    def blur(x: torch.Tensor) -> torch.Tensor:
        # A side shorter than the window is not blurred along it.
        if x.shape[3] >= WINDOW:
            x = F.conv2d(x, window, groups=3)
        return F.conv2d(x, window.transpose(2, 3), groups=3) if x.shape[2] >= WINDOW else x

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    contrast = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1) * contrast, contrast
