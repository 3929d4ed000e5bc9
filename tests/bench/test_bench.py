"""The bench: BD-rate, and the command."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nvcodec.bench import rival_codecs as codecs
from nvcodec.bench.bd import bd_rate, pchip
from nvcodec.cli.main import run
from nvcodec.metrics import psnr
from nvcodec.video.sinks import open_sink

RISING = st.lists(st.floats(0.01, 10.0), min_size=2, max_size=8)


def test_pchip_by_hand() -> None:
    """Slopes 1, 0, 3: flat at both inner points, 1.5 and 4.5 at the ends."""
    x, y = np.array([0.0, 1, 2, 3]), np.array([0.0, 1, 1, 4])
    assert pchip(x, y, np.array([0.5, 1.5, 2.5])).tolist() == [0.6875, 1.0, 1.9375]


@given(RISING, RISING)
def test_pchip_is_monotone_and_meets_its_points(across: list[float], up: list[float]) -> None:
    count = min(len(across), len(up))
    x, y = np.cumsum(across[:count]), np.cumsum(up[:count])
    assert np.allclose(pchip(x, y, x), y)
    dense = pchip(x, y, np.linspace(x[0], x[-1], 200))
    assert (np.diff(dense) >= -1e-9 * y[-1]).all()


CURVE = [(10_000.0, 28.0), (20_000.0, 31.0), (40_000.0, 33.0), (80_000.0, 36.0)]


@given(st.floats(0.1, 10.0))
def test_a_constant_ratio_is_the_delta(ratio: float) -> None:
    delta = bd_rate(CURVE, [(size * ratio, quality) for size, quality in CURVE])
    assert delta is not None
    assert delta.percent == pytest.approx(100 * (ratio - 1), abs=1e-6)
    assert (delta.low, delta.high, delta.overlap) == (28.0, 36.0, 1.0)


def test_delta_over_the_overlap() -> None:
    delta = bd_rate(CURVE, [(5_000.0, 31.0), (20_000.0, 36.0), (99_000.0, 35.0), (70_000.0, 40.0)])
    assert delta is not None
    assert (delta.low, delta.high) == (31.0, 36.0)
    assert delta.overlap == pytest.approx(5 / 12)
    assert delta.percent == pytest.approx(-77.4, abs=0.1)


@pytest.mark.parametrize("test", [[], [(9.0, 30.0)], [(9.0, 20.0), (19.0, 27.0)]])
def test_no_delta_without_common_quality(test: list[tuple[float, float]]) -> None:
    assert bd_rate(CURVE, test) is None


@pytest.mark.parametrize("name", codecs.CODECS)
def test_other_codecs(tmp_path: Path, name: str) -> None:
    codec = codecs.CODECS[name]
    if not codecs.available(codec):
        pytest.skip(f"PyAV was built without {codec.encoder}")
    ramp = torch.arange(96).view(1, 1, 1, -1) + 8 * torch.arange(7).view(-1, 1, 1, 1)
    frames = (64 + ramp).expand(7, 3, 64, 96).to(torch.uint8)
    sizes = []
    for quality in codec.qualities[:: len(codec.qualities) - 1]:
        path = tmp_path / f"{quality}.{codec.suffix}"
        assert codecs.encode(codec, quality, frames, Fraction(25), path) > 0
        decoded = list(codecs.decode(path))
        assert len(decoded) == 7
        assert min(psnr(a, b) for a, b in zip(decoded, frames, strict=True)) > 25
        sizes.append(path.stat().st_size)
    assert sizes[0] >= sizes[1]


@pytest.fixture
def source(tmp_path: Path, tiny_clip: torch.Tensor) -> Path:
    path = tmp_path / "source.mkv"
    with open_sink(str(path), width=40, height=32, time_base=Fraction(1, 25), fps=Fraction(25)) as sink:
        for place, picture in enumerate(tiny_clip[:, :, :32, :40].permute(0, 2, 3, 1).contiguous().numpy()):
            sink.put(picture, place, 1)
    return path


def test_bench(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bench"
    line = ["bench", str(source), "-o", str(folder), "--sizes", "6k,9k", "--steps", "12", "-j", "1", "--device", "cpu"]
    assert run([*line, "--codec", "x264", "--json"]) == 0
    results = json.loads(capfd.readouterr().out)
    assert {point["codec"] for point in results["points"]} == {"x264 medium, no B", "x264 veryslow"}
    held = (folder / "results.json").read_text()
    assert run([*line, "--codec", "x264", "--codec", "nvcodec", "--json"]) == 0
    results = json.loads(capfd.readouterr().out)
    points = results["points"]
    assert points[:12] == json.loads(held)["points"]
    assert {point["codec"] for point in points[12:]} == {"nvcodec", "nvcodec, bytes do not count"}
    for point in points:
        assert (folder / point["file"]).stat().st_size == point["file_bytes"]
        assert point["psnr_rgb"] > 5
        assert point["ms_ssim"] is None
        assert min(point["encode_seconds"], point["decode_seconds"]) > 0
    anchor = results["bd_rate"]["anchor"]["codec"]
    assert results["bd_rate"]["psnr_rgb"][anchor]["percent"] == 0
    page = (folder / "index.html").read_text()
    assert page.count("<img") == 5
    assert "x264 veryslow" in page
    assert (folder / "psnr_rgb.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("more", [["--codec", "mpeg-9"], ["--sizes", "small"], ["--scale", "8"]])
def test_bad_usage(source: Path, tmp_path: Path, more: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", str(source), "-o", str(tmp_path / "bench"), *more]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_results_of_something_else(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ["bench", str(source), "-o", str(tmp_path / "bench"), "--codec", "x264 medium"]
    assert run([*line, "--frames", "2"]) == 0
    assert run([*line, "--frames", "3"]) == 3
    (tmp_path / "bench" / "results.json").write_text("[]")
    assert run([*line, "--frames", "2"]) == 3
    (tmp_path / "file").write_text("")
    assert run([*line[:3], str(tmp_path / "file"), *line[4:]]) == 3
    assert all(line.startswith("nvcodec: ") for line in capfd.readouterr().err.splitlines())
