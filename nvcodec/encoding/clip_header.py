"""What a stream says of its clip: picture size, times, colours, sample aspect."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nvcodec.format.stream import Layer, Segment, Stream
from nvcodec.format.units import SegmentHead, Video
from nvcodec.samples import BITS
from nvcodec.video.clip import Clip

MAX_ASPECT_TERM = 2**16 - 1


def base_stream(clip: Clip, layer: Layer, seed: int) -> Stream:
    """Return a stream of one segment with one layer, without metadata."""
    durations = np.array([duration for _, duration in clip.ticks], np.int64)
    constant = int(durations[0]) if (durations == durations[0]).all() and durations[0] < 2**32 else 0
    head = SegmentHead(0, len(clip.frames), clip.width, clip.height, clip.ticks[0][0], constant)
    aspect = clip.sample_aspect.limit_denominator(MAX_ASPECT_TERM)
    if not 0 < aspect.numerator <= MAX_ASPECT_TERM:
        aspect = Fraction(1)
    video = Video(
        sample_format=BITS.index(clip.bits),
        primaries=clip.color.primaries,
        transfer=clip.color.transfer,
        matrix=clip.color.matrix,
        color_range=clip.color.range,
        sample_aspect_num=aspect.numerator,
        sample_aspect_den=aspect.denominator,
        time_base_num=clip.time_base.numerator,
        time_base_den=clip.time_base.denominator,
        seed=seed % 2**32,
    )
    return Stream(video, [Segment(head, durations, [layer])])
