"""Reading the SDMN file that a command works on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nvcodec.errors import InputError
from nvcodec.format.limits import Limits

if TYPE_CHECKING:
    from nvcodec.format.stream import Stream


def open_stream(file: str, max_pixels: int | None, max_memory: int, keep_going: bool = False) -> Stream:
    """Read and check an SDMN file, as :func:`open_file` does."""
    return open_file(file, max_pixels, max_memory, keep_going)[0]


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
    stream = read_stream(data, limits, keep_going)
    if stream.note:
        click.echo(f"nvcodec: {file}: {stream.note}", err=True)
    return stream, data


def read_bytes(file: str, limits: Limits) -> bytes:
    """Read the bytes of an SDMN file; ``-`` is standard input.

    Raises:
        InputError, LimitError, UnsupportedVersionError, CorruptStreamError: as
            :func:`nvcodec.format.stream_reader.read_all` does.
    """
    from nvcodec.format.stream_reader import read_all

    try:
        if file == "-":
            return read_all(sys.stdin.buffer, limits)
        with open(file, "rb") as opened:
            return read_all(opened, limits)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
