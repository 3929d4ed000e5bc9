"""Exceptions that nvcodec raises on purpose, with the exit code of the command line for each.

    NvcodecError                  1  an internal error: please report it
    ├── UsageError                2  options contradict each other or do not suit the video
    ├── InputError                3  the source cannot be read, or is not an SDMN file
    │   └── LimitError            3  an SDMN file needs more than the caller allows; the file itself may be valid
    ├── CorruptStreamError        4  an SDMN file is damaged or breaks the specification
    │   └── CutStreamError        4  an SDMN file ends too early
    ├── UnsupportedVersionError   5  an SDMN file needs a version or feature that this decoder lacks
    ├── VerificationError         6  the decoded pictures are not those intended, or a target was missed
    └── Interrupted             130  the run was interrupted and its state saved

Each message is one sentence for the person at the terminal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class NvcodecError(Exception):
    """Base class; ``exit_code`` is the exit status of the command line."""

    exit_code = 1


class UsageError(NvcodecError, ValueError):
    """Options contradict each other or do not suit the video."""

    exit_code = 2


class InputError(NvcodecError):
    """The source cannot be opened, contains no video, or is not an SDMN file."""

    exit_code = 3


class LimitError(InputError):
    """The stream has larger pictures, or needs more memory, than the caller allows; the file itself may be valid."""


class CorruptStreamError(NvcodecError):
    """The stream is damaged or breaks a rule of ``bitstream_spec.md``."""

    exit_code = 4


class CutStreamError(CorruptStreamError):
    """The stream ends too early; its complete layers can still be decoded."""


class UnsupportedVersionError(NvcodecError):
    """The stream needs a newer decoder."""

    exit_code = 5


class VerificationError(NvcodecError):
    """The decoded pictures differ from those the encoder intended, or a target was missed."""

    exit_code = 6


class Interrupted(NvcodecError):
    """The run was interrupted; its state has been saved in a checkpoint."""

    exit_code = 130


@contextlib.contextmanager
def about(name: str) -> Iterator[None]:
    """Put a file's name, unless it is empty, before the message of an error that is raised in the block."""
    try:
        yield
    except (NvcodecError, IndexError) as error:
        if name and not str(error).startswith(f"{name}: "):
            error.args = (f"{name}: {error}",)
        raise
