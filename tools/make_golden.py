"""Make those golden streams of a format version that are not there yet. Existing ones are never replaced.

    python tools/make_golden.py

Writes tests/golden/VERSION/NAME.sdmn and one descriptor, streams.json: the digest each good stream decodes to, the
error each bad one must give.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from conftest import moving_squares  # noqa: E402
from networks import random_stream  # noqa: E402

import nvcodec  # noqa: E402
from nvcodec.format.fields import Cursor  # noqa: E402
from nvcodec.format.operations import Grid, Op, Table, pack_ops, unpack_ops  # noqa: E402
from nvcodec.format.stream_reader import read_stream  # noqa: E402
from nvcodec.format.stream_writer import write_stream  # noqa: E402
from nvcodec.format.units import MAGIC, MAJOR, MINOR, UnitType, pack_unit, split_units  # noqa: E402

FOLDER = ROOT / "tests" / "golden" / f"{MAJOR}.{MINOR}"


def change_payload(data: bytes, kind: UnitType, change: Callable[[bytearray], object]) -> bytes:
    """The stream with the first unit of a type changed and its checksum made right; hashes stay as they were."""
    for unit in split_units(memoryview(data)):
        if unit.header.type == kind:
            payload = bytearray(unit.payload)
            change(payload)
            made = pack_unit(kind, bytes(payload), unit.header.segment, unit.header.layer)
            return data[: unit.offset] + made + data[unit.end :]
    raise AssertionError(kind)


def header(major: int, minor: int, features: int) -> bytes:
    """A file header with a right checksum."""
    head = MAGIC + bytes([major, minor]) + features.to_bytes(4, "little")
    return head + zlib.crc32(head).to_bytes(4, "little")


def first_unit(data: bytes, body: bytes) -> bytes:
    """The stream with a unit of header and payload ``body`` put after the VIDEO unit."""
    end = next(split_units(memoryview(data))).end
    return data[:end] + body + zlib.crc32(body).to_bytes(4, "little") + data[end:]


#: Streams that decode.
GOOD: dict[str, Callable[[], bytes]] = {
    "fitted": lambda: nvcodec.encode(moving_squares(5, 33, 42), size="9k", steps=120, device="cpu", skip="none").data,
    "every-operation": lambda: write_stream(random_stream(10, segments=2, layers=2, operations=14), run=2),
    "three-layers": lambda: write_stream(random_stream(12, layers=3), run=1),
    "by-rows": lambda: (
        nvcodec.encode(moving_squares(40, 33, 42), size="20k", steps=300, device="cpu", rd_lambda=3.0, grids=0).data
    ),
    "grids": lambda: nvcodec.encode(moving_squares(9, 33, 42), size="20k", steps=200, device="cpu").data,
    "whole-sdmn": lambda: (
        nvcodec.encode(
            moving_squares(3, 63, 111), size="25k", steps=120, device="cpu", skip="invertible", z_gain=1.0
        ).data
    ),
}


def bad(data: bytes, grids: bytes) -> dict[str, tuple[bytes, str]]:
    """Streams that must be refused, and the error each must give; ``grids`` is one with a GRID."""
    units = list(split_units(memoryview(data)))
    middle = units[3].offset + 20
    flipped = bytearray(data)
    flipped[middle] ^= 4
    return {
        "not-sdmn": (b"\x89PNG" + data[4:], "InputError"),
        "next-major": (header(MAJOR + 1, 0, 0) + data[18:], "UnsupportedVersionError"),
        "unknown-feature": (header(MAJOR, MINOR, 1 << 31) + data[18:], "UnsupportedVersionError"),
        "unknown-critical-unit": (first_unit(data, bytes([99]) + bytes(12)), "UnsupportedVersionError"),
        "unknown-operation": (
            change_payload(data, UnitType.NETWORK, lambda p: p.__setitem__(2, 200)),
            "UnsupportedVersionError",
        ),
        "flipped-bit": (bytes(flipped), "CorruptStreamError"),
        "cut": (data[: len(data) // 2], "CorruptStreamError"),
        "concatenated": (data + data, "CorruptStreamError"),
        "wrong-hash": (
            change_payload(data, UnitType.LAYER_END, lambda p: p.__setitem__(9, p[9] ^ 1)),
            "CorruptStreamError",
        ),
        "wrong-checksum-count": (change_payload(data, UnitType.CHECKSUMS, lambda p: p.pop()), "CorruptStreamError"),
        "huge-tensor": (
            change_payload(data, UnitType.NETWORK, lambda p: p.__setitem__(slice(3, 9), b"\xff" * 6)),
            "CorruptStreamError",
        ),
        "no-frames": (
            change_payload(data, UnitType.SEGMENT, lambda p: p.__setitem__(slice(4, 8), bytes(4))),
            "CorruptStreamError",
        ),
        "knots-beyond-frames": (change_payload(grids, UnitType.NETWORK, more_knots), "CorruptStreamError"),
        "accumulator-too-large": (change_payload(data, UnitType.NETWORK, louder), "CorruptStreamError"),
    }


def louder(payload: bytearray) -> None:
    """Let the first TABLE yield far more, so that the convolution after it breaks its bound."""
    replace_first(payload, Table, low=-32768, high=32767)


def more_knots(payload: bytearray) -> None:
    """Let the first GRID have more knots than the segment has frames."""
    replace_first(payload, Grid, knots=10)


def replace_first(payload: bytearray, kind: type[Op], **fields: int) -> None:
    """Other fields for the first operation of a kind in the payload of a NETWORK."""
    ops = list(unpack_ops(Cursor(bytes(payload), "network")))
    place = next(place for place, op in enumerate(ops) if isinstance(op, kind))
    ops[place] = dataclasses.replace(ops[place], **fields)
    payload[:] = pack_ops(ops)


def main() -> None:
    """Write what is not there yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    descriptor = FOLDER / "streams.json"
    streams: dict[str, dict[str, object]] = json.loads(descriptor.read_text()) if descriptor.exists() else {}
    for name, make in GOOD.items():
        if name in streams:
            continue
        data = make()
        pictures = nvcodec.open(read_stream(data), device="cpu")
        digest = hashlib.md5()
        for picture in pictures:
            digest.update(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()))
        streams[name] = {"md5": digest.hexdigest(), "frames": len(pictures)}
        (FOLDER / f"{name}.sdmn").write_bytes(data)
    good = [(FOLDER / f"{name}.sdmn").read_bytes() for name in ("fitted", "grids")]
    for name, (data, error) in bad(*good).items():
        if f"bad-{name}" in streams:
            continue
        streams[f"bad-{name}"] = {"error": error}
        (FOLDER / f"bad-{name}.sdmn").write_bytes(data)
    descriptor.write_text(json.dumps(streams, indent=1) + "\n")


if __name__ == "__main__":
    main()
