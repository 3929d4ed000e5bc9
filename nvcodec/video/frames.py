"""Storage of a clip's frames: in memory, or in a temporary file where they would need too much of it."""

from __future__ import annotations

import tempfile
import weakref
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

import torch

from nvcodec.errors import InputError
from nvcodec.memory import machine_memory

PREFIX = "nvcodec-"  # of the names of temporary files


class StoredFrames:
    """Frames in a temporary file, which lives as long as this object.

    Stands in for a tensor [frames, channels, height, width]: it has ``len``, ``shape``, ``dtype``, iteration,
    and indexing with an integer or a list of integers. The file is read rather than mapped, because mapped pages count
    as the memory of the process; the operating system caches what fits.

    Args:
        size: channels, height and width of a frame.
        dtype: type of the values.
        shared: whether the file has a name, by which other processes read it: a copy there reads the same file, as long
            as this object lives.
    """

    def __init__(self, size: tuple[int, ...], dtype: torch.dtype = torch.uint8, shared: bool = False) -> None:
        make = tempfile.NamedTemporaryFile if shared else tempfile.TemporaryFile
        self._open(cast(BinaryIO, make(prefix=PREFIX)), size, dtype, 0)

    def _open(self, file: BinaryIO, size: tuple[int, ...], dtype: torch.dtype, count: int) -> None:
        self._file, self._size, self.dtype, self._count = file, size, dtype, count
        weakref.finalize(self, file.close)

    def __getstate__(self) -> tuple[str, tuple[int, ...], torch.dtype, int]:
        if not isinstance(self._file.name, str):
            raise TypeError("frames in a file without a name cannot go to other processes")
        return self._file.name, self._size, self.dtype, self._count

    def __setstate__(self, state: tuple[str, tuple[int, ...], torch.dtype, int]) -> None:
        name, size, dtype, count = state
        self._open(open(name, "rb"), size, dtype, count)  # noqa: SIM115 (lives as long as self)

    def append(self, picture: torch.Tensor) -> None:
        """Append a picture [channels, height, width].

        Raises:
            InputError: the disk is full.
        """
        assert picture.shape == self._size and picture.dtype == self.dtype
        try:
            self._file.write(picture.contiguous().numpy().data)
            self._file.flush()
        except OSError as error:
            raise InputError(f"cannot store the frames in {tempfile.gettempdir()}: {error.strerror}") from None
        self._count += 1

    @property
    def shape(self) -> torch.Size:
        """Frames, channels, height and width."""
        return torch.Size((self._count, *self._size))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, frames: int | Sequence[int]) -> torch.Tensor:
        if isinstance(frames, int):
            return self[[frames]][0]
        pictures = torch.empty((len(frames), *self._size), dtype=self.dtype)
        for picture, frame in zip(pictures, frames, strict=True):
            if not 0 <= frame < self._count:
                raise IndexError(f"frame {frame} of {self._count}")
            self._file.seek(frame * picture.nbytes)
            if self._file.readinto(picture.numpy().data) != picture.nbytes:  # type: ignore[attr-defined]
                raise InputError(f"a temporary file in {tempfile.gettempdir()} has been truncated")
        return pictures

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self[frame] for frame in range(self._count))


#: Pictures of a clip, usually uint8 or uint16 [frames, 3, height, width]; masks and reference pictures come in other
#: types.
Frames = torch.Tensor | StoredFrames


class FrameCollector:
    """Collects pictures one by one; moves them to a temporary file once they need more than ``memory`` bytes.

    Args:
        memory: limit in bytes; None for a quarter of the machine's memory.
        shared: see :class:`StoredFrames`.
    """

    def __init__(self, memory: int | None, shared: bool = False) -> None:
        self._shared = shared
        self._memory = machine_memory() // 4 if memory is None else memory
        self._in_memory: list[torch.Tensor] = []
        self._stored: StoredFrames | None = None

    def append(self, picture: torch.Tensor) -> None:
        """Append a picture [channels, height, width]; all must have the same shape and type.

        Raises:
            InputError: the disk is full.
        """
        self._in_memory.append(picture)
        # Twice, because stacking them into one tensor copies them.
        if self._stored is None and 2 * len(self._in_memory) * picture.nbytes <= self._memory:
            return
        if self._stored is None:
            self._stored = StoredFrames(tuple(picture.shape), picture.dtype, self._shared)
        for waiting in self._in_memory:
            self._stored.append(waiting)
        self._in_memory.clear()

    def frames(self) -> Frames:
        """Return all pictures, of which there must be at least one."""
        return torch.stack(self._in_memory) if self._stored is None else self._stored


def checksum(frames: Frames) -> int:
    """Return the CRC-32 of the concatenated bytes of all frames."""
    crc = 0
    for frame in frames:
        crc = zlib.crc32(frame.cpu().contiguous().numpy().data, crc)
    return crc
