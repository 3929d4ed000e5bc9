"""What travels beside the pictures: audio and subtitle tracks as packets, chapters, and the source's tags."""

from __future__ import annotations

import dataclasses
import enum
import math
from fractions import Fraction
from typing import Any, NamedTuple


class TrackKind(enum.Enum):
    """Kinds of tracks."""

    AUDIO = "audio"
    SUBTITLES = "subtitles"


class Packet(NamedTuple):
    """A packet of a codec: when it is shown or heard, and how long, in ticks of its track; its bytes."""

    time: int
    duration: int
    data: bytes


@dataclasses.dataclass(frozen=True)
class Track:
    """A track of packets, which are copied as they are.

    Attributes:
        kind: what it is.
        codec: FFmpeg's name of the codec.
        time_base: seconds per tick of its packets.
        packets: in the order in which they are decoded.
        codec_data: what decoders need beside the packets.
        sample_rate: samples per second; 0 for subtitles.
        channels: number of audio channels; 0 for subtitles.
        layout: FFmpeg's name of the channels' layout; empty for the usual one of so many channels.
        language: as the source gives it, mostly three letters; empty where it says none.
        title: likewise.
        dispositions: what it is for, in FFmpeg's words: ``default``, ``forced``, ``comment``.
    """

    kind: TrackKind
    codec: str
    time_base: Fraction
    packets: tuple[Packet, ...]
    codec_data: bytes = b""
    sample_rate: int = 0
    channels: int = 0
    layout: str = ""
    language: str = ""
    title: str = ""
    dispositions: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of all packets."""
        return sum(len(packet.data) for packet in self.packets)

    @property
    def seconds(self) -> Fraction:
        """Time from the beginning of the first packet to the end of the last one."""
        if not self.packets:
            return Fraction(0)
        end = max(packet.time + packet.duration for packet in self.packets)
        return (end - min(packet.time for packet in self.packets)) * self.time_base

    def shown_until(self, end: Fraction) -> Track:
        """The same, with subtitles that are shown no longer than up to a time in seconds."""
        if self.kind != TrackKind.SUBTITLES:
            return self
        last = math.ceil(end / self.time_base)
        cut = (packet._replace(duration=max(0, min(packet.duration, last - packet.time))) for packet in self.packets)
        return dataclasses.replace(self, packets=tuple(cut))


class Chapter(NamedTuple):
    """A chapter: its beginning and end in seconds, on the clock of the frames, and its title."""

    start: Fraction
    end: Fraction
    title: str


CHROMATICITY_UNIT, LUMINANCE_UNIT = Fraction(1, 50000), Fraction(1, 10000)  # the latter of cd/m^2


@dataclasses.dataclass(frozen=True)
class Hdr:
    """What a source says of the display that it was mastered on, and of its light.

    Attributes:
        mastering: ten integers: x and y of red, green, blue and white in ``CHROMATICITY_UNIT``, the most and the least
            luminance in ``LUMINANCE_UNIT``; empty where it is not said.
        light: the light level of the brightest pixel, and of the frame that is brightest on average, cd/m^2 (MaxCLL and
            MaxFALL); empty where it is not said.
    """

    mastering: tuple[int, ...] = ()
    light: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.mastering or self.light)


NO_HDR = Hdr()


@dataclasses.dataclass(frozen=True)
class Extras:
    """All that travels beside the pictures.

    Attributes:
        tracks: audio and subtitles. Their times are on the clock of the frames.
        chapters: in order of time.
        tags: what the source says of itself: ``title``, ``creation_time`` and others of FFmpeg's names.
        selection: which part of the source was taken, as JSON: what differs from the defaults of
            :class:`~nvcodec.video.selection.Selection`.
        hdr: what the source says of its display and light.
    """

    tracks: tuple[Track, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    selection: dict[str, Any] = dataclasses.field(default_factory=dict)
    hdr: Hdr = NO_HDR

    def __bool__(self) -> bool:
        return bool(self.tracks or self.chapters or self.tags or self.selection or self.hdr)

    @property
    def without_audio(self) -> Extras:
        """The same without sound."""
        return dataclasses.replace(self, tracks=tuple(t for t in self.tracks if t.kind != TrackKind.AUDIO))

    def within(self, start: Fraction, end: Fraction) -> Extras:
        """What belongs to a part, in seconds: packets whose time lies in it; chapters and subtitles are cut to it."""
        tracks = []
        for track in self.tracks:
            packets = [packet for packet in track.packets if start <= packet.time * track.time_base < end]
            if packets:
                tracks.append(dataclasses.replace(track, packets=tuple(packets)).shown_until(end))
        cut = (Chapter(max(start, c.start), min(end, c.end), c.title) for c in self.chapters)
        return Extras(tuple(tracks), tuple(c for c in cut if c.start < c.end), self.tags, hdr=self.hdr)


NO_EXTRAS = Extras()
