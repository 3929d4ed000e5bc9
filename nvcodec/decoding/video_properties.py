"""What an open video says of itself: size, times, colours; and whether it is open."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Self

from nvcodec.decoding.frame_times import FrameTimes
from nvcodec.errors import UsageError
from nvcodec.format.describe import color_of
from nvcodec.format.stream import Stream


class VideoProperties:
    """The properties of an open video, and a context manager that closes it.

    Everything but ``closed``, ``close`` and ``repr`` raises UsageError once the video is closed.

    Args:
        stream: what was read from the file.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream: Stream | None = stream
        self._name = stream.name
        self._times: FrameTimes | None = None

    @property
    def stream(self) -> Stream:
        """The content of the file."""
        if self._stream is None:
            raise UsageError(f"{self._name or 'the video'} is closed")
        return self._stream

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._stream is None

    def close(self) -> None:
        """Let go of the content of the file. Closing again does nothing."""
        self._stream = self._times = None

    def __enter__(self) -> Self:
        self.stream  # noqa: B018 (raises where the video is closed)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        """Frames per second, averaged over the video; 0 where no time passes."""
        return self.stream.fps

    @property
    def times(self) -> FrameTimes:
        """The times of all frames."""
        times = self._times  # looked up once: another thread may close the video
        if times is None:
            times = self._times = FrameTimes(self.stream.ticks, self.stream.time_base)
        return times

    @property
    def timestamps(self) -> list[Fraction]:
        """Presentation time of every frame, in exact seconds."""
        return list(self.times.starts)

    @property
    def durations(self) -> list[Fraction]:
        """Duration of every frame, in exact seconds."""
        return list(self.times.durations)

    @property
    def duration(self) -> Fraction:
        """Sum of the durations of all frames, in exact seconds."""
        return self.stream.seconds

    @property
    def duration_seconds(self) -> float:
        """Sum of the durations of all frames, seconds."""
        return float(self.duration)

    @property
    def begin_seconds(self) -> float:
        """Presentation time of the frame that is shown first, seconds."""
        return float(self.times.begin)

    @property
    def end_seconds(self) -> float:
        """When the last frame ends, seconds."""
        return float(self.times.end)

    @property
    def sample_aspect(self) -> Fraction:
        """Width of a sample divided by its height."""
        return Fraction(self.stream.video.sample_aspect_num, self.stream.video.sample_aspect_den)

    @property
    def color(self) -> dict[str, int]:
        """Colour coding that the file states; see :func:`nvcodec.format.describe.color_of`."""
        return color_of(self.stream)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the file, a JSON object."""
        return self.stream.metadata

    def __len__(self) -> int:
        return self.stream.frames

    def __repr__(self) -> str:
        name = f" {self._name}" if self._name else ""
        if self.closed:
            return f"<nvcodec.Video{name}: closed>"
        about = (
            f"{len(self)} frames of {self.width}x{self.height}, {self.fps:.6g} frames/s, {self.duration_seconds:.6g} s"
        )
        return f"<nvcodec.Video{name}: {about}>"
