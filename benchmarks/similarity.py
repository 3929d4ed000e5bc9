"""SSIM, MS-SSIM and PSNR of files with an AV1 stream beside those of the stream alone, fitted for PSNR and for SSIM.

    python benchmarks/similarity.py CLIPS_FOLDER benchmarks/similarity.json [--only NAME] [-j 2]

Clips are those of `av1.py` with up to 432x240 pixels, encoded with preset normal. MS-SSIM needs sides above 160 pixels.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import av1
import click
import torch
from machine import provenance

import nvcodec
from nvcodec import metrics
from nvcodec.video.clip import Clip
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

CLIPS = [
    "bunny 320x160",
    "blackswan 432x240",
    "camel 432x240",
    "basketballpass 416x240",
    "mallard-water 432x240",
    "foliage 360x240",
]
CRFS = (40, 52)
TUNES = ("ycc", "ssim")


def measure(clip: Clip, crf: int, tune: str, threads: int) -> dict[str, Any]:
    """Return the bytes of the stream and of the file, and every measure of both."""
    made = nvcodec.encode(clip, crf=crf, tune=tune, threads=threads, device="cpu")
    found: dict[str, Any] = {"file_bytes": len(made.data)}
    for name, layers in (("stream", 1), ("file", None)):
        video = nvcodec.Video(made.data, device="cpu", layers=layers)
        pairs = zip(video, clip.frames, strict=True)
        rows = [metrics.measure(picture, original) for picture, original in pairs]
        means = {key: [row[key] for row in rows if row[key] is not None] for key in rows[0]}
        found[name] = {key: statistics.fmean(values) if values else None for key, values in means.items()}
    return found


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--only", default="")
@click.option("-j", "--threads", default=2)
def main(folder: Path, output: Path, only: str, threads: int) -> None:
    """Measure what is missing in OUTPUT."""
    torch.set_num_threads(threads)
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {"clips": {}}
    for name in CLIPS:
        if only not in name:
            continue
        source, crop, scale, frames = av1.CLIPS[name]
        clip = read_clip(folder / source, Selection(crop, scale, 0, frames, 1), None, None)
        points = results["clips"].setdefault(name, {})
        for tune in TUNES:
            for crf in CRFS:
                if f"{tune} {crf}" not in points:
                    points[f"{tune} {crf}"] = measure(clip, crf, tune, threads)
                    print(name, tune, crf, points[f"{tune} {crf}"], flush=True)
                    results["provenance"] = provenance()
                    output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
