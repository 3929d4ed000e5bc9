"""The budget of a fit: training steps and seconds allowed and spent, when it ends, and the learning rate meanwhile.

All of it is measured in *shares* of the budget: 0 at the beginning, 1 when the training steps or the seconds are used
up, whichever is first. A cooldown lets the learning rates decay early and ends the fit there.
"""

from __future__ import annotations

from typing import Any

from nvcodec.encoding.clock import Clock
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.schedule import lr_factor

FINISHING_EPOCHS = 1.2  # writing and verifying the file takes about as long as this many epochs of the fit
SLOWEST_START = 3.0  # times as long as later ones the first training steps may take
TIMING_WARMUP_STEPS = 10  # the first training steps take longer and say nothing about the pace
EXTENSION_LR_FACTOR = 0.04  # learning rate, relative to the peak, at which an extension begins

STEPS, OVERHEAD = "steps", "overhead"  # phases of the clock: training steps, and all other time


class Budget:
    """What a fit may spend, in training steps and in seconds, and what it has spent.

    Args:
        options: of the fit.
        frames: number of frames in the clip, or of training steps that take as long as decoding them.

    Attributes:
        step: training steps done.
        clock: seconds of training steps, and of everything else (``overhead``: fixing the latents, a warm start,
            measuring quality).
        warmup_seconds: duration of the first ten training steps.
        reserved: seconds that what follows the fit takes for one file beside decoding.
        cooldown: shares between which the learning rates decay; None for the ordinary schedule.
    """

    def __init__(self, options: FitOptions, frames: float) -> None:
        self.options, self.frames = options, frames
        self.step = 0
        self.clock = Clock()
        self.clock.seconds.update({STEPS: 0.0, OVERHEAD: 0.0})
        self.warmup_seconds = 0.0
        self.reserved = 0.0
        self.cooldown: tuple[float, float] | None = None
        self._seconds, self._files = options.seconds, options.files
        self._allotted_at = 0.0, 0.0  # share, and seconds, that were spent when these seconds were allotted

    @property
    def seconds_per_step(self) -> float:
        """Duration of a training step; 0 while it is unknown."""
        steps = self.step - TIMING_WARMUP_STEPS
        return (self.clock.seconds[STEPS] - self.warmup_seconds) / steps if steps > 0 else 0.0

    @property
    def finishing_seconds(self) -> float:
        """Expected duration of what follows the fit, for one file."""
        return self.seconds_per_step * FINISHING_EPOCHS * self.frames + self.reserved

    @property
    def least_finishing_seconds(self) -> float:
        """The same, known after the first step, when it is a cautious guess."""
        guess = self.clock.seconds[STEPS] / max(1, self.step) / SLOWEST_START
        return (self.seconds_per_step or guess) * FINISHING_EPOCHS * self.frames

    def allot(self, seconds: float) -> None:
        """Let the rest of the budget, and what follows for one file, take so many seconds from now on."""
        self._allotted_at = self.spent(), self.clock.total
        self._seconds, self._files = seconds, 1

    def count_overhead(self, left: float) -> None:
        """Count as overhead what has passed beside all that is counted, given the seconds that are left."""
        assert self._seconds is not None
        expected = self._seconds - (self.clock.total - self._allotted_at[1])
        self.clock.seconds[OVERHEAD] += max(0.0, expected - left)

    def spent(self, extra_steps: float = 0) -> float:
        """Return the share of the budget that is spent, or will be after ``extra_steps`` more training steps."""
        options = self.options
        share = (self.step + extra_steps) / options.steps if options.steps else 0.0
        if self._seconds is not None and self.step:
            before, taken_before = self._allotted_at
            available = self._seconds - self._files * self.finishing_seconds
            available /= 1 + (self._files - 1) * options.quantised_share
            taken = self.clock.total - taken_before + self.seconds_per_step * extra_steps
            share = max(share, before + (1 - before) * taken / max(available, 1e-9))
        return share

    @property
    def end(self) -> float:
        """The share at which the fit ends."""
        return self.cooldown[1] if self.cooldown else 1.0

    @property
    def done(self) -> bool:
        """Whether the end is reached."""
        return self.step > 0 and self.spent(0.5) > self.end

    @property
    def step_share(self) -> float:
        """The share that one training step takes."""
        return self.spent(1) - self.spent()

    def start_cooldown(self, part: float) -> None:
        """End soon: after ``part`` of what has been spent so far, at least one step, with decaying learning rates."""
        now = self.spent()
        start = self.cooldown[0] if self.cooldown else now
        self.cooldown = start, min(self.end, max(self.spent(1), now * (1 + part)))

    def cancel_cooldown(self) -> None:
        """Return to the ordinary schedule, with high learning rates."""
        self.cooldown = None

    def extend(self, part: float) -> float:
        """Go on after the end for ``part`` of what has been spent; learning rates decay again, from 4 % of their peak.

        Returns:
            The length of the extension, as a share of the budget.
        """
        now = self.spent()
        end = now * (1 + part)
        self.cooldown = end - (end - now) / EXTENSION_LR_FACTOR, end
        return end - now

    def lr_factor(self) -> float:
        """Return the current learning rate relative to its peak, 0 to 1."""
        now, options = self.spent(), self.options
        warmed_up = max(now / options.warmup, (self.step + 1) / options.warmup_steps)
        start, end = self.cooldown or (0.0, 1.0)
        return lr_factor(warmed_up, (1 - start) * (end - now) / max(end - start, 1e-9))

    def count_step(self) -> None:
        """Count a training step; called after its time has been added to the clock."""
        self.step += 1
        if self.step == TIMING_WARMUP_STEPS:
            self.warmup_seconds = self.clock.seconds[STEPS]

    def state(self) -> dict[str, Any]:
        """Return what :meth:`load` needs, as JSON can hold it."""
        return {
            "step": self.step,
            "seconds": dict(self.clock.seconds),
            "warmup_seconds": self.warmup_seconds,
            "cooldown": self.cooldown,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state`."""
        self.step, self.warmup_seconds = state["step"], state["warmup_seconds"]
        self.clock.seconds = dict(state["seconds"])
        self.cooldown = tuple(state["cooldown"]) if state["cooldown"] else None
