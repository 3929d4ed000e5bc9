"""Pictures to frames in the pixel format of an encoder, each with the tags that suit it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
import torch

from nvcodec.samples import bits_of, with_bits
from nvcodec.video.clip import Color
from nvcodec.video.color_tags import NOTHING_SAID, tags_of_rgb, tags_of_yuv
from nvcodec.video.sink_base import Picture, Properties, channels_first
from nvcodec.video.yuv import PIXEL_FORMATS, PIXEL_FORMATS_444, planes_to_frame, rgb_to_yuv420, rgb_to_yuv444

PLANES_OF_RGB = {10: "gbrp10le"}  # FFmpeg's name, by bits


class Converter(Protocol):
    """Makes frames of pictures, one by one.

    Attributes:
        pixels: FFmpeg's name of their pixel format.
        tags: of their colours.
    """

    pixels: str
    tags: Color

    def __call__(self, picture: Picture) -> av.VideoFrame: ...


class RgbConverter:
    """The same samples in another order."""

    def __init__(self, properties: Properties) -> None:
        self.tags, self.bits = tags_of_rgb(properties.color), properties.bits
        self.pixels = "bgr0" if self.bits == 8 else PLANES_OF_RGB[self.bits]

    def __call__(self, picture: Picture) -> av.VideoFrame:
        if self.bits == 8:
            return _rgb(picture).reformat(format=self.pixels)
        red, green, blue = (picture[..., color] for color in range(3))
        return planes_to_frame((green, blue, red), self.bits, PLANES_OF_RGB)


class YuvConverter:
    """Y, Cb and Cr, with as many bits as the pictures.

    Args:
        properties: of the frames.
        subsampled: whether there is one sample of chroma for 2x2 pixels, not for each.
    """

    def __init__(self, properties: Properties, subsampled: bool) -> None:
        self.tags, self.bits = tags_of_yuv(properties.color), properties.bits
        self.formats = PIXEL_FORMATS if subsampled else PIXEL_FORMATS_444
        self.pixels = self.formats[self.bits]
        self.to_planes = rgb_to_yuv420 if subsampled else rgb_to_yuv444

    def __call__(self, picture: Picture) -> av.VideoFrame:
        planes = self.to_planes(channels_first(picture), self.bits, self.tags.matrix)
        return planes_to_frame(planes, self.bits, self.formats)


class PaletteConverter:
    """Up to 255 colours, chosen for each picture by itself, and dithered, by FFmpeg's filters."""

    pixels = "pal8"
    tags = NOTHING_SAID

    def __init__(self, properties: Properties) -> None:
        self.graph = av.filter.Graph()
        pixels = av.VideoFormat("bgra", properties.width, properties.height)
        source = self.graph.add_buffer(
            width=properties.width, height=properties.height, format=pixels, time_base=Fraction(1)
        )
        split, palette = self.graph.add("split"), self.graph.add("palettegen", "stats_mode=single")
        use, sink = self.graph.add("paletteuse", "new=1"), self.graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(palette, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(sink)
        self.graph.configure()
        self.frames = 0

    def __call__(self, picture: Picture) -> av.VideoFrame:
        frame = _rgb(picture).reformat(format="bgra")
        frame.pts, frame.time_base = self.frames, Fraction(1)
        self.frames += 1
        self.graph.push(frame)
        result: Any = self.graph.pull()
        return result


def _rgb(picture: Picture) -> av.VideoFrame:
    """A frame with 8 bits."""
    array: Any = with_bits(torch.from_numpy(picture), 8).numpy() if bits_of(picture) > 8 else picture
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
