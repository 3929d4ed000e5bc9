"""The networks of other papers: their parts, and a fit of them to bytes and back."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from conftest import moving_squares

from baselines import codec, dnerv, ffnerv, stored, table5
from nvcodec.encoding.assembly import value_bytes
from nvcodec.encoding.fit.fit import Fit, as_float
from nvcodec.encoding.fit.fit_loop import Progress, run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.model.convolution import Conv
from nvcodec.errors import UsageError
from nvcodec.metrics import psnr

CPU = torch.device("cpu")
CLIP = moving_squares(5, 33, 42)
PARAMETERS = {"DNeRV": 30_000, "FFNeRV": 40_000}
both = pytest.mark.parametrize("network", list(codec.FITS))


def fit_of(network: str, steps: int, **options: float) -> Fit:
    shape = codec.solve(network, PARAMETERS[network], CLIP)
    return codec.FITS[network](CLIP, shape, FitOptions(steps=steps, **options), CPU)


@both
@pytest.mark.parametrize(("size", "width", "height", "frames"), [(200_000, 432, 240, 50), (3_000_000, 1920, 960, 25)])
def test_sizes_are_met(network: str, size: int, width: int, height: int, frames: int) -> None:
    solver = dnerv.solve if network == "DNeRV" else ffnerv.solve
    shape = solver(size, width, height, frames)
    assert abs(shape.parameters(frames) / size - 1) < 0.02
    with pytest.raises(UsageError):
        solver(300, width, height, frames)


def test_at_the_papers_size_they_have_the_papers_shapes() -> None:
    difference = dnerv.solve(3_000_000, 1920, 960, 50)
    assert difference.latent_planes == [(16, 2, 4), (2, 40, 80)]
    assert ffnerv.choose_strides(1920, 1080) == (5, 3, 2, 2, 2)


@both
def test_every_parameter_is_counted(network: str) -> None:
    fit = fit_of(network, 1)
    assert sum(p.numel() for p in fit.decoder.parameters()) == fit.shape.decoder_parameters
    latents = fit.latents()
    assert [tuple(latent.shape[1:]) for latent in latents] == fit.shape.latent_planes  # type: ignore[attr-defined]
    assert sum(latent[0].numel() for latent in latents) == fit.shape.latents_per_frame


@both
def test_a_fit_learns(network: str) -> None:
    seen: list[Progress] = []
    run(fit_of(network, 80, quantised_share=0.0), seen.append)
    assert seen[-1].psnr > seen[0].psnr + 4


@both
def test_bytes_hold_the_network(network: str) -> None:
    fit = fit_of(network, 20, rd_lambda=1.5)
    run(fit)
    fitted = fit.finish()
    data = stored.write(fitted)
    assert value_bytes(fitted) < len(data) < 1.3 * value_bytes(fitted)
    restored = stored.read(data)
    assert stored.write(restored) == data
    assert restored.decoder.shape == fitted.decoder.shape
    for conv, theirs in zip(fitted.decoder.convs(), restored.decoder.convs(), strict=True):
        assert conv.quant_step is not None
        assert torch.equal(theirs.weight, conv.integers() * conv.quant_step)
        if conv.bias is not None:
            assert (theirs.bias - conv.bias).abs().max() <= conv.bias.abs().max() / 2000 + 2**-15
            conv.bias.data.copy_(theirs.bias.data)
    fitted.decoder.independents = None  # type: ignore[assignment]
    for frame, picture in enumerate(codec.decode(data, range(len(CLIP)))):
        meant = (255 * fitted.picture(frame)[0]).round().clamp(0, 255)
        assert (picture - meant).abs().max() <= 1
        assert (picture == meant).float().mean() > 0.999


@both
def test_a_size_in_bytes_is_met(network: str) -> None:
    target = 16_000
    data = codec.encode(network, CLIP, target, steps=100)
    assert 0.97 * target <= len(data) <= target
    pictures = list(table5.decode(data, network, len(CLIP), "regression", "cpu"))
    assert [picture.shape for picture in pictures] == [CLIP.shape[1:]] * len(CLIP)
    grey = torch.full_like(CLIP[0], 128)
    assert all(psnr(picture, frame) > psnr(grey, frame) for picture, frame in zip(pictures, CLIP, strict=True))
    between = list(table5.decode(data, network, len(CLIP), "interpolation", "cpu"))
    assert len(between) == len(CLIP) - 1


def test_latents_between_frames() -> None:
    latent = torch.arange(6.0).view(3, 2, 1, 1) ** 2
    assert torch.equal(codec.between(latent, 1), latent[1:2])
    assert torch.equal(codec.between(latent, Fraction(3, 2)), (latent[1:2] + latent[2:3]) / 2)


def test_differences_see_the_neighbours_and_content_does_not() -> None:
    fit = fit_of("DNeRV", 1)
    pictures = as_float(CLIP[[1]])
    (content, difference), _ = fit.analyse(pictures, [1])
    other = CLIP.clone()
    other[2] = 255 - other[2]
    fit.frames = other
    (same, changed), _ = fit.analyse(pictures, [1])
    assert torch.equal(same, content)
    assert not torch.allclose(changed, difference)


def test_a_closed_gate_leaves_content_as_it_is() -> None:
    fit = fit_of("DNeRV", 1)
    network = fit.decoder
    assert isinstance(network, dnerv.DNeRV)
    channels = network.unit.out_channels // 2
    content, difference = torch.randn(2, 1, channels, 6, 8)
    assert network.unit.bias is not None
    with torch.no_grad():
        network.unit.bias[channels:] = -50
        assert torch.allclose(network.join(content, difference), content, atol=1e-6)
        network.unit.bias[channels:] = 50
        assert network.join(content, difference).abs().max() <= 1  # tanh of both


def test_warps() -> None:
    pictures = torch.rand(2, 3, 6, 9)
    flows = torch.zeros(2, 2, 6, 9)
    assert torch.allclose(ffnerv.warp(pictures, flows), pictures, atol=1e-5)
    flows[:, 0] = 2  # each place shows what is two to its right
    assert torch.allclose(ffnerv.warp(pictures, flows)[..., :-2], pictures[..., 2:], atol=1e-5)
    assert torch.allclose(ffnerv.warp(pictures, flows)[..., -1], pictures[..., -1], atol=1e-5)


def test_flows_grow_with_the_picture() -> None:
    network = ffnerv.FFNeRV(ffnerv.solve(12_000, 42, 33, 5))
    large = network.enlarged(torch.ones(1, 2, 10, 12))
    assert large.shape == (1, 2, 33, 42)
    assert torch.allclose(large, torch.tensor(4.0))


def test_the_aggregated_frame_is_made_of_the_neighbours() -> None:
    torch.manual_seed(0)
    network = ffnerv.FFNeRV(ffnerv.solve(12_000, 42, 33, 5))
    with torch.no_grad():
        network.flow_head.weight.zero_()
        network.flow_head.bias.zero_()  # type: ignore[union-attr]
        network.flow_head.bias[2 * 4 + 2] = 50  # type: ignore[index]  # the frame that comes next
        network.head.weight[3:] = 0
        network.head.bias[3:] = torch.tensor([-50.0, 50.0])  # type: ignore[index]
        network.remember()
        assert network.independents is not None
        for time, neighbour in ((0, 1), (3, 4), (Fraction(3, 2), 2), (4, 5)):
            final = network.views([time]).final[0]
            assert torch.allclose(final, network.independents[neighbour].float(), atol=1e-4)
    assert not network.independents[5].any()  # after the last frame there is black


def test_a_convolution_of_grids_side_by_side_is_the_sum_of_one_for_each() -> None:
    shape = ffnerv.solve(12_000, 42, 33, 5)
    grids = list(ffnerv.FFNeRV(shape).grids.values())
    times = [0, Fraction(1, 2), 4]
    values = torch.cat([grid.at(times) for grid in grids], 1)
    weight = torch.cat([grid.merge.weight for grid in grids], 1)
    made = F.conv2d(values, weight, grids[0].merge.bias, padding=1)
    assert torch.allclose(made, sum(grid(times) for grid in grids), atol=1e-5)  # type: ignore[arg-type]
    middle = torch.cat([grid.at([0]) + grid.at([1]) for grid in grids], 1)[0] / 2
    assert torch.allclose(values[1], middle, atol=1e-6)


def test_groups_of_channels_see_their_own_only() -> None:
    conv = ffnerv.GroupedConv(16, 32, 3, 4)
    assert isinstance(conv, Conv)
    x = torch.randn(1, 16, 5, 5)
    before = conv(x)
    x[:, 2] += 1
    changed = (conv(x) != before).any(dim=(0, 2, 3))
    assert changed.tolist() == [False] * 4 + [True] * 4 + [False] * 24


def test_sizes_of_layers_are_corrected() -> None:
    assert table5.corrected([], 1000) == 1000 * table5.PARAMETERS_PER_BYTE
    assert table5.corrected([(3000, 500)], 1000) == 6000
    assert table5.corrected([(3000, 500), (6000, 2000)], 1000) == pytest.approx(3000 * 2**0.5)
