"""From a fit to a file: quantise, write, then decode the file once more and compare."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch

from nvcodec import __version__
from nvcodec.decoding.decoded_video import Video as DecodedVideo
from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.picture_checksums import compute_checksums
from nvcodec.encoding.export.network_export import export
from nvcodec.encoding.fit.fit import Fit, Fitted
from nvcodec.encoding.fit.targets import rounded_bytes
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.errors import VerificationError
from nvcodec.format.describe import quality_key
from nvcodec.format.stream import Layer, Segment, Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import append_layer, write_stream
from nvcodec.format.units import SegmentHead, Video
from nvcodec.metrics import psnr
from nvcodec.video.clip import Clip

PARAMETERS_PER_CHECKSUM = 8000  # at least: about a thousandth of a file are checksums
INDEX_FRAMES = 2000  # a shorter video has so few units that an index would not help


@dataclasses.dataclass(frozen=True)
class Encoded:
    """What an encode gave.

    Attributes:
        data: the file.
        fitted: the network it was made of, in float, with its quantisation steps.
        shape: the network's.
        parameters: integers stored in the file.
        interrupted: whether the fit was cut short.
        psnr: mean over the frames of the RGB PSNR of what the file decodes to, dB.
        seconds: time spent in ``reading``, ``choosing a size``, ``fitting``, ``quantising``, ``writing`` and
            ``verifying``, by all files together.
        target_bytes: how large the file should be; None where no size was asked for.
        ladder: all files, in the order of their targets, where several sizes were asked for; the first is this one.
        layers: what the file was after each layer that was fitted, where there is more than one layer; the last is this
            one.
    """

    data: bytes = dataclasses.field(repr=False)
    fitted: Fitted = dataclasses.field(repr=False)
    shape: NetworkShape
    parameters: int
    frames: int
    psnr: float
    seconds: dict[str, float]
    interrupted: bool = False
    target_bytes: int | None = None
    ladder: tuple[Encoded, ...] = dataclasses.field(default=(), repr=False)
    layers: tuple[Encoded, ...] = dataclasses.field(default=(), repr=False)

    @property
    def on_size(self) -> bool:
        """Whether the file is as large as it should be, or up to 2 % smaller."""
        return self.target_bytes is None or 0.98 * self.target_bytes <= len(self.data) <= self.target_bytes


class Assembler:
    """Fits of one layer to files.

    Args:
        clip: what is coded.
        shape: the layer's network.
        seed: the stream's.
        device: where files are decoded.
        clock: to which phases add their time.
        lower: a file of the layers below, empty for a base layer.
    """

    def __init__(
        self, clip: Clip, shape: NetworkShape, seed: int, device: torch.device, clock: Clock, lower: bytes
    ) -> None:
        self.clip, self.shape, self.seed, self.device, self.clock = clip, shape, seed, device, clock
        self.lower = lower
        self.metadata: dict[str, object] = {}

    def stream(self, fitted: Fitted) -> Stream:
        """What a file is to hold; its newest layer's checksums are still zero."""
        below = read_stream(self.lower) if self.lower else None
        layer = export(fitted.decoder, fitted.latents, fitted.noise, below.segments[0].layers if below else ())
        self.metadata[quality_key(len(below.segments[0].layers) if below else 0)] = 99.999  # as long as any
        if below is None:
            stream = _stream(self.clip, layer, self.seed)
            stream.metadata = {"encoder": f"nvcodec {__version__}", **self.metadata}
        else:
            stream = below
            stream.segments[0].layers.append(layer)
        layer.frames_per_checksum = _checksum_group(stream.frames, layer.parameters)
        layer.checksums = np.zeros(-(-stream.frames // layer.frames_per_checksum), np.uint32)
        return stream

    def write(self, stream: Stream) -> bytes:
        """The bytes of a file."""
        index = stream.frames >= INDEX_FRAMES
        if self.lower:
            return append_layer(self.lower, stream, self.metadata, index=index)
        return write_stream(stream, index=index)

    def room(self, fit: Fit, file_bytes: int) -> tuple[int, int]:
        """Bytes that weights, grids and latents take in a file of the fit as it is now, and that one of ``file_bytes``
        has for them."""
        taken = rounded_bytes(fit.result())
        return taken, file_bytes - (len(self.write(self.stream(fit.result()))) - taken)

    def make(self, fit: Fit) -> Encoded:
        """The file, decoded once more and compared."""
        clock = self.clock
        with clock("quantising"):
            fitted = copy.deepcopy(fit.result())  # the fit may go on
            stream = self.stream(fitted)
            stream.segments[0].layers[-1].checksums, quality = _reconstruct(stream, self.clip, self.device)
            stated = {quality_key(stream.layers - 1): round(quality, 3)}
            self.metadata.update(stated)
            stream.metadata.update(stated)
        with clock("writing"):
            data = self.write(stream)
        with clock("verifying"):
            _verify(data, self.clip, self.device)
        frames = len(self.clip.frames)
        return Encoded(data, fitted, self.shape, stream.parameters, frames, quality, clock.seconds)


class Clock:
    """Adds up the seconds spent in named phases."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> Clock:
        """``with clock("fitting"):`` adds the block's time to that phase."""
        self.name = name
        return self

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + time.monotonic() - self.start


def _stream(clip: Clip, layer: Layer, seed: int) -> Stream:
    durations = np.array([duration for _, duration in clip.ticks], np.int64)
    constant = int(durations[0]) if (durations == durations[0]).all() and durations[0] < 2**32 else 0
    head = SegmentHead(0, len(clip.frames), clip.width, clip.height, clip.ticks[0][0], constant)
    aspect = clip.sample_aspect.limit_denominator(65535)
    if not 0 < aspect.numerator <= 65535:
        aspect = Fraction(1)
    video = Video(
        sample_format=0,
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


def _checksum_group(frames: int, parameters: int) -> int:
    """How many frames share a checksum: one, or as few as make the checksums a small share of the file."""
    group = 1
    while group < frames and PARAMETERS_PER_CHECKSUM * -(-frames // group) > parameters:
        group *= 2
    return min(group, frames)


def _reconstruct(stream: Stream, clip: Clip, device: torch.device) -> tuple[np.ndarray, float]:
    """Decode the stream's newest layer: its picture checksums, and its mean RGB PSNR in dB."""
    network = ExactNetwork(stream.segments[0], 0, stream.video.seed, device, stream.layers)
    group = stream.segments[0].layers[-1].frames_per_checksum
    psnrs = []

    def pictures() -> Iterator[torch.Tensor]:
        for frame, original in enumerate(clip.frames):
            picture = network.decode([frame])[0].cpu()
            psnrs.append(psnr(picture, original))
            yield picture

    checksums = compute_checksums(pictures(), group)
    return checksums, sum(psnrs) / len(psnrs)


def _verify(data: bytes, clip: Clip, device: torch.device) -> None:
    """Decode the file as any decoder would, and compare every checksum."""
    decoded = DecodedVideo(read_stream(data), device=str(device))
    if decoded.stream.ticks != clip.ticks:
        raise VerificationError("the file does not hold the clip's time stamps")
    for _ in decoded:
        pass
