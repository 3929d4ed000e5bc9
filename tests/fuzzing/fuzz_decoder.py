"""Fuzz the decoder, guided by coverage.

    python tests/fuzzing/fuzz_decoder.py FOLDER -max_total_time=3600

FOLDER keeps the inputs that reached something new; other options are libFuzzer's.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzzing.guided import PARTS, run

if __name__ == "__main__":
    run(
        "decoder",
        [
            *PARTS,
            *(
                f"nvcodec.decoding.{name}"
                for name in (
                    *("decoded_video", "exact_network", "kernels", "picture_checksums", "timeline"),
                    *("base_decoder", "picture_conversion", "strips"),
                )
            ),
        ],
    )
