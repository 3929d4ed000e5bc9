"""The checksums that an encoder computes are those that a decoder compares."""

from __future__ import annotations

import zlib

import pytest
import torch
from networks import random_stream

from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.picture_checksums import ChecksumChecker, compute_checksums, picture_bytes


def test_bytes_are_rgb_row_by_row() -> None:
    picture = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    assert picture_bytes(picture) == bytes([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11])


@pytest.mark.parametrize("group", [1, 2, 3, 5, 9])
def test_computed_checksums(group: int) -> None:
    pictures = list(torch.arange(5 * 12, dtype=torch.uint8).view(5, 3, 2, 2))
    parts = [pictures[first : first + group] for first in range(0, 5, group)]
    expected = [zlib.crc32(b"".join(map(picture_bytes, part))) for part in parts]
    assert compute_checksums(pictures, group).tolist() == expected


@pytest.mark.parametrize("group", [1, 2, 4])
def test_a_wrong_picture_fails_its_checksum_only(group: int) -> None:
    stream = random_stream(2, frames=7)
    pictures = torch.stack(list(Video(stream, device="cpu")))
    layer = stream.segments[0].layers[0]
    layer.frames_per_checksum, layer.checksums = group, compute_checksums(pictures, group)
    pictures[4, 0, 0, 0] ^= 1
    checker = ChecksumChecker(stream, 1)
    checker.check(0, range(7), pictures)
    first = 4 - 4 % group
    assert checker.failed == [range(first, min(first + group, 7))]
    beginning = ChecksumChecker(stream, 1)
    beginning.check(0, range(first + 1, 7), pictures[first + 1 :])
    assert not [frames for frames in beginning.failed if first in frames]  # where a group starts was not seen
