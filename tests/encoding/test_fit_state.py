"""What a fit learns in its last phase, and its state: optimisers, snapshots, quantisation steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from conftest import moving_squares

from nvcodec.encoding.fit.fit import RELATIVE_LATENT_LR, Fit, Phase
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.fit_state import Snapshot, state_of
from nvcodec.encoding.fit.muon import Muon
from nvcodec.encoding.fit.optimisers import Optimisers, ScheduledOptimiser
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.quantizer.learned_steps import MAX_COARSENING
from nvcodec.encoding.quantizer.rounding import PEAK

CPU = torch.device("cpu")
CLIP = moving_squares(4, 32, 40)


def quantised_fit(skip: str = "direct", size: int = 12_000, **options: Any) -> Fit:
    """A fit after 28 of 40 training steps, none of which were done."""
    options = {"steps": 40, "rd_lambda": 1.5, **options}
    fit = Fit(CLIP, solve(size, 40, 32, 4, skip, z_gain=1.0), FitOptions(**options), CPU)
    fit.budget.step = 28
    fit.start_quantisation()
    return fit


@pytest.mark.parametrize(("skip", "learned"), [("direct", 2), ("invertible", 1), ("none", 1)])
def test_latents_are_learned_while_quantised(skip: str, learned: int) -> None:
    """Those with a free step: not f where coupling layers read it. Adam's first update is the learning rate itself."""
    fit = quantised_fit(skip)
    before = [latent.clone() for latent in fit.latents()]
    factor, frames = fit.budget.lr_factor(), FrameQueue(fit).next
    fit.advance()
    assert len(before) == (1 if skip == "none" else 2)
    for number, (old, new) in enumerate(zip(before, fit.latents(), strict=True)):
        moved = (new - old).abs()
        if number >= learned:
            assert not moved.any()
            continue
        rms = float(old.square().mean().sqrt())
        assert moved[frames].max() == pytest.approx(RELATIVE_LATENT_LR * rms * factor, rel=0.01)
        assert (moved[frames] > 0).float().mean() > 0.5


class FrameQueue:
    """The frame that a fit's next training step will see."""

    def __init__(self, fit: Fit) -> None:
        if not fit.sampler.queue:
            fit.sampler.queue = torch.randperm(fit.sampler.frames, generator=fit.sampler.generator).tolist()
        self.next = fit.sampler.queue[:1]


def test_a_cancelled_cooldown_fixes_the_latents_again() -> None:
    fit = quantised_fit()
    fit.budget.start_cooldown(0.1)
    fit.advance()
    fit.cancel_cooldown()
    fit.options = dataclasses.replace(fit.options, quantised_share=0.1)  # so that the next step is in float
    before = [latent.clone() for latent in fit.latents()]
    fit.advance()
    assert fit.phase is Phase.DECODER
    assert all(torch.equal(old, new) for old, new in zip(before, fit.latents(), strict=True))
    assert fit.decoder.latent_steps is None


def test_quantisation_steps_are_learned_from_the_rate() -> None:
    """A lambda of nearly nothing refines them less than one of 20 dB coarsens them."""
    ends = []
    for rd_lambda in (1e-6, 20.0):
        fit = quantised_fit(rd_lambda=rd_lambda)
        start = fit.quant_steps.fineness.detach().clone()
        for _ in range(5):
            fit.advance()
        ends.append((fit.quant_steps.fineness.detach() - start).mean().item())
    assert ends[1] < ends[0] - 1


def everything(fit: Fit) -> dict[str, Any]:
    tensors, plain = state_of(fit)
    return {name: tensor.detach().clone() for name, tensor in tensors.items()} | dict(plain)


FOLLOWS = ("budget", "latent_steps", "latent_lrs")  # the clock's, and what the rest of the state determines


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    assert one.keys() == other.keys()
    return all(
        torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        for name, value in one.items()
        if name not in FOLLOWS
    )


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", [2, 20, 28])
def test_a_snapshot_is_a_moment(step: int, times: int) -> None:
    """The fit goes on from it the same way, whatever it did in between."""
    fit = Fit(CLIP, solve(12_000, 40, 32, 4), FitOptions(steps=40, rd_lambda=1.5), CPU)
    fit.budget.step = step
    for _ in range(2):
        fit.advance()
    fit.rate_control.set_target(1000.0)
    snapshot, then = Snapshot(fit), everything(fit)
    ends = []
    for _ in range(times):
        for _ in range(3):
            fit.advance()
        ends.append(everything(fit))
        fit.rate_control.set_target(2000.0)
        fit.budget.start_cooldown(0.05)
        fit.advance()
        snapshot.restore(fit)
        assert (fit.budget.step, fit.budget.cooldown) == (step + 2, None)
    for _ in range(3):
        fit.advance()
    assert all(same(end, everything(fit)) for end in ends)
    assert not same(ends[0], then)


@pytest.mark.parametrize("step", [2, 20, 28])
def test_a_snapshot_keeps_its_network_and_latents(step: int) -> None:
    """However often it is restored."""
    fit = Fit(CLIP, solve(12_000, 40, 32, 4), FitOptions(steps=40, rd_lambda=1.5), CPU)
    fit.budget.step = step
    for _ in range(2):
        fit.advance()
    snapshot, then = Snapshot(fit), everything(fit)
    for _ in range(2):
        snapshot.restore(fit)
        now = everything(fit)
        assert same(*({n: v for n, v in state.items() if not n.startswith("optimiser.")} for state in (now, then)))
        for _ in range(3):
            fit.advance()


def test_who_optimises_what() -> None:
    """Muon kernels with several input channels, Adam the rest; steps, grids and latents by themselves."""
    fit = quantised_fit(size=20_000)
    muon, adam, steps, grids, *latents = fit.optimisers.all
    assert isinstance(muon.optimiser, Muon)
    assert all(parameter.ndim == 4 and parameter.size(1) > 1 for parameter in muon.parameters)
    assert all(parameter.ndim < 4 or parameter.size(1) == 1 for parameter in adam.parameters)
    assert [id(parameter) for parameter in steps.parameters] == [id(fit.quant_steps.fineness)]
    assert {id(parameter) for parameter in grids.parameters} == {id(grid.values) for grid in fit.decoder.grids.values()}
    assert [optimiser.peak_lr for optimiser in fit.optimisers.of_network] == [0.02, 2e-3, 1.6, 0.02]
    assert len(latents) == len(fit.latents())
    everyone = [id(parameter) for optimiser in fit.optimisers.of_network for parameter in optimiser.parameters]
    assert sorted(everyone) == sorted(id(parameter) for parameter in fit.network.parameters())


def test_a_scheduled_step() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.ones(3)
    ScheduledOptimiser(torch.optim.SGD([parameter], lr=9.0), 0.5).step(0.1)
    assert torch.allclose(parameter.detach(), torch.full((3,), -0.05))


def test_averages_are_restored() -> None:
    """Those of Muon and of Adam."""
    torch.manual_seed(0)
    gradients = [[torch.randn(3, 2, 1, 1), torch.randn(3)] for _ in range(4)]

    def updated(network: torch.nn.Conv2d, optimisers: Optimisers, some: list[list[torch.Tensor]]) -> None:
        for gradient in some:
            for parameter, value in zip(network.parameters(), gradient, strict=True):
                parameter.grad = value.clone()
            optimisers.step(1.0)

    def new() -> tuple[torch.nn.Conv2d, Optimisers]:
        torch.manual_seed(1)
        network = torch.nn.Conv2d(2, 3, 1)
        return network, Optimisers(network, [], [torch.nn.Parameter(torch.zeros(1))], FitOptions())

    whole, start = new(), new()
    updated(*whole, gradients)
    updated(*start, gradients[:3])
    averages = {name: average.clone() for name, average in start[1].tensors().items()}
    again, optimisers = new()
    again.load_state_dict(start[0].state_dict())
    optimisers.load(averages)
    updated(again, optimisers, gradients[3:])
    assert torch.equal(again.weight, whole[0].weight)
    assert again.bias is not None and whole[0].bias is not None
    assert torch.equal(again.bias, whole[0].bias)


def test_values_that_are_stored() -> None:
    fit = quantised_fit(size=20_000)
    weights = sum(conv.weight.numel() for conv in fit.decoder.convs())
    grids = fit.shape.feature_grid_values
    assert grids > 0
    assert fit.quant_steps.stored_values == weights + grids + 4 * fit.shape.latents_per_frame


def test_steps_are_shifted_within_bounds() -> None:
    """All by so many eighths of an octave; none becomes finer than 8 bits hold, or coarser than makes sense."""
    fit = quantised_fit(size=20_000)
    steps, start = fit.quant_steps, fit.quant_steps.fineness.detach().clone()
    before = [conv.quant_step.clone() for conv in fit.decoder.convs() if conv.quant_step is not None]
    steps.shift(-8.0)
    torch.testing.assert_close(steps.fineness.detach(), start - 8)
    for conv, step in zip(fit.decoder.convs(), before, strict=True):
        assert conv.quant_step is not None
        ratios = (conv.quant_step / step).detach()
        # The steps of what a convolution reads double as well, unless they are fixed.
        assert ((ratios - 2).abs() < 0.2).all()
    steps.shift(100.0)
    assert torch.equal(steps.fineness.detach(), steps.finest)
    for grid in fit.decoder.grids.values():
        assert grid.quant_step is not None
        assert float(grid.values.detach().abs().max() / grid.quant_step) <= PEAK * 1.001
    steps.shift(-500.0)
    steps.apply_to_decoder()
    coarsest = [conv.quant_step for conv in fit.decoder.convs()]
    with torch.no_grad():
        steps.fineness.copy_(steps.finest - MAX_COARSENING)
    steps.apply_to_decoder()
    for conv, step in zip(fit.decoder.convs(), coarsest, strict=True):
        assert conv.quant_step is not None and step is not None
        assert torch.equal(conv.quant_step, step)
