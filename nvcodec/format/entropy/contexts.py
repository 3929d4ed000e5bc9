"""Frequency tables that adapt to the magnitudes of earlier rows (specification, section 5.5).

Weights of the same input channel and kernel position are about as large in every output channel, and a latent is about
as active as its neighbours in the frame before. A chunk of family 4 or 5 arranges its values in rows. Before each block
of rows it estimates the mean magnitude of each column, and by it selects one of 52 tables. Family 4 estimates from all
earlier rows of the column; family 5 from the 5x5 surrounding values in the row before, which holds one frame.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import numpy.typing as npt

from nvcodec.errors import CorruptStreamError
from nvcodec.format.entropy.frequency_tables import Ints, bell, bits, normalise, zigzag
from nvcodec.format.fields import Cursor, varint

UNIT = 64  # estimates of magnitude are in units of 1/64
PRIOR = 8  # number of rows that the initial estimate, stated in the chunk, counts for
LEAST_BLOCK = 256  # values per block, so that the overhead of a block does not matter
EDGES = np.array([0, 1, 2, 3, *(m << octave for octave in range(12) for m in (4, 5, 6, 7))], np.int64)
MAX_START = 255 * UNIT
MAX_SHAPE = 6
REACH = 2  # neighbours on each side
NEIGHBOURS = (2 * REACH + 1) ** 2
WEIGHTS = (0, 4, 16)  # those that the encoder tries


@dataclasses.dataclass(frozen=True)
class Rows:
    """How the values of a chunk are arranged in rows.

    Attributes:
        group: number of consecutive rows that share a quantisation step.
        plane: channels, height and width of a row of latents; None for weights.
    """

    group: int = 1
    plane: tuple[int, int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Contexts:
    """The tables of one chunk of family 4 or 5.

    Attributes:
        first, size: the symbols are ``first`` to ``first + size - 1``, zero among them.
        start: estimate of the mean magnitude before the first row, in 1/64.
        spread: of a table, in 1/256 of the square of its class's magnitude.
        shape: as in :class:`~nvcodec.format.entropy.frequency_tables.Student`.
        weight: number of neighbours that ``start`` counts for, in family 5; 0 means family 4.
    """

    CODES = (4, 5)
    first: int
    size: int
    start: int
    spread: int
    shape: int
    weight: int = 0

    def pack(self) -> bytes:
        """Encode family, first symbol and size, then start, spread, shape and, in family 5, weight."""
        head = bytes([self.CODES[self.weight > 0]]) + varint(zigzag(self.first)) + varint(self.size)
        tail = bytes([self.shape, self.weight] if self.weight else [self.shape])
        return head + varint(self.start) + varint(self.spread) + tail

    @classmethod
    def unpack(cls, cursor: Cursor, code: int, first: int, size: int) -> Contexts:
        """Read what follows family (``code``), first symbol and size.

        Raises:
            CorruptStreamError: a parameter is out of its range.
        """
        start, spread, shape = cursor.varint(MAX_START), cursor.varint(65535), cursor.fixed("B")
        near = code == cls.CODES[1]
        weight = cursor.fixed("B") if near else 0
        if size < 2 or not 0 <= -first < size or spread == 0 or shape > MAX_SHAPE or near != (weight > 0):
            raise CorruptStreamError(
                f"{cursor.what}: contexts with {size} symbols, spread {spread}, shape {shape}, weight {weight}"
            )
        return cls(first, size, start, spread, shape, weight)

    def block(self, shape: tuple[int, int], rows: Rows) -> int:
        """Number of rows per block of a matrix [rows, columns]."""
        return 1 if self.weight else block_rows(*shape, rows.group)

    def estimator(self, columns: int, rows: Rows) -> Estimator:
        """The estimator that classifies the columns of each block."""
        if not self.weight:
            return Estimator(columns, self.start)
        assert rows.plane is not None
        return NearEstimator(rows.plane, self.start, self.weight)

    def cumulative(self, number: int | Ints) -> Ints:
        """The ``size + 1`` cumulative counts of class ``number``; of several classes, [classes, size + 1]."""
        distance = np.arange(self.size, dtype=np.int64) + self.first
        spread = np.maximum(1, self.spread * MAGNITUDES[number] ** 2 >> 14)
        return normalise(bell(256 * distance * distance, spread[..., None], self.shape))


def magnitude(number: int) -> int:
    """The middle of a class of magnitudes, in 1/128."""
    if number < 4:
        return 2 * number + 1
    octave = number // 4 - 1
    return (2 * (4 + number % 4) + 1) << octave


MAGNITUDES = np.array([magnitude(number) for number in range(len(EDGES))], np.int64)


def block_rows(rows: int, columns: int, group: int = 1) -> int:
    """Number of rows per block in family 4: the fewest whole groups with at least 256 values in total."""
    return min(rows, group * -(-LEAST_BLOCK // (group * columns)))


class Estimator:
    """Family 4: the mean magnitude of each column over all rows seen so far."""

    def __init__(self, columns: int, start: int) -> None:
        self.start = start
        self.sums = np.full(columns, PRIOR * start, np.int64)
        self.rows = PRIOR

    def classes(self) -> Ints:
        """Class of each column, for the next block."""
        return np.searchsorted(EDGES, self.sums // self.rows, side="right") - 1

    def see(self, rows: npt.NDArray[np.integer]) -> None:
        """Take in the values of a block, [rows, columns]."""
        self.sums += UNIT * np.abs(rows.astype(np.int64)).sum(0)
        self.rows += len(rows)


class NearEstimator(Estimator):
    """Family 5: the mean magnitude in the neighbourhood of each value in the last row."""

    def __init__(self, plane: tuple[int, int, int], start: int, weight: int) -> None:
        super().__init__(math.prod(plane), start)
        self.plane, self.weight = plane, weight
        self.near = [np.clip(np.arange(-REACH, side + REACH), 0, side - 1) for side in plane[1:]]

    def see(self, rows: npt.NDArray[np.integer]) -> None:
        _, height, width = self.plane
        sums = np.abs(rows[-1].astype(np.int64)).reshape(self.plane)
        offsets = range(2 * REACH + 1)
        wide = sums[:, self.near[0]]
        sums = sum(wide[:, offset : offset + height] for offset in offsets)
        wide = sums[:, :, self.near[1]]
        sums = sum(wide[:, :, offset : offset + width] for offset in offsets)
        self.sums = self.weight * self.start + UNIT * sums.ravel()
        self.rows = self.weight + NEIGHBOURS


def choose_contexts(values: npt.NDArray[np.integer], rows: Rows) -> tuple[Contexts, float] | None:
    """Choose the contexts with which ``values`` [rows, columns] cost the fewest bits.

    Returns:
        The contexts and the bits, tables not counted; None where contexts cannot help.
    """
    first, last = min(int(values.min()), 0), max(int(values.max()), 0)
    if first == last:
        return None
    start = min(MAX_START, round(UNIT * float(np.abs(values).mean())))
    found = []
    for weight in WEIGHTS if rows.plane else WEIGHTS[:1]:
        contexts = Contexts(first, last - first + 1, start, 1, 0, weight)
        if len(values) > contexts.block(
            (len(values), values.shape[1]), rows
        ):  # a single block would use the initial estimate only
            found.append(_fitted(contexts, _histogram(values, contexts, rows)))
    return min(found, key=lambda pair: pair[1], default=None)


def _fitted(contexts: Contexts, counts: Ints) -> tuple[Contexts, float]:
    """Choose spread and shape for the fewest bits, given how often each class meets each symbol."""
    used = np.flatnonzero(counts.sum(1))

    @functools.cache
    def cost(shape: int, exponent: int) -> float:
        tables = dataclasses.replace(contexts, spread=_spread(exponent), shape=shape)
        return bits(tables.cumulative(used), counts[used])

    best = (np.inf, 0, 0)
    for shape in range(MAX_SHAPE + 1):
        exponent = 3 * shape + 8  # here a table's mean magnitude is about its class's
        while (cheaper := min((exponent, exponent - 1, exponent + 1), key=lambda near: cost(shape, near))) != exponent:
            exponent = cheaper
        best = min(best, (cost(shape, exponent), shape, exponent))
    total, shape, exponent = best
    return dataclasses.replace(contexts, spread=_spread(exponent), shape=shape), total


def _spread(exponent: int) -> int:
    """The spread 2^(exponent/3) / 4 in units of 1/256, within its range."""
    return max(1, min(65535, round(64 * 2 ** (exponent / 3))))


def _histogram(values: npt.NDArray[np.integer], contexts: Contexts, rows: Rows) -> Ints:
    """Count how often each class meets each symbol: [classes, symbols]."""
    counts = np.zeros(len(EDGES) * contexts.size, np.int64)
    block, estimator = contexts.block((len(values), values.shape[1]), rows), contexts.estimator(values.shape[1], rows)
    for row in range(0, len(values), block):
        part = values[row : row + block].astype(np.int64)
        met = estimator.classes() * contexts.size + part - contexts.first
        counts += np.bincount(met.ravel(), minlength=len(counts))
        estimator.see(part)
    return counts.reshape(len(EDGES), contexts.size)
