"""Reparameterised convolutions: every branch and the whole fold to one kernel, borders included."""

import pytest
import torch
import torch.nn.functional as F

from nvcodec.encoding.model.convolution import Conv, KernelBranch, RepConv
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.quantizer.initial_steps import set_initial_steps

SIDE = 5  # of 35 pixels below, 32 lie so near a border that a 5x5 kernel reaches over it


def fill(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 5), (5, 1), (5, 5)])
def test_a_branch_is_a_kernel(size: tuple[int, int]) -> None:
    branch = KernelBranch(4, 6, *size).double()
    fill(branch)
    x = torch.randn(2, 4, 5, 7, dtype=torch.double)
    folded = F.conv2d(x, branch.kernel(SIDE), padding=SIDE // 2)
    assert branch(x).abs().max() > 1
    torch.testing.assert_close(branch(x), folded, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_branches_fold_into_one_convolution(kernel: int) -> None:
    conv = RepConv(4, 8, kernel, group=4)
    fill(conv)
    x = torch.randn(2, 4, 5, 7)
    apart = F.conv2d(x, conv.weight, conv.bias, padding=kernel // 2) + sum(branch(x) for branch in conv.branches)
    together = conv(x)
    branches = len(conv.branches)
    conv.fold()
    assert (branches, len(conv.branches)) == ({1: 0, 3: 2, 5: 3}[kernel], 0)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)
    assert torch.equal(conv(x), together)
    plain = Conv(4, 8, kernel, group=4)
    plain.load_state_dict(conv.state_dict())
    assert torch.equal(plain(x), conv(x))


def test_a_new_one_equals_a_plain_one() -> None:
    rep, plain = RepConv(3, 4, 5), Conv(3, 4, 5)
    plain.load_state_dict({name: rep.state_dict()[name] for name in ("weight", "bias")})
    x = torch.randn(1, 3, 6, 6)
    assert torch.equal(rep(x), plain(x))


def test_quantisation_sees_the_folded_kernel() -> None:
    decoder = Decoder(solve(20_000, 40, 32, 2), rep=True)
    fill(decoder)
    shape = decoder.shape
    latents = [
        torch.randn(2, shape.embedding_channels, *shape.embedding_size),
        *(torch.randn(2, 1, *grid) for grid in shape.skip_feature_sizes),
    ]
    kernels = [conv.kernel().detach().clone() for conv in decoder.convs()]
    set_initial_steps(decoder, latents)
    for conv, kernel in zip(decoder.convs(), kernels, strict=True):
        assert torch.equal(conv.weight, kernel)
        assert conv.quant_step is not None
        error = (conv.integers() * conv.quant_step - kernel).abs()
        assert ((error <= conv.quant_step * 0.501) | (conv.integers().abs() == 127)).all()
