"""Finished segments in a folder, as ordinary files, until they are all there."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.segments.segment_task import SegmentTask
from nvcodec.errors import InputError, NvcodecError, UsageError
from nvcodec.files import atomic_file, writing
from nvcodec.format.metadata import pack_metadata
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import with_units
from nvcodec.format.units import UnitType

SUFFIX = ".segments"  # of the folder beside an output
KEY = "encode"  # of metadata: what is known of the encode
KNOWN = ("psnr", "crf", "seconds", "interrupted")


class SegmentStore:
    """The finished segments of an encode.

    Args:
        output: the file, beside which the folder is; None for a folder that goes with the process.
        resume: whether segments that are there are used.
        overwrite: whether they may be removed.

    Raises:
        InputError: the folder cannot be made.
        UsageError: there is one, and neither is said; or none to go on with.
    """

    def __init__(self, output: str | os.PathLike[str] | None, resume: bool, overwrite: bool) -> None:
        self._known: set[str] = set()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if output is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="nvcodec-")
            self.path = Path(self._temporary.name)
            return
        self.path = Path(os.fspath(output) + SUFFIX)
        if self.path.exists() and not resume:
            if not overwrite:
                raise UsageError(
                    f"{self.path} is of an interrupted encode; `resume=True` goes on with it, "
                    "`overwrite=True` starts anew"
                )
            shutil.rmtree(self.path, ignore_errors=True)
        with writing(self.path):
            self.path.mkdir(exist_ok=True)

    def has(self, name: str) -> bool:
        """Whether a segment is there, and undamaged."""
        if name not in self._known:
            with contextlib.suppress(NvcodecError, OSError, LookupError, TypeError):
                self.load(name)
                self._known.add(name)
        return name in self._known

    def put(self, task: SegmentTask, encoded: Encoded) -> None:
        """Keep a segment; raises InputError where it cannot be written."""
        said = {KEY: {key: getattr(encoded, key) for key in KNOWN}}
        stream = read_stream(encoded.data)
        data = with_units(encoded.data, [(UnitType.METADATA, pack_metadata(said, stream.compact))])
        with atomic_file(self.path / task.name) as temporary:
            temporary.write_bytes(data)
        self._known.add(task.name)

    def load(self, name: str) -> Encoded:
        """Return a segment; raises what reading it raises, and InputError where a part of it is missing."""
        data = (self.path / name).read_bytes()
        stream = read_stream(data)
        if stream.note:
            raise InputError(f"{self.path / name}: {stream.note}")
        head = stream.segments[0].head
        known = {key: stream.metadata[KEY][key] for key in KNOWN}
        return Encoded(data, stream.parameters, stream.frames, head.width, head.height, **known)

    def discard(self) -> None:
        """Remove all segments."""
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder if it is not beside an output."""
        if self._temporary is not None:
            self._temporary.cleanup()
