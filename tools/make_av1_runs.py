"""Make the AV1 streams of an encoder that conformance vectors have: with hidden frames, and headers that show them.

    python tools/make_av1_runs.py

Writes tools/av1_runs.json, for each stream size and depth, and for each run the number of its frames and its OBUs in
base64. Another version of SVT-AV1 makes other bytes, so the vectors are made from this file, not from the encoder.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from av1 import squares  # noqa: E402

FILE = Path(__file__).with_name("av1_runs.json")
#: Height, width, depth, frames of each run.
STREAMS = {"even-8": (18, 32, 8, (5, 4, 1)), "odd-10": (19, 33, 10, (6, 3))}


def main() -> None:
    """Write the file."""
    streams = {}
    for name, (height, width, depth, lengths) in STREAMS.items():
        runs = [(run.frames, base64.b64encode(run.data).decode()) for run in squares(height, width, depth, lengths)]
        streams[name] = {"height": height, "width": width, "depth": depth, "runs": runs}
    FILE.write_text(json.dumps(streams, indent=1) + "\n")


if __name__ == "__main__":
    main()
