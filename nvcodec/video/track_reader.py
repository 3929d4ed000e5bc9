"""What a source has beside its pictures: audio and subtitles as packets, chapters, and tags."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from nvcodec.tracks import NO_EXTRAS, Chapter, Extras, Packet, Track, TrackKind

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
    if not Path(path).is_file():
        return NO_EXTRAS, []
    try:
        with av.open(os.path.abspath(path), metadata_errors="replace") as container:
            return _read(container, window, audio)
    except (av.FFmpegError, OSError, ValueError):
        return NO_EXTRAS, []  # whoever reads the pictures says so


def _read(container: Any, window: Window, audio: bool) -> tuple[Extras, list[str]]:
    """Read a file that is open."""
    notes: list[str] = []
    wanted = []
    for stream in container.streams:
        if stream.type == "audio" and not audio:
            continue
        what = _why_not(stream)
        if what:
            notes.append(what)
        elif stream.type in _KINDS:
            wanted.append(stream)
    packets, complete = _packets(container, wanted, window) if wanted else ({}, True)
    if not complete:
        notes.append("what follows damage in the file")
    tracks = tuple(_track(stream, packets[stream.index]) for stream in wanted if packets[stream.index])
    if window.end is not None:
        tracks = tuple(track.shown_until(window.end) for track in tracks)
    chapters = tuple(_chapters(container, window))
    given = {key.lower(): value for key, value in container.metadata.items()}
    tags = {key: value for key, value in given.items() if key in TAGS and value and "\0" not in value}
    names = {key.split("-")[0] for key in given}  # MP4 has them once more for their language: title-eng
    others = sorted(names - TAGS - _OF_THE_FILE)
    if others:
        notes.append(f"the tag(s) {', '.join(others)}")
    if len(json.dumps([chapters, tags], default=str)) > MAX_SAID:
        notes.append("chapters and tags, which are too long")
        chapters, tags = (), {}
    return Extras(tracks, chapters, tags), notes


def _why_not(stream: Any) -> str:
    """Return a few words on a stream that cannot travel; empty for what can, and for video, which is read elsewhere."""
    if stream.type == "video":
        return ""
    if stream.type in _KINDS:
        return "" if stream.codec_context is not None else f"a track of {stream.type} in an unknown codec"
    if stream.discard == av.stream.Discard.all:
        return ""  # chapters, which MP4 has as a stream
    return {"data": "a data stream", "attachment": "an attachment"}.get(stream.type, "a stream of unknown kind")


def _packets(container: Any, wanted: list[Any], window: Window) -> tuple[dict[int, list[Packet]], bool]:
    """Read the packets of some streams within a window; returns them, and whether the file was read to its end."""
    packets: dict[int, list[Packet]] = {stream.index: [] for stream in wanted}
    ends = {stream.index: 0 for stream in wanted}  # where a packet without a time is
    video = container.streams.video[:1] if window.end is not None else ()
    try:
        for packet in container.demux(*wanted, *video):
            stream = packet.stream
            base = Fraction(stream.time_base or 1)
            if stream.type == "video":
                if window.end is not None and packet.dts is not None and packet.dts * base > window.end + LATE:
                    break
                continue
            if not packet.size or (stream.codec_context.name == "mov_text" and bytes(packet) == NO_TEXT):
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            time = ends[stream.index] if stamp is None else stamp
            duration = min(max(packet.duration or 0, 0), MAX_DURATION)
            ends[stream.index] = time + duration
            if window.has(time * base) and abs(time) <= MAX_TICKS:
                packets[stream.index].append(Packet(time, duration, bytes(packet)))
    except (av.FFmpegError, OSError, ValueError):
        return packets, False
    return packets, True


def _track(stream: Any, packets: list[Packet]) -> Track:
    """Return a stream as a track."""
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
        tuple(packets),
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


def _chapters(container: Any, window: Window) -> Iterable[Chapter]:
    """Yield the chapters, cut to a window."""
    with contextlib.suppress(av.FFmpegError, ValueError):
        for chapter in container.chapters():
            base = Fraction(chapter["time_base"] or 1)
            start, end = chapter["start"] * base, chapter["end"] * base
            if window.start is not None:
                start = max(start, window.start)
            if window.end is not None:
                end = min(end, window.end)
            if start < end:
                yield Chapter(start, end, chapter["metadata"].get("title", "").replace("\0", ""))
