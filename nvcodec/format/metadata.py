"""METADATA: a JSON object, packed with Zstandard where that is shorter (specification, section 4.9)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import zstandard

from nvcodec.errors import CorruptStreamError
from nvcodec.format.fields import Cursor, pack_integer

MAX_METADATA = 2**20  # unpacked bytes of a stream
MAX_DEPTH = 64  # nesting of arrays and objects
ZSTANDARD_LEVEL = 19


def pack_metadata(metadata: Mapping[str, Any], compact: bool = False) -> bytes:
    """Encode the payload of a METADATA unit."""
    raw = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    packed = zstandard.ZstdCompressor(level=ZSTANDARD_LEVEL).compress(raw)
    size = pack_integer(len(raw), "I", compact)
    return b"\1" + size + packed if len(packed) < len(raw) else b"\0" + size + raw


class Metadata:
    """Merges the METADATA units of a stream.

    Attributes:
        values: what all units so far say; of the same key, the last one counts.
        bytes_left: unpacked bytes that further units may have.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.bytes_left = MAX_METADATA

    def add(self, cursor: Cursor) -> None:
        """Take in one unit's payload.

        Raises:
            CorruptStreamError: it cannot be unpacked, is no JSON object, or exceeds the stream's limit.
        """
        packing, size = cursor.integer("B"), cursor.integer("I")
        raw = bytes(cursor.take(cursor.left))
        self.bytes_left -= size
        if packing > 1 or self.bytes_left < 0:
            raise CorruptStreamError(
                f"{cursor.what}: packing {packing}, {size} bytes; at most {MAX_METADATA} are allowed in a stream"
            )
        try:
            if packing:
                stated = zstandard.frame_content_size(raw)
                if stated != size:
                    raise CorruptStreamError(f"{cursor.what}: the packed size is {stated}, not {size}")
                raw = zstandard.ZstdDecompressor().decompress(raw, max_output_size=size, allow_extra_data=False)
            text = raw.decode()
            values = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
            if _depth(text) > MAX_DEPTH:
                raise ValueError
        except (zstandard.ZstdError, ValueError, RecursionError):
            raise CorruptStreamError(f"{cursor.what}: the metadata cannot be unpacked") from None
        if not isinstance(values, dict) or len(raw) != size:
            raise CorruptStreamError(f"{cursor.what}: the metadata are not an object of {size} bytes")
        self.values.update(values)


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads although JSON has neither."""
    raise ValueError(name)


def _finite(text: str) -> float:
    """Read a number, or the nearest one that a float can hold, so that it can be written as JSON again."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(text)))


def _depth(text: str) -> int:
    """Measure how deeply arrays and objects are nested in a valid JSON text."""
    marks = np.frombuffer(re.sub(r'"[^"\\]*(?:\\.[^"\\]*)*"', "", text).encode(), np.uint8)
    change = np.zeros(256, np.int32)
    change[list(b"[{")], change[list(b"]}")] = 1, -1
    return int(np.cumsum(change[marks]).max(initial=0))
