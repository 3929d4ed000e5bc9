"""Rate control: lambda and the quantisation steps as functions of the bits, and bits in the loss."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from conftest import moving_squares

from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.joint_fit import fit_jointly, joint_step
from nvcodec.encoding.fit.losses import Loss
from nvcodec.encoding.fit.rate_control import LAMBDA_RANGE, RateController, rate_term
from nvcodec.encoding.model.decoder_network import ReferenceLayer
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.quantizer.learned_steps import LearnedSteps

CPU = torch.device("cpu")
CLIP = moving_squares(4, 32, 40)
SHAPE = solve(12_000, 40, 32, 4)


class ObedientSteps:
    """Quantisation steps of 1000 values, each of which costs one bit more per octave."""

    stored_values = 1000

    def __init__(self, bits: float) -> None:
        self.cost = bits
        self.shifts: list[float] = []
        self.quarters: list[int | None] = []

    def bits(self, quarter: int | None = None) -> torch.Tensor:
        self.quarters.append(quarter)
        return torch.tensor(self.cost)

    def shift(self, eighths: float) -> None:
        self.shifts.append(eighths)
        self.cost += self.stored_values * eighths / 8


def controller(
    rd_lambda: float, bits: Sequence[float], target: float | None = 1000.0
) -> tuple[RateController, ObedientSteps]:
    """A controller whose last training steps cost ``bits``."""
    steps = ObedientSteps(bits[-1])
    rate = RateController(cast(LearnedSteps, steps), rd_lambda, window=0.3)
    if target is not None:
        rate.set_target(target)
    rate.recent_bits = list(bits)
    return rate, steps


@pytest.mark.parametrize(
    ("bits", "share", "factor"),
    [
        ([2000.0], 0.1, 2 ** (6 * 0.1)),
        ([4000.0], 0.05, 4 ** (6 * 0.05)),
        ([500.0], 0.1, 0.5 ** (24 * 0.1)),
        ([1000.0], 0.1, 1.0),
        ([500.0, 1000.0, 1500.0, 3000.0], 0.1, 1.5 ** (6 * 0.1)),  # their mean counts
    ],
)
def test_lambda_follows_the_ratio_of_bits_and_target(bits: list[float], share: float, factor: float) -> None:
    rate, _ = controller(1.5, bits)
    rate.update_lambda(share)
    assert rate.rd_lambda == pytest.approx(1.5 * factor)


@pytest.mark.parametrize(("bits", "end"), [(1e9, LAMBDA_RANGE[1]), (1e-3, LAMBDA_RANGE[0])])
def test_lambda_stays_in_its_range(bits: float, end: float) -> None:
    rate, _ = controller(1.5, [bits])
    rate.update_lambda(1.0)
    assert rate.rd_lambda == end


def test_the_last_target_counts() -> None:
    rate, steps = controller(1.5, [2000.0])
    rate.set_target(4000.0)
    rate.steer(0.1)
    assert rate.rd_lambda == pytest.approx(1.5 * 0.5 ** (24 * 0.1))
    assert steps.shifts == [pytest.approx(8 * 0.4)]


@pytest.mark.parametrize(
    ("bits", "share", "eighths"),
    [
        (1500.0, 0.5, -4.0),  # half a bit per value too many: half an octave
        (1500.0, 0.05, -8 * 0.2),  # at most four octaves over the window
        (900.0, 0.5, 0.8),
        (100.0, 0.05, 8 * 0.2),
    ],
)
def test_steps_are_shifted_by_the_missing_bits_per_value(bits: float, share: float, eighths: float) -> None:
    rate, steps = controller(1.5, [bits])
    rate.steer(share)
    assert steps.shifts == [pytest.approx(eighths)]
    assert (rate.rd_lambda > 1.5) == (bits > 1000)


@pytest.mark.parametrize(("bits", "eighths"), [(1500.0, -4.0), (5000.0, -8.0), (100.0, 7.2)])
def test_without_lambda_the_steps_alone_are_steered(bits: float, eighths: float) -> None:
    """By all bits as they are now, and up to an octave at once."""
    rate, steps = controller(0.0, [1.0, bits])
    rate.steer(0.001)
    assert steps.shifts == [pytest.approx(eighths)]
    assert rate.rd_lambda == 0


def test_nothing_is_steered_without_a_target() -> None:
    rate, steps = controller(1.5, [2000.0], target=None)
    rate.steer(0.5)
    assert (rate.rd_lambda, steps.shifts) == (1.5, [])


def test_bits_are_measured_quarter_by_quarter() -> None:
    rate, steps = controller(1.5, [1.0])
    for step in range(3, 9):
        steps.cost = 100.0 * step
        assert rate.measure_bits(step).item() == steps.cost
    assert steps.quarters == [3, 0, 1, 2, 3, 0]
    assert rate.recent_bits == [500, 600, 700, 800]


def test_the_state_of_rate_control_is_kept() -> None:
    rate, _ = controller(1.5, [1.0, 2.0])
    rate.set_target(7.0)
    rate.window = 0.1
    other, _ = controller(3.0, [9.0])
    other.load(json.loads(json.dumps(rate.state())))
    assert other.state() == rate.state()
    rate.set_target(8.0)
    assert other.targets == [1000, 7]


@pytest.mark.parametrize("start", [300.0, 700.0, 1400.0, 4000.0])
def test_the_target_is_reached_from_both_sides(start: float) -> None:
    """In the twenty training steps of a window, every one of which moves the bits and lambda the right way."""
    rate, steps = controller(1.5, [start])
    for step in range(20):
        distance, before = abs(steps.cost - 1000), rate.rd_lambda
        bits = rate.measure_bits(step).item()
        if (bits > 1000) == (start > 1000):  # the mean of the last four lags behind
            rate.steer(1 / 20)
            assert abs(steps.cost - 1000) <= distance + 1e-3
            if step < 3:
                assert (rate.rd_lambda > before) == (start > 1000)
    assert steps.cost == pytest.approx(1000, rel=0.15)


@pytest.mark.parametrize(("factor", "rises"), [(0.8, True), (1.25, False)])
def test_a_fit_is_steered_to_its_target(factor: float, rises: bool) -> None:
    fit = Fit(CLIP, SHAPE, FitOptions(steps=80, rd_lambda=1.5), CPU)
    fit.budget.step = 56  # quantisation enters here
    fit.start_quantisation()
    start = fit.quant_steps.bits().item()
    target = factor * start
    fit.rate_control.set_target(target)
    fit.advance()
    assert (fit.rate_control.rd_lambda > 1.5) == rises
    for _ in range(20):
        fit.advance()
    assert abs(fit.quant_steps.bits().item() - target) < 0.7 * abs(start - target)


@pytest.mark.parametrize("lower_layer_bits", [0.0, 5000.0, 15_000.0])
def test_bits_in_units_of_the_loss(lower_layer_bits: float) -> None:
    """Lower layers are part of what is doubled: beside as many bits, the layer's own count half."""
    bits = torch.tensor(5000.0, requires_grad=True)
    rate_term(torch.tensor(0.01), bits, 1.5, lower_layer_bits).backward()
    assert bits.grad is not None
    slope = 0.01 * 1.5 * math.log(10) / 10 / math.log(2)
    assert bits.grad.item() == pytest.approx(slope / (5000 + lower_layer_bits))


def constant(decoded: torch.Tensor, source: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
    """A loss of 1, so that all gradients are those of the bits."""
    return 1 + 0 * decoded.sum()


def quantised_fit(reference_channels: int = 0, loss: Loss = constant, **options: Any) -> Fit:
    """A fit at the beginning of its last phase; with channels, of a layer above a grey one of 3000 bits."""
    shape = solve(12_000, 40, 32, 4, reference_channels=reference_channels)
    reference = None
    if reference_channels:
        features = torch.zeros(4, reference_channels, 16, 20, dtype=torch.int16)
        reference = ReferenceLayer(torch.full_like(CLIP, 128), features, 4, 0, 0, 1, bits=3000.0)
    fit = Fit(CLIP, shape, FitOptions(**{"steps": 40, "rd_lambda": 1.5, **options}), CPU, loss, reference)
    fit.start_quantisation()
    fit.quant_steps.apply_to_decoder()
    return fit


def step_gradient(fit: Fit) -> torch.Tensor:
    gradient = fit.quant_steps.fineness.grad
    assert gradient is not None
    return gradient.clone()


def test_a_fit_counts_the_bits_of_lower_layers() -> None:
    fit = quantised_fit(reference_channels=5)
    pictures = CLIP[:1].float() / 255
    gradients = []
    for lower_layer_bits in (0.0, fit.quant_steps.bits(0).item()):
        assert fit.decoder.reference is not None
        fit.decoder.reference = dataclasses.replace(fit.decoder.reference, bits=lower_layer_bits)
        fit.optimisers.clear_gradients()
        fit.objective(pictures, [0])[0].backward()  # type: ignore[no-untyped-call]
        gradients.append(step_gradient(fit))
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0] / 2)


def two_layers(loss: Loss = constant) -> list[Fit]:
    base = quantised_fit(loss=loss)
    return [base, quantised_fit(base.shape.channels[-2], loss)]


def test_a_joint_fit_counts_lower_layers_too() -> None:
    """The lower layer's bits appear in both layers' terms, the upper one's in its own beside the lower ones."""
    fits = two_layers()
    alone = []
    for fit in fits:
        bits = fit.quant_steps.bits(0)
        alone.append((bits.item(), torch.autograd.grad(bits, fit.quant_steps.fineness)[0]))
        fit.rate_control.set_target(1.0)
    joint_step(fits, 0.0, 0.0)
    (lower, lower_slope), (upper, upper_slope) = alone
    weight = 1.5 * math.log(10) / 10 / math.log(2)
    together = lower + upper
    torch.testing.assert_close(step_gradient(fits[0]), weight * lower_slope * (1 / lower + 1 / together))
    torch.testing.assert_close(step_gradient(fits[1]), weight * upper_slope / together)


def test_a_joint_fit_minimises_decibels() -> None:
    """The unit of the loss does not matter: all gradients are relative to its value."""
    gradients = []
    for unit in (1.0, 100.0):
        fits = two_layers(lambda decoded, source, frames, unit=unit: unit * (decoded - source).square().mean())  # type: ignore[misc]
        for fit in fits:
            fit.rate_control.set_target(1.0)
        joint_step(fits, 0.0, 0.0)
        gradients.append([fit.decoder.head.weight.grad for fit in fits])
    for one, other in zip(*gradients, strict=True):
        assert one is not None and other is not None and one.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_a_joint_fit_steers_each_layer() -> None:
    fits = two_layers()
    bits = [fit.quant_steps.bits(0).item() for fit in fits]
    for fit, cost, factor in zip(fits, bits, (0.5, 2.0), strict=True):
        fit.rate_control.set_target(factor * cost)
    joint_step(fits, 0.0, 0.1)
    assert fits[0].rate_control.rd_lambda == pytest.approx(1.5 * 2 ** (6 * 0.1))
    assert fits[1].rate_control.rd_lambda == pytest.approx(1.5 * 0.5 ** (24 * 0.1))
    assert [fit.budget.step for fit in fits] == [1, 1]


def test_a_joint_fit_aims_at_what_its_layers_cost() -> None:
    fits = two_layers()
    bits = [fit.quant_steps.bits().item() for fit in fits]
    fit_jointly(fits, steps=3, seconds=None)
    assert [fit.rate_control.targets for fit in fits] == [[pytest.approx(cost)] for cost in bits]
    assert [fit.budget.step for fit in fits] == [3, 3]
