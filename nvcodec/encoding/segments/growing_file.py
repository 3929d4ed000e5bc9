"""A file that grows while a video is encoded, and gets its name when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from nvcodec.encoding.wrapping import is_wrapped, wrap
from nvcodec.files import atomic_file, temporary_path
from nvcodec.notes import note_left_out


class NoSink:
    """Takes bytes and keeps none."""

    def write(self, data: bytes, /) -> None:
        """Take them."""


@contextlib.contextmanager
def growing_file(output: str | os.PathLike[str] | None) -> Iterator[BinaryIO]:
    """Provide a file to write and to read; when the block succeeds, what is in it becomes the output.

    Args:
        output: an .sdmn or .mp4 file, a pipe or a device; None for none.

    Raises:
        InputError: it cannot be written.
    """
    path = None if output is None else Path(os.path.realpath(output))
    with contextlib.ExitStack() as stack:
        if path is None or (path.exists() and not path.is_file()):
            file = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile(prefix="nvcodec-")))
        elif is_wrapped(path):
            file = stack.enter_context(open(stack.enter_context(temporary_path(path)), "w+b"))
        else:
            file = stack.enter_context(open(stack.enter_context(atomic_file(path)), "w+b"))
        yield file
        file.seek(0)
        if path is not None and path.exists() and not path.is_file():
            with open(path, "wb") as target:
                shutil.copyfileobj(file, target)
        elif path is not None and is_wrapped(path):
            note_left_out(path, wrap(file.read(), path))
