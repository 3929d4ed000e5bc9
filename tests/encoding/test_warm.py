"""A warm start: what a file holds comes back, and a fit that begins with it is ahead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import moving_squares, write_clip

import nvcodec
from nvcodec.cli.main import run as command
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.export.network_import import FloatArray, ImportedConv, ImportedNetwork, import_network
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.warm_start import strongest_channels, warm_start
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.errors import UsageError
from nvcodec.format.stream_reader import read_stream

CPU = torch.device("cpu")
CLIP = moving_squares(8, 32, 40)


@pytest.fixture(scope="module")
def early() -> nvcodec.Encoded:
    """A file of the clip's first half."""
    return nvcodec.encode(CLIP[:4], size=12_000, steps=400, device="cpu")


@pytest.mark.parametrize("kind", ["direct", "invertible", "none"])
def test_restored_decoders_give_the_same_pictures(kind: str) -> None:
    """In float, from the file alone, every frame is what the file decodes to, but for the rounding of activations."""
    clip = moving_squares(5, 33, 42)
    encoded = nvcodec.encode(clip, size=9_000, steps=60, skip=kind, block="rep", z_gain=1.0, device="cpu")
    video = Video(read_stream(encoded.data), device="cpu")
    fit = Fit(clip, encoded.shape, FitOptions(steps=1), CPU)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nvcodec.encoding.fit.warm_start.ENCODER_STEPS", 0)
        warm_start(fit, video)
    latents = [torch.from_numpy(latent) for latent in import_network(video.stream.segments[0].layers[0]).latents]
    for frame, picture in enumerate(video):
        with torch.no_grad():
            ours = fit.decoder([latent[frame : frame + 1] for latent in latents], fit.noise, [frame])[0]
        assert (255 * ours.clamp(0, 1) - picture).abs().max() < 2.5


def with_strengths(inputs: list[float], outputs: list[float], side: int) -> ImportedConv:
    """A convolution whose weights are the product of a number for each input and one for each output channel."""
    weight: FloatArray = np.einsum("o,i,hw->oihw", outputs, inputs, np.ones((side, side))).astype(np.float32)
    return ImportedConv(weight, np.zeros(len(outputs), np.float32))


def strongest(inputs: list[list[float]], latents: list[float]) -> list[list[int]]:
    """What a network of 2, 3 and 3 channels takes over from one of 4, 5 and 4.

    Args:
        inputs: how strongly stem, block and head read each channel.
        latents: magnitudes of the embedding's channels.
    """
    trunk = [
        with_strengths(inputs[0], [1, 2, 3, 4, 5], 1),
        with_strengths(inputs[1], [4, 4, 4, 4, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3], 3),  # four pixels per channel
        with_strengths(inputs[2], [1, 1, 1], 3),
    ]
    embedding: FloatArray = np.ones((2, 4, 3, 3), np.float32) * np.array(latents, np.float32).reshape(1, 4, 1, 1)
    stored = ImportedNetwork(trunk, [], (2,), [embedding], [])
    return strongest_channels(stored, Decoder(NetworkShape(6, 6, 2, 3, (3,), (2,), (3,))), [1, 4, 1])


def test_the_strongest_channels_are_kept() -> None:
    """By their own magnitude, where all are read alike; in the order of the file."""
    alike: list[list[float]] = [[1] * 4, [1] * 5, [1] * 4]
    assert strongest(alike, [3, 1, 2, 4]) == [[0, 3], [2, 3, 4], [0, 2, 3], [0, 1, 2]]


def test_a_channel_that_is_not_read_is_dropped() -> None:
    """Its strength counts times that of the weights that read it."""
    read: list[list[float]] = [[1, 5, 1, 0], [9, 1, 1, 1, 0], [0.1, 9, 1, 1]]
    assert strongest(read, [3, 1, 2, 4]) == [[0, 1], [0, 2, 3], [1, 2, 3], [0, 1, 2]]


def test_new_channels_have_no_influence_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in them, the pictures of a larger network are those of the file's."""
    monkeypatch.setattr("nvcodec.encoding.fit.warm_start.ENCODER_STEPS", 0)
    options = {"skip": "none", "grids": 0.0}
    small, large = (solve(size, 40, 32, 4, **options) for size in (8_000, 16_000))  # type: ignore[arg-type]
    assert large.stem > small.stem and large.channels[0] > small.channels[0]
    encoded = nvcodec.encode(CLIP[:4], size=8_000, steps=8, device="cpu", **options)  # type: ignore[arg-type]
    assert encoded.shape == small
    video = Video(read_stream(encoded.data), device="cpu")
    [embedding] = import_network(video.stream.segments[0].layers[0]).latents
    pictures = []
    for shape in (small, large):
        fit = Fit(CLIP[:4], shape, FitOptions(steps=1), CPU)
        warm_start(fit, video)
        new = torch.randn(1, shape.embedding_channels - small.embedding_channels, *shape.embedding_size)
        with torch.no_grad():
            pictures.append(fit.decoder([torch.cat([torch.from_numpy(embedding[:1]), new], 1)], [], [0]))
    torch.testing.assert_close(pictures[1], pictures[0], rtol=1e-4, atol=1e-5)


def after(steps: int, size: int, init: bytes | None, clip: torch.Tensor = CLIP[:4]) -> float:
    """PSNR after some steps of a fit, from a file or from nothing."""
    fit = Fit(clip, solve(size, 40, 32, len(clip)), FitOptions(steps=400), CPU)
    if init:
        warm_start(fit, Video(read_stream(init), device="cpu"))
    for _ in range(steps):
        fit.advance()
    return fit.finish().psnr(fit.frames)


@pytest.mark.parametrize(("size", "start"), [(12_000, 4), (15_000, 0), (10_000, 0)])
def test_a_warm_start_is_ahead(early: nvcodec.Encoded, size: int, start: int) -> None:
    """Of the frames that follow, of a larger network, of a smaller one."""
    clip = CLIP[start : start + 4]
    assert after(40, size, early.data, clip) > after(40, size, None, clip) + 1


def test_the_same_network_starts_where_the_file_ended(early: nvcodec.Encoded) -> None:
    assert after(0, 12_000, early.data) > early.psnr - 6


def test_on_the_command_line(early: nvcodec.Encoded, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, init = write_clip(tmp_path / "clip.mkv", CLIP), tmp_path / "early.sdmn"
    init.write_bytes(early.data)
    line = ["encode", str(source), "-o", str(tmp_path / "out.sdmn"), "--size", "12k", "--steps", "5", "--device", "cpu"]
    assert command([*line, "-y", "--init", str(init)]) == 0
    assert command([*line, "-y", "--init", str(source)]) == 3
    init.write_bytes(early.data[:-20])
    assert command([*line, "-y", "--init", str(init)]) == 4
    capfd.readouterr()


def test_other_networks_are_refused(early: nvcodec.Encoded) -> None:
    fit = Fit(moving_squares(4, 64, 64), solve(30_000, 64, 64, 4), FitOptions(steps=1), CPU)
    with pytest.raises(UsageError, match="strides"):
        warm_start(fit, Video(read_stream(early.data), device="cpu"))
