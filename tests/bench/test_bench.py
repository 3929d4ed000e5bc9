"""The bench: BD-rate, and the command."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_clip
from hypothesis import given
from hypothesis import strategies as st

from nvcodec.bench import require_extra
from nvcodec.bench import rival_codecs as codecs
from nvcodec.bench.bd import bd_rate
from nvcodec.bench.chart import Line, chart
from nvcodec.bench.measurement import ANCHOR, Bench
from nvcodec.cli.main import run
from nvcodec.errors import UsageError
from nvcodec.metrics import psnr
from nvcodec.video.clip import Clip, steady

CURVE = [(10_000.0, 28.0), (20_000.0, 31.0), (40_000.0, 33.0), (80_000.0, 36.0)]


def test_bd_rate_by_hand() -> None:
    """The anchor's slopes are 1, 3 and 3: PCHIP's derivatives there are 0, 1.5, 3 and 3, and its integral 0.375 + 2.375
    + 5.5; the test's logarithms run straight from 1 to 10."""
    delta = bd_rate([(np.exp(y), x) for x, y in enumerate((0, 1, 4, 7))], [(np.exp(1.0), 0), (np.exp(10.0), 3)])
    assert delta is not None
    assert delta.percent == pytest.approx(100 * (np.exp((16.5 - 8.25) / 3) - 1), rel=1e-5)


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


def test_deltas_are_of_each_codec_against_the_anchor(tmp_path: Path) -> None:
    """A codec with 20 % more bytes at every quality comes to +20 %; the anchor with 16.7 % fewer would be -16.7 %."""
    bench = Bench(Clip(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), *steady(2, Fraction(25))), tmp_path, "clip", {})
    for codec, ratio in (("larger", 1.2), (ANCHOR, 1.0)):
        for size, quality in CURVE:
            bench.points.append(
                {"codec": codec, "file_bytes": ratio * size, "psnr_rgb": quality, "ms_ssim": quality / 40}
            )
    table = bench.deltas()
    assert table["anchor"] == {"codec": ANCHOR}
    for quality in ("psnr_rgb", "ms_ssim"):
        assert table[quality]["larger"]["percent"] == pytest.approx(20)
        assert table[quality][ANCHOR]["percent"] == 0


def curve_of(svg: str) -> list[tuple[float, float]]:
    """Coordinates of the only line of a chart, from the upper left corner."""
    path = re.search(r'd="([^"]*)"[^>]*stroke: #1f77b4', svg)
    assert path
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path[1])]


def test_charts_rise_to_the_upper_right() -> None:
    points = curve_of(chart("t", "x", "y", [Line("a", [(1, 30), (10, 32), (1000, 36)])], logarithmic=True))
    across, down = zip(*points, strict=True)
    assert (across[2] - across[0]) / (across[1] - across[0]) == pytest.approx(3, abs=1e-3)
    assert (down[2] - down[0]) / (down[1] - down[0]) == pytest.approx(3, abs=1e-3)
    assert across[0] < across[1]
    assert down[0] > down[1]


def test_charts_are_reproducible_and_take_any_name() -> None:
    title = "a $1 clip <in> 日本"
    svg = chart(title, "x", "y", [Line("a", [(1, 30), (10, 32)], marks=True)])
    assert svg == chart(title, "x", "y", [Line("a", [(1, 30), (10, 32)], marks=True)])
    assert "a $1 clip &lt;in&gt; 日本" in svg
    assert svg.startswith("<svg")


def test_the_extra_is_asked_for_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    require_extra()
    monkeypatch.setattr("nvcodec.bench.EXTRA_PACKAGES", ("scipy", "no_such_package"))
    with pytest.raises(UsageError, match=r'needs no_such_package: pip install "nvcodec\[bench\]"'):
        require_extra()
    assert run(["bench", "no/such/source.mkv", "-o", str(tmp_path / "bench")]) == 2
    assert "no_such_package" in capfd.readouterr().err


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
    return write_clip(tmp_path / "source.mkv", tiny_clip[:, :, :32, :40])


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
