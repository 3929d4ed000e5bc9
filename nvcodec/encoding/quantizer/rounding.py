"""Rounding to multiples of a quantisation step, exactly and with a gradient."""

from __future__ import annotations

import torch

PEAK = 127  # largest magnitude of a stored weight, latent or feature-grid value, in quantisation steps


def ste(value: torch.Tensor, quantised: torch.Tensor) -> torch.Tensor:
    """Return ``quantised`` in the forward pass and pass the gradient to ``value`` (straight-through estimator)."""
    return value + (quantised - value).detach()


def integers(values: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return the integers that a file holds for ``values``: multiples of ``step``, -127 to 127, as float32."""
    return (values / step).round().clamp(-PEAK, PEAK)


def rounded(values: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return ``values`` as a decoder sees them, with gradients to the values and to the step."""
    steps = (values / step).clamp(-PEAK, PEAK)
    return ste(steps, steps.round()) * step
