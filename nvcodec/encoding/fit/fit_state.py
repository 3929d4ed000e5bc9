"""The state of a fit, to save, to restore and to branch from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from nvcodec.encoding.fit.fit import Fit, Phase


def state_of(fit: Fit) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return everything that is needed to continue a fit: tensors, and values that JSON can hold."""
    tensors = {f"network.{name}": value for name, value in fit.network.state_dict().items()}
    tensors |= {f"optimiser.{name}": value for name, value in fit.optimisers.tensors().items()}
    tensors |= {f"latents.{number}": latent.detach() for number, latent in enumerate(fit.fixed_latents or ())}
    tensors["order"] = fit.sampler.generator.get_state()
    plain = {
        "phase": fit.phase.name,
        "budget": fit.budget.state(),
        "rate_control": fit.rate_control.state(),
        "queue": list(fit.sampler.queue),
        "latent_steps": [step.item() for step in fit.decoder.latent_steps or ()],
        "latent_lrs": fit.latent_lrs,
    }
    return tensors, plain


def restore(fit: Fit, tensors: Mapping[str, torch.Tensor], plain: Mapping[str, Any]) -> None:
    """Return a fit to a state of a fit of the same frames, shape and options.

    Raises:
        KeyError, ValueError, RuntimeError: the state is that of another fit.
    """
    fit.budget.load(plain["budget"])
    fit.rate_control.load(plain["rate_control"])
    fit.sampler.queue = list(plain["queue"])
    phase = Phase[plain["phase"]]
    fit.decoder.release()
    latent_steps = [torch.tensor(step, device=fit.device) for step in plain["latent_steps"]]
    fit.decoder.latent_steps = latent_steps or None
    if not any(".branches." in name for name in tensors):
        for conv in fit.decoder.convs():
            conv.fold()
    fit.network.load_state_dict(_without_prefix(tensors, "network."))
    if phase is Phase.QUANTISED:
        fit.quant_steps.apply_to_decoder()
    fit.optimisers.of_latents = []
    fit.fixed_latents = None
    latents = _without_prefix(tensors, "latents.")
    if phase is not Phase.ENCODER:
        copies = [latents[str(number)].to(fit.device, copy=True) for number in range(len(latents))]
        fit.hold_latents(copies, plain["latent_lrs"])
        if phase is Phase.QUANTISED:
            fit.learn_latents()
    fit.phase = phase
    fit.optimisers.load(_without_prefix(tensors, "optimiser."))
    fit.sampler.generator.set_state(tensors["order"])


class Snapshot:
    """The state of a fit at one moment, in memory."""

    def __init__(self, fit: Fit) -> None:
        tensors, plain = state_of(fit)
        self._tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        self._plain = copy.deepcopy(plain)

    def restore(self, fit: Fit) -> None:
        """Return the fit to this moment."""
        restore(fit, self._tensors, self._plain)


def _without_prefix(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return those whose name starts with ``prefix``, under the rest of their name."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
