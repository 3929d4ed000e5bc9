"""Joint fitting of all layers: lower layers learn what helps the pictures above them.

Layers that were fitted one after the other are fitted on together. Each reads what the one below yields in the same
training step, rounded weights included, instead of the integers that a decoder would have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from nvcodec.encoding.fit.fit import Fit, as_float
from nvcodec.encoding.fit.fit_loop import ShouldStop, never
from nvcodec.encoding.fit.losses import checked
from nvcodec.encoding.fit.rate_control import rate_term
from nvcodec.encoding.fit.schedule import lr_factor
from nvcodec.encoding.model.decoder_network import Reference
from nvcodec.encoding.quantizer.rounding import ste
from nvcodec.samples import peak_of, signed

JOINT_LR_FACTOR = 0.2  # learning rates at the beginning, relative to their peak


def fit_jointly(fits: Sequence[Fit], steps: int | None, seconds: float | None, should_stop: ShouldStop = never) -> None:
    """Continue the finished ``fits`` of one clip, base layer first, for so many training steps or seconds.

    Minimised is the sum over the layers of loss plus rate term, relative to the loss (that is, in dB). Lambda is
    steered
    so that each layer goes on costing what it did: otherwise a clip whose upper layers gain fewer dB than their bytes
    justify would lose them.
    """
    start = time.monotonic()
    steps_done, share, step_share = 0, 0.0, 0.0
    for fit in fits:
        fit.rate_control.set_target(fit.quant_steps.bits().item())
    while share < 1 and not should_stop():
        joint_step(fits, JOINT_LR_FACTOR * lr_factor(1.0, 1 - share), step_share)
        steps_done += 1
        by_steps = steps_done / steps if steps else 0.0
        by_time = (time.monotonic() - start) / seconds if seconds else 0.0
        share, step_share = max(by_steps, by_time), max(by_steps, by_time) - share


def joint_step(fits: Sequence[Fit], learning_rate_factor: float, step_share: float) -> None:
    """Do one training step of all layers.

    Args:
        fits: of the layers, base layer first.
        learning_rate_factor: learning rates relative to their peak.
        step_share: share of the joint fit that the previous training step took.
    """
    frames = fits[0].sampler.draw(fits[0].options.batch)
    source = as_float(signed(fits[0].frames[frames]).to(fits[0].device))
    total, bits = source.new_zeros(()), source.new_zeros(())
    reference: Reference | None = None
    for fit in fits:
        if fit.rate_control.active:
            fit.quant_steps.apply_to_decoder()
        fit.optimisers.clear_gradients()
        picture, features = fit.decode(frames, reference)
        loss = checked(fit.loss(picture, source, frames))
        bits = bits + fit.rate_control.measure_bits(fit.budget.step)
        # The logarithm's derivative: a loss divided by its own value changes as its dB do.
        total = total + (loss + rate_term(loss, bits, fit.rate_control.rd_lambda)) / loss.detach()
        # Layers above read rounded pictures.
        peak = peak_of(fit.bits)
        as_shown = (picture * peak).round().clamp(0, peak) / peak
        reference = ste(picture.clamp(0, 1), as_shown), features
    total.backward()  # type: ignore[no-untyped-call]
    for fit in fits:
        fit.optimisers.step(learning_rate_factor)
        fit.budget.step += 1
        if fit.rate_control.active:
            fit.rate_control.update_lambda(step_share)
