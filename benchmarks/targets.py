"""How near files come to ten targets of size, bit rate and quality.

    python benchmarks/targets.py CLIPS_FOLDER benchmarks/targets.json [--only NUMBER]

The clips are short, and nothing but the target is given. Results are added to the JSON as they come.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
from machine import provenance

import nvcodec
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

BUNNY = ("bigbuckbunny.mp4", Selection((1280, 640), (320, 160), 0, 24))
SWAN = ("davis480/blackswan", Selection((854, 427), (256, 128), 0, 24))
BALL = ("basketballpass", Selection(None, (208, 120), 0, 30))
FOLIAGE = ("vid4-foliage", Selection(None, (180, 120), 0, 20))
CAMEL = ("davis480/camel", Selection((854, 480), (208, 120), 0, 24))
PAIRS: list[tuple[tuple[str, Selection], dict[str, Any]]] = [
    (BUNNY, {"target_size": 40_000}),
    (BUNNY, {"target_psnr": 28.0}),
    (BUNNY, {"bitrate": 500_000.0}),
    (SWAN, {"target_size": 30_000}),
    (SWAN, {"target_psnr": 25.0}),
    (BALL, {"target_size": 60_000}),
    (BALL, {"target_psnr": 30.0}),
    (FOLIAGE, {"target_size": 25_000}),
    (FOLIAGE, {"target_psnr": 23.0}),
    (CAMEL, {"target_psnr": 26.0}),
]


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--only", type=int, multiple=True)
def main(folder: Path, output: Path, only: tuple[int, ...]) -> None:
    """Measure every pair that OUTPUT does not hold yet."""
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    for number, ((source, selection), target) in enumerate(PAIRS):
        if str(number) in results or (only and number not in only):
            continue
        clip = read_clip(folder / source, selection)
        start = time.perf_counter()
        made = nvcodec.encode(clip, device="cpu", **target)
        row = {
            "clip": f"{source} {clip.width}x{clip.height}, {len(clip.frames)} frames",
            **target,
            "file_bytes": len(made.data),
            "psnr_rgb": made.psnr,
            "parameters": made.parameters,
            "seconds": time.perf_counter() - start,
        }
        if made.target_bytes:
            row["error_percent"] = 100 * (len(made.data) / made.target_bytes - 1)
        else:
            row["error_db"] = made.psnr - target["target_psnr"]
        results[str(number)] = {**row, "provenance": provenance()}
        output.write_text(json.dumps(results, indent=1) + "\n")
        click.echo(row, err=True)


if __name__ == "__main__":
    main()
