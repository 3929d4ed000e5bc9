"""Frames to an AV1 stream by SVT-AV1, inside PyAV."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import av
import torch

from nvcodec.errors import InputError
from nvcodec.format.av1_headers import TEMPORAL_DELIMITER
from nvcodec.tracks import NO_HDR, Hdr
from nvcodec.video.hdr import svt_parameters
from nvcodec.video.svt_av1 import parallelism, restrained
from nvcodec.video.yuv import BT601, LUMA_WEIGHTS, PIXEL_FORMATS, planes_to_frame, rgb_to_yuv420

ENCODER = "libsvtav1"
MAX_CRF, CRF_STEP = 63.0, 0.25
MAX_RUN_FRAMES, MAX_RUN_SECONDS = 128, 5  # a run starts with a key frame, and decodes alone
#: SVT-AV1 is told a higher rate factor, and to quantise so much more finely than that says. It then decides as it would
#: for fewer bytes; with a smaller lambda as well, that is 1.4 to 3 % fewer bytes at equal PSNR.
FINER = 8
LAMBDA_128THS = 104
FRAME_KINDS = 7  # each of which has a lambda
DEPTH = 10  # bits; also for sources of 8 bits: 1.5 to 2 % fewer bytes
LEAST_FPS, MOST_FPS, MAX_RATE_TERM = 1, 240, 1001  # SVT-AV1 takes no other rates, and PyAV no longer fractions


@dataclasses.dataclass(frozen=True)
class BaseSettings:
    """How to encode the AV1 stream.

    Attributes:
        crf: constant rate factor, 0 to 63 in steps of a quarter.
        preset: SVT-AV1's, 0 (slow) to 13.
        fps: frames per second.
        matrix: code point of ITU-T H.273 of the matrix; one of ``LUMA_WEIGHTS``.
        primaries, transfer: code points that the stream declares.
        hdr: what the stream declares of display and light.
        threads: how many threads to use; the bytes are the same for every number.
    """

    crf: float
    preset: int
    fps: Fraction
    matrix: int = BT601
    primaries: int = 2
    transfer: int = 2
    threads: int = 1
    hdr: Hdr = NO_HDR

    @property
    def told_fps(self) -> Fraction:
        """The frame rate that SVT-AV1 is told, as near to the real one as it takes it; the stream does not hold it."""
        return min(max(self.fps.limit_denominator(MAX_RATE_TERM), Fraction(LEAST_FPS)), Fraction(MOST_FPS))

    @property
    def run_frames(self) -> int:
        """Frames of a run."""
        return max(1, min(MAX_RUN_FRAMES, math.floor(self.fps * MAX_RUN_SECONDS)))

    @property
    def parameters(self) -> str:
        """SVT-AV1's parameters for one run; the option ``crf`` of FFmpeg would be cut to a whole number."""
        finer = min(FINER, math.floor(MAX_CRF - self.crf))
        lambdas = ",".join([str(LAMBDA_128THS)] * FRAME_KINDS)
        usual = [
            f"crf={self.crf + finer:g}",
            f"startup-qp-offset={-finer}",  # of all frames up to the second key frame, and there is only one
            f"lambda-scale-factors={lambdas}",
            "keyint=-1",
            "sharpness=1",  # 0.3 to 0.7 % fewer bytes at equal PSNR
            f"lp={parallelism(self.threads)}",
        ]
        return ":".join([*usual, *svt_parameters(self.hdr)])


@dataclasses.dataclass(frozen=True)
class TemporalUnit:
    """The OBUs of one frame, without temporal delimiters, and whether a run can start with it."""

    data: bytes
    key: bool


def encode_av1(
    frames: Iterable[torch.Tensor], settings: BaseSettings, on_frame: Callable[[int], None] | None = None
) -> list[TemporalUnit]:
    """Encode pictures.

    Args:
        frames: RGB [3, height, width] each, uint8 or uint16.
        settings: how.
        on_frame: called with the number of frames that have been handed in so far.

    Returns:
        One temporal unit for each frame, in the order in which they are shown.

    Raises:
        InputError: PyAV has no SVT-AV1, or it refuses the pictures.
    """
    units: list[TemporalUnit] = []
    run: _Run | None = None
    with restrained() as calm:
        for index, picture in enumerate(frames):
            if index % settings.run_frames == 0:
                units += run.end() if run else []
                run = _Run(picture, settings)
            assert run is not None
            units += run.encode(picture)
            if index % settings.run_frames == 0:
                calm()
            if on_frame:
                on_frame(index + 1)
        units += run.end() if run else []
    return units


class _Run:
    """A run that is being encoded, by an encoder of its own.

    Args:
        picture: its first one.
        settings: how.

    Raises:
        InputError: PyAV has no SVT-AV1.
    """

    def __init__(self, picture: torch.Tensor, settings: BaseSettings) -> None:
        self.settings, self.frames = settings, 0
        self.context = _context(picture, settings)

    def encode(self, picture: torch.Tensor) -> list[TemporalUnit]:
        """Hand in a picture; returns the units that are ready. Raises InputError where SVT-AV1 refuses it."""
        frame = planes_to_frame(rgb_to_yuv420(picture, DEPTH, self.settings.matrix), DEPTH)
        frame.pts, frame.time_base = self.frames, 1 / self.settings.told_fps
        self.frames += 1
        return self._units(frame)

    def end(self) -> list[TemporalUnit]:
        """Return the last units."""
        return self._units(None)

    def _units(self, frame: Any) -> list[TemporalUnit]:
        try:
            return [_unit(packet) for packet in self.context.encode(frame)]
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            size = f"{self.context.width}x{self.context.height}"
            raise InputError(f"SVT-AV1 cannot encode frames of {size}: {reason}") from None


def _context(picture: torch.Tensor, settings: BaseSettings) -> Any:
    """Open the encoder for pictures of this size; raises InputError."""
    try:
        context: Any = av.CodecContext.create(ENCODER, "w")
    except ValueError:
        raise InputError(
            "this PyAV cannot encode AV1, because it lacks SVT-AV1; "
            'pip install --force-reinstall "av>=15" installs one that can, and `base="none"` does without'
        ) from None
    context.height, context.width = picture.shape[1:]
    context.pix_fmt = PIXEL_FORMATS[DEPTH]
    context.framerate, context.time_base = settings.told_fps, 1 / settings.told_fps
    context.color_primaries, context.color_trc = settings.primaries, settings.transfer
    context.colorspace, context.color_range = settings.matrix, 1
    context.options = {"preset": str(settings.preset), "svtav1-params": settings.parameters}
    return context


def _unit(packet: Any) -> TemporalUnit:
    """Return the temporal unit that a packet holds."""
    return TemporalUnit(bytes(packet).removeprefix(TEMPORAL_DELIMITER), bool(packet.is_keyframe))


def matrix_of(declared: int) -> int:
    """Return the matrix to convert with, given the one that the source declares: BT.601 where it declares none."""
    return declared if declared in LUMA_WEIGHTS else BT601
