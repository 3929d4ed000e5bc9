"""What tests share: a clip and a stream that they make themselves, and the real clips where they are to be had."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import types
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import nvcodec
from nvcodec.encoding.fit.fit_loop import Progress
from nvcodec.video.sinks import open_sink

pytest_plugins = ["corrections"]  # fixtures

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


class Time:
    """Stands in for the module in an encode's clocks: time passes only when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("nvcodec.encoding.clock.time", types.SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time of all clocks, which a test moves."""
    return Time(monkeypatch)


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

    Reports come every 20 training steps, and with every frame of an AV1 stream.

    Args:
        step: the training step, or the number of frames.
        fit: number of the fit, or stream, where an encode has several.
        phase: ``fit`` or ``AV1``; reports of the other one are ignored.
    """

    def __init__(self, step: int, fit: int = 0, phase: str = "fit") -> None:
        self.step, self.fit, self.phase = step, fit, phase
        self.fits_seen, self.last_step = -1, 0
        self.pressed = False

    def __call__(self, progress: Progress) -> None:
        if progress.phase != self.phase:
            return
        if self.fits_seen < 0 or progress.step < self.last_step:
            self.fits_seen += 1
        self.last_step = progress.step
        if not self.pressed and self.fits_seen == self.fit and progress.step >= self.step:
            self.pressed = True
            # Reports may come from another thread; a signal is handled by the main one.
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


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


@contextlib.contextmanager
def few_crops(count: int = 96) -> Iterator[None]:
    """Fit networks above AV1 streams to so few crops that most of an encode's time is that of its training steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nvcodec.encoding.av1.crops.MAX_CROPS", count)
        yield


@pytest.fixture(scope="session")
def tiny_av1(tiny_clip: torch.Tensor) -> nvcodec.Encoded:
    """An encode of the same clip to an AV1 stream and one network above it."""
    with few_crops():
        return nvcodec.encode(tiny_clip, crf=40.0, preset="draft", steps=60, rd_lambda=0.0, device="cpu")


@pytest.fixture(scope="session")
def tiny_av1_file(tiny_av1: nvcodec.Encoded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny-av1.sdmn"
    path.write_bytes(tiny_av1.data)
    return path


@pytest.fixture(scope="session")
def tiny_file(tiny: nvcodec.Encoded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.sdmn"
    path.write_bytes(tiny.data)
    return path
