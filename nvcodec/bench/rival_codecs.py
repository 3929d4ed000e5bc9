"""Other codecs, used through PyAV, under equal conditions.

Pictures are converted to 4:2:0 and back by :mod:`nvcodec.video.yuv`, outside the time that is measured; all encoders
and decoders get the same number of threads; and bytes are those of the elementary stream, without a container.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch
from av.bitstream import BitStreamFilterContext

from nvcodec.devices import thread_count
from nvcodec.errors import InputError
from nvcodec.video import svt_av1
from nvcodec.video.frames import Frames
from nvcodec.video.yuv import PIXEL_FORMATS, frame_to_planes, planes_to_frame, rgb_to_yuv420, yuv420_to_rgb

REMOVE_SEI = "filter_units=remove_types=6"  # x264 describes itself in an SEI unit of 700 bytes
#: Frames per second that every encoder is told. Several spend bits by it, which a mean over frames does not value.
FPS = Fraction(25)
X265_FATAL_WIDTHS = range(33, 49)  # libx265 (so 216) then writes past a buffer of its lookahead (cuTree)
_X265_QUIET = "log-level=none:info=0"
_CHROMA = "cbqpoffs=-6:crqpoffs=-6"  # brings x265 8 to 10 % of the bytes at equal RGB PSNR


@dataclasses.dataclass(frozen=True)
class Codec:
    """An encoder with its settings.

    Attributes:
        encoder: its name in FFmpeg.
        suffix: the file's suffix, which is also FFmpeg's name of the format.
        options: options of the encoder.
        qualities: constant rate factors, one per point of the curve.
        filter: FFmpeg's bitstream filter to apply; empty for none.
        bits: per sample, 8 or 10.
        default: whether it is measured when no codec is named.
    """

    encoder: str
    suffix: str
    options: dict[str, str]
    qualities: tuple[int, ...]
    filter: str = ""
    bits: int = 8
    default: bool = True


@dataclasses.dataclass(frozen=True)
class Encoding:
    """What an encode took.

    Attributes:
        file_bytes: bytes of the elementary stream: those of all packets, without what a container adds.
        seconds: time spent in the encoder.
    """

    file_bytes: int
    seconds: float


_H26X_QUALITIES = (18, 23, 28, 33, 38, 43)
_AV1_QUALITIES = (20, 28, 36, 44, 52, 60)  # and VP9's


def _x265(preset: str, params: str = "", **more: Any) -> Codec:
    options = {"preset": preset, "x265-params": ":".join(filter(None, (_X265_QUIET, params)))}
    return Codec("libx265", "hevc", options, _H26X_QUALITIES, **more)


def _svt_av1(preset: int, **more: Any) -> Codec:
    return Codec("libsvtav1", "obu", {"preset": str(preset)}, _AV1_QUALITIES, **more)


#: Medium without B frames is what the paper compares with.
CODECS: dict[str, Codec] = {
    "x264 medium, no B": Codec("libx264", "h264", {"preset": "medium", "bf": "0"}, _H26X_QUALITIES, REMOVE_SEI),
    "x264 veryslow": Codec("libx264", "h264", {"preset": "veryslow"}, _H26X_QUALITIES, REMOVE_SEI),
    "x265 medium, no B": _x265("medium", "bframes=0"),
    "x265 veryslow": _x265("veryslow"),
    "x265 veryslow, chroma -6": _x265("veryslow", _CHROMA, default=False),
    "x265 veryslow, 10 bits": _x265("veryslow", bits=10, default=False),
    "x265 veryslow, 10 bits, chroma -6": _x265("veryslow", _CHROMA, bits=10, default=False),
    "SVT-AV1 preset 6": _svt_av1(6),
    "SVT-AV1 preset 2": _svt_av1(2),
    "SVT-AV1 preset 2, 10 bits": _svt_av1(2, bits=10, default=False),
    "VP9 good, cpu-used 1": Codec("libvpx-vp9", "ivf", {"deadline": "good", "cpu-used": "1", "b": "0"}, _AV1_QUALITIES),
}


def available(codec: Codec) -> bool:
    """Return whether this build of PyAV has the encoder, with these bits per sample."""
    try:
        formats = av.codec.Codec(codec.encoder, "w").video_formats or ()
    except (av.FFmpegError, ValueError):
        return False
    return any(pixels.name == PIXEL_FORMATS[codec.bits] for pixels in formats)


def with_bits_of(codec: Codec, bits: int) -> Codec:
    """Return a codec as it is run for a source of so many bits: with 10, if the source has 10 and the encoder can."""
    deep = dataclasses.replace(codec, bits=max(codec.bits, bits))
    return deep if available(deep) else codec


def encode(codec: Codec, quality: int, frames: Frames, path: Path, threads: int) -> Encoding:
    """Encode frames in 4:2:0 into a file.

    Args:
        codec: the encoder.
        quality: constant rate factor.
        frames: RGB [frames, 3, height, width], uint8 or uint16.
        path: the file to write.
        threads: of the encoder. The bytes are the same for any number, but for x264.

    Raises:
        InputError: the encoder refuses the frames, for example because a side is odd.
    """
    if codec.encoder == "libx265" and frames.shape[3] in X265_FATAL_WIDTHS:
        raise InputError("libx265 cannot encode pictures of a width of 33 to 48 without destroying memory")
    file_bytes, seconds = 0, 0.0
    try:
        with (
            thread_count(1),  # torch's workers would go on waiting busily beside the encoder's
            svt_av1.restrained() as calm_threads,
            av.open(str(path), "w", format=codec.suffix) as container,
        ):
            stream: Any = container.add_stream(codec.encoder, rate=FPS)
            stream.width, stream.height, stream.pix_fmt = frames.shape[3], frames.shape[2], PIXEL_FORMATS[codec.bits]
            stream.options = {**codec.options, **thread_options(codec, threads), "crf": str(quality)}
            stream.codec_context.thread_count = threads
            bitstream = BitStreamFilterContext(codec.filter, stream) if codec.filter else None
            began = time.monotonic()
            container.start_encoding()
            calm_threads()
            seconds += time.monotonic() - began
            for index, picture in enumerate(itertools.chain(frames, [None])):
                frame = None
                if picture is not None:
                    frame = planes_to_frame(rgb_to_yuv420(picture, codec.bits), codec.bits)
                    frame.pts, frame.time_base = index, 1 / FPS
                began = time.monotonic()
                packets = stream.encode(frame)
                seconds += time.monotonic() - began
                for packet in packets:
                    for part in bitstream.filter(packet) if bitstream else [packet]:
                        file_bytes += part.size
                        container.mux(part)
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{codec.encoder} cannot encode these frames: {reason}") from None
    return Encoding(file_bytes, seconds)


def decode(path: Path, threads: int, bits: int = 8) -> tuple[list[torch.Tensor], float]:
    """Decode a file that :func:`encode` wrote, to pictures of so many bits.

    Returns:
        RGB pictures [3, height, width], and the seconds spent in the decoder.
    """
    pictures: list[torch.Tensor] = []
    seconds = 0.0
    with thread_count(1), av.open(str(path)) as container:
        context: Any = container.streams.video[0].codec_context
        context.thread_count, context.thread_type = threads, "AUTO"
        frames = container.decode(video=0)
        while True:
            began = time.monotonic()
            frame = next(frames, None)
            seconds += time.monotonic() - began
            if frame is None:
                return pictures, seconds
            pictures.append(yuv420_to_rgb(*frame_to_planes(frame), to_bits=bits))


def thread_options(codec: Codec, threads: int) -> dict[str, str]:
    """Return the options by which encoders take a number of threads that do not take FFmpeg's."""
    if codec.encoder == "libx265":  # several frames at once would cost bytes
        return {"x265-params": f"{codec.options['x265-params']}:pools={threads}:frame-threads=1"}
    if codec.encoder == "libsvtav1":
        return {"svtav1-params": f"lp={svt_av1.parallelism(threads)}"}
    return {}
