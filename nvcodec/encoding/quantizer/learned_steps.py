"""Quantisation steps that are learned, and the bits that weights, feature grids and latents will cost with them.

There is one step per group of channels, per feature grid and per kind of latent, as in LSQ (Esser et al., *Learned step
size quantization*, ICLR 2020), moved by the loss and by the rate. A weight's step is always one that a stream can
represent, so that the fitted network is the decoded one. The step of a grid or of latents is free, because the
convolution that reads them absorbs it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.encoding.model.decoder_network import RoundedNetwork
from nvcodec.encoding.quantizer.initial_steps import input_units
from nvcodec.encoding.quantizer.nearest_steps import INDICES_PER_OCTAVE, OCTAVE, nearest_index
from nvcodec.encoding.quantizer.rounding import PEAK

ACTIVITY_WINDOW = 5  # side of the square whose mean magnitude estimates how active a grid is at a position
MAX_COARSENING = 64  # eighths of an octave beyond the finest step: weights that have not grown round to zero
QUARTERS = 4  # one quarter of the stored times stands for all when bits are estimated in a training step
CONTEXT_GAIN = 0.85  # coded bits of grids and latents relative to the estimate from magnitudes alone


class LearnedSteps(nn.Module):
    """The quantisation steps of a decoder's weights, feature grids and latents.

    Args:
        decoder: the network whose steps they are; see :meth:`apply_to_decoder`.

    Attributes:
        fineness: their negative logarithms in eighths of an octave (the higher, the finer), [groups of all
            convolutions, then grids, then latents]. For weights they are rounded to the steps of the specification
            (section 6.3).
        finest: upper bound for :meth:`shift`: the initial step of weights and latents; for a grid, the step with which
            its peak takes 8 bits. Learning may pass it.
        latents: the latents of all frames, once they are fixed.
        learned_latents: how many kinds of latents, the first ones, have a free step.
    """

    def __init__(self, decoder: RoundedNetwork) -> None:
        super().__init__()
        self._decoder = (decoder,)  # in a tuple, so that it is not a submodule
        self.groups_per_conv = [math.ceil(conv.out_channels / conv.group) for conv in decoder.convs()]
        self.weight_groups = sum(self.groups_per_conv)
        self.learned_latents = len(decoder.latent_readers)
        self.latents: list[torch.Tensor] = []
        self.fineness = nn.Parameter(torch.zeros(self.weight_groups + len(decoder.grids) + self.learned_latents))
        self.finest: torch.Tensor
        self.register_buffer("finest", torch.zeros_like(self.fineness.detach()))

    @property
    def stored_values(self) -> int:
        """Number of weights, grid values and latents."""
        weights = sum(conv.weight.numel() for conv in self._decoder[0].convs())
        return weights + sum(values.numel() for values, _ in self._grids_and_latents())

    def _grids_and_latents(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return grids and latents with free steps, each with its step."""
        decoder = self._decoder[0]
        assert decoder.latent_steps is not None
        grids = [(grid.values, grid.quant_step) for grid in decoder.grids.values() if grid.quant_step is not None]
        return grids + list(zip(self.latents[: self.learned_latents], decoder.latent_steps, strict=False))

    @torch.no_grad()
    def start_from_decoder(self) -> None:
        """Take over the steps that the decoder has now."""
        decoder = self._decoder[0]
        weight_steps = []
        for conv in decoder.convs():
            assert conv.quant_step is not None
            weight_steps.append(conv.quant_step.flatten()[:: conv.group].double())
        units = self._input_units()
        indices = torch.from_numpy(nearest_index((torch.cat(weight_steps) * units).cpu().numpy()))
        assert decoder.latent_steps is not None
        grid_steps = [grid.quant_step for grid in decoder.grids.values() if grid.quant_step is not None]
        free_steps = [*grid_steps, *decoder.latent_steps[: self.learned_latents]]
        others = torch.stack(free_steps).detach().double() if free_steps else units.new_zeros(0)
        self.fineness.copy_(torch.cat([indices.to(units) + 8 * torch.log2(units), -8 * torch.log2(others)]))
        self.finest.copy_(self.fineness)
        # A grid starts coarser than it has to: only its peak limits how fine it may become.
        for index, (values, _) in enumerate(self._grids_and_latents(), self.weight_groups):
            peak = values.detach().abs().max().clamp(min=1e-6)
            self.finest[index].clamp_(min=-8 * torch.log2(peak / PEAK))

    def apply_to_decoder(self) -> None:
        """Give the decoder's latents, grids and convolutions their steps, with a gradient to ``fineness``."""
        decoder = self._decoder[0]
        bounded = torch.maximum(self.fineness, self.finest - MAX_COARSENING).double()
        weights, others = torch.split(bounded, [self.weight_groups, len(bounded) - self.weight_groups])
        free_steps = list(torch.exp2(-others / 8).to(self.fineness.dtype))
        grids = decoder.grids.values()
        for grid, step in zip(grids, free_steps, strict=False):
            grid.quant_step = step
        assert decoder.latent_steps is not None
        decoder.latent_steps[: self.learned_latents] = free_steps[len(grids) :]
        units = self._input_units()
        indices = (weights.detach() - 8 * torch.log2(units)).round()
        multipliers = torch.from_numpy(OCTAVE).to(weights.device)[indices.long() % INDICES_PER_OCTAVE]
        exact = multipliers * torch.exp2(-6 - torch.floor(indices / 8)) / units
        steps = torch.split(exact * torch.exp2((weights.detach() - weights) / 8), self.groups_per_conv)
        for conv, step in zip(decoder.convs(), steps, strict=True):
            channels = step.repeat_interleave(conv.group)[: conv.out_channels]
            conv.quant_step = channels.to(conv.weight.dtype).view(-1, 1, 1, 1)

    def bits(self, quarter: int | None = None) -> torch.Tensor:
        """Return a smooth estimate of what weights, grids and latents cost: [] bits.

        Each weight is treated as a draw from a distribution whose mean magnitude is the product of that of its output
        channel and that of its position in the kernel; each change of a grid or latent from knot to knot, or from frame
        to frame, as a draw with the mean magnitude of its channel and its neighbours.

        Args:
            quarter: 0 to 3: estimate grids and latents from this quarter of the times that they are stored for, in a
                quarter of the time. The mean over the four quarters is the whole. None: use all.
        """
        total = self.fineness.new_zeros(())
        for conv in self._decoder[0].convs():
            assert conv.quant_step is not None
            steps = (conv.weight / conv.quant_step).abs()
            magnitude = steps.mean((1, 2, 3), keepdim=True) * steps.mean(0, keepdim=True) / (steps.mean() + 1e-6)
            total = total + torch.log2(1 + 2 * math.e * magnitude).sum()
        for values, step in self._grids_and_latents():
            first, end, scale = 0, len(values), CONTEXT_GAIN
            if quarter is not None and end >= QUARTERS:
                first, end, scale = quarter * end // QUARTERS, (quarter + 1) * end // QUARTERS, QUARTERS * CONTEXT_GAIN
            steps = values[max(0, first - 1) : end] / step
            changes = steps[1:] - steps[:-1]
            steps = (changes if first else torch.cat([steps[:1], changes])).abs()
            near = F.avg_pool2d(steps, ACTIVITY_WINDOW, 1, ACTIVITY_WINDOW // 2, count_include_pad=False)
            magnitude = (near + steps.mean((2, 3), keepdim=True)) / 2
            total = total + scale * torch.log2(1 + 2 * math.e * magnitude).sum()
        return total

    @torch.no_grad()
    def shift(self, eighths: float) -> None:
        """Make all steps finer by ``eighths`` of an octave, or coarser if it is negative.

        None becomes finer than ``finest``. The steps of features that pass through a coupling layer stay.
        """
        shifted = self.fineness + eighths
        self.fineness.copy_(torch.minimum(shifted, self.finest) if eighths > 0 else shifted)
        self.apply_to_decoder()

    def _input_units(self) -> torch.Tensor:
        """Return the unit of each group's input, by which a weight's step is multiplied in an accumulator."""
        units = input_units(self._decoder[0])
        one = self.fineness.new_ones((), dtype=torch.float64)
        return torch.cat(
            [
                units.get(conv, one).expand(groups)
                for conv, groups in zip(self._decoder[0].convs(), self.groups_per_conv, strict=True)
            ]
        )
