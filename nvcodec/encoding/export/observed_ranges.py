"""What a network's convolutions read and yield over a whole clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from nvcodec.encoding.model.decoder_network import Decoder

Range = tuple[float, float]
Seen = dict[nn.Module, tuple[Range, Range]]


@torch.no_grad()
def observe(decoder: Decoder, latents: Sequence[torch.Tensor], noise: Sequence[torch.Tensor]) -> Seen:
    """For each convolution the least and greatest value of its input, and of its result, in any frame, and zero."""
    seen: Seen = {conv: ((0.0, 0.0), (0.0, 0.0)) for conv in decoder.convs()}

    def hook(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        source, result = seen[module]
        seen[module] = _widen(source, inputs[0]), _widen(result, output)

    handles = [conv.register_forward_hook(hook) for conv in seen]
    try:
        for frame in range(len(latents[0])):
            decoder([latent[frame : frame + 1] for latent in latents], noise, [frame])
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _widen(known: Range, tensor: torch.Tensor) -> Range:
    low, high = torch.aminmax(tensor)
    return min(known[0], float(low)), max(known[1], float(high))
