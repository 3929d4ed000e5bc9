"""Decoding of files with an AV1 stream: pictures per second, and the time of each part.

    GOMP_SPINCOUNT=1000 python benchmarks/av1_decode.py CLIPS_FOLDER benchmarks/av1_decode.json [-j 2] [--device cpu]
        [--only 480x270]

The variable is what the command line sets. The files are made on the way: few frames, a draft's network of the usual
size, rate factor 44. Times are medians over rounds. The parts are timed apart: dav1d; with the conversion to RGB and
the network as well; with checksums as well.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance
from timing import seconds

import nvcodec
from nvcodec.decoding.base_decoder import BaseDecoder
from nvcodec.decoding.decoded_video import Video
from nvcodec.format.limits import AV1_CACHE
from nvcodec.format.operations import Picture
from nvcodec.format.stream_reader import read_stream
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

# size: source, scale, frames
CASES: dict[str, tuple[str, tuple[int, int] | None, int]] = {
    "480x270": ("highway.mp4", (480, 270), 100),
    "1280x720": ("dancers", None, 40),
    "1920x1080": ("dancers", (1920, 1080), 24),  # enlarged: there is no such clip
}
PARAMETERS = 1150  # of the network: 16 hidden channels


def measure(data: bytes, device: torch.device, rounds: int) -> dict[str, Any]:
    """Return pictures per second with each number of parts, and the time of a random frame."""
    stream = read_stream(data)
    layer = stream.segments[0].layers[0]
    picture = next(op for op in layer.ops if isinstance(op, Picture))
    frames = range(stream.frames)

    def dav1d() -> None:
        decoder = BaseDecoder(layer.base, picture, AV1_CACHE)
        for frame in frames:
            decoder.planes(frame)

    def pictures(layers: int, verify: bool) -> None:
        for _ in Video(stream, device=str(device), layers=layers, verify=verify).decode(frames):
            pass

    parts = {
        "dav1d": dav1d,
        "layer 0 alone": lambda: pictures(1, False),
        "network": lambda: pictures(2, False),
        "network, checksums": lambda: pictures(2, True),
    }
    found: dict[str, Any] = {"file_bytes": len(data), "frames": stream.frames}
    for name, function in parts.items():
        times = seconds(function, device, rounds)
        found[name] = {
            "frames_per_second": stream.frames / statistics.median(times),
            "milliseconds": [1000 * each / stream.frames for each in sorted(times)],
        }
    last = seconds(lambda: Video(stream, device=str(device))[stream.frames - 1], device, rounds)
    found["last frame of a run, seconds"] = statistics.median(last)
    return found


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("-j", "--threads", default=2)
@click.option("--device", default="cpu")
@click.option("--only", default="")
@click.option("--rounds", default=5)
@click.option("--frames", "limit", default=1000, help="At most so many frames.")
def main(folder: Path, output: Path, threads: int, device: str, only: str, rounds: int, limit: int) -> None:
    """Measure and write OUTPUT."""
    torch.set_num_threads(threads)
    results = json.loads(output.read_text()) if output.exists() else {}
    for name, (source, scale, frames) in CASES.items():
        if only not in name:
            continue
        clip = read_clip(folder / source, Selection(None, scale, 0, min(frames, limit), 1), None, None)
        made = nvcodec.encode(
            clip, crf=44, base="av1", preset="draft", steps=100, size=PARAMETERS, threads=threads, device=device
        )
        results.setdefault(device, {})[name] = measure(made.data, torch.device(device), rounds)
        results[device]["provenance"] = provenance()
        print(name, json.dumps(results[device][name]), flush=True)
        output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
