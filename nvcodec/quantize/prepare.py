"""Steps of weights and embeddings, chosen once when quantisation enters the fit."""

from __future__ import annotations

import torch

from nvcodec.exact.steps import MULTIPLIERS
from nvcodec.model.decoder import Decoder

RMS_STEPS = 20.0  # a group's root mean square in steps: about 6.4 bits a weight, and 127 steps reach 6 sigma
EMBEDDING_PEAK = 127


def prepare(decoder: Decoder, embeddings: torch.Tensor) -> None:
    """Switch ``decoder`` to quantisation in the loop.

    Args:
        decoder: fitted in float so far.
        embeddings: what it is fed, [frames, C0, h0, w0].

    The embeddings' step takes their peak to 127. A weight step is m * 2^-e, m a multiplier of the specification
    (divided by the embeddings' step in the stem), one for the channels that a pixel shuffle joins: with activations
    in powers of two every accumulator then has a step index that is exact.
    """
    peak = float(embeddings.abs().max()) or 1.0
    decoder.embedding_step = peak / EMBEDDING_PEAK
    for conv, group in zip(decoder.convs, groups(decoder), strict=True):
        unit = decoder.embedding_step if conv is decoder.stem else 1.0
        rms = conv.weight.detach().double().square().mean((1, 2, 3)).view(-1, group).mean(1).sqrt()
        floor = float(rms.mean()) * 1e-3 or 1e-6  # a group that has died keeps a sane step
        wanted = (rms.clamp(min=floor) / RMS_STEPS * unit).cpu()
        steps = nearest_step(wanted) / unit
        steps = steps.repeat_interleave(group).view(-1, 1, 1, 1)
        conv.step = steps.to(conv.weight.device, conv.weight.dtype)


def groups(decoder: Decoder) -> list[int]:
    """How many consecutive channels of each convolution share a step."""
    return [1, *(stride**2 for stride in decoder.shape.strides), 1]


def nearest_step(wanted: torch.Tensor) -> torch.Tensor:
    """The m * 2^-e nearest to each of ``wanted`` (positive), in float64, where it is exact."""
    multipliers = torch.from_numpy(MULTIPLIERS[:8].astype("float64"))
    exponents = torch.floor(torch.log2(wanted / 128))[:, None] + torch.tensor([0.0, 1.0])
    candidates = (multipliers[None, None] * 2.0 ** exponents[..., None]).flatten(1)
    best = (candidates.log2() - wanted.log2()[:, None]).abs().argmin(1)
    return candidates[torch.arange(len(wanted)), best]
