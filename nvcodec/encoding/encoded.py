"""The result of an encode."""

from __future__ import annotations

import dataclasses

from nvcodec.encoding.fit.fit import Fitted
from nvcodec.encoding.model.network_shape import NetworkShape

MIN_FILL = 0.98  # of a target size that counts as met


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A file, and what is known of it.

    Attributes:
        data: the file.
        parameters: number of integers stored in the file, those of an AV1 stream not counted.
        frames: number of frames.
        width, height: of the pictures, pixels.
        psnr: RGB PSNR of the decoded file in dB, mean over the frames.
        seconds: time spent in ``reading``, ``AV1``, ``choosing a size``, ``fitting``, ``quantising``, ``writing`` and
            ``verifying``, for all files together.
        fitted: the network it was made from, in float, with its quantisation steps; None with an AV1 stream.
        shape: the network's shape; None with an AV1 stream.
        crf: constant rate factor of the AV1 stream; None without one, or where it was given.
        interrupted: whether the fit was cut short.
        target_bytes: how large the file should be; None if no size was asked for.
        ladder: all files, in the order of their targets, if several sizes were asked for; the first is this one.
        layers: the file after each layer that was fitted, if there is more than one layer; the last is this one.
    """

    data: bytes = dataclasses.field(repr=False)
    parameters: int
    frames: int
    width: int
    height: int
    psnr: float
    seconds: dict[str, float]
    fitted: Fitted | None = dataclasses.field(default=None, repr=False)
    shape: NetworkShape | None = None
    crf: float | None = None
    interrupted: bool = False
    target_bytes: int | None = None
    ladder: tuple[Encoded, ...] = dataclasses.field(default=(), repr=False)
    layers: tuple[Encoded, ...] = dataclasses.field(default=(), repr=False)

    @property
    def on_size(self) -> bool:
        """Whether the file has its target size, or is up to 2 % smaller."""
        return self.target_bytes is None or MIN_FILL * self.target_bytes <= len(self.data) <= self.target_bytes
