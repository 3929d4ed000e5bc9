import pytest
import torch

from nvcodec import metrics


def noisy(height: int, width: int, amount: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    clean = (128 + 100 * torch.sin(x / 9) * torch.cos(y / 7)).expand(3, -1, -1)
    spoiled = clean + amount * torch.randn(3, height, width, generator=generator)
    return tuple(v.round().clamp(0, 255).to(torch.uint8) for v in (spoiled, clean))  # type: ignore[return-value]


def test_psnr() -> None:
    a = torch.zeros(3, 4, 4, dtype=torch.uint8)
    b = torch.full_like(a, 5)
    assert metrics.psnr(a, a) == 100
    assert metrics.psnr(a, b) == pytest.approx(34.1514, abs=1e-3)
    assert metrics.psnr_y(a, b) == pytest.approx(34.1514, abs=1e-3)


def test_ssim_falls_with_noise() -> None:
    values = [metrics.ssim(*noisy(60, 80, amount)) for amount in (0, 5, 20, 60)]
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True)


def test_ssim_of_constant_pictures_is_the_luminance_term() -> None:
    a, b = torch.full((3, 20, 20), 100, dtype=torch.uint8), torch.full((3, 20, 20), 120, dtype=torch.uint8)
    c1 = (0.01 * 255) ** 2
    assert metrics.ssim(a, b) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1), abs=1e-4)


def test_ms_ssim_needs_more_than_160() -> None:
    assert metrics.ms_ssim(*noisy(160, 400, 9)) is None
    value = metrics.ms_ssim(*noisy(161, 170, 9))
    assert value is not None
    assert 0.8 < value < 1
    assert metrics.ms_ssim(*noisy(170, 190, 0)) == pytest.approx(1)


def test_tiny_pictures_have_an_ssim() -> None:
    assert metrics.ssim(*noisy(8, 30, 0)) == pytest.approx(1)
