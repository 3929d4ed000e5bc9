"""Chunks: arrays of integers as a frequency table, a length, and range-coded words (specification, section 5.1)."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from nvcodec.errors import CorruptStreamError
from nvcodec.format.entropy.contexts import Contexts, Rows, choose_contexts
from nvcodec.format.entropy.frequency_tables import (
    TOTAL_BITS,
    Constant,
    Table,
    bits,
    choose_table,
    unpack_head,
    unpack_table,
)
from nvcodec.format.fields import Cursor, varint


@dataclasses.dataclass(frozen=True)
class ChunkSize:
    """Where the bytes of a chunk went."""

    values: int
    table_bytes: int
    length_bytes: int
    word_bytes: int
    information_bits: float

    @property
    def padding_bytes(self) -> int:
        """Bytes of words beyond the information in the values: the coder rounds up to whole words."""
        return max(0, self.word_bytes - math.ceil(self.information_bits / 8))

    @property
    def bytes(self) -> int:
        """Bytes of the whole chunk."""
        return self.table_bytes + self.length_bytes + self.word_bytes


def encode_chunk(values: npt.NDArray[np.integer], rows: Rows | None = None) -> bytes:
    """Encode integers, at least one, in row-major order.

    Args:
        values: an array of any shape; with ``rows``, [rows, columns].
        rows: how the values lie in rows, if tables may adapt to earlier rows; None for a single table.
    """
    plain = choose_table(values)
    table: Table | Contexts = plain
    if rows is not None and (found := choose_contexts(values, rows)):
        contexts, cost = found
        counts = np.bincount((values - plain.first).ravel())
        if 8 * len(contexts.pack()) + cost < 8 * len(plain.pack()) + bits(plain.cumulative(), counts):
            table = contexts
    words = b""
    if not isinstance(table, Constant):
        coder = constriction.stream.queue.RangeEncoder()
        symbols = (values - table.first).astype(np.int32)
        for part, where in _parts(table, symbols, rows):
            coder.encode(symbols[where].ravel(), part.model)
        words = coder.get_compressed().astype("<u4").tobytes()
    return table.pack() + varint(len(words) // 4) + words


def decode_chunk(
    cursor: Cursor, shape: tuple[int, ...], rows: Rows | None = None
) -> tuple[npt.NDArray[np.int32], ChunkSize]:
    """Decode a chunk.

    Args:
        cursor: at its start.
        shape: of the values.
        rows: as in :func:`encode_chunk`; None also where the stream's features allow no tables by rows.

    Returns:
        The values, which are read-only if constant, and where the bytes went.

    Raises:
        CorruptStreamError: the chunk breaks a rule of the specification.
        UnsupportedVersionError: the family of the table is not known to this version, or not allowed here.
    """
    start = cursor.position
    code, first, size = unpack_head(cursor)
    table: Table | Contexts
    if code in Contexts.CODES[: 0 if rows is None else 2 if rows.plane else 1]:
        table = Contexts.unpack(cursor, code, first, size)
    else:
        table = unpack_table(cursor, code, first, size)
    table_bytes = cursor.position - start
    count = math.prod(shape)
    # Even the rarest symbol takes less than 24 bits; two more words close the stream.
    words = cursor.varint(count * 24 // 32 + 2)
    length_bytes = cursor.position - start - table_bytes
    if isinstance(table, Constant):
        if words:
            raise CorruptStreamError(f"{cursor.what}: a constant chunk with {words} words")
        constant = np.broadcast_to(np.int32(first), shape)  # takes no memory, whatever the shape
        return constant, ChunkSize(count, table_bytes, length_bytes, 0, 0.0)
    data = np.frombuffer(cursor.take(4 * words), "<u4").astype(np.uint32)
    coder = constriction.stream.queue.RangeDecoder(data)
    symbols = np.zeros(shape, np.int32)
    information = 0.0
    for part, where in _parts(table, symbols, rows):
        target = symbols[where]
        try:
            decoded = coder.decode(part.model, target.size)
        except AssertionError:
            raise CorruptStreamError(f"{cursor.what}: the range-coded words are invalid") from None
        symbols[where] = decoded.reshape(target.shape)
        information += float(np.bincount(decoded, minlength=size) @ part.bits)
    if not coder.maybe_exhausted():
        raise CorruptStreamError(f"{cursor.what}: the range-coded words go on after the last value")
    return symbols + np.int32(first), ChunkSize(count, table_bytes, length_bytes, 4 * words, information)


def extremes(values: npt.NDArray[np.signedinteger]) -> tuple[int, int]:
    """The least and the largest value. Of a constant chunk, which takes no memory, only one value is looked at."""
    if not any(values.strides):
        return int(values.flat[0]), int(values.flat[0])
    return int(values.min()), int(values.max())


class _Counts:
    """A table's counts as the range coder takes them, prepared once for all parts of a chunk, which may be millions."""

    def __init__(self, cumulative: npt.NDArray[np.int64]) -> None:
        # Counts divided by a power of two are exact in float64, so that no machine can round them differently.
        self.model = constriction.stream.model.Categorical(np.diff(cumulative) / (1 << TOTAL_BITS), perfect=False)
        self.bits = -np.log2(np.diff(effective(cumulative)) / (1 << 24))  # cost of each symbol


def _parts(table: Table | Contexts, symbols: npt.NDArray[np.int32], rows: Rows | None) -> Iterator[tuple[_Counts, Any]]:
    """Yield the parts of a chunk in the order of the stream: the counts of a part's table, and an index that selects
    the part from ``symbols``. When a part is requested, ``symbols`` of all earlier ones must be filled in."""
    if not isinstance(table, Contexts):
        yield _Counts(table.cumulative()), ...
        return
    assert rows is not None
    block, estimator = table.block((len(symbols), symbols.shape[1]), rows), table.estimator(symbols.shape[1], rows)
    counts = functools.cache(lambda number: _Counts(table.cumulative(number)))
    for row in range(0, len(symbols), block):
        part = slice(row, row + block)
        classes = estimator.classes()
        for number in np.unique(classes).tolist():
            yield counts(number), (part, classes == number)
        estimator.see(symbols[part] + table.first)


def effective(cumulative: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The 24-bit cumulative table that constriction makes of a table's counts (specification, section 5.3)."""
    n = len(cumulative) - 1
    return np.arange(n + 1) + (cumulative * ((1 << 24) - n) >> TOTAL_BITS)
