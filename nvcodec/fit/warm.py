"""A warm start: a new fit takes over what a file holds, the decoder's weights and, through them, the encoder's.

No file holds an encoder, so it is fitted first to give back the file's latents from the file's own pictures.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F

from nvcodec.decoder import Video
from nvcodec.errors import UsageError
from nvcodec.fit.loop import Fit, analyse, as_float, optimisers, schedule
from nvcodec.model.conv import Conv
from nvcodec.quantize.restore import Floats, RestoredConv, restore

ENCODER_STEPS = 300


def warm_start(fit: Fit, video: Video) -> None:
    """Put a new fit where the file of ``video`` ended.

    Layers that have more channels here keep new ones, which start without an influence on the old; those that have
    fewer lose the last. The skip connection is taken over where it has the same shape, the encoder where the
    latents have. The time it takes counts as the fit's.

    Raises:
        UsageError: the file's network has other strides or kernels, or is none that this encoder writes.
    """
    began = time.monotonic()
    restored = restore(video.stream.segments[0].layers[0])
    decoder = fit.decoder
    kernels = [tuple(conv.weight.shape[2:]) for conv in decoder.trunk]
    theirs = [conv.weight.shape[2:] for conv in restored.trunk]
    if restored.strides != decoder.shape.strides or theirs != kernels:
        raise UsageError(
            f"--init: its network has strides {restored.strides} and kernels {[side for side, _ in theirs]}, this one "
            f"{decoder.shape.strides} and {[side for side, _ in kernels]}; they have to be the same"
        )
    for place, (conv, given) in enumerate(zip(decoder.trunk, restored.trunk, strict=True)):
        group = decoder.shape.strides[place - 1] ** 2 if 1 <= place <= len(decoder.blocks) else 1
        _overlay(conv, given, group)
    couplings = [skip.coupling for skip in decoder.skips if skip.coupling]
    skips = [conv for coupling in couplings for block in (coupling.eta, coupling.phi) for conv in block.convs]
    skips += [skip.merge for skip in decoder.skips]
    if [conv.weight.shape for conv in skips] == [conv.weight.shape for conv in restored.skips]:
        for conv, given in zip(skips, restored.skips, strict=True):
            _overlay(conv, given, 1)
    _learn_encoder(fit, video, restored.latents)
    fit.lost += time.monotonic() - began


@torch.no_grad()
def _overlay(conv: Conv, given: RestoredConv, group: int) -> None:
    """Write what fits of ``given`` over ``conv``; ``group`` consecutive output channels are one channel's pixels."""
    weight = conv.weight.view(-1, group, *conv.weight.shape[1:])
    theirs = torch.from_numpy(given.weight).to(weight.device).view(-1, group, *given.weight.shape[1:])
    rows, columns = min(len(weight), len(theirs)), min(weight.shape[2], theirs.shape[2])
    weight[:rows, :, columns:] = 0  # of new channels the old ones take nothing
    weight[:rows, :, :columns] = theirs[:rows, :, :columns]
    assert conv.bias is not None
    conv.bias.view(-1, group)[:rows] = torch.from_numpy(given.bias).to(weight.device).view(-1, group)[:rows]


def _learn_encoder(fit: Fit, video: Video, latents: list[Floats]) -> None:
    """Fit the encoder to the file's own pictures and latents, if it has latents of this shape."""
    shape = fit.shape
    wanted = [(shape.embedding, *shape.grid), *((1, *grid) for grid in shape.skip_grids)]
    if [latent.shape[1:] for latent in latents] != wanted or (video.height, video.width) != (shape.height, shape.width):
        return
    targets = [torch.from_numpy(latent).to(fit.device) for latent in latents]
    scales = [1 / float(np.square(latent).mean() + 1e-12) for latent in latents]
    order = np.random.default_rng(fit.options.seed).integers(0, len(video), ENCODER_STEPS)
    own = optimisers(fit.encoder.parameters(), fit.options)
    for step, frame in enumerate(order.tolist()):
        predicted, _ = analyse(fit.encoder, fit.decoder, as_float(video[frame : frame + 1].to(fit.device)))
        loss = torch.stack(
            [
                scale * F.mse_loss(latent, target[frame : frame + 1])
                for latent, target, scale in zip(predicted, targets, scales, strict=True)
            ]
        ).sum()
        for optimiser, rate in own:
            optimiser.param_groups[0]["lr"] = rate * schedule(step / ENCODER_STEPS, fit.options.warmup)
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser, _ in own:
            optimiser.step()
