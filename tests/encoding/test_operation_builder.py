"""The builder of integer operations: units that are tried, ranges, rescaling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nvcodec.encoding.export.operation_builder import BoundBroken, OperationBuilder, Value, integer_range
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.quantizer.nearest_steps import factor_of, nearest_index
from nvcodec.errors import NvcodecError
from nvcodec.format import operations as o


@pytest.mark.parametrize(
    ("values", "shift", "limits"),
    [
        ((-1.0, 2.0), 4, (-18, 34)),  # 2 % of headroom, and one more
        ((0.5, 2.0), 4, (-1, 34)),  # zero is inside
        ((-2.0, -0.5), 4, (-34, 1)),
        ((-2005 / 1.02, 2045 / 1.02), 0, (-2006, 2046)),
    ],
)
def test_ranges_in_integers(values: tuple[float, float], shift: int, limits: tuple[int, int]) -> None:
    assert integer_range(values, shift) == limits


@pytest.mark.parametrize("values", [(-2048.0, 0.0), (0.0, 2047.0)])
def test_ranges_have_12_bits(values: tuple[float, float]) -> None:
    with pytest.raises(BoundBroken):
        integer_range(values, 0)


def builder_of(low: int = -127, high: int = 127) -> OperationBuilder:
    """A builder with one latent of three channels."""
    builder = OperationBuilder()
    builder.add(o.Latent(3, 4, 5, low, high, o.LatentKind.EMBEDDING))
    return builder


def convolution(step: float = 2.0**-6, spread: float = 0.1, bias: float = 0.25) -> Conv:
    torch.manual_seed(0)
    conv = Conv(3, 4, 3, group=2)
    with torch.no_grad():
        conv.weight.normal_(0, spread)
        conv.bias.copy_(torch.tensor([bias, -bias, 0.0, 2 * bias]))  # type: ignore[union-attr]
    step = float(factor_of(nearest_index(np.array([step])))[0])
    conv.quant_step = torch.full((4, 1, 1, 1), step)
    return conv


def test_a_unit_that_breaks_a_bound_leaves_nothing_behind() -> None:
    builder = builder_of()

    def build(shift: int) -> int:
        builder.convolve(convolution(), 0, 1.0, 3)
        if shift > 5:
            builder.convolve(convolution(), 0, 1.0, 3)
            raise BoundBroken
        return shift

    assert builder.finest(range(7, -1, -1), build) == 5
    assert len(builder.ops) == len(builder.tensors) == 2
    assert list(builder.convs) == [1]


def test_no_unit_at_all() -> None:
    def build(shift: int) -> int:
        raise BoundBroken

    with pytest.raises(NvcodecError, match="diverged"):
        builder_of().finest(range(3), build)


@pytest.mark.parametrize("unit", [1.0, 2.0**-3])
@pytest.mark.parametrize("shift", [3, 6])
def test_a_convolution_in_integers(unit: float, shift: int) -> None:
    """Weights, biases and step indices give the float convolution's result in units of 2^-shift."""
    builder, conv = builder_of(), convolution()
    value = builder.convolve(conv, 0, unit, shift)
    assert value == Value(1, shift)
    op, stored = builder.ops[1], builder.convs[1]
    assert isinstance(op, o.Conv)
    assert (op.channels, op.kernel_height, op.kernel_width, op.group, op.low, op.high) == (4, 3, 3, 2, -2048, 2047)
    assert np.array_equal(stored.weights, conv.integers().detach().numpy())
    assert conv.quant_step is not None
    steps = factor_of(stored.steps.astype(np.int64)).repeat(2)
    assert steps == pytest.approx(conv.quant_step.flatten().double().numpy() * unit * 2**shift, rel=1e-6)
    bias = stored.accumulator_bias(op) * steps * 2.0**-shift
    assert conv.bias is not None
    assert bias == pytest.approx(conv.bias.detach().numpy(), abs=2.0**-shift / 4)


def test_an_offset_is_added_to_the_bias() -> None:
    plain, moved = builder_of(), builder_of()
    plain.convolve(convolution(), 0, 1.0, 6)
    moved.convolve(convolution(), 0, 1.0, 6, offset=0.5)
    ops = [builder.ops[1] for builder in (plain, moved)]
    biases = []
    for builder, op in zip((plain, moved), ops, strict=True):
        assert isinstance(op, o.Conv)
        stored = builder.convs[1]
        biases.append(stored.accumulator_bias(op) * factor_of(stored.steps.astype(np.int64)).repeat(2) * 2.0**-6)
    assert biases[1] - biases[0] == pytest.approx(0.5, abs=2.0**-7)


def test_a_step_too_coarse_for_the_unit_takes_a_coarser_one() -> None:
    """Unless the range of the result is fixed."""
    conv = convolution(step=4.0, spread=40.0, bias=0.0)
    value = builder_of(-1, 1).convolve(conv, 0, 1.0, 3)
    assert value.shift < 3
    with pytest.raises(BoundBroken):
        builder_of(-1, 1).convolve(conv, 0, 1.0, 3, limits=(-100, 100))


def test_a_group_of_zeros_takes_the_step_of_the_others() -> None:
    conv = convolution()
    with torch.no_grad():
        conv.weight[:2] = 0
    builder = builder_of()
    builder.convolve(conv, 0, 1.0, 3)
    steps = builder.convs[1].steps
    assert steps[0] == steps[1]
    with torch.no_grad():
        conv.weight[:] = 0
    builder.convolve(conv, 0, 1.0, 3)
    assert builder.convs[2].steps.tolist() == [64, 64]


def test_an_accumulator_that_could_overflow() -> None:
    """2^24 is 27 products of 127 by about 4900; a latent has no more than 127, so the values come from a table."""
    builder = builder_of()
    wide = builder.activate(o.Function.IDENTITY, Value(0, 0), 4, (-2032, 2032))
    conv = convolution(step=2.0**-6, spread=4.0)
    builder.convolve(convolution(spread=0.01), wide, 1.0, 0)
    with torch.no_grad():
        conv.weight[:] = 10.0
        assert conv.integers().min() == 127
    with torch.no_grad():
        kernel = Conv(3, 4, 5, group=2)
        kernel.weight[:] = 10.0
        kernel.bias.zero_()  # type: ignore[union-attr]
        kernel.quant_step = conv.quant_step
    with pytest.raises(BoundBroken):
        builder.convolve(kernel, wide, 2.0**-4, 0)  # 75 products of 127 by 2032


def test_rescaling() -> None:
    builder = builder_of(-8, 16)
    assert builder.rescale(Value(0, 3), 3) == 0
    index = builder.rescale(Value(0, 3), 5)
    table = builder.ops[index]
    assert table == o.Table(0, o.Function.IDENTITY, 3, 5, *integer_range((-1.0, 2.0), 5))
