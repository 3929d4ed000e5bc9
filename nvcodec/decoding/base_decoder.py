"""The AV1 stream below the networks, decoded by dav1d through PyAV. No other module of decoding knows the codec.

Every run of frames decodes alone (specification, section 4.11). A BASE unit has passed the checks of
:mod:`nvcodec.format.av1_headers` before it comes here.
"""

from __future__ import annotations

import bisect
import collections
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nvcodec.errors import CorruptStreamError, InputError
from nvcodec.format.av1_headers import essential
from nvcodec.format.operations import Picture
from nvcodec.format.runs import first_frames
from nvcodec.format.stream import BaseRun

CODEC = "libdav1d"
OPEN_RUNS = 2  # decoders that wait for the next frame of their run; the estimate of memory counts on it

#: Luma and, unless the picture is grey, two chroma planes: uint8 or uint16 [height, width].
Planes = tuple[npt.NDArray[Any], ...]


class BaseDecoder:
    """The frames of a segment's AV1 stream, decoded on demand.

    A frame costs the decoding of its run up to it, unless frames were asked for in order or it is still kept. Several
    threads may use one object.

    Args:
        runs: the runs that there are, in order; those lost from a damaged file are missing.
        picture: the operation that shows them.
        cache_bytes: bytes of decoded frames that are kept for later.
    """

    def __init__(self, runs: Sequence[BaseRun], picture: Picture, cache_bytes: int) -> None:
        self.runs, self.picture, self.cache_bytes = runs, picture, cache_bytes
        self._firsts = first_frames(runs)
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[int, Planes] = collections.OrderedDict()
        self._open: collections.OrderedDict[int, _OpenRun] = collections.OrderedDict()

    def planes(self, frame: int) -> Planes:
        """Decode a frame, given its number in the segment.

        Raises:
            CorruptStreamError: its run does not decode, or is lost.
            InputError: PyAV lacks dav1d.
        """
        with self._lock:
            if frame in self._kept:
                self._kept.move_to_end(frame)
                return self._kept[frame]
            run = self._run_of(frame)
            opened = self._open.pop(run.first, None)
            if opened is None or opened.position > frame:
                opened = _OpenRun(run, self.picture)
            while True:
                number, planes = opened.position, opened.next()
                self._keep(number, planes)
                if number == frame:
                    break
            if opened.position < run.first + run.frames:
                self._open[run.first] = opened
                if len(self._open) > OPEN_RUNS:
                    self._open.popitem(last=False)
            return planes

    def _run_of(self, frame: int) -> BaseRun:
        """Return the run that has a frame; raises CorruptStreamError where it is lost."""
        index = bisect.bisect_right(self._firsts, frame) - 1
        run = self.runs[index] if index >= 0 else None
        if run is None or frame >= run.first + run.frames:
            raise CorruptStreamError(f"frame {frame} of the segment is lost")
        return run

    def _keep(self, frame: int, planes: Planes) -> None:
        """Keep a frame, and drop those that were asked for longest ago where there is no room."""
        self._kept[frame] = planes
        most = self.cache_bytes // sum(plane.nbytes for plane in planes)
        while len(self._kept) > most:
            self._kept.popitem(last=False)


class _OpenRun:
    """A run that is being decoded.

    Attributes:
        position: number of the next frame in the segment.
    """

    def __init__(self, run: BaseRun, picture: Picture) -> None:
        self.run, self.position = run, run.first
        self._frames = _decode(run, picture)
        _OPEN_RUNS.add(self)

    def next(self) -> Planes:
        """Decode the next frame; raises as :meth:`BaseDecoder.planes` does."""
        planes = self._advance()
        if planes is None:
            raise CorruptStreamError(f"{self._where}: dav1d yields only {self.position - self.run.first}")
        self.position += 1
        # An error behind the last frame is found in time, however many frames dav1d decodes at once.
        if self.position == self.run.first + self.run.frames and self._advance() is not None:
            raise CorruptStreamError(f"{self._where}: dav1d yields more")
        return planes

    def _advance(self) -> Planes | None:
        """Decode whatever comes next; None at the end."""
        try:
            return next(self._frames, None)
        except CorruptStreamError as error:
            raise CorruptStreamError(f"{self._where}: {error}") from None

    @property
    def _where(self) -> str:
        return f"AV1 frames {self.run.first} to {self.run.first + self.run.frames - 1} do not decode"


def _decode(run: BaseRun, picture: Picture) -> Iterator[Planes]:
    """Decode all frames of a run. Metadata and padding, which dav1d and FFmpeg would parse, are kept from them."""
    import av

    try:
        context: Any = av.CodecContext.create(CODEC, "r")
    except ValueError:
        raise InputError(
            "this file has an AV1 stream, and this PyAV cannot decode it with dav1d; "
            'pip install --force-reinstall "av>=15" installs one that can'
        ) from None
    context.thread_count = torch.get_num_threads()
    for unit in (*run.temporal_units, None):
        packet = None if unit is None else _packet(essential(unit))
        try:
            frames = context.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            raise CorruptStreamError(getattr(error, "strerror", None) or str(error)) from None
        for frame in frames:
            yield _planes_of(frame, picture)


def _planes_of(frame: Any, picture: Picture) -> Planes:
    """Copy the samples of a frame; raises CorruptStreamError where it is not what PICTURE states."""
    wanted = ("yuv420p" if picture.chroma else "gray") + ("" if picture.depth == 8 else "10le")
    if (frame.format.name, frame.width, frame.height) != (wanted, picture.width, picture.height):
        raise CorruptStreamError(f"dav1d yields {frame.width}x{frame.height} {frame.format.name}")
    sample = np.dtype(np.uint8 if picture.depth == 8 else np.uint16)
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, sample).reshape(-1, plane.line_size // sample.itemsize)
        planes.append(rows[: plane.height, : plane.width].copy())
    return tuple(planes)


def _packet(data: bytes) -> Any:
    """Copy a temporal unit into memory of FFmpeg's own.

    PyAV lends FFmpeg the memory of bytes, and whoever lets go of it must have Python's interpreter lock: a thread of
    dav1d, which waits for that lock while the thread that has it ends the decoder and waits for dav1d, hangs for good.
    """
    import av

    packet: Any = av.Packet(len(data))
    packet.update(data)
    return packet


#: All runs that are being decoded in this process.
_OPEN_RUNS: weakref.WeakSet[_OpenRun] = weakref.WeakSet()
_INHERITED: list[_OpenRun] = []


def _keep_inherited() -> None:
    """Keep for good, in a child process, the decoders that the parent had.

    Letting go of one would be to wait for threads of dav1d that only the parent has.
    """
    _INHERITED.extend(_OPEN_RUNS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_inherited)
