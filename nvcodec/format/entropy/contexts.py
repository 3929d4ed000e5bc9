"""Tables that follow the magnitudes of earlier rows (specification, section 5.5).

Weights of one input channel at one place of the kernel are about as large for every output channel, and a latent is
about as active as its neighbours in the frame before. A chunk of families 4 and 5 looks at its values as rows; before
each block of rows it estimates the mean magnitude of each column, and picks one of 52 tables by it. Family 4 estimates
from all rows before, column by column; family 5 from the 5x5 values around in the row before, which is a frame's.
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

UNIT = 64  # magnitudes are estimated in 1/64
PRIOR = 8  # rows that the first estimate, which the chunk states, counts for
LEAST_BLOCK = 256  # values in a block, so that what a block costs beside them does not matter
EDGES = np.array([0, 1, 2, 3, *(m << octave for octave in range(12) for m in (4, 5, 6, 7))], np.int64)
MAX_START = 255 * UNIT
MAX_SHAPE = 6
REACH = 2  # neighbours to each side
NEIGHBOURS = (2 * REACH + 1) ** 2
WEIGHTS = (0, 4, 16)  # what the encoder tries


@dataclasses.dataclass(frozen=True)
class Rows:
    """How the values of a chunk lie in rows.

    Attributes:
        group: consecutive rows that share a step of rounding.
        plane: channels, height and width of a row that holds a frame's latents; None for weights.
    """

    group: int = 1
    plane: tuple[int, int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Contexts:
    """The tables of one chunk of family 4 or 5.

    Attributes:
        first, size: the symbols, ``first`` to ``first + size - 1``, zero among them.
        start: the magnitude expected before the first row, in 1/64.
        spread: of a table, relative to the square of its class's magnitude, in 1/256.
        shape: as that of :class:`~nvcodec.format.entropy.frequency_tables.Student`.
        weight: how many neighbours ``start`` counts for; 0 in family 4, which has none.
    """

    CODES = (4, 5)
    first: int
    size: int
    start: int
    spread: int
    shape: int
    weight: int = 0

    def pack(self) -> bytes:
        """Its bytes: the family, the first symbol, the size, then start, spread, shape and, of family 5, weight."""
        head = bytes([self.CODES[self.weight > 0]]) + varint(zigzag(self.first)) + varint(self.size)
        tail = bytes([self.shape, self.weight] if self.weight else [self.shape])
        return head + varint(self.start) + varint(self.spread) + tail

    @classmethod
    def unpack(cls, cursor: Cursor, code: int, first: int, size: int) -> Contexts:
        """Read what follows family (``code``), first and size.

        Raises:
            CorruptStreamError: a parameter is out of its range.
        """
        start, spread, shape = cursor.varint(MAX_START), cursor.varint(65535), cursor.integer("B")
        near = code == cls.CODES[1]
        weight = cursor.integer("B") if near else 0
        if size < 2 or not 0 <= -first < size or spread == 0 or shape > MAX_SHAPE or near != (weight > 0):
            raise CorruptStreamError(
                f"{cursor.what}: contexts with {size} symbols, spread {spread}, shape {shape}, weight {weight}"
            )
        return cls(first, size, start, spread, shape, weight)

    def block(self, shape: tuple[int, int], rows: Rows) -> int:
        """Rows of a matrix [rows, columns] that are coded between one estimate and the next."""
        return 1 if self.weight else block_rows(*shape, rows.group)

    def estimator(self, columns: int, rows: Rows) -> Estimator:
        """What gives the classes of each block."""
        if not self.weight:
            return Estimator(columns, self.start)
        assert rows.plane is not None
        return NearEstimator(rows.plane, self.start, self.weight)

    def cumulative(self, number: int | Ints) -> Ints:
        """The ``size + 1`` cumulative counts of class ``number``, or of each of several."""
        distance = np.arange(self.size, dtype=np.int64) + self.first
        spread = np.maximum(1, self.spread * MAGNITUDES[number] ** 2 >> 14)
        return normalise(bell(256 * distance * distance, spread[..., None], self.shape))


def magnitude(number: int) -> int:
    """The middle of a class, in 1/128."""
    if number < 4:
        return 2 * number + 1
    octave = number // 4 - 1
    return (2 * (4 + number % 4) + 1) << octave


MAGNITUDES = np.array([magnitude(number) for number in range(len(EDGES))], np.int64)


def block_rows(rows: int, columns: int, group: int = 1) -> int:
    """Rows of a block: as many whole groups as take at least 256 values; the last block may be smaller."""
    return min(rows, group * -(-LEAST_BLOCK // (group * columns)))


class Estimator:
    """Family 4: mean magnitudes, column by column, of the rows seen so far."""

    def __init__(self, columns: int, start: int) -> None:
        self.start = start
        self.sums = np.full(columns, PRIOR * start, np.int64)
        self.rows = PRIOR

    def classes(self) -> Ints:
        """The class of each column for the rows that come next."""
        return np.searchsorted(EDGES, self.sums // self.rows, side="right") - 1

    def see(self, rows: npt.NDArray[np.integer]) -> None:
        """Take in rows [rows, columns]."""
        self.sums += UNIT * np.abs(rows.astype(np.int64)).sum(0)
        self.rows += len(rows)


class NearEstimator(Estimator):
    """Family 5: mean magnitude, around each value, of the row seen last."""

    def __init__(self, plane: tuple[int, int, int], start: int, weight: int) -> None:
        super().__init__(math.prod(plane), start)
        self.plane, self.weight = plane, weight
        self.near = [np.clip(np.arange(-REACH, side + REACH), 0, side - 1) for side in plane[1:]]

    def see(self, rows: npt.NDArray[np.integer]) -> None:
        _, height, width = self.plane
        sums = np.abs(rows[-1].astype(np.int64)).reshape(self.plane)
        steps = range(2 * REACH + 1)
        wide = sums[:, self.near[0]]
        sums = sum(wide[:, step : step + height] for step in steps)
        wide = sums[:, :, self.near[1]]
        sums = sum(wide[:, :, step : step + width] for step in steps)
        self.sums = self.weight * self.start + UNIT * sums.ravel()
        self.rows = self.weight + NEIGHBOURS


def choose_contexts(values: npt.NDArray[np.integer], rows: Rows) -> tuple[Contexts, float] | None:
    """The contexts with which ``values`` [rows, columns] cost the fewest bits, and how many; None where none apply."""
    first, last = min(int(values.min()), 0), max(int(values.max()), 0)
    if first == last:
        return None
    start = min(MAX_START, round(UNIT * float(np.abs(values).mean())))
    found = []
    for weight in WEIGHTS if rows.plane else WEIGHTS[:1]:
        contexts = Contexts(first, last - first + 1, start, 1, 0, weight)
        if len(values) > contexts.block((len(values), values.shape[1]), rows):  # one block meets one table
            found.append(_fitted(contexts, _histogram(values, contexts, rows)))
    return min(found, key=lambda pair: pair[1], default=None)


def _fitted(contexts: Contexts, counts: Ints) -> tuple[Contexts, float]:
    """The spread and shape with which classes that meet symbols as often as ``counts`` say cost the fewest bits."""
    used = np.flatnonzero(counts.sum(1))

    @functools.cache
    def cost(shape: int, level: int) -> float:
        tables = dataclasses.replace(contexts, spread=_spread(level), shape=shape)
        return bits(tables.cumulative(used), counts[used])

    best = (np.inf, 0, 0)
    for shape in range(MAX_SHAPE + 1):
        level = 3 * shape + 8  # a spread at which the mean magnitude is about the class's
        while (cheaper := min((level, level - 1, level + 1), key=lambda near: cost(shape, near))) != level:
            level = cheaper
        best = min(best, (cost(shape, level), shape, level))
    total, shape, level = best
    return dataclasses.replace(contexts, spread=_spread(level), shape=shape), total


def _spread(level: int) -> int:
    return max(1, min(65535, round(64 * 2 ** (level / 3))))


def _histogram(values: npt.NDArray[np.integer], contexts: Contexts, rows: Rows) -> Ints:
    """How often each class meets each symbol: [classes, symbols]."""
    counts = np.zeros(len(EDGES) * contexts.size, np.int64)
    block, estimator = contexts.block((len(values), values.shape[1]), rows), contexts.estimator(values.shape[1], rows)
    for place in range(0, len(values), block):
        part = values[place : place + block].astype(np.int64)
        met = estimator.classes() * contexts.size + part - contexts.first
        counts += np.bincount(met.ravel(), minlength=len(counts))
        estimator.see(part)
    return counts.reshape(len(EDGES), contexts.size)
