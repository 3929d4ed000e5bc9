"""Budgets, qualities, checkpoints and interruption of a fit."""

from __future__ import annotations

import copy
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Time, moving_squares, write_clip

import nvcodec
from nvcodec.cli.main import run as command
from nvcodec.encoding.fit import checkpoint
from nvcodec.encoding.fit.budget import FINISHING_EPOCHS
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_loop import Progress, fast_cooldown, run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.interruption import interruption
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.quality_target import run_to_quality
from nvcodec.errors import InputError, UsageError
from nvcodec.format.stream_reader import read_file, read_stream
from nvcodec.metrics import psnr

CPU = torch.device("cpu")
CLIP = moving_squares(4, 32, 40)
SHAPE = solve(12_000, 40, 32, 4)


def new_fit(**options: object) -> Fit:
    return Fit(CLIP, SHAPE, FitOptions(**{"steps": 40, **options}), CPU)


def quality(fit: Fit) -> float:
    return fit.finish().psnr(fit.frames)


def weights(fit: Fit) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in fit.network.parameters()])


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 23])
def test_steps_are_counted(steps: int) -> None:
    fit = new_fit(steps=steps)
    seen: list[Progress] = []
    run(fit, seen.append)
    assert (fit.budget.step, seen[-1].step, seen[-1].steps) == (steps, steps, steps)
    assert fit.finish().decoder.latent_steps is not None


def test_rates_fall_to_the_end() -> None:
    fit = new_fit(steps=50)
    factors = []
    while not fit.budget.done:
        factors.append(fit.budget.lr_factor())
        fit.advance()
    assert len(factors) == 50
    assert factors.index(max(factors)) <= 4
    assert factors[-1] < 0.05
    assert fit.quantised


def test_time_limit() -> None:
    """The end is where the clock says it, whatever a step takes; the schedule fits it."""
    fit = new_fit(steps=None, seconds=10.0)
    fixed, quantised = [], []
    while not fit.budget.done:
        fit.advance()
        fit.budget.clock.seconds.update(steps=0.1 * fit.budget.step, overhead=0.0)
        fit.budget.warmup_seconds = 1.0
        fixed.append(fit.fixed_latents is not None)
        quantised.append(fit.quantised)
    steps = 100 - FINISHING_EPOCHS * len(CLIP)
    assert fit.budget.step == pytest.approx(steps, abs=1)
    assert fixed.index(True) == pytest.approx(0.25 * steps, abs=1)
    assert quantised.index(True) == pytest.approx(0.7 * steps, abs=1)
    both = new_fit(steps=7, seconds=1e9)
    run(both)
    assert both.budget.step == 7


def test_hardly_any_time() -> None:
    fit = new_fit(steps=None, seconds=1e-6)
    run(fit)
    assert fit.budget.step == 1


def encoder(fit: Fit) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in fit.encoder.parameters()])


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({"steps": 100}, 25),
        ({"steps": 1000, "encoder_steps": 40, "encoder_epochs": 2}, 40),
        ({"steps": 1000, "encoder_steps": 40, "encoder_epochs": 15}, 60),
        ({"steps": 1000, "encoder_steps": 10, "encoder_epochs": 10, "batch": 2}, 20),
    ],
)
def test_the_encoder_stops(options: dict[str, int], end: int) -> None:
    """After its part it does not change, what it made of the frames is kept, and the decoder goes on."""
    fit = new_fit(**options)
    while fit.fixed_latents is None:
        before = encoder(fit)
        fit.advance()
    assert fit.budget.step - 1 == end
    assert torch.equal(encoder(fit), before)
    fixed, weights_then = [latent.clone() for latent in fit.latents()], weights(fit)
    for _ in range(10):
        fit.advance()
    assert torch.equal(encoder(fit), before)
    assert not torch.equal(weights(fit), weights_then)
    assert all(torch.equal(a, b) for a, b in zip(fit.finish().latents, fixed, strict=True))


def test_bfloat16_is_good_enough() -> None:
    """It makes a difference, and a small one."""
    both = []
    for lower in (False, True):
        fit = new_fit(steps=300, bfloat16=lower)
        run(fit)
        both.append(quality(fit))
    assert both[1] != both[0]
    assert both[1] > both[0] - 1


@pytest.mark.parametrize("when", [3, 15, 36])
@pytest.mark.parametrize("rep", [False, True])
def test_a_restored_fit_goes_the_same_way(tmp_path: Path, when: int, rep: bool) -> None:
    """Before and after the encoder's part (10 of 40 steps), and after quantisation has come in; not a bit differs."""
    whole, cut = new_fit(rep=rep), new_fit(rep=rep)
    run(whole)
    run(cut, should_stop=lambda: cut.budget.step == when)
    checkpoint.save(cut, tmp_path / "kept")
    again = new_fit(rep=rep)
    checkpoint.restore(again, tmp_path / "kept")
    assert (again.budget.step, again.quantised, again.fixed_latents is None) == (when, when > 32, when <= 6)
    run(again)
    assert again.budget.step == 40
    assert torch.equal(weights(again), weights(whole))


@pytest.mark.parametrize("rep", [False, True])
def test_winding_down_is_taken_back(tmp_path: Path, rep: bool) -> None:
    """The fit goes on in float at high rates, and a restored one with it."""
    fit = new_fit(rep=rep, steps=80)
    run(fit, should_stop=lambda: fit.budget.step == 15)
    rate = fit.budget.lr_factor()
    fit.budget.start_cooldown(0.4)
    run(fit)
    assert fit.budget.step == 21
    assert fit.quantised
    assert fit.budget.lr_factor() < 0.1 * rate
    fit.cancel_cooldown()
    assert not fit.budget.done
    assert fit.budget.lr_factor() > 0.8 * rate
    run(fit, should_stop=lambda: fit.budget.step == 25)
    assert not fit.quantised
    assert all(conv.quant_step is None for conv in fit.decoder.convs())
    checkpoint.save(fit, tmp_path / "kept")
    again = new_fit(rep=rep, steps=80)
    checkpoint.restore(again, tmp_path / "kept")
    for each in (fit, again):
        run(each)
    assert fit.budget.step == 80
    assert torch.equal(weights(fit), weights(again))


def left_half(decoded: torch.Tensor, source: torch.Tensor, frames: object) -> torch.Tensor:
    half = source.shape[3] // 2
    return (decoded - source)[..., :half].square().mean()


def test_a_loss_of_ones_own(tmp_path: Path) -> None:
    seen: list[int] = []

    def watched(decoded: torch.Tensor, source: torch.Tensor, frames: list[int]) -> torch.Tensor:
        assert torch.equal((source[0] * 255).round().byte(), CLIP[frames[0]])
        seen.extend(frames)
        return left_half(decoded, source, frames)

    encoded = nvcodec.encode(CLIP, size=12_000, steps=200, loss=watched, device="cpu")
    assert sorted(seen) == sorted([0, 1, 2, 3] * 50)
    pictures = nvcodec.open(read_stream(encoded.data), device="cpu")[:]
    left, right = (psnr(pictures[..., half], CLIP[..., half]) for half in (slice(0, 20), slice(20, 40)))
    assert left > right + 6
    with pytest.raises(UsageError, match="one number"):
        nvcodec.encode(CLIP, size=12_000, steps=2, loss=lambda a, b, frames: (a - b).square(), device="cpu")
    fit = Fit(CLIP, SHAPE, FitOptions(steps=40), CPU, left_half)
    fit.advance()
    checkpoint.save(fit, tmp_path / "kept")
    checkpoint.restore(Fit(CLIP, SHAPE, FitOptions(steps=40), CPU, left_half), tmp_path / "kept")
    with pytest.raises(UsageError):
        checkpoint.restore(new_fit(), tmp_path / "kept")


def test_checkpoints_of_other_fits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    fit = new_fit()
    fit.advance()
    checkpoint.save(fit, path)
    for other in (
        Fit(CLIP.flip(0), SHAPE, FitOptions(steps=40), CPU),
        Fit(CLIP, solve(13_000, 40, 32, 4), FitOptions(steps=40), CPU),
        new_fit(seed=1),
        new_fit(muon_lr=0.1),
    ):
        with pytest.raises(UsageError):
            checkpoint.restore(other, path)
    checkpoint.restore(new_fit(steps=99), path)
    with pytest.raises(InputError, match="there is no"):
        checkpoint.restore(new_fit(), tmp_path / "none")


def test_devices_have_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.path_beside("/dev/null") is None
    assert checkpoint.path_beside(None) is None
    assert checkpoint.path_beside(tmp_path / "a.sdmn") == tmp_path / "a.sdmn.checkpoint"


def test_damaged_checkpoints(tmp_path: Path) -> None:
    fit = new_fit()
    fit.advance()
    path = tmp_path / "kept"
    checkpoint.save(fit, path)
    data = path.read_bytes()
    rng = random.Random(0)
    objects = tmp_path / "objects.npz"
    with objects.open("wb") as file:
        np.savez(file, meta=np.array([{"a": 1}], dtype=object))
    unclosed = data.replace(b"{'descr'", b"{('escr'", 1)
    for bad in (unclosed, b"", b"PK", data[:1000], data[: len(data) // 2], data[:-30], objects.read_bytes()):
        path.write_bytes(bad)
        with pytest.raises(InputError, match="not a checkpoint"):
            checkpoint.restore(new_fit(), path)
    refused = 0
    for place in rng.sample(range(len(data)), 20):
        path.write_bytes(b"".join((data[:place], bytes([data[place] ^ 255]), data[place + 1 :])))
        again = new_fit()
        try:
            checkpoint.restore(again, path)
        except InputError:
            refused += 1
        else:  # a byte of the archive's own that nobody needs, such as a date
            assert torch.equal(weights(again), weights(fit))
    assert refused >= 10


def test_run_to_a_quality() -> None:
    clip = moving_squares(4, 48, 64)
    shape = solve(30_000, 64, 48, 4)
    fit = Fit(clip, shape, FitOptions(steps=2000), CPU)
    run_to_quality(fit, 30.0)
    assert fit.budget.step < 500
    assert fit.quantised
    assert quality(fit) >= 30
    encoded = nvcodec.encode(clip, size=30_000, steps=2000, target_psnr=30, device="cpu")
    assert encoded.psnr >= 30


def test_a_quality_out_of_reach() -> None:
    fit = new_fit(steps=60)
    run_to_quality(fit, 60.0)
    assert fit.budget.step == 60
    assert nvcodec.encode(CLIP, size=12_000, steps=30, target_psnr=60, device="cpu").psnr < 60


def test_haste_pays() -> None:
    """Winding down is quick, and better than rounding the network as it is."""
    clip = moving_squares(4, 48, 64)
    fit = Fit(clip, solve(30_000, 64, 48, 4), FitOptions(steps=1000), CPU)
    run(fit, should_stop=lambda: fit.budget.step == 200)
    as_it_is = copy.deepcopy(fit)
    fast_cooldown(fit)
    assert 205 <= fit.budget.step <= 215
    assert quality(fit) > quality(as_it_is) + 0.5


def test_haste_while_winding_down() -> None:
    fit = new_fit(steps=1000)
    run(fit, should_stop=lambda: fit.budget.step == 200)
    fit.budget.start_cooldown(0.5)
    run(fit, should_stop=lambda: fit.budget.step == 220)
    fast_cooldown(fit)
    assert 225 <= fit.budget.step <= 235
    assert fit.quantised


def test_interruption() -> None:
    with interruption() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "source.mkv", CLIP)


def start(source: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "nvcodec", "encode", str(source), "-o", str(out), "--size", "12k", "--device", "cpu"]
    line += ["-j", "1", "--checkpoint-every", "0.1s", "--steps", "900"]
    return subprocess.Popen([*line, *more], stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], path: Path, newer_than: int = 0) -> None:
    """Until ``path`` is there and was changed after ``newer_than``, in nanoseconds."""
    until = time.monotonic() + 60
    while not path.exists() or path.stat().st_mtime_ns <= newer_than:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)


def test_killed_and_resumed(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Killed three times at any moment: little is done twice, and the file is the one of an undisturbed run."""
    out, kept, whole = tmp_path / "out.sdmn", tmp_path / "out.sdmn.checkpoint", tmp_path / "whole.sdmn"
    options = ["-j", "1", "--size", "12k", "--steps", "900", "--device", "cpu"]
    assert command(["encode", str(source), "-o", str(whole), *options]) == 0
    assert not (tmp_path / "whole.sdmn.checkpoint").exists()
    steps = []
    for attempt in range(3):
        before = kept.stat().st_mtime_ns if attempt else 0
        process = start(source, out, *(["--resume"] if attempt else []))
        wait_for(process, kept, before)
        time.sleep(random.Random(attempt).uniform(0.2, 0.6))
        process.kill()
        process.communicate()
        with np.load(kept) as file:
            steps.append(json.loads(file["meta"].tobytes())["plain"]["budget"]["step"])
    assert not out.exists()
    assert 0 < steps[0] < steps[1] < steps[2] < 900
    assert command(["encode", str(source), "-o", str(out), *options]) == 2
    assert "--resume" in capfd.readouterr().err
    assert command(["encode", str(source), "-o", str(out), *options, "--resume"]) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.sdmn", "source.mkv", "whole.sdmn"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_with_a_checkpoint(source: Path, tmp_path: Path, number: signal.Signals) -> None:
    out, kept = tmp_path / "out.sdmn", tmp_path / "out.sdmn.checkpoint"
    process = start(source, out)
    wait_for(process, kept)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume goes on" in said
    assert len(said.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.sdmn.checkpoint", "source.mkv"]


def test_interrupted_and_written(source: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "out.sdmn", tmp_path / "out.sdmn.checkpoint"
    process = start(source, out, "--on-interrupt", "write", "--progress", "json")
    wait_for(process, kept)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = said.splitlines()
    assert "holds what had been reached" in lines[-1]
    progress = [json.loads(line) for line in lines if line.startswith("{")]
    assert 0 < progress[-1]["step"] < 900
    assert {"step", "steps", "loss", "psnr", "seconds", "seconds_left", "phase"} == set(progress[-1])
    assert read_file(out).frames == 4
    assert not kept.exists()


def test_limits_on_the_command_line(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = itertools.count(step=5)  # every question what time it is takes five seconds
    monkeypatch.setattr("nvcodec.encoding.clock.time", types.SimpleNamespace(monotonic=lambda: next(now)))
    out = str(tmp_path / "out.sdmn")
    common = ["encode", str(source), "-o", out, "--size", "12k", "-j", "1", "--device", "cpu", "-y", "--json"]
    assert command([*common, "--time-limit", "1000s"]) == 0
    summary = json.loads(capfd.readouterr().out)
    assert 500 < sum(summary["seconds"].values()) < 1050
    assert summary["peak_memory_bytes"] > 10**7
    assert command([*common, "--steps", "20", "--target-psnr", "60"]) == 6
    assert "of 60 dB" in capfd.readouterr().err
    assert read_file(out).frames == 4
    assert command([*common, "--preset", "draft", "--target-psnr", "12"]) == 0
    for bad in (
        ["--preset", "draft", "--steps", "3"],
        ["--time-limit", "soon"],
        ["--time-limit", "0s"],
        ["--target-psnr", "0"],
        ["--on-interrupt", "cry"],
        ["-o", "-", "--resume"],
    ):
        assert command([*common[:-1], *bad]) == 2
    assert command([*common[:-1], "--resume"]) == 3


def test_a_short_limit_is_used(fake_time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixing the latents of many frames, early on, is not taken for the pace of all steps to come."""
    fit = Fit(moving_squares(100, 32, 40), solve(20_000, 40, 32, 100), FitOptions(seconds=30.0), CPU)

    def taking(seconds: float, what: str) -> None:
        done = getattr(fit, what)

        def slow(*arguments: object) -> object:
            fake_time.now += seconds
            return done(*arguments)

        monkeypatch.setattr(fit, what, slow)

    taking(0.125, "objective")
    taking(8.0, "hold_latents")
    run(fit)
    # Writing takes as long as 120 steps, 15 s; of the other 15 s, fixing the latents takes 8, and 56 steps the rest.
    assert fit.budget.finishing_seconds == pytest.approx(15)
    assert (fit.budget.step, fit.budget.clock.seconds) == (56, {"steps": 7.0, "overhead": 8.0})
