"""The quantisation steps of weights, latents and feature grids with which quantisation enters the fit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import RoundedNetwork
from nvcodec.encoding.quantizer.nearest_steps import factor_of, nearest_index
from nvcodec.encoding.quantizer.rounding import PEAK
from nvcodec.errors import NvcodecError

WEIGHT_RMS_STEPS = 20.0  # root mean square of a group's weights, in steps: about 6.4 bits per weight; 127 is 6 sigma
GRID_RMS_STEPS = 3.0  # the same for a feature grid
MAX_FEATURE_SHIFT = 12  # a feature's quantisation step is at least 2^-12


def set_initial_steps(decoder: RoundedNetwork, latents: Sequence[torch.Tensor]) -> None:
    """Put quantisation into the loop of ``decoder``; reparameterised convolutions are folded.

    The quantisation step of latents maps their peak to 127. For a feature from which a coupling layer recovers others,
    it is the smallest power of two that does not exceed 127 at the peak, because the feature shares its unit with what
    it is added to. The step of weights is m * 2^-e with a multiplier m of the specification (divided by the step of the
    latents or grid that the convolution reads), one per group of channels: as activations are in powers of two, every
    accumulator then has an exact step index.

    Args:
        decoder: fitted in float so far.
        latents: its inputs, each [frames, channels, height, width]: the embeddings and each f.

    Raises:
        NvcodecError: a value is not finite.
    """
    check_finite(decoder, latents)
    peaks = [float(latent.abs().max()) or 1.0 for latent in latents]
    steps = [peak / PEAK for peak in peaks]
    free = len(decoder.latent_readers)
    shifts = [min(MAX_FEATURE_SHIFT, max(0, math.floor(math.log2(PEAK / peak)))) for peak in peaks[free:]]
    steps[free:] = [2.0**-shift for shift in shifts]
    decoder.latent_steps = [next(decoder.parameters()).new_tensor(step) for step in steps]
    for grid in decoder.grids.values():
        rms = grid.values.detach().square().mean().sqrt()
        grid_peak = grid.values.detach().abs().max()
        grid.quant_step = torch.maximum(rms / GRID_RMS_STEPS, grid_peak / PEAK).clamp(min=1e-6)
    units = input_units(decoder)
    for conv in decoder.convs():
        conv.fold()
        unit = float(units.get(conv, 1.0))
        squares = conv.weight.detach().double().square().mean((1, 2, 3))
        group_rms = torch.stack([group.mean() for group in torch.split(squares, conv.group)]).sqrt()
        floor = float(group_rms.mean()) * 1e-3 or 1e-6  # a group whose weights have vanished keeps a sane step
        wanted = (group_rms.clamp(min=floor) / WEIGHT_RMS_STEPS * unit).cpu().numpy()
        nearest = torch.from_numpy(factor_of(nearest_index(wanted)))
        channels = (nearest / unit).repeat_interleave(conv.group)[: len(squares)]
        conv.quant_step = channels.view(-1, 1, 1, 1).to(conv.weight.device, conv.weight.dtype)


def input_units(decoder: RoundedNetwork) -> dict[Conv, torch.Tensor]:
    """Return the unit of a convolution's input, [] float64, for those whose unit is not a power of two.

    A weight's quantisation step times this unit is what a step index represents.
    """
    assert decoder.latent_steps is not None
    pairs = zip(decoder.latent_readers, decoder.latent_steps, strict=False)
    units = {conv: step.detach().double() for conv, step in pairs}
    for grid in decoder.grids.values():
        assert grid.quant_step is not None
        units[grid.merge] = grid.quant_step.detach().double()
    return units


def check_finite(decoder: RoundedNetwork, latents: Sequence[torch.Tensor]) -> None:
    """Refuse a network that has diverged.

    Raises:
        NvcodecError: a parameter or a latent is infinite or not a number.
    """
    if not all(tensor.isfinite().all() for tensor in (*decoder.parameters(), *latents)):
        raise NvcodecError("the fit has diverged: a value is not finite; another `seed` may help")
