"""From planes to red, green and blue: near what real numbers give, and exactly what section 6.9 says."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nvcodec.decoding.base_decoder import Planes
from nvcodec.decoding.picture_conversion import PictureConversion
from nvcodec.format.arithmetic.color import picture_range
from nvcodec.format.operations import Picture, Picture10

CPU = torch.device("cpu")
MATRICES = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
MATRICES[9] = (0.2627, 0.0593)
Array = npt.NDArray[np.float64]


def random_planes(op: Picture, seed: int) -> Planes:
    """Samples of a picture, of which a third are at the ends."""
    rng = np.random.default_rng(seed)
    top, kind = 2**op.depth - 1, np.uint8 if op.depth == 8 else np.uint16
    sizes = [(op.height, op.width)] + op.chroma * 2 * [(-(-op.height // 2), -(-op.width // 2))]
    planes = [rng.integers(-top // 2, top + top // 2, size).clip(0, top).astype(kind) for size in sizes]
    return tuple(planes)


def converted(op: Picture, pictures: list[Planes]) -> torch.Tensor:
    """The whole result for some pictures."""
    conversion = PictureConversion(op, CPU)
    return conversion.rows(conversion.upload(pictures), 0, op.height + 2 * op.margin)


def at(line: Array, where: Array) -> Array:
    """Values between those of the first axis, by linear interpolation; beyond the ends, the last one."""
    where = where.clip(0, len(line) - 1)
    before = np.floor(where).astype(int)
    part = (where - before).reshape(-1, *[1] * (line.ndim - 1))
    return line[before] * (1 - part) + line[np.minimum(before + 1, len(line) - 1)] * part


def real(op: Picture, planes: Planes) -> Array:
    """What H.273 gives, in real numbers: [3, height, width] in the unit of the operation."""
    kr, kb = MATRICES[op.matrix]
    one = 2 ** (op.depth - 8)
    top = 2**op.depth - 1
    y = planes[0] / top if op.full_range else (planes[0] / one - 16) / 219
    chroma = []
    for plane in planes[1:]:
        rows = np.arange(op.height) / 2 - (0 if op.siting == 2 else 0.25)
        columns = np.arange(op.width) / 2 - (0 if op.siting >= 1 else 0.25)
        up = at(at(plane.astype(np.float64), rows).T, columns).T
        chroma.append((up - 128 * one) / (top if op.full_range else 224 * one))
    cb, cr = chroma or (0.0, 0.0)
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return op.PEAK * np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue])


pictures = st.builds(
    lambda kind, **fields: kind(**fields),
    kind=st.sampled_from([Picture, Picture10]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    depth=st.sampled_from([8, 10]),
    chroma=st.integers(0, 1),
    siting=st.integers(0, 2),
    matrix=st.sampled_from(list(MATRICES)),
    full_range=st.integers(0, 1),
    margin=st.integers(0, 15),
)


@settings(max_examples=200)
@given(pictures, st.integers(0, 2**32 - 1))
def test_near_the_real_numbers(op: Picture, seed: int) -> None:
    """Within a unit, a quarter of a level or one of 10 bits, half of which is the rounding of the result."""
    planes = [random_planes(op, seed + frame) for frame in range(2)]
    found = converted(op, planes)
    m = op.margin
    assert found.shape == (2, 3, op.height + 2 * m, op.width + 2 * m)
    inner = found[:, :, m : m + op.height, m : m + op.width].numpy()
    expected = np.stack([real(op, each) for each in planes])
    assert np.abs(inner - expected).max() < 1
    low, high = picture_range(op)
    assert low <= found.min() <= found.max() <= high
    assert (found == found.round()).all()


@settings(max_examples=50)
@given(pictures, st.integers(0, 2**32 - 1))
def test_the_margin_repeats_the_edge(op: Picture, seed: int) -> None:
    found = converted(op, [random_planes(op, seed)])[0]
    rows = (torch.arange(op.height + 2 * op.margin) - op.margin).clamp(0, op.height - 1) + op.margin
    columns = (torch.arange(op.width + 2 * op.margin) - op.margin).clamp(0, op.width - 1) + op.margin
    assert (found == found[:, rows][:, :, columns]).all()


@settings(max_examples=100)
@given(pictures, st.integers(0, 2**32 - 1), st.data())
def test_some_rows_are_those_of_the_whole(op: Picture, seed: int, data: st.DataObject) -> None:
    planes = [random_planes(op, seed + frame) for frame in range(2)]
    conversion = PictureConversion(op, CPU)
    low = data.draw(st.integers(0, op.height + 2 * op.margin - 1))
    high = data.draw(st.integers(low + 1, op.height + 2 * op.margin))
    found = conversion.rows(conversion.upload(planes), low, high)
    assert (found == converted(op, planes)[:, :, low:high]).all()


def doubled(line: list[int], co_sited: bool) -> list[int]:
    """The two filters of section 6.9, number by number."""

    def c(i: int) -> int:
        return line[min(max(i, 0), len(line) - 1)]

    even = [4 * c(i) if co_sited else 3 * c(i) + c(i - 1) for i in range(len(line))]
    odd = [2 * c(i) + 2 * c(i + 1) if co_sited else 3 * c(i) + c(i + 1) for i in range(len(line))]
    return [value for pair in zip(even, odd, strict=True) for value in pair]


@pytest.mark.parametrize(
    ("depth", "siting", "height", "width"), list(itertools.product((8, 10), (0, 1, 2), (1, 4, 5), (1, 3, 6)))
)
def test_chroma_exactly(depth: int, siting: int, height: int, width: int) -> None:
    """u and v, number by number; luma is black, so that red, of the full range and BT.709, is a multiple of v."""
    op = Picture(height, width, depth, 1, siting, 1, 1, 0)
    planes = random_planes(op, 7)
    planes[0][:] = 0
    columns = [doubled(column, siting == 2)[:height] for column in planes[2].T.tolist()]
    up = np.array([doubled(list(row), siting >= 1)[:width] for row in zip(*columns, strict=True)])
    v = up - 2**11 if depth == 8 else (up - 2**13 + 2) >> 2
    factor = {8: 1613, 10: 1608}[depth]  # 4177920 * 2 * 0.7874 / (255 * 16), and / (1023 * 4)
    found = converted(op, [planes])[0, 0].numpy()
    assert found.tolist() == ((factor * v + 2**11) >> 12).tolist()
