"""Quality measures: exact values, by hand and by pytorch-msssim."""

from __future__ import annotations

import math

import pytest
import pytorch_msssim
import torch

from nvcodec import metrics


def noisy(height: int, width: int, amount: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A grey picture with Gaussian noise of standard deviation ``amount``, and without."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    clean = (128 + 100 * torch.sin(x / 9) * torch.cos(y / 7)).expand(3, -1, -1)
    spoiled = clean + amount * torch.randn(3, height, width, generator=generator)
    return tuple(v.round().clamp(0, 255).to(torch.uint8) for v in (spoiled, clean))  # type: ignore[return-value]


def coloured(height: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth picture whose channels differ, darkened, blurred and with noise; and as it was."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 255 * torch.rand(1, 3, 9, 11, generator=generator)
    clean = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    blurred = torch.nn.functional.avg_pool2d(clean, 5, 1, 2, count_include_pad=False)
    spoiled = 0.8 * blurred + 15 * torch.randn(1, 3, height, width, generator=generator)
    return tuple(v[0].round().clamp(0, 255).to(torch.uint8) for v in (spoiled, clean))  # type: ignore[return-value]


def test_psnr() -> None:
    a = torch.zeros(3, 2, 2, dtype=torch.uint8)
    b = torch.full_like(a, 5)
    assert metrics.psnr(a, a) == 100
    assert metrics.psnr(a, b) == pytest.approx(20 * math.log10(255 / 5))
    b = a.clone()
    b[1, 0, 1] = 6  # mean squared error 36 / 12
    assert metrics.psnr(a, b) == metrics.psnr(b, a) == pytest.approx(10 * math.log10(255**2 / 3))


def test_luma_is_that_of_bt601() -> None:
    picture = torch.tensor([10, 100, 200], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 2)
    assert metrics.luma(picture).flatten().tolist() == pytest.approx([2.99 + 58.7 + 22.8] * 4)


@pytest.mark.parametrize(("channel", "weight"), [(0, 0.299), (1, 0.587), (2, 0.114)])
def test_psnr_y_weights_the_channels(channel: int, weight: float) -> None:
    a = torch.full((3, 4, 4), 50, dtype=torch.uint8)
    b = a.clone()
    b[channel] += 10
    assert metrics.psnr_y(a, b) == pytest.approx(20 * math.log10(255 / (10 * weight)))


def test_chroma_is_that_of_bt601_in_means_of_2x2() -> None:
    """Pure blue has Cb 127.5 and Cr -127.5 * 0.114 / 0.701; grey has none. The last row and column are half as wide."""
    picture = torch.zeros(3, 3, 5, dtype=torch.uint8)
    picture[2, 0, 1] = 255  # one of four pixels
    picture[2, 2, 2] = 255  # one of two, in the last row
    picture[2, 2, 4] = 255  # the corner
    cb = [[127.5 / 4, 0, 0], [0, 127.5 / 2, 127.5]]
    result = metrics.chroma(picture)
    assert result[0].tolist() == [pytest.approx(row) for row in cb]
    assert result[1].tolist() == [pytest.approx([-value * 0.114 / 0.701 for value in row]) for row in cb]
    assert metrics.chroma(torch.full((3, 4, 4), 90, dtype=torch.uint8)).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("channel", "cb", "cr"), [(0, 0.299 / 1.772, 0.5), (1, 0.587 / 1.772, 0.587 / 1.402), (2, 0.5, 0.114 / 1.402)]
)
def test_psnr_chroma_weights_the_channels(channel: int, cb: float, cr: float) -> None:
    a = torch.full((3, 4, 4), 50, dtype=torch.uint8)
    b = a.clone()
    b[channel] += 10
    expected = [20 * math.log10(255 / (10 * weight)) for weight in (cb, cr)]
    assert metrics.psnr_chroma(a, b) == pytest.approx(expected)
    assert metrics.psnr_chroma(a, a) == (100, 100)


def test_psnr_611_by_hand() -> None:
    assert metrics.psnr_611(30.0, 38.0, 46.0) == 33
    a, b = coloured(20, 31, 0)
    measures = metrics.measure(a, b)
    assert measures["psnr_611"] == metrics.psnr_611(metrics.psnr_y(a, b), *metrics.psnr_chroma(a, b))


@pytest.mark.parametrize(("height", "width"), [(20, 31), (60, 80), (161, 200)])
def test_ssim_is_that_of_pytorch_msssim(height: int, width: int) -> None:
    for seed in range(3):
        a, b = coloured(height, width, seed)
        expected = pytorch_msssim.ssim(a[None].float(), b[None].float(), data_range=255, win_size=11, win_sigma=1.5)
        assert 0.05 < expected.item() < 0.95
        assert metrics.ssim(a, b) == pytest.approx(expected.item(), abs=2e-6)


@pytest.mark.parametrize(("height", "width"), [(161, 200), (176, 323)])
def test_ms_ssim_is_that_of_pytorch_msssim(height: int, width: int) -> None:
    for seed in range(3):
        a, b = coloured(height, width, seed)
        expected = pytorch_msssim.ms_ssim(a[None].float(), b[None].float(), data_range=255, win_size=11, win_sigma=1.5)
        assert 0.05 < expected.item() < 0.95
        assert metrics.ms_ssim(a, b) == pytest.approx(expected.item(), abs=2e-6)


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
    assert metrics.ms_ssim(*noisy(170, 190, 0)) == pytest.approx(1)


def test_tiny_pictures_have_an_ssim() -> None:
    assert metrics.ssim(*noisy(8, 30, 0)) == pytest.approx(1)


def test_measure_names_each_measure() -> None:
    a, b = coloured(161, 170, 0)
    assert metrics.measure(a, b) == {
        "psnr_rgb": metrics.psnr(a, b),
        "psnr_y": metrics.psnr_y(a, b),
        "psnr_cb": metrics.psnr_chroma(a, b)[0],
        "psnr_cr": metrics.psnr_chroma(a, b)[1],
        "psnr_611": metrics.psnr_611(metrics.psnr_y(a, b), *metrics.psnr_chroma(a, b)),
        "ssim": metrics.ssim(a, b),
        "ms_ssim": metrics.ms_ssim(a, b),
    }
