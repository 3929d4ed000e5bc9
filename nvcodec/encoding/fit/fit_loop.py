"""Running a fit to its end, with progress reports, checkpoints and early ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch

from nvcodec.encoding.fit.budget import STEPS, Budget

F = TypeVar("F", bound="Advancing")

REPORT_INTERVAL = 20  # training steps between reports: each costs a synchronisation on a GPU
#: The cooldown of an interrupted fit: share of the steps done so far, at most, and seconds, at most.
FAST_COOLDOWN_PART, FAST_COOLDOWN_SECONDS = 0.05, 10.0


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a fit.

    Attributes:
        step: training steps done.
        steps: how many there will be, estimated where a time limit decides.
        loss: mean squared error, mean over the last training steps.
        psnr: in dB, mean over the last training steps.
        seconds: time spent so far.
        seconds_left: expected time left, including what follows the fit.
        phase: ``fit``; or ``AV1`` while an AV1 stream is made, and ``step`` counts its frames; or ``segments``, where
            it counts the frames of finished segments, and ``psnr`` is theirs.
    """

    step: int
    steps: int
    loss: float
    psnr: float
    seconds: float
    seconds_left: float
    phase: str = "fit"


class Advancing(Protocol):
    """A fit that :func:`run` can take to its end."""

    @property
    def budget(self) -> Budget:
        """What may be spent and has been spent."""

    def advance(self) -> torch.Tensor:
        """Do one training step; returns its mean squared error without waiting for it."""


OnProgress = Callable[[Progress], None]
OnStep = Callable[[F], None]
ShouldStop = Callable[[], bool]


def never() -> bool:
    """Return False: nobody asks for an end."""
    return False


def run(
    fit: F,
    on_progress: OnProgress | None = None,
    on_step: OnStep[F] | None = None,
    should_stop: ShouldStop = never,
) -> None:
    """Advance until the fit is done or ``should_stop`` returns True.

    Args:
        fit: new or restored.
        on_progress: called every 20 training steps and after the last one.
        on_step: called after every training step.
        should_stop: called before every training step.
    """
    errors: list[torch.Tensor] = []
    while not (fit.budget.done or should_stop()):
        errors.append(fit.advance())
        if len(errors) == REPORT_INTERVAL or fit.budget.done:
            if on_progress:
                on_progress(progress_of(fit, errors))
            errors.clear()
        if on_step:
            on_step(fit)


def fast_cooldown(fit: Advancing, on_progress: OnProgress | None = None) -> None:
    """Cool a fit down within a twentieth of the time that it has taken so far, and at most ten seconds."""
    budget = fit.budget
    part = min(FAST_COOLDOWN_PART, FAST_COOLDOWN_SECONDS / max(budget.clock.seconds[STEPS], 1e-9))
    if budget.step:
        budget.start_cooldown(part)
        run(fit, on_progress)


def progress_of(fit: Advancing, errors: list[torch.Tensor]) -> Progress:
    """Return the progress after training steps with these mean squared errors.

    Waits for the errors, which counts as time of the training steps.
    """
    budget = fit.budget
    with budget.clock.phase(STEPS):
        clamped = torch.stack(errors).clamp(min=1e-10)
        loss, psnr = torch.stack([clamped.mean(), -10 * clamped.log10().mean()]).tolist()
    share = max(budget.spent(), 1e-9)
    steps_left = round(max(0.0, budget.end - share) / share * budget.step)
    return Progress(
        budget.step,
        budget.step + steps_left,
        loss,
        psnr,
        budget.clock.total,
        budget.seconds_per_step * steps_left + budget.finishing_seconds,
    )
