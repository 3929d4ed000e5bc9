"""Tracks, chapters and tags written beside the video of a container."""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction
from typing import Any

import av

from nvcodec.tracks import Extras, Packet, Track, TrackKind
from nvcodec.video.subtitle_text import TEXT_CODECS, converted
from nvcodec.video.track_templates import add_track

FORMATS = ("mp4", "mov", "matroska", "webm")  # FFmpeg's names of containers that hold tracks


class TrackMuxer:
    """Writes what travels beside the pictures into a container, whose video its user writes.

    Args:
        container: what is being written, with its video stream, before the first packet.
        extras: what to write.
        origin: seconds on the clock of the frames that are 0 in the container.

    Attributes:
        notes: what the container cannot hold, in a few words each.
    """

    def __init__(self, container: Any, extras: Extras, origin: Fraction = Fraction(0)) -> None:
        self.container, self.origin = container, origin
        self.notes: list[str] = []
        self._waiting: list[tuple[Fraction, Packet, Any, Fraction]] = []  # in the order of time, the last one first
        if container.format.name not in FORMATS:
            if extras.tracks:
                self.notes.append("audio and subtitles")
            return
        for track in extras.tracks:
            self._add(track)
        self._waiting.sort(key=lambda entry: entry[0], reverse=True)
        container.metadata.update(extras.tags)
        chapters = [
            {
                "id": number,
                "start": max(0, round((chapter.start - origin) * 10**6)),
                "end": round((chapter.end - origin) * 10**6),
                "time_base": Fraction(1, 10**6),
                "metadata": {"title": chapter.title} if chapter.title else {},
            }
            for number, chapter in enumerate(extras.chapters)
            if chapter.end > origin  # Matroska refuses times before 0
        ]
        if chapters:
            container.set_chapters(chapters)

    def _add(self, track: Track) -> None:
        """Add a track, or note that the container cannot hold it."""
        target = TEXT_CODECS[self.container.format.name]
        if track.kind == TrackKind.SUBTITLES:
            track = _from(track, self.origin)
        delay = self._delay(track)
        if track.kind == TrackKind.SUBTITLES and track.codec != target and not self._holds(track, delay):
            try:
                track = converted(track, target)
            except ValueError:
                self.notes.append(f"subtitles in {track.codec}")
                return
        if not self._holds(track, delay):
            self.notes.append(f"{'sound' if track.kind == TrackKind.AUDIO else 'subtitles'} in {track.codec}")
            return
        stream = add_track(self.container, track, delay)
        base = track.time_base
        for packet in track.packets:
            begin = packet.time * base - self.origin
            self._waiting.append((begin, packet, stream, base))

    def _delay(self, track: Track) -> Fraction:
        """How many seconds the first packet of a track is before 0."""
        first = min((packet.time for packet in track.packets), default=0)
        return max(Fraction(0), self.origin - first * track.time_base)

    def _holds(self, track: Track, delay: Fraction) -> bool:
        """Whether the container takes a track: it is tried with one packet, because muxers say it late."""
        try:
            with av.open(io.BytesIO(), "w", format=self.container.format.name) as container:
                stream = add_track(container, dataclasses.replace(track, dispositions=()), delay)
                for packet in track.packets[:1]:
                    container.mux(_packet(packet, stream, track.time_base, Fraction(0)))
        except (av.FFmpegError, ValueError, OverflowError):
            return False
        return True

    def before(self, seconds: Fraction) -> None:
        """Write all packets up to a time in the container; to be called before the video of that time is."""
        while self._waiting and self._waiting[-1][0] <= seconds:
            _, packet, stream, base = self._waiting.pop()
            self.container.mux(_packet(packet, stream, base, self.origin))

    def finish(self) -> None:
        """Write all other packets."""
        while self._waiting:
            self.before(self._waiting[-1][0])


def _from(track: Track, origin: Fraction) -> Track:
    """Return subtitles from a time on: what is shown then begins with it, because containers refuse it earlier."""
    start = round(origin / track.time_base)
    packets = []
    for packet in track.packets:
        end = packet.time + packet.duration
        if packet.time >= start:
            packets.append(packet)
        elif end > start:
            packets.append(Packet(start, end - start, packet.data))
    return dataclasses.replace(track, packets=tuple(packets))


def _packet(packet: Packet, stream: Any, base: Fraction, origin: Fraction) -> av.Packet[Any]:
    """Return a packet of a stream, its times in the stream's ticks from ``origin`` on."""
    made: Any = av.Packet(packet.data)
    made.stream, made.time_base, made.is_keyframe = stream, base, True
    made.pts = made.dts = packet.time - round(origin / base)
    made.duration = packet.duration
    return made
