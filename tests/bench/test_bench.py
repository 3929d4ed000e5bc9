"""The bench: BD-rate, and the command."""

from __future__ import annotations

import dataclasses
import json
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import moving_squares, write_clip
from hypothesis import given
from hypothesis import strategies as st

from nvcodec.bench import report, require_extra
from nvcodec.bench import rival_codecs as codecs
from nvcodec.bench.bd import bd_rate
from nvcodec.bench.chart import Line, chart
from nvcodec.bench.measurement import ALONE, ANCHOR, OURS, PLAIN, Bench, Task, choose
from nvcodec.cli.main import run
from nvcodec.errors import InputError, UsageError
from nvcodec.metrics import psnr
from nvcodec.video.clip import Clip, steady
from nvcodec.video.yuv import PIXEL_FORMATS, rgb_to_yuv420, yuv420_to_rgb

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


def bench_of(folder: Path, *codecs: tuple[str, float]) -> Bench:
    """Results of codecs with so many times the bytes of CURVE, and with other ratios by other measures than RGB."""
    bench = Bench(Clip(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), *steady(2, Fraction(25))), folder, "clip", {})
    for codec, ratio in codecs:
        for size, quality in CURVE:
            more = {"at": 1, "ms_ssim": quality / 40, "encode_seconds": 1.0, "decode_seconds": 0.5}
            psnrs = {"psnr_rgb": quality, "psnr_y": quality + 1, "psnr_611": quality + 3}
            bench.points.append({"codec": codec, "file_bytes": ratio * size, **psnrs, **more})
    return bench


def test_deltas_are_of_each_codec_against_the_anchor(tmp_path: Path) -> None:
    """A codec with 20 % more bytes at every quality comes to +20 %; the anchor with 16.7 % fewer would be -16.7 %."""
    table = bench_of(tmp_path, ("larger", 1.2), (ANCHOR, 1.0)).deltas()
    assert set(table) == {ANCHOR}
    assert set(table[ANCHOR]) == {"psnr_rgb", "psnr_y", "psnr_611", "ms_ssim"}
    for deltas in table[ANCHOR].values():
        assert deltas["larger"]["percent"] == pytest.approx(20)
        assert deltas[ANCHOR]["percent"] == 0
    assert [table[ANCHOR][name]["larger"]["low"] for name in ("psnr_rgb", "psnr_y", "psnr_611")] == [28, 29, 31]


def test_every_anchor_that_was_measured(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, ("larger", 1.5), ("SVT-AV1 preset 2", 0.5), (ANCHOR, 1.0))
    table = bench.deltas()
    assert list(table) == [ANCHOR, "SVT-AV1 preset 2"]
    assert table["SVT-AV1 preset 2"]["psnr_y"]["larger"]["percent"] == pytest.approx(200)
    assert list(bench_of(tmp_path / "none", ("larger", 1.5), ("smaller", 1.0)).deltas()) == ["larger"]
    assert Bench(bench.clip, tmp_path / "empty", "clip", {}).deltas() == {}


def test_tables_of_the_report(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, ("larger", 1.5), ("x265 veryslow", 0.5), (ANCHOR, 1.0))
    for point in bench.points[:4]:
        point["psnr_y"] += 100  # nothing in common
        point["ms_ssim"] = None
    first, second = report.bd_tables(bench)
    assert first[0] == [f"BD-rate against {ANCHOR}", "by RGB", "by Y", "by 6:1:1", "by MS-SSIM", "over", "overlap"]
    assert first[1] == ["larger", "+50.0 %", "-", "+50.0 %", "-", "28.00 to 36.00 dB", "100%"]
    assert second[0][0] == "BD-rate against x265 veryslow"
    assert second[1][1:4] == ["+200.0 %", "-", "+200.0 %"]
    points = report.point_rows(bench)
    assert points[0][3:8] == ["bytes", "RGB", "Y", "6:1:1", "MS-SSIM"]
    assert points[1] == ["larger", "1", "-", "15000.0", "28.00 dB", "129.00 dB", "31.00 dB", "-", "2.00", "4.00"]
    assert set(report.charts(bench)) == {"psnr_rgb", "psnr_y", "psnr_611", "ms_ssim"}


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
        encoding = codecs.encode(codec, quality, frames, path, threads=1)
        assert encoding.seconds > 0
        decoded, seconds = codecs.decode(path, threads=1)
        assert seconds > 0
        assert len(decoded) == 7
        assert min(psnr(a, b) for a, b in zip(decoded, frames, strict=True)) > 25
        framing = 32 + 12 * 7 if codec.suffix == "ivf" else 0
        assert path.stat().st_size - encoding.file_bytes == framing
        sizes.append(encoding.file_bytes)
    assert sizes[0] >= sizes[1]
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).format.name == PIXEL_FORMATS[codec.bits]


NAMED = {
    "x265 veryslow": ("libx265", "yuv420p"),
    "x265 veryslow, chroma -6": ("libx265", "yuv420p"),
    "x265 veryslow, 10 bits": ("libx265", "yuv420p10le"),
    "SVT-AV1 preset 2": ("libsvtav1", "yuv420p"),
    "SVT-AV1 preset 2, 10 bits": ("libsvtav1", "yuv420p10le"),
}


def test_names_say_what_is_measured() -> None:
    for name, (encoder, pixels) in NAMED.items():
        codec = codecs.CODECS[name]
        assert (codec.encoder, PIXEL_FORMATS[codec.bits]) == (encoder, pixels)
    for name, codec in codecs.CODECS.items():
        assert (codec.bits == 10) == ("10 bits" in name)
        assert (codec.suffix == "ivf") == ("VP9" in name)  # it has no elementary stream that could be a file
        assert ("cbqpoffs=-6:crqpoffs=-6" in codec.options.get("x265-params", "")) == ("chroma -6" in name)
        assert codec.default == ("10 bits" not in name and "chroma" not in name)
        assert all(codec.options["preset"] == word for word in ("medium", "veryslow") if word in name)


def test_an_encoder_without_these_bits_is_not_available() -> None:
    vp9 = codecs.CODECS["VP9 good, cpu-used 1"]
    assert not codecs.available(dataclasses.replace(vp9, encoder="mpeg-9"))
    if codecs.available(vp9):
        assert not codecs.available(dataclasses.replace(vp9, bits=10))


@pytest.mark.parametrize("name", ["x265 veryslow", "SVT-AV1 preset 6", "VP9 good, cpu-used 1"])
def test_threads_do_not_change_the_bytes(tmp_path: Path, name: str, tiny_clip: torch.Tensor) -> None:
    codec = codecs.CODECS[name]
    if not codecs.available(codec):
        pytest.skip(f"PyAV was built without {codec.encoder}")
    frames = tiny_clip[:, :, :32, :40].repeat_interleave(4, 2).repeat_interleave(4, 3)
    paths = [tmp_path / f"{threads}.{codec.suffix}" for threads in (1, 2, 7)]
    for threads, path in zip((1, 2, 7), paths, strict=True):
        codecs.encode(codec, 28, frames, path, threads)
    assert len({path.read_bytes() for path in paths}) == 1


def test_ten_bits(tmp_path: Path) -> None:
    """A source with 10 bits: rivals that can get 10, pictures come back with 10, and the results say how many."""
    for name, bits in (("x264 veryslow", 10), ("SVT-AV1 preset 6", 10), ("VP9 good, cpu-used 1", 8)):
        codec = codecs.CODECS[name]
        if codecs.available(codec):
            assert codecs.with_bits_of(codec, 10) == dataclasses.replace(codec, bits=bits)
            assert codecs.with_bits_of(codec, 8) is codec or codecs.with_bits_of(codec, 8) == codec
    slope = (300 + torch.arange(96, dtype=torch.int32)).expand(3, 3, 64, 96).to(torch.uint16)
    bench = Bench(Clip(slope, *steady(3, Fraction(25))), tmp_path, "slope", {"preset": "draft", "steps": 3})
    assert bench.results["clip"]["bits"] == 10
    for name, least in (("x264 veryslow", 50), (OURS, 45)):
        point = bench.measure(Task(name, 18))
        assert point["bits"] == 10
        assert point["psnr_rgb"] > least
    assert ", 10 bits, 3 frames" in report.page(bench)
    assert [row[2] for row in report.point_rows(bench)] == ["bits", "10", "10"]
    assert (tmp_path / "source.png").read_bytes()[24] == 16


@pytest.mark.parametrize(("name", "width"), [("x264 medium, no B", 41), ("x265 medium, no B", 40)])
def test_pictures_that_an_encoder_refuses(tmp_path: Path, name: str, width: int) -> None:
    """Odd sides; widths at which libx265 would end the process."""
    codec = codecs.CODECS[name]
    frames = torch.zeros(2, 3, 32, width, dtype=torch.uint8)
    with pytest.raises(InputError, match=rf"^{codec.encoder} cannot encode [\w :]+$"):
        codecs.encode(codec, 30, frames, tmp_path / "out", threads=1)


def test_encoders_get_the_threads() -> None:
    """On so few cores and such small frames the bytes do not show how many frames x265 encodes at once."""
    x265, svt = codecs.CODECS["x265 medium, no B"], codecs.CODECS["SVT-AV1 preset 2"]
    assert codecs.thread_options(x265, 7) == {"x265-params": "log-level=none:info=0:bframes=0:pools=7:frame-threads=1"}
    assert codecs.thread_options(svt, 7) == {"svtav1-params": "lp=4"}


def test_chroma_is_converted_accurately(tmp_path: Path) -> None:
    """With a lossless encoder between, what is left is the conversion of nvcodec.video.yuv and no other."""
    clip = moving_squares(3, 64, 96)
    x264 = dataclasses.replace(codecs.CODECS["x264 medium, no B"], options={"preset": "medium", "qp": "0"})
    path = tmp_path / "lossless.h264"
    codecs.encode(x264, 0, clip, path, threads=1)
    decoded, _ = codecs.decode(path, threads=1)
    for picture, original in zip(decoded, clip, strict=True):
        assert torch.equal(picture, yuv420_to_rgb(rgb_to_yuv420(original, 8), 8))


def test_choice_of_codecs() -> None:
    usual = choose([])
    assert {"x265 medium, no B", "x265 veryslow", "SVT-AV1 preset 2", OURS, ALONE, PLAIN} < set(usual)
    assert "SVT-AV1 preset 2, 10 bits" not in usual
    assert choose(["svt-av1 PRESET 2"]) == ["SVT-AV1 preset 2"]
    assert choose(["preset 2"]) == ["SVT-AV1 preset 2", "SVT-AV1 preset 2, 10 bits"]
    assert choose(["nvcodec", "x265 m"]) == ["x265 medium, no B", OURS]
    assert choose(["nvcodec,"]) == [ALONE, PLAIN]
    assert {OURS, ALONE, PLAIN} & set(choose([], ["av1"])) == {OURS}
    assert choose(["nvcodec,"], ["av1"]) == []
    assert choose(["mpeg-9"]) == []


@pytest.fixture
def source(tmp_path: Path, tiny_clip: torch.Tensor) -> Path:
    return write_clip(tmp_path / "source.mkv", tiny_clip[:, :, :32, :40])


def test_bench(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bench"
    line = ["bench", str(source), "-o", str(folder), "--sizes", "6k,9k", "--steps", "12", "-j", "1", "--device", "cpu"]
    line += ["--base", "none"]
    assert run([*line, "--codec", "x264", "--json"]) == 0
    results = json.loads(capfd.readouterr().out)
    assert {point["codec"] for point in results["points"]} == {"x264 medium, no B", "x264 veryslow"}
    held = (folder / "results.json").read_text()
    assert run([*line, "--codec", "x264", "--codec", "nvcodec,", "--json"]) == 0
    results = json.loads(capfd.readouterr().out)
    points = results["points"]
    assert points[:12] == json.loads(held)["points"]
    assert {point["codec"] for point in points[12:]} == {ALONE, PLAIN}
    for point in points:
        assert (folder / point["file"]).stat().st_size == point["file_bytes"]
        assert point["psnr_rgb"] > 5
        assert point["ms_ssim"] is None
        assert min(point["encode_seconds"], point["decode_seconds"]) > 0
    ((anchor, deltas),) = results["bd_rate"].items()
    assert anchor == "x264 medium, no B"
    assert deltas["psnr_rgb"][anchor]["percent"] == deltas["psnr_611"][anchor]["percent"] == 0
    page = (folder / "index.html").read_text()
    assert page.count("<img") == 5
    assert "x264 veryslow" in page
    for quality in ("psnr_rgb", "psnr_y", "psnr_611"):
        assert (folder / f"{quality}.svg").read_text().startswith("<svg")
    assert run([*line, "--codec", "x264"]) == 0  # nothing is left to measure, and the tables are printed
    assert re.match("BD-rate against x264 medium, no B +by RGB", capfd.readouterr().out)


def test_bench_above_av1(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ["bench", str(source), "-o", str(tmp_path / "bench"), "--steps", "5", "-j", "1", "--device", "cpu"]
    assert run([*line, "--codec", "nvcodec", "--json"]) == 0
    points = json.loads(capfd.readouterr().out)["points"]
    assert [(point["codec"], point["at"]) for point in points] == [(OURS, crf) for crf in (28, 34, 40, 46, 52, 58)]
    assert points[0]["file_bytes"] > points[-1]["file_bytes"]
    assert points[0]["psnr_611"] > points[-1]["psnr_611"]


@pytest.mark.parametrize("more", [["--codec", "mpeg-9"], ["--sizes", "small"], ["--scale", "8"]])
def test_bad_usage(source: Path, tmp_path: Path, more: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", str(source), "-o", str(tmp_path / "bench"), *more]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_results_of_something_else(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ["bench", str(source), "-o", str(tmp_path / "bench"), "--codec", "x264 medium"]
    assert run([*line, "--frames", "2"]) == 0
    assert run([*line, "--frames", "3"]) == 3
    results = json.loads((tmp_path / "bench" / "results.json").read_text())
    del results["version"]  # as the first version wrote them
    (tmp_path / "bench" / "results.json").write_text(json.dumps(results))
    assert run([*line, "--frames", "2"]) == 3
    assert "another version of nvcodec bench" in capfd.readouterr().err
    (tmp_path / "bench" / "results.json").write_text("[]")
    assert run([*line, "--frames", "2"]) == 3
    (tmp_path / "file").write_text("")
    assert run([*line[:3], str(tmp_path / "file"), *line[4:]]) == 3
    assert all(line.startswith("nvcodec: ") for line in capfd.readouterr().err.splitlines())
