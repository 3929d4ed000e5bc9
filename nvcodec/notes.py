"""One line on stderr for what a source has and a file has not, or a file and an output: said, not asked."""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
from collections.abc import Iterator, Sequence

_silent = contextvars.ContextVar("_silent", default=False)


def note(file: str | os.PathLike[str], text: str) -> None:
    """Print a line such as ``note: in.mkv: its second video track is left out``."""
    if not _silent.get():
        print(f"note: {os.fspath(file)}: {text}", file=sys.stderr)


def note_left_out(file: str | os.PathLike[str], parts: Sequence[str]) -> None:
    """Say in one line what does not travel from or to a file, if anything does not."""
    if parts:
        note(file, f"left out: {', '.join(parts)}")


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Print no notes in the block."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)
