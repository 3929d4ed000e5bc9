"""Steps of weights and latents, chosen once when quantisation enters the fit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from nvcodec.errors import NvcodecError
from nvcodec.model.decoder import LATENT_PEAK, Decoder
from nvcodec.quantize.steps import factor_of, nearest_index

RMS_STEPS = 20.0  # a group's root mean square in steps: about 6.4 bits a weight, and 127 steps reach 6 sigma
FINEST_FEATURE = 12  # a feature's step is at least 2^-12


def prepare(decoder: Decoder, latents: Sequence[torch.Tensor]) -> None:
    """Switch ``decoder`` to quantisation in the loop; reparameterised convolutions are folded.

    Args:
        decoder: fitted in float so far.
        latents: what it is fed: the embeddings [frames, C0, h0, w0] and each f [frames, 1, height, width].

    The embeddings' step takes their peak to 127; a feature's is the least power of two that keeps within it, because a
    feature shares units with what it is added to. A weight step is m * 2^-e, m a multiplier of the specification
    (divided by the embeddings' step in the stem), one for each of a convolution's groups of channels: with activations
    in powers of two every accumulator then has a step index that is exact.

    Raises:
        NvcodecError: a value is not finite.
    """
    check_finite(decoder, latents)
    peaks = [float(latent.abs().max()) or 1.0 for latent in latents]
    features = [min(FINEST_FEATURE, max(0, math.floor(math.log2(LATENT_PEAK / peak)))) for peak in peaks[1:]]
    decoder.latent_steps = [peaks[0] / LATENT_PEAK, *(2.0**-shift for shift in features)]
    for conv in decoder.convs():
        conv.fold()
        unit = decoder.latent_steps[0] if conv is decoder.stem else 1.0
        squares = conv.weight.detach().double().square().mean((1, 2, 3))
        rms = torch.stack([group.mean() for group in torch.split(squares, conv.group)]).sqrt()
        floor = float(rms.mean()) * 1e-3 or 1e-6  # a group that has died keeps a sane step
        wanted = (rms.clamp(min=floor) / RMS_STEPS * unit).cpu().numpy()
        nearest = torch.from_numpy(factor_of(nearest_index(wanted)))
        steps = (nearest / unit).repeat_interleave(conv.group)[: len(squares)]
        conv.step = steps.view(-1, 1, 1, 1).to(conv.weight.device, conv.weight.dtype)


def check_finite(decoder: Decoder, latents: Sequence[torch.Tensor]) -> None:
    """Refuse a network that has diverged.

    Raises:
        NvcodecError: a parameter or a latent is infinite or not a number.
    """
    if not all(tensor.isfinite().all() for tensor in (*decoder.parameters(), *latents)):
        raise NvcodecError("the fit has diverged: a value is not finite; another --seed may help")
