"""The worth of a warm start: fits of equal length from random weights and from a file.

    python benchmarks/warm_start.py CLIPS_FOLDER benchmarks/warm_start.json [--steps 400]

The file holds the first 66 frames of Big Buck Bunny at 320x160, with 0.3M parameters. Fits run on one thread; `begin`
is the PSNR of the network before the first training step.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.fit.budget import OVERHEAD, STEPS
from nvcodec.encoding.fit.fit import Fit, has_fast_bfloat16
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.warm_start import warm_start
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.format.stream_reader import read_stream
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

PARAMETERS, FRAMES, FILE_STEPS = 300_000, 66, 1200
CASES = {
    "the next 66 frames": (PARAMETERS, FRAMES),
    "the same frames, 0.4M": (400_000, 0),
    "the same frames, 0.2M": (200_000, 0),
}


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--steps", default=400)
def main(folder: Path, output: Path, steps: int) -> None:
    """Run all fits and write OUTPUT."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    selection = Selection((1280, 640), (320, 160), 0, FRAMES)
    first = read_clip(folder / "bigbuckbunny.mp4", selection)
    encoded = nvcodec.encode(first, size=PARAMETERS, steps=FILE_STEPS, device="cpu")
    file = Video(read_stream(encoded.data), device="cpu")
    rows: dict[str, Any] = {}
    for case, (parameters, start) in CASES.items():
        frames = read_clip(folder / "bigbuckbunny.mp4", dataclasses.replace(selection, start=start)).frames
        shape = solve(parameters, 320, 160, FRAMES)
        row: dict[str, Any] = {}
        for way in ("from nothing", "from the file"):
            fit = Fit(frames, shape, FitOptions(steps=steps, bfloat16=has_fast_bfloat16(cpu)), cpu)
            if way == "from the file":
                warm_start(fit, file)
                row["begin"] = copy.deepcopy(fit).finish().psnr(frames)
                warm_start_seconds = fit.budget.clock.seconds[OVERHEAD]
            while not fit.budget.done:
                fit.advance()
            row[way] = fit.finish().psnr(frames)
            if way == "from the file":
                seconds_per_step = fit.budget.clock.seconds[STEPS] / fit.budget.step
                row["steps_that_the_warm_start_took"] = warm_start_seconds / seconds_per_step
        rows[case] = row
        click.echo(f"{case}: {row}", err=True)
    result = {"file_psnr_rgb": encoded.psnr, "steps": steps, "cases": rows, "provenance": provenance()}
    output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
