"""Seeds of fuzzing: small streams, and where each of their fields lies."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from fuzzing import blocks
from networks import random_stream

from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.picture_checksums import picture_bytes
from nvcodec.errors import NvcodecError
from nvcodec.format.entropy.contexts import Contexts
from nvcodec.format.fields import Cursor
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import UnitType

GOLDEN = Path(__file__).parents[1] / "golden"
CONFORMANCE = Path(__file__).parents[2] / "conformance"
#: Files in compact form.
VECTORS = (
    "base-encoded-8-bits",
    "base-encoded-10-bits",
    "base-grey",
    "base-layers",
    "base-layers-by-segment",
    "base-sequence-headers",
    "base-with-latents",
    "by-segment-cut",
    "compact-ancillary-units",
    "compact-operations",
    "compact-tables",
    "compact-tracks",
    "compact-without-weights-and-checksums",
    "ten-bits",
    "ten-bits-layers",
    "reuse-above-another-network",
    "reuse-in-fixed-form",
)
LARGEST = 4500  # bytes; small streams allow more tries per second


@dataclasses.dataclass(frozen=True)
class Field:
    """A range of bytes of a block; ``code`` is a ``struct`` code, ``v`` for a varint, or ``s`` for other bytes."""

    start: int
    end: int
    code: str


@dataclasses.dataclass(frozen=True)
class Seed:
    """A stream in blocks (see :mod:`fuzzing.blocks`) and the fields of each."""

    name: str
    blocks: tuple[bytes, ...]
    fields: tuple[tuple[Field, ...], ...]

    @property
    def has_base(self) -> bool:
        """Whether it has an AV1 stream."""
        return any(block[:1] == bytes([UnitType.BASE]) for block in self.blocks[1:])


HEADER_FIELDS = tuple(Field(*field) for field in ((8, 9, "B"), (9, 10, "B"), (10, 14, "I")))
UNIT_FIELDS = tuple(Field(*field) for field in ((0, 1, "B"), (1, 2, "B"), (2, 4, "H"), (4, 5, "B")))


class _Tracer(Cursor):
    """Records what is read of each unit's payload. The unit is recognised by its name: "WEIGHTS at byte 178"."""

    found: dict[int, list[Field]]

    def __init__(self, data: Any, what: str, compact: bool = False) -> None:
        super().__init__(data, what, compact)
        found = re.search(r"at byte (\d+)", what)
        self.fields = self.found.setdefault(int(found[1]) if found and not what.startswith("the unit") else -1, [])

    def _note(self, start: int, code: str) -> None:
        self.fields.append(Field(blocks.UNIT_HEADER_BYTES + start, blocks.UNIT_HEADER_BYTES + self.position, code))

    def fixed(self, code: str) -> int:
        start, value = self.position, super().fixed(code)
        self.fields.pop()  # take() has recorded it
        self._note(start, code)
        return value

    def varint(self, high: int = 2**32 - 1) -> int:
        start, value = self.position, super().varint(high)
        self._note(start, "v")
        return value

    def take(self, count: int) -> memoryview:
        start, piece = self.position, super().take(count)
        self._note(start, "s")
        return piece


def seed(name: str, data: bytes) -> Seed:
    """Turn a stream into a seed. If it is refused, fields are known up to that point only."""
    found: dict[int, list[Field]] = {}
    tracer = type("Tracer", (_Tracer,), {"found": found})
    with mock.patch("nvcodec.format.units.Cursor", tracer), contextlib.suppress(NvcodecError):
        read_stream(data)
    parts, fields, offset = blocks.split(data), [], 0
    compact = blocks.is_compact(parts)
    for number, part in enumerate(parts):
        here = (f for f in found.get(offset, ()) if f.end > f.start)
        fields.append((*UNIT_FIELDS, *here) if number else HEADER_FIELDS)
        offset += len(blocks.outer(part, compact)) if number else len(part)
    return Seed(name, tuple(parts), tuple(fields))


def by_rows_stream(weight: int, plane: tuple[int, int, int]) -> bytes:
    """A stream with tables of family 4 (``weight`` 0) or 5, in which some columns are larger than others."""
    stream = random_stream(7, operations=1, frames=6)
    layer = stream.segments[0].layers[0]
    rng = np.random.default_rng(weight)
    for index, values in layer.latents.items():
        op: Any = layer.ops[index]
        loud = rng.uniform(0.1, 9, values.shape[1:])
        layer.latents[index] = np.clip(np.round(rng.laplace(0, loud, values.shape)), op.low, op.high).astype(np.int16)

    def choose(values: Any, rows: Any) -> tuple[Contexts, float]:
        first = min(0, int(values.min()))
        last = max(int(values.max()), first + 1, 0)
        return Contexts(first, last - first + 1, 64, 256, 1, weight if rows.plane else 0), -1e9

    pictures = Video(stream, device="cpu", verify=False)
    layer.frames_per_checksum = 1
    layer.checksums = np.array([zlib.crc32(picture_bytes(picture)) for picture in pictures], np.uint32)
    with mock.patch("nvcodec.format.entropy.chunks.choose_contexts", choose):
        return write_stream(stream)


@functools.cache
def seeds() -> tuple[Seed, ...]:
    """All seeds."""
    made = {
        "one": write_stream(random_stream(3, frames=1, operations=0)),
        "plain": write_stream(random_stream(5, frames=2, operations=3)),
        "runs": write_stream(random_stream(6, frames=3, operations=5), run=2),
        "constant time": _constant_time(),
        "layers": write_stream(random_stream(8, frames=2, operations=3, layers=2), index=False),
        "segments": write_stream(random_stream(9, frames=2, operations=3, segments=2)),
        "family 4": by_rows_stream(0, (1, 4, 5)),
        "family 5": by_rows_stream(4, (1, 4, 5)),
        "audio": _ancillary(),
    }
    for name in VECTORS:
        made[name] = (CONFORMANCE / name / "stream.sdmn").read_bytes()
    for path in sorted(GOLDEN.glob("*/*.sdmn")):
        if not path.name.startswith("bad") and path.stat().st_size <= LARGEST:
            made[f"{path.parent.name}/{path.stem}"] = path.read_bytes()
    return tuple(seed(name, data) for name, data in made.items())


def seeds_for(target: str) -> tuple[Seed, ...]:
    """Those that a target makes most of."""
    return tuple(seed for seed in seeds() if target != "base" or seed.has_base)


def _constant_time() -> bytes:
    stream = random_stream(11, frames=2, operations=4)
    head = dataclasses.replace(stream.segments[0].head, constant_duration=40)
    stream.segments[0].head, stream.segments[0].durations = head, np.full(2, 40)
    return write_stream(stream)


def _ancillary() -> bytes:
    """A stream with an AUDIO unit, an unknown one, and METADATA both packed and plain."""
    parts = blocks.split(write_stream(random_stream(3, frames=1, operations=0)))
    plain = b'{"psnr_rgb_0":31.5,"a":[1,{"b":null}]}'
    extra = [
        blocks.unit(UnitType.METADATA, b"\0" + len(plain).to_bytes(4, "little") + plain),
        blocks.unit(UnitType.AUDIO, b"packets"),
        blocks.unit(200, b"whatever", 9, 3, 1),
    ]
    return blocks.whole([*parts[:2], *extra, *parts[2:]])
