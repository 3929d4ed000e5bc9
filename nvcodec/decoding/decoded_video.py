"""Open an SDMN file and decode any of its frames."""

from __future__ import annotations

import contextlib
import operator
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt
import torch

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.frame_batch import Frame, FrameBatch
from nvcodec.decoding.picture_checksums import ChecksumChecker
from nvcodec.decoding.timeline import EvenRate, Interpolated, Timeline
from nvcodec.decoding.video_properties import VideoProperties
from nvcodec.devices import pick_device
from nvcodec.errors import CorruptStreamError, InputError, UsageError, VerificationError, about
from nvcodec.format.deferred_stream import open_file
from nvcodec.format.limits import Limits
from nvcodec.format.stream import Segment, Stream
from nvcodec.format.stream_reader import File
from nvcodec.samples import sample_dtype, signed

CPU_BATCH = 1  # on the CPU one frame at a time keeps tensors in the cache
GPU_BATCH_ELEMENTS = 2**28  # of the largest tensor of a batch
GPU_MAX_BATCH = 64


#: What chooses several frames by their numbers.
Frames = slice | Sequence[SupportsIndex] | torch.Tensor | npt.NDArray[np.integer[Any]]


class Video(VideoProperties):
    """The frames of an SDMN file, decoded on demand.

    ``video[i]`` is frame i as a tensor [3, height, width], uint8, or uint16 with 10 bits; ``video[a:b:c]`` and
    ``video[[3, 5]]`` are stacks
    [frames, 3, height, width]; iterating yields one frame after the other. ``frame``, ``frames``, ``frame_at``,
    ``frames_at`` and ``frames_played_in`` return pictures with their times. Every frame's checksum is compared unless
    ``verify`` is False. Several threads may use one object at once; it can be copied to other processes, also by a
    fork, and serve as a ``DataLoader``'s dataset.

    Args:
        file: a path, an address of the web, the bytes of a file, a file opened in binary mode, or a
            :class:`~nvcodec.format.stream.Stream` already read. Of a large file only what is wanted is read; see
            :func:`~nvcodec.format.deferred_stream.open_file`.
        device: ``auto``, ``cpu`` or ``cuda``.
        verify: whether decoded pictures are compared with the stream's checksums.
        batch: number of frames decoded at once; None chooses for the device.
        layers: number of quality layers to use; None takes all that the file has.
        max_pixels: largest number of pixels a picture may have; None for no limit but the format's.
        max_memory: largest number of bytes that decoding may take, one frame at a time on the CPU, not counting the
            interpreter and torch; None for no limit. Both limits are checked before anything is decoded, of a file
            that is read in parts for each of them.

    Raises:
        InputError, LimitError, UnsupportedVersionError, CorruptStreamError: as
            :func:`nvcodec.format.stream_reader.read_file` does; of a file that is read in parts, decoding does, too.
        UsageError: there is no such device or layer.
    """

    def __init__(
        self,
        file: File | Stream,
        *,
        device: str = "auto",
        verify: bool = True,
        batch: int | None = None,
        layers: int | None = None,
        max_pixels: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        if isinstance(file, Stream):
            stream = file
        else:
            stream = open_file(file, Limits(max_pixels, max_memory))
            _warn(stream)
        super().__init__(stream)
        self.device = pick_device(device)
        self.verify = verify
        self.batch = batch
        if layers is not None and not 1 <= layers <= stream.layers:
            with about(stream.name):
                raise UsageError(f"the file has {stream.layers} layer(s), not {layers}")
        self.layers = layers or stream.layers
        self._networks = _Networks(self.device, self.layers)

    def close(self) -> None:
        """Let go of the content of the file, and of what was decoded. Closing again does nothing."""
        super().close()
        self._networks.clear()

    def __iter__(self) -> Iterator[torch.Tensor]:
        for pictures in self.decode(range(len(self))):
            yield from pictures

    def __getitem__(self, key: SupportsIndex | Frames) -> torch.Tensor:
        chosen = _frame_numbers(key, self.stream)
        return self._stack([chosen])[0] if isinstance(chosen, int) else self._stack(chosen)

    def frame(self, index: SupportsIndex) -> Frame:
        """Decode a frame, given its number, negative ones from the end; raises as ``video[index]`` does."""
        return self.frames([index])[0]

    def frames(self, frames: Frames) -> FrameBatch:
        """Decode frames, given their numbers, in this order; raises as ``video[frames]`` does."""
        chosen = _frame_numbers(frames, self.stream)
        return self._batch([chosen] if isinstance(chosen, int) else chosen)

    def frame_at(self, seconds: float | Fraction) -> Frame:
        """Decode the frame that is shown at a time; raises as :meth:`~nvcodec.decoding.frame_times.FrameTimes.at`."""
        return self.frames_at([seconds])[0]

    def frames_at(self, seconds: Iterable[float | Fraction]) -> FrameBatch:
        """Decode the frames that are shown at these times, in this order; raises as :meth:`frame_at` does."""
        with about(self.stream.name):
            frames = [self.times.at(moment) for moment in seconds]
        return self._batch(frames)

    def frames_played_in(self, start: float | Fraction, stop: float | Fraction) -> FrameBatch:
        """Decode all frames that are shown at any time from ``start`` to before ``stop``, seconds; raises as
        :meth:`~nvcodec.decoding.frame_times.FrameTimes.between` does."""
        with about(self.stream.name):
            frames = self.times.between(start, stop)
        return self._batch(frames)

    def _batch(self, frames: Sequence[int]) -> FrameBatch:
        """Decode frames, given numbers that exist, with their times."""
        pts, durations = (
            torch.tensor([float(seconds[frame]) for frame in frames], dtype=torch.float64)
            for seconds in (self.times.starts, self.times.durations)
        )
        return FrameBatch(self._stack(frames), pts, durations)

    def _stack(self, frames: Sequence[int]) -> torch.Tensor:
        """Decode frames, given numbers that exist: samples [frames, 3, height, width]."""
        if not frames:
            return torch.empty(
                (0, 3, self.height, self.width), dtype=sample_dtype(self.stream.video.bits), device=self.device
            )
        pictures = list(self.decode(frames))
        if len({picture.shape[1:] for picture in pictures}) > 1:
            with about(self.stream.name):
                raise UsageError("these frames differ in size and cannot be stacked: take them one by one")
        return torch.cat([signed(picture) for picture in pictures]).view(pictures[0].dtype)

    def decode(self, frames: Sequence[int]) -> Iterator[torch.Tensor]:
        """Decode ``frames`` in this order.

        Yields:
            Samples [batch, 3, height, width] on the device; a batch holds consecutive entries of ``frames``.

        Raises:
            UsageError: there is no such frame.
            CorruptStreamError: the file is damaged and a frame's integers are lost.
            VerificationError: a picture does not have the checksum the stream states.
            InputError: the device has too little memory.
        """
        with about(self.stream.name):
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
            Samples [positions, 3, height, width] on the device.

        Raises:
            InputError: the device has too little memory.
        """
        with _too_little_memory(f"to decode {len(positions)} frames at once"):
            return self._networks.of(self.stream, segment).decode(positions)

    def interpolated(self, factor: int) -> Playback:
        """All frames and, between any two of a segment, ``factor`` - 1 more, evenly spaced (specification, 8.3);
        raises as :class:`~nvcodec.decoding.timeline.Interpolated` does."""
        return Playback(self, Interpolated(self.stream, factor))

    def at_rate(self, fps: Fraction) -> Playback:
        """Pictures at an even frame rate, interpolated for the time of each; raises as
        :class:`~nvcodec.decoding.timeline.EvenRate` does."""
        return Playback(self, EvenRate(self.stream, fps))

    def __getstate__(self) -> dict[str, Any]:
        """State for other processes, such as the workers of a ``DataLoader``, which build networks of their own."""
        return {**self.__dict__, "_networks": _Networks(self.device, self.layers)}

    def _pictures(self, frames: Sequence[int], checker: ChecksumChecker | None) -> Iterator[torch.Tensor]:
        """Decode in batches, each of consecutive entries of ``frames`` from one segment."""
        index = 0
        while index < len(frames):
            segment = self.stream.segment_of(frames[index])
            head = self.stream.segments[segment].head
            start = head.first_frame
            there = range(start, start + head.frames)
            end = min(len(frames), index + (self.batch or self._networks.batch_size(self.stream.segments[segment])))
            count = 1
            while index + count < end and frames[index + count] in there:
                count += 1
            batch = [frame - start for frame in frames[index : index + count]]
            pictures = self.decode_positions(segment, batch)
            if checker:
                checker.check(segment, batch, pictures)
            yield pictures
            index += count


class _Networks:
    """The network that was used last, for whatever is decoded next.

    Only one is kept, because a stream may have many segments.

    Attributes:
        kept: the network, by process and segment.
    """

    def __init__(self, device: torch.device, layers: int) -> None:
        self.device, self.layers = device, layers
        self.kept: dict[tuple[int, int], ExactNetwork] = {}

    def of(self, stream: Stream, segment: int) -> ExactNetwork:
        """Return the network of a segment.

        Raises:
            UsageError: the device cannot be used in this process.
        """
        key = (os.getpid(), segment)
        network = self.kept.get(key)  # looked up once: another thread may replace it
        if network is None:
            video = stream.video
            try:
                network = ExactNetwork(
                    stream.segments[segment], segment, video.seed, self.device, self.layers, bits=video.bits
                )
            except RuntimeError as error:
                if "forked" not in str(error):
                    raise
                raise UsageError(
                    'CUDA cannot be used in a forked process; take `device="cpu"` or start processes by spawn'
                ) from None
            self.kept = {key: network}  # after a fork, what the parent had is of no use
        return network

    def batch_size(self, segment: Segment) -> int:
        """Return how many frames to decode at once, unless the caller has chosen."""
        if self.device.type == "cpu":
            return CPU_BATCH
        largest = max(tensor.elements for layer in segment.layers[: self.layers] for tensor in layer.tensors)
        return max(1, min(GPU_MAX_BATCH, GPU_BATCH_ELEMENTS // largest))

    def clear(self) -> None:
        """Let go of the network."""
        self.kept = {}


def _warn(stream: Stream) -> None:
    """Warn the caller of ``Video()`` of what is missing of a file."""
    if stream.note:
        name = f"{stream.name}: " if stream.name else ""
        warnings.warn(f"{name}{stream.note}", stacklevel=3)


def _frame_numbers(key: SupportsIndex | Frames, stream: Stream) -> int | Sequence[int]:
    """Return the frames that a key chooses: one, or several.

    Raises:
        IndexError: there is no such frame.
        UsageError: the key is nothing that chooses frames.
    """
    if isinstance(key, slice):
        return range(stream.frames)[key]
    plain: Any = key.tolist() if isinstance(key, (torch.Tensor, np.ndarray, np.generic)) else key
    with about(stream.name):
        try:
            if isinstance(plain, Sequence) and not isinstance(plain, str):
                return [_frame_number(index, stream.frames) for index in plain]
            return _frame_number(plain, stream.frames)
        except TypeError:
            raise UsageError(f"frames are chosen by numbers, slices and sequences of numbers, not by {key!r}") from None


def _frame_number(index: SupportsIndex, frames: int) -> int:
    """Return a frame's number, from the beginning; raises IndexError, or TypeError where ``index`` is no number."""
    if isinstance(index, bool):
        raise TypeError  # a mask, which would mean frames 0 and 1
    try:
        return range(frames)[operator.index(index)]
    except IndexError:
        raise IndexError(f"frame {index} of a video of {frames} frames") from None


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
        picture: samples [3, height, width] on the device.
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
