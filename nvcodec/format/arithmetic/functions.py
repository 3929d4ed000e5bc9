"""Activation and normal tables, generated in integers (specification, sections 6.5 and 7.2).

The master table of GELU is G[i] = round(2^24 * gelu(i / 4096)) for i from -32768 to 32767. Only the entries that the
input needs are computed, each with 160 fractional bits, far more than its distance from a rounding tie requires.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from nvcodec.format.operations import Function

MASTER_SHIFT = 12  # master arguments are in units of 2^-12
MASTER_REACH = 8 << MASTER_SHIFT  # beyond +-8, GELU is the identity or zero to 2^-24
VALUE_SHIFT = 24
_BITS = 160
_PI = 0x3243F6A8885A308D313198A2E03707344A4093822299F31D  # floor(pi * 2^188)
_PI_BITS = 188
NORMAL_SIZE = 4096
NORMAL_SHIFT = 6

Ints = npt.NDArray[np.int64]


def _isqrt_of_inverse_two_pi() -> int:
    """floor(2^160 / sqrt(2 pi))."""
    # (2^160)^2 / (2 pi) = 2^(320 + 188 - 1) / (pi * 2^188)
    return math.isqrt((1 << 2 * _BITS + _PI_BITS - 1) // _PI)


_INVERSE_ROOT = _isqrt_of_inverse_two_pi()


def normal_cdf(argument: int, shift: int) -> int:
    """Compute 2^160 times the normal distribution function at argument / 2^shift, to within a few hundred units.

    Sums x^(2k+1) (-1)^k / (2^k k! (2k+1)), Abramowitz and Stegun 26.2.10, in fixed point.
    """
    negative = argument < 0
    x = abs(argument) << _BITS - shift
    square = x * x >> _BITS
    power, total, k = x, 0, 0
    while power:
        total += -(power // (2 * k + 1)) if k & 1 else power // (2 * k + 1)
        k += 1
        power = (power * square >> _BITS) // (2 * k)
    half = total * _INVERSE_ROOT >> _BITS
    return (1 << _BITS - 1) + (-half if negative else half)


@functools.cache
def gelu_masters(in_shift: int, reach: int) -> Ints:
    """G at the inputs -reach to reach - 1, which are in units of 2^-in_shift and not beyond +-8."""
    spacing = 1 << MASTER_SHIFT - in_shift
    above = np.array([_gelu_master(value * spacing) for value in range(reach + 1)], np.int64)
    arguments = np.arange(reach, 0, -1, dtype=np.int64) * spacing
    below = above[:0:-1] - (arguments << VALUE_SHIFT - MASTER_SHIFT)  # gelu(-x) = gelu(x) - x
    masters = np.concatenate([below, above[:-1]])
    masters.setflags(write=False)
    return masters


@functools.cache
def _gelu_master(index: int) -> int:
    """G[index] of the master table, 0 <= index <= 32768."""
    # index / 2^12 * cdf / 2^160 * 2^24, rounded
    drop = MASTER_SHIFT + _BITS - VALUE_SHIFT
    return (index * normal_cdf(index, MASTER_SHIFT) + (1 << drop - 1)) >> drop


def function_values(function: int, values: Ints, in_shift: int, out_shift: int) -> Ints:
    """Apply the function of a TABLE operation to inputs of at most 16 bits, before the clamp."""
    if function == Function.LEAKY_RELU:
        # floor(value / 5 * 2^(out - in) + 1/2) in one division
        numerators, denominator = values << out_shift, 5 << in_shift
        below = (2 * numerators + denominator) // (2 * denominator)
        return np.where(values < 0, below, _round_shift(numerators, in_shift))
    if function == Function.GELU:
        reach = MASTER_REACH >> MASTER_SHIFT - in_shift
        inside = np.abs(values) < reach
        # No more entries than the inputs need: each takes some 20 us to compute.
        reach = min(reach, 1 << int(np.abs(values[inside]).max(initial=0)).bit_length())
        masters = gelu_masters(in_shift, reach)[values[inside] + reach]
        results = _round_shift(np.maximum(values, 0) << out_shift, in_shift)
        results[inside] = _round_shift(masters, VALUE_SHIFT - out_shift)
        return results
    return _round_shift(values << out_shift, in_shift)


def _round_shift(values: Ints, shift: int) -> Ints:
    """floor(value / 2^shift + 1/2)."""
    return (2 * values + (1 << shift)) >> shift + 1


@functools.lru_cache(maxsize=256)
def function_table(
    function: int, in_shift: int, out_shift: int, source: tuple[int, int], clamp: tuple[int, int]
) -> Ints:
    """Clamped results of a TABLE operation for every input from ``source[0]`` to ``source[1]``."""
    inputs = np.arange(source[0], source[1] + 1, dtype=np.int64)
    table = np.clip(function_values(function, inputs, in_shift, out_shift), *clamp)
    table.setflags(write=False)
    return table


@functools.cache
def normal_table() -> Ints:
    """Z[i] for i from 0 to 4095: the (i + 1/2)/4096 quantile of N(0, 1) in units of 1/64, rounded to nearest."""
    table = []
    value = -4 << NORMAL_SHIFT
    for i in range(NORMAL_SIZE):
        quantile = (2 * i + 1) << _BITS - 13
        while normal_cdf(2 * value + 1, NORMAL_SHIFT + 1) < quantile:
            value += 1
        table.append(value)
    result = np.array(table, np.int64)
    result.setflags(write=False)
    return result
