"""What a source has beside its pictures: audio and subtitles as packets, chapters, and tags."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from nvcodec.tracks import Chapter, Extras, Packet, Track, TrackKind

#: Tags that travel, by FFmpeg's names. Others may say what nobody means to pass on: positions, devices, paths.
TAGS = frozenset(
    {
        *("title", "artist", "album_artist", "album", "author", "composer", "performer", "copyright", "publisher"),
        *("date", "year", "creation_time", "genre", "comment", "description", "synopsis", "keywords", "grouping"),
        *("show", "episode_id", "season_number", "episode_sort", "network", "language", "track", "disc", "lyrics"),
    }
)
#: Tags that say how a file was made, and are true of no other file.
_OF_THE_FILE = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "software"})
MAX_SAID = 2**18  # bytes of chapters and tags
MAX_TICKS = 2**61  # of a packet's time
MAX_DURATION = 2**32 - 1  # ticks
LATE = 10  # seconds by which a packet may come later in a file than pictures of its time
USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
NO_TEXT = b"\0\0"  # what is between subtitles in MP4
_KINDS = {"audio": TrackKind.AUDIO, "subtitle": TrackKind.SUBTITLES}


class Window(NamedTuple):
    """The part of a source that is shown, in seconds on its clock; None where it has no bound."""

    start: Fraction | None = None
    end: Fraction | None = None

    def has(self, seconds: Fraction) -> bool:
        """Whether a time lies within it."""
        return (self.start is None or self.start <= seconds) and (self.end is None or seconds < self.end)


WHOLE = Window()


def read_extras(path: str | os.PathLike[str], window: Window = WHOLE, audio: bool = True) -> tuple[Extras, list[str]]:
    """Read all that travels beside the pictures of a video file.

    Args:
        path: the file; of a folder, or of what is no video file, there is nothing to read.
        window: the part that is shown: packets whose time lies within it; chapters and subtitles are cut to it.
        audio: whether sound is wanted.

    Returns:
        What there is; and what of it cannot travel, in a few words each.
    """
    with TrackReader(path, window.start, audio) as reader:
        packets = reader.until(window.end)
        tracks = [
            dataclasses.replace(track, packets=tuple(found))
            for track, found in zip(reader.tracks, packets, strict=True)
            if found
        ]
        if window.end is not None:
            tracks = [track.shown_until(window.end) for track in tracks]
        return Extras(tuple(tracks), reader.chapters(window.end), reader.tags), reader.left_out


class TrackReader:
    """Reads what travels beside the pictures of a video file, from its beginning to its end.

    Args:
        path: the file; of a folder, or of what is no video file, there is nothing to read.
        start: seconds on the clock of the frames at which the part begins that is shown; None for all.
        audio: whether sound is wanted.

    Attributes:
        tracks: audio and subtitles, without packets.
        tags: what the file says of itself.
    """

    def __init__(self, path: str | os.PathLike[str], start: Fraction | None = None, audio: bool = True) -> None:
        self.start, self.tracks, self.tags = start, list[Track](), dict[str, str]()
        self._left_out: list[str] = []
        self._streams: list[Any] = []
        self._chapters: list[Chapter] = []
        self._container: Any = None
        self._damaged = False
        if Path(path).is_file():
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):  # whoever reads the pictures says so
                self._container = av.open(os.path.abspath(path), metadata_errors="replace")
                self._read_heads(audio)
        self._waiting: list[list[Packet]] = [[] for _ in self._streams]
        self._demuxed = self._demux()

    def __enter__(self) -> TrackReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()

    @property
    def left_out(self) -> list[str]:
        """What cannot travel, in a few words each, as far as the file has been read."""
        return [*self._left_out, *(["what follows damage in the file"] if self._damaged else [])]

    def chapters(self, end: Fraction | None) -> tuple[Chapter, ...]:
        """Return the chapters, cut to what is shown up to a time in seconds."""
        cut = (
            Chapter(
                each.start if self.start is None else max(self.start, each.start),
                each.end if end is None else min(end, each.end),
                each.title,
            )
            for each in self._chapters
        )
        return tuple(chapter for chapter in cut if chapter.start < chapter.end)

    def until(self, end: Fraction | None) -> list[list[Packet]]:
        """Return the next packets of each track: those before a time in seconds, or all."""
        for seconds in self._demuxed:
            if end is not None and seconds > end + LATE:
                break
        taken, window = [], Window(end=end)
        for number, (track, packets) in enumerate(zip(self.tracks, self._waiting, strict=True)):
            taken.append([packet for packet in packets if window.has(packet.time * track.time_base)])
            self._waiting[number] = [packet for packet in packets if not window.has(packet.time * track.time_base)]
        return taken

    def _read_heads(self, audio: bool) -> None:
        """Read what the file says of its streams and of itself."""
        container = self._container
        for stream in container.streams:
            if stream.type == "audio" and not audio:
                continue
            what = _why_not(stream)
            if what:
                self._left_out.append(what)
            elif stream.type in _KINDS:
                self._streams.append(stream)
                self.tracks.append(_track(stream))
        self._chapters = list(_chapters(container))
        given = {key.lower(): value for key, value in container.metadata.items()}
        self.tags = {key: value for key, value in given.items() if key in TAGS and value and "\0" not in value}
        names = {key.split("-")[0] for key in given}  # MP4 has them once more for their language: title-eng
        others = sorted(names - TAGS - _OF_THE_FILE)
        if others:
            self._left_out.append(f"the tag(s) {', '.join(others)}")
        if len(json.dumps([self._chapters, self.tags], default=str)) > MAX_SAID:
            self._left_out.append("chapters and tags, which are too long")
            self._chapters, self.tags = [], {}

    def _demux(self) -> Iterator[Fraction]:
        """Put packets where :meth:`until` takes them; yields how far the pictures are, in seconds, after each of their
        packets."""
        if not self._streams:
            return
        numbers = {stream.index: number for number, stream in enumerate(self._streams)}
        ends = [0] * len(numbers)  # where a packet without a time is
        try:
            for packet in self._container.demux(*self._streams, *self._container.streams.video[:1]):
                stream = packet.stream
                base = Fraction(stream.time_base or 1)
                if stream.type == "video":
                    if packet.dts is not None:
                        yield packet.dts * base
                    continue
                if not packet.size or (stream.codec_context.name == "mov_text" and bytes(packet) == NO_TEXT):
                    continue
                stamp, number = packet.pts if packet.pts is not None else packet.dts, numbers[stream.index]
                time = ends[number] if stamp is None else stamp
                duration = min(max(packet.duration or 0, 0), MAX_DURATION)
                ends[number] = time + duration
                if Window(self.start).has(time * base) and abs(time) <= MAX_TICKS:
                    self._waiting[number].append(Packet(time, duration, bytes(packet)))
        except (av.FFmpegError, OSError, ValueError):
            self._damaged = True


def _why_not(stream: Any) -> str:
    """Return a few words on a stream that cannot travel; empty for what can, and for video, which is read elsewhere."""
    if stream.type == "video":
        return ""
    if stream.type in _KINDS:
        return "" if stream.codec_context is not None else f"a track of {stream.type} in an unknown codec"
    if stream.discard == av.stream.Discard.all:
        return ""  # chapters, which MP4 has as a stream
    return {"data": "a data stream", "attachment": "an attachment"}.get(stream.type, "a stream of unknown kind")


def _track(stream: Any) -> Track:
    """Return a stream as a track without packets."""
    context, kind = stream.codec_context, _KINDS[stream.type]
    numbers: dict[str, Any] = {}
    if kind == TrackKind.AUDIO:
        layout = context.layout.name if context.channels else ""
        usual = (USUAL_LAYOUTS.get(context.channels), f"{context.channels} channels")
        numbers = {
            "sample_rate": context.sample_rate,
            "channels": context.channels,
            "layout": "" if layout in usual else layout,
        }
    language = stream.metadata.get("language", "")
    flags = int(getattr(stream, "disposition", 0))
    return Track(
        kind,
        context.codec.canonical_name,
        Fraction(stream.time_base),
        (),
        bytes(context.extradata or b""),
        language="" if language == "und" else language,
        title=stream.metadata.get("title", ""),
        dispositions=tuple(name for name, flag in _dispositions().items() if flags & flag),
        **numbers,
    )


def _dispositions() -> dict[str, int]:
    """FFmpeg's words for what a track is for, and their bits."""
    return {flag.name: flag.value for flag in av.stream.Disposition if flag.name}


def disposition_bits(names: Iterable[str]) -> int:
    """Return the bits of some of FFmpeg's words for what a track is for; unknown ones have none."""
    known = _dispositions()
    return sum(known.get(name, 0) for name in set(names))


def _chapters(container: Any) -> Iterable[Chapter]:
    """Yield the chapters."""
    with contextlib.suppress(av.FFmpegError, ValueError):
        for chapter in container.chapters():
            base = Fraction(chapter["time_base"] or 1)
            title = chapter["metadata"].get("title", "").replace("\0", "")
            yield Chapter(chapter["start"] * base, chapter["end"] * base, title)
