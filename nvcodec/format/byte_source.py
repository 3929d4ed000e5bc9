"""Where the bytes of a file come from: memory, or a file that is read piece by piece."""

from __future__ import annotations

import abc
import io
import os
import stat
import threading
import weakref
from collections.abc import Sequence
from typing import Any, BinaryIO

from nvcodec.errors import InputError

SCHEMES = ("http://", "https://")


class ByteSource(abc.ABC):
    """Bytes that can be read from any offset on. Several threads may use one object.

    Attributes:
        size: how many bytes there are.
        gap: so many bytes between two pieces are rather read with them than left out.
        whole: a file object with all bytes, of a source that cannot be read from any offset; else None.
    """

    size: int
    gap = 0
    whole: Any = None

    @abc.abstractmethod
    def read_at(self, offset: int, count: int) -> memoryview:
        """Read ``count`` bytes from ``offset`` on, all of them before the end.

        Raises:
            InputError: they cannot be read.
        """

    def read_pieces(self, pieces: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read several pieces in as few reads as :attr:`gap` suggests.

        Args:
            pieces: where each begins and ends, in ascending order.

        Raises:
            InputError: as :meth:`read_at` does.
        """
        out: list[memoryview] = []
        first = 0
        for index in range(1, len(pieces) + 1):
            if index < len(pieces) and pieces[index][0] - pieces[index - 1][1] <= self.gap:
                continue
            start = pieces[first][0]
            joined = self.read_at(start, pieces[index - 1][1] - start)
            out += [joined[begin - start : end - start] for begin, end in pieces[first:index]]
            first = index
        return out


class MemorySource(ByteSource):
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read_at(self, offset: int, count: int) -> memoryview:
        return memoryview(self.data)[offset : offset + count]


class FileSource(ByteSource):
    """A file of the operating system, which stays open as long as this object lives, whatever becomes of its name.

    Args:
        descriptor: of the file; closed with this object.
        name: of the file, for messages.
        start: its first byte that counts.
    """

    def __init__(self, descriptor: int, name: str, start: int = 0) -> None:
        self.descriptor, self.name, self.start = descriptor, name, start
        self.size = max(0, os.fstat(descriptor).st_size - start)
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, descriptor)

    def read_at(self, offset: int, count: int) -> memoryview:
        pieces: list[bytes] = []
        left = count
        try:
            while left and (piece := self._read(self.start + offset + count - left, left)):
                pieces.append(piece)
                left -= len(piece)
        except OSError as error:
            raise InputError(f"cannot read {self.name or 'the file'}: {error.strerror or error}") from None
        if left:
            raise InputError(f"{self.name or 'the file'} has become shorter since it was opened")
        return memoryview(b"".join(pieces))

    def _read(self, position: int, count: int) -> bytes:
        """Read at most so many bytes, without the descriptor's own position, which a forked process shares."""
        if hasattr(os, "pread"):
            return os.pread(self.descriptor, count, position)
        with self._lock:
            os.lseek(self.descriptor, position, os.SEEK_SET)
            return os.read(self.descriptor, count)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process, which lacks the descriptor, the bytes are in memory."""
        return MemorySource, (bytes(self.read_at(0, self.size)),)


class ObjectSource(ByteSource):
    """An object with ``read`` and ``seek``, such as a file on another machine; it has to stay open.

    Args:
        file: the object; its present position is the first byte that counts.
        name: of the file, for messages.
    """

    gap = 2**16

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.name, self.start = file, name, file.tell()
        self.size = max(0, file.seek(0, io.SEEK_END) - self.start)
        file.seek(self.start)
        self._lock = threading.Lock()

    def read_at(self, offset: int, count: int) -> memoryview:
        pieces: list[bytes] = []
        left = count
        try:
            with self._lock:
                self.file.seek(self.start + offset)
                while left and (piece := self.file.read(left)):
                    pieces.append(piece)
                    left -= len(piece)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            raise InputError(f"cannot read {self.name or 'the file'}: {error}") from None
        if left:
            raise InputError(f"{self.name or 'the file'} has become shorter since it was opened")
        return memoryview(b"".join(pieces))

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process the bytes are in memory."""
        return MemorySource, (bytes(self.read_at(0, self.size)),)


def is_url(file: object) -> bool:
    """Whether a file is named by an address of the web."""
    return isinstance(file, str) and file.lower().startswith(SCHEMES)


def path_source(path: str | os.PathLike[str]) -> FileSource | None:
    """Return a source of the bytes of a file, given its path; None where it is no regular file.

    Raises:
        OSError: it cannot be opened.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        return None
    return FileSource(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), os.fspath(path))


def object_source(file: Any, name: str) -> ByteSource | None:
    """Return a source of the bytes of an object, from its present position on; None where it has to be read through, or
    is in memory already.

    A file of the operating system may be closed afterwards, other objects may not.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(file, io.BytesIO) or not (hasattr(file, "seekable") and file.seekable() and hasattr(file, "tell")):
        return None
    if isinstance(file, io.TextIOBase):
        return None
    try:
        descriptor = file.fileno()
    except (AttributeError, OSError):
        return ObjectSource(file, name)
    return FileSource(os.dup(descriptor), name, file.tell())
