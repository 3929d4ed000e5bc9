"""Deinterlacing by FFmpeg's filter bwdif, one frame for each frame."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import av

from nvcodec.video.source_frame import SourceFrame

#: One frame per frame, and only those that say that they are interlaced.
BWDIF = "mode=send_frame:parity=auto:deint=interlaced"


def deinterlaced(frames: Iterable[SourceFrame], on_first: Callable[[], None]) -> Iterator[SourceFrame]:
    """Yield all frames; those that say they are interlaced are deinterlaced.

    Args:
        frames: in order.
        on_first: called when the first of these appears.
    """
    found = False
    bwdif: _Bwdif | None = None
    for frame in frames:
        if bwdif and not bwdif.takes(frame):
            yield from bwdif.end()
            bwdif = None
        if bwdif is None and frame.frame.interlaced_frame:
            bwdif = _Bwdif(frame)
            if not found:
                on_first()
            found = True
        yield from bwdif.put(frame) if bwdif else [frame]
    if bwdif:
        yield from bwdif.end()


class _Bwdif:
    """The filter, which needs the next frame before it gives one."""

    def __init__(self, first: SourceFrame) -> None:
        frame = first.frame
        self.graph = av.filter.Graph()
        self.kind = _kind(frame)
        source = self.graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
        )
        self.graph.link_nodes(source, self.graph.add("bwdif", BWDIF), self.graph.add("buffersink")).configure()
        self.waiting: deque[SourceFrame] = deque()

    def takes(self, frame: SourceFrame) -> bool:
        """Return whether a frame has the size and format of those before it."""
        return _kind(frame.frame) == self.kind

    def put(self, frame: SourceFrame) -> Iterator[SourceFrame]:
        """Give the filter a frame, and yield what it returns."""
        self.waiting.append(frame)
        self.graph.push(frame.frame)
        return self._results()

    def end(self) -> Iterator[SourceFrame]:
        """Yield the last frame."""
        self.graph.push(None)
        return self._results()

    def _results(self) -> Iterator[SourceFrame]:
        while self.waiting:
            try:
                result = self.graph.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(result, av.VideoFrame)
            before = self.waiting.popleft()
            for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
                setattr(result, name, getattr(before.frame, name))
            yield dataclasses.replace(before, frame=result)


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
