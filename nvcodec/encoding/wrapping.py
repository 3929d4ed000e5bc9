"""One file for every player: an MP4 whose AV1 track is the base of an SDMN file, which it has inside."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from nvcodec.errors import UsageError
from nvcodec.files import atomic_file
from nvcodec.format.extras import extras_of
from nvcodec.format.mp4_box import media_data, pack_box
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.units import TRACKS, UnitType, split_units
from nvcodec.tracks import Extras
from nvcodec.video.av1_files import TimedUnit, write_av1

SUFFIX = ".mp4"
#: Names of what players open and encoding does not write: the parts of an SDMN file are found by their offsets in the
#: one box of an MP4 that has all media data.
OTHER_SUFFIXES = (".mkv", ".webm", ".mov", ".m4v", ".avi", ".ts", ".gif", ".y4m", ".ivf", ".obu")
LEAST_COPIED = 12  # bytes; of less, saying where they are takes as many


def is_wrapped(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is to be an MP4."""
    return os.fspath(path).lower().endswith(SUFFIX)


def check_suffix(path: str, has_av1: bool) -> None:
    """Check that players can show a file if its name says so; raises UsageError."""
    if path.lower().endswith(OTHER_SUFFIXES):
        raise UsageError(f"{path} cannot be written: a file that players show ends in {SUFFIX}, any other in .sdmn")
    if is_wrapped(path) and not has_av1:
        raise UsageError(f"{path} would be a network alone, which no player shows; an .sdmn file holds it")


def wrap(data: bytes, path: str | os.PathLike[str]) -> list[str]:
    """Write an SDMN file as an MP4 that any player shows; nothing is encoded again.

    Args:
        data: a whole SDMN file with an AV1 stream.
        path: the MP4.

    Returns:
        What players do not see of sound, subtitles and tags, in a few words each; the SDMN file inside has it.

    Raises:
        UsageError: it is a network alone, or its segments differ in size.
        InputError: the MP4 cannot be written.
        CorruptStreamError: the SDMN file is damaged.
    """
    stream = read_stream(data)
    extras, _ = extras_of(stream)
    with atomic_file(path) as temporary:
        named = temporary.with_name(temporary.name + SUFFIX)
        try:
            left_out = write_base(stream, named, extras)
            made = named.read_bytes()
        finally:
            named.unlink(missing_ok=True)
        temporary.write_bytes(made + pack_box(data, _copies(data, stream, extras, made)))
    return left_out


def write_base(stream: Stream, path: str | os.PathLike[str], extras: Extras) -> list[str]:
    """Write the AV1 stream of a file and what travels beside it; returns and raises as :func:`write_av1`.

    Raises:
        UsageError: also where there is no such stream, or the segments differ in size.
    """
    if not any(segment.layers[0].base for segment in stream.segments):
        raise UsageError("there is no AV1 stream: the file is a network alone")
    if len({(segment.head.width, segment.head.height) for segment in stream.segments}) > 1:
        raise UsageError("the segments of this file differ in size, so that they are no single AV1 stream")
    units, ticks = [], iter(stream.ticks)
    for segment in stream.segments:
        for run in segment.layers[0].base:
            for index, data in enumerate(run.temporal_units):
                units.append(TimedUnit(data, *next(ticks), key=index == 0))
    aspect = Fraction(stream.video.sample_aspect_num, stream.video.sample_aspect_den)
    return write_av1(path, units, stream.time_base, aspect, extras)


def _copies(data: bytes, stream: Stream, extras: Extras, made: bytes) -> list[tuple[int, int, int]]:
    """Find what the media data of an MP4 have of an SDMN file; see :func:`~nvcodec.format.mp4_box.pack_box`."""
    begin, end = media_data(made)
    copies: list[tuple[int, int, int]] = []
    runs = (run for segment in stream.segments for run in segment.layers[0].base)
    tracks = iter(extras.tracks)
    in_base = begin
    for unit in split_units(memoryview(data)):
        bounds = (unit.offset + unit.header_bytes, unit.end)
        if unit.header.type == UnitType.BASE:
            found = _found(data, bounds, next(runs).temporal_units, made, (in_base, end))
            in_base = found[-1][1] + found[-1][2] if found else in_base
        elif unit.header.type in TRACKS and (track := next(tracks, None)):
            found = _found(data, bounds, [packet.data for packet in track.packets], made, (begin, end))
        else:
            continue
        copies += [(start, offset - begin, size) for start, offset, size in found]
    return copies


def _found(
    data: bytes, in_data: tuple[int, int], pieces: Iterable[bytes], made: bytes, in_made: tuple[int, int]
) -> list[tuple[int, int, int]]:
    """Find pieces, in their order, in parts of two files; returns offsets in both, and sizes.

    What is found is equal, whichever of several equal places it is. One that is missing ends the search.
    """
    (at, end), (there, limit) = in_data, in_made
    found = []
    for piece in pieces:
        if len(piece) < LEAST_COPIED:
            continue
        at, there = data.find(piece, at, end), made.find(piece, there, limit)
        if min(at, there) < 0:
            break
        found.append((at, there, len(piece)))
        at, there = at + len(piece), there + len(piece)
    return found


def write_file(path: str | os.PathLike[str], data: bytes) -> list[str]:
    """Write an SDMN file, as an MP4 where its name says so; returns and raises as :func:`wrap`."""
    if is_wrapped(path):
        return wrap(data, path)
    with atomic_file(path) as temporary:
        Path(temporary).write_bytes(data)
    return []
