"""How long encodes with `--time-limit` take: kinds of target, kinds of file, and clips, as processes of their own.

    python benchmarks/time_limits.py CLIP benchmarks/time_limits.json [--only 6000] [--factor 1]

The start of Python and of torch counts. Of the two clips, one is a part of CLIP; the other has so many frames that most
of it cannot be done in the time, so that nvcodec should say so, early. `over` is what was taken beyond 105 % of the
limit and 3 s, which no encode should.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance

from nvcodec.video.selection import Selection
from nvcodec.video.sinks import open_sink
from nvcodec.video.source import read_clip

LIMITS = {"24 frames 240x136": 15.0, "6000 frames 64x48": 10.0}  # seconds, by clip; a busy machine needs more
TARGETS: dict[str, list[str]] = {
    "size": ["--target-size", "12kB"],
    "two sizes": ["--target-size", "9kB,16kB"],
    "PSNR": ["--target-psnr", "27"],
}
TOLERANCE, TOLERANCE_SECONDS = 1.05, 3.0


def write_clips(source: Path, folder: Path) -> dict[str, Path]:
    """Write the clips, without loss; the long one repeats the frames of the source."""
    paths = {}
    for name, (scale, count) in zip(LIMITS, (((240, 136), 24), ((64, 48), 6000)), strict=True):
        frames = read_clip(source, Selection(scale=scale, frames=96)).frames
        path = paths[name] = folder / f"{count}.mkv"
        with open_sink(str(path), width=scale[0], height=scale[1], time_base=Fraction(1, 25), fps=Fraction(25)) as sink:
            for index in range(count):
                picture: torch.Tensor = frames[index % len(frames)]
                sink.put(picture.permute(1, 2, 0).contiguous().numpy(), index, 1)
    return paths


def encode(source: Path, target: str, base: str, limit: float) -> dict[str, Any]:
    """Return what an encode took, and how it ended."""
    output = f"{source.parent}/out{{}}.sdmn"
    command = [sys.executable, "-m", "nvcodec", "encode", str(source), "-o", output, "-y", "--base", base]
    start = time.perf_counter()
    ended = subprocess.run(
        [*command, *TARGETS[target], "--time-limit", f"{limit:g}s", "--progress", "none"],
        capture_output=True,
        text=True,
        check=False,
    )
    taken = time.perf_counter() - start
    message = next((line for line in ended.stderr.splitlines() if line.startswith("nvcodec: ")), "")
    return {
        "asked": limit,
        "taken": round(taken, 2),
        "over": round(max(0.0, taken - TOLERANCE * limit - TOLERANCE_SECONDS), 2),
        "exit_code": ended.returncode,
        "message": message.replace(f"{source.parent}/", ""),
    }


@click.command()
@click.argument("clip", type=click.Path(path_type=Path, exists=True))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--only", default="", help="Part of the name of a clip.")
@click.option("--factor", default=1.0, help="All limits are so many times as long.")
def main(clip: Path, output: Path, only: str, factor: float) -> None:
    """Measure and write OUTPUT, each encode as soon as it is done."""
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, source in write_clips(clip, Path(folder)).items():
            for base in ("none", "av1") if only in name else ():
                for target in TARGETS:
                    found = encode(source, target, base, factor * LIMITS[name])
                    results[f"{name}, {base}, {target}"] = found
                    results["provenance"] = provenance()
                    output.write_text(json.dumps(results, indent=1) + "\n")
                    click.echo(f"{name}, {base}, {target}: {found}")


if __name__ == "__main__":
    main()
