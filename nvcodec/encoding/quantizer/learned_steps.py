"""Rate in the loss: what weights and grids will cost, and steps of rounding that are learned with them.

One step for each group of channels and each grid, as in LSQ (Esser et al., *Learned step size quantization*, ICLR
2020), moved by the loss and by the rate. A weight's is always one that a stream can say, so that the network fitted is
the network decoded; a grid's may be anything, because the convolution behind it takes it in.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.encoding.model.decoder_network import LATENT_PEAK, RoundedNetwork
from nvcodec.encoding.quantizer.initial_steps import input_units
from nvcodec.encoding.quantizer.nearest_steps import OCTAVE, nearest_index

NEIGHBOURS = 5  # side of the square whose mean magnitude says how active a grid is at a place
COARSEST = 64  # levels below the first: with such a step no weight is left
PARTS = 4  # of the times that grids are stored for, where the bits of one part stand for all
COHERENCE = 0.85  # bits of a grid's values, by those that an estimate from its magnitudes alone gives


class Rounding(nn.Module):
    """The steps of a decoder's weights, of its grids, and of the ``latents`` that it is given when they are there.

    ``levels`` [groups of all convolutions, then grids, then latents] are their logarithms, in eighths of an octave: the
    higher the finer. For weights they are rounded to the steps that the stream has (specification, section 6.3).
    """

    def __init__(self, decoder: RoundedNetwork) -> None:
        super().__init__()
        self._decoder = (decoder,)  # no submodule: its parameters are its own
        self.groups = [math.ceil(conv.out_channels / conv.group) for conv in decoder.convs()]
        self.count = sum(self.groups)
        self.learned = len(decoder.latent_readers)  # latents whose step may be anything
        self.latents: list[torch.Tensor] = []
        self.levels = nn.Parameter(torch.zeros(self.count + len(decoder.grids) + self.learned))
        self.finest: torch.Tensor
        self.register_buffer("finest", torch.zeros_like(self.levels.detach()))

    @property
    def values(self) -> int:
        """Weights, values of grids, and latents."""
        weights = sum(conv.weight.numel() for conv in self._decoder[0].convs())
        return weights + sum(values.numel() for values, _ in self._stored())

    def _stored(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Grids and learned latents, and their steps."""
        decoder = self._decoder[0]
        assert decoder.latent_steps is not None
        stored = [(grid.values, grid.step) for grid in decoder.grids.values() if grid.step is not None]
        return stored + list(zip(self.latents[: self.learned], decoder.latent_steps, strict=False))

    @torch.no_grad()
    def begin(self) -> None:
        """Start from the steps that the decoder has."""
        steps = []
        for conv in self._decoder[0].convs():
            assert conv.step is not None
            steps.append(conv.step.flatten()[:: conv.group].double())
        units = self._units()
        indices = torch.from_numpy(nearest_index((torch.cat(steps) * units).cpu().numpy()))
        decoder = self._decoder[0]
        assert decoder.latent_steps is not None
        own = [grid.step for grid in decoder.grids.values() if grid.step is not None]
        others = torch.stack([*own, *decoder.latent_steps[: self.learned]]).detach().double()
        self.levels.copy_(torch.cat([indices.to(units) + 8 * torch.log2(units), -8 * torch.log2(others)]))
        self.finest.copy_(self.levels)
        # A grid starts coarser than it has to: its peak alone says how fine it may become.
        for place, (values, _) in enumerate(self._stored(), self.count):
            peak = values.detach().abs().max().clamp(min=1e-6)
            self.finest[place].clamp_(min=-8 * torch.log2(peak / LATENT_PEAK))

    def apply_steps(self) -> None:
        """Give the decoder's latents, grids and convolutions their steps, with a gradient to the levels."""
        decoder = self._decoder[0]
        bounded = torch.maximum(self.levels, self.finest - COARSEST).double()
        levels, others = torch.split(bounded, [self.count, len(bounded) - self.count])
        own = list(torch.exp2(-others / 8).to(self.levels.dtype))
        grids = decoder.grids.values()
        for grid, step in zip(grids, own, strict=False):
            grid.step = step
        assert decoder.latent_steps is not None
        decoder.latent_steps[: self.learned] = own[len(grids) :]
        units = self._units()
        indices = (levels.detach() - 8 * torch.log2(units)).round()
        multipliers = torch.from_numpy(OCTAVE).to(levels.device)[indices.long() % 8]
        exact = multipliers * torch.exp2(-6 - torch.floor(indices / 8)) / units
        steps = torch.split(exact * torch.exp2((levels.detach() - levels) / 8), self.groups)
        for conv, step in zip(decoder.convs(), steps, strict=True):
            channels = step.repeat_interleave(conv.group)[: conv.out_channels]
            conv.step = channels.to(conv.weight.dtype).view(-1, 1, 1, 1)

    def bits(self, part: int | None = None) -> torch.Tensor:
        """What weights, grids and latents cost, roughly and smoothly: [] bits.

        With ``part``, from 0 to 3, that is estimated from this quarter of the times that grids and latents are stored
        for, which takes a quarter of the time; the mean of the four is the whole.

        Each weight is taken for a draw from a distribution whose mean magnitude is that of its output channel times
        that of its place in the kernel; each change of a grid or latent from knot to knot, or frame to frame, for one
        with that of its channel and its neighbours.
        """
        total = self.levels.new_zeros(())
        for conv in self._decoder[0].convs():
            assert conv.step is not None
            steps = (conv.weight / conv.step).abs()
            magnitude = steps.mean((1, 2, 3), keepdim=True) * steps.mean(0, keepdim=True) / (steps.mean() + 1e-6)
            total = total + torch.log2(1 + 2 * math.e * magnitude).sum()
        for values, step in self._stored():
            first, end, weight = 0, len(values), COHERENCE
            if part is not None and end >= PARTS:
                first, end, weight = part * end // PARTS, (part + 1) * end // PARTS, PARTS * COHERENCE
            steps = values[max(0, first - 1) : end] / step
            changes = steps[1:] - steps[:-1]
            steps = (changes if first else torch.cat([steps[:1], changes])).abs()
            near = F.avg_pool2d(steps, NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)
            magnitude = (near + steps.mean((2, 3), keepdim=True)) / 2
            total = total + weight * torch.log2(1 + 2 * math.e * magnitude).sum()
        return total

    @torch.no_grad()
    def shift(self, by: float) -> None:
        """Make all steps finer by ``by`` eighths of an octave, or coarser where it is negative. None becomes so
        fine that 8 bits no longer hold what it is for."""
        self.levels.copy_(torch.minimum(self.levels + by, self.finest) if by > 0 else self.levels + by)
        self.apply_steps()

    def _units(self) -> torch.Tensor:
        """What a weight's step is multiplied by in an accumulator, the unit of the input: one for each group."""
        units = input_units(self._decoder[0])
        one = self.levels.new_ones((), dtype=torch.float64)
        return torch.cat(
            [
                units.get(conv, one).expand(groups)
                for conv, groups in zip(self._decoder[0].convs(), self.groups, strict=True)
            ]
        )


def price(loss: torch.Tensor, bits: torch.Tensor, worth: float, below: float = 0.0) -> torch.Tensor:
    """``bits`` in the unit of ``loss``: twice as many, those of the layers ``below`` counted, weigh as much as
    ``worth`` dB of what the loss is now.

    Its value says nothing, its gradient is what counts.
    """
    return loss.detach() * (worth * math.log(10) / 10 / math.log(2)) * bits / (bits.detach() + below)
