"""Muon (Jordan et al., 2024): momentum whose update is made orthogonal by Newton-Schulz iterations.

torch has an optimiser of this name, for matrices only; here convolution kernels count as matrices of
out x (in * height * width).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The orthogonal matrix nearest to ``matrix``, roughly: singular values end between 0.7 and 1.2."""
    a, b, c = COEFFICIENTS
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Args:
    params: tensors of two or more dimensions; the first one counts as the matrix's rows.
    lr: spectral norm, roughly, of an update of a matrix at least as wide as tall.
    momentum: of the Nesterov average.
    dtype: what the iterations compute in; bfloat16 is enough.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 0.02,
        momentum: float = 0.9,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update; ``closure`` is not supported."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.reshape(parameter.size(0), -1)
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(gradient)
                state["average"].lerp_(gradient, 1 - group["momentum"])
                update = orthogonalise(gradient.lerp(state["average"], group["momentum"]).to(self.dtype))
                scale = max(1.0, update.size(0) / update.size(1)) ** 0.5
                parameter.add_(update.reshape(parameter.shape).to(parameter.dtype), alpha=-group["lr"] * scale)
