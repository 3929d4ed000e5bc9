"""Every error nvcodec raises on purpose, and the exit code its command line ends with.

    NvcodecError                  1  an internal error: please report it
    ├── UsageError                2  options that contradict each other or the video
    ├── InputError                3  the source cannot be read, or is no SDMN file
    │   └── LimitError            3  an SDMN file that needs more than is allowed; it may be whole
    ├── CorruptStreamError        4  an SDMN file whose content is damaged or breaks the specification
    │   └── CutStreamError        4  an SDMN file that ends too early
    ├── UnsupportedVersionError   5  an SDMN file of a version or with a feature this decoder lacks
    ├── VerificationError         6  what was decoded is not what was meant, or a target was missed
    └── Interrupted             130  somebody asked for an end, and the state was kept

The message of each is one sentence for the person at the terminal.
"""

from __future__ import annotations


class NvcodecError(Exception):
    """Base of all; ``exit_code`` is the command line's exit status."""

    exit_code = 1


class UsageError(NvcodecError):
    """Options that contradict each other or do not fit the video."""

    exit_code = 2


class InputError(NvcodecError):
    """The source or file cannot be opened, holds no video, or is not an SDMN file."""

    exit_code = 3


class LimitError(InputError):
    """The stream has larger pictures, or needs more memory, than the caller allows; it may be whole."""


class CorruptStreamError(NvcodecError):
    """The stream is damaged or breaks a rule of ``bitstream_spec.md``."""

    exit_code = 4


class CutStreamError(CorruptStreamError):
    """The stream ends too early; the layers that are whole can be had."""


class UnsupportedVersionError(NvcodecError):
    """The stream needs a newer decoder."""

    exit_code = 5


class VerificationError(NvcodecError):
    """The decoded picture differs from what the encoder meant, or a target was missed."""

    exit_code = 6


class Interrupted(NvcodecError):
    """Somebody asked for an end; what there was has been kept in a checkpoint."""

    exit_code = 130
