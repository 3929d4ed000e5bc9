"""The worked example of own_objective.md: a file that preserves the answers of a small model rather than the pixels.

    python docs/task_loss.py video.mp4 [--scale 320x160] [--frames 48] [--size 60k] [--steps 1200]

Prints a line for each loss: bytes, PSNR, and how well the model's answers survive.
"""

from __future__ import annotations

import click
import torch
import torch.nn.functional as F
from torch import nn

import nvcodec
from nvcodec.cli.options import SizeType
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

MOTION_THRESHOLD = 6 / 255  # change to the next frame above which a pixel counts as moving


class MotionModel(nn.Module):
    """Tells from one picture what moves: [batch, 3, h, w], 0 to 1, to logits [batch, 1, h / 4, w / 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2, 2), nn.GELU(),
            nn.Conv2d(16, 32, 5, 2, 2), nn.GELU(),
            nn.Conv2d(32, 32, 3, 1, 1), nn.GELU(),
            nn.Conv2d(32, 1, 1),
        )  # fmt: skip

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.layers(pictures - 0.5)


def train(frames: torch.Tensor, steps: int = 400) -> MotionModel:
    """Return a model that has learned from the clip itself, uint8 [frames, 3, height, width]; any other would do."""
    torch.manual_seed(0)
    pictures = frames.float() / 255
    change = (pictures[1:] - pictures[:-1]).abs().mean(1, keepdim=True)
    moving = (
        F.adaptive_avg_pool2d(change, (-(-frames.shape[2] // 4), -(-frames.shape[3] // 4))) > MOTION_THRESHOLD
    ).float()
    model = MotionModel()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(steps):
        chosen = torch.randint(len(moving), (4,))
        loss = F.binary_cross_entropy_with_logits(model(pictures[chosen]), moving[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


class KeepsAnswers:
    """A loss: the cross-entropy of the model's answers, plus the squared error, so that pictures stay pictures."""

    def __init__(self, model: nn.Module, pixels: float = 1.0) -> None:
        self.model, self.pixels = model, pixels

    def __call__(self, decoded: torch.Tensor, source: torch.Tensor, frames: list[int]) -> torch.Tensor:
        answers = F.binary_cross_entropy_with_logits(self.model(decoded), self.model(source).sigmoid())
        return answers + self.pixels * F.mse_loss(decoded, source)


@torch.no_grad()
def agreement(model: nn.Module, decoded: torch.Tensor, source: torch.Tensor) -> float:
    """Return the intersection over union of what moves, says the model, in two clips, uint8 [frames, 3, h, w]."""
    a, b = (model(frames.float() / 255) > 0 for frames in (decoded, source))
    return float((a & b).sum() / (a | b).sum().clamp(min=1))


@click.command()
@click.argument("source")
@click.option("--scale", type=SizeType(), default="320x160")
@click.option("--frames", default=48)
@click.option("--size", default="60k")
@click.option("--steps", default=1200)
def main(source: str, scale: tuple[int, int], frames: int, size: str, steps: int) -> None:
    """Encode SOURCE for its pixels, and for the model's answers."""
    clip = read_clip(source, Selection(scale=scale, frames=frames))
    pictures = clip.frames[list(range(len(clip.frames)))]
    model = train(pictures)
    for name, loss in (("pixels", "l2"), ("the model's answers", KeepsAnswers(model))):
        encoded = nvcodec.encode(clip, size=size, steps=steps, loss=loss)
        decoded = nvcodec.open(encoded.data)[:].cpu()
        click.echo(
            f"{name}: {len(encoded.data)} bytes, {encoded.psnr:.2f} dB, "
            f"IoU of the model's answers {agreement(model, decoded, pictures):.3f}"
        )


if __name__ == "__main__":
    main()
