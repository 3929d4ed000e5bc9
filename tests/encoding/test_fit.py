import dataclasses

import numpy as np
import pytest
import torch
from conftest import moving_squares

import nvcodec
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_loop import Progress, run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.schedule import lr_factor
from nvcodec.encoding.quantizer.nearest_steps import factor_of, nearest_index
from nvcodec.format.arithmetic.step_indices import MAX_STEP, factors
from nvcodec.format.stream_reader import read_stream

CPU = torch.device("cpu")


def test_lr_factor() -> None:
    assert lr_factor(0.5, 0.9) == pytest.approx(0.45)
    assert lr_factor(2, 0.9) == pytest.approx(0.9)
    assert lr_factor(2, 0) == pytest.approx(0.01)


def test_steps_have_exact_indices() -> None:
    wanted = np.logspace(-8, -2, 300)
    indices = nearest_index(wanted)
    assert (np.abs(np.log2(factor_of(indices) / wanted)) < 0.08).all()
    inside = indices[(indices >= 0) & (indices <= MAX_STEP)]
    assert len(inside) > 100
    assert (factors(inside) == factor_of(inside)).all()


@pytest.mark.parametrize("error", [-1e-7, 0.0, 1e-7])
def test_a_rounded_factor_keeps_its_index(error: float) -> None:
    """Just below an octave's end as well, where the nearest factor is the next octave's first."""
    indices = np.arange(-40, MAX_STEP + 40)
    assert (nearest_index(factor_of(indices) * (1 + error)) == indices).all()


def test_same_seed_same_file(tiny_clip: torch.Tensor) -> None:
    first, second, other = (
        nvcodec.encode(tiny_clip, size="6k", steps=12, seed=seed, device="cpu").data for seed in (5, 5, 6)
    )
    assert first == second
    assert first != other


def test_fitting_learns_and_integers_cost_little() -> None:
    """A small end-to-end fit: the picture comes out, and rounding takes little of it away."""
    clip = moving_squares(6, 48, 64)
    seen: list[Progress] = []
    options = FitOptions(steps=150)  # 37 dB, where rounding costs 0.5
    encoded = nvcodec.encode(clip, size=30_000, steps=150, rd_lambda=0, device="cpu", progress=seen.append)
    plain_fit = Fit(clip, encoded.shape, dataclasses.replace(options, quantised_share=0.0), CPU)
    run(plain_fit)
    plain = plain_fit.finish()
    assert encoded.psnr > 24
    assert encoded.psnr > plain.psnr(clip) - 0.8
    assert abs(encoded.psnr - encoded.fitted.psnr(clip)) < 0.2
    assert seen[-1].step == seen[-1].steps == 150
    assert seen[-1].psnr > seen[0].psnr + 5
    assert abs(encoded.parameters / 30_000 - 1) < 0.02
    assert read_stream(encoded.data).parameters == encoded.parameters


def test_a_still_and_a_black_clip() -> None:
    for clip in (torch.zeros(3, 3, 16, 16, dtype=torch.uint8), moving_squares(1, 20, 31)):
        encoded = nvcodec.encode(clip, size="5k", steps=8, device="cpu")
        assert nvcodec.open(read_stream(encoded.data), device="cpu")[:].shape == clip.shape


def test_the_callers_state_stays(tiny_clip: torch.Tensor) -> None:
    before = torch.get_rng_state()
    with torch.no_grad():
        nvcodec.encode(tiny_clip, size="6k", steps=2, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_negative_size(tiny_clip: torch.Tensor) -> None:
    with pytest.raises(nvcodec.UsageError, match="need at least"):
        nvcodec.encode(tiny_clip, size=-5, device="cpu")


def test_bad_clips() -> None:
    for shape in ((0, 3, 32, 32), (2, 3, 15, 32)):
        with pytest.raises(nvcodec.InputError):
            nvcodec.encode(torch.zeros(shape, dtype=torch.uint8), size="6k", device="cpu")
    with pytest.raises(ValueError, match="uint8"):
        nvcodec.encode(torch.zeros(2, 3, 32, 32), size="6k", device="cpu")
