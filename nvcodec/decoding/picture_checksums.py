"""Checksums of decoded pictures (specification, section 4.6): computed by the encoder, compared by the decoder."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from nvcodec.format.stream import Stream


def picture_bytes(picture: torch.Tensor) -> bytes:
    """RGB samples, row-major, of a picture [3, height, width]: a byte each, or with 10 bits two, the lower first."""
    array: np.ndarray = picture.permute(1, 2, 0).contiguous().cpu().numpy()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def compute_checksums(pictures: Iterable[torch.Tensor], frames_per_checksum: int) -> npt.NDArray[np.uint32]:
    """Compute the checksums of a segment.

    Args:
        pictures: of all its frames in order, each [3, height, width].
        frames_per_checksum: number of frames that each checksum covers; the last may cover fewer.
    """
    checksums: list[int] = []
    for frame, picture in enumerate(pictures):
        if frame % frames_per_checksum == 0:
            checksums.append(0)
        checksums[-1] = zlib.crc32(picture_bytes(picture), checksums[-1])
    return np.array(checksums, np.uint32)


class ChecksumChecker:
    """Compares decoded pictures with the checksums of a stream.

    A checksum of several frames is compared only if all of them come by in order.

    Args:
        stream: states the checksums.
        layers: number of layers that the pictures were decoded with.

    Attributes:
        failed: for each checksum that does not match, the frames of the video that it covers.
    """

    def __init__(self, stream: Stream, layers: int) -> None:
        self.stream, self.layers = stream, layers
        self.failed: list[range] = []
        self._running: tuple[int, int, int] = (-1, -1, 0)  # segment, next frame, CRC so far

    def check(self, segment: int, frames: Sequence[int], pictures: torch.Tensor) -> None:
        """Take in pictures [frames, 3, height, width] of a segment, whose frames are counted from its first."""
        layer = self.stream.segments[segment].layers[self.layers - 1]
        if not len(layer.checksums):
            return  # lost from a damaged file
        head = self.stream.segments[segment].head
        group = layer.frames_per_checksum
        for frame, picture in zip(frames, pictures, strict=True):
            if frame % group == 0:
                self._running = (segment, frame, 0)
            if self._running[:2] != (segment, frame):
                continue
            crc = zlib.crc32(picture_bytes(picture), self._running[2])
            self._running = (segment, frame + 1, crc)
            complete = (frame + 1) % group == 0 or frame + 1 == head.frames
            if complete and crc != int(layer.checksums[frame // group]):
                last = head.first_frame + frame
                self.failed.append(range(last - frame % group, last + 1))
