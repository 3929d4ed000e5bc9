"""The optimisers of a fit: Muon for convolution kernels, Adam for everything else, each with a peak learning rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.muon import Muon

GRID_LR = 0.02  # Adam's for the values of feature grids
STEP_LR = 1.6  # Adam's for quantisation steps, in eighths of an octave


@dataclasses.dataclass(frozen=True)
class ScheduledOptimiser:
    """An optimiser of one parameter group, and the peak of its learning rate."""

    optimiser: torch.optim.Optimizer
    peak_lr: float

    def step(self, lr_factor: float) -> None:
        """Update all parameters that have a gradient, at ``lr_factor`` of the peak learning rate."""
        self.optimiser.param_groups[0]["lr"] = self.peak_lr * lr_factor
        self.optimiser.step()

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that it updates."""
        parameters: list[nn.Parameter] = self.optimiser.param_groups[0]["params"]
        return parameters


def adam(parameters: Sequence[torch.Tensor], peak_lr: float) -> ScheduledOptimiser:
    """Return an Adam optimiser."""
    # Fused: one call for all tensors, which are small.
    return ScheduledOptimiser(torch.optim.Adam(parameters, betas=(0.9, 0.99), fused=True), peak_lr)


def network_optimisers(parameters: Iterable[nn.Parameter], options: FitOptions) -> list[ScheduledOptimiser]:
    """Return Muon for kernels with more than one input channel, and Adam for everything else."""
    kernels: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in parameters:
        (kernels if parameter.ndim == 4 and parameter.size(1) > 1 else others).append(parameter)
    muon = Muon(kernels, dtype=torch.bfloat16 if options.bfloat16 else torch.float32)
    return [ScheduledOptimiser(muon, options.muon_lr), adam(others, options.adam_lr)]


class Optimisers:
    """All optimisers of a fit: those of the network and, once the latents are fixed, one per kind of latent.

    Args:
        network: encoder, decoder and quantisation steps.
        grids: values of the decoder's feature grids.
        quant_steps: parameters of the quantisation steps.
        options: of the fit.

    Attributes:
        of_network, of_latents: the optimisers; those of latents are empty while an encoder makes the latents.
    """

    def __init__(
        self,
        network: nn.Module,
        grids: Sequence[nn.Parameter],
        quant_steps: Sequence[nn.Parameter],
        options: FitOptions,
    ) -> None:
        apart = {id(parameter) for parameter in (*grids, *quant_steps)}
        weights = [parameter for parameter in network.parameters() if id(parameter) not in apart]
        self.of_network = [*network_optimisers(weights, options), adam(quant_steps, STEP_LR)]
        if grids:
            self.of_network.append(adam(grids, GRID_LR))
        self.of_latents: list[ScheduledOptimiser] = []

    @property
    def all(self) -> list[ScheduledOptimiser]:
        """All optimisers, those of latents last."""
        return [*self.of_network, *self.of_latents]

    def step(self, lr_factor: float) -> None:
        """Update everything that has a gradient, at ``lr_factor`` of the peak learning rates."""
        for scheduled in self.all:
            scheduled.step(lr_factor)

    def clear_gradients(self) -> None:
        """Remove all gradients."""
        for scheduled in self.all:
            scheduled.optimiser.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the optimisers' averages by name: ``number.parameter.kind``."""
        return {
            f"{number}.{index}.{kind}": tensor
            for number, scheduled in enumerate(self.all)
            for index, averages in scheduled.optimiser.state_dict()["state"].items()
            for kind, tensor in averages.items()
        }

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore what :meth:`tensors` returned.

        Raises:
            IndexError, ValueError: the tensors are those of other optimisers.
        """
        optimisers = self.all
        states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in optimisers]
        for name, tensor in tensors.items():
            number, index, kind = name.split(".")
            parameter = optimisers[int(number)].parameters[int(index)]
            # Copied, because optimisers update in place. Fused Adam walks through memory: its averages have to have the
            # parameter's memory layout.
            layout = parameter if tensor.shape == parameter.shape else tensor
            copy = torch.empty_like(layout, dtype=tensor.dtype).copy_(tensor)
            states[int(number)].setdefault(int(index), {})[kind] = copy
        for scheduled, state in zip(optimisers, states, strict=True):
            scheduled.optimiser.load_state_dict({**scheduled.optimiser.state_dict(), "state": state})
