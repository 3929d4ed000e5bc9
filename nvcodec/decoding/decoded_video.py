"""Open an SDMN file and decode any of its frames. Reaches no training code."""

from __future__ import annotations

import bisect
import itertools
import math
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, overload

import numpy as np
import torch

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.devices import pick_device
from nvcodec.errors import CorruptStreamError, InputError, UsageError, VerificationError
from nvcodec.format.limits import Limits
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_file

CPU_BATCH = 1  # on the CPU one frame at a time keeps tensors in the cache
GPU_BATCH_ELEMENTS = 2**28
MOST_BETWEEN = 65535  # the largest denominator of a place between two frames
MOST_FRAMES = 2**22  # that at_rate() makes


class Video:
    """The frames of an SDMN file, decoded when asked for.

    ``video[i]`` is frame i as a uint8 tensor [3, height, width]; ``video[a:b:c]`` a stack [frames, 3, height, width];
    iterating yields one frame after the other. Every frame's checksum is compared unless ``verify`` is False. Several
    threads may use one object at once; it may be copied to other processes, and serve as a ``DataLoader``'s dataset.

    Args:
        stream: a path, or a :class:`~nvcodec.format.stream.Stream` already read.
        device: ``auto``, ``cpu`` or ``cuda``.
        verify: whether decoded pictures are checked against the stream's checksums.
        batch: frames decoded at once; None chooses for the device.
        layers: how many quality layers are used; None takes all that the file has.
        max_pixels, max_memory: what a file may take, looked at before anything is decoded: pixels of a picture, and
            bytes beside those of the interpreter and torch, one frame at a time on the CPU. None: no limit but those
            of the format.

    Raises:
        InputError, LimitError, UnsupportedVersionError, CorruptStreamError: as
            :func:`nvcodec.format.stream_reader.read_file` does.
        UsageError: there is no such device or layer.
    """

    def __init__(
        self,
        stream: str | os.PathLike[str] | Stream,
        *,
        device: str = "auto",
        verify: bool = True,
        batch: int | None = None,
        layers: int | None = None,
        max_pixels: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        self.stream = stream if isinstance(stream, Stream) else read_file(stream, Limits(max_pixels, max_memory))
        if self.stream.note and self.stream is not stream:
            warnings.warn(f"{os.fspath(stream)}: {self.stream.note}", stacklevel=2)  # type: ignore[arg-type]
        self.device = pick_device(device)
        self.verify = verify
        self.batch = batch
        if layers is not None and not 1 <= layers <= self.stream.layers:
            raise UsageError(f"the file has {self.stream.layers} layer(s); {layers} were asked for")
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
        """Frames a second, averaged over the video."""
        return self.stream.fps

    @property
    def timestamps(self) -> list[Fraction]:
        """Presentation time of every frame, exact seconds."""
        return [pts * self.stream.time_base for pts, _ in self.stream.ticks]

    @property
    def durations(self) -> list[Fraction]:
        """Duration of every frame, exact seconds."""
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
        """Decode ``frames``, in this order.

        Yields:
            uint8 tensors [batch, 3, height, width] on the device; a batch holds consecutive entries of ``frames``.

        Raises:
            UsageError: there is no such frame.
            CorruptStreamError: a frame's integers were lost when a damaged file was read.
            VerificationError: a picture does not have the checksum the stream states.
            InputError: the device has too little memory.
        """
        if frames and not 0 <= min(frames) <= max(frames) < len(self):
            raise UsageError(f"frames {min(frames)} to {max(frames)} are not all in a video of {len(self)}")
        for frame in frames if self.stream.damage else ():
            if self.stream.layers_of(frame) < self.layers:
                raise CorruptStreamError(f"frame {frame} is lost")
        checker = _Checker(self.stream, self.layers) if self.verify else None
        for pictures in self._pictures(frames, checker):
            if checker and checker.failed:
                first, last = checker.failed[0][0], checker.failed[0][-1]
                which = f"frame {last} does" if first == last else f"frames {first} to {last} do"
                raise VerificationError(
                    f"{which} not have the checksum the stream states: "
                    "the stream is damaged or this machine computes wrongly"
                )
            yield pictures

    def failing(self, frames: Sequence[int]) -> list[range]:
        """Decode ``frames`` and compare their checksums, whatever ``verify`` is; raises as :meth:`decode` does.

        Returns:
            For each checksum that does not match, the frames it covers.
        """
        checker = _Checker(self.stream, self.layers)
        for _ in self._pictures(frames, checker):
            pass
        return checker.failed

    def _pictures(self, frames: Sequence[int], checker: _Checker | None) -> Iterator[torch.Tensor]:
        place = 0
        while place < len(frames):
            segment = bisect.bisect_right(self._starts, frames[place]) - 1
            start = self._starts[segment]
            end = start + self.stream.segments[segment].head.frames
            size = self.batch or self._batch_size(segment)
            count = 1
            while count < size and place + count < len(frames) and start <= frames[place + count] < end:
                count += 1
            chosen = frames[place : place + count]
            pictures = self._decode(segment, [frame - start for frame in chosen])
            if checker:
                checker.check(segment, [frame - start for frame in chosen], pictures)
            yield pictures
            place += count

    def interpolated(self, factor: int) -> Iterator[torch.Tensor]:
        """All frames, and between each two of a segment ``factor`` - 1 more, evenly spread (specification, 8.3).

        Yields:
            uint8 tensors [1, 3, height, width] on the device. Checksums are those of transmitted frames only, which
            :meth:`decode` compares; here none is.

        Raises:
            UsageError: ``factor`` is not in 1 to 65535.
        """
        if not 1 <= factor <= MOST_BETWEEN:
            raise UsageError(f"between two frames there can be 0 to {MOST_BETWEEN - 1} more, not {factor - 1}")
        for number, segment in enumerate(self.stream.segments):
            for place in range((segment.head.frames - 1) * factor + 1):
                yield self._decode(number, [Fraction(place, factor)])

    def interpolated_ticks(self, factor: int) -> list[tuple[int, int]]:
        """Time and duration of each frame of :meth:`interpolated`, in ticks of ``1 / factor`` as long as the stream's.

        A frame lasts until the next one; the last of a segment lasts as long as it did.
        """
        ticks = []
        last = {start - 1 for start in self._starts[1:]} | {len(self) - 1}
        for frame, (pts, duration) in enumerate(self.stream.ticks):
            if frame in last:
                ticks.append((pts * factor, duration * factor))
            else:
                ticks += [(pts * factor + part * duration, duration) for part in range(factor)]
        return ticks

    def at_rate(self, fps: Fraction) -> Iterator[torch.Tensor]:
        """Pictures at an even rate, from the first frame's time until the last one ends.

        Between two frames of a segment each is what :meth:`interpolated` would give for its time (where that needs a
        denominator above 65535, the nearest place with one up to it); the last frame of a segment stays until it ends.

        Yields:
            uint8 tensors [1, 3, height, width] on the device.

        Raises:
            UsageError: see :meth:`at_rate_ticks`.
        """
        time_base, times = self.at_rate_ticks(fps)
        ticks = self.stream.ticks
        starts = [pts for pts, _ in ticks]
        for time, _ in times:
            now = time * time_base / self.stream.time_base
            frame = max(0, bisect.bisect_right(starts, now) - 1)
            segment = bisect.bisect_right(self._starts, frame) - 1
            place = Fraction(frame - self._starts[segment])
            pts, duration = ticks[frame]
            if duration and place + 1 < self.stream.segments[segment].head.frames:
                place += min(Fraction(1), (now - pts) / duration).limit_denominator(MOST_BETWEEN)
            yield self._decode(segment, [place])

    def at_rate_ticks(self, fps: Fraction) -> tuple[Fraction, list[tuple[int, int]]]:
        """A tick in seconds, and time and duration of each picture of :meth:`at_rate` in these ticks.

        Raises:
            UsageError: ``fps`` is not positive, there would be more than 2^22 pictures, or a frame comes before the one
                before it.
        """
        if fps <= 0:
            raise UsageError(f"the frame rate must be positive, got {fps}")
        ticks = self.stream.ticks
        if any(after < before for (before, _), (after, _) in itertools.pairwise(ticks)):
            raise UsageError("the frames of this file are not in the order of their times")
        own = self.stream.time_base
        first, end = ticks[0][0] * own, sum(ticks[-1]) * own
        count = max(1, math.ceil((end - first) * fps))
        if count > MOST_FRAMES:
            raise UsageError(f"at {float(fps):g} frames a second this file would have {count} frames")
        step = 1 / fps
        numerator = math.gcd(own.numerator * step.denominator, step.numerator * own.denominator)
        time_base = Fraction(numerator, own.denominator * step.denominator)
        duration = int(step / time_base)
        return time_base, [(int(first / time_base) + number * duration, duration) for number in range(count)]

    def _decode(self, segment: int, times: Sequence[int | Fraction]) -> torch.Tensor:
        """Pictures for times in frames of a segment."""
        try:
            return self._network(segment).decode(times)
        except (MemoryError, torch.OutOfMemoryError):
            raise InputError(f"too little memory to decode {len(times)} frames at once") from None
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            raise InputError(f"too little memory to decode {len(times)} frames at once") from None

    def _network(self, segment: int) -> ExactNetwork:
        network = self._networks.get(segment)  # looked up once: another thread may put another one in its place
        if network is None:
            network = ExactNetwork(
                self.stream.segments[segment], segment, self.stream.video.seed, self.device, self.layers
            )
            self._networks = {segment: network}  # one at a time: a stream may have many
        return network

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, the workers of a ``DataLoader`` among them: they make networks of their own."""
        return {**self.__dict__, "_networks": {}}

    def _batch_size(self, segment: int) -> int:
        if self.device.type == "cpu":
            return CPU_BATCH
        layers = self.stream.segments[segment].layers[: self.layers]
        largest = max(tensor.elements for layer in layers for tensor in layer.tensors)
        return max(1, min(64, GPU_BATCH_ELEMENTS // largest))


def picture_bytes(picture: torch.Tensor) -> bytes:
    """RGB bytes, row-major, of a picture [3, height, width]."""
    array: np.ndarray = picture.permute(1, 2, 0).contiguous().cpu().numpy()
    return array.tobytes()


class _Checker:
    """Compares pictures with the checksums of the highest of ``layers``; a checksum over several frames counts only
    where all of them have come by in order."""

    def __init__(self, stream: Stream, layers: int) -> None:
        self.stream, self.layers = stream, layers
        self.failed: list[range] = []  # frames of the video
        self.running: tuple[int, int, int] = (-1, -1, 0)  # segment, next frame, CRC so far

    def check(self, segment: int, frames: Sequence[int], pictures: torch.Tensor) -> None:
        layer = self.stream.segments[segment].layers[self.layers - 1]
        if not len(layer.checksums):
            return  # lost from a damaged file
        total = self.stream.segments[segment].head.frames
        group = layer.frames_per_checksum
        for frame, picture in zip(frames, pictures, strict=True):
            if frame % group == 0:
                self.running = (segment, frame, 0)
            if self.running[:2] != (segment, frame):
                continue
            crc = zlib.crc32(picture_bytes(picture), self.running[2])
            self.running = (segment, frame + 1, crc)
            complete = (frame + 1) % group == 0 or frame + 1 == total
            if complete and crc != int(layer.checksums[frame // group]):
                last = self.stream.segments[segment].head.first_frame + frame
                self.failed.append(range(last - frame % group, last + 1))
