"""A network above an AV1 stream: its shape, its fit, and its integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from corrections import (
    BORDER,
    CLIP,
    HEIGHT,
    MARGIN,
    SHAPE,
    WIDTH,
    network_of,
    options,
    shown_of,
)

from nvcodec.encoding.av1 import correction_fit
from nvcodec.encoding.av1.correction_export import export_correction
from nvcodec.encoding.av1.correction_fit import JUDGED_CROPS, CorrectionFit
from nvcodec.encoding.av1.correction_loss import (
    planes_loss,
    rgb_loss,
)
from nvcodec.encoding.av1.correction_network import KERNELS, Correction, CorrectionShape
from nvcodec.encoding.av1.crops import Crops
from nvcodec.encoding.fit.fit_loop import run
from nvcodec.errors import NvcodecError
from nvcodec.format import operations as o
from nvcodec.format.arithmetic.functions import Function
from nvcodec.format.stream import Layer
from nvcodec.metrics import psnr

pytestmark = pytest.mark.usefixtures("sixty_crops")


def test_shape() -> None:
    shape = CorrectionShape(5)
    network = Correction(shape)
    convs = network.convs()
    assert [conv.kernel_size for conv in convs] == [(side, side) for side in KERNELS]
    assert [conv.weight.shape[:2] for conv in convs] == list(zip(shape.channels[1:], shape.channels[:-1], strict=True))
    assert shape.weights == sum(conv.weight.numel() for conv in convs)
    assert shape.parameters == sum(parameter.numel() for parameter in network.parameters())
    below = torch.zeros(1, 3, 20, 30)
    assert network(below).shape == (1, 3, 20 - 2 * BORDER, 30 - 2 * BORDER)


def test_a_new_network_corrects_nothing() -> None:
    network = Correction(SHAPE)
    assert not network(torch.rand(2, 3, 20, 20) * 255).any()
    assert all(conv.weight.any() for conv in network.convs()[:-1])


def test_forward_is_a_chain_of_convolutions() -> None:
    network = Correction(SHAPE).double()
    torch.nn.init.normal_(network.convs()[-1].weight)
    torch.nn.init.normal_(network.convs()[-1].bias)
    below = torch.rand(2, 3, 21, 24, dtype=torch.float64) * 300 - 20
    x = (below - 128) / 64
    *hidden, last = network.convs()
    for conv in hidden:
        x = F.conv2d(x, conv.weight, conv.bias).clamp(min=0)
    expected = 64 * F.conv2d(x, last.weight, last.bias)
    assert torch.allclose(network(below), expected)


@pytest.fixture(scope="module")
def fitted(taken: Crops) -> CorrectionFit:
    fit = CorrectionFit(taken, SHAPE, options(), planes_loss, 8 * 2000.0)
    run(fit)
    return fit


def test_a_fit_improves(taken: Crops, fitted: CorrectionFit) -> None:
    assert fitted.loss_below() == pytest.approx(1, rel=0.15)
    assert fitted.mean_loss() < 0.97 * fitted.loss_below()


def test_fits_are_judged_by_some_crops_in_whole_levels(
    taken: Crops, fitted: CorrectionFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = torch.arange(0, len(taken), JUDGED_CROPS)
    assert len(chosen) < len(taken)
    with torch.no_grad():
        after = float(planes_loss(fitted.decode(chosen).round(), taken, chosen))
    before = float(planes_loss(shown_of(taken, BORDER).round()[chosen], taken, chosen))
    for batch in (64, 4):
        monkeypatch.setattr(correction_fit, "JUDGED_BATCH", batch)
        assert fitted.mean_loss() == pytest.approx(after, rel=1e-4)
        assert fitted.loss_below() == pytest.approx(before, rel=1e-4)


def test_decode_adds_the_correction(taken: Crops, fitted: CorrectionFit) -> None:
    chosen = torch.tensor([3, 40])
    below = taken.below[chosen] / 4
    border = BORDER
    expected = below[..., border:-border, border:-border] + fitted.network(below)
    assert torch.equal(fitted.decode(chosen), expected.clamp(0, 255))


def test_quantisation_comes_late(taken: Crops) -> None:
    """After its share of the steps, and at the end of a fit that was cut short."""
    fit = CorrectionFit(taken, SHAPE, options(steps=10), planes_loss, 1000.0)
    states = []
    while not fit.budget.done:
        fit.advance()
        states.append(fit.quantised)
    assert states == [step > 6 for step in range(1, 11)]
    cut = CorrectionFit(taken, SHAPE, options(), planes_loss, 1000.0)
    cut.advance()
    assert not cut.quantised
    assert all(conv.quant_step is not None for conv in cut.finish().convs())


def test_time_is_kept_for_decoding(taken: Crops) -> None:
    """For as many training steps as take so long: a quarter of the crops twice, all of them once, and all pictures."""
    step = 3 * 12 * 64 * 64
    fit = CorrectionFit(taken, SHAPE, options(), planes_loss, 1000.0, pixels=100 * HEIGHT * WIDTH)
    assert fit.budget.frames == pytest.approx((100 * HEIGHT * WIDTH + 1.5 * 60 * 64 * 64) / step)


def test_bytes_count_in_a_fit(taken: Crops) -> None:
    bits = []
    for rd_lambda in (0.0, 20.0):
        fit = CorrectionFit(taken, SHAPE, options(rd_lambda=rd_lambda), planes_loss, 1000.0)
        run(fit)
        fit.finish()
        bits.append(fit.quant_steps.bits().item())
    assert bits[1] < 0.9 * bits[0]


def test_the_callers_random_numbers_stay(taken: Crops) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(123)  # not what an earlier fit may have left
        state = torch.random.get_rng_state()
        run(CorrectionFit(taken, SHAPE, options(steps=2), planes_loss, 1000.0))
        assert torch.equal(torch.random.get_rng_state(), state)


def test_operations_of_a_network(base: Layer, fitted: CorrectionFit, taken: Crops) -> None:
    layer = export_correction(fitted.finish(), taken, [base], 0, base.ops[0], (HEIGHT, WIDTH))
    count = len(KERNELS)
    kinds = [o.Below, *[o.Conv] * count, o.Add, o.Table, o.Crop]
    assert [type(op) for op in layer.ops] == kinds
    assert layer.ops[0] == o.Below(0, 0)
    for index, (op, side) in enumerate(zip(layer.ops[1 : count + 1], KERNELS, strict=True), 1):
        assert isinstance(op, o.Conv)
        assert (op.input, op.kernel_height, op.kernel_width) == (index - 1, side, side)
        assert op.channels == SHAPE.channels[index]
        assert op.group == op.channels
        assert (op.low, op.high) == ((0, 2047) if index < count else (-1020, 1020))
    assert layer.ops[count + 1] == o.Add(0, count, 0, 1020)
    assert layer.ops[count + 2] == o.Table(count + 1, Function.IDENTITY, 2, 0, 0, 255)
    assert layer.ops[count + 3] == o.Crop(count + 2, MARGIN, MARGIN, HEIGHT, WIDTH)
    assert list(layer.convs) == list(range(1, count + 1))
    assert [type(op) for op in base.ops] == [o.Picture, o.Table, o.Crop]
    for index, conv in layer.convs.items():
        integers = fitted.network.convs()[index - 1].integers()
        np.testing.assert_array_equal(conv.weights, integers.detach().numpy())


def test_integers_are_as_good_as_floats(base: Layer, taken: Crops) -> None:
    fit = CorrectionFit(taken, SHAPE, options(steps=120), rgb_loss, 8 * 2000.0)
    run(fit)
    network = fit.finish()
    layer = export_correction(network, taken, [base], 0, base.ops[0], (HEIGHT, WIDTH))
    decoded = network_of(base, layer).decode([0, 1, 2])
    below = network_of(base).results([0, 1, 2])[0].float() / 4
    spare = MARGIN - BORDER
    below = below[..., spare:-spare, spare:-spare]
    with torch.no_grad():
        inner = below[..., BORDER:-BORDER, BORDER:-BORDER]
        floats = (inner + network(below)).clamp(0, 255)
    exact = sum(psnr(picture, original) for picture, original in zip(floats.round().to(torch.uint8), CLIP, strict=True))
    integer = sum(psnr(picture, original) for picture, original in zip(decoded, CLIP, strict=True))
    plain = sum(
        psnr(picture, original) for picture, original in zip(network_of(base).decode([0, 1, 2]), CLIP, strict=True)
    )
    assert integer > plain + 0.3
    assert abs(integer - exact) / 3 < 0.02
    assert float((decoded.float() - floats).abs().max()) < 2.5


def test_a_network_whose_sums_are_large(base: Layer, taken: Crops) -> None:
    """Values between convolutions get fewer bits where the accumulators behind them would pass 2^24."""
    shape = CorrectionShape(48)
    network = CorrectionFit(taken, shape, options(), planes_loss, 1000.0).finish()
    for conv in network.convs():
        with torch.no_grad():
            conv.weight.uniform_(0.9 / 16, 1 / 16)
        conv.quant_step = torch.full((conv.out_channels, 1, 1, 1), 2.0**-11)
    layer = export_correction(network, taken, [base], 0, base.ops[0], (HEIGHT, WIDTH))
    *_, hidden, _ = [op.high for op in layer.ops if isinstance(op, o.Conv)]
    weights = layer.convs[len(KERNELS)].weights
    assert (
        np.abs(weights).sum((1, 2, 3)).max() * hidden < 2**24 < np.abs(weights).sum((1, 2, 3)).max() * (2 * hidden + 1)
    )


def test_a_fit_that_diverged(base: Layer, taken: Crops) -> None:
    fit = CorrectionFit(taken, SHAPE, options(), planes_loss, 1000.0)
    network = fit.finish()
    with torch.no_grad():
        network.convs()[0].weight[0, 0, 0, 0] = math.nan
    with pytest.raises(NvcodecError, match="the fit has diverged"):
        export_correction(network, taken, [base], 0, base.ops[0], (HEIGHT, WIDTH))
