"""Video files that FFmpeg writes, through PyAV."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av

from nvcodec.errors import InputError, UsageError
from nvcodec.files import atomic_file
from nvcodec.tracks import Hdr
from nvcodec.video.color_tags import set_tags
from nvcodec.video.frame_converters import Converter, PaletteConverter, RgbConverter, YuvConverter
from nvcodec.video.hdr import svt_parameters, x264_parameters
from nvcodec.video.output_times import OutputTimes
from nvcodec.video.sink_base import Picture, Properties, SinkBase
from nvcodec.video.svt_av1 import restrained
from nvcodec.video.track_muxer import TrackMuxer


@dataclasses.dataclass(frozen=True)
class _Format:
    """How a file of a format is written.

    Attributes:
        muxer, encoder: FFmpeg's names.
        options: of the encoder. H.264 may not reorder frames: in MP4 a last frame that is not the last packet would
            lose its duration.
        tick: seconds per tick, where the container fixes them.
        keeps_aspect: whether the sample aspect arrives.
        odd_sides: whether 4:2:0 may have odd sides.
    """

    muxer: str
    encoder: str
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    tick: Fraction | None = None
    keeps_aspect: bool = True
    odd_sides: bool = False


_MILLISECOND = Fraction(1, 1000)
_H264 = {"crf": "12", "bf": "0", "x264-params": "chromaloc=1"}
_VP9 = {"crf": "10", "b": "0", "deadline": "good", "cpu-used": "3", "row-mt": "1"}
FORMATS = {
    ".mkv": _Format("matroska", "ffv1", tick=_MILLISECOND, keeps_aspect=False),
    ".mp4": _Format("mp4", "libx264", _H264),
    ".mov": _Format("mov", "libx264", _H264),
    ".webm": _Format("webm", "libvpx-vp9", _VP9, tick=_MILLISECOND, keeps_aspect=False, odd_sides=True),
    ".gif": _Format("gif", "gif", tick=Fraction(1, 100)),
}
#: What is written instead where pictures have more than 8 bits: PyAV's VP9 has no more.
DEEP_FORMATS = {
    ".webm": _Format(
        "webm", "libsvtav1", {"crf": "10", "preset": "8"}, tick=_MILLISECOND, keeps_aspect=False, odd_sides=True
    ),
}
LEAST_GIF_TICKS = 2  # browsers show a frame of fewer for a tenth of a second


class ContainerSink(SinkBase):
    """A video file with the frames' times (see :class:`~nvcodec.video.output_times.OutputTimes`) and durations.

    ``.mkv`` contains FFV1 in RGB, which is lossless. ``.mp4`` and ``.mov`` contain H.264, ``.webm`` VP9, or with 10
    bits AV1, in YUV 4:2:0, or 4:4:4 where H.264 has odd sides. A ``.gif`` has a palette for each frame. Colours are
    tagged (see :mod:`nvcodec.video.color_tags`), except in ``.gif``.
    """

    def __init__(self, path: str, suffix: str, properties: Properties, keep_times: bool) -> None:
        super().__init__()
        self.path = path
        deep = properties.bits > 8 and suffix in DEEP_FORMATS
        self.format = form = (DEEP_FORMATS if deep else FORMATS)[suffix]
        self.times = OutputTimes(properties.time_base, form.tick, keep_times)
        self.durations: dict[int, int] = {}  # of frames whose packets are still to come, by time
        self.shortest = LEAST_GIF_TICKS  # duration, in ticks, as far as it matters
        self.extras, self.time_base = properties.extras, properties.time_base
        self.muxer: TrackMuxer | None = None  # from the first frame on
        width, height = properties.width, properties.height
        self.convert = _converter(form, properties)
        if properties.sample_aspect != 1 and not form.keeps_aspect:
            self.notes.append("shows square samples, because PyAV cannot tell it that theirs is not 1:1")
        temporary = self.stack.enter_context(atomic_file(path))
        with self.errors():
            self.container = av.open(str(temporary), "w", format=form.muxer)
            self.stack.callback(self.container.close)
            self.stream = cast(av.VideoStream, self.container.add_stream(form.encoder, rate=properties.fps))
            self.stream.width, self.stream.height = width, height
            self.stream.pix_fmt = self.convert.pixels
            self.stream.time_base = self.stream.codec_context.time_base = self.times.tick
            self.stream.options = dict(self._options(form, properties.extras.hdr))
            context: Any = self.stream.codec_context
            context.sample_aspect_ratio = properties.sample_aspect
            set_tags(context, self.convert.tags)
        self.calm = self.stack.enter_context(restrained()) if form.encoder == "libsvtav1" else None
        self.stack.push(self._finish)

    def _options(self, form: _Format, hdr: Hdr) -> dict[str, str]:
        """The encoder's options, with HDR metadata where it can write them."""
        options = dict(form.options)
        known = {"libx264": ("x264-params", x264_parameters), "libsvtav1": ("svtav1-params", svt_parameters)}
        if hdr and form.encoder in known:
            name, parameters = known[form.encoder]
            options[name] = ":".join([*filter(None, [options.get(name)]), *parameters(hdr)])
        elif hdr:
            self.notes.append("lacks the metadata of display and light, which PyAV cannot write there")
        return options

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the container cannot hold, and other errors of PyAV, into one sentence."""
        try:
            yield
        except OverflowError:
            raise UsageError(
                f"{self.path}: the format cannot hold these time stamps; write a folder/ or .rgb"
            ) from None
        except (av.FFmpegError, ValueError, OSError) as error:
            raise InputError(f"cannot write {self.path}: {error}") from None

    def put(self, picture: Picture, pts: int, duration: int) -> None:
        with self.errors():
            frame = self.convert(picture)
            set_tags(frame, self.convert.tags)
            frame.pts, frame.duration = self.times.of(pts, duration)
            if self.muxer is None:
                self.muxer = TrackMuxer(self.container, self.extras, pts * self.time_base - frame.pts * self.times.tick)
            frame.time_base = self.times.tick
            self.durations[frame.pts] = frame.duration
            self.shortest = min(self.shortest, frame.duration)
            self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        """Encode a frame, or the end, and write the packets that are complete."""
        packets = self.stream.encode(frame)
        if self.calm:
            self.calm()
        for packet in packets:
            assert packet.pts is not None
            packet.duration = self.durations.pop(packet.pts)  # encoders drop it
            if self.muxer:
                self.muxer.before(packet.pts * self.times.tick)
            self.container.mux(packet)

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        with self.errors():
            self._mux(None)
            if self.muxer:
                self.muxer.finish()
        if self.muxer and self.muxer.notes:
            self.notes.append(f"left out: {', '.join(self.muxer.notes)}")
        if self.times.shifted:
            later = float(self.times.shifted)
            self.notes.append(f"cannot hold negative times, so that all are {later:g} s later")
        if self.format.muxer == "gif" and self.shortest < LEAST_GIF_TICKS:
            self.notes.append("has frames of less than 0.02 s, which most programs show for longer")


def _converter(form: _Format, properties: Properties) -> Converter:
    """Return what makes frames for the encoder of a format."""
    if form.encoder == "ffv1":
        return RgbConverter(properties)
    if form.encoder == "gif":
        return PaletteConverter(properties)
    even = not (properties.width % 2 or properties.height % 2)
    return YuvConverter(properties, subsampled=even or form.odd_sides)
