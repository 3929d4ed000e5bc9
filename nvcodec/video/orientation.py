"""Which way up a decoded frame is shown: one of the eight orientations that a display matrix or EXIF can give."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import av
import numpy as np
import torch
from av.sidedata.sidedata import Type

from nvcodec.samples import signed

MATRIX_BYTES = 36  # nine int32
#: Tangent of the largest angle, one degree, by which a matrix may miss a multiple of 90 degrees.
MAX_SLANT = 0.0175
#: Numbers of kinds of side data that FFmpeg may have and PyAV has no name for.
UNKNOWN_KINDS = range(len(Type), len(Type) + 12)


@dataclasses.dataclass(frozen=True)
class Orientation:
    """What to do with a decoded picture to show it upright, in this order.

    Attributes:
        transpose: swap rows and columns.
        mirror: reverse the columns.
        flip: reverse the rows.
    """

    transpose: bool = False
    mirror: bool = False
    flip: bool = False

    def apply(self, picture: torch.Tensor) -> torch.Tensor:
        """Return a picture [channels, height, width] upright; its memory may be that of the argument."""
        if self.transpose:
            picture = picture.transpose(1, 2)
        axes = [axis for axis, reverse in ((1, self.flip), (2, self.mirror)) if reverse]
        return signed(picture).flip(axes).view(picture.dtype) if axes else picture


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Return the orientation that the file declares for a frame: by a container's matrix, EXIF or an SEI message."""
    # PyAV's `rotation` is a rounded angle: it is the same for a picture and its mirror image.
    data = side_data(frame, "DISPLAYMATRIX")
    return Orientation() if data is None else from_matrix(data)


def side_data(frame: av.VideoFrame, kind: str) -> bytes | None:
    """Return the side data of a kind, by PyAV's name, that a frame has."""
    try:
        data: Any = frame.side_data.get(kind)
    except ValueError:  # PyAV refuses kinds that it does not know, such as EXIF itself
        data = _without_unknown(frame).side_data.get(kind)
    return None if data is None else bytes(data)


def from_matrix(data: bytes) -> Orientation:
    """Return the orientation that a display matrix stands for.

    Args:
        data: the matrix (a b u, c d v, x y w), in FFmpeg's order and the machine's byte order, of which a sample at
            (x, y) is shown at (a x + c y, b x + d y). One that is no such orientation, because it is zero, singular or
            not a multiple of 90 degrees, counts as none.
    """
    if len(data) < MATRIX_BYTES:
        return Orientation()
    a, b, _, c, d, *_ = map(int, np.frombuffer(data[:MATRIX_BYTES], "=i4"))
    for transpose, (to_x, to_y), rest in ((False, (a, d), (b, c)), (True, (c, b), (a, d))):
        if to_x and to_y and max(map(abs, rest)) <= MAX_SLANT * min(abs(to_x), abs(to_y)):
            return Orientation(transpose, to_x < 0, to_y < 0)
    return Orientation()


def _without_unknown(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a frame with the same side data, except those that PyAV does not know."""
    graph = av.filter.Graph()
    chain = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))]
    chain += [graph.add("sidedata", f"mode=delete:type={number}") for number in UNKNOWN_KINDS]
    graph.link_nodes(*chain, graph.add("buffersink")).configure()
    graph.push(frame)
    known = graph.pull()
    assert isinstance(known, av.VideoFrame)
    return known
