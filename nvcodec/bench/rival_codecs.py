"""Other codecs, through PyAV: frames to an elementary stream and back.

Their files are as small as can be: bare H.264 and H.265 streams without the encoder's signature, IVF for the others.
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

SIGNATURE = "filter_units=remove_types=6"  # x264 puts 700 bytes about itself into an SEI unit


@dataclasses.dataclass(frozen=True)
class Codec:
    """An encoder and its settings.

    Attributes:
        encoder: FFmpeg's name.
        suffix: of the file, which names its format.
        options: the encoder's.
        qualities: constant rate factors, each a point of the curve.
        filter: a bitstream filter, or none.
    """

    encoder: str
    suffix: str
    options: dict[str, str]
    qualities: tuple[int, ...]
    filter: str = ""


_QUIET = "log-level=none:info=0"
#: The paper's settings are medium without B frames.
CODECS: dict[str, Codec] = {
    "x264 medium, no B": Codec("libx264", "h264", {"preset": "medium", "bf": "0"}, (18, 23, 28, 33, 38, 43), SIGNATURE),
    "x264 veryslow": Codec("libx264", "h264", {"preset": "veryslow"}, (18, 23, 28, 33, 38, 43), SIGNATURE),
    "x265 medium, no B": Codec(
        "libx265", "hevc", {"preset": "medium", "x265-params": f"{_QUIET}:bframes=0"}, (18, 23, 28, 33, 38, 43)
    ),
    "x265 veryslow": Codec("libx265", "hevc", {"preset": "veryslow", "x265-params": _QUIET}, (18, 23, 28, 33, 38, 43)),
    "SVT-AV1 preset 6": Codec("libsvtav1", "ivf", {"preset": "6"}, (20, 28, 36, 44, 52, 60)),
    "SVT-AV1 preset 2": Codec("libsvtav1", "ivf", {"preset": "2"}, (20, 28, 36, 44, 52, 60)),
    "VP9 good, cpu-used 1": Codec(
        "libvpx-vp9", "ivf", {"deadline": "good", "cpu-used": "1", "b": "0"}, (20, 28, 36, 44, 52, 60)
    ),
}


def available(codec: Codec) -> bool:
    """Whether this build of PyAV has the encoder."""
    try:
        av.codec.Codec(codec.encoder, "w")
    except (av.FFmpegError, ValueError):
        return False
    return True


def encode(codec: Codec, quality: int, frames: Frames, fps: Fraction, path: Path) -> float:
    """Write ``frames``, uint8 [frames, 3, height, width], in YUV 4:2:0; returns the seconds that took.

    Raises:
        InputError: the encoder does not take them, such as sides that are odd.
    """
    os.environ.setdefault("SVT_LOG", "1")  # errors only; it writes to stderr by itself
    began = time.monotonic()
    try:
        with av.open(str(path), "w", format=codec.suffix) as container:
            stream: Any = container.add_stream(codec.encoder, rate=fps)
            stream.width, stream.height, stream.pix_fmt = frames.shape[3], frames.shape[2], "yuv420p"
            stream.options = {**codec.options, "crf": str(quality)}
            bitstream = BitStreamFilterContext(codec.filter, stream) if codec.filter else None
            for place, picture in enumerate([*frames, None]):
                frame = None
                if picture is not None:
                    rgb = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
                    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
                    frame.pts, frame.time_base = place, 1 / fps
                for packet in stream.encode(frame):
                    container.mux(bitstream.filter(packet) if bitstream else packet)
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"{codec.encoder} cannot encode these frames: {error}") from None
    return time.monotonic() - began


def decode(path: Path) -> Iterator[torch.Tensor]:
    """The frames of a file: uint8 [3, height, width]."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
