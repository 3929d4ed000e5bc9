"""A warm start: a new fit takes over the decoder's weights from a file and, through them, an encoder.

No file holds an encoder, so the new one is first fitted to reproduce the file's latents from the file's own pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.export.network_import import FloatArray, ImportedConv, ImportedNetwork, import_network
from nvcodec.encoding.fit.budget import OVERHEAD
from nvcodec.encoding.fit.fit import Fit, analyse, as_float
from nvcodec.encoding.fit.optimisers import network_optimisers
from nvcodec.encoding.fit.schedule import lr_factor
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.errors import UsageError
from nvcodec.samples import signed

ENCODER_STEPS, ENCODER_WARMUP_STEPS = 120, 10


@dataclasses.dataclass(frozen=True)
class ChannelMap:
    """Which channels of a stored convolution go to the first channels of a new one.

    Attributes:
        inputs: input channels that are taken over, in order.
        outputs: the same for the output channels, or for groups of them.
        group: consecutive output channels that become the pixels of one channel in a pixel shuffle.
    """

    inputs: Sequence[int]
    outputs: Sequence[int]
    group: int = 1

    @staticmethod
    def all_of(conv: ImportedConv, outputs: Sequence[int] | None = None) -> ChannelMap:
        """Return the map that takes all input channels and, unless ``outputs`` says otherwise, all output channels."""
        rows, columns = conv.weight.shape[:2]
        return ChannelMap(range(columns), range(rows) if outputs is None else outputs)


def warm_start(fit: Fit, video: Video) -> None:
    """Put a new fit where the file of ``video`` ended. The time that this takes counts as the fit's.

    Layers with more channels than those in the file get new channels, at first without influence on the old ones;
    layers with fewer lose the channels of least weight. The skip connection is taken over if it has the same kind and
    width, feature grids if they have the same size, and the encoder is fitted if pictures and latents have the same
    size.

    Raises:
        UsageError: the file's network has other strides or kernels, or was not written by this encoder.
    """
    with fit.budget.clock.phase(OVERHEAD):
        stored = import_network(video.stream.segments[0].layers[0], video.stream.video.bits)
        decoder = fit.decoder
        _check_same_structure(stored, decoder)
        pixels = [1, *(stride**2 for stride in stored.strides), 1]
        kept = strongest_channels(stored, decoder, pixels)
        for conv, given, group, inputs, outputs in zip(
            decoder.trunk, stored.trunk, pixels, kept[:-1], kept[1:], strict=True
        ):
            _copy_channels(conv, given, ChannelMap(inputs, outputs, group))
        _copy_skips(stored, decoder, kept)
        for (block, grid), (values, given) in zip(decoder.grids.items(), stored.grids, strict=False):
            if grid.values.shape == values.shape:
                grid.values.data.copy_(torch.from_numpy(values))
                _copy_channels(grid.merge, given, ChannelMap.all_of(given, kept[2 + block]))
        _fit_encoder(fit, video, stored.latents, kept[0])


def _check_same_structure(stored: ImportedNetwork, decoder: Decoder) -> None:
    ours = [tuple(conv.weight.shape[2:]) for conv in decoder.trunk]
    theirs = [conv.weight.shape[2:] for conv in stored.trunk]
    if stored.strides != decoder.shape.strides or theirs != ours:
        raise UsageError(
            f"`init`: its network has strides {stored.strides} and kernels {[side for side, _ in theirs]}, this one "
            f"{decoder.shape.strides} and {[side for side, _ in ours]}; they have to be the same"
        )


def strongest_channels(stored: ImportedNetwork, decoder: Decoder, pixels: Sequence[int]) -> list[list[int]]:
    """Return which stored channels are taken over: of the embedding, then of each convolution of the trunk.

    Args:
        stored: the file's network.
        decoder: the new one, which may have fewer channels.
        pixels: output channels of each convolution that become the pixels of one channel.
    """
    ours = [decoder.shape.embedding_channels, decoder.shape.stem, *decoder.shape.channels, 3]
    strength: FloatArray = np.square(stored.latents[0]).mean((0, 2, 3))
    kept = []
    for number, wanted in enumerate(ours):
        if number < len(stored.trunk):  # a channel counts by its own strength times that of the weights that read it
            strength = strength * np.square(stored.trunk[number].weight).mean((0, 2, 3))
        kept.append(sorted(np.argsort(-strength, kind="stable")[:wanted].tolist()))
        if number < len(stored.trunk):
            rows = np.square(stored.trunk[number].weight).mean((1, 2, 3))
            strength = rows.reshape(-1, pixels[number]).mean(1)
    return kept


def _copy_skips(stored: ImportedNetwork, decoder: Decoder, kept: list[list[int]]) -> None:
    """Take over the skip connection if it has the same kind and width; otherwise start it without influence."""
    couplings = [skip.coupling for skip in decoder.skips if skip.coupling]
    ours = [conv for coupling in couplings for block in (coupling.eta, coupling.phi) for conv in block.convs]
    merges = [skip.merge for skip in decoder.skips]
    stored_ours, stored_merges = stored.skips[: len(ours)], stored.skips[len(ours) :]
    same_couplings = [conv.weight.shape for conv in ours] == [conv.weight.shape for conv in stored_ours]
    same_widths = [conv.weight.size(1) for conv in merges] == [conv.weight.shape[1] for conv in stored_merges]
    if not (same_couplings and same_widths):
        for merge in merges:
            nn.init.zeros_(merge.weight)
        return
    for conv, given in zip(ours, stored_ours, strict=True):
        _copy_channels(conv, given, ChannelMap.all_of(given))
    for scale, (merge, given) in enumerate(zip(merges, stored_merges, strict=True)):
        _copy_channels(merge, given, ChannelMap.all_of(given, kept[2 + scale]))


@torch.no_grad()
def _copy_channels(conv: Conv, given: ImportedConv, channels: ChannelMap) -> None:
    """Write the chosen channels of ``given`` over the first channels of ``conv``."""
    assert conv.bias is not None
    inputs, outputs, group = list(channels.inputs), list(channels.outputs), channels.group
    theirs = torch.from_numpy(given.weight).to(conv.weight.device)
    weight = conv.weight.view(-1, group, *conv.weight.shape[1:])
    weight[: len(outputs), :, len(inputs) :] = 0  # the old channels do not read new ones
    weight[: len(outputs), :, : len(inputs)] = theirs.view(-1, group, *theirs.shape[1:])[outputs][:, :, inputs]
    bias = torch.from_numpy(given.bias).to(conv.weight.device)
    conv.bias.view(-1, group)[: len(outputs)] = bias.view(-1, group)[outputs]


def _fit_encoder(fit: Fit, video: Video, latents: list[FloatArray], kept: list[int]) -> None:
    """Fit the encoder to the file's own pictures and latents, if they have the same sizes here.

    Args:
        fit: the new fit.
        video: the file.
        latents: its latents, in float.
        kept: channels of the embedding that are taken over.
    """
    shape = fit.shape
    targets = [torch.from_numpy(latent).to(fit.device) for latent in (latents[0][:, kept], *latents[1:])]
    sizes = [shape.embedding_size, *shape.skip_feature_sizes]
    if [latent.shape[2:] for latent in latents] != sizes or (video.height, video.width) != (shape.height, shape.width):
        return
    scales = [1 / float(target.square().mean() + 1e-12) for target in targets]
    order = np.random.default_rng(fit.options.seed).integers(0, len(video), ENCODER_STEPS)
    optimisers = network_optimisers(fit.encoder.parameters(), fit.options)
    for step, frame in enumerate(order.tolist()):
        factor = lr_factor((step + 1) / ENCODER_WARMUP_STEPS, 1 - step / ENCODER_STEPS)
        predicted, _ = analyse(fit.encoder, fit.decoder, as_float(signed(video[frame : frame + 1]).to(fit.device)))
        errors = [
            scale * F.mse_loss(latent[:, : target.size(1)], target[frame : frame + 1])
            for latent, target, scale in zip(predicted, targets, scales, strict=True)
        ]
        for scheduled in optimisers:
            scheduled.optimiser.zero_grad(set_to_none=True)
        torch.stack(errors).sum().backward()  # type: ignore[no-untyped-call]
        for scheduled in optimisers:
            scheduled.step(factor)
