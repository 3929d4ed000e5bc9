"""Losses by name, weights a pixel, and what goes wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import few_crops, moving_squares, write_clip

import nvcodec
from nvcodec.cli.main import run as command
from nvcodec.encoding.encode_config import LOSSES
from nvcodec.encoding.fit.losses import PictureLoss, checked, identity
from nvcodec.errors import UsageError
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr, ssim

CLIP = moving_squares(4, 32, 40)


def masks() -> torch.Tensor:
    """White on the left half."""
    weights = torch.zeros_like(CLIP)
    weights[..., :20] = 255
    return weights


def test_values() -> None:
    a, b = torch.rand(2, 2, 3, 24, 30)
    assert PictureLoss("l2")(a, b, [0, 1]).item() == pytest.approx((a - b).square().mean().item())
    assert PictureLoss("l1")(a, b, [0, 1]).item() == pytest.approx((a - b).abs().mean().item())
    flat = torch.full((1, 3, 24, 30), 0.25)
    assert PictureLoss("l1-ssim")(flat, flat, [0]).item() == pytest.approx(0, abs=1e-6)
    # Away from the border the structure part is the one that `compare` reports.
    middle = (slice(None), slice(None), slice(5, -5), slice(5, -5))
    one = PictureLoss("l1-ssim", torch.ones(1, 3, 24, 30, dtype=torch.uint8))
    inner = torch.zeros(1, 3, 24, 30, dtype=torch.uint8)
    inner[middle] = 1
    weighted = PictureLoss("l1-ssim", inner)(a[:1], b[:1], [0]).item()
    expected = 0.7 * (a - b)[:1][middle].abs().mean().item() + 0.3 * (1 - ssim(255 * a[0], 255 * b[0]))
    assert weighted == pytest.approx(expected, rel=1e-3)
    assert one(a[:1], b[:1], [0]).item() == pytest.approx(PictureLoss("l1-ssim")(a[:1], b[:1], [0]).item())


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite(name: str) -> None:
    decoded = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    PictureLoss(name)(decoded, torch.full((1, 3, 16, 16), 0.5), [0]).backward()
    assert decoded.grad is not None and decoded.grad.isfinite().all()


def test_only_ratios_of_weights_count() -> None:
    a, b = torch.rand(2, 1, 3, 32, 40)
    some = PictureLoss("l2", masks() // 255)(a, b, [1])
    assert some.item() == pytest.approx(PictureLoss("l2", masks())(a, b, [1]).item())
    assert some.item() == pytest.approx((a - b)[..., :20].square().mean().item())
    assert PictureLoss("l2", torch.full_like(CLIP, 7))(a, b, [0]).item() == pytest.approx(
        (a - b).square().mean().item()
    )


@pytest.mark.parametrize("frames", [[0], [2], [3, 1], [1, 1]])
def test_weights_are_those_of_the_frame(frames: list[int]) -> None:
    """Masks that differ from frame to frame: one corner more in each."""
    weights = torch.zeros_like(CLIP)
    for frame, corner in enumerate(((0, 0), (0, 39), (31, 0), (31, 39))):
        weights[frame:, :, corner[0], corner[1]] = 60
    a, b = torch.rand(2, len(frames), 3, 32, 40)
    errors = (a - b).square() * weights[frames] / weights.double().mean()
    assert PictureLoss("l2", weights)(a, b, frames).item() == pytest.approx(errors.mean().item(), rel=1e-5)


def test_identity() -> None:
    names = {identity(PictureLoss(name)) for name in LOSSES}
    assert len(names | {identity(PictureLoss("l2", masks())), identity(PictureLoss("l2", CLIP))}) == 5
    assert identity(PictureLoss("l2", masks())) == identity(PictureLoss("l2", masks()))


@pytest.mark.parametrize("base", ["none", "av1"])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda a, b, _: (a.detach() - b).square().mean(), "the loss has no gradient: it must be computed with torch"),
        (lambda a, b, _: (a - b).square().mean().item(), "the loss must be a tensor of one number, got float"),
        (
            lambda a, b, _: (a - b).square().mean((2, 3)),
            r"the loss must be one number, got a tensor of shape \(\d+, 3\)",
        ),
        (lambda a, b, _: None, "the loss must be a tensor of one number, got NoneType"),
    ],
)
def test_losses_that_cannot_be_minimised(base: str, loss: Any, message: str) -> None:
    options: dict[str, Any] = {"size": "5k"} if base == "none" else {"preset": "draft", "crf": 60.0}
    with few_crops(16), pytest.raises(UsageError, match=message):
        nvcodec.encode(CLIP, base=base, loss=loss, steps=3, device="cpu", **options)


def test_losses_in_a_joint_fit() -> None:
    """A loss that loses its gradient late."""
    calls = 0

    def loss(a: torch.Tensor, b: torch.Tensor, _: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return ((a if calls <= 8 else a.detach()) - b).square().mean()

    with pytest.raises(UsageError, match="the loss has no gradient"):
        nvcodec.encode(CLIP, size="5k,5k", joint=True, loss=loss, steps=4, device="cpu")
    assert calls == 9


def test_a_loss_that_is_only_measured_needs_no_gradient() -> None:
    with torch.no_grad():
        assert checked(torch.tensor(3.0)) == 3


def test_weights_from_a_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Masks are cut as the source is, and what they show comes out better."""
    for name, pictures in (("clip.mkv", CLIP), ("masks", masks()), ("few", masks()[:2]), ("black", 0 * CLIP)):
        write_clip(tmp_path / name, pictures)
    out = tmp_path / "out.sdmn"
    common = ["encode", str(tmp_path / "clip.mkv"), "-o", str(out), "--size", "12k", "--device", "cpu", "-y", "-q"]
    line = [*common, "--start", "1", "--frames", "2", "--steps", "200", "--loss", "l1"]
    assert command([*line, "--weights", str(tmp_path / "masks")]) == 0
    pictures = nvcodec.open(read_stream(out.read_bytes()), device="cpu")[:]
    left, right = (psnr(pictures[..., half], CLIP[1:3][..., half]) for half in (slice(0, 20), slice(20, 40)))
    assert left > right + 6
    for folder, code, said in (("few", 2, "for every frame"), ("black", 2, "zero"), ("none", 3, "none")):
        capfd.readouterr()
        assert command([*common, "--steps", "2", "--weights", str(tmp_path / folder)]) == code
        assert said in capfd.readouterr().err
    with pytest.raises(UsageError, match="has to weight by itself"):
        nvcodec.encode(CLIP, size=12_000, steps=2, loss=lambda a, b, frames: (a - b).mean(), weights=masks())
    with pytest.raises(UsageError, match="`loss` is one of"):
        nvcodec.encode(CLIP, size=12_000, steps=2, loss="l3")


def test_the_worked_example() -> None:
    """docs/task_loss.py: the loss keeps more of the model's answers than one of pixels does."""
    import importlib.util

    path = Path(__file__).parents[2] / "docs" / "task_loss.py"
    spec = importlib.util.spec_from_file_location("task_loss", path)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    clip = moving_squares(6, 48, 64)
    model = example.train(clip, 150)
    kept = []
    for loss in ("l2", example.KeepsAnswers(model)):
        encoded = nvcodec.encode(clip, size=6_000, steps=150, loss=loss, device="cpu")
        decoded = nvcodec.open(read_stream(encoded.data), device="cpu")[:]
        answers = (model(decoded.float() / 255).sigmoid() - model(clip.float() / 255).sigmoid()).square().mean()
        kept.append(float(answers))
        assert 0 <= example.agreement(model, decoded, clip) <= 1
    assert kept[1] < 0.5 * kept[0]
