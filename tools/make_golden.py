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

import nvcodec  # noqa: E402
from nvcodec.format.stream_reader import read_stream  # noqa: E402
from nvcodec.format.stream_writer import write_stream  # noqa: E402
from nvcodec.format.units import MAGIC, MAJOR, MINOR, Order, UnitType, pack_unit, split_units  # noqa: E402

FOLDER = ROOT / "tests" / "golden" / f"{MAJOR}.{MINOR}"


def change_payload(data: bytes, kind: UnitType, change: Callable[[bytearray], object]) -> bytes:
    """The stream with the first unit of a type changed and its checksum made right; hashes stay as they were."""
    for unit in split_units(memoryview(data)):
        if unit.header.type == kind:
            payload = bytearray(unit.payload)
            change(payload)
            made = pack_unit(kind, bytes(payload), unit.header.segment, unit.header.layer, unit.compact)
            return data[: unit.offset] + made + data[unit.end :]
    raise AssertionError(kind)


def header(major: int, minor: int, features: int) -> bytes:
    """A file header with a right checksum."""
    head = MAGIC + bytes([major, minor]) + features.to_bytes(4, "little")
    return head + zlib.crc32(head).to_bytes(4, "little")


def above_av1(**options: object) -> bytes:
    """A tiny clip with an AV1 stream and networks above it."""
    options = {"preset": "draft", "steps": 60, "device": "cpu", "base": "av1", **options}
    return nvcodec.encode(moving_squares(12, 33, 42), **options).data  # type: ignore[arg-type]


def by_segment(data: bytes) -> bytes:
    """A stream of one segment with its units segment after segment, as two segments with the same content, of which the
    second has the networks of the first."""
    stream = read_stream(data)
    first = stream.segments[0]
    second = first.moved(stream.frames, first.head.first_pts + first.ticks)
    video = dataclasses.replace(stream.video, order=Order.BY_SEGMENT)
    return write_stream(dataclasses.replace(stream, video=video, segments=[first, second], reuse=True))


#: Streams that decode. Those of earlier versions were made by earlier versions of this program.
GOOD: dict[str, Callable[[], bytes]] = {
    "reuse": lambda: by_segment(above_av1(size=400, crf=55)),
}


def bad(data: bytes) -> dict[str, tuple[bytes, str]]:
    """Streams that must be refused, and the error each must give."""
    units = list(split_units(memoryview(data)))
    flipped = bytearray(data)
    flipped[units[4].offset + 20] ^= 4
    return {
        "unknown-feature": (header(MAJOR, MINOR, 1 << 31) + data[18:], "UnsupportedVersionError"),
        "flipped-bit": (bytes(flipped), "CorruptStreamError"),
        "cut": (data[: units[3].offset], "CorruptStreamError"),
        "concatenated": (data + data, "CorruptStreamError"),
        "wrong-hash": (
            change_payload(data, UnitType.SEGMENT_END, lambda p: p.__setitem__(-1, p[-1] ^ 1)),
            "CorruptStreamError",
        ),
        "reuse-without-feature": (header(MAJOR, MINOR, 3) + data[18:], "CorruptStreamError"),
        "another-depth": (
            change_payload(data, UnitType.NETWORK, lambda p: p.__setitem__(p.index(10), 8)),
            "CorruptStreamError",
        ),
        "film-grain": (change_payload(data, UnitType.BASE, film_grain), "CorruptStreamError"),
    }


def film_grain(payload: bytearray) -> None:
    """Set film_grain_params_present, the last bit of the first sequence header before its trailing bits."""
    head = 3  # codec, first frame, frames; then the OBU's header and size
    end = head + 2 + payload[head + 1]
    last = payload[end - 1]
    assert last, "the trailing bits are in the last byte"
    trailing = last & -last
    if trailing == 128:
        payload[end - 2] |= 1
    else:
        payload[end - 1] |= 2 * trailing


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
    for name, (data, error) in bad((FOLDER / "reuse.sdmn").read_bytes()).items():
        if f"bad-{name}" in streams:
            continue
        streams[f"bad-{name}"] = {"error": error}
        (FOLDER / f"bad-{name}.sdmn").write_bytes(data)
    descriptor.write_text(json.dumps(streams, indent=1) + "\n")


if __name__ == "__main__":
    main()
