"""What an SDMN stream holds, between the bytes and the decoder: :class:`Stream` and its parts. No torch."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from nvcodec.format.arithmetic.step_indices import FIRST_SHIFTS
from nvcodec.format.inference import Tensor
from nvcodec.format.operations import Conv, Op
from nvcodec.format.units import SegmentHead, Video


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
        """s1 of every output channel."""
        return FIRST_SHIFTS[self.channel_steps(op)]

    def accumulator_bias(self, op: Conv) -> npt.NDArray[np.int64]:
        """The bias of every output channel at its accumulator's scale: b = v * 2^(s1 + bias_shift)."""
        return self.biases.astype(np.int64) << (self.first_shifts(op) + op.bias_shift)


@dataclasses.dataclass
class Layer:
    """One layer of one segment.

    Attributes:
        ops: the operations.
        tensors: shape and range of each operation's result.
        convs: the integers of each CONV, by its place.
        latents: int16 [frames or knots, channels, height, width] of each LATENT and GRID, by its place.
        frames_per_checksum: frames that one entry of ``checksums`` covers.
        checksums: CRC-32 of the shown RGB bytes, uint32; none where they were lost.
        lost: frames of a damaged file whose latents are not there.
    """

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    convs: dict[int, ConvWeights]
    latents: dict[int, npt.NDArray[np.int16]]
    frames_per_checksum: int
    checksums: npt.NDArray[np.uint32]
    lost: tuple[range, ...] = ()

    @property
    def parameters(self) -> int:
        """Integers stored: weights, biases, latents and knots of grids."""
        stored = sum(conv.weights.size + conv.biases.size for conv in self.convs.values())
        return stored + sum(latent.size for latent in self.latents.values())


@dataclasses.dataclass
class Segment:
    """A stretch of frames with a picture size and networks of its own."""

    head: SegmentHead
    durations: npt.NDArray[np.int64]
    layers: list[Layer]


@dataclasses.dataclass(frozen=True)
class Entry:
    """Some bytes of a file and what they are for.

    Attributes:
        kind: one of ``accounting.KINDS``; ``skip_weights`` are those that no embedding flows through.
        label: what exactly, for people.
        bytes: how many.
        values: integers that these bytes code, 0 where they code none.
        unit: place of the unit they lie in; -1 for the file header.
    """

    kind: str
    label: str
    bytes: int
    values: int
    unit: int


@dataclasses.dataclass(frozen=True)
class UnitReport:
    """One unit of a file, for ``info``."""

    type: str
    segment: int
    layer: int
    offset: int
    bytes: int


@dataclasses.dataclass
class Stream:
    """A whole video.

    ``entries`` and ``units`` are filled by the reader; the entries' bytes add up to ``file_bytes``. ``note`` says what
    is missing of a file that was cut inside a layer and of which the layers below are used, or what follows its end;
    else it is empty. ``damage`` says, sentence by sentence, what could not be read of one that was read nevertheless.
    """

    video: Video
    segments: list[Segment]
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    version: tuple[int, int] = (1, 0)
    file_bytes: int = 0
    entries: list[Entry] = dataclasses.field(default_factory=list)
    units: list[UnitReport] = dataclasses.field(default_factory=list)
    note: str = ""
    damage: list[str] = dataclasses.field(default_factory=list)

    @property
    def frames(self) -> int:
        """Frames of all segments."""
        return sum(segment.head.frames for segment in self.segments)

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick."""
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
        """How long all frames last."""
        ticks = 0
        for segment in self.segments:
            constant = segment.head.constant_duration
            ticks += constant * segment.head.frames if constant else sum(segment.durations.tolist())
        return ticks * self.time_base

    @property
    def layers(self) -> int:
        """Layers of every segment."""
        return len(self.segments[0].layers)

    def layers_of(self, frame: int) -> int:
        """How many layers, from the base up, have all integers of a frame: fewer than ``layers`` only in a damaged
        file."""
        for segment in self.segments:
            place = frame - segment.head.first_frame
            if place < segment.head.frames:
                lost = [any(place in run for run in layer.lost) for layer in segment.layers]
                return lost.index(True) if True in lost else len(lost)
        raise IndexError(f"frame {frame} of {self.frames}")

    @property
    def parameters(self) -> int:
        """Integers stored in all networks and latents."""
        return sum(layer.parameters for segment in self.segments for layer in segment.layers)

    @property
    def fps(self) -> float:
        """Frames a second, over the whole video; 0 where no time passes."""
        return float(self.frames / self.seconds) if self.seconds else 0.0
