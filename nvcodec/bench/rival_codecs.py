"""Other codecs, used through PyAV.

Their files carry as little overhead as possible: elementary streams for H.264 and H.265, IVF for the others.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.bitstream import BitStreamFilterContext

from nvcodec.errors import InputError
from nvcodec.video.frames import Frames

REMOVE_SEI = "filter_units=remove_types=6"  # x264 describes itself in an SEI unit of 700 bytes
_X265_QUIET = "log-level=none:info=0"


@dataclasses.dataclass(frozen=True)
class Codec:
    """An encoder with its settings.

    Attributes:
        encoder: its name in FFmpeg.
        suffix: the file's suffix, which is also FFmpeg's name of the format.
        options: options of the encoder.
        qualities: constant rate factors, one per point of the curve.
        filter: FFmpeg's bitstream filter to apply; empty for none.
    """

    encoder: str
    suffix: str
    options: dict[str, str]
    qualities: tuple[int, ...]
    filter: str = ""


_H26X_QUALITIES = (18, 23, 28, 33, 38, 43)
_AV1_QUALITIES = (20, 28, 36, 44, 52, 60)  # and VP9's
#: Medium without B frames is what the paper compares with.
CODECS: dict[str, Codec] = {
    "x264 medium, no B": Codec("libx264", "h264", {"preset": "medium", "bf": "0"}, _H26X_QUALITIES, REMOVE_SEI),
    "x264 veryslow": Codec("libx264", "h264", {"preset": "veryslow"}, _H26X_QUALITIES, REMOVE_SEI),
    "x265 medium, no B": Codec(
        "libx265", "hevc", {"preset": "medium", "x265-params": f"{_X265_QUIET}:bframes=0"}, _H26X_QUALITIES
    ),
    "x265 veryslow": Codec("libx265", "hevc", {"preset": "veryslow", "x265-params": _X265_QUIET}, _H26X_QUALITIES),
    "SVT-AV1 preset 6": Codec("libsvtav1", "ivf", {"preset": "6"}, _AV1_QUALITIES),
    "SVT-AV1 preset 2": Codec("libsvtav1", "ivf", {"preset": "2"}, _AV1_QUALITIES),
    "VP9 good, cpu-used 1": Codec("libvpx-vp9", "ivf", {"deadline": "good", "cpu-used": "1", "b": "0"}, _AV1_QUALITIES),
}


def available(codec: Codec) -> bool:
    """Return whether this build of PyAV has the encoder."""
    try:
        av.codec.Codec(codec.encoder, "w")
    except (av.FFmpegError, ValueError):
        return False
    return True


def encode(codec: Codec, quality: int, frames: Frames, fps: Fraction, path: Path) -> float:
    """Encode frames in YUV 4:2:0 into a file.

    Args:
        codec: the encoder.
        quality: constant rate factor.
        frames: RGB, uint8 [frames, 3, height, width].
        fps: frames per second.
        path: the file to write.

    Returns:
        The time taken, in seconds.

    Raises:
        InputError: the encoder refuses the frames, for example because a side is odd.
    """
    os.environ.setdefault("SVT_LOG", "1")  # errors only; SVT-AV1 writes to stderr itself
    began = time.monotonic()
    try:
        with av.open(str(path), "w", format=codec.suffix) as container:
            stream: Any = container.add_stream(codec.encoder, rate=fps)
            stream.width, stream.height, stream.pix_fmt = frames.shape[3], frames.shape[2], "yuv420p"
            stream.options = {**codec.options, "crf": str(quality)}
            bitstream = BitStreamFilterContext(codec.filter, stream) if codec.filter else None
            for index, picture in enumerate([*frames, None]):
                frame = None
                if picture is not None:
                    rgb = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
                    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
                    frame.pts, frame.time_base = index, 1 / fps
                for packet in stream.encode(frame):
                    container.mux(bitstream.filter(packet) if bitstream else packet)
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"{codec.encoder} cannot encode these frames: {error}") from None
    return time.monotonic() - began


def decode(path: Path) -> Iterator[torch.Tensor]:
    """Decode a file; yields RGB pictures, uint8 [3, height, width]."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
