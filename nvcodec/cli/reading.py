"""Reading the SDMN file that a command works on."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from nvcodec.errors import UsageError, about
from nvcodec.format.limits import Limits
from nvcodec.notes import note

if TYPE_CHECKING:
    from nvcodec.format.stream import Stream
    from nvcodec.tracks import Extras

Moment = int | Fraction  # frames, or seconds


def open_stream(
    file: str, max_pixels: int | None, max_memory: int, keep_going: bool = False, part: bool = False
) -> Stream:
    """Read and check an SDMN file, as :func:`open_file` does; with ``part`` only what is wanted of it."""
    if not part:
        return open_file(file, max_pixels, max_memory, keep_going)[0]
    from nvcodec.format import deferred_stream

    stream = deferred_stream.open_file(sys.stdin.buffer if file == "-" else file, Limits(max_pixels, max_memory))
    stream.name = file
    _say_note(stream)
    return stream


def open_file(file: str, max_pixels: int | None, max_memory: int, keep_going: bool = False) -> tuple[Stream, bytes]:
    """Read and check an SDMN file; ``-`` is standard input. What is missing of a file that is cut is said on stderr.

    Returns:
        The stream, and the bytes of the file.

    Raises:
        InputError, LimitError, UnsupportedVersionError, CorruptStreamError: as
            :func:`nvcodec.format.stream_reader.read_stream` does.
    """
    from nvcodec.format.stream_reader import read_stream

    limits = Limits(max_pixels, max_memory)
    data = read_bytes(file, limits)
    with about(file):
        stream = read_stream(data, limits, keep_going)
    stream.name = file
    _say_note(stream)
    return stream, data


def _say_note(stream: Stream) -> None:
    """Say on stderr what is missing of a file."""
    if stream.note:
        click.echo(f"nvcodec: {stream.name}: {stream.note}", err=True)


def wanted_extras(stream: Stream, audio: bool) -> Extras:
    """Return what travels beside the pictures of a stream, without sound if it is not wanted; says what is damaged."""
    from nvcodec.format.extras import extras_of

    extras, damage = extras_of(stream)
    if damage:
        note(stream.name, damage)
    return extras if audio else extras.without_audio


def chosen_frames(stream: Stream, file: str, start: Moment, length: Moment | None, end: Moment | None) -> range:
    """Return the chosen frames of a stream.

    Numbers count frames. Times count from the first frame's; a frame is where it begins, so that parts that follow each
    other have each frame once.

    Raises:
        UsageError: no frame is chosen.
    """

    def frame(moment: Moment, first: int = 0) -> int:
        """The first frame that begins at a moment or later, counted from frame ``first``."""
        if isinstance(moment, int):
            return min(first + moment, stream.frames)
        ticks = stream.ticks
        pts = ticks[first][0] + moment / stream.time_base
        return next((index for index in range(first, stream.frames) if ticks[index][0] >= pts), stream.frames)

    first = frame(start)
    if first >= stream.frames:
        raise UsageError(
            f"--start is past the last of the {stream.frames} frames of {file}, {float(stream.seconds):g} s"
        )
    last = frame(end) if end is not None else frame(length, first) if length is not None else stream.frames
    if last <= first:
        raise UsageError(f"{file} has no frame in the chosen part, which ends before frame {first} begins")
    return range(first, last)


def check_output(output: str, file: str, overwrite: bool) -> None:
    """Check that an output can be written without harm; raises UsageError."""
    from nvcodec.files import is_same_file

    if is_same_file(output, file):
        raise UsageError(f"{output} is the file to take from; give the output another name")
    if os.path.isdir(output):
        raise UsageError(f"{output} is a folder; name the file to write")
    if os.path.exists(output) and not overwrite:
        raise UsageError(f"{output} exists; -y replaces it")


def read_bytes(file: str, limits: Limits) -> bytes:
    """Read the bytes of an SDMN file; ``-`` is standard input.

    Raises:
        InputError, LimitError, UnsupportedVersionError, CorruptStreamError: as
            :func:`nvcodec.format.stream_reader.bytes_of` does.
    """
    from nvcodec.format.stream_reader import bytes_of, reading

    with reading(file):
        return bytes_of(sys.stdin.buffer if file == "-" else file, limits)
