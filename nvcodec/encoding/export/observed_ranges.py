"""The ranges of what a network's convolutions read and yield over a whole clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from nvcodec.encoding.model.decoder_network import Decoder

Range = tuple[float, float]


class ObservedRanges:
    """The smallest and largest value, zero included, of each convolution's input and output in any frame.

    Args:
        decoder: the network.
        latents: its inputs for all frames, each [frames, channels, height, width].
        noise: z for each scale, as the forward pass takes it.
    """

    @torch.no_grad()
    def __init__(self, decoder: Decoder, latents: Sequence[torch.Tensor], noise: Sequence[torch.Tensor]) -> None:
        self.inputs: dict[nn.Module, Range] = {conv: (0.0, 0.0) for conv in decoder.convs()}
        self.outputs = dict(self.inputs)

        def hook(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
            self.inputs[module] = _widened(self.inputs[module], inputs[0])
            self.outputs[module] = _widened(self.outputs[module], output)

        handles = [conv.register_forward_hook(hook) for conv in self.inputs]
        try:
            for frame in range(len(latents[0])):
                decoder([latent[frame : frame + 1] for latent in latents], noise, [frame])
        finally:
            for handle in handles:
                handle.remove()


def _widened(known: Range, tensor: torch.Tensor) -> Range:
    low, high = torch.aminmax(tensor)
    return min(known[0], float(low)), max(known[1], float(high))
