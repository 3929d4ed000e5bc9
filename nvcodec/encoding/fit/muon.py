"""Muon (Jordan et al., 2024): momentum whose update is orthogonalised by Newton-Schulz iterations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """Return, roughly, the orthogonal matrix nearest to ``matrix`` [rows, columns], or to each of [n, rows, columns].

    Its singular values are between 0.7 and 1.2.
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    tall = matrix.size(-2) > matrix.size(-1)
    x = matrix.mT if tall else matrix
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    multiply = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(iterations):
        gram = x @ x.mT
        x = multiply(x, multiply(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def orthogonalise_together(matrices: list[torch.Tensor]) -> list[torch.Tensor]:
    """Apply :func:`orthogonalise` to matrices of any shapes at once, padded with zeros, which the iterations preserve.

    This multiplies more in far fewer calls, which suits a GPU and networks as small as these.
    """
    wide = [matrix.mT if matrix.size(0) > matrix.size(1) else matrix for matrix in matrices]
    rows, columns = (max(matrix.size(side) for matrix in wide) for side in (0, 1))
    padded = wide[0].new_zeros(len(wide), rows, columns)
    for slot, matrix in zip(padded, wide, strict=True):
        slot[: matrix.size(0), : matrix.size(1)] = matrix
    cropped = [x[: matrix.size(0), : matrix.size(1)] for x, matrix in zip(orthogonalise(padded), wide, strict=True)]
    return [x if x.shape == matrix.shape else x.mT for x, matrix in zip(cropped, matrices, strict=True)]


class Muon(torch.optim.Optimizer):
    """The Muon optimiser for convolution kernels.

    torch.optim.Muon accepts two-dimensional parameters only; here a kernel counts as a matrix of
    out x (in * height * width), and on a GPU all kernels are orthogonalised in one batch.

    Args:
        params: tensors of two or more dimensions; the first one counts as the matrix's rows.
        lr: approximate spectral norm of an update, for a matrix at least as wide as tall.
        momentum: of the Nesterov average.
        dtype: of the iterations; bfloat16 is enough.
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
        """Update the parameters; ``closure`` is not supported."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            ahead = []
            for parameter in parameters:
                gradient = parameter.grad.reshape(parameter.size(0), -1)
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(gradient)
                state["average"].lerp_(gradient, 1 - group["momentum"])
                ahead.append(gradient.lerp(state["average"], group["momentum"]).to(self.dtype))
            together = len(ahead) > 1 and ahead[0].is_cuda
            updates = orthogonalise_together(ahead) if together else map(orthogonalise, ahead)
            for parameter, update in zip(parameters, updates, strict=True):
                scale = max(1.0, update.size(0) / update.size(1)) ** 0.5
                parameter.add_(update.reshape(parameter.shape).to(parameter.dtype), alpha=-group["lr"] * scale)
