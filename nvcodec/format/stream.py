"""The content of an SDMN file as data: :class:`Stream` and its parts."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from nvcodec.errors import CorruptStreamError
from nvcodec.format.accounting import Entry, UnitReport
from nvcodec.format.arithmetic.step_indices import FIRST_SHIFTS
from nvcodec.format.inference import Tensor
from nvcodec.format.operations import Conv, Op, Picture
from nvcodec.format.units import SegmentHead, UnitType, Video

MAX_DURATION = 2**62  # ticks of a frame


@dataclasses.dataclass(frozen=True)
class ConvWeights:
    """The integers of one convolution.

    Attributes:
        weights: int32 [out, in, height, width] in -127 to 127.
        biases: int32 [out] in -2047 to 2047, before their shift.
        steps: int32 [ceil(out / group)] in 0 to 239.
    """

    weights: npt.NDArray[np.int32]
    biases: npt.NDArray[np.int32]
    steps: npt.NDArray[np.int32]

    def channel_steps(self, op: Conv) -> npt.NDArray[np.int32]:
        """The step index of every output channel."""
        return np.repeat(self.steps, op.group)[: op.channels]

    def first_shifts(self, op: Conv) -> npt.NDArray[np.int64]:
        """The first shift, s1, of every output channel."""
        return FIRST_SHIFTS[self.channel_steps(op)]

    def accumulator_bias(self, op: Conv) -> npt.NDArray[np.int64]:
        """The bias of every output channel at its accumulator's scale: bias * 2^(s1 + bias_shift)."""
        return self.biases.astype(np.int64) << (self.first_shifts(op) + op.bias_shift)


@dataclasses.dataclass(frozen=True)
class BaseRun:
    """A run of frames of an AV1 stream.

    Attributes:
        first: number of its first frame in the segment.
        frames: how many frames it has.
        data: their OBUs, without temporal delimiters.
        sequence_header: the payload of its sequence header.
        ends: where in ``data`` the temporal unit of each frame ends.
    """

    first: int
    frames: int
    data: bytes
    sequence_header: bytes
    ends: tuple[int, ...]

    @property
    def temporal_units(self) -> list[bytes]:
        """The OBUs of each frame."""
        return [self.data[start:end] for start, end in zip((0, *self.ends[:-1]), self.ends, strict=True)]


@dataclasses.dataclass
class Layer:
    """One layer of one segment.

    Attributes:
        ops: the operations.
        tensors: shape and range of each operation's result.
        convs: the integers of each CONV, by its index.
        latents: int16 [frames or knots, channels, height, width] of each LATENT and GRID, by its index.
        frames_per_checksum: number of frames that each of ``checksums`` covers.
        checksums: CRC-32 of the shown RGB bytes, uint32; empty where there are none, or they were lost from a damaged
            file.
        lost: frames whose latents, or whose AV1 frames, were lost from a damaged file.
        base: the runs of the AV1 stream that a PICTURE shows.
    """

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    convs: dict[int, ConvWeights]
    latents: dict[int, npt.NDArray[np.int16]]
    frames_per_checksum: int
    checksums: npt.NDArray[np.uint32]
    lost: tuple[range, ...] = ()
    base: tuple[BaseRun, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of integers stored: weights, biases, latents and knots of grids."""
        stored = sum(conv.weights.size + conv.biases.size for conv in self.convs.values())
        return stored + sum(latent.size for latent in self.latents.values())


@dataclasses.dataclass
class Segment:
    """A stretch of frames with a picture size and networks of its own."""

    head: SegmentHead
    durations: npt.NDArray[np.int64]
    layers: list[Layer]

    @property
    def has_base(self) -> bool:
        """Whether layer 0 is an AV1 stream."""
        return any(isinstance(op, Picture) for op in self.layers[0].ops)

    @property
    def ticks(self) -> int:
        """Duration of all frames."""
        constant = self.head.constant_duration
        return constant * self.head.frames if constant else sum(self.durations.tolist())

    def moved(self, first_frame: int, first_pts: int, ticks: int = 1) -> Segment:
        """The same at another place of a video.

        Args:
            first_frame, first_pts: number and presentation time of its first frame there.
            ticks: how many there a tick of this segment is.

        Raises:
            CorruptStreamError: a time is too large for its field.
        """
        longest = int(self.durations.max()) * ticks
        if longest > MAX_DURATION:
            raise CorruptStreamError(f"a frame of {longest} ticks is too long; at most {MAX_DURATION} are allowed")
        constant = self.head.constant_duration * ticks
        head = dataclasses.replace(
            self.head,
            first_frame=first_frame,
            first_pts=first_pts,
            constant_duration=constant if constant < 2**32 else 0,
        )
        return dataclasses.replace(self, head=head, durations=self.durations * ticks)


@dataclasses.dataclass
class Stream:
    """A whole video.

    The attributes from ``version`` on are filled by the reader.

    Attributes:
        video: properties of the whole video.
        segments: at least one.
        metadata: a JSON object.
        compact: whether the file is in compact form (specification, section 1), which an AV1 stream and the order
            segment after segment need.
        track_units: type and payload of each AUDIO and SUBTITLES unit; see :mod:`nvcodec.format.extras`.
        version: of the format, major and minor.
        file_bytes: size of the file.
        entries: where its bytes went; they add up to ``file_bytes``.
        units: its units, in order.
        note: what is missing of a file that is cut inside a layer, or what follows its end; else empty.
        damage: what could not be read of a damaged file, a sentence each.
        name: of the file that it was read from; else empty.
    """

    video: Video
    segments: list[Segment]
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    compact: bool = False
    track_units: list[tuple[UnitType, bytes]] = dataclasses.field(default_factory=list)
    version: tuple[int, int] = (1, 0)
    file_bytes: int = 0
    entries: list[Entry] = dataclasses.field(default_factory=list)
    units: list[UnitReport] = dataclasses.field(default_factory=list)
    note: str = ""
    damage: list[str] = dataclasses.field(default_factory=list)
    name: str = dataclasses.field(default="", compare=False)

    @property
    def frames(self) -> int:
        """Number of frames of all segments."""
        return sum(segment.head.frames for segment in self.segments)

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick."""
        return Fraction(self.video.time_base_num, self.video.time_base_den)

    @property
    def ticks(self) -> list[tuple[int, int]]:
        """Presentation time and duration of every frame, in ticks."""
        out = []
        for segment in self.segments:
            pts = segment.head.first_pts
            for duration in segment.durations.tolist():
                out.append((pts, duration))
                pts += duration
        return out

    @property
    def seconds(self) -> Fraction:
        """Duration of all frames."""
        return sum(segment.ticks for segment in self.segments) * self.time_base

    @property
    def layers(self) -> int:
        """Number of layers, the same in every segment."""
        return len(self.segments[0].layers)

    def layers_of(self, frame: int) -> int:
        """Number of layers, from the base up, that have all integers of a frame: fewer than ``layers`` only in a
        damaged file."""
        for segment in self.segments:
            position = frame - segment.head.first_frame
            if position < segment.head.frames:
                lost = [any(position in run for run in layer.lost) for layer in segment.layers]
                return lost.index(True) if True in lost else len(lost)
        raise IndexError(f"frame {frame} of {self.frames}")

    @property
    def parameters(self) -> int:
        """Number of integers stored in all networks and latents."""
        return sum(layer.parameters for segment in self.segments for layer in segment.layers)

    @property
    def fps(self) -> float:
        """Frames per second, averaged over the whole video; 0 where no time passes."""
        return float(self.frames / self.seconds) if self.seconds else 0.0
