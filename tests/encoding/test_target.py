"""Ending at a size or at a quality."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import InterruptAt, moving_squares, write_clip

import nvcodec
from nvcodec.cli.main import run as command
from nvcodec.encoding.assembly import value_bytes
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_loop import run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.sizing import Sizing
from nvcodec.errors import Interrupted
from nvcodec.format.stream_reader import read_stream

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    """With noise, so that bytes buy quality."""
    noise = torch.randn(6, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    return (moving_squares(6, 48, 64) + 8 * noise).clamp(0, 255).round().to(torch.uint8)


@pytest.mark.parametrize("rd_lambda", [0.0, 1.0])
@pytest.mark.parametrize("target", [9_000, 16_000])
def test_a_size_is_met(clip: torch.Tensor, target: int, rd_lambda: float) -> None:
    encoded = nvcodec.encode(clip, base="none", target_size=target, steps=150, rd_lambda=rd_lambda, device="cpu")
    assert 0.98 * target <= len(encoded.data) <= target
    assert encoded.on_size
    assert encoded.target_bytes == target
    assert not encoded.ladder


@pytest.mark.parametrize("target", [6_000, 8_000])
def test_a_size_is_met_by_a_fit_without_time_for_it(clip: torch.Tensor, target: int) -> None:
    """A network with far more bits than the file may have, which no step is left to make it learn."""
    encoded = nvcodec.encode(clip, size=40_000, target_size=target, steps=12, device="cpu")
    assert encoded.on_size
    assert len(encoded.data) <= target


def test_a_bit_rate_is_met(clip: torch.Tensor) -> None:
    """Six frames at 25 a second."""
    encoded = nvcodec.encode(clip, base="none", bitrate=400_000, steps=150, device="cpu")
    assert encoded.target_bytes == 12_000
    assert encoded.on_size


def test_a_size_of_parameters_and_of_the_file(clip: torch.Tensor) -> None:
    encoded = nvcodec.encode(clip, size=20_000, target_size=10_000, steps=150, device="cpu")
    assert encoded.on_size
    assert abs(encoded.parameters / 20_000 - 1) < 0.02


def test_a_size_out_of_reach(clip: torch.Tensor) -> None:
    """More bytes than the network can use: the file is smaller than asked for, and says so."""
    encoded = nvcodec.encode(clip, size=10_000, target_size=60_000, steps=30, device="cpu")
    assert not encoded.on_size
    assert len(encoded.data) < 12_000


def test_a_size_below_what_a_file_needs_anyway(clip: torch.Tensor) -> None:
    """Nothing is left for weights: the file is larger than asked for, and says so."""
    encoded = nvcodec.encode(clip, size=10_000, target_size=300, steps=30, device="cpu")
    assert not encoded.on_size
    assert 300 < len(encoded.data) < 2_000


def test_several_sizes_of_one_fit(clip: torch.Tensor, tmp_path: Path) -> None:
    sizes = [14_000, 11_000, 9_000]
    encoded = nvcodec.encode(clip, tmp_path / "out-{}.sdmn", base="none", target_size=sizes, steps=150, device="cpu")
    assert [file.target_bytes for file in encoded.ladder] == sizes
    assert encoded.data == encoded.ladder[0].data
    for file, size in zip(encoded.ladder, sizes, strict=True):
        assert file.on_size
        assert (tmp_path / f"out-{size}.sdmn").read_bytes() == file.data
        quality = nvcodec.open(read_stream(file.data), device="cpu")
        assert len(quality) == 6
        assert file.fitted.psnr(clip) == pytest.approx(file.psnr, abs=0.2)
    assert encoded.ladder[0].psnr > encoded.ladder[2].psnr
    assert len(list(tmp_path.iterdir())) == 3


def test_what_a_quality_does_not_need_is_saved(clip: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sizing, "for_psnr", lambda *_: 24_000)
    encoded = nvcodec.encode(clip, base="none", target_psnr=25.0, device="cpu")
    whole = nvcodec.encode(clip, size=24_000, target_psnr=25.0, device="cpu")
    assert 25.0 <= encoded.psnr < whole.psnr
    assert len(encoded.data) < 0.7 * len(whole.data)


def test_a_quality_chooses_the_size(clip: torch.Tensor) -> None:
    encoded = nvcodec.encode(clip, base="none", target_psnr=24.0, steps=900, device="cpu")
    assert encoded.psnr >= 24.0
    assert "choosing a size" in encoded.seconds


def test_rounded_bytes_are_those_of_the_file(clip: torch.Tensor) -> None:
    encoded = nvcodec.encode(clip, size=20_000, steps=20, device="cpu")
    entries = read_stream(encoded.data).entries
    grids = {entry.unit for entry in entries if entry.kind in ("grids", "embeddings", "skip_features")}
    held = sum(entry.bytes for entry in entries if " weights " in entry.label)
    held += sum(entry.bytes for entry in entries if entry.unit in grids and "framing" not in entry.label)
    assert value_bytes(encoded.fitted) == held


def test_steps_move_until_weights_cost_what_they_may(clip: torch.Tensor) -> None:
    fit = Fit(clip, solve(20_000, 64, 48, 6), FitOptions(steps=50), CPU)
    run(fit, should_stop=lambda: fit.quantised)
    allowed = 0.8 * fit.quant_steps.bits().item()
    fit.rate_control.set_target(allowed)
    run(fit, should_stop=lambda: fit.budget.step == 49)
    assert fit.quant_steps.bits().item() == pytest.approx(allowed, rel=0.03)


TO_A_SIZE = {"target_size": 12_000, "steps": 160, "device": "cpu"}


@pytest.fixture(scope="module")
def undisturbed(clip: torch.Tensor) -> bytes:
    return nvcodec.encode(clip, **TO_A_SIZE).data


@pytest.mark.parametrize("step", [100, 120, 140])
def test_interrupted_on_the_way_to_a_size(clip: torch.Tensor, tmp_path: Path, undisturbed: bytes, step: int) -> None:
    """Before quantisation comes in at step 112, and in both halves after it: the file is that of an undisturbed run."""
    out = tmp_path / "out.sdmn"
    with pytest.raises(Interrupted):
        nvcodec.encode(clip, out, progress=InterruptAt(step), **TO_A_SIZE)
    assert nvcodec.encode(clip, out, resume=True, **TO_A_SIZE).data == undisturbed


def test_targets_on_the_command_line(clip: torch.Tensor, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = str(write_clip(tmp_path / "source.mkv", clip))
    common = ["encode", source, "-j", "1", "--device", "cpu", "--steps", "60", "--base", "none"]
    ladder = ["-o", str(tmp_path / "out-{}.sdmn"), "--target-size", "12kB,0.01MB", "--json", "-q"]
    assert command([*common, *ladder]) == 0
    summaries = json.loads(capfd.readouterr().out)
    assert [Path(row["file"]).name for row in summaries] == ["out-12000.sdmn", "out-10000.sdmn"]
    assert [row["target_bytes"] for row in summaries] == [12_000, 10_000]
    assert all(Path(row["file"]).stat().st_size == row["file_bytes"] for row in summaries)
    out = ["-o", str(tmp_path / "out.sdmn"), "-y"]
    assert command([*common, *out, "--size", "9k", "--target-size", "90kB"]) == 0
    assert f"note: {tmp_path}/out.sdmn: takes " in (said := capfd.readouterr().err)
    assert "of at most 90000 bytes" in said
    assert (tmp_path / "out.sdmn").exists()
    for bad in (
        [],
        ["--target-size", "much"],
        ["--target-size", "0"],
        ["--bitrate", "fast"],
        ["--target-size", "9kB", "--bitrate", "9k"],
        ["--target-size", "9kB,9000"],
        ["--target-size", "9kB,8kB"],  # the output has no {}
    ):
        assert command([*common, *out, *bad]) == 2
        assert len(capfd.readouterr().err.splitlines()) == 1
