"""Pictures of 10 bits from end to end: what is written, what both decoders make of it, and how it is measured."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_decoder
import torch

import nvcodec
from nvcodec.errors import UsageError
from nvcodec.format.operations import Add, Picture10, Table
from nvcodec.format.stream_reader import read_stream
from nvcodec.samples import with_bits

HEIGHT, WIDTH = 32, 64
AV1: dict[str, Any] = {"base": "av1", "crf": 12, "preset": "draft", "steps": 8}
CORRECTED: dict[str, Any] = {**AV1, "crf": 40, "size": "1k", "steps": 60}
ALONE: dict[str, Any] = {"size": 2500, "steps": 40}


def gradient(frames: int = 4) -> torch.Tensor:
    """A slope of a level of 10 bits each pixel, which 8 bits would make bands of four pixels of: uint16."""
    columns = np.broadcast_to(400 + np.arange(WIDTH), (HEIGHT, WIDTH))
    made = [np.stack([columns + 3 * n, columns, 900 - columns]) for n in range(frames)]
    return torch.from_numpy(np.stack(made).astype(np.uint16))


CLIP = gradient()


@pytest.fixture(scope="module")
def encoded() -> dict[str, bytes]:
    kinds = {"av1": AV1, "corrected": CORRECTED, "alone": ALONE}
    return {name: nvcodec.encode(CLIP, None, **options).data for name, options in kinds.items()}


@pytest.mark.parametrize("name", ["av1", "corrected", "alone"])
def test_both_decoders(encoded: dict[str, bytes], name: str) -> None:
    """The type from Python, the version and what the stream states; both decoders' digests."""
    video = nvcodec.open(encoded[name])
    assert (video.stream.video.sample_format, video.stream.version) == (1, (1, 3))
    pictures = video[:]
    assert (pictures.dtype, video[0].dtype, video[1:1].dtype) == (torch.uint16,) * 3
    assert pictures.shape == CLIP.shape
    stream = reference_decoder.parse(encoded[name])
    for picture, other in zip(pictures, reference_decoder.pictures(stream), strict=True):
        assert (picture.permute(1, 2, 0).numpy() == other).all()


def test_a_gradient_is_not_banded(encoded: dict[str, bytes]) -> None:
    """Nearly every level along the slope, within a level or two of the source; with 8 bits there are a quarter."""
    red = nvcodec.open(encoded["av1"])[0][0].to(torch.int32)
    assert (red - CLIP[0, 0].to(torch.int32)).abs().max() <= 3
    assert len(red[HEIGHT // 2].unique()) > 0.6 * WIDTH
    eight = nvcodec.open(nvcodec.encode(CLIP, None, **AV1, bits=8).data)
    assert (eight[0].dtype, eight.stream.version) == (torch.uint8, (1, 2))
    assert len(eight[0][0][HEIGHT // 2].unique()) <= WIDTH / 4 + 2


@pytest.mark.parametrize("name", ["av1", "corrected", "alone"])
def test_psnr(encoded: dict[str, bytes], name: str) -> None:
    """Of the peak 1023, in the file and by `compare`."""
    pictures = nvcodec.open(encoded[name])[:]
    errors = (pictures.double() - CLIP.double()).square().mean((1, 2, 3))
    expected = float((10 * torch.log10(1023**2 / errors)).mean())
    assert nvcodec.compare(CLIP, encoded[name]).psnr_rgb == pytest.approx(expected, abs=1e-9)
    stream = read_stream(encoded[name])
    if name == "alone":
        assert stream.metadata[f"psnr_rgb_{stream.layers - 1}"] == pytest.approx(expected, abs=6e-4)


def test_the_operation(encoded: dict[str, bytes]) -> None:
    ops = read_stream(encoded["av1"]).segments[0].layers[0].ops
    assert type(ops[0]) is Picture10


def test_integers_are_as_good_as_floats() -> None:
    """The integer network of a file comes as close to the source as the float network that it was made of."""
    made = nvcodec.encode(CLIP, None, size=2500, steps=150)
    assert made.fitted is not None
    assert made.psnr == pytest.approx(made.fitted.psnr(CLIP), abs=0.3)
    assert made.psnr > 30


def test_ten_bits_of_eight() -> None:
    """`bits=10` of a source of 8 bits: the same levels, in finer steps."""
    source = with_bits(CLIP, 8)
    made = nvcodec.open(nvcodec.encode(source, None, **AV1, bits=10).data)
    assert made[0].dtype == torch.uint16
    assert (with_bits(made[0], 8).int() - source[0].int()).abs().max() <= 2


def test_networks_above_an_av1_stream(encoded: dict[str, bytes]) -> None:
    """They come closer to the source than the stream, and their sums go up to 1023."""
    stream = read_stream(encoded["corrected"])
    assert [op.high for op in stream.segments[0].layers[1].ops if isinstance(op, (Add, Table))] == [1023, 1023]
    below, above = (nvcodec.compare(CLIP, encoded["corrected"], layers=layers).psnr_rgb for layers in (1, 2))
    assert above > below + 0.5


def test_layers() -> None:
    """Networks above networks; more can be added only with the same bits."""
    data = nvcodec.encode(CLIP, None, size="2500,2500", steps=20)
    stream = reference_decoder.parse(data.data)
    for layers in (1, 2):
        pictures = nvcodec.open(data.data, layers=layers)[:].permute(0, 2, 3, 1).numpy()
        assert (pictures == np.stack(list(reference_decoder.pictures(stream, layers - 1)))).all()


def test_layers_of_other_bits(encoded: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "x.sdmn"
    path.write_bytes(encoded["alone"])
    with pytest.raises(UsageError, match="has 10 bits a sample, the source 8; `bits=10` makes them equal"):
        nvcodec.encode(with_bits(CLIP, 8), None, size=2500, onto=path, steps=1)
    added = nvcodec.encode(with_bits(CLIP, 8), None, size=2500, onto=path, steps=5, bits=10)
    assert nvcodec.open(added.data)[0].dtype == torch.uint16


def test_a_warm_start(encoded: dict[str, bytes], tmp_path: Path) -> None:
    """From the network of a file of 10 bits: at once nearly as good."""
    path = tmp_path / "x.sdmn"
    path.write_bytes(encoded["alone"])
    before = nvcodec.compare(CLIP, path).psnr_rgb
    assert nvcodec.encode(CLIP, None, size=2500, init=path, steps=2).psnr > before - 3


def test_interpolated(encoded: dict[str, bytes]) -> None:
    """Between frames, too, samples have 10 bits."""
    stream = reference_decoder.parse(encoded["alone"])
    expected = list(reference_decoder.pictures(stream, None, 2))
    playback = nvcodec.open(encoded["alone"]).interpolated(2)
    for timed, other in zip(playback, expected, strict=True):
        assert (timed.picture.permute(1, 2, 0).numpy() == other).all()


def test_the_command_line(encoded: dict[str, bytes], tmp_path: Path) -> None:
    """Digests of 16-bit samples, and --bits 8 of a file of 10."""
    path = tmp_path / "x.sdmn"
    path.write_bytes(encoded["av1"])
    pictures = nvcodec.open(path)[:]
    for options, samples in ((["--md5"], pictures), (["--md5", "--bits", "8"], with_bits(pictures, 8))):
        done = subprocess.run(
            [sys.executable, "-m", "nvcodec", "decode", str(path), *options], capture_output=True, text=True, check=True
        )
        digest = hashlib.md5(samples.permute(0, 2, 3, 1).contiguous().numpy().tobytes()).hexdigest()
        assert done.stdout == f"{digest}  4 frames\n"
