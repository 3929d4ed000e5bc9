"""Ending a fit at a PSNR, and saving the bytes that it then does not need."""

from __future__ import annotations

import collections
import math
import statistics
from collections.abc import Callable

from nvcodec.encoding.fit.budget import OVERHEAD
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_loop import (
    REPORT_INTERVAL,
    OnProgress,
    OnStep,
    Progress,
    ShouldStop,
    never,
    run,
)
from nvcodec.encoding.fit.fit_state import Snapshot

COOLDOWN_PART = 0.5  # length of a cooldown relative to what has been spent before
EXPECTED_COOLDOWN_GAIN_DB = 2.8  # PSNR that the first cooldown is expected to gain
SAFETY_DB = 0.02  # the file may be so much below the float network

SAVING_TOLERANCE_DB = 0.06  # saving ends when the PSNR is so close above its target
SAVING_ATTEMPTS = 8
SAVING_PART, SAVING_MIN_STEPS = 0.08, 100  # length of an attempt: part of the fit so far, or training steps
MIN_BITS_PER_VALUE = 1.5  # with fewer, a smaller network would be better
MAX_SAVING_OCTAVES = 1.0  # of bits, in one attempt
DB_PER_BITS_DOUBLING = 4.0  # PSNR that twice the bits gain, about
STALE_OCTAVES = 0.1  # a bit budget that failed is forgotten when one so close succeeds: the fit has improved since


def run_to_quality(
    fit: Fit,
    target_db: float,
    on_progress: OnProgress | None = None,
    on_step: OnStep[Fit] | None = None,
    should_stop: ShouldStop = never,
) -> None:
    """Run a fit, but end it as soon as the file would reach an RGB PSNR of ``target_db``.

    When the mean PSNR of the last epoch, plus the gain expected of a cooldown, reaches the target, the fit is cooled
    down and measured over all frames. If it falls short, the gain is now known, and the fit continues at high learning
    rates
    from where it is: what it learned meanwhile stays (Wen et al., *Understanding warmup-stable-decay learning rates*,
    2024).

    Args:
        fit: new or restored.
        target_db: the target.
        on_progress, on_step, should_stop: see :func:`~nvcodec.encoding.fit.fit_loop.run`.
    """
    expected_gain = EXPECTED_COOLDOWN_GAIN_DB
    recent: collections.deque[float] = collections.deque(maxlen=-(-len(fit.frames) // REPORT_INTERVAL))

    def record(progress: Progress) -> None:
        recent.append(progress.psnr)
        if on_progress:
            on_progress(progress)

    def is_near() -> bool:
        return len(recent) == recent.maxlen and statistics.mean(recent) + expected_gain >= target_db

    while True:
        before: float | None = None
        if not fit.budget.cooldown:
            run(fit, record, on_step, lambda: should_stop() or is_near())
            if fit.budget.done or should_stop():
                return
            before = statistics.mean(recent)
            fit.budget.start_cooldown(COOLDOWN_PART)
        run(fit, on_progress, on_step, should_stop)
        if should_stop() or fit.budget.end == 1:
            return
        with fit.budget.clock.phase(OVERHEAD):
            reached = fit.finish().psnr(fit.frames)
        if reached >= target_db + SAFETY_DB:
            return
        if before is not None:  # unknown after resuming within a cooldown
            expected_gain = reached - before
        recent.clear()
        fit.cancel_cooldown()


def save_bits(
    fit: Fit,
    target_db: float,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop = never,
    seconds_left: Callable[[], float] = lambda: math.inf,
) -> None:
    """Reduce the bits of a finished fit that is better than ``target_db``, RGB PSNR of all frames.

    Coarser rounding alone would lose what the fit has learned of its quantisation, so each attempt fits on for a
    while; the last one that reaches the target stays. A fit that is stopped here returns to its state before, so that
    the search can begin again. ``seconds_left`` for attempts and what follows them tells whether there is time for
    another one.
    """
    margin = fit.finish().psnr(fit.frames) - target_db - SAFETY_DB
    if margin < 0:
        return
    initial = good = Snapshot(fit)
    enough = math.log2(fit.quant_steps.bits().item())  # log2 of bits that reach the target by ``margin``
    failed: tuple[float, float] | None = None  # log2 of bits that do not, and their (negative) margin
    least = math.log2(MIN_BITS_PER_VALUE * fit.quant_steps.stored_values)
    for _ in range(SAVING_ATTEMPTS):
        part = max(SAVING_PART, SAVING_MIN_STEPS / fit.budget.step)
        expected = part * fit.budget.step * fit.budget.seconds_per_step + 2 * fit.budget.finishing_seconds
        if margin <= SAVING_TOLERANCE_DB or enough <= least or should_stop() or expected > seconds_left():
            break
        if failed:
            bits = enough - (enough - failed[0]) * (margin - SAVING_TOLERANCE_DB / 2) / (margin - failed[1])
        else:
            bits = enough - min(MAX_SAVING_OCTAVES, margin / DB_PER_BITS_DOUBLING)
        bits = max(bits, least)
        fit.rate_control.set_target(2**bits)
        fit.extend(part)
        run(fit, on_progress, should_stop=should_stop)
        new_margin = fit.finish().psnr(fit.frames) - target_db - SAFETY_DB
        if new_margin >= 0:
            margin, enough, good = new_margin, bits, Snapshot(fit)
            if failed and enough - failed[0] < STALE_OCTAVES:
                failed = None
        else:
            failed = bits, new_margin
            good.restore(fit)
    (initial if should_stop() else good).restore(fit)
