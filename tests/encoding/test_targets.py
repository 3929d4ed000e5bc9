"""Ending at a size or at a quality, with stand-ins for the fit and for its bytes."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import cast

import pytest
import torch
from conftest import moving_squares

from nvcodec.encoding.fit.budget import Budget
from nvcodec.encoding.fit.fit import Fit, Fitted
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.quality_target import run_to_quality, save_bits
from nvcodec.encoding.size_target import fill, run_to_size

CPU = torch.device("cpu")
VALUES = 8000  # one bit per value is a kilobyte
AVAILABLE = 5000


class Shifted:
    """Stands in for a fit of 8000 values whose steps are shifted, and counts its bytes by a function of the shift."""

    def __init__(self, size: Callable[[float], float], available: Callable[[float], float]) -> None:
        self.size, self.available = size, available
        self.position = 0.0
        self.measured: list[float] = []
        self.stored_values = VALUES
        self.quant_steps = self

    def finish(self) -> Shifted:
        return self

    def shift(self, eighths: float) -> None:
        self.position += eighths

    def measure(self, fitted: object, file_bytes: int) -> tuple[int, int]:
        self.measured.append(self.position)
        return round(self.size(self.position)), round(self.available(self.position))


def filled(
    size: Callable[[float], float], available: Callable[[float], float] = lambda shift: AVAILABLE
) -> tuple[float, int]:
    """The bytes used, relative to those available, after the search, and how often they were measured."""
    stand_in = Shifted(size, available)
    fill(cast(Fit, stand_in), stand_in, 12_345)
    return round(size(stand_in.position)) / round(available(stand_in.position)), len(stand_in.measured)


def octaves(start: float) -> Callable[[float], float]:
    """A bit per value and octave."""
    return lambda shift: max(0.0, start + VALUES / 8 * shift / 8)


@pytest.mark.parametrize(
    "size",
    [
        octaves(5600),
        octaves(6500),
        octaves(4990),
        octaves(4800),
        octaves(4200),
        lambda shift: 6000 * 2 ** (shift / 8),  # twice the bytes per octave
        lambda shift: 9000 * 2 ** (shift / 20),
        lambda shift: 4600 * 2 ** (shift / 40),
        lambda shift: VALUES / 8 * math.log2(1 + 2**5 * 2 ** (shift / 8)),  # most values become zero
        lambda shift: VALUES / 8 * math.log2(1 + 2**8 * 2 ** (shift / 8)),
        lambda shift: 7 * round(octaves(5700)(shift) / 7),  # in steps
    ],
)
def test_a_file_is_filled(size: Callable[[float], float]) -> None:
    share, rounds = filled(size)
    assert 0.985 <= share <= 1
    assert rounds <= 8


def test_what_is_full_is_left_alone() -> None:
    assert filled(octaves(0.99 * AVAILABLE)) == (0.99, 1)


def test_the_bytes_available_may_change_with_the_steps() -> None:
    """Biases and tables take some of them."""
    share, rounds = filled(octaves(7000), lambda shift: AVAILABLE - 30 * shift)
    assert 0.985 <= share <= 1
    assert rounds <= 8


def test_where_the_bytes_jump_over_the_target_the_file_is_smaller() -> None:
    share, _ = filled(lambda shift: 4000 + shift if shift < -3.3 else 6000 + shift)
    assert 0.75 < share < 0.8


def test_more_bytes_than_the_values_can_use() -> None:
    """Steps are made an octave finer and no more."""
    stand_in = Shifted(lambda shift: 1000 + shift, lambda shift: AVAILABLE)
    fill(cast(Fit, stand_in), stand_in, 1)
    assert stand_in.position == 8
    assert len(stand_in.measured) <= 3


def test_fewer_bytes_than_the_values_need() -> None:
    """Steps are made as coarse as they can be, and no coarser."""
    stand_in = Shifted(lambda shift: 9000 + shift, lambda shift: AVAILABLE)
    fill(cast(Fit, stand_in), stand_in, 1)
    assert stand_in.position == -64
    assert len(stand_in.measured) <= 3


CLIP = moving_squares(2, 16, 16)
SHAPE = solve(3000, 16, 16, 2)


class Bytes:
    """Says that a fit's values take a quarter of a byte per estimated bit, and records when it was asked."""

    def __init__(self, fit: Fit, share: float) -> None:
        self.fit, self.share = fit, share
        self.asked: list[tuple[float, float]] = []  # share of the budget, estimated bits

    def measure(self, fitted: Fitted, file_bytes: int) -> tuple[int, int]:
        bits = self.fit.quant_steps.bits().item()
        self.asked.append((self.fit.budget.spent(), bits))
        return round(bits / 4), round(self.share * bits / 4)


def test_bytes_are_measured_when_quantisation_enters_and_halfway() -> None:
    """The target is in estimated bits: so many as the bytes available are worth, but for half a per cent."""
    fit = Fit(CLIP, SHAPE, FitOptions(steps=40, rd_lambda=1.5), CPU)
    fit.budget.step = 28
    fit.start_quantisation()
    counter = Bytes(fit, share=1.005)  # so that the search at the end has nothing to do
    run_to_size(fit, counter, 999)
    assert [share for share, _ in counter.asked] == [0.7, 0.85, 1.0]
    assert fit.rate_control.targets == pytest.approx([0.995 * 1.005 * bits for _, bits in counter.asked[:2]], rel=1e-3)
    assert fit.budget.step == 40


def test_a_fit_that_is_stopped_is_not_filled() -> None:
    fit = Fit(CLIP, SHAPE, FitOptions(steps=40, rd_lambda=1.5), CPU)
    fit.budget.step = 28
    fit.start_quantisation()
    counter = Bytes(fit, share=0.5)
    run_to_size(fit, counter, 999, should_stop=lambda: fit.budget.step == 30)
    assert len(counter.asked) == 1
    assert fit.budget.step == 30


class Learner:
    """Stands in for a fit that gains 0.05 dB in each training step and ``gain`` dB in a cooldown."""

    def __init__(self, gain: float) -> None:
        self.gain = gain
        self.frames = range(4)
        self.options = FitOptions(steps=1000)
        self.budget = Budget(self.options, 4)
        self.base = 10.0
        self.starts: list[float] = []  # PSNR at the beginning of each cooldown
        self.cancelled = 0

    def advance(self) -> torch.Tensor:
        self.budget.count_step()
        if self.budget.cooldown is None:
            self.base += 0.05
        elif len(self.starts) == self.cancelled:
            self.starts.append(self.base)
        return torch.tensor(10 ** (-self.base / 10))

    def finish(self) -> Learner:
        return self

    def psnr(self, frames: object) -> float:
        return self.base + self.gain

    def cancel_cooldown(self) -> None:
        self.cancelled += 1
        self.budget.cancel_cooldown()


@pytest.mark.parametrize(("gain", "cooldowns"), [(4.0, 1), (2.9, 1), (1.0, 2)])
def test_a_cooldown_that_falls_short_is_cancelled_and_its_gain_is_learned(gain: float, cooldowns: int) -> None:
    """The first cooldown begins 2.8 dB below the target, the second one by as much as the first has gained."""
    fit = Learner(gain)
    run_to_quality(cast(Fit, fit), 30.0)
    assert len(fit.starts) == cooldowns
    assert fit.cancelled == cooldowns - 1
    assert fit.psnr(None) >= 30.0
    assert fit.budget.end < 1
    for start, expected in zip(fit.starts, (2.8, gain), strict=False):
        assert 0 <= start + expected - 30 < 1.5  # reports come every 20 steps, and are means over them


def test_a_cooldown_takes_half_as_long_as_the_fit_before() -> None:
    fit = Learner(4.0)
    run_to_quality(cast(Fit, fit), 30.0)
    start, end = fit.budget.cooldown or (0.0, 0.0)
    assert end == pytest.approx(1.5 * start)
    assert fit.budget.spent() == pytest.approx(end, abs=1e-3)


def test_a_quality_out_of_reach_takes_the_whole_budget() -> None:
    fit = Learner(0.0)
    run_to_quality(cast(Fit, fit), 90.0)
    assert (fit.budget.step, fit.starts, fit.cancelled) == (1000, [], 0)


class Judged(Fit):
    """A small fit whose training steps take no time, and whose PSNR is the next of a list at each judgement."""

    def __init__(self, qualities: list[float]) -> None:
        super().__init__(CLIP, SHAPE, FitOptions(steps=200, rd_lambda=1.5), CPU)
        self.qualities = iter(qualities)
        self.budget.step = 200
        self.start_quantisation()
        self.states: list[tuple[int, float]] = []  # training steps, and target in octaves of bits, at each judgement

    def advance(self) -> torch.Tensor:
        with torch.no_grad():
            self.decoder.head.bias.add_(1.0)  # type: ignore[union-attr]
        self.budget.count_step()
        return torch.zeros(())

    def finish(self) -> Fitted:
        target = math.log2(self.rate_control.targets[-1]) if self.rate_control.targets else 0.0
        self.states.append((self.budget.step, target))
        quality = next(self.qualities)
        return cast(Fitted, types.SimpleNamespace(psnr=lambda frames: quality))

    @property
    def done(self) -> float:
        """Training steps of the extensions that the weights have seen."""
        assert self.decoder.head.bias is not None
        return round(float(self.decoder.head.bias.detach()[0]))


def saved(qualities: list[float], stop_after: int | None = None) -> tuple[Judged, float]:
    """A fit after its bits have been saved for a target of 29.98 dB, and the octaves of bits that it had before."""
    fit = Judged(qualities)
    before = math.log2(fit.quant_steps.bits().item())
    torch.nn.init.zeros_(cast(torch.Tensor, fit.decoder.head.bias))
    save_bits(fit, 29.98, should_stop=lambda: stop_after is not None and len(fit.states) > stop_after)
    return fit, before


def test_bits_are_saved_until_the_target_is_near() -> None:
    """Four dB are thought to be an octave; an attempt takes a hundred steps or 8 % of the fit."""
    fit, before = saved([31.0, 30.4, 30.05])
    assert fit.states[1:] == [(300, pytest.approx(before - 0.25)), (400, pytest.approx(before - 0.35))]
    assert fit.budget.step == 400
    assert fit.done == 200


def test_one_attempt_saves_at_most_an_octave() -> None:
    fit, before = saved([40.0, 30.01])
    assert fit.states[1][1] == pytest.approx(before - 1)


def test_an_attempt_that_fails_is_taken_back() -> None:
    """The next one begins where the last good one ended, and aims between the two."""
    fit, before = saved([31.0, 30.5, 29.5, 30.02])
    good, failed = before - 0.25, before - 0.25 - 0.125
    between = good - (good - failed) * (0.5 - 0.03) / (0.5 + 0.5)
    assert [step for step, _ in fit.states] == [200, 300, 400, 400]
    assert fit.states[3][1] == pytest.approx(between)
    assert fit.done == 200


def test_the_last_good_state_stays() -> None:
    fit, before = saved([31.0, 30.5, *[29.5] * 7])
    assert len(fit.states) == 1 + 8
    assert fit.budget.step == 300
    assert fit.done == 100
    assert math.log2(fit.rate_control.targets[-1]) == pytest.approx(before - 0.25)


def test_a_fit_that_is_stopped_while_saving_is_as_before() -> None:
    fit, _ = saved([31.0, 30.5, 30.2], stop_after=1)
    assert fit.budget.step == 200
    assert fit.done == 0
    assert fit.rate_control.targets == []


def test_a_fit_below_its_target_saves_nothing() -> None:
    fit, _ = saved([29.0])
    assert (fit.budget.step, fit.done) == (200, 0)
