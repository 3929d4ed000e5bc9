"""Open an SDMN file and decode any of its frames."""

from __future__ import annotations

import bisect
import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, overload

import torch

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.picture_checksums import ChecksumChecker
from nvcodec.decoding.timeline import EvenRate, Interpolated, Timeline
from nvcodec.devices import pick_device
from nvcodec.errors import CorruptStreamError, InputError, UsageError, VerificationError
from nvcodec.format.limits import Limits
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read

CPU_BATCH = 1  # on the CPU one frame at a time keeps tensors in the cache
GPU_BATCH_ELEMENTS = 2**28  # of the largest tensor of a batch
GPU_MAX_BATCH = 64


class Video:
    """The frames of an SDMN file, decoded on demand.

    ``video[i]`` is frame i as a uint8 tensor [3, height, width]; ``video[a:b:c]`` a stack [frames, 3, height, width];
    iterating yields one frame after the other. Every frame's checksum is compared unless ``verify`` is False. Several
    threads may use one object at once; it can be copied to other processes, and serve as a ``DataLoader``'s dataset.

    Args:
        stream: a path, the bytes of a file, or a :class:`~nvcodec.format.stream.Stream` already read.
        device: ``auto``, ``cpu`` or ``cuda``.
        verify: whether decoded pictures are compared with the stream's checksums.
        batch: number of frames decoded at once; None chooses for the device.
        layers: number of quality layers to use; None takes all that the file has.
        max_pixels: largest number of pixels a picture may have; None for no limit but the format's.
        max_memory: largest number of bytes that decoding may take, one frame at a time on the CPU, not counting the
            interpreter and torch; None for no limit. Both limits are checked before anything is decoded.

    Raises:
        InputError, LimitError, UnsupportedVersionError, CorruptStreamError: as
            :func:`nvcodec.format.stream_reader.read_file` does.
        UsageError: there is no such device or layer.
    """

    def __init__(
        self,
        stream: str | os.PathLike[str] | bytes | Stream,
        *,
        device: str = "auto",
        verify: bool = True,
        batch: int | None = None,
        layers: int | None = None,
        max_pixels: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        if isinstance(stream, Stream):
            self.stream = stream
        else:
            self.stream = read(stream, Limits(max_pixels, max_memory))
            _warn(stream, self.stream.note)
        self.device = pick_device(device)
        self.verify = verify
        self.batch = batch
        if layers is not None and not 1 <= layers <= self.stream.layers:
            raise UsageError(f"the file has {self.stream.layers} layer(s), not {layers}")
        self.layers = layers or self.stream.layers
        self._starts = [segment.head.first_frame for segment in self.stream.segments]
        self._networks: dict[int, ExactNetwork] = {}

    @property
    def width(self) -> int:
        """Shown width of the first segment, pixels."""
        return self.stream.segments[0].head.width

    @property
    def height(self) -> int:
        """Shown height of the first segment, pixels."""
        return self.stream.segments[0].head.height

    @property
    def fps(self) -> float:
        """Frames per second, averaged over the video."""
        return self.stream.fps

    @property
    def timestamps(self) -> list[Fraction]:
        """Presentation time of every frame, in exact seconds."""
        return [pts * self.stream.time_base for pts, _ in self.stream.ticks]

    @property
    def durations(self) -> list[Fraction]:
        """Duration of every frame, in exact seconds."""
        return [duration * self.stream.time_base for _, duration in self.stream.ticks]

    def __len__(self) -> int:
        return self.stream.frames

    def __iter__(self) -> Iterator[torch.Tensor]:
        for pictures in self.decode(range(len(self))):
            yield from pictures

    @overload
    def __getitem__(self, key: int) -> torch.Tensor: ...
    @overload
    def __getitem__(self, key: slice) -> torch.Tensor: ...
    def __getitem__(self, key: int | slice) -> torch.Tensor:
        if isinstance(key, slice):
            chosen = range(len(self))[key]
            if not chosen:
                return torch.empty((0, 3, self.height, self.width), dtype=torch.uint8, device=self.device)
            pictures = list(self.decode(chosen))
            if len({picture.shape[1:] for picture in pictures}) > 1:
                raise UsageError("these frames differ in size and cannot be stacked: take them one by one")
            return torch.cat(pictures)
        try:
            frame = range(len(self))[key]
        except IndexError:
            raise IndexError(f"frame {key} of a video of {len(self)} frames") from None
        return next(self.decode([frame]))[0]

    def decode(self, frames: Sequence[int]) -> Iterator[torch.Tensor]:
        """Decode ``frames`` in this order.

        Yields:
            uint8 tensors [batch, 3, height, width] on the device; a batch holds consecutive entries of ``frames``.

        Raises:
            UsageError: there is no such frame.
            CorruptStreamError: the file is damaged and a frame's integers are lost.
            VerificationError: a picture does not have the checksum the stream states.
            InputError: the device has too little memory.
        """
        if frames and not 0 <= min(frames) <= max(frames) < len(self):
            raise UsageError(f"frames {min(frames)} to {max(frames)} are not all in a video of {len(self)}")
        for frame in frames if self.stream.damage else ():
            if self.stream.layers_of(frame) < self.layers:
                raise CorruptStreamError(f"frame {frame} is lost")
        checker = ChecksumChecker(self.stream, self.layers) if self.verify else None
        for pictures in self._pictures(frames, checker):
            if checker and checker.failed:
                raise VerificationError(_mismatch(checker.failed[0]))
            yield pictures

    def failing(self, frames: Sequence[int]) -> list[range]:
        """Decode ``frames`` and compare their checksums, whatever ``verify`` is.

        Returns:
            For each checksum that does not match, the frames it covers.

        Raises:
            InputError: the device has too little memory.
        """
        checker = ChecksumChecker(self.stream, self.layers)
        for _ in self._pictures(frames, checker):
            pass
        return checker.failed

    def decode_positions(self, segment: int, positions: Sequence[int | Fraction]) -> torch.Tensor:
        """Decode pictures at positions in a segment, without comparing checksums.

        Args:
            segment: index of the segment.
            positions: in frames from the segment's first one; a fraction lies between two of them.

        Returns:
            uint8 [positions, 3, height, width] on the device.

        Raises:
            InputError: the device has too little memory.
        """
        with _too_little_memory(f"to decode {len(positions)} frames at once"):
            return self._network(segment).decode(positions)

    def interpolated(self, factor: int) -> Playback:
        """All frames and, between any two of a segment, ``factor`` - 1 more, evenly spaced (specification, 8.3);
        raises as :class:`~nvcodec.decoding.timeline.Interpolated` does."""
        return Playback(self, Interpolated(self.stream, factor))

    def at_rate(self, fps: Fraction) -> Playback:
        """Pictures at an even frame rate, interpolated for the time of each; raises as
        :class:`~nvcodec.decoding.timeline.EvenRate` does."""
        return Playback(self, EvenRate(self.stream, fps))

    def _pictures(self, frames: Sequence[int], checker: ChecksumChecker | None) -> Iterator[torch.Tensor]:
        """Decode in batches, each of consecutive entries of ``frames`` from one segment."""
        index = 0
        while index < len(frames):
            segment = bisect.bisect_right(self._starts, frames[index]) - 1
            start = self._starts[segment]
            there = range(start, start + self.stream.segments[segment].head.frames)
            end = min(len(frames), index + (self.batch or self._batch_size(segment)))
            count = 1
            while index + count < end and frames[index + count] in there:
                count += 1
            batch = [frame - start for frame in frames[index : index + count]]
            pictures = self.decode_positions(segment, batch)
            if checker:
                checker.check(segment, batch, pictures)
            yield pictures
            index += count

    def _network(self, segment: int) -> ExactNetwork:
        network = self._networks.get(segment)  # looked up once: another thread may replace it
        if network is None:
            network = ExactNetwork(
                self.stream.segments[segment], segment, self.stream.video.seed, self.device, self.layers
            )
            self._networks = {segment: network}  # only one is kept: a stream may have many segments
        return network

    def __getstate__(self) -> dict[str, Any]:
        """State for other processes, such as the workers of a ``DataLoader``, which build networks of their own."""
        return {**self.__dict__, "_networks": {}}

    def _batch_size(self, segment: int) -> int:
        """Number of frames to decode at once, unless the caller has chosen."""
        if self.device.type == "cpu":
            return CPU_BATCH
        layers = self.stream.segments[segment].layers[: self.layers]
        largest = max(tensor.elements for layer in layers for tensor in layer.tensors)
        return max(1, min(GPU_MAX_BATCH, GPU_BATCH_ELEMENTS // largest))


def _warn(source: str | os.PathLike[str] | bytes, note: str) -> None:
    """Warn the caller of ``Video()`` of what is missing of a file."""
    if note:
        name = "" if isinstance(source, bytes) else f"{os.fspath(source)}: "
        warnings.warn(f"{name}{note}", stacklevel=3)


@contextlib.contextmanager
def _too_little_memory(purpose: str) -> Iterator[None]:
    """Raise InputError where memory runs out in the block."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise InputError(f"too little memory {purpose}") from None
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise InputError(f"too little memory {purpose}") from None


def _mismatch(frames: range) -> str:
    """Say that the checksum of ``frames`` does not match."""
    which = f"frame {frames[0]} does" if len(frames) == 1 else f"frames {frames[0]} to {frames[-1]} do"
    return f"{which} not have the checksum the stream states: the stream is damaged or this machine computes wrongly"


class TimedPicture(NamedTuple):
    """A picture and when it is shown.

    Attributes:
        picture: uint8 [3, height, width] on the device.
        pts: presentation time, ticks.
        duration: ticks.
    """

    picture: torch.Tensor
    pts: int
    duration: int


class Playback:
    """Pictures of a video at the moments of a timeline. Iterating decodes them, one :class:`TimedPicture` each.

    Checksums are those of transmitted frames only, which :meth:`Video.decode` compares; here none is compared.

    Attributes:
        time_base: seconds per tick of the pictures' times.
    """

    def __init__(self, video: Video, timeline: Timeline) -> None:
        self.video = video
        self.timeline = timeline
        self.time_base = timeline.time_base

    def __len__(self) -> int:
        return len(self.timeline)

    def __iter__(self) -> Iterator[TimedPicture]:
        for segment, position, pts, duration in self.timeline:
            yield TimedPicture(self.video.decode_positions(segment, [position])[0], pts, duration)
