"""What tests share: a clip and a stream that they make themselves, and the real clips where they are to be had."""

from __future__ import annotations

import os
import signal
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import nvcodec
from nvcodec.encoding.fit.fit_loop import Progress
from nvcodec.video.sinks import open_sink

settings.register_profile("untimed", deadline=None)  # time is measured in benchmarks/, never asserted
settings.load_profile("untimed")
torch.set_num_threads(1)  # the tests run on as many processes as there are cores

CLIPS = Path(os.environ.get("NVCODEC_CLIPS", Path(__file__).parents[2] / "shared" / "clips"))
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips."""
    if not CLIPS.is_dir():
        pytest.skip("the real clips are not here; NVCODEC_CLIPS may name their folder")
    return CLIPS


def moving_squares(frames: int, height: int, width: int) -> torch.Tensor:
    """A clip with smooth shading, a hard edge and motion: uint8 [frames, 3, height, width]."""
    t = torch.arange(frames).view(-1, 1, 1, 1)
    y = torch.arange(height).view(1, 1, -1, 1)
    x = torch.arange(width).view(1, 1, 1, -1)
    channel = torch.arange(3).view(1, -1, 1, 1)
    shade = 128 + 90 * torch.sin((x + 2 * t) / 7.0 + channel) * torch.cos(y / 9.0 - channel)
    inside = (x - 2 * t - 5).abs().lt(6) & (y - height // 2).abs().lt(5)
    return torch.where(inside, 230.0 - 60 * channel, shade).round().clamp(0, 255).to(torch.uint8)


class InterruptAt:
    """A ``report`` for :func:`nvcodec.encode` that presses Ctrl-C once, at the first report from a training step on.

    Reports come every 20 training steps.

    Args:
        step: the training step.
        fit: number of the fit, where an encode has several.
    """

    def __init__(self, step: int, fit: int = 0) -> None:
        self.step, self.fit = step, fit
        self.fits_seen, self.last_step = -1, 0
        self.pressed = False

    def __call__(self, progress: Progress) -> None:
        if self.fits_seen < 0 or progress.step < self.last_step:
            self.fits_seen += 1
        self.last_step = progress.step
        if not self.pressed and self.fits_seen == self.fit and progress.step >= self.step:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)


def write_clip(path: Path, frames: torch.Tensor, fps: Fraction = Fraction(25)) -> Path:
    """Write frames, uint8 [frames, 3, height, width], to a video file or a folder of images, as the name says.

    Returns:
        ``path``, for use in one line.
    """
    height, width = frames.shape[2:]
    with open_sink(str(path), width=width, height=height, time_base=1 / fps, fps=fps) as sink:
        for index, picture in enumerate(frames.permute(0, 2, 3, 1).contiguous().numpy()):
            sink.put(picture, index, 1)
    return path


@pytest.fixture(scope="session")
def tiny_clip() -> torch.Tensor:
    return moving_squares(5, 33, 42)


@pytest.fixture(scope="session")
def tiny(tiny_clip: torch.Tensor) -> nvcodec.Encoded:
    """An encode with every part of the network, of a tiny clip with odd sides, so that there is padding to cut off."""
    return nvcodec.encode(tiny_clip, size="9k", steps=60, device="cpu", skip="invertible", block="rep", z_gain=1.0)


@pytest.fixture(scope="session")
def tiny_file(tiny: nvcodec.Encoded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.sdmn"
    path.write_bytes(tiny.data)
    return path
