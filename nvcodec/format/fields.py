"""Integer fields, declared once: packing, unpacking and the range check derive from the declaration.

In a file of the fixed form each takes the bytes of its type, in one of the compact form as few as its value needs
(specification, section 1).
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

from nvcodec.errors import CorruptStreamError

R = TypeVar("R", bound="Record")

_LIMITS = {
    "B": (0, 2**8 - 1),
    "H": (0, 2**16 - 1),
    "I": (0, 2**32 - 1),
    "Q": (0, 2**64 - 1),
    "h": (-(2**15), 2**15 - 1),
    "i": (-(2**31), 2**31 - 1),
    "q": (-(2**63), 2**63 - 1),
}


def _integer(code: str, low: int | None, high: int | None) -> Any:
    natural_low, natural_high = _LIMITS[code]
    low = natural_low if low is None else low
    high = natural_high if high is None else high
    return dataclasses.field(metadata={"code": code, "low": low, "high": high})


def u8(low: int | None = None, high: int | None = None) -> Any:
    """An unsigned byte in ``[low, high]``."""
    return _integer("B", low, high)


def only_in(compact: bool, field: Any) -> Any:
    """A field that only the compact form has, or only the fixed form; 0 in the other."""
    return dataclasses.field(default=0, kw_only=True, metadata={**field.metadata, "compact": compact})


def u16(low: int | None = None, high: int | None = None) -> Any:
    """Two bytes, unsigned, little-endian."""
    return _integer("H", low, high)


def u32(low: int | None = None, high: int | None = None) -> Any:
    """Four bytes, unsigned, little-endian."""
    return _integer("I", low, high)


def u64(low: int | None = None, high: int | None = None) -> Any:
    """Eight bytes, unsigned, little-endian."""
    return _integer("Q", low, high)


def i16(low: int | None = None, high: int | None = None) -> Any:
    """Two bytes, two's complement, little-endian."""
    return _integer("h", low, high)


def i64(low: int | None = None, high: int | None = None) -> Any:
    """Eight bytes, two's complement, little-endian."""
    return _integer("q", low, high)


def ref() -> Any:
    """The index, a ``u16``, of an earlier operation in the same list."""
    low, high = _LIMITS["H"]
    return dataclasses.field(metadata={"code": "H", "low": low, "high": high, "ref": True})


class Cursor:
    """Reads forward through bytes and checks every length before using it.

    Args:
        data: the bytes to read.
        what: what they are, as error messages name it.
        compact: whether integers are in the compact form.
    """

    def __init__(self, data: bytes | memoryview, what: str, compact: bool = False) -> None:
        self.data = memoryview(data)
        self.what = what
        self.compact = compact
        self.position = 0

    @property
    def left(self) -> int:
        """Number of bytes not read yet."""
        return len(self.data) - self.position

    def take(self, count: int) -> memoryview:
        """Read the next ``count`` bytes.

        Raises:
            CorruptStreamError: fewer bytes are left.
        """
        if count > self.left:
            raise CorruptStreamError(
                f"{self.what} ends early: {count} bytes expected at byte {self.position}, {self.left} left"
            )
        piece = self.data[self.position : self.position + count]
        self.position += count
        return piece

    def integer(self, code: str) -> int:
        """Read one integer of the file's form, given the ``struct`` code of its type; raises as :meth:`varint`."""
        low, high = _LIMITS[code]
        if not self.compact:
            return self.fixed(code)
        return self.varint(high) if low == 0 else _signed(self.varint(2 * high + 1))

    def fixed(self, code: str) -> int:
        """Read one little-endian integer of a fixed size, given its ``struct`` code; raises as :meth:`take`."""
        value: int = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]
        return value

    def varint(self, high: int = 2**32 - 1) -> int:
        """Read a LEB128 integer.

        Raises:
            CorruptStreamError: it is larger than ``high`` or takes more bytes than it needs, or the data end inside it.
        """
        value = 0
        for shift in range(0, 70, 7):
            if self.position == len(self.data):
                raise CorruptStreamError(f"{self.what} ends inside an integer")
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise CorruptStreamError(f"{self.what} has an integer in more bytes than it needs")
                break
        else:
            raise CorruptStreamError(f"{self.what} has an unterminated integer")
        if value > high:
            raise CorruptStreamError(f"{self.what} has the integer {value} where at most {high} is allowed")
        return value

    def end(self) -> None:
        """Check that everything has been read.

        Raises:
            CorruptStreamError: bytes are left.
        """
        if self.left:
            raise CorruptStreamError(f"{self.what} has {self.left} bytes too many")


def varint(value: int) -> bytes:
    """Encode ``value``, 0 to 2^64 - 1, as LEB128: seven bits per byte, low bits first, bit 7 set except in the last."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _signed(code: int) -> int:
    """Return the integer that an svarint's number stands for."""
    return -(code >> 1) - 1 if code & 1 else code >> 1


def pack_integer(value: int, code: str, compact: bool) -> bytes:
    """Encode one integer, given the ``struct`` code of its type."""
    if not compact:
        return struct.pack("<" + code, value)
    return varint(value if _LIMITS[code][0] == 0 else -2 * value - 1 if value < 0 else 2 * value)


@dataclasses.dataclass(frozen=True)
class Record:
    """A sequence of integer fields, which subclasses declare with :func:`u8` and its siblings."""

    NAME: ClassVar[str] = "record"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if "code" in field.metadata:
                value, low, high = getattr(self, field.name), field.metadata["low"], field.metadata["high"]
                if not low <= value <= high:
                    raise CorruptStreamError(f"{self.NAME}: {field.name} must be from {low} to {high}, got {value}")

    @classmethod
    def stored(cls, compact: bool) -> Iterator[tuple[str, str]]:
        """Yield name and ``struct`` code of each field that a form has."""
        for field in dataclasses.fields(cls):
            if "code" in field.metadata and field.metadata.get("compact", compact) == compact:
                yield field.name, field.metadata["code"]

    def pack(self, compact: bool = False) -> bytes:
        """Encode the record."""
        return b"".join(pack_integer(getattr(self, name), code, compact) for name, code in self.stored(compact))

    @classmethod
    def unpack(cls: type[R], cursor: Cursor) -> R:
        """Read one record, in the form that the cursor reads.

        Raises:
            CorruptStreamError: the bytes end early or a field is out of its range.
        """
        return cls(**{name: cursor.integer(code) for name, code in cls.stored(cursor.compact)})
