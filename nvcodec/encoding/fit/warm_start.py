"""A warm start: a new fit takes over what a file holds, the decoder's weights and, through them, the encoder's.

No file holds an encoder, so it is fitted first to give back the file's latents from the file's own pictures.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.export.network_import import Floats, Restored, RestoredConv, restore
from nvcodec.encoding.fit.fit import Fit, analyse, as_float, optimisers, schedule
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.errors import UsageError

ENCODER_STEPS, ENCODER_WARMUP = 120, 10


def warm_start(fit: Fit, video: Video) -> None:
    """Put a new fit where the file of ``video`` ended.

    Layers with more channels than the file has get new ones, without influence on the old at first; those with fewer
    lose the channels of least weight. The skip connection is taken over where it is of the same kind and width, feature
    grids where they are of the same size, the encoder where pictures and latents are as large. The time it takes counts
    as the fit's.

    Raises:
        UsageError: the file's network has other strides or kernels, or is none that this encoder writes.
    """
    began = time.monotonic()
    restored = restore(video.stream.segments[0].layers[0])
    decoder = fit.decoder
    kernels = [conv.weight.shape[2:] for conv in decoder.trunk]
    theirs = [conv.weight.shape[2:] for conv in restored.trunk]
    if restored.strides != decoder.shape.strides or theirs != kernels:
        raise UsageError(
            f"--init: its network has strides {restored.strides} and kernels {[side for side, _ in theirs]}, this one "
            f"{decoder.shape.strides} and {[side for side, _ in kernels]}; they have to be the same"
        )
    pixels = [1, *(stride**2 for stride in restored.strides), 1]
    kept = _kept(restored, decoder, pixels)
    for conv, given, group, columns, rows in zip(
        decoder.trunk, restored.trunk, pixels, kept[:-1], kept[1:], strict=True
    ):
        _overlay(conv, given, group, columns, rows)
    couplings = [skip.coupling for skip in decoder.skips if skip.coupling]
    skips = [conv for coupling in couplings for block in (coupling.eta, coupling.phi) for conv in block.convs]
    same = [conv.weight.shape for conv in skips] == [c.weight.shape for c in restored.skips[: len(skips)]]
    merges = [skip.merge for skip in decoder.skips]
    if same and [merge.weight.size(1) for merge in merges] == [c.weight.shape[1] for c in restored.skips[len(skips) :]]:
        for place, (conv, given) in enumerate(zip([*skips, *merges], restored.skips, strict=True)):
            rows = kept[2 + place - len(skips)] if place >= len(skips) else list(range(len(given.bias)))
            _overlay(conv, given, 1, list(range(given.weight.shape[1])), rows)
    else:
        for merge in merges:
            nn.init.zeros_(merge.weight)
    for (block, grid), (values, given) in zip(decoder.grids.items(), restored.grids, strict=False):
        if grid.values.shape == values.shape:
            grid.values.data.copy_(torch.from_numpy(values))
            _overlay(grid.merge, given, 1, list(range(values.shape[1])), kept[2 + block])
    _learn_encoder(fit, video, restored.latents, kept[0])
    fit.lost += time.monotonic() - began


def _kept(restored: Restored, decoder: Decoder, pixels: list[int]) -> list[list[int]]:
    """Which channels are taken over: of the embedding, then of each convolution of the trunk."""
    ours = [decoder.shape.embedding, decoder.shape.stem, *decoder.shape.channels, 3]
    strength: Floats = np.square(restored.latents[0]).mean((0, 2, 3))
    kept = []
    for place, wanted in enumerate(ours):
        if place < len(restored.trunk):  # what comes in counts as much as what is made of it
            strength = strength * np.square(restored.trunk[place].weight).mean((0, 2, 3))
        kept.append(sorted(np.argsort(-strength, kind="stable")[:wanted].tolist()))
        if place < len(restored.trunk):
            rows = np.square(restored.trunk[place].weight).mean((1, 2, 3))
            strength = rows.reshape(-1, pixels[place]).mean(1)
    return kept


@torch.no_grad()
def _overlay(conv: Conv, given: RestoredConv, group: int, columns: list[int], rows: list[int]) -> None:
    """Write the chosen channels of ``given`` over the first of ``conv``; ``group`` consecutive output channels are the
    pixels of one."""
    assert conv.bias is not None
    theirs = torch.from_numpy(given.weight).to(conv.weight.device)
    weight = conv.weight.view(-1, group, *conv.weight.shape[1:])
    weight[: len(rows), :, len(columns) :] = 0  # of new channels the old ones take nothing
    weight[: len(rows), :, : len(columns)] = theirs.view(-1, group, *theirs.shape[1:])[rows][:, :, columns]
    bias = torch.from_numpy(given.bias).to(conv.weight.device)
    conv.bias.view(-1, group)[: len(rows)] = bias.view(-1, group)[rows]


def _learn_encoder(fit: Fit, video: Video, latents: list[Floats], kept: list[int]) -> None:
    """Fit the encoder to the file's own pictures and latents, if their sizes are the same here; of the embedding's
    channels ``kept`` are wanted."""
    shape = fit.shape
    targets = [torch.from_numpy(latent).to(fit.device) for latent in (latents[0][:, kept], *latents[1:])]
    grids = [shape.grid, *shape.skip_grids]
    if [latent.shape[2:] for latent in latents] != grids or (video.height, video.width) != (shape.height, shape.width):
        return
    scales = [1 / float(target.square().mean() + 1e-12) for target in targets]
    order = np.random.default_rng(fit.options.seed).integers(0, len(video), ENCODER_STEPS)
    own = optimisers(fit.encoder.parameters(), fit.options)
    for step, frame in enumerate(order.tolist()):
        factor = schedule((step + 1) / ENCODER_WARMUP, 1 - step / ENCODER_STEPS)
        predicted, _ = analyse(fit.encoder, fit.decoder, as_float(video[frame : frame + 1].to(fit.device)))
        errors = [
            scale * F.mse_loss(latent[:, : target.size(1)], target[frame : frame + 1])
            for latent, target, scale in zip(predicted, targets, scales, strict=True)
        ]
        for optimiser, rate in own:
            optimiser.param_groups[0]["lr"] = rate * factor
            optimiser.zero_grad(set_to_none=True)
        torch.stack(errors).sum().backward()  # type: ignore[no-untyped-call]
        for optimiser, _ in own:
            optimiser.step()
