"""Make the conformance vectors: a folder for each, with its stream and a descriptor.

    python tools/make_vectors.py

What the streams are is in good_vectors.py and bad_vectors.py, for the compact form in good_compact_vectors.py and
bad_compact_vectors.py, for pictures of 10 bits in ten_bit_vectors.py, and for networks of earlier segments in
reuse_vectors.py. The digests are those of the reference
decoder. The same files come out every time; a test compares them with what is in the repository.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import bad_compact_vectors  # noqa: F401
import good_compact_vectors  # noqa: F401
import reference_decoder
import reuse_vectors  # noqa: F401
import ten_bit_vectors  # noqa: F401
from bad_vectors import BAD, Bad
from good_vectors import GOOD, Good

from conformance import VECTORS, Outcome, outcome_of


def decoded(data: bytes, layers: int, factor: int = 1) -> Outcome:
    """What the reference decoder makes of a stream."""
    stream = reference_decoder.parse(data)
    pictures = list(reference_decoder.pictures(stream, layers - 1, factor))
    return outcome_of(pictures, reference_decoder.times(stream))


def describe_good(vector: Good, data: bytes) -> dict[str, Any]:
    """The descriptor of a vector that decodes."""
    stream = reference_decoder.parse(data)
    asked = [(layers, 1) for layers in range(1, stream.layers + 1)]
    asked += [(layers, factor) for factor in vector.interpolate for layers in range(1, stream.layers + 1)]
    return {
        "about": vector.about,
        "sections": vector.sections,
        "bytes": len(data),
        "layers": stream.layers,
        "frames": stream.frames,
        "sizes": [(segment.width, segment.height, segment.frames) for segment in stream.segments],
        "ticks": reference_decoder.times(stream),
        "decodings": [
            {"layers": layers, "interpolate": factor, "md5": decoded(data, layers, factor).md5}
            for layers, factor in asked
        ],
    }


def describe_bad(vector: Bad) -> dict[str, Any]:
    """The descriptor of a vector that must be refused."""
    decoding: dict[str, Any] = {"layers": vector.layers, "interpolate": 1, "error": vector.error}
    if vector.instead:
        instead = vector.instead
        decoding["or"] = {"why": instead.why, "status": instead.status, "md5": decoded(instead.sound, 1).md5}
    if vector.before:
        decoding["before"] = decoded(vector.before, vector.layers).md5
    return {
        "about": vector.about,
        "sections": [vector.section],
        "bytes": len(vector.data),
        "layers": vector.layers,
        "decodings": [decoding],
    }


def text(descriptor: dict[str, Any]) -> bytes:
    """A descriptor's JSON: a line for each entry, and for each decoding."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in descriptor.items() if key != "decodings"]
    decodings = ",\n".join(f"  {json.dumps(decoding)}" for decoding in descriptor["decodings"])
    return ("{\n" + ",\n".join([*lines, f' "decodings": [\n{decodings}\n ]']) + "\n}\n").encode()


def vectors() -> dict[str, bytes]:
    """All files of the set, by their path in its folder."""
    files = {}
    for name, good in GOOD.items():
        data = good.make()
        files[f"{name}/stream.sdmn"] = data
        files[f"{name}/descriptor.json"] = text(describe_good(good, data))
    for name, bad in BAD.items():
        files[f"{name}/stream.sdmn"] = bad.data
        files[f"{name}/descriptor.json"] = text(describe_bad(bad))
    return files


def main() -> None:
    """Write the set, in place of the one that is there."""
    for old in VECTORS.glob("*/descriptor.json"):
        shutil.rmtree(old.parent)
    for path, data in vectors().items():
        target: Path = VECTORS / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


if __name__ == "__main__":
    main()
