"""The AV1 streams of an encode that still runs, kept beside its output so that ``resume`` need not make them again.

The file is an uncompressed ``.npz`` with arrays and JSON, as other checkpoints are.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nvcodec.encoding.av1.svt_encoder import TemporalUnit
from nvcodec.encoding.fit.checkpoint import DAMAGED, read_arrays, write_arrays
from nvcodec.errors import InputError, UsageError

VERSION = 1


class BaseCache:
    """The AV1 streams made so far, by name.

    Args:
        path: of the checkpoint; None keeps nothing in a file.
        identity: what the checkpoint must be of: the clip and what else decides about the streams.
    """

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity: dict[str, Any] = {"av1": VERSION, **json.loads(json.dumps(identity))}
        self.streams: dict[str, list[TemporalUnit]] = {}

    def add(self, name: str, units: Sequence[TemporalUnit]) -> None:
        """Keep a stream; raises InputError where the checkpoint cannot be written."""
        self.streams[name] = list(units)
        if self.path is None:
            return
        arrays = {"meta": np.frombuffer(json.dumps(self._meta()).encode(), np.uint8)}
        for key, stream in self.streams.items():
            arrays[f"data {key}"] = np.frombuffer(b"".join(unit.data for unit in stream), np.uint8)
        write_arrays(self.path, arrays)

    def _meta(self) -> dict[str, Any]:
        streams = {
            name: {
                "crc": zlib.crc32(b"".join(unit.data for unit in stream)),
                "sizes": [len(unit.data) for unit in stream],
                "keys": [unit.key for unit in stream],
            }
            for name, stream in self.streams.items()
        }
        return {"identity": self.identity, "streams": streams}

    def load(self) -> None:
        """Take over the streams of the checkpoint.

        Raises:
            InputError: there is none, or it is damaged.
            UsageError: it is of another clip or of other options.
        """
        assert self.path is not None
        arrays = read_arrays(self.path)
        try:
            meta = json.loads(arrays["meta"].tobytes())
            same = meta["identity"] == self.identity
            for name, about in meta["streams"].items() if same else ():
                data = arrays[f"data {name}"].tobytes()
                if zlib.crc32(data) != about["crc"] or sum(about["sizes"]) != len(data):
                    raise ValueError
                ends = np.cumsum([0, *about["sizes"]]).tolist()
                self.streams[name] = [
                    TemporalUnit(data[start:end], bool(key))
                    for (start, end), key in zip(itertools.pairwise(ends), about["keys"], strict=True)
                ]
        except (ValueError, LookupError, TypeError, AttributeError):
            raise InputError(DAMAGED.format(self.path)) from None
        if not same:
            raise UsageError(f"{self.path} is of another clip or set of options, or of another version")
