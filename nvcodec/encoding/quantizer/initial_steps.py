"""Steps of weights and latents, chosen once when quantisation enters the fit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import LATENT_PEAK, RoundedNetwork
from nvcodec.encoding.quantizer.nearest_steps import factor_of, nearest_index
from nvcodec.errors import NvcodecError

RMS_STEPS = 20.0  # a group's root mean square in steps: about 6.4 bits a weight, and 127 steps reach 6 sigma
GRID_RMS_STEPS = 3.0  # the same of a grid
FINEST_FEATURE = 12  # a feature's step is at least 2^-12


def prepare(decoder: RoundedNetwork, latents: Sequence[torch.Tensor]) -> None:
    """Switch ``decoder`` to quantisation in the loop; reparameterised convolutions are folded.

    Args:
        decoder: fitted in float so far.
        latents: what it is fed, each [frames, channels, height, width]: the embeddings and each f.

    The step of latents takes their peak to 127; that of a feature from which a coupling layer recovers others is the
    least power of two that keeps within it, because it shares units with what it is added to. A weight step is
    m * 2^-e, m a multiplier of the specification (divided by the step of the latents or the grid that the convolution
    reads), one for each of a convolution's groups of channels: with activations in powers of two every accumulator then
    has a step index that is exact.

    Raises:
        NvcodecError: a value is not finite.
    """
    check_finite(decoder, latents)
    peaks = [float(latent.abs().max()) or 1.0 for latent in latents]
    steps = [peak / LATENT_PEAK for peak in peaks]
    free = len(decoder.latent_readers)
    features = [min(FINEST_FEATURE, max(0, math.floor(math.log2(LATENT_PEAK / peak)))) for peak in peaks[free:]]
    steps[free:] = [2.0**-shift for shift in features]
    decoder.latent_steps = [next(decoder.parameters()).new_tensor(step) for step in steps]
    for grid in decoder.grids.values():
        rms = grid.values.detach().square().mean().sqrt()
        peak = grid.values.detach().abs().max()
        grid.step = torch.maximum(rms / GRID_RMS_STEPS, peak / LATENT_PEAK).clamp(min=1e-6)
    units = input_units(decoder)
    for conv in decoder.convs():
        conv.fold()
        unit = float(units.get(conv, 1.0))
        squares = conv.weight.detach().double().square().mean((1, 2, 3))
        rms = torch.stack([group.mean() for group in torch.split(squares, conv.group)]).sqrt()
        floor = float(rms.mean()) * 1e-3 or 1e-6  # a group that has died keeps a sane step
        wanted = (rms.clamp(min=floor) / RMS_STEPS * unit).cpu().numpy()
        nearest = torch.from_numpy(factor_of(nearest_index(wanted)))
        channels = (nearest / unit).repeat_interleave(conv.group)[: len(squares)]
        conv.step = channels.view(-1, 1, 1, 1).to(conv.weight.device, conv.weight.dtype)


def input_units(decoder: RoundedNetwork) -> dict[Conv, torch.Tensor]:
    """What 1 stands for in the input of those convolutions where this is no power of two, each [] float64: a weight's
    step times this is what a step index says."""
    assert decoder.latent_steps is not None
    read = zip(decoder.latent_readers, decoder.latent_steps, strict=False)
    units = {conv: step.detach().double() for conv, step in read}
    for grid in decoder.grids.values():
        assert grid.step is not None
        units[grid.merge] = grid.step.detach().double()
    return units


def check_finite(decoder: RoundedNetwork, latents: Sequence[torch.Tensor]) -> None:
    """Refuse a network that has diverged.

    Raises:
        NvcodecError: a parameter or a latent is infinite or not a number.
    """
    if not all(tensor.isfinite().all() for tensor in (*decoder.parameters(), *latents)):
        raise NvcodecError("the fit has diverged: a value is not finite; another --seed may help")
