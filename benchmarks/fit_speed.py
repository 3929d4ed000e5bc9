"""Seconds to HNeRV's quality: the published recipe and nvcodec on the same frames, one after the other.

    python benchmarks/fit_speed.py CLIPS_FOLDER benchmarks/fit_speed.json [--epochs 100] [--only CLIP]

For each clip: the recipe of `hnerv.py` for --epochs, with its quality every few epochs; then whole encodes of as many
stored parameters: one that ends at the recipe's final quality (--target-psnr), and one for each of some time limits. An
encode's time is all it takes, reading apart: fit, rounding, writing, decoding for verification; its quality is that of
the file. Run it on an idle machine.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import click
import hnerv
import numpy as np
import torch
from machine import provenance

import nvcodec
from nvcodec.bench.chart import Line, chart
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

SIZE = 300_000
CLIPS: dict[str, tuple[str, Selection]] = {
    "bunny 320x160": ("bigbuckbunny.mp4", Selection((1280, 640), (320, 160), 0, 66)),
    "blackswan 320x160": ("davis480/blackswan", Selection((854, 427), (320, 160), 0, 50)),
}
LIMITS = (15, 20, 25, 30, 40)
LOOKS = 25  # at the recipe's quality


def recipe(frames: torch.Tensor, shape: hnerv.NetworkShape, epochs: int) -> dict[str, Any]:
    """HNeRV's recipe: its seconds and its quality as it goes."""
    curve: list[dict[str, float]] = []
    every = max(1, epochs // LOOKS)

    def watch(epoch: int, seconds: float, network: hnerv.HNeRV) -> None:
        if epoch % every == 0 or epoch == epochs:
            curve.append({"epoch": epoch, "seconds": seconds, "psnr_rgb": hnerv.quality(network, frames)})
            click.echo(f"  recipe {curve[-1]}", err=True)

    hnerv.fit(frames, shape, epochs, watch)
    return {"epochs": epochs, **{name: curve[-1][name] for name in ("seconds", "psnr_rgb")}, "curve": curve}


def encode(frames: torch.Tensor, size: int, **options: float) -> dict[str, Any]:
    """One whole encode in a process of its own: one that has fitted before is slower, its memory is in pieces."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        row: dict[str, Any] = pool.apply(_encode, (frames.numpy(), size, options))
    click.echo(f"  nvcodec {row}", err=True)
    return row


def _encode(frames: np.ndarray, size: int, options: dict[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    encoded = nvcodec.encode(torch.from_numpy(frames), size=size, device="cpu", **options)
    return {
        **options,
        "seconds": time.perf_counter() - began,
        "psnr_rgb": encoded.psnr,
        "file_bytes": len(encoded.data),
        "parameters": encoded.parameters,
        "seconds_by_part": encoded.seconds,
    }


def compare(
    folder: Path, name: str, epochs: int, limits: tuple[int, ...], known: dict[str, Any] | None
) -> dict[str, Any]:
    """Both ways on one clip; ``known`` is the recipe's result where it has been measured."""
    source, selection = CLIPS[name]
    frames = read_clip(folder / source, selection).frames
    assert isinstance(frames, torch.Tensor)
    shape = hnerv.network_shape(SIZE, frames.shape[3], frames.shape[2], len(frames))
    size = shape.parameters(len(frames))
    theirs = known or recipe(frames, shape, epochs)
    ours = encode(frames, size, target_psnr=theirs["psnr_rgb"])
    planned = [encode(frames, size, time_limit=limit) for limit in limits]
    reached = [row["seconds"] for row in planned if row["psnr_rgb"] >= theirs["psnr_rgb"]]
    return {
        "frames": len(frames),
        "parameters": size,
        "recipe": theirs,
        "to_its_quality": ours,
        "time_limits": planned,
        "ratio_target_psnr": theirs["seconds"] / ours["seconds"],
        "ratio_best_time_limit": theirs["seconds"] / min(reached) if reached else None,
    }


def draw(name: str, row: dict[str, Any]) -> str:
    """The chart of one clip."""
    theirs = [(point["seconds"], point["psnr_rgb"]) for point in row["recipe"]["curve"]]
    ours = [(point["seconds"], point["psnr_rgb"]) for point in row["time_limits"]]
    lines = [
        Line(f"HNeRV's recipe, {row['recipe']['epochs']} epochs", theirs),
        Line("nvcodec, one encode per dot", ours, marks=True),
    ]
    return chart(f"{name}, {row['frames']} frames, {row['parameters']} parameters", "seconds", "PSNR, dB", lines, True)


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--epochs", default=100)
@click.option("--limit", "limits", type=int, multiple=True, default=LIMITS)
@click.option("--only", multiple=True)
@click.option("--ours", is_flag=True, help="Measure nvcodec again beside the recipe's results that OUTPUT holds.")
def main(folder: Path, output: Path, epochs: int, limits: tuple[int, ...], only: tuple[str, ...], ours: bool) -> None:
    """Measure every clip that OUTPUT does not hold yet; draw a chart of each clip beside it."""
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {"clips": {}}
    for name in only or CLIPS:
        if ours or name not in results["clips"]:
            click.echo(name, err=True)
            known = results["clips"][name]["recipe"] if ours else None
            results["clips"][name] = {**compare(folder, name, epochs, limits, known), "provenance": provenance()}
            output.write_text(json.dumps(results, indent=1) + "\n")
        picture = output.with_name(f"{output.stem}_{name.split()[0]}.svg")
        picture.write_text(draw(name, results["clips"][name]))


if __name__ == "__main__":
    main()
