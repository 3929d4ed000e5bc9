"""What the writer of AV1 writes, dav1d decodes to the very samples, whatever the headers say."""

from __future__ import annotations

import av1
import av1_writer as aw
import numpy as np
import pytest
from av1_writer import INTRA_ONLY, FrameHeader, SequenceHeader
from hypothesis import given, settings
from hypothesis import strategies as st


def three_frames(sequence: SequenceHeader, groups: int = 0) -> tuple[list[bytes], list[av1.Planes]]:
    """Temporal units of a key frame, of a hidden key frame and an INTRA_ONLY one, and of a header that shows the hidden
    one; and the planes that they show."""
    planes = [av1.picture(seed, sequence) for seed in range(3)]
    timed = {"removal_time": 1} if sequence.model else {}
    hidden = FrameHeader(show=0, refresh=4, id=2, order_hint=sequence.order_hint_bits > 0, **timed)
    units = [
        sequence.obu() + aw.frame(sequence, planes[0], FrameHeader(id=1, time=1, **timed), groups),
        aw.frame(sequence, planes[1], hidden, groups)
        + aw.frame(sequence, planes[2], FrameHeader(kind=INTRA_ONLY, refresh=1, id=3, **timed), groups),
        aw.show(sequence, 2, 2, 1),
    ]
    return units, [planes[0], planes[2], planes[1]]


def assert_decodes(units: list[bytes], planes: list[av1.Planes]) -> None:
    found = av1.dav1d(units)
    assert [[plane.shape for plane in picture] for picture in found] == [
        [p.shape for p in picture] for picture in planes
    ]
    assert all((a == b).all() for pair in zip(found, planes, strict=True) for a, b in zip(*pair, strict=True))


@settings(max_examples=60)
@given(av1.sequence_headers())
def test_headers_of_every_kind(sequence: SequenceHeader) -> None:
    assert_decodes(*three_frames(sequence))


@pytest.mark.parametrize("monochrome", [False, True])
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (2, 3), (7, 8), (11, 16), (32, 18), (31, 17), (41, 33), (64, 64), (128, 40), (100, 33)],
)
def test_sizes(width: int, height: int, depth: int, monochrome: bool) -> None:
    sequence = SequenceHeader(width, height, depth, monochrome)
    for groups in range(1 + aw.tiles_of(width)):
        assert_decodes(*three_frames(sequence, groups))


@given(st.integers(0, 2**40), st.integers(0, 8))
def test_numbers(value: int, size: int) -> None:
    size = 0 if size < -(-value.bit_length() // 7) else size
    data = aw.leb128(value, size)
    assert len(data) == size or (size == 0 and data[-1] < 128)
    assert sum((byte & 127) << 7 * k for k, byte in enumerate(data)) == value
    assert aw.split(aw.obu(aw.PADDING, b"x" * (value % 300), size or 2)) == [(aw.PADDING, b"x" * (value % 300))]


def test_the_samples_are_those_given() -> None:
    """A comparison that a wrong sample fails."""
    sequence = SequenceHeader(8, 8)
    units, planes = three_frames(sequence)
    planes[1][2] = planes[1][2] ^ np.eye(4, dtype=int)
    with pytest.raises(AssertionError):
        assert_decodes(units, planes)
