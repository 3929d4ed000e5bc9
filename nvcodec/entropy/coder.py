"""Arrays of integers as chunks: a table, a length, and the words of constriction's range coder."""

from __future__ import annotations

import dataclasses
import math

import constriction
import numpy as np
import numpy.typing as npt

from nvcodec.bitstream.fields import Cursor, varint
from nvcodec.entropy.tables import TOTAL_BITS, Constant, choose_table, unpack_table
from nvcodec.errors import CorruptStreamError


@dataclasses.dataclass(frozen=True)
class ChunkSize:
    """Where a chunk's bytes went."""

    values: int
    table_bytes: int
    length_bytes: int
    word_bytes: int
    information_bits: float

    @property
    def padding_bytes(self) -> int:
        """Bytes of words beyond what the values hold: the coder's rounding up to whole words."""
        return max(0, self.word_bytes - math.ceil(self.information_bits / 8))

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.table_bytes + self.length_bytes + self.word_bytes


def encode_chunk(values: npt.NDArray[np.integer]) -> bytes:
    """A chunk that holds ``values`` (any shape, at least one element) in row-major order."""
    table = choose_table(values)
    words = b""
    if not isinstance(table, Constant):
        coder = constriction.stream.queue.RangeEncoder()
        symbols = np.ascontiguousarray(values.ravel() - table.first, np.int32)
        coder.encode(symbols, _model(table.cumulative()))
        words = coder.get_compressed().astype("<u4").tobytes()
    return table.pack() + varint(len(words) // 4) + words


def decode_chunk(cursor: Cursor, count: int) -> tuple[npt.NDArray[np.int32], ChunkSize]:
    """Read a chunk of ``count`` values.

    Returns:
        The values, flat, and where the bytes went.

    Raises:
        CorruptStreamError: the chunk breaks a rule of the specification.
    """
    start = cursor.position
    table = unpack_table(cursor)
    table_bytes = cursor.position - start
    # Even the rarest symbol takes less than 24 bits; two more words close the stream.
    words = cursor.varint(count * 24 // 32 + 2)
    length_bytes = cursor.position - start - table_bytes
    if isinstance(table, Constant):
        if words:
            raise CorruptStreamError(f"{cursor.what}: a constant chunk with {words} words")
        return np.full(count, table.first, np.int32), ChunkSize(count, table_bytes, length_bytes, 0, 0.0)
    data = np.frombuffer(cursor.take(4 * words), "<u4").astype(np.uint32)
    coder = constriction.stream.queue.RangeDecoder(data)
    cumulative = table.cumulative()
    try:
        symbols = coder.decode(_model(cumulative), count)
    except AssertionError:
        raise CorruptStreamError(f"{cursor.what}: the range coder's data are not valid") from None
    if not coder.maybe_exhausted():
        raise CorruptStreamError(f"{cursor.what}: the range coder's data go on after the last value")
    counts = np.bincount(symbols, minlength=table.size)
    probability = np.diff(effective(cumulative)) / (1 << 24)
    information = float(-(counts * np.log2(probability)).sum())
    size = ChunkSize(count, table_bytes, length_bytes, 4 * words, information)
    return (symbols + table.first).astype(np.int32, copy=False), size


def effective(cumulative: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The 24-bit cumulative table that constriction makes of a table's counts (specification, section 5.3)."""
    n = len(cumulative) - 1
    return np.arange(n + 1) + (cumulative * ((1 << 24) - n) >> TOTAL_BITS)


def _model(cumulative: npt.NDArray[np.int64]) -> constriction.stream.model.Categorical:
    # Counts over a power of two are exact in float64, so no rounding can differ between machines.
    return constriction.stream.model.Categorical(np.diff(cumulative) / (1 << TOTAL_BITS), perfect=False)
