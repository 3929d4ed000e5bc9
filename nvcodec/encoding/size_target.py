"""Ending a fit at a file size: targets for its rate control, then a search for the last per cent.

The bytes of the quantised values are measured when quantisation enters and again halfway to the end. The measurement
calibrates the smooth estimate of the bits, and so turns the size of the file into a target for rate control, which
steers in every training step (:mod:`~nvcodec.encoding.fit.rate_control`). At the end all quantisation steps are shifted
together, without further fitting, until the file has its size.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

from nvcodec.encoding.fit.budget import OVERHEAD
from nvcodec.encoding.fit.fit import Fit, Fitted
from nvcodec.encoding.fit.fit_loop import OnProgress, OnStep, ShouldStop, never, run

FILL_AIM = 0.995  # of the bytes available, aimed at while fitting and while searching
FILL_ENOUGH = 0.985  # of the bytes available, at which the search ends
SEARCH_ROUNDS = 12
USUAL_ROUNDS = 8  # of these, for which time is kept
OVERREACH = 1.5  # while the search has no bracket it goes so much further than expected
#: Eighths of an octave that the search shifts steps, at most: finer, and coarser (hardly any value is left then).
MAX_REFINEMENT, MAX_COARSENING = 8.0, 64.0
MIN_INTERPOLATION, MAX_INTERPOLATION = 0.1, 0.9  # part of the bracket in which the search continues


class ByteCounter(Protocol):
    """Measures the bytes of a network: :class:`~nvcodec.encoding.assembly.Assembler`, or that of another format."""

    def measure(self, fitted: Fitted, file_bytes: int) -> tuple[int, int]:
        """Return the bytes that quantised values take, and those that a file of ``file_bytes`` has for them."""


def run_to_size(
    fit: Fit,
    counter: ByteCounter,
    file_bytes: int,
    on_progress: OnProgress | None = None,
    on_step: OnStep[Fit] | None = None,
    should_stop: ShouldStop = never,
) -> None:
    """Take a fit whose quantisation has begun to its end, so that its values take the available bytes or hardly fewer.

    A fit that is stopped stays as it is, so that its checkpoint can be resumed.

    Args:
        fit: in phase QUANTISED, or at its end.
        counter: measures the bytes.
        file_bytes: size of the file.
        on_progress, on_step, should_stop: see :func:`~nvcodec.encoding.fit.fit_loop.run`.
    """
    halfway = 1 - fit.options.quantised_share / 2
    for number, end in enumerate((halfway, 1.0)):
        if len(fit.rate_control.targets) == number and not should_stop():  # a fit resumed in this part has its target
            before = fit.budget.clock.seconds[OVERHEAD]
            with fit.budget.clock.phase(OVERHEAD):
                used, available = counter.measure(fit.finish(), file_bytes)
                bits_per_byte = fit.quant_steps.bits().item() / used
                fit.rate_control.set_target(max(1.0, bits_per_byte * FILL_AIM * available))
            fit.budget.reserved = USUAL_ROUNDS * (fit.budget.clock.seconds[OVERHEAD] - before)

        def ended(end: float = end) -> bool:
            return should_stop() or fit.budget.spent() >= end

        run(fit, on_progress, on_step, ended)
    if not should_stop():
        fill(fit, counter, file_bytes)


@dataclasses.dataclass(frozen=True)
class _Trial:
    """A shift of all quantisation steps, in eighths of an octave, and the bytes that the values then take."""

    shift: float
    used: int


def fill(fit: Fit, counter: ByteCounter, file_bytes: int) -> None:
    """Shift all quantisation steps together until their values take the available bytes, or hardly fewer."""
    shift = 0.0
    too_large: _Trial | None = None
    fits: _Trial | None = None
    fitted = fit.finish()
    for _ in range(SEARCH_ROUNDS):
        used, available = counter.measure(fitted, file_bytes)
        if FILL_ENOUGH * available <= used <= available:
            return
        if used > available:
            too_large = _Trial(shift, used)
        else:
            fits = _Trial(shift, used)
        wanted = _next_shift(shift, used, available, too_large, fits, fit.quant_steps.stored_values)
        if wanted == shift:
            return
        fit.quant_steps.shift(wanted - shift)
        shift = wanted
    used, available = counter.measure(fitted, file_bytes)
    if used > available:
        fit.quant_steps.shift((fits.shift if fits else -MAX_COARSENING) - shift)


def _next_shift(
    shift: float, used: int, available: int, too_large: _Trial | None, fits: _Trial | None, stored_values: int
) -> float:
    """Return the shift to try next: between the two bounds, or beyond the one that is known."""
    if too_large and fits:
        # The logarithm of the bytes is nearly linear in the shift. It does not grow only if the available bytes
        # changed.
        growth = math.log(too_large.used / fits.used)
        part = math.log(FILL_AIM * available / fits.used) / growth if growth > 0 else 0.5
        return fits.shift + min(MAX_INTERPOLATION, max(MIN_INTERPOLATION, part)) * (too_large.shift - fits.shift)
    # One bit per value is one octave, that is eight eighths, unless most values are zero.
    wanted = shift + OVERREACH * 64 * (FILL_AIM * available - used) / stored_values
    return min(MAX_REFINEMENT, max(-MAX_COARSENING, wanted))
