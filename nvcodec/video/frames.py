"""Where a clip's frames are: in memory, or in a temporary file where they are more than memory may hold."""

from __future__ import annotations

import tempfile
import weakref
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

import torch

from nvcodec.errors import InputError
from nvcodec.memory import machine_memory


class StoredFrames:
    """Frames in a temporary file without a name, gone with this object; each look reads the frames it wants.

    Used like a tensor [frames, channels, height, width] as far as ``len``, ``shape``, iteration and indexing with a
    number or a list of numbers go. The file is read, not mapped, because pages of a map count as the process's memory;
    the system's cache keeps what fits.

    Args:
        size: channels, height and width of the frames.
        dtype: of their values.
    """

    def __init__(self, size: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> None:
        self._size, self._dtype = size, dtype
        self._count = 0
        self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="nvcodec-"))  # noqa: SIM115 (lives as long as this)
        weakref.finalize(self, self._file.close)

    def append(self, picture: torch.Tensor) -> None:
        """Add a picture [channels, height, width].

        Raises:
            InputError: the disk is full.
        """
        assert picture.shape == self._size and picture.dtype == self._dtype
        try:
            self._file.write(picture.contiguous().numpy().data)
            self._file.flush()
        except OSError as error:
            raise InputError(f"cannot keep the frames in {tempfile.gettempdir()}: {error.strerror}") from None
        self._count += 1

    @property
    def shape(self) -> torch.Size:
        """Frames, channels, height, width."""
        return torch.Size((self._count, *self._size))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, which: int | Sequence[int]) -> torch.Tensor:
        if isinstance(which, int):
            return self[[which]][0]
        pictures = torch.empty((len(which), *self._size), dtype=self._dtype)
        for picture, place in zip(pictures, which, strict=True):
            if not 0 <= place < self._count:
                raise IndexError(f"frame {place} of {self._count}")
            self._file.seek(place * picture.nbytes)
            if self._file.readinto(picture.numpy().data) != picture.nbytes:  # type: ignore[attr-defined]
                raise InputError(f"a temporary file in {tempfile.gettempdir()} has lost its end")
        return pictures

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self[place] for place in range(self._count))


#: The frames of a clip, uint8 [frames, 3, height, width], or something else that there is of each frame.
Frames = torch.Tensor | StoredFrames


class FrameCollector:
    """Takes pictures one by one and keeps them in memory while they need at most ``memory`` bytes.

    Args:
        memory: in bytes; None is a quarter of what the machine has.
    """

    def __init__(self, memory: int | None) -> None:
        self._memory = machine_memory() // 4 if memory is None else memory
        self._held: list[torch.Tensor] = []
        self._stored: StoredFrames | None = None

    def append(self, picture: torch.Tensor) -> None:
        """Add a picture [channels, height, width]; all are of one size and type.

        Raises:
            InputError: the disk is full.
        """
        self._held.append(picture)
        # The frames are held twice while they become one tensor.
        if self._stored is None and 2 * len(self._held) * picture.nbytes <= self._memory:
            return
        if self._stored is None:
            self._stored = StoredFrames(tuple(picture.shape), picture.dtype)
        for held in self._held:
            self._stored.append(held)
        self._held.clear()

    def frames(self) -> Frames:
        """All of them, at least one."""
        return torch.stack(self._held) if self._stored is None else self._stored


def checksum(frames: Frames) -> int:
    """CRC-32 of all frames, one after the other."""
    crc = 0
    for frame in frames:
        crc = zlib.crc32(frame.cpu().contiguous().numpy().data, crc)
    return crc
