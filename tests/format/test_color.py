"""The factors of section 6.9 against its formulas, its range against the formulas at their ends."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction

import pytest

from nvcodec.errors import CorruptStreamError
from nvcodec.format.arithmetic.color import Conversion, conversion_of, picture_range
from nvcodec.format.inference import infer, infer_one
from nvcodec.format.operations import Crop, Picture, Picture10, Table

#: Kr and Kb of ITU-T H.273's matrices, as written there.
WEIGHTS = {
    1: ("0.2126", "0.0722"),
    4: ("0.30", "0.11"),
    5: ("0.299", "0.114"),
    6: ("0.299", "0.114"),
    7: ("0.212", "0.087"),
    9: ("0.2627", "0.0593"),
}
WHITE = {Picture: 1020, Picture10: 1023}
ALL = [
    kind(2, 2, depth, chroma, 0, matrix, full_range, 0)
    for kind, depth, chroma, matrix, full_range in itertools.product(WHITE, (8, 10), (0, 1), WEIGHTS, (0, 1))
]


def nearest(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def formulas(c: Conversion, y: int, u: int, v: int) -> list[int]:
    """The three formulas of section 6.9."""
    luma = c.luma * (y - c.black) + 2**11
    return [(luma + c.red_v * v) >> 12, (luma - c.green_u * u - c.green_v * v) >> 12, (luma + c.blue_u * u) >> 12]


def test_the_check_of_the_specification() -> None:
    op = Picture(2, 2, 10, 1, 0, 1, 0, 0)
    c = conversion_of(op)
    assert (c.luma, c.red_v, c.blue_u, c.green_u, c.green_v) == (4769, 1836, 2163, 218, 546)
    assert picture_range(op) == (-1156, 2196)
    op = Picture10(2, 2, 10, 1, 0, 1, 0, 0)
    c = conversion_of(op)
    assert (c.luma, c.red_v, c.blue_u, c.green_u, c.green_v) == (4783, 1841, 2169, 219, 547)
    assert picture_range(op) == (-1159, 2202)


@pytest.mark.parametrize("op", ALL, ids=str)
def test_factors(op: Picture) -> None:
    """From Kr and Kb, in the terms of the specification."""
    kr, kb = map(Fraction, WEIGHTS[op.matrix])
    kg, d = 1 - kr - kb, op.depth
    ey, ec, o = (2**d - 1, 2**d - 1, 0) if op.full_range else (219 << d - 8, 224 << d - 8, 1 << d - 4)
    q = {8: 16, 10: 4}[d]
    white = 2**12 * WHITE[type(op)]
    unit = Fraction(white * 2, ec * q)
    assert conversion_of(op) == Conversion(
        luma=nearest(Fraction(white, ey)),
        red_v=nearest(unit * (1 - kr)),
        green_u=nearest(unit * kb * (1 - kb) / kg),
        green_v=nearest(unit * kr * (1 - kr) / kg),
        blue_u=nearest(unit * (1 - kb)),
        black=o,
        chroma_offset={8: 2**11, 10: 2**13}[d],
        chroma_shift={8: 0, 10: 2}[d],
        chroma_high={8: 2032, 10: 2044}[d],
    )


@pytest.mark.parametrize("op", ALL, ids=str)
def test_range(op: Picture) -> None:
    """What the formulas yield at the ends; each of Y, u and v moves them one way. No sum reaches 2^24."""
    c = conversion_of(op)
    ends = (-(2**11), c.chroma_high) if op.chroma else (0,)
    corners = list(itertools.product((0, 2**op.depth - 1), ends, ends))
    values = [value for corner in corners for value in formulas(c, *corner)]
    assert picture_range(op) == (min(values), max(values))
    greatest = max(c.red_v, c.green_u + c.green_v, c.blue_u) * 2**11
    assert c.luma * (2**op.depth - 1) + greatest + 2**11 < 2**24


@pytest.mark.parametrize(
    ("change", "message"),
    [({"depth": 9}, "the depth is 8 or 10"), *(({"matrix": code}, "reserved") for code in (2, 3, 8))],
)
def test_pictures_that_there_are_not(change: dict[str, int], message: str) -> None:
    for kind in WHITE:
        with pytest.raises(CorruptStreamError, match=message):
            infer_one(dataclasses.replace(kind(2, 2, 8, 0, 0, 1, 0, 0), **change), 0, [], {})


def test_one_picture_in_layer_0() -> None:
    op, rounds = Picture(4, 6, 8, 1, 0, 1, 0, 5), Table(0, 0, 2, 0, 0, 255)
    (tensor, *_) = infer([op, rounds, Crop(1, 0, 0, 4, 6)], {}, (4, 6))
    assert (tensor.channels, tensor.height, tensor.width) == (3, 14, 16)
    assert (tensor.low, tensor.high) == picture_range(op)
    for ops, lower in (([op, op, rounds, Crop(2, 0, 0, 4, 6)], {}), ([op, rounds, Crop(1, 0, 0, 4, 6)], {0: [tensor]})):
        with pytest.raises(CorruptStreamError, match="PICTURE is allowed once, in layer 0"):
            infer(ops, lower, (4, 6))
    other = Picture10(*dataclasses.astuple(op))
    with pytest.raises(CorruptStreamError, match="PICTURE is allowed once, in layer 0"):
        infer([op, other, rounds, Crop(2, 0, 0, 4, 6)], {}, (4, 6))


def test_the_peak_of_a_picture() -> None:
    """A picture of 10 bits goes from 0 to 1023, one of 8 bits from 0 to 255."""
    op = Picture10(4, 6, 10, 1, 0, 1, 0, 0)
    for peak in (255, 1023):
        infer([op, Table(0, 0, 0, 0, 0, peak)], {}, (4, 6), peak)
        with pytest.raises(CorruptStreamError, match=f"expected 3x4x6 in 0 to {peak}"):
            infer([op, Table(0, 0, 0, 0, 0, peak + 1)], {}, (4, 6), peak)


@pytest.mark.parametrize("op", [op for op in ALL if op.chroma], ids=str)
def test_grey_black_and_white(op: Picture) -> None:
    """Without chroma all three are the luma, from 0 for black to 4 * 255, or 1023, for white."""
    c = conversion_of(op)
    span = 2**op.depth - 1 if op.full_range else 219 << op.depth - 8
    for y, level in ((c.black, 0), (c.black + span, WHITE[type(op)])):
        assert formulas(c, y, 0, 0) == [level] * 3
