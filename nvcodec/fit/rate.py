"""Rate in the loss: what the weights will cost, and steps of rounding that are learned with them.

One step for each group of channels, as in LSQ (Esser et al., *Learned step size quantization*, ICLR 2020), moved by
the loss and by the rate. It is always one that a stream can say, so that the network fitted is the network decoded.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from nvcodec.model.decoder import Decoder
from nvcodec.quantize.steps import OCTAVE, nearest_index


class Rounding(nn.Module):
    """The steps of a decoder's weights.

    ``levels`` [groups of all convolutions] are their indices before rounding, eight an octave, as the stream has them
    (specification, section 6.3): the higher the finer.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self._decoder = (decoder,)  # no submodule: its parameters are its own
        self.groups = [math.ceil(conv.out_channels / conv.group) for conv in decoder.convs()]
        self.levels = nn.Parameter(torch.zeros(sum(self.groups)))
        self.finest: torch.Tensor
        self.register_buffer("finest", torch.zeros(sum(self.groups)))

    @torch.no_grad()
    def begin(self) -> None:
        """Start from the steps that the decoder has."""
        levels = []
        for conv, unit in zip(self._decoder[0].convs(), self._units(), strict=True):
            assert conv.step is not None
            levels.append(nearest_index(conv.step.flatten()[:: conv.group].double().cpu().numpy() * unit))
        self.levels.copy_(torch.from_numpy(np.concatenate(levels)))
        self.finest.copy_(self.levels)

    def apply_steps(self) -> None:
        """Give the decoder's convolutions their steps, with a gradient to the levels."""
        levels = self.levels.double()
        indices = levels.detach().round()
        multipliers = torch.from_numpy(OCTAVE).to(levels.device)[indices.long() % 8]
        exact = multipliers * torch.exp2(-6 - torch.floor(indices / 8))
        steps = torch.split(exact * torch.exp2((levels.detach() - levels) / 8), self.groups)
        for conv, step, unit in zip(self._decoder[0].convs(), steps, self._units(), strict=True):
            channels = (step / unit).repeat_interleave(conv.group)[: conv.out_channels]
            conv.step = channels.to(conv.weight.dtype).view(-1, 1, 1, 1)

    def bits(self) -> torch.Tensor:
        """What the weights cost, roughly and smoothly: [] bits.

        Each is taken for a draw from a distribution whose mean magnitude is that of its output channel times that of
        its place in the kernel.
        """
        total = self.levels.new_zeros(())
        for conv in self._decoder[0].convs():
            assert conv.step is not None
            steps = (conv.weight / conv.step).abs()
            magnitude = steps.mean((1, 2, 3), keepdim=True) * steps.mean(0, keepdim=True) / (steps.mean() + 1e-6)
            total = total + torch.log2(1 + 2 * math.e * magnitude).sum()
        return total

    @torch.no_grad()
    def shift(self, by: float) -> None:
        """Make all steps finer by ``by`` eighths of an octave, or coarser where it is negative. None becomes finer than
        it was first: weights would no longer fit 8 bits."""
        self.levels.copy_(torch.minimum(self.levels + by, self.finest) if by > 0 else self.levels + by)
        self.apply_steps()

    @torch.no_grad()
    def meet(self, bits: float) -> None:
        """Move all steps together, by an octave at most, towards weights that cost ``bits``."""
        weights = sum(conv.weight.numel() for conv in self._decoder[0].convs())
        self.shift(0)
        self.shift(8 * min(1.0, max(-1.0, (bits - self.bits().item()) / weights)))  # a bit a weight is an octave

    def _units(self) -> list[float]:
        """What a weight's step is multiplied by in an accumulator, by convolution: the unit of the input."""
        decoder = self._decoder[0]
        assert decoder.latent_steps is not None
        return [decoder.latent_steps[0] if conv is decoder.stem else 1.0 for conv in decoder.convs()]


def price(loss: torch.Tensor, bits: torch.Tensor, worth: float) -> torch.Tensor:
    """``bits`` in the unit of ``loss``: twice as many weigh as much as ``worth`` dB of what the loss is now.

    Its value says nothing, its gradient is what counts.
    """
    return loss.detach() * (worth * math.log(10) / 10 / math.log(2)) * bits / bits.detach()
