"""Size, quality, time and the loss by integer arithmetic, on real clips.

    python benchmarks/clips.py CLIPS_FOLDER benchmarks/clips.json [--epochs E] [--only NAME]

For each clip: an encode with the defaults; then the same network in float and in integers, and the time per frame of
both. Results are added to the JSON as they come, and a clip that is already there is skipped.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from machine import provenance

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.format.accounting import bytes_by_kind
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

# name: source, crop, scale, size, frames, steps (None: the default epochs)
CASES: dict[str, tuple[str, Any, Any, str, int | None, int | None]] = {
    "bunny 320x160": ("bigbuckbunny.mp4", (1280, 640), (320, 160), "0.3M", None, None),
    "basketballpass 416x240": ("basketballpass", None, None, "0.3M", None, None),
    "blackswan 432x240": ("davis480/blackswan", None, (432, 240), "0.3M", None, None),
    "blackswan 854x480, 12 steps": ("davis480/blackswan", None, None, "0.3M", 6, 12),
    "odd 161x121, 12 steps": ("odd/odd_161x121.webm", None, None, "0.1M", 6, 12),
    "basketballpass 16x16, 12 steps": ("basketballpass", None, (16, 16), "20k", 6, 12),
}


def weights_over_entropy(stream: Stream) -> float:
    """Return the bytes of weights and biases with their tables, relative to each tensor's order-0 empirical entropy."""
    coded = sum(
        entry.bytes
        for entry in stream.entries
        if entry.kind in ("weights", "skip_weights")
        or (entry.label.split(": ")[-1] == "table" and "conv" in entry.label)
    ) - sum(entry.bytes for entry in stream.entries if "steps: table" in entry.label)
    entropy = 0.0
    for conv in stream.segments[0].layers[0].convs.values():
        for integers in (conv.weights, conv.biases):
            share = np.unique(integers, return_counts=True)[1] / integers.size
            entropy -= float((share * np.log2(share)).sum()) * integers.size / 8
    return coded / entropy


def seconds_per_frame(function: Callable[[int], Any], frames: int, rounds: int = 5) -> list[float]:
    """Return the seconds per frame of each of ``rounds`` passes over ``frames`` frames, after a warm-up pass."""
    passes = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        for frame in range(frames):
            function(frame)
        passes.append((time.perf_counter() - start) / frames)
    return passes[1:]


def measure(folder: Path, name: str, epochs: float | None, device: str) -> dict[str, Any]:
    """Return all figures of one case."""
    source, crop, scale, size, count, steps = CASES[name]
    clip = read_clip(folder / source, Selection(crop, scale, 0, count))
    start = time.perf_counter()
    encoded = nvcodec.encode(
        folder / source, size=size, crop=crop, scale=scale, frames=count, steps=steps, epochs=epochs, device=device
    )
    total = time.perf_counter() - start
    stream = read_stream(encoded.data)
    kinds = bytes_by_kind(stream)
    where = torch.device(Video(stream, device=device).device)
    network = ExactNetwork(stream.segments[0], 0, stream.video.seed, where)
    sample = min(24, len(clip.frames))
    with torch.inference_mode(), encoded.fitted.decoder.in_float():
        in_float = encoded.fitted.psnr(clip.frames)
        float_time = seconds_per_frame(encoded.fitted.picture, sample)
    exact_time = seconds_per_frame(lambda frame: network.decode([frame]), sample)
    return {
        "size": size,
        "frames": len(clip.frames),
        "parameters": encoded.parameters,
        "file_bytes": len(encoded.data),
        "bytes_by_kind": kinds,
        "weights_over_order_0_entropy": weights_over_entropy(stream),
        "side_info_and_overhead_share": (kinds["side_info"] + kinds["overhead"]) / len(encoded.data),
        "psnr_rgb": encoded.psnr,
        "psnr_same_network_in_float": in_float,
        "encode_seconds": total,
        "seconds": encoded.seconds,
        "float_ms_a_frame": {"median": 1e3 * statistics.median(float_time), "spread": [1e3 * t for t in float_time]},
        "exact_ms_a_frame": {"median": 1e3 * statistics.median(exact_time), "spread": [1e3 * t for t in exact_time]},
        "exact_over_float_time": statistics.median(exact_time) / statistics.median(float_time),
    }


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--epochs", type=float)
@click.option("--device", default="cpu")
@click.option("--only", multiple=True)
def main(folder: Path, output: Path, epochs: float | None, device: str, only: tuple[str, ...]) -> None:
    """Measure every case that OUTPUT does not hold yet."""
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    for name in only or CASES:
        if name in results:
            continue
        click.echo(name, err=True)
        results[name] = {**measure(folder, name, epochs, device), "provenance": provenance()}
        output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
