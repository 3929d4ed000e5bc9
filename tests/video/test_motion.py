"""``change``, by which the encoder tells a still clip from a moving one: clips whose value is known."""

from __future__ import annotations

import math

import pytest
import torch

from nvcodec.video.motion import change


def noise(frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 3, 64, 96), generator=generator, dtype=torch.uint8)


def stripes(frames: int, pixels_per_frame: float) -> torch.Tensor:
    """Vertical stripes, 8 pixels wide, that move: uint8 [frames, 3, 32, 64]."""
    x = torch.arange(64).view(1, 1, 1, -1) - pixels_per_frame * torch.arange(frames).view(-1, 1, 1, 1)
    shade = 128 + 120 * torch.cos(2 * math.pi * x / 8)
    return shade.expand(-1, 3, 32, -1).round().to(torch.uint8)


def test_a_still_clip_does_not_change() -> None:
    assert change(noise(1).expand(12, -1, -1, -1)) == 0


def test_noise_changes_altogether() -> None:
    assert change(noise(12)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("pixels_per_frame", [0.125, 0.25, 0.5, 1, 2])
def test_a_shift_by_part_of_a_stripe(pixels_per_frame: float) -> None:
    """Half the mean square of cos(x + phase) - cos(x) is (1 - cos(phase)) times the mean square of cos(x)."""
    phase = 2 * math.pi * (4 * pixels_per_frame) / 8
    assert change(stripes(12, pixels_per_frame)) == pytest.approx(1 - math.cos(phase), abs=0.01)


def test_short_clips_are_compared_from_end_to_end() -> None:
    assert change(stripes(3, 0.5)) == pytest.approx(1 - math.cos(math.pi / 4), abs=0.01)
    assert change(noise(1)) == 0


def test_brightness_and_flat_pictures_are_no_detail() -> None:
    fade = noise(1) // 2 + 10 * torch.arange(10, dtype=torch.uint8).view(-1, 1, 1, 1)
    assert change(fade) == pytest.approx(0, abs=1e-6)
    assert change(torch.zeros(6, 3, 32, 32, dtype=torch.uint8)) == 0


def test_a_part_that_moves_counts_by_its_share() -> None:
    clip = noise(1).repeat(12, 1, 1, 1)
    clip[..., :48] = noise(12, seed=1)[..., :48]
    assert change(clip) == pytest.approx(0.5, abs=0.02)


def test_all_of_a_long_clip_is_looked_at() -> None:
    """Of 200 frames only the last 100 move."""
    clip = noise(1).repeat(200, 1, 1, 1)
    clip[100:] = noise(100, seed=1)
    assert change(clip) == pytest.approx(0.5, abs=0.05)
