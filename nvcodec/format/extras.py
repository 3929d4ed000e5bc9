"""AUDIO, SUBTITLES and the metadata that belong to them (specification, sections 4.9, 4.10 and 4.13).

A decoder of pictures does not look into them. What is damaged here costs no picture, and is said in a sentence.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from nvcodec.errors import CorruptStreamError, UsageError
from nvcodec.format.fields import Cursor, Record, pack_integer, u8, u32
from nvcodec.format.metadata import pack_metadata
from nvcodec.format.stream import Stream
from nvcodec.format.stream_writer import with_units
from nvcodec.format.units import UnitType, is_compact, pack_unit
from nvcodec.tracks import Chapter, Extras, Hdr, Packet, Track, TrackKind

TRACKS_KEY, CHAPTERS_KEY, TAGS_KEY, SELECTION_KEY, HDR_KEY = "tracks", "chapters", "tags", "selection", "hdr"
MAX_TRACKS = 256
MAX_TIME = 2**61  # ticks of a packet, so that the difference of two fits its field
INDEX_BYTES = 12  # that a unit takes in INDEX
COUNT_BYTES = 16  # by which numbers of units in the ends of layers may grow
MAX_TEXT = 2**16  # characters of a tag, title or name
_LEAST_PACKET = {True: 3, False: 16}  # bytes of a packet without data, by whether the form is compact
_UNITS = {TrackKind.AUDIO: UnitType.AUDIO, TrackKind.SUBTITLES: UnitType.SUBTITLES}
_KINDS = {unit: kind for kind, unit in _UNITS.items()}


@dataclasses.dataclass(frozen=True)
class TrackHead(Record):
    """Numbers that describe a track."""

    NAME = "track"
    sample_rate: int = u32()
    channels: int = u8()
    time_base_num: int = u32(1)
    time_base_den: int = u32(1)


# ---- writing ---------------------------------------------------------------------------------------------------------


def add_extras(data: bytes, extras: Extras) -> bytes:
    """Return a whole file with tracks, and what the metadata say of them, of chapters and of the source.

    Raises:
        UsageError: as :func:`extra_units`.
    """
    return with_units(data, extra_units(extras, is_compact(data)))


def extra_units(extras: Extras, compact: bool) -> list[tuple[UnitType, bytes]]:
    """Encode extras as types and payloads of units.

    Raises:
        UsageError: there are too many tracks, or a number is too large for its field.
    """
    if len(extras.tracks) > MAX_TRACKS:
        raise UsageError(f"a file holds at most {MAX_TRACKS} tracks of audio and subtitles, not {len(extras.tracks)}")
    said = metadata_of(extras)
    units = [(UnitType.METADATA, pack_metadata(said, compact))] if said else []
    try:
        for number, track in enumerate(extras.tracks):
            units.append((_UNITS[track.kind], pack_track(number, track, compact)))
    except CorruptStreamError as error:
        raise UsageError(f"a track cannot be stored: {error}") from None
    return units


def extra_bytes(extras: Extras, compact: bool) -> int:
    """Return how many bytes extras add to a file, at most: there may be an INDEX, and numbers may take more bytes."""
    units = [len(pack_unit(kind, payload, compact=compact)) for kind, payload in extra_units(extras, compact)]
    return sum(units) + INDEX_BYTES * len(units) + COUNT_BYTES * bool(units)


def pack_track(number: int, track: Track, compact: bool) -> bytes:
    """Encode a track as the payload of one unit."""
    base = track.time_base
    head = TrackHead(track.sample_rate, track.channels, base.numerator, base.denominator).pack(compact)
    name = track.codec.encode("ascii")
    out = [pack_integer(number, "B", True)] if compact else []
    out += [pack_integer(len(name), "B", compact), name, head]
    out += [pack_integer(len(track.codec_data), "I", compact), track.codec_data]
    out.append(pack_packets(track.packets, compact))
    return b"".join(out)


def more_units(tracks: Sequence[Track]) -> list[tuple[UnitType, bytes]]:
    """Encode further packets of all tracks of a file in compact form, as types and payloads of units.

    Args:
        tracks: in the order of their numbers; one without packets yields no unit.

    Raises:
        UsageError: a number is too large for its field.
    """
    try:
        return [
            (_UNITS[track.kind], pack_integer(number, "B", True) + pack_packets(track.packets, True))
            for number, track in enumerate(tracks)
            if track.packets
        ]
    except CorruptStreamError as error:
        raise UsageError(f"a track cannot be stored: {error}") from None


def pack_packets(packets: Sequence[Packet], compact: bool) -> bytes:
    """Encode packets and their number."""
    out = [pack_integer(len(packets), "I", compact)]
    end = 0
    for time, duration, data in packets:
        for value, most, what in ((abs(time), MAX_TIME, "time"), (duration, 2**32 - 1, "duration")):
            if not 0 <= value <= most:
                raise CorruptStreamError(f"the {what} of a packet is {value} ticks, at most {most} are allowed")
        out += [pack_integer(time - end if compact else time, "q", compact), pack_integer(duration, "I", compact)]
        out += [pack_integer(len(data), "I", compact), data]
        end = time + duration
    return b"".join(out)


def metadata_of(extras: Extras) -> dict[str, Any]:
    """Return what METADATA say of tracks, chapters and the source."""
    said: dict[str, Any] = {}
    tracks = [_said_of_track(track) for track in extras.tracks]
    if any(tracks):
        said[TRACKS_KEY] = tracks
    if extras.chapters:
        ticks = math.lcm(*(time.denominator for chapter in extras.chapters for time in chapter[:2]))
        rows = [[int(chapter.start * ticks), int(chapter.end * ticks), chapter.title] for chapter in extras.chapters]
        said[CHAPTERS_KEY] = {"time_base": [1, ticks], "list": rows}
    if extras.tags:
        said[TAGS_KEY] = dict(extras.tags)
    if extras.selection:
        said[SELECTION_KEY] = extras.selection
    if extras.hdr:
        said[HDR_KEY] = {name: list(value) for name, value in dataclasses.asdict(extras.hdr).items() if value}
    return said


def _said_of_track(track: Track) -> dict[str, Any]:
    """Return what the metadata say of a track."""
    said = {"language": track.language, "title": track.title, "layout": track.layout}
    return {key: value for key, value in said.items() if value} | (
        {"disposition": list(track.dispositions)} if track.dispositions else {}
    )


# ---- reading ---------------------------------------------------------------------------------------------------------


def extras_of(stream: Stream) -> tuple[Extras, str]:
    """Return what a stream has beside its pictures, and a sentence on what of it is damaged; empty where nothing is."""
    parts: list[tuple[Track, list[Packet]]] = []
    note = ""
    for unit, payload in stream.track_units:
        try:
            _read_unit(Cursor(payload, unit.name, stream.compact), _KINDS[unit], parts)
        except CorruptStreamError as error:
            note = note or f"audio or subtitles are damaged, and left out: {error}"
    tracks = [dataclasses.replace(track, packets=tuple(packets)) for track, packets in parts]
    said = stream.metadata.get(TRACKS_KEY)
    for number, of_track in enumerate(said[: len(tracks)] if isinstance(said, list) else ()):
        if isinstance(of_track, dict):
            tracks[number] = dataclasses.replace(tracks[number], **_track_texts(of_track))
    tags = stream.metadata.get(TAGS_KEY)
    texts = {_text(key): _text(value) for key, value in tags.items()} if isinstance(tags, dict) else {}
    tags = {key: value for key, value in texts.items() if key and value}
    chapters = tuple(_chapters(stream.metadata.get(CHAPTERS_KEY)))
    return Extras(tuple(tracks), chapters, tags, hdr=_hdr(stream.metadata.get(HDR_KEY))), note


def _read_unit(cursor: Cursor, kind: TrackKind, tracks: list[tuple[Track, list[Packet]]]) -> None:
    """Read a unit: a new track, which is added without and with its packets, or more packets of one that is there.

    Raises:
        CorruptStreamError: it breaks the specification.
    """
    number = cursor.integer("B") if cursor.compact else len(tracks)
    if number > len(tracks) or number == MAX_TRACKS:
        raise CorruptStreamError(f"{cursor.what} is of track {number} where there are {len(tracks)}")
    if number < len(tracks):
        track, packets = tracks[number]
        if track.kind != kind:
            raise CorruptStreamError(f"{cursor.what} is of track {number}, which is {track.kind.value}")
        packets += _read_packets(cursor)
        return
    try:
        codec = bytes(cursor.take(cursor.integer("B"))).decode("ascii")
    except UnicodeDecodeError:
        raise CorruptStreamError(f"{cursor.what} has a codec whose name is not ASCII") from None
    head = TrackHead.unpack(cursor)
    if (kind == TrackKind.SUBTITLES) != (head.sample_rate == head.channels == 0):
        raise CorruptStreamError(f"{cursor.what} has {head.channels} channels of {head.sample_rate} samples per second")
    data = bytes(cursor.take(cursor.integer("I")))
    packets = _read_packets(cursor)
    time_base = Fraction(head.time_base_num, head.time_base_den)
    tracks.append((Track(kind, codec, time_base, (), data, head.sample_rate, head.channels), packets))


def _read_packets(cursor: Cursor) -> list[Packet]:
    """Read packets up to the end of a payload; raises as :func:`_read_unit`."""
    count = cursor.integer("I")
    if count > cursor.left // _LEAST_PACKET[cursor.compact]:
        raise CorruptStreamError(f"{cursor.what} has {cursor.left} bytes for {count} packets")
    packets = []
    end = 0
    for _ in range(count):
        time = cursor.integer("q") + (end if cursor.compact else 0)
        if abs(time) > MAX_TIME:
            raise CorruptStreamError(f"{cursor.what} has a packet at {time} ticks")
        duration = cursor.integer("I")
        packets.append(Packet(time, duration, bytes(cursor.take(cursor.integer("I")))))
        end = time + duration
    cursor.end()
    return packets


def _text(value: Any) -> str:
    """Return a text of the metadata, or nothing where there is something else."""
    return value[:MAX_TEXT] if isinstance(value, str) and "\0" not in value else ""


def _track_texts(said: dict[str, Any]) -> dict[str, Any]:
    """Return what the metadata say of a track, as attributes of :class:`Track`."""
    for_what = said.get("disposition")
    listed = [_text(word) for word in for_what] if isinstance(for_what, list) else []
    return {key: _text(said.get(key)) for key in ("language", "title", "layout")} | {
        "dispositions": tuple(word for word in listed if word)
    }


def _chapters(said: Any) -> Iterable[Chapter]:
    """Yield the chapters that the metadata have, as far as they are well-formed."""
    base, rows = (said.get("time_base"), said.get("list")) if isinstance(said, dict) else (None, None)
    if not (isinstance(base, list) and isinstance(rows, list) and _integers(base, 2) and min(base) > 0):
        return
    for row in rows:
        if isinstance(row, list) and len(row) == 3 and _integers(row[:2], 2) and row[0] <= row[1]:
            start, end = (ticks * Fraction(*base) for ticks in row[:2])
            yield Chapter(start, end, _text(row[2]))


def _hdr(said: Any) -> Hdr:
    """Return what metadata say of display and light; what is not as it should be says nothing."""
    numbers = [said.get(name) if isinstance(said, dict) else None for name in ("mastering", "light")]
    valid = (
        tuple(value)
        if isinstance(value, list) and _integers(value, count) and all(0 <= number < 2**32 for number in value)
        else ()
        for value, count in zip(numbers, (10, 2), strict=True)
    )
    return Hdr(*valid)


def _integers(values: list[Any], count: int) -> bool:
    """Whether these are so many integers that any container's field could hold."""
    return len(values) == count and all(type(value) is int and abs(value) <= MAX_TIME for value in values)
