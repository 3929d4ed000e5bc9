"""Rate control during a fit: lambda and the quantisation steps are steered towards a target number of bits.

While quantisation is in the loop, a training step minimises

    loss + rate_term,   rate_term = loss * lambda * (ln 10 / 10 / ln 2) * bits / (bits + lower_layer_bits)

where only ``bits`` in the numerator has a gradient: doubling the bytes weighs as much as ``lambda`` dB of the loss.
Without a target, lambda stays what the user asked for. With one, that is where it starts, and each training step that
takes the share s of the control window changes it by

    lambda <- clamp(lambda * (bits / target) ^ (gain * s), LAMBDA_RANGE),   gain = 6 above the target, 24 below

``bits`` being the mean of the last four training steps' estimates. :meth:`RateController.steer` also shifts all
quantisation steps by the octaves that the missing bits per value ask for, at most 4 * s octaves; a joint fit
(:mod:`~nvcodec.encoding.fit.joint_fit`) only changes lambda.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch

from nvcodec.encoding.quantizer.learned_steps import QUARTERS, LearnedSteps

#: Gains of lambda's control: log2 change of lambda, over the control window, per log2 of overshoot or undershoot. The
#: second is higher because quantisation steps soon reach their finest while weights grow slowly.
OVERSHOOT_GAIN, UNDERSHOOT_GAIN = 6.0, 24.0
MAX_STEP_SHIFT = 4.0  # octaves that quantisation steps are shifted over the control window, at most
LAMBDA_RANGE = (0.02, 50.0)  # dB per doubling that steering may reach


class RateController:
    """Knows the bits that a fit's quantised values cost, and steers lambda and the quantisation steps to a target.

    Args:
        quant_steps: the quantisation steps, which also estimate the bits.
        rd_lambda: the rate-distortion trade-off to start from, in dB per doubling of the bytes; 0 ignores bytes.
        window: share of the budget within which a target is to be met: that of phase QUANTISED, or of an extension.

    Attributes:
        rd_lambda: the trade-off as steered so far.
        targets: bits that weights, grids and latents may cost; the last one counts. Empty without a target.
        recent_bits: estimates of the last training steps, at most four.
    """

    def __init__(self, quant_steps: LearnedSteps, rd_lambda: float, window: float) -> None:
        self.quant_steps, self.rd_lambda, self.window = quant_steps, rd_lambda, window
        self.targets: list[float] = []
        self.recent_bits: list[float] = []

    @property
    def active(self) -> bool:
        """Whether bytes count: there is a rate term in the loss, and quantisation steps are learned."""
        return self.rd_lambda > 0

    def set_target(self, bits: float) -> None:
        """From now on, steer to ``bits``, as estimated by :meth:`LearnedSteps.bits`."""
        self.targets.append(bits)

    def measure_bits(self, step: int) -> torch.Tensor:
        """Estimate the bits in a training step, from another quarter of the times in each, and remember the value."""
        bits = self.quant_steps.bits(step % QUARTERS)
        self.recent_bits = [*self.recent_bits, bits.item()][-QUARTERS:]
        return bits

    def steer(self, share: float) -> None:
        """Move lambda and all quantisation steps towards the target, if there is one.

        Quantisation steps alone would do, but then bytes would go where the previous lambda wants them.

        Args:
            share: what the training step is of the control window.
        """
        if not self.targets:
            return
        target = self.targets[-1]
        if self.active:
            bits, max_shift = statistics.mean(self.recent_bits), MAX_STEP_SHIFT * share
            self.update_lambda(share)
        else:
            bits, max_shift = self.quant_steps.bits().item(), 1.0
        # Halving the step costs one bit per value.
        octaves = min(max_shift, max(-max_shift, (target - bits) / self.quant_steps.stored_values))
        self.quant_steps.shift(8 * octaves)

    def update_lambda(self, share: float) -> None:
        """Raise lambda if the last training steps cost more bits than the target, lower it if they cost fewer."""
        bits, target = statistics.mean(self.recent_bits), self.targets[-1]
        gain = OVERSHOOT_GAIN if bits > target else UNDERSHOOT_GAIN
        low, high = LAMBDA_RANGE
        self.rd_lambda = min(high, max(low, self.rd_lambda * (bits / target) ** (gain * share)))

    def state(self) -> dict[str, Any]:
        """Return what :meth:`load` needs, as JSON can hold it."""
        return {
            "targets": list(self.targets),
            "recent_bits": list(self.recent_bits),
            "rd_lambda": self.rd_lambda,
            "window": self.window,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state`."""
        self.targets, self.recent_bits = list(state["targets"]), list(state["recent_bits"])
        self.rd_lambda, self.window = state["rd_lambda"], state["window"]


def rate_term(loss: torch.Tensor, bits: torch.Tensor, rd_lambda: float, lower_layer_bits: float = 0.0) -> torch.Tensor:
    """Return ``bits`` in units of ``loss``: doubling them weighs as much as ``rd_lambda`` dB of the present loss.

    Only the gradient is meaningful, not the value.

    Args:
        loss: the training loss, [].
        bits: what this layer costs, [].
        rd_lambda: dB per doubling.
        lower_layer_bits: size of all lower layers, which counts as part of what is doubled.
    """
    weight = rd_lambda * math.log(10) / 10 / math.log(2)  # relative change of the loss per relative change of the bits
    return loss.detach() * weight * bits / (bits.detach() + lower_layer_bits)
