"""The budget of a fit: shares of steps and seconds, cooldowns, extensions, and the learning rates meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from conftest import Time, moving_squares

from nvcodec.encoding.fit.budget import Budget
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_loop import fast_cooldown, progress_of
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.frame_sampler import FrameSampler
from nvcodec.encoding.model.shape_solver import solve


def budget_at(step: int, **options: Any) -> Budget:
    """The budget of 10 frames, after training steps that took a second each, the first ten two seconds."""
    budget = Budget(FitOptions(**options), 10)
    for _ in range(step):
        budget.clock.seconds["steps"] += 2.0 if budget.step < 10 else 1.0
        budget.count_step()
    return budget


def test_the_share_of_the_steps() -> None:
    budget = budget_at(30, steps=200)
    assert budget.spent() == 0.15
    assert budget.spent(20) == 0.25
    assert budget.step_share == pytest.approx(1 / 200)
    assert budget.end == 1


def test_the_first_steps_say_nothing_of_the_pace() -> None:
    assert budget_at(10, steps=200).seconds_per_step == 0
    budget = budget_at(30, steps=200)
    assert budget.warmup_seconds == 20
    assert budget.seconds_per_step == 1
    assert budget.finishing_seconds == 12  # 1.2 times each frame


def test_the_share_of_the_time() -> None:
    """Writing the file is left out of the time available; what is not a training step counts as spent."""
    budget = budget_at(30, seconds=112.0)
    assert budget.spent() == pytest.approx((20 + 20) / (112 - 12))
    budget.clock.seconds["overhead"] = 10.0
    assert budget.spent() == pytest.approx(0.5)
    assert budget.spent(5) == pytest.approx(0.55)
    assert budget_at(0, seconds=112.0).spent() == 0


def test_several_files_share_the_time() -> None:
    """Each needs phase QUANTISED, here 0.3 of a fit, and 12 s of its own."""
    budget = budget_at(30, seconds=200.0, files=3, quantised_share=0.3)
    assert budget.spent() == pytest.approx(40 / ((200 - 3 * 12) / 1.6))


def test_seconds_for_the_rest() -> None:
    budget = budget_at(30, seconds=112.0, files=2)
    before = budget.spent()
    budget.allot(62.0)
    assert budget.spent() == pytest.approx(before)
    budget.clock.seconds["overhead"] += 25
    assert budget.spent() == pytest.approx(before + (1 - before) / 2)  # 12 s are kept for the file
    assert budget.spent(25) == pytest.approx(1)


def test_what_is_not_counted_is_overhead() -> None:
    """Of 112 s, 40 have been counted; the clock of the encode says that 47 have passed, then 47 and 13 more."""
    budget = budget_at(30, seconds=112.0)
    budget.count_overhead(65.0)
    assert budget.clock.seconds["overhead"] == 7
    budget.count_overhead(80.0)  # of an earlier session, say: it stays counted
    assert budget.clock.seconds["overhead"] == 7
    budget.allot(50.0)
    budget.count_overhead(37.0)
    assert budget.clock.seconds["overhead"] == 20


def test_the_time_for_the_file_is_known_early() -> None:
    """From the first steps a third of what they say: they may be slow."""
    assert budget_at(5, steps=200).least_finishing_seconds == pytest.approx(2 / 3 * 1.2 * 10)
    assert budget_at(30, steps=200).least_finishing_seconds == 12
    assert budget_at(0, steps=200).least_finishing_seconds == 0


@pytest.mark.parametrize(("steps", "seconds", "share"), [(60, 112.0, 0.5), (600, 112.0, 0.4)])
def test_the_limit_that_is_reached_first_counts(steps: int, seconds: float, share: float) -> None:
    assert budget_at(30, steps=steps, seconds=seconds).spent() == pytest.approx(share)


def test_the_end_is_the_nearest_step() -> None:
    assert not budget_at(199, steps=200).done
    assert budget_at(200, steps=200).done
    budget = budget_at(50, steps=200)
    budget.cooldown = 0.0, 0.252  # 50.4 steps
    assert budget.done
    budget.cooldown = 0.0, 0.253  # 50.6 steps
    assert not budget.done
    assert not budget_at(0, seconds=1e-9).done


@pytest.mark.parametrize(
    ("step", "part", "cooldown"),
    [
        (40, 0.5, (0.2, 0.3)),
        (40, 0.001, (0.2, 0.205)),  # at least one step
        (160, 0.5, (0.8, 1.0)),  # at most the budget
    ],
)
def test_a_cooldown(step: int, part: float, cooldown: tuple[float, float]) -> None:
    budget = budget_at(step, steps=200)
    budget.start_cooldown(part)
    assert budget.cooldown == pytest.approx(cooldown)
    assert budget.end == pytest.approx(cooldown[1])
    budget.cancel_cooldown()
    assert (budget.cooldown, budget.end) == (None, 1)


def test_a_cooldown_within_a_cooldown_is_only_shorter() -> None:
    budget = budget_at(50, steps=200)
    budget.cooldown = 0.2, 0.3
    budget.start_cooldown(0.1)
    assert budget.cooldown == pytest.approx((0.2, 0.275))
    budget.start_cooldown(0.9)
    assert budget.cooldown == pytest.approx((0.2, 0.275))


def test_an_extension() -> None:
    """It ends later than the budget; its learning rates fall from 4 % of their peak."""
    budget = budget_at(200, steps=200)
    assert budget.extend(0.1) == pytest.approx(0.1)
    assert budget.end == pytest.approx(1.1)
    assert not budget.done
    start, end = budget.cooldown or (0.0, 0.0)
    assert (end - 1.0) / (end - start) == pytest.approx(0.04)
    budget.step = 210
    assert (end - budget.spent()) / (end - start) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 0.02),  # the first of 50 steps of warm-up
        (24, 0.5 * (1 - 24 / 2000)),
        (49, 1 - 49 / 2000),
        (1000, 0.5),
        (1999, 0.01),
    ],
)
def test_learning_rates(step: int, factor: float) -> None:
    assert budget_at(step, steps=2000).lr_factor() == pytest.approx(factor)


def test_a_short_warm_up_is_a_share_of_the_fit() -> None:
    assert budget_at(4, steps=160).lr_factor() == pytest.approx(0.5 * (1 - 4 / 160))


def test_learning_rates_in_a_cooldown() -> None:
    """From where they were down to nothing."""
    budget = budget_at(500, steps=2000)
    before = budget.lr_factor()
    budget.start_cooldown(0.4)
    assert budget.lr_factor() == pytest.approx(before) == pytest.approx(0.75)
    budget.step = 600
    assert budget.lr_factor() == pytest.approx(0.375)
    budget.step = 700
    assert budget.lr_factor() == pytest.approx(0.01)


def test_the_state_of_a_budget() -> None:
    budget = budget_at(30, steps=200)
    budget.start_cooldown(0.5)
    other = Budget(budget.options, 10)
    other.load(json.loads(json.dumps(budget.state())))
    assert other.state() == budget.state()
    assert (other.step, other.cooldown, other.seconds_per_step) == (30, budget.cooldown, 1)
    budget.clock.seconds["steps"] += 1
    assert other.clock.total == 40


@pytest.fixture(scope="module")
def fit() -> Fit:
    """A fit in its twentieth step of a hundred: 2 s for the first ten, then 1 s per step, 5 s for other things."""
    fit = Fit(moving_squares(4, 32, 40), solve(12_000, 40, 32, 4), FitOptions(steps=100), torch.device("cpu"))
    fit.budget.step, fit.budget.warmup_seconds = 20, 2.0
    fit.budget.clock.seconds.update(steps=12.0, overhead=5.0)
    return fit


def test_progress(fit: Fit, fake_time: Time) -> None:
    """The mean error, the mean of the PSNRs, and the time left with the file."""
    progress = progress_of(fit, [torch.tensor(0.1), torch.tensor(0.001)])
    assert (progress.step, progress.steps) == (20, 100)
    assert progress.loss == pytest.approx(0.0505)
    assert progress.psnr == pytest.approx((10 + 30) / 2)
    assert progress.seconds == 17
    assert progress.seconds_left == pytest.approx(80 * 1.0 + 1.2 * 4 * 1.0)
    assert progress_of(fit, [torch.tensor(0.0)]).psnr == pytest.approx(100)


def test_progress_in_a_cooldown(fit: Fit) -> None:
    fit.budget.cooldown = 0.2, 0.3
    assert progress_of(fit, [torch.tensor(0.1)]).steps == 30
    fit.budget.cooldown = None


@pytest.mark.parametrize(("seconds", "part"), [(12.0, 0.05), (1000.0, 0.01)])
def test_a_fast_cooldown_takes_a_twentieth_or_ten_seconds(fit: Fit, seconds: float, part: float) -> None:
    fit.budget.step, fit.budget.cooldown = 100, None
    fit.budget.options = FitOptions(steps=1000)
    fit.budget.clock.seconds["steps"] = seconds
    fit.budget.warmup_seconds = 2.0
    fast_cooldown(fit)
    assert fit.budget.cooldown == pytest.approx((0.1, 0.1 * (1 + part)))
    assert fit.budget.step == 100 + round(100 * part)


def test_every_epoch_shows_every_frame_once() -> None:
    sampler, other = FrameSampler(5, seed=3), FrameSampler(5, seed=3)
    drawn = [frame for _ in range(10) for frame in sampler.draw(3)]
    epochs = [drawn[first : first + 5] for first in range(0, 30, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert [frame for _ in range(10) for frame in other.draw(3)] == drawn
    assert FrameSampler(50, seed=4).draw(50) != FrameSampler(50, seed=3).draw(50)
