"""``nvcodec extract --shader``: the command, and its file in FFmpeg's filter ``libplacebo``, on any Vulkan device."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nvcodec.cli.main import run
from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.shader import shader_text
from nvcodec.format.stream_reader import read_stream

CHAIN = "format=yuv420p10,hwupload,libplacebo={}dithering=none:format=rgba,hwdownload,format=rgba"


@functools.cache
def has_vulkan() -> bool:
    """Whether there is an FFmpeg whose filter libplacebo finds a Vulkan device."""
    if not shutil.which("ffmpeg"):
        return False
    return filtered(["-f", "lavfi", "-i", "color=s=64x64:d=0.04"], CHAIN.format("")).returncode == 0


def filtered(source: list[str], chain: str) -> subprocess.CompletedProcess[bytes]:
    """Run FFmpeg; its output is raw RGBA."""
    device = ["-init_hw_device", "vulkan=gpu", "-filter_hw_device", "gpu"]
    command = ["ffmpeg", "-v", "error", *device, *source, "-vf", chain, "-f", "rawvideo", "-"]
    return subprocess.run(command, capture_output=True, timeout=60)


def test_the_file(tiny_av1_file: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    out = tmp_path / "fix.glsl"
    arguments = ["extract", str(tiny_av1_file), "--shader", "-o"]
    assert run([*arguments, str(out)]) == 0
    assert out.read_text() == shader_text(read_stream(tiny_av1_file.read_bytes()))
    assert run([*arguments, "-"]) == 0
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (out.read_bytes(), b"")
    assert run([*arguments, str(out)]) == 2
    assert capfdbinary.readouterr().err == f"nvcodec: {out} exists; -y replaces it\n".encode()
    assert run([*arguments, str(out), "-y"]) == 0


@pytest.mark.parametrize("options", [[], ["--base", "--shader"], ["--layers", "1", "--shader"]])
def test_one_thing_at_a_time(tiny_av1_file: Path, options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["extract", str(tiny_av1_file), *options, "-o", "-"]) == 2
    assert capfd.readouterr().err == "nvcodec: give one of --layers, --start or --end, --base and --shader\n"


def test_a_network_alone_has_no_shader(tiny_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["extract", str(tiny_file), "--shader", "-o", "-"]) == 2
    assert capfd.readouterr().err == f"nvcodec: {tiny_file} has no AV1 stream: it is a network alone\n"


def test_in_ffmpeg(tiny_av1_file: Path, tmp_path: Path) -> None:
    """What FFmpeg shows of the AV1 stream with the shader are the decoder's pictures, on average to 0.1 levels."""
    if not has_vulkan():
        pytest.skip("no ffmpeg with libplacebo and a Vulkan device")
    base, shader = tmp_path / "base.mp4", tmp_path / "fix.glsl"
    for option, path in (("--base", base), ("--shader", shader)):
        assert run(["extract", str(tiny_av1_file), option, "-o", str(path)]) == 0
    ran = filtered(["-i", str(base)], CHAIN.format(f"custom_shader_path={shader}:"))
    assert (ran.returncode, ran.stderr) == (0, b"")
    video = Video(read_stream(tiny_av1_file.read_bytes()), device="cpu")
    expected = video[:].permute(0, 2, 3, 1).numpy().astype(int)
    shown = np.frombuffer(ran.stdout, np.uint8).reshape(*expected.shape[:3], 4)[..., :3]
    assert np.abs(shown - expected).mean() < 0.1
    assert np.abs(shown - expected).max() <= 1
