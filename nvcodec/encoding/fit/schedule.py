"""The learning-rate schedule: a linear warm-up, then a linear decay."""

from __future__ import annotations

FINAL_LR_FACTOR = 0.01  # learning rate at the end, relative to the peak


def lr_factor(warmed_up: float, remaining: float) -> float:
    """Return the learning rate relative to its peak.

    Args:
        warmed_up: progress of the warm-up, which is over at 1.
        remaining: share of the fit that is left; the factor falls with it, to 1 %.
    """
    return min(1.0, warmed_up) * max(FINAL_LR_FACTOR, remaining)
