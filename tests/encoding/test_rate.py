"""Rate in the loss, and steps of rounding that are learned."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import moving_squares

import nvcodec
from nvcodec.encoding.fit import checkpoint
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_loop import run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.encoding.model.network_shape import FeatureGridShape
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.quantizer.initial_steps import set_initial_steps
from nvcodec.encoding.quantizer.learned_steps import QUARTERS, LearnedSteps
from nvcodec.encoding.quantizer.nearest_steps import factor_of
from nvcodec.format.stream_reader import read_stream

CPU = torch.device("cpu")
CLIP = moving_squares(4, 48, 64)
SHAPE = solve(30_000, 64, 48, 4, grids=0)


def quantised() -> tuple[Decoder, LearnedSteps]:
    torch.manual_seed(0)
    decoder = Decoder(SHAPE)
    set_initial_steps(
        decoder,
        [
            torch.randn(4, SHAPE.embedding_channels, *SHAPE.embedding_size),
            *(torch.randn(4, 1, *g) for g in SHAPE.skip_feature_sizes),
        ],
    )
    return decoder, LearnedSteps(decoder)


def test_the_first_steps_are_those_prepared() -> None:
    decoder, rounding = quantised()
    before = [conv.quant_step for conv in decoder.convs()]
    rounding.start_from_decoder()
    rounding.apply_to_decoder()
    for conv, step in zip(decoder.convs(), before, strict=True):
        assert conv.quant_step is not None
        assert step is not None
        assert torch.allclose(conv.quant_step, step, rtol=1e-6)


def test_steps_are_those_of_the_stream() -> None:
    """Whatever the levels, every step is one of the specification's."""
    decoder, rounding = quantised()
    with torch.no_grad():
        rounding.fineness.copy_(torch.linspace(20, 130, len(rounding.fineness)))
    rounding.apply_to_decoder()
    allowed = factor_of(np.arange(10, 140))
    for conv in decoder.trunk[1:]:
        assert conv.quant_step is not None
        ratios = conv.quant_step.detach().flatten().double().numpy()[:, None] / allowed
        assert np.abs(np.log2(ratios)).min(1).max() < 1e-6


def test_gradients_are_those_of_finite_differences() -> None:
    """Of bits, by levels and by weights; rounding aside, since it hides small differences."""
    decoder, rounding = quantised()
    rounding.start_from_decoder()
    rounding.apply_to_decoder()
    rounding.bits().backward()
    place = 3
    gradient = rounding.fineness.grad[place].item()  # type: ignore[index]
    values = []
    for change in (-8.0, 8.0):  # whole octaves are exact
        with torch.no_grad():
            rounding.fineness[place] += change
            rounding.apply_to_decoder()
            values.append(rounding.bits().item())
            rounding.fineness[place] -= change
    assert gradient > 0
    assert gradient == pytest.approx((values[1] - values[0]) / 16, rel=0.2)
    conv = decoder.convs()[1]
    rounding.apply_to_decoder()
    assert conv.weight.grad is not None
    change = 1e-3 * conv.weight.grad / conv.weight.grad.norm()
    with torch.no_grad():
        before = rounding.bits().double()
        conv.weight.add_(change)
        after = rounding.bits().double()
    assert (after - before).item() == pytest.approx(1e-3 * conv.weight.grad.norm().item(), rel=0.1)


@pytest.mark.parametrize("knots", [1, QUARTERS - 1, QUARTERS, QUARTERS + 2, 11])
def test_the_parts_are_on_average_the_whole(knots: int) -> None:
    torch.manual_seed(0)
    channels = [2, *[0] * (len(SHAPE.channels) - 1)]
    grids = FeatureGridShape(11, tuple(channels), (knots, *channels[1:]))
    decoder = Decoder(dataclasses.replace(SHAPE, feature_grids=grids))
    for grid in decoder.grids.values():
        torch.nn.init.normal_(grid.values)
    latents = [
        torch.randn(11, SHAPE.embedding_channels, *SHAPE.embedding_size),
        *(torch.randn(11, 1, *g) for g in SHAPE.skip_feature_sizes),
    ]
    set_initial_steps(decoder, latents)
    rounding = LearnedSteps(decoder)
    rounding.latents = latents
    rounding.start_from_decoder()
    rounding.apply_to_decoder()
    parts = [rounding.bits(part).item() for part in range(QUARTERS)]
    assert np.mean(parts) == pytest.approx(rounding.bits().item(), rel=1e-5)
    assert len(set(parts)) > 1


def test_bits_are_about_the_entropy() -> None:
    decoder, rounding = quantised()
    rounding.start_from_decoder()
    rounding.apply_to_decoder()
    total = 0.0
    for conv in decoder.convs():
        counts = np.unique(conv.integers().detach().numpy(), return_counts=True)[1]
        total -= float((counts * np.log2(counts / counts.sum())).sum())
    assert rounding.bits().item() == pytest.approx(total, rel=0.2)


def test_rate_buys_bytes() -> None:
    noise = torch.randn(CLIP.shape, generator=torch.Generator().manual_seed(0))
    clip = (CLIP + 12 * noise).clamp(0, 255).round().to(torch.uint8)
    rows = []
    for rd_lambda in (0.0, 1.5, 6.0):
        encoded = nvcodec.encode(clip, size=30_000, steps=250, rd_lambda=rd_lambda, device="cpu")
        rows.append((len(encoded.data), encoded.psnr))
    for (more, better), (less, worse) in itertools.pairwise(rows):
        assert less < 0.96 * more
        assert better - 3 < worse < better + 0.3
    assert read_stream(encoded.data).file_bytes == len(encoded.data)


def test_a_restored_fit_learns_on(tmp_path: Path) -> None:
    options = FitOptions(steps=40, rd_lambda=2.0)
    whole, cut, again = (Fit(CLIP, SHAPE, options, CPU) for _ in range(3))
    run(whole)
    run(cut, should_stop=lambda: cut.budget.step == 36)
    assert cut.quantised
    checkpoint.save(cut, tmp_path / "kept")
    checkpoint.restore(again, tmp_path / "kept")
    run(again)
    assert torch.equal(again.quant_steps.fineness, whole.quant_steps.fineness)
    for a, b in zip(again.decoder.convs(), whole.decoder.convs(), strict=True):
        assert torch.equal(a.integers(), b.integers())


def test_without_rate_steps_stay() -> None:
    fit = Fit(CLIP, SHAPE, FitOptions(steps=40), CPU)
    run(fit, should_stop=lambda: fit.quantised)
    before = fit.quant_steps.fineness.detach().clone()
    run(fit)
    assert torch.equal(fit.quant_steps.fineness, before)
