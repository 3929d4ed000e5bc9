"""Outputs of PNG files."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from nvcodec.errors import UsageError
from nvcodec.files import atomic_file, temporary_path, writing
from nvcodec.samples import bits_of, peak_of
from nvcodec.tracks import NO_HDR, Hdr
from nvcodec.video.clip import Color
from nvcodec.video.color_tags import NOTHING_SAID, set_tags, tags_of_rgb
from nvcodec.video.hdr import png_chunk, png_chunks
from nvcodec.video.sink_base import Picture, Properties, SinkBase

WHITE = 2**16 - 1  # of a PNG file with 16 bits
BEFORE_CHUNKS = 33  # bytes of signature and IHDR


def png(
    picture: Picture, color: Color = NOTHING_SAID, sample_aspect: Fraction = Fraction(1), hdr: Hdr = NO_HDR
) -> bytes:
    """Return a picture as the bytes of a PNG file, which says what the source declares of colours, display and light.

    10 bits become 16, such that white is white and :mod:`nvcodec.video.frame_to_rgb` makes the same 10 of them; the
    chunk sBIT says how many there were.
    """
    bits, pixels = bits_of(picture), "rgb24"
    array: Any = picture
    if bits > 8:
        pixels = "rgb48be"
        array = ((picture.astype(np.uint32) * WHITE + peak_of(bits) // 2) // peak_of(bits)).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=pixels)
    frame.pts = None
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, pixels
    encoder.time_base, encoder.sample_aspect_ratio = Fraction(1), sample_aspect
    set_tags(frame, tags_of_rgb(color))
    data = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    chunks = png_chunk(b"sBIT", bytes([bits] * 3)) if bits > 8 else b""
    return data[:BEFORE_CHUNKS] + chunks + png_chunks(hdr) + data[BEFORE_CHUNKS:]


def png_of(picture: Picture, properties: Properties) -> bytes:
    """Return a picture as the bytes of a PNG file that says all that it can of its properties."""
    return png(picture, properties.color, properties.sample_aspect, properties.extras.hdr)


class PngFileSink(SinkBase):
    """A PNG file of a single frame; lossless.

    Raises:
        UsageError: there is a second frame.
    """

    def __init__(self, path: str, properties: Properties) -> None:
        super().__init__()
        self.path = path
        self.properties = properties
        self.file = self.stack.enter_context(atomic_file(path))
        self.full = False

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        if self.full:
            raise UsageError(
                f"{self.path} holds one picture, and there are more; write a folder/, or choose one by `frames`"
            )
        self.file.write_bytes(png_of(picture, self.properties))
        self.full = True


class PngFolderSink(SinkBase):
    """A folder of PNG files ``00000.png ...``; lossless. The folder appears once all frames are written.

    Args:
        path: the folder.
        first: number of the first file.
        properties: of the frames.
        overwrite: whether to remove the numbered PNG files that the folder contains.
    """

    def __init__(self, path: str, first: int, properties: Properties, overwrite: bool) -> None:
        super().__init__()
        self.target = Path(os.path.realpath(path))
        self.number = first
        self.properties = properties
        self.overwrite = overwrite
        with writing(path):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.folder = self.stack.enter_context(temporary_path(self.target))
            self.folder.mkdir()
        self.stack.push(self._finish)

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        with writing(self.target):
            data = png_of(picture, self.properties)
            (self.folder / f"{self.number:05d}.png").write_bytes(data)
        self.number += 1

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        with writing(self.target):
            if not self.target.exists() or not any(self.target.iterdir()):
                self.folder.replace(self.target)  # all pictures appear at once
                return
            if self.overwrite:  # frames of an earlier run must not remain among the new ones; other files stay
                for old in self.target.iterdir():
                    if re.fullmatch(r"\d{5,}\.png", old.name) and old.is_file():
                        old.unlink()
            for file in self.folder.iterdir():
                file.replace(self.target / file.name)
