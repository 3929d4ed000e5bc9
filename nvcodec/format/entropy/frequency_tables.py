"""Families of frequency tables, generated in integers (specification, section 5.2).

A table gives each symbol ``first .. first + size - 1`` a count of at least 1; the counts add up to 2^16.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from nvcodec.errors import CorruptStreamError, UnsupportedVersionError
from nvcodec.format.fields import Cursor, varint

TOTAL_BITS = 16
MAX_SYMBOLS = 4096
_LAPLACE_ONE = 1 << 30
_STUDENT_ONE = 1 << 30

Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Table:
    """Base of the families. The symbols are ``first`` to ``first + size - 1``."""

    CODE: ClassVar[int]
    first: int
    size: int

    def cumulative(self) -> Ints:
        """The ``size + 1`` cumulative counts, from 0 to 2^16."""
        return normalise(self._weights())

    def pack(self) -> bytes:
        """Encode family, first symbol and size, then the family's parameters."""
        return bytes([self.CODE]) + varint(zigzag(self.first)) + varint(self.size) + self._parameters()

    def _weights(self) -> Ints:
        raise AssertionError("a family overrides this")

    def _parameters(self) -> bytes:
        raise AssertionError("a family overrides this")


@dataclasses.dataclass(frozen=True)
class Constant(Table):
    """Every value is ``first``; nothing is coded."""

    CODE = 0

    def _weights(self) -> Ints:
        return np.ones(1, np.int64)

    def _parameters(self) -> bytes:
        return b""


@dataclasses.dataclass(frozen=True)
class Laplace(Table):
    """Weights that fall by the factor ``ratio``/2^16 per symbol away from ``first + peak``."""

    CODE = 1
    peak: int
    ratio: int

    def _weights(self) -> Ints:
        reach = max(self.peak, self.size - 1 - self.peak)
        side = np.zeros(reach + 1, np.int64)
        value = _LAPLACE_ONE
        for distance in range(reach + 1):
            side[distance] = value
            value = value * self.ratio >> 16
            if not value:
                break
        return side[np.abs(np.arange(self.size) - self.peak)]

    def _parameters(self) -> bytes:
        return varint(self.peak) + self.ratio.to_bytes(2, "little")


@dataclasses.dataclass(frozen=True)
class Student(Table):
    """Weights (spread / (spread + d^2)) ^ (2^shape), d being the distance from ``first + peak``.

    Shape 0 is a Cauchy distribution; from 5 on it is close to a normal distribution.
    """

    CODE = 2
    peak: int
    spread: int
    shape: int

    def _weights(self) -> Ints:
        distance = np.arange(self.size, dtype=np.int64) - self.peak
        return bell(distance * distance, self.spread, self.shape)

    def _parameters(self) -> bytes:
        return varint(self.peak) + varint(self.spread) + bytes([self.shape])


@dataclasses.dataclass(frozen=True)
class Histogram(Table):
    """Weights stated one by one."""

    CODE = 3
    counts: tuple[int, ...]

    def _weights(self) -> Ints:
        return np.array(self.counts, np.int64)

    def _parameters(self) -> bytes:
        return b"".join(varint(count) for count in self.counts)


MAX_SPREAD = 2**31 - 1
MAX_HISTOGRAM_COUNT = 2**24


def bell(squares: Ints, spread: int | Ints, shape: int) -> Ints:
    """Weights (spread / (spread + square)) ^ (2^shape), given squared distances."""
    weights = _STUDENT_ONE * spread // (spread + squares)
    for _ in range(shape):
        weights = weights * weights >> 30
    return weights


def zigzag(value: int) -> int:
    """Map a signed number to the unsigned one that a varint holds."""
    return value * 2 if value >= 0 else -value * 2 - 1


def normalise(weights: Ints) -> Ints:
    """Scale weights [..., n] to cumulative counts [..., n + 1]: symbol i starts at i + floor(S_i * (2^16 - n) / S_n), S
    being the partial sums of the weights."""
    n = weights.shape[-1]
    sums = np.zeros((*weights.shape[:-1], n + 1), np.int64)
    np.cumsum(weights, axis=-1, out=sums[..., 1:])
    return np.arange(n + 1) + sums * ((1 << TOTAL_BITS) - n) // sums[..., -1:]


def unpack_head(cursor: Cursor) -> tuple[int, int, int]:
    """Read what every table begins with: family, first symbol, and number of symbols.

    Raises:
        CorruptStreamError: a number is out of its range.
    """
    code, packed = cursor.fixed("B"), cursor.varint(2**16)
    first = -(packed + 1 >> 1) if packed & 1 else packed >> 1
    size = cursor.varint(MAX_SYMBOLS)
    if (size == 1) != (code == Constant.CODE) or size == 0:
        raise CorruptStreamError(f"{cursor.what}: a table of family {code} with {size} symbols")
    return code, first, size


def unpack_table(cursor: Cursor, code: int, first: int, size: int) -> Table:
    """Read the rest of a table of families 0 to 3.

    Raises:
        CorruptStreamError: a parameter is out of its range.
        UnsupportedVersionError: the family is not known to this version, or not allowed here.
    """
    if code > Histogram.CODE:
        raise UnsupportedVersionError(f"frequency-table family {code} is not known to this version")
    if code == Constant.CODE:
        return Constant(first, 1)
    if code == Laplace.CODE:
        return Laplace(first, size, cursor.varint(size - 1), cursor.fixed("H"))
    if code == Student.CODE:
        peak, spread, shape = cursor.varint(size - 1), cursor.varint(MAX_SPREAD), cursor.fixed("B")
        if spread == 0 or shape > 6:
            raise CorruptStreamError(f"{cursor.what}: a table with spread {spread} and shape {shape}")
        return Student(first, size, peak, spread, shape)
    counts = tuple(cursor.varint(MAX_HISTOGRAM_COUNT) for _ in range(size))
    if sum(counts) == 0:
        raise CorruptStreamError(f"{cursor.what}: a table whose counts are all zero")
    return Histogram(first, size, counts)


def choose_table(values: npt.NDArray[np.integer]) -> Table:
    """Choose the table with which ``values`` (not empty) cost the fewest bits, its own included."""
    first, last = int(values.min()), int(values.max())
    if first == last:
        return Constant(first, 1)
    counts = np.bincount(values.ravel().astype(np.int64) - first)
    return min(_candidates(first, counts), key=lambda table: 8 * len(table.pack()) + bits(table.cumulative(), counts))


def bits(cumulative: Ints, counts: npt.NDArray[np.integer]) -> float:
    """Bits that coding each symbol ``counts`` times costs."""
    probability = np.diff(cumulative) / (1 << TOTAL_BITS)
    return float(-(counts * np.log2(probability)).sum())


def _candidates(first: int, counts: npt.NDArray[np.integer]) -> list[Table]:
    """Tables worth trying for symbols that occur ``counts`` times: each family, fitted by its moments."""
    size, total = len(counts), int(counts.sum())
    symbols = np.arange(size)
    mean = float((counts * symbols).sum() / total)
    candidates: list[Table] = []
    for peak in {min(max(round(mean), 0), size - 1), min(max(-first, 0), size - 1)}:
        deviation = float((counts * np.abs(symbols - peak)).sum() / total)
        variance = max(float((counts * (symbols - peak) ** 2).sum() / total), 0.05)
        candidates += [
            Laplace(first, size, peak, min(max(round(65536 * math.exp(-1 / (deviation * f))), 1), 65535))
            for f in (0.8, 0.9, 1.0, 1.1, 1.25)
        ]
        candidates += [
            Student(first, size, peak, min(max(round(2 ** (shape + 1) * variance * f), 1), MAX_SPREAD), shape)
            for shape in range(7)
            for f in (0.35, 0.5, 0.65, 0.75, 0.85, 0.92, 1.0, 1.08, 1.2)
        ]
    # A coarse histogram: counts scaled down so that most fit a byte.
    for top in (127, 31, 7):
        scale = min(1.0, top / int(counts.max()))
        scaled = [max(1, round(int(c) * scale)) if c else 0 for c in counts]
        candidates.append(Histogram(first, size, tuple(scaled)))
    return candidates
