"""What an output says of the colours of its pixels, given what the source says of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

from nvcodec.video.clip import UNSPECIFIED, Color
from nvcodec.video.yuv import LUMA_WEIGHTS

BT709, BT2020 = 1, 9  # ITU-T H.273's code points for primaries; for matrices as well
RGB = 0  # the matrix of pixels that are red, green and blue
LIMITED, FULL = 1, 2
NOTHING_SAID = Color()
PRIMARIES = frozenset({1, *range(4, 13), 22})  # code points that H.273 defines; encoders refuse others
TRANSFERS = frozenset({1, *range(4, 19)})


def tags_of_rgb(source: Color) -> Color:
    """Return the tags of a source's red, green and blue: its own primaries and transfer."""
    return Color(_known(source.primaries, PRIMARIES), _known(source.transfer, TRANSFERS), RGB, FULL)


def tags_of_yuv(source: Color) -> Color:
    """Return the tags of Y, Cb and Cr that are made from a source's red, green and blue, limited range.

    The matrix is the source's, where :mod:`nvcodec.video.yuv` knows it; else that of the source's primaries, BT.2020 or
    BT.709. What says nothing of its colours counts as BT.709, because players would guess.
    """
    tags = dataclasses.replace(tags_of_rgb(source), range=LIMITED)
    if source.matrix in LUMA_WEIGHTS:
        return dataclasses.replace(tags, matrix=source.matrix)
    if tags.primaries == tags.transfer == UNSPECIFIED:
        tags = dataclasses.replace(tags, primaries=BT709, transfer=BT709)
    return dataclasses.replace(tags, matrix=BT2020 if tags.primaries == BT2020 else BT709)


def set_tags(target: Any, tags: Color) -> None:
    """Set the tags of PyAV's codec context or frame; FFmpeg's numbers are H.273's."""
    target.color_primaries, target.color_trc = tags.primaries, tags.transfer
    target.colorspace, target.color_range = tags.matrix, tags.range


def _known(code_point: int, defined: frozenset[int]) -> int:
    return code_point if code_point in defined else UNSPECIFIED
