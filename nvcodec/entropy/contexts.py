"""Tables that follow the magnitudes of earlier rows (specification, section 5.5).

Weights of one input channel at one place of the kernel are about as large for every output channel, and a latent at one
place about as active in every frame. A chunk of family 4 looks at its values as rows; before each block of rows it
estimates, column by column, the mean magnitude from the blocks before, and picks one of 52 tables by it.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt

from nvcodec.bitstream.fields import Cursor, varint
from nvcodec.entropy.tables import Ints, bell, bits, normalise, zigzag
from nvcodec.errors import CorruptStreamError

UNIT = 64  # magnitudes are estimated in 1/64
PRIOR = 8  # rows that the first estimate, which the chunk states, counts for
LEAST_BLOCK = 256  # values in a block, so that what a block costs beside them does not matter
EDGES = np.array([0, 1, 2, 3, *(m << octave for octave in range(12) for m in (4, 5, 6, 7))], np.int64)
MAX_START = 255 * UNIT
MAX_SHAPE = 6


@dataclasses.dataclass(frozen=True)
class Contexts:
    """The tables of one chunk.

    Attributes:
        first, size: the symbols, ``first`` to ``first + size - 1``, zero among them.
        start: the magnitude expected before the first row, in 1/64.
        spread: of a table, relative to the square of its class's magnitude, in 1/256.
        shape: as that of :class:`~nvcodec.entropy.tables.Student`.
    """

    CODE = 4
    first: int
    size: int
    start: int
    spread: int
    shape: int

    def pack(self) -> bytes:
        """Its bytes: the family, the first symbol, the size, then start, spread and shape."""
        head = bytes([self.CODE]) + varint(zigzag(self.first)) + varint(self.size)
        return head + varint(self.start) + varint(self.spread) + bytes([self.shape])

    @classmethod
    def unpack(cls, cursor: Cursor, first: int, size: int) -> Contexts:
        """Read what follows family, first and size.

        Raises:
            CorruptStreamError: a parameter is out of its range.
        """
        start, spread, shape = cursor.varint(MAX_START), cursor.varint(65535), cursor.integer("B")
        if size < 2 or not 0 <= -first < size or spread == 0 or shape > MAX_SHAPE:
            raise CorruptStreamError(f"{cursor.what}: contexts with {size} symbols, spread {spread}, shape {shape}")
        return cls(first, size, start, spread, shape)

    def cumulative(self, number: int) -> Ints:
        """The ``size + 1`` cumulative counts of class ``number``."""
        distance = np.arange(self.size, dtype=np.int64) + self.first
        spread = max(1, self.spread * magnitude(number) ** 2 >> 14)
        return normalise(bell(256 * distance * distance, spread, self.shape))


def magnitude(number: int) -> int:
    """The middle of a class, in 1/128."""
    if number < 4:
        return 2 * number + 1
    octave = number // 4 - 1
    return (2 * (4 + number % 4) + 1) << octave


def block_rows(rows: int, columns: int, group: int = 1) -> int:
    """Rows of a block: as many whole groups as take at least 256 values; the last block may be smaller."""
    return min(rows, group * -(-LEAST_BLOCK // (group * columns)))


class Estimator:
    """Mean magnitudes, column by column, of the rows seen so far."""

    def __init__(self, columns: int, start: int) -> None:
        self.sums = np.full(columns, PRIOR * start, np.int64)
        self.rows = PRIOR

    def classes(self) -> Ints:
        """The class of each column for the rows that come next."""
        return np.searchsorted(EDGES, self.sums // self.rows, side="right") - 1

    def see(self, rows: npt.NDArray[np.integer]) -> None:
        """Take in rows [rows, columns]."""
        self.sums += UNIT * np.abs(rows.astype(np.int64)).sum(0)
        self.rows += len(rows)


def choose_contexts(values: npt.NDArray[np.integer], block: int) -> tuple[Contexts, float] | None:
    """The contexts with which ``values`` [rows, columns] cost the fewest bits, and how many; None where none apply."""
    first, last = min(int(values.min()), 0), max(int(values.max()), 0)
    if first == last or len(values) <= block:  # one block meets one table
        return None
    start = min(MAX_START, round(UNIT * float(np.abs(values).mean())))
    counts = _histogram(values, block, start, first, last)
    used = np.flatnonzero(counts.sum(1))
    size = last - first + 1

    @functools.cache
    def cost(shape: int, level: int) -> float:
        tables = Contexts(first, size, start, _spread(level), shape)
        return sum(bits(tables.cumulative(int(number)), counts[number]) for number in used)

    best = (np.inf, 0, 0)
    for shape in range(MAX_SHAPE + 1):
        level = 3 * shape + 8  # a spread at which the mean magnitude is about the class's
        while (cheaper := min((level, level - 1, level + 1), key=lambda near: cost(shape, near))) != level:
            level = cheaper
        best = min(best, (cost(shape, level), shape, level))
    total, shape, level = best
    return Contexts(first, size, start, _spread(level), shape), total


def _spread(level: int) -> int:
    return max(1, min(65535, round(64 * 2 ** (level / 3))))


def _histogram(values: npt.NDArray[np.integer], block: int, start: int, first: int, last: int) -> Ints:
    """How often each class meets each symbol: [classes, symbols]."""
    size = last - first + 1
    counts = np.zeros(len(EDGES) * size, np.int64)
    estimator = Estimator(values.shape[1], start)
    for place in range(0, len(values), block):
        rows = values[place : place + block].astype(np.int64)
        counts += np.bincount((estimator.classes() * size + rows - first).ravel(), minlength=len(counts))
        estimator.see(rows)
    return counts.reshape(len(EDGES), size)
