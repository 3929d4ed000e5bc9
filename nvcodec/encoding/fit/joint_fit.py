"""Polishing all layers at once: the lower ones learn what helps the pictures above them.

Layers that were fitted one after the other go on together, each reading what the one below makes in this very step,
rounded weights and all, in place of the integers that a decoder would have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from nvcodec.encoding.fit.fit import Fit, as_float, schedule
from nvcodec.encoding.fit.fit_loop import Asked
from nvcodec.encoding.model.convolution import ste
from nvcodec.encoding.quantizer.learned_steps import PARTS, price

PEAK = 0.2  # of the learning rates' own peak


def polish(fits: Sequence[Fit], steps: int | None, seconds: float | None, stop: Asked = lambda: False) -> None:
    """Go on with the ended ``fits`` of one clip, the base layer's first, until so many steps or seconds are over.

    What is made small is the mean of all layers' losses in dB, each with the price of the bytes up to its layer; and
    what that price weighs is steered so that each layer goes on costing as much as before. Without that a clip on which
    the upper layers bring fewer dB than their bytes are worth would lose them.
    """
    began = time.monotonic()
    done, share, part = 0, 0.0, 0.0
    for fit in fits:
        fit.allow(fit.rounding.bits().item())
    while share < 1 and not stop():
        _step(fits, PEAK * schedule(1.0, 1 - share), part)
        done += 1
        by_steps = done / steps if steps else 0.0
        by_time = (time.monotonic() - began) / seconds if seconds else 0.0
        share, part = max(by_steps, by_time), max(by_steps, by_time) - share


def _step(fits: Sequence[Fit], factor: float, part: float) -> None:
    frames = fits[0].draw()
    source = as_float(fits[0].frames[frames].to(fits[0].device))
    total, bits = source.new_zeros(()), source.new_zeros(())
    below: tuple[torch.Tensor, torch.Tensor] | None = None
    for fit in fits:
        if fit.options.rate:
            fit.rounding.apply_steps()
        fit.clear_gradients()
        picture, features = fit.decode(frames, below)
        loss = fit.loss(picture, source, frames)
        fit_bits = fit.rounding.bits(fit.step % PARTS)
        fit.costs = [*fit.costs, fit_bits.item()][-PARTS:]
        bits = bits + fit_bits
        total = total + (loss + price(loss, bits, fit.worth)) / loss.detach()
        # Layers above read pictures of 8 bits.
        whole = (picture * 255).round().clamp(0, 255) / 255
        below = ste(picture.clamp(0, 1), whole), features
    total.backward()  # type: ignore[no-untyped-call]
    for fit in fits:
        fit.update(factor)
        fit.step += 1
        if fit.options.rate:
            fit.weigh(fit.allowed[-1], part)
