"""The conversion of an AV1 picture from luma and chroma to red, green and blue (specification, section 6.9)."""

from __future__ import annotations

import dataclasses
import functools
import math
from fractions import Fraction

from nvcodec.format.operations import Picture

#: Red's and blue's shares of luma, in 1/10000, by the code points of ITU-T H.273 for matrices.
LUMA_SHARES = {
    1: (2126, 722),
    4: (3000, 1100),
    5: (2990, 1140),
    6: (2990, 1140),
    7: (2120, 870),
    9: (2627, 593),
}
SHARE_UNIT = 10000
FRACTION_BITS = 12  # of the factors
CHROMA_PEAK = 2**11  # u and v lie from -CHROMA_PEAK to slightly less than CHROMA_PEAK
UPSAMPLING_GAIN = 16  # of the two filters that bring chroma to the size of luma


@dataclasses.dataclass(frozen=True)
class Conversion:
    """Integer factors from Y, u and v to red, green and blue in the unit of the operation, times 2^12.

    Attributes:
        luma: of Y - ``black``, in all three.
        red_v, green_u, green_v, blue_u: of u or v; those of green are subtracted.
        black: Y of black.
        chroma_offset: subtracted from the upsampled chroma, 16 times a sample.
        chroma_shift: u and v are what is then left, divided by 2^chroma_shift and rounded.
        chroma_high: the largest u or v; the smallest is -2^11.
    """

    luma: int
    red_v: int
    green_u: int
    green_v: int
    blue_u: int
    black: int
    chroma_offset: int
    chroma_shift: int
    chroma_high: int


@functools.cache
def conversion_of(op: Picture) -> Conversion:
    """Return the factors of an operation; its matrix must be one of :data:`LUMA_SHARES`."""
    red, blue = LUMA_SHARES[op.matrix]
    green = SHARE_UNIT - red - blue
    scale = 2 ** (op.depth - 8)
    luma_span, chroma_span = (2**op.depth - 1,) * 2 if op.full_range else (219 * scale, 224 * scale)
    shift = 2 if op.depth == 10 else 0
    gain = Fraction(2**FRACTION_BITS * op.PEAK)
    chroma_gain = 2 * gain / (SHARE_UNIT * chroma_span * (UPSAMPLING_GAIN >> shift))

    def factor(share: Fraction | int) -> int:
        return math.floor(chroma_gain * share + Fraction(1, 2))

    largest = (2**op.depth - 1) * UPSAMPLING_GAIN - CHROMA_PEAK * 2**shift
    return Conversion(
        luma=math.floor(gain / luma_span + Fraction(1, 2)),
        red_v=factor(SHARE_UNIT - red),
        green_u=factor(Fraction(blue * (SHARE_UNIT - blue), green)),
        green_v=factor(Fraction(red * (SHARE_UNIT - red), green)),
        blue_u=factor(SHARE_UNIT - blue),
        black=0 if op.full_range else 16 * scale,
        chroma_offset=CHROMA_PEAK << shift,
        chroma_shift=shift,
        chroma_high=(largest + (1 << shift >> 1)) >> shift,
    )


def picture_range(op: Picture) -> tuple[int, int]:
    """Return the least and the greatest value of the operation's result."""
    c = conversion_of(op)
    low, high = (-CHROMA_PEAK, c.chroma_high) if op.chroma else (0, 0)
    least, greatest = c.luma * -c.black, c.luma * (2**op.depth - 1 - c.black)
    sums = [
        (least + c.red_v * low, greatest + c.red_v * high),
        (least - (c.green_u + c.green_v) * high, greatest - (c.green_u + c.green_v) * low),
        (least + c.blue_u * low, greatest + c.blue_u * high),
    ]
    half = 1 << FRACTION_BITS - 1
    lows, highs = zip(*sums, strict=True)
    return (min(lows) + half) >> FRACTION_BITS, (max(highs) + half) >> FRACTION_BITS
