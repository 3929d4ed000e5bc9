"""Muon, compared with PyTorch's own, which takes two-dimensional parameters only."""

from __future__ import annotations

import pytest
import torch

from nvcodec.encoding.fit.muon import Muon, orthogonalise, orthogonalise_together

SHAPES = [(8, 30), (30, 8), (12, 12)]


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalise(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    result = orthogonalise(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6
    assert values.max() < 1.3
    # The singular vectors stay: the product with the transposed matrix is symmetric and positive.
    product = result.mT @ matrix
    torch.testing.assert_close(product, product.mT, rtol=1e-3, atol=1e-3)
    assert torch.linalg.eigvalsh(product).min() > -1e-3


def test_orthogonalise_together() -> None:
    torch.manual_seed(0)
    matrices = [torch.randn(shape) for shape in ((6, 27), (27, 6), (1, 40), (5, 5), (40, 30))]
    for ours, alone in zip(orthogonalise_together(matrices), map(orthogonalise, matrices), strict=True):
        torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_muon_is_that_of_pytorch(shape: tuple[int, int]) -> None:
    """Nesterov's momentum, and the larger updates of matrices that are taller than wide."""
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.zeros(shape)) for _ in range(2))
    optimisers = (
        Muon([ours], lr=0.5, momentum=0.9, dtype=torch.bfloat16),
        torch.optim.Muon([theirs], lr=0.5, momentum=0.9, weight_decay=0.0),
    )
    for _ in range(4):
        gradient = torch.randn(shape)
        before = theirs.detach().clone()
        for parameter, optimiser in zip((ours, theirs), optimisers, strict=True):
            parameter.grad = gradient.clone()
            optimiser.step()
        moved = (theirs - before).norm()
        assert moved > 1
        assert (ours - theirs).norm() < 0.02 * moved
        ours.data.copy_(theirs)  # so that bfloat16's rounding does not add up


def test_a_kernel_is_a_matrix() -> None:
    torch.manual_seed(0)
    gradient = torch.randn(6, 3, 3, 3)
    kernel, matrix = torch.nn.Parameter(torch.zeros(6, 3, 3, 3)), torch.nn.Parameter(torch.zeros(6, 27))
    kernel.grad, matrix.grad = gradient, gradient.reshape(6, 27)
    for parameter in (kernel, matrix):
        Muon([parameter], lr=0.1).step()
    assert kernel.abs().max() > 0
    assert torch.equal(kernel.reshape(6, 27), matrix)


def test_parameters_without_a_gradient_stay() -> None:
    still, moved = (torch.nn.Parameter(torch.ones(3, 4)) for _ in range(2))
    moved.grad = torch.ones(3, 4)
    Muon([still, moved]).step()
    assert torch.equal(still, torch.ones(3, 4))
    assert not torch.equal(moved, torch.ones(3, 4))
