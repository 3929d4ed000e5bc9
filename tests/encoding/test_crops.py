"""What networks above an AV1 stream are fitted to and for: crops, and losses, against plain formulas."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from corrections import (
    BORDER,
    CLIP,
    CPU,
    HEIGHT,
    MARGIN,
    WIDTH,
    network_of,
    shown_of,
    whole_pictures,
)

from nvcodec.encoding.av1 import crops
from nvcodec.encoding.av1.correction_loss import (
    LEAST_ERROR,
    PLANE_SHARES,
    PSNR_SHARE,
    RGB_SHARE,
    balanced_loss,
    custom_loss,
    named_loss,
    planes_loss,
    rgb_loss,
    ssim_loss,
)
from nvcodec.encoding.av1.crops import Crops, plane_squares, planes_of, take_crops
from nvcodec.encoding.fit.losses import SQUARED_ERROR, PictureLoss
from nvcodec.format.stream import Layer
from nvcodec.metrics import ssim_maps

pytestmark = pytest.mark.usefixtures("sixty_crops")


MASKS = (torch.arange(WIDTH) % 5 * 50).to(torch.uint8).expand(3, 3, HEIGHT, WIDTH)


def test_crops_are_cut_from_the_picture_with_its_margin(base: Layer, taken: Crops) -> None:
    """Each crop's source stands at even positions, and its picture below there with the border around it."""
    below = network_of(base).results([0, 1, 2])[0]
    shown = below[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert shown.shape[2:] == (HEIGHT, WIDTH)
    border, side = BORDER, crops.CROP_SIDE
    assert taken.below.shape == (60, 3, side + 2 * border, side + 2 * border)
    assert taken.below.dtype == torch.int16
    assert taken.source.shape == (60, 3, side, side)
    assert taken.source.dtype == torch.uint8
    assert taken.weights is None
    assert torch.bincount(taken.frames).tolist() == [20, 20, 20]
    positions = set()
    for source, picture, frame in zip(taken.source, taken.below, taken.frames.tolist(), strict=True):
        [(top, left)] = [
            (top, left)
            for top in range(0, HEIGHT - side + 1, 2)
            for left in range(0, WIDTH - side + 1, 2)
            if torch.equal(CLIP[frame, :, top : top + side, left : left + side], source)
        ]
        positions.add((top, left))
        row, column = top + MARGIN - border, left + MARGIN - border
        wide = side + 2 * border
        assert torch.equal(below[frame, :, row : row + wide, column : column + wide], picture)
    tops, lefts = ({position[axis] for position in positions} for axis in (0, 1))
    assert tops == set(range(0, HEIGHT - side + 1, 2))
    assert min(lefts) < 4
    assert max(lefts) == WIDTH - side


def test_borders_are_the_padded_picture(base: Layer) -> None:
    """Around a crop at the picture's edge lie copies of the edge."""
    shown = network_of(base).results([0])[0][0, :, MARGIN:-MARGIN, MARGIN:-MARGIN].float()
    padded = F.pad(shown[None], [BORDER] * 4, mode="replicate")[0]
    taken = take_crops(network_of(base), CLIP[:1], None, BORDER, MARGIN, 5)
    side = crops.CROP_SIDE + 2 * BORDER
    windows = padded.unfold(1, side, 2).unfold(2, side, 2)
    found = 0
    for picture in taken.below:
        same = (windows == picture.float()[:, None, None]).flatten(3).all(3).all(0)
        assert same.sum() == 1
        top, left = same.nonzero()[0].tolist()
        found += top == 0 or left == 0
    assert found


def test_errors_of_the_frames(base: Layer, taken: Crops) -> None:
    """Mean squares over the whole frame, of what is shown, computed here with NumPy in double precision."""
    shown = network_of(base).results([0, 1, 2])[0][..., MARGIN:-MARGIN, MARGIN:-MARGIN].double().numpy() / 4
    for frame in range(3):
        difference = shown[frame].clip(0, 255) - CLIP[frame].double().numpy()
        red, green, blue = difference
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        planes = [luma]
        for chroma in ((blue - luma) / 1.772, (red - luma) / 1.402):
            even = chroma[: HEIGHT // 2 * 2].reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3))
            last = chroma[-1].reshape(WIDTH // 2, 2).mean(1)  # the odd row has pairs only
            planes.append(np.vstack([even, last]))
        index = int((taken.frames == frame).nonzero()[0])
        np.testing.assert_allclose(taken.plane_errors[index], [np.square(plane).mean() for plane in planes], rtol=1e-4)
        np.testing.assert_allclose(taken.rgb_errors[index], np.square(difference).mean(), rtol=1e-4)
    assert (taken.plane_errors[taken.frames == 1] == taken.plane_errors[taken.frames == 1][0]).all()


def test_pictures_are_clamped_before_they_are_compared() -> None:
    """What is beyond black and white is no error where the source is white."""

    class Beyond:
        def results(self, frames: list[int]) -> list[torch.Tensor]:
            return [torch.full((1, 3, 20, 18), 4 * 280, dtype=torch.int16)]

    white = torch.full((1, 3, 18, 16), 255, dtype=torch.uint8)
    taken = take_crops(Beyond(), white, None, 1, 1, 0)  # type: ignore[arg-type]
    assert taken.plane_errors.max() < 1e-6
    assert taken.rgb_errors.max() == 0
    assert (taken.below == 4 * 280).all()


def test_crops_depend_on_the_seed(base: Layer, taken: Crops) -> None:
    again, other = (take_crops(network_of(base), CLIP, None, BORDER, MARGIN, seed) for seed in (3, 4))
    assert torch.equal(again.source, taken.source)
    assert not torch.equal(other.source, taken.source)


def test_frames_are_spread(base: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "MAX_CROP_FRAMES", 2)
    monkeypatch.setattr(crops, "MAX_CROPS", 5)
    assert take_crops(network_of(base), CLIP, None, 0, MARGIN, 0).frames.tolist() == [0, 0, 0, 2, 2]


def test_weights_of_crops(base: Layer) -> None:
    taken = take_crops(network_of(base), CLIP, MASKS, BORDER, MARGIN, 3)
    assert taken.weights is not None
    assert taken.weights.shape == taken.source.shape
    for weights in taken.weights:
        assert ((weights[0, 0].int() - weights[0, 0, 0]) % 50 == 0).all()
    # Where the source is, the mask is, too: one that is the source says so.
    mirrored = take_crops(network_of(base), CLIP, CLIP, BORDER, MARGIN, 3)
    assert mirrored.weights is not None
    assert torch.equal(mirrored.weights, mirrored.source)
    relative = taken.relative_weights(torch.arange(60))
    assert float(relative.mean()) == pytest.approx(1)
    assert torch.allclose(relative / relative.max(), taken.weights / taken.weights.max())
    assert torch.equal(taken.relative_weights(torch.tensor([7]))[0], relative[7])
    moved = taken.to(CPU)
    assert all(
        torch.equal(getattr(moved, field.name), getattr(taken, field.name)) for field in dataclasses.fields(taken)
    )


def test_planes() -> None:
    rgb = torch.tensor([255.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 3, 5)
    luma, chroma = planes_of(rgb)
    assert (luma.shape, chroma.shape) == ((1, 3, 5), (1, 2, 2, 3))
    assert torch.allclose(luma, torch.tensor(0.299 * 255))
    assert torch.allclose(chroma[:, 0], torch.tensor(-0.299 * 255 / 1.772))
    assert torch.allclose(chroma[:, 1], torch.tensor(127.5))
    grey = torch.full((1, 3, 4, 4), 9.0)
    assert plane_squares(grey).tolist() == [[pytest.approx(81), pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9)]]


def test_no_correction_costs_one(base: Layer) -> None:
    """With crops that are whole frames, errors relative to their own are 1."""
    whole = whole_pictures()
    everything = torch.arange(3)
    for loss in (planes_loss, rgb_loss, balanced_loss):
        assert float(loss(shown_of(whole, 0), whole, everything)) == pytest.approx(1, rel=1e-5)
        halved = whole.source + (shown_of(whole, 0) - whole.source) / 2
        assert float(loss(halved, whole, everything)) == pytest.approx(0.25, rel=1e-4)
        assert float(loss(whole.source.float(), whole, everything)) == 0
    # A frame of other difficulty counts as much.
    one = [float(planes_loss(shown_of(whole, 0)[[frame]], whole, everything[[frame]])) for frame in range(3)]
    assert one == [pytest.approx(1, rel=1e-5)] * 3


def test_planes_are_weighted_6_1_1(base: Layer) -> None:
    whole = whole_pictures()
    shown = shown_of(whole, 0)
    difference = shown - whole.source
    luma = (torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1) * difference).sum(1, keepdim=True)
    without_luma = float(planes_loss(shown - luma, whole, torch.arange(3)))
    without_chroma = float(planes_loss(whole.source + luma, whole, torch.arange(3)))
    assert without_luma == pytest.approx(0.25, rel=1e-4)
    assert without_chroma == pytest.approx(0.75, rel=1e-4)
    assert sum(PLANE_SHARES) == 1


def test_chroma_between_means_counts_in_the_default() -> None:
    """Noise whose means over 2x2 pixels are 0 is nothing to the planes, but to RGB."""
    whole = whole_pictures()
    shown, everything = shown_of(whole, 0), torch.arange(3)
    signs = torch.tensor([[1.0, -1], [-1, 1]]).repeat(shown.shape[2] // 2, shown.shape[3] // 2)
    # Of blue and green, so that luma stays.
    noise = torch.stack([0 * signs, -0.114 / 0.587 * signs, signs]) * 20
    planes, rgb, both = (
        float(loss(shown + noise, whole, everything) - loss(shown, whole, everything))
        for loss in (planes_loss, rgb_loss, balanced_loss)
    )
    assert abs(planes) < 0.01
    assert rgb > 1
    assert both == pytest.approx((1 - RGB_SHARE) * planes + RGB_SHARE * rgb, rel=1e-3)


def test_structure_counts_in_the_loss_for_ssim(base: Layer) -> None:
    """1 - SSIM relative to that of the pictures below, whatever crops they are."""
    whole = whole_pictures()
    shown = shown_of(whole, 0)
    for chosen in (torch.arange(3), torch.tensor([1])):
        below, source = shown[chosen], whole.source[chosen].float()
        assert float(ssim_loss(below, whole, chosen)) == pytest.approx(1, rel=1e-5)
        assert float(ssim_loss(source, whole, chosen)) == pytest.approx(0, abs=1e-6)
        between = (below + source) / 2
        margin = [5] * 4
        padded = [F.pad(picture, margin, mode="replicate") for picture in (below, between, source)]
        before, after = (1 - float(ssim_maps(picture, padded[2])[0].mean()) for picture in padded[:2])
        expected = (1 - PSNR_SHARE) * after / before + PSNR_SHARE / 4
        assert float(ssim_loss(between, whole, chosen)) == pytest.approx(expected, rel=1e-3)


def test_a_perfect_frame_is_not_divided_by_nothing(base: Layer) -> None:
    whole = whole_pictures()
    perfect = dataclasses.replace(
        whole, plane_errors=torch.zeros_like(whole.plane_errors), rgb_errors=torch.zeros_like(whole.rgb_errors)
    )
    grey = whole.source + 0.5
    assert float(rgb_loss(grey, perfect, torch.arange(3))) == pytest.approx(0.25 / LEAST_ERROR)
    assert float(planes_loss(grey, perfect, torch.arange(3))) == pytest.approx(0.75 * 0.25 / LEAST_ERROR)


@pytest.mark.parametrize(
    "loss", [planes_loss, rgb_loss, balanced_loss, ssim_loss, *map(named_loss, ("l2", "l1", "l1-ssim"))]
)
def test_weighted_losses(base: Layer, loss: Any) -> None:
    """Equal weights change nothing; those of one half leave out the other one."""
    plain = whole_pictures()
    shown, everything = shown_of(plain, 0), torch.arange(3)
    equal = whole_pictures(torch.full_like(CLIP, 7))
    assert float(loss(shown, equal, everything)) == pytest.approx(float(loss(shown, plain, everything)), rel=1e-4)
    left = torch.zeros_like(CLIP)
    left[..., : WIDTH // 2] = 100
    masked = whole_pictures(left)
    half = shown.clone()
    half[..., WIDTH // 2 + 6 :] = 0  # SSIM sees five pixels more
    assert float(loss(half, masked, everything)) == pytest.approx(float(loss(shown, masked, everything)), rel=1e-4)
    only = shown[..., : WIDTH // 2]
    if loss is rgb_loss:
        expected = (only - plain.source[..., : WIDTH // 2]).square().mean((1, 2, 3)) / plain.rgb_errors
        assert float(loss(shown, masked, everything)) == pytest.approx(float(expected.mean()), rel=1e-4)


def test_weights_of_luma_and_of_blocks(base: Layer) -> None:
    """Luma takes each pixel's weight, mean over the channels; chroma that of its 2x2 pixels."""
    masks = torch.randint(0, 256, CLIP.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    masked = whole_pictures(masks)
    assert masked.weights is not None
    weights = masked.weights.double().numpy().mean(1) / masked.weights.double().mean().item()
    luma, chroma = (
        part.double().numpy() for part in planes_of((shown_of(masked, 0) - masked.source).to(torch.float64))
    )
    blocks = weights.reshape(3, HEIGHT // 2, 2, WIDTH // 2, 2).mean((2, 4))
    expected = 0.0
    for frame in range(3):
        planes = [
            (luma[frame] ** 2 * weights[frame]).mean(),
            *(chroma[frame] ** 2 * blocks[frame]).mean((1, 2)),
        ]
        errors = np.array(planes) / masked.plane_errors[frame].double().numpy()
        expected += float(errors @ np.array(PLANE_SHARES)) / 3
    assert float(planes_loss(shown_of(masked, 0), masked, torch.arange(3))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["l2", "l1", "l1-ssim"])
def test_named_losses_are_those_of_a_network_alone(base: Layer, name: str) -> None:
    whole = whole_pictures()
    shown = shown_of(whole, 0)
    chosen = torch.tensor([2, 0])
    expected = PictureLoss(name)(shown[chosen] / 255, whole.source[chosen] / 255, [2, 0])
    assert float(named_loss(name)(shown[chosen], whole, chosen)) == pytest.approx(float(expected))


def test_custom_loss_gets_pictures_from_0_to_1(taken: Crops) -> None:
    seen: list[Any] = []

    def loss(decoded: torch.Tensor, source: torch.Tensor, frames: Any) -> torch.Tensor:
        seen.append(frames)
        return SQUARED_ERROR(decoded, source, frames)

    chosen = torch.tensor([59, 0, 25])
    shown = shown_of(taken, BORDER)[chosen]
    value = custom_loss(loss)(shown, taken, chosen)
    assert float(value) == pytest.approx(float((shown - taken.source[chosen]).square().mean()) / 255**2)
    assert seen == [[2, 0, 1]]
